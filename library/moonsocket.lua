---@meta moonsocket
-- luacheck: ignore 212 241
--
-- The API reference. LuaLS shows it in an editor: add this folder to workspace.library.
--
-- Times are in seconds and may be fractions; sizes are in bytes. A programmer's mistake (a wrong type, an unknown
-- option) raises an error; what can go wrong in the world is returned as nil and a message.
--
-- "Waits" marks a function that may take its time. In a callback, a handler, or a task of moonsocket.go it waits while
-- others run; at top level it runs the loop until it is done. It raises an error in a coroutine that moonsocket did not
-- start, and where Lua cannot yield (inside a table.sort comparator, a metamethod called from C, __gc).

---@alias moonsocket.Kind
---| "text"   # UTF-8
---| "binary" # any bytes

---@alias moonsocket.Handler fun(ws: moonsocket.WebSocket, request: moonsocket.Request)|moonsocket.Callbacks

---@alias moonsocket.By
---| "peer"    # the peer's Close frame came first
---| "local"   # our Close frame, our failing of the connection, or terminate() came first
---| "network" # neither: TCP ended, a ping went unanswered, or the peer took no more data

-- ---- the module

---@class moonsocket
---@field codes moonsocket.Codes close codes by name and names by code
local moonsocket = {}

---Starts a server. It accepts connections once the loop runs (`run`, or any call at top level that waits).
---
---An address is one of: a port number (every interface; 0 picks a free one), `"host:port"`, `":port"`, `"[::1]:port"`,
---`"unix:/path"`, `"fd:3"` (an inherited listening socket).
---
---A handler is called for each connection that has opened, in a coroutine of its own. If it returns without having set
---`on_message` the connection is closed with 1000; if it raises an error, with 1011. A table of callbacks is one set of
---functions for all connections. A router has a handler for each path.
---
---Raises an error if the address is not one, or the handler or an option is wrong.
---@param address integer|string
---@param handler moonsocket.Handler|moonsocket.Router
---@param options? moonsocket.ServerOptions
---@return moonsocket.Server? server nil if it cannot listen there
---@return string? message
---@return integer? errno
function moonsocket.serve(address, handler, options) end

---A router without routes, for serve: WebSockets, pages and files by path. docs/http.md says more.
---@return moonsocket.Router
function moonsocket.router() end

---Connects to a server. Waits until the connection is open, or has failed to.
---
---A URL is one of: `"ws://host:port/path?query"`, `"wss://..."`, `"ws+unix:/path/to.sock:/path"`. A user and
---password in it are sent as Basic authorization. Redirects are not followed; the response says where they lead.
---
---Nobody gets the connection's messages before `on_message` is set or `receive` is called, and none is lost.
---
---Raises an error if the URL is not one, or an option is wrong.
---@param url string
---@param options? moonsocket.ClientOptions
---@return moonsocket.WebSocket? ws nil if the connection could not be opened
---@return string? message
---@return moonsocket.Response? response what the server, or its proxy, answered instead, if it did
function moonsocket.connect(url, options) end

---A client that comes back: it connects, and when the connection ends, or cannot be opened, connects again after a
---random pause. It does not wait. With the option on_open it begins on the loop's next turn, and goes on until `stop`,
---or an ending after which there is no use in it, whether or not you hold it. Without, it connects in a loop over its
---`connections`. docs/reconnect.md says more.
---
---Raises an error if the URL is not one, or an option is wrong.
---@param url string as for `connect`
---@param options? moonsocket.ReconnectOptions
---@return moonsocket.Client? client nil if the files of the option tls cannot be used
---@return string? message
function moonsocket.reconnect(url, options) end

---A message for many: checked and framed once, and compressed once for all connections that compress alike, however
---often it is sent. `ws:send`, `server:broadcast`, `ws:publish` and `server:publish` take it in a message's place.
---Worth while where the same is sent again and again: each call of broadcast and publish does as much by itself.
---
---Raises an error if text is not UTF-8.
---@param message string
---@param kind? moonsocket.Kind default "text"
---@return moonsocket.Prepared
function moonsocket.prepare(message, kind) end

---Runs the loop until nothing is left to wait for (no server, connection, timer or waiting task), or until `stop`.
---
---A first SIGINT or SIGTERM shuts every server down with 1001 and lets `run` return when that is done; a second one
---does not wait. `run{ signals = false }` leaves signals alone. Raises an error if the loop is running already.
---@param what? fun()|{ signals?: boolean } a function to start as a task first, or options
function moonsocket.run(what) end

---Makes `run` return at the end of the present turn. Connections stay open until the loop runs again or the program
---ends.
function moonsocket.stop() end

---One turn of the loop: what is ready now is dealt with. Raises an error if the loop is running already.
---@param timeout? number how long to wait for something to become ready; default 0
---@return boolean left whether there is anything left to wait for
function moonsocket.step(timeout) end

---Starts a task: `fn(...)` in a coroutine of its own, from the next turn of the loop on. An error in it is printed to
---stderr.
---@param fn fun(...)
---@param ... any
function moonsocket.go(fn, ...) end

---Waits. 0 lets others run.
---@param seconds number
function moonsocket.sleep(seconds) end

---Calls a function once, as a task.
---@param seconds number from now
---@param fn fun()
---@return moonsocket.Timer
function moonsocket.after(seconds, fn) end

---Calls a function again and again, as a task. A call that is due while the one before still waits is left out.
---@param seconds number between calls, at least 0.001
---@param fn fun()
---@return moonsocket.Timer
function moonsocket.every(seconds, fn) end

---Calls a function, as a task, when the process gets a signal. It does not keep `run` from returning. Signals are the
---process's: only a Lua state in its main thread can catch them.
---@param name "HUP"|"INT"|"TERM"|"QUIT"|"USR1"|"USR2"|"CHLD"|"PIPE"|"WINCH" also with "SIG" in front
---@param fn fun()
---@return moonsocket.Timer? handle its `cancel` gives the signal back; nil if the system refuses
---@return string? message
---@return integer? errno
function moonsocket.on_signal(name, fn) end

---Waits for somebody else's socket or pipe: LuaSocket, a database client, a process.
---@param fd integer|table|userdata a file descriptor, or an object with a method `getfd`
---@param mode "r"|"w" until it can be read, or written
---@param timeout? number default: for as long as it takes
---@return true? ready
---@return string? message "timeout", or the system's
---@return integer? errno
function moonsocket.wait(fd, mode, timeout) end

---The monotonic clock, for measuring. It is not the time of day.
---@return number seconds
function moonsocket.now() end

---Whether a connection ended in another way than those expected.
---@param code integer what on_close was told
---@param ... integer the codes that are expected; default 1000 and 1001
---@return boolean
function moonsocket.is_unexpected(code, ...) end

---Both ways: `codes.GOING_AWAY == 1001` and `codes[1001] == "GOING_AWAY"`. Applications use 3000 to 4999 as they like.
---@class moonsocket.Codes
---@field NORMAL 1000 the purpose is fulfilled
---@field GOING_AWAY 1001 a server shuts down, a browser leaves the page
---@field PROTOCOL_ERROR 1002
---@field UNSUPPORTED_DATA 1003 for example binary where only text is understood
---@field NO_STATUS 1005 reported only: the peer's Close frame had no code
---@field ABNORMAL 1006 reported only: no Close frame came
---@field INVALID_DATA 1007 for example text that is not UTF-8
---@field POLICY_VIOLATION 1008
---@field MESSAGE_TOO_BIG 1009
---@field MANDATORY_EXTENSION 1010 sent by clients
---@field INTERNAL_ERROR 1011 a callback raised an error
---@field SERVICE_RESTART 1012
---@field TRY_AGAIN_LATER 1013
---@field BAD_GATEWAY 1014
---@field TLS_HANDSHAKE 1015 reported only

-- ---- what serve takes

---Each may be left out. A setter on ws (`ws:on_message`) goes before the table's function, for that connection. Without
---`message` what arrives is thrown away.
---@class moonsocket.Callbacks
---@field open? fun(ws: moonsocket.WebSocket, request: moonsocket.Request) it has opened; returning means nothing
---@field message? fun(ws: moonsocket.WebSocket, message: string, kind: moonsocket.Kind)
---@field close? fun(ws: moonsocket.WebSocket, code: integer, reason: string, info: moonsocket.CloseInfo)
---@field closing? fun(ws: moonsocket.WebSocket, code: integer, reason: string): integer?, string? see ws:on_closing
---@field ping? fun(ws: moonsocket.WebSocket, payload: string)
---@field pong? fun(ws: moonsocket.WebSocket, payload: string, rtt?: number)
---@field drain? fun(ws: moonsocket.WebSocket)
---@field error? fun(ws: moonsocket.WebSocket, message: string, traceback: string)

---A certificate and its key, each as the path of a PEM file or as PEM itself.
---@class moonsocket.TlsIdentity
---@field cert string the chain, the leaf first
---@field key string the leaf's key, without a password

---docs/tls.md has examples.
---@class moonsocket.ServerTls: moonsocket.TlsIdentity
---
---Other identities, by host name ("chat.example.org", or "*.example.org" for one label), for clients that ask for it.
---All others are shown cert.
---@field sni? table<string, moonsocket.TlsIdentity>
---
---@field verify? boolean (default false) clients must show a certificate that leads to one in ca
---@field ca? string whose clients are trusted, as cert
---@field alpn? string[] (default { "http/1.1" }) protocols that are spoken here, the best first

---@class moonsocket.ClientTls
---@field ca? string whom we trust, as cert; default: the system's store
---@field verify? boolean (default true) the server must show a certificate that we trust, and that has server_name
---@field server_name? string a name or an address; default: the URL's host
---@field cert? string our own certificate, where the server wants one: the path of a PEM file or PEM itself
---@field key? string its key
---@field alpn? string[] (default { "http/1.1" }) protocols that are offered

---How messages are compressed (RFC 7692 section 7.1). "Takeover" lets a message refer to those before it, which makes
---many small ones that resemble each other much smaller, and takes memory as long as the connection lives.
---@class moonsocket.Compression
---
---(default 1) From 1, the fastest, to 9, the smallest.
---@field level? integer
---
---(default 1024) Bytes. A shorter message is sent as it is.
---@field threshold? integer
---
---(default true) What the server sends is compressed without takeover. A client insists on it.
---@field server_no_context_takeover? boolean
---
---(default true) What the client sends is. A server insists on it.
---@field client_no_context_takeover? boolean
---
---(default 15) How far back a message from the server may refer: 8, for 256 bytes, to 15, for 32 KiB.
---@field server_max_window_bits? integer
---
---(default 15) The same for the client's. With less than 15 a server agrees on compression only with those clients that
---can be asked for it.
---@field client_max_window_bits? integer

---How much a peer may send in a time: messages, bytes of them, or both.
---@class moonsocket.Rate
---
---(default 0: any number) Messages a second.
---@field messages? number
---
---(default 0: any number) Bytes of messages a second.
---@field bytes? number
---
---(default 1) Seconds: as much as is allowed in this time may come at once.
---@field burst? number
---
---(default "pause") What becomes of who sends more: "pause": it is read no faster; "close": the connection is failed
---with 1008.
---@field over? "pause"|"close"

---Of every connection, whoever began it.
---@class moonsocket.ConnectionOptions
---
---(default 1048576) Bytes of a message, inflated if it was compressed. One that is longer fails the connection with
---1009, as soon as its length is announced: what a peer can make us keep has a limit.
---@field max_message? integer
---
---(default false) What the peer may send in a time: a number of messages a second, or a moonsocket.Rate. A peer that
---has to wait keeps its connection, however silent it is meanwhile. Control frames, and what nobody wants, do not
---count.
---@field max_rate? number|moonsocket.Rate|false
---
---(default 1048576) Bytes that may wait to be sent to one peer, for the same reason. A message that finds nothing
---waiting may be longer.
---@field max_buffered? integer
---
---(default "close") What send does when max_buffered would be passed: "close" returns nil, "overflow" and fails the
---connection with 1008; "drop" returns the same and goes on; "wait" waits until there is room.
---@field on_overflow? "close"|"drop"|"wait"
---
---(default 20) Seconds without a byte from the peer until a ping is sent: less than the minute after which many proxies
---give a silent connection up. 0: no pings, so that a vanished peer may go unnoticed.
---@field ping_interval? number
---
---(default 20) Seconds from that ping until the connection is lost, if nothing comes. 0: it never is.
---@field pong_timeout? number
---
---(default 20) Seconds in which a peer that is owed data takes none of it, until the connection is lost. 0: forever.
---@field send_timeout? number
---
---(default 0: none) Seconds without a message either way until the connection is closed with 1001.
---@field idle_timeout? number
---
---(default 5) Seconds that the peer has to answer our Close frame, and then to end TCP.
---@field close_timeout? number
---
---(default false) Messages are compressed (permessage-deflate, RFC 7692) if the peer wants that, too: ws.extensions
---says so. true: with the defaults of moonsocket.Compression, which take no memory per connection. docs/compression.md
---says when it is worth while, and when it is dangerous.
---@field compression? boolean|moonsocket.Compression
---
---(default none) Subprotocols that we speak. The server chooses the first one of the client's list that is also among
---its own: ws.subprotocol.
---@field subprotocols? string[]

---Of a WebSocket endpoint: serve's only one, or a route of a router.
---@class moonsocket.EndpointOptions: moonsocket.ConnectionOptions
---
---(default none: the host and port that the request itself names) Pages that may connect, as "https://example.com";
---others are refused with 403, because a browser lets any page try. A client that sends no Origin, being no browser,
---may always connect.
---@field origins? "*"|string[]|fun(origin: string): boolean
---
---(default none) Says who may connect; it may wait. It returns true; or an HTTP status from 300 to 599, a body and a
---table of headers; or nil, a code from 4000 to 4999 and a reason: then the connection is opened and closed with them
---at once, because a browser shows its page the code, but no status. false or nil alone: 403. An error in it: 500.
---@field authorize? fun(request: moonsocket.Request): (boolean|integer)?, (string|integer)?, (table|string)?

---@class moonsocket.ServerOptions: moonsocket.EndpointOptions
---
---(default 8192) Bytes of the head of the opening handshake or of another request. A longer one, or one of more than 64
---headers, is refusedwith 431.
---@field max_head? integer
---
---(default none) TLS, 1.2 and later, with every client (wss://). server:reload_tls renews its certificates.
---@field tls? moonsocket.ServerTls
---
---(default 10) Seconds from the TCP connection to the end of the opening handshake: who says nothing costs nothing.
---@field handshake_timeout? number
---
---(default 0: the system's) Seconds that sent data may stay unacknowledged (TCP_USER_TIMEOUT, Linux only).
---@field tcp_user_timeout? number
---
---(default 0: no limit) Open connections. Further ones are refused with 503.
---@field max_connections? integer
---
---(default 0: no limit) Connections of one address, from TCP on: those whose handshake is under way count, too. Further
---ones are refused with 429. An IPv6 address stands for its /64, as one customer has all of that; a Unix socket has
---no address, and no limit. Behind a proxy that is known (proxy_protocol, trusted_proxies) the client's address counts.
---@field max_connections_per_address? integer
---
---(default false) Every connection begins with a header of the PROXY protocol (version 1 or 2), before TLS, which says
---whom the proxy in front of the server speaks for. What begins with anything else is dropped. Whoever can connect can
---say anything there: nobody but the proxy may reach the address. docs/proxies.md says more.
---@field proxy_protocol? boolean
---
---(default none) Proxies in front of the server whose X-Forwarded-For is believed: addresses, networks ("10.0.0.0/8"),
---"unix" for those that come over a Unix socket. The header is read from the right to the first address that is not
---among them: request.remote_address. docs/proxies.md says more.
---@field trusted_proxies? string[]
---
---(default 511) Connections that the system keeps until they are accepted.
---@field backlog? integer
---
---(default false) Several processes may listen on the same port (SO_REUSEPORT).
---@field reuse_port? boolean
---
---(default false) Writes a line of JSON for every connection that has ended: how, and who ended it. true: to stderr; or
---to an open file; or to a function, which may wait, without a line feed. docs/logging.md says what is in it.
---@field log? boolean|file*|fun(line: string)

---@class moonsocket.ClientOptions: moonsocket.ConnectionOptions
---
---(default 8192) Bytes of the head of the server's answer. A longer one, or one of more than 64 headers, is refused.
---@field max_head? integer
---
---(default none) TLS, for wss:// URLs. None: it trusts the system's store and shows no certificate.
---@field tls? moonsocket.ClientTls
---
---(default 10) Seconds for all of it: finding the address, connecting, the proxy, TLS, the opening handshake.
---@field timeout? number
---
---(default none) Further headers of the request, { name = value } or { name = { value, ... } }; not those that the
---handshake sets itself.
---@field headers? table<string, string|number|(string|number)[]>
---
---(default none) Cookies of the request, { name = value }.
---@field cookies? table<string, string|number>
---
---(default 65536) Bytes of a refusal's body that are kept.
---@field max_body? integer
---
---(default none) The proxy that ws:// and wss:// go through, `"http://user:password@host:port"` (HTTP CONNECT) or
---`"socks5://user:password@host:port"`; user, password and port (80, 1080) may be left out. The proxy looks the
---server's name up. "environment": the one that `HTTPS_PROXY` (wss://), `HTTP_PROXY` (ws://) or `ALL_PROXY` names,
---also in lower case, unless `NO_PROXY` lists the host. docs/proxies.md has the rules.
---@field proxy? string

---Of `moonsocket.reconnect`.
---@class moonsocket.ReconnectOptions: moonsocket.ClientOptions
---
---(default 1) Seconds of the shortest pause. The longest is twice that at first, and doubles with each failure.
---@field min_delay? number
---
---(default 60) Seconds of the longest pause.
---@field max_delay? number
---
---(default 60) Seconds that a connection must last for the pauses to begin anew.
---@field stable_after? number
---
---(default 0) Messages that client:send keeps while there is no connection. They are sent in order when one has opened,
---behind what on_open sends before it first waits. What a connection has taken is not sent again.
---@field queue? integer
---
---(default none) Whether to come back, of what on_down is told. May wait. Without it: not after 1002, 1003, 1007 and
---1008, nor after a refusal of the server with 401, 403 or 404.
---@field should_retry? fun(code?: integer, reason: string, info?: moonsocket.CloseInfo|moonsocket.Response): boolean
---
---(default none) Called for each connection that has opened: set its own functions here, or loop over its messages.
---attempt: 1 where nothing failed before. An error in it closes the connection with 1011.
---@field on_open? fun(ws: moonsocket.WebSocket, attempt: integer)
---
---(default none) Called for each connection that has ended, with what its on_close is told. And for each attempt that
---failed: then code is nil, the reason is connect's message, and info the server's response, if it answered. delay:
---seconds until the next attempt, from its return on; nil: there will be none.
---@field on_down? fun(code?: integer, reason: string, info?: moonsocket.CloseInfo|moonsocket.Response, delay?: number)

---The answer of a server to an opening handshake that it refused, or of a proxy that opened no tunnel.
---@class moonsocket.Response
---@field status integer
---@field headers table<string, string> lower-case names, found in any case; repeats joined with ", "
---@field body string at most max_body bytes
---@field by_proxy boolean whether it is the proxy's answer: the server was not reached

-- ---- a connection

---A connection. Any other field is yours: `ws.user = "ann"`. After the end every method but the setters, topics and
---publish returns nil, "closed" and the code, and raises no error.
---
---`local ws <close> = ws` closes it when the block ends: with 1000, or with 1011 if by an error.
---@class moonsocket.WebSocket
---@field id integer counted from 1, never used again in this program
---@field state "connecting"|"open"|"closing"|"closed"
---@field request moonsocket.Request
---@field subprotocol string? the one that was agreed on
---@field extensions string what was agreed on: "permessage-deflate; server_no_context_takeover"; "": nothing
---@field buffered integer bytes that wait to be sent
---@field rtt number? seconds that the latest ping took to be answered; nil before the first
---@field close_code integer? what on_close is told, once it is closed
---@field close_reason string? likewise
---@field close_info moonsocket.CloseInfo? likewise
local WebSocket = {}

---What `moonsocket.prepare` returned.
---@class moonsocket.Prepared

---A message that is sent in fragments. One that is not closed must not look whole: if its block is left by an error,
---or the collector finds it, the connection is failed with 1011, unless nothing of it was sent.
---
---`local writer <close> = ws:writer()` closes it when the block ends.
---@class moonsocket.Writer
local Writer = {}

---Sends the next bytes of the message. Waits while the output is full. Raises an error if text is not UTF-8 (a
---character may be in two pieces), if the writer is closed, or if another task is in write.
---@param bytes string
---@return true? sent
---@return integer|string buffered_or_error bytes that now wait to be sent; or "closed"
---@return integer? code after "closed"
function Writer:write(bytes) end

---Ends the message; it does not wait. Raises an error, and fails the connection with 1011, if a text ends inside a
---character.
---@return true? closed
---@return string? error "closed"
---@return integer? code after "closed"
function Writer:close() end

---A message that is read as it comes: `for bytes in reader do ... end`, then `reader.complete` says whether that was
---all.
---
---`local reader <close> = ws:reader()` passes over what is left of it when the block ends.
---@class moonsocket.Reader
---@field kind moonsocket.Kind
---@field complete boolean whether the message has been read to its end
---@overload fun(): string?
local Reader = {}

---Waits for the next bytes of the message. Text is checked as it comes: where it is not UTF-8 the connection ends with
---1007. A character may be in two pieces. Raises an error if the message has been passed over.
---@param timeout? number default: for as long as it takes
---@return string? bytes nil alone: the message has ended
---@return string? error "closed", or "timeout"
---@return integer? code after "closed"
---@return string? reason after "closed"
function Reader:read(timeout) end

---Passes over what is left of the message.
function Reader:close() end

---What on_close is told besides code and reason.
---@class moonsocket.CloseInfo
---@field clean boolean the peer's Close frame came, and ours went out
---@field by moonsocket.By
---@field sent integer? the code in our Close frame (1005: it had none); nil: none was sent
---@field received integer? the code in the peer's Close frame (1005: it had none); nil: none came
---@field error string? the system's message, for example "Connection reset by peer"

---Queues a message; it goes out by the end of the loop's turn. Raises an error if text is not UTF-8.
---
---With the option on_overflow = "wait" it waits while the queue is full.
---@param message string|moonsocket.Prepared
---@param kind? moonsocket.Kind default "text"; a prepared message has its own
---@return true? sent
---@return integer|string buffered_or_error bytes that now wait to be sent; or "closed", "overflow", or "writing": a
---writer is open, whose message must end first
---@return integer? code after "closed"
function WebSocket:send(message, kind) end

---Sends a value as JSON, in a text message, with lua-cjson or dkjson. Raises an error if neither is installed, or if
---the value cannot be JSON.
---@param value any null is the library's: `cjson.null`, `dkjson.null`
---@return true? sent
---@return integer|string buffered_or_error as ws:send
---@return integer? code after "closed"
function WebSocket:send_json(value) end

---Begins a message that is sent in fragments, as it is written. Until it is closed no other message can be sent.
---@param kind? moonsocket.Kind default "text"
---@return moonsocket.Writer? writer
---@return string? error "closed"; or "writing": another writer is open
---@return integer? code after "closed"
function WebSocket:writer(kind) end

---Lets this connection of a server have what is published under a topic: a name of 1 to 255 bytes, compared as it is.
---It has it until unsubscribe, or the end. Subscribing again changes nothing. docs/topics.md says more.
---
---Raises an error if the name is not one, or if this is a client's ws.
---@param topic string
---@return true? subscribed
---@return string? error "closed", or the system's
---@return integer? code after "closed"
function WebSocket:subscribe(topic) end

---Ends a subscription. Without one it does nothing. Raises the errors of subscribe.
---@param topic string
---@return true? unsubscribed
---@return "closed"? error
---@return integer? code after "closed"
function WebSocket:unsubscribe(topic) end

---After the end: those that it had then.
---@return string[] topics that it is subscribed to, the first subscription first
function WebSocket:topics() end

---Sends a message to all that are subscribed to a topic, but for this connection, which need not be. Else as
---`server:publish`; and it still does so after the end: on_close can tell the others.
---@param topic string
---@param message string|moonsocket.Prepared
---@param kind? moonsocket.Kind default "text"; a prepared message has its own
---@return integer count connections that it was queued for
function WebSocket:publish(topic, message, kind) end

---Waits until everything that was queued has been handed to the system.
---@param timeout? number default: for as long as it takes
---@return true? drained
---@return string? error "timeout" or "closed"
---@return integer? code after "closed"
function WebSocket:drain(timeout) end

---Waits for the next message. Raises an error if on_message is set, or if another task is in receive.
---@param timeout? number default: for as long as it takes
---@return string? message
---@return string kind_or_error "text" or "binary"; or "closed", or "timeout"
---@return integer? code after "closed"
---@return string? reason after "closed"
function WebSocket:receive(timeout) end

---Waits for the next message, which is JSON, with lua-cjson or dkjson. Raises an error if neither is installed, and the
---errors of receive.
---@param timeout? number default: for as long as it takes
---@return any value null is the library's: `cjson.null`, `dkjson.null`
---@return string? error after nil: "closed", "timeout", or what is wrong with a message that is not JSON
---@return integer? code after "closed"
---@return string? reason after "closed"
function WebSocket:receive_json(timeout) end

---Waits for the next message to begin, and returns a reader that takes it as it comes. What the reader before has left
---of its message is passed over. Raises the errors of receive.
---@param timeout? number default: for as long as it takes
---@param max_message? integer bytes that the message may have (1009); default: any number, whatever max_message is
---@return moonsocket.Reader? reader
---@return string? error "closed", or "timeout"
---@return integer? code after "closed"
---@return string? reason after "closed"
function WebSocket:reader(timeout, max_message) end

---An iterator over the messages to come, for a loop. It ends when the connection does; `ws.close_code` and
---`ws.close_reason` say how. Waits in each step, and raises the errors of receive.
---@return fun(ws: moonsocket.WebSocket): string?, moonsocket.Kind?
---@return moonsocket.WebSocket
function WebSocket:messages() end

---Starts the closing handshake and returns at once; on_close tells how it went. What was queued before is sent before.
---Raises an error if the code may not be sent (1000-1003, 1007-1014 and 3000-4999 may), or if the reason is longer than
---123 bytes or not UTF-8.
---@param code? integer default 1000
---@param reason? string default ""
---@return true? closing
---@return "closed"? error it was closing or closed already
---@return integer? code after "closed"
function WebSocket:close(code, reason) end

---Drops the TCP connection now, in whatever state it is. on_close is told 1006.
---@return true? terminated
---@return "closed"? error
---@return integer? code after "closed"
function WebSocket:terminate() end

---Waits for the end. Returns what on_close is told, again and again if need be.
---@param timeout? number default: for as long as it takes
---@return integer? code
---@return string reason or "timeout" after nil
---@return moonsocket.CloseInfo? info
function WebSocket:wait_closed(timeout) end

---Stops reading: the peer is slowed down once the buffers between are full. Its pings are not answered meanwhile, and
---its silence does not count. That TCP was reset is still noticed at once; that the peer has ended it, after resume.
---@return true? paused
---@return "closed"? error
---@return integer? code after "closed"
function WebSocket:pause() end

---Goes on reading.
---@return true? resumed
---@return "closed"? error
---@return integer? code after "closed"
function WebSocket:resume() end

---Sends a ping; on_pong is called when it is answered. With no payload of your own the time is measured: ws.rtt.
---@param payload? string at most 125 bytes
---@return true? sent
---@return "closed"? error
---@return integer? code after "closed"
function WebSocket:ping(payload) end

---Sets the function for messages. Calls for one connection never overlap: while one waits, nothing is read. Raises an
---error while a task is in receive.
---@param fn fun(message: string, kind: moonsocket.Kind)|nil nil: none; messages are then kept until somebody wants them
---@return function? before the one that was set before
function WebSocket:on_message(fn) end

---Sets the function for the end. It is called exactly once, last of all. Set after the end, if no other was called, it
---is called on the next turn.
---@param fn (fun(code: integer, reason: string, info: moonsocket.CloseInfo))|nil
---@return function? before
function WebSocket:on_close(fn) end

---Sets the function for a Close frame of the peer, called before it is answered. It returns the code and reason of the
---answer; nothing means the peer's code. It may wait, for at most close_timeout.
---@param fn (fun(code: integer, reason: string): integer?, string?)|nil code is 1005 if the frame had none
---@return function? before
function WebSocket:on_closing(fn) end

---Sets the function for pings. They are answered without it.
---@param fn fun(payload: string)|nil
---@return function? before
function WebSocket:on_ping(fn) end

---Sets the function for pongs.
---@param fn fun(payload: string, rtt?: number)|nil rtt: seconds since the ping, where it had no payload of yours
---@return function? before
function WebSocket:on_pong(fn) end

---Sets the function that is called when the system has taken everything, after it had not.
---@param fn fun()|nil
---@return function? before
function WebSocket:on_drain(fn) end

---Sets the function for errors in this connection's handler and callbacks. Without it they go to the table's `error`,
---else to server:on_error, else to stderr. The connection is closed with 1011 in any case.
---@param fn fun(message: string, traceback: string)|nil
---@return function? before
function WebSocket:on_error(fn) end

---The opening handshake's request. Any other field is yours.
---@class moonsocket.Request
---@field method string always "GET"
---@field path string without the query, as it came: nothing is decoded
---@field query string what is behind the "?", as it came; "" if there is none
---@field headers table<string, string> names in lower case, found in any case; repeated ones are joined with ", "
---@field cookies table<string, string> values as they came, without quotes around them
---@field params table<string, string> what stands for the path's `:name`s; empty without a router
---@field remote_address string the client's, as far as it is known: "127.0.0.1:40000", "[::1]:40000" or "unix:"; as a
---trusted proxy has said it without a port, "192.0.2.1" or "2001:db8::1"
---@field peer_address string the socket's, which may be a proxy's; the same where no proxy is known of

-- ---- a client that comes back

---What `reconnect` returns. `local client <close> = ...` stops it when the block ends.
---@class moonsocket.Client
---@field ws moonsocket.WebSocket? read only; the connection, until on_down is told of its end
---@field stopped boolean read only; it does not come back
local Client = {}

---Sends a message as ws:send does. While there is no connection, or it is closing, the message is queued if the option
---queue leaves room. Raises an error if text is not UTF-8.
---@param message string
---@param kind? moonsocket.Kind default "text"
---@return true? sent
---@return integer|string buffered_or_error as ws:send; or "queued"; or "down", "stopped", "overflow" (it is full)
function Client:send(message, kind) end

---For a loop: `for ws, attempt in client:connections() do`. Each step waits for the next connection; what the body left
---open is closed with 1000 before. It ends when the client has stopped. Leaving it by break, return or an error stops
---the client, and waits until its connection has closed. There can be one such loop, and none beside on_open.
---@return fun(client: moonsocket.Client): moonsocket.WebSocket?, integer?
---@return moonsocket.Client
function Client:connections() end

---No more connections, and no more on_open. A pause or an attempt is over at once, and nobody is told of it; a
---connection that is open is closed with 1000, and on_down told when that is done. Again, it does nothing.
function Client:stop() end

-- ---- a router

---Which path is whose. A segment `:name` of a path stands for any one: `request.params.name`. Routes are added before
---serve. Every method returns the router, and raises an error if an argument is wrong or the path is taken.
---@class moonsocket.Router
local Router = {}

---A WebSocket endpoint. Its options go over those of serve.
---@param path string
---@param handler moonsocket.Handler
---@param options? moonsocket.EndpointOptions
---@return moonsocket.Router
function Router:websocket(path, handler, options) end

---A page, for GET and HEAD. The function may wait. An error in it, or anything else that it returns, is a 500 and goes
---to the server's on_error.
---@param path string
---@param fn fun(request: moonsocket.Request): string|integer, (string|table)?, table? [status,] body [, headers]
---@return moonsocket.Router
function Router:get(path, fn) end

---The files of a folder, below a path. No link in it is followed.
---@param prefix string
---@param folder string
---@return moonsocket.Router
function Router:files(prefix, folder) end

---server:metrics(), for Prometheus to fetch.
---@param path string
---@return moonsocket.Router
function Router:metrics(path) end

-- ---- a server

---`local server <close> = assert(moonsocket.serve(...))` shuts it down, with a drain of 0, when the block ends.
---@class moonsocket.Server
---@field count integer open connections
---@field address string "127.0.0.1:8080"
---@field url string? what connects to it: "ws://127.0.0.1:8080", "wss://...", "ws+unix:/path"; nil for TLS over Unix
---@field port integer? nil for a Unix socket
local Server = {}

---@return moonsocket.WebSocket[] connections those that are open, in no order
function Server:connections() end

---Sends a message to every open connection as ws:send would, but never waits: with on_overflow = "wait", too, those
---whose queue is full are left out. Where a writer is open the message follows the writer's. Raises an error if text is
---not UTF-8.
---@param message string|moonsocket.Prepared
---@param kind? moonsocket.Kind default "text"; a prepared message has its own
---@return integer count connections that it was queued for
function Server:broadcast(message, kind) end

---Sends a message to all that are subscribed to a topic: as ws:send would, but never waits. A connection whose queue is
---full is closed or left out, as its option on_overflow says, and holds up nobody else. Where a writer is open the
---message follows the writer's. Raises an error if text is not UTF-8, or the topic is no name of 1 to 255 bytes.
---@param topic string
---@param message string|moonsocket.Prepared
---@param kind? moonsocket.Kind default "text"; a prepared message has its own
---@return integer count connections that it was queued for
function Server:publish(topic, message, kind) end

---@return string[] topics those that have subscribers, in no order
function Server:topics() end

---@param topic string
---@return integer count connections that are subscribed to it
function Server:topic_count(topic) end

---Sets the function for a topic that has lost its last subscriber, by whatever way, and not found another by the end of
---the loop's turn. It may wait. An error in it goes to on_error.
---@param fn fun(topic: string)|nil
---@return function? before
function Server:on_topic_empty(fn) end

---Waits. Stops accepting, closes every connection, and after `drain` seconds terminates those that are left. Every
---on_close has run when it returns. A second call waits for the same end, with a new `drain` from now.
---@param options? moonsocket.ShutdownOptions
---@return integer closed connections that were closed by a closing handshake
---@return integer aborted connections that were not
function Server:shutdown(options) end

---Reads certificates and all else that the option tls has anew, for connections from now on; those that are open keep
---theirs. If anything cannot be used, nothing changes, and the message names it. Raises an error if the table is wrong.
---@param tls? moonsocket.ServerTls default: the latest that was given, whose files are read again
---@return boolean? ok
---@return string? message
function Server:reload_tls(tls) end

---Counters since the start.
---@return moonsocket.Stats
function Server:stats() end

---The same for Prometheus, in its text format 0.0.4. docs/metrics.md lists what is in it.
---@return string text
function Server:metrics() end

---Sets the function for the end of every connection of this server, beside the connection's own on_close, which begins
---first; neither waits for the other. It is told the same, once, also of those that `authorize` turned away with a code
---and which no other callback hears of. It may wait. An error in it goes to the server's on_error.
---@param fn fun(ws: moonsocket.WebSocket, code: integer, reason: string, info: moonsocket.CloseInfo)|nil
---@return function? before
function Server:on_close(fn) end

---Sets the function for errors in callbacks of connections that have no on_error of their own, in `authorize`, in
---the server's on_close and on_topic_empty, and of the log. Without it they are printed to stderr.
---@param fn fun(message: string, traceback: string)|nil
---@return function? before
function Server:on_error(fn) end

---@class moonsocket.ShutdownOptions
---@field code? integer (default 1001)
---@field reason? string (default "") at most 123 bytes of UTF-8
---@field drain? number (default 10) seconds, from the end of the spread, until those that are left are terminated
---
---(default 0) Seconds over which the Close frames are spread, lest all come back at once. Who was in the opening
---handshake when it began, or waited to be accepted, still opens meanwhile; then, and without it, that is a 503.
---@field spread? number

---@class moonsocket.Stats
---@field opened integer connections that have opened
---@field open integer connections that are open
---@field buffered integer bytes that wait to be sent to them
---@field closed table<integer, integer> connections that have ended, by the code that on_close was told
---@field closed_by table<moonsocket.By, integer> the same, by whom
---@field refused table<integer, integer> handshakes that failed, by HTTP status; 0: the client left
---@field requests table<integer, integer> requests for no WebSocket, by HTTP status; 0: the client left
---@field messages_in integer
---@field messages_out integer
---@field bytes_in integer of those messages
---@field bytes_out integer of those messages

-- ---- a timer

---What `after`, `every` and `on_signal` return. It need not be kept.
---@class moonsocket.Timer
local Timer = {}

---No more calls. Again, or afterwards, it does nothing.
function Timer:cancel() end

return moonsocket
