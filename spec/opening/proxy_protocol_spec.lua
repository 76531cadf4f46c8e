-- proxy_protocol: every connection begins with a header that says whom the proxy speaks for, before TLS and all else.
local cjson = require "cjson"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene"

local MARK = "\r\n\r\n\0\r\nQUIT\n"
local LINE = "PROXY TCP4 192.0.2.1 192.0.2.2 40000 443\r\n"

-- A header of version 2; kind: family and transport, block: addresses and what is behind them.
local function binary(kind, block, command)
  return MARK .. string.char(command or 0x21, kind) .. (">s2"):pack(block)
end

local IP4 = "\xC0\0\2\1" .. "\xC0\0\2\2" .. (">I2I2"):pack(40000, 443)
local IP6 = "\x20\1\x0d\xb8" .. ("\0"):rep(11) .. "\1" .. ("\0"):rep(16) .. (">I2I2"):pack(40000, 443)

-- The header, who it is from, and a name.
local HEADERS = {
  ["version 1, IPv4"] = { LINE, "192.0.2.1:40000" },
  ["version 1, IPv6"] = { "PROXY TCP6 2001:DB8::1 ::1 40000 443\r\n", "[2001:db8::1]:40000" },
  ["version 1, unknown"] = { "PROXY UNKNOWN\r\n" },
  ["version 2, IPv4"] = { binary(0x11, IP4), "192.0.2.1:40000" },
  ["version 2, IPv6"] = { binary(0x21, IP6), "[2001:db8::1]:40000" },
  ["version 2, with TLVs"] = { binary(0x11, IP4 .. "\4\0\3abc" .. "\5\0\0"), "192.0.2.1:40000" },
  ["version 2, local"] = { binary(0x00, "", 0x20) },
  ["version 2, local with an address"] = { binary(0x11, IP4, 0x20) },
  ["version 2, of a Unix socket"] = { binary(0x31, ("\0"):rep(216)) },
}

-- Opens a TCP connection that says this.
local function behind(s, header)
  local p = peer.connect { port = s.server.port }
  p:send(header)
  return s:keep(p)
end

local function addresses(seen)
  return function(ws, request)
    seen[#seen + 1] = { remote = request.remote_address, peer = request.peer_address }
    return scene.echo(ws)
  end
end

describe("proxy_protocol", function()
  for what, row in pairs(HEADERS) do
    it("tells whose connection it is: " .. what, function()
      local seen = {}
      scene.play({ proxy_protocol = true, handler = addresses(seen) }, function(s)
        local p = behind(s, row[1] .. peer.request() .. peer.text "at once")
        assert.equal(101, assert(p:read_response()).status)
        assert.equal("text at once", peer.describe(assert(p:read_frame())))
        assert.matches("^127%.0%.0%.1:%d+$", seen[1].peer)
        assert.equal(row[2] or seen[1].peer, seen[1].remote)
        p:send(peer.close(1000))
        assert.equal(1000, s:outcome(p).code)
      end)
    end)

    it("takes the header byte by byte: " .. what, function()
      local seen = {}
      scene.play({ proxy_protocol = true, handler = addresses(seen) }, function(s)
        local p = behind(s, "")
        for byte in (row[1] .. peer.request()):gmatch "." do
          p:send(byte)
          moonsocket.sleep(0)
        end
        assert.equal(101, assert(p:read_response()).status)
        assert.equal(row[2] or seen[1].peer, seen[1].remote)
      end)
    end)
  end

  local wrong = {
    ["none, but a request"] = peer.request(), ["none, but TLS"] = "\x16\x03\x01\2\0\1\0\1\xfc\3\3",
    ["a line that is none"] = "PROXY TCP4 192.0.2.1 192.0.2.2 40000\r\n",
    ["another protocol"] = "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
    ["a line without an end"] = "PROXY UNKNOWN " .. ("x"):rep(100), ["a bare line feed"] = "PROXY UNKNOWN\n",
    ["another version"] = MARK .. "\x31", ["a command that is none"] = MARK .. "\x22",
    ["datagrams"] = binary(0x12, IP4), ["a block that is too short"] = binary(0x11, "\xC0\0\2\1"),
    ["a block that is too long"] = MARK .. "\x21\x11\xff\xff",
  }
  for secure, theater in pairs { ["in the clear"] = scene, ["over TLS"] = scene.over_tls } do
    for what, bytes in pairs(wrong) do
      it(("drops what begins with another header, %s: %s"):format(secure, what), function()
        theater.play({ proxy_protocol = true }, function(s)
          local p = behind(s, bytes)
          assert.same({ "", "reset" }, { p:read_rest() })
          s.await("the books", function() return s.server:stats().refused[400] == 1 end)
          assert.equal(0, s.server:stats().opened)
        end)
      end)
    end

    it("has its part in the time of the handshake, and says nothing before it, " .. secure, function()
      theater.play({ proxy_protocol = true, handshake_timeout = 0.05 }, function(s)
        local silent, half = behind(s, ""), behind(s, LINE:sub(1, -2))
        assert.same({ "", "reset" }, { silent:read_rest() })
        assert.same({ "", "reset" }, { half:read_rest() })
        s.await("the books", function() return s.server:stats().refused[408] == 2 end)
      end)
    end)

    it("lets the peer go in the middle of the header, and the server shut down, " .. secure, function()
      theater.play({ proxy_protocol = true }, function(s)
        behind(s, LINE:sub(1, 10)):drop()
        behind(s, MARK .. "\x21"):reset()
        s.await("both", function() return s.server:stats().refused[0] == 2 end)
        local p = behind(s, LINE:sub(1, 10))
        collectgarbage()
        s.server:shutdown()
        assert.same({ "", "reset" }, { p:read_rest() })
      end)
    end)
  end

  it("is off unless asked for: the header is no request", function()
    scene.play({}, function(s)
      local p = behind(s, LINE)
      assert.equal(400, p:read_response().status)
    end)
  end)

  it("gives the deadline to header and request together", function()
    scene.play({ proxy_protocol = true, handshake_timeout = 0.1 }, function(s)
      local p = behind(s, LINE)
      assert.equal(408, p:read_response().status)
    end)
  end)

  it("counts per address whom the proxy speaks for, from the header on", function()
    scene.play({ proxy_protocol = true, max_connections_per_address = 1 }, function(s)
      local function from(address, bytes)
        return behind(s, ("PROXY TCP4 %s 192.0.2.9 1 2\r\n"):format(address) .. (bytes or peer.request()))
      end
      behind(s, "") -- nobody knows whose it is
      from("192.0.2.3", "") -- this one counts already
      assert.equal(101, from "192.0.2.1":read_response().status)
      assert.equal(101, from "192.0.2.2":read_response().status)
      assert.equal(429, from "192.0.2.1":read_response().status)
      assert.equal(429, from "192.0.2.2":read_response().status)
      assert.equal(429, from "192.0.2.3":read_response().status)
    end)
  end)

  it("counts an IPv6 address as its /64", function()
    scene.play({ proxy_protocol = true, max_connections_per_address = 1 }, function(s)
      local function from(address)
        return behind(s, ("PROXY TCP6 %s ::1 1 2\r\n"):format(address) .. peer.request()):read_response().status
      end
      assert.equal(101, from "2001:db8:1:2::1")
      assert.equal(429, from "2001:db8:1:2:ffff::1")
      assert.equal(101, from "2001:db8:1:3::1")
      assert.equal(101, from "::ffff:192.0.2.1")
      assert.equal(101, from "::ffff:192.0.2.2")
      assert.equal(429, from "::ffff:192.0.2.2")
    end)
  end)

  it("works over Unix sockets, whose clients then have addresses", function()
    local path, seen = os.tmpname(), {}
    os.remove(path)
    scene.play({ address = "unix:" .. path, proxy_protocol = true, max_connections_per_address = 1,
      handler = addresses(seen) }, function(s)
      local statuses = {}
      for i, from in ipairs { "TCP4 192.0.2.1 192.0.2.2 1 2", "TCP4 192.0.2.1 192.0.2.2 1 2", "UNKNOWN", "UNKNOWN" } do
        local p = s:keep(peer.connect { path = path })
        p:send(("PROXY %s\r\n"):format(from) .. peer.request())
        statuses[i] = p:read_response().status
      end
      assert.same({ 101, 429, 101, 101 }, statuses)
      assert.same({ { remote = "192.0.2.1:1", peer = "unix:" }, { remote = "unix:", peer = "unix:" } },
        { seen[1], seen[2] })
    end)
  end)

  it("shows the client in the log", function()
    local lines = {}
    scene.play({ proxy_protocol = true, log = function(line) lines[#lines + 1] = line end }, function(s)
      local p = behind(s, LINE .. peer.request())
      assert.equal(101, p:read_response().status)
      p:reset()
      s.await("the line", function() return lines[1] end)
      assert.equal("192.0.2.1:40000", cjson.decode(lines[1]).remote_address)
    end)
  end)
end)

-- How a header and the first bytes of TLS may come.
local MANNERS = {
  ["in one piece"] = function(p, header, hello) return p:send_raw(header .. hello) end,
  ["one after the other"] = function(p, header, hello)
    p:send_raw(header)
    for _ = 1, 3 do moonsocket.sleep(0) end
    return p:send_raw(hello)
  end,
  ["byte by byte"] = function(p, header, hello)
    for byte in (header .. hello):gmatch "." do
      p:send_raw(byte)
      moonsocket.sleep(0)
    end
    return true
  end,
  ["cut in the middle of TLS"] = function(p, header, hello)
    p:send_raw(header .. hello:sub(1, 7))
    for _ = 1, 3 do moonsocket.sleep(0) end
    return p:send_raw(hello:sub(8))
  end,
}

-- Connects, says the header in that manner, and begins TLS.
local function secured(s, header, manner, version)
  local p = s:keep(peer.connect { port = s.server.port })
  function p.send_raw(self, hello)
    self.send_raw = nil
    return MANNERS[manner](self, header, hello)
  end
  return p:start_tls(version)
end

describe("proxy_protocol before TLS", function()
  for what, row in pairs(HEADERS) do
    for manner in pairs(MANNERS) do
      for _, version in ipairs { "1.2", true } do
        it(("leaves TLS (%s) what follows, %s: %s"):format(version, manner, what), function()
          local seen = {}
          scene.over_tls.play({ proxy_protocol = true, handler = addresses(seen) }, function(s)
            local p = secured(s, row[1], manner, version)
            p:send(peer.request())
            assert.equal(101, assert(p:read_response()).status)
            p:send(peer.text "over TLS")
            assert.equal("text over TLS", peer.describe(assert(p:read_frame())))
            assert.equal(row[2] or seen[1].peer, seen[1].remote)
            assert.matches("^127%.0%.0%.1:%d+$", seen[1].peer)
            p:send(peer.close(1000))
            assert.equal(1000, s:outcome(p).code)
          end)
        end)
      end
    end
  end

  it("answers what is no TLS with an alert, and what is HTTP with a sentence, and ends", function()
    scene.over_tls.play({ proxy_protocol = true }, function(s)
      local alert, tcp = behind(s, LINE .. "\x16\x03\x01\0\5\1\0\0\1\0"):read_rest()
      assert.same({ "\x15\x03", "fin" }, { alert:sub(1, 2), tcp }) -- RFC 8446 section 6
      assert.matches("^HTTP/1%.1 400 .*this port speaks TLS", (behind(s, LINE .. peer.request()):read_rest()))
      s.await("the books", function() return s.server:stats().refused[0] == 2 end)
    end)
  end)

  it("has one deadline with TLS and the request", function()
    scene.over_tls.play({ proxy_protocol = true, handshake_timeout = 0.2 }, function(s)
      local silent = behind(s, LINE)
      local half = secured(s, LINE, "in one piece", true)
      assert.equal(408, half:read_response().status)
      half:drop()
      silent:read_rest()
      silent:drop()
      s.await("both", function() return s.server:stats().refused[408] == 2 end)
    end)
  end)
end)
