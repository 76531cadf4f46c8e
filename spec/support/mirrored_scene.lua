-- A scene with the roles exchanged: its peers are raw servers, and moonsocket's client is what it is about. It has the
-- words of scene.lua, as far as they make sense, so that specs which hold for both roles run for both.
local certificates = require "spec.support.certificates"
local moonsocket = require "moonsocket"
local raw_server = require "spec.support.raw_server"
local scene = require "spec.support.scene"
local stage = require "spec.support.stage"

local mirrored_scene = setmetatable({}, { __index = scene })
mirrored_scene.__index = mirrored_scene

--- Opens a connection: the handler runs as a task.
-- @param extra header lines of the answer
-- @param behind bytes in the same segment
-- @return the server's side of it
function mirrored_scene:open(extra, behind)
  local before = #self.records
  moonsocket.go(function()
    local ws = assert(moonsocket.connect(self.server.url, self.settings))
    self:recording(self.handler)(ws, ws.request)
  end)
  local p = self:keep(self.server:accept())
  p:upgrade(extra, behind)
  scene.await("the client", function() return #self.records > before end)
  return p
end

local function let_go(self)
  for _, p in ipairs(self.peers) do p:drop() end
  self.server:stop()
  for ws in pairs(self.boxes) do ws:terminate() end
end

local function leave(self)
  let_go(self)
  for _, record in ipairs(self.records) do
    scene.await("on_close", function() return #record.closes > 0 end)
  end
  self:check_closes()
end

local function play_scene(options, play, secure)
  local settings = { tls = secure and { ca = certificates.path "ca.pem" } or nil }
  for name, value in pairs(options) do settings[name] = value end
  settings.handler, settings.receive_buffer = nil, nil
  local self = setmetatable({
    records = {}, peers = {}, boxes = setmetatable({}, { __mode = "k" }),
    settings = settings, handler = options.handler or scene.echo,
  }, mirrored_scene)
  stage.run(function()
    self.server = raw_server.listen { tls = secure, receive_buffer = options.receive_buffer }
    play(self)
    leave(self)
  end, function() let_go(self) end, self.boxes)
end

--- Plays a scene: play(scene) runs as a task, with a raw server of its own.
-- @param options of the client, and in the same table handler and receive_buffer as for scene.play
function mirrored_scene.play(options, play) play_scene(options, play, false) end

--- The same over TLS.
mirrored_scene.over_tls = {
  await = scene.await,
  play = function(options, play) play_scene(options, play, true) end,
}

return mirrored_scene
