-- moonsocket: WebSockets whose on_close always tells the truth.

local core = require "moonsocket.core"
local address = require "moonsocket.address"
local admission = require "moonsocket.admission"
local options = require "moonsocket.options"

local moonsocket = {
  codes = core.codes,
  go = core.go,
  sleep = core.sleep,
  after = core.after,
  every = core.every,
  on_signal = core.on_signal,
  now = core.now,
  wait = core.wait,
  step = core.step,
  stop = core.stop,
}

-- Running servers, for the graceful shutdown by a signal.
local servers = setmetatable({}, { __mode = "k" })

-- The callbacks of a table, in the order of the core's slots.
local slots = { "message", "close", "closing", "ping", "pong", "drain", "error", "open" }

local function handlers_of(handler, level)
  local list = {}
  if type(handler) == "function" then
    list[#slots] = handler
    return list, false
  elseif type(handler) ~= "table" then
    error(("serve: a function(ws, request) or a table of callbacks expected, got a %s"):format(type(handler)), level)
  end
  local known = {}
  for i, name in ipairs(slots) do known[name] = i end
  for name, fn in pairs(handler) do
    if not known[name] then
      error(("serve: unknown callback '%s': %s expected"):format(tostring(name), table.concat(slots, ", ")), level)
    elseif type(fn) ~= "function" then
      error(("serve: the callback '%s' is a %s, not a function"):format(name, type(fn)), level)
    end
    list[known[name]] = fn
  end
  return list, true
end

--- Starts a server.
-- @param where a port number, "host:port", "[::1]:port", "unix:/path" or "fd:3"
-- @param handler function(ws, request), or a table of callbacks
-- @param given options (see library/moonsocket.lua)
-- @return server, or nil, message, errno
function moonsocket.serve(where, handler, given)
  local config = options.check(given, options.server, 3)
  local place, wrong = address.parse(where)
  if not place then error("serve: " .. wrong, 2) end
  config.host, config.port, config.path, config.fd = place.host, place.port or 0, place.path, place.fd or -1
  config.handlers, config.table = handlers_of(handler, 3)
  config.admit = admission.judge(config.origins, config.authorize)
  config.any_origin = config.origins ~= nil
  local server, message, code = core.listen(config)
  if not server then return nil, ("cannot listen on %s: %s"):format(where, message), code end
  servers[server] = true
  return server
end

-- The first signal asks every connection to close, the second waits for nobody.
local function on_shutdown_signal()
  local pending = 0
  for server in pairs(servers) do
    pending = pending + 1
    core.go(function()
      server:shutdown()
      pending = pending - 1
      if pending == 0 then core.stop() end
    end)
  end
  if pending == 0 then core.stop() end
end

local function trap_signals()
  local asked = false
  local function on_signal()
    if asked then return core.stop() end
    asked = true
    on_shutdown_signal()
  end
  return { core.on_signal("INT", on_signal), core.on_signal("TERM", on_signal) }
end

--- Runs the loop until nothing is left to wait for, or until stop().
-- SIGINT and SIGTERM shut every server down gracefully (1001) unless told otherwise: run{signals = false}.
-- @param what a function to start first, or a table of options
function moonsocket.run(what)
  local settings = type(what) == "table" and what or {}
  if type(what) == "function" then
    core.go(what)
  elseif what ~= nil and type(what) ~= "table" then
    error(("run: a function or a table of options expected, got a %s"):format(type(what)), 2)
  end
  local traps = settings.signals ~= false and trap_signals() or {}
  core.run()
  for _, trap in ipairs(traps) do trap:cancel() end
end

--- Whether a connection ended in another way than those expected.
-- @param code what on_close was told
-- @param ... the codes that are expected (default: 1000 and 1001)
function moonsocket.is_unexpected(code, ...)
  local expected = select("#", ...) > 0 and { ... } or { core.codes.NORMAL, core.codes.GOING_AWAY }
  for _, good in ipairs(expected) do
    if code == good then return false end
  end
  return true
end

return moonsocket
