--- Money: integers in minor units (cents), exact over the whole int64 range, and the ISO 4217 currencies.
local money = {}

-- ISO 4217, active codes, by number of decimals of the minor unit.
local CODES = {
  [0] = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
  [2] = [[AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW
    CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS
    INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN
    NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC
    SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG]],
  [3] = "BHD IQD JOD KWD LYD OMR TND",
  [4] = "CLF UYW",
}

local EXPONENT = {}
for exponent, codes in pairs(CODES) do
  for code in codes:gmatch("%u%u%u") do EXPONENT[code] = exponent end
end

---Number of decimals of a currency's minor unit; nil for what is no ISO 4217 code.
---@param currency string "EUR"
---@return integer?
function money.exponent(currency)
  return EXPONENT[currency]
end

---a + b, or nil when that does not fit an int64.
---@param a integer
---@param b integer
---@return integer?
function money.add(a, b)
  local sum = a + b
  if (a ~ sum) & (b ~ sum) < 0 then return nil end
  return sum
end

---a * b, or nil when that does not fit an int64.
---@param a integer
---@param b integer
---@return integer?
function money.multiply(a, b)
  if a == 0 or b == 0 then return 0 end
  local product = a * b
  if (a == -1 and b == math.mininteger) or (b == -1 and a == math.mininteger) then return nil end
  if product // b ~= a or product % b ~= 0 then return nil end
  return product
end

---The sum of quantity * unit_price over lines, or nil when that does not fit an int64.
---@param lines { quantity: integer, unit_price: integer }[]
---@return integer?
function money.total(lines)
  local sum = 0 ---@type integer?
  for _, line in ipairs(lines) do
    local amount = money.multiply(line.quantity, line.unit_price)
    sum = amount and money.add(sum, amount)
    if not sum then return nil end
  end
  return sum
end

---"1234.56 EUR": decimals as the currency has them, no grouping. Raises for what is no currency.
---@param amount integer in minor units
---@param currency string
---@return string
function money.format(amount, currency)
  local exponent = EXPONENT[currency] or error("'" .. tostring(currency) .. "' is no ISO 4217 currency", 2)
  local sign, digits = "", string.format("%d", amount)
  if digits:sub(1, 1) == "-" then sign, digits = "-", digits:sub(2) end
  if exponent == 0 then return sign .. digits .. " " .. currency end
  digits = ("0"):rep(exponent + 1 - #digits) .. digits
  return ("%s%s.%s %s"):format(sign, digits:sub(1, -exponent - 1), digits:sub(-exponent), currency)
end

return money
