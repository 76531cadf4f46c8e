-- TCP ports of this machine, for programs that are told where to listen.
local raw = require "raw"

local ports = {}

--- One that nobody listens on.
function ports.free()
  local fd, port = raw.listen()
  raw.close(fd)
  return port
end

--- Whether somebody listens there.
function ports.is_open(port)
  local fd = raw.connect("127.0.0.1", port)
  if fd then raw.close(fd) end
  return fd ~= nil
end

return ports
