-- A chat room: who comes, speaks and goes is told to everybody. A module, so that server.lua can run it and
-- spec/chat_spec.lua can test it.
local moonsocket = require "moonsocket"

local chat = {}

-- ws://host/?name=ann
local function name_in(request)
  return request.query:match "^name=(%w+)$"
end

--- Opens a room.
-- @param address as moonsocket.serve's
-- @param options as moonsocket.serve's
-- @return server, or nil and a message
function chat.open(address, options)
  local server, wrong
  local callbacks = {
    open = function(ws, request)
      ws.name = name_in(request)
      if ws.name then
        server:broadcast(ws.name .. " comes")
      else
        ws:close(4400, "come with ?name=")
      end
    end,
    message = function(ws, message)
      server:broadcast(ws.name .. ": " .. message)
    end,
    close = function(ws, code, reason)
      if not ws.name then return end
      local how = moonsocket.is_unexpected(code) and (" is lost (%s)"):format(reason) or " goes"
      server:broadcast(ws.name .. how)
    end,
  }
  server, wrong = moonsocket.serve(address, callbacks, options)
  return server, wrong
end

return chat
