-- moonsocket.prepare: a message that is framed and compressed once, and sent to many.
local client_scene = require "spec.support.client_scene"
local deflate = require "deflate"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene"

local RSV1 = 4
local LONG = ("The same words come again and again. "):rep(100)
local OFFER = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
local NARROW = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n"

-- What a peer gets next, in words.
local function next_frame(p) return peer.describe(assert(p:read_frame())) end

local function quiet(ws) ws:on_message(function() end) end

describe("a prepared message", function()
  it("is sent by send and broadcast, any number of times", function()
    scene.play({ handler = quiet }, function(s)
      local peers = { s:open(), s:open() }
      local text, binary = moonsocket.prepare "hello", moonsocket.prepare("\xff\0", "binary")
      local empty = moonsocket.prepare ""
      for _ = 1, 3 do
        assert.equal(2, s.server:broadcast(text))
        for _, ws in ipairs(s.server:connections()) do assert.is_true(ws:send(binary)) end
        assert.equal(2, s.server:broadcast(empty))
      end
      for _, p in ipairs(peers) do
        for _ = 1, 3 do
          assert.same({ "text hello", "binary \xff\0", "text" }, { next_frame(p), next_frame(p), next_frame(p) })
        end
      end
      assert.same({ 18, 3 * 2 * 7 }, { s.server:stats().messages_out, s.server:stats().bytes_out })
    end)
  end)

  it("is of any length that a frame's head can say", function()
    scene.play({ handler = quiet }, function(s)
      local p = s:open()
      for _, size in ipairs { 125, 126, 65535, 65536, 300000 } do
        local message = ("0123456789"):rep(size // 10) .. ("x"):rep(size % 10)
        assert.equal(1, s.server:broadcast(moonsocket.prepare(message)))
        assert.equal(message, assert(p:read_frame()).payload)
      end
    end)
  end)

  it("holds its text, whatever the collector does", function()
    scene.play({ handler = quiet }, function(s)
      local p = s:open()
      local prepared = moonsocket.prepare(table.concat { "made of ", tostring(42), (" pieces"):rep(20) })
      for _ = 1, 3 do collectgarbage() end
      s.server:broadcast(prepared)
      prepared = nil -- luacheck: ignore
      collectgarbage()
      assert.equal("text made of 42" .. (" pieces"):rep(20), next_frame(p))
    end)
  end)

  it("says what it is", function()
    assert.equal("moonsocket.prepared: text of 5 bytes", tostring(moonsocket.prepare "hello"))
    assert.equal("moonsocket.prepared: binary of 0 bytes", tostring(moonsocket.prepare("", "binary")))
  end)

  it("waits, where the queue is full, as a string does", function()
    local prepared = moonsocket.prepare(("x"):rep(100000), "binary")
    local sent = 0
    scene.play({ max_buffered = 150000, on_overflow = "wait", receive_buffer = 4096, handler = function(ws)
      ws:on_message(function() end)
      for _ = 1, 100 do
        assert(ws:send(prepared))
        sent = sent + 1
      end
    end }, function(s)
      local p = s:open()
      s.await("a full queue", function() return s:ws() and s:ws().buffered > 50000 end)
      assert.is_true(sent < 100)
      for _ = 1, 100 do assert.equal(100000, #assert(p:read_frame()).payload) end
      s.await("all", function() return sent == 100 end)
    end)
  end)

  it("overflows, and says so", function()
    local prepared = moonsocket.prepare(("x"):rep(100000), "binary")
    local answers = {}
    scene.play({ max_buffered = 150000, on_overflow = "drop", receive_buffer = 4096, handler = function(ws)
      for _ = 1, 100 do answers[#answers + 1] = table.pack(ws:send(prepared)) end
      ws:wait_closed()
    end }, function(s)
      local p = s:open()
      s.await("all", function() return #answers == 100 end)
      assert.is_true(answers[1][1])
      assert.same({ n = 2, nil, "overflow" }, answers[100])
      p:reset()
    end)
  end)
end)

describe("prepare", function()
  local p = moonsocket.prepare "hello"
  local wrong = {
    { { nil }, "bad argument #1 to 'prepare' (string expected, got nil)" },
    { { {} }, "bad argument #1 to 'prepare' (string expected, got table)" },
    { { p }, "bad argument #1 to 'prepare' (string expected, got moonsocket.prepared)" },
    { { "\xff" }, "bad argument #1 to 'prepare' (text is not valid UTF-8: send it as \"binary\")" },
    { { "a", true }, "bad argument #2 to 'prepare' (the kind of a message is \"text\" or \"binary\", not true)" },
    { { "a", "blob" }, "bad argument #2 to 'prepare' (the kind of a message is \"text\" or \"binary\", not blob)" },
  }
  for _, case in ipairs(wrong) do
    it("raises: " .. case[2], function()
      assert.error_matches(function() moonsocket.prepare(table.unpack(case[1], 1, 2)) end, case[2], 1, true)
    end)
  end

  it("has said the kind: none may stand behind what it returned", function()
    scene.play({ handler = quiet }, function(s)
      s:open()
      s.await("a connection", function() return s:ws() end)
      local expected = "a prepared message has its kind already"
      assert.error_matches(function() s:ws():send(p, "text") end, "#2 to 'send' %(" .. expected)
      assert.error_matches(function() s.server:broadcast(p, "text") end, "#2 to 'broadcast' %(" .. expected)
      assert.error_matches(function() s.server:publish("t", p, "text") end, "#3 to 'publish' %(" .. expected)
    end)
  end)

  it("hides what it returned from meddling", function()
    assert.equal("moonsocket.prepared", getmetatable(p))
    assert.is_nil(p.anything)
    assert.has_error(function() p.anything = 1 end)
  end)
end)

describe("a prepared message on compressed connections", function()
  it("is compressed alike for all who agreed on the same", function()
    scene.play({ compression = true, handler = quiet }, function(s)
      local peers = { s:open(OFFER), s:open(NARROW), s:open(), s:open(OFFER) }
      local prepared = moonsocket.prepare(LONG)
      for _ = 1, 3 do
        assert.equal(4, s.server:broadcast(prepared))
        local payloads = {}
        for i, p in ipairs(peers) do
          local frame = assert(p:read_frame())
          assert.equal(i == 3 and 0 or RSV1, frame.rsv)
          assert.equal(LONG, i == 3 and frame.payload or deflate.inflater()(frame.payload))
          payloads[i] = frame.payload
        end
        assert.equal(payloads[1], payloads[4])
      end
    end)
  end)

  it("fits the window of each", function()
    local noise, parts = 1, {}
    for i = 1, 2000 do
      noise = (noise * 1103515245 + 12345) % 2147483648
      parts[i] = string.char(noise >> 16 & 63)
    end
    local far = table.concat(parts):rep(2) -- what comes again is further away than 512 bytes
    scene.play({ compression = true, handler = quiet }, function(s)
      local wide, narrow = s:open(OFFER), s:open(NARROW)
      s.server:broadcast(far)
      local frames = { wide:read_frame(), narrow:read_frame() }
      assert.is_true(#frames[1].payload < #frames[2].payload)
      assert.is_true(deflate.inflater(15)(frames[1].payload) == far)
      assert.is_true(deflate.inflater(9)(frames[2].payload) == far)
    end)
  end)

  it("is plain below the threshold", function()
    scene.play({ compression = { threshold = 10 }, handler = quiet }, function(s)
      local p = s:open(OFFER)
      for size, rsv in pairs { [0] = 0, [9] = 0, [10] = RSV1 } do
        s.server:broadcast(moonsocket.prepare(("a"):rep(size)))
        assert.equal(rsv, p:read_frame().rsv)
      end
    end)
  end)

  it("belongs to the context of a connection that takes over, between its other messages", function()
    scene.play({ compression = { server_no_context_takeover = false }, handler = quiet }, function(s)
      local p, q = s:open(OFFER), s:open(OFFER)
      local prepared = moonsocket.prepare(LONG)
      local inflate, inflate_later = deflate.inflater(), deflate.inflater()
      s.server:broadcast(prepared)
      s:ws():send(LONG .. "!")
      s.server:broadcast(prepared)
      local sizes = {}
      for _, one in ipairs { { p, inflate }, { q, inflate_later } } do
        local first = one[1]:read_frame()
        assert.equal(LONG, one[2](first.payload))
        local second = one[1]:read_frame()
        local message = one[2](second.payload)
        if message ~= LONG then
          assert.equal(LONG .. "!", message)
          second = one[1]:read_frame()
          assert.equal(LONG, one[2](second.payload))
        end
        assert.is_true(#second.payload < #first.payload) -- it refers to the one before
        sizes[#sizes + 1] = #first.payload
      end
      assert.equal(sizes[1], sizes[2])
    end)
  end)
end)

describe("a prepared message of a client", function()
  local function as_client(compression, header, act)
    client_scene.play(function(s)
      local job = s:answer(function(connection) connection:upgrade(header) end)
      local ws = assert(s:connect { compression = compression })
      s:join(job)
      act(ws, job.connection)
      ws:terminate()
    end)
  end

  it("has a mask of its own each time", function()
    as_client(false, "", function(ws, connection)
      local prepared, keys = moonsocket.prepare "hello", {}
      for _ = 1, 5 do
        ws:send(prepared)
        local frame = connection:read_frame()
        assert.same({ "hello", true }, { frame.payload, frame.masked })
        keys[frame.key] = true
      end
      local count = 0
      for _ in pairs(keys) do count = count + 1 end
      assert.is_true(count > 1)
    end)
  end)

  it("is compressed once where nothing is taken over, and masked each time", function()
    local header = OFFER:gsub("\r\n", "; server_no_context_takeover; client_no_context_takeover\r\n")
    as_client(true, header, function(ws, connection)
      local prepared, payload = moonsocket.prepare(LONG), nil
      for _ = 1, 3 do
        ws:send(prepared)
        local frame = connection:read_frame()
        assert.same({ RSV1, true }, { frame.rsv, frame.masked })
        assert.equal(LONG, deflate.inflater()(frame.payload))
        assert.equal(payload or frame.payload, frame.payload)
        payload = frame.payload
      end
    end)
  end)
end)
