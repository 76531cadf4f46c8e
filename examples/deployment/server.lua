-- A server to be deployed: it says back what it hears, logs how each connection ended, and goes in order.
-- docs/deployment.md says how it is started and restarted.
--   lua5.4 server.lua [address [spread]]      spread: seconds over which its clients are told that it goes
local moonsocket = require "moonsocket"

io.stdout:setvbuf "line" -- into a journal, too

local address, spread = arg[1] or "127.0.0.1:8080", tonumber(arg[2] or 10)

local server = assert(moonsocket.serve(address, {
  message = function(ws, message, kind) ws:send(message, kind) end,
}, { reuse_port = true, trusted_proxies = { "127.0.0.1", "unix" }, log = true }))

-- The first signal lets everybody come again to whoever has taken over by then; a second one does not wait.
local drain = 10
for _, name in ipairs { "TERM", "INT" } do
  moonsocket.on_signal(name, function()
    local seconds = drain
    drain = 0
    server:shutdown { code = moonsocket.codes.SERVICE_RESTART, reason = "restart", spread = spread, drain = seconds }
  end)
end

print("listening on ws://" .. server.address)
moonsocket.run { signals = false }
