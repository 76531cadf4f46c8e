-- The endings that exist over TLS alone (RFC 8446 section 6.1), at every position and in both roles. What TLS changes
-- about the others is nothing: spec/subjects/.
local certificates = require "spec.support.certificates"
local client_scene = require "spec.support.client_scene".over_tls
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene".over_tls

-- ---- what the peer does

-- Records that end what this side sends.
local function notify_of(p)
  p.tls:notify()
  return p.tls:take()
end

local function alert_of(p)
  p.tls:alert()
  return p.tls:take()
end

local DAMAGED = "\x17\x03\x03\0\32" .. ("damaged "):rep(4)

local CUT = "TLS connection cut off"
local RESET = "connection reset by peer"
local LEFT = "connection closed by the peer without a Close frame"
local UNANSWERED = "connection closed by the peer before it answered our Close frame"

-- The ways to end: what the peer does, the reason where there is no Close frame of it, and behind our own if that
-- differs.
local ways = {
  { name = "FIN without close_notify", act = function(p) p:cut() end, reason = CUT },
  { name = "close_notify and FIN", act = function(p) p:fin() end, reason = LEFT, unanswered = UNANSWERED },
  { name = "close_notify alone", act = function(p) p:send_raw(notify_of(p)) end,
    reason = LEFT, unanswered = UNANSWERED },
  { name = "half a record and FIN", reason = CUT, act = function(p)
    local record = p:sealed "half"
    p:send_raw(record:sub(1, #record // 2))
    p:cut()
  end },
  { name = "an alert", act = function(p) p:send_raw(alert_of(p)) end, reason = "TLS failed: .*alert bad record mac" },
  { name = "a damaged record", act = function(p) p:send_raw(DAMAGED) end,
    reason = "TLS failed: .+" },
  { name = "RST", act = function(p) p:reset() end, reason = RESET },
}

-- ---- who is told of it

-- Plays act(p, ws) on an open connection, p being the raw side; returns what our on_close was told, and the messages.
local roles = {
  server = function(act, version)
    local told, got, ws = nil, {}, nil
    local function handler(this)
      ws = this
      ws:on_message(function(message) got[#got + 1] = message end)
    end
    scene.play({ handler = handler }, function(s)
      s.to.tls = version
      local p = s:open()
      act(p, ws)
      told, ws = s:told(), nil
    end)
    return told, got
  end,
  client = function(act, version)
    local told, got = nil, {}
    client_scene.play(function(s)
      s.server.tls = version
      local ws, connection = s:open()
      ws:on_message(function(message) got[#got + 1] = message end)
      act(connection, ws)
      told = s:told()
    end)
    return told, got
  end,
}

-- ---- where it happens

local positions = {
  { "after the 101", function() end },
  { "in a frame's first byte", function(p) p:send(p.text "hello":sub(1, 1)) end },
  { "in a frame's length", function(p) p:send(p.text(("x"):rep(300)):sub(1, 3)) end },
  { "in a payload", function(p) p:send(p.text "hello":sub(1, -2)) end },
  { "between fragments", function(p) p:send(p.frame { payload = "hel", fin = false }) end },
  { "behind a message", function(p) p:send(p.text "hello") end, got = { "hello" } },
  { "in a Close frame", function(p) p:send(p.close(4001, "bye"):sub(1, -2)) end },
}

local function check_unclosed(told, way, sent)
  local reason = sent and way.unanswered or way.reason
  assert.matches("^" .. reason .. "$", told.reason)
  local failed = reason ~= CUT and reason ~= LEFT and reason ~= UNANSWERED
  assert.equal(failed, told.error ~= nil)
  told.reason, told.error = nil, nil
  assert.same({ code = 1006, clean = false, by = sent and "local" or "network", sent = sent }, told)
end

for role, play in pairs(roles) do
  for _, version in ipairs { true, "1.2" } do
    describe(("a %s's peer over TLS%s ends it with"):format(role, version == "1.2" and " 1.2" or ""), function()
      for _, way in ipairs(ways) do
        for _, position in ipairs(positions) do
          it(("%s %s"):format(way.name, position[1]), function()
            local told, got = play(function(p)
              position[2](p)
              way.act(p)
            end, version)
            check_unclosed(told, way)
            if way.reason ~= RESET then assert.same(position.got or {}, got) end -- what a RST overtakes is lost
          end)
        end

        it(way.name .. " after our Close", function()
          check_unclosed(play(function(p, ws)
            ws:close(4000)
            assert.equal("close 4000", p.describe(p:read_frame()))
            way.act(p)
          end, version), way, 4000)
        end)

        it(way.name .. " in its answer to our Close", function()
          check_unclosed(play(function(p, ws)
            ws:close(4000)
            p:read_frame()
            p:send(p.close(4000):sub(1, -2))
            way.act(p)
          end, version), way, 4000)
        end)

        -- RFC 6455 section 7.1.4: what both Close frames have said holds. (An error may be noticed before the end.)
        it(way.name .. " after both Close frames", function()
          local told = play(function(p, ws)
            ws:close(4000)
            p:read_frame()
            p:send(p.close(4000, "bye"))
            way.act(p)
          end, version)
          told.error = nil
          assert.same({ code = 4000, reason = "bye", clean = true, by = "local", sent = 4000, received = 4000 }, told)

          told = play(function(p)
            p:send(p.close(4001, "mine"))
            assert.equal("close 4001", p.describe(p:read_frame()))
            way.act(p)
          end, version)
          told.error = nil
          assert.same({ code = 4001, reason = "mine", clean = true, by = "peer", sent = 4001, received = 4001 }, told)
        end)
      end
    end)
  end

  describe(("in one segment, to a %s,"):format(role), function()
    local function glued(act)
      return play(function(p) p:send_raw(act(p)) end, true)
    end

    it("a Close frame counts before a close_notify", function()
      local told, got = glued(function(p) return p:sealed(p.text "one" .. p.close(4001, "bye")) .. notify_of(p) end)
      assert.same({ code = 4001, reason = "bye", clean = true, by = "peer", sent = 4001, received = 4001 }, told)
      assert.same({ "one" }, got)
    end)

    for name, last in pairs { ["a close_notify"] = notify_of, ["an alert"] = alert_of,
      ["a damaged record"] = function() return DAMAGED end } do
      it("messages come before " .. name, function()
        local told, got = glued(function(p) return p:sealed(p.text "one") .. p:sealed(p.text "two") .. last(p) end)
        assert.equal(1006, told.code)
        assert.same({ "one", "two" }, got)
      end)
    end

    -- Nothing in the kernel tells of it any more, whether something before it had to be kept or not.
    local starts = {
      ["behind a message whose on_message waits"] = function(ws, wait) ws:on_message(wait) end,
      ["while reading is paused"] = function(ws, wait)
        ws:pause()
        moonsocket.go(function()
          wait()
          ws:resume()
        end)
      end,
    }
    local function check_found(start, last)
      local released, busy = false, nil
      local told = play(function(p, ws)
        start(ws, function() scene.await("the release", function() return released end) end)
        p:send_raw(p:sealed(p.text "one") .. p:sealed(last(p)) .. notify_of(p))
        for _ = 1, 20 do moonsocket.sleep(0) end
        local before = os.clock()
        moonsocket.sleep(0.1)
        busy = os.clock() - before
        assert.equal("open", ws.state)
        released = true
      end, true)
      assert.is_true(busy < 0.05, "the processor was busy")
      assert.same({ code = 1006, reason = LEFT, clean = false, by = "network" }, told)
    end
    for name, start in pairs(starts) do
      it("a close_notify is found, and keeps nobody busy, " .. name, function()
        check_found(start, function() return "" end)
        check_found(start, function(p) return p.text "half":sub(1, 3) end)
        check_found(start, function(p) return p.text "two" end)
      end)
    end
  end)

  describe(("a record on its way to a %s"):format(role), function()
    it("may come byte by byte", function()
      local told, got = play(function(p)
        local records = p:sealed(p.text "one") .. p:sealed(p.text "two" .. p.close(4001, "bye"))
        for i = 1, #records do
          p:send_raw(records:sub(i, i))
          moonsocket.sleep(0)
        end
        p:fin()
      end, true)
      assert.same({ 4001, "bye", true }, { told.code, told.reason, told.clean })
      assert.same({ "one", "two" }, got)
    end)

    it("may be cut off after every byte", function()
      local cut, size = 0, nil
      repeat
        cut = cut + 1
        local told, got = play(function(p)
          local record = p:sealed(p.text "hello")
          size = #record
          p:send_raw(record:sub(1, cut))
          p:cut()
        end, true)
        assert.same({ 1006, CUT, "network" }, { told.code, told.reason, told.by })
        assert.same({}, got)
      until cut == size - 1
    end)
  end)
end

describe("a peer that is cut off", function()
  it("still gets every answer, and our end in order", function()
    scene.play({}, function(s)
      local p = s:open()
      p:send(peer.text "one" .. peer.text(("x"):rep(1 << 20)) .. peer.text "cut off":sub(1, -2))
      p:cut()
      assert.same({
        code = 1006, reason = CUT, clean = false, by = "network",
        wire = { "text one", "text " .. ("x"):rep(1 << 20) }, tcp = "fin",
      }, s:outcome(p))
    end)
  end)
end)

-- ---- before the connection is open

describe("the opening handshake of a peer over TLS ends with", function()
  local REQUEST = peer.request()
  for _, way in ipairs(ways) do
    it(way.name .. ", anywhere: no on_close", function()
      scene.play({}, function(s)
        local n = 0
        for size = 0, #REQUEST - 1, 10 do
          local p = s:connect()
          p:send(REQUEST:sub(1, size))
          way.act(p)
          n = n + 1
        end
        s.await("the books", function() return s.server:stats().refused[0] == n end)
        assert.equal(0, s.server:stats().opened)
        assert.same({}, s.records)
      end)
    end)
  end
end)

describe("connect over TLS says of a server that ends the answer with", function()
  local ANSWER = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
  local reasons = { [LEFT] = "connection closed by the peer" }
  for _, way in ipairs(ways) do
    it(way.name, function()
      client_scene.play(function(s)
        for _, size in ipairs { 0, 1, 20, #ANSWER } do
          local ws, message = s:meet(function(connection)
            connection:read_request()
            connection:send(ANSWER:sub(1, size))
            way.act(connection)
          end)
          assert.is_nil(ws)
          assert.matches("^" .. (reasons[way.reason] or way.reason) .. ", before the handshake was answered$", message)
        end
      end)
    end)
  end
end)

-- ---- before there is TLS

-- The first flight of p's side: a client's right away, a server's once the other side's has come.
local function flight_of(p)
  p:begin_tls(true)
  if not p.masks then p:receive_raw() end
  assert.is_false(p.tls:handshake())
  return p.tls:take()
end

-- How many bytes of its first flight the peer sends, and what then. what: with what TLS is to take for its own.
local flights = { ["before its first byte"] = 0, ["in its first record's head"] = 3, ["in its first record"] = 40 }
local breaks = {
  { "FIN", function(p) p:cut() end, CUT },
  { "RST", function(p) p:reset() end, RESET },
  { "silence", function() end, "within 0.05 s" },
  { "an alert", function(p) p:send_raw "\x15\x03\x03\0\2\2\40" end, "TLS failed: .*handshake failure", first = true },
  { "plain HTTP", function(p) p:send_raw "HTTP/1.1 400 Bad Request\r\n\r\n" end, "the server does not speak TLS there",
    first = true },
}

for _, how in ipairs(breaks) do
  for where, size in pairs(flights) do
    if size == 0 or not how.first then
      it(("a handshake of TLS that ends in %s %s is connect's message"):format(how[1], where), function()
        client_scene.play(function(s)
          s.server.tls = nil -- accept leaves the handshake to the script
          local ws, message = s:meet(function(p)
            p:send_raw(flight_of(p):sub(1, size))
            how[2](p)
            if p.fd then p:read_rest() end
          end, { timeout = how[1] == "silence" and 0.05 or 10, tls = { ca = certificates.path "ca.pem" } })
          assert.is_nil(ws)
          assert.matches(how[3], message)
        end)
      end)

      it(("a handshake of TLS that ends in %s %s opens nothing"):format(how[1], where), function()
        scene.play({ handshake_timeout = how[1] == "silence" and 0.05 or 10 }, function(s)
          s.to.tls = nil
          local p = s:connect()
          p:send_raw(flight_of(p):sub(1, size))
          how[2](p)
          if p.fd then p:read_rest() end
          p:drop()
          local status = how[1] == "silence" and 408 or 0
          s.await("the books", function() return s.server:stats().refused[status] == 1 end)
          assert.same({}, s.records)
        end)
      end)
    end
  end
end
