-- nginx and HAProxy in front, with the files of examples/deployment. `make deployment` runs it.
local certificates = require "spec.support.certificates"
local front = require "spec.support.front"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local ports = require "spec.support.ports"
local program = require "spec.support.program"
local stage = require "spec.support.stage"

-- What differs: how the idle timeout is made short, what a client sees of a server that is not there, the option that
-- checks a file, and the status that a page's request gets without one of the lines.
local SHORT = 1 -- s
local proxies = {
  nginx = {
    short = { ["proxy_read_timeout 60s"] = "proxy_read_timeout 1s" }, down = 502, check = "-t",
    needs = {
      ["proxy_http_version 1.1;"] = 505,
      ["proxy_set_header Upgrade $http_upgrade;"] = 426,
      ["proxy_set_header Connection $connection_upgrade;"] = 400,
      ["proxy_set_header Host $http_host;"] = 403,
    },
  },
  haproxy = {
    short = { ["timeout tunnel 60s"] = "timeout tunnel 1s" }, down = 503, check = "-c",
    needs = { [" hdr Host example.com"] = 503, ["http-check expect status 426"] = 503 },
  },
}

local function echoed(ws, message, kind)
  assert(ws:send(message, kind))
  local back, back_kind = ws:receive(10)
  assert.equal(kind, back_kind)
  assert.is_true(message == back)
end

for name, proxy in pairs(proxies) do
  local function play(options, act) front.play(front.http[name], options, act) end

  describe("behind " .. name, function()
    teardown(certificates.remove)

    it("its file is taken without a warning", function()
      local command = front.http[name](ports.free(), "127.0.0.1:1", {})
      table.insert(command, proxy.check)
      program.run_command(function(p)
        assert.equal(0, p:finish())
        assert.is_nil(table.concat(p.lines, "\n"):lower():match "[^\n]*warn[^\n]*")
      end, command)
    end)

    for line, status in pairs(proxy.needs) do
      it("it is a " .. status .. " without: " .. line, function()
        play({ changes = { [line] = "" } }, function(f)
          local function refused()
            local ws, _, response = f:client { headers = { Origin = ("https://localhost:%d"):format(f.port) } }
            if ws then ws:terminate() end
            return not ws and response.status == status
          end
          stage.await("a refusal", refused) -- HAProxy has to ask three times
        end)
      end)
    end

    it("messages of every kind and size pass both ways", function()
      play({ server = { compression = true } }, function(f)
        for _, compression in ipairs { false, true } do
          local ws <close> = assert(f:client { compression = compression })
          assert.equal(compression, ws.extensions:find "^permessage%-deflate" ~= nil)
          for _, size in ipairs { 0, 125, 65536, 1 << 20 } do
            echoed(ws, ("x"):rep(size), "text")
            echoed(ws, ("\xff\0"):rep(size // 2), "binary")
          end
        end
      end)
    end)

    it("fragments pass as they are", function()
      play({}, function(f)
        local p = f:open()
        local first, last = peer.frame { fin = false, payload = "hel" }, peer.frame { opcode = 0, payload = "lo" }
        p:send(first .. peer.ping "?" .. last)
        assert.equal("pong ?", peer.describe(p:read_frame()))
        assert.equal("text hello", peer.describe(p:read_frame()))
      end)
    end)

    it("a client's code and reason reach the server, and the server's the client", function()
      play({ server = { handler = function(ws)
        ws:on_message(function() ws:close(4001, "über") end)
      end } }, function(f, s)
        local ws = assert(f:client())
        ws:close(3001, "ciao")
        assert.equal(3001, (ws:wait_closed(10)))
        assert.same({ 3001, "ciao", true }, { s:told(1).code, s:told(1).reason, s:told(1).clean })
        ws = assert(f:client())
        ws:send "now"
        local code, reason, info = ws:wait_closed(10)
        assert.same({ 4001, "über", "peer" }, { code, reason, info.by })
        assert.same({ 4001, true, "local" }, { s:told(2).code, s:told(2).clean, s:told(2).by })
      end)
    end)

    it("a Unix socket leads to the server as well", function()
      local path = os.tmpname()
      os.remove(path)
      play({ server = { address = "unix:" .. path } }, function(f)
        local ws <close> = assert(f:client())
        echoed(ws, "hello", "text")
      end)
    end)

    it("X-Forwarded-For tells the client's address, and what is forged in it is not believed", function()
      local path, seen = os.tmpname(), {}
      os.remove(path)
      local function handler(_, request) seen[#seen + 1] = request.remote_address end
      for _, server in ipairs {
        { trusted_proxies = { "127.0.0.1" } }, -- the proxy, and whoever it tells of, who tells of somebody else
        { trusted_proxies = { "unix" }, address = "unix:" .. path },
        {},
      } do
        server.handler = handler
        play({ server = server }, function(f)
          local ws = assert(f:client { headers = { ["X-Forwarded-For"] = "192.0.2.7" } })
          ws:wait_closed(10)
        end)
      end
      assert.matches("^127%.0%.0%.1:%d+$", table.remove(seen))
      assert.same({ "192.0.2.7", "127.0.0.1" }, seen)
    end)

    it("the path, the query, cookies and the subprotocol pass", function()
      local seen
      play({ server = { subprotocols = { "chat" }, handler = function(_, request)
        seen = { request.path, request.query, request.cookies.a }
      end } }, function(f)
        local ws <close> = assert(f:client({ subprotocols = { "other", "chat" }, cookies = { a = "b" } }, "a%20b?c=d"))
        assert.equal("chat", ws.subprotocol)
        assert.same({ "/a%20b", "c=d", "b" }, seen)
      end)
    end)

    it("the page's own host may connect, because Host passes, and another may not", function()
      play({}, function(f)
        local own = ("https://localhost:%d"):format(f.port)
        local ws <close> = assert(f:client { headers = { Origin = own } })
        echoed(ws, "hello", "text")
        local none, _, response = f:client { headers = { Origin = "https://example.org" } }
        assert.is_nil(none)
        assert.equal(403, response.status)
      end)
    end)

    it("a head up to max_head passes; a longer one is our 431, and too long a one for the proxy its 400", function()
      play({}, function(f)
        local function status(size)
          local ws, _, response = f:client { headers = { X = ("x"):rep(size) } }
          if ws then ws:terminate() end
          return ws and 101 or response.status
        end
        assert.same({ 101, 431, 400 }, { status(7000), status(8150), status(40000) })
      end)
    end)

    it("a silent connection is ended by the proxy; a word now and then from either side keeps it", function()
      play({ server = { ping_interval = 0 }, changes = proxy.short }, function(f, s)
        local silent = assert(f:client { ping_interval = 0 })
        local pinging = assert(f:client { ping_interval = 0.3 })
        local talking = f:open() -- to a server that never answers
        local cut = moonsocket.now() + 2 * SHORT
        while moonsocket.now() < cut do
          talking:send(peer.pong "")
          moonsocket.sleep(0.2)
        end
        echoed(pinging, "hello", "text")
        talking:send(peer.text "hello")
        assert.equal("text hello", peer.describe(talking:read_frame()))
        local code, _, info = silent:wait_closed(10)
        assert.same({ 1006, "network" }, { code, info.by })
        assert.same({ 1006, "network" }, { s:told(1).code, s:told(1).by })
        pinging:terminate()
      end)
    end)

    it("the server's heartbeat keeps a silent connection", function()
      play({ server = { ping_interval = 0.3 }, changes = proxy.short }, function(f)
        local ws <close> = assert(f:client { ping_interval = 0 })
        local code = ws:wait_closed(2 * SHORT)
        assert.is_nil(code)
        echoed(ws, "hello", "text")
      end)
    end)

    it("a client that is gone, by whatever way, is told of", function()
      play({ server = { ping_interval = 0.5, pong_timeout = 0.2, close_timeout = 0.1 } }, function(f, s)
        f:open():drop()
        assert.same({ 1006, "network" }, { s:told(1).code, s:told(1).by })
        f:open():reset()
        assert.same({ 1006, "network" }, { s:told(2).code, s:told(2).by })
        f:open() -- reads nothing, and answers no ping
        assert.same({ 1006, "no pong within 0.2 s" }, { s:told(3).code, s:told(3).reason })
      end)
    end)

    it("a client that takes no more data is told of, behind all that the proxy keeps for it", function()
      play({ server = { send_timeout = 0.3, max_buffered = 1 << 26, handler = function(ws)
        ws:on_message(function() ws:send(("x"):rep(1 << 25), "binary") end)
      end } }, function(f, s)
        f:open():send(peer.text "now")
        assert.same({ 1006, "the peer took no data for 0.3 s" }, { s:told().code, s:told().reason })
      end)
    end)

    it("a server that drops a connection is told of", function()
      play({ server = { handler = function(ws)
        ws:on_message(function() ws:terminate() end)
      end } }, function(f)
        local ws = assert(f:client())
        ws:send "now"
        local code, _, info = ws:wait_closed(10)
        assert.same({ 1006, "network" }, { code, info.by })
      end)
    end)

    it("a proxy that is killed is told of on both sides", function()
      play({}, function(f, s)
        local ws = assert(f:client())
        echoed(ws, "hello", "text")
        f.proxy:stop(9)
        local code, _, info = ws:wait_closed(10)
        assert.same({ 1006, false, "network" }, { code, info.clean, info.by })
        assert.same({ 1006, false, "network" }, { s:told().code, s:told().clean, s:told().by })
      end)
    end)

    it("a server that restarts tells it, is missed meanwhile, and its clients come back", function()
      play({}, function(f, s)
        local opened, downs = 0, {}
        local client = f:reconnect {
          on_open = function(ws)
            opened = opened + 1
            ws:on_message(function() end)
          end,
          on_down = function(code, reason, info) downs[#downs + 1] = { code, reason, info.clean, info.status } end,
        }
        stage.await("a connection", function() return opened == 1 end)
        s.server:shutdown { code = 1012, reason = "restart" }
        stage.await("a refusal", function() return #downs >= 2 end)
        assert.same({ { 1012, "restart", true }, proxy.down }, { downs[1], downs[2][4] })
        f:start_server()
        stage.await("the next connection", function() return opened == 2 end)
        client:stop()
        stage.await("the end", function() return downs[#downs][1] == 1000 end)
      end)
    end)
  end)
end

-- The command, and what is changed in its file for the version of the PROXY header; short: for a short idle timeout,
-- silent: for no header at all.
local passing = {
  ["nginx, PROXY version 1"] = {
    front.tcp.nginx, {},
    short = { ["proxy_timeout 60s"] = "proxy_timeout 1s" },
    silent = { ["proxy_protocol on;"] = "" },
  },
  ["HAProxy, PROXY version 1"] = {
    front.tcp.haproxy, { ["send-proxy-v2"] = "send-proxy" },
  },
  ["HAProxy, PROXY version 2"] = {
    front.tcp.haproxy, {},
    short = { ["timeout client 60s"] = "timeout client 1s", ["timeout server 60s"] = "timeout server 1s" },
    silent = { [" send-proxy-v2"] = "" },
  },
}

for name, proxy in pairs(passing) do
  local function play(changes, server, act)
    local options = { server = { tls = certificates.of "localhost", proxy_protocol = true }, changes = {} }
    for key, value in pairs(server) do options.server[key] = value end
    for _, each in ipairs { proxy[2], changes } do
      for old, new in pairs(each) do options.changes[old] = new end
    end
    front.play(proxy[1], options, act)
  end

  describe("TLS that passes " .. name, function()
    teardown(certificates.remove)

    it("carries messages and codes, and the server knows the client's address", function()
      local seen
      play({}, { handler = function(ws, request)
        seen = { request.remote_address, request.peer_address }
        ws:on_message(function(message, kind) ws:send(message, kind) end)
      end }, function(f, s)
        local ws = assert(f:client())
        echoed(ws, ("x"):rep(1 << 20), "binary")
        for _, address in ipairs(seen) do assert.matches("^127%.0%.0%.1:%d+$", address) end
        assert.are_not.equal(seen[1], seen[2])
        ws:close(3001, "ciao")
        assert.equal(3001, (ws:wait_closed(10)))
        assert.same({ 3001, "ciao", true }, { s:told().code, s:told().reason, s:told().clean })
      end)
    end)

    if proxy.short then
      it("ends with 1006 where it is silent, and is kept by the heartbeat", function()
        play(proxy.short, { ping_interval = 0 }, function(f, s)
          local silent, pinging = assert(f:client { ping_interval = 0 }), assert(f:client { ping_interval = 0.3 })
          assert.equal(1006, (silent:wait_closed(10)))
          assert.same({ 1006, "network" }, { s:told(1).code, s:told(1).by })
          assert.is_nil((pinging:wait_closed(SHORT)))
          echoed(pinging, "hello", "text")
          pinging:terminate()
        end)
      end)
    end

    if proxy.silent then
      it("is refused where the proxy does not say whom it speaks for", function()
        play(proxy.silent, {}, function(f, s)
          assert.is_nil((f:client()))
          stage.await("the refusal", function() return (s.server:stats().refused[400] or 0) > 0 end)
          assert.equal(0, s.server:stats().opened)
        end)
      end)
    end
  end)
end
