-- Starts the demo's server, ends a connection to it in every way, and shows what its on_close was told each time.
-- Exit status 1 if that was not the truth. The clients are raw sockets: what they do wrong, no client library would.
local socket = require "socket"

local LUA = arg[-1]
local HERE = arg[0]:match "^(.*)/" or "."

local CLOSE, TEXT = 8, 1

-- A small frame whose masking key is zero, so that the payload stays as it is.
local function frame(opcode, payload)
  return string.char(0x80 | opcode, 0x80 | #payload, 0, 0, 0, 0) .. payload
end

local function connect(port)
  local client = assert(socket.connect("127.0.0.1", port))
  client:settimeout(10)
  assert(client:send("GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"))
  assert(client:receive "*l":find "^HTTP/1.1 101 ", "the server refused the handshake")
  repeat local line = assert(client:receive "*l") until line == ""
  return client
end

-- The payload of the server's next frame (less than 126 bytes here).
local function receive(client)
  local head = assert(client:receive(2))
  local length = head:byte(2)
  return length == 0 and "" or assert(client:receive(length))
end

local function say(client, text) assert(client:send(frame(TEXT, text))) end

local function answer_close(client)
  assert(client:send(frame(CLOSE, receive(client))))
  client:receive "*a" -- the server closes TCP
  client:close()
end

-- A process of its own, that a signal can kill: connects, then stays until the end.
if arg[1] == "--stay" then
  local client = connect(tonumber(arg[2]))
  say(client, "hello")
  receive(client)
  print "connected"
  io.stdout:flush()
  client:settimeout(nil)
  client:receive(1)
  os.exit(1)
end

local function start(command)
  local pipe = assert(io.popen("echo $$; exec " .. command))
  return pipe, pipe:read "l"
end

local function shell_words(...)
  return (("'%s' "):rep(select("#", ...)):format(...))
end

local server, server_pid = start("env PORT=0 " .. shell_words(LUA, HERE .. "/server.lua"))
local _ <close> = setmetatable({}, { -- also when something fails below
  __close = function() os.execute("kill " .. server_pid .. " 2>/dev/null") end,
})

local port
local function open() return connect(port) end

-- What happens; what on_close must be told (code, clean, by, sent, received); how it is done.
local endings = {
  { "A client says goodbye: code 1000 and a reason.", "1000 true peer 1000 1000", function()
    local client = open()
    assert(client:send(frame(CLOSE, string.pack(">I2", 1000) .. "done for today")))
    receive(client)
    client:close()
  end },
  { "A client says goodbye without a word: an empty Close frame.", "1005 true peer 1005 1005", function()
    local client = open()
    assert(client:send(frame(CLOSE, "")))
    receive(client)
    client:close()
  end },
  { "A client vanishes: its connection is reset (RST).", "1006 false network - -", function()
    local client = open()
    client:setoption("linger", { on = true, timeout = 0 })
    client:close()
  end },
  { "A client hangs up without a Close frame (FIN).", "1006 false network - -", function()
    open():close()
  end },
  { "A client breaks the protocol: its frame is not masked.", "1002 false local 1002 -", function()
    local client = open()
    assert(client:send "\x81\x05hello")
    receive(client)
    client:close()
  end },
  { "A client's process is killed (kill -9).", "1006 false network - -", function()
    local process, pid = start(shell_words(LUA, arg[0], "--stay", port))
    assert(process:read "l" == "connected")
    os.execute("kill -9 " .. pid)
    process:close()
  end },
  { "The server closes: code 4001 and a reason.", "4001 true local 4001 4001", function()
    local client = open()
    say(client, "please close")
    answer_close(client)
  end },
  { "A handler of the server raises an error.", "1011 false local 1011 -", function()
    local client = open()
    say(client, "please raise")
    answer_close(client)
  end },
  { "The server is told to stop (SIGTERM).", "1001 true local 1001 1001", function()
    local client = open()
    os.execute("kill " .. server_pid)
    answer_close(client)
  end },
}

-- Shows the server's lines up to the next row of its table; the row's first five columns.
local function show_row()
  for line in server:lines() do
    print(line)
    local columns = { line:match "^%s*(%d+)%s+(%l+)%s+(%l+)%s+(%S+)%s+(%S+)" }
    if columns[1] then
      return table.concat(columns, " ")
    end
  end
  return "nothing: the server has ended"
end

local header
for line in server:lines() do
  port = port or line:match "ws://127%.0%.0%.1:(%d+)"
  header = line:match "^%s*code%s.*"
  if header then break end
end
assert(header, "the server did not start")
print(#endings .. " connections, and what on_close(code, reason, info) is told when they end:\n\n" .. header)

local wrong = 0
for number, ending in ipairs(endings) do
  local words, expected, act = table.unpack(ending)
  print(("\n%d. %s"):format(number, words))
  act()
  local told = show_row()
  if told ~= expected then
    wrong = wrong + 1
    print("   WRONG: expected " .. expected)
  end
end

local ok, how, status = server:close()
print(("\nThe server ended with %s %d. %d of %d endings were told as they happened.")
  :format(how, status, #endings - wrong, #endings))
os.exit(ok and wrong == 0, true)
