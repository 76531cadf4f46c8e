-- How a client's connection ends: RFC 6455 sections 5.1, 5.5.1, 7.1.1 to 7.1.7, from the other side than spec/endings/.
local client_scene = require "spec.support.subject".client_scene
local moonsocket = require "moonsocket"
local outcome = require "spec.support.outcome"
local raw_server = require "spec.support.raw_server"

local text, close, frame = raw_server.text, raw_server.close, raw_server.frame

-- What the application got; its messages are taken by on_message.
local function listen(ws)
  local got = {}
  ws:on_message(function(message) got[#got + 1] = message end)
  return got
end

-- Plays act(connection, ws, s) on an open connection. Returns its outcome and what the application got.
local function play(act, options)
  local actual, got
  client_scene.play(function(s)
    local ws, connection = s:open(options)
    got = listen(ws)
    act(connection, ws, s)
    actual = s:outcome(connection)
  end)
  return actual, got
end

-- The same where the server's side of TCP is gone after act: the wire is not looked at.
local function told_after(act, options)
  local told, got
  client_scene.play(function(s)
    local ws, connection = s:open(options)
    got = listen(ws)
    act(connection, ws, s)
    told = s:told()
  end)
  return told, got
end

local function with(base, fields)
  local all = {}
  for name, value in pairs(base) do all[name] = value end
  for name, value in pairs(fields) do all[name] = value end
  return all
end

local NO_CLOSE = { code = 1006, clean = false, by = "network" }
local UNANSWERED = { code = 1006, clean = false, by = "local", sent = 4000 }

describe("the server's Close", function()
  local cases = {
    { "without a code", close(), outcome.answered(nil) },
    { "with a code", close(1000), outcome.answered(1000) },
    { "with a code and a reason", close(4001, "bye ✓"), outcome.answered(4001, "bye ✓") },
    { "with 1012", close(1012, "restart"), outcome.answered(1012, "restart") },
    { "behind messages", text "one" .. text "two" .. close(1001), outcome.answered(1001), { "one", "two" } },
    { "behind a Ping", raw_server.ping "there?" .. close(1000), outcome.answered(1000, "", { "pong there?" }) },
    { "behind half a message", frame { payload = "ha", fin = false } .. close(1000), outcome.answered(1000) },
    { "before a message and another Close", close(1000) .. text "late" .. close(1001), outcome.answered(1000) },
    { "before garbage", close(1000) .. ("\xff"):rep(1000), outcome.answered(1000) },
  }
  for _, case in ipairs(cases) do
    it(case[1] .. " is answered", function()
      local actual, got = play(function(connection) connection:send(case[2]) end)
      assert.same(case[3], actual)
      assert.same(case[4] or {}, got)
    end)
  end

  it("byte by byte is answered", function()
    local actual = play(function(connection) connection:drip(text "one" .. close(4001, "bye")) end)
    assert.same(outcome.answered(4001, "bye"), actual)
  end)

  it("with FIN behind it is answered, and FIN is too", function()
    local actual = play(function(connection)
      connection:send(close(4001, "bye"))
      connection:fin()
    end)
    assert.same(outcome.answered(4001, "bye"), actual)
  end)

  it("is answered as on_closing says", function()
    local actual = play(function(connection, ws)
      ws:on_closing(function(code, reason) return code + 1, reason .. " too" end)
      connection:send(close(4001, "bye"))
    end)
    assert.same(with(outcome.answered(4001, "bye"), { wire = { "close 4002 bye too" }, sent = 4002 }), actual)
  end)

  it("leaves TCP for the server to end (7.1.1): after the answer nothing comes, until its FIN has", function()
    client_scene.play(function(s)
      local ws, connection, record = s:open { close_timeout = 60 }
      connection:send(close(1000))
      assert.equal("close 1000", connection.describe(connection:read_to "close"))
      assert.same({ nil, "timeout" }, { connection:read_frame(0.02) })
      assert.same({ "closing", nil }, { ws.state, record.code })
      connection:fin()
      assert.same({ nil, "fin" }, { connection:read_frame() })
      assert.same({ code = 1000, reason = "", clean = true, by = "peer", sent = 1000, received = 1000 }, s:told())
      assert.equal("closed", ws.state)
    end)
  end)

  it("leaves TCP for the server to end, which never does: dropped after close_timeout", function()
    client_scene.play(function(s)
      local _, connection = s:open { close_timeout = 0.05 }
      connection:send(close(4001, "bye"))
      assert.equal("close 4001", connection.describe(connection:read_to "close"))
      assert.same({ code = 4001, reason = "bye", clean = true, by = "peer", sent = 4001, received = 4001 }, s:told())
      assert.is_truthy(select(2, connection:read_rest()):find "^[fr]")
    end)
  end)

  it("is followed by data without end: dropped after close_timeout", function()
    client_scene.play(function(s)
      local ws, connection, record = s:open { close_timeout = 0.05 }
      local got = listen(ws)
      connection:send(close(4001, "bye"))
      s.await("on_close, whatever is sent", function()
        connection:send(text "more")
        return record.code
      end)
      assert.same({ code = 4001, reason = "bye", clean = true, by = "peer", sent = 4001, received = 4001 }, s:told())
      assert.same({}, got)
    end)
  end)

  it("is followed by RST", function()
    local told = told_after(function(connection)
      connection:send(close(4001, "bye"))
      connection:read_to "close"
      connection:reset()
    end)
    told.error = nil -- there is one if the RST was noticed, which is no matter
    assert.same({ code = 4001, reason = "bye", clean = true, by = "peer", sent = 4001, received = 4001 }, told)
  end)
end)

describe("our close(), answered with", function()
  local function closing(answer)
    return function(connection, ws)
      ws:close(4000, "enough")
      assert.equal("close 4000 enough", connection.describe(connection:read_to "close"))
      if answer then connection:send(answer) end
      connection:fin()
    end
  end

  local function answered(code, reason)
    return { code = code, reason = reason, clean = true, by = "local", sent = 4000, received = code,
      wire = {}, tcp = "fin" }
  end

  local cases = {
    { "the same", close(4000, "enough"), answered(4000, "enough") },
    { "another code", close(1001, "me too"), answered(1001, "me too") },
    { "no code", close(), answered(1005, "") },
    { "data first", text "one" .. text "two" .. close(4000), answered(4000, ""), { "one", "two" } },
    { "a Ping first", raw_server.ping "there?" .. close(4000), answered(4000, "") },
    { "a Close and data", close(4000) .. text "late", answered(4000, "") },
    { "a Close and garbage", close(4000) .. ("\xff"):rep(1000), answered(4000, "") },
  }
  for _, case in ipairs(cases) do
    it(case[1], function()
      local actual, got = play(closing(case[2]))
      assert.same(case[3], actual)
      assert.same(case[4] or {}, got)
    end)
  end

  it("FIN without a Close", function()
    local actual = play(closing())
    assert.equal("fin", actual.tcp)
    assert.matches("before it answered our Close frame", actual.reason, 1, true)
    assert.same(with(UNANSWERED, { wire = {}, tcp = "fin", reason = actual.reason }), actual)
  end)

  it("a Close that crosses it", function()
    local actual = play(function(connection, ws)
      ws:close(4000, "enough")
      connection:send(close(1001, "me too"))
    end)
    assert.same(with(answered(1001, "me too"), { wire = { "close 4000 enough" } }), actual)
  end)

  it("RST", function()
    local told = told_after(function(connection, ws)
      ws:close(4000)
      connection:read_to "close"
      connection:reset()
    end)
    assert.same(with(UNANSWERED, { reason = "connection reset by peer", error = "Connection reset by peer" }), told)
  end)

  it("nothing, until close_timeout", function()
    client_scene.play(function(s)
      local ws, connection = s:open { close_timeout = 0.05 }
      ws:close(4000)
      connection:read_to "close"
      assert.same(with(UNANSWERED, { reason = "closing handshake timed out after 0.05 s" }), s:told())
    end)
  end)

  it("data without end, until close_timeout", function()
    client_scene.play(function(s)
      local ws, connection, record = s:open { close_timeout = 0.05 }
      local got = listen(ws)
      ws:close(4000)
      s.await("on_close, whatever is sent", function()
        connection:send(text "more")
        return record.code
      end)
      assert.same(with(UNANSWERED, { reason = "closing handshake timed out after 0.05 s" }), s:told())
      assert.equal("more", got[1])
    end)
  end)

  it("a Close, while TCP stays open: we wait for the server's FIN (7.1.1)", function()
    client_scene.play(function(s)
      local ws, connection, record = s:open { close_timeout = 60 }
      ws:close(4000)
      connection:read_to "close"
      connection:send(close(4000))
      assert.same({ nil, "timeout" }, { connection:read_frame(0.02) })
      assert.same({ "closing", nil }, { ws.state, record.code })
      connection:fin()
      assert.same({ nil, "fin" }, { connection:read_frame() })
      assert.same({ code = 4000, reason = "", clean = true, by = "local", sent = 4000, received = 4000 }, s:told())
    end)
  end)

  it("a Close, while TCP stays open for ever: dropped after close_timeout", function()
    client_scene.play(function(s)
      local ws, connection = s:open { close_timeout = 0.05 }
      ws:close(4000)
      connection:read_to "close"
      connection:send(close(4000))
      assert.same({ code = 4000, reason = "", clean = true, by = "local", sent = 4000, received = 4000 }, s:told())
    end)
  end)

  it("a Close can be waited for", function()
    client_scene.play(function(s)
      local ws, connection = s:open()
      moonsocket.go(function()
        connection:read_to "close"
        connection:send(close(4000, "fine"))
        connection:fin()
      end)
      ws:close(4000)
      assert.same({ 4000, "fine", { clean = true, by = "local", sent = 4000, received = 4000 } }, { ws:wait_closed() })
      assert.same({ nil, "closed", 4000 }, { ws:send "late" })
    end)
  end)

  it("a protocol error: no second Close is sent", function()
    for _, wrong in ipairs { frame { rsv = 1 }, frame { payload = "x", masked = true }, close(1006) } do
      local actual, got = play(function(connection, ws)
        ws:close(4000, "enough")
        connection:send(text "one" .. wrong .. text "two" .. close(4000))
      end)
      assert.same(with(UNANSWERED, { wire = { "close 4000 enough" }, tcp = "fin", reason = actual.reason }), actual)
      assert.not_equal("", actual.reason)
      assert.same({ "one" }, got)
    end
  end)
end)

describe("the server leaves without a Close:", function()
  local GONE = "connection closed by the peer without a Close frame"

  -- Where it leaves: what it sent before, and what the application got.
  local places = {
    { "right after the 101", "" },
    { "in a frame's first byte", text("one"):sub(1, 1) },
    { "in a frame's length", frame({ payload = ("x"):rep(300) }):sub(1, 3) },
    { "in a payload", text("one"):sub(1, 4) },
    { "between fragments", frame { payload = "o", fin = false } },
    { "behind a message", text "one", { "one" } },
    { "in a Close frame", close(1000, "bye"):sub(1, 5) },
    { "in a Ping", raw_server.ping("there?"):sub(1, 4) },
  }
  for _, place in ipairs(places) do
    it("FIN " .. place[1], function()
      local actual, got = play(function(connection)
        connection:send(place[2])
        connection:fin()
      end)
      assert.same(with(NO_CLOSE, { wire = {}, tcp = "fin", reason = GONE }), actual)
      assert.same(place[3] or {}, got)
    end)

    it("RST " .. place[1], function()
      local told, got = told_after(function(connection)
        connection:send(place[2])
        connection:reset()
      end)
      assert.same(with(NO_CLOSE, { reason = "connection reset by peer", error = "Connection reset by peer" }), told)
      assert.is_true(#got <= #(place[3] or {})) -- what a RST overtakes is lost
    end)
  end

  it("FIN glued to the 101", function()
    client_scene.play(function(s)
      local job = s:answer(function(connection)
        connection:upgrade()
        connection:fin()
      end)
      assert(s:connect())
      s:join(job)
      assert.same(with(NO_CLOSE, { wire = {}, tcp = "fin", reason = GONE }), s:outcome(job.connection))
    end)
  end)

  it("FIN while we send: what we sent before leaves first", function()
    local actual = play(function(connection, ws)
      ws:send "one"
      connection:fin()
    end)
    assert.same(with(NO_CLOSE, { wire = { "text one" }, tcp = "fin", reason = GONE }), actual)
  end)

  it("and nobody has asked for a message yet: receive tells it", function()
    client_scene.play(function(s)
      local ws, connection = s:open()
      connection:send(text "one")
      connection:fin()
      assert.same({ "one", "text" }, { ws:receive() })
      assert.same({ nil, "closed", 1006, GONE }, { ws:receive() })
      assert.equal(1006, ws.close_code)
    end)
  end)
end)

describe("what a server must not send fails the connection with 1002:", function()
  local cases = {
    { "a masked message", frame { payload = "masked", masked = true }, "mask" },
    { "a masked message whose key is 0", frame { payload = "masked", masked = true, key = "\0\0\0\0" }, "mask" },
    { "a masked empty message", frame { masked = true }, "mask" },
    { "a masked Ping", frame { opcode = 9, masked = true }, "mask" },
    { "a masked Close", frame { opcode = 8, payload = "\3\xe8", masked = true }, "mask" },
    { "the head of a masked message", frame({ payload = ("x"):rep(300), masked = true }):sub(1, 2), "mask" },
    { "a masked fragment", frame { payload = "a", fin = false } .. frame { opcode = 0, masked = true }, "mask" },
    { "a reserved bit", frame { rsv = 4, payload = "x" }, "reserved" },
    { "a reserved opcode", frame { opcode = 3 }, "opcode" },
    { "a reserved control opcode", frame { opcode = 11 }, "opcode" },
    { "a continuation of nothing", frame { opcode = 0 }, "continu" },
    { "a Ping in fragments", frame { opcode = 9, fin = false }, "fragment" },
    { "a Ping of 126 bytes", raw_server.ping(("x"):rep(126)), "125" },
    { "half a code", frame { opcode = 8, payload = "\3" }, "half" },
    { "a code that may not be on the wire", close(1006), "1006" },
    { "another HTTP answer", "HTTP/1.1 200 OK\r\n\r\n", "" },
  }
  for _, case in ipairs(cases) do
    it(case[1], function()
      local actual, got = play(function(connection)
        connection:send(text "one" .. case[2] .. text "two" .. close(1000))
      end)
      outcome.check_failed(actual, 1002, case[3])
      assert.same({ "one" }, got)
    end)
  end

  it("and 1007 for text that is not UTF-8", function()
    outcome.check_failed(play(function(connection) connection:send(text "\xff") end), 1007, "UTF-8")
    outcome.check_failed(play(function(connection) connection:send(close(1000, "\xff")) end), 1007, "UTF-8")
  end)

  it("and TCP is ended though the server never does: close_timeout", function()
    client_scene.play(function(s)
      local ws, connection = s:open { close_timeout = 0.05 }
      listen(ws)
      connection:send(frame { masked = true })
      assert.equal(1002, connection:read_to("close").code)
      assert.same({ nil, "fin" }, { connection:read_frame() })
      local told = s:told()
      assert.same({ 1002, "local", 1002, false }, { told.code, told.by, told.sent, told.clean })
    end)
  end)
end)

describe("every frame of ours is masked, with a key of its own:", function()
  it("messages, Pings, Pongs and the Close", function()
    client_scene.play(function(s)
      local ws, connection = s:open()
      local frames, keys = 0, {}
      local function next_frame()
        local f = assert(connection:read_frame())
        assert.is_true(f.masked)
        assert.is_nil(keys[f.key])
        keys[f.key] = true
        frames = frames + 1
        return connection.describe(f)
      end
      for i = 1, 200 do
        ws:send("message " .. i)
        assert.equal("text message " .. i, next_frame())
      end
      ws:send(("x"):rep(200), "binary")
      assert.equal("binary " .. ("x"):rep(200), next_frame())
      ws:send(("y"):rep(70000))
      assert.equal("text " .. ("y"):rep(70000), next_frame())
      ws:send ""
      assert.equal("text", next_frame())
      ws:ping "there?"
      assert.equal("ping there?", next_frame())
      ws:ping()
      assert.matches("^ping ", next_frame())
      connection:send(raw_server.ping "and you?")
      assert.equal("pong and you?", next_frame())
      ws:close(4000, "enough")
      assert.equal("close 4000 enough", next_frame())
      assert.equal(207, frames)
      connection:send(close(4000))
      connection:fin()
      assert.same({ nil, "fin" }, { connection:read_frame() })
    end)
  end)

  it("keys look like random numbers", function()
    client_scene.play(function(s)
      local ws, connection = s:open()
      local ones = {}
      for bit = 1, 32 do ones[bit] = 0 end
      for _ = 1, 1000 do ws:send "" end
      for _ = 1, 1000 do
        local key = (">I4"):unpack(connection:read_frame().key)
        for bit = 1, 32 do ones[bit] = ones[bit] + (key >> (bit - 1) & 1) end
      end
      for bit = 1, 32 do -- 500 with a deviation of 16: this is 9 of them
        assert(ones[bit] > 350 and ones[bit] < 650, ("bit %d was set %d times in 1000"):format(bit, ones[bit]))
      end
      ws:terminate()
    end)
  end)

  it("and what the application sent stays as it was", function()
    client_scene.play(function(s)
      local ws, connection = s:open()
      local message = ("0123456789abcdef"):rep(4096)
      local copy = message:sub(1, -2) .. message:sub(-1)
      ws:send(message)
      assert.equal(copy, message)
      assert.equal(message, connection:read_frame().payload)
      assert.equal(copy, message)
      ws:terminate()
    end)
  end)
end)

-- Reads a masked frame of more than 65535 bytes away, piece by piece.
local function skip_frame(connection, size)
  local left = 2 + 8 + 4 + size
  while left > 0 do
    left = left - #connection:read(math.min(left, 65536))
  end
end

describe("our side", function()
  it("terminate() resets TCP", function()
    client_scene.play(function(s)
      local ws, connection = s:open()
      ws:terminate()
      assert.same({ nil, "reset" }, { connection:read_frame() })
      assert.same({ code = 1006, reason = "terminated", clean = false, by = "local" }, s:told())
    end)
  end)

  it("a callback that raises closes with 1011", function()
    local errors = {}
    local actual = play(function(connection, ws)
      ws:on_error(function(message) errors[#errors + 1] = message end)
      ws:on_message(function(message) error("no " .. message, 0) end)
      connection:send(text "one")
    end)
    assert.same({ "no one" }, errors)
    assert.same({ 1011, "local", 1011, false }, { actual.code, actual.by, actual.sent, actual.clean })
    assert.matches("^close 1011", actual.wire[1])
  end)

  it("a message over max_message fails with 1009", function()
    local actual, got = play(function(connection)
      connection:send(text "1234567890" .. text "12345678901" .. text "late")
    end, { max_message = 10 })
    outcome.check_failed(actual, 1009, "message of 11 bytes is over the limit of 10")
    assert.same({ "1234567890" }, got)
  end)

  it("idle_timeout closes with 1001", function()
    local actual = play(function(connection)
      assert.equal(1001, connection:read_to("close").code)
      connection:send(close(1001))
      connection:fin()
    end, { idle_timeout = 0.05 })
    assert.same({ 1001, "local", 1001, true }, { actual.code, actual.by, actual.sent, actual.clean })
  end)

  it("the heartbeat pings, and a Pong keeps the connection", function()
    local actual = play(function(connection)
      for _ = 1, 3 do connection:send(raw_server.pong(connection:read_to("ping").payload)) end
      connection:send(close(1000))
    end, { ping_interval = 0.02, pong_timeout = 10 })
    assert.same({ 1000, true }, { actual.code, actual.clean })
  end)

  it("the heartbeat is lost where no Pong comes: 1006, and the server is told 1011", function()
    local actual = play(function() end, { ping_interval = 0.02, pong_timeout = 0.03 })
    assert.matches("^ping", actual.wire[1])
    assert.matches("^close 1011", actual.wire[2])
    assert.equal("no pong within 0.03 s", actual.reason)
    assert.same({ 1006, "network", 1011, false }, { actual.code, actual.by, actual.sent, actual.clean })
  end)

  it("a server that takes nothing is dropped after send_timeout", function()
    local told = told_after(function(_, ws)
      ws:send(("x"):rep(8 << 20), "binary")
    end, { send_timeout = 0.1, max_buffered = 1 << 30 })
    assert.same({ 1006, "network", false }, { told.code, told.by, told.clean })
    assert.not_equal("", told.reason)
  end)

  -- Sends twice what only fits once; returns the second result. after(ws, connection, s) sees to the rest.
  local LARGE = 8 << 20 -- more than both kernels' buffers hold
  local function overflow(policy, after)
    local result
    client_scene.play(function(s)
      local ws, connection = s:open { on_overflow = policy, max_buffered = 9 << 20 }
      local large = ("x"):rep(LARGE)
      assert.is_true(ws:send(large, "binary"))
      moonsocket.go(function() result = { ws:send(large, "binary") } end)
      moonsocket.sleep(0)
      moonsocket.sleep(0)
      assert.equal(policy == "wait", result == nil)
      skip_frame(connection, LARGE)
      s.await("send", function() return result end)
      after(ws, connection, s)
    end)
    return result
  end

  it("an overflow closes with 1008", function()
    local result = overflow("close", function(_, connection, s)
      assert.equal(1008, connection:read_to("close").code)
      connection:fin()
      assert.same({ 1008, "local" }, { s:told().code, s:told().by })
    end)
    assert.same({ nil, "overflow" }, { table.unpack(result, 1, 2) })
  end)

  it('an overflow with on_overflow = "drop" drops the message and no more', function()
    local result = overflow("drop", function(ws, connection)
      ws:send "small"
      assert.equal("text small", connection.describe(connection:read_frame()))
      ws:terminate()
    end)
    assert.same({ nil, "overflow" }, { table.unpack(result, 1, 2) })
  end)

  it('an overflow with on_overflow = "wait" waits', function()
    local result = overflow("wait", function(ws, connection)
      skip_frame(connection, LARGE)
      ws:terminate()
    end)
    assert.is_true(result[1])
  end)

  it("a ws that nobody holds lives until its end, whenever the collector runs", function()
    client_scene.play(function(s)
      local got = {}
      local job = s:answer(function(connection) connection:upgrade() end)
      moonsocket.go(function()
        local ws = assert(s:connect())
        ws:on_message(function(message)
          collectgarbage()
          got[#got + 1] = message
        end)
      end)
      s:join(job)
      for i = 1, 10 do
        collectgarbage()
        job.connection:send(text(tostring(i)))
        s.await("the message", function() return #got == i end)
      end
      collectgarbage()
      job.connection:send(close(1000))
      collectgarbage()
      assert.same(outcome.answered(1000), s:outcome(job.connection))
    end)
  end)

  it("a ws is closed where its variable's scope ends", function()
    client_scene.play(function(s)
      local job = s:answer(function(connection)
        connection:upgrade()
        return connection:read_to("close").code
      end)
      do
        local ws <close> = assert(s:connect()) -- luacheck: ignore 211
      end
      assert.equal(1000, s:join(job))
      job.connection:send(close(1000))
      job.connection:fin()
      assert.same({ 1000, true }, { s:told().code, s:told().clean })
    end)
  end)
end)
