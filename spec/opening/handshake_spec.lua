-- The opening handshake over the wire: what is accepted, and what is refused with which answer. The complete tables of
-- heads are spec/core/head_test.c's and handshake_test.c's.
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene"

-- RFC 6455 section 1.3
local ACCEPTED = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
  .. "Sec-WebSocket-Accept: " .. peer.ACCEPT .. "\r\n\r\n"

-- peer.request() with one piece of it replaced.
local function changed(from, to)
  local bytes = peer.request()
  local first, last = bytes:find(from, 1, true)
  return bytes:sub(1, assert(first) - 1) .. to .. bytes:sub(last + 1)
end

-- Whether a connection that has just been accepted works.
local function assert_echoes(p)
  p:send(peer.text("hello"))
  assert.equal("text hello", peer.describe(assert(p:read_frame())))
end

describe("an opening handshake", function()
  it("is answered byte for byte as RFC 6455 section 1.3 has it", function()
    scene.play({}, function(s)
      local p = s:connect()
      p:send(peer.request())
      assert.equal(ACCEPTED, p:read_head())
      assert_echoes(p)
    end)
  end)

  it("may come byte by byte", function()
    scene.play({}, function(s)
      local p = s:connect()
      p:drip(peer.request())
      assert.equal(ACCEPTED, p:read_head())
      assert_echoes(p)
    end)
  end)

  it("may be cut anywhere in its last line end", function()
    scene.play({}, function(s)
      local bytes = peer.request()
      for cut = #bytes - 4, #bytes - 1 do
        local p = s:connect()
        p:send(bytes:sub(1, cut))
        moonsocket.sleep(0.002)
        p:send(bytes:sub(cut + 1))
        assert.equal(ACCEPTED, p:read_head())
        assert_echoes(p)
      end
    end)
  end)

  it("may have frames behind it in the same segment, which are taken in order", function()
    scene.play({}, function(s)
      local p = s:connect()
      p:send(peer.request() .. peer.text("one") .. peer.ping("two") .. peer.binary("three") .. peer.close(1000, "four"))
      assert.equal(ACCEPTED, p:read_head())
      assert.same({
        wire = { "text one", "pong two", "binary three", "close 1000" }, tcp = "fin",
        code = 1000, reason = "four", clean = true, by = "peer", sent = 1000, received = 1000,
      }, s:outcome(p))
    end)
  end)

  it("may have half a frame behind it in the same segment", function()
    scene.play({}, function(s)
      local frame = peer.text("halves")
      for cut = 1, #frame - 1 do
        local p = s:connect()
        p:send(peer.request() .. frame:sub(1, cut))
        assert.equal(ACCEPTED, p:read_head())
        p:send(frame:sub(cut + 1))
        assert.equal("text halves", peer.describe(assert(p:read_frame())))
      end
    end)
  end)

  local accepted = {
    ["header names and values in any case"] =
      "GET / HTTP/1.1\r\nhOST: localhost\r\nUPGRADE: WebSocket\r\nconnection: upgrade\r\nsec-websocket-key: "
      .. peer.KEY .. "\r\nSEC-WEBSOCKET-VERSION: 13\r\n\r\n",
    ["headers in any order"] =
      "GET / HTTP/1.1\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " .. peer.KEY
      .. "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nHost: localhost\r\n\r\n",
    ["white space around values, and none"] =
      "GET / HTTP/1.1\r\nHost:localhost\r\nUpgrade: \t websocket \t\r\nConnection:Upgrade\r\nSec-WebSocket-Key:"
      .. peer.KEY .. "  \r\nSec-WebSocket-Version:\t13\r\n\r\n",
    ["Upgrade and Connection as lists"] =
      "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c, websocket\r\nConnection: keep-alive,,Upgrade\r\n"
      .. "Sec-WebSocket-Key: " .. peer.KEY .. "\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ["lists over several lines"] =
      "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: keep-alive\r\nUpgrade: websocket\r\n"
      .. "Connection: upgrade\r\nSec-WebSocket-Key: " .. peer.KEY .. "\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ["headers that nobody knows"] = peer.request("X-Empty:\r\nX-Latin-1: \xe9\xff\r\n!#$%&'*+-.^_`|~: :\r\n"),
    ["a body of no bytes"] = peer.request("Content-Length: 0\r\n"),
    ["extensions, none of which is spoken"] =
      peer.request("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-other\r\n"),
    ["subprotocols, where the server has none"] = peer.request("Sec-WebSocket-Protocol: chat, superchat\r\n"),
    ["a target in absolute form"] = changed("GET / ", "GET http://localhost/ "),
    ["an empty Host"] = changed("Host: localhost", "Host:"),
    ["an IPv6 Host with a port"] = changed("Host: localhost", "Host: [::1]:8080"),
  }
  for what, bytes in pairs(accepted) do
    it("may have " .. what, function()
      scene.play({}, function(s)
        local p = s:connect()
        p:send(bytes)
        assert.equal(ACCEPTED, p:read_head())
        assert_echoes(p)
      end)
    end)
  end
end)

describe("the request in Lua", function()
  it("has the head's parts", function()
    local seen
    local function handler(ws, request)
      ws:on_message(function() end)
      seen = {
        method = request.method, path = request.path, query = request.query, params = request.params,
        upper = request.headers["X-MANY"], lower = request.headers["x-many"], absent = request.headers["x-none"],
        cookies = request.cookies, from_ws = ws.request == request,
        remote_address = request.remote_address, peer_address = request.peer_address,
      }
    end
    scene.play({ handler = handler }, function(s)
      local p = s:keep(peer.connect(s.to))
      p:send(peer.request("X-Many: a\r\nCookie: one=1; two=\"2\"\r\nx-many: b\r\n", "/chat/a%20b?x=1&y=2"))
      assert.equal(ACCEPTED, p:read_head())
      s.await("the handler", function() return seen end)
      assert.matches("^127%.0%.0%.1:%d+$", seen.remote_address)
      assert.equal(seen.remote_address, seen.peer_address)
      seen.remote_address, seen.peer_address = nil, nil
      assert.same({
        method = "GET", path = "/chat/a%20b", query = "x=1&y=2", params = {}, upper = "a, b", lower = "a, b",
        cookies = { one = "1", two = "2" }, from_ws = true,
      }, seen)
    end)
  end)
end)

describe("subprotocols", function()
  local offered = { "v2.chat", "v1.chat", "Chat" }
  local function agreed(lines)
    local head, subprotocol
    local function handler(ws)
      subprotocol = ws.subprotocol or "none"
      ws:on_message(function() end)
    end
    scene.play({ subprotocols = offered, handler = handler }, function(s)
      local p = s:connect()
      p:send(peer.request(lines))
      head = p:read_head()
      s.await("the handler", function() return subprotocol end)
    end)
    assert.equal(subprotocol ~= "none" and subprotocol or nil, head:match "\r\nSec%-WebSocket%-Protocol: (.-)\r\n")
    return subprotocol, head
  end

  local cases = {
    { "the client's first that the server has", "Sec-WebSocket-Protocol: v3.chat, v1.chat,v2.chat\r\n", "v1.chat" },
    { "one of several lines, which are one list",
      "Sec-WebSocket-Protocol: v3.chat\r\nsec-websocket-protocol: v4.chat, v2.chat\r\n", "v2.chat" },
    { "compared with their case", "Sec-WebSocket-Protocol: chat, CHAT, Chat\r\n", "Chat" },
    { "none where none is common", "Sec-WebSocket-Protocol: v9.chat\r\n", "none" },
    { "none where the client names none", "", "none" },
  }
  for _, case in ipairs(cases) do
    local what, lines, expected = table.unpack(case)
    it("are agreed on: " .. what, function()
      local subprotocol, head = agreed(lines)
      assert.equal(expected, subprotocol)
      if expected == "none" then assert.equal(ACCEPTED, head) end
    end)
  end

  for _, list in ipairs { "", ",", "chat, chat", "a b", "chat, a/b", '"chat"', "chat\xe9" } do
    it(("are refused as a list of %q"):format(list), function()
      scene.play({ subprotocols = offered }, function(s)
        local response = s:refusal(peer.request("Sec-WebSocket-Protocol: " .. list .. "\r\n"))
        assert.equal(400, response.status)
        assert.matches("Sec-WebSocket-Protocol", response.body, 1, true)
        assert.same({}, s.records)
      end)
    end)
  end
end)

-- name, bytes, status, a word of the body that says why
local refused = {
  -- no request at all
  { "a TLS client hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" .. ("\0"):rep(32), 400, "method" },
  { "a WebSocket frame", peer.text("hello"), 400, "method" },
  { "an empty line first", "\r\n" .. peer.request(), 400, "method" },
  -- the request line
  { "no target", changed("GET / HTTP", "GET HTTP"), 400, "target" },
  { "two spaces in the request line", changed("GET / ", "GET  / "), 400, "target" },
  { "a tab in the request line", changed("GET / ", "GET\t/ "), 400, "method" },
  { "a method that is no token", changed("GET", "G(T"), 400, "method" },
  { "a byte over 127 in the target", changed("GET /", "GET /\xe9"), 400, "target" },
  { "a NUL in the target", changed("GET /", "GET /\0"), 400, "target" },
  { "a version in lower case", changed("HTTP/1.1", "http/1.1"), 400, "HTTP version" },
  { "a version of two digits", changed("HTTP/1.1", "HTTP/1.11"), 400, "line" },
  { "no version (HTTP/0.9)", "GET /\r\n\r\n", 400, "target" },
  -- line ends
  { "bare LF throughout", (peer.request():gsub("\r\n", "\n")), 400, "line" },
  { "a bare LF behind a header", changed("Host: localhost\r\n", "Host: localhost\n"), 400, "line" },
  { "a bare LF as the empty line", changed("Version: 13\r\n\r\n", "Version: 13\r\n\n"), 400, "name" },
  { "a bare CR in a value", changed("localhost", "local\rhost"), 400, "line" },
  { "a folded header", changed("Upgrade: websocket", "Upgrade:\r\n websocket"), 400, "white space" },
  -- headers
  { "a space before the colon", changed("Host:", "Host :"), 400, "colon" },
  { "a header without a colon", peer.request("X-Broken\r\n"), 400, "colon" },
  { "an empty header name", peer.request(": value\r\n"), 400, "name" },
  { "a control byte in a value", peer.request("X-Bell: \a\r\n"), 400, "control" },
  { "a NUL in a value", peer.request("X-Zero: a\0b\r\n"), 400, "control" },
  { "a DEL in a value", peer.request("X-Del: \x7f\r\n"), 400, "control" },
  { "no Host", changed("Host: localhost\r\n", ""), 400, "Host" },
  { "two Hosts", peer.request("Host: localhost\r\n"), 400, "Host" },
  { "a Host that is none", changed("Host: localhost", "Host: a/b"), 400, "Host" },
  -- bodies, and what could hide a second request
  { "a body", peer.request("Content-Length: 5\r\n") .. "hello", 413, "body" },
  { "Content-Length twice", peer.request("Content-Length: 0\r\nContent-Length: 0\r\n"), 400, "repeated" },
  { "a Content-Length that is no number", peer.request("Content-Length: -1\r\n"), 400, "Content-Length" },
  { "Transfer-Encoding", peer.request("Transfer-Encoding: chunked\r\n") .. "0\r\n\r\n", 400, "Transfer-Encoding" },
  { "both of them", peer.request("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"), 400, "both" },
  { "an unknown Transfer-Encoding", peer.request("Transfer-Encoding: gzip\r\n"), 501, "chunked" },
  -- another method, another version
  { "POST", changed("GET", "POST"), 405, "GET" },
  { "CONNECT", changed("GET / ", "CONNECT localhost:80 "), 405, "GET" },
  { "HTTP/1.0", changed("HTTP/1.1", "HTTP/1.0"), 505, "HTTP/1.1" },
  { "HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/1.1" },
  -- RFC 6455 section 4.2.1
  { "no Upgrade", changed("Upgrade: websocket\r\n", ""), 426, "Upgrade" },
  { "an Upgrade to something else", changed("websocket", "h2c"), 426, "Upgrade" },
  { "no Connection", changed("Connection: Upgrade\r\n", ""), 400, "Connection" },
  { "a Connection without upgrade", changed("Connection: Upgrade", "Connection: close"), 400, "Connection" },
  { "no version of the protocol", changed("Sec-WebSocket-Version: 13\r\n", ""), 400, "Sec-WebSocket-Version" },
  { "two versions of it", peer.request("Sec-WebSocket-Version: 13\r\n"), 400, "Sec-WebSocket-Version" },
  { "version 8", changed("Version: 13", "Version: 8"), 426, "13" },
  { "version 14", changed("Version: 13", "Version: 14"), 426, "13" },
  { "a list of versions", changed("Version: 13", "Version: 13, 8"), 426, "13" },
  { "no key", changed("Sec-WebSocket-Key: " .. peer.KEY .. "\r\n", ""), 400, "Sec-WebSocket-Key" },
  { "two keys", peer.request("Sec-WebSocket-Key: " .. peer.KEY .. "\r\n"), 400, "Sec-WebSocket-Key" },
  { "an empty key", changed(peer.KEY, ""), 400, "Sec-WebSocket-Key" },
  { "a key of 15 bytes", changed(peer.KEY, "dGhlIHNhbXBsZSBub25j"), 400, "Sec-WebSocket-Key" },
  { "a key that is not base64", changed(peer.KEY, "dGhlIHNhbXBsZSBub25j*Q=="), 400, "Sec-WebSocket-Key" },
}

describe("a refused handshake", function()
  it("by HEAD is told so in a head alone", function() -- RFC 9110 section 9.3.2
    scene.play({}, function(s)
      local p = s:connect()
      p:send((peer.request():gsub("^GET", "HEAD")))
      local answer, how = p:read_rest()
      assert.matches("^HTTP/1%.1 405 .*\r\nContent%-Length: %d%d+\r\n.*\r\n\r\n$", answer)
      assert.equal("fin", how)
    end)
  end)

  it("is told why, to the last byte, and TCP ends with FIN", function()
    scene.play({}, function(s)
      for _, case in ipairs(refused) do
        local what, bytes, status, why = table.unpack(case)
        local response = s:refusal(bytes)
        assert.equal(status, response.status, what)
        assert.matches("%f[%w]close%f[%W]", response.headers.connection, nil, nil, what)
        assert.equal("text/plain; charset=utf-8", response.headers["content-type"], what)
        assert.equal(#response.body, tonumber(response.headers["content-length"]), what)
        assert.is_truthy(response.body:find(why, 1, true), what .. ": " .. response.body)
      end
      assert.same({}, s.records)
      assert.equal(0, s.server:stats().opened)
    end)
  end)

  it("is told what would be accepted instead", function()
    scene.play({}, function(s)
      assert.equal("GET", s:refusal(changed("GET", "POST")).headers.allow)
      for _, bytes in ipairs { changed("Version: 13", "Version: 8"), changed("Upgrade: websocket\r\n", "") } do
        local headers = s:refusal(bytes).headers
        assert.equal("13", headers["sec-websocket-version"]) -- RFC 6455 section 4.4
        assert.same({ "websocket", "Upgrade, close" }, { headers.upgrade, headers.connection }) -- RFC 9110 15.5.22
      end
    end)
  end)

  it("never has an answer to the request pipelined behind it", function()
    scene.play({}, function(s)
      s:refusal(changed("GET", "POST") .. peer.request() .. peer.text("smuggled"))
      s:refusal(peer.request("Content-Length: " .. #peer.request() .. "\r\n") .. peer.request())
      local p = s:connect()
      p:send(changed("GET", "POST"))
      assert.equal(405, p:read_response().status)
      p:send(peer.request() .. peer.text("too late"))
      assert.same({ "", "fin" }, { p:read_rest() })
      assert.same({}, s.records)
    end)
  end)

  it("can be read by a peer that goes on sending", function()
    scene.play({}, function(s)
      local p = s:connect()
      p:send(changed("GET", "POST"))
      assert(p:send(("x"):rep(8 << 20))) -- more than both kernels' buffers hold
      assert.equal(405, p:read_response().status)
      assert.same({ "", "fin" }, { p:read_rest() })
    end)
  end)

  it("is answered at the first bad byte, before the head is complete", function()
    scene.play({}, function(s)
      assert.equal(400, s:refusal("GET / HTTP/1.1\r\nHost : ").status)
      assert.equal(505, s:refusal("GET / HTTP/3").status)
    end)
  end)
end)

describe("a request behind an accepted handshake", function()
  it("is no frame: the connection fails with 1002", function()
    scene.play({}, function(s)
      local p = s:connect()
      p:send(peer.request() .. peer.request())
      assert.equal(ACCEPTED, p:read_head())
      local outcome = s:outcome(p)
      assert.same({ 1002, "local", 1002 }, { outcome.code, outcome.by, outcome.sent })
      assert.matches("^close 1002 ", outcome.wire[1])
    end)
  end)
end)
