-- Our own close() while nobody takes the peer's messages: its Close stands behind them, and still says how it ended.
local client_scene = require "spec.support.subject".client_scene
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local raw_server = require "spec.support.raw_server"
local scene = require "spec.support.subject".scene

local RESET = { reason = "connection reset by peer", error = "Connection reset by peer" }

-- What on_close told: act(p) is what the peer does once it has our Close. As a client, and as a server.
local roles = {
  client = function(act, options)
    local told
    client_scene.play(function(s)
      local ws, connection, record = s:open(options, nil, raw_server.text "untaken")
      ws:close(4000)
      connection:read_to "close"
      act(connection)
      told = s:told(record)
    end)
    return told
  end,
  server = function(act, options)
    local told
    options.handler = function(ws)
      moonsocket.sleep(0)
      ws:close(4000)
      ws:wait_closed()
    end
    scene.play(options, function(s)
      local p = s:open()
      p:send(peer.text "untaken")
      p:read_frame()
      act(p)
      told = s:told()
    end)
    return told
  end,
}

for role, told_after in pairs(roles) do
  describe(("a %s that closes and takes no messages:"):format(role), function()
    it("the peer's Close is found behind them after close_timeout", function()
      assert.same({ code = 4000, reason = "", clean = true, by = "local", sent = 4000, received = 4000 },
        told_after(function(p)
          p:send(p.close(4000))
          p:fin()
        end, { close_timeout = 0.05 }))
    end)

    it("the peer's Close is found behind them though a RST follows it, without waiting", function()
      local told = told_after(function(p)
        p:send(p.close(4000))
        p:reset()
      end, { close_timeout = 3600 })
      assert.same({ 4000, "", true, "local", 4000, 4000 },
        { told.code, told.reason, told.clean, told.by, told.sent, told.received })
    end)

    local unfinished = {
      ["nothing"] = function() return "" end,
      ["another message"] = function(p) return p.text "more" end,
      ["half a Close frame"] = function(p) return p.close(4000):sub(1, -2) end,
    }
    for what, bytes in pairs(unfinished) do
      it(("a RST behind %s is the end at once"):format(what), function()
        assert.same({
          code = 1006, reason = RESET.reason, error = RESET.error, clean = false, by = "local", sent = 4000,
        }, told_after(function(p)
          p:send(bytes(p))
          p:reset()
        end, { close_timeout = 3600 }))
      end)
    end
  end)
end
