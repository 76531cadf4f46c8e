-- A scene that is played while memory runs out (see starve.c): a server, its peers and its timers, all at once, driven
-- turn by turn. Returns what went wrong, or "fine" and how many connections were told their end.
local arm = ...
local moonsocket = require "moonsocket"
local core = require "moonsocket.core"
local raw = require "raw"
local peer = require "spec.support.peer"

local REQUEST = peer.request "Cookie: a=b\r\nX-Twice: 1\r\nX-Twice: 2\r\nSec-WebSocket-Protocol: chat\r\n"
local FRAMES = {
  peer.text "hello", peer.binary(("x"):rep(1000)), peer.ping "ping", peer.pong "pong",
  peer.frame { opcode = 1, payload = "frag", fin = false }, peer.frame { opcode = 0, payload = "ment" },
  peer.text(("long "):rep(4000)),
}
local CLOSE = peer.close(4000, "enough")

-- How often each connection was told its end.
local told = {}
for id = 1, 100 do told[id] = 0 end

local function on_close(ws) told[ws.id] = told[ws.id] + 1 end

local function handler(ws, request)
  ws:on_close(function() on_close(ws) end)
  ws:on_error(function() end)
  ws:subscribe "all"
  ws:subscribe("connection " .. ws.id)
  ws.user = { name = request.cookies.a, twice = request.headers["x-twice"] }
  if ws.id % 3 == 0 then
    for reader in function() return ws:reader() end do
      local parts = {}
      for bytes in reader do parts[#parts + 1] = bytes end
      if reader.kind == "text" then
        ws:send(table.concat(parts))
      else
        local writer <close> = assert(ws:writer "binary")
        for _, bytes in ipairs(parts) do writer:write(bytes) end
      end
    end
  elseif ws.id % 2 == 0 then
    for message, kind in ws:messages() do ws:send(message, kind) end
  else
    ws:on_ping(function(payload) ws.last = payload end)
    ws:on_pong(function(payload) ws.last = payload end)
    ws:on_closing(function(code, reason) return code, reason end)
    ws:on_message(function(message, kind)
      moonsocket.sleep(0)
      ws:send(message, kind)
    end)
  end
end

local options = {
  close_timeout = 0.02, handshake_timeout = 0.05, subprotocols = { "chat" },
  authorize = function(request)
    moonsocket.sleep(0)
    return request.path == "/"
  end,
}
local callbacks = {
  open = function(ws) ws.user = "ann" end,
  message = function(ws, message, kind) ws:send(message, kind) end,
  close = on_close,
  error = function() end,
}

-- The peers' own memory never runs out: so the scene goes on as far as the server lets it.
local fds = {}

local function connect(server)
  arm(false)
  local fd = raw.connect("127.0.0.1", server.port)
  fds[#fds + 1] = fd
  raw.send(fd, REQUEST)
  arm(true)
  return fd
end

local function send(fd, bytes)
  arm(false)
  raw.send(fd, bytes)
  arm(true)
end

local function turns(n)
  for _ = 1, n do moonsocket.step(0) end
end

local function visit(server)
  local fd = connect(server)
  turns(4)
  for _, frame in ipairs(FRAMES) do
    send(fd, frame)
    turns(2)
  end
  server:broadcast "all"
  server:publish("all", moonsocket.prepare "some")
  server:topics()
  send(fd, CLOSE)
  turns(3)
end

local function await(condition)
  local deadline = moonsocket.now() + 5
  while not condition() do
    if moonsocket.now() > deadline then return false end
    moonsocket.step(0.001)
  end
  return true
end

local function echoes(server)
  local fd = raw.connect("127.0.0.1", server.port)
  fds[#fds + 1] = fd
  raw.send(fd, REQUEST .. FRAMES[1])
  local input = ""
  return await(function()
    input = input .. (raw.receive(fd, 4096) or "")
    return input:sub(-7) == "\x81\x05hello"
  end)
end

local servers = { false, false }
local descriptors = raw.descriptors()
arm(true)
local ok, wrong = pcall(function()
  servers[1] = moonsocket.serve("127.0.0.1:0", handler, options)
  servers[1]:on_topic_empty(function() end)
  servers[2] = moonsocket.serve("127.0.0.1:0", callbacks, { close_timeout = 0.02, handshake_timeout = 0.05 })
  moonsocket.go(function() moonsocket.sleep(0.001) end)
  moonsocket.after(0.001, function() end)
  local ticker
  ticker = moonsocket.every(0.001, function() ticker:cancel() end)
  moonsocket.on_signal("USR2", function() end):cancel()
  for _, server in ipairs(servers) do
    for _ = 1, 2 do visit(server) end
    server:connections()
    server:stats()
  end
end)
arm(false)

-- There is memory again: who serves still serves, everything ends, and nothing is held.
for _, server in ipairs(servers) do
  if server and not echoes(server) then return "a server does not serve any more" end
end
for _, fd in ipairs(fds) do raw.close(fd) end
for _, server in ipairs(servers) do
  if server then moonsocket.go(function() server:shutdown { drain = 0.05 } end) end
end
if not await(function() return core.held() == 0 end) then return "the loop is held by " .. core.held() end
local ends = 0
for id = 1, #told do
  if told[id] > 1 then return "an on_close was called twice" end
  ends = ends + told[id]
end
if not ok and not tostring(wrong):find "memory" then return "raised: " .. tostring(wrong) end
if raw.descriptors() > descriptors then return "descriptors are left open" end
return ("fine: %d ends"):format(ends)
