-- The server's own end: a signal, or shutdown.
local certificates = require "spec.support.certificates"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local program = require "spec.support.program"
local raw = require "raw"
local subject = require "spec.support.subject"

local scene, tls = subject.scene, subject.tls

local SIGNALS = { SIGINT = 2, SIGTERM = 15 }
local CONNECTIONS = 50

-- A server in a process of its own, which prints every end: act(server, peers), once so many peers are connected.
-- on_close: code that runs first in its on_close.
local function with_process(close_timeout, act, on_close)
  local own = tls and certificates.of "localhost"
  local option = own and ("{ cert = %q, key = %q }"):format(own.cert, own.key) or "nil"
  program.run(function(server)
    local port = math.tointeger(server:await "^port (%d+)$")
    local peers = {}
    for i = 1, CONNECTIONS do peers[i] = peer.open { port = port, tls = tls } end
    local ok, wrong = pcall(act, server, peers)
    for _, p in ipairs(peers) do p:drop() end
    if not ok then error(wrong, 0) end
  end, "-e", ([[
    local moonsocket = require "moonsocket"
    local server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
      ws:on_message(function(message) ws:send(message) end)
      ws:on_close(function(code, reason, info)
        %s
        print(("closed %%d: %%d %%s %%s %%s %%s"):format(
          ws.id, code, info.clean and "clean" or "unclean", info.by, info.sent, info.received))
      end)
    end, { close_timeout = %s, tls = %s }))
    print("port " .. server.port)
    moonsocket.run()
    print "run has returned"
  ]]):format(on_close or "", close_timeout, option))
end

-- It ends with status 0, having told each connection's end exactly once: how many of each kind there were.
local function ends_of(server)
  assert.equal(0, server:finish())
  local kinds, ids = {}, {}
  for _, line in ipairs(server.lines) do
    local id, kind = line:match "^closed (%d+): (.*)$"
    if id then
      assert.is_nil(ids[id], "two on_close for connection " .. id)
      ids[id] = true
      kinds[kind] = (kinds[kind] or 0) + 1
    end
  end
  return kinds
end

local function last_line(server) return server.lines[#server.lines] end

for name, signal in pairs(SIGNALS) do
  describe(name .. " with 50 connections", function()
    it("closes all with 1001, and the process ends once they have answered", function()
      with_process(60, function(server, peers)
        raw.kill(server.pid, signal)
        for _, p in ipairs(peers) do
          assert.equal("close 1001", peer.describe(p:read_frame()))
          p:send(peer.close(1001))
          assert.same({ nil, "fin" }, { p:read_frame() })
          p:drop()
        end
        assert.same({ ["1001 clean local 1001 1001"] = CONNECTIONS }, ends_of(server))
        assert.equal("run has returned", last_line(server))
      end)
    end)

    it("waits no longer than close_timeout for those that do not answer", function()
      with_process(0.2, function(server, peers)
        local before = moonsocket.now()
        raw.kill(server.pid, signal)
        assert.same({ ["1006 unclean local 1001 nil"] = CONNECTIONS }, ends_of(server))
        assert.equal("run has returned", last_line(server))
        assert.is_true(moonsocket.now() - before < 8, "as long as the whole drain")
        for _, p in ipairs(peers) do
          assert.equal("close 1001", peer.describe(p:read_frame()))
          assert.same({ nil, "fin" }, { p:read_frame() })
        end
      end)
    end)

    it("tells of each what it did instead", function()
      with_process(0.2, function(server, peers)
        local ways = { -- "answer" first: the server must have taken nothing for the end of it all
          function(p) p:send(peer.close(1001, "yes")) end,
          function(p) p:send(peer.close(4000)) end,
          function(p) p:fin() end,
          function(p) p:reset() end,
          function() end,
        }
        raw.kill(server.pid, signal)
        for i, p in ipairs(peers) do
          assert.equal("close 1001", peer.describe(p:read_frame()))
          ways[i % #ways + 1](p)
          p:drop()
        end
        assert.same({
          ["1001 clean local 1001 1001"] = CONNECTIONS / 5,
          ["4000 clean local 1001 4000"] = CONNECTIONS / 5,
          ["1006 unclean local 1001 nil"] = CONNECTIONS * 3 / 5,
        }, ends_of(server))
      end)
    end)

    it("lets an on_close that waits come to its end", function()
      with_process(60, function(server, peers)
        raw.kill(server.pid, signal)
        for _, p in ipairs(peers) do
          assert.equal("close 1001", peer.describe(p:read_frame()))
          p:send(peer.close(1001))
          p:drop()
        end
        assert.same({ ["1001 clean local 1001 1001"] = CONNECTIONS }, ends_of(server))
      end, "moonsocket.sleep(0.05)")
    end)

    it("a second time waits for nobody", function()
      with_process(60, function(server, peers)
        raw.kill(server.pid, signal)
        for _, p in ipairs(peers) do assert.equal("close 1001", peer.describe(p:read_frame())) end
        raw.kill(server.pid, signal)
        assert.same({ ["1006 unclean local 1001 nil"] = CONNECTIONS }, ends_of(server))
        for _, p in ipairs(peers) do assert.same({ nil, "reset" }, { p:read_frame() }) end
      end)
    end)
  end)
end

describe("shutdown", function()
  local function open_peers(s, n)
    local peers = {}
    for i = 1, n do peers[i] = s:open() end
    return peers
  end

  -- Begins it; returns a function that waits for its results.
  local function begin(s, options)
    local results
    moonsocket.go(function() results = { s.server:shutdown(options) } end)
    moonsocket.sleep(0)
    return function()
      scene.await("the shutdown", function() return results end)
      return results
    end
  end

  local function clean(code, reason)
    return {
      code = code, reason = reason or "", clean = true, by = "local", sent = code, received = code,
      wire = {}, tcp = "fin",
    }
  end

  it("without connections is over at once", function()
    scene.play({}, function(s)
      assert.same({ 0, 0 }, { s.server:shutdown() })
      assert.same({ 0, 0 }, { s.server:shutdown() })
    end)
  end)

  it("sends the code and the reason that were given", function()
    scene.play({}, function(s)
      local p = s:open()
      local results = begin(s, { code = 1012, reason = "deploy" })
      assert.equal("close 1012 deploy", peer.describe(p:read_frame()))
      p:send(peer.close(1012, "see you"))
      assert.same(clean(1012, "see you"), s:outcome(p))
      assert.same({ 1, 0 }, results())
    end)
  end)

  it("aborts what is left after drain, and counts both", function()
    scene.play({ close_timeout = 60 }, function(s)
      local peers = open_peers(s, 5)
      local results = begin(s, { drain = 0.2 })
      for i, p in ipairs(peers) do
        assert.equal("close 1001", peer.describe(p:read_frame()))
        if i <= 3 then
          p:send(peer.close(1001))
          assert.same(clean(1001), s:outcome(p, i))
        end
      end
      for i = 4, 5 do
        assert.same({
          code = 1006, reason = "aborted: still open at the end of the shutdown", clean = false, by = "local",
          sent = 1001, wire = {}, tcp = "reset",
        }, s:outcome(peers[i], i))
      end
      assert.same({ 3, 2 }, results())
      assert.same({ [1001] = 3, [1006] = 2 }, s.server:stats().closed)
      assert.same({ ["local"] = 5 }, s.server:stats().closed_by)
    end)
  end)

  it("finds peers that leave by themselves meanwhile", function()
    scene.play({ close_timeout = 60 }, function(s)
      local peers = open_peers(s, 3)
      local results = begin(s)
      for _, p in ipairs(peers) do p:read_frame() end
      peers[1]:reset()
      peers[2]:fin()
      peers[3]:send(peer.close(1001))
      assert.equal("connection reset by peer", s:told(1).reason)
      assert.equal("connection closed by the peer before it answered our Close frame", s:told(2).reason)
      peers[2]:drop()
      assert.same(clean(1001), s:outcome(peers[3], 3))
      assert.same({ 1, 2 }, results())
    end)
  end)

  it("aborts one that was closing already", function()
    scene.play({ close_timeout = 60, handler = function(ws)
      ws:on_message(function() end)
      ws:close(4000, "enough")
    end }, function(s)
      local p = s:open()
      assert.equal("close 4000 enough", peer.describe(p:read_frame()))
      local results = begin(s, { drain = 0.05 })
      assert.same({
        code = 1006, reason = "aborted: still open at the end of the shutdown", clean = false, by = "local",
        sent = 4000, wire = {}, tcp = "reset",
      }, s:outcome(p))
      assert.same({ 0, 1 }, results())
    end)
  end)

  it("takes no new connection, and refuses those in their handshake", function()
    scene.play({ close_timeout = 60 }, function(s)
      local p, asking, silent = s:open(), s:connect(), s:connect()
      asking:send(peer.request():sub(1, 20))
      moonsocket.sleep(0.01)
      local results = begin(s)
      assert.equal("close 1001", peer.describe(p:read_frame()))
      local fd, wrong = raw.connect("127.0.0.1", s.to.port)
      assert.is_nil(fd)
      assert.truthy(wrong:find "refused")
      for _, early in ipairs { asking, silent } do
        local response = early:read_response()
        assert.same({ 503, "the server is shutting down" }, { response.status, response.body })
        assert.same({ "", "fin" }, { early:read_rest() })
        early:drop()
      end
      p:send(peer.close(1001))
      assert.same(clean(1001), s:outcome(p))
      assert.same({ 1, 0 }, results())
      assert.equal(1, #s.records)
      assert.same({ [503] = 2 }, s.server:stats().refused)
    end)
  end)

  it("closes with pending messages delivered first and the answers to them lost", function()
    local heard = {}
    scene.play({ handler = function(ws)
      ws:on_message(function(message) heard[#heard + 1] = { message, ws:send(message) } end)
    end }, function(s)
      local p = s:open()
      local results = begin(s)
      assert.equal("close 1001", peer.describe(p:read_frame()))
      p:send(peer.text "crossing" .. peer.close(1001))
      assert.same(clean(1001), s:outcome(p))
      assert.same({ { "crossing", nil, "closed", 1001 } }, heard)
      assert.same({ 1, 0 }, results())
    end)
  end)

  it("is over after what waits for something else at the end: on_close, the lines behind a plain loop", function()
    local over = 0
    local function save()
      moonsocket.sleep(0.05)
      over = over + 1
    end
    scene.play({ close_timeout = 60, handler = function(ws)
      if ws.request.path == "/loop" then
        for message in ws:messages() do ws:send(message) end
        save()
      else
        ws:on_message(function() end)
      end
    end }, function(s)
      s.on_close = function(ws)
        if ws.request.path ~= "/loop" then save() end
      end
      for _, path in ipairs { "/loop", "/", "/loop", "/" } do
        local p = s:connect()
        p:send(peer.request(nil, path) .. peer.close(1000))
        p:read_head()
        assert.equal("close 1000", peer.describe(p:read_frame()))
      end
      for _, p in ipairs(s.peers) do p:drop() end
      s.server:shutdown()
      assert.equal(4, over)
      s.on_close = nil
    end)
  end)

  it("waits for an on_close that hangs no longer than close_timeout after the last connection", function()
    local released, over = false, false
    scene.play({ close_timeout = 0.05 }, function(s)
      s.on_close = function()
        scene.await("the release", function() return released end)
        over = true
      end
      local p = s:open()
      local results = begin(s)
      p:read_frame()
      p:send(peer.close(1001))
      assert.same(clean(1001), s:outcome(p))
      assert.same({ 1, 0 }, results())
      assert.is_false(over)
      released = true
      scene.await("its end", function() return over end)
      s.on_close = nil
    end)
  end)

  it("gives the same counts to everybody who waits for it, and a later drain counts", function()
    scene.play({ close_timeout = 60 }, function(s)
      local p = s:open()
      local first = begin(s, { drain = 60 })
      p:read_frame()
      local second = begin(s, { drain = 0 })
      assert.same({ 0, 1 }, first())
      assert.same({ 0, 1 }, second())
      assert.same({ 0, 1 }, { s.server:shutdown() })
    end)
  end)

  it("spreads the Close frames over the time: the others are served meanwhile", function()
    local n = 20
    scene.play({ close_timeout = 60 }, function(s)
      local served, told = {}, 0
      local peers = open_peers(s, n)
      local results = begin(s, { spread = 1 })
      for i, p in ipairs(peers) do
        moonsocket.go(function()
          served[i] = 0
          repeat
            p:send(peer.text "?")
            local frame = p:read_frame()
            if frame.name == "text" and told > 0 then served[i] = served[i] + 1 end
            moonsocket.sleep(0.01)
          until frame.name == "close"
          told = told + 1
          p:send(peer.close(1001))
          p:read_all()
          p:drop()
        end)
      end
      assert.same({ n, 0 }, results())
      -- Had all been told at once, nobody would have been served after the first Close.
      local later, most = 0, 0
      for i = 1, n do
        if served[i] > 0 then later = later + 1 end
        most = math.max(most, served[i])
      end
      assert.is_true(later >= n / 2, later .. " served after the first was told")
      assert.is_true(most >= 5)
      for i = 1, n do assert.same({ 1001, true }, { s:told(i).code, s:told(i).clean }) end
    end)
  end)

  it("lets those in their handshake open while it spreads, and tells them, too", function()
    scene.play({ close_timeout = 60 }, function(s)
      local p, asking, silent = s:open(), s:connect(), s:connect()
      asking:send(peer.request():sub(1, 20))
      moonsocket.sleep(0.01)
      local results = begin(s, { spread = 1 })
      assert.equal("close 1001", peer.describe(p:read_frame()))
      p:send(peer.close(1001))
      assert.same(clean(1001), s:outcome(p, 1))
      asking:send(peer.request():sub(21) .. peer.text "hello")
      assert.matches("^HTTP/1%.1 101 ", asking:read_head())
      assert.equal("text hello", peer.describe(asking:read_frame()))
      assert.equal(503, silent:read_response().status)
      silent:drop()
      assert.equal("close 1001", peer.describe(asking:read_frame()))
      asking:send(peer.close(1001))
      assert.same(clean(1001), s:outcome(asking, 2))
      assert.same({ 2, 0 }, results())
    end)
  end)

  it("drains after the spread, not during it: everybody is told before anybody is aborted", function()
    scene.play({ close_timeout = 60 }, function(s)
      local peers = open_peers(s, 4)
      local results = begin(s, { spread = 0.3, drain = 0.1 })
      for i, p in ipairs(peers) do
        local outcome = s:outcome(p, i)
        assert.same({ { "close 1001" }, "reset", 1006, 1001 },
          { outcome.wire, outcome.tcp, outcome.code, outcome.sent })
      end
      assert.same({ 0, 4 }, results())
    end)
  end)
end)
