-- Plays all of Autobahn's client cases against the fuzzing server at a port: echoes until each connection ends.
local moonsocket = require "moonsocket"

local ROOM = 64 * 1024 * 1024
local base = "ws://127.0.0.1:" .. arg[1]
local options = {
  max_message = ROOM, max_buffered = ROOM, timeout = 60,
  -- an offer that every case of 13 can do with
  compression = { threshold = 1, server_no_context_takeover = false },
}

local function connect(resource) return assert(moonsocket.connect(base .. resource, options)) end

moonsocket.run(function()
  local count = connect "/getCaseCount"
  local cases = tonumber((count:receive()))
  count:wait_closed()
  for case = 1, cases do
    local ws = connect(("/runCase?case=%d&agent=moonsocket"):format(case))
    for message, kind in ws:messages() do ws:send(message, kind) end
  end
  connect "/updateReports?agent=moonsocket":wait_closed()
end)
