-- What is published, or broadcast, while a subscriber is sending a message in fragments (RFC 6455 section 5.4).
local deflate = require "deflate"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene"

local LONG = ("The same words come again and again. "):rep(100)
local OFFER = "Sec-WebSocket-Extensions: permessage-deflate\r\n"

local compressions = {
  ["without compression"] = { option = false, rsv = 0 },
  ["compressed"] = { option = true, rsv = 4 },
  ["compressed with takeover"] = { option = { server_no_context_takeover = false }, rsv = 4 },
}

-- By name: send(server, message, other) returns how many it was queued for; to_other: the other one is sent it as well.
local ways = {
  ["server:publish"] = { to_other = 1, send = function(server, message) return server:publish("room", message) end },
  ["server:broadcast"] = { to_other = 1, send = function(server, message) return server:broadcast(message) end },
  ["ws:publish"] = { to_other = 0, send = function(_, message, other) return other:publish("room", message) end },
}

local messages = {
  plain = function(text) return text end,
  prepared = moonsocket.prepare,
}

-- Reads a whole message: inflated, its RSV bits, and how many frames it had. No frame of another may be within.
local function read_message(p, inflate)
  local parts, rsv = {}, nil
  repeat
    local frame = assert(p:read_frame())
    assert.equal(rsv and "continuation" or "text", frame.name)
    rsv = rsv or frame.rsv
    parts[#parts + 1] = frame.payload
  until frame.fin
  local payload = table.concat(parts)
  return rsv == 0 and payload or inflate(payload), rsv, #parts
end

-- Plays with two that are subscribed: act(s, a, b); each has ws and read().
local function with_two(options, act)
  local opened = setmetatable({}, { __mode = "v" })
  options.handler = function(ws)
    opened[#opened + 1] = ws
    ws:subscribe "room"
    ws:on_message(function() end)
  end
  scene.play(options, function(s)
    local function open()
      local p, inflate = s:open(options.compression and OFFER or ""), deflate.inflater()
      return { ws = opened[#opened], read = function() return read_message(p, inflate) end }
    end
    act(s, open(), open())
  end)
end

-- Plays with one that is subscribed: act(s, ws, p).
local function with_one(options, act)
  options.handler = function(ws)
    ws:subscribe "room"
    ws:on_message(function() end)
  end
  scene.play(options, function(s)
    local p = s:open()
    act(s, s:ws(), p)
  end)
end

-- The next n frames, in words.
local function next_frames(p, n)
  local frames = {}
  for i = 1, n do frames[i] = peer.describe(assert(p:read_frame())) end
  return frames
end

for compressed, compression in pairs(compressions) do
  for kind, message in pairs(messages) do
    for name, way in pairs(ways) do
      it(("a message by %s, %s and %s, follows one in fragments"):format(name, kind, compressed), function()
        with_two({ compression = compression.option }, function(s, a, b)
          local during, after = message(LONG .. "during"), message(LONG .. "after")
          local writer = a.ws:writer()
          writer:write(LONG)
          for _ = 1, 2 do assert.equal(1 + way.to_other, way.send(s.server, during, b.ws)) end
          writer:write(LONG)
          writer:close()
          assert.equal(1 + way.to_other, way.send(s.server, after, b.ws))
          assert.same({ LONG .. LONG, compression.rsv, 3 }, { a.read() })
          for i = 1, 1 + way.to_other do
            local read = i == 1 and a.read or b.read
            for _ = 1, 2 do assert.same({ LONG .. "during", compression.rsv, 1 }, { read() }) end
            assert.same({ LONG .. "after", compression.rsv, 1 }, { read() })
          end
        end)
      end)
    end
  end
end

describe("what waits for the end of a message in fragments", function()
  it("is of both kinds, may be empty, and keeps its order", function()
    with_one({}, function(s, ws, p)
      local writer = ws:writer()
      writer:write "a"
      s.server:broadcast "one"
      s.server:publish("room", "\xff", "binary")
      s.server:broadcast ""
      s.server:publish("room", "four")
      writer:close()
      ws:send "five"
      assert.same({ "text unfinished a", "continuation", "text one", "binary \xff", "text", "text four", "text five" },
        next_frames(p, 7))
      assert.same({ 6, 1 + 3 + 1 + 4 + 4 }, { s.server:stats().messages_out, s.server:stats().bytes_out })
    end)
  end)

  it("is sent where nothing was written, and the writer given up", function()
    with_one({}, function(s, ws, p)
      pcall(function()
        local writer <close> = ws:writer() -- luacheck: ignore 211
        assert.equal(1, s.server:publish("room", "one"))
        error "a mistake"
      end)
      ws:writer()
      assert.equal(1, s.server:publish("room", "two"))
      collectgarbage()
      collectgarbage()
      assert.same({ "text one", "text two" }, next_frames(p, 2))
    end)
  end)

  it("is a copy: neither the message nor what was prepared is needed any more", function()
    with_one({}, function(s, ws, p)
      local writer = ws:writer()
      writer:write "a"
      s.server:publish("room", moonsocket.prepare(("prepared "):rep(20)))
      s.server:publish("room", ("made "):rep(20))
      for _ = 1, 3 do collectgarbage() end
      writer:close()
      next_frames(p, 2)
      assert.same({ "text " .. ("prepared "):rep(20), "text " .. ("made "):rep(20) }, next_frames(p, 2))
    end)
  end)

  it("does not make a message wait that is sent by ws:send", function()
    with_one({}, function(_, ws, p)
      local writer = ws:writer()
      assert.same({ nil, "writing" }, { ws:send(moonsocket.prepare "x") })
      writer:close()
      assert.same({ "text" }, next_frames(p, 1))
    end)
  end)

  it("does not come any more where the connection ends before, or its message is never closed", function()
    with_one({}, function(s, ws, p)
      local writer = ws:writer()
      writer:write "half a"
      assert.equal(1, s.server:publish("room", "never"))
      ws:close(4001, "enough")
      assert.equal(0, s.server:publish("room", "nor this"))
      assert.same({ nil, "closed", 4001 }, { writer:close() })
      assert.same({ "text unfinished half a", "close 4001 enough" }, next_frames(p, 2))
      p:send(peer.close(4001))
      assert.same({}, (p:read_all()))
      p:drop()
      assert.equal(4001, s:told().code)
    end)
    with_one({}, function(s, ws, p)
      ws:writer():write "half a"
      assert.equal(1, s.server:broadcast "never")
      collectgarbage()
      collectgarbage()
      local why = "a message that was being sent in fragments was never closed"
      assert.same({ "text unfinished half a", "close 1011 " .. why }, next_frames(p, 2))
      p:drop()
      assert.equal(1011, s:told().code)
    end)
  end)

  it("is no longer than max_buffered: the connection is failed with 1008", function()
    with_one({ max_buffered = 10000 }, function(s, ws, p)
      local writer = ws:writer()
      writer:write "half a"
      assert.equal(1, s.server:publish("room", ("x"):rep(20000))) -- as with ws:send one is taken, whatever its length
      assert.equal(0, s.server:publish("room", "one too many"))
      assert.same({ nil, "closed", 1008 }, { writer:close() })
      assert.equal("text unfinished half a", next_frames(p, 1)[1])
      assert.truthy(next_frames(p, 1)[1]:find "^close 1008 send queue of %d+ bytes is over the limit of 10000$")
      p:drop()
      assert.equal(1008, s:told().code)
    end)
  end)

  for _, policy in ipairs { "drop", "wait" } do
    it("is left out over max_buffered with on_overflow = " .. policy .. ", empty messages too", function()
      with_one({ max_buffered = 10000, on_overflow = policy }, function(s, ws, p)
        local writer, taken = ws:writer(), 0
        while taken < 1000 and s.server:publish("room", "") == 1 do taken = taken + 1 end
        assert.is_true(taken > 10 and taken < 1000)
        writer:write(("x"):rep(9000)) -- the fragments have room of their own
        writer:close()
        assert.equal("text unfinished " .. ("x"):rep(9000), next_frames(p, 1)[1])
        assert.equal("continuation", next_frames(p, 1)[1])
        for _, frame in ipairs(next_frames(p, taken)) do assert.equal("text", frame) end
        assert.equal(1, s.server:publish("room", "end"))
        assert.same({ "text end" }, next_frames(p, 1))
      end)
    end)
  end

  it("goes with a connection that is dropped", function()
    with_one({}, function(s, ws)
      local writer = ws:writer()
      writer:write "half a"
      assert.equal(1, s.server:broadcast "never")
      ws:terminate()
      assert.equal(1006, s:told().code)
      assert.same({ nil, "closed", 1006 }, { writer:close() })
    end)
  end)
end)
