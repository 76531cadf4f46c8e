-- Who may connect: the options origins and authorize, over the wire.
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene"

-- The status that a request with these header lines is answered with; an accepted one must work.
local function status_of(s, lines)
  local bytes = peer.request(lines)
  if lines:find "^Host:" then bytes = bytes:gsub("Host: localhost\r\n", "", 1) end
  local p = s:connect()
  p:send(bytes)
  local response = assert(p:read_response())
  if response.status == 101 then
    p:send(peer.text("hello"))
    assert.equal("text hello", peer.describe(assert(p:read_frame())))
  else
    assert.same({ "", "fin" }, { p:read_rest() })
  end
  p:drop()
  return response.status, response
end

-- What the server's on_error is told, in a list.
local function record_errors(s)
  local errors = {}
  s.server:on_error(function(message, traceback)
    errors[#errors + 1] = { message = message, traceback = traceback }
  end)
  return errors
end

describe("the origin", function()
  local function origin(value) return value and "Origin: " .. value .. "\r\n" or "" end

  -- option, then header lines and the status they are answered with
  local cases = {
    ["is that of the request's host unless told otherwise"] = { nil, {
      { "", 101 }, -- no browser
      { origin "http://localhost", 101 },
      { origin "https://LOCALHOST", 101 },
      { origin "http://localhost:80", 101 },
      { "Host: localhost:8080\r\n" .. origin "http://localhost:8080", 101 },
      { "Host: [::1]:8080\r\n" .. origin "http://[::1]:8080", 101 },
      { origin "http://localhost:8080", 403 },
      { "Host: localhost:8080\r\n" .. origin "http://localhost", 403 },
      { origin "http://evil.example", 403 },
      { origin "http://localhost.evil.example", 403 },
      { origin "http://evil.example/localhost", 403 },
      { origin "http://localhost@evil.example", 403 },
      { origin "localhost", 403 },
      { origin "null", 403 }, -- a sandboxed page, or a file
      { origin "", 403 },
      { origin "http://localhost" .. origin "http://localhost", 403 },
    } },
    ["is one of a list, which stands in for the request's host"] = { { "https://App.example", "http://b.example:81" }, {
      { "", 101 },
      { origin "https://app.example", 101 },
      { origin "https://APP.example", 101 },
      { origin "http://b.example:81", 101 },
      { origin "http://app.example", 403 },
      { origin "https://app.example:444", 403 },
      { origin "https://app.example.evil", 403 },
      { origin "http://b.example", 403 },
      { origin "http://localhost", 403 },
      { origin "null", 403 },
      { origin "https://app.example" .. origin "https://app.example", 403 },
    } },
    ['is any with "*"'] = { "*", {
      { "", 101 }, { origin "http://evil.example", 101 }, { origin "null", 101 },
    } },
    ["is what a function says"] = { function(value) return value == "null" or value:find "%.example$" end, {
      { "", 101 }, { origin "null", 101 }, { origin "http://a.example", 101 },
      { origin "http://localhost", 403 }, { origin "", 403 },
    } },
  }
  for what, case in pairs(cases) do
    it(what, function()
      local opened = 0
      scene.play({ origins = case[1] }, function(s)
        for _, row in ipairs(case[2]) do
          local status, response = status_of(s, row[1])
          assert.equal(row[2], status, row[1])
          if status == 403 then assert.matches("origin", response.body) else opened = opened + 1 end
        end
        assert.equal(opened, #s.records)
      end)
    end)
  end

  it("is judged by a function that may wait", function()
    local function judge()
      moonsocket.sleep(0.002)
      return true
    end
    scene.play({ origins = judge }, function(s) assert.equal(101, status_of(s, origin "http://a.example")) end)
  end)

  it("is refused where its judge fails, and the server is told", function()
    scene.play({ origins = function(value) error("no idea of " .. value, 0) end }, function(s)
      local errors = record_errors(s)
      assert.equal(500, (status_of(s, origin "http://a.example")))
      assert.equal(1, #errors)
      assert.equal("no idea of http://a.example", errors[1].message)
    end)
  end)

  it("is judged before authorize is asked", function()
    local asked = 0
    local function authorize()
      asked = asked + 1
      return true
    end
    scene.play({ authorize = authorize }, function(s)
      assert.equal(403, (status_of(s, origin "http://evil.example")))
      assert.equal(0, asked)
      assert.equal(101, (status_of(s, origin "http://localhost")))
      assert.equal(1, asked)
    end)
  end)
end)

-- One request to a server with this authorize: the response, and what on_error was told.
local function judged(authorize, options)
  local response, errors
  options = options or {}
  options.authorize = authorize
  scene.play(options, function(s)
    errors = record_errors(s)
    response = s:refusal(peer.request())
    assert.same({}, s.records)
    s.await("the books", function() return s.server:stats().refused[response.status] == 1 end)
  end)
  return response, errors
end

describe("authorize", function()
  it("that returns true lets the request in, and what it noted there", function()
    local user
    local options = {
      authorize = function(request)
        request.user = request.headers["x-user"]
        return true
      end,
      handler = function(ws, request)
        user = request.user
        ws:close()
      end,
    }
    scene.play(options, function(s)
      local p = s:open("X-User: ann\r\n")
      assert.same({ "close 1000" }, { peer.describe(p:read_frame()) })
      assert.equal("ann", user)
    end)
  end)

  -- what it returns, and of the answer: status, body and headers
  local answers = {
    { { 401, "who goes there?", { ["WWW-Authenticate"] = 'Basic realm="x"' } },
      401, "who goes there?", { ["www-authenticate"] = 'Basic realm="x"', connection = "close" } },
    { { 302, "", { Location = "/login" } }, 302, "", { location = "/login" } },
    { { 429, "later", { ["Retry-After"] = 120, ["X-Other"] = "a, b" } },
      429, "later", { ["retry-after"] = "120", ["x-other"] = "a, b" } },
    { { 403, "{}", { ["content-type"] = "application/json" } }, 403, "{}", { ["content-type"] = "application/json" } },
    { { 503 }, 503, "", { ["content-length"] = "0" } },
    { { 426, "" }, 426, "", { ["sec-websocket-version"] = "13" } },
    { { 418, ("x"):rep(100000) }, 418, ("x"):rep(100000), { ["content-length"] = "100000" } },
    { { false }, 403, "not authorized", {} },
    { {}, 403, "not authorized", {} },
  }
  for _, case in ipairs(answers) do
    local returned, status, body, headers = table.unpack(case)
    it(("that returns %s, %.20s answers so"):format(returned[1], returned[2]), function()
      local response, errors = judged(function() return table.unpack(returned) end)
      assert.equal(status, response.status)
      assert.equal(body, response.body)
      for name, value in pairs(headers) do assert.equal(value, response.headers[name], name) end
      assert.same({}, errors)
    end)
  end

  local nonsense = {
    { "yes" }, { "401" }, { 401.5 }, { 99 }, { 101 }, { 200, "fine" }, { 600 }, { {} },
    { nil, "not today" }, { nil, 1000, "bye" }, { nil, 3999 }, { nil, 5000 }, { nil, 4401, ("x"):rep(124) },
    { nil, 4401, "\xff" }, { nil, 4401, {} }, { 401, {} }, { 401, "", "X-A: b\r\n" },
  }
  for _, returned in ipairs(nonsense) do
    local what = ("%s, %s, %.20s"):format(returned[1], returned[2], returned[3]):gsub("0x%x+", "...")
    it("that returns nonsense is the server's failure: " .. what, function()
      local response, errors = judged(function() return returned[1], returned[2], returned[3] end)
      assert.equal(500, response.status)
      assert.equal(1, #errors)
      assert.matches("authorize", errors[1].message)
    end)
  end

  -- Nothing of what somebody else wrote into a header may become a header, or a body, of its own.
  local injected = {
    ["a line end in a value"] = { ["X-A"] = "1\r\nSet-Cookie: evil=1" },
    ["a bare LF in a value"] = { ["X-A"] = "1\nSet-Cookie: evil=1" },
    ["a bare CR in a value"] = { ["X-A"] = "1\rSet-Cookie: evil=1" },
    ["a whole answer in a value"] = { ["X-A"] = "1\r\n\r\nHTTP/1.1 200 OK\r\n\r\nevil=1" },
    ["a NUL in a value"] = { ["X-A"] = "1\0evil=1" },
    ["a line end in a name"] = { ["X-A: 1\r\nSet-Cookie"] = "evil=1" },
    ["a colon in a name"] = { ["Set-Cookie: evil=1; X"] = "1" },
    ["a space in a name"] = { ["X evil=1"] = "1" },
    ["no name"] = { [""] = "evil=1" },
    ["a list without names"] = { "Set-Cookie: evil=1" },
    ["a value that is a table"] = { ["Set-Cookie"] = { "evil=1" } },
    ["a length of its own"] = { ["Content-Length"] = "3" },
    ["an encoding of its own"] = { ["Transfer-Encoding"] = "chunked" },
    ["a Connection of its own"] = { connection = "keep-alive" },
    ["an Upgrade of its own"] = { Upgrade = "evil=1" },
  }
  for what, headers in pairs(injected) do
    it("cannot be made to send a header with " .. what, function()
      local response, errors = judged(function() return 401, "no", headers end)
      assert.equal(500, response.status)
      for _, bytes in ipairs { response.head, response.body } do assert.is_nil(bytes:find("evil", 1, true)) end
      assert.equal(1, #errors)
      assert.matches("header", errors[1].message)
    end)
  end

  for _, value in ipairs { "no database", { "no database" }, 42 } do
    it("that raises is the server's failure; the error may be a " .. type(value), function()
      local function authorize() error(value, 0) end
      local response, errors = judged(authorize)
      assert.equal(500, response.status)
      assert.equal("the server failed to judge the request", response.body) -- why is not the peer's business
      assert.equal(1, #errors)
      assert.equal(tostring(value), errors[1].message)
      assert.matches("stack traceback:", errors[1].traceback)
      assert.matches("admission_spec", errors[1].traceback)
    end)
  end

  it("may wait, while others are let in", function()
    local go_on = false
    local function authorize(request)
      if request.path == "/slow" then scene.await("the spec", function() return go_on end) end
      return true
    end
    scene.play({ authorize = authorize }, function(s)
      local slow = s:connect()
      slow:send(peer.request("", "/slow") .. peer.text("early"))
      assert.equal(101, (status_of(s, "")))
      assert.equal(1, s.server:stats().opened)
      go_on = true
      assert.equal(101, slow:read_response().status)
      assert.equal("text early", peer.describe(assert(slow:read_frame())))
    end)
  end)

  it("that takes longer than handshake_timeout comes too late", function()
    local over = false
    local function authorize()
      moonsocket.sleep(0.05)
      over = true
      return true
    end
    scene.play({ authorize = authorize, handshake_timeout = 0.01 }, function(s)
      assert.equal(408, s:refusal(peer.request()).status)
      assert.is_false(over)
      s.await("the end of authorize", function() return over end)
      assert.same({}, s.records)
      assert.same({ 0, 1 }, { s.server:stats().opened, s.server:stats().refused[408] })
    end)
  end)

  it("that waits when the server shuts down comes too late", function()
    local started, over = false, false
    local function authorize()
      started = true
      moonsocket.sleep(0.02)
      over = true
      return true
    end
    scene.play({ authorize = authorize }, function(s)
      local p = s:connect()
      p:send(peer.request())
      s.await("authorize", function() return started end)
      moonsocket.go(function() s.server:shutdown() end)
      assert.equal(503, p:read_response().status)
      assert.same({ "", "fin" }, { p:read_rest() })
      s.await("the end of authorize", function() return over end)
      assert.same({}, s.records)
    end)
  end)
end)

describe("a peer that leaves while authorize waits", function()
  -- A server whose authorize waits until s.decide is called.
  local function play(leave)
    local started, decided, judged_all = 0, false, 0
    local function authorize()
      started = started + 1
      scene.await("the decision", function() return decided end)
      judged_all = judged_all + 1
      return true
    end
    scene.play({ authorize = authorize }, function(s)
      local p = s:connect()
      p:send(peer.request())
      s.await("authorize", function() return started == 1 end)
      s.decide = function()
        decided = true
        s.await("the end of authorize", function() return judged_all == 1 end)
      end
      leave(s, p)
    end)
  end

  it("with FIN gets its answer; then the connection is over with 1006", function()
    play(function(s, p)
      p:fin()
      moonsocket.sleep(0.002)
      s.decide()
      assert.equal(101, p:read_response().status)
      local outcome = s:outcome(p)
      assert.same({
        wire = {}, tcp = "fin", code = 1006, clean = false, by = "network",
        reason = "connection closed by the peer without a Close frame",
      }, outcome)
    end)
  end)

  it("with RST is forgotten at once, and nothing opens", function()
    play(function(s, p)
      p:reset()
      s.await("the books", function() return s.server:stats().refused[0] == 1 end)
      s.decide()
      assert.same({ 0, 0 }, { s.server:stats().opened, s.server.count })
      assert.same({}, s.records)
    end)
  end)
end)

describe("authorize's nil and a code from 4000", function()
  for _, case in ipairs { { 4401, "token expired" }, { 4000 }, { 4999, ("x"):rep(123) } } do
    local code, reason = table.unpack(case)
    it(("upgrades and closes with it: %d"):format(code), function()
      local opened
      local options = {
        authorize = function() return nil, code, reason end,
        handler = function() opened = true end,
        subprotocols = { "chat" },
      }
      scene.play(options, function(s)
        local p = s:open("Sec-WebSocket-Protocol: chat\r\n")
        assert.equal(("close %d %s"):format(code, reason or ""):gsub(" $", ""), peer.describe(p:read_frame()))
        p:send(peer.close(code))
        assert.same({ "", "fin" }, { p:read_rest() })
        p:drop()
        s.await("the end", function() return s.server.count == 0 end)
        local stats = s.server:stats()
        assert.same({ 1, { [code] = 1 }, { ["local"] = 1 }, {} },
          { stats.opened, stats.closed, stats.closed_by, stats.refused })
        assert.is_nil(opened)
      end)
    end)
  end

  it("calls no callback of a table: to the application the connection never opened", function()
    local called = {}
    local callbacks = {}
    for _, name in ipairs { "open", "message", "close", "closing", "ping", "pong", "drain", "error" } do
      callbacks[name] = function() called[#called + 1] = name end
    end
    scene.play({ table = callbacks, authorize = function() return nil, 4401, "no" end }, function(s)
      local p = s:connect()
      p:send(peer.request() .. peer.text("hello") .. peer.ping("?") .. peer.pong("!"))
      assert.equal(101, p:read_response().status)
      assert.equal("close 4401 no", peer.describe(p:read_frame()))
      p:send(peer.ping("?") .. peer.close(4401))
      assert.same({ "", "fin" }, { p:read_rest() })
      p:drop()
      s.await("the end", function() return s.server.count == 0 end)
      assert.same({}, called)
    end)
  end)
end)
