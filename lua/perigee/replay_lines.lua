--- perigee.replay_lines: what two lists have in common, and two texts as people compare them.
local replay_lines = {}

---Pairs up two lists, in order: a sequence of { a = index?, b = index? }; what has both is equal.
---@param a any[]
---@param b any[]
---@param equal fun(x: any, y: any): boolean
---@return { a: integer?, b: integer? }[]
function replay_lines.align(a, b, equal)
  local first, last_a, last_b = 1, #a, #b
  while first <= last_a and first <= last_b and equal(a[first], b[first]) do first = first + 1 end
  while last_a >= first and last_b >= first and equal(a[last_a], b[last_b]) do last_a, last_b = last_a - 1, last_b - 1 end
  local best = {} -- best[i][j]: how much a[i..] and b[j..] have in common
  for i = last_a + 1, first, -1 do
    best[i] = {}
    for j = last_b + 1, first, -1 do
      if i > last_a or j > last_b then
        best[i][j] = 0
      elseif equal(a[i], b[j]) then
        best[i][j] = best[i + 1][j + 1] + 1
      else
        best[i][j] = math.max(best[i + 1][j], best[i][j + 1])
      end
    end
  end
  local out, i, j = {}, first, first
  for k = 1, first - 1 do out[k] = { a = k, b = k } end
  while i <= last_a or j <= last_b do
    if i <= last_a and j <= last_b and equal(a[i], b[j]) then
      out[#out + 1] = { a = i, b = j }
      i, j = i + 1, j + 1
    elseif j > last_b or i <= last_a and best[i + 1][j] >= best[i][j + 1] then
      out[#out + 1] = { a = i }
      i = i + 1
    else
      out[#out + 1] = { b = j }
      j = j + 1
    end
  end
  for k = 1, #a - last_a do out[#out + 1] = { a = last_a + k, b = last_b + k } end
  return out
end

local function split(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  if lines[#lines] == "" then lines[#lines] = nil end
  return lines
end

local AROUND = 2 -- unchanged lines that are shown before and after a change

---The lines that differ, with some around them and the numbers that they have: "-" was, "+" is.
---@param was string
---@param is string
---@return string[]
function replay_lines.diff(was, is)
  local a, b = split(was), split(is)
  local pairs_of = replay_lines.align(a, b, function(x, y) return x == y end)
  local shown, out, gap = {}, {}, false
  for k, p in ipairs(pairs_of) do
    if not (p.a and p.b) then
      for near = k - AROUND, k + AROUND do shown[near] = true end
    end
  end
  for k, p in ipairs(pairs_of) do
    if shown[k] then
      if gap and #out > 0 then out[#out + 1] = "     ..." end
      out[#out + 1] = ("%s %4d %s"):format(p.a and p.b and " " or p.a and "-" or "+", p.b or p.a, p.b and b[p.b] or a[p.a])
    end
    gap = not shown[k]
  end
  return out
end

return replay_lines
