-- Chat rooms and their page. Who comes, speaks and goes is told to everybody in the room; who comes back is told what
-- was said meanwhile. A module, so that server.lua can run it and spec/chat_spec.lua can test it.
--
-- A client connects to /room/NAME?name=WHO, which may go on with &key=KEY&since=ID, and sends {"text": "hello"}.
-- It is told, in the field type:
--   welcome  people: who is here; the messages follow that it has not seen
--   message  id, time, name, text
--   came     name
--   went     name, and why if it was lost
-- KEY is the client's secret: with the same one it may take its name over from a connection that it has lost, and that
-- the server still believes in. ID is that of the last message it has seen.
local cjson = require "cjson.safe"
local moonsocket = require "moonsocket"

local HERE = debug.getinfo(1, "S").source:match "^@(.*)chat%.lua$"

local KEPT = 50            -- messages of a room, for those who come
local EMPTY_FOR = 600      -- s after which a room that everybody has left is forgotten
local MAX_ROOMS = 1000
local MAX_PEOPLE = 200     -- in a room
local MAX_TEXT = 1000      -- characters of a message
local MAX_NAME = 24        -- characters
local MAX_ROOM_NAME = 40

-- Of every connection. A person types; a script that says more than ten things at once is closed with 1008.
local LIMITS = { max_message = 8192, max_rate = { messages = 2, burst = 5, over = "close" } }

-- Nothing but the page's own files and its WebSocket.
local PAGE_HEADERS = {
  ["Content-Type"] = "text/html; charset=utf-8",
  ["Content-Security-Policy"] = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    .. "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  ["Referrer-Policy"] = "no-referrer",
  ["X-Content-Type-Options"] = "nosniff",
}

local chat = {}

-- ---- what clients say

local function decode(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function parameters(query)
  local found = {}
  for name, value in query:gmatch "([^&=]+)=([^&]*)" do found[decode(name)] = decode(value) end
  return found
end

-- Text without control characters, that has something to see, or nil.
local function clean(text, max)
  if type(text) ~= "string" then return nil end
  local length = utf8.len(text)
  if not length or length > max or text:find "[\0-\31\127]" then return nil end
  return text:match "^%s*(.*%S)"
end

-- ---- rooms: { people = ws by name, count = of them, messages = JSON by id, first and last = ids of those kept }

local function new_room()
  -- Later than the ids of a room of that name that has been forgotten, or went with a process before this one.
  local id = os.time() * 1000
  return { people = {}, count = 0, messages = {}, first = id + 1, last = id }
end

-- Gives a message its id and keeps it. Returns its JSON.
local function keep(room, message)
  message.id = room.last + 1
  local json = cjson.encode(message)
  room.messages[message.id], room.last = json, message.id
  if room.last - room.first >= KEPT then
    room.messages[room.first] = nil
    room.first = room.first + 1
  end
  return json
end

local function names(room)
  local list = {}
  for name in pairs(room.people) do list[#list + 1] = name end
  table.sort(list)
  return list
end

-- ---- a connection

-- Why somebody cannot come in: a code and a reason, which their page shows. room: nil if it is a new one.
local function refusal(ws, room, room_count)
  if not ws.name then return 4400, ("come with a name of 1 to %d characters"):format(MAX_NAME) end
  if not ws.room then return 4400, ("come into a room whose name has 1 to %d characters"):format(MAX_ROOM_NAME) end
  if not room then
    if room_count >= MAX_ROOMS then return 1013, "there are too many rooms" end
    return nil
  end
  local other = room.people[ws.name]
  if other and (not ws.key or ws.key ~= other.key) then return 4409, ws.name .. " is here already" end
  if not other and room.count >= MAX_PEOPLE then return 1013, "the room is full" end
end

-- seen: the id of the last message that they have seen
local function enter(room, ws, seen)
  local before = room.people[ws.name]
  room.people[ws.name] = ws
  if before then
    before:close(4408, "you are here from elsewhere")
  else
    room.count = room.count + 1
    ws:publish(ws.room, cjson.encode { type = "came", name = ws.name })
  end
  ws:send(cjson.encode { type = "welcome", people = names(room) })
  for id = math.max(room.first, seen + 1), room.last do ws:send(room.messages[id]) end
  ws:subscribe(ws.room)
end

local function leave(room, ws, code, reason)
  if room.people[ws.name] ~= ws then return end -- the name has been taken over
  room.people[ws.name] = nil
  room.count = room.count - 1
  local why = moonsocket.is_unexpected(code, 1000, 1001, 1005) and reason or nil
  ws:publish(ws.room, cjson.encode { type = "went", name = ws.name, why = why })
end

local function speak(server, room, ws, json)
  local said = cjson.decode(json)
  local text = type(said) == "table" and clean(said.text, MAX_TEXT)
  if not text then
    ws:close(1008, ('say {"text": "..."}, of 1 to %d characters'):format(MAX_TEXT))
    return
  end
  server:publish(ws.room, keep(room, { type = "message", time = os.time(), name = ws.name, text = text }))
end

-- ---- the server

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

--- Opens a server. A name is taken as long as somebody is in the room with it.
-- @param address as moonsocket.serve's
-- @param options as moonsocket.serve's
-- @return server, and its rooms: rooms.lobby.people.ann is ann's ws; or nil and a message
function chat.open(address, options)
  local rooms, room_count, server = {}, 0, nil

  local function attend(ws, request)
    local given = parameters(request.query)
    ws.name, ws.key = clean(given.name, MAX_NAME), given.key
    ws.room = clean(request.params.room, MAX_ROOM_NAME)
    local room = rooms[ws.room]
    local code, reason = refusal(ws, room, room_count)
    if code then return ws:close(code, reason) end
    if not room then
      room = new_room()
      rooms[ws.room], room_count = room, room_count + 1
    end
    ws:on_close(function(...) leave(room, ws, ...) end)
    ws:on_message(function(json) speak(server, room, ws, json) end)
    enter(room, ws, math.tointeger(tonumber(given.since)) or 0)
  end

  local router = moonsocket.router()
  router:websocket("/room/:room", attend, LIMITS)
  router:get("/", function() return 200, read(HERE .. "page/index.html"), PAGE_HEADERS end)
  router:files("/page/", HERE .. "page")

  local wrong
  server, wrong = moonsocket.serve(address, router, options)
  if not server then return nil, wrong end

  -- For a while what was said is kept for those who come back.
  server:on_topic_empty(function(name)
    moonsocket.sleep(EMPTY_FOR)
    if rooms[name] and rooms[name].count == 0 then
      rooms[name], room_count = nil, room_count - 1
    end
  end)
  return server, rooms
end

return chat
