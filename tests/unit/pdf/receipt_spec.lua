-- The layout of receipts, on a stand-in of perigee.pdf.
local standin = require "unit.pdf.standin"
package.loaded["perigee.pdf"] = standin
local receipt = require "perigee.receipt"

local ORDER = {
    order_id = "0192f0c4-7d1e-7a3b-9b1c-5e2f8a1d4c77", status = "PAID", created_at = "2026-11-22T05:30:00.123Z",
    currency = "EUR", customer_name = "José Ñandú 李雷", email = "jose@example.com", total_price = 5440,
    lines = {{description = "Dripper", quantity = 1, unit_price = 3490}, {description = "Filters", quantity = 3, unit_price = 650}},
    history = {{at = "2026-11-22T05:30:00.123Z", to = "PENDING_PAYMENT"}, {at = "2026-11-24T09:12:00Z", to = "PAID"}},
}

local function with(more)
    local order = {}
    for k, v in pairs(ORDER) do order[k] = v end
    for k, v in pairs(more or {}) do order[k] = v end
    return order
end

local function without(...)
    local order = with()
    for _, name in ipairs{...} do order[name] = nil end
    return order
end

local function run(bytes, command)
    local name = os.tmpname()
    local f = assert(io.open(name, "wb"))
    f:write(bytes)
    f:close()
    local pipe = assert(io.popen(command:format(name) .. " 2>&1"))
    local out = pipe:read("a")
    local ok = pipe:close()
    os.remove(name)
    return out, ok
end

local function text_of(order, options)
    local bytes, missing = receipt.render(order, options)
    assert(bytes, missing)
    local out, ok = run(bytes, "qpdf --check --no-warn %s")
    assert.truthy(ok, out)
    return run(bytes, "pdftotext -layout %s -"), bytes, missing
end

local function assert_has(text, ...)
    for _, part in ipairs{...} do assert.truthy(text:find(part, 1, true), ("%q is not in\n%s"):format(part, text)) end
end

describe("a receipt", function()
    it("shows brand, order, customer, dates, lines, total and PAID", function()
        local text, bytes, missing = text_of(ORDER, {brand = "Acme & Söhne"})
        assert.equal(0, missing)
        assert_has(text, "Acme & Söhne", "Receipt", "EUR 54.40 paid", "PAID", "Paid on 24 November 2026", ORDER.order_id,
                   "José Ñandú 李雷", "jose@example.com", "22 November 2026", "Dripper", "34.90", "Filters", "6.50", "19.50", "Total",
                   "EUR 54.40", "Thank you for your order.", "Page 1 of 1")
        local fonts = run(bytes, "pdffonts %s")
        assert.equal(3, select(2, fonts:gsub("yes yes yes", "")), fonts)
        assert.truthy(#bytes < 20000, #bytes)
    end)

    it("has the same bytes for the same order, and others for another", function()
        local first = receipt.render(ORDER)
        assert.equal(first, receipt.render(with()))
        assert.not_equal(first, receipt.render(with{status = "REFUNDED"}))
    end)

    it("has its title and the time of payment as its metadata", function()
        local out = run(receipt.render(ORDER), "TZ=UTC pdfinfo %s")
        assert_has(out, "Receipt " .. ORDER.order_id, "Perigee", "Tue Nov 24 09:12:00 2026")
    end)

    it("carries the order id as a QR code", function()
        receipt.render(ORDER)
        local codes = {}
        for _, op in ipairs(standin.calls) do if op.kind == "qr" then codes[#codes + 1] = op.text end end
        assert.same({ORDER.order_id}, codes)
    end)

    for status, words in pairs{
        PENDING_PAYMENT = {"PAYMENT PENDING", "EUR 54.40 due", "Amount due", "Order summary"},
        PAYMENT_FAILED = {"PAYMENT FAILED", "EUR 54.40 due", "Order summary"},
        PAID = {"PAID", "Amount paid", "Receipt"}, READY_FOR_SHIPPING = {"PAID", "EUR 54.40 paid", "Paid on 24 November 2026"},
        REFUNDED = {"REFUNDED", "EUR 54.40 refunded", "EUR -54.40", "Receipt"}, CANCELLED = {"CANCELLED", "Order summary"},
        SOMETHING_NEW = {"SOMETHING NEW", "EUR 54.40 in total"},
    } do
        it("says what state " .. status .. " means", function()
            assert_has((text_of(with{status = status})), table.unpack(words))
        end)
    end

    it("claims no date of payment that the history does not tell", function()
        local text = text_of(without("history"))
        assert_has(text, "PAID", "Ordered on 22 November 2026")
        assert.falsy(text:find("Paid on", 1, true))
    end)

    it("of an order with item and quantity has one line, with a unit price when that is exact", function()
        local text = text_of({order_id = "a", status = "PAID", user_id = "u-17", item = "Widget", quantity = 4, total_price = 1000,
                              currency = "USD"})
        assert_has(text, "u-17", "Widget", "2.50", "10.00", "USD 10.00")
        text = text_of({order_id = "a", item = "Widget", quantity = 3, total_price = 1000, currency = "USD"})
        assert.falsy(text:find("3.33", 1, true))
    end)

    it("of an order that has only an id and a name is still a page", function()
        assert_has((text_of({order_id = "x-1", customer_name = "Jane"})), "x-1", "Jane", "Order", "Page 1 of 1")
    end)

    it("goes on over pages with the head of the table repeated and no line lost", function()
        local lines, total = {}, 0
        for i = 1, 100 do
            lines[i] = {description = "Position <" .. i .. ">" .. (i % 9 == 0 and (" and more of it"):rep(8) or ""), quantity = i, unit_price = 101}
            total = total + i * 101
        end
        local text = text_of(with{lines = lines, total_price = total})
        local pages = tonumber(text:match("Page 1 of (%d+)"))
        assert.truthy(pages >= 4, pages)
        assert.equal(pages, select(2, text:gsub("Description +Qty +Unit price +Amount", "")))
        local at = 0
        for i = 1, 100 do
            local found = text:find("Position <" .. i .. ">", 1, true)
            assert.truthy(found and found > at, "position " .. i)
            at = found
        end
        assert_has(text, ("Page %d of %d"):format(pages, pages), "EUR " .. receipt.figure(total, "EUR"))
    end)

    it("draws nothing over the footer or outside the page, whatever the number of lines", function()
        for n = 0, 40 do
            local lines = {}
            for i = 1, n do lines[i] = {description = ("long words "):rep(i % 5 * 8 + 1), quantity = 1, unit_price = 100} end
            assert(receipt.render(with{lines = lines, total_price = n * 100, customer_name = ("Max "):rep(n)}))
            local last = {}
            for _, op in ipairs(standin.calls) do
                if op.kind == "page" then last = {} end
                if op.kind == "text" then
                    assert.truthy(op.y <= 841.89 - 54 or op.size == 8, ("%d lines: %q at %g"):format(n, op.text, op.y))
                    local key = ("%s %.1f %.1f"):format(op.align, op.x, op.y)
                    assert.is_nil(last[key], op.text)
                    last[key] = op.text
                end
            end
        end
    end)

    it("cuts no description, however long", function()
        local words = {}
        for i = 1, 1500 do words[i] = "word" .. i end
        local text = text_of(with{lines = {{description = table.concat(words, " "), quantity = 1, unit_price = 5440}}})
        for i = 1, 1500, 100 do assert_has(text, "word" .. i) end
        assert_has(text, "word1500")
    end)

    it("shows the largest and smallest int64 exactly, within the page", function()
        for currency, shown in pairs{EUR = "92,233,720,368,547,758.07", JPY = "9,223,372,036,854,775,807", KWD = "9,223,372,036,854,775.807"} do
            local text = text_of(with{currency = currency, total_price = math.maxinteger,
                                      lines = {{description = "All", quantity = math.maxinteger, unit_price = 1}}})
            assert_has(text, currency .. " " .. shown .. " paid", "9,223,372,036,854,775,807")
            for _, op in ipairs(standin.calls) do assert.truthy(op.kind == "page" or op.x >= 0 and op.x <= 595.3) end
        end
        assert_has((text_of(with{total_price = math.mininteger, status = "REFUNDED",
                                 lines = {{description = "x", quantity = 1, unit_price = math.mininteger}}})),
                   "EUR -92,233,720,368,547,758.08", "EUR 92,233,720,368,547,758.08")
    end)

    it("takes fonts as a table or as one list, and says which are missing", function()
        local dejavu = "/usr/share/fonts/truetype/dejavu/DejaVuSans"
        local _, bytes = text_of(ORDER, {fonts = "/nowhere.ttf:" .. dejavu .. ".ttf:" .. dejavu .. "-Bold.ttf"})
        assert_has(run(bytes, "pdffonts %s"), "DejaVuSans ", "DejaVuSans-Bold")
        _, bytes = text_of(ORDER, {fonts = {bold = dejavu .. "-Bold.ttf"}})
        assert_has(run(bytes, "pdffonts %s"), "Sans ", "DejaVuSans-Bold")
        _, bytes = text_of(ORDER, {fonts = ""})
        assert.equal(bytes, (receipt.render(ORDER)))
    end)

    it("turns line breaks, controls and bad UTF-8 in an order into one line of text", function()
        local text = text_of(with{customer_name = "Jane\r\n\0Doe\xff", lines = {{description = "one\ttwo\27three", quantity = 1, unit_price = 5440}}})
        assert_has(text, "Jane Doe", "one two three")
    end)

    it("is refused for amounts that are no integers and for an order without id", function()
        for _, lines in ipairs{{{description = "x", quantity = 1.5, unit_price = 1}}, {{description = "x", quantity = 1, unit_price = 0.1}},
                               {{description = "x", quantity = 2, unit_price = math.maxinteger}}, {{description = "x"}}} do
            assert.has_error(function() receipt.render(with{lines = lines}) end)
        end
        assert.has_error(function() receipt.render(with{total_price = 1.5}) end)
        assert.has_error(function() receipt.render(without("order_id")) end)
    end)
end)

describe("amounts", function()
    for _, c in ipairs{
        {0, "EUR", "0.00"}, {5, "EUR", "0.05"}, {-5, "EUR", "-0.05"}, {100, "EUR", "1.00"}, {123456, "EUR", "1,234.56"},
        {100000000, "EUR", "1,000,000.00"}, {1, "JPY", "1"}, {1000, "JPY", "1,000"}, {0, "JPY", "0"}, {1, "KWD", "0.001"},
        {1234567, "KWD", "1,234.567"}, {1, "CLF", "0.0001"}, {99999, "USD", "999.99"}, {-100000, "USD", "-1,000.00"},
        {math.maxinteger, "EUR", "92,233,720,368,547,758.07"}, {math.mininteger, "EUR", "-92,233,720,368,547,758.08"},
        {math.mininteger, "JPY", "-9,223,372,036,854,775,808"}, {"123456789012345678901234567890", "EUR", "1,234,567,890,123,456,789,012,345,678.90"},
        {3.0, "EUR", "0.03"}, {12, nil, "0.12"},
    } do
        it(("%s %s is %s"):format(c[1], c[2], c[3]), function() assert.equal(c[3], receipt.figure(c[1], c[2])) end)
    end

    it("that are no integers are refused", function()
        for _, bad in ipairs{1.5, "1.5", "", "abc", 0 / 0, 1 / 0, 1e300, true} do
            assert.has_error(function() receipt.figure(bad, "EUR") end)
        end
    end)
end)
