-- The other machine is gone: no FIN, no RST, only silence, as when a cable is pulled. Each spec drops the packets in a
-- network namespace of its own; where none can be made they are pending.
local namespace = require "spec.support.namespace"

local function offline(description, fn)
  it(description, function()
    local missing = namespace.missing()
    if missing then return pending(missing) end
    namespace.run(fn)
  end)
end

describe("a peer whose machine is gone", function()
  offline("is found by the heartbeat", function()
    local scene = require "spec.support.scene"
    local net = require "spec.support.namespace"
    scene.play({ ping_interval = 0.05, pong_timeout = 0.1, close_timeout = 0.1 }, function(s)
      s:open()
      net.cut(s.to.port)
      assert.same({
        code = 1006, reason = "no pong within 0.1 s", clean = false, by = "network", sent = 1011,
      }, s:told())
    end)
  end)

  offline("is found by tcp_user_timeout when there is something to send, without a heartbeat", function()
    local scene = require "spec.support.scene"
    local peer = require "spec.support.peer"
    local net = require "spec.support.namespace"
    scene.play({ ping_interval = 0, send_timeout = 0, tcp_user_timeout = 0.2 }, function(s)
      local p = s:open()
      p:send(peer.text "hi")
      p:read_frame()
      net.cut(s.to.port)
      assert.equal(1, s.server:broadcast "are you there?")
      assert.same({
        code = 1006, reason = "connection timed out", error = "Connection timed out", clean = false, by = "network",
      }, s:told())
    end)
  end)

  offline("is found by tcp_user_timeout while reading is paused, too", function()
    local scene = require "spec.support.scene"
    local net = require "spec.support.namespace"
    local function handler(ws)
      ws:on_message(function() end)
      ws:pause()
    end
    scene.play({ ping_interval = 0, tcp_user_timeout = 0.2, handler = handler }, function(s)
      s:open()
      net.cut(s.to.port)
      s.server:broadcast "are you there?"
      assert.same({
        code = 1006, reason = "connection timed out", error = "Connection timed out", clean = false, by = "network",
      }, s:told())
    end)
  end)

  offline("is found by send_timeout while much is to be sent", function()
    local scene = require "spec.support.scene"
    local net = require "spec.support.namespace"
    scene.play({ ping_interval = 0.05, pong_timeout = 0.1, send_timeout = 0.3 }, function(s)
      s:open()
      net.cut(s.to.port)
      s.server:broadcast(("0123456789abcdef"):rep(512 * 1024))
      assert.same({
        code = 1006, reason = "the peer took no data for 0.3 s", clean = false, by = "network", sent = 1011,
      }, s:told())
    end)
  end)

  offline("does not answer our Close", function()
    local scene = require "spec.support.scene"
    local net = require "spec.support.namespace"
    scene.play({ close_timeout = 0.1 }, function(s)
      s:open()
      net.cut(s.to.port)
      s.server:connections()[1]:close(4000, "enough")
      assert.same({
        code = 1006, reason = "closing handshake timed out after 0.1 s", clean = false, by = "local", sent = 4000,
      }, s:told())
    end)
  end)

  offline("does not hold up a shutdown for longer than its drain", function()
    local scene = require "spec.support.scene"
    local net = require "spec.support.namespace"
    scene.play({ close_timeout = 60 }, function(s)
      s:open()
      net.cut(s.to.port)
      assert.same({ 0, 1 }, { s.server:shutdown { drain = 0.1 } })
      assert.same({
        code = 1006, reason = "aborted: still open at the end of the shutdown", clean = false, by = "local",
        sent = 1001,
      }, s:told())
    end)
  end)

  offline("is found at once when it comes back and knows nothing of us", function()
    local scene = require "spec.support.scene"
    local net = require "spec.support.namespace"
    scene.play({ ping_interval = 0.05, pong_timeout = 60 }, function(s)
      local p = s:open()
      net.cut(s.to.port)
      p:reset() -- nobody hears of it
      net.mend()
      assert.same({
        code = 1006, reason = "connection reset by peer", error = "Connection reset by peer", clean = false,
        by = "network",
      }, s:told())
    end)
  end)

  offline("is kept if it comes back in time", function()
    local moonsocket = require "moonsocket"
    local scene = require "spec.support.scene"
    local peer = require "spec.support.peer"
    local net = require "spec.support.namespace"
    scene.play({ ping_interval = 0.05, pong_timeout = 5 }, function(s)
      local p = s:open()
      net.cut(s.to.port)
      moonsocket.go(function() p:send(peer.text "am I still here?") end)
      moonsocket.sleep(0.3)
      net.mend()
      local frame
      repeat frame = p:read_frame() until not frame or frame.name ~= "ping"
      assert.equal("text am I still here?", frame and peer.describe(frame))
      p:send(peer.close(1000))
      repeat frame = p:read_frame() until not frame or frame.name ~= "ping"
      assert.equal("close 1000", frame and peer.describe(frame))
      p:drop()
      assert.is_true(s:told().clean)
    end)
  end)
end)

describe("a server whose machine is gone", function()
  offline("is found by a client's heartbeat", function()
    local scene = require "spec.support.mirrored_scene"
    local net = require "spec.support.namespace"
    scene.play({ ping_interval = 0.05, pong_timeout = 0.1, close_timeout = 0.1 }, function(s)
      s:open()
      net.cut(s.server.port)
      assert.same({
        code = 1006, reason = "no pong within 0.1 s", clean = false, by = "network", sent = 1011,
      }, s:told())
    end)
  end)

  offline("does not answer a client's Close", function()
    local scene = require "spec.support.mirrored_scene"
    local net = require "spec.support.namespace"
    scene.play({ close_timeout = 0.1 }, function(s)
      s:open()
      net.cut(s.server.port)
      s:ws():close(4000, "enough")
      assert.same({
        code = 1006, reason = "closing handshake timed out after 0.1 s", clean = false, by = "local", sent = 4000,
      }, s:told())
    end)
  end)

  offline("does not answer a client's handshake", function()
    local scene = require "spec.support.client_scene"
    local net = require "spec.support.namespace"
    scene.play(function(s)
      local ws, message = s:meet(function(connection)
        connection:read_request()
        net.cut(s.server.port)
        connection:send "HTTP/1.1 101 Switching Protocols\r\n"
      end, { timeout = 0.2 })
      assert.is_nil(ws)
      assert.matches("within 0.2 s", message)
    end)
  end)
end)
