-- Wrong arguments: each message names the caller's line, what was expected and what came.
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local raw = require "raw"

local LONG = ("x"):rep(124)

-- expression -> what its error says (plain text). `server`, `ws`, `timer`, `request` and `f`, a function, are at hand.
local CASES = {
  ["serve"] = {
    ["moonsocket.serve()"] = "an address is a port number or a string, not a nil",
    ["moonsocket.serve(true, f)"] = "an address is a port number or a string, not a boolean",
    ["moonsocket.serve(8080.5, f)"] = "port 8080.5 is not an integer between 0 and 65535",
    ["moonsocket.serve(-1, f)"] = "port -1 is not an integer between 0 and 65535",
    ["moonsocket.serve(65536, f)"] = "port 65536 is not an integer between 0 and 65535",
    ["moonsocket.serve('127.0.0.1:0')"] = "a function(ws, request) or a table of callbacks expected, got nil",
    ["moonsocket.serve('127.0.0.1:0', 'f')"] = "a function(ws, request) or a table of callbacks expected, got string",
    ["moonsocket.serve('127.0.0.1:0', server)"] = "or a table of callbacks expected, got userdata",
    ["moonsocket.serve('127.0.0.1:0', { messsage = f })"] = "unknown callback 'messsage': is 'message' meant?",
    ["moonsocket.serve('127.0.0.1:0', { Close = f })"] = "unknown callback 'Close': is 'close' meant?",
    ["moonsocket.serve('127.0.0.1:0', { on_message = f })"] = "unknown callback 'on_message': is 'message' meant?",
    ["moonsocket.serve('127.0.0.1:0', { f })"] = "unknown callback '1': there are message, close",
    ["moonsocket.serve('127.0.0.1:0', { message = 42 })"] = "the callback 'message' is a number, not a function",
    ["moonsocket.serve('127.0.0.1:0', f, 'x')"] = "serve: a table of options expected, got a string",
    ["moonsocket.serve('127.0.0.1:0', f, false)"] = "serve: a table of options expected, got a boolean",
  },
  ["run, step and stop"] = {
    ["moonsocket.run(42)"] = "run: a function or a table of options expected, got a number",
    ["moonsocket.run('x')"] = "run: a function or a table of options expected, got a string",
    ["moonsocket.run { signal = false }"] = "run: unknown option 'signal': is 'signals' meant?",
    ["moonsocket.run { signals = 'no' }"] = "run: option 'signals': a boolean expected, got no",
    ["moonsocket.step('x')"] = "bad argument #1 to 'step' (number expected, got string)",
    ["moonsocket.step(-1)"] = "bad argument #1 to 'step' (seconds expected, 0 or more)",
    ["moonsocket.step(0/0)"] = "bad argument #1 to 'step' (seconds expected, 0 or more)",
  },
  ["tasks and timers"] = {
    ["moonsocket.go()"] = "bad argument #1 to 'go' (function expected, got no value)",
    ["moonsocket.go('x')"] = "bad argument #1 to 'go' (function expected, got string)",
    ["moonsocket.go(coroutine.create(f))"] = "bad argument #1 to 'go' (function expected, got thread)",
    ["moonsocket.sleep()"] = "bad argument #1 to 'sleep' (number expected, got no value)",
    ["moonsocket.sleep(nil)"] = "bad argument #1 to 'sleep' (number expected, got nil)",
    ["moonsocket.sleep('x')"] = "bad argument #1 to 'sleep' (number expected, got string)",
    ["moonsocket.sleep(-0.1)"] = "bad argument #1 to 'sleep' (seconds expected, 0 or more)",
    ["moonsocket.sleep(0/0)"] = "bad argument #1 to 'sleep' (seconds expected, 0 or more)",
    ["moonsocket.after()"] = "bad argument #1 to 'after' (number expected, got no value)",
    ["moonsocket.after(1)"] = "bad argument #2 to 'after' (function expected, got no value)",
    ["moonsocket.after(f, 1)"] = "bad argument #1 to 'after' (number expected, got function)",
    ["moonsocket.after(nil, f)"] = "bad argument #1 to 'after' (number expected, got nil)",
    ["moonsocket.after(-1, f)"] = "bad argument #1 to 'after' (seconds expected, 0 or more)",
    ["moonsocket.every()"] = "bad argument #1 to 'every' (number expected, got no value)",
    ["moonsocket.every(1)"] = "bad argument #2 to 'every' (function expected, got no value)",
    ["moonsocket.every(nil, f)"] = "bad argument #1 to 'every' (number expected, got nil)",
    ["moonsocket.every(0, f)"] = "bad argument #1 to 'every' (an interval of at least 0.001 s expected)",
    ["timer.cancel()"] = "bad argument #1 to 'cancel' (moonsocket.timer expected, got no value)",
    ["timer.cancel(ws)"] = "bad argument #1 to 'cancel' (moonsocket.timer expected, got moonsocket.websocket)",
  },
  ["on_signal"] = {
    ["moonsocket.on_signal()"] = "bad argument #1 to 'on_signal' (string expected, got no value)",
    ["moonsocket.on_signal('HUP')"] = "bad argument #2 to 'on_signal' (function expected, got no value)",
    ["moonsocket.on_signal('HUP', 5)"] = "bad argument #2 to 'on_signal' (function expected, got number)",
    ["moonsocket.on_signal('KILL', f)"] = "no signal that can be caught: 'KILL'; \"HUP\", \"INT\", \"TERM\", ",
    ["moonsocket.on_signal(2, f)"] = "no signal that can be caught: '2'; \"HUP\", \"INT\", \"TERM\", ",
  },
  ["wait"] = {
    ["moonsocket.wait()"] = "#1 to 'wait' (a file descriptor, or an object with a method getfd, expected)",
    ["moonsocket.wait('0', 'r')"] = "#1 to 'wait' (a file descriptor, or an object with a method getfd, expected)",
    ["moonsocket.wait(0.5, 'r')"] = "#1 to 'wait' (a file descriptor, or an object with a method getfd, expected)",
    ["moonsocket.wait({}, 'r')"] = "#1 to 'wait' (a file descriptor, or an object with a method getfd, expected)",
    ["moonsocket.wait({ getfd = 0 }, 'r')"] = "#1 to 'wait' (a file descriptor, or an object with a method getfd, ",
    ["moonsocket.wait(io.stdin, 'r')"] = "#1 to 'wait' (a file descriptor, or an object with a method getfd, expected)",
    ["moonsocket.wait(ws, 'r')"] = "#1 to 'wait' (a file descriptor, or an object with a method getfd, expected)",
    ["moonsocket.wait({ getfd = f }, 'r')"] = "#1 to 'wait' (its method getfd returned no file descriptor)",
    ["moonsocket.wait(0)"] = "#2 to 'wait' (string expected, got no value)",
    ["moonsocket.wait(0, 'rw')"] = "#2 to 'wait' (\"r\" or \"w\" expected, got 'rw')",
    ["moonsocket.wait(0, 'r', 'x')"] = "#3 to 'wait' (number expected, got string)",
    ["moonsocket.wait(0, 'r', -1)"] = "#3 to 'wait' (seconds expected, 0 or more)",
  },
  ["is_unexpected"] = {
    ["moonsocket.is_unexpected()"] = "a close code, as on_close is told it, expected, got nil",
    ["moonsocket.is_unexpected('1000')"] = "a close code, as on_close is told it, expected, got 1000",
    ["moonsocket.is_unexpected(1000, nil)"] = "a close code, as on_close is told it, expected, got nil",
    ["moonsocket.is_unexpected(1000, 1000, 'GOING_AWAY')"] = "as on_close is told it, expected, got GOING_AWAY",
  },
  ["the server"] = {
    ["server.broadcast('x')"] = "bad argument #1 to 'broadcast' (moonsocket.server expected, got string)",
    ["server.stats()"] = "bad argument #1 to 'stats' (moonsocket.server expected, got no value)",
    ["server.connections(ws)"] = "(moonsocket.server expected, got moonsocket.websocket)",
    ["server:broadcast()"] = "bad argument #1 to 'broadcast' (string expected, got no value)",
    ["server:broadcast({})"] = "bad argument #1 to 'broadcast' (string expected, got table)",
    ["server:broadcast('\xff')"] = "bad argument #1 to 'broadcast' (text is not valid UTF-8: send it as \"binary\")",
    ["server:broadcast('x', true)"] = "the kind of a message is \"text\" or \"binary\", not true",
    ["server:on_error()"] = "bad argument #1 to 'on_error' (function expected, got no value)",
    ["server:on_error('x')"] = "bad argument #1 to 'on_error' (function expected, got string)",
    ["server:shutdown('x')"] = "bad argument #1 to 'shutdown' (table expected, got string)",
    ["server:shutdown(1001)"] = "bad argument #1 to 'shutdown' (table expected, got number)",
    ["server:shutdown { drian = 1 }"] = "shutdown: unknown option 'drian': code, reason, drain or spread expected",
    ["server:shutdown { 1001 }"] = "shutdown: unknown option '1': code, reason, drain or spread expected",
    ["server:shutdown { code = 1006 }"] = "option 'code': 1006 is not a close code that may be sent: 1000-1003, ",
    ["server:shutdown { code = 'x' }"] = "option 'code': x is not a close code that may be sent: 1000-1003, ",
    ["server:shutdown { code = 1000.5 }"] = "option 'code': 1000.5 is not a close code that may be sent: 1000-1003, ",
    ["server:shutdown { reason = {} }"] = "option 'reason': a string expected, got table",
    ["server:shutdown { reason = LONG }"] = "option 'reason': a reason of 124 bytes is too long: at most 123 fit",
    ["server:shutdown { reason = '\xff' }"] = "option 'reason': the reason is not valid UTF-8",
    ["server:shutdown { drain = -1 }"] = "option 'drain': seconds, 0 or more, expected, got -1",
    ["server:shutdown { drain = '10' }"] = "option 'drain': seconds, 0 or more, expected, got 10",
    ["server:shutdown { spread = 0/0 }"] = "option 'spread': seconds, 0 or more, expected, got ",
    ["set(server, 'on_error', f)"] = "on_error is a method: server:on_error(fn)",
    ["set(server, 'shutdown', f)"] = "shutdown is a method: server:shutdown(...)",
    ["set(server, 'count', 1)"] = "a server has no fields that can be set, such as count",
    ["set(server, 'user', 1)"] = "a server has no fields that can be set, such as user",
  },
  ["ws.send"] = {
    ["ws.send('x')"] = "bad argument #1 to 'send' (moonsocket.websocket expected, got string)",
    ["ws.send()"] = "bad argument #1 to 'send' (moonsocket.websocket expected, got no value)",
    ["ws.send(server)"] = "bad argument #1 to 'send' (moonsocket.websocket expected, got moonsocket.server)",
    ["ws.send(timer)"] = "bad argument #1 to 'send' (moonsocket.websocket expected, got moonsocket.timer)",
    ["ws.send(io.stdout)"] = "bad argument #1 to 'send' (moonsocket.websocket expected, got FILE*)",
    ["ws.send(debug.upvalueid(f, 1))"] = "(moonsocket.websocket expected, got light userdata)",
    ["ws.send(('x'):rep(1000))"] = "bad argument #1 to 'send' (moonsocket.websocket expected, got string)",
    ["ws.send({})"] = "bad argument #1 to 'send' (moonsocket.websocket expected, got table)",
    ["ws.send(server, 'x')"] = "bad argument #1 to 'send' (moonsocket.websocket expected, got moonsocket.server)",
    ["ws.send(request, 'x')"] = "bad argument #1 to 'send' (moonsocket.websocket expected, got moonsocket.request)",
    ["ws.send(timer, 'x')"] = "bad argument #1 to 'send' (moonsocket.websocket expected, got moonsocket.timer)",
    ["ws.send(io.stdout, 'x')"] = "bad argument #1 to 'send' (moonsocket.websocket expected, got FILE*)",
    ["ws:send()"] = "bad argument #1 to 'send' (string expected, got no value)",
    ["ws:send(nil)"] = "bad argument #1 to 'send' (string expected, got nil)",
    ["ws:send({})"] = "bad argument #1 to 'send' (string expected, got table)",
    ["ws:send(ws)"] = "bad argument #1 to 'send' (string expected, got moonsocket.websocket)",
    ["ws:send('\xff')"] = "bad argument #1 to 'send' (text is not valid UTF-8: send it as \"binary\")",
    ["ws:send('\xed\xa0\x80', 'text')"] = "bad argument #1 to 'send' (text is not valid UTF-8",
    ["ws:send('x', true)"] = "bad argument #2 to 'send' (the kind of a message is \"text\" or \"binary\", not true)",
    ["ws:send('x', false)"] = "bad argument #2 to 'send' (the kind of a message is \"text\" or \"binary\", not false)",
    ["ws:send('x', 'bin')"] = "bad argument #2 to 'send' (the kind of a message is \"text\" or \"binary\", not bin)",
    ["ws:send('x', 'text\\0')"] = "the kind of a message is \"text\" or \"binary\", not text",
    ["ws:send('x', 2)"] = "bad argument #2 to 'send' (the kind of a message is \"text\" or \"binary\", not 2)",
    ["ws:send('x', f)"] = "bad argument #2 to 'send' (the kind of a message is \"text\" or \"binary\", not function",
  },
  ["ws.close"] = {
    ["ws:close('x')"] = "bad argument #1 to 'close' (number expected, got string)",
    ["ws:close({})"] = "bad argument #1 to 'close' (number expected, got table)",
    ["ws:close(1000.5)"] = "bad argument #1 to 'close' (number has no integer representation)",
    ["ws:close(1000, {})"] = "bad argument #2 to 'close' (string expected, got table)",
    ["ws:close(1000, LONG)"] = "#2 to 'close' (a reason of 124 bytes is too long: at most 123 fit in a Close frame)",
    ["ws:close(1000, '\xff')"] = "bad argument #2 to 'close' (the reason is not valid UTF-8)",
    ["ws:close(nil, '\xe2\x82')"] = "bad argument #2 to 'close' (the reason is not valid UTF-8)",
  },
  ["the other methods of ws"] = {
    ["ws:ping(LONG .. 'xx')"] = "bad argument #1 to 'ping' (the payload of a ping has at most 125 bytes)",
    ["ws:ping({})"] = "bad argument #1 to 'ping' (string expected, got table)",
    ["ws:drain('x')"] = "bad argument #1 to 'drain' (number expected, got string)",
    ["ws:drain(-1)"] = "bad argument #1 to 'drain' (seconds expected, 0 or more)",
    ["ws:receive('x')"] = "bad argument #1 to 'receive' (number expected, got string)",
    ["ws:receive(-1)"] = "bad argument #1 to 'receive' (seconds expected, 0 or more)",
    ["ws:wait_closed('x')"] = "bad argument #1 to 'wait_closed' (number expected, got string)",
    ["ws:wait_closed(0/0)"] = "bad argument #1 to 'wait_closed' (seconds expected, 0 or more)",
    ["ws.messages()"] = "bad argument #1 to 'messages' (moonsocket.websocket expected, got no value)",
    ["ws:messages()('x')"] = "(moonsocket.websocket expected, got string)",
  },
  ["request"] = {
    ["setmetatable(request.headers, nil)"] = "cannot change a protected metatable",
    ["setmetatable(ws, nil)"] = "table expected, got moonsocket.websocket",
    ["setmetatable(server, nil)"] = "table expected, got moonsocket.server",
  },
}

for _, code in ipairs { -1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536 + 1000, math.maxinteger } do
  CASES["ws.close"][("ws:close(%d)"):format(code)] = ("bad argument #1 to 'close' (%d is not a close code that may be "
    .. "sent: 1000-1003, 1007-1014 or 3000-4999 expected)"):format(code)
end
for _, event in ipairs { "message", "close", "closing", "ping", "pong", "drain", "error" } do
  local name = "on_" .. event
  local expected = ("bad argument #1 to '%s' (function expected, got "):format(name)
  CASES["the other methods of ws"][("ws:%s()"):format(name)] = expected .. "no value)"
  CASES["the other methods of ws"][("ws:%s('x')"):format(name)] = expected .. "string)"
  CASES["the other methods of ws"][("ws:%s(setmetatable({}, { __call = f }))"):format(name)] = expected .. "table)"
end

describe("wrong arguments of", function()
  local server, fd, at_hand

  setup(function()
    at_hand = setmetatable({
      moonsocket = moonsocket,
      f = function() return raw end,
      timer = moonsocket.after(1000, print),
      set = function(object, name, value)
        local ok, wrong = pcall(function() object[name] = value end)
        if not ok then error((wrong:gsub("^.-:%d+: ", "")), 2) end
      end,
      LONG = LONG,
    }, { __index = _G })
    server = assert(moonsocket.serve("127.0.0.1:0", function(ws, request)
      at_hand.ws, at_hand.request = ws, request
      ws:wait_closed() -- no consumer: neither receive nor on_message is in the other's way
    end))
    at_hand.server = server
    fd = raw.connect("127.0.0.1", server.port)
    raw.send(fd, peer.request())
    while not at_hand.ws do moonsocket.step(0.01) end
  end)

  teardown(function()
    raw.close(fd)
    at_hand.timer:cancel()
    server:shutdown { drain = 0 }
    moonsocket.step()
  end)

  -- Lines of different numbers: the position in the message must be the call's.
  local function error_of(expression, padding)
    local chunk = ("\n"):rep(padding) .. "local _ = " .. expression .. "\nreturn _"
    local ok, wrong = pcall(assert(load(chunk, "=caller", "t", at_hand)))
    assert.is_false(ok, expression .. " raises nothing")
    return wrong
  end

  local padding = 0
  for subject, cases in pairs(CASES) do
    for expression, wanted in pairs(cases) do
      padding = padding + 1
      local line = padding + 1
      it(("%s: %q"):format(subject, expression), function()
        local wrong = error_of(expression, line - 1)
        local position = ("caller:%d: "):format(line)
        assert.equal(position, wrong:sub(1, #position))
        assert.is_truthy(wrong:find(wanted, 1, true), ("%q does not say %q"):format(wrong, wanted))
        assert.equal("open", at_hand.ws.state)
        assert.equal(1, server.count)
      end)
    end
  end
end)

describe("numbers out of any range", function()
  it("mean a very long time, not none", function()
    local called = false
    local timers = {
      moonsocket.after(1e300, function() called = true end),
      moonsocket.after(math.huge, function() called = true end),
      moonsocket.every(1e300, function() called = true end),
      moonsocket.every(math.huge, function() called = true end),
    }
    moonsocket.after(0.01, function() for _, timer in ipairs(timers) do timer:cancel() end end)
    moonsocket.run { signals = false }
    assert.is_false(called)
  end)

  it("are waited for by step", function()
    local woken, turns = false, 0
    moonsocket.after(0.05, function() woken = true end)
    while not woken do
      moonsocket.step(math.huge)
      turns = turns + 1
    end
    assert.is_true(turns < 10, turns .. " turns")
  end)

  it("make a shutdown wait for everybody", function()
    local server = assert(moonsocket.serve("127.0.0.1:0", { message = print }))
    local closed, aborted
    moonsocket.go(function()
      local p = peer.open(server)
      moonsocket.go(function() closed, aborted = server:shutdown { drain = math.huge } end)
      assert.equal("close 1001", peer.describe(p:read_frame()))
      p:send(peer.close(1001))
      assert.equal("fin", (select(2, p:read_all())))
      p:drop()
    end)
    moonsocket.run { signals = false }
    assert.same({ 1, 0 }, { closed, aborted })
  end)

  it("name no descriptor", function()
    for _, fd in ipairs { -1, math.mininteger, 2 ^ 31 | 0, 2 ^ 32 | 0, math.maxinteger } do
      assert.same({ nil, "Bad file descriptor", 9 }, { moonsocket.wait(fd, "r", 0.1) })
    end
  end)
end)

describe("the metatable of", function()
  local function shows(what, get)
    it(what .. " is out of reach", function()
      local server = assert(moonsocket.serve("127.0.0.1:0", { message = print }))
      moonsocket.go(function()
        local p = peer.open(server)
        assert.equal("moonsocket." .. what, getmetatable(get(server, server:connections()[1])))
        p:drop()
        server:shutdown { drain = 0 }
      end)
      moonsocket.run { signals = false }
    end)
  end
  shows("server", function(server) return server end)
  shows("websocket", function(_, ws) return ws end)
  shows("request", function(_, ws) return ws.request end)
  shows("headers", function(_, ws) return ws.request.headers end)
  shows("timer", function()
    local timer = moonsocket.after(0, function() end)
    return timer
  end)
end)
