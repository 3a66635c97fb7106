--- perigee.graph: state machines as pictures: text for a terminal or a document, Graphviz, SVG (perigee.graph_svg).
--- The same machine gives the same bytes.
local graph = {}

---@class perigee.graph.Machine as host_machines tells
---@field name string
---@field initial string
---@field states string[]
---@field terminal string[]
---@field transitions table<string, { from: string[], to: string, guarded: boolean, requires: string[], effects: string[] }>

---@class perigee.graph.Edge
---@field from string
---@field to string
---@field action string
---@field label string
---@field notes string[] what it requires, and its effects

---@param set table<string, any>
---@return string[]
function graph.keys(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function notes(t)
  local out = {}
  if #t.requires > 0 then out[1] = "needs " .. table.concat(t.requires, ", ") end
  for _, effect in ipairs(t.effects) do out[#out + 1] = effect end
  return out
end

---Each way from a state to a state, by source, then action.
---@param machine perigee.graph.Machine
---@return perigee.graph.Edge[]
function graph.edges(machine)
  local edges = {}
  for _, action in ipairs(graph.keys(machine.transitions)) do
    local t = machine.transitions[action]
    for _, from in ipairs(t.from) do
      edges[#edges + 1] = { from = from, to = t.to, action = action, label = action .. (t.guarded and " [when]" or ""),
        notes = notes(t) }
    end
  end
  table.sort(edges, function(a, b)
    if a.from ~= b.from then return a.from < b.from end
    return a.action < b.action
  end)
  return edges
end

---@param machine perigee.graph.Machine
---@return table<string, boolean>
function graph.terminal(machine)
  local set = {}
  for _, name in ipairs(machine.terminal) do set[name] = true end
  return set
end

-- Edges that lead back to a state from which they were reached, found from the initial one.
local function back_edges(machine, leaving)
  local back, state = {}, {}
  local function visit(name)
    state[name] = "open"
    for _, edge in ipairs(leaving[name] or {}) do
      if state[edge.to] == "open" then
        back[edge] = true
      elseif not state[edge.to] then
        visit(edge.to)
      end
    end
    state[name] = "done"
  end
  visit(machine.initial)
  return back
end

---How far each state is from the initial one, by the longest way that never goes back; and the edges that do go back,
---those from a state to itself too.
---@param machine perigee.graph.Machine
---@param edges perigee.graph.Edge[]
---@return table<string, integer> layers from 0 on
---@return table<perigee.graph.Edge, boolean> back
function graph.layers(machine, edges)
  local leaving, layer = {}, { [machine.initial] = 0 }
  for _, edge in ipairs(edges) do
    leaving[edge.from] = leaving[edge.from] or {}
    table.insert(leaving[edge.from], edge)
  end
  local back = back_edges(machine, leaving)
  for _ = 1, #machine.states do
    for _, edge in ipairs(edges) do
      if not back[edge] and layer[edge.from] then
        layer[edge.to] = math.max(layer[edge.to] or 0, layer[edge.from] + 1)
      end
    end
  end
  return layer, back
end

-- What takes two columns: East Asian scripts and forms, emoji.
local WIDE = { { 0x1100, 0x115f }, { 0x2e80, 0xa4cf }, { 0xac00, 0xd7a3 }, { 0xf900, 0xfaff }, { 0xfe30, 0xfe6f },
  { 0xff00, 0xff60 }, { 0xffe0, 0xffe6 }, { 0x1f300, 0x1faff }, { 0x20000, 0x3fffd } }

local function columns(code)
  for _, range in ipairs(WIDE) do
    if code >= range[1] and code <= range[2] then return 2 end
  end
  return 1
end

---Columns that a text takes on a terminal.
---@param text string UTF-8
---@return integer
function graph.width(text)
  local n = 0
  for _, code in utf8.codes(text, true) do n = n + columns(code) end
  return n
end

-- ==== text ============================================================================================================

local UNICODE = { tl = "┌", tr = "┐", bl = "└", br = "┘", h = "─", v = "│", tee = "├─", last = "└─", arrow = "▶",
  start = "●─▶", TL = "╔", TR = "╗", BL = "╚", BR = "╝", H = "═", V = "║" }
local ASCII = { tl = "+", tr = "+", bl = "+", br = "+", h = "-", v = "|", tee = "|-", last = "`-", arrow = ">",
  start = "*->", TL = "#", TR = "#", BL = "#", BR = "#", H = "=", V = "#" }

local function box(add, c, name, is_initial, is_terminal)
  local d = is_terminal and { c.TL, c.TR, c.BL, c.BR, c.H, c.V } or { c.tl, c.tr, c.bl, c.br, c.h, c.v }
  local line = d[5]:rep(graph.width(name) + 2)
  add("    " .. d[1] .. line .. d[2])
  add((is_initial and c.start .. " " or "    ") .. d[6] .. " " .. name .. " " .. d[6])
  add("    " .. d[3] .. line .. d[4])
end

local function arrows(add, c, edges)
  local widest = 0
  for _, edge in ipairs(edges) do widest = math.max(widest, graph.width(edge.label)) end
  for i, edge in ipairs(edges) do
    local line = c.h:rep(widest - graph.width(edge.label) + 2) .. c.arrow
    local more = #edge.notes > 0 and "  (" .. table.concat(edge.notes, "; ") .. ")" or ""
    add("      " .. (i < #edges and c.tee or c.last) .. " " .. edge.label .. " " .. line .. " " .. edge.to .. more)
  end
end

-- States in the order of their layers.
local function ordered(machine, layer)
  local names = table.move(machine.states, 1, #machine.states, 1, {})
  table.sort(names, function(a, b)
    if layer[a] ~= layer[b] then return layer[a] < layer[b] end
    return a < b
  end)
  return names
end

---A box a state, double where nothing leaves it, and an arrow for each way out.
---@param machine perigee.graph.Machine
---@param ascii boolean?
---@return string
function graph.text(machine, ascii)
  local c = ascii and ASCII or UNICODE
  local edges, terminal, lines = graph.edges(machine), graph.terminal(machine), { machine.name }
  local function add(line) lines[#lines + 1] = line end
  for _, name in ipairs(ordered(machine, (graph.layers(machine, edges)))) do
    local out = {}
    for _, edge in ipairs(edges) do
      if edge.from == name then out[#out + 1] = edge end
    end
    add ""
    box(add, c, name, name == machine.initial, terminal[name])
    arrows(add, c, out)
  end
  return table.concat(lines, "\n") .. "\n"
end

-- ==== Graphviz ========================================================================================================

local function quote(text) return '"' .. text:gsub("[\\\"]", "\\%0") .. '"' end

---@param machine perigee.graph.Machine
---@return string
function graph.dot(machine)
  local terminal, lines = graph.terminal(machine), {}
  local function add(fmt, ...) lines[#lines + 1] = fmt:format(...) end
  add("digraph %s {", quote(machine.name))
  add "  rankdir=LR;"
  add '  node [shape=box, style=rounded, fontname="Helvetica"];'
  add '  edge [fontname="Helvetica", fontsize=10];'
  add '  "" [shape=point, width=0.12];'
  for _, name in ipairs(machine.states) do add("  %s%s;", quote(name), terminal[name] and " [peripheries=2]" or "") end
  add('  "" -> %s;', quote(machine.initial))
  for _, edge in ipairs(graph.edges(machine)) do
    local tooltip = #edge.notes > 0 and ", tooltip=" .. quote(table.concat(edge.notes, "; ")) or ""
    add("  %s -> %s [label=%s%s];", quote(edge.from), quote(edge.to), quote(edge.label), tooltip)
  end
  add "}"
  return table.concat(lines, "\n") .. "\n"
end

return graph
