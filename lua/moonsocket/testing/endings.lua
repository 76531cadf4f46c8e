-- Every way a connection can end, to loop over: how it is made to happen to a peer, and what on_close must say then.
-- No ending sends a whole message, so the code under test gets nothing to work on that it did not ask for.

local certificate = require "moonsocket.testing.certificate"
local frame = require "moonsocket.testing.frame"
local moonsocket = require "moonsocket"
local options = require "moonsocket.options"
local settings = require "moonsocket.testing.settings"

-- Timeouts that endings wait for, in seconds. Within AMPLE something must have happened, however slow the machine is.
local SHORT, LONG, AMPLE = 0.02, 0.05, 0.25

-- ---- what is told: see library/moonsocket/testing.lua. false: the field is absent.

local function by_peer(code, reason)
  return { code = code, reason = "^" .. (reason or "") .. "$", clean = true, by = "peer", sent = code, received = code }
end

local function by_local(sent, received, reason)
  reason = "^" .. (reason or "") .. "$"
  return { code = received, reason = reason, clean = true, by = "local", sent = sent, received = received }
end

local function failed(code, reason)
  return { code = code, reason = "^" .. reason, clean = false, by = "local", sent = code, received = false }
end

-- No Close frame of the peer came.
local function abnormal(by, reason, sent)
  return { code = 1006, reason = "^" .. reason, clean = false, by = by, sent = sent or false, received = false }
end

local NO_CLOSE_FRAME = abnormal("network", "connection closed by the peer without a Close frame$")
local CUT_OFF = abnormal("network", "TLS connection cut off$")
local RESET = abnormal("network", "connection reset by peer$")

-- ---- what a peer does: functions of the peer and, but for those alone, the server's ws for it and the server

-- Sends, does what the method of that name does, then waits for the server to end TCP, as a client does.
local function sends_then(method, ...)
  local bytes = table.concat { ... }
  return function(peer)
    peer:send_raw(bytes)
    peer[method](peer)
    peer:leave()
  end
end

local function sends(...) return sends_then("leave", ...) end
local function vanishes(peer) peer:vanish() end

-- Reads on to the Close frame and answers it, whatever messages come before.
local function answers(peer)
  repeat local message = peer:receive() until not message
  peer:leave()
end

-- Reads on to the Close frame, then does something else than to answer.
local function at_close(act)
  return function(peer)
    local f
    repeat f = peer:receive_frame() until not f or f.name == "close"
    act(peer)
  end
end

-- ---- what the server does first

local function after_close(act)
  return function(peer, ws)
    ws:close(4000, "enough")
    act(peer)
  end
end

local function after_shutdown(how, act)
  return function(peer, _, server)
    moonsocket.go(function() server:shutdown(how) end)
    act(peer)
  end
end

local PIECE = ("x"):rep(1 << 20)

-- The system's buffers grow while they are filled.
local function stalls(peer, ws)
  local deadline = moonsocket.now() + settings.timeout
  peer:vanish()
  while ws.state == "open" and moonsocket.now() < deadline do
    if ws.buffered == 0 then ws:send(PIECE, "binary") end
    moonsocket.sleep(0.001)
  end
end

local function overflows(peer, ws)
  peer:vanish()
  while ws:send(PIECE, "binary") do end
end

-- Behind so much that the answer does not get out, however much more the system takes.
local function closes_without_reading(peer, ws)
  while ws:send(PIECE, "binary") do end
  peer:close(1001)
  peer:vanish()
end

local function raises(peer, ws)
  ws:on_ping(function() error("raised on purpose, by the ending 'a callback that raises'", 0) end)
  peer:send_frame { opcode = "ping" }
  peer:leave()
end

-- ---- frames

local function bytes_of(f) return frame.encode(frame.check("endings", f, 1)) end
local function close(...) return bytes_of { opcode = "close", payload = frame.close_payload(...) } end

local HELLO, FRAGMENT = bytes_of { payload = "hello" }, bytes_of { payload = "half", fin = false }
local INSIDE_HEADER, INSIDE_PAYLOAD, INSIDE_CLOSE = HELLO:sub(1, 3), HELLO:sub(1, -3), close(1000):sub(1, -2)

-- ---- the list

-- Those that a peer brings about by itself, with whatever server.
local alone = {
  -- RFC 6455 sections 5.5.1 and 7.1.4: the peer's Close frame
  { "a Close frame with 1000", by_peer(1000), sends(close(1000)) },
  { "a Close frame with 1001", by_peer(1001), sends(close(1001)) },
  { "a Close frame with a code and a reason", by_peer(4001, "bored"), sends(close(4001, "bored")) },
  { "a Close frame without a code", by_peer(1005), sends(close()) },
  { "a Close frame inside a message", by_peer(1000), sends(FRAGMENT, close(1000)) },
  { "a Close frame and the end of TCP at once", by_peer(1000), sends_then("fin", close(1000)) },
  { "a Close frame, its answer, and a reset", by_peer(1000), function(peer)
    peer:send_raw(close(1000))
    at_close(peer.reset)(peer)
  end },
  { "a Close frame of a peer that leaves TCP open", by_peer(1000), sends_then("vanish", close(1000)),
    options = { close_timeout = LONG } },

  -- Sections 5.1, 5.2, 5.4, 5.5 and 7.4: the peer breaks the protocol
  { "a frame that is not masked", failed(1002, ".*not masked"), sends(bytes_of { masked = false }) },
  { "a reserved bit", failed(1002, ".*reserved bit"), sends(bytes_of { rsv = 4 }) },
  { "a reserved opcode", failed(1002, ".*reserved opcode"), sends(bytes_of { opcode = 3 }) },
  { "a reserved control opcode", failed(1002, ".*reserved opcode"), sends(bytes_of { opcode = 11 }) },
  { "a fragmented ping", failed(1002, ".*fragmented"), sends(bytes_of { opcode = "ping", fin = false }) },
  { "a ping of 126 bytes", failed(1002, ".*longer than 125 bytes"),
    sends(bytes_of { opcode = "ping", payload = ("p"):rep(126) }) },
  { "a length in too many bytes", failed(1002, ".*shortest form"), sends "\x81\xfe\0\0\0\0\0\0" },
  { "a continuation of nothing", failed(1002, ".*continues no message"), sends(bytes_of { opcode = "continuation" }) },
  { "a message inside a message", failed(1002, ".*inside an unfinished one"), sends(FRAGMENT, HELLO) },
  { "half a code in a Close frame", failed(1002, ".*half a status code"),
    sends(bytes_of { opcode = "close", payload = "\x03" }) },
  { "a Close frame with 999", failed(1002, ".*999, which may not be sent"), sends(close(999)) },
  { "a Close frame with 1005", failed(1002, ".*1005, which may not be sent"), sends(close(1005)) },
  { "a Close frame with 1006", failed(1002, ".*1006, which may not be sent"), sends(close(1006)) },
  { "a Close frame with 5000", failed(1002, ".*5000, which may not be sent"), sends(close(5000)) },

  -- Section 8.1
  { "text that is not UTF-8", failed(1007, ".*not valid UTF%-8"), sends(bytes_of { payload = "\xff" }) },
  { "text that ends inside a character", failed(1007, ".*UTF%-8 character"), sends(bytes_of { payload = "\xc3" }) },
  { "a reason that is not UTF-8", failed(1007, ".*not valid UTF%-8"), sends(close(1000, "\xff")) },

  -- Section 10.4
  { "a message that is too long", failed(1009, "message of .* is over the limit"),
    sends(bytes_of { announced_length = 1 << 40 }) },

  -- Section 7.1.5: TCP ends, and no Close frame came
  { "the end of TCP", NO_CLOSE_FRAME, sends_then "fin" },
  { "the end of TCP inside a header", NO_CLOSE_FRAME, sends_then("fin", INSIDE_HEADER) },
  { "the end of TCP inside a payload", NO_CLOSE_FRAME, sends_then("fin", INSIDE_PAYLOAD) },
  { "the end of TCP between fragments", NO_CLOSE_FRAME, sends_then("fin", FRAGMENT) },
  { "the end of TCP inside a Close frame", NO_CLOSE_FRAME, sends_then("fin", INSIDE_CLOSE) },
  { "TLS that is cut off", CUT_OFF, sends_then "cut_off", tls = true },
  { "TLS that is cut off inside a payload", CUT_OFF, sends_then("cut_off", INSIDE_PAYLOAD), tls = true },
  { "a reset", RESET, sends_then "reset" },
  { "a reset inside a payload", RESET, sends_then("reset", INSIDE_PAYLOAD) },

  { "a peer that has vanished", abnormal("network", "no pong within", 1011), vanishes,
    options = { ping_interval = SHORT, pong_timeout = LONG, close_timeout = LONG } },
}

-- Those in which the server acts, too, so that it must be one of this program.
local together = {
  -- The peer does not take what it is sent
  { "a Close frame of a peer that does not read",
    { code = 1001, reason = "^$", clean = false, by = "peer", sent = 1001, received = 1001 }, closes_without_reading,
    options = { max_buffered = 4 << 20, on_overflow = "drop", close_timeout = LONG } },
  { "a peer that takes no more data", abnormal("network", "the peer took no data for", 1011), stalls,
    options = { send_timeout = LONG } },
  { "a peer that takes less than it is sent", failed(1008, "send queue of .* is over the limit"), overflows,
    options = { on_overflow = "close", close_timeout = LONG } },

  -- The server closes
  { "ws:close(), answered", by_local(4000, 4000), after_close(answers) },
  { "ws:close(), answered with another code", by_local(4000, 1000, "ok"),
    after_close(at_close(sends(close(1000, "ok")))) },
  { "ws:close(), answered with an empty Close frame", by_local(4000, 1005),
    after_close(at_close(sends(close()))) },
  { "ws:close(), answered by a peer that leaves TCP open", by_local(4000, 4000),
    after_close(at_close(sends_then("vanish", close(4000)))), options = { close_timeout = AMPLE } },
  { "ws:close(), not answered", abnormal("local", "closing handshake timed out", 4000), after_close(vanishes),
    options = { close_timeout = LONG } },
  { "ws:close(), answered by the end of TCP",
    abnormal("local", "connection closed by the peer before it answered our Close frame$", 4000),
    after_close(at_close(sends_then "fin")) },
  { "ws:close(), answered by a reset", abnormal("local", "connection reset by peer$", 4000),
    after_close(at_close(sends_then "reset")) },
  { "ws:terminate()", abnormal("local", "terminated$"), function(peer, ws)
    ws:terminate()
    peer:leave()
  end },
  { "a callback that raises", failed(1011, "a callback raised an error$"), raises },
  { "an idle timeout", by_local(1001, 1001), answers, options = { idle_timeout = LONG } },
  { "a shutdown, answered", by_local(1001, 1001), after_shutdown({}, answers) },
  { "a shutdown, not answered", abnormal("local", "aborted: still open at the end of the shutdown$", 1001),
    after_shutdown({ drain = LONG }, vanishes) },
}

-- ---- playing one

local function play_with(name, act)
  return function(peer)
    local ws, server = peer:ws()
    if not ws then error("play: the peer's connection is to no server of this program", 2) end
    act(peer, ws, server)
    local code = ws:wait_closed(settings.timeout)
    peer:drop()
    if not code then
      error(("play: '%s' did not end the connection within %g s: does its server have the ending's options?")
        :format(name, settings.timeout), 2)
    end
    return ws
  end
end

local choices = { tls = { false, options.boolean } }

local function copy(t)
  local copied = {}
  for key, value in pairs(t) do copied[key] = value end
  return copied
end

local function add(list, rows, tls)
  for _, row in ipairs(rows) do
    if tls or not row.tls then
      local name, told, act = table.unpack(row)
      local needed = copy(row.options or {})
      if tls then needed.tls = certificate() end
      list[#list + 1] = {
        name = name, told = copy(told), options = needed, play = play_with(name, act),
        alone = rows == alone and act or nil,
      }
    end
  end
end

--- The endings of connections in the clear, or over TLS.
-- @param what { tls = true }, or nothing
-- @return a list of { name =, told = { code =, reason = a pattern, clean =, by =, sent =, received = },
--         options = of the server, play = function(peer) -> the server's ws, ended;
--         alone = function(peer): the peer's part, against a server elsewhere; nil where a server must act, too }
return function(what)
  local tls = options.check("endings", what, choices, 3).tls
  local list = {}
  add(list, alone, tls)
  add(list, together, tls)
  return list
end
