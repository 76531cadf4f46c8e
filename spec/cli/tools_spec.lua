-- moonsocket echo, bench and chaos.
local cjson = require "cjson"
local command = require "spec.support.command"
local moonsocket = require "moonsocket"
local program = require "spec.support.program"
local testing = require "moonsocket.testing"

local echo, with_server = command.echo, command.with_server

describe("moonsocket echo", function()
  it("says back what it hears, and tells how each connection ended", function()
    command.beside(function(self)
      local ws = assert(moonsocket.connect(self:await "^listening on (.*)$"))
      ws:send "hello"
      assert.equal("hello", ws:receive())
      ws:close(4001, "bored")
      ws:wait_closed()
      self:await '^1 The client closed with 4001, "bored", which was answered%.'
      assert.equal(0, self:stop())
    end, "echo", "127.0.0.1:0")
  end)

  it("says where it cannot listen", function()
    with_server(echo, function(_, server)
      local result = command.pipe("", "echo", server.address)
      assert.matches("^moonsocket: cannot listen on .*: Address already in use\n$", result.err)
      assert.equal(1, result.status)
    end)
    local result = command.pipe("", "echo", "nowhere")
    assert.matches("^moonsocket: echo: ", result.err)
    assert.equal(64, result.status)
  end)
end)

describe("moonsocket bench", function()
  it("measures as many messages as go, and prints a table", function()
    with_server(echo, function(url)
      local result = command.pipe("", "bench", "-c", "3", "-d", "0.1", "-s", "1000", url)
      assert.equal("", result.err)
      assert.matches("^3 connections, messages of 1000 bytes, 0%.%d s\n", result.out)
      assert.matches("\n  latency +p50 +p90 +p99 +p99%.9 +max\n", result.out)
      assert.matches("\n  3 connections ended with 1000 clean\n$", result.out)
      assert.equal(0, result.status)
    end)
  end)

  it("keeps to a rate, and has a result for programs", function()
    with_server(echo, function(url)
      local result = command.pipe("", "bench", "-c", "2", "-d", "0.2", "-r", "100", "--json", url)
      local told = cjson.decode(result.out)
      assert.same({ 20, 2, 0, { ["1000 clean"] = 2 } }, { told.messages, told.connections, told.lost, told.endings })
      assert.is_true(told.latency_us.p50 <= told.latency_us.max)
    end)
  end)

  it("counts a message's time from when it was due", function()
    local first = true
    with_server(function(ws)
      ws:on_message(function(message)
        if first then moonsocket.sleep(0.2) end -- the others wait behind it
        first = false
        ws:send(message, "binary")
      end)
    end, function(url)
      local result = command.pipe("", "bench", "-c", "1", "-d", "0.2", "-r", "100", "--json", url)
      assert.is_true(cjson.decode(result.out).latency_us.p50 > 50000)
    end)
  end)

  it("tells what did not come back, and that a connection was lost", function()
    with_server(function(ws) ws:on_message(function() ws:terminate() end) end, function(url)
      local result = command.pipe("", "bench", "-c", "2", "-d", "0.1", url)
      assert.matches("\n  2 messages did not come back\n  2 connections ended with 1006 not clean\n$", result.out)
      assert.equal(2, result.status)
    end)
  end)

  it("tells that it could not connect", function()
    local url
    with_server(echo, function(of) url = of end)
    local result = command.pipe("", "bench", url)
    assert.matches("^moonsocket: connection 1: .*connection refused\n$", result.err)
    assert.equal(1, result.status)
  end)
end)

describe("moonsocket chaos", function()
  it("finds nothing wrong with moonsocket", function()
    with_server(echo, function(url)
      local result = command.pipe("", "chaos", url)
      assert.equal("", result.err)
      assert.matches("\na Close frame with a code and a reason +4001 +end +%d+ ms +ok\n", result.out)
      assert.matches("\na reserved bit +1002 a reserved bit is set[^\n]* +end +%d+ ms +ok\n", result.out)
      assert.matches("\n(%d+) of %1 as RFC 6455 asks\n$", result.out)
      assert.equal(0, result.status)
    end)
  end)

  it("knows the endings that TLS alone has", function()
    with_server(echo, function(url)
      local result = command.pipe("", "chaos", url)
      assert.matches("\nTLS that is cut off +%- +[^\n]*ok\n", result.out)
      assert.equal(0, result.status)
    end, { tls = testing.certificate() })
  end)

  it("finds a server that answers nothing, and does not hang on it", function()
    local script = [[
      local moonsocket = require "moonsocket"
      local server = assert(moonsocket.serve("127.0.0.1:0", function(ws) ws:pause() moonsocket.sleep(60) end,
        { close_timeout = 60 }))
      print(server.url)
      io.stdout:flush()
      moonsocket.run()
    ]]
    program.run(function(server)
      local url = server:await "^(ws://.*)$"
      local result = command.pipe("", "chaos", "--timeout", "0.1", url)
      assert.matches("\na Close frame with 1000 +%- +open +%d+ ms +section 5%.5%.1: our Close frame was not answered\n",
        result.out)
      assert.equal(2, result.status)
    end, "-e", script)
  end)

  it("tells a refusal", function()
    with_server(echo, function(url)
      local result = command.pipe("", "chaos", url)
      assert.matches("^moonsocket: .*the server answered 403", result.err)
      assert.equal(1, result.status)
    end, { authorize = function() return 403 end })
  end)
end)
