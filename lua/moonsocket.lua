-- moonsocket: WebSockets whose on_close always tells the truth.

-- Before the core, which an older Lua cannot even load. LUA_PATH holds for every version.
if _VERSION < "Lua 5.4" then error(("moonsocket needs Lua 5.4, and this is %s"):format(_VERSION), 2) end

local core = require "moonsocket.core"
local address = require "moonsocket.address"
local admission = require "moonsocket.admission"
local handlers = require "moonsocket.handlers"
local headers = require "moonsocket.headers"
local ip = require "moonsocket.ip"
require "moonsocket.json"
local log = require "moonsocket.log"
require "moonsocket.metrics"
local options = require "moonsocket.options"
local proxy = require "moonsocket.proxy"
local reconnect = require "moonsocket.reconnect"
local router = require "moonsocket.router"
local tls = require "moonsocket.tls"
local url = require "moonsocket.url"

local moonsocket = {
  codes = core.codes,
  prepare = core.prepare,
  router = router.new,
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

-- What the option trusted_proxies lists, for the core: networks, one after the other, and whether "unix" is among them.
local function networks_of(proxies)
  local networks, unix = {}, false
  for _, entry in ipairs(proxies) do
    unix = unix or entry == "unix"
    networks[#networks + 1] = ip.network(entry)
  end
  return table.concat(networks), unix
end

--- Starts a server.
-- @param where a port number, "host:port", "[::1]:port", "unix:/path" or "fd:3"
-- @param handler function(ws, request), or a table of callbacks, or a router
-- @param given options (see library/moonsocket.lua)
-- @return server, or nil, message, errno
function moonsocket.serve(where, handler, given)
  local config = options.check("serve", given, options.server, 3)
  local place, wrong = address.parse(where)
  if not place then error("serve: " .. wrong, 2) end
  config.host, config.port, config.path, config.fd = place.host, place.port or 0, place.path, place.fd or -1
  local context
  if router.is(handler) then
    -- Weak, for the server keeps the router. The field is there: once it listens nothing may run out of memory.
    context = setmetatable({ server = false }, { __mode = "v" })
    config.routes, config.match = router.compile(handler, given, context)
    config.handlers = {}
  else
    config.handlers, config.table = handlers.of("serve", handler, 3)
  end
  config.admit = admission.judge(config.origins, config.authorize)
  config.any_origin = config.origins ~= nil
  config.trusted_networks, config.trust_unix = networks_of(config.trusted_proxies or {})
  config.log = log.writer(config.log)
  if config.tls then
    config.context, wrong = tls.server(config.tls)
    if not config.context then return nil, wrong end
    config.renew_tls = tls.renewer(config.tls)
  end
  local server, message, code = core.listen(config)
  if not server then return nil, ("cannot listen on %s: %s"):format(where, message), code end
  if context then context.server = server end
  return server
end

-- What core.connect wants: the options that were given to a function of that name, checked, and what the URL says.
-- A mistake in them is raised at whoever called that function.
local function client_config(what, where, given, rows)
  local config = options.check(what, given, rows, 4)
  local target, wrong = url.parse(where)
  if not target then error(("%s: %s"):format(what, wrong), 3) end
  if target.scheme == "wss" then
    config.context, wrong = tls.client(config.tls)
    if not config.context then return nil, wrong end
    config.server_name = tls.server_name(config.tls, target.host)
    config.server_port = target.port
  end
  config.resource, config.host_header = target.target, target.host_header
  config.header_lines, wrong = headers.request(config.headers, config.cookies, target.authorization)
  if not config.header_lines then error(("%s: %s"):format(what, wrong), 3) end
  local route
  route, wrong = proxy.route(config.proxy, target, os.getenv)
  if not route then return nil, wrong end
  for name, value in pairs(route) do config[name] = value end
  return config
end

--- Connects to a server; waits until the connection is open or has failed.
-- @param where "ws://host:port/path?query", "wss://..." or "ws+unix:/path/to.sock:/path"
-- @param given options (see library/moonsocket.lua)
-- @return ws, or nil, message and, where the server answered, its response { status =, headers =, body = }
function moonsocket.connect(where, given)
  local config, wrong = client_config("connect", where, given, options.client)
  if not config then return nil, wrong end
  return core.connect(config)
end

--- A client that connects again and again, until it is stopped or there is no use in it. It does not wait.
-- @param where as for connect
-- @param given options, those of connect and more (see library/moonsocket.lua)
-- @return client, or nil and a message
function moonsocket.reconnect(where, given)
  local config, wrong = client_config("reconnect", where, given, options.reconnect)
  if not config then return nil, wrong end
  if config.max_delay < config.min_delay then
    error(("reconnect: option 'max_delay': min_delay, which is %s, or more expected, got %s"):format(
      config.min_delay, config.max_delay), 2)
  end
  return reconnect.new(config)
end

-- The first signal asks every connection to close, the second waits for nobody.
local function on_shutdown_signal()
  reconnect.finish_all()
  local pending = 1
  local function one_less()
    pending = pending - 1
    if pending == 0 then core.stop() end
  end
  local function wait_for(fn)
    pending = pending + 1
    core.go(function()
      fn()
      one_less()
    end)
  end
  for _, server in ipairs(core.servers()) do
    wait_for(function() server:shutdown() end)
  end
  for _, ws in ipairs(core.clients()) do
    wait_for(function()
      if ws:close(core.codes.GOING_AWAY) then ws:wait_closed() end
    end)
  end
  one_less()
end

local function trap_signals()
  local asked = false
  local function on_signal()
    if asked then return core.stop() end
    asked = true
    on_shutdown_signal()
  end
  local traps = {} -- none outside the process's main thread
  for _, name in ipairs { "INT", "TERM" } do traps[#traps + 1] = core.on_signal(name, on_signal) end
  return traps
end

--- Runs the loop until nothing is left to wait for, or until stop().
-- SIGINT and SIGTERM shut every server down gracefully (1001) unless told otherwise: run{signals = false}.
-- @param what a function to start first, or a table of options
function moonsocket.run(what)
  local may, why = core.may_run()
  if not may then error("run: " .. why, 2) end
  local starts = type(what) == "function"
  if not starts and what ~= nil and type(what) ~= "table" then
    error(("run: a function or a table of options expected, got a %s"):format(type(what)), 2)
  end
  local settings = options.check("run", not starts and what or nil, options.run, 3)
  if starts then core.go(what) end
  local traps = settings.signals and trap_signals() or {}
  core.run(#traps > 0)
  for _, trap in ipairs(traps) do trap:cancel() end
end

--- Whether a connection ended in another way than those expected.
-- @param code what on_close was told
-- @param ... the codes that are expected (default: 1000 and 1001)
function moonsocket.is_unexpected(code, ...)
  local codes = { code, ... }
  for i = 1, 1 + select("#", ...) do
    if math.type(codes[i]) ~= "integer" then
      error(("is_unexpected: a close code, as on_close is told it, expected, got %s"):format(codes[i]), 2)
    end
  end
  if not codes[2] then codes = { code, core.codes.NORMAL, core.codes.GOING_AWAY } end
  for i = 2, #codes do
    if code == codes[i] then return false end
  end
  return true
end

return moonsocket
