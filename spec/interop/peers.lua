-- moonsocket and real peers of other languages, in both roles, in the clear and over TLS. `make interop` runs it.
local certificates = require "spec.support.certificates"
local moonsocket = require "moonsocket"
local program = require "spec.support.program"

local peers = {
  ["python's websockets"] = { os.getenv "PYTHON", "spec/interop/python_peer.py" },
  ["Node's ws"] = { "node", os.getenv "NODE_PEER" },
}

local ROOM = 1 << 24

-- Runs a peer while a task of ours plays.
local function beside(command, arguments, play)
  local line = { command[1], command[2], table.unpack(arguments) }
  local ok, wrong
  moonsocket.run(function()
    ok, wrong = pcall(program.run_command, play, line)
    moonsocket.stop()
  end)
  if not ok then error(wrong, 0) end
end

local function ending(ws)
  local code, reason, info = ws:wait_closed(10)
  return { code, reason, info.clean, info.by }
end

local function try_echo(ws)
  for _, size in ipairs { 0, 1, 125, 126, 65535, 65536, 1 << 20 } do
    local messages = { text = ("日"):rep(size // 3), binary = ("\xff"):rep(size) }
    for kind, message in pairs(messages) do
      assert(ws:send(message, kind))
      local answer, answer_kind = ws:receive(10)
      assert.equal(message, answer)
      assert.equal(kind, answer_kind)
    end
  end
end

-- Our client against the peer's server.
local function client_against(command, scheme, files, tls)
  beside(command, { "serve", table.unpack(files) }, function(p)
    local url = scheme .. "://localhost:" .. p:await "^port (%d+)$" .. "/"
    local function connect()
      return assert(moonsocket.connect(url, {
        tls = tls, max_message = ROOM, max_buffered = ROOM, subprotocols = { "v2.echo" },
      }))
    end
    local ws = connect()
    assert.equal("v2.echo", ws.subprotocol)
    try_echo(ws)
    local rtt
    ws:on_pong(function(_, seconds) rtt = seconds end)
    ws:ping()
    ws:send "a message behind the ping"
    ws:receive(10)
    assert.truthy(rtt)
    ws:close(3001, "ciao")
    assert.same({ 3001, "ciao", true, "local" }, ending(ws))
    assert.equal("3001 ciao", p:await "^saw (.*)$")

    ws = connect()
    ws:send "close"
    assert.same({ 4001, "by the peer", true, "peer" }, ending(ws))
    p:await "^saw 4001"

    ws = connect()
    ws:terminate()
    assert.same({ 1006, "terminated", false, "local" }, ending(ws))
    p:await "^saw 1006"

    ws = connect()
    ws:send "die"
    local seen = ending(ws)
    assert.same({ 1006, false, "network" }, { seen[1], seen[3], seen[4] })
  end)
end

-- The peer's client against our server.
local function server_against(command, scheme, arguments, tls)
  local endings = {}
  local server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
    ws:on_close(function(code, reason, info) endings[#endings + 1] = { code, reason, info.clean, info.by } end)
    ws:on_message(function(message, kind)
      if message == "close" then ws:close(4001, "by the server") else ws:send(message, kind) end
    end)
  end, { tls = tls, max_message = ROOM, max_buffered = ROOM, subprotocols = { "v2.echo" } }))
  beside(command, { "connect", scheme .. "://localhost:" .. server.port .. "/", table.unpack(arguments) }, function(p)
    assert.equal("v2.echo", p:await "^subprotocol (.*)$")
    assert.equal("3001 ", p:await "^saw (.*)$") -- our answer has the code alone (RFC 6455 section 5.5.1)
    assert.equal("4001 by the server", p:await "^saw (.*)$")
    assert.equal(0, p:finish())
    assert.same({ 2, 0 }, { #endings, server.count })
    assert.same({ 3001, "ciao", true, "peer" }, endings[1])
    assert.same({ 4001, true, "local" }, { endings[2][1], endings[2][3], endings[2][4] })
    server:shutdown { drain = 1 }
  end)
end

for name, command in pairs(peers) do
  describe("with " .. name, function()
    teardown(certificates.remove)

    it("our client speaks in the clear", function() client_against(command, "ws", {}) end)
    it("our server speaks in the clear", function() server_against(command, "ws", {}) end)

    it("our client speaks TLS", function()
      client_against(command, "wss", { certificates.path "localhost.pem", certificates.path "localhost.key" },
        { ca = certificates.path "ca.pem" })
    end)

    it("our server speaks TLS", function()
      server_against(command, "wss", { certificates.path "ca.pem" }, certificates.of "localhost")
    end)
  end)
end
