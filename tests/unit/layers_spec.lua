-- The table "Who may include whom" of the architecture, checked on the text of src/.
-- Run from the root of the tree: busted tests/unit/layers_spec.lua

local may_include = {
    base = {},
    sign = { "base" },
    pdf = { "base" },
    loop = { "base" },
    app = { "base" },
    aws = { "base", "loop" },
    probe = { "base", "loop", "aws" },
    remote = { "base", "loop", "sign", "aws" },
    ["local"] = { "base", "loop", "sign", "aws" },
    script = { "base", "loop", "aws", "sign", "pdf" },
    route = { "base", "app", "script", "local" },
    ["in"] = { "base", "loop", "app", "aws", "route" },
}

-- Lua patterns of third-party headers and of the files that may name them.
local third_party = {
    { "^openssl/", "^src/base/crypto%.c$" },
    { "^zlib%.h$", "^src/base/crypto%.c$", "^src/base/zip%.c$" },
    { "^expat%.h$", "^src/base/xml%.c$" },
    { "^yaml%.h$", "^src/base/yaml%.c$" },
    { "^uv%.h$", "^src/loop/" },
    { "^hpdf", "^src/pdf/" },
    { "^qrencode%.h$", "^src/pdf/" },
    { "^sqlite3%.h$", "^src/local/db%.c$", "^src/local/db_load%.c$" },
    { "^curl/", "^src/remote/" },
    { "^dlfcn%.h$", "^src/base/lazy%.c$" },
    { "^microhttpd%.h$", "^src/in/server%.c$", "^src/in/server_load%.c$" },
    { "^lua%.h$", "^src/script/", "^src/perigee%.c$", "^src/host_[%w_]+%.c$", "^src/main%.c$" },
    { "^lauxlib%.h$", "^src/script/", "^src/perigee%.c$", "^src/host_[%w_]+%.c$", "^src/host_lua%.h$", "^src/main%.c$" },
    { "^lualib%.h$", "^src/script/", "^src/perigee%.c$", "^src/host_[%w_]+%.c$", "^src/main%.c$" },
}

local libc = {}
for name in ([[assert byteswap complex ctype dirent elf endian errno error execinfo ftw fcntl float fnmatch getopt inttypes limits link locale malloc math netdb poll pthread
    regex sched semaphore setjmp signal spawn stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string
    strings uchar wctype pwd grp libgen sysexits syslog termios threads time ucontext unistd wchar]]):gmatch "%S+" do
    libc[name .. ".h"] = true
end
local function is_libc(header)
    return libc[header] or header:find "^sys/" or header:find "^linux/" or header:find "^netinet/" or header:find "^arpa/" or
        header:find "^net/"
end

local function lines_of(command)
    local pipe <close> = assert(io.popen(command))
    local out = {}
    for line in pipe:lines() do out[#out + 1] = line end
    return out
end

local function read(path)
    local f <close> = assert(io.open(path, "rb"))
    return f:read "a"
end

local function exists(path)
    local f = io.open(path, "rb")
    if f then f:close() end
    return f ~= nil
end

local sources = lines_of "find src -name '*.[ch]' | LC_ALL=C sort"

-- Calls visit(file, line number, quoted header, angled header) for each #include.
local function each_include(visit)
    for _, file in ipairs(sources) do
        local n = 0
        for line in (read(file) .. "\n"):gmatch "([^\n]*)\n" do
            n = n + 1
            local rest = line:match "^%s*#%s*include%s*(.*)$"
            if rest then visit(file, n, rest:match '^"([^"]+)"', rest:match "^<([^>]+)>") end
        end
    end
end

local function contains(list, value)
    for _, v in ipairs(list) do if v == value then return true end end
    return false
end

-- "base" of src/base/str.c; nil for the files of src/ itself.
local function folder_of(file) return file:match "^src/([^/]+)/" end

local function report(problems) assert(#problems == 0, "\n" .. table.concat(problems, "\n")) end

describe("the layers", function()
    it("are looked at at all", function()
        local n = 0
        each_include(function() n = n + 1 end)
        assert.is_true(#sources > 30 and n > 100)
    end)

    it("name every folder of src/", function()
        for _, file in ipairs(sources) do
            local folder = folder_of(file)
            assert(folder == nil or may_include[folder], file .. ": the folder has no row in the table")
        end
    end)

    it("have no circles", function()
        local state = {}
        local function visit(folder)
            assert.not_equal("open", state[folder], folder)
            if state[folder] then return end
            state[folder] = "open"
            for _, next_folder in ipairs(may_include[folder]) do visit(next_folder) end
            state[folder] = "done"
        end
        for folder in pairs(may_include) do visit(folder) end
    end)

    it("include only folders that the table allows, by their public header", function()
        local problems = {}
        each_include(function(file, n, quoted)
            local target = quoted and quoted:match "^([^/]+)/"
            local own = folder_of(file)
            if not target or target == own or not may_include[target] then return end
            local at = ("%s:%d: includes \"%s\""):format(file, n, quoted)
            if own and not contains(may_include[own], target) then
                problems[#problems + 1] = at .. (": %s may not include %s"):format(own, target)
            end
            if target ~= "base" and quoted ~= target .. "/" .. target .. ".h" then
                problems[#problems + 1] = at .. (": from outside only %s/%s.h is public"):format(target, target)
            end
        end)
        report(problems)
    end)

    it("include only files that exist in the tree", function()
        local problems = {}
        each_include(function(file, n, quoted)
            if not quoted or exists("src/" .. quoted) or exists(file:match "^(.*)/" .. "/" .. quoted) then return end
            problems[#problems + 1] = ("%s:%d: there is no \"%s\""):format(file, n, quoted)
        end)
        report(problems)
    end)

    it("leave what belongs to the host to the host", function()
        local problems = {}
        each_include(function(file, n, quoted)
            if quoted and not quoted:find "/" and folder_of(file) and not exists(file:match "^(.*)/" .. "/" .. quoted) then
                problems[#problems + 1] = ("%s:%d: includes \"%s\" of src/"):format(file, n, quoted)
            end
        end)
        report(problems)
    end)

    it("keep each third-party header in its place", function()
        local problems = {}
        local function allowed(file, header)
            for _, row in ipairs(third_party) do
                if header:find(row[1]) then
                    for i = 2, #row do if file:find(row[i]) then return true end end
                    return false
                end
            end
            return is_libc(header)
        end
        each_include(function(file, n, _, angled)
            if angled and not allowed(file, angled) then
                problems[#problems + 1] = ("%s:%d: <%s> is not allowed here"):format(file, n, angled)
            end
        end)
        report(problems)
    end)

    it("keep every file under 600 lines", function()
        local problems = {}
        for _, file in ipairs(sources) do
            local _, n = read(file):gsub("\n", "")
            if n >= 600 then problems[#problems + 1] = ("%s has %d lines"):format(file, n) end
        end
        report(problems)
    end)
end)

describe("each header", function()
    local flags = table.concat(lines_of "pkg-config --cflags lua5.4", " ")
    for _, file in ipairs(sources) do
        if file:find "%.h$" then
            it("compiles alone: " .. file, function()
                local command = ("gcc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Isrc %s -fsyntax-only -x c %s 2>&1"):format(flags, file)
                report(lines_of(command))
            end)
        end
    end
end)
