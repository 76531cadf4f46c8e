-- Messages and endings over TLS, in both roles; what is not TLS, or stops in the middle of it.
local certificates = require "spec.support.certificates"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local raw_server = require "spec.support.raw_server"
local stage = require "spec.support.stage"
local tls_scene = require "spec.support.tls_scene"

local serve, trusting, works = tls_scene.serve, tls_scene.trusting, tls_scene.works

local function told(code, reason, info) return { code, reason, info.clean, info.by } end

-- What the server's on_close was told, as told.
local function ending(endings)
  tls_scene.await_endings(endings, 1)
  local last = table.remove(endings)
  return { last.code, last.reason, last.clean, last.by }
end

describe("TLS", function()
  teardown(certificates.remove)

  it("carries messages of every size both ways", function()
    serve({ max_message = 1 << 21 }, function(url)
      local options = trusting()
      options.max_message = 1 << 21
      local ws = assert(moonsocket.connect(url, options))
      for _, size in ipairs { 0, 1, 125, 126, 16383, 16384, 16385, 65536, 1 << 20 } do
        local message = ("0123456789abcdef"):rep(size // 16 + 1):sub(1, size)
        assert(ws:send(message, "binary"))
        assert.equal(message, (ws:receive(10)))
      end
      for i = 1, 200 do assert(ws:send(tostring(i))) end
      for i = 1, 200 do assert.equal(tostring(i), ws:receive(10)) end
      ws:close()
      ws:wait_closed()
    end)
  end)

  it("takes certificate, key and ca as files or as PEM", function()
    local tls = { cert = certificates.text "localhost.pem", key = certificates.text "localhost.key" }
    serve({ tls = tls }, function(url, endings)
      works(url, endings, { tls = { ca = certificates.text "ca.pem" } })
    end)
  end)

  it("tells both sides of a close, whoever begins it", function()
    serve({}, function(url, endings)
      works(url, endings)
      local ws = assert(moonsocket.connect(url, trusting()))
      ws:send "bye"
      assert.same({ 4000, "bye", true, "peer" }, told(ws:wait_closed()))
      assert.same({ 4000, "", true, "local" }, ending(endings))
    end)
  end)

  it("gets another certificate without dropping a connection", function()
    serve({ tls = certificates.of "unknown" }, function(url, endings, server)
      local ws = assert(moonsocket.connect(url, trusting { ca = certificates.path "stranger.pem" }))
      assert.matches("not trusted", tls_scene.refusal(url))
      local ok, message = server:reload_tls { cert = "/nowhere.pem", key = "/nowhere.key" }
      assert.same({ nil, "cannot use the option tls: cert (/nowhere.pem): No such file or directory" }, { ok, message })
      assert.matches("not trusted", tls_scene.refusal(url))
      assert.is_true(server:reload_tls(certificates.of "second"))
      ws:send "still there"
      assert.equal("still there", ws:receive())
      ws:close(1000, "done")
      ws:wait_closed()
      ending(endings)
      works(url, endings)
    end)
  end)

  it("terminates without waiting", function()
    serve({}, function(url, endings)
      local ws = assert(moonsocket.connect(url, trusting()))
      ws:terminate()
      assert.same({ 1006, "terminated", false, "local" }, told(ws:wait_closed()))
      assert.equal(1006, ending(endings)[1])
    end)
  end)

  -- A session ticket that nobody reads would make the kernel answer what follows with a RST.
  it("ends TCP by FIN, though the client never asks for what else the server has sent", function()
    serve({}, function(_, endings, server)
      for _ = 1, 5 do
        local relay = tls_scene.relay(server.port)
        local ws = assert(moonsocket.connect("wss://localhost:" .. relay.port .. "/", trusting()))
        ws:close(1000, "at once")
        assert.same({ 1000, "", true, "local" }, told(ws:wait_closed()))
        assert.same({ 1000, "at once", true, "peer" }, ending(endings))
        stage.await("the end of TCP", function() return relay.ends.up and relay.ends.down end)
        assert.same({ up = "fin", down = "fin" }, relay.ends)
        relay.close()
      end
    end)
  end)
end)

describe("the end of TLS", function()
  teardown(certificates.remove)

  -- Of Python's peer, which sends no Close frame.
  local ends = {
    { "fin", "TLS connection cut off" },
    { "notify", "connection closed by the peer without a Close frame" },
    { "reset", "connection reset by peer" },
  }
  for _, case in ipairs(ends) do
    local how, reason = table.unpack(case)
    it("is told to a server: " .. how, function()
      serve({}, function(_, endings, server)
        tls_scene.client_lines(server.port, "--end", how)
        assert.same({ 1006, reason, false, "network" }, ending(endings))
      end)
    end)

    it("is told to a client: " .. how, function()
      tls_scene.run(function()
        local files = certificates.of "localhost"
        tls_scene.python({ "server", "--end", how, "--cert", files.cert, "--key", files.key }, function(p)
          local url = "wss://localhost:" .. p:await "^port (%d+)" .. "/"
          assert.same({ 1006, reason, false, "network" }, told(tls_scene.end_by_peer(url, trusting())))
        end)
      end)
    end)
  end

  for how, reason in pairs { fin = "TLS connection cut off", reset = "connection reset by peer" } do
    it("is told to both sides of a line that is cut: " .. how, function()
      serve({}, function(_, endings, server)
        local relay = tls_scene.relay(server.port)
        local ws = assert(moonsocket.connect("wss://localhost:" .. relay.port .. "/", trusting()))
        ws:send "hello"
        assert.equal("hello", ws:receive())
        relay.cut(how)
        assert.same({ 1006, reason, false, "network" }, told(ws:wait_closed()))
        assert.same({ 1006, reason, false, "network" }, ending(endings))
        relay.close()
      end)
    end)
  end

  -- Who gets a record that was changed on its way gives up with an alert, which tells the other.
  for _, direction in ipairs { "up", "down" } do
    it("by a damaged record is told to both sides: " .. direction, function()
      serve({}, function(_, endings, server)
        local relay = tls_scene.relay(server.port)
        local ws = assert(moonsocket.connect("wss://localhost:" .. relay.port .. "/", trusting()))
        ws:send "hello"
        assert.equal("hello", ws:receive())
        relay.damage(direction)
        ws:send "damaged, or its echo is"
        local of_client, of_server = told(ws:wait_closed()), ending(endings)
        local victim, other = of_client, of_server
        if direction == "up" then victim, other = of_server, of_client end
        assert.same({ 1006, "TLS failed: decryption failed or bad record mac", false, "network" }, victim)
        assert.same({ 1006, "TLS failed: the peer gave up, with the alert bad record mac", false, "network" }, other)
        relay.close()
      end)
    end)
  end
end)

describe("a port", function()
  teardown(certificates.remove)

  it("for TLS answers HTTP in the clear with 400", function()
    serve({}, function(_, _, server)
      local p = peer.connect { port = server.port }
      p:send(peer.request())
      assert.matches("^HTTP/1.1 400 .*this port speaks TLS", (p:read_rest()))
      p:drop()
      tls_scene.await_failed(server, 1)
    end)
  end)

  it("for TLS tells those who speak something else by an alert", function()
    serve({}, function(_, _, server)
      local p = peer.connect { port = server.port }
      p:send "\x16\x03\x01\x00\x05hello"
      assert.equal("\x15", p:read_rest():sub(1, 1))
      p:drop()
      tls_scene.await_failed(server, 1)
    end)
  end)

  it("for plain WebSockets is named to a client that speaks TLS", function()
    tls_scene.run(function()
      local server = assert(moonsocket.serve("127.0.0.1:0", function() end))
      local message = tls_scene.refusal("wss://localhost:" .. server.port .. "/")
      assert.matches("^TLS failed: the server does not speak TLS there %(", message)
      server:shutdown { drain = 0 }
    end)
  end)
end)

describe("a handshake of TLS", function()
  teardown(certificates.remove)

  it("that stalls is given up by a server", function()
    serve({ handshake_timeout = 0.05 }, function(_, _, server)
      local p = peer.connect { port = server.port }
      p:send "\x16\x03\x01\x02\x00\x01\x00"
      p:read_rest()
      assert.truthy(p.ended == "fin" or p.ended == "reset")
      p:drop()
      tls_scene.await_failed(server, 1, 408)
    end)
  end)

  for what, bytes in pairs { ["at once"] = "", ["in the middle of the answer"] = "\x16\x03\x03\x00\x7a\x02\x00" } do
    it("that stalls is given up by a client: " .. what, function()
      tls_scene.run(function()
        local listener = raw_server.listen()
        moonsocket.go(function()
          local p = listener:accept()
          p:send(bytes)
          p:read_rest()
          p:drop()
        end)
        local options = trusting()
        options.timeout = 0.2
        local message = tls_scene.refusal("wss://localhost:" .. listener.port .. "/", options)
        assert.matches("^no complete answer of the server within 0.2 s", message)
        listener:stop()
      end)
    end)

    it("that is cut off is told to a client: " .. what, function()
      tls_scene.run(function()
        local listener = raw_server.listen()
        moonsocket.go(function()
          local p = listener:accept()
          p:read(5)
          p:send(bytes)
          p:fin()
          p:read_rest()
          p:drop()
        end)
        assert.matches("^TLS connection cut off, before", tls_scene.refusal("wss://localhost:" .. listener.port .. "/"))
        listener:stop()
      end)
    end)
  end
end)
