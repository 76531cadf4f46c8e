-- What a router's get gives to a plain request, and what becomes of it when its end comes in the middle.
local moonsocket = require "moonsocket"
local scene = require "spec.support.scene"

local function plain(path, method, lines)
  return ("%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"):format(method or "GET", path, lines or "")
end

-- Plays a scene whose one page is answered by fn.
local function play(fn, act, options)
  local settings = { table = moonsocket.router():get("/", fn) }
  for name, value in pairs(options or {}) do settings[name] = value end
  return (settings.tls and scene.over_tls or scene).play(settings, act)
end

describe("a page", function()
  local text = "text/plain; charset=utf-8"
  -- what the function returns; status, body, and some headers
  local rows = {
    { { "hello" }, 200, "hello", { ["content-type"] = text, ["content-length"] = "5", connection = "close" } },
    { { "" }, 200, "", { ["content-length"] = "0" } },
    { { "<p>", { ["Content-Type"] = "text/html", X = "y" } }, 200, "<p>", { ["content-type"] = "text/html", x = "y" } },
    { { 404, "no" }, 404, "no", {} },
    { { 599, "" }, 599, "", {} },
    { { 201 }, 201, "", { ["content-length"] = "0" } },
    { { 302, "", { Location = "/x" } }, 302, "", { location = "/x" } },
    { { 204, "lost" }, 204, "", {} },
    { { 304, "lost", { ETag = '"x"' } }, 304, "", { etag = '"x"' } },
    { { 205, "lost" }, 205, "", { ["content-length"] = "0" } },
    { { ("x"):rep(300000) }, 200, ("x"):rep(300000), {} },
    { { "\0\255" }, 200, "\0\255", {} },
    { { "long", { X = ("y"):rep(5000) } }, 200, "long", { x = ("y"):rep(5000) } },
  }
  it("is what the function returns", function()
    local row
    play(function() return table.unpack(row[1]) end, function(s)
      for _, each in ipairs(rows) do
        row = each
        local response = s:refusal(plain "/")
        assert.same({ row[2], row[3] }, { response.status, response.body })
        for name, value in pairs(row[4]) do assert.equal(value, response.headers[name]) end
        assert.truthy(response.headers.date:find "^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$")
      end
      for _, status in ipairs { 204, 304 } do
        row = { { status, "x" } }
        assert.is_nil(s:refusal(plain "/").headers["content-length"])
      end
    end)
  end)

  it("has no body for HEAD, but the same head", function()
    play(function(request) return request.method, { X = "y" } end, function(s)
      local p = s:connect()
      p:send(plain("/", "HEAD"))
      local head = assert(p:read_head())
      assert.truthy(head:find("Content-Length: 4\r\n", 1, true))
      assert.truthy(head:find("X: y\r\n", 1, true))
      assert.same({ "", "fin" }, { p:read_rest() })
      p:drop()
    end)
  end)

  it("is not one where the function returned something else, which on_error is told", function()
    local rows_of_wrong = {
      {}, { nil }, { true }, { {} }, { 200.5, "x" }, { 199, "x" }, { 600, "x" }, { 100, "" }, { 200, 5 }, { 200, {} },
      { "x", "y" }, { "x", 200 }, { 200, "x", "y" }, { 200, "x", {}, {} }, { "x", {}, {} },
      { "x", { ["a b"] = "c" } }, { "x", { X = "a\r\nb" } }, { "x", { X = {} } }, { "x", { ["Content-Length"] = 1 } },
      { "x", { "y" } }, { "x", { Connection = "keep-alive" } },
    }
    local row, errors
    play(function() return table.unpack(row) end, function(s)
      s.server:on_error(function(message, traceback) errors[#errors + 1] = { message, traceback } end)
      for i, each in ipairs(rows_of_wrong) do
        row, errors = each, {}
        local response = s:refusal(plain "/")
        assert.same({ 500, "the server failed to answer the request" }, { response.status, response.body }, i)
        assert.equal(1, #errors)
        assert.truthy(errors[1][1]:find("the function for / returned", 1, true), errors[1][1])
      end
    end)
  end)

  it("is a 500 where the function raised, whose traceback the client never sees", function()
    local errors = {}
    play(function() moonsocket.sleep(0) error "a secret" end, function(s)
      s.server:on_error(function(message, traceback) errors[#errors + 1] = { message, traceback } end)
      local response = s:refusal(plain "/")
      assert.equal(500, response.status)
      assert.is_nil((response.head .. response.body):find "secret")
      assert.truthy(errors[1][1]:find "a secret$")
      assert.truthy(errors[1][2]:find("page_spec.lua", 1, true))
    end)
  end)

  it("may be waited for, longer than a handshake, while others are served", function()
    local go = false
    play(function(request)
      if request.query == "now" then return "now" end
      scene.await("go", function() return go end)
      return "later"
    end, function(s)
      local p = s:connect()
      p:send(plain "/")
      moonsocket.sleep(0.1)
      assert.equal("now", s:refusal(plain "/?now").body)
      go = true
      assert.equal("later", p:read_response().body)
      p:drop()
    end, { handshake_timeout = 0.05 })
  end)

  it("survives the collector at the worst moment", function()
    play(function(request)
      collectgarbage()
      moonsocket.sleep(0)
      collectgarbage()
      return request.path .. request.headers.host
    end, function(s)
      for _ = 1, 5 do
        local p = s:connect()
        p:send(plain "/")
        collectgarbage()
        assert.equal("/localhost", p:read_response().body)
        collectgarbage()
        p:drop()
      end
    end)
  end)

  it("is counted by its status", function()
    play(function() return 201 end, function(s)
      s:refusal(plain "/")
      s:refusal(plain "/")
      s:refusal(plain "/nowhere")
      s:refusal(plain("/", "PUT"))
      scene.await("the books", function() return s.server:stats().requests[405] end)
      local stats = s.server:stats()
      assert.same({ [201] = 2, [404] = 1, [405] = 1 }, stats.requests)
      assert.same({ {}, 0, 0 }, { stats.refused, stats.opened, stats.open })
    end)
  end)

  it("counts for max_connections while it is answered", function()
    local go = false
    play(function() scene.await("go", function() return go end) return "done" end, function(s)
      local first = s:connect()
      first:send(plain "/")
      moonsocket.sleep(0.05)
      assert.equal(503, s:refusal(plain "/").status)
      go = true
      assert.equal("done", first:read_response().body)
      first:drop()
      scene.await("the first's end", function() return s.server:stats().requests[200] end)
      assert.equal(200, s:refusal(plain "/").status)
    end, { max_connections = 1 })
  end)

  it("is one for each connection: a second request is never read", function()
    local requests = 0
    play(function() requests = requests + 1 return "first" end, function(s)
      local response = s:refusal(plain "/" .. plain "/")
      assert.same({ "first", 1 }, { response.body, requests })
    end)
  end)

  it("has its metrics", function()
    scene.play({ table = moonsocket.router():metrics "/metrics" }, function(s)
      local response = s:refusal(plain "/metrics")
      assert.equal("text/plain; version=0.0.4; charset=utf-8", response.headers["content-type"])
      assert.truthy(response.body:find("moonsocket_connections_open 0", 1, true))
    end)
  end)

  it("is shown over TLS", function()
    scene.over_tls.play({ table = moonsocket.router():get("/", function() return ("x"):rep(100000) end) }, function(s)
      local p = s:connect()
      p:send(plain "/")
      assert.equal(100000, #p:read_response().body)
      p:drop()
    end)
  end)
end)

describe("a peer of a page", function()
  -- A function that waits until it is let go, and whether it has returned.
  local function waiting()
    local state = {}
    return state, function()
      state.asked = true
      scene.await("go", function() return state.go end)
      state.returned = true
      return "late"
    end
  end

  for what, leave in pairs { reset = "reset", ["close"] = "drop" } do
    it("may leave while the function waits: " .. what, function()
      local state, fn = waiting()
      play(fn, function(s)
        local p = s:connect()
        p:send(plain "/")
        scene.await("the request", function() return state.asked end)
        p[leave](p)
        if leave == "reset" then
          scene.await("the end", function() return s.server:stats().requests[0] end)
          assert.is_nil(state.returned)
        end
        state.go = true
        scene.await("the return", function() return state.returned end)
        collectgarbage()
      end)
    end)
  end

  it("may shut down writing, and gets the answer all the same", function()
    local state, fn = waiting()
    play(fn, function(s)
      local p = s:connect()
      p:send(plain "/")
      p:fin()
      scene.await("the request", function() return state.asked end)
      state.go = true
      assert.equal("late", p:read_response().body)
      assert.same({ "", "fin" }, { p:read_rest() })
      p:drop()
    end)
  end)

  it("that takes nothing is given up after send_timeout", function()
    play(function() return ("x"):rep(8000000) end, function(s)
      local p = s:connect()
      p:send(plain "/")
      scene.await("the end", function() return s.server:stats().requests[200] end)
      local rest, tcp = p:read_rest()
      assert.is_true(#rest < 8000000)
      assert.equal("reset", tcp)
    end, { send_timeout = 0.2, receive_buffer = 4096 })
  end)

  it("that goes on taking may take its time", function()
    play(function() return ("x"):rep(3000000) end, function(s)
      local p = s:connect()
      p:send(plain "/")
      local head = assert(p:read_head())
      local length = tonumber(head:match "Content%-Length: (%d+)")
      local got = 0
      while got < length do
        local n = math.min(300000, length - got)
        got = got + #assert(p:read(n))
        moonsocket.sleep(0.1)
      end
      assert.same({ "", "fin" }, { p:read_rest() })
    end, { send_timeout = 0.4, receive_buffer = 4096 })
  end)

  it("may shut down writing, and go on taking a long answer, with pauses longer than lingering lasts", function()
    play(function() return ("x"):rep(3000000) end, function(s)
      local p = s:connect()
      p:send(plain "/")
      p:fin()
      assert(p:receive_raw())
      moonsocket.sleep(2.3)
      assert.equal(3000000, #p:read_response().body)
      assert.same({ "", "fin" }, { p:read_rest() })
      p:drop()
    end, { receive_buffer = 4096 })
  end)

  it("is still answered during a shutdown, within drain", function()
    local state, fn = waiting()
    play(fn, function(s)
      local p = s:connect()
      p:send(plain "/")
      scene.await("the request", function() return state.asked end)
      local over
      moonsocket.go(function() s.server:shutdown { drain = 30 } over = true end)
      moonsocket.sleep(0.05)
      assert.is_nil(over)
      state.go = true
      assert.equal("late", p:read_response().body)
      p:drop()
      scene.await("the shutdown", function() return over end)
    end)
  end)

  it("is cut off at the end of drain", function()
    local state, fn = waiting()
    play(fn, function(s)
      local p = s:connect()
      p:send(plain "/")
      scene.await("the request", function() return state.asked end)
      moonsocket.go(function() s.server:shutdown { drain = 0.05 } end)
      local rest, tcp = p:read_rest()
      assert.same({ "", "reset" }, { rest, tcp })
      state.go = true
    end)
  end)

  it("that never ends its request is told 408", function()
    play(function() return "x" end, function(s)
      local p = s:connect()
      p:send "GET / HTTP/1.1\r\n"
      assert.equal(408, p:read_response().status)
      p:drop()
    end, { handshake_timeout = 0.1 })
  end)
end)
