-- A server, the peers of one spec, and a record of what the application was told; nothing may be left behind.
local certificates = require "spec.support.certificates"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local stage = require "spec.support.stage"

local scene = {}
scene.__index = scene

--- The handler where a scene is given none.
function scene.echo(ws)
  ws:on_message(function(message, kind) ws:send(message, kind) end)
end

--- What every handler of a scene does besides its own work: it writes down how the connection ended.
function scene:recording(handler)
  return function(ws, request)
    local record = { id = ws.id, messages = 0, closes = {} }
    self.records[#self.records + 1] = record
    self.last = record
    self.boxes[ws] = true
    ws:on_close(function(code, reason, info)
      record.closes[#record.closes + 1] = { code = code, reason = reason, info = info }
      record.code, record.reason, record.info = code, reason, info
      if self.on_close then self.on_close(ws, code, reason, info) end
    end)
    return handler(ws, request, record)
  end
end

local await = stage.await

--- Opens a connection that has been upgraded, as peer.open.
function scene:open(extra, behind) return self:keep(peer.open(self.to, extra, behind)) end

--- Opens a TCP connection without a handshake.
function scene:connect() return self:keep(peer.connect(self.to)) end

--- The connection of a scene that has one, as its application has it.
function scene:ws()
  return (next(self.boxes))
end

function scene:keep(p)
  self.peers[#self.peers + 1] = p
  return p
end

--- The answer to bytes that open no WebSocket (peer.read_response). After it comes the end of TCP, and nothing else.
function scene:refusal(bytes)
  local p = self:connect()
  p:send(bytes)
  local response = assert(p:read_response())
  local rest, tcp = p:read_rest()
  if rest ~= "" or tcp ~= "fin" then error(("after the answer: %q, then %s"):format(rest, tcp), 2) end
  p:drop()
  return response
end

--- await(what, condition [, timeout]): waits until the condition holds; the error names what otherwise.
scene.await = await

--- Waits until the n-th connection (default: the latest to open) has had its on_close; returns its record:
-- { id =, code =, reason =, info =, closes = {...} }.
function scene:ending(n)
  await("an open connection", function() return self.records[n or 1] ~= nil end)
  local record = n and self.records[n] or self.last
  await("on_close", function() return record.code ~= nil end)
  return record
end

--- How one connection ended, in one table to be compared as a whole: wire = what came up to the end of TCP (see
-- peer.describe), tcp = "fin" | "reset" | "timeout", then what on_close was told: code, reason and info's fields.
-- The peer closes its side only after it has read the end of the server's. n: as for ending.
function scene:outcome(p, n)
  local frames, tcp = p:read_all()
  local wire = {}
  for i, frame in ipairs(frames) do wire[i] = peer.describe(frame) end
  p:drop()
  local outcome = self:told(n)
  outcome.wire, outcome.tcp = wire, tcp
  return outcome
end

--- What the n-th connection's on_close was told, in one table: code, reason and info's fields. n: as for ending.
function scene:told(n)
  local record = self:ending(n)
  local told = { code = record.code, reason = record.reason }
  for name, value in pairs(record.info) do told[name] = value end
  return told
end

--- The end of a scene whose peers have left: every connection has had its on_close, and is forgotten.
function scene:check_closes()
  for _, record in ipairs(self.records) do
    if #record.closes ~= 1 then
      error(("connection %d had %d on_close instead of one"):format(record.id, #record.closes), 0)
    end
  end
  self.peers, self.records, self.last = {}, {}, nil
end

local function leave(self)
  for _, p in ipairs(self.peers) do p:drop() end
  self.server:shutdown { drain = 5 }
  self:check_closes()
end

local function abandon(self)
  for _, p in ipairs(self.peers) do p:drop() end
  if self.server then self.server:shutdown { drain = 0 } end
end

local function play_scene(options, play, secure)
  local settings = { tls = secure and certificates.of "localhost" or nil }
  for name, value in pairs(options) do settings[name] = value end
  local handler, callbacks, address = settings.handler or scene.echo, settings.table, settings.address or "127.0.0.1:0"
  settings.handler, settings.table, settings.address, settings.receive_buffer = nil, nil, nil, nil
  local self = setmetatable({ records = {}, peers = {}, boxes = setmetatable({}, { __mode = "k" }) }, scene)
  stage.run(function()
    self.server = assert(moonsocket.serve(address, callbacks or self:recording(handler), settings))
    local path = tostring(address):match "^unix:(.*)$"
    self.to = { port = self.server.port, path = path, receive_buffer = options.receive_buffer, tls = secure }
    play(self)
    leave(self)
  end, function() abandon(self) end, self.boxes)
end

--- Plays a scene: play(scene) runs as a task, with a server of its own.
-- @param options of the server, and in the same table handler = function(ws, request, record) (default: an echo),
--        table = a callback table instead (nothing is recorded then), address = (default "127.0.0.1:0"),
--        receive_buffer = bytes that a peer's kernel takes without its reading
function scene.play(options, play) play_scene(options, play, false) end

--- The same over TLS.
scene.over_tls = { await = await, play = function(options, play) play_scene(options, play, true) end }

return scene
