require "unit.lua.plain"
local graph = require "perigee.graph"
local layout = require "perigee.graph_layout"
local svg = require "perigee.graph_svg"

local function way(from, to, more)
  local t = { from = from, to = to, guarded = false, requires = {}, effects = {} }
  for k, v in pairs(more or {}) do t[k] = v end
  return t
end

local door = {
  name = 'the "door" & <window>', initial = "SHUT", states = { "BROKEN", "LOCKED", "OPEN", "SHUT" }, terminal = { "BROKEN" },
  transitions = {
    open = way({ "SHUT" }, "OPEN", { guarded = true }),
    shut = way({ "OPEN" }, "SHUT", { effects = { "a bang" } }),
    lock = way({ "SHUT" }, "LOCKED", { requires = { "key", "hand" } }),
    unlock = way({ "LOCKED" }, "SHUT"),
    kick = way({ "LOCKED", "SHUT" }, "BROKEN"),
    paint = way({ "OPEN" }, "OPEN"),
    knock = way({ "OPEN", "SHUT" }, "SHUT"),
  },
}

-- A machine with so many states that each leads to the next, some back and some ahead, by a fixed rule.
local function large(n)
  local states, transitions = {}, {}
  for i = 1, n do states[i] = ("S%02d"):format(i) end
  for i = 1, n do
    transitions["next" .. i] = way({ states[i] }, states[i % n + 1])
    transitions["jump " .. i] = way({ states[i] }, states[(i * 7) % n + 1], { guarded = i % 3 == 0 })
    transitions["stay" .. i] = i % 5 == 0 and way({ states[i] }, states[i]) or nil
  end
  return { name = "large", initial = "S01", states = states, terminal = {}, transitions = transitions }
end

local machines = { door = door, large = large(17), small = { name = "ö", initial = "A", states = { "A" }, terminal = { "A" },
  transitions = {} } }

local function boxes(placed)
  local list = {}
  for _, cell in ipairs(placed.list) do
    if cell.kind == "state" then
      local above = #cell.loops > 0 and 34 or 0
      list[#list + 1] = { what = cell.name, x1 = cell.x, x2 = cell.x + cell.width, y1 = cell.y - cell.box / 2 - above,
        y2 = cell.y + cell.box / 2 }
    elseif cell.kind == "label" then
      list[#list + 1] = { what = cell.edge.label, x1 = cell.x, x2 = cell.x + cell.width, y1 = cell.y - 15, y2 = cell.y }
    else
      list[#list + 1] = { what = "line of " .. cell.edge.label, x1 = cell.x, x2 = cell.x + cell.width, y1 = cell.y, y2 = cell.y }
    end
  end
  return list
end

local function overlap(a, b) return a.x1 < b.x2 and b.x1 < a.x2 and a.y1 < b.y2 and b.y1 < a.y2 end

describe("a drawing", function()
  it("in text has a box a state, an arrow a way, and what is needed and follows", function()
    assert.equal([[
the "door" & <window>

    ┌──────┐
●─▶ │ SHUT │
    └──────┘
      ├─ kick ─────────▶ BROKEN
      ├─ knock ────────▶ SHUT
      ├─ lock ─────────▶ LOCKED  (needs key, hand)
      └─ open [when] ──▶ OPEN

    ┌────────┐
    │ LOCKED │
    └────────┘
      ├─ kick ────▶ BROKEN
      └─ unlock ──▶ SHUT

    ┌──────┐
    │ OPEN │
    └──────┘
      ├─ knock ──▶ SHUT
      ├─ paint ──▶ OPEN
      └─ shut ───▶ SHUT  (a bang)

    ╔════════╗
    ║ BROKEN ║
    ╚════════╝
]], graph.text(door))
  end)

  it("in ASCII has no other character", function()
    local text = graph.text(door, true)
    assert.is_nil(text:find "[\128-\255]")
    assert.matches("\n*-> | SHUT |\n", text, 1, true)
    assert.matches("\n    #========#\n    # BROKEN #\n    #========#\n", text, 1, true)
    assert.matches("\n      |- lock ---------> LOCKED  (needs key, hand)\n      `- open [when] --> OPEN\n", text, 1, true)
  end)

  it("for Graphviz quotes names", function()
    assert.equal([[
digraph "a \"b\\" {
  rankdir=LR;
  node [shape=box, style=rounded, fontname="Helvetica"];
  edge [fontname="Helvetica", fontsize=10];
  "" [shape=point, width=0.12];
  "A";
  "B \"2\"" [peripheries=2];
  "" -> "A";
  "A" -> "B \"2\"" [label="go [when]", tooltip="needs x; it goes"];
}
]], graph.dot { name = 'a "b\\', initial = "A", states = { "A", 'B "2"' }, terminal = { 'B "2"' },
      transitions = { go = way({ "A" }, 'B "2"', { guarded = true, requires = { "x" }, effects = { "it goes" } }) } })
  end)

  it("has states in layers by the longest way that does not go back", function()
    assert.same({ SHUT = 0, LOCKED = 1, OPEN = 1, BROKEN = 2 }, (graph.layers(door, graph.edges(door))))
  end)

  it("counts wide characters as two", function() assert.equal(7, graph.width "aö─注文") end)

  for name, machine in pairs(machines) do
    it("as SVG lays nothing on anything and stays within its borders: " .. name, function()
      local placed = layout.place(machine)
      local all = boxes(placed)
      for i, a in ipairs(all) do
        assert.is_true(a.x1 >= 0 and a.y1 >= 0 and a.x2 <= placed.width and a.y2 <= placed.height, a.what)
        for k = i + 1, #all do assert.is_false(overlap(a, all[k]), a.what .. " and " .. all[k].what) end
      end
    end)

    it("is the same each time: " .. name, function()
      assert.equal(svg.draw { machine }, svg.draw { machine })
      assert.equal(graph.dot(machine), graph.dot(machine))
    end)
  end

  it("as SVG is well-formed, and its text is text", function()
    local text = svg.draw { door, machines.small }
    local open = {}
    for close, tag, rest in text:gmatch "<(/?)(%a+)([^>]*)>" do
      if close == "/" then
        assert.equal(table.remove(open), tag)
      elseif rest:sub(-1) ~= "/" then
        open[#open + 1] = tag
      end
    end
    assert.same({}, open)
    assert.is_nil(text:gsub("&%a+;", ""):find "&")
    assert.matches('<text class="name" x="24" y="28">the &quot;door&quot; &amp; &lt;window&gt;</text>', text, 1, true)
    assert.matches("<title>open [when]: from SHUT to OPEN</title>", text, 1, true)
    assert.matches("<title>lock: from SHUT to LOCKED (needs key, hand)</title>", text, 1, true)
    assert.matches("<desc id=\"perigee-desc\">the &quot;door&quot;", text, 1, true)
    assert.matches("prefers-color-scheme: dark", text, 1, true)
    for _, label in ipairs { "open %[when%]", "paint", "knock", "unlock" } do
      assert.matches('<text class="label" x="%d+" y="%d+">' .. label .. "</text>", text)
    end
  end)
end)
