--- perigee.coverage: `perigee test --coverage`: which lines of handlers the tests ran, as an lcov tracefile and a table.
local coverage = {}

---@class perigee.CoveredFile
---@field path string as people write it: below the present directory
---@field lines table<integer, integer> of each line with code, how often it ran
---@field found integer lines with code
---@field hit integer lines that ran

-- ==== what is counted =================================================================================================

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "a"
  if file then file:close() end
  return text
end

local function below(path, dir) return path:sub(1, #dir + 1) == dir .. "/" and path:sub(#dir + 2) or nil end

local function is_excluded(path, exclude)
  for _, dir in ipairs(exclude) do
    if path == dir or below(path, dir) then return true end
  end
  return false
end

local function count(path, lines)
  local found, hit = 0, 0
  for _, times in pairs(lines) do
    found = found + 1
    if times > 0 then hit = hit + 1 end
  end
  return { path = path, lines = lines, found = found, hit = hit }
end

---What is reported of what was loaded: files below `root`, each with the content that it has now, or had last; modules of a
---lua_dir only when they were used.
---@param loaded table[] of perigee.coverage.core
---@param root string
---@param exclude string[] below root
---@return perigee.CoveredFile[] by path
function coverage.select(loaded, root, exclude)
  local chosen, list = {}, {}
  for _, file in ipairs(loaded) do
    local path = below(file.path, root)
    local before = chosen[path]
    if path and not is_excluded(path, exclude) and not (before and before.present) then
      local found = count(path, file.lines)
      found.present = file.text == read(file.path)
      if file.of_handlers or found.hit > 0 then chosen[path] = found end
    end
  end
  for _, file in pairs(chosen) do
    if file.found > 0 then list[#list + 1] = file end
  end
  table.sort(list, function(a, b) return a.path < b.path end)
  return list
end

local function sorted_lines(lines)
  local numbers = {}
  for line in pairs(lines) do numbers[#numbers + 1] = line end
  table.sort(numbers)
  return numbers
end

-- ==== lcov ============================================================================================================

---@param files perigee.CoveredFile[]
---@return string the tracefile
function coverage.lcov(files)
  local out = {}
  local function add(fmt, ...) out[#out + 1] = fmt:format(...) end
  for _, file in ipairs(files) do
    add("TN:\nSF:%s\n", file.path)
    for _, line in ipairs(sorted_lines(file.lines)) do add("DA:%d,%d\n", line, file.lines[line]) end
    add("LF:%d\nLH:%d\nend_of_record\n", file.found, file.hit)
  end
  return table.concat(out)
end

-- ==== the table =======================================================================================================

---"3-5, 9": lines with code that never ran; a range goes over lines without code.
---@param lines table<integer, integer>
---@return string
function coverage.missed(lines)
  local ranges, from, to = {}, nil, nil
  local function close()
    if from then ranges[#ranges + 1] = from == to and tostring(from) or from .. "-" .. to end
    from = nil
  end
  for _, line in ipairs(sorted_lines(lines)) do
    if lines[line] > 0 then
      close()
    else
      from, to = from or line, line
    end
  end
  close()
  return table.concat(ranges, ", ")
end

-- Never rounded up to 100.0.
local function percent(hit, found) return ("%.1f %%"):format(found == 0 and 100 or hit * 1000 // found / 10) end

local WIDTH = 60 -- of the column of lines that did not run

local function shorten(text)
  if #text <= WIDTH then return text end
  return text:sub(1, WIDTH):gsub(",[^,]*$", "") .. ", ..."
end

---@param files perigee.CoveredFile[]
---@return perigee.CoveredFile the sum, without lines
function coverage.total(files)
  local all = { path = "all", lines = {}, found = 0, hit = 0 }
  for _, file in ipairs(files) do
    all.found, all.hit = all.found + file.found, all.hit + file.hit
  end
  return all
end

---@param files perigee.CoveredFile[]
---@return string for people
function coverage.summary(files)
  local rows, width = {}, 4
  for _, file in ipairs(files) do width = math.max(width, #file.path) end
  local function add(...) rows[#rows + 1] = (("%-" .. width .. "s  %7s  %9s  %s"):format(...):gsub("%s+$", "")) end
  add("file", "lines", "covered", "not run")
  for _, file in ipairs(files) do
    add(file.path, file.found, percent(file.hit, file.found), shorten(coverage.missed(file.lines)))
  end
  local all = coverage.total(files)
  add("all", all.found, percent(all.hit, all.found), "")
  return table.concat(rows, "\n") .. "\n"
end

-- ==== perigee test ====================================================================================================

local function refuse(why)
  io.stderr:write("perigee test: ", why, "\n")
  os.exit(2)
end

local function settings()
  local least = os.getenv "PERIGEE_COVERAGE_MIN"
  local number = tonumber(least or 0)
  if not number or number < 0 or number > 100 then refuse(("--coverage-min: '%s' is no percentage"):format(least)) end
  local exclude = {}
  for dir in (os.getenv "PERIGEE_COVERAGE_EXCLUDE" or "tests"):gmatch "[^,]+" do
    exclude[#exclude + 1] = dir:gsub("^%./", ""):gsub("/+$", "")
  end
  return { out = os.getenv "PERIGEE_COVERAGE_OUT" or "build/coverage", least = number, exclude = exclude }
end

local function write(dir, text)
  local path = dir .. "/lcov.info"
  local made, why = require("perigee.coverage.core").mkdirs(dir)
  local file
  if made then file, why = io.open(path, "wb") end
  if not file then refuse(("--coverage-out: %s"):format(why)) end
  file:write(text)
  file:close()
  return path
end

-- Files of handlers that are not counted, for nobody can say which lines they have.
local function tell_broken(loaded, root, exclude)
  for _, file in ipairs(loaded) do
    local path = below(file.path, root)
    local counts = path and file.of_handlers and not is_excluded(path, exclude) and file.text == read(file.path)
    local code, why = load(file.text, "@" .. (path or file.path), "t")
    if counts and not code then io.stderr:write(("perigee test: --coverage: not counted: %s\n"):format(why)) end
  end
end

-- The exit code.
local function report(root, options, code)
  local loaded = require("perigee.coverage.core").files()
  local files = coverage.select(loaded, root, options.exclude)
  tell_broken(loaded, root, options.exclude)
  local path = write(options.out, coverage.lcov(files))
  local all = coverage.total(files)
  io.stdout:write("\n", coverage.summary(files), path, "\n")
  io.stdout:flush()
  if #files == 0 then
    io.stderr:write("perigee test: --coverage: no handlers below the present directory were loaded in this process\n")
    return 1
  end
  if all.hit * 100 >= options.least * all.found then return code end
  io.stderr:write(("perigee test: %s of the lines ran, which is less than %g %%\n"):format(percent(all.hit, all.found),
    options.least))
  return 1
end

---Handlers are measured from now on, when the command asks for it. Whoever ends the process calls what is returned with the
---exit code, and gets the one to end with; os.exit does so too.
---@return fun(code: integer): integer
function coverage.start()
  if not os.getenv "PERIGEE_COVERAGE" then return function(code) return code end end
  local options = settings()
  local root = require("perigee.coverage.core").start()
  local exit, done = os.exit, false
  local function finish(code)
    if done then return code end
    done = true
    return report(root, options, code)
  end
  os.exit = function(code, ...) -- luacheck: ignore
    local number = math.type(code) == "integer" and code or code == false and 1 or 0
    return exit(finish(number), ...)
  end
  return finish
end

return coverage
