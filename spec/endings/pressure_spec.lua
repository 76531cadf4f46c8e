-- A peer that takes data slowly, or no longer: the queue's limit, its three policies, send_timeout, and how it ends.
local moonsocket = require "moonsocket"
local raw = require "raw"
local subject = require "spec.support.subject"

local scene, peer = subject.scene, subject.peer

local KiB, MiB = 1024, 1024 * 1024
local CHUNK = 64 * KiB
local FLOOD = 50 * MiB // CHUNK
local LIMIT = 2 * MiB -- no less than the kernel may yet take of a queue that it seemed to have no room for
local LARGE = ("0123456789abcdef"):rep(512 * KiB)
local GROWTH = (subject.tls and 16 or 8) * MiB -- AddressSanitizer keeps freed memory back, OpenSSL's buffers too
local HEADER = peer.masks and 10 or 14

-- Numbered messages of one size, so that a lost, doubled or displaced one shows; made once, to leave no garbage.
local numbered = {}
for i = 0, 15 do numbered[i] = ("%08d"):format(i) .. ("x"):rep(CHUNK - 8) end
local function message(i) return numbered[i % 16] end

-- Sends the flood, as far as the policy lets it: { taken = how many sends were, refused = how many were not, first,
-- last = what was returned for those, longest = the queue, grown = the memory of this process }.
local function flood(ws)
  local result = { taken = 0, refused = 0, longest = 0 }
  local before = raw.resident()
  for i = 1, FLOOD do
    local ok, why, code = ws:send(message(i), "binary")
    if ok then
      result.taken = result.taken + 1
    else
      result.refused = result.refused + 1
      result.last = { why, code }
      result.first = result.first or result.last
    end
    result.longest = math.max(result.longest, ws.buffered)
  end
  result.grown = raw.resident() - before
  return result
end

local function bounded(result, limit)
  assert.equal(FLOOD, result.taken + result.refused)
  assert.is_true(result.longest <= limit, "a queue of " .. result.longest)
  assert.is_true(result.grown < GROWTH, "memory grew by " .. result.grown)
end

-- Reads frames to the end of TCP, or to the first for which stop(frame, count) holds: how many of the flood's messages
-- came, each the one that was due, what else came, and how TCP ended.
local function read_flood(p, stop)
  local count, others = 0, {}
  while true do
    p:end_if_due()
    local frame, ended = p:read_frame()
    if not frame then return count, others, ended end
    if frame.payload == message(count + 1) then
      count = count + 1
    else
      others[#others + 1] = peer.describe(frame)
    end
    if stop and stop(frame, count) then return count, others end
  end
end

-- A scene whose peer's kernel takes little, with room for work(ws) on its handler's side after the peer said "go".
local function under_pressure(options, work, play)
  local settings = { max_buffered = LIMIT, ping_interval = 0, receive_buffer = 64 * KiB, close_timeout = 60 }
  for name, value in pairs(options) do settings[name] = value end
  function settings.handler(ws, _, record)
    ws:on_message(function(text)
      record.heard = text
      if text == "go" then
        moonsocket.go(function()
          work(ws, record)
          record.worked = true
        end)
      elseif text == "say" then
        ws:send "said"
      end
    end)
  end
  scene.play(settings, function(s)
    local p = s:open()
    p:send(peer.text "go")
    play(s, p, s.records[1])
  end)
end

local function worked(record)
  scene.await("the handler's work", function() return record.worked end)
end

-- What is left in the kernel's buffers when a RST comes is of no interest, only that a RST it is.
local function reset_at_the_end(p)
  local _, tcp = p:read_rest()
  assert.equal("reset", tcp)
end

describe("a reader that stops while 50 MB are sent", function()
  local function fails_by_overflow(options, play)
    under_pressure(options, function(ws, record)
      record.flood = flood(ws)
      record.state = ws.state
    end, function(s, p, record)
      worked(record)
      bounded(record.flood, LIMIT + 130) -- 130: our Close frame
      assert.same({ { "overflow" }, { "closed", 1008 } }, { record.flood.first, record.flood.last })
      assert.equal("closing", record.state)
      play(s, p, record.flood)
    end)
  end
  local WHY = ("send queue of %d bytes is over the limit of %d")

  local function why(told)
    local queued = math.tointeger(told.reason:match "^send queue of (%d+) bytes")
    assert.is_true(queued > LIMIT)
    return WHY:format(queued, LIMIT)
  end

  it("is failed with 1008, and finds everything that was queued before when it reads again", function()
    fails_by_overflow({}, function(s, p, result)
      local count, others, tcp = read_flood(p)
      p:drop()
      local told = s:told()
      assert.same({
        code = 1008, reason = why(told), clean = false, by = "local", sent = 1008,
      }, told)
      assert.same({ { "close 1008 " .. told.reason }, "fin" }, { others, tcp })
      assert.equal(result.taken, count)
    end)
  end)

  it("is reset after close_timeout when it never reads again", function()
    fails_by_overflow({ close_timeout = 0.1 }, function(s, p)
      local told = s:told()
      assert.same({ code = 1008, reason = why(told), clean = false, by = "local", sent = 1008 }, told)
      reset_at_the_end(p)
    end)
  end)

  it("misses what is dropped under \"drop\", and stays", function()
    under_pressure({ on_overflow = "drop" }, function(ws, record)
      ws:on_drain(function() record.drained = (record.drained or 0) + 1 end)
      record.flood = flood(ws)
    end, function(s, p, record)
      worked(record)
      local result = record.flood
      bounded(result, LIMIT)
      assert.same({ "overflow" }, result.first)
      assert.is_nil(record.drained)
      assert.same({ result.taken, {} }, { read_flood(p, function(_, count) return count == result.taken end) })
      scene.await("on_drain", function() return record.drained end)
      p:send(peer.text "say")
      assert.equal("text said", peer.describe(p:read_frame()))
      assert.equal(1, record.drained)
      p:send(peer.close(1000))
      local outcome = s:outcome(p)
      assert.same({ { "close 1000" }, 1000, true }, { outcome.wire, outcome.code, outcome.clean })
    end)
  end)

  it("is waited for under \"wait\": all of it comes, through a queue of bounded length", function()
    under_pressure({ on_overflow = "wait" }, function(ws, record)
      record.flood = flood(ws)
      ws:close(1000, "that was all")
    end, function(s, p, record)
      local ws = s:ws()
      scene.await("a full queue", function() return ws.buffered > LIMIT - CHUNK end)
      local count, others = read_flood(p, function(frame) return frame.name == "close" end)
      assert.same({ FLOOD, { "close 1000 that was all" } }, { count, others })
      assert.equal(FLOOD, record.flood.taken)
      assert.is_true(record.flood.longest <= LIMIT, "a queue of " .. record.flood.longest)
      p:send(peer.close(1000))
      local outcome = s:outcome(p)
      assert.same({ {}, "fin", 1000, true }, { outcome.wire, outcome.tcp, outcome.code, outcome.clean })
    end)
  end)

  it("gets a message larger than the limit where nothing is queued", function()
    under_pressure({}, function(ws, record)
      record.sent = { ws:send(LARGE) }
      record.next = { ws:send "one more" }
    end, function(s, p, record)
      worked(record)
      assert.is_true(record.sent[1])
      assert.same({ nil, "overflow" }, record.next)
      local outcome = s:outcome(p)
      assert.same({ "text " .. LARGE, "close 1008 " .. outcome.reason }, outcome.wire)
      assert.same({ 1008, "fin" }, { outcome.code, outcome.tcp })
    end)
  end)
end)

describe("send_timeout", function()
  local STALLED = {
    code = 1006, reason = "the peer took no data for 0.2 s", clean = false, by = "network", sent = 1011,
  }

  it("resets a peer that takes no byte, however alive it is otherwise", function()
    local options = { send_timeout = 0.2, ping_interval = 0.03, pong_timeout = 0.03 }
    under_pressure(options, function(ws) ws:send(LARGE) end, function(s, p, record)
      worked(record)
      for i = 1, 5 do
        p:send(peer.text(tostring(i)))
        scene.await("the message", function() return record.heard == tostring(i) or record.code end)
      end
      assert.same(STALLED, s:told())
      reset_at_the_end(p)
    end)
  end)

  it("wakes a send that waits, and a drain", function()
    under_pressure({ send_timeout = 0.2, on_overflow = "wait" }, function(ws, record)
      ws:send(LARGE)
      moonsocket.go(function() record.drain = { ws:drain() } end)
      record.send = { ws:send "waits" }
    end, function(s, p, record)
      worked(record)
      assert.same({ nil, "closed", 1006 }, record.send)
      assert.same({ nil, "closed", 1006 }, record.drain)
      assert.same(STALLED, s:told())
      reset_at_the_end(p)
    end)
  end)

  it("does not hit a slow reader that goes on taking a little", function()
    under_pressure({ send_timeout = 0.2 }, function(ws) ws:send(LARGE) end, function(s, p, record)
      worked(record)
      local left = #LARGE + HEADER
      for _ = 1, 20 do
        left = left - #p:read(64 * KiB)
        moonsocket.sleep(0.03)
      end
      p:read(left)
      p:send(peer.text "say")
      assert.equal("text said", peer.describe(p:read_frame()))
      p:send(peer.close(1000))
      assert.is_true(s:outcome(p).clean)
    end)
  end)
end)

describe("drain", function()
  it("returns at once where nothing is queued, waits for the kernel otherwise, and may be given a time", function()
    under_pressure({}, function(ws, record)
      record.at_once = { ws:drain() }
      ws:send(message(1))
      record.corked = { ws:drain() }
      ws:send(LARGE)
      record.in_time = { ws:drain(0.02) }
      record.started = true
      record.at_last = { ws:drain() }
      record.left = ws.buffered
    end, function(_, p, record)
      scene.await("the waiting drain", function() return record.started end)
      assert.same({ { true }, { true }, { nil, "timeout" } }, { record.at_once, record.corked, record.in_time })
      assert.is_nil(record.at_last)
      p:read_frame()
      p:read_frame()
      worked(record)
      assert.same({ { true }, 0 }, { record.at_last, record.left })
    end)
  end)

  it("ends with the connection", function()
    under_pressure({}, function(ws, record)
      ws:send(LARGE)
      record.started = true
      record.drain = { ws:drain() }
    end, function(s, p, record)
      scene.await("the waiting drain", function() return record.started end)
      p:reset()
      assert.equal(1006, s:told().code)
      worked(record)
      assert.same({ nil, "closed", 1006 }, record.drain)
    end)
  end)
end)

-- ---- ends in the middle of it

-- Fills the queue beyond any doubt: what is refused has found it full.
local function fill(ws, record)
  record.flood = flood(ws)
  assert(record.flood.refused > 0)
end

-- Waits until one more message would be too much.
local function await_full(s)
  local ws = s:ws()
  scene.await("a full queue", function() return ws.buffered > LIMIT - CHUNK end)
end

describe("close while the queue is full", function()
  it("comes behind everything that was queued", function()
    under_pressure({ on_overflow = "drop" }, function(ws, record)
      fill(ws, record)
      record.closed = ws:close(4000, "behind it all")
      record.late = { ws:send "too late" }
    end, function(s, p, record)
      worked(record)
      assert.is_true(record.closed)
      assert.same({ nil, "closed", 4000 }, record.late)
      local count, others = read_flood(p, function(frame) return frame.name == "close" end)
      assert.same({ record.flood.taken, { "close 4000 behind it all" } }, { count, others })
      p:send(peer.close(4000, "read it all"))
      assert.same({
        code = 4000, reason = "read it all", clean = true, by = "local", sent = 4000, received = 4000,
        wire = {}, tcp = "fin",
      }, s:outcome(p))
    end)
  end)

  it("ends with a RST where the peer never reads", function()
    under_pressure({ on_overflow = "drop", close_timeout = 0.1 }, function(ws, record)
      fill(ws, record)
      ws:close(4000, "behind it all")
    end, function(s, p)
      assert.same({
        code = 1006, reason = "closing handshake timed out after 0.1 s", clean = false, by = "local", sent = 4000,
      }, s:told())
      reset_at_the_end(p)
    end)
  end)

  it("lasts as long as the queue moves", function()
    under_pressure({ close_timeout = 0.2 }, function(ws)
      ws:send(LARGE)
      ws:close(4000, "behind it all")
    end, function(s, p, record)
      worked(record)
      local left = #LARGE + HEADER
      for _ = 1, 20 do
        left = left - #p:read(256 * KiB)
        moonsocket.sleep(0.03)
      end
      p:read(left)
      assert.equal("close 4000 behind it all", peer.describe(p:read_frame()))
      p:send(peer.close(4000))
      assert.is_true(s:outcome(p).clean)
    end)
  end)

  it("loses nothing of one large message before it", function()
    under_pressure({}, function(ws)
      ws:send(LARGE)
      ws:close(1000, "sent")
    end, function(s, p)
      assert.equal("text " .. LARGE, peer.describe(p:read_frame()))
      assert.equal("close 1000 sent", peer.describe(p:read_frame()))
      p:send(peer.close(1000))
      assert.is_true(s:outcome(p).clean)
    end)
  end)
end)

describe("the peer's end in the middle of a flood:", function()
  -- Not clean: our answer to its Close has never left.
  local UNANSWERED = {
    code = 1001, reason = "leaving", clean = false, by = "peer", sent = 1001, received = 1001,
  }

  for _, policy in ipairs { "drop", "wait" } do
    it(("its Close is answered behind what was queued (%s)"):format(policy), function()
      under_pressure({ on_overflow = policy }, function(ws, record)
        record.flood = flood(ws)
      end, function(s, p, record)
        if policy == "drop" then worked(record) else await_full(s) end
        p:send(peer.close(1001, "leaving"))
        local count, others, tcp = read_flood(p)
        p:drop()
        assert.same({
          code = 1001, reason = "leaving", clean = true, by = "peer", sent = 1001, received = 1001,
        }, s:told())
        worked(record)
        assert.same({ record.flood.taken, { "close 1001" }, "fin" }, { count, others, tcp })
        if policy == "wait" then assert.same({ "closed", 1001 }, record.flood.first) end
      end)
    end)
  end

  it("its Close is not held up by a reader that stays away", function()
    under_pressure({ on_overflow = "drop", close_timeout = 0.1 }, fill, function(s, p, record)
      worked(record)
      p:send(peer.close(1001, "leaving"))
      assert.same(UNANSWERED, s:told())
      reset_at_the_end(p)
    end)
  end)

  it("its Close, then a RST", function()
    under_pressure({ on_overflow = "drop" }, fill, function(s, p, record)
      worked(record)
      p:send(peer.close(1001, "leaving"))
      local ws = s:ws()
      scene.await("the Close frame", function() return ws.state == "closing" end)
      p:reset()
      local told = s:told()
      assert.equal("Connection reset by peer", told.error)
      told.error = nil
      assert.same(UNANSWERED, told)
    end)
  end)

  it("its RST", function()
    under_pressure({ on_overflow = "drop" }, fill, function(s, p, record)
      worked(record)
      p:reset()
      assert.same({
        code = 1006, reason = "connection reset by peer", error = "Connection reset by peer",
        clean = false, by = "network",
      }, s:told())
    end)
  end)

  it("its RST wakes a send that waits", function()
    under_pressure({ on_overflow = "wait" }, function(ws, record)
      record.flood = flood(ws)
    end, function(s, p, record)
      await_full(s)
      p:reset()
      assert.equal(1006, s:told().code)
      worked(record)
      assert.same({ "closed", 1006 }, record.flood.first)
    end)
  end)

  it("its FIN: what was queued still arrives", function()
    under_pressure({ on_overflow = "drop" }, fill, function(s, p, record)
      worked(record)
      p:fin()
      local count, others, tcp = read_flood(p)
      assert.same({ record.flood.taken, {}, "fin" }, { count, others, tcp })
      assert.same({
        code = 1006, reason = "connection closed by the peer without a Close frame", clean = false, by = "network",
      }, s:told())
    end)
  end)
end)

describe("a peer that pings without reading", function()
  it("does not make the queue grow over its limit", function()
    under_pressure({}, function() end, function(s, p, record)
      worked(record)
      local pings = peer.ping(("x"):rep(125)):rep(500)
      for _ = 1, 150 do p:send(pings) end -- 10 MB
      p:send(peer.text "heard me?")
      scene.await("the message", function() return record.heard == "heard me?" end)
      local buffered = s:ws().buffered
      assert.is_true(buffered > 0 and buffered <= LIMIT + 127, "queue of " .. buffered)
    end)
  end)
end)
