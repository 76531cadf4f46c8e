-- Clients that come back, in a scene: what each was told, and that all of them are stopped at the end.
local client_scene = require "spec.support.client_scene"
local moonsocket = require "moonsocket"
local raw = require "raw"
local stage = require "spec.support.stage"

local reconnect_scene = {}
reconnect_scene.__index = reconnect_scene

reconnect_scene.MIN, reconnect_scene.MAX = 0.001, 0.004 -- s: the pauses, unless the options say otherwise

reconnect_scene.LONG = { min_delay = 3600, max_delay = 3600 } -- it comes back, but not while the spec runs

reconnect_scene.await = stage.await

local function with(base, more)
  local all = {}
  for name, value in pairs(base) do all[name] = value end
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end

local function start(self, options, url)
  local client = assert(moonsocket.reconnect(url or self.url,
    with({ min_delay = self.MIN, max_delay = self.MAX }, options)))
  self.clients[#self.clients + 1] = client
  return client
end

-- A log, and options that write on_down's calls into it.
local function logging(options)
  local log = { attempts = {}, downs = {} }
  return log, with(options or {}, {
    on_down = function(code, reason, info, delay)
      log.downs[#log.downs + 1] = { code = code, reason = reason, info = info, delay = delay }
      if options and options.on_down then options.on_down(code, reason, info, delay) end
    end,
  })
end

--- Starts a client with callbacks.
-- @param options of reconnect. Without on_open its messages are thrown away.
-- @return the client, and what it was told: { attempts = on_open's, downs = on_down's, each a table }
function reconnect_scene:start(options, url)
  local log, all = logging(options)
  function all.on_open(ws, attempt)
    self.boxes[ws] = true
    log.attempts[#log.attempts + 1] = attempt
    if options and options.on_open then return options.on_open(ws, attempt) end
    ws:on_message(function() end)
  end
  return start(self, all, url), log
end

--- A client for a loop over its connections, and its log (attempts stays empty).
function reconnect_scene:looped(options, url)
  local log, all = logging(options)
  return start(self, all, url), log
end

--- Lets the client in; returns the server's side of the connection.
function reconnect_scene:admit(client)
  local connection = self.server:accept()
  self.connections[#self.connections + 1] = connection
  connection:upgrade()
  stage.await("an open client", function() return client.ws and client.ws.state == "open" end)
  return connection
end

--- Answers the next connection with these bytes, and ends it.
function reconnect_scene:answer(bytes)
  local connection = self.server:accept()
  connection:read_request()
  connection:send(bytes)
  connection:drop()
end

--- Plays the peer's half of a closing handshake: sends a Close frame where bytes are given, and reads the client's.
-- @param bytes that begin it; nil: the client has begun it, and gets its own code back
-- @return the client's Close frame
function reconnect_scene:shake(connection, bytes) -- luacheck: ignore 212/self
  if bytes then connection:send(bytes) end
  local frame = connection:read_to "close"
  if not bytes then connection:send(connection.close(frame.code)) end
  connection:drop()
  return frame
end

--- Waits for the n-th on_down; returns { code =, reason =, info =, delay = }.
function reconnect_scene:down(log, n) -- luacheck: ignore 212/self
  stage.await(("on_down %d"):format(n), function() return log.downs[n] end)
  return log.downs[n]
end

--- Nobody has connected, nor does within a few turns of the loop.
function reconnect_scene:nobody_comes()
  for _ = 1, 20 do moonsocket.sleep(0) end
  local fd, why = raw.accept(self.server.fd)
  if fd or why ~= "wait" then error("somebody connects, or " .. tostring(why), 2) end
end

--- Plays a scene with a raw server: play(scene) runs as a task. Its clients are stopped in the end.
-- @param where of raw_server.listen; play may come alone
function reconnect_scene.play(where, play)
  if not play then where, play = nil, where end
  client_scene.play(where, function(s)
    local self = setmetatable({
      clients = {}, server = s.server, url = s.server.url, boxes = s.boxes, connections = s.connections,
    }, reconnect_scene)
    local ok, wrong = xpcall(play, stage.traced, self)
    for i, client in ipairs(self.clients) do
      client:stop()
      self.clients[i] = nil
    end
    if not ok then error(wrong, 0) end
  end)
end

return reconnect_scene
