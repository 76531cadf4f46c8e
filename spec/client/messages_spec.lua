-- A client and a server of ours, joined: messages, pings, limits and backpressure in both directions.
local handlers = require "spec.support.handlers"
local moonsocket = require "moonsocket"
local scene = require "spec.support.scene"

-- Connects to the scene's server. Its end is told by wait_closed.
local function connect(s, options, suffix)
  local ws = assert(moonsocket.connect(("ws://127.0.0.1:%d%s"):format(s.server.port, suffix or "/"), options))
  s.boxes[ws] = true
  return ws
end

local function play(settings, act)
  settings.handler = settings.handler or handlers.echo
  scene.play(settings, function(s) act(s) end)
end

-- Ends it in order, and checks that both sides say the same.
local function finish(s, ws)
  assert.is_true(ws:close(4000, "done"))
  local code, reason, info = ws:wait_closed()
  assert.same({ 4000, "" }, { code, reason })
  assert.same({ clean = true, by = "local", sent = 4000, received = 4000 }, info)
  assert.same({ code = 4000, reason = "done", clean = true, by = "peer", sent = 4000, received = 4000 }, s:told())
end

local function noise(size)
  local words, n = {}, 0
  local state = 12345
  while n < size do
    state = (state * 1103515245 + 12345) & 0x7fffffff
    words[#words + 1] = (">I4"):pack(state)
    n = n + 4
  end
  return table.concat(words):sub(1, size)
end

describe("messages of a client", function()
  local sizes = { 0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 124, 125, 126, 127, 128, 1000, 16383, 16384, 16385, 65535,
    65536, 65537, 262144, 524288, 524289, 1048575, 1048576 }

  it("of every size come back as they were", function()
    play({}, function(s)
      local ws = connect(s)
      for _, size in ipairs(sizes) do
        local message = noise(size)
        ws:send(message, "binary")
        local back, kind = ws:receive()
        assert.equal("binary", kind)
        assert.is_true(back == message, size)
        message = ("ü"):rep(size // 2)
        ws:send(message)
        back, kind = ws:receive()
        assert.equal("text", kind)
        assert.is_true(back == message, size)
      end
      finish(s, ws)
    end)
  end)

  it("of every size, all at once, come back in order", function()
    play({ max_buffered = 1 << 26 }, function(s)
      local ws = connect(s, { max_buffered = 1 << 26 })
      local messages = {}
      for i, size in ipairs(sizes) do messages[i] = noise(size) end
      for _, message in ipairs(messages) do ws:send(message, "binary") end
      for i, message in ipairs(messages) do assert.is_true(ws:receive() == message, i) end
      finish(s, ws)
    end)
  end)

  it("come as callbacks, and the client's own request is at hand", function()
    play({}, function(s)
      local ws = connect(s, { headers = { ["X-Who"] = "me" } }, "/a?b=c")
      local got = {}
      ws:on_message(function(message, kind)
        got[#got + 1] = kind .. " " .. message
        if #got == 2 then ws:close(4000, "done") end
      end)
      ws:send "one"
      ws:send("two", "binary")
      assert.equal(4000, (ws:wait_closed()))
      assert.same({ "text one", "binary two" }, got)
      assert.same({ "GET", "/a", "b=c", "me" },
        { ws.request.method, ws.request.path, ws.request.query, ws.request.headers["x-who"] })
      assert.equal(("127.0.0.1:%d"):format(s.server.port), ws.request.headers.host)
    end)
  end)

  it("come as a loop", function()
    play({ handler = function(ws)
      for i = 1, 3 do ws:send("message " .. i) end
      ws:close(4001, "no more")
    end }, function(s)
      local ws, got = connect(s), {}
      for message in ws:messages() do got[#got + 1] = message end
      assert.same({ "message 1", "message 2", "message 3" }, got)
      assert.same({ 4001, "no more" }, { ws.close_code, ws.close_reason })
    end)
  end)

  it("go both ways on many connections at once", function()
    play({}, function(s)
      local done = 0
      for i = 1, 50 do
        moonsocket.go(function()
          local ws = connect(s)
          for j = 1, 20 do
            local message = ("%d of %d"):format(j, i)
            ws:send(message)
            assert(ws:receive() == message)
          end
          ws:close()
          if ws:wait_closed() == 1000 then done = done + 1 end
        end)
      end
      s.await("50 clients", function() return done == 50 end)
    end)
  end)
end)

describe("between a client and a server", function()
  it("pings are answered in both directions, and timed", function()
    local server_side
    local function handler(ws)
      server_side = ws
      ws:on_message(function() end)
    end
    play({ handler = handler }, function(s)
      local ws = connect(s)
      s.await("the handler", function() return server_side end)
      local pongs = {}
      for name, each in pairs { client = ws, server = server_side } do
        each:on_pong(function(payload, rtt) pongs[name] = { payload, rtt } end)
        each:ping "there?"
        s.await("the pong", function() return pongs[name] end)
        assert.same({ "there?" }, pongs[name])
        pongs[name] = nil
        each:ping()
        s.await("the timed pong", function() return pongs[name] end)
        assert.is_true(pongs[name][2] >= 0)
        assert.is_true(each.rtt >= 0)
        each:on_pong(nil)
      end
      server_side = nil
      finish(s, ws)
    end)
  end)

  it("heartbeats of both keep a silent connection", function()
    local options = { ping_interval = 0.01, pong_timeout = 10, idle_timeout = 0 }
    play({ ping_interval = 0.01, pong_timeout = 10 }, function(s)
      local ws = connect(s, options)
      local pings = 0
      ws:on_ping(function() pings = pings + 1 end)
      s.await("heartbeats of both sides", function() return pings >= 2 and ws.rtt end)
      finish(s, ws)
    end)
  end)

  it("a message over the client's max_message is its failure: 1009", function()
    play({ handler = function(ws)
      ws:on_message(function() end)
      ws:send(("x"):rep(1001))
    end }, function(s)
      local ws = connect(s, { max_message = 1000 })
      ws:on_message(function() end)
      local code, reason, info = ws:wait_closed()
      assert.same({ 1009, "message of 1001 bytes is over the limit of 1000" }, { code, reason })
      assert.same({ clean = false, by = "local", sent = 1009 }, info)
      assert.same({ 1009, reason, "peer", true }, { s:told().code, s:told().reason, s:told().by, s:told().clean })
    end)
  end)

  it("a message over the server's max_message is the server's: 1009", function()
    play({ max_message = 1000 }, function(s)
      local ws = connect(s)
      ws:send(("x"):rep(1001))
      local code, reason, info = ws:wait_closed()
      assert.same({ 1009, "message of 1001 bytes is over the limit of 1000" }, { code, reason })
      assert.same({ clean = true, by = "peer", sent = 1009, received = 1009 }, info)
    end)
  end)

  it('on_overflow = "wait" carries more than any buffer holds', function()
    play({ on_overflow = "wait", max_buffered = 100000 }, function(s)
      local ws = connect(s, { on_overflow = "wait", max_buffered = 100000 })
      local message, n = ("x"):rep(90000), 200
      moonsocket.go(function()
        for _ = 1, n do assert(ws:send(message, "binary")) end
      end)
      for _ = 1, n do assert.equal(#message, #ws:receive()) end
      finish(s, ws)
    end)
  end)

  it("pause() stops the client's reading, and resume() goes on", function()
    play({}, function(s)
      local ws, got = connect(s), 0
      ws:on_message(function() got = got + 1 end)
      ws:pause()
      for _ = 1, 10 do ws:send "echo" end
      s.await("the echoes", function() return s.server:stats().messages_out == 10 end)
      assert.equal(0, got)
      ws:resume()
      s.await("the messages", function() return got == 10 end)
      finish(s, ws)
    end)
  end)

  it("a subprotocol is agreed on", function()
    play({ subprotocols = { "v1", "v2" } }, function(s)
      for _, case in ipairs { { { "v2", "v1" }, "v2" }, { { "v3", "v1" }, "v1" }, { { "v3" }, nil } } do
        local ws = connect(s, { subprotocols = case[1] })
        assert.equal(case[2], ws.subprotocol)
        ws:close()
        assert.equal(1000, (ws:wait_closed()))
      end
    end)
  end)

  it("authorize sees the URL's user, headers and cookies; its refusal is the client's response", function()
    local function authorize(request)
      if request.headers.authorization ~= "Basic YW5uOnNlY3JldA==" then
        return 401, "who?", { ["WWW-Authenticate"] = "Basic" }
      elseif request.cookies.seat ~= "12" then
        return nil, 4403, "no seat"
      end
      return true
    end
    play({ authorize = authorize }, function(s)
      local ws, message, answer = moonsocket.connect(("ws://127.0.0.1:%d/"):format(s.server.port))
      assert.is_nil(ws)
      assert.matches("401", message)
      assert.same({ 401, "who?", "Basic" }, { answer.status, answer.body, answer.headers["www-authenticate"] })
      local url = ("ws://ann:secret@127.0.0.1:%d/"):format(s.server.port)
      ws = assert(moonsocket.connect(url))
      s.boxes[ws] = true
      local code, reason = ws:wait_closed()
      assert.same({ 4403, "no seat" }, { code, reason })
      ws = assert(moonsocket.connect(url, { cookies = { seat = "12" } }))
      s.boxes[ws] = true
      finish(s, ws)
    end)
  end)

  it("a shutdown tells every client 1001", function()
    play({}, function(s)
      local clients = {}
      for i = 1, 10 do clients[i] = connect(s) end
      s.server:shutdown()
      for _, ws in ipairs(clients) do
        local code, _, info = ws:wait_closed()
        assert.same({ 1001, "peer", true }, { code, info.by, info.clean })
      end
    end)
  end)
end)
