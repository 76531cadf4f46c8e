-- moonsocket bench: how fast a server echoes.

local attempt = require "moonsocket.cli.attempt"
local core = require "moonsocket.core"
local json_string = require "moonsocket.json_string"
local moonsocket = require "moonsocket"
local new_histogram = require "moonsocket.cli.histogram"
local options = require "moonsocket.options"

local ERR = 2 -- descriptor of standard error
local PERCENTILES = { 50, 90, 99, 99.9 }
local GIVE_UP = 5 -- s for answers that are still out at the end
local REFUSED, UNCLEAN = 1, 2

local bench = { least = 1, most = 1, wants = "one URL" }

bench.help = [[
usage: moonsocket bench [OPTION...] URL

Sends messages to a server that echoes them, over many connections, and measures how long each takes to come back. With
a rate, a message's time counts from when it was to be sent: a server that stalls cannot hide it. Without one, each
connection sends the next message as soon as the one before is back.

Exit status: 0; 1 a connection could not be opened; 2 a connection was lost, or a message did not come back.
]]

bench.rows = {
  { "--connections", short = "-c", value = "N", number = true, least = 1, whole = true, default = 50,
    help = "how many (50)" },
  { "--rate", short = "-r", value = "N", number = true, default = 0,
    help = "messages a second, of all connections together (0: as many as go)" },
  { "--size", short = "-s", value = "BYTES", number = true, whole = true, default = 20,
    help = "of a message (20)" },
  { "--duration", short = "-d", value = "SECONDS", number = true, default = 5, help = "how long to send (5)" },
  { "--compress", short = "-z", help = "offer permessage-deflate" },
  { "--insecure", short = "-k", help = "do not verify the server's certificate" },
  { "--json", help = "print the result as JSON" },
}

-- ---- sending

-- One connection's part: what is out, in the order in which it must come back, and who sends next.
local function new_sender(state, ws)
  local sender = { ws = ws, first = 1, last = 0 }

  function sender.send(due)
    if not ws:send(state.message, "binary") then return end
    sender.last = sender.last + 1
    sender[sender.last] = due
  end

  ws:on_message(function()
    local now, due = moonsocket.now(), sender[sender.first]
    if not due then state.strays = state.strays + 1 return end
    sender[sender.first] = nil
    sender.first = sender.first + 1
    state.times:add(math.floor((now - due) * 1e6))
    state.bytes = state.bytes + #state.message
    if state.rate == 0 and now < state.ends then sender.send(now) end
  end)

  ws:on_close(function(code, _, info)
    local how = ("%d %s"):format(code, info.clean and "clean" or "not clean")
    state.endings[how] = (state.endings[how] or 0) + 1
    state.unclean = state.unclean or not info.clean
  end)
  return sender
end

-- Message number i of all is due at i / rate, on the connections in turn.
local function send_at_rate(state)
  local i, count = 0, #state.senders
  while true do
    local due = state.begins + i / state.rate
    if due >= state.ends then return end
    local now = moonsocket.now()
    if due > now then moonsocket.sleep(due - now) end
    state.senders[i % count + 1].send(due)
    i = i + 1
  end
end

local function send_all(state)
  if state.rate > 0 then return send_at_rate(state) end
  for _, sender in ipairs(state.senders) do sender.send(state.begins) end
  moonsocket.sleep(state.ends - state.begins)
end

-- Messages that are not back yet: of all connections, or of those that are open.
local function outstanding(state, open)
  local count = 0
  for _, sender in ipairs(state.senders) do
    if not open or sender.ws.state == "open" then count = count + sender.last - sender.first + 1 end
  end
  return count
end

-- Returns how many never came.
local function await_answers(state)
  local deadline = moonsocket.now() + GIVE_UP
  while outstanding(state, true) > 0 and moonsocket.now() < deadline do moonsocket.sleep(0.005) end
  return outstanding(state)
end

local function close_all(state)
  for _, sender in ipairs(state.senders) do sender.ws:close() end
  for _, sender in ipairs(state.senders) do sender.ws:wait_closed() end
end

-- nil and why not; or nil, nil and what is wrong with the command line
local function open_all(state, where, count, settings)
  for i = 1, count do
    local ok, ws, message = attempt(moonsocket.connect, where, settings)
    if not ok then return nil, nil, ws end
    if not ws then return nil, ("connection %d: %s"):format(i, message) end
    state.senders[i] = new_sender(state, ws)
  end
  return true
end

-- ---- telling

local function grouped(n)
  local text = ("%.0f"):format(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (text:gsub("^,", ""))
end

local function time(us)
  if us < 1000 then return ("%d us"):format(us) end
  if us < 1e6 then return ("%.2f ms"):format(us / 1000) end
  return ("%.2f s"):format(us / 1e6)
end

local function show_progress(state)
  if not core.system.terminal(ERR) then return { cancel = function() end } end
  return moonsocket.every(0.5, function()
    local elapsed = moonsocket.now() - state.begins
    io.stderr:write(("\r\27[K%5.1f s  %s messages, %s a second"):format(elapsed, grouped(state.times.count),
      grouped(state.times.count / elapsed)))
  end)
end

local function result_of(state, given, where, lost)
  local seconds = state.finished - state.begins
  local result = {
    url = where, connections = #state.senders, size = given.size, rate = given.rate, seconds = seconds,
    messages = state.times.count, per_second = state.times.count / seconds,
    mib_per_second = state.bytes / seconds / (1 << 20), lost = lost, strays = state.strays, endings = state.endings,
    latency_us = { max = state.times.max, mean = state.times.count > 0 and state.times.sum / state.times.count or 0 },
  }
  for _, p in ipairs(PERCENTILES) do result.latency_us[("p%g"):format(p)] = state.times:percentile(p) or 0 end
  return result
end

local function print_table(result)
  print(("%d connections, messages of %d bytes, %.1f s%s"):format(result.connections, result.size, result.seconds,
    result.rate > 0 and (", %g messages a second asked for"):format(result.rate) or ""))
  print(("  %s messages there and back, %s a second, %.1f MiB a second each way"):format(grouped(result.messages),
    grouped(result.per_second), result.mib_per_second))
  local heads, cells = {}, {}
  for _, p in ipairs(PERCENTILES) do
    heads[#heads + 1] = ("%10s"):format(("p%g"):format(p))
    cells[#cells + 1] = ("%10s"):format(time(result.latency_us[("p%g"):format(p)]))
  end
  print("  latency" .. table.concat(heads) .. ("%10s"):format "max")
  print("         " .. table.concat(cells) .. ("%10s"):format(time(result.latency_us.max)))
  if result.lost > 0 then print(("  %s messages did not come back"):format(grouped(result.lost))) end
  if result.strays > 0 then print(("  %s messages came that had not been sent"):format(grouped(result.strays))) end
  for _, how in ipairs(options.names(result.endings)) do
    print(("  %d connections ended with %s"):format(result.endings[how], how))
  end
end

-- Of numbers, strings and tables of them.
local function json(value)
  if type(value) == "number" then return math.type(value) == "integer" and tostring(value) or ("%.3f"):format(value) end
  if type(value) == "string" then return json_string(value) end
  local fields = {}
  for _, key in ipairs(options.names(value)) do fields[#fields + 1] = json(key) .. ": " .. json(value[key]) end
  return "{ " .. table.concat(fields, ", ") .. " }"
end

-- ---- the command

local function measure(state, given, where, settings)
  local ok, why, wrong = open_all(state, where, given.connections, settings)
  if wrong then return nil, wrong end
  if not ok then
    close_all(state)
    io.stderr:write("moonsocket: ", why, "\n")
    return REFUSED
  end
  state.begins = moonsocket.now()
  state.ends = state.begins + given.duration
  local progress = show_progress(state)
  send_all(state)
  local lost = await_answers(state)
  state.finished = moonsocket.now()
  progress:cancel()
  close_all(state)
  if core.system.terminal(ERR) then io.stderr:write "\r\27[K" end
  local result = result_of(state, given, where, lost)
  if given.json then print(json(result)) else print_table(result) end
  return (lost > 0 or state.unclean) and UNCLEAN or 0
end

function bench.run(given, where)
  local settings = {
    compression = given.compress and { threshold = 1 } or false, tls = { verify = not given.insecure },
    max_message = math.max(given.size, 1), max_buffered = 1 << 26, on_overflow = "wait",
  }
  local state = {
    rate = given.rate, message = ("x"):rep(given.size), times = new_histogram(), bytes = 0, strays = 0,
    senders = {}, endings = {},
  }
  local status, wrong = UNCLEAN, nil -- where it is interrupted
  moonsocket.go(function()
    status, wrong = measure(state, given, where, settings)
    moonsocket.stop()
  end)
  moonsocket.run()
  return status, wrong
end

return bench
