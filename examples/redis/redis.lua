-- A client of Redis over LuaSocket that holds nobody up: where LuaSocket would block, the task waits with
-- moonsocket.wait. So can any library that has a descriptor and an operation that may be tried again.
-- https://redis.io/docs/latest/develop/reference/protocol-spec/ (RESP2)
local moonsocket = require "moonsocket"
local socket = require "socket"
local unix = require "socket.unix"

local TIMEOUT = 10 -- s for a command

local Connection = {}
Connection.__index = Connection

-- ---- LuaSocket, waited for. What goes wrong is raised, and the connection given up: see attempt.

-- The bytes of a pattern of LuaSocket's: "*l", or a count.
local function receive(self, pattern)
  local received, wrong, part = self.socket:receive(pattern)
  while not received do
    if wrong ~= "timeout" then error("redis: " .. wrong, 0) end
    local ready, late = moonsocket.wait(self.socket, "r", self.timeout)
    if not ready then error("redis: " .. late, 0) end
    received, wrong, part = self.socket:receive(pattern, part)
  end
  return received
end

local function send(self, bytes)
  local sent, wrong, upto = self.socket:send(bytes)
  while not sent do
    if wrong ~= "timeout" then error("redis: " .. wrong, 0) end
    local ready, late = moonsocket.wait(self.socket, "w", self.timeout)
    if not ready then error("redis: " .. late, 0) end
    sent, wrong, upto = self.socket:send(bytes, upto + 1)
  end
end

local function connect(self, address)
  local host, port = address:match "^(.*):(%d+)$"
  self.socket = assert(port and socket.tcp() or unix())
  self.socket:settimeout(0)
  local connected, wrong = self.socket:connect(host or address, port)
  if connected then return end
  if wrong == "timeout" then
    moonsocket.wait(self.socket, "w", self.timeout)
    connected, wrong = self.socket:connect(host, port)
    if connected or wrong == "already connected" then return end
  end
  error(("redis: cannot connect to %s: %s"):format(address, wrong), 0)
end

-- ---- the protocol

local function command(...)
  local words = { ("*%d\r\n"):format(select("#", ...)) }
  for _, word in ipairs { ... } do
    word = tostring(word)
    words[#words + 1] = ("$%d\r\n%s\r\n"):format(#word, word)
  end
  return table.concat(words)
end

local receive_reply

-- By the first byte of a reply. What is null is false, an error { error = message }.
local kinds = {
  ["+"] = function(_, rest) return rest end,
  ["-"] = function(_, rest) return { error = rest } end,
  [":"] = function(_, rest) return math.tointeger(tonumber(rest)) end,
  ["$"] = function(self, rest)
    local length = tonumber(rest)
    return length >= 0 and receive(self, length + 2):sub(1, -3)
  end,
  ["*"] = function(self, rest)
    local list = {}
    for i = 1, tonumber(rest) do list[i] = receive_reply(self) end
    return list
  end,
}

function receive_reply(self)
  local line = receive(self, "*l")
  local kind = kinds[line:sub(1, 1)] or error("redis: this is no reply: " .. line, 0)
  return kind(self, line:sub(2))
end

-- fn(self, ...), or nil and what went wrong: then the connection is closed.
local function attempt(self, fn, ...)
  local ok, result = pcall(fn, self, ...)
  if ok then return result end
  if self.socket then self.socket:close() end
  return nil, result
end

-- ---- connections

local function open(address)
  local self = setmetatable({ timeout = TIMEOUT }, Connection)
  local _, wrong = attempt(self, connect, address)
  if wrong then return nil, wrong end
  return self
end

local function ask(self, ...)
  send(self, command(...))
  return receive_reply(self)
end

--- Waits for the next message of a subscription: nil and a message where there will be none.
function Connection:next_message()
  local reply, wrong
  repeat reply, wrong = attempt(self, receive_reply) until not reply or reply[1] == "message"
  if not reply then return nil, wrong end
  return reply[3]
end

local redis = {}

--- A connection that is subscribed to a channel: see next_message.
function redis.subscribe(address, channel)
  local self, down = open(address)
  if not self then return nil, down end
  local reply, wrong = attempt(self, ask, "SUBSCRIBE", channel)
  if not reply then return nil, wrong end
  self.timeout = nil -- messages come when they come
  return self
end

--- Commands, of any number of tasks at once: each has a connection to itself while it waits.
-- @return function(command, ...) -> reply, or nil and a message
function redis.pool(address)
  local idle = {}
  return function(...)
    local connection, down = table.remove(idle), nil
    if not connection then connection, down = open(address) end
    if not connection then return nil, down end
    local reply, wrong = attempt(connection, ask, ...)
    if reply == nil then
      idle = {} -- Redis may have restarted: then none of them is any good
      return nil, wrong
    end
    idle[#idle + 1] = connection
    if type(reply) == "table" and reply.error then return nil, reply.error end
    return reply
  end
end

return redis
