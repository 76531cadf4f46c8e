---@meta moonsocket.testing
-- luacheck: ignore 212 241
--
-- moonsocket.testing: for your own suite. docs/testing.md is the guide.
--
-- Whatever waits here waits as moonsocket does: at top level, as in a busted test, it runs the loop. So the server
-- under test lives in the same program.

---@class moonsocket.testing
---@field settings { timeout: number } timeout (default 10): seconds that anything is waited for
local testing = {}

---Starts a server on a free port of 127.0.0.1: `moonsocket.serve` without the address. `server.url` is where, and
---`local server <close> = ...` shuts it down when the test's block ends.
---@param handler fun(ws: moonsocket.WebSocket, request: moonsocket.Request)|moonsocket.Callbacks
---@param options? moonsocket.ServerOptions
---@return moonsocket.Server? server
---@return string? message
---@return integer? errno
function testing.server(handler, options) end

---A certificate for localhost, 127.0.0.1 and ::1, and its key, as PEM: what a server's option `tls` takes. A client
---trusts it by `tls = { ca = testing.certificate().cert }`. It is made by the program openssl, once, and is on no disk.
---@return { cert: string, key: string }
function testing.certificate() end

---Connects a raw peer and does the opening handshake. Waits until the connection is open, or has failed to.
---
---A peer does nothing by itself: each frame, each byte and each way to leave is the test's own, right or wrong. It
---reads only while something waits in one of its receive functions.
---
---Raises an error if the URL is not one, or an option is wrong.
---@param url string as moonsocket.connect's
---@param options? moonsocket.testing.PeerOptions
---@return moonsocket.testing.Peer? peer nil if the connection could not be opened
---@return string? message
---@return moonsocket.testing.Response? response what the server answered instead, if it did
function testing.peer(url, options) end

---Every way in which a connection can end that a peer, or the server itself, can bring about; to loop over.
---@param options? { tls?: boolean } tls (default false): over TLS, with the ways that only TLS has
---@return moonsocket.testing.Ending[]
function testing.endings(options) end

---@class moonsocket.testing.PeerOptions
---@field headers? table<string, string|number|(string|number)[]> (default none) further headers of the request
---@field subprotocols? string[] (default none) the request's
---@field tls? moonsocket.Tls (default { verify = false }) of a wss:// URL
---@field handshake? boolean (default true) false: it only connects, and what is sent is up to you

---@class moonsocket.testing.Response
---@field status integer
---@field headers table<string, string> lower-case names; repeats joined with ", "
---@field body string

---@class moonsocket.testing.Ending
---@field name string "a reset inside a payload"
---@field told moonsocket.testing.Told what on_close is told
---@field options moonsocket.ServerOptions those that the server needs, so that it is over quickly
---@field alone? fun(peer: moonsocket.testing.Peer) the peer's part, against a server that is not in this program; nil
---where the server must act, too
local Ending = {}

---Makes it happen to a peer of a server in this program, and waits until on_close has been called. None sends a whole
---message; those that are a shutdown shut the server down.
---@param peer moonsocket.testing.Peer
---@return moonsocket.WebSocket ws the server's, which has ended
function Ending.play(peer) end

---@class moonsocket.testing.Told
---@field code integer
---@field reason string a Lua pattern
---@field clean boolean
---@field by moonsocket.By
---@field sent integer|false false: no Close frame was sent
---@field received integer|false false: no Close frame came

---A raw client. `local peer <close> = ...` drops it when the test's block ends.
---@class moonsocket.testing.Peer
---@field response moonsocket.testing.Response the server's answer to the opening handshake
local Peer = {}

---Sends a text message. UTF-8 is not asked for.
---@param text string
---@return true? sent
---@return string? error "closed", "vanished", or the system's message
function Peer:send_text(text) end

---Sends one frame, right or wrong.
---@param frame moonsocket.testing.FrameOptions
---@return true? sent
---@return string? error as send_text
function Peer:send_frame(frame) end

---Sends bytes as they are: what is no frame at all, or comes in pieces.
---@param bytes string
---@return true? sent
---@return string? error as send_text
function Peer:send_raw(bytes) end

---Sends a Close frame, and does nothing else. A server waits for the end of TCP behind it: leave.
---@param code? integer 0 to 65535; none: the frame is empty
---@param reason? string any bytes
---@return true? sent
---@return string? error as send_text
function Peer:close(code, reason) end

---The next frame, as it came.
---@param timeout? number seconds
---@return moonsocket.testing.Frame? frame
---@return string? error "timeout", "fin", "reset", "closed" (by this side), "vanished", or the system's or TLS's words
function Peer:receive_frame(timeout) end

---The next message, as a well-behaved client gets it: pings are answered, a Close frame with its code.
---@param timeout? number seconds
---@return string? message
---@return string kind_or_error "text" or "binary"; or "closed" for a Close frame; or as receive_frame
---@return integer? code of the Close frame; 1005: it had none
---@return string? reason of the Close frame
function Peer:receive(timeout) end

---What has come, at least a byte.
---@param timeout? number seconds
---@return string? bytes
---@return string? error as receive_frame
function Peer:receive_raw(timeout) end

---Ends its side of TCP, behind what was sent; over TLS with close_notify. What comes can still be received.
function Peer:fin() end

---The same, but over TLS without close_notify.
function Peer:cut_off() end

---Resets TCP.
function Peer:reset() end

---Closes the socket without a word, as a process does that is killed. What it has not read makes a reset of that.
function Peer:drop() end

---Stays connected, but reads and sends nothing any more, as a machine does that has lost its network.
function Peer:vanish() end

---Reads to the end of TCP, then closes the socket: how a client leaves after the Close frames.
---@param timeout? number seconds
---@return string how "fin", "reset", or as receive_frame
function Peer:leave(timeout) end

---The server's side of this connection, also when it has ended.
---@return moonsocket.WebSocket? ws nil: it was opened by no server of this program
---@return moonsocket.Server? server
function Peer:ws() end

---What send_frame sends. All can be left out.
---@class moonsocket.testing.FrameOptions
---@field opcode? "text"|"binary"|"continuation"|"close"|"ping"|"pong"|integer (default "text") or 0 to 15
---@field fin? boolean (default true) false: more fragments follow
---@field rsv? integer (default 0) the three reserved bits, 0 to 7
---@field masked? boolean (default true) as a client's must be
---@field payload? string (default "")
---@field announced_length? integer (default the payload's) what the frame says, whatever follows

---@class moonsocket.testing.Frame
---@field opcode integer
---@field name string? "text", "binary", "continuation", "close", "ping", "pong"; nil: a reserved opcode
---@field fin boolean
---@field rsv integer
---@field masked boolean
---@field payload string
---@field code integer? of a Close frame
---@field reason string? of a Close frame

-- ---- assertions, where luassert is (it is a part of busted)

---Each has its opposite: `assert.not_closed_with`.
---@class luassert.internal
local assertions = {}

---The connection ends, or has ended, so. Waits for the end.
---@param ws moonsocket.WebSocket a server's or a client's
---@param told integer|table the code, or those fields of on_close that matter: code, reason (a Lua pattern), clean, by,
---sent, received
---@param reason? string a Lua pattern, behind a code
function assertions.closed_with(ws, told, reason) end

---The next message that comes is this one. Waits for it.
---@param peer moonsocket.testing.Peer|moonsocket.WebSocket a peer, or a client of moonsocket.connect
---@param message string
---@param kind? moonsocket.Kind
function assertions.received(peer, message, kind) end

---A Close frame comes. Waits for it; messages before it are passed over.
---@param peer moonsocket.testing.Peer|moonsocket.WebSocket
---@param code? integer
---@param reason? string a Lua pattern
function assertions.received_close(peer, code, reason) end

---The function returns something true, now or soon. Waits for that.
---@param condition fun(): any
---@param what? string for the message
function assertions.eventually(condition, what) end

return testing
