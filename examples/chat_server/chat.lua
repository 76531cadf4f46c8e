-- Chat rooms: who comes, speaks and goes is told to everybody in the room. A module, so that server.lua can run it and
-- spec/chat_spec.lua can test it.
local moonsocket = require "moonsocket"

local chat = {}

-- ws://host/room?name=ann
local function name_in(request)
  return request.query:match "^name=(%w+)$"
end

local function tell(room, text)
  for _, ws in pairs(room) do ws:send(text) end
end

--- Opens a server. A room is there as long as somebody is in it, and so is a name.
-- @param address as moonsocket.serve's
-- @param options as moonsocket.serve's
-- @return server, and its rooms: rooms["/lobby"].ann is ann's ws; or nil and a message
function chat.open(address, options)
  local rooms = {}
  local callbacks = {
    open = function(ws, request)
      local name, room = name_in(request), rooms[request.path] or {}
      if not name then
        ws:close(4400, "come with ?name=")
      elseif room[name] then
        ws:close(4409, name .. " is here already")
      else
        ws.name, ws.room, room[name] = name, request.path, ws
        rooms[ws.room] = room
        tell(room, name .. " comes")
      end
    end,
    message = function(ws, message)
      if ws.name then tell(rooms[ws.room], ws.name .. ": " .. message) end
    end,
    close = function(ws, code, reason)
      if not ws.name then return end
      local room = rooms[ws.room]
      room[ws.name] = nil
      if not next(room) then rooms[ws.room] = nil end
      tell(room, ws.name .. (moonsocket.is_unexpected(code) and (" is lost (%s)"):format(reason) or " goes"))
    end,
  }
  local server, wrong = moonsocket.serve(address, callbacks, options)
  if not server then return nil, wrong end
  return server, rooms
end

return chat
