local t = require "t.app"

local function at(s) -- "2026-11-22 04:55[:46]" UTC
    local y, mo, d, h, mi, sec = s:match "(%d+)-(%d+)-(%d+) (%d+):(%d+):?(%d*)"
    local days = 0
    y, mo, d = tonumber(y), tonumber(mo), tonumber(d)
    local function leap(year) return year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0) end
    for year = 1970, y - 1 do days = days + (leap(year) and 366 or 365) end
    local lengths = { 31, leap(y) and 29 or 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }
    for month = 1, mo - 1 do days = days + lengths[month] end
    return (((days + d - 1) * 24 + h) * 60 + mi) * 60000 + (tonumber(sec) or 0) * 1000
end

local function show(ms) return ms and os.date("!%Y-%m-%d %H:%M", ms // 1000) end
local function after(expression, s) return show(t.next(expression, 0, at(s))) end

describe("rate", function()
    it("counts from the start and is strictly later", function()
        local start = at "2026-11-22 04:55:30"
        assert.equal(start + 60000, t.next("rate(1 minute)", start, start))
        assert.equal(start + 60000, t.next("rate(1 minute)", start, start + 59999))
        assert.equal(start + 120000, t.next("rate(1 minute)", start, start + 60000))
        assert.equal(start + 300000, t.next("rate(5 minutes)", start, start - 1))
        assert.equal(start + 7200000, t.next("rate(2 hours)", start, start + 1))
        assert.equal(start + 86400000, t.next("rate(1 day)", start, start + 1))
    end)

    it("refuses what EventBridge refuses", function()
        for expression, why in pairs {
            ["rate(1 minutes)"] = "must be minute, hour or day", ["rate(5 minute)"] = "must be minutes, hours or days",
            ["rate(0 minutes)"] = "whole number", ["rate(-1 minutes)"] = "whole number", ["rate(1.5 hours)"] = "whole number",
            ["rate(5 seconds)"] = "must be minutes", ["rate()"] = "whole number", ["rate(5)"] = "must be minutes",
            ["rate 5 minutes"] = "neither rate(...) nor cron(...)", [""] = "neither", ["rate(5 minutes"] = "neither",
        } do
            local v, message = t.next(expression, 0, 0)
            assert.is_nil(v, expression)
            assert.matches(why, message, 1, true)
        end
    end)
end)

describe("cron", function()
    it("gives the next time, strictly later", function()
        for _, c in ipairs {
            -- the examples of the EventBridge manual
            { "cron(0 10 * * ? *)", "2026-11-22 09:59", "2026-11-22 10:00" },
            { "cron(0 10 * * ? *)", "2026-11-22 10:00", "2026-11-23 10:00" },
            { "cron(15 12 * * ? *)", "2026-12-31 12:15:01", "2027-01-01 12:15" },
            { "cron(0 18 ? * MON-FRI *)", "2026-11-20 18:00", "2026-11-23 18:00" },
            { "cron(0 8 1 * ? *)", "2026-11-22 00:00", "2026-12-01 08:00" },
            { "cron(0/15 * * * ? *)", "2026-11-22 10:46", "2026-11-22 11:00" },
            { "cron(0/10 * ? * MON-FRI *)", "2026-11-22 10:46", "2026-11-23 00:00" },
            { "cron(0/5 8-17 ? * MON-FRI *)", "2026-11-23 17:55", "2026-11-24 08:00" },
            { "cron(0/30 20-2 ? * MON-FRI *)", "2026-11-23 02:30", "2026-11-23 20:00" },
            -- leap days, ends of months, years
            { "cron(0 0 29 2 ? *)", "2026-11-22 00:00", "2028-02-29 00:00" },
            { "cron(0 0 31 * ? *)", "2026-11-22 00:00", "2026-12-31 00:00" },
            { "cron(59 23 31 12 ? 2199)", "2026-01-01 00:00", "2199-12-31 23:59" },
            { "cron(0 0 L * ? *)", "2026-02-01 00:00", "2026-02-28 00:00" },
            { "cron(0 0 L FEB ? *)", "2027-03-01 00:00", "2028-02-29 00:00" },
            { "cron(0 0 1 JAN,jul ? 2028-2030)", "2026-11-22 00:00", "2028-01-01 00:00" },
            { "cron(30 4 ? * 1 *)", "2026-11-22 04:29", "2026-11-22 04:30" }, -- a Sunday
            { "cron(0 0 ? * L *)", "2026-11-22 00:00", "2026-11-28 00:00" }, -- Saturday
            { "cron(0 0 ? * 6L *)", "2026-11-22 00:00", "2026-11-27 00:00" }, -- last Friday
            { "cron(0 0 ? * FRIL *)", "2026-11-27 00:00", "2026-12-25 00:00" },
            { "cron(0 0 ? * 2#1 *)", "2026-11-22 00:00", "2026-12-07 00:00" }, -- first Monday
            { "cron(0 0 ? * TUE#5 *)", "2026-11-22 00:00", "2026-12-29 00:00" },
            -- nearest weekday: 2026-11-15 is a Sunday, 2026-08-15 a Saturday, 2026-08-01 a Saturday, 2027-01-31 a Sunday
            { "cron(0 0 15W * ? *)", "2026-11-01 00:00", "2026-11-16 00:00" },
            { "cron(0 0 15W * ? *)", "2026-08-01 00:00", "2026-08-14 00:00" },
            { "cron(0 0 1W * ? *)", "2026-07-31 00:00", "2026-08-03 00:00" },
            { "cron(0 0 31W * ? *)", "2027-01-01 00:00", "2027-01-29 00:00" },
            { "cron(0 0 LW * ? *)", "2026-02-01 00:00", "2026-02-27 00:00" },
            { "cron(0 0 31W * ? *)", "2026-10-31 00:00", "2026-12-31 00:00" }, -- November has no 31st
            { "cron(1,3-5,58/1 0 * * ? *)", "2026-11-22 00:05", "2026-11-22 00:58" },
            { "cron( 5  6 *  * ? * )", "2026-11-22 00:00", "2026-11-22 06:05" },
        } do
            assert.equal(c[3], after(c[1], c[2]), c[1])
        end
    end)

    it("never misses or repeats a minute", function()
        local ms, n = at "2026-11-22 23:50", 0
        while ms < at "2026-11-23 00:20" do
            local following = t.next("cron(* * * * ? *)", 0, ms)
            assert.equal(ms + 60000, following)
            ms, n = following, n + 1
        end
        assert.equal(30, n)
    end)

    it("refuses what it does not understand, naming the field", function()
        for expression, why in pairs {
            ["cron(0 10 * * ?)"] = "six fields", ["cron()"] = "six fields", ["cron(0 10 * * ? * *)"] = "six fields",
            ["cron(60 10 * * ? *)"] = "minutes '60'", ["cron(0 24 * * ? *)"] = "hours '24'", ["cron(0 0 0 * ? *)"] = "day-of-month '0'",
            ["cron(0 0 32 * ? *)"] = "day-of-month '32'", ["cron(0 0 1 13 ? *)"] = "month '13'", ["cron(0 0 ? * 8 *)"] = "day-of-week '8'",
            ["cron(0 0 ? * 0 *)"] = "day-of-week '0'", ["cron(0 0 1 * ? 1969)"] = "year '1969'", ["cron(? 0 1 * ? *)"] = "minutes '?'",
            ["cron(0 0 * * * *)"] = "'?' in exactly one", ["cron(0 0 ? * ? *)"] = "'?' in exactly one", ["cron(a 0 * * ? *)"] = "minutes 'a'",
            ["cron(5- 0 * * ? *)"] = "minutes '5-'", ["cron(/5 0 * * ? *)"] = "minutes '/5'", ["cron(0/0 0 * * ? *)"] = "minutes '0/0'",
            ["cron(1,,2 0 * * ? *)"] = "minutes ''", ["cron(0 0 ? * 2#6 *)"] = "day-of-week '2#6'", ["cron(0 0 ? * 2# *)"] = "day-of-week",
            ["cron(0 0 1 * ? 2020)"] = "no time that is still to come", ["cron(0 0 31 2 ? *)"] = "no time that is still to come",
            ["cron(-1 0 * * ? *)"] = "minutes '-1'",
        } do
            local v, message = t.next(expression, 0, at "2026-11-22 00:00")
            assert.is_nil(v, expression)
            assert.matches(why, message, 1, true)
        end
    end)
end)
