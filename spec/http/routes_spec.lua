-- Which path is whose, over the wire: what a router answers with, and which WebSocket gets the connection.
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene"

local function plain(method, path, lines)
  return ("%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"):format(method, path, lines or "")
end

-- A router on which every route says who it is.
local function named(...)
  local router = moonsocket.router()
  for _, path in ipairs { ... } do
    router:get(path, function(request)
      local params = {}
      for name, value in pairs(request.params) do params[#params + 1] = name .. "=" .. value end
      table.sort(params)
      return ("%s {%s}"):format(path, table.concat(params, " "))
    end)
  end
  return router
end

local function says(text)
  return function(ws) ws:send(text) end
end

-- What a WebSocket that asks for the path is told first; or the status that refuses it.
local function first_of(s, path, lines)
  local p = s:connect()
  p:send(peer.request(lines, path))
  local response = assert(p:read_response())
  if response.status ~= 101 then return response.status end
  local said = peer.describe(assert(p:read_frame()))
  p:drop()
  return said
end

describe("a router's path", function()
  local rows = {
    { "/", "/ {}" }, { "/?a=b", "/ {}" }, { "http://localhost/", "/ {}" },
    { "/room/one", "/room/:name {name=one}" },
    { "/room/all", "/room/all {}" }, -- exact segments win
    { "/room/all/x", "/room/:name/:more {more=x name=all}" },
    { "/room/one/log", "/room/:name/log {name=one}" },
    { "/room/a%20b%2Fc", "/room/:name {name=a b/c}" }, { "/ro%6Fm/x", "/room/:name {name=x}" },
    { "/room/%3Aname", "/room/:name {name=:name}" },
    { "/slash/", "/slash/ {}" },
    { "/slash", 404 }, { "/room", 404 }, { "/room/", 404 }, { "/room//log", 404 }, { "/Room/one", 404 },
    { "/room/one/two/three", 404 }, { "//room/one", 404 }, { "*", 404 },
    { "/room/%zz", 400 }, { "/room/%", 400 }, { "/room/%4", 400 },
  }
  it("is matched segment by segment, percent-decoded", function()
    local router = named("/", "/room/:name", "/room/all", "/room/:name/log", "/room/:name/:more", "/slash/")
    scene.play({ table = router }, function(s)
      for _, row in ipairs(rows) do
        local response = s:refusal(plain(row[1] == "*" and "OPTIONS" or "GET", row[1]))
        assert.equal(row[2], response.status == 200 and response.body or response.status, row[1])
      end
    end)
  end)

  it("may have a page and a WebSocket", function()
    local router = named("/both"):websocket("/both", says "socket"):websocket("/only", says "only")
    scene.play({ table = router }, function(s)
      assert.equal("text socket", first_of(s, "/both"))
      assert.equal("/both {}", s:refusal(plain("GET", "/both")).body)
      assert.equal("text only", first_of(s, "/only"))
      assert.equal(404, first_of(s, "/nowhere"))
    end)
  end)

  it("with a page alone opens no WebSocket", function()
    scene.play({ table = named "/page" }, function(s) assert.equal(404, first_of(s, "/page")) end)
  end)

  it("of a WebSocket tells a plain request what it lacks", function()
    local router = moonsocket.router():websocket("/ws", says "hello")
    scene.play({ table = router }, function(s)
      local response = s:refusal(plain("GET", "/ws"))
      assert.same({ 426, "websocket", "13" },
        { response.status, response.headers.upgrade, response.headers["sec-websocket-version"] })
      assert.equal(405, s:refusal(plain("POST", "/ws")).status)
      assert.equal(505, s:refusal("GET /ws HTTP/1.0\r\n\r\n").status)
      assert.equal(400, s:refusal(plain("GET", "/ws", "Upgrade: websocket\r\n")).status)
    end)
  end)

  it("of a page takes GET and HEAD, and no body", function()
    scene.play({ table = named "/" }, function(s)
      for _, method in ipairs { "POST", "PUT", "DELETE", "OPTIONS", "PATCH" } do
        local response = s:refusal(plain(method, "/"))
        assert.same({ 405, "GET, HEAD" }, { response.status, response.headers.allow })
      end
      assert.equal(413, s:refusal(plain("GET", "/", "Content-Length: 1\r\n")).status)
      assert.equal(400, s:refusal(plain("GET", "/", "Transfer-Encoding: chunked\r\n")).status)
      assert.equal(200, s:refusal("GET / HTTP/1.0\r\n\r\n").status)
    end)
  end)
end)

describe("a route's WebSocket", function()
  it("has options of its own, which go over those of serve", function()
    local router = moonsocket.router():websocket("/small", scene.echo, { max_message = 3 })
      :websocket("/large", scene.echo)
    scene.play({ table = router, max_message = 5 }, function(s)
      for path, limit in pairs { ["/small"] = 3, ["/large"] = 5 } do
        local p = s:connect()
        p:send(peer.request("", path))
        assert.equal(101, p:read_response().status)
        p:send(peer.text(("x"):rep(limit)))
        assert.equal("text " .. ("x"):rep(limit), peer.describe(assert(p:read_frame())))
        p:send(peer.text(("x"):rep(limit + 1)))
        assert.truthy(peer.describe(assert(p:read_frame())):find("over the limit of " .. limit, 1, true))
        p:drop()
      end
    end)
  end)

  it("has its own origins, authorize and subprotocols", function()
    local router = moonsocket.router()
      :websocket("/open", says "open", { origins = "*" })
      :websocket("/closed", says "closed", { authorize = function(request)
        if request.params then return 401, request.path end
      end })
      :websocket("/chat", function(ws) ws:send(tostring(ws.subprotocol)) end, { subprotocols = { "chat" } })
    scene.play({ table = router, origins = { "http://a.example" } }, function(s)
      assert.equal("text open", first_of(s, "/open", "Origin: http://b.example\r\n"))
      assert.equal(401, first_of(s, "/closed"))
      assert.equal(403, first_of(s, "/closed", "Origin: http://b.example\r\n"))
      assert.equal("text chat", first_of(s, "/chat", "Sec-WebSocket-Protocol: chat\r\n"))
      assert.equal(403, first_of(s, "/chat", "Origin: http://b.example\r\n"))
    end)
  end)

  it("may be a callback table, and knows its parameters", function()
    local router = moonsocket.router()
      :websocket("/a/:name", { message = function(ws, message) ws:send(ws.request.params.name .. message) end })
      :websocket("/b/:name", { open = function(ws, request) ws:send(request.params.name) end })
    scene.play({ table = router }, function(s)
      assert.equal("text two", first_of(s, "/b/two"))
      local p = s:connect()
      p:send(peer.request("", "/a/one") .. peer.text "!")
      assert.equal(101, p:read_response().status)
      assert.equal("text one!", peer.describe(assert(p:read_frame())))
      p:drop()
    end)
  end)
end)

describe("a router", function()
  it("may be served more than once, each time with options of serve's", function()
    local router = moonsocket.router():websocket("/", scene.echo)
    for _, limit in ipairs { 3, 5 } do
      scene.play({ table = router, max_message = limit }, function(s)
        local p = s:open()
        p:send(peer.text(("x"):rep(limit)) .. peer.text(("x"):rep(limit + 1)))
        assert.equal("text " .. ("x"):rep(limit), peer.describe(assert(p:read_frame())))
        assert.equal(1009, assert(p:read_frame()).code)
        assert.equal(1, s.server:stats().messages_in)
        p:drop()
      end)
    end
  end)

  it("is let go with its server", function()
    local weak = setmetatable({ moonsocket.router():get("/", function() return "" end) }, { __mode = "k" })
    weak[weak[1]], weak[1] = true, nil
    scene.play({ table = next(weak) }, function(s) s:refusal(plain("GET", "/")) end)
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(weak))
  end)
end)

describe("a mistake in a route", function()
  local function nothing() end
  local rows = {
    { "is a path without a slash", function(r) r:get("x", nothing) end, "begins with '/'" },
    { "is a path with a query", function(r) r:get("/x?y", nothing) end, "has no query" },
    { "is no path", function(r) r:get(nil, nothing) end, "got nil" },
    { "is a page twice", function(r) r:get("/x", nothing):get("/x", nothing) end, "there already" },
    { "is a WebSocket twice", function(r) r:websocket("/x", nothing):websocket("/x", nothing) end, "there already" },
    { "is one path with two names", function(r) r:get("/:a", nothing):websocket("/:b", nothing) end, "other names" },
    { "is a name twice", function(r) r:get("/:a/:a", nothing) end, "stands in it twice" },
    { "is a parameter without a name", function(r) r:get("/:", nothing) end, "no name" },
    { "is a page that is no function", function(r) r:get("/x", "page") end, "function(request) expected" },
    { "is a WebSocket without a handler", function(r) r:websocket "/x" end, "websocket: a function" },
    { "is an unknown callback", function(r) r:websocket("/x", { massage = nothing }) end, "'message' meant" },
    { "is an unknown option", function(r) r:websocket("/x", nothing, { max_mesage = 1 }) end, "'max_message' meant" },
    { "is an option with a wrong value", function(r) r:websocket("/x", nothing, { max_message = "1" }) end, "bytes" },
    { "is an option of the listener", function(r) r:websocket("/x", nothing, { tls = {} }) end, "the listener's" },
    { "is a folder that is not there", function(r) r:files("/x", "/nonexistent") end, "No such file" },
    { "is a method called without the router", function(r) r.get("/x", nothing) end, "router:get" },
  }
  for _, row in ipairs(rows) do
    it(row[1] .. ", which is told where it was made", function()
      local ok, wrong = pcall(row[2], moonsocket.router())
      assert.is_false(ok)
      assert.truthy(wrong:find(row[3], 1, true), wrong)
      assert.truthy(wrong:find("routes_spec.lua:", 1, true), wrong)
    end)
  end

  it("is a route that comes after serve", function()
    local router = moonsocket.router()
    scene.play({ table = router }, function()
      assert.has_error(function() router:get("/late", nothing) end)
    end)
  end)
end)
