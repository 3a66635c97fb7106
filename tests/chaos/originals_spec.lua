-- The two designs that the order system unites, step by step as they were: what is wrong with them is found, each with its story,
-- and the specs that are written replay it.
local support = require "chaos.support"

local ORIGINALS = "tests/chaos/originals/"

-- flow, invariant, what it is about, what its story shows
local PLANTED = {
  order_payments = {
    { "order", "one order per request", "one order was asked for, 2 are there", "the process is started again" },
    { "order", "the payments service knows every order", "the payments service never heard of an order" },
    { "payment", "payment and order agree", "the payment is completed, the order is INCOMPLETE" },
    { "payment", "what is paid stays paid", "the order was paid and is INCOMPLETE" },
    { "late_failure", "what is paid stays paid", "the order was paid and is PAYMENT_FAILED", "though nothing goes wrong" },
    { "unknown_order", "no payment without an order", "there is a payment of an order that nobody placed" },
  },
  serverless_orders = {
    { "order", "what was promised is there", "an order was answered with 200 and is not there", "is refused" },
    { "order", "every order has its receipt", "the order of Ada has no receipt", "PutItem" },
    { "same_id", "what was promised is there", "the order of Ada is now that of Grace" },
    { "receipt", "the flow goes through", "the link of the receipt leads to 404", "though nothing goes wrong" },
  },
}

local function violation(report, flow, invariant)
  for _, found in ipairs(report.violations) do
    if found.flow == flow and found.invariant == invariant then return found end
  end
end

for name, planted in pairs(PLANTED) do
  describe(name .. ", as it was designed", function()
    local template = ORIGINALS .. name .. "/config/template.yaml"
    local dir, report, code

    setup(function()
      dir = support.directory()
      report, code = support.report(("--template %s --spec %s"):format(template, dir))
    end)

    teardown(support.clean)

    it("does not hold", function()
      assert.equal(1, code)
      assert.is_true(#report.violations >= #planted)
    end)

    for _, flaw in ipairs(planted) do
      it(("fails in the flow %s: %s"):format(flaw[1], flaw[2]), function()
        local found = violation(report, flaw[1], flaw[2])
        assert(found, "not found")
        assert.equal(flaw[3], found.why)
        local story = table.concat(found.story, "\n")
        if flaw[4] then assert.truthy(story:find(flaw[4], 1, true), story) end
      end)
    end

    it("fails again in each spec that was written", function()
      local _, _, status = os.execute(("%s test %s >%s/log 2>&1"):format(os.getenv "PERIGEE_BIN" or "build/release/perigee", dir, dir))
      local log = support.read(dir .. "/log")
      local ok, failed, errors = log:match "(%d+) success[a-z]* / (%d+) failures? / (%d+) errors?"
      assert.same({ "0", tostring(#report.violations), "0" }, { ok, failed, errors }, log)
      assert.not_equal(0, status)
    end)

    it("works when nothing goes wrong, and nobody does anything odd", function()
      local problems = require("perigee.chaos").replay { template = template, flow = "order" }
      assert.same({}, problems)
    end)
  end)
end
