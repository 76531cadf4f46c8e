-- A callback that keeps the whole loop waiting: what it then waits for has all of its time, from the call on.
local client_scene = require "spec.support.client_scene"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene"

local TIMEOUT = 0.05 -- s

-- For longer than any of these waits may last.
local function keep_busy() os.execute "sleep 0.1" end

local function lasted(since)
  local took = moonsocket.now() - since
  assert.is_true(took >= TIMEOUT, "it took no more than " .. took)
end

describe("behind a callback that takes long", function()
  it("a sleep is no shorter", function()
    scene.play({}, function()
      keep_busy()
      local before = moonsocket.now()
      moonsocket.sleep(TIMEOUT)
      lasted(before)
    end)
  end)

  it("a timer is no earlier", function()
    scene.play({}, function(s)
      local called = false
      keep_busy()
      local before = moonsocket.now()
      moonsocket.after(TIMEOUT, function() called = true end)
      s.await("the timer", function() return called end)
      lasted(before)
    end)
  end)

  it("a server has the whole timeout to answer a connect", function()
    client_scene.play(function(s)
      keep_busy()
      local before = moonsocket.now()
      local _, message = s:connect { timeout = TIMEOUT }
      assert.matches("within 0.05 s", message)
      lasted(before)
    end)
  end)

  it("a peer has the whole close_timeout to answer our Close", function()
    local before
    scene.play({ close_timeout = TIMEOUT, handler = function(ws)
      ws:on_message(function()
        keep_busy()
        before = moonsocket.now()
        ws:close()
      end)
    end }, function(s)
      local p = s:open()
      p:send(peer.text "close")
      assert.equal("closing handshake timed out after 0.05 s", s:told().reason)
      lasted(before)
    end)
  end)
end)
