--- What anybody would expect of the Serverless Order System. `perigee chaos` finds what of it does not hold.

local function ordered(name)
  return { name .. " orders", function(_, client, run)
    local answer = client:post("/orders", { orderId = "o-1", customerName = name })
    if answer.status == 200 and not run.first then run.first = name end
  end }
end

local rest = { "everything is worked off", function(app) app:drain() end }

local linked = { "the customer asks for the receipt", function(app, client, run)
  local answer = client:get "/receipt/o-1"
  if not run.first or answer.status ~= 200 then return end
  local got = app:download(answer.json.signedReceiptUrl).status
  if got ~= 200 then error(("the link of the receipt leads to %d"):format(got), 0) end
end }

local function promised_orders_are_there(app, run)
  local order = app.dynamodb:get("Orders", { orderId = "o-1" })
  if run.first and not order then return "an order was answered with 200 and is not there" end
  if run.first and order.customerName ~= run.first then
    return ("the order of %s is now that of %s"):format(run.first, order.customerName)
  end
end

local function orders_have_receipts(app)
  for _, order in ipairs(app.dynamodb:scan "Orders") do
    if not app.s3:get("Receipts", "receipts/" .. order.orderId .. ".pdf") then
      return ("the order of %s has no receipt"):format(order.customerName)
    end
  end
end

return {
  flows = {
    order = { ordered "Ada", rest },
    same_id = { ordered "Ada", rest, ordered "Grace", rest },
    receipt = { ordered "Ada", linked },
  },
  invariants = {
    { name = "what was promised is there", check = promised_orders_are_there },
    { name = "every order has its receipt", check = orders_have_receipts },
  },
}
