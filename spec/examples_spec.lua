-- The examples, run as their users run them: clients come, speak and leave; SIGTERM ends each with status 0.
local cjson = require "cjson"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local program = require "spec.support.program"
local raw = require "raw"
local socket = require "socket"
local testing = require "moonsocket.testing"

local LISTENING = "^listening on ws://127%.0%.0%.1:(%d+)"

-- Runs an example on a free port: play(to, program), where to is what a peer connects to.
local function run(example, play)
  program.run(function(self)
    play({ port = tonumber(self:await(LISTENING)) }, self)
    if self.pid then assert.equal(0, self:stop(), table.concat(self.lines, "\n")) end
  end, example, "127.0.0.1:0")
end

-- A peer that has been upgraded for a path.
local function open(to, path)
  local p = peer.connect(to)
  p:send(peer.request("", path))
  assert(p:read_head():find "^HTTP/1%.1 101 ")
  return p
end

describe("examples/echo.lua", function()
  it("says back what it hears and tells how it ended", function()
    run("examples/echo.lua", function(to, self)
      local p = open(to)
      p:send(peer.text "hello" .. peer.binary "\0\1")
      assert.equal("hello", p:read_frame().payload)
      local frame = p:read_frame()
      assert.same({ "binary", "\0\1" }, { frame.name, frame.payload })
      p:send(peer.close(1000, "bye"))
      p:read_all()
      p:drop()
      assert.equal("closed\t1000\tbye", self:await "^closed.*")
    end)
  end)
end)

describe("examples/disconnect.lua", function()
  local function leave_with(bytes)
    return function(p)
      p:send(bytes)
      p:read_all()
      p:drop()
    end
  end

  local ways_to_leave = {
    { "a Close frame", leave_with(peer.close(1000, "bye")),
      "as it should: code 1000, reason 'bye', clean true, by peer" },
    { "an empty Close frame", leave_with(peer.close()),
      "UNEXPECTEDLY: code 1005, reason '', clean true, by peer" },
    { "the end of TCP", function(p) p:drop() end,
      "UNEXPECTEDLY: code 1006, reason 'connection closed by the peer .*', clean false, by network" },
    { "a reset", function(p) p:reset() end,
      "UNEXPECTEDLY: code 1006, reason 'connection reset by peer', clean false, by network" },
    { "nonsense", leave_with "\x83\x80\0\0\0\0",
      "UNEXPECTEDLY: code 1002, reason '.*', clean false, by local" },
  }
  for _, style in ipairs { "/callbacks", "/loop" } do
    it("notices each way to leave: " .. style, function()
      run("examples/disconnect.lua", function(to, self)
        for number, way in ipairs(ways_to_leave) do
          local name, leave, told = table.unpack(way)
          local p = open(to, style)
          p:send(peer.text "hello")
          self:await(("^client %d: says 'hello'$"):format(number))
          leave(p)
          if style == "/loop" then
            local code = told:match "code (%d+)"
            assert.equal(("client %d: the loop is over, code %s"):format(number, code), self:line(), name)
          end
          assert.matches(("^client %d: gone %s$"):format(number, told), self:line(), name)
        end
      end)
    end)
  end

  it("tells every client that it goes when it gets SIGTERM", function()
    run("examples/disconnect.lua", function(to, self)
      local callbacks, loop = open(to, "/callbacks"), open(to, "/loop")
      for _, p in ipairs { callbacks, loop } do
        p:send(peer.text "hello")
        self:await "says 'hello'$"
      end
      raw.kill(self.pid, 15)
      for _, p in ipairs { callbacks, loop } do
        assert.equal(1001, p:read_frame().code)
        leave_with(peer.close(1001))(p)
      end
      assert.equal(0, self:finish())
      local text = table.concat(self.lines, "\n")
      for number = 1, 2 do
        local gone = ("client %d: gone as it should: code 1001, reason '', clean true, by local"):format(number)
        assert.is_truthy(text:find(gone, 1, true), text)
      end
      assert.equal("every client has been told that the server goes", self.lines[#self.lines])
    end)
  end)
end)

-- A response to a GET.
local function get(to, path)
  local p = peer.connect(to)
  p:send(("GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"):format(path))
  local response = assert(p:read_response())
  p:drop()
  return response
end

-- Every file that a page asks for is there, and is let in by its policy.
local function assert_page(to, path)
  local page = get(to, path)
  assert.same({ 200, "text/html; charset=utf-8" }, { page.status, page.headers["content-type"] })
  assert.matches("^default%-src 'none'; script%-src 'self'; style%-src 'self'; connect%-src 'self';",
    page.headers["content-security-policy"])
  local files = 0
  for file in page.body:gmatch '="(page/[^"]+)"' do
    files = files + 1
    assert.equal(200, get(to, "/" .. file).status, file)
  end
  assert.equal(2, files)
  assert.is_nil(page.body:find "<script>")
  assert.is_nil(page.body:find " style=")
end

describe("examples/chat", function()
  it("passes its own spec", function()
    program.run(function(self)
      local status = self:finish()
      assert.equal(0, status, table.concat(self.lines, "\n"))
      assert.matches("[1-9]%d* successes / 0 failures / 0 errors / 0 pending", table.concat(self.lines, "\n"))
    end, "tools/busted.lua", "--ignore-lua", "--directory=examples/chat", "spec")
  end)

  it("is a server that runs, with its page", function()
    program.run(function(self)
      local to = { port = tonumber(self:await(LISTENING)) }
      assert_page(to, "/")
      local ann = open(to, "/room/lobby?name=ann")
      assert.equal('"welcome"', ann:read_frame().payload:match '"type":("%a+")')
      ann:send(peer.text '{"text": "hello"}')
      local told = ann:read_frame().payload
      assert.is_truthy(told:find('"text":"hello"', 1, true), told)
      ann:drop()
      assert.equal(0, self:stop(), table.concat(self.lines, "\n"))
    end, "-e", "package.path = 'examples/chat/?.lua;' .. package.path", "examples/chat/server.lua", "127.0.0.1:0")
  end)
end)

describe("examples/ticker", function()
  local function next_of(p) return cjson.decode(p:read_frame().payload) end

  it("tells who watches a symbol its prices so far, and those to come, and serves its page", function()
    run("examples/ticker/server.lua", function(to)
      assert_page(to, "/")
      local p = open(to, "/prices")
      p:send(peer.text "MOON")
      local all = next_of(p)
      assert.same({ "MOON", 240 }, { all.symbol, #all.prices })
      local latest = next_of(p)
      assert.same({ "MOON", "number" }, { latest.symbol, type(latest.price) })

      p:send(peer.text "TIDE")
      repeat all = next_of(p) until all.prices -- a price of MOON may have been on its way
      assert.equal("TIDE", all.symbol)
      for _ = 1, 3 do assert.equal("TIDE", next_of(p).symbol) end
      p:drop()
    end)
  end)

  it("closes with 1008 where it does not know the symbol", function()
    run("examples/ticker/server.lua", function(to)
      local p = open(to, "/prices")
      p:send(peer.text "SUN")
      assert.equal(1008, p:read_frame().code)
      p:drop()
    end)
  end)
end)

describe("examples/rpc", function()
  local PATH = "package.path = 'examples/rpc/?.lua;' .. package.path"

  -- A peer of the server: ask(text) sends it and returns the answer.
  local function with_server(play)
    program.run(function(self)
      local to = { port = tonumber(self:await(LISTENING)) }
      local p = open(to)
      play(function(text)
        p:send(peer.text(text))
        return cjson.decode(p:read_frame().payload)
      end, self, to)
      p:drop()
      assert.equal(0, self:stop(), table.concat(self.lines, "\n"))
    end, "-e", PATH, "examples/rpc/server.lua", "127.0.0.1:0")
  end

  local function request(id, method, params)
    return ('{"jsonrpc": "2.0", "id": %s, "method": "%s", "params": %s}'):format(id, method, params)
  end

  it("answers as JSON-RPC 2.0 says", function()
    with_server(function(ask)
      assert.same({ jsonrpc = "2.0", id = 1, result = 42 }, ask(request(1, "add", "[19, 23]")))
      assert.same({ jsonrpc = "2.0", id = "a", result = cjson.null }, ask(request('"a"', "log", '["x"]')))
      assert.same({ jsonrpc = "2.0", id = 2, error = {
        code = 1, message = "division by zero", data = { dividend = 1 },
      } }, ask(request(2, "divide", "[1, 0]")))
    end)
  end)

  for what, case in pairs {
    ["is no JSON"] = { '{"jsonrpc": ', -32700, cjson.null },
    ["is an empty batch"] = { "[]", -32600, cjson.null },
    ["is a number"] = { "1", -32600, cjson.null },
    ["is an answer with an error that is none"] = { '{"jsonrpc": "2.0", "id": 1, "error": 7}', -32600, cjson.null },
    ["has no version"] = { '{"id": 1, "method": "add"}', -32600, cjson.null },
    ["has a method that is no name"] = { '{"jsonrpc": "2.0", "id": 1, "method": 1}', -32600, cjson.null },
    ["has a number as params"] = { request(1, "add", "1"), -32600, cjson.null },
    ["has an unknown method"] = { request(1, "subtract", "[]"), -32601, 1 },
    ["has wrong params"] = { request(1, "add", "[1]"), -32602, 1 },
  } do
    it("answers with an error what " .. what, function()
      with_server(function(ask)
        local response = ask(case[1])
        assert.same({ case[2], case[3] }, { response.error.code, response.id })
      end)
    end)
  end

  it("answers batches, but for their notifications", function()
    with_server(function(ask, self)
      local note = '{"jsonrpc": "2.0", "method": "log", "params": ["noted"]}'
      local answers = ask("[" .. request(1, "add", "[1, 2]") .. ", " .. note .. ", 7]")
      assert.same({ 3, -32600 }, { answers[1].result, answers[2].error.code })
      assert.equal(2, #answers)
      self:await "^log: noted$"
    end)
  end)

  it("does 16 calls of a client at once, and then the next before it reads on", function()
    with_server(function(_, _, to)
      local p = open(to)
      for id = 1, 17 do p:send(peer.text(request(id, "sleep", '{"seconds": 0.05}'))) end
      p:send(peer.text(request(18, "add", "[1, 2]")))
      local last
      for _ = 1, 18 do last = cjson.decode(p:read_frame().payload).id end
      assert.equal(18, last)
      p:drop()
    end)
  end)

  describe("fails a call", function()
    local rpc = assert(loadfile "examples/rpc/rpc.lua")()

    -- What becomes of a call to a server that never answers; meanwhile(ws) happens.
    local function outcome(timeout, meanwhile)
      local server <close> = assert(testing.server(function(ws) ws:on_message(function() end) end))
      local ws <close> = assert(moonsocket.connect(server.url))
      local calls, result, failure = 0, nil, nil
      if meanwhile == "before" then
        ws:close()
        ws:wait_closed()
      end
      rpc.attach(ws, {}, timeout):call("anything", nil, function(...)
        calls, result, failure = calls + 1, ...
      end)
      if meanwhile == "after" then server:connections()[1]:terminate() end
      assert.eventually(function() return calls > 0 end)
      ws:close()
      ws:wait_closed()
      moonsocket.step()
      assert.same({ 1, nil, rpc.NO_ANSWER }, { calls, result, failure.code })
      return failure.message
    end

    it("when the connection ends", function()
      assert.matches("^the connection ended: 1006 ", outcome(30, "after"))
    end)

    it("when the connection had ended before", function()
      assert.equal("the connection is closed", outcome(30, "before"))
    end)

    it("after its timeout", function() assert.equal("no answer within 0.02 s", outcome(0.02)) end)
  end)

  it("has a client that calls, is called, and is told of calls that nobody will answer", function()
    with_server(function(_, self, to)
      local said, output = {}, nil
      program.run(function(client)
        assert.equal(0, client:finish(), table.concat(client.lines, "\n"))
        for i, line in ipairs(client.lines) do said[line] = i end
        output = table.concat(client.lines, "\n")
      end, "-e", PATH, "examples/rpc/client.lua", ("ws://127.0.0.1:%d/"):format(to.port))
      for _, line in ipairs {
        "add\t42", "divide\tfailed: 1 division by zero", "subtract\tfailed: -32601 no method subtract", "progress 1",
        "progress 2", "count\t\"counted\"",
        "add, in a batch\t3", "divide, in a batch\t0.25", "sleep\t\"slept for 0.2 s\"",
        "a call that the end comes before\tfailed: -32000 the connection ended: 1000 ",
      } do
        assert.is_truthy(said[line], line .. " is not among:\n" .. output)
      end
      assert.is_true(said["add\t42"] < said["sleep\t\"slept for 0.2 s\""])
      self:await "^log: hello from the client$"
      self:await "^log: a notification in a batch$"
    end)
  end)
end)

describe("examples/redis", function()
  local PATH = "package.path = 'examples/redis/?.lua;' .. package.path"

  local function unused_path()
    local path = os.tmpname()
    os.remove(path)
    return path
  end

  local function unused_port()
    local server <close> = assert(testing.server(function() end))
    return server.port
  end

  -- A Redis of our own: play(redis) while it runs.
  local function with_redis(address, play)
    local port = address:match ":(%d+)$"
    program.run_command(function(redis)
      redis:await "eady to accept connections"
      play(redis)
    end, {
      "redis-server", "--bind", "127.0.0.1", "--port", port or "0", "--unixsocket", not port and address or "",
      "--save", "", "--appendonly", "no", "--dir", "/tmp",
    })
  end

  -- A process of the example, of which play(to, program) is told when it is subscribed.
  local function with_server(path, play)
    program.run(function(self)
      local to = { port = tonumber(self:await(LISTENING)) }
      self:await "^subscribed$"
      play(to, self)
      assert.equal(0, self:stop(), table.concat(self.lines, "\n"))
    end, "-e", PATH, "examples/redis/server.lua", "127.0.0.1:0", path)
  end

  -- A peer that has been greeted as a visitor with this number.
  local function comes(to, number)
    local p = open(to)
    assert.equal("you are visitor " .. number, p:read_frame().payload)
    return p
  end

  local function says(p, text)
    p:send(peer.text(text))
    return p:read_frame().payload
  end

  for how, address in pairs { TCP = "127.0.0.1:" .. unused_port(), ["a Unix socket"] = unused_path() } do
    it("is one room in two processes: Redis over " .. how, function()
      with_redis(address, function()
        with_server(address, function(one)
          with_server(address, function(other)
            local ann = comes(one, 1)
            local bob = comes(other, 2)
            assert.equal("hello", says(ann, "hello"))
            assert.equal("hello", bob:read_frame().payload)
            local long = ("日"):rep(1300) .. "\r\n$-1\r\n"
            assert.equal(long, says(bob, long))
            assert.equal(long, ann:read_frame().payload)
            ann:drop()
            bob:drop()
          end)
        end)
      end)
    end)
  end

  describe("has a client of Redis, which", function()
    local redis = assert(loadfile "examples/redis/redis.lua")()

    it("takes a reply that comes byte by byte", function()
      local listener = assert(socket.bind("127.0.0.1", 0))
      moonsocket.go(function()
        moonsocket.wait(listener, "r", peer.TIMEOUT)
        local server = listener:accept()
        for byte in ("*2\r\n$5\r\nhello\r\n:17\r\n"):gmatch "." do
          server:send(byte)
          moonsocket.sleep(0.001) -- the client takes it and waits again
        end
        server:close()
      end)
      local _, port = listener:getsockname()
      assert.same({ "hello", 17 }, redis.pool("127.0.0.1:" .. port) "ANYTHING")
      listener:close()
    end)

    it("takes replies of every kind and size", function()
      local path = unused_path()
      with_redis(path, function()
        local call = redis.pool(path)
        local long = ("\r\n$-1"):rep(1 << 20)
        assert.equal("OK", call("SET", "long", long))
        assert.is_true(call("GET", "long") == long)
        assert.equal(false, (call("GET", "nothing")))
        assert.equal(2, call("RPUSH", "list", "one", ""))
        assert.same({ "one", "" }, call("LRANGE", "list", 0, -1))
        local reply, wrong = call "NONSENSE"
        assert.is_nil(reply)
        assert.matches("^ERR unknown command", wrong)
      end)
    end)

    it("keeps the commands of several tasks apart, and goes on when Redis has restarted", function()
      local path = unused_path()
      local call = redis.pool(path)
      with_redis(path, function(server)
        local replies = {}
        for number = 1, 5 do
          moonsocket.go(function() replies[number] = call("ECHO", number) end)
        end
        assert.eventually(function() return replies[1] and replies[2] and replies[3] and replies[4] and replies[5] end)
        assert.same({ "1", "2", "3", "4", "5" }, replies)
        server:stop(9)
        assert.same({ nil, "redis: closed" }, { call "PING" })
        assert.matches("^redis: cannot connect to ", select(2, call "PING"))
      end)
      os.remove(path)
      with_redis(path, function() assert.equal("PONG", call "PING") end)
    end)
  end)

  it("closes who speaks with 1013 while Redis is away, and goes on when it is back", function()
    local path = unused_path()
    with_redis(path, function(redis)
      with_server(path, function(to, self)
        local ann = comes(to, 1)
        local bob = comes(to, 2)
        assert.equal("hello", says(ann, "hello"))
        assert.equal("hello", bob:read_frame().payload)
        redis:stop(9)
        self:await "^redis: closed$"
        bob:send(peer.text "is anybody there?")
        assert.equal(1013, bob:read_frame().code)
        os.remove(path)
        with_redis(path, function()
          self:await "^subscribed$"
          assert.equal("again", says(ann, "again"))
          ann:drop()
          bob:drop()
        end)
      end)
    end)
    os.remove(path)
  end)
end)
