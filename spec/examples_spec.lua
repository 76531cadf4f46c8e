-- The examples, run as their users run them: clients come, speak and leave; SIGTERM ends each with status 0.
local cjson = require "cjson"
local peer = require "spec.support.peer"
local program = require "spec.support.program"
local raw = require "raw"

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
