local t = require "t.base"

local function read(path)
    local f <close> = assert(io.open(path, "rb"))
    return f:read "a"
end

local function sh(fmt, ...)
    local pipe <close> = assert(io.popen(fmt:format(...)))
    return pipe:read "a"
end

describe("a ZIP archive", function()
    local noise = {}
    for i = 1, 5000 do noise[i] = string.char(i * i * 7919 % 251) end
    local files = {
        { "bootstrap", ("perigee"):rep(1000), true },
        { "handlers/a.lua", "return {}\n" },
        { "empty", "" },
        { "noise-\u{e9}", table.concat(noise) },
    }
    local dir
    before_each(function() dir = sh("mktemp -d"):gsub("%s+$", "") end)
    after_each(function() sh("rm -r %s", dir) end)

    local function unzip(bytes, options)
        local f <close> = assert(io.open(dir .. "/a.zip", "wb"))
        f:write(bytes)
        f:close()
        return sh("cd %s && unzip %s a.zip 2>&1", dir, options)
    end

    it("is what unzip takes, with every byte", function()
        local out = unzip(t.zip(files), "-t")
        assert.truthy(out:find("No errors detected", 1, true), out)
        unzip(t.zip(files), "-q")
        for _, f in ipairs(files) do assert.equal(f[2], read(dir .. "/" .. f[1])) end
    end)

    it("says which files are programs", function()
        local out = unzip(t.zip(files), "-Z")
        assert.truthy(out:find "%-rwxr%-xr%-x [^\n]* bootstrap\n", out)
        assert.truthy(out:find "%-rw%-r%-%-r%-%- [^\n]* handlers/a.lua\n", out)
    end)

    it("is the same for the same files", function() assert.equal(t.zip(files), t.zip(files)) end)

    it("may be empty", function() assert.equal("PK\5\6" .. ("\0"):rep(18), t.zip {}) end)

    it("has a cap", function()
        local random <close> = assert(io.open("/dev/urandom", "rb"))
        local ok, why, code = t.zip({ { "a", random:read(900) }, { "b", random:read(900) } }, 1000)
        assert.is_nil(ok)
        assert.truthy(why:find("larger than 1000 bytes", 1, true), why)
        assert.truthy(code)
    end)
end)

describe("an ELF file", function()
    local self = read "/proc/self/exe"

    it("says its machine, its loader and its libraries", function()
        local elf = assert(t.elf(self))
        local machines = { x86_64 = "x86_64", aarch64 = "arm64" }
        assert.equal(machines[(sh "uname -m"):gsub("%s+$", "")], elf.machine)
        assert.matches("/ld%-linux", elf.interpreter)
        assert.truthy(table.concat(elf.needed, " "):find("libc.so.6", 1, true))
    end)

    it("is refused when it is something else", function()
        for _, text in ipairs { "", "#!/bin/sh\n", "\x7fELF", ("\x7fELF"):rep(100) } do
            local ok, why = t.elf(text)
            assert.is_nil(ok)
            assert.matches("^it is no ELF file", why)
        end
    end)

    -- Every field of the header and of the first segments, each with values that lead out of the file.
    it("harms nobody, damaged wherever it is", function()
        local small = read(assert(package.searchpath("cjson", package.cpath)))
        for at = 17, 1024, 4 do
            for _, word in ipairs { "\0\0\0\0", "\xff\xff\xff\xff", "\xf0\xff\xff\x7f" } do
                t.elf(small:sub(1, at - 1) .. word .. small:sub(at + 4))
            end
        end
        for cut = 0, 4096, 3 do t.elf(small:sub(1, cut)) end
    end)
end)
