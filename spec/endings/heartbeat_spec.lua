-- A peer that is connected but gives no sign of life, and one that says nothing for too long.
local moonsocket = require "moonsocket"
local subject = require "spec.support.subject"

local scene, peer, serving = subject.scene, subject.peer, subject.serving(it)

local INTERVAL, TIMEOUT = 0.02, 0.05

local LOST = {
  code = 1006, reason = "no pong within 0.05 s", clean = false, by = "network", sent = 1011,
}

-- Options with a heartbeat; more: others.
local function beating(more)
  local options = { ping_interval = INTERVAL, pong_timeout = TIMEOUT, close_timeout = 60 }
  for name, value in pairs(more or {}) do options[name] = value end
  return options
end

-- Reads pings and answers each with answer(payload), until enough(pings so far) holds.
local function answer_pings(p, answer, enough)
  local pings = 0
  repeat
    local frame = p:read_frame()
    assert.equal("ping", frame and frame.name)
    pings = pings + 1
    p:send(answer(frame.payload))
  until enough(pings)
  return pings
end

local function after(seconds)
  local deadline = moonsocket.now() + seconds
  return function() return moonsocket.now() > deadline end
end

describe("a peer that never pongs", function()
  it("is sent a ping, then Close 1011 and a FIN; the end needs no deadline when it leaves then", function()
    scene.play(beating(), function(s)
      local p = s:open()
      assert.equal("ping", p:read_frame().name)
      local outcome = s:outcome(p)
      assert.same({ { "close 1011 no pong within 0.05 s" }, "fin" }, { outcome.wire, outcome.tcp })
      outcome.wire, outcome.tcp = nil, nil
      assert.same(LOST, outcome)
    end)
  end)

  it("is 1006 even if it answers the Close 1011", function()
    scene.play(beating(), function(s)
      local p = s:open()
      p:read_frame()
      assert.equal("close 1011 no pong within 0.05 s", peer.describe(p:read_frame()))
      p:send(peer.close(1011))
      assert.same({ nil, "fin" }, { p:read_frame() })
      p:drop()
      assert.same(LOST, s:told())
    end)
  end)

  it("is given up after close_timeout where it does not even close TCP", function()
    scene.play(beating { close_timeout = 0.05 }, function(s)
      local p = s:open()
      assert.same(LOST, s:told())
      local frames, tcp = p:read_all()
      assert.same({ "ping", "close", "fin" }, { frames[1].name, frames[2].name, tcp })
    end)
  end)

  it("is found out by whatever style of handler", function()
    local function plain_loop(ws)
      for message in ws:messages() do ws:send(message) end
      assert.same({ 1006, "no pong within 0.05 s" }, { ws.close_code, ws.close_reason })
      ws.request.loop_ended = true
    end
    scene.play(beating { handler = plain_loop }, function(s)
      local p = s:open()
      local request = s:ws().request
      p:read_all()
      p:drop()
      assert.same(LOST, s:told())
      assert.is_true(request.loop_ended)
    end)
  end)

  it("is pinged, but kept without a pong_timeout", function()
    scene.play(beating { pong_timeout = 0 }, function(s)
      local p = s:open()
      assert.equal("ping", p:read_frame().name)
      moonsocket.sleep(0.1)
      p:send(peer.text "late")
      assert.equal("text late", peer.describe(p:read_frame()))
    end)
  end)

  it("is not even pinged without a ping_interval", function()
    scene.play(beating { ping_interval = 0 }, function(s)
      local p = s:open()
      moonsocket.sleep(0.1)
      p:send(peer.text "late")
      assert.equal("text late", peer.describe(p:read_frame()))
    end)
  end)
end)

describe("a sign of life", function()
  local UNFINISHED = peer.frame { opcode = 2, length = 1000, payload = "" }
  local signs = {
    ["a pong"] = function(payload) return peer.pong(payload) end,
    ["a pong that answers nothing"] = function() return peer.pong "unasked" end,
    ["a ping"] = function() return peer.ping "you?" end,
    ["a message"] = function() return peer.text "here" end,
    ["a fragment"] = function() return peer.frame { fin = false, opcode = 2, payload = "part" } end,
    ["one more byte of a frame"] = function() return "x" end,
    ["one more fragment"] = function() return peer.frame { fin = false, opcode = 0, payload = "part" } end,
  }
  local before = {
    ["one more byte of a frame"] = UNFINISHED,
    ["one more fragment"] = peer.frame { fin = false, opcode = 2, payload = "part" },
  }
  local firsts = { ["a fragment"] = true } -- what may come only once
  -- All at once, each on a connection of its own: each must outlive several times pong_timeout.
  it("is any byte", function()
    local function silent(ws)
      ws:on_message(function() end)
    end
    local names, survivors = 0, {}
    scene.play(beating { handler = silent, pong_timeout = 0.2 }, function(s)
      local over = after(0.7)
      for name, sign in pairs(signs) do
        names = names + 1
        moonsocket.go(function()
          local p = s:open()
          p:send(before[name] or "")
          local sent
          repeat
            local frame = p:read_frame()
            if frame and frame.name == "ping" then
              p:send(sent and firsts[name] and peer.pong "" or sign(frame.payload))
              sent = true
            end
          until over() or not frame or frame.name == "close"
          survivors[name] = not p.ended
          survivors[#survivors + 1] = name
        end)
      end
      scene.await("all of them", function() return #survivors == names end)
      for name in pairs(signs) do assert.is_true(survivors[name], name) end
      for _, record in ipairs(s.records) do assert.is_nil(record.code) end
    end)
  end)

  it("is found where the process was busy while it came", function()
    local victim
    local function handler(ws)
      ws:on_message(function()
        victim:send(peer.pong "") -- it is there, but for far longer than pong_timeout nobody looks
        os.execute "sleep 0.2"
      end)
    end
    scene.play(beating { handler = handler }, function(s)
      local blocker
      victim, blocker = s:open(), s:open()
      assert.equal("ping", victim:read_frame().name)
      blocker:send(peer.text "block")
      answer_pings(victim, peer.pong, function(n) return n == 2 end)
    end)
  end)
end)

describe("a peer that answers pings", function()
  it("stays, is measured, and its pongs are told", function()
    local pongs = {}
    local function handler(ws)
      ws:on_message(function() ws:send(tostring(ws.rtt)) end)
      ws:on_pong(function(payload, rtt) pongs[#pongs + 1] = { payload = payload, rtt = rtt, field = ws.rtt } end)
    end
    scene.play(beating { handler = handler, pong_timeout = 5 }, function(s)
      local p = s:open()
      p:send(peer.text "rtt?")
      assert.equal("text nil", peer.describe(p:read_frame()))
      answer_pings(p, peer.pong, function(n) return n == 3 end)
      scene.await("on_pong", function() return #pongs == 3 end)
      for _, pong in ipairs(pongs) do
        assert.equal("number", type(pong.rtt))
        assert.is_true(pong.rtt >= 0 and pong.rtt < 5)
        assert.near(pong.rtt, pong.field, 1e-6)
      end
      p:send(peer.pong "unasked")
      scene.await("on_pong", function() return #pongs == 4 end)
      assert.same({ payload = "unasked", field = pongs[3].field }, pongs[4])
    end)
  end)

  it("has a pong to a ping of the application's own told without a time, to one without a payload with it", function()
    local pongs = {}
    local function handler(ws)
      ws:on_message(function(message) ws:ping(message ~= "" and message or nil) end)
      ws:on_pong(function(payload, rtt) pongs[#pongs + 1] = { payload, rtt and "rtt" } end)
    end
    scene.play({ handler = handler }, function(s)
      local p = s:open()
      for i, payload in ipairs { "mine", "", ("x"):rep(125) } do
        p:send(peer.text(payload))
        local ping = p:read_frame()
        assert.equal("ping", ping.name)
        p:send(peer.pong(ping.payload))
        scene.await("on_pong", function() return #pongs == i end)
        assert.same({ ping.payload, payload == "" and "rtt" or nil }, pongs[i])
      end
    end)
  end)
end)

describe("a live peer is never killed while we do not read", function()
  -- Each handler keeps reading off for many times the heartbeat, then echoes.
  local function released_by(s)
    scene.await("the release", function() return s.released end)
  end
  local state
  local styles = {
    ["because on_message waits"] = function(ws)
      ws:on_message(function(message)
        released_by(state)
        ws:send(message)
      end)
    end,
    ["because a plain loop waits and the next message is there"] = function(ws)
      for message in ws:messages() do
        released_by(state)
        ws:send(message)
      end
    end,
    ["because the handler is not ready yet and a message is there"] = function(ws)
      released_by(state)
      ws:on_message(function(message) ws:send(message) end)
    end,
    ["because of pause"] = function(ws)
      ws:on_message(function(message) ws:send(message) end)
      ws:pause()
      released_by(state)
      ws:resume()
    end,
  }
  for name, handler in pairs(styles) do
    it(name, function()
      state = {}
      scene.play(beating { handler = handler }, function(s)
        local p = s:open()
        p:send(peer.text "one" .. peer.text "two")
        local pings, over = 0, after(0.2)
        -- The first ping is answered; as nothing of that is read, no other need come.
        moonsocket.go(function()
          moonsocket.sleep(0.2)
          state.released = true
        end)
        local seen = {}
        while #seen < 2 do
          local frame = p:read_frame()
          if frame.name == "ping" then
            pings = pings + 1
            p:send(peer.pong(frame.payload))
          else
            assert.is_true(over())
            seen[#seen + 1] = peer.describe(frame)
          end
        end
        assert.same({ "text one", "text two" }, seen)
        assert.is_true(pings > 0)
        p:send(peer.close(1000, "done"))
        local outcome = s:outcome(p)
        assert.same({ 1000, "done", true }, { outcome.code, outcome.reason, outcome.clean })
      end)
    end)
  end

  it("but a dead one is found out once we read again, after the whole pong_timeout", function()
    local paused
    local function handler(ws)
      ws:on_message(function() end)
      ws:pause()
      paused = ws
    end
    scene.play(beating { handler = handler, pong_timeout = 0.2 }, function(s)
      local p = s:open()
      moonsocket.sleep(0.3)
      assert.equal("open", paused.state)
      local resumed = moonsocket.now()
      paused:resume()
      paused = nil
      p:read_all()
      p:drop()
      assert.equal("no pong within 0.2 s", s:told().reason)
      assert.is_true(moonsocket.now() - resumed > 0.1) -- whatever had passed before does not count
    end)
  end)
end)

describe("idle_timeout", function()
  local IDLE = 0.1
  local reason = "no message for 0.1 s"

  it("closes politely with 1001", function()
    scene.play({ idle_timeout = IDLE }, function(s)
      local p = s:open()
      assert.equal("close 1001 " .. reason, peer.describe(p:read_frame()))
      p:send(peer.close(1001))
      assert.same({
        code = 1001, reason = "", clean = true, by = "local", sent = 1001, received = 1001, wire = {}, tcp = "fin",
      }, s:outcome(p))
    end)
  end)

  it("is 1006 where the peer answers nothing", function()
    scene.play({ idle_timeout = IDLE, close_timeout = 0.05 }, function(s)
      local p = s:open()
      assert.same({
        code = 1006, reason = "closing handshake timed out after 0.05 s", clean = false, by = "local", sent = 1001,
      }, s:told())
      local frames, tcp = p:read_all()
      assert.same({ "close 1001 " .. reason, "fin" }, { peer.describe(frames[1]), tcp })
    end)
  end)

  serving("is put off by messages in either direction, but not by pings and pongs", function()
    local codes = {}
    local function handler(ws, request)
      ws:on_message(function() end)
      while request.path == "/push" and ws:send "tick" do moonsocket.sleep(0.02) end
    end
    scene.play({ idle_timeout = IDLE, ping_interval = 0.03, handler = handler }, function(s)
      local over = after(4 * IDLE)
      local done = 0
      for path, talk in pairs { ["/talk"] = true, ["/push"] = false, ["/silent"] = false } do
        moonsocket.go(function()
          local p = s:connect()
          p:send(peer.request(nil, path))
          p:read_head()
          local frame
          repeat
            frame = p:read_frame(0.02)
            if talk then p:send(peer.text "talk") else p:send(peer.pong "") end
          until over() or frame and frame.name == "close"
          codes[path] = frame and frame.code or "still open"
          done = done + 1
        end)
      end
      scene.await("all", function() return done == 3 end)
      assert.same({ ["/talk"] = "still open", ["/push"] = "still open", ["/silent"] = 1001 }, codes)
    end)
  end)
end)
