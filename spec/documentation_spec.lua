-- What the documents say is what happens: the README's endings, every program, the API reference, links and targets.
local moonsocket = require "moonsocket"
local options = require "moonsocket.options"
local peer = require "spec.support.peer"
local program = require "spec.support.program"
local scene = require "spec.support.scene"
local testing = require "moonsocket.testing"

local DOCUMENTS = { "README.md", "CONTRIBUTING.md", "CHANGELOG.md" }
for path in assert(io.popen "ls docs/*.md"):lines() do DOCUMENTS[#DOCUMENTS + 1] = path end

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

-- ---- the README's table of endings

-- A handler that does something as soon as a message comes.
local function on_message(act)
  return function(ws) ws:on_message(function() act(ws) end) end
end

local function closing(...)
  local arguments = table.pack(...)
  return on_message(function(ws) ws:close(table.unpack(arguments, 1, arguments.n)) end)
end

-- The peer asks for what the handler does, and reads the Close frame that it leads to.
local function ask(p)
  p:send(peer.text "now")
  return p:read_frame()
end

-- Sends, and leaves only after the server has closed its side.
local function send_and_leave(p, bytes)
  p:send(bytes)
  p:read_all()
  p:drop()
end

local function sends(bytes)
  return function(_, p) send_and_leave(p, bytes) end
end

-- Of the first cell of a row: { options of the scene, play(scene, peer) }.
local plays = {
  ['The peer sends a Close frame with 1000 and "bye"'] = { {}, sends(peer.close(1000, "bye")) },
  ["The peer sends a Close frame without a code"] = { {}, sends(peer.close()) },
  ["The peer ends TCP without a Close frame (its process was killed)"] = { {}, function(_, p) p:drop() end },
  ["The peer resets TCP"] = { {}, function(_, p) p:reset() end },
  ["The peer is silent and answers no ping (its machine or the network is gone)"] = {
    { ping_interval = 0.01, pong_timeout = 0.02, close_timeout = 0.05 }, function() end,
  },
  ["The peer takes no more data (it does not read)"] = {
    { receive_buffer = 4096, send_timeout = 0.05, max_buffered = 1 << 25,
      handler = on_message(function(ws) ws:send(("x"):rep(1 << 24), "binary") end) },
    function(_, p) p:send(peer.text "now") end,
  },
  ["The peer takes less than is sent to it"] = {
    { receive_buffer = 4096, close_timeout = 0.05,
      handler = on_message(function(ws) while ws:send(("x"):rep(1 << 20), "binary") do end end) },
    function(_, p) p:send(peer.text "now") end,
  },
  ["The peer breaks the protocol, for example:"] = { {}, sends(peer.frame { masked = false }) },
  ["The peer sends text that is not UTF-8"] = { {}, sends(peer.text "\xff") },
  ["The peer sends too long a message"] = { {}, sends(peer.frame { length = 2000000 }) },
  ['`ws:close(4001, "bye")`; the peer answers'] = { { handler = closing(4001, "bye") }, function(_, p)
    assert.equal("bye", ask(p).reason)
    send_and_leave(p, peer.close(4001))
  end },
  ['`ws:close(4001, "bye")`; the peer answers with 1000 and "ok"'] = {
    { handler = closing(4001, "bye") }, function(_, p)
      ask(p)
      send_and_leave(p, peer.close(1000, "ok"))
    end,
  },
  ["`ws:close()`; the peer does not answer"] = {
    { close_timeout = 0.05, handler = closing() }, function(_, p) ask(p) end,
  },
  ["`ws:close()`; the peer ends TCP instead"] = { { handler = closing() }, function(_, p)
    ask(p)
    p:drop()
  end },
  ["`ws:terminate()`"] = {
    { handler = on_message(function(ws) ws:terminate() end) }, function(_, p) ask(p) end,
  },
  ["The handler returns, and nobody is there to receive"] = { { handler = function() end }, function(_, p)
    assert.equal(1000, p:read_frame().code)
    send_and_leave(p, peer.close(1000))
  end },
  ["The handler or a callback raises an error"] = {
    { handler = function(ws)
      ws:on_error(function() end)
      error "a mistake"
    end },
    sends "",
  },
  ["No message for `idle_timeout`"] = { { idle_timeout = 0.02 }, function(_, p)
    send_and_leave(p, peer.close(p:read_frame().code))
  end },
  ["`server:shutdown()`, or SIGTERM, or Ctrl-C; the peer answers"] = { {}, function(s, p)
    moonsocket.go(function() s.server:shutdown() end)
    send_and_leave(p, peer.close(p:read_frame().code))
  end },
  ["`server:shutdown()`; the peer does not answer"] = { {}, function(s) s.server:shutdown { drain = 0.02 } end },
}

local stopped = [[
local moonsocket = require "moonsocket"
local server = assert(moonsocket.serve("127.0.0.1:0", {
  message = function() moonsocket.stop() end,
  close = function(ws, code, reason, info) print("end", code, reason, info.clean, info.by) end,
}))
print("port " .. server.port)
moonsocket.run()
]]

-- This one needs a program that can end.
local function play_end_of_program()
  local code, reason, clean, by
  program.run(function(self)
    local p = peer.open { port = tonumber(self:await "^port (%d+)") }
    p:send(peer.text "now")
    code, reason, clean, by = self:await "^end\t(.-)\t(.-)\t(.-)\t(.-)$"
    assert.equal(0, self:finish())
    p:drop()
  end, "-e", stopped)
  return { code = tonumber(code), reason = reason, info = { clean = clean == "true", by = by } }
end

local function play(row)
  local record
  local settings, act = table.unpack(plays[row])
  scene.play(settings, function(s)
    act(s, s:open())
    record = s:ending()
  end)
  return record
end

-- The rows of the table below a heading, as lists of cells.
local function rows_below(text, heading)
  local rows = {}
  local table_text = text:match("\n## " .. heading .. "\n\n|[^\n]+\n|[-|]+\n(.-)\n\n")
  for line in assert(table_text, "no table below " .. heading):gmatch "[^\n]+" do
    local cells = {}
    for cell in line:sub(2):gmatch "%s*(.-)%s*|" do cells[#cells + 1] = cell end
    rows[#rows + 1] = cells
  end
  return rows
end

-- Limits, times and sizes differ between the defaults that the table tells and those of a quick spec.
local function without_numbers(reason)
  return (reason:gsub("%d[%d.]*", "N"))
end

describe("the README's table of endings", function()
  local rows = rows_below(read "README.md", "How a connection ends")

  for _, cells in ipairs(rows) do
    local what, code, reason, clean, by = table.unpack(cells)
    it("tells the truth: " .. what, function()
      local record
      if plays[what] then
        record = play(what)
      else
        assert.equal("The program ends while the connection is open", what)
        record = play_end_of_program()
      end
      assert.same(
        { tonumber(code), without_numbers(reason), clean, by },
        { record.code, without_numbers(record.reason), tostring(record.info.clean), record.info.by }
      )
    end)
  end

  it("has a row for every ending that is played here", function()
    local there = {}
    for _, cells in ipairs(rows) do there[cells[1]] = true end
    for what in pairs(plays) do assert.is_true(there[what], what) end
  end)
end)

-- ---- programs

-- The Lua blocks of a document.
local function blocks_of(document)
  local blocks = {}
  for block in read(document):gmatch "\n```lua\n(.-)```" do blocks[#blocks + 1] = block end
  return blocks
end

-- Before a program that is run as printed, but for its port, which may be in use.
local on_a_free_port = [[
local moonsocket = require "moonsocket"
local serve = moonsocket.serve
function moonsocket.serve(_, ...)
  local server, wrong = serve("127.0.0.1:0", ...)
  print("port " .. (server and server.port or wrong))
  return server, wrong
end
]]

-- Runs it, and lets a client come and say hello.
local function run_printed(block, visit)
  program.run(function(self)
    local p = peer.open { port = tonumber(self:await "^port (%d+)") }
    visit(p, self)
    p:drop()
    assert.equal(0, self:stop(), table.concat(self.lines, "\n"))
  end, "-e", on_a_free_port, "-e", block)
end

describe("a document's code", function()
  for _, document in ipairs(DOCUMENTS) do
    for number, block in ipairs(blocks_of(document)) do
      local name = ("block %d of %s"):format(number, document)
      it("compiles: " .. name, function() assert(load(block, "=" .. name)) end)
      if block:find("moonsocket.run()", 1, true) then
        it("runs as printed: " .. name, function()
          run_printed(block, function(p)
            p:send(peer.text "hello")
            assert.equal("hello", p:read_frame().payload)
          end)
        end)
      end
    end
  end

  it("prints what the README's first server promises", function()
    run_printed(blocks_of "README.md"[1], function(p, self)
      self:await "^listening on ws://127%.0%.0%.1:%d+$"
      send_and_leave(p, peer.close(1000, "bye"))
      assert.equal("1000\tbye\ttrue\tpeer", self:await "^127%.0%.0%.1:%d+\t(.*)$")
    end)
  end)
end)

-- ---- the guide to testing: a module and its suite

describe("the suite of docs/testing.md", function()
  local function write(path, text)
    local file <close> = assert(io.open(path, "w"))
    file:write(text)
  end

  it("passes", function()
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir -p " .. folder .. "/spec"))
    local blocks = blocks_of "docs/testing.md"
    write(folder .. "/room.lua", blocks[1])
    write(folder .. "/spec/room_spec.lua", blocks[2])
    program.run(function(self)
      local status = self:finish()
      local output = table.concat(self.lines, "\n")
      assert.equal(0, status, output)
      assert.matches("%d%d successes / 0 failures / 0 errors / 0 pending", output)
    end, "tools/busted.lua", "--ignore-lua", "--output=plainTerminal", "--directory=" .. folder, "spec")
    os.execute("rm -r " .. folder)
  end)

  it("runs its program about TLS", function()
    program.run(function(self)
      assert.equal(0, self:finish(), table.concat(self.lines, "\n"))
    end, "-e", blocks_of "docs/testing.md"[3])
  end)
end)

-- ---- the API reference

-- What a file of library/ declares: of each class its methods and fields, by name. A field's value is its text.
local function parse_reference(path)
  local classes, classes_of, text, class = {}, {}, ""
  for line in io.lines(path) do
    local declared = line:match "^%-%-%-@class ([%w_.]+)"
    if declared then
      class = { methods = {}, fields = {} }
      classes[declared] = class
    end
    local field = line:match "^%-%-%-@field ([%w_]+)"
    text = text .. line
    if field then class.fields[field] = text end
    local variable = line:match "^local (%w+) = {}"
    if variable then classes_of[variable] = class end
    local owner, method = line:match "^function (%w+)[.:]([%w_]+)%("
    local declaring = classes_of[owner]
    if method then declaring.methods[method] = true end
    if field or not line:find "^%-%-%-." then text = "" end
  end
  return classes
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

-- The methods of a userdata: __index, or a table that this function keeps, behind what __metatable hides.
local function methods_of(value)
  local metatable = debug.getmetatable(value)
  local index = metatable.__index
  local n = 1
  while type(index) == "function" do
    local name, kept = debug.getupvalue(metatable.__index, n)
    if not name then return {} end
    if type(kept) == "table" and kept ~= metatable then index = kept end
    n = n + 1
  end
  return sorted_keys(index)
end

-- Fields live in C: the names in a file that a pattern finds.
local function fields_in(path, ...)
  local names, text = {}, read(path)
  for _, pattern in ipairs { ... } do
    for name in text:gmatch(pattern) do names[name] = true end
  end
  return sorted_keys(names)
end

describe("the API reference", function()
  local reference = parse_reference "library/moonsocket.lua"

  local function class(name) return assert(reference[name], "no class " .. name) end

  it("has the module's functions and its codes, and no others", function()
    local functions = {}
    for name, value in pairs(moonsocket) do
      if type(value) == "function" then functions[name] = true else assert.equal("codes", name) end
    end
    assert.same(sorted_keys(functions), sorted_keys(class "moonsocket".methods))
    assert.same({ "codes" }, sorted_keys(class "moonsocket".fields))
  end)

  it("has the methods of a router", function()
    assert.same(sorted_keys(getmetatable(moonsocket.router()).__index), sorted_keys(class "moonsocket.Router".methods))
  end)

  it("has every close code", function()
    local names = {}
    for name in pairs(moonsocket.codes) do
      if type(name) == "string" then names[name] = true end
    end
    assert.same(sorted_keys(names), sorted_keys(class "moonsocket.Codes".fields))
    for name, text in pairs(class "moonsocket.Codes".fields) do
      assert.equal(moonsocket.codes[name], tonumber(text:match "@field %S+ (%d+)"), name)
    end
  end)

  it("has the methods and fields of ws, of its request, of a server and of a timer", function()
    local seen = {}
    scene.play({ handler = function(ws, request)
      ws:on_message(function() end)
      seen.ws, seen.request = methods_of(ws), methods_of(request)
      for name in pairs(class "moonsocket.WebSocket".fields) do
        assert.has_error(function() ws[name] = 1 end, name .. " is a field that moonsocket sets: choose another name")
      end
    end }, function(s)
      s:open()
      s.await("a connection", function() return seen.ws end)
      seen.server = methods_of(s.server)
    end)
    local timer = moonsocket.after(0, function() end)
    timer:cancel()
    assert.same(seen.ws, sorted_keys(class "moonsocket.WebSocket".methods))
    assert.same(seen.request, sorted_keys(class "moonsocket.Request".methods))
    assert.same(seen.server, sorted_keys(class "moonsocket.Server".methods))
    assert.same(methods_of(timer), sorted_keys(class "moonsocket.Timer".methods))

    local compared = 'strcmp%(name, "([%w_]+)"%)'
    assert.same(fields_in("src/binding/fields.c", '{ "([%w_]+)", field_'),
      sorted_keys(class "moonsocket.WebSocket".fields))
    assert.same(fields_in("src/binding/server.c", compared), sorted_keys(class "moonsocket.Server".fields))
    assert.same(fields_in("src/binding/request.c", '{ "([%w_]+)", [%w_]*push_', compared),
      sorted_keys(class "moonsocket.Request".fields))
  end)

  it("has the methods of a client that comes back, and its fields", function()
    local client = moonsocket.reconnect "ws://127.0.0.1:1/"
    local methods = {}
    for name, value in pairs(getmetatable(client)) do
      if not name:find "^__" then methods[name] = value end
    end
    assert.same(sorted_keys(methods), sorted_keys(class "moonsocket.Client".methods))
    assert.same({ "stopped", "ws" }, sorted_keys(class "moonsocket.Client".fields))
    assert.same({ false }, { client.stopped, client.ws })
  end)

  it("has the fields of what on_close and stats tell", function()
    local told = {}
    scene.play({}, function(s)
      s:open():reset()
      for name in pairs(s:ending().info) do told[name] = true end
    end)
    scene.play({}, function(s)
      send_and_leave(s:open(), peer.close(1000))
      for name in pairs(s:ending().info) do told[name] = true end
      assert.same(sorted_keys(s.server:stats()), sorted_keys(class "moonsocket.Stats".fields))
    end)
    assert.same(sorted_keys(told), sorted_keys(class "moonsocket.CloseInfo".fields))
  end)

  for kind, declared in pairs {
    endpoint = { "moonsocket.EndpointOptions" },
    server = { "moonsocket.EndpointOptions", "moonsocket.ServerOptions" },
    client = { "moonsocket.ClientOptions" },
    reconnect = { "moonsocket.ClientOptions", "moonsocket.ReconnectOptions" },
  } do
    it("has the options of a " .. kind .. " with their defaults", function()
      local fields = {}
      for _, name in ipairs { "moonsocket.ConnectionOptions", table.unpack(declared) } do
        for field, text in pairs(class(name).fields) do fields[field] = text end
      end
      assert.same(sorted_keys(options[kind]), sorted_keys(fields))
      for name, row in pairs(options[kind]) do
        local default = fields[name]:match "%(default ([^):]+)" or "no default is told"
        assert.equal(row[1] == nil and "none" or tostring(row[1]), (default:gsub('"', "")), name)
      end
    end)
  end

  it("has the fields of the option compression with their defaults", function()
    local checked = options.check("serve", { compression = true }, options.server, 2).compression
    local fields = class "moonsocket.Compression".fields
    assert.same(sorted_keys(checked), sorted_keys(fields))
    for name, value in pairs(checked) do
      assert.equal(tostring(value), fields[name]:match "%(default ([^):]+)", name)
    end
  end)

  it("has the fields of the option max_rate with their defaults", function()
    local checked = options.check("serve", { max_rate = 1 }, options.server, 2).max_rate
    local fields = class "moonsocket.Rate".fields
    assert.same(sorted_keys(checked), sorted_keys(fields))
    checked.messages = 0
    for name, value in pairs(checked) do
      assert.equal(tostring(value), (fields[name]:match "%(default ([^):]+)":gsub('"', "")), name)
    end
  end)

  it("has the methods of writers and readers", function()
    scene.play({ handler = function(ws) ws:wait_closed() end }, function(s)
      local p = s:open()
      local writer <close> = s:ws():writer()
      p:send(peer.text "x")
      local reader <close> = s:ws():reader()
      assert.same(methods_of(writer), sorted_keys(class "moonsocket.Writer".methods))
      assert.same(methods_of(reader), sorted_keys(class "moonsocket.Reader".methods))
      assert.same(fields_in("src/binding/reader.c", 'strcmp%(name, "([%w_]+)"%)'),
        sorted_keys(class "moonsocket.Reader".fields))
      p:drop()
    end)
  end)

  it("has the callbacks of a table", function()
    local names = {}
    local slots = read "lua/moonsocket/handlers.lua":match "\nlocal slots = {(.-)}"
    for name in slots:gmatch '"(%l+)"' do names[name] = true end
    assert.same(sorted_keys(names), sorted_keys(class "moonsocket.Callbacks".fields))
  end)

  it("compiles", function() assert(loadfile "library/moonsocket.lua") end)
end)

describe("the reference of moonsocket.testing", function()
  local reference = parse_reference "library/moonsocket/testing.lua"

  local function class(name) return assert(reference["moonsocket.testing" .. name], "no class " .. name) end

  -- Where an option is unknown the error names all that there are.
  local function options_of(call)
    local names, list = {}, tostring(select(2, pcall(call))):match "there are (.*)$"
    for name in list:gmatch "[%l_]+" do names[name] = true end
    return sorted_keys(names)
  end

  -- The keys whose values are of the type.
  local function of_type(kind, t)
    local names = {}
    for name, value in pairs(t) do
      if type(value) == kind and name:sub(1, 2) ~= "__" then names[name] = true end
    end
    return sorted_keys(names)
  end

  it("has its functions and settings", function()
    assert.same(of_type("function", testing), sorted_keys(class "".methods))
    assert.same(of_type("table", testing), sorted_keys(class "".fields))
    for name, value in pairs(testing.settings) do
      assert.matches(("%s %%(default %s%%)"):format(name, value), class "".fields.settings)
    end
  end)

  it("has a peer's methods, and the options of it and its frames", function()
    local server <close> = assert(testing.server(function() end))
    local p <close> = assert(testing.peer(server.url))
    assert.same(of_type("function", getmetatable(p)), sorted_keys(class ".Peer".methods))
    assert.same(options_of(function() testing.peer(server.url, { oops = 1 }) end),
      sorted_keys(class ".PeerOptions".fields))
    assert.same(options_of(function() p:send_frame { oops = 1 } end), sorted_keys(class ".FrameOptions".fields))
    local close = p:receive_frame()
    assert.equal("close", close.name)
    assert.same(sorted_keys(close), sorted_keys(class ".Frame".fields))
  end)

  it("has what an ending has", function()
    local ending = testing.endings()[1]
    local fields = sorted_keys(class ".Ending".fields)
    assert.same({ "alone", "name", "options", "play", "told" }, sorted_keys(ending))
    assert.same({ "alone", "name", "options", "told" }, fields)
    assert.same({ "play" }, sorted_keys(class ".Ending".methods))
    assert.same(sorted_keys(ending.told), sorted_keys(class ".Told".fields))
  end)

  it("compiles", function() assert(loadfile "library/moonsocket/testing.lua") end)
end)

-- ---- links and targets

describe("a document's", function()
  for _, document in ipairs(DOCUMENTS) do
    it("links lead somewhere: " .. document, function()
      local folder = document:match "^(.*/)" or ""
      for target in read(document):gmatch "%]%(([^)#:]+)[^):]*%)" do
        assert.is_true(exists(folder .. target), target)
      end
    end)
    it("make targets are there: " .. document, function()
      local makefile = read "Makefile"
      for target in read(document):gsub("\n    make", "`make"):gmatch "`make ([%l-]+)" do
        assert.is_truthy(makefile:find("\n" .. target:gsub("%-", "%%-") .. ":"), target)
      end
    end)
  end

  it("section titles are those that the README links to", function()
    local text = read "README.md"
    for anchor in text:gmatch "%]%(#([%w-]+)%)" do
      local there = false
      for title in text:gmatch "\n#+ ([^\n]+)" do
        there = there or title:lower():gsub("[^%w%s-]", ""):gsub(" ", "-") == anchor
      end
      assert.is_true(there, anchor)
    end
  end)
end)
