-- moonsocket connect: in a pipe and in a terminal, to its end and to the connection's.
local command = require "spec.support.command"
local moonsocket = require "moonsocket"
local testing = require "moonsocket.testing"

local echo, with_server = command.echo, command.with_server

describe("moonsocket connect in a pipe", function()
  it("sends lines, prints what comes, closes with 1000 and says so", function()
    local told
    with_server(function(ws)
      echo(ws)
      ws:on_close(function(code) told = code end)
    end, function(url)
      assert.same({
        status = 0, out = "one\ntwo\n\nlast\n",
        err = "We closed, and the server answered with 1000. 1000 NORMAL: all that was to be done is done.\n",
      }, command.pipe("one\ntwo\n\nlast", "connect", url))
    end)
    assert.equal(1000, told)
  end)

  it("shows binary messages in hex, and sends them if asked to", function()
    local kinds = {}
    with_server(function(ws)
      ws:on_message(function(message, kind)
        kinds[#kinds + 1] = kind
        ws:send(message, "binary")
      end)
    end, function(url)
      local result = command.pipe("a\0\xff\n", "connect", "--binary", url)
      assert.equal("binary, 3 bytes: 61 00 ff\n", result.out)
      assert.equal(0, result.status)
    end)
    assert.same({ "binary" }, kinds)
  end)

  it("does not send a line that is no text, says which, and fails", function()
    with_server(echo, function(url)
      local result = command.pipe("a\n\xff\nb\n", "connect", url)
      assert.equal("a\nb\n", result.out)
      assert.matches("line 2 is not UTF%-8, and was not sent: %-%-binary sends any bytes\n", result.err)
      assert.equal(2, result.status)
    end)
  end)

  it("takes a line of a megabyte, and many lines", function()
    with_server(echo, function(url)
      local input = ("日本"):rep(170000) .. "\n" .. ("line\n"):rep(20000)
      local result = command.pipe(input, "connect", url)
      assert.is_true(result.out == input)
      assert.equal(0, result.status)
    end, { max_message = 2 << 20, on_overflow = "wait" })
  end)

  it("sends what it is told to with the request", function()
    local request
    with_server(function(ws, r)
      request = { r.headers["x-one"], r.headers.authorization, r.path, ws.subprotocol, ws.extensions }
    end, function(url)
      local result = command.pipe("", "connect", "-H", "X-One: 1", "-H", "X-One: 2",
        "--header=Authorization: Bearer a b", "-s", "v1.chat", "--compress", url .. "/room/7")
      assert.equal(0, result.status)
    end, { subprotocols = { "v1.chat" }, compression = true })
    assert.same({ "1, 2", "Bearer a b", "/room/7", "v1.chat" }, { table.unpack(request, 1, 4) })
    assert.matches("^permessage%-deflate", request[5])
  end)

  it("waits for answers that take their time, if asked to", function()
    with_server(function(ws)
      ws:on_message(function(message)
        moonsocket.sleep(0.05)
        if ws.state == "open" then ws:send(message) end
      end)
    end, function(url)
      assert.equal("late\n", command.pipe("late\n", "connect", "--wait", "0.5", url).out)
    end)
  end)

  it("shows the handshake and pings if asked to", function()
    with_server(function(ws)
      ws:on_pong(function() ws:close(1000) end)
      ws:ping("x")
      ws:wait_closed()
    end, function(url)
      local result = command.pipe("", "connect", "-v", "--wait", "10", url)
      assert.matches("connected; subprotocol: none; extensions: none\nping of 1 bytes: answered\n", result.err)
    end)
  end)

  for _, case in ipairs {
    { "closed", function(ws) ws:close(4001, "bored") end, 0,
      'The server closed with 4001, "bored", which was answered' },
    { "dropped", function(ws) ws:on_message(function() ws:terminate() end) end, 2, "The connection was lost: " },
    { "failed", function(ws) ws:send(("x"):rep(100)) ws:on_error(function() end) error "on purpose" end, 0,
      "The server closed with 1011, \"a callback raised an error\", which was answered" },
  } do
    it("says how a connection ended that the server " .. case[1], function()
      with_server(case[2], function(url)
        local result = command.pipe("go\n", "connect", "--wait", "20", url)
        assert.matches(case[4], result.err, 1, true)
        assert.equal(case[3], result.status)
      end)
    end)
  end

  it("tells a refusal, with what the server answered", function()
    with_server(echo, function(url)
      local result = command.pipe("", "connect", url)
      assert.matches("403", result.err)
      assert.matches("x%-why: because\n", result.err)
      assert.matches("\ngo away\n", result.err)
      assert.equal(1, result.status)
    end, { authorize = function() return 403, "go away", { ["X-Why"] = "because" } end })
  end)

  it("verifies the server's certificate, unless it is told not to", function()
    with_server(echo, function(url)
      local refused = command.pipe("", "connect", url)
      assert.matches("certificate is not trusted", refused.err)
      assert.equal(1, refused.status)
      assert.same({ 0, "hi\n" }, { command.pipe("hi\n", "connect", "-k", url).status,
        command.pipe("hi\n", "connect", "--insecure", url).out })
    end, { tls = testing.certificate() })
  end)

  it("tells that nobody listens there", function()
    local url
    with_server(echo, function(of) url = of end)
    local result = command.pipe("hi\n", "connect", url)
    assert.matches("^moonsocket: .*connection refused\n$", result.err)
    assert.equal(1, result.status)
  end)

  for words, expected in pairs {
    [""] = "one URL expected, got 0 words",
    ["a b"] = "one URL expected, got 2 words",
    ["http://x/"] = "use ws:// instead of http:",
    ["--hedaer=x: y ws://x/"] = "unknown option --hedaer: is '--header' meant?",
    ["--header=x ws://x/"] = "--header: 'NAME: VALUE' expected, got 'x'",
    ["--header=Upgrade:x ws://x/"] = "option 'headers': 'Upgrade' cannot be given: the handshake sets it",
    ["--subprotocol=a,b ws://x/"] = "option 'subprotocols': 'a,b' is not a token",
  } do
    it(("refuses the words %q"):format(words), function()
      local list = {}
      for word in words:gmatch "%S+" do list[#list + 1] = word end
      local result = command.pipe("", "connect", table.unpack(list))
      assert.matches("moonsocket: connect: " .. expected, result.err, 1, true)
      assert.matches("Try: moonsocket connect --help\n", result.err, 1, true)
      assert.equal(64, result.status)
    end)
  end
end)

describe("moonsocket connect whose output nobody reads any more", function()
  it("closes politely", function()
    local code
    with_server(function(ws)
      ws:on_close(function(...) code = ... end)
      while ws:send "and again" do moonsocket.sleep(0.001) end
    end, function(url)
      command.shell('"$@" </dev/null 2>/dev/null | head -1', "connect", "--wait", "20", url)
    end)
    assert.equal(1000, code)
  end)
end)

describe("moonsocket connect in a terminal", function()
  it("sends what is typed, shows what comes, and leaves at Ctrl-D", function()
    with_server(echo, function(url)
      command.in_terminal(function(self)
        self:await "connected"
        self:type "hello\n"
        self:await "< hello"
        self:type "\4"
        self:await "We closed, and the server answered with 1000"
        assert.equal(0, self:finish())
      end, "connect", "-v", url)
    end)
  end)

  it("closes at Ctrl-C", function()
    with_server(echo, function(url)
      command.in_terminal(function(self)
        self:await "connected"
        self:type "\3"
        self:await "We closed, and the server answered with 1000"
        assert.equal(0, self:finish())
      end, "connect", "-v", url)
    end)
  end)

  it("waits for nobody at the second Ctrl-C", function()
    with_server(function(ws)
      ws:on_closing(function() moonsocket.sleep(1) end)
      ws:wait_closed()
    end, function(url)
      command.in_terminal(function(self)
        self:await "connected"
        self:type "\3"
        moonsocket.sleep(0.1) -- two at once would be one
        self:type "\3"
        self:await "We ended the connection, and got no answer: terminated"
        assert.equal(2, self:finish())
      end, "connect", "-v", url)
    end)
  end)

  it("shows nothing that would move the cursor", function()
    with_server(function(ws)
      ws:send "\27[2J\7bell\xc2\x9b1m\ttab"
      ws:close(1000)
    end, function(url)
      command.in_terminal(function(self)
        self:await "< \\x1b%[2J\\x07bell\\xc2\\x9b1m\ttab"
        self:finish()
      end, "connect", url)
    end)
  end)
end)
