-- The fields of ws, the user's own among them, and those of the request.
local moonsocket = require "moonsocket"
local scene = require "spec.support.scene"
local peer = require "spec.support.peer"

local METHODS = {
  "send", "receive", "messages", "close", "terminate", "wait_closed", "on_message", "on_close", "on_closing", "on_ping",
  "on_pong", "on_drain", "on_error", "ping", "pause", "resume", "drain",
  "subscribe", "unsubscribe", "topics", "publish",
}
local FIELDS = {
  "id", "state", "request", "subprotocol", "extensions", "buffered", "rtt", "close_code", "close_reason", "close_info",
}

-- A connection for act(ws, p, s), which runs as a task while the handler stays out of the way. lines: of the request.
local function with_connection(act, options, lines, path)
  local settings = options or {}
  settings.handler = function(ws) ws:wait_closed() end
  scene.play(settings, function(s)
    local p = s:connect()
    p:send(peer.request(lines, path))
    assert.is_truthy(assert(p:read_head()):find "^HTTP/1%.1 101 ")
    s.await("the handler", function() return s.server.count == 1 end)
    act(s.server:connections()[1], p, s)
    p:drop()
  end)
end

describe("a ws", function()
  it("has an id of its own, which counts up", function()
    local ids = {}
    for _ = 1, 2 do
      scene.play({}, function(s)
        for _ = 1, 3 do
          local p = s:open()
          s.await("the handler", function() return s.last and s.last.id ~= ids[#ids] end)
          ids[#ids + 1] = s.last.id
          p:drop()
        end
      end)
    end
    for i = 2, #ids do assert.equal(ids[i - 1] + 1, ids[i]) end
  end)

  it("has a state", function()
    local states = {}
    scene.play({
      handler = function(ws)
        states[#states + 1] = ws.state
        ws:close()
        states[#states + 1] = ws.state
        ws:wait_closed()
        states[#states + 1] = ws.state
      end,
    }, function(s)
      s.on_close = function(ws) states[#states + 1] = ws.state end
      local p = s:open()
      assert.equal("close 1000", peer.describe(p:read_frame()))
      p:send(peer.close(1000))
      s:outcome(p)
      s.await("all", function() return #states == 4 end)
    end)
    assert.same({ "open", "closing", "closed", "closed" }, states)
  end)

  it("knows how it ended, and nothing before", function()
    with_connection(function(ws, p)
      assert.same({}, { ws.close_code, ws.close_reason, ws.close_info })
      p:send(peer.close(4000, "enough"))
      p:read_all()
      assert.is_nil(ws.close_code)
      p:drop()
      ws:wait_closed()
      assert.same({ 4000, "enough" }, { ws.close_code, ws.close_reason })
      assert.same({ clean = true, by = "peer", sent = 4000, received = 4000 }, ws.close_info)
      ws.close_info.code = 1
      assert.is_nil(ws.close_info.code) -- a copy
    end)
  end)

  it("knows how it ended in on_close and in the line after the loop", function()
    local seen = {}
    scene.play({
      handler = function(ws)
        for _ in ws:messages() do error "a message" end
        seen[#seen + 1] = { ws.close_code, ws.close_reason, ws.close_info.by }
      end,
    }, function(s)
      s.on_close = function(ws) seen[#seen + 1] = { ws.close_code, ws.close_reason, ws.close_info.by } end
      local p = s:open()
      p:send(peer.close(4000, "enough"))
      s:outcome(p)
    end)
    assert.same({ { 4000, "enough", "peer" }, { 4000, "enough", "peer" } }, seen)
  end)

  it("has neither subprotocol nor extensions where none were agreed on", function()
    with_connection(function(ws)
      assert.is_nil(ws.subprotocol)
      assert.equal("", ws.extensions)
      assert.equal(0, ws.buffered)
      assert.is_nil(ws.rtt)
    end, nil, "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n")
  end)

  it("has the subprotocol that was agreed on, also after the end", function()
    with_connection(function(ws)
      assert.equal("v2.chat", ws.subprotocol)
      ws:terminate()
      ws:wait_closed()
      assert.equal("v2.chat", ws.subprotocol)
    end, { subprotocols = { "v3.chat", "v2.chat" } }, "Sec-WebSocket-Protocol: v1.chat, v2.chat\r\n")
  end)

  it("shows itself as a string", function()
    with_connection(function(ws)
      assert.equal(("moonsocket.websocket %d (open)"):format(ws.id), tostring(ws))
      ws:terminate()
      assert.equal(("moonsocket.websocket %d (closed)"):format(ws.id), tostring(ws))
    end)
  end)

  it("is the same value everywhere, and a key like any other", function()
    with_connection(function(ws, _, s)
      assert.equal(ws, s.server:connections()[1])
      local seats = { [ws] = "first row" }
      assert.equal("first row", seats[s.server:connections()[1]])
    end)
  end)

  it("has methods that can be kept and called later", function()
    with_connection(function(ws, p)
      local send = ws.send
      assert.equal(send, ws.send)
      assert.is_true(send(ws, "kept"))
      assert.equal("text kept", peer.describe(p:read_frame()))
    end)
  end)
end)

describe("a field of the user's own", function()
  it("may have any name that is not taken, and any value", function()
    with_connection(function(ws)
      local values = { "ann", 0, 0.5, true, false, {}, print, coroutine.create(print), ws, io.stdout }
      for i, value in ipairs(values) do ws["field" .. i], ws[value] = value, value end
      for i, value in ipairs(values) do assert.same({ value, value }, { ws["field" .. i], ws[value] }) end
      ws.user, ws.User, ws.USER = "a", "b", "c"
      assert.same({ "a", "b", "c" }, { ws.user, ws.User, ws.USER })
      ws.user = nil
      assert.is_nil(ws.user)
      ws[""], ws["on_"], ws["on close"], ws["\0"] = 1, 2, 3, 4
      assert.same({ 1, 2, 3, 4 }, { ws[""], ws["on_"], ws["on close"], ws["\0"] })
      for i, value in ipairs(values) do ws["field" .. i], ws[value] = nil, nil end
      assert.is_nil(ws.field1)
    end)
  end)

  it("that was not set is nil, whatever the key", function()
    with_connection(function(ws)
      assert.same({}, { ws.user, ws[1], ws[0.5], ws[true], ws[ws], ws[print], ws[{}], ws["onclose"] })
      assert.is_nil(ws[nil])
      assert.is_nil(ws[0 / 0])
    end)
  end)

  it("cannot have the key nil or NaN, as in any table", function()
    with_connection(function(ws)
      assert.matches("index is nil", select(2, pcall(function() ws[nil] = 1 end)))
      assert.matches("index is NaN", select(2, pcall(function() ws[0 / 0] = 1 end)))
      assert.equal("open", ws.state)
    end)
  end)

  it("stays after the end", function()
    with_connection(function(ws, p)
      ws.user = "ann"
      p:drop()
      ws:wait_closed()
      assert.equal("ann", ws.user)
      ws.left = true
      assert.is_true(ws.left)
    end)
  end)

  it("is each connection's own", function()
    scene.play({}, function(s)
      local a, b = s:open(), s:open()
      s.await("both", function() return s.server.count == 2 end)
      local one, two = table.unpack(s.server:connections())
      one.user = "ann"
      assert.is_nil(two.user)
      a:drop()
      b:drop()
    end)
  end)
end)

describe("assigning to", function()
  it("a method is an error that says how to call it", function()
    with_connection(function(ws)
      for _, name in ipairs(METHODS) do
        local ok, wrong = pcall(function() ws[name] = print end)
        assert.is_false(ok, name)
        local wanted = name:find "^on_" and ("%s is a method: ws:%s(fn)"):format(name, name)
          or ("%s is a method: ws:%s(...)"):format(name, name)
        assert.equal(wanted, (wrong:gsub("^[^:]*fields_spec.lua:%d+: ", "")))
        assert.is_function(ws[name])
        assert.is_false((pcall(function() ws[name] = nil end)))
      end
    end)
  end)

  it("a field of moonsocket's is an error that says so", function()
    with_connection(function(ws)
      for _, name in ipairs(FIELDS) do
        local ok, wrong = pcall(function() ws[name] = 1 end)
        assert.is_false(ok, name)
        assert.equal(name .. " is a field that moonsocket sets: choose another name",
          (wrong:gsub("^[^:]*fields_spec.lua:%d+: ", "")))
        assert.is_false((pcall(function() ws[name] = nil end)))
      end
    end)
  end)

  it("either is the same error after the end", function()
    with_connection(function(ws)
      ws:terminate()
      ws:wait_closed()
      assert.matches("on_close is a method: ws:on_close%(fn%)", select(2, pcall(function() ws.on_close = print end)))
      assert.matches("state is a field that moonsocket sets", select(2, pcall(function() ws.state = "open" end)))
    end)
  end)
end)

describe("request.headers", function()
  local LINES = "X-Many: a\r\nOrigin: http://localhost\r\nx-many:b\r\nX-MANY:   c, d  \r\nX-Empty:\r\nX-Empty: \r\n"
    .. "X-Odd.Name_1: \xe9\r\n"

  it("are found in any case, repeats joined with a comma in their order", function()
    with_connection(function(ws)
      local headers = ws.request.headers
      for _, name in ipairs { "x-many", "X-Many", "X-MANY", "x-mANY" } do
        assert.equal("a, b, c, d", headers[name], name)
      end
      assert.equal("localhost", headers.Host)
      assert.equal("http://localhost", headers.origin)
      assert.equal(", ", headers["X-Empty"])
      assert.equal("\xe9", headers["x-odd.name_1"])
      assert.equal(peer.KEY, headers["Sec-WebSocket-Key"])
      assert.equal("13", headers["sec-websocket-version"])
    end, nil, LINES)
  end)

  it("are a table with lower-case keys", function()
    with_connection(function(ws)
      local names = {}
      for name, value in pairs(ws.request.headers) do
        assert.equal(name:lower(), name)
        assert.equal("string", type(value))
        names[#names + 1] = name
      end
      table.sort(names)
      assert.same({
        "connection", "host", "origin", "sec-websocket-key", "sec-websocket-version", "upgrade", "x-empty", "x-many",
        "x-odd.name_1",
      }, names)
    end, nil, LINES)
  end)

  it("are nil where there are none of that name, whatever the name", function()
    with_connection(function(ws)
      local headers = ws.request.headers
      assert.same({}, { headers["x-none"], headers[""], headers[1], headers[true], headers[ws], headers[{}] })
      assert.is_nil(headers[nil])
      assert.is_nil(headers[("X"):rep(100000)])
    end)
  end)
end)

describe("request.cookies", function()
  local function has(lines, wanted)
    it(("of %q"):format(lines), function()
      with_connection(function(ws) assert.same(wanted, ws.request.cookies) end, nil, lines)
    end)
  end
  has("", {})
  has("Cookie: a=1\r\n", { a = "1" })
  has("Cookie: a=1; b=2;c=3 ;  d = 4\r\n", { a = "1", b = "2", c = "3", d = "4" })
  has("Cookie: a=1\r\nCookie: b=2\r\n", { a = "1", b = "2" })
  has("Cookie: a=first; a=second\r\n", { a = "first" })
  has("Cookie: quoted=\"x y\"; half=\"x; token=a=b==\r\n", { quoted = "x y", half = '"x', token = "a=b==" })
  has("Cookie: empty=; bare; =nameless; ;; last=1;\r\n", { empty = "", bare = "", last = "1" })
  has("Cookie: Case=A; case=b\r\n", { Case = "A", case = "b" })
end)

describe("request.path and request.query", function()
  local function split(target, path, query)
    it(("of %q"):format(target), function()
      with_connection(function(ws)
        assert.same({ path, query }, { ws.request.path, ws.request.query })
      end, nil, nil, target)
    end)
  end
  split("/", "/", "")
  split("/chat", "/chat", "")
  split("/chat?", "/chat", "")
  split("/chat?room=1&x=%20", "/chat", "room=1&x=%20")
  split("/a?b?c", "/a", "b?c")
  split("/%2e%2e/%00/a+b", "/%2e%2e/%00/a+b", "")
  split("/" .. ("x"):rep(4000) .. "?" .. ("y"):rep(3000), "/" .. ("x"):rep(4000), ("y"):rep(3000))
end)

describe("a request", function()
  it("tells where it came from", function()
    with_connection(function(ws)
      assert.equal("GET", ws.request.method)
      assert.matches("^127%.0%.0%.1:%d+$", ws.request.remote_address)
      assert.equal(ws.request.remote_address, ws.request.peer_address)
    end)
  end)

  it("tells that it came over a Unix socket", function()
    local path = os.tmpname()
    os.remove(path)
    with_connection(function(ws)
      assert.equal("unix:", ws.request.remote_address)
    end, { address = "unix:" .. path })
  end)

  it("shows itself as a string", function()
    with_connection(function(ws)
      assert.equal("moonsocket.request: GET /chat?x=1", tostring(ws.request))
    end, nil, nil, "/chat?x=1")
  end)

  it("is the same to authorize, the handler and ws.request, with the fields that somebody set", function()
    local seen = {}
    scene.play({
      authorize = function(request)
        request.user = "ann"
        request.headers.note = "mine"
        seen.authorized = request
        return true
      end,
      handler = function(ws, request)
        seen.equal = request == seen.authorized and request == ws.request
        seen.user, seen.note = ws.request.user, request.headers.Note
        ws:receive()
        seen.later = ws.request.user
        request.user = nil
        seen.gone = ws.request.user
      end,
    }, function(s)
      local p = s:open()
      p:send(peer.close(1000))
      s:outcome(p)
      seen.authorized = nil
    end)
    assert.same({ equal = true, user = "ann", note = "mine", later = "ann" }, seen)
  end)

  it("stays readable after the end", function()
    local kept
    scene.play({
      handler = function(ws, request)
        kept = request
        ws:wait_closed()
      end,
    }, function(s)
      local p = s:connect()
      p:send(peer.request("Cookie: a=1\r\n", "/path?query"))
      p:read_head()
      p:drop()
      s:told()
      assert.same({ "/path", "query", "1", "localhost" },
        { kept.path, kept.query, kept.cookies.a, kept.headers.host })
      assert.is_nil(kept.nothing)
      kept = nil
    end)
  end)

  it("of a refused peer may be kept, too", function()
    local kept
    scene.play({
      authorize = function(request)
        kept = request
        return 403, "no"
      end,
    }, function(s)
      assert.equal(403, s:refusal(peer.request("X-A: b\r\n", "/secret")).status)
      assert.same({ "/secret", "b" }, { kept.path, kept.headers["x-a"] })
      kept = nil
    end)
  end)
end)

describe("a server's fields", function()
  it("tell where it listens and how many are connected", function()
    local server = assert(moonsocket.serve("127.0.0.1:0", function(ws) ws:receive() end))
    assert.equal("127.0.0.1:" .. server.port, server.address)
    assert.equal("moonsocket.server " .. server.address, tostring(server))
    assert.same({ 0, nil }, { server.count, server.nothing })
    assert.same({}, { server[1], server[nil], server[server], server[0.5] })
    server:shutdown()
    assert.equal(0, server.count)
    assert.matches("^moonsocket.server ", tostring(server))
  end)
end)
