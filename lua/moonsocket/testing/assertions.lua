-- What a suite says about connections, as assertions of luassert, which busted has.

local moonsocket = require "moonsocket"
local say = require "say"
local settings = require "moonsocket.testing.settings"

-- ---- words

local fields = { "code", "reason", "clean", "by", "sent", "received" }

local function word(name, value, matching)
  if name == "reason" then return ("%s %q"):format(matching and "reason matching" or "reason", value) end
  if name == "clean" then return value and "clean" or "not clean" end
  if name == "sent" or name == "received" then return ("%s %s"):format(name, value or "nothing") end
  return ("%s %s"):format(name, value)
end

-- "code 1000, reason "bye", clean, by peer, sent 1000, received 1000": of the fields that are there.
local function words(told, matching)
  local list = {}
  for _, name in ipairs(fields) do
    if told[name] ~= nil then list[#list + 1] = word(name, told[name], matching) end
  end
  return table.concat(list, ", ")
end

-- ---- registering

-- check(the arguments) -> whether it holds, what was expected, what came; or nil and what is wrong with them
local function register(luassert, name, check)
  local positive, negative = ("assertion.%s.positive"):format(name), ("assertion.%s.negative"):format(name)
  say:set(positive, "Expected:\n%s\nGot:\n%s")
  say:set(negative, "Did not expect:\n%s\nGot:\n%s")
  luassert:register("assertion", name, function(_, arguments, level)
    local holds, expected, got = check(table.unpack(arguments, 1, arguments.n))
    if holds == nil then error(("%s: %s"):format(name, expected), level + 1) end
    arguments[1], arguments[2], arguments.n = expected, got, 2
    arguments.nofmt = { true, true }
    return holds
  end, positive, negative)
end

-- ---- closed_with(ws, code [, reason] | told)

-- What on_close was told, in one table; nil: it is still open.
local function outcome_of(ws)
  local code, reason, info = ws:wait_closed(settings.timeout)
  if not code then return nil end
  return {
    code = code, reason = reason, clean = info.clean, by = info.by, sent = info.sent or false,
    received = info.received or false,
  }
end

local function is_as_told(outcome, told)
  for _, name in ipairs(fields) do
    local expected, got = told[name], outcome[name]
    if expected ~= nil and got ~= expected and not (name == "reason" and got:find(expected)) then return false end
  end
  return true
end

-- What is wrong with what a suite says of it, a code or a table; nil: nothing.
local function told_wrong(told)
  if math.type(told) == "integer" then return nil end
  if type(told) ~= "table" then
    return ("a close code or a table { code =, reason =, ... } expected, got %s"):format(tostring(told))
  end
  local known = {}
  for _, name in ipairs(fields) do known[name] = true end
  for name in pairs(told) do
    if not known[name] then
      return ("unknown field '%s': code, reason, clean, by, sent or received expected"):format(name)
    end
  end
end

local function closed_with(ws, code, reason)
  if type(ws) ~= "userdata" then return nil, "a ws expected, got " .. tostring(ws) end
  local wrong = told_wrong(code)
  if wrong then return nil, wrong end
  local told = type(code) == "table" and code or { code = code, reason = reason }
  local outcome = outcome_of(ws)
  if not outcome then return false, words(told, true), ("still open after %g s"):format(settings.timeout) end
  return is_as_told(outcome, told), words(told, true), words(outcome)
end

-- ---- received(peer, message [, kind]), received_close(peer [, code [, reason]])

local function message_words(message, kind)
  return kind and ("%s %q"):format(kind, message) or ("%q"):format(message)
end

local function receives(peer) return type(peer) == "userdata" or type(peer) == "table" and peer.receive end

-- What a peer got instead of a message.
local function end_words(why, code, reason)
  if why == "closed" and code then return ("a Close frame with %s"):format(words { code = code, reason = reason }) end
  return ("nothing (%s)"):format(why)
end

local function received(peer, message, kind)
  if not receives(peer) then return nil, "a peer or a ws expected, got " .. tostring(peer) end
  if type(message) ~= "string" then return nil, "a message expected, got " .. tostring(message) end
  local got, what, code, reason = peer:receive(settings.timeout)
  local expected = message_words(message, kind)
  if not got then return false, expected, end_words(what, code, reason) end
  return got == message and (not kind or kind == what), expected, message_words(got, what)
end

local function received_close(peer, code, reason)
  if not receives(peer) then return nil, "a peer or a ws expected, got " .. tostring(peer) end
  if code and math.type(code) ~= "integer" then return nil, "a close code expected, got " .. tostring(code) end
  local message, why, got, text
  repeat message, why, got, text = peer:receive(settings.timeout) until not message
  local expected = "a Close frame" .. (code and " with " .. words({ code = code, reason = reason }, true) or "")
  if why ~= "closed" or not got then return false, expected, end_words(why) end
  local outcome = { code = got, reason = text }
  return is_as_told(outcome, { code = code, reason = reason }), expected, end_words(why, got, text)
end

-- ---- eventually(condition [, what])

local function eventually(condition, what)
  if type(condition) ~= "function" then return nil, "a function expected, got " .. tostring(condition) end
  local deadline, last = moonsocket.now() + settings.timeout, condition()
  while not last and moonsocket.now() < deadline do
    moonsocket.sleep(0.001)
    last = condition()
  end
  return not not last, what or "a condition that comes true", ("%s, for %g s"):format(tostring(last), settings.timeout)
end

return function(luassert)
  register(luassert, "closed_with", closed_with)
  register(luassert, "received", received)
  register(luassert, "received_close", received_close)
  register(luassert, "eventually", eventually)
end
