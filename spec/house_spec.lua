-- The house rules of docs/architecture.md that a machine can check: who may include whom, and what a file may be.

-- The lines that a command prints.
local function lines_of(command)
  local lines, pipe = {}, assert(io.popen(command))
  for line in pipe:lines() do lines[#lines + 1] = line end
  assert(pipe:close(), command)
  return lines
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

-- Files with these extensions: path -> text.
local function files(folders, ...)
  local found, names = {}, {}
  for i, extension in ipairs { ... } do names[i] = ("-name '*.%s'"):format(extension) end
  for _, path in ipairs(lines_of(("find %s -type f \\( %s \\)"):format(folders, table.concat(names, " -o ")))) do
    found[path] = read(path)
  end
  assert(next(found), folders)
  return found
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function set(...)
  local members = {}
  for _, each in ipairs { ... } do members[each] = true end
  return members
end

local sources = files("src", "c", "h")

-- All offenders at once say more than the first.
local function assert_none(offenders)
  table.sort(offenders)
  assert.equal("", table.concat(offenders, "\n"))
end

-- Calls fn(path, floor, what is included) for each #include "..." or, angle = true, <...>.
local function each_include(angle, fn)
  local pattern = angle and "\n#include <([^>]+)>" or '\n#include "([^"]+)"'
  for path, text in pairs(sources) do
    for included in text:gmatch(pattern) do fn(path, path:match "^src/(%a+)/", included) end
  end
end

describe("a folder of src/", function()
  local floors = {
    protocol = set("protocol"),
    net = set("net"),
    endpoint = set("endpoint", "protocol", "net"),
    binding = set("binding", "endpoint", "protocol"),
  }
  -- Time, readiness, chance and bytes, which Lua programs get as well, need no endpoint between.
  local also = {
    binding = set("net/loop.h", "net/timer.h", "net/signal.h", "net/watch.h", "net/random.h", "net/tls.h",
      "net/connector.h", "net/transport.h"),
  }

  it("is one of those that have a rule", function()
    local known = {}
    for path in pairs(sources) do known[path:match "^src/(%a+)/" or path] = true end
    assert.same({ "binding", "endpoint", "net", "protocol", "src/error.h" }, sorted_keys(known))
  end)

  it("includes only what is below it", function()
    local offenders = {}
    each_include(false, function(path, floor, included)
      local below = included == "error.h" or floors[floor][included:match "^(%a+)/" or ""]
      if not below and not (also[floor] and also[floor][included]) then
        offenders[#offenders + 1] = ("%s includes %s"):format(path, included)
      end
    end)
    assert_none(offenders)
  end)

  it("includes no header in a circle", function()
    local includes, state = {}, {}
    each_include(false, function(path, _, included)
      includes[path] = includes[path] or {}
      table.insert(includes[path], "src/" .. included)
    end)
    local function visit(path, way)
      way = way .. " -> " .. path
      assert.not_equal("open", state[path], way)
      if state[path] then return end
      state[path] = "open"
      for _, each in ipairs(includes[path] or {}) do visit(each, way) end
      state[path] = "done"
    end
    for path in pairs(sources) do visit(path, "") end
  end)
end)

describe("a foreign library", function()
  -- Of the path of whoever includes it.
  local rooms = {
    { "^wslay/", "^src/protocol/frame%.[ch]$" },
    { "^openssl/evp", "^src/protocol/handshake%.[ch]$" },
    { "^openssl/[^e]", "^src/net/tls[%a_]*%.[ch]$" },
    { "^openssl/err", "^src/net/tls[%a_]*%.[ch]$" },
    { "^event2?/", "^src/net/" },
    { "^event%.h$", "^src/net/" },
    { "^zlib%.h$", "^src/protocol/deflate%.[ch]$" },
    { "^lua[^/]*%.h$", "^src/binding/" },
    { "^lauxlib%.h$", "^src/binding/" },
  }

  it("is included in its one room only", function()
    local offenders = {}
    each_include(true, function(path, _, included)
      for _, room in ipairs(rooms) do
        if included:find(room[1]) and not path:find(room[2]) then
          offenders[#offenders + 1] = ("%s includes <%s>"):format(path, included)
        end
      end
    end)
    assert_none(offenders)
  end)

  it("has its room still", function() -- else the rules above would check nothing
    for _, library in ipairs { "wslay/wslay.h", "openssl/evp.h", "event2/event.h", "zlib.h", "lua.h" } do
      local found = false
      each_include(true, function(_, _, included) found = found or included == library end)
      assert.is_true(found, library)
    end
  end)

  it("and the standard library are all that protocol/ includes: it knows no socket and no clock", function()
    local standard = set("ctype.h", "errno.h", "inttypes.h", "limits.h", "math.h", "stdbool.h", "stddef.h", "stdint.h",
      "stdio.h", "stdlib.h", "string.h")
    local foreign = set("wslay/wslay.h", "openssl/evp.h", "zlib.h", "sys/types.h") -- the last for wslay's ssize_t
    local offenders = {}
    each_include(true, function(path, floor, included)
      if floor == "protocol" and not standard[included] and not foreign[included] then
        offenders[#offenders + 1] = ("%s includes <%s>"):format(path, included)
      end
    end)
    assert_none(offenders)
  end)
end)

describe("a function in src/", function()
  -- Definitions as they are written here: from the first column to the brace on a line of its own.
  local function each_function(fn)
    local n = 0
    for path, text in pairs(sources) do
      for head, name in text:gmatch "\n(%a[%w_ *]-)([%w_]+)(%b())\n{" do
        n = n + 1
        fn(path, head:find "^static " ~= nil and path:find "%.c$" ~= nil, name) -- one in a header is seen by others
      end
    end
    assert.is_true(n > 100)
  end

  it("is named ws_noun_verb where others see it, and without ws_ where they do not", function()
    local offenders = {}
    each_function(function(path, is_private, name)
      local is_public = name:find "^ws_" ~= nil or name == "luaopen_moonsocket_core"
      if is_public == is_private then
        offenders[#offenders + 1] = ("%s: %s%s"):format(path, is_private and "static " or "", name)
      end
    end)
    assert_none(offenders)
  end)
end)

describe("a file", function()
  it("of src/ or lua/ can be read in one sitting: 600 lines at most", function()
    local offenders = {}
    for path, text in pairs(files("src lua", "c", "h", "lua")) do
      local _, lines = text:gsub("\n", "")
      if lines > 600 then offenders[#offenders + 1] = ("%s has %d lines"):format(path, lines) end
    end
    assert_none(offenders)
  end)

  it("of src/ or lua/ says first, in a few lines, what it is for", function()
    local offenders = {}
    for path, text in pairs(files("src lua", "c", "h", "lua")) do
      local comment = path:find "%.lua$" and text:match "^%-%-%-?[^\n]*%a[^\n]*\n" or text:match "^/%*.-%a.-%*/\n"
      local _, lines = (comment or ""):gsub("\n", "")
      if lines < 1 or lines > 8 then offenders[#offenders + 1] = path end
    end
    assert_none(offenders)
  end)

  it("holds no reminder of what was left undone", function()
    local offenders = {}
    local everything = files("src lua library spec examples tools bench", "c", "h", "lua", "py", "sh")
    for path, text in pairs(everything) do
      for _, word in ipairs { "TO" .. "DO", "FIX" .. "ME" } do
        if text:find("%f[%w]" .. word .. "%f[%W]") then offenders[#offenders + 1] = path end
      end
    end
    assert_none(offenders)
  end)
end)

describe("the rockspec", function()
  local rock = {}
  assert(loadfile("moonsocket-scm-1.rockspec", "t", rock))()

  it("builds every source, in order", function()
    local found = {}
    for path in pairs(sources) do
      if path:find "%.c$" then found[path] = true end
    end
    assert.same(sorted_keys(found), rock.build.modules["moonsocket.core"].sources)
  end)

  it("installs every Lua module under its name", function()
    local found, listed = {}, {}
    for path in pairs(files("lua", "lua")) do
      found[path:match "^lua/(.*)%.lua$":gsub("/init$", ""):gsub("/", ".")] = path
    end
    for name, path in pairs(rock.build.modules) do
      if type(path) == "string" then listed[name] = path end
    end
    assert.same(found, listed)
  end)

  it("links the libraries that it asks for, and no other", function()
    local asked, linked = {}, {}
    for _, library in pairs(rock.external_dependencies) do asked[library.library] = true end
    for _, library in ipairs(rock.build.modules["moonsocket.core"].libraries) do linked[library] = true end
    assert.same(asked, linked)
  end)
end)

describe("the built module", function()
  local path = ("lua_modules/lib/lua/%s/moonsocket/core.so"):format(_VERSION:match "%d.%d")
  local is_elf = read(path):find "^\127ELF"

  it("shows the world luaopen_moonsocket_core alone", function()
    local shown = {}
    for _, line in ipairs(lines_of("nm -D --defined-only " .. path)) do
      local name = line:match "%s%u%s([^%s@]+)"
      if name and not name:find "^_" then shown[#shown + 1] = name end -- _init, _edata and the like are the linker's
    end
    assert.same({ "luaopen_moonsocket_core" }, shown)
  end)

  -- Everything hangs off a Lua state's loop, so that two states in two threads work.
  it("has no global that can change", function()
    if not is_elf then return end
    local compilers = set("__dso_handle", "__TMC_END__", "completed")
    local seen, offenders = 0, {}
    for _, line in ipairs(lines_of("nm -f sysv " .. path)) do
      local name, section = line:match "^(%S+)%s*|.*|(%S+)%s*$"
      if name then
        seen = seen + 1
        local changes = section == ".data" or section == ".bss" or section == ".tdata" or section == ".tbss"
          or section == "*COM*"
        if changes and not compilers[name:match "^[^.]+"] then offenders[#offenders + 1] = name .. " in " .. section end
      end
    end
    assert.is_true(seen > 100) -- else the module was stripped
    assert_none(offenders)
  end)
end)
