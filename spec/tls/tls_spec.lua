local certificates = require "spec.support.certificates"
local core = require "moonsocket.core"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local raw = require "raw"
local stage = require "spec.support.stage"

-- A server of ours over TLS for the time of a play; play(url, endings, server) runs as a task.
local function serving(options, play)
  local held, descriptors = core.held(), raw.descriptors()
  local endings, ok, wrong = {}, nil, nil
  local settings = { tls = certificates.of "localhost", close_timeout = 0.5 }
  for name, value in pairs(options) do settings[name] = value end
  local server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
    ws:on_message(function(message, kind)
      if message == "bye" then return ws:close(4000, "bye") end
      ws:send(message, kind)
    end)
    ws:on_close(function(code, reason, info)
      endings[#endings + 1] = { code = code, reason = reason, clean = info.clean, by = info.by, error = info.error }
    end)
  end, settings))
  moonsocket.run(function()
    ok, wrong = xpcall(play, debug.traceback, "wss://localhost:" .. server.port .. "/", endings, server)
    server:shutdown { drain = 1 }
  end)
  if not ok then error(wrong, 0) end
  collectgarbage()
  collectgarbage()
  assert.equal(held, core.held())
  assert.equal(descriptors, raw.descriptors())
end

local function trusting(extra)
  local tls = { ca = certificates.path "ca.pem" }
  for name, value in pairs(extra or {}) do tls[name] = value end
  return { tls = tls }
end

-- What a connection that works is told at its end, on both sides.
local function works(url, endings, options)
  local ws = assert(moonsocket.connect(url, options or trusting()))
  assert(ws:send "hello")
  assert.equal("hello", ws:receive())
  ws:close(1000, "done")
  local code, _, info = ws:wait_closed()
  assert.same({ 1000, true, "local" }, { code, info.clean, info.by })
  stage.await("the server's on_close", function() return #endings > 0 end)
  assert.same({ code = 1000, reason = "done", clean = true, by = "peer" }, table.remove(endings))
end

-- Stands between a client and the server, and can cut the line: relay.cut(how) ends both sides, "fin" or "reset".
local function relay_to(port)
  local listening, at = raw.listen()
  local relay, ends = { port = at }, {}
  local function forward(from, to)
    while true do
      local bytes, why = raw.receive(from, 65536)
      if bytes then
        while #bytes > 0 do
          local n = raw.send(to, bytes)
          if not n then return end
          bytes = bytes:sub(n + 1)
          if #bytes > 0 then moonsocket.wait(to, "w", 0.02) end
        end
      elseif why ~= "wait" or relay.over then
        return
      else
        moonsocket.wait(from, "r", 0.02) -- relay.cut may close it meanwhile
      end
    end
  end
  moonsocket.go(function()
    moonsocket.wait(listening, "r", 10)
    ends = { assert(raw.accept(listening)), assert(raw.connect("127.0.0.1", port)) }
    moonsocket.go(forward, ends[1], ends[2])
    forward(ends[2], ends[1])
  end)
  function relay.cut(how)
    for _, fd in ipairs(ends) do
      if how == "reset" then raw.reset(fd) else raw.fin(fd) end
    end
    relay.over = true
  end
  function relay.close(how)
    if how ~= "reset" then
      for _, fd in ipairs(ends) do raw.close(fd) end
    end
    raw.close(listening)
  end
  return relay
end

describe("TLS", function()
  teardown(certificates.remove)

  it("carries messages of every size both ways", function()
    serving({ max_message = 1 << 21 }, function(url)
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
    serving({ tls = tls }, function(url, endings)
      works(url, endings, { tls = { ca = certificates.text "ca.pem" } })
    end)
  end)

  it("tells both sides of a close, whoever begins it", function()
    serving({}, function(url, endings)
      works(url, endings)
      local ws = assert(moonsocket.connect(url, trusting()))
      ws:send "bye"
      local code, reason, info = ws:wait_closed()
      assert.same({ 4000, "bye", true, "peer" }, { code, reason, info.clean, info.by })
      stage.await("the server's on_close", function() return #endings > 0 end)
      assert.same({ code = 4000, reason = "", clean = true, by = "local" }, endings[1])
    end)
  end)

  describe("as an option", function()
    local key, misspelled = { key = "key.pem" }, { crt = "x" }
    local mistakes = {
      { "without a certificate", function() moonsocket.serve(0, print, { tls = key }) end, "serve: .*cert and key" },
      { "with an unknown field", function() moonsocket.serve(0, print, { tls = misspelled }) end, "serve: .*'crt'" },
      { "with a number", function() moonsocket.connect("wss://x/", { tls = { ca = 1 } }) end, "connect: .*ca is a" },
      { "that is no table", function() moonsocket.connect("wss://x/", { tls = true }) end, "connect: .*'tls'" },
    }
    for _, case in ipairs(mistakes) do
      it(case[1] .. " is the caller's mistake", function()
        local ok, message = pcall(case[2])
        assert.is_false(ok)
        assert.matches("^spec/tls/tls_spec.lua:%d+: " .. case[3], (message:gsub("^%./", "")))
      end)
    end
  end)

  describe("of a client", function()
    it("trusts a host by name and by address", function()
      serving({}, function(url, endings)
        works(url, endings)
        works(url:gsub("localhost", "127.0.0.1"), endings)
      end)
    end)

    local refused = {
      { "a certificate of an authority that it does not trust", "unknown", trusting, "not trusted" },
      { "a certificate of an authority that nobody trusts, by default", "localhost", function() end, "not trusted" },
      { "a certificate of another host", "elsewhere", trusting, "hostname mismatch" },
    }
    for _, case in ipairs(refused) do
      it("refuses " .. case[1], function()
        serving({ tls = certificates.of(case[2]) }, function(url, endings)
          local ws, message = moonsocket.connect(url, case[3]())
          assert.is_nil(ws)
          assert.matches(case[4], message)
          assert.equal(0, #endings)
        end)
      end)
    end

    it("takes any certificate where told to", function()
      serving({ tls = certificates.of "elsewhere" }, function(url, endings)
        works(url, endings, { tls = { verify = false } })
        works(url, endings, trusting { server_name = "example.com" })
      end)
    end)

    it("says of a server that does not speak TLS", function()
      local server = assert(moonsocket.serve("127.0.0.1:0", function() end))
      local ws, message = moonsocket.connect("wss://localhost:" .. server.port .. "/", trusting())
      assert.is_nil(ws)
      assert.matches("TLS failed", message)
      server:shutdown { drain = 0 }
    end)

    it("gives up after timeout where the server is silent", function()
      local fd, port = raw.listen()
      local options = trusting()
      options.timeout = 0.05
      local ws, message = moonsocket.connect("wss://localhost:" .. port .. "/", options)
      assert.is_nil(ws)
      assert.matches("within 0.05 s", message)
      raw.close(fd)
    end)
  end)

  describe("of a server", function()
    it("asks for a client's certificate where told to", function()
      local tls = certificates.of "localhost"
      tls.verify, tls.ca = true, certificates.path "ca.pem"
      serving({ tls = tls }, function(url, endings)
        works(url, endings, trusting(certificates.of "client"))
        for _, wrong in ipairs { {}, certificates.of "unknown" } do
          local ws, message = moonsocket.connect(url, trusting(wrong))
          if ws then -- in TLS 1.3 the client learns of it with the first answer
            ws:receive()
            assert.equal(1006, ws.close_code)
          else
            assert.matches("TLS failed", message)
          end
        end
        assert.equal(0, #endings)
      end)
    end)

    it("changes its certificate without dropping a connection", function()
      serving({ tls = certificates.of "unknown" }, function(url, endings, server)
        local ws = assert(moonsocket.connect(url, { tls = { ca = certificates.path "stranger.pem" } }))
        assert.is_nil((moonsocket.connect(url, trusting())))
        local ok, message = server:reload_tls { cert = "/nowhere.pem", key = "/nowhere.key" }
        assert.is_nil(ok)
        assert.matches("certificate cannot be used", message)
        assert.is_nil((moonsocket.connect(url, trusting())))
        assert.is_true(server:reload_tls(certificates.of "second"))
        ws:send "still there"
        assert.equal("still there", ws:receive())
        ws:close(1000, "done")
        ws:wait_closed()
        stage.await("the server's on_close", function() return #endings > 0 end)
        table.remove(endings)
        works(url, endings)
      end)
    end)

    local wrong = {
      { "a file that is not there", { cert = "/nowhere.pem", key = "/nowhere.key" }, "used: No such file" },
      { "no PEM", { cert = "-----BEGIN nonsense", key = "x" }, "certificate cannot be used" },
    }
    for _, case in ipairs(wrong) do
      it("says what is wrong with " .. case[1], function()
        local server, message = moonsocket.serve("127.0.0.1:0", function() end, { tls = case[2] })
        assert.is_nil(server)
        assert.matches(case[3], message)
      end)
    end

    it("says that a key belongs to another certificate", function()
      local tls = { cert = certificates.path "localhost.pem", key = certificates.path "second.key" }
      local server, message = moonsocket.serve("127.0.0.1:0", function() end, { tls = tls })
      assert.is_nil(server)
      assert.matches("the key cannot be used", message)
    end)

    it("answers HTTP in the clear with 400", function()
      serving({}, function(_, endings, server)
        local p = peer.connect { port = server.port }
        p:send(peer.request())
        assert.matches("^HTTP/1.1 400 .*this port speaks TLS", (p:read_rest()))
        p:drop()
        assert.equal(0, #endings)
      end)
    end)

    it("gives up a handshake that stalls", function()
      serving({ handshake_timeout = 0.05 }, function(_, _, server)
        local p = peer.connect { port = server.port }
        p:send("\x16\x03\x01\x02\x00\x01\x00")
        p:read_rest()
        assert.truthy(p.ended == "fin" or p.ended == "reset")
        p:drop()
      end)
    end)
  end)

  local cuts = {
    { "fin", "TLS connection cut off" },
    { "reset", "connection reset by peer" },
  }
  for _, case in ipairs(cuts) do
    it("tells both sides of a line that is cut: " .. case[1], function()
      serving({}, function(_, endings, server)
        local relay = relay_to(server.port)
        local ws = assert(moonsocket.connect("wss://localhost:" .. relay.port .. "/", trusting()))
        ws:send "hello"
        assert.equal("hello", ws:receive())
        relay.cut(case[1])
        local code, reason, info = ws:wait_closed()
        assert.same({ 1006, case[2], false, "network" }, { code, reason, info.clean, info.by })
        stage.await("the server's on_close", function() return #endings > 0 end)
        assert.same({ 1006, case[2], false, "network" },
          { endings[1].code, endings[1].reason, endings[1].clean, endings[1].by })
        relay.close(case[1])
      end)
    end)
  end

  it("ends a connection whose records are damaged, and says so", function()
    serving({}, function(_, endings, server)
      local p = peer.connect { port = server.port }
      p:send("\x16\x03\x01\x00\x05hello")
      assert.truthy(p:read_rest())
      p:drop()
      assert.equal(0, #endings)
      assert.equal(0, server:stats().opened)
    end)
  end)

  it("terminates without waiting", function()
    serving({}, function(url, endings)
      local ws = assert(moonsocket.connect(url, trusting()))
      ws:terminate()
      local code, reason = ws:wait_closed()
      assert.same({ 1006, "terminated" }, { code, reason })
      stage.await("the server's on_close", function() return #endings > 0 end)
      assert.equal(1006, endings[1].code)
    end)
  end)
end)
