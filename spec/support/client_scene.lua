-- A raw server, moonsocket's connections to it, and a record of what the application was told; nothing may be left
-- behind.
local certificates = require "spec.support.certificates"
local moonsocket = require "moonsocket"
local raw_server = require "spec.support.raw_server"
local stage = require "spec.support.stage"

local client_scene = {}
client_scene.__index = client_scene

client_scene.await = stage.await

--- Starts a task that accepts the next connection and calls script(connection); errors in it fail the spec.
-- @return a job for join
function client_scene:answer(script)
  local job = {}
  self.jobs[#self.jobs + 1] = job
  moonsocket.go(function()
    job.ok, job.result = xpcall(function()
      job.connection = self.server:accept()
      self.connections[#self.connections + 1] = job.connection
      return script(job.connection)
    end, stage.traced)
  end)
  return job
end

--- Waits until a script is over; returns what it returned.
function client_scene:join(job) -- luacheck: ignore 212/self
  stage.await("the end of the server's script", function() return job.ok ~= nil end)
  if not job.ok then error(job.result, 0) end
  return job.result
end

--- moonsocket.connect to the scene's server, or to another URL. Where it succeeds a record says how it ended.
-- @return ws, record, or nil, message, response
function client_scene:connect(options, url)
  local settings = { tls = self.server.tls and { ca = certificates.path "ca.pem" } or nil }
  for name, value in pairs(options or {}) do settings[name] = value end
  local ws, message, response = moonsocket.connect(url or self.server.url, settings)
  if not ws then return nil, message, response end
  local record = { closes = {} }
  self.boxes[ws] = true
  self.records[#self.records + 1] = record
  ws:on_close(function(code, reason, info)
    record.closes[#record.closes + 1] = code
    record.code, record.reason, record.info = code, reason, info
    if record.on_close then record.on_close(ws, code, reason, info) end
  end)
  return ws, record
end

--- Connects while the server plays a script, which ends before this returns.
-- @return what connect returned, and what the script returned, last
function client_scene:meet(script, options, url)
  local job = self:answer(script)
  local a, b, c = self:connect(options, url)
  return a, b, c, self:join(job)
end

--- Opens a connection, whose server answers rightly.
-- @param extra header lines of the answer
-- @param behind bytes in the same segment
-- @return ws, the server's connection, the record
function client_scene:open(options, extra, behind)
  local job = self:answer(function(connection) connection:upgrade(extra, behind) end)
  local ws, record = self:connect(options)
  self:join(job)
  if not ws then error("not connected: " .. tostring(record), 2) end
  return ws, job.connection, record
end

--- What on_close was told, in one table: code, reason and info's fields.
-- @param record default: the latest connection's
function client_scene:told(record)
  record = record or self.records[#self.records]
  stage.await("on_close", function() return record.code ~= nil end)
  local told = { code = record.code, reason = record.reason }
  for name, value in pairs(record.info) do told[name] = value end
  return told
end

--- How a connection ended, in one table to be compared as a whole: wire = what came up to the end of TCP, tcp = how
-- that came, then what on_close was told. The server behaves: once a Close frame has come it ends TCP.
function client_scene:outcome(connection, record)
  local frames, tcp = connection:read_all()
  local wire = {}
  for i, frame in ipairs(frames) do wire[i] = connection.describe(frame) end
  connection:drop()
  local outcome = self:told(record)
  outcome.wire, outcome.tcp = wire, tcp
  return outcome
end

local function let_go(self)
  for _, connection in ipairs(self.connections) do connection:drop() end
  self.server:stop()
end

local function leave(self)
  for _, job in ipairs(self.jobs) do self:join(job) end
  let_go(self)
  for i, record in ipairs(self.records) do
    stage.await(("on_close of connection %d"):format(i), function() return #record.closes > 0 end)
  end
  moonsocket.sleep(0)
  for i, record in ipairs(self.records) do
    if #record.closes ~= 1 then error(("connection %d had %d on_close"):format(i, #record.closes), 0) end
  end
  self.jobs, self.records, self.connections = {}, {}, {}
end

local function play_scene(where, play)
  local self = setmetatable({
    jobs = {}, connections = {}, records = {}, boxes = setmetatable({}, { __mode = "k" }),
  }, client_scene)
  stage.run(function()
    self.server = raw_server.listen(where)
    play(self)
    leave(self)
  end, function()
    if self.server then let_go(self) end
    for ws in pairs(self.boxes) do ws:terminate() end
  end, self.boxes)
end

--- Plays a scene: play(scene) runs as a task, with a raw server of its own.
-- @param play may come alone
-- @param where of raw_server.listen
function client_scene.play(where, play)
  if play then play_scene(where, play) else play_scene({}, where) end
end

--- The same over TLS.
client_scene.over_tls = {
  await = stage.await,
  play = function(play) play_scene({ tls = true }, play) end,
}

return client_scene
