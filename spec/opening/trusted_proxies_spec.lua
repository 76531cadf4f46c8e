-- trusted_proxies: whose X-Forwarded-For says who the client is.
local cjson = require "cjson"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene"

-- Opens a connection with that X-Forwarded-For and returns what the request says of its client, and of the socket.
local function addresses(s, seen, forwarded)
  local p = s:connect()
  p:send(peer.request(forwarded and ("X-Forwarded-For: %s\r\n"):format(forwarded)))
  assert.equal(101, assert(p:read_response()).status)
  local request = table.remove(seen)
  return request.remote, request.peer
end

local function recorder(seen)
  return function(ws, request)
    seen[#seen + 1] = { remote = request.remote_address, peer = request.peer_address }
    return scene.echo(ws)
  end
end

describe("trusted_proxies", function()
  -- the option, the header, and the client; none: the socket's own
  local cases = {
    { nil, "192.0.2.1" },
    { { "10.0.0.0/8" }, "192.0.2.1" }, -- the peer is not trusted: it may claim what it likes
    { { "127.0.0.2" }, "192.0.2.1" }, { { "::1", "unix" }, "192.0.2.1" }, { { "::/0" }, "192.0.2.1" },
    { { "127.0.0.1" }, nil }, { { "127.0.0.1" }, "192.0.2.1", "192.0.2.1" },
    { { "127.0.0.0/8" }, "192.0.2.1", "192.0.2.1" }, { { "0.0.0.0/0" }, "192.0.2.1", "192.0.2.1" },
    { { "::1", "127.0.0.1" }, "2001:DB8::1", "2001:db8::1" },
    { { "127.0.0.1" }, "198.51.100.9, 192.0.2.1", "192.0.2.1" },
    { { "127.0.0.1", "10.0.0.0/8" }, "198.51.100.9, 192.0.2.1, 10.1.2.3", "192.0.2.1" },
    { { "127.0.0.1" }, "192.0.2.1:4711", "192.0.2.1" }, { { "127.0.0.1" }, "[2001:db8::1]:4711", "2001:db8::1" },
    { { "127.0.0.1" }, "192.0.2.1, unknown" }, { { "127.0.0.1" }, "garbage" }, { { "127.0.0.1" }, ("1,"):rep(500) },
    { { "127.0.0.1", "10.0.0.0/8" }, "192.0.2.1, unknown, 10.0.0.9", "10.0.0.9" },
    { { "127.0.0.1" }, "::ffff:192.0.2.1", "192.0.2.1" },
  }
  for _, case in ipairs(cases) do
    local proxies, header, client = case[1], case[2], case[3]
    local list = table.concat(proxies or {}, ", ")
    it(("{ %s } has %.40s from %s"):format(list, header, client or "the socket"), function()
      local seen = {}
      scene.play({ trusted_proxies = proxies, handler = recorder(seen) }, function(s)
        local remote, socket = addresses(s, seen, header)
        assert.matches("^127%.0%.0%.1:%d+$", socket)
        assert.equal(client or socket, remote)
      end)
    end)
  end

  it('"unix" are those that come over a Unix socket', function()
    local path = os.tmpname()
    for _, case in ipairs {
      { { "unix", "10.0.0.0/8" }, "192.0.2.1" }, { { "0.0.0.0/0", "::/0" }, "unix:" },
    } do
      os.remove(path)
      local seen = {}
      scene.play({ address = "unix:" .. path, trusted_proxies = case[1], handler = recorder(seen) }, function(s)
        assert.same({ case[2], "unix:" }, { addresses(s, seen, "192.0.2.1") })
      end)
    end
  end)

  it("are known to authorize and to the log, over TLS as well", function()
    local judged, lines = {}, {}
    scene.over_tls.play({
      trusted_proxies = { "127.0.0.1" }, log = function(line) lines[#lines + 1] = line end,
      authorize = function(request)
        judged[#judged + 1] = request.remote_address
        collectgarbage()
        return true
      end,
    }, function(s)
      s:open("X-Forwarded-For: 192.0.2.1\r\n"):reset()
      s.await("the line", function() return lines[1] end)
      assert.same({ "192.0.2.1" }, judged)
      assert.equal("192.0.2.1", cjson.decode(lines[1]).remote_address)
    end)
  end)

  it("are taken from the PROXY header, where that comes first", function()
    local seen = {}
    scene.play({ proxy_protocol = true, trusted_proxies = { "10.0.0.0/8" }, handler = recorder(seen) }, function(s)
      for i, from in ipairs { "10.0.0.1", "192.0.2.9" } do
        local p = s:connect()
        p:send(("PROXY TCP4 %s 127.0.0.1 1 2\r\n"):format(from) .. peer.request "X-Forwarded-For: 192.0.2.1\r\n")
        assert.equal(101, p:read_response().status)
        assert.equal(({ "192.0.2.1", "192.0.2.9:1" })[i], seen[i].remote)
      end
    end)
  end)

  for where, path in pairs { ["over TCP"] = false, ["over a Unix socket"] = os.tmpname() } do
    it("have their clients counted, and not themselves, for max_connections_per_address " .. where, function()
      local address = path and "unix:" .. path or nil
      if path then os.remove(path) end
      local options = { address = address, trusted_proxies = { "127.0.0.1", "unix" }, max_connections_per_address = 1 }
      scene.play(options, function(s)
        local function status(forwarded)
          local p = s:connect()
          p:send(peer.request(forwarded and ("X-Forwarded-For: %s\r\n"):format(forwarded)))
          return p:read_response().status
        end
        for _ = 1, 3 do s:connect() end -- handshakes under way: nobody knows whose
        assert.equal(101, status "192.0.2.1")
        assert.equal(101, status "192.0.2.2")
        assert.equal(429, status "192.0.2.1")
        assert.equal(429, status "192.0.2.77, 192.0.2.2") -- what it claims does not help it
        assert.equal(101, status "2001:db8::1")
        assert.equal(429, status "2001:db8::2")
        for _ = 1, 2 do assert.equal(101, status(nil)) end
        for _ = 1, 2 do assert.equal(101, status "unknown") end
      end)
    end)
  end

  it("may be many: one that does not come last is found", function()
    local proxies = {}
    for i = 1, 2000 do proxies[i] = ("10.%d.%d.0/24"):format(i // 256, i % 256) end
    table.insert(proxies, 1000, "127.0.0.1")
    local seen = {}
    scene.play({ trusted_proxies = proxies, handler = recorder(seen) }, function(s)
      proxies[1000] = nil
      collectgarbage()
      assert.equal("192.0.2.1", (addresses(s, seen, "192.0.2.1")))
    end)
  end)

  local wrong = {
    [{}] = "the list is empty", ["127.0.0.1"] = "a list of strings expected", [{ 1 }] = "entry 1 is not a string",
    [{ "localhost" }] = "an address or a network such as '10.0.0.0/8' expected, got 'localhost'",
    [{ "127.0.0.1", "10.0.0.0/33" }] = "got '10.0.0.0/33'", [{ "::1/129" }] = "got '::1/129'",
    [{ "10.0.0.0/" }] = "got '10.0.0.0/'", [{ "10.0.0.0/-1" }] = "got '10.0.0.0/-1'", [{ "[::1]" }] = "got '[::1]'",
    [{ "127.0.0.1:80" }] = "got '127.0.0.1:80'", [{ "Unix" }] = "got 'Unix'", [{ "" }] = "got ''",
    [{ "10.0.0.1/8" }] = "'10.0.0.1/8' has bits behind the first 8: a network is written with its first address",
    [{ "10.128.0.0/8" }] = "has bits behind", [{ "10.0.1.0/8" }] = "has bits behind",
    [{ "2001:db8::1/64" }] = "has bits behind",
    [{ "0.0.0.1/0" }] = "has bits behind",
  }
  for value, words in pairs(wrong) do
    it("are not " .. (type(value) == "table" and ("{ %s }"):format(value[#value]) or value), function()
      local ok, message = pcall(moonsocket.serve, "127.0.0.1:0", print, { trusted_proxies = value })
      assert.is_false(ok)
      assert.truthy(message:find(words, 1, true), message)
      assert.truthy(message:find("option 'trusted_proxies': ", 1, true), message)
    end)
  end

  it("are networks of any size", function()
    local all = { "unix" }
    for bits = 0, 32 do all[#all + 1] = "0.0.0.0/" .. bits end
    for bits = 0, 128 do all[#all + 1] = "::/" .. bits end
    for bits = 1, 128 do all[#all + 1] = "8000::/" .. bits end
    assert(moonsocket.serve("127.0.0.1:0", print, { trusted_proxies = all })):shutdown()
  end)
end)
