-- The option log: a line of JSON for every connection that has ended.
local cjson = require "cjson"
local log = require "moonsocket.log"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local program = require "spec.support.program"
local scene = require "spec.support.scene"

-- Plays a scene whose log goes to a list of lines.
local function play(options, act)
  local lines = {}
  options.log = function(line) lines[#lines + 1] = line end
  scene.play(options, function(s) act(s, lines) end)
end

-- A line for what a connection might have been, decoded; changes go over it.
local function decoded(changes)
  local ws = { id = 7, request = { remote_address = "127.0.0.1:40000", path = "/" } }
  local info = { clean = true, by = "peer", sent = 1000, received = 1000 }
  for name, value in pairs(changes.request or {}) do ws.request[name] = value end
  for name, value in pairs(changes.info or {}) do info[name] = value end
  local line = log.line(ws, changes.code or 1000, changes.reason or "", info, changes.ms or 0, changes.time or 0)
  assert.is_nil(line:find "[\0-\31]")
  assert.truthy(utf8.len(line))
  return cjson.decode(line), line
end

describe("a line of the log", function()
  it("has what on_close was told, and whose connection it was", function()
    play({}, function(s, lines)
      local p = s:open(nil, peer.close(4000, "bye"))
      local outcome, before = s:outcome(p), os.time()
      s.await("the line", function() return lines[1] end)
      local told = cjson.decode(lines[1])
      assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$", told.time)
      assert.is_true(told.time <= os.date("!%Y-%m-%dT%H:%M:%SZ", before + 10))
      assert.matches("^127%.0%.0%.1:%d+$", told.remote_address)
      assert.is_true(told.seconds >= 0 and told.seconds < 60)
      told.time, told.remote_address, told.seconds = nil, nil, nil
      assert.same({
        id = s.records[1].id, path = "/", code = outcome.code, name = cjson.null, reason = outcome.reason,
        clean = true, by = "peer", sent = 4000, received = 4000, error = cjson.null,
      }, told)
      assert.equal(4000, outcome.code)
    end)
  end)

  it("is written once for every connection that opened, and for no other", function()
    local function authorize(request) return request.path ~= "/no" or nil, 4401, "no" end
    play({ authorize = function(request)
      if request.path == "/" then return true end
      return authorize(request)
    end }, function(s, lines)
      s:refusal("nonsense\r\n")
      s:open():reset()
      s:ending(1)
      s:open(nil, peer.close(1000)):fin()
      s:ending(2)
      local away = s:connect()
      away:send(peer.request(nil, "/no") .. peer.close(4401))
      away:fin()
      s.await("three lines", function() return #lines == 3 end)
      local told = {}
      for i, line in ipairs(lines) do
        local ending = cjson.decode(line)
        told[i] = ("%s %d %s %s %s"):format(ending.path, ending.code, ending.name, ending.by, ending.clean)
      end
      assert.same({ "/ 1006 ABNORMAL network false", "/ 1000 NORMAL peer true" }, { told[1], told[2] })
      assert.matches("^/no 4401 userdata: %S+ local true$", told[3])
      assert.equal("Connection reset by peer", cjson.decode(lines[1]).error)
      s.server:shutdown()
      assert.equal(3, #lines)
    end)
  end)

  it("tells how long the connection was open", function()
    play({}, function(s, lines)
      local p, from = s:open(), moonsocket.now()
      moonsocket.sleep(0.05)
      p:send(peer.close(1000))
      p:fin()
      s.await("the line", function() return lines[1] end)
      local seconds = cjson.decode(lines[1]).seconds
      assert.is_true(seconds >= 0.045 and seconds <= moonsocket.now() - from + 0.05, seconds)
    end)
  end)

  it("leaves the query out: tokens travel in it", function()
    play({}, function(s, lines)
      local p = s:connect()
      p:send(peer.request(nil, "/chat?token=secret") .. peer.close(1000))
      p:fin()
      s.await("the line", function() return lines[1] end)
      assert.equal("/chat", cjson.decode(lines[1]).path)
      assert.is_nil(lines[1]:find "secret")
    end)
  end)

  it("has its fields in one order, null where there is nothing", function()
    local _, line = decoded { time = 951782400, ms = 61005, info = { sent = false, error = "x" } }
    assert.equal('{"time":"2000-02-29T00:00:00Z","id":7,"remote_address":"127.0.0.1:40000","path":"/","code":1000,'
      .. '"name":"NORMAL","reason":"","clean":true,"by":"peer","sent":false,"received":1000,"error":"x",'
      .. '"seconds":61.005}', line)
    assert.equal(cjson.null, (decoded { code = 3000 }).name)
    assert.equal(cjson.null, (decoded {}).error)
  end)

  local texts = {
    [''] = '', ['a "quoted" \\ one'] = 'a "quoted" \\ one', ["line\nand\r\ttab"] = "line\nand\r\ttab",
    ["\0\1\31\127"] = "\0\1\31\127", ["\u{E4}\u{20AC}\u{1F600}"] = "\u{E4}\u{20AC}\u{1F600}",
    ["\xff"] = "\u{FFFD}", ["a\xC3"] = "a\u{FFFD}", ["\xE2\x82b"] = "\u{FFFD}\u{FFFD}b",
    ["\xED\xA0\x80"] = "\u{FFFD}\u{FFFD}\u{FFFD}", ["\xF4\x90\x80\x80"] = ("\u{FFFD}"):rep(4),
    ["\xff\xED\xA0\x80"] = ("\u{FFFD}"):rep(4), ["\xC0\x80end"] = "\u{FFFD}\u{FFFD}end",
    ["%s %d %%"] = "%s %d %%", ["</script>"] = "</script>",
  }
  for text, shown in pairs(texts) do
    it(("is valid JSON with %q in it"):format(text), function()
      local told = decoded { reason = text, request = { path = text }, info = { error = text } }
      assert.same({ shown, shown, shown }, { told.reason, told.path, told.error })
    end)
  end

  it("is valid JSON in a locale that writes numbers with a comma", function()
    local old = os.setlocale(nil, "numeric")
    for _, locale in ipairs { "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "C" } do
      if os.setlocale(locale, "numeric") then break end
    end
    local _, line = decoded { ms = 1500 }
    os.setlocale(old, "numeric")
    assert.matches('"seconds":1%.500}$', line)
  end)
end)

describe("the log", function()
  it("goes to an open file, line by line, as they come", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "a"))
    scene.play({ log = file }, function(s)
      for n, code in ipairs { 4001, 4002 } do
        local p = s:open(nil, peer.close(code))
        s:outcome(p, n)
        local lines = {}
        s.await("the line", function()
          lines = {}
          for line in io.lines(path) do lines[#lines + 1] = line end
          return #lines == n
        end)
        assert.equal(code, cjson.decode(lines[n]).code)
      end
    end)
    file:close()
    os.remove(path)
  end)

  it("goes to stderr where it is true", function()
    local text = [[
      local moonsocket = require "moonsocket"
      local server = assert(moonsocket.serve("127.0.0.1:0", function() end, { log = true }))
      local ws = assert(moonsocket.connect(server.url))
      ws:wait_closed()
      server:shutdown()
      print "done"]]
    program.run(function(p)
      local line = p:await "^({.*})$"
      assert.equal(1000, cjson.decode(line).code)
      p:await "^done$"
      assert.equal(0, p:finish())
    end, "-e", text)
  end)

  it("goes to a pipe, whose reader may leave: the program goes on without it", function()
    local text = [[
      local moonsocket = require "moonsocket"
      local pipe, why = assert(io.popen("exec head -n 1 >&2", "w")), nil
      local server = assert(moonsocket.serve("127.0.0.1:0", function() end, { log = pipe }))
      server:on_error(function(message) why = message end)
      repeat
        assert(moonsocket.connect(server.url)):wait_closed()
        moonsocket.sleep(0)
      until why
      print(why)
      server:shutdown()
      print "done"]]
    program.run(function(p)
      assert.equal(1000, cjson.decode(p:await "^({.*})$").code)
      assert.equal("Broken pipe", p:await "^the log cannot be written: (.*)$")
      p:await "^done$"
      assert.equal(0, p:finish())
    end, "-e", text)
  end)

  -- A target that fails, and what the server's on_error is told of it.
  local failing = {
    ["a function that raises"] = { function() return function() error("no room", 0) end end, "^no room$" },
    ["a full disk"] = { function() return assert(io.open("/dev/full", "w")) end,
      "^the log cannot be written: No space left on device$" },
    ["a file that has been closed"] = { function() return assert(io.tmpfile()) end, "the file is closed" },
  }
  for what, case in pairs(failing) do
    it(("that is %s hurts no connection"):format(what), function()
      local target, errors, told = case[1](), {}, {}
      scene.play({ log = target }, function(s)
        s.server:on_error(function(message) errors[#errors + 1] = message end)
        s.server:on_close(function(_, code) told[#told + 1] = code end)
        if what:find "closed" then
          target:close()
          target = assert(io.tmpfile()) -- takes the place of the descriptor that has gone
        end
        local p, other = s:open(nil, peer.close(4000)), s:open()
        assert.equal(4000, s:outcome(p, 1).code)
        s.await("the error", function() return errors[1] end)
        other:send(peer.text "still here")
        assert.equal("text still here", peer.describe(assert(other:read_frame())))
        other:send(peer.close(1000))
        assert.equal(1000, s:outcome(other, 2).code)
        s.await("the second", function() return errors[2] end)
        assert.same({ 4000, 1000 }, told)
        for _, message in ipairs(errors) do assert.matches(case[2], message) end
      end)
      if io.type(target) == "file" then target:close() end
    end)
  end

  it("may wait in its function, and a shutdown waits for it", function()
    local lines = {}
    scene.play({ log = function(line)
      moonsocket.sleep(0.02)
      collectgarbage()
      lines[#lines + 1] = line
    end }, function(s)
      s:open(nil, peer.close(1000)):fin()
      s:open():reset()
      s:ending(2)
      s:ending(1)
      s.server:shutdown()
      assert.equal(2, #lines)
    end)
  end)

  it("is off where it is false", function()
    scene.play({ log = false }, function(s)
      local p = s:open(nil, peer.close(1000))
      assert.equal(1000, s:outcome(p).code)
    end)
  end)

  local closed = assert(io.tmpfile())
  closed:close()
  for _, wrong in ipairs { "stderr", 1, {}, closed } do
    it("is not " .. type(wrong), function()
      local ok, message = pcall(moonsocket.serve, "127.0.0.1:0", print, { log = wrong })
      assert.is_false(ok)
      assert.matches("option 'log': true, false, an open file or a function expected, got ", message)
    end)
  end
end)
