-- moonsocket chaos: every ending of moonsocket.testing that a client can bring about, against anyone's server, and what
-- the server did on the wire.

local attempt = require "moonsocket.cli.attempt"
local core = require "moonsocket.core"
local frame = require "moonsocket.testing.frame"
local headers_of = require "moonsocket.cli.headers"
local moonsocket = require "moonsocket"
local settings = require "moonsocket.testing.settings"
local testing = require "moonsocket.testing"
local url = require "moonsocket.url"

local REFUSED, WRONG = 1, 2

local chaos = { least = 1, most = 1, wants = "one URL" }

chaos.help = [[
usage: moonsocket chaos [OPTION...] URL

Opens one connection after another and ends each in another way, most of them wrong. Prints what the server answered:
its Close frame, how it ended TCP, after how long; and whether that is what RFC 6455 asks for. Sends no whole message.

Exit status: 0 all as it should be; 1 the server refused a connection; 2 something was not.
]]

chaos.rows = {
  { "--timeout", short = "-t", value = "SECONDS", number = true, default = 3,
    help = "how long the server may take for each (3)" },
  { "--header", short = "-H", value = "'NAME: VALUE'", many = true, help = "send this header with the requests" },
}

-- ---- watching

-- Puts itself between a peer and its stream, and writes down what came and how it ended.
local function watch(peer)
  local stream, seen = peer.stream, { input = {}, began = moonsocket.now() }
  local watched = {}
  function watched.receive(_, ...)
    local bytes, why = stream:receive(...)
    if bytes then
      seen.input[#seen.input + 1] = bytes
    elseif not seen.tcp then
      seen.tcp, seen.after = why, moonsocket.now() - seen.began
    end
    return bytes, why
  end
  peer.stream = setmetatable(watched, { __index = function(_, name)
    return function(_, ...) return stream[name](stream, ...) end
  end })
  return seen
end

-- The server's Close frame, behind whatever came before; nil: none came.
local function find_close(seen)
  local input = table.concat(seen.input)
  local f, behind
  repeat
    f, behind = frame.decode(input)
    input = f and input:sub(behind)
  until not f or f.name == "close"
  return f
end

-- ---- judging

local function has_ended(seen) return seen.tcp == "fin" or seen.tcp == "reset" end

-- What is not as RFC 6455 asks; nil: all is.
local function fault(told, close, seen)
  if close and close.code and core.code_wrong(close.code) then
    return ("section 7.4: %d may not be sent"):format(close.code)
  elseif told.by == "peer" and not close and seen.tcp ~= "reset" then
    return "section 5.5.1: our Close frame was not answered"
  elseif told.by == "peer" and seen.tcp and not has_ended(seen) then
    return "section 7.1.1: the server did not end TCP"
  elseif told.by == "local" and told.code ~= moonsocket.codes.MESSAGE_TOO_BIG and not close and not has_ended(seen) then
    return "section 7.1.7: the connection was not failed"
  end
end

local function describe_close(close)
  if not close then return "-" end
  return ("%s %s"):format(close.code or "empty", close.reason or ""):gsub("%c", "?")
end

local tcp_words = { fin = "end", reset = "reset", timeout = "open", vanished = "-", closed = "-" }

local function tell(name, close, seen, wrong)
  print(("%-46s  %-30.30s  %-5s  %7s  %s"):format(name, describe_close(close), tcp_words[seen.tcp] or seen.tcp or "-",
    seen.after and ("%.0f ms"):format(seen.after * 1000) or "-", wrong or "ok"))
end

-- ---- the command

-- Whether it was as it should be; nil: refused; or nil and what is wrong with the command line.
local function play(ending, where, options)
  local ok, peer, message = attempt(testing.peer, where, options)
  if not ok then
    return nil, peer
  elseif not peer then
    io.stderr:write(("moonsocket: %s: %s\n"):format(ending.name, message))
    return nil
  end
  local seen = watch(peer)
  ending.alone(peer)
  peer:drop()
  local close = find_close(seen)
  local wrong = fault(ending.told, close, seen)
  tell(ending.name, close, seen, wrong)
  return not wrong
end

-- What needs a server's options takes its own timeouts, which nobody here knows.
local function playable(tls)
  local list = {}
  for _, ending in ipairs(testing.endings { tls = tls }) do
    ending.options.tls = nil
    if ending.alone and not next(ending.options) then list[#list + 1] = ending end
  end
  return list
end

local function play_all(where, options, tls)
  local wrong, list = 0, playable(tls)
  print(("%-46s  %-30s  %-5s  %7s"):format("what the client did", "the server's Close frame", "TCP", "after"))
  for _, ending in ipairs(list) do
    local ok, mistake = play(ending, where, options)
    if mistake then return nil, mistake end
    if ok == nil then return REFUSED end
    wrong = wrong + (ok and 0 or 1)
  end
  print(("%d of %d as RFC 6455 asks"):format(#list - wrong, #list))
  return wrong > 0 and WRONG or 0
end

function chaos.run(given, where)
  local target, wrong = url.parse(where)
  if not target then return nil, wrong end
  local headers
  headers, wrong = headers_of(given.header)
  if not headers then return nil, wrong end
  settings.timeout = given.timeout
  io.stdout:setvbuf "line"
  local status = WRONG -- where it is interrupted
  moonsocket.go(function()
    status, wrong = play_all(where, { headers = headers }, target.scheme == "wss")
    moonsocket.stop()
  end)
  moonsocket.run()
  return status, wrong
end

return chaos
