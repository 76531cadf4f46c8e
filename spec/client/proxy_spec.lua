-- A client's proxies on the wire: HTTP CONNECT (RFC 9110 section 9.3.6) and SOCKS5 (RFC 1928, RFC 1929), and what is
-- told of every answer that opens no tunnel. The scene's server plays the proxy, and behind it the origin.
local certificates = require "spec.support.certificates"
local client_scene = require "spec.support.client_scene"
local moonsocket = require "moonsocket"
local outcome = require "spec.support.outcome"
local program = require "spec.support.program"
local raw = require "raw"
local raw_server = require "spec.support.raw_server"
local stage = require "spec.support.stage"

local response, sized = raw_server.response, raw_server.sized

-- Nobody could resolve it here.
local ORIGIN = "ws://origin.invalid/chat?x=1"

local SIGUSR1 = 10

local OK = "HTTP/1.1 200 Connection established\r\n\r\n"
local BOUND = "\5\0\0\1\127\0\0\1\0\0"
local SOCKS_REQUEST = "\5\1\0\3\14origin.invalid\0\80"

local function connect_request(authority, authorization)
  return ("CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n"):format(authority, authority,
    authorization and "Proxy-Authorization: " .. authorization .. "\r\n" or "")
end

-- What is said between the client and each kind of proxy: scheme, user, and each question with its answer.
local conversations = {
  ["HTTP"] = { scheme = "http", { connect_request "origin.invalid:80", OK } },
  ["HTTP with a user"] = {
    scheme = "http", user = "Aladdin:open%20sesame@",
    { connect_request("origin.invalid:80", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), OK },
  },
  ["SOCKS5"] = { scheme = "socks5", { "\5\1\0", "\5\0" }, { SOCKS_REQUEST, BOUND } },
  ["SOCKS5 with a user"] = {
    scheme = "socks5", user = "ann:s%20cret@",
    { "\5\2\0\2", "\5\2" }, { "\1\3ann\6s cret", "\1\0" }, { SOCKS_REQUEST, BOUND },
  },
  ["SOCKS5 with a user that it does not ask for"] = {
    scheme = "socks5", user = "ann:s%20cret@", { "\5\2\0\2", "\5\0" }, { SOCKS_REQUEST, BOUND },
  },
}

-- What the proxy does that leaves, by what is said of it.
local LEAVES = {
  closed = raw_server.fin,
  reset = function(connection)
    connection:reset()
    connection.ended = "reset"
  end,
}

-- The proxy's part: reads each question, which must be just that, and answers it.
local function converse(connection, conversation, send)
  for _, step in ipairs(conversation) do
    assert.equal(step[1], connection:read(#step[1]))
    assert((send or connection.send)(connection, step[2]))
  end
end

local function with(options, scheme, user, port)
  local all = { proxy = ("%s://%s127.0.0.1:%d"):format(scheme, user or "", port) }
  for name, value in pairs(options or {}) do all[name] = value end
  return all
end

-- Connects through the scene's server while it plays script(connection); returns as s:meet.
local function meet(s, conversation, script, options, url)
  return s:meet(script, with(options, conversation.scheme, conversation.user, s.server.port), url or ORIGIN)
end

-- Opens a connection through the proxy; returns as s:open.
local function open(s, conversation, options)
  local ws, record = meet(s, conversation, function(connection)
    converse(connection, conversation)
    connection:upgrade()
  end, options)
  assert(ws, record)
  return ws, s.connections[#s.connections], record
end

local function says(message, ...)
  for _, word in ipairs { ... } do
    assert(message:find(word, 1, true), ("%q does not say %q"):format(message, word))
  end
  for _, secret in ipairs { "sesame", "cret", "QWxhZGRpb" } do
    assert.is_nil(message:find(secret, 1, true), message)
  end
end

-- What connect returns where the proxy plays script(connection); in the end we close TCP.
local function refusal(conversation, script, options, url)
  local ws, message, answer
  client_scene.play(function(s)
    ws, message, answer = meet(s, conversation, function(connection)
      script(connection)
      local _, tcp = connection:read_rest()
      assert.not_equal("timeout", tcp)
    end, options, url)
  end)
  assert.is_nil(ws)
  return message, answer
end

-- The proxy answers the question of that number with other bytes.
local function answering(conversation, number, bytes)
  return function(connection)
    for i = 1, number do
      assert.equal(conversation[i][1], connection:read(#conversation[i][1]))
      assert(connection:send(i == number and bytes or conversation[i][2]))
    end
  end
end

describe("a connection is opened through", function()
  for name, conversation in pairs(conversations) do
    for way, send in pairs { ["in one piece"] = raw_server.send, ["byte by byte"] = raw_server.drip } do
      it(("%s, whose answers come %s"):format(name, way), function()
        client_scene.play(function(s)
          local ws, record, _, request = meet(s, conversation, function(connection)
            converse(connection, conversation, send)
            return connection:upgrade()
          end)
          assert(ws, record)
          assert.same({ "/chat?x=1", { "origin.invalid" } }, { request.target, request.headers.host })
          assert.is_nil(request.headers["proxy-authorization"])
          assert.equal("127.0.0.1:" .. s.server.port, ws.request.remote_address)
          local connection = s.connections[1]
          connection:send(raw_server.text "hello")
          assert.same({ "hello", "text" }, { ws:receive() })
          ws:send "there"
          assert.equal("text there", raw_server.describe(connection:read_frame()))
          connection:send(raw_server.close(4001, "bye"))
          assert.same(outcome.answered(4001, "bye"), s:outcome(connection, record))
        end)
      end)
    end
  end

  local function http_origins(url, authority)
    return url, { scheme = "http", { connect_request(authority), OK } }
  end
  local function socks_origins(url, request)
    return url, { scheme = "socks5", { "\5\1\0", "\5\0" }, { "\5\1\0" .. request, BOUND } }
  end
  local origins = {
    { http_origins("ws://origin.invalid:8080/", "origin.invalid:8080") },
    { http_origins("ws://127.0.0.9/", "127.0.0.9:80") },
    { http_origins("ws://[::9]:81/", "[::9]:81") },
    { http_origins("ws://[fe80::1%25eth0]/", "[fe80::1]:80") },
    { http_origins("ws://localhost/", "localhost:80") },
    { socks_origins("ws://origin.invalid:8080/", "\3\14origin.invalid\31\144") },
    { socks_origins("ws://127.0.0.9/", "\1\127\0\0\9\0\80") },
    { socks_origins("ws://[::9]:81/", "\4" .. ("\0"):rep(15) .. "\9\0\81") },
    { socks_origins("ws://[fe80::1%25eth0]/", "\4\xfe\x80" .. ("\0"):rep(13) .. "\1\0\80") },
    { socks_origins("ws://localhost:65535/", "\3\9localhost\255\255") },
    { socks_origins("ws://010.0.0.1/", "\3\009010.0.0.1\0\80") },
    { socks_origins("ws://" .. ("x"):rep(255) .. "/", "\3\255" .. ("x"):rep(255) .. "\0\80") },
  }
  for _, case in ipairs(origins) do
    it(("%s to %s"):format(case[2].scheme, case[1]), function()
      client_scene.play(function(s)
        local ws, message = meet(s, case[2], function(connection)
          converse(connection, case[2])
          connection:upgrade()
        end, nil, case[1])
        assert(ws, message):terminate()
      end)
    end)
  end

  local answers = {
    ["HTTP/1.0"] = "HTTP/1.0 200 OK\r\n\r\n",
    ["another 2xx"] = "HTTP/1.1 299 Fine\r\n\r\n",
    ["no reason phrase"] = "HTTP/1.1 200\r\n\r\n",
    ["header lines"] = "HTTP/1.1 200 OK\r\nVia: 1.1 x\r\nProxy-Agent: x/1 (y)\r\n\r\n",
    ["a Content-Length, which means nothing"] = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
    ["a Transfer-Encoding, which means nothing"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ["204"] = "HTTP/1.1 204 No Content\r\n\r\n",
    ["1xx before it"] = ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"):rep(3) .. OK,
  }
  for name, answer in pairs(answers) do
    it("HTTP, answered with " .. name, function()
      client_scene.play(function(s)
        open(s, { scheme = "http", { connect_request "origin.invalid:80", answer } }):terminate()
      end)
    end)
  end

  local replies = {
    ["an IPv4 address"] = BOUND, ["an IPv6 address"] = "\5\0\0\4" .. ("\1"):rep(18),
    ["a name"] = "\5\0\0\3\5proxy\1\2", ["the longest name"] = "\5\0\0\3\255" .. ("x"):rep(257),
    ["an empty name"] = "\5\0\0\3\0\1\2",
  }
  for name, reply in pairs(replies) do
    it("SOCKS5, whose reply tells " .. name, function()
      for _, send in ipairs { raw_server.send, raw_server.drip } do
        client_scene.play(function(s)
          local conversation = { scheme = "socks5", { "\5\1\0", "\5\0" }, { SOCKS_REQUEST, reply } }
          local ws, message = meet(s, conversation, function(connection)
            converse(connection, conversation, send)
            connection:upgrade()
          end)
          assert(ws, message):terminate()
        end)
      end
    end)
  end

  it("SOCKS5 with the longest user and password, or no password", function()
    local long = ("u"):rep(255)
    for user, login in pairs {
      [long .. ":" .. long .. "@"] = "\1\255" .. long .. "\255" .. long, ["token@"] = "\1\5token\0",
    } do
      client_scene.play(function(s)
        open(s, {
          scheme = "socks5h", user = user, { "\5\2\0\2", "\5\2" }, { login, "\1\0" }, { SOCKS_REQUEST, BOUND },
        }):terminate()
      end)
    end
  end)
end)

describe("bytes behind the proxy's answer are the server's:", function()
  local refused = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfull"
  for _, name in ipairs { "HTTP", "SOCKS5" } do
    local conversation = conversations[name]
    local last = conversation[#conversation][2]

    it("a server behind " .. name .. " that speaks first is heard", function()
      local message, answer = refusal(conversation, answering(conversation, #conversation, last .. refused))
      says(message, "the server answered 503")
      assert.same({ 503, "full", false }, { answer.status, answer.body, answer.by_proxy })
    end)

    it("half of its head behind " .. name .. " too", function()
      local message, answer = refusal(conversation, function(connection)
        answering(conversation, #conversation, last .. refused:sub(1, 20))(connection)
        assert.matches("^GET /chat", connection:read_head())
        connection:send(refused:sub(21))
      end)
      says(message, "the server answered 503")
      assert.equal("full", answer.body)
    end)

    it("in TLS no server speaks first: what stands in the clear behind " .. name .. " is refused", function()
      local over_tls = { scheme = conversation.scheme, table.unpack(conversation) }
      over_tls[#over_tls] = { (conversation[#conversation][1]:gsub("invalid:80", "invalid:443")
        :gsub("invalid\0\80", "invalid\1\187")), last }
      local message, answer = refusal(over_tls, answering(over_tls, #over_tls, last .. "x"), nil,
        "wss://origin.invalid/")
      says(message, "the proxy sent more than its answer, before TLS began")
      assert.is_nil(answer)
    end)
  end
end)

-- A server of ours over TLS, and behind a proxy of that kind a connection to it. Only the proxy knows where it is.
local function over_tls(certificate, conversation, url, act)
  local tls = certificates.of(certificate) -- making them takes longer than a deadline should
  client_scene.play(function(s)
    local server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
      ws:on_message(function(message, kind) ws:send(message, kind) end)
    end, { tls = tls, close_timeout = 0.5 }))
    local over, forwarding = false, 2
    local function forward(from, to)
      local bytes, wrong
      repeat
        bytes, wrong = raw.receive(from, 65536)
        while bytes and #bytes > 0 do
          local n = raw.send(to, bytes)
          if not n then wrong = "over" end
          bytes = bytes:sub((n or #bytes) + 1)
          if n == 0 then moonsocket.wait(to, "w", 0.02) end
        end
        if wrong == "wait" then moonsocket.wait(from, "r", 0.02) end
      until over or wrong and wrong ~= "wait"
      if not over then raw.fin(to) end
      forwarding = forwarding - 1
    end
    local ok, wrong = xpcall(function()
      local job = s:answer(function(connection)
        converse(connection, conversation, raw_server.drip)
        local onward = assert(raw.connect("127.0.0.1", server.port))
        moonsocket.go(forward, connection.fd, onward)
        forward(onward, connection.fd)
        s.await("the end of forwarding", function() return forwarding == 0 end)
        raw.close(onward)
      end)
      local options = { tls = { ca = certificates.path "ca.pem" } }
      local ws, record = s:connect(with(options, conversation.scheme, conversation.user, s.server.port), url)
      act(s, ws, record, function(leave)
        over = true
        s:join(job)
        leave(s.connections[1])
      end)
      over = true
      s:join(job)
    end, stage.traced)
    over = true
    server:shutdown { drain = 0 } -- else the loop would run on
    if not ok then error(wrong, 0) end
  end)
end

describe("over TLS,", function()
  teardown(certificates.remove)

  local kinds = {
    http = { scheme = "http", { connect_request "example.com:443", OK } },
    socks5 = { scheme = "socks5", { "\5\1\0", "\5\0" }, { "\5\1\0\3\11example.com\1\187", BOUND } },
  }
  for name, conversation in pairs(kinds) do
    it("the server proves to be the URL's host through " .. name, function()
      over_tls("elsewhere", conversation, "wss://example.com/", function(s, ws, record)
        assert(ws, record)
        assert(ws:send(("x"):rep(100000)))
        assert.equal(100000, #ws:receive(10))
        ws:close(4000)
        assert.same({ 4000, true, "local" }, { s:told(record).code, s:told(record).clean, s:told(record).by })
      end)
    end)

    it("another host's certificate is refused through " .. name, function()
      over_tls("localhost", conversation, "wss://example.com/", function(_, ws, message)
        assert.is_nil(ws)
        says(message, "hostname mismatch")
      end)
    end)

    for how, leave in pairs {
      ["TLS connection cut off"] = raw_server.drop, ["connection reset by peer"] = raw_server.reset,
    } do
      it(("a proxy of kind %s that goes is told: %s"):format(name, how), function()
        over_tls("elsewhere", conversation, "wss://example.com/", function(s, ws, record, cut)
          assert(ws, record)
          local got
          ws:on_message(function(message) got = message end)
          ws:send "hello"
          s.await("the echo", function() return got == "hello" end)
          cut(leave)
          assert.same({ code = 1006, reason = how, clean = false, by = "network" },
            { code = s:told(record).code, reason = record.reason, clean = record.info.clean, by = record.info.by })
        end)
      end)
    end
  end
end)

describe("in the TLS handshake behind its answer, a proxy that", function()
  local conversation = { scheme = "http", { connect_request "example.com:443", OK } }
  -- what it does, and what is told: as if the server had
  local ways = {
    { "ends TCP", raw_server.fin, "TLS connection cut off, before the handshake was answered" },
    { "resets TCP", LEAVES.reset, "connection reset by peer, before the handshake was answered" },
    { "sends no TLS", function(connection) connection:send "HTTP/1.1 200 OK\r\n\r\n" end, "TLS failed" },
    { "is silent", function() end, "no complete answer of the server within 0.5 s", { timeout = 0.5 } },
  }
  for _, way in ipairs(ways) do
    it(way[1] .. " is told of", function()
      local message, answer = refusal(conversation, function(connection)
        converse(connection, conversation)
        assert.equal("\22\3\1", connection:read(3)) -- a ClientHello (RFC 8446 section 5.1), and nothing before it
        way[2](connection)
      end, way[4], "wss://example.com/")
      says(message, way[3])
      assert.is_nil(answer)
    end)
  end
end)

describe("a refusal of an HTTP proxy is told with its response:", function()
  local http = conversations["HTTP with a user"]
  local refusals = {
    { "407", sized("407 Proxy Authentication Required", "who?", 'Proxy-Authenticate: Basic realm="x"\r\n'),
      { "407 Proxy Authentication Required" }, 407, "who?", { ["proxy-authenticate"] = 'Basic realm="x"' } },
    { "403", sized("403 Forbidden", ""), { "403 Forbidden" }, 403, "" },
    { "502 with a body", sized("502 Bad Gateway", "<html>no such host</html>"), { "502 Bad Gateway" }, 502,
      "<html>no such host</html>" },
    { "504 in chunks",
      response("504 Gateway Timeout", "Transfer-Encoding: chunked\r\n", "3\r\ntoo\r\n5\r\n late\r\n0\r\n\r\n"),
      { "504 Gateway Timeout" }, 504, "too late" },
    { "302", sized("302 Found", "", "Location: http://portal.invalid/\r\n"),
      { "302 Found", "http://portal.invalid/", "not followed" }, 302, "" },
    { "405, of a web server", "HTTP/1.0 405 Method Not Allowed\r\nContent-Length: 1\r\n\r\nx", { "405" }, 405, "x" },
    { "101, which is none to CONNECT", response("101 Switching Protocols", "Upgrade: websocket\r\n", "x"),
      { "101 Switching Protocols" }, 101, "" },
    { "403 behind a 100", "HTTP/1.1 100 Continue\r\n\r\n" .. sized("403 Forbidden", "no"), { "403" }, 403, "no" },
  }
  for _, case in ipairs(refusals) do
    local name, bytes, words, status, body, headers = table.unpack(case)
    it(name, function()
      for _, send in ipairs { raw_server.send, raw_server.drip } do
        local message, answer = refusal(http, function(connection)
          connection:read_head()
          send(connection, bytes)
        end)
        says(message, "the proxy answered", table.unpack(words))
        assert.same({ status, body, true }, { answer.status, answer.body, answer.by_proxy })
        for header, value in pairs(headers or {}) do assert.equal(value, answer.headers[header]) end
      end
    end)
  end

  it("with no more of its body than max_body", function()
    local bytes = response("502 Bad Gateway", "", ("x"):rep(1000))
    local _, answer = refusal(http, answering(http, 1, bytes), { max_body = 10 })
    assert.equal(("x"):rep(10), answer.body)
  end)

  it("with a body up to the end of TCP, or to the deadline", function()
    local _, answer = refusal(http, function(connection)
      answering(http, 1, response("502 Bad Gateway", "", "gone"))(connection)
      connection:fin()
    end)
    assert.same({ 502, "gone" }, { answer.status, answer.body })
    local message
    message, answer = refusal(http, answering(http, 1, response("502 Bad Gateway", "", "slow")), { timeout = 0.25 })
    says(message, "the proxy answered 502")
    assert.same({ 502, "slow" }, { answer.status, answer.body })
  end)

  it("and not with the one of a server behind it", function()
    local message, answer = refusal(http, function(connection)
      converse(connection, http)
      connection:read_head()
      connection:send(sized("403 Forbidden", "not you"))
    end)
    says(message, "the server answered 403")
    assert.same({ 403, "not you", false }, { answer.status, answer.body, answer.by_proxy })
  end)
end)

describe("what is no answer of an HTTP proxy is told in words:", function()
  local http = conversations["HTTP with a user"]
  local malformed = {
    ["garbage"] = { "\0\1\2\3", "not a valid HTTP response" },
    ["SOCKS5's answer"] = { "\5\xff", "not a valid HTTP response" },
    ["a TLS alert"] = { "\x15\x03\x01\0\2\2\x46", "not a valid HTTP response" },
    ["the question itself"] = { connect_request "origin.invalid:80", "not a valid HTTP response" },
    ["a bare LF"] = { "HTTP/1.1 200 OK\n\n", "line" },
    ["a folded header"] = { "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "white space" },
    ["HTTP/2"] = { "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1" },
    ["65 headers"] = { "HTTP/1.1 200 OK\r\n" .. ("X: y\r\n"):rep(65) .. "\r\n", "64 headers" },
    ["a head longer than max_head"] = { "HTTP/1.1 200 OK\r\nX: " .. ("x"):rep(8192) .. "\r\n\r\n", "too large" },
    ["a head without end"] = { "HTTP/1.1 200 OK\r\nX: " .. ("x"):rep(1 << 20), "too large" },
  }
  for name, case in pairs(malformed) do
    it(name, function()
      local message, answer = refusal(http, function(connection)
        connection:read_head()
        connection:send(case[1]) -- perhaps not all of it
      end)
      says(message, "the proxy's answer is not a valid HTTP response", case[2])
      assert.is_nil(answer)
    end)
  end
end)

describe("a refusal of a SOCKS5 proxy is told in words:", function()
  local plain, login = conversations["SOCKS5"], conversations["SOCKS5 with a user"]
  -- name, conversation, the answer that is replaced, by what, words
  local refusals = {
    { "another version", plain, 1, "\4\0", "does not speak SOCKS5" },
    { "SOCKS4's refusal", plain, 1, "\0\91", "does not speak SOCKS5" },
    { "HTTP", plain, 1, "HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak SOCKS5" },
    { "no acceptable method", plain, 1, "\5\xff", "it may want a user and password in its URL" },
    { "no acceptable method, though there is a user", login, 1, "\5\xff", "no authentication by user and password" },
    { "a method that was not offered", plain, 1, "\5\2", "was not offered" },
    { "GSSAPI", login, 1, "\5\1", "was not offered" },
    { "user or password are wrong", login, 2, "\1\1", "does not accept this user and password" },
    { "user or password are wrong, with another code", login, 2, "\1\xff", "does not accept this user and password" },
    { "another version of the login", login, 2, "\5\0", "not valid SOCKS5" },
    { "another version of the reply", plain, 2, "\4\0\0\1\0\0\0\0\0\0", "not valid SOCKS5" },
    { "a reserved byte that is set", plain, 2, "\5\0\1\1\0\0\0\0\0\0", "not valid SOCKS5" },
    { "an unknown kind of address", plain, 2, "\5\0\0\2\0\0\0\0\0\0", "not valid SOCKS5" },
    { "1", plain, 2, "\5\1\0\1\0\0\0\0\0\0", "could not connect: general failure" },
    { "2", plain, 2, "\5\2\0\1\0\0\0\0\0\0", "could not connect: its rules do not allow it" },
    { "3", plain, 2, "\5\3\0\1\0\0\0\0\0\0", "could not connect: network is unreachable" },
    { "4", plain, 2, "\5\4\0\1\0\0\0\0\0\0", "could not connect: host is unreachable" },
    { "5", plain, 2, "\5\5\0\1\0\0\0\0\0\0", "could not connect: connection refused" },
    { "6", plain, 2, "\5\6\0\1\0\0\0\0\0\0", "could not connect: TTL expired" },
    { "7", plain, 2, "\5\7\0\1\0\0\0\0\0\0", "could not connect: it does not know the command" },
    { "8", login, 3, "\5\8\0\1\0\0\0\0\0\0", "could not connect: it does not know this kind of address" },
    { "9", plain, 2, "\5\9\0\1\0\0\0\0\0\0", "could not connect: unknown failure" },
    { "255", login, 3, "\5\xff\0\1\0\0\0\0\0\0", "could not connect: unknown failure" },
    { "5, without what should follow", plain, 2, "\5\5", "could not connect: connection refused" },
  }
  for _, case in ipairs(refusals) do
    it(case[1], function()
      local message, answer = refusal(case[2], answering(case[2], case[3], case[4]))
      says(message, "the proxy", case[5])
      assert.is_nil(answer)
    end)
  end
end)

describe("a proxy that leaves before its tunnel is open is told of:", function()
  for name, conversation in pairs(conversations) do
    for how, leave in pairs(LEAVES) do
      it(("%s, %s at every byte"):format(name, how), function()
        for number, step in ipairs(conversation) do
          for cut = 0, #step[2] - 1 do
            local message, answer = refusal(conversation, function(connection)
              answering(conversation, number, step[2]:sub(1, cut))(connection)
              moonsocket.sleep(0) -- so that the bytes are read before the end of TCP
              leave(connection)
            end)
            says(message, how, "before the proxy opened a tunnel")
            assert.is_nil(answer)
          end
        end
      end)
    end
  end

  it("before it was asked", function()
    for how, leave in pairs(LEAVES) do
      says(refusal(conversations.HTTP, leave), how, "proxy")
    end
  end)

  it("and one that leaves after that is told of as the server", function()
    for _, name in ipairs { "HTTP", "SOCKS5" } do
      local message = refusal(conversations[name], function(connection)
        converse(connection, conversations[name])
        connection:read_head()
        connection:fin()
      end)
      assert.equal("connection closed by the peer, before the handshake was answered", message)
    end
  end)
end)

describe("the deadline holds", function()
  -- All at once, so that they wait together.
  for name, conversation in pairs(conversations) do
    it("while " .. name .. " is silent at a step, or the server behind it", function()
      client_scene.play({ backlog = 16 }, function(s)
        local scripts = { function(connection) converse(connection, conversation) end }
        for number, step in ipairs(conversation) do
          for cut = 0, 1 do scripts[#scripts + 1] = answering(conversation, number, step[2]:sub(1, cut)) end
        end
        local told, open_ones = {}, #scripts
        for _, script in ipairs(scripts) do
          s:answer(function(connection)
            script(connection)
            local _, tcp = connection:read_rest()
            assert.not_equal("timeout", tcp)
          end)
          moonsocket.go(function()
            local options = with({ timeout = 0.25 }, conversation.scheme, conversation.user, s.server.port)
            local _, message = s:connect(options, ORIGIN)
            told[message] = (told[message] or 0) + 1
            open_ones = open_ones - 1
          end)
        end
        s.await("the end of all", function() return open_ones == 0 end)
        assert.same({
          ["no complete answer of the proxy within 0.25 s"] = #scripts - 1,
          ["no complete answer of the server within 0.25 s"] = 1,
        }, told)
      end)
    end)
  end

  it("while an HTTP proxy goes on with 1xx", function()
    local message = refusal(conversations.HTTP, function(connection)
      connection:read_head()
      repeat moonsocket.sleep(0.001) until not connection:send "HTTP/1.1 100 Continue\r\n\r\n"
    end, { timeout = 0.05 })
    assert.equal("no complete answer of the proxy within 0.05 s", message)
  end)

  it("while TCP to the proxy does not come about", function()
    client_scene.play({ backlog = 0 }, function(s)
      local first = raw.connect("127.0.0.1", s.server.port) -- fills the backlog: further ones are not answered
      local ws, message = s:connect(with({ timeout = 0.05 }, "http", nil, s.server.port), ORIGIN)
      raw.close(first)
      assert.is_nil(ws)
      assert.equal("not connected to the proxy within 0.05 s", message)
    end)
  end)
end)

describe("a proxy that cannot be reached is named:", function()
  it("nobody listens", function()
    client_scene.play(function(s)
      s.server:stop()
      local ws, message = s:connect(with(nil, "socks5", "ann:s%20cret@", s.server.port), ORIGIN)
      assert.is_nil(ws)
      says(message, "the proxy cannot be reached", "127.0.0.1:" .. s.server.port, "refused")
    end)
  end)

  it("it has no address", function()
    client_scene.play(function(s)
      local ws, message = s:connect({ proxy = "http://nobody.invalid", timeout = 2 }, ORIGIN)
      assert.is_nil(ws)
      says(message, "proxy")
    end)
  end)
end)

describe("through a proxy on_close tells the truth:", function()
  for name, conversation in pairs(conversations) do
    it("the end of the proxy, " .. name, function()
      for how, leave in pairs {
        ["connection closed by the peer without a Close frame"] = raw_server.drop,
        ["connection reset by peer"] = raw_server.reset,
      } do
        client_scene.play(function(s)
          local ws, connection = open(s, conversation)
          local got
          ws:on_message(function(message) got = message end)
          connection:send(raw_server.text "last")
          s.await("the message", function() return got == "last" end)
          leave(connection)
          local told = s:told()
          assert.same({ 1006, how, false, "network" }, { told.code, told.reason, told.clean, told.by })
        end)
      end
    end)

    it("our own close, " .. name, function()
      client_scene.play(function(s)
        local ws, connection = open(s, conversation)
        ws:close(4000, "bye")
        assert.equal("close 4000 bye", connection.describe(connection:read_to "close"))
        connection:send(raw_server.close(4000, "ok"))
        connection:fin()
        assert.same({
          wire = {}, tcp = "fin",
          code = 4000, reason = "ok", clean = true, by = "local", sent = 4000, received = 4000,
        }, s:outcome(connection))
      end)
    end)
  end
end)

describe("while it connects through a proxy", function()
  it("the collector may run at any time", function()
    for name, conversation in pairs(conversations) do
      client_scene.play(function(s)
        local function send_between_collections(connection, bytes)
          for i = 1, #bytes do
            collectgarbage()
            assert(connection:send(bytes:sub(i, i)))
            moonsocket.sleep(0)
          end
          return true
        end
        local ws, message = meet(s, conversation, function(connection)
          converse(connection, conversation, send_between_collections)
          connection:upgrade()
        end)
        assert(ws, name .. ": " .. tostring(message)):terminate()
      end)
    end
  end)

  it("the program may end, wherever the conversation stands", function()
    for _, name in ipairs { "HTTP", "SOCKS5 with a user" } do
      local conversation = conversations[name]
      for number = 1, #conversation do
        client_scene.play(function(s)
          local options = with(nil, conversation.scheme, conversation.user, s.server.port)
          local stands = false
          local job = s:answer(function(connection)
            answering(conversation, number, conversation[number][2]:sub(1, -2))(connection)
            stands = true
            local _, tcp = connection:read_rest()
            assert.not_equal("timeout", tcp)
          end)
          program.run(function(p)
            s.await("the proxy's last word", function() return stands end)
            assert.same({ 7, {} }, { p:stop(SIGUSR1), p.lines })
          end, "-e", ([[
            local moonsocket = require "moonsocket"
            moonsocket.on_signal("USR1", function() os.exit(7, true) end)
            moonsocket.go(function() moonsocket.connect("%s", { proxy = "%s" }) end)
            moonsocket.run()]]):format(ORIGIN, options.proxy))
          s:join(job)
        end)
      end
    end
  end)

  it("others may connect through others", function()
    client_scene.play({ backlog = 128 }, function(s)
      local open_ones = 0
      for i = 1, 40 do
        local conversation = conversations[i % 2 == 0 and "HTTP" or "HTTP with a user"]
        moonsocket.go(function()
          local ws = assert(s:connect(with(nil, conversation.scheme, conversation.user, s.server.port), ORIGIN))
          open_ones = open_ones + 1
          ws:terminate()
        end)
        s:answer(function(connection)
          connection:read_head()
          connection:send(OK)
          connection:upgrade()
        end)
      end
      s.await("40 connections", function() return open_ones == 40 end)
    end)
  end)
end)

describe("the option proxy", function()
  it("means nothing to a Unix socket", function()
    local path = os.tmpname()
    os.remove(path)
    client_scene.play({ path = path }, function(s)
      for _, proxy in ipairs { "http://nobody.invalid:1", "environment" } do
        local ws, message = s:meet(function(connection) return connection:upgrade() end, { proxy = proxy })
        assert(ws, message):terminate()
      end
      os.remove(path)
    end)
  end)

  it("refuses a name that SOCKS5 has no way to say", function()
    local ws, message = moonsocket.connect("ws://" .. ("x"):rep(256) .. "/", { proxy = "socks5://127.0.0.1:1" })
    assert.is_nil(ws)
    says(message, "256 bytes")
  end)

  local mistakes = {
    [{}] = "a proxy's URL is a string, not a table",
    [false] = "a proxy's URL is a string, not a boolean",
    ["environ"] = 'a proxy\'s URL is "http://host:port" or "socks5://host:port"',
    ["127.0.0.1:3128"] = 'a proxy\'s URL is "http://host:port"',
    ["https://proxy.invalid"] = "TLS to the proxy itself (https://) is not supported",
    ["http://proxy.invalid:0"] = "the port '0' is not a number",
  }
  for value, words in pairs(mistakes) do
    it("is the caller's mistake where it is " .. tostring(value):gsub("table.*", "a table"), function()
      local ok, message = pcall(function()
        local ws = moonsocket.connect(ORIGIN, { proxy = value })
        return ws
      end)
      assert.is_false(ok)
      assert.matches("proxy_spec%.lua:%d+: connect: option 'proxy': ", message)
      says(message, words)
    end)
  end
end)

describe("proxy = \"environment\"", function()
  -- What connect returns, as a program with that environment sees it.
  local function connect_with(environment, url, script)
    local line
    client_scene.play(function(s)
      local job = script and s:answer(script)
      local command = { "env" }
      local function with_port(text) return (text:gsub("PORT", s.server.port)) end
      for name, value in pairs(environment) do command[#command + 1] = name .. "=" .. with_port(value) end
      table.move({ os.getenv "LUA" or "lua5.4", "-e", ([[
        local moonsocket = require "moonsocket"
        local ws, message = moonsocket.connect("%s", { proxy = "environment", timeout = 5 })
        print(ws and "open" or message)
        if ws then ws:terminate() end]]):format(with_port(url)) }, 1, 3, #command + 1, command)
      program.run_command(function(p)
        line = p:line()
        assert.equal(0, p:finish())
      end, command)
      if job then s:join(job) end
    end)
    return line
  end

  it("takes the proxy from there", function()
    local conversation = conversations["SOCKS5 with a user"]
    assert.equal("open", connect_with({ ALL_PROXY = "socks5h://ann:s%20cret@127.0.0.1:PORT" }, ORIGIN,
      function(connection)
        converse(connection, conversation)
        connection:upgrade()
      end))
  end)

  it("takes none to this machine itself", function()
    assert.equal("open", connect_with({ http_proxy = "http://nobody.invalid" }, "ws://127.0.0.1:PORT/",
      function(connection) connection:upgrade() end))
  end)

  it("says which variable is wrong, and no password", function()
    local line = connect_with({ https_proxy = "http://ann:s%20cret/x@h" }, "wss://origin.invalid/")
    assert.matches("^environment variable https_proxy: ", line)
    says(line)
  end)
end)
