-- moonsocket echo: a server to try clients on.

local attempt = require "moonsocket.cli.attempt"
local ending = require "moonsocket.cli.ending"
local moonsocket = require "moonsocket"

local echo = { least = 0, most = 1, wants = "one address" }

echo.help = [[
usage: moonsocket echo [OPTION...] [ADDRESS]

A server that says back what it hears, and prints how each connection ended. ADDRESS: a port, HOST:PORT, unix:/PATH;
default 127.0.0.1:8080. Ctrl-C closes every connection with 1001.
]]

echo.rows = {
  { "--compress", short = "-z", help = "agree to permessage-deflate" },
  { "--quiet", short = "-q", help = "print the URL alone" },
}

function echo.run(given, address)
  local print = given.quiet and function() end or print
  local ok, server, message = attempt(moonsocket.serve, tonumber(address) or address or "127.0.0.1:8080", {
    open = function(ws, request) print(("%d opened by %s"):format(ws.id, request.remote_address)) end,
    message = function(ws, message, kind) ws:send(message, kind) end,
    close = function(ws, code, reason, info)
      print(("%d %s"):format(ws.id, ending.explain(code, reason, info, "the client")))
    end,
  }, { origins = "*", on_overflow = "wait", compression = given.compress or false })
  if not ok then return nil, server end
  if not server then
    io.stderr:write("moonsocket: ", message, "\n")
    return 1
  end
  io.stdout:setvbuf "line"
  io.write("listening on ", server.url or address, "\n")
  moonsocket.run()
  return 0
end

return echo
