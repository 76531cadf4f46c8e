-- For the specs of moonsocket.testing: what a user's test does, as a task, with nothing left behind.
local moonsocket = require "moonsocket"
local raw_server = require "spec.support.raw_server"
local stage = require "spec.support.stage"
local testing = require "moonsocket.testing"

local kit = {}

local function echo(ws)
  ws:on_message(function(message, kind) ws:send(message, kind) end)
end

--- Runs act as a task. What it opens it closes: local server <close>.
function kit.run(act)
  stage.run(act, function() end, {})
end

--- The same with an echo server, or another, and a peer of its.
-- @param options of the server
-- @param peer_options of the peer
function kit.play(act, handler, options, peer_options)
  kit.run(function()
    local server <close> = assert(testing.server(handler or echo, options))
    local peer <close> = assert(testing.peer(server.url, peer_options))
    act(peer, server)
  end)
end

--- Runs act with another limit of what is waited for.
function kit.impatiently(seconds, act)
  local before = testing.settings.timeout
  testing.settings.timeout = seconds
  local ok, wrong = pcall(act)
  testing.settings.timeout = before
  if not ok then error(wrong, 0) end
end

--- A raw server, and a peer that has connected to it: act(peer, the server's connection).
function kit.against_raw(act)
  kit.run(function()
    local listener = raw_server.listen()
    local connection
    moonsocket.go(function()
      connection = listener:accept()
      connection:upgrade()
    end)
    local peer <close> = assert(testing.peer(listener.url))
    listener:stop()
    local ok, wrong = pcall(act, peer, connection)
    connection:drop()
    if not ok then error(wrong, 0) end
  end)
end

--- Runs act(the URL of a listener that has no room for one more connection).
function kit.with_full_queue(act)
  kit.run(function()
    local listener = raw_server.listen { backlog = 0 }
    local peers = {}
    kit.impatiently(0.2, function() -- the system keeps one or two that nobody accepts
      repeat
        local peer = testing.peer(listener.url, { handshake = false })
        peers[#peers + 1] = peer
      until not peer
    end)
    act(listener.url)
    for _, peer in ipairs(peers) do peer:drop() end
    listener:stop()
  end)
end

return kit
