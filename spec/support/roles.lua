-- One connection of ours with a raw peer, as a server and as a client, in the clear and over TLS.
local client_scene = require "spec.support.client_scene"
local peer = require "spec.support.peer"
local raw_server = require "spec.support.raw_server"
local scene = require "spec.support.scene"

local function extensions(options)
  return options.compression and "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
    .. "client_no_context_takeover\r\n" or ""
end

-- The handler stays out of the way.
local function as_server(of)
  return function(options, act)
    local settings = { handler = function(ws) ws:wait_closed() end }
    for name, value in pairs(options) do settings[name] = value end
    of.play(settings, function(s)
      local p = s:open(extensions(options))
      act(s:ws(), p, peer, function() return s:told() end)
      p:drop()
    end)
  end
end

local function as_client(of)
  return function(options, act)
    of.play(function(s)
      local ws, connection = s:open(options, extensions(options))
      act(ws, connection, raw_server, function() return s:told() end)
      ws:terminate()
      connection:drop()
    end)
  end
end

--- By name: play(options, act). act(ws, p, side, told) runs as a task; p is the raw peer, side what it makes frames
-- with, told() waits for the end and returns what on_close was told, in one table. options.compression: agreed on.
return {
  server = as_server(scene),
  client = as_client(client_scene),
  ["server over TLS"] = as_server(scene.over_tls),
  ["client over TLS"] = as_client(client_scene.over_tls),
}
