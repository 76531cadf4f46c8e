-- moonsocket connect: lines in, messages out, and at the end how it ended.

local attempt = require "moonsocket.cli.attempt"
local ending = require "moonsocket.cli.ending"
local headers_of = require "moonsocket.cli.headers"
local moonsocket = require "moonsocket"
local new_console = require "moonsocket.cli.console"

local REFUSED, UNCLEAN = 1, 2

local connect = { least = 1, most = 1, wants = "one URL" }

connect.help = [[
usage: moonsocket connect [OPTION...] URL

Each line of the input is sent as a message, each message that comes is printed as a line; a binary one in hex. At the
input's end (Ctrl-D), or after Ctrl-C, the connection is closed; what the server still sends before it answers is
printed. Says how the connection ended, on standard error.

Exit status: 0 the connection ended with a closing handshake; 1 there was none: refused, or not reached; 2 it was lost,
or a line could not be sent.
]]

connect.rows = {
  { "--header", short = "-H", value = "'NAME: VALUE'", many = true, help = "send this header with the request" },
  { "--subprotocol", short = "-s", value = "NAME", many = true, help = "offer this subprotocol" },
  { "--insecure", short = "-k", help = "do not verify the server's certificate" },
  { "--compress", short = "-z", help = "offer permessage-deflate" },
  { "--binary", short = "-b", help = "send binary messages" },
  { "--wait", short = "-w", value = "SECONDS", number = true, default = 0,
    help = "at the input's end, wait so long before closing" },
  { "--verbose", short = "-v", help = "show the handshake, pings and pongs" },
}

local function options_of(given)
  local headers, wrong = headers_of(given.header)
  if not headers then return nil, wrong end
  return {
    headers = headers, subprotocols = given.subprotocol, compression = given.compress or false,
    tls = { verify = not given.insecure }, proxy = "environment", on_overflow = "wait", max_message = 1 << 30,
  }
end

local function tell_refusal(console, message, response)
  console:tell("moonsocket: " .. message)
  if not response then return end
  for name, value in pairs(response.headers) do console:tell(("  %s: %s"):format(name, value)) end
  if response.body ~= "" then console:tell(response.body) end
end

local function tell_handshake(console, ws)
  local extensions = ws.extensions ~= "" and ws.extensions or "none"
  console:tell(("connected; subprotocol: %s; extensions: %s"):format(ws.subprotocol or "none", extensions))
end

local function show_control_frames(console, ws)
  ws:on_ping(function(payload) console:tell(("ping of %d bytes: answered"):format(#payload)) end)
  ws:on_pong(function(_, rtt)
    console:tell(rtt and ("pong after %.1f ms"):format(rtt * 1000) or "pong that nobody had asked for")
  end)
end

-- Sends the input. Returns whether all of it was.
local function send_lines(console, ws, kind)
  local all, number = true, 0
  for line in console.line, console do
    number = number + 1
    if kind == "text" and not utf8.len(line) then
      console:tell(("moonsocket: line %d is not UTF-8, and was not sent: --binary sends any bytes"):format(number))
      all = false
    elseif not ws:send(line, kind) then
      return all
    end
  end
  return all
end

-- The first Ctrl-C closes, the second waits for nobody.
local function close_on_interrupt(ws)
  local asked = false
  return moonsocket.on_signal("INT", function()
    if asked then return ws:terminate() end
    asked = true
    ws:close(moonsocket.codes.NORMAL)
  end)
end

local function talk(console, ws, given)
  local sent = true
  moonsocket.go(function()
    sent = send_lines(console, ws, given.binary and "binary" or "text")
    moonsocket.sleep(given.wait)
    ws:close(moonsocket.codes.NORMAL)
  end)
  for message, kind in ws:messages() do
    if not console:show(message, kind) then ws:close(moonsocket.codes.NORMAL) end
  end
  local code, reason, info = ws:wait_closed()
  console:tell(ending.explain(code, reason, info, "the server"))
  return info.clean and sent and 0 or UNCLEAN
end

-- Sets out, and returns the exit status; or nil and what is wrong with the command line.
local function open_and_talk(console, where, options, given)
  local ok, ws, message, response = attempt(moonsocket.connect, where, options)
  if not ok then
    return nil, ws
  elseif not ws then
    tell_refusal(console, message, response)
    return REFUSED
  end
  close_on_interrupt(ws)
  if given.verbose then
    tell_handshake(console, ws)
    show_control_frames(console, ws)
  end
  return talk(console, ws, given)
end

function connect.run(given, where)
  local options, wrong = options_of(given)
  if not options then return nil, wrong end
  local console, status = new_console(), UNCLEAN -- where a mistake of ours ends the task
  moonsocket.on_signal("PIPE", function() end) -- writing fails then, which is noticed
  moonsocket.go(function()
    status, wrong = open_and_talk(console, where, options, given)
    moonsocket.stop()
  end)
  moonsocket.run { signals = false }
  return status, wrong
end

return connect
