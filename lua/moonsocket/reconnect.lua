-- A client that comes back: one connection after another to the same server, with pauses that grow while it fails.
--
-- Everything happens in one loop over next_connection: the user's own (client:connections), or with on_open a task's.

local core = require "moonsocket.core"

local client = {}
client.__index = client
client.__name = "moonsocket.client"

function client.__newindex(_, name)
  error(("%s cannot be set here: what a client does is said in the options of reconnect"):format(tostring(name)), 2)
end

-- Who ends so would do the same again: what we are, send or speak is what the server does not take.
local terminal_codes = {
  [core.codes.PROTOCOL_ERROR] = true, [core.codes.UNSUPPORTED_DATA] = true,
  [core.codes.INVALID_DATA] = true, [core.codes.POLICY_VIOLATION] = true,
}
local terminal_statuses = { [401] = true, [403] = true, [404] = true }

-- For xpcall: as the core tells an error that nobody catches.
local function tell(message)
  io.stderr:write("moonsocket: error in a callback: ", debug.traceback(tostring(message), 2), "\n")
end

-- ---- messages that wait for a connection

-- Each leaves the queue when the connection has taken it, and is sent when those before it have left: none overflows.
local function send_queued(self, ws)
  local queue = self.queue
  while queue.first <= queue.last and ws:drain() do
    local entry = queue[queue.first]
    if not ws:send(entry.message, entry.kind) then return end
    queue[queue.first] = nil
    queue.first = queue.first + 1
  end
end

local function enqueue(self, message, kind)
  local queue, most = self.queue, self.config.queue
  if most == 0 then return nil, "down" end
  if queue.last - queue.first + 1 >= most then return nil, "overflow" end
  queue.last = queue.last + 1
  queue[queue.last] = { message = message, kind = kind }
  return true, "queued"
end

-- ---- one connection after another

local function finish(self)
  self.stopped = true
  self.cancellation:cancel()
end

local function comes_back(config, code, reason, info)
  if config.should_retry then
    local ok, answer = xpcall(config.should_retry, tell, code, reason, info)
    if ok then return answer end
  end
  if code then return not terminal_codes[code] end
  return not (info and terminal_statuses[info.status] and not info.by_proxy)
end

-- Never shorter than min_delay, lest anybody hammers; else anywhere up to a bound that doubles, lest those who were cut
-- off together return together.
local function random_pause(config, failures)
  local bound = math.min(config.max_delay, config.min_delay * 2.0 ^ failures)
  return config.min_delay + core.random() * (bound - config.min_delay)
end

-- A connection has ended, or an attempt at one failed (no code).
local function went_down(self, code, reason, info)
  local config, delay = self.config, nil
  self.failures = self.failures + 1
  if not self.stopped and comes_back(config, code, reason, info) and not self.stopped then
    delay = random_pause(config, self.failures)
    self.pause = delay
  else
    finish(self)
  end
  if config.on_down then xpcall(config.on_down, tell, code, reason, info, delay) end
end

-- Waits for the end of the connection. What a loop did since then counts as well: the server had that rest.
local function settle(self)
  local code, reason, info = self.ws:wait_closed()
  rawset(self, "ws", nil)
  if core.now() - self.opened >= self.config.stable_after then self.failures = 0 end
  went_down(self, code, reason, info)
end

-- Closes one whose messages nobody is going to ask for.
local function give_up(ws)
  core.discard(ws)
  ws:close()
end

-- Ends the connection before, and waits for the next. nil: the client has stopped.
local function next_connection(self)
  if self.ws then
    give_up(self.ws)
    settle(self)
  end
  while not self.stopped do
    core.sleep(self.pause, self.cancellation)
    local ws, message, response = core.connect(self.config, self.cancellation)
    if self.stopped then
      if ws then give_up(ws) end -- it opened in the turn in which it was stopped
    elseif ws then
      rawset(self, "ws", ws)
      self.opened = core.now()
      return ws, self.failures + 1
    else
      went_down(self, nil, message, response)
    end
  end
end

-- What the loop's body, or on_open, sends before it first waits goes before what is queued: it may have to log in.
local function next_for_loop(self)
  local ws, attempt = next_connection(self)
  if ws then core.go(send_queued, self, ws) end
  return ws, attempt
end

local function attend(on_open, ws, attempt)
  if not xpcall(on_open, tell, ws, attempt) then ws:close(core.codes.INTERNAL_ERROR) end
end

-- on_open has a task of its own: it may go on for longer than the connection.
local function serve_callbacks(self)
  for ws, attempt in next_connection, self do
    core.go(attend, self.config.on_open, ws, attempt)
    core.go(send_queued, self, ws)
    ws:wait_closed()
  end
end

-- ---- the client

--- Sends a message, or queues it while there is no connection, or refuses it.
function client:send(message, kind)
  local wrong = core.message_wrong(message, kind)
  if wrong then error("send: " .. wrong, 2) end
  if self.stopped then return nil, "stopped" end
  local queue = self.queue
  if self.ws and queue.first > queue.last then
    local sent, buffered, code = self.ws:send(message, kind)
    if sent or buffered ~= "closed" then return sent, buffered, code end
  end
  return enqueue(self, message, kind)
end

--- No more connections; the one that is open is closed with 1000.
function client:stop()
  finish(self)
  if self.ws then self.ws:close() end
end

client.__close = client.stop

-- What a loop closes when it is left, by whatever way.
local leaving = {}

function leaving.__close(loop)
  local self = loop.client
  finish(self)
  if not self.ws then return end
  give_up(self.ws)
  local _, at_top_level = coroutine.running()
  if at_top_level or coroutine.isyieldable() then
    settle(self)
  else
    core.go(settle, self) -- before Lua 5.4.3 nothing can wait while a block is left
  end
end

--- For a loop: each connection, when it has opened, and which attempt it was. Leaving the loop stops the client.
function client:connections()
  if self.config.on_open then
    error("connections: on_open gets this client's connections: leave the option out for a loop", 2)
  elseif self.looped then
    error("connections: there has been a loop over this client's connections already", 2)
  end
  self.looped = true
  return next_for_loop, self, nil, setmetatable({ client = self }, leaving)
end

local reconnect = {}

local clients = setmetatable({}, { __mode = "k" })

--- No client makes any more connections. What is open stays so.
function reconnect.finish_all()
  for each in pairs(clients) do finish(each) end
end

--- @param config of core.connect, with the options of a client that comes back
function reconnect.new(config)
  local self = setmetatable({
    stopped = false,
    config = config,
    queue = { first = 1, last = 0 },
    failures = 0, -- endings since a connection was stable
    pause = 0,    -- s, before the next attempt
    opened = 0,   -- when ws did
    looped = false,
    cancellation = core.cancellation(),
  }, client)
  clients[self] = true
  if config.on_open then core.go(serve_callbacks, self) end
  return self
end

return reconnect
