--- perigee.graph_svg: state machines as one SVG document: for light and dark pages, its text is text, and it can be read
--- aloud.
local graph = require "perigee.graph"
local layout = require "perigee.graph_layout"

local graph_svg = {}

local STYLE = [[
    .perigee { --ink: #1f2933; --line: #52606d; --box: #f5f7fa; --label: #0b5394; }
    .perigee { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
    @media (prefers-color-scheme: dark) {
      .perigee { --ink: #f5f7fa; --line: #9aa5b1; --box: #2b3540; --label: #8ec5ff; }
    }
    .perigee .box { fill: #f5f7fa; fill: var(--box); stroke: #52606d; stroke: var(--line); stroke-width: 1.5; }
    .perigee .inner { fill: none; stroke: #52606d; stroke: var(--line); }
    .perigee .arrow { fill: none; stroke: #52606d; stroke: var(--line); stroke-width: 1.3; }
    .perigee .head { fill: #52606d; fill: var(--line); }
    .perigee .state, .perigee .name { fill: #1f2933; fill: var(--ink); font-size: 13px; text-anchor: middle; }
    .perigee .name { font-weight: bold; font-size: 14px; text-anchor: start; }
    .perigee .label { fill: #0b5394; fill: var(--label); font-size: 11.5px; text-anchor: middle; }
]]

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }
local function escape(text) return (text:gsub('[&<>"]', ESCAPES)) end

local TITLE_HEIGHT = 40 -- above each machine

local function points(cell, chain, i)
  if cell.kind ~= "state" then return cell.x, cell.x + cell.width end
  if i == 1 then return cell.x + cell.width, cell.x + cell.width end
  return cell.x, cell.x, #chain
end

-- Arrows that meet at one side of a box do so at distances of their own.
local function port(cell, others, me)
  local list = table.move(others, 1, #others, 1, {})
  table.sort(list, function(a, b) return a.y < b.y end)
  for i, other in ipairs(list) do
    if other == me then return cell.y + math.floor((i - (#list + 1) / 2) * 12 + 0.5) end
  end
end

local function row(chain, i)
  local cell = chain[i]
  if cell.kind ~= "state" then return cell.y end
  if i == 1 then return port(cell, cell.after, chain[2]) end
  return port(cell, cell.before, chain[#chain - 1])
end

local HEAD = 8

-- The curve from left to right: lines through cells, bends between them.
local function path(chain)
  local parts, x, y = {}, nil, nil
  for i, cell in ipairs(chain) do
    local left, right = points(cell, chain, i)
    local at = row(chain, i)
    if i == 1 then
      x, y = right + (chain.back and HEAD or 0), at
      parts[1] = ("M%d %d"):format(x, y)
    else
      if i == #chain and not chain.back then left = left - HEAD end
      local middle = (x + left) // 2
      parts[#parts + 1] = y == at and ("L%d %d"):format(left, at)
        or ("C%d %d %d %d %d %d"):format(middle, y, middle, at, left, at)
      if right > left and cell.kind ~= "state" then parts[#parts + 1] = ("L%d %d"):format(right, at) end
      x, y = right, at
    end
  end
  return table.concat(parts, " ")
end

local function head(x, y, direction)
  return ('<path class="head" d="M%d %d l%d -4 v8 z"/>'):format(x, y, -direction * (HEAD + 1))
end

local function sentence(edge)
  local notes = #edge.notes > 0 and " (" .. table.concat(edge.notes, "; ") .. ")" or ""
  return ("%s: from %s to %s%s"):format(edge.label, edge.from, edge.to, notes)
end

local function draw_chain(add, chain)
  local n = #chain
  add('  <g><title>%s</title>', escape(sentence(chain.edge)))
  add('    <path class="arrow" d="%s"/>', path(chain))
  if chain.back then
    add("    %s", head(chain[1].x + chain[1].width, row(chain, 1), -1))
  else
    add("    %s", head(chain[n].x, row(chain, n), 1))
  end
  for _, cell in ipairs(chain) do
    if cell.kind == "label" then
      add('    <text class="label" x="%d" y="%d">%s</text>', cell.x + cell.width // 2, cell.y - 5, escape(cell.edge.label))
    end
  end
  add "  </g>"
end

local function draw_loop(add, cell, half)
  local middle, top = cell.x + cell.width // 2, cell.y - half
  local said = {}
  for i, edge in ipairs(cell.loops) do said[i] = sentence(edge) end
  add('  <g><title>%s</title>', escape(table.concat(said, ". ")))
  add('    <path class="arrow" d="M%d %d C%d %d %d %d %d %d"/>', middle - 14, top, middle - 22, top - 22, middle + 22, top - 22,
    middle + 14, top - 5)
  add('    <path class="head" d="M%d %d l-3 -8 l8 2 z"/>', middle + 13, top)
  add('    <text class="label" x="%d" y="%d">%s</text>', middle, top - 21, escape(cell.loop_label))
  add "  </g>"
end

local function draw_state(add, cell, half)
  local width = math.min(cell.width, graph.width(cell.name) * layout.CHAR + 32)
  local x, y = cell.x + (cell.width - width) // 2, cell.y - half
  local kind = (cell.initial and ", initial" or "") .. (cell.terminal and ", terminal" or "")
  add('  <g><title>%s</title>', escape(cell.name .. kind))
  if cell.initial then
    add('    <circle class="head" cx="%d" cy="%d" r="5"/>', x - 30, cell.y)
    add('    <path class="arrow" d="M%d %d L%d %d"/> %s', x - 25, cell.y, x - HEAD, cell.y, head(x, cell.y, 1))
  end
  add('    <rect class="box" x="%d" y="%d" width="%d" height="%d" rx="8"/>', x, y, width, 2 * half)
  if cell.terminal then
    add('    <rect class="inner" x="%d" y="%d" width="%d" height="%d" rx="5"/>', x + 4, y + 4, width - 8, 2 * half - 8)
  end
  add('    <text class="state" x="%d" y="%d">%s</text>', cell.x + cell.width // 2, cell.y + 5, escape(cell.name))
  add "  </g>"
end

local function draw_machine(add, machine, placed, top)
  add('<g transform="translate(0 %d)" role="group" aria-label="%s">', top, escape(machine.name))
  add('  <text class="name" x="24" y="28">%s</text>', escape(machine.name))
  add('  <g transform="translate(0 %d)">', TITLE_HEIGHT)
  for _, chain in ipairs(placed.chains) do draw_chain(add, chain) end
  for _, cell in ipairs(placed.list) do
    if cell.kind == "state" then
      if #cell.loops > 0 then draw_loop(add, cell, cell.box // 2) end
      draw_state(add, cell, cell.box // 2)
    end
  end
  add "  </g>"
  add "</g>"
end

local function describe(machine)
  local out = {}
  for i, edge in ipairs(graph.edges(machine)) do out[i] = sentence(edge) end
  return ("%s begins in %s. %s."):format(machine.name, machine.initial, table.concat(out, ". "))
end

local function join(machines, fn, separator)
  local out = {}
  for i, machine in ipairs(machines) do out[i] = fn(machine) end
  return escape(table.concat(out, separator))
end

---@param machines perigee.graph.Machine[]
---@return string
function graph_svg.draw(machines)
  local lines, placed, width, height = {}, {}, 0, 0
  local function add(fmt, ...) lines[#lines + 1] = select("#", ...) > 0 and fmt:format(...) or fmt end
  for i, machine in ipairs(machines) do
    placed[i] = layout.place(machine)
    width, height = math.max(width, placed[i].width), height + placed[i].height + TITLE_HEIGHT
  end
  add('<svg xmlns="http://www.w3.org/2000/svg" class="perigee" viewBox="0 0 %d %d" width="%d" height="%d" role="img" '
    .. 'aria-labelledby="perigee-title perigee-desc">', width, height, width, height)
  add('<title id="perigee-title">%s</title>', join(machines, function(m) return "State machine " .. m.name end, ", "))
  add('<desc id="perigee-desc">%s</desc>', join(machines, describe, " "))
  add("<style>\n" .. STYLE .. "</style>")
  local top = 0
  for i, machine in ipairs(machines) do
    draw_machine(add, machine, placed[i], top)
    top = top + placed[i].height + TITLE_HEIGHT
  end
  add "</svg>"
  return table.concat(lines, "\n") .. "\n"
end

return graph_svg
