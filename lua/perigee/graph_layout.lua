--- perigee.graph_layout: where the states and arrows of a machine go, from left to right, for perigee.graph_svg.
---
--- Layers by the longest way; between two layers of states lies a column of labels. An arrow is a chain of cells, one in
--- each column that it passes, and its label is one of them, so that nothing lies on anything. Within their columns cells
--- are ordered by the mean of their neighbours, then moved as close to them as the order allows.
local graph = require "perigee.graph"

local layout = {}

layout.CHAR, layout.LABEL_CHAR = 8, 7 -- width of a character
local BOX_HEIGHT, PORT_HEIGHT, LABEL_HEIGHT, LINE_HEIGHT = 40, 14, 26, 12
local LOOP_HEIGHT = 34                -- above a box
local GAP, COLUMN_GAP, MARGIN = 14, 34, 18
local SWEEPS, ROUNDS = 12, 24

---@class perigee.graph.Cell
---@field kind "state"|"label"|"line"
---@field name string? of a state
---@field edge perigee.graph.Edge?
---@field column integer
---@field width integer
---@field height integer with what stands above and below a box
---@field box integer? the height of a box
---@field x integer left
---@field y integer middle of the box, or of the line
---@field loops perigee.graph.Edge[]

local function new_layout() return { columns = {}, states = {}, chains = {}, list = {} } end

local function add_cell(l, column, cell)
  l.columns[column] = l.columns[column] or {}
  cell.column, cell.before, cell.after, cell.loops = column, {}, {}, {}
  cell.rank = #l.columns[column] + 1
  table.insert(l.columns[column], cell)
  l.list[#l.list + 1] = cell
  return cell
end

local function link(a, b)
  table.insert(a.after, b)
  table.insert(b.before, a)
end

local function add_states(l, machine, layer)
  local terminal = graph.terminal(machine)
  for _, name in ipairs(machine.states) do
    l.states[name] = add_cell(l, 2 * layer[name], { kind = "state", name = name, terminal = terminal[name] or false,
      initial = name == machine.initial, height = 0, width = graph.width(name) * layout.CHAR + 32 })
  end
end

-- A loop stands above its box, and so do the labels of all of them.
local function add_loop(cell, edge)
  table.insert(cell.loops, edge)
  local labels = {}
  for i, loop in ipairs(cell.loops) do labels[i] = loop.label end
  cell.loop_label = table.concat(labels, ", ")
  cell.width = math.max(cell.width, graph.width(cell.loop_label) * layout.LABEL_CHAR + 12)
end

-- A box has room for its arrows on each side; below it there is as much as above, so that it is in the middle.
local function size_boxes(l)
  for _, cell in pairs(l.states) do
    cell.box = math.max(BOX_HEIGHT, PORT_HEIGHT * math.max(#cell.before, #cell.after))
    cell.height = cell.box + (#cell.loops > 0 and 2 * LOOP_HEIGHT or 0)
  end
end

-- The label is beside the state that the arrow leaves.
local function add_chain(l, edge)
  local from, to = l.states[edge.from], l.states[edge.to]
  local low, high = from, to
  if from.column > to.column then low, high = to, from end
  local labelled = from.column < to.column and from.column + 1 or from.column - 1
  local chain, last = { edge = edge, back = low ~= from, low }, low
  for column = low.column + 1, high.column - 1 do
    local cell = { kind = "line", edge = edge, height = LINE_HEIGHT, width = 0 }
    if column == labelled then
      cell = { kind = "label", edge = edge, height = LABEL_HEIGHT, width = graph.width(edge.label) * layout.LABEL_CHAR + 12 }
    end
    link(last, add_cell(l, column, cell))
    last = cell
    chain[#chain + 1] = cell
  end
  link(last, high)
  chain[#chain + 1] = high
  l.chains[#l.chains + 1] = chain
end

-- ==== order ===========================================================================================================

local function crossings_of(a, b, side)
  local n = 0
  for _, x in ipairs(a[side]) do
    for _, y in ipairs(b[side]) do
      if x.rank > y.rank then n = n + 1 end
    end
  end
  return n
end

local function crossings(l, last)
  local n = 0
  for column = 0, last - 1 do
    local cells = l.columns[column]
    for i = 1, #cells do
      for k = i + 1, #cells do n = n + crossings_of(cells[i], cells[k], "after") end
    end
  end
  return n
end

local function barycenter(cell, side)
  local sum = 0
  for _, other in ipairs(cell[side]) do sum = sum + other.rank end
  return #cell[side] > 0 and sum / #cell[side] or cell.rank
end

local function renumber(cells)
  for i, cell in ipairs(cells) do cell.rank = i end
end

local function sort_column(cells, side)
  local weight, before = {}, {}
  for i, cell in ipairs(cells) do weight[cell], before[cell] = barycenter(cell, side), i end
  table.sort(cells, function(a, b)
    if weight[a] ~= weight[b] then return weight[a] < weight[b] end
    return before[a] < before[b]
  end)
  renumber(cells)
end

local function copy_order(l, last)
  local order = {}
  for column = 0, last do order[column] = table.move(l.columns[column], 1, #l.columns[column], 1, {}) end
  return order
end

local function order_cells(l, last)
  local best, fewest = copy_order(l, last), crossings(l, last)
  for sweep = 1, SWEEPS do
    local down = sweep % 2 == 1
    for i = 0, last do sort_column(l.columns[down and i or last - i], down and "before" or "after") end
    local n = crossings(l, last)
    if n < fewest then best, fewest = copy_order(l, last), n end
  end
  l.columns = best
  for column = 0, last do renumber(best[column]) end
end

-- ==== places ==========================================================================================================

-- The rising sequence that is closest to `wanted` (least squares): neighbours that fall are pooled at their mean.
local function rising(wanted)
  local pools = {}
  for i, value in ipairs(wanted) do
    local pool = { sum = value, n = 1, first = i }
    while #pools > 0 and pools[#pools].sum / pools[#pools].n > pool.sum / pool.n do
      local before = table.remove(pools)
      pool = { sum = before.sum + pool.sum, n = before.n + pool.n, first = before.first }
    end
    pools[#pools + 1] = pool
  end
  local out = {}
  for _, pool in ipairs(pools) do
    for i = pool.first, pool.first + pool.n - 1 do out[i] = pool.sum / pool.n end
  end
  return out
end

-- Arrows bend rather beside boxes than elsewhere.
local function mean_of(cell, side)
  local sum, weight = 0, 0
  for _, other in ipairs(cell[side]) do
    local w = (cell.kind == "state" or other.kind == "state") and 1 or 4
    sum, weight = sum + w * other.y, weight + w
  end
  return sum, weight
end

local function wanted_of(cell)
  local before, n_before = mean_of(cell, "before")
  local after, n_after = mean_of(cell, "after")
  local n = n_before + n_after
  return n > 0 and (before + after) / n or cell.y
end

local function place_column(cells)
  local offset, wanted, at = {}, {}, 0
  for i, cell in ipairs(cells) do
    if i > 1 then at = at + cells[i - 1].height / 2 + GAP + cell.height / 2 end
    offset[i], wanted[i] = at, wanted_of(cell) - at
  end
  for i, y in ipairs(rising(wanted)) do cells[i].y = y + offset[i] end
end

local function fits(l, cell, y)
  local column = l.columns[cell.column]
  local above, below = column[cell.rank - 1], column[cell.rank + 1]
  return not (above and y - above.y < (above.height + cell.height) / 2 + GAP)
    and not (below and below.y - y < (below.height + cell.height) / 2 + GAP)
end

-- Between its boxes an arrow is one straight line wherever there is room for it, close to the middle.
local function straighten(l, chain)
  local rows = {}
  for i = 2, #chain - 1 do rows[#rows + 1] = chain[i].y end
  table.sort(rows)
  for k = 1, #rows do
    local y = rows[(#rows // 2 + k - 1) % #rows + 1]
    local all = true
    for i = 2, #chain - 1 do all = all and fits(l, chain[i], y) end
    if all then
      for i = 2, #chain - 1 do chain[i].y = y end
      return
    end
  end
end

local function place_rows(l, last)
  for _, cell in ipairs(l.list) do cell.y = cell.rank * (BOX_HEIGHT + GAP) end
  for round = 1, ROUNDS do
    for i = 0, last do place_column(l.columns[round % 2 == 1 and i or last - i]) end
  end
  for _, chain in ipairs(l.chains) do straighten(l, chain) end
  local top, bottom = math.huge, -math.huge
  for _, cell in ipairs(l.list) do
    top, bottom = math.min(top, cell.y - cell.height / 2), math.max(bottom, cell.y + cell.height / 2)
  end
  for _, cell in ipairs(l.list) do cell.y = math.floor(cell.y - top + MARGIN + 0.5) end
  l.height = math.ceil(bottom - top) + 2 * MARGIN
end

local START = 34 -- the dot before the initial state, and its arrow

local function place_columns(l, last)
  local x = MARGIN + START
  for column = 0, last do
    local widest = 0
    for _, cell in ipairs(l.columns[column]) do widest = math.max(widest, cell.width) end
    for _, cell in ipairs(l.columns[column]) do
      if cell.kind == "state" then
        cell.x = x + (widest - cell.width) // 2
      else
        cell.x, cell.width = x, widest
      end
    end
    x = x + widest + COLUMN_GAP
  end
  l.width = x - COLUMN_GAP + MARGIN
end

---@param machine perigee.graph.Machine
---@return { width: integer, height: integer, list: perigee.graph.Cell[], chains: table[] }
function layout.place(machine)
  local edges = graph.edges(machine)
  local layer = graph.layers(machine, edges)
  local l, last = new_layout(), 0
  add_states(l, machine, layer)
  for _, edge in ipairs(edges) do
    if edge.from == edge.to then add_loop(l.states[edge.from], edge) else add_chain(l, edge) end
    last = math.max(last, 2 * layer[edge.from], 2 * layer[edge.to])
  end
  size_boxes(l)
  order_cells(l, last)
  place_rows(l, last)
  place_columns(l, last)
  return l
end

return layout
