-- Callbacks that raise, and terminate inside every callback and in every state.
local moonsocket = require "moonsocket"
local program = require "spec.support.program"
local subject = require "spec.support.subject"

local scene, peer, serving = subject.scene, subject.peer, subject.serving(it)
local prints = subject.tls and function() end or serving -- of servers that are the same whatever the subject is

local LARGE = ("0123456789abcdef"):rep(512 * 1024) -- more than the kernel takes unread
local CLOSE_1011 = "close 1011 a callback raised an error"

local function failed(...)
  local wire = { ... }
  wire[#wire + 1] = CLOSE_1011
  return {
    code = 1011, reason = "a callback raised an error", clean = false, by = "local", sent = 1011,
    wire = wire, tcp = "fin",
  }
end

-- What happens in a callback, and what makes the peer cause it. before: what the callback is preceded by on the wire.
local PROVOKE = {
  message = { bytes = peer.text "hi" },
  ping = { bytes = peer.ping "you?", before = { "pong you?" } },
  pong = { bytes = peer.pong "" },
  drain = { bytes = "", sends = LARGE, before = { "text " .. LARGE } },
}

-- act(scene, open), with open(bytes) -> peer of a connection whose handler is start(ws) and that is sent these bytes. A
-- check that an echo still works follows.
local function play(start, act, options)
  local settings = { close_timeout = 60 }
  for name, value in pairs(options or {}) do settings[name] = value end
  local bad
  function settings.handler(ws)
    if bad then return start(ws) end
    ws:on_message(function(message) ws:send(message) end)
  end
  scene.play(settings, function(s)
    act(s, function(bytes)
      bad = true
      local p = s:open()
      p:send(bytes or "")
      return p
    end)
    bad = false
    local p = s:open()
    p:send(peer.text "still serving")
    assert.equal("text still serving", peer.describe(p:read_frame()))
  end)
end

describe("a callback that raises", function()
  local errors

  local function collect(ws)
    errors = {}
    ws:on_error(function(message, traceback) errors[#errors + 1] = { message = message, traceback = traceback } end)
  end

  local function boom() error "boom" end

  local function check_error()
    assert.equal(1, #errors)
    assert.truthy(errors[1].message:find "callbacks_spec.lua:%d+: boom$")
    assert.truthy(errors[1].traceback:find "boom\nstack traceback:\n.*callbacks_spec.lua:%d+: in ")
  end

  for name, how in pairs(PROVOKE) do
    it(("fails the connection with 1011: on_%s"):format(name), function()
      play(function(ws)
        collect(ws)
        ws:on_message(function() end)
        ws["on_" .. name](ws, boom)
        if how.sends then ws:send(how.sends) end
      end, function(s, open)
        assert.same(failed(table.unpack(how.before or {})), s:outcome(open(how.bytes)))
        check_error()
      end)
    end)
  end

  local handlers = {
    ["the handler, in its first line"] = boom,
    ["the handler, after it has waited"] = function()
      moonsocket.sleep(0)
      boom()
    end,
    ["the handler, with on_message set"] = function(ws)
      ws:on_message(function() end)
      boom()
    end,
    ["a plain loop"] = function(ws)
      for _ in ws:messages() do boom() end
    end,
    ["on_message, after it has waited"] = function(ws)
      ws:on_message(function()
        moonsocket.sleep(0)
        boom()
      end)
    end,
  }
  for name, handler in pairs(handlers) do
    local its = name:find "^on_" and it or serving
    its("fails the connection with 1011: " .. name, function()
      play(function(ws)
        collect(ws)
        handler(ws)
      end, function(s, open)
        assert.same(failed(), s:outcome(open(peer.text "hi")))
        check_error()
      end)
    end)
  end

  it("lets out before the Close frame what it has sent, and hears of no later message", function()
    local heard = 0
    play(function(ws)
      collect(ws)
      ws:on_message(function()
        heard = heard + 1
        ws:send "before"
        boom()
      end)
    end, function(s, open)
      assert.same(failed "text before", s:outcome(open(peer.text "hi" .. peer.text "more")))
      assert.equal(1, heard)
      check_error()
    end)
  end)

  it("answers the peer's Close with 1011: on_closing", function()
    play(function(ws)
      collect(ws)
      ws:on_message(function() end)
      ws:on_closing(boom)
    end, function(s, open)
      assert.same({
        code = 4000, reason = "bye", clean = true, by = "peer", sent = 1011, received = 4000,
        wire = { CLOSE_1011 }, tcp = "fin",
      }, s:outcome(open(peer.close(4000, "bye"))))
      check_error()
    end)
  end)

  it("changes nothing about an end that is over: on_close", function()
    play(function(ws)
      collect(ws)
      ws:on_message(function() end)
    end, function(s, open)
      s.on_close = boom
      assert.same({
        code = 4000, reason = "bye", clean = true, by = "peer", sent = 4000, received = 4000,
        wire = { "close 4000" }, tcp = "fin",
      }, s:outcome(open(peer.close(4000, "bye"))))
      check_error()
      s.on_close = nil
    end)
  end)

  it("changes nothing about a close that has begun", function()
    play(function(ws)
      collect(ws)
      ws:on_message(function()
        ws:close(4000, "enough")
        boom()
      end)
    end, function(s, open)
      local p = open(peer.text "hi")
      assert.equal("close 4000 enough", peer.describe(p:read_frame()))
      p:send(peer.close(4000))
      assert.same({
        code = 4000, reason = "", clean = true, by = "local", sent = 4000, received = 4000, wire = {}, tcp = "fin",
      }, s:outcome(p))
      check_error()
    end)
  end)

  -- ---- a table of callbacks: nothing is recorded by the scene

  local function play_table(callbacks, bytes)
    local told = {}
    local close = callbacks.close
    function callbacks.close(ws, code, reason, info)
      told[#told + 1] = { code, reason, info.by, info.sent, info.received }
      if close then close(ws, code, reason, info) end
    end
    errors = {}
    function callbacks.error(ws, message, traceback)
      errors[#errors + 1] = { message = message, traceback = traceback, state = ws.state }
    end
    local wire, tcp = {}, nil
    scene.play({ table = callbacks, close_timeout = 60 }, function(s)
      local p = s:open()
      p:send(bytes)
      local frames
      frames, tcp = p:read_all()
      for i, frame in ipairs(frames) do wire[i] = peer.describe(frame) end
      p:drop()
      scene.await("the end", function() return #told > 0 end)
    end)
    assert.equal(1, #told)
    return wire, tcp, told[1]
  end

  local FAILED = { 1011, "a callback raised an error", "local", 1011, nil }
  for name, how in pairs(PROVOKE) do
    serving(("fails the connection with 1011: %s of a table"):format(name), function()
      local callbacks = { [name] = boom }
      if how.sends then function callbacks.open(ws) ws:send(how.sends) end end
      local wire, tcp, told = play_table(callbacks, how.bytes)
      assert.same(failed(table.unpack(how.before or {})).wire, wire)
      assert.same({ "fin", FAILED }, { tcp, told })
      check_error()
    end)
  end

  serving("fails the connection with 1011: open of a table", function()
    local wire, tcp, told = play_table({ open = boom, message = function() end }, "")
    assert.same({ { CLOSE_1011 }, "fin", FAILED }, { wire, tcp, told })
    check_error()
  end)

  serving("answers the peer's Close with 1011: closing of a table", function()
    local wire, tcp, told = play_table({ closing = boom }, peer.close(4000, "bye"))
    assert.same({ { CLOSE_1011 }, "fin", { 4000, "bye", "peer", 1011, 4000 } }, { wire, tcp, told })
    check_error()
  end)

  serving("changes nothing about an end that is over: close of a table", function()
    local wire, tcp, told = play_table({ close = boom }, peer.close(4000, "bye"))
    assert.same({ { "close 4000" }, "fin", { 4000, "bye", "peer", 4000, 4000 } }, { wire, tcp, told })
    check_error()
    assert.equal("closed", errors[1].state)
  end)

  -- ---- any value may be an error

  local with_tostring = setmetatable({}, { __tostring = function() return "a told error" end })
  local values = {
    { "nil", nil, "^nil$" }, { "false", false, "^false$" }, { "a number", 42, "^42$" },
    { "a table", {}, "^table: " }, { "a function", boom, "^function: " },
    { "a table with __tostring", with_tostring, "^a told error$" },
  }
  for _, case in ipairs(values) do
    local name, value, expected = case[1], case[2], case[3]
    it("may raise " .. name, function()
      play(function(ws)
        collect(ws)
        ws:on_message(function() error(value) end)
      end, function(s, open)
        assert.same(failed(), s:outcome(open(peer.text "hi")))
        assert.equal(1, #errors)
        assert.truthy(errors[1].message:find(expected))
        assert.truthy(errors[1].traceback:find "\nstack traceback:\n")
      end)
    end)
  end
end)

describe("an error in a callback is told", function()
  serving("to ws's own on_error, else to the table's, else to the server's, and to one of them only", function()
    local told = {}
    local function teller(name, expects_ws)
      return function(...)
        local message = select(expects_ws and 2 or 1, ...)
        told[#told + 1] = ("%s (%d): %s"):format(name, select("#", ...), message)
      end
    end
    local callbacks = {
      open = function(ws)
        if ws.request.path == "/own" then ws:on_error(teller "ws") end
      end,
      message = function() error("boom", 0) end,
      error = teller("table", true),
    }
    local function provoke(s, path)
      told = {}
      s.server:on_error(teller "server")
      local p = s:connect()
      p:send(peer.request(nil, path) .. peer.text "hi")
      p:read_head()
      assert.equal(CLOSE_1011, peer.describe(p:read_frame()))
      p:drop()
      return told
    end
    scene.play({ table = callbacks }, function(s)
      assert.same({ "ws (2): boom" }, provoke(s, "/own"))
      assert.same({ "table (3): boom" }, provoke(s, "/"))
    end)
    callbacks.error = nil
    scene.play({ table = callbacks }, function(s)
      assert.same({ "ws (2): boom" }, provoke(s, "/own"))
      assert.same({ "server (2): boom" }, provoke(s, "/"))
      local before = s.server:on_error(nil)
      assert.equal("function", type(before))
    end)
  end)

  serving("to the server's on_error where authorize raised: nobody was let in", function()
    local told = {}
    scene.play({ authorize = function() error("boom", 0) end }, function(s)
      s.server:on_error(function(message) told[#told + 1] = message end)
      assert.equal(500, s:refusal(peer.request()).status)
      assert.same({ "boom" }, told)
      assert.same({}, s.records)
    end)
  end)

  -- A server of its own, whose standard error is read. Its handler is the code; it goes on serving afterwards.
  -- lines: how many it prints for two connections, if they are to be counted.
  local function stderr_of(handler, act, lines)
    program.run(function(server)
      local port = math.tointeger(server:await "^port (%d+)$")
      local function open()
        local p = peer.open { port = port }
        p:send(peer.text "hi")
        return p
      end
      local p = open()
      assert.equal(CLOSE_1011, peer.describe(p:read_frame()))
      p:drop()
      act(server)
      p = open()
      assert.equal(CLOSE_1011, peer.describe(p:read_frame()))
      p:drop()
      assert.equal(0, server:stop())
      if lines then assert.equal(lines, #server.lines - 1) end -- and its port
    end, "-e", ([[
      local moonsocket = require "moonsocket"
      local server = assert(moonsocket.serve("127.0.0.1:0", function(ws) %s end))
      print("port " .. server.port)
      moonsocket.run()
    ]]):format(handler))
  end

  prints("on stderr where nobody listens", function()
    stderr_of([[ws:on_message(function() error "boom" end)]], function(server)
      server:await "^moonsocket: error in a callback: .*: boom$"
      server:await "^stack traceback:$"
    end)
  end)

  prints("on stderr no more where somebody listens", function()
    stderr_of([[
      ws:on_error(function(message) print("told: " .. message) end)
      ws:on_message(function() error("boom", 0) end)
    ]], function(server)
      server:await "^told: boom$"
    end, 2)
  end)

  prints("on stderr where on_error itself raises", function()
    stderr_of([[
      ws:on_error(function() error("worse", 0) end)
      ws:on_message(function() error "boom" end)
    ]], function(server)
      server:await "^moonsocket: error in a callback: worse$"
    end)
  end)

  prints("on stderr even if it cannot be made a string", function()
    stderr_of([[
      ws:on_message(function() error(setmetatable({}, { __tostring = function() error "no" end })) end)
    ]], function(server)
      server:await "^moonsocket: error in a callback"
    end)
  end)
end)

describe("terminate", function()
  local TERMINATED = { code = 1006, reason = "terminated", clean = false, by = "local" }

  local function with(more)
    local outcome = {}
    for name, value in pairs(TERMINATED) do outcome[name] = value end
    for name, value in pairs(more) do outcome[name] = value end
    return outcome
  end

  -- Of what the handler said after terminate, its return value first.
  local AFTER = { true, { nil, "closed", 1006 }, "closed" }
  local function terminate(ws, into)
    into[#into + 1] = ws:terminate()
    into[#into + 1] = { ws:send "too late" }
    into[#into + 1] = ws.state
  end

  serving("cannot be called before there is a ws", function()
    scene.play({}, function(s)
      local p = s:connect()
      p:send(peer.request():sub(1, -2))
      moonsocket.sleep(0)
      assert.same({}, s.server:connections())
    end)
  end)

  for name, how in pairs(PROVOKE) do
    it("drops TCP inside on_" .. name, function()
      local after = {}
      play(function(ws)
        ws:on_message(function() end)
        ws["on_" .. name](ws, function() terminate(ws, after) end)
        if how.sends then ws:send(how.sends) end
      end, function(s, open)
        local p = open(how.bytes)
        local _, tcp = p:read_all()
        assert.equal("reset", tcp)
        assert.same(TERMINATED, s:told())
        assert.same(AFTER, after)
      end)
    end)
  end

  local places = {
    ["in the handler, after it has waited"] = function(ws, after)
      moonsocket.sleep(0.01)
      terminate(ws, after)
    end,
    ["in a plain loop"] = function(ws, after)
      for _ in ws:messages() do terminate(ws, after) end
    end,
    ["in on_message that has waited"] = function(ws, after)
      ws:on_message(function()
        moonsocket.sleep(0)
        terminate(ws, after)
      end)
    end,
    ["in on_error"] = function(ws, after)
      ws:on_error(function() terminate(ws, after) end)
      ws:on_message(error)
    end,
    ["in a timer"] = function(ws, after)
      ws:on_message(function() end)
      moonsocket.after(0.01, function() terminate(ws, after) end)
    end,
    ["with another message behind the one that it answers"] = function(ws, after)
      ws:on_message(function(message)
        assert(message == "hi")
        terminate(ws, after)
      end)
    end,
  }
  for name, start in pairs(places) do
    it("drops TCP " .. name, function()
      local after = {}
      play(function(ws) start(ws, after) end, function(s, open)
        local p = open(peer.text "hi" .. peer.text "more")
        assert.same(with { wire = {}, tcp = "reset" }, s:outcome(p))
        assert.same(AFTER, after)
      end)
    end)
  end

  serving("drops TCP in the handler's first line, before the answer to the request has left", function()
    local after = {}
    scene.play({ handler = function(ws) terminate(ws, after) end }, function(s)
      local p = s:connect()
      p:send(peer.request())
      assert.same(with { wire = {}, tcp = "reset" }, s:outcome(p))
      assert.same(AFTER, after)
    end)
  end)

  it("in on_closing leaves the peer's Close unanswered", function()
    play(function(ws)
      ws:on_message(function() end)
      ws:on_closing(function() ws:terminate() end)
    end, function(s, open)
      assert.same({
        code = 4000, reason = "bye", clean = false, by = "peer", received = 4000, wire = {}, tcp = "reset",
      }, s:outcome(open(peer.close(4000, "bye"))))
    end)
  end)

  it("throws away what is queued", function()
    play(function(ws)
      ws:on_message(function() ws:terminate() end)
      ws:send(LARGE)
    end, function(s, open)
      local p = open(peer.text "hi")
      assert.same(TERMINATED, s:told())
      local rest, tcp = p:read_rest()
      assert.equal("reset", tcp)
      assert.is_true(#rest < #LARGE)
    end)
  end)

  it("ends a closing handshake that we began", function()
    play(function(ws)
      ws:on_message(function() ws:terminate() end)
      ws:close(4000, "enough")
    end, function(s, open)
      local p = open()
      assert.equal("close 4000 enough", peer.describe(p:read_frame()))
      p:send(peer.text "hi")
      assert.same(with { sent = 4000, wire = {}, tcp = "reset" }, s:outcome(p))
    end)
  end)

  it("ends the wait for the peer's FIN: what both Close frames said holds", function()
    play(function(ws)
      ws:on_message(function() end)
    end, function(s, open)
      local p = open(peer.close(4000, "bye"))
      local ws = s:ws()
      assert.equal(4000, p:read_frame().code)
      assert.equal("closing", ws.state)
      assert.is_true(ws:terminate())
      assert.same({
        code = 4000, reason = "bye", clean = true, by = "peer", sent = 4000, received = 4000,
      }, s:told())
    end)
  end)

  it("while on_message waits: on_close comes after it", function()
    local log, released = {}, false
    play(function(ws)
      ws:on_message(function(message)
        log[#log + 1] = message
        scene.await("the release", function() return released end)
        log[#log + 1] = ws.state
      end)
    end, function(s, open)
      s.on_close = function() log[#log + 1] = "on_close" end
      local p = open(peer.text "hi")
      scene.await("on_message", function() return log[1] end)
      s:ws():terminate()
      assert.same({ nil, "reset" }, { p:read_frame() })
      assert.same({ "hi" }, log)
      released = true
      assert.same(TERMINATED, s:told())
      assert.same({ "hi", "closed", "on_close" }, log)
      s.on_close = nil
    end)
  end)

  it("says so where the connection has ended, also inside on_close", function()
    local inside, ws
    play(function(this)
      ws = this
      ws:on_message(function() ws:terminate() end)
    end, function(s, open)
      s.on_close = function(this) inside = { this:terminate() } end
      local p = open(peer.close(4000))
      s:outcome(p)
      assert.same({ nil, "closed", 4000 }, inside)
      assert.same({ nil, "closed", 4000 }, { ws:terminate() })
      s.on_close = nil
      s:outcome(open(peer.text "hi"))
      assert.same({ nil, "closed", 1006 }, { ws:terminate() })
      ws = nil
    end)
  end)
end)
