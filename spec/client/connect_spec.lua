-- connect: the request on the wire, the answers that open a connection, and what is told of all others (RFC 6455
-- section 4.1, RFC 9112).
local client_scene = require "spec.support.client_scene"
local moonsocket = require "moonsocket"
local program = require "spec.support.program"
local raw = require "raw"
local raw_server = require "spec.support.raw_server"

local response, sized = raw_server.response, raw_server.sized

-- A script that answers the request with what make returns for it.
local function answering(make)
  return function(connection)
    connection:send(make(connection:read_request()))
  end
end

-- The request that connect sends with these options, to the scene's server or another of its URLs.
local function request_of(options, suffix)
  local request
  client_scene.play(function(s)
    local ws, _, _, seen = s:meet(function(connection) return connection:upgrade() end, options,
      suffix and s.server.url .. suffix)
    assert(ws)
    request = seen
    request.port = s.server.port
    ws:terminate()
  end)
  return request
end

describe("the request", function()
  it("is RFC 6455 section 4.1's, and no more", function()
    local request = request_of()
    assert.same({ "GET", "/" }, { request.method, request.target })
    local names = { table.unpack(request.names) }
    table.sort(names)
    assert.same({ "Connection", "Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Upgrade" }, names)
    assert.same({ "Upgrade" }, request.headers.connection)
    assert.same({ "websocket" }, request.headers.upgrade)
    assert.same({ "13" }, request.headers["sec-websocket-version"])
    assert.same({ "127.0.0.1:" .. request.port }, request.headers.host)
  end)

  it("has a key of 16 bytes in base64, another each time", function()
    local seen = {}
    client_scene.play(function(s)
      for _ = 1, 50 do
        local ws, _, _, request = s:meet(function(connection) return connection:upgrade() end)
        local key = request.headers["sec-websocket-key"][1]
        assert.matches("^" .. ("[%w+/]"):rep(21) .. "[AQgw]==$", key)
        assert.is_nil(seen[key])
        seen[key] = true
        ws:terminate()
      end
    end)
  end)

  it("has the URL's path and query", function()
    assert.equal("/chat/room%201?x=1&y=%C3%A9", request_of(nil, "/chat/room 1?x=1&y=é").target)
    assert.equal("/?x=1", request_of(nil, "?x=1").target)
  end)

  it("has the URL's host and port, and its user as authorization", function()
    client_scene.play(function(s)
      local ws, _, _, request = s:meet(function(connection) return connection:upgrade() end, nil,
        ("ws://Aladdin:open%%20sesame@LocalHost:%d/"):format(s.server.port))
      assert.same({ "localhost:" .. s.server.port }, request.headers.host)
      assert.same({ "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" }, request.headers.authorization)
      ws:terminate()
    end)
  end)

  it("has the user's headers and cookies", function()
    local headers = request_of({
      headers = { ["X-One"] = 1, Origin = "http://a.example", ["X-Many"] = { "a", "b" } },
      cookies = { session = "x=1", a = "b" },
    }).headers
    assert.same({ "1" }, headers["x-one"])
    assert.same({ "http://a.example" }, headers.origin)
    assert.same({ "a", "b" }, headers["x-many"])
    assert.same({ "a=b; session=x=1" }, headers.cookie)
  end)

  it("goes out whole, however large it is", function()
    client_scene.play(function(s)
      local value = ("0123456789abcdef"):rep(1 << 18)
      local ws, _, _, request = s:meet(function(connection)
        local pieces, tail = {}, ""
        repeat
          local piece = assert(connection:read(1)) .. connection:read(#connection.input)
          pieces[#pieces + 1] = piece
          tail = (tail .. piece):sub(-4)
        until tail == "\r\n\r\n"
        connection.input = table.concat(pieces)
        return connection:upgrade()
      end, { headers = { ["X-Large"] = value } })
      assert.is_true(request.headers["x-large"][1] == value)
      ws:terminate()
    end)
  end)

  it("has the subprotocols in their order", function()
    local headers = request_of({ subprotocols = { "v2.chat", "v1.chat" } }).headers
    assert.same({ "v2.chat, v1.chat" }, headers["sec-websocket-protocol"])
  end)
end)

describe("connect opens a connection where the answer is right:", function()
  local EARLY = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"

  -- function(request, right) -> the answer's bytes
  local answers = {
    ["byte for byte"] = function(_, right) return right end,
    ["names and values in any case"] = function(_, right)
      return right:gsub("Upgrade: websocket", "UPGRADE: WebSocket"):gsub("Connection: Upgrade", "connection: upgrade")
        :gsub("Sec%-WebSocket%-Accept", "sec-websocket-accept")
    end,
    ["white space around values, and none"] = function(_, right)
      return right:gsub("Upgrade: websocket", "Upgrade:websocket"):gsub(": Upgrade", ":\t Upgrade \t")
    end,
    ["Connection as a list"] = function(_, right) return right:gsub(": Upgrade", ": keep-alive, Upgrade") end,
    ["Connection over two lines"] = function(_, right)
      return right:gsub("Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade")
    end,
    ["no reason phrase"] = function(_, right) return right:gsub("Switching Protocols", "") end,
    ["another reason phrase"] = function(_, right) return right:gsub("Switching Protocols", "Web Socket \xe9 OK") end,
    ["headers that nobody knows"] = function(request)
      return raw_server.accepted(request, "Server: x/1 (y)\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nX-Empty:\r\n")
    end,
    ["a 100 before it"] = function(_, right) return "HTTP/1.1 100 Continue\r\n\r\n" .. right end,
    ["a 103 before it"] = function(_, right) return EARLY .. right end,
    ["many 1xx before it"] = function(_, right) return EARLY:rep(20) .. "HTTP/1.1 102 \r\n\r\n" .. right end,
  }
  for what, make in pairs(answers) do
    for way, send in pairs { ["in one piece"] = raw_server.send, ["byte by byte"] = raw_server.drip } do
      it(what .. ", " .. way, function()
        client_scene.play(function(s)
          local job = s:answer(function(connection)
            local request = connection:read_request()
            local answer = make(request, raw_server.accepted(request)) -- gsub's count is left out
            send(connection, answer)
          end)
          local ws = assert(s:connect())
          s:join(job)
          assert.same({ "open", nil, "" }, { ws.state, ws.subprotocol, ws.extensions })
          job.connection:send(raw_server.text "hello")
          assert.same({ "hello", "text" }, { ws:receive() })
          ws:send("there", "binary")
          assert.equal("binary there", raw_server.describe(job.connection:read_frame()))
          ws:terminate()
        end)
      end)
    end
  end

  it("with frames and a Close glued to it", function()
    client_scene.play(function(s)
      local ws, connection = s:open(nil, nil, raw_server.text "one" .. raw_server.ping "two"
        .. raw_server.binary "three" .. raw_server.close(4000, "four"))
      local got = {}
      ws:on_message(function(message, kind) got[#got + 1] = kind .. " " .. message end)
      assert.same({
        wire = { "pong two", "close 4000" }, tcp = "fin",
        code = 4000, reason = "four", clean = true, by = "peer", sent = 4000, received = 4000,
      }, s:outcome(connection))
      assert.same({ "text one", "binary three" }, got)
    end)
  end)

  it("with half a frame glued to it", function()
    client_scene.play(function(s)
      local frame = raw_server.text "halves"
      for cut = 1, #frame - 1 do
        local ws, connection = s:open(nil, nil, frame:sub(1, cut))
        connection:send(frame:sub(cut + 1))
        assert.equal("halves", ws:receive())
        ws:terminate()
      end
    end)
  end)

  it("with a subprotocol that was offered", function()
    client_scene.play(function(s)
      for _, name in ipairs { "v1.chat", "V2.chat" } do
        local ws = s:open({ subprotocols = { "V2.chat", "v1.chat" } }, "Sec-WebSocket-Protocol: " .. name .. "\r\n")
        assert.equal(name, ws.subprotocol)
        ws:terminate()
      end
    end)
  end)

  it("without a subprotocol, though some were offered", function()
    client_scene.play(function(s)
      local ws = s:open { subprotocols = { "v2.chat", "v1.chat" } }
      assert.is_nil(ws.subprotocol)
      ws:terminate()
    end)
  end)

  it("with a head as large as max_head", function()
    client_scene.play(function(s)
      local size = 0
      local function make(request)
        local bare = raw_server.accepted(request, "X: \r\n")
        local bytes = raw_server.accepted(request, "X: " .. ("x"):rep(1000 - #bare) .. "\r\n")
        size = #bytes
        return bytes
      end
      local ws = assert(s:meet(answering(make), { max_head = 1000 }))
      assert.equal(1000, size)
      ws:terminate()
    end)
  end)
end)

-- What connect returns where the server answers with what make(request) returns and leaves TCP open: we end it.
local function refusal(make, options)
  local ws, message, answer
  client_scene.play(function(s)
    ws, message, answer = s:meet(answering(make), options)
    local rest, tcp = s.connections[1]:read_rest()
    assert.equal("", rest)
    assert.not_equal("timeout", tcp)
  end)
  assert.is_nil(ws)
  assert.is_string(message)
  return message, answer
end

local function says(message, words)
  for _, word in ipairs(words) do
    assert(message:lower():find(word:lower(), 1, true), ("%q does not say %q"):format(message, word))
  end
end

describe("a refusal is told with the server's response:", function()
  -- name, bytes, words of the message, status, body, some headers
  local refusals = {
    { "200", sized("200 OK", "hello"), { "200" }, 200, "hello", { ["content-length"] = "5" } },
    { "204", response "204 No Content", { "204" }, 204, "" },
    { "301, which is not followed", sized("301 Moved Permanently", "", "Location: ws://other.example/\r\n"),
      { "301", "ws://other.example/", "redirect", "not followed" }, 301, "", { location = "ws://other.example/" } },
    { "302, which is not followed", sized("302 Found", "there", "Location: /login\r\n"),
      { "302", "/login", "redirect", "not followed" }, 302, "there", { Location = "/login" } },
    { "308, which is not followed", sized("308 Permanent Redirect", "", "Location: wss://h/\r\n"),
      { "308", "wss://h/", "redirect", "not followed" }, 308, "" },
    { "304", response("304 Not Modified", "Content-Length: 100\r\n"), { "304" }, 304, "" },
    { "400", sized("400 Bad Request", "bad key\n"), { "400" }, 400, "bad key\n" },
    { "401", sized("401 Unauthorized", "who?", 'WWW-Authenticate: Basic realm="x"\r\n'),
      { "401", "Unauthorized" }, 401, "who?", { ["www-authenticate"] = 'Basic realm="x"' } },
    { "403", sized("403 Forbidden", ""), { "403", "Forbidden" }, 403, "" },
    { "404", sized("404 Not Found", "<html>\0\xff</html>"), { "404", "Not Found" }, 404, "<html>\0\xff</html>" },
    { "407", sized("407 Proxy Authentication Required", "x"), { "407" }, 407, "x" },
    { "418, with a phrase of its own", sized("418 I'm a teapot", "x"),
      { "418 I'm a teapot instead of 101" }, 418, "x" },
    { "426", sized("426 Upgrade Required", "old", "Sec-WebSocket-Version: 8\r\n"),
      { "426" }, 426, "old", { ["sec-websocket-version"] = "8" } },
    { "429", sized("429 Too Many Requests", "slow down", "Retry-After: 120\r\nX-A: 1\r\nX-A: 2\r\n"),
      { "429" }, 429, "slow down", { ["retry-after"] = "120", ["X-A"] = "1, 2" } },
    { "500", sized("500 Internal Server Error", "oops"), { "500" }, 500, "oops" },
    { "503", sized("503 Service Unavailable", "later"), { "503" }, 503, "later" },
    { "503, without a phrase", sized("503 ", "later"), { "503 Service Unavailable instead" }, 503, "later" },
    { "599", sized("599 Whatever", "x"), { "599 Whatever" }, 599, "x" },
    { "599, with too long a phrase", sized("599 " .. ("y"):rep(500), "x"),
      { "599 " .. ("y"):rep(40) .. " instead of 101" }, 599, "x" },
    { "404, after a 103", "HTTP/1.1 103 Early Hints\r\n\r\n" .. sized("404 Not Found", "x"), { "404" }, 404, "x" },
    { "404 of HTTP/1.0", "HTTP/1.0 404 Not Found\r\nContent-Length: 1\r\n\r\nx", { "404" }, 404, "x" },
    { "404 in chunks",
      response("404 Not Found", "Transfer-Encoding: chunked\r\n", "3\r\nnot\r\n5;x=y\r\n here\r\n0\r\n\r\n"),
      { "404" }, 404, "not here" },
    { "404 in a chunk of 0xaB bytes, with trailers",
      response("404 Not Found", "Transfer-Encoding: CHUNKED\r\n",
        "00aB\r\n" .. ("x"):rep(171) .. "\r\n0;y\r\nA: b\r\n\r\n"),
      { "404" }, 404, ("x"):rep(171) },
    { "404 in no chunks", response("404 Not Found", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
      { "404" }, 404, "" },
    { "404 in chunks that are none", response("404 Not Found", "Transfer-Encoding: chunked\r\n", "3\r\nnot\r\nx\r\n"),
      { "404" }, 404, "not" },
    { "404 in a chunk of too many bytes",
      response("404 Not Found", "Transfer-Encoding: chunked\r\n", ("f"):rep(40) .. "\r\nx"), { "404" }, 404, "" },
    { "404, and a response behind it", sized("404 Not Found", "one") .. sized("200 OK", "two"), { "404" }, 404, "one" },
  }
  for _, case in ipairs(refusals) do
    local name, bytes, words, status, body, headers = table.unpack(case)
    it(name, function()
      local message, answer = refusal(function() return bytes end)
      says(message, words)
      assert.same({ status, body }, { answer.status, answer.body })
      for header, value in pairs(headers or {}) do assert.equal(value, answer.headers[header], header) end
    end)
  end

  it("byte by byte", function()
    for _, bytes in ipairs {
      sized("401 Unauthorized", "who?"),
      response("401 Unauthorized", "Transfer-Encoding: chunked\r\n", "3\r\nwho\r\n1\r\n?\r\n0\r\n\r\n"),
    } do
      client_scene.play(function(s)
        local ws, message, answer = s:meet(function(connection)
          connection:read_request()
          connection:drip(bytes)
        end)
        assert.is_nil(ws)
        says(message, { "401" })
        assert.same({ 401, "who?" }, { answer.status, answer.body })
      end)
    end
  end)

  it("with a body up to the end of TCP", function()
    client_scene.play(function(s)
      local _, message, answer = s:meet(function(connection)
        connection:read_request()
        connection:send(response("401 Unauthorized", "", "who"))
        connection:send "?"
        connection:fin()
      end)
      says(message, { "401" })
      assert.same({ 401, "who?" }, { answer.status, answer.body })
    end)
  end)

  it("with what came of a body that was cut off", function()
    for _, body in ipairs {
      response("401 Unauthorized", "Content-Length: 100\r\n", "who?"),
      response("401 Unauthorized", "Transfer-Encoding: chunked\r\n", "64\r\nwho?"),
      response("401 Unauthorized", "Transfer-Encoding: chunked\r\n", "4\r\nwho?"),
    } do
      for how, cut in pairs { fin = raw_server.fin, timeout = function() end } do
        client_scene.play(function(s)
          local _, message, answer = s:meet(function(connection)
            connection:read_request()
            connection:send(body)
            cut(connection)
          end, { timeout = how == "timeout" and 0.05 or nil })
          says(message, { "401" })
          assert.same({ 401, "who?" }, { answer.status, answer.body }, how)
        end)
      end
    end
  end)

  it("with no more of its body than max_body", function()
    local body = ("0123456789abcdef"):rep(8192)
    for _, bytes in ipairs {
      sized("503 Service Unavailable", body), response("503 Service Unavailable", "", body),
      response("503 Service Unavailable", "Transfer-Encoding: chunked\r\n", ("%x\r\n%s\r\n"):format(#body, body)),
    } do
      local _, answer = refusal(function() return bytes end)
      assert.equal(body:sub(1, 65536), answer.body)
      _, answer = refusal(function() return bytes end, { max_body = 10 })
      assert.equal("0123456789", answer.body)
      _, answer = refusal(function() return bytes end, { max_body = 0 })
      assert.same({ 503, "" }, { answer.status, answer.body })
    end
  end)

  it("with a body that is announced and never ends", function()
    local _, answer = refusal(function()
      return response("503 Service Unavailable", "Content-Length: 999999999999999999\r\n", ("x"):rep(100))
    end, { max_body = 50 })
    assert.equal(50, #answer.body)
  end)
end)

-- A right answer, changed once; the pattern must be there.
local function change(pattern, replacement)
  return function(request)
    local bytes, n = raw_server.accepted(request):gsub(pattern, (replacement:gsub("%%", "%%%%")), 1)
    assert(n == 1, pattern)
    return bytes
  end
end

local function add(lines)
  return function(request) return raw_server.accepted(request, lines) end
end

local function bytes(text)
  return function() return text end
end

describe("a wrong answer is told in words:", function()
  -- name, the answer, words of the message
  local wrong_101s = {
    { "no Upgrade", change("Upgrade: websocket\r\n", ""), { "Upgrade" } },
    { "an Upgrade to something else", change("websocket", "h2c"), { "Upgrade" } },
    { "a list of Upgrades", change("websocket", "websocket, h2c"), { "Upgrade" } },
    { "no Connection", change("Connection: Upgrade\r\n", ""), { "Connection" } },
    { "Connection: close", change("Connection: Upgrade", "Connection: close"), { "Connection" } },
    { "no Accept", change("Sec%-WebSocket%-Accept: [^\r]*\r\n", ""), { "Sec-WebSocket-Accept" } },
    { "an empty Accept", change("Accept: [^\r]*", "Accept:"), { "Sec-WebSocket-Accept" } },
    { "another key's Accept", change("Accept: [^\r]*", "Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
      { "Sec-WebSocket-Accept" } },
    { "an Accept in lower case", function(request)
      return (raw_server.accepted(request):gsub("Accept: [^\r]*", string.lower))
    end, { "Sec-WebSocket-Accept" } },
    { "the key as Accept", function(request)
      local key = request.headers["sec-websocket-key"][1]
      return (raw_server.accepted(request):gsub("Accept: [^\r]*", "Accept: " .. key:gsub("%%", "%%%%")))
    end, { "Sec-WebSocket-Accept" } },
    { "two Accepts", add "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", { "Sec-WebSocket-Accept" } },
    { "an extension that nobody asked for", add "Sec-WebSocket-Extensions: permessage-deflate\r\n", { "extension" } },
    { "a subprotocol that nobody asked for", add "Sec-WebSocket-Protocol: chat\r\n", { "protocol" } },
  }
  for _, case in ipairs(wrong_101s) do
    it("a 101 with " .. case[1], function()
      local message, answer = refusal(case[2])
      says(message, case[3])
      assert.same({ 101, "" }, { answer.status, answer.body })
    end)
  end

  local offered = {
    { "a subprotocol that was not offered", "chat" }, { "one in another case", "V1.chat" },
    { "two of those that were", "v1.chat, v2.chat" }, { "two lines", "v1.chat\r\nSec-WebSocket-Protocol: v1.chat" },
    { "an empty one", "" },
  }
  for _, case in ipairs(offered) do
    it("a 101 with " .. case[1], function()
      local message, answer = refusal(add("Sec-WebSocket-Protocol: " .. case[2] .. "\r\n"),
        { subprotocols = { "v1.chat", "v2.chat" } })
      says(message, { "protocol" })
      assert.equal(101, answer.status)
    end)
  end

  it("a 101 of HTTP/1.0", function()
    says(refusal(change("HTTP/1.1", "HTTP/1.0")), { "HTTP/1.0" })
  end)

  local malformed = {
    { "a folded header", change("Upgrade: websocket", "Upgrade:\r\n websocket"), { "white space" } },
    { "bare LF throughout", function(request)
      return (raw_server.accepted(request):gsub("\r\n", "\n"))
    end, { "line" } },
    { "a bare LF behind one header", change("websocket\r\n", "websocket\n"), { "line" } },
    { "a bare CR", change("websocket", "web\rsocket"), { "line" } },
    { "a NUL in a value", change("websocket", "websocket\0"), { "control" } },
    { "a NUL in a name", change("Connection", "Connec\0tion"), { "name" } },
    { "a space before the colon", change("Connection:", "Connection :"), { "colon" } },
    { "a header without a colon", add "X-Broken\r\n", { "colon" } },
    { "an empty name", add ": x\r\n", { "name" } },
    { "65 headers", add(("X: y\r\n"):rep(62)), { "64 headers" } },
    { "a head of 1 MB", add("X: " .. ("x"):rep(1 << 20) .. "\r\n"), { "too large" } },
    { "a head of 1 MB in short lines", function(request)
      return raw_server.accepted(request, ("X-" .. ("x"):rep(16300) .. ": y\r\n"):rep(64))
    end, { "large" } },
    { "HTTP/2", bytes "HTTP/2 101 Switching Protocols\r\n\r\n", { "HTTP/1.1" } },
    { "HTTP/2 frames", bytes "\0\0\18\4\0\0\0\0\0\0\3\0\0\0\x80", { "HTTP version" } },
    { "a status of two digits", bytes "HTTP/1.1 10 Nearly\r\n\r\n", { "status" } },
    { "a status of four digits", bytes "HTTP/1.1 1010 More\r\n\r\n", { "status" } },
    { "a status that is no number", bytes "HTTP/1.1 OK\r\n\r\n", { "status" } },
    { "status 600", bytes "HTTP/1.1 600 Beyond\r\n\r\n", { "status" } },
    { "status 099", bytes "HTTP/1.1 099 Before\r\n\r\n", { "status" } },
    { "no HTTP at all", bytes "SSH-2.0-OpenSSH_9.2\r\n", { "HTTP" } },
    { "a TLS alert", bytes "\x15\x03\x01\0\2\2\x46", { "HTTP" } },
    { "a WebSocket frame", bytes(raw_server.text "hello"), { "HTTP" } },
    { "an empty line first", bytes "\r\nHTTP/1.1 101 \r\n\r\n", { "HTTP" } },
    { "its own request", function(request) return request.head end, { "HTTP" } },
    { "two lengths", bytes(response("404 Not Found", "Content-Length: 1\r\nContent-Length: 2\r\n", "x")),
      { "Content-Length" } },
    { "a length that is no number", bytes(response("404 Not Found", "Content-Length: x\r\n", "x")),
      { "Content-Length" } },
  }
  for _, case in ipairs(malformed) do
    it(case[1], function()
      local message, answer = refusal(case[2])
      says(message, case[3])
      says(message, { "the server's answer" }) -- whose mistake it is
      assert.is_nil(answer)
    end)
  end
end)

describe("a server that leaves before the connection is open is told of:", function()
  local right = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
  local parts = { "HTTP/1.1 1", "HTTP/1.1 101", right, right .. "\r" }

  local function ended(script)
    local ws, message, answer
    client_scene.play(function(s) ws, message, answer = s:meet(script) end)
    assert.is_nil(ws)
    assert.is_nil(answer)
    assert.is_nil(message:find("Close frame", 1, true), message) -- there is no WebSocket yet
    return message
  end

  it("FIN before the request", function()
    says(ended(function(connection) connection:fin() end), { "closed" })
  end)

  it("RST before the request", function()
    says(ended(function(connection) connection:reset() end), { "reset" })
  end)

  it("FIN after the request", function()
    says(ended(function(connection)
      connection:read_request()
      connection:fin()
    end), { "closed" })
  end)

  it("RST after the request", function()
    says(ended(function(connection)
      connection:read_request()
      connection:reset()
    end), { "reset" })
  end)

  for i, part in ipairs(parts) do
    for how, leave in pairs { closed = raw_server.fin, reset = raw_server.reset } do
      it(("%s in the head, %d"):format(how, i), function()
        says(ended(function(connection)
          connection:read_request()
          connection:send(part)
          moonsocket.sleep(0) -- so that the bytes are read before the end of TCP
          leave(connection)
        end), { how })
      end)
    end
  end

  it("FIN after a 100", function()
    says(ended(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 100 Continue\r\n\r\n"
      connection:fin()
    end), { "closed" })
  end)
end)

describe("connect fails with nil and a message where", function()
  it("nobody listens", function()
    client_scene.play(function(s)
      s.server:stop()
      local ws, message, answer = s:connect()
      assert.is_nil(ws)
      says(message, { "refused", "127.0.0.1:" .. s.server.port })
      assert.is_nil(answer)
    end)
  end)

  it("there is no such Unix socket", function()
    client_scene.play(function(s)
      local ws, message = s:connect(nil, "ws+unix:/nonexistent/a.sock:/")
      assert.is_nil(ws)
      says(message, { "no such file", "/nonexistent/a.sock" })
    end)
  end)

  it("the Unix socket's path is longer than the system takes", function()
    client_scene.play(function(s)
      local ws, message = s:connect(nil, "ws+unix:/" .. ("x"):rep(200))
      assert.is_nil(ws)
      assert.is_string(message)
    end)
  end)

  it("the host has no address", function()
    client_scene.play(function(s)
      for _, host in ipairs { "nobody.invalid", ("x"):rep(64) .. ".invalid", "a..b" } do
        local ws, message, answer = s:connect({ timeout = 2 }, "ws://" .. host .. "/")
        assert.is_nil(ws)
        assert.is_string(message)
        assert.is_nil(answer)
      end
    end)
  end)

  it("TCP does not come about in time", function()
    client_scene.play({ backlog = 0 }, function(s)
      local first = raw.connect("127.0.0.1", s.server.port) -- fills the backlog: further ones are not answered
      local ws, message = s:connect { timeout = 0.05 }
      raw.close(first)
      assert.is_nil(ws)
      says(message, { "within 0.05 s" })
    end)
  end)

  local right = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
  for where, part in pairs {
    ["there is no answer"] = "", ["the answer stops in its first line"] = "HTTP/1.1 1",
    ["the answer stops in its head"] = right, ["only a 103 comes"] = "HTTP/1.1 103 Early Hints\r\n\r\n",
  } do
    it(where .. " in time", function()
      client_scene.play(function(s)
        local ws, message, answer = s:meet(function(connection)
          connection:read_request()
          connection:send(part)
          local _, tcp = connection:read_rest()
          assert.not_equal("timeout", tcp)
        end, { timeout = 0.05 })
        assert.is_nil(ws)
        says(message, { "within 0.05 s" })
        assert.is_nil(answer)
      end)
    end)
  end

  for what, piece in pairs { ["drips"] = "x", ["goes on with 1xx"] = "HTTP/1.1 100 Continue\r\n\r\n" } do
    it("the answer " .. what .. " without end", function()
      client_scene.play(function(s)
        local ws, message = s:meet(function(connection)
          connection:read_request()
          if piece == "x" then connection:send "HTTP/1.1 101 " end
          repeat moonsocket.sleep(0.001) until not connection:send(piece)
        end, { timeout = 0.05, max_head = 1 << 20 })
        assert.is_nil(ws)
        says(message, { "within 0.05 s" })
      end)
    end)
  end
end)

describe("connect can be called", function()
  -- In a process of its own, whose loop does not run yet.
  local function with_server(lines)
    return table.concat({
      [[local moonsocket = require "moonsocket"]],
      [[local server = assert(moonsocket.serve("127.0.0.1:0", function(ws)]],
      [[  ws:on_message(function(text) ws:send("echo " .. text) end)]],
      [[end))]],
      [[local url = "ws://127.0.0.1:" .. server.port]], lines,
    }, "\n")
  end

  local function printed(lines)
    local text, status
    program.run(function(p)
      text = {}
      for line in function() return (p:line()) end do text[#text + 1] = line end
      status = p:finish()
    end, "-e", with_server(lines))
    return table.concat(text, "\n"), status
  end

  it("at top level, where it runs the loop", function()
    assert.same({ "echo hello\n1000", 0 }, { printed [[
      local ws = assert(moonsocket.connect(url))
      ws:send "hello"
      print((ws:receive()))
      ws:close()
      print((ws:wait_closed()))
      server:shutdown()]] })
  end)

  it("in a task and in a callback", function()
    assert.same({ "echo one\necho two", 0 }, { printed [[
      local function talk(text)
        local ws <close> = assert(moonsocket.connect(url))
        ws:send(text)
        print((ws:receive()))
      end
      moonsocket.run(function()
        talk "one"
        moonsocket.after(0, function()
          talk "two"
          server:shutdown()
        end)
      end)]] })
  end)

  it("but not in a coroutine that moonsocket did not start", function()
    local text, status = printed [[
      print(pcall(coroutine.wrap(function() return moonsocket.connect(url) end)))
      server:shutdown()]]
    assert.matches("^false\t.*connect cannot wait in a coroutine that moonsocket did not start", text)
    assert.equal(0, status)
  end)

  it("while many others connect", function()
    client_scene.play({ backlog = 128 }, function(s)
      local open = 0
      for i = 1, 100 do
        s:answer(function(connection) connection:upgrade() end)
        moonsocket.go(function()
          local ws = assert(s:connect(nil, s.server.url .. "/" .. i))
          open = open + 1
          ws:terminate()
        end)
      end
      s.await("100 connections", function() return open == 100 end)
    end)
  end)

  it("over a Unix socket", function()
    local path = os.tmpname()
    os.remove(path)
    client_scene.play({ path = path }, function(s)
      local ws, _, _, request = s:meet(function(connection) return connection:upgrade() end, nil,
        s.server.url .. ":/chat?x=1")
      os.remove(path)
      assert.same({ "/chat?x=1", { "localhost" } }, { request.target, request.headers.host })
      ws:terminate()
    end)
  end)
end)

describe("connect raises the mistakes of its caller:", function()
  local cases = {
    ["no URL"] = { { nil }, "connect: a URL is a string, not a nil" },
    ["a URL of HTTP"] = { { "http://127.0.0.1/" }, "connect: use ws:// instead of http:" },
    ["a fragment"] = { { "ws://127.0.0.1/#x" }, "connect: a WebSocket URL has no fragment" },
    ["an unknown option"] = { { "ws://127.0.0.1/", { timeot = 1 } },
      "connect: unknown option 'timeot': is 'timeout' meant?" },
    ["a server's option"] = { { "ws://127.0.0.1/", { backlog = 1 } }, "connect: unknown option 'backlog'" },
    ["a header of the handshake"] = { { "ws://127.0.0.1/", { headers = { Upgrade = "x" } } },
      "connect: option 'headers': 'Upgrade' cannot be given: the handshake sets it" },
    ["a line of its own in a header"] = { { "ws://127.0.0.1/", { headers = { X = "a\r\nY: b" } } },
      "connect: option 'headers': the value of 'X' has a control character" },
    ["a line of its own in a cookie"] = { { "ws://127.0.0.1/", { cookies = { x = "a\r\nY: b" } } },
      "connect: option 'cookies': the value of 'x' has a character" },
    ["a subprotocol that is no token"] = { { "ws://127.0.0.1/", { subprotocols = { "a b" } } },
      "connect: option 'subprotocols': 'a b' is not a token" },
    ["two authorizations"] = { { "ws://a:b@127.0.0.1/", { headers = { Authorization = "x" } } },
      "connect: there are both a header 'Authorization' and a user in the URL" },
  }
  for name, case in pairs(cases) do
    it(name, function()
      local ok, message = pcall(function()
        local ws = moonsocket.connect(table.unpack(case[1], 1, 2))
        return ws
      end)
      assert.is_false(ok)
      assert(message:find(case[2], 1, true), ("%q does not say %q"):format(message, case[2]))
      assert.matches("connect_spec%.lua:%d+: connect: ", message) -- the caller's line
    end)
  end
end)

describe("while it connects", function()
  it("the collector may run at any time", function()
    client_scene.play(function(s)
      local function collect()
        collectgarbage()
        moonsocket.sleep(0)
        collectgarbage()
      end
      local got
      local job = s:answer(function(connection)
        collect()
        local request = connection:read_request()
        collect()
        local head = raw_server.accepted(request)
        connection:send(head:sub(1, 40))
        collect()
        connection:send(head:sub(41))
        collect()
        connection:send(raw_server.text "hello" .. raw_server.close(1000))
        collect()
        connection:fin()
      end)
      moonsocket.go(function()
        local ws = assert(s:connect())
        ws:on_message(function(text) got = text end)
      end)
      s:join(job)
      assert.same({ 1000, true }, { s:told().code, s:told().clean })
      assert.equal("hello", got)
    end)
  end)

  it("the program may end", function()
    local path = os.tmpname()
    os.remove(path)
    local listener = raw_server.listen { path = path }
    for _, how in ipairs { "", "os.exit(true, true)", "moonsocket.run(function() moonsocket.stop() end)" } do
      program.run(function(p)
        local lines = {}
        for line in function() return (p:line()) end do lines[#lines + 1] = line end
        assert.same({ 0, {} }, { p:finish(), lines })
      end, "-e", ([[
        local moonsocket = require "moonsocket"
        moonsocket.go(function() moonsocket.connect("%s") end)
        for _ = 1, 5 do moonsocket.step() end
        %s]]):format(listener.url, how))
    end
    listener:stop()
    os.remove(path)
  end)
end)
