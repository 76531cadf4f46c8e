-- A message of so many MiB goes to a server and back, through readers and writers, between two processes. Each says how
-- much memory it had at most; more than LIMIT is an error.
--   lua spec/streaming/large.lua MIB [compressed]
local moonsocket = require "moonsocket"

local LIMIT = 20 -- MiB of resident memory

local function peak()
  for line in io.lines "/proc/self/status" do
    local kib = line:match "^VmHWM:%s*(%d+)"
    if kib then return tonumber(kib) / 1024 end
  end
end

local function report(who, bytes)
  local most = peak()
  print(("%s: %d MiB each way, %.1f MiB of memory at most"):format(who, bytes >> 20, most))
  if most >= LIMIT and not os.getenv "LD_PRELOAD" then -- valgrind and the sanitizers keep books
    error(("%s: %.1f MiB, and %d are allowed"):format(who, most, LIMIT), 0)
  end
end

-- What a message is made of; compresses to about a half.
local function piece()
  local bytes = {}
  for i = 1, 1 << 16 do bytes[i] = string.char(97 + (i * i // 7) % 16) end
  return table.concat(bytes)
end

local function echo(ws)
  local reader = assert(ws:reader())
  local writer <close> = assert(ws:writer(reader.kind))
  local bytes = 0
  for part in reader do
    bytes = bytes + #part
    assert(writer:write(part))
  end
  assert(reader.complete, "the message was cut off")
  writer:close()
  ws:wait_closed()
  return bytes
end

local function write(ws, mib)
  local writer <close> = assert(ws:writer "text")
  local part = piece()
  for _ = 1, mib << 4 do assert(writer:write(part)) end
end

local function client(port, mib, options)
  local ws = assert(moonsocket.connect("ws://127.0.0.1:" .. port, options))
  moonsocket.go(write, ws, mib)
  local reader, bytes = assert(ws:reader()), 0
  for part in reader do bytes = bytes + #part end
  assert(reader.complete and bytes == mib << 20, "the message did not come back whole")
  ws:close()
  ws:wait_closed()
  report("client", bytes)
end

local function main(mib, how, port)
  local options = { compression = how == "compressed" }
  if port then return client(port, tonumber(mib), options) end
  local server, other
  server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
    report("server", echo(ws))
    moonsocket.go(server.shutdown, server)
  end, options))
  server:on_error(function(message)
    io.stderr:write(message, "\n")
    os.exit(1)
  end)
  other = assert(io.popen(("%s %s %s %s %d"):format(arg[-1], arg[0], mib, how or "plain", server.port)))
  moonsocket.run()
  io.write(other:read "a")
  os.exit(other:close() or false)
end

main(...)
