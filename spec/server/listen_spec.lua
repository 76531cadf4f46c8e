-- Where a server can listen, and what it says where it cannot.
local moonsocket = require "moonsocket"
local core = require "moonsocket.core"
local peer = require "spec.support.peer"
local program = require "spec.support.program"
local raw = require "raw"
local scene = require "spec.support.scene"

local LUA = os.getenv "LUA" or "lua5.4"
local ENOENT, EBADF, EINVAL, ENAMETOOLONG = 2, 9, 22, 36
local ENOTSOCK, EADDRINUSE, EADDRNOTAVAIL = 88, 98, 99

local function ignore(ws) ws:on_message(function() end) end

local function shut_down(...)
  for _, server in ipairs { ... } do server:shutdown() end
end

-- What serve says: message, errno. Where it listens against all expectation, that ends before the spec fails.
local function refused(address, options)
  local server, message, code = moonsocket.serve(address, ignore, options)
  if server then server:shutdown { drain = 0 } end
  assert.is_nil(server)
  return message, code
end

-- Whether the machine has IPv6 at all.
local has_ipv6 = (function()
  local server = moonsocket.serve("[::1]:0", ignore)
  if server then server:shutdown() end
  return server ~= nil
end)()

-- Whether somebody answers there; then the request's remote_address.
local function reach(s, host)
  local fd, wrong = raw.connect(host, s.server.port)
  if not fd then
    assert.matches("refused", wrong)
    return nil
  end
  raw.close(fd)
  local known = #s.records
  local p = s:keep(peer.open { host = host, port = s.server.port })
  s.await("the handler", function() return #s.records > known end)
  p:send(peer.text("hello"))
  assert.equal("text hello", peer.describe(assert(p:read_frame())))
  return s.last.remote_address
end

local function noting(ws, request, record)
  record.remote_address = request.remote_address
  ws:on_message(function(message, kind) ws:send(message, kind) end)
end

describe("a TCP address", function()
  -- Even a machine whose interfaces have no IPv6 address may have the sockets.
  local everywhere = has_ipv6 and "%[::%]" or "[%[%]:0.]+"
  -- address, the pattern of server.address's host, and whether it can be reached over IPv4 and IPv6
  local cases = {
    { "127.0.0.1:0", "127%.0%.0%.1", true, false },
    { "localhost:0", "127%.0%.0%.1", true, false },
    { ":0", everywhere, true, has_ipv6 },
    { 0, everywhere, true, has_ipv6 },
    { 0.0, everywhere, true, has_ipv6 },
  }
  if has_ipv6 then cases[#cases + 1] = { "[::1]:0", "%[::1%]", false, true } end
  for _, case in ipairs(cases) do
    local address, host, ipv4, ipv6 = table.unpack(case)
    it(("may be %s (%s)"):format(address, math.type(address) or "string"), function()
      scene.play({ address = address, handler = noting }, function(s)
        assert.matches(("^%s:%d$"):format(host, s.server.port), s.server.address)
        assert.is_true(s.server.port > 0)
        local over_ipv4 = reach(s, "127.0.0.1")
        assert.equal(ipv4, over_ipv4 ~= nil)
        if ipv4 then assert.matches("^127%.0%.0%.1:%d+$", over_ipv4) end
        local over_ipv6 = has_ipv6 and reach(s, "::1") or nil
        assert.equal(ipv6, over_ipv6 ~= nil)
        if ipv6 then assert.matches("^%[::1%]:%d+$", over_ipv6) end
      end)
    end)
  end

  it("may have its port, as a number or in a string", function()
    local free = assert(moonsocket.serve(0, ignore))
    local port = free.port
    free:shutdown()
    for _, address in ipairs { port, ":" .. port, "127.0.0.1:" .. port } do
      scene.play({ address = address, handler = noting }, function(s)
        assert.equal(port, s.server.port)
        assert.matches("^127", reach(s, "127.0.0.1"))
      end)
    end
  end)

  it("that is in use gives nil, a message and errno", function()
    local first = assert(moonsocket.serve("127.0.0.1:0", ignore))
    local message, code = refused(first.address)
    shut_down(first)
    assert.equal(("cannot listen on %s: Address already in use"):format(first.address), message)
    assert.equal(EADDRINUSE, code)
  end)

  it("that is not this machine's gives nil, a message and errno", function()
    local message, code = refused "203.0.113.1:0" -- RFC 5737: nobody's
    assert.equal("cannot listen on 203.0.113.1:0: Cannot assign requested address", message)
    assert.equal(EADDRNOTAVAIL, code)
  end)

  it("with a host that nobody can have gives nil, a message and errno", function()
    local host = ("x"):rep(64) .. ".invalid" -- RFC 1035 section 2.3.4: a label has at most 63 characters
    local message, code = refused(host .. ":0")
    assert.matches("^cannot listen on x+%.invalid:0: .*%a", message)
    assert.equal(EADDRNOTAVAIL, code)
  end)

  it("that failed leaves nothing behind", function()
    local held, descriptors = core.held(), raw.descriptors()
    refused("203.0.113.1:0", { subprotocols = { "chat" } })
    assert.same({ held, descriptors }, { core.held(), raw.descriptors() })
    moonsocket.run() -- returns: nothing is left
  end)
end)

describe("what is no address", function()
  local wrong = {
    "", "localhost", "8080", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:-1", "127.0.0.1:65536", "127.0.0.1: 80", ":99999",
    "127.0.0.1:99999999999999999999", "127.0.0.1\0:80", "::1:80", "[::1]", "[::1]:", "[::1:80", "[local host]:80",
    "unix:", "unix:/tmp/a\0b", "fd:", "fd:x", "fd:-1", "fd:99999999999", "fd:9223372036854775807",
    "fd:99999999999999999999", -1, 65536, 80.5, math.huge, 0 / 0, true, {}, print,
  }
  for _, address in ipairs(wrong) do
    it(("is the caller's mistake: %q"):format(tostring(address)):gsub("0x%x+", "..."), function()
      local ok, message = pcall(refused, address)
      assert.is_false(ok)
      assert.matches(type(address) == "number" and "serve: port " or "serve: .* address", message)
    end)
  end

  it("is told at the caller's line", function()
    local ok, message = pcall(function() moonsocket.serve(nil, ignore) end)
    assert.is_false(ok)
    assert.matches("^[^:]*listen_spec%.lua:%d+: serve: an address is a port number or a string, not a nil", message)
  end)
end)

describe("a Unix socket", function()
  local path, other

  before_each(function()
    path = os.tmpname()
    os.remove(path)
    other = path .. ".other"
  end)

  after_each(function()
    os.remove(path)
    os.remove(other)
  end)

  local function exists(name) return os.rename(name, name) ~= nil end

  local function write(name, text)
    local file = assert(io.open(name, "w"))
    file:write(text)
    file:close()
  end

  -- A socket's file whose listener is gone, as a killed process leaves it.
  local function leave_stale()
    local server = assert(moonsocket.serve("unix:" .. other, ignore))
    assert(os.rename(other, path)) -- so that the server does not find it
    server:shutdown()
    assert(exists(path))
  end

  it("is listened on, and its file removed afterwards", function()
    scene.play({ address = "unix:" .. path, handler = noting }, function(s)
      assert.same({ "unix:" .. path }, { s.server.address, s.server.port })
      assert.is_true(exists(path))
      local p = s:open()
      p:send(peer.text("hello"))
      assert.equal("text hello", peer.describe(assert(p:read_frame())))
      assert.equal("unix:", s.last.remote_address)
      p:send(peer.close(1000, "bye"))
      local outcome = s:outcome(p)
      assert.same({ "close 1000", 1000, "bye" }, { outcome.wire[1], outcome.code, outcome.reason })
    end)
    assert.is_false(exists(path))
  end)

  it("whose listener is gone is taken over", function()
    leave_stale()
    scene.play({ address = "unix:" .. path }, function(s)
      local p = s:open()
      p:send(peer.text("mine now"))
      assert.equal("text mine now", peer.describe(assert(p:read_frame())))
    end)
    assert.is_false(exists(path))
  end)

  it("that somebody listens on is left to them", function()
    scene.play({ address = "unix:" .. path }, function(s)
      local message, code = refused("unix:" .. path)
      assert.equal(("cannot listen on unix:%s: Address already in use"):format(path), message)
      assert.equal(EADDRINUSE, code)
      s:open()
    end)
  end)

  it("is not made of a file that is something else", function()
    write(path, "precious")
    assert.equal(EADDRINUSE, select(2, refused("unix:" .. path)))
    assert.equal("precious", io.open(path):read "a")
  end)

  it("does not take with it a file that somebody has put in its place", function()
    local server = assert(moonsocket.serve("unix:" .. path, ignore))
    os.remove(path)
    write(path, "precious")
    server:shutdown()
    assert.is_true(exists(path))
  end)

  it("has a path of limited length, in a folder that exists", function()
    local long = "/tmp/" .. ("x"):rep(200)
    local message, code = refused("unix:" .. long)
    assert.equal(("cannot listen on unix:%s: File name too long"):format(long), message)
    assert.equal(ENAMETOOLONG, code)
    message, code = refused("unix:" .. path .. "/no/such")
    assert.matches(": No such file or directory$", message)
    assert.equal(ENOENT, code)
  end)

  it("holds no more connections than its backlog while nobody accepts", function()
    local waiting = {}
    local server = assert(moonsocket.serve("unix:" .. path, ignore, { backlog = 3 }))
    local fd, wrong
    repeat
      fd, wrong = raw.connect_unix(path)
      waiting[#waiting + 1] = fd
    until not fd or #waiting > 10
    for _, each in ipairs(waiting) do raw.close(each) end
    server:shutdown { drain = 0 }
    assert.matches("temporarily unavailable", wrong)
    assert.equal(4, #waiting) -- Linux lets one more wait
  end)
end)

describe("the end of a server", function()
  local path = os.tmpname()
  os.remove(path)
  for family, address in pairs { TCP = "127.0.0.1:0", Unix = "unix:" .. path } do
    it("resets nobody who waits to be accepted, " .. family, function()
      scene.play({ address = address }, function(s)
        local waiting = {}
        for i = 1, 3 do waiting[i] = s:connect() end -- the loop does not run meanwhile
        assert.same({ 0, 0 }, { s.server:shutdown() })
        for _, p in ipairs(waiting) do assert.equal(503, p:read_response().status) end
      end)
    end)
  end

  it("serves those who waited to be accepted while it spreads the Close frames", function()
    scene.play({}, function(s)
      local p = s:connect()
      moonsocket.go(function() s.server:shutdown { code = 1012, spread = 0.2 } end)
      p:send(peer.request() .. peer.text "hello")
      assert.matches("^HTTP/1%.1 101 ", p:read_head())
      local frames = {}
      for i = 1, 2 do frames[i] = peer.describe(p:read_frame()) end
      assert.same({ "text hello", "close 1012" }, frames)
      p:send(peer.close(1012))
      assert.is_true(s:outcome(p).clean)
    end)
  end)
end)

describe("an inherited descriptor", function()
  it("is listened on, and closed at the end", function()
    local fd, port = raw.listen()
    local server = assert(moonsocket.serve("fd:" .. fd, function(ws) ws:close(1000, "hello") end))
    local p = peer.open(server)
    local frame = peer.describe(assert(p:read_frame()))
    p:drop()
    server:shutdown()
    assert.same({ "close 1000 hello", "127.0.0.1:" .. port, port }, { frame, server.address, server.port })
    assert.is_nil((raw.connect("127.0.0.1", port)))
    assert.is_nil((raw.close(fd)))
  end)

  it("is what a service manager hands on as descriptor 3", function()
    local listening, port = raw.listen()
    local pid, output = raw.spawn({ LUA, "-e", [[
      local moonsocket = require "moonsocket"
      local server = assert(moonsocket.serve("fd:3", function(ws)
        ws:on_message(function(message) ws:send(message) end)
      end))
      moonsocket.run()
      print("port " .. server.port)
    ]] }, listening)
    assert(pid, output)
    raw.close(listening)
    local p = peer.open { port = port } -- the connection waits in the backlog until the program is there
    p:send(peer.text("who is there?"))
    local echo = peer.describe(assert(p:read_frame()))
    raw.kill(pid, 15)
    local close = peer.describe(assert(p:read_frame()))
    p:send(peer.close(1001))
    p:drop()
    local said = {}
    while true do
      local bytes, wrong = raw.read(output, 4096)
      if wrong == "wait" then moonsocket.wait(output, "r", peer.TIMEOUT) elseif not bytes then break end
      said[#said + 1] = bytes
    end
    raw.close(output)
    assert.same({ "text who is there?", "close 1001", 0, ("port %d\n"):format(port) },
      { echo, close, raw.reap(pid), table.concat(said) })
  end)

  it("leaves those who wait to be accepted to whoever shares it", function()
    local listening, port = raw.listen()
    program.run_command(function()
      local server = assert(moonsocket.serve("fd:" .. listening, scene.echo))
      local p = peer.connect { port = port }
      p:send(peer.request())
      assert.same({ 0, 0 }, { server:shutdown() })
      local bytes, wrong = raw.receive(p.fd, 1)
      p:drop()
      assert.same({ nil, "wait" }, { bytes, wrong })
    end, { "sleep", "60" }, listening)
  end)

  it("must be a listening socket, and is otherwise left alone", function()
    scene.play({}, function(s)
      local p = s:open()
      local file = assert(io.tmpfile())
      local cases = { { p.fd, "Invalid argument", EINVAL }, { 999, "Bad file descriptor", EBADF } }
      for _, case in ipairs(cases) do
        local message, code = refused("fd:" .. case[1])
        assert.equal(("cannot listen on fd:%d: %s"):format(case[1], case[2]), message)
        assert.equal(case[3], code)
      end
      local pid, output = raw.spawn { "true" }
      local message, code = refused("fd:" .. output)
      raw.reap(pid)
      raw.close(output)
      assert.same({ "Socket operation on non-socket", ENOTSOCK }, { message:match ": (.*)$", code })
      file:close()
      p:send(peer.text("still open"))
      assert.equal("text still open", peer.describe(assert(p:read_frame())))
    end)
  end)
end)

describe("reuse_port", function()
  it("lets several servers share a port, and the kernel deal the connections out", function()
    local second_opened = 0
    scene.play({ reuse_port = true }, function(s)
      local second = assert(moonsocket.serve(s.server.address, function(ws)
        second_opened = second_opened + 1
        ws:on_message(function() end)
      end, { reuse_port = true }))
      local n = 0
      repeat
        s:open()
        n = n + 1
      until n == 64 or (#s.records > 0 and second_opened > 0)
      second:shutdown { drain = 0 }
      assert.is_true(#s.records > 0 and second_opened > 0, "of 64 connections all went to one")
      assert.equal(n, #s.records + second_opened)
    end)
  end)

  it("is for those alone who all ask for it", function()
    scene.play({ reuse_port = true }, function(s)
      assert.equal(EADDRINUSE, select(2, refused(s.server.address)))
    end)
    scene.play({}, function(s)
      assert.equal(EADDRINUSE, select(2, refused(s.server.address, { reuse_port = true })))
    end)
  end)
end)

describe("a server that nobody holds", function()
  it("goes on listening, and is collected after its end", function()
    local servers = setmetatable({}, { __mode = "k" })
    local port = (function()
      local server = assert(moonsocket.serve("127.0.0.1:0", function(ws) ws:close(1000, "still here") end))
      servers[server] = true
      return server.port
    end)()
    collectgarbage()
    collectgarbage()
    local p = peer.open { port = port }
    assert.equal("close 1000 still here", peer.describe(assert(p:read_frame())))
    p:send(peer.close(1000))
    assert.same({ "", "fin" }, { p:read_rest() })
    p:drop()
    next(servers):shutdown()
    for _ = 1, 3 do collectgarbage() end -- found dead, finalized, removed
    assert.is_true(next(servers) == nil)
  end)
end)

describe("run", function()
  it("ends when the last server is shut down", function()
    local order = {}
    local first, second = assert(moonsocket.serve("127.0.0.1:0", ignore)), assert(moonsocket.serve(0, ignore))
    moonsocket.go(function()
      first:shutdown()
      order[#order + 1] = "first"
      moonsocket.sleep(0.005)
      order[#order + 1] = "second"
      second:shutdown()
    end)
    moonsocket.run { signals = false }
    assert.same({ "first", "second" }, order)
    assert.equal(0, core.held())
  end)
end)
