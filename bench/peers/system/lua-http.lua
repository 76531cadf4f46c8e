-- lua-http: echo, as its documentation does it. Prints its port.
-- Debian has it for Lua 5.3 and its dependencies for others; all of them run on 5.4, where they are found.
for _, version in ipairs { "5.3", "5.2", "5.1" } do
  package.path = ("%s;/usr/share/lua/%s/?.lua;/usr/share/lua/%s/?/init.lua"):format(package.path, version, version)
end
local http_server = require "http.server"
local websocket = require "http.websocket"

if arg[1] == "version" then
  print(require "http.version".version)
  return
end

local server = assert(http_server.listen {
  host = "127.0.0.1",
  port = 0,
  max_concurrent = 20000,
  tls = false,
  onstream = function(_, stream)
    local ws = assert(websocket.new_from_stream(stream, assert(stream:get_headers())))
    assert(ws:accept())
    while true do
      local message, kind = ws:receive()
      if not message or not ws:send(message, kind) then break end
    end
    ws:close()
  end,
  onerror = function() end,
})
assert(server:listen())
print((select(3, server:localname())))
io.stdout:flush()
assert(server:loop())
