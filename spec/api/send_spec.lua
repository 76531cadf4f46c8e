-- send, ping, drain, pause and resume: what goes out, what they return, what the callbacks are told.
local moonsocket = require "moonsocket"
local scene = require "spec.support.scene"
local peer = require "spec.support.peer"

local KiB, MiB = 1024, 1024 * 1024
local LARGE = 10 * MiB -- more than the kernel takes for a peer that does not read

-- A connection for act(ws, p, s), which runs as a task while the handler stays out of the way.
local function with_connection(act, options)
  local settings = options or {}
  settings.handler = function(ws) ws:wait_closed() end
  scene.play(settings, function(s)
    local p = s:open()
    act(s.server:connections()[1], p, s)
    p:drop()
  end)
end

describe("send", function()
  it("sends text unless told otherwise", function()
    with_connection(function(ws, p)
      assert.same({ n = 2, true, 4 }, table.pack(ws:send "hi")) -- bytes that wait for the end of the turn
      assert.is_true(ws:send("\xe2\x82\xac", "text"))
      assert.is_true(ws:send("nil", nil))
      assert.is_true(ws:send("\0\xff", "binary"))
      assert.is_true(ws:send(42))
      assert.is_true(ws:send "")
      for _, wanted in ipairs { "text hi", "text \xe2\x82\xac", "text nil", "binary \0\xff", "text 42", "text" } do
        assert.equal(wanted, peer.describe(p:read_frame()))
      end
    end)
  end)

  it("announces each length as RFC 6455 section 5.2 has it, in one frame", function()
    with_connection(function(ws, p)
      for _, length in ipairs { 0, 1, 125, 126, 127, 65535, 65536, 16383, 16384, 16385, 1000000 } do
        assert.is_true(ws:send(("x"):rep(length), "binary"))
        local head = assert(p:read(2))
        assert.equal(0x82, head:byte(1))
        local wanted = length < 126 and length or length < 65536 and 126 or 127
        assert.equal(wanted, head:byte(2))
        if wanted == 126 then assert.equal(length, (">I2"):unpack(p:read(2)))
        elseif wanted == 127 then assert.equal(length, (">I8"):unpack(p:read(8))) end
        assert.equal(length, #assert(p:read(length)))
      end
    end, { max_buffered = 2 * MiB })
  end)

  it("keeps the order of messages of any size", function()
    with_connection(function(ws, p)
      local sizes = { 10, 40000, 3, 200000, 0, 16384, 1, 70000, 16385, 5 }
      for i, size in ipairs(sizes) do assert.is_true(ws:send(("%02d"):format(i) .. ("x"):rep(size))) end
      for i, size in ipairs(sizes) do
        local payload = p:read_frame().payload
        assert.same({ i, size + 2 }, { tonumber(payload:sub(1, 2)), #payload })
      end
    end, { max_buffered = 2 * MiB })
  end)

  it("takes any valid UTF-8 as text, and nothing else", function()
    with_connection(function(ws, p)
      for _, good in ipairs {
        "\0", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf",
      } do
        assert.is_true(ws:send(good))
        assert.equal(good, p:read_frame().payload)
      end
      for _, bad in ipairs {
        "\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8", "\xff",
        "ok \xe2\x82", ("x"):rep(100000) .. "\xc3",
      } do
        assert.is_false(pcall(ws.send, ws, bad))
        assert.is_true(ws:send(bad, "binary"))
        assert.equal(bad, p:read_frame().payload)
      end
    end)
  end)

  it("says how many bytes wait to be taken by the kernel, as ws.buffered does", function()
    with_connection(function(ws, p)
      assert.equal(0, ws.buffered)
      local ok, buffered = ws:send(("x"):rep(LARGE), "binary")
      assert.same({ true, ws.buffered }, { ok, buffered })
      assert.is_true(buffered > 0)
      assert.equal(LARGE, #p:read_frame().payload)
      scene.await("an empty queue", function() return ws.buffered == 0 end)
    end, { max_buffered = 2 * LARGE })
  end)

  it("reaches the peer before the handler has returned", function()
    scene.play({
      handler = function(ws)
        ws:send "first"
        assert.equal("answer", (ws:receive()))
        ws:send "second"
      end,
    }, function(s)
      local p = s:open()
      assert.equal("text first", peer.describe(p:read_frame()))
      p:send(peer.text "answer")
      assert.equal("text second", peer.describe(p:read_frame()))
      assert.equal("close 1000", peer.describe(p:read_frame()))
      p:drop()
    end)
  end)

  it("works from any task, timer and other connection's callback", function()
    with_connection(function(ws, p, s)
      local timer = moonsocket.after(0, function() ws:send "from a timer" end)
      assert.equal("text from a timer", peer.describe(p:read_frame()))
      timer:cancel()
      moonsocket.go(function() ws:send "from a task" end)
      assert.equal("text from a task", peer.describe(p:read_frame()))
      coroutine.wrap(function() ws:send "from a coroutine" end)()
      assert.equal("text from a coroutine", peer.describe(p:read_frame()))
      s.on_close = function(other) ws:send("from the end of " .. other.id) end
      local other = s:open()
      other:send(peer.close(1000))
      assert.equal("text from the end of " .. s:ending(2).id, peer.describe(p:read_frame()))
      other:drop()
      s.on_close = nil
    end, { close_timeout = 0.02 })
  end)
end)

describe("drain", function()
  it("returns at once where nothing waits", function()
    with_connection(function(ws, p)
      assert.same({ n = 1, true }, table.pack(ws:drain()))
      ws:send "hi"
      assert.same({ n = 1, true }, table.pack(ws:drain(0)))
      assert.equal("text hi", peer.describe(p:read_frame()))
    end)
  end)

  it("waits until the kernel has taken all, before on_drain is called", function()
    with_connection(function(ws, p, s)
      local order = {}
      ws:on_drain(function() order[#order + 1] = "on_drain " .. ws.buffered end)
      ws:send(("x"):rep(LARGE), "binary")
      moonsocket.go(function() order[#order + 1] = ("drain %s %d"):format(ws:drain(), ws.buffered) end)
      moonsocket.sleep(0.01)
      assert.same({}, order)
      assert.equal(LARGE, #p:read_frame().payload)
      s.await("both", function() return #order == 2 end)
      assert.same({ "drain true 0", "on_drain 0" }, order)
    end, { max_buffered = 2 * LARGE })
  end)

  it("waits no longer than it was told", function()
    with_connection(function(ws, p)
      ws:send(("x"):rep(LARGE), "binary")
      assert.same({ n = 2, nil, "timeout" }, table.pack(ws:drain(0)))
      assert.same({ n = 2, nil, "timeout" }, table.pack(ws:drain(0.005)))
      assert.equal(LARGE, #p:read_frame().payload)
      assert.same({ n = 1, true }, table.pack(ws:drain(peer.TIMEOUT)))
    end, { max_buffered = 2 * LARGE })
  end)

  it("is told of an end that comes first", function()
    with_connection(function(ws, p)
      ws:send(("x"):rep(LARGE), "binary")
      local result
      moonsocket.go(function() result = table.pack(ws:drain()) end)
      moonsocket.sleep(0.001)
      p:reset()
      scene.await("the end", function() return result end)
      assert.same({ n = 3, nil, "closed", 1006 }, result)
    end, { max_buffered = 2 * LARGE })
  end)
end)

describe("ping", function()
  it("sends its payload, of at most 125 bytes", function()
    with_connection(function(ws, p)
      for _, payload in ipairs { "", "hello", "\0\xff", ("x"):rep(125) } do
        assert.same({ n = 1, true }, table.pack(ws:ping(payload)))
        local frame = p:read_frame()
        assert.same({ "ping", payload, true, false }, { frame.name, frame.payload, frame.fin, frame.masked })
      end
      assert.is_false(pcall(ws.ping, ws, ("x"):rep(126)))
      assert.equal("open", ws.state)
    end, { ping_interval = 0 })
  end)

  it("without a payload measures the round trip", function()
    with_connection(function(ws, p, s)
      local told = {}
      ws:on_pong(function(payload, rtt) told[#told + 1] = { #payload, rtt } end)
      assert.is_nil(ws.rtt)
      ws:ping()
      local frame = p:read_frame()
      assert.is_true(frame.name == "ping" and #frame.payload > 0 and #frame.payload <= 125)
      p:send(peer.pong(frame.payload))
      s.await("the pong", function() return told[1] end)
      assert.equal("number", type(told[1][2]))
      assert.is_true(told[1][2] >= 0 and told[1][2] < peer.TIMEOUT)
      assert.is_true(math.abs(ws.rtt - told[1][2]) < 1e-6)
      p:send(peer.pong "unasked" .. peer.pong(frame.payload))
      s.await("two more", function() return told[3] end)
      assert.same({ { 7 }, { #frame.payload } }, { told[2], told[3] }) -- answers to nothing: no time
    end, { ping_interval = 0 })
  end)

  it("of the peer is answered with the same payload, and told to on_ping", function()
    with_connection(function(ws, p, s)
      local told = {}
      ws:on_ping(function(...) told[#told + 1] = table.pack(...) end)
      for _, payload in ipairs { "", "hello", ("x"):rep(125) } do
        p:send(peer.ping(payload))
        assert.equal(payload, p:read_frame().payload)
        s.await("on_ping", function() return #told > 0 end)
        assert.same({ { n = 1, payload } }, told)
        told = {}
      end
    end)
  end)
end)

describe("pause", function()
  it("holds everything back until resume", function()
    with_connection(function(ws, p, s)
      local got = {}
      ws:on_message(function(message) got[#got + 1] = message end)
      p:send(peer.text "one")
      s.await("the first", function() return #got == 1 end)
      assert.same({ n = 1, true }, table.pack(ws:pause()))
      assert.same({ n = 1, true }, table.pack(ws:pause()))
      p:send(peer.text "two" .. peer.ping "are you there?" .. peer.text "three")
      moonsocket.sleep(0.01)
      assert.same({ "one" }, got)
      assert.is_true(ws:send "out")
      assert.equal("text out", peer.describe(p:read_frame()))
      assert.same({ n = 1, true }, table.pack(ws:resume()))
      assert.equal("pong are you there?", peer.describe(p:read_frame()))
      s.await("the rest", function() return #got == 3 end)
      assert.same({ "one", "two", "three" }, got)
      assert.same({ n = 1, true }, table.pack(ws:resume()))
    end)
  end)

  it("inside on_message holds back the next of one segment", function()
    local got = {}
    scene.play({
      handler = function(ws)
        ws:on_message(function(message)
          got[#got + 1] = message
          ws:pause()
          moonsocket.after(0.002, function()
            got[#got + 1] = "resume"
            ws:resume()
          end)
        end)
      end,
    }, function(s)
      local p = s:open()
      p:send(peer.text "a" .. peer.text(("b"):rep(200)) .. peer.text "c")
      s.await("all", function() return #got == 6 end)
      p:drop()
    end)
    assert.same({ "a", "resume", ("b"):rep(200), "resume", "c", "resume" }, got)
  end)

  it("makes a peer wait that sends without end", function()
    with_connection(function(ws, p, s)
      local got = 0
      ws:on_message(function(message) got = got + #message end)
      ws:pause()
      local sent, frame = 0, peer.binary(("x"):rep(64 * KiB))
      moonsocket.go(function()
        for _ = 1, 500 do
          if not p:send(frame) then break end
          sent = sent + 64 * KiB
        end
      end)
      local before
      repeat
        before = sent
        moonsocket.sleep(0.02)
      until before == sent
      assert.same({ 0, true }, { got, sent < 500 * 64 * KiB })
      ws:resume()
      s.await("all of it", function() return got == 500 * 64 * KiB end)
    end)
  end)
end)
