-- moonsocket's client through proxies that others wrote, tinyproxy and microsocks. `make interop` runs it.
local certificates = require "spec.support.certificates"
local moonsocket = require "moonsocket"
local ports = require "spec.support.ports"
local program = require "spec.support.program"
local stage = require "spec.support.stage"

local function tinyproxy_config(port)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(("Listen 127.0.0.1\nPort %d\nBasicAuth ann secret\nLogLevel Critical\n"):format(port))
  file:close()
  return path
end

-- scheme, command(port), and what is said where the password is wrong, and where nobody listens
local proxies = {
  tinyproxy = {
    scheme = "http", wrong_password = "the proxy answered 40[17] ", unreachable = "the proxy answered 50[0-4] ",
    command = function(port)
      local config = tinyproxy_config(port)
      return { "tinyproxy", "-d", "-c", config }, config
    end,
  },
  microsocks = {
    scheme = "socks5", wrong_password = "the proxy does not accept this user and password",
    unreachable = "the proxy could not connect: connection refused",
    command = function(port)
      return { "microsocks", "-i", "127.0.0.1", "-p", tostring(port), "-u", "ann", "-P", "secret" }
    end,
  },
}

-- Runs a proxy and an echo server of ours; play(connect, server's port, the proxy's process) runs as a task.
local function beside(proxy, tls, play)
  local ok, wrong
  moonsocket.run(function()
    local server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
      ws:on_message(function(message, kind) ws:send(message, kind) end)
    end, { tls = tls and certificates.of "localhost" or nil, max_message = 1 << 24, max_buffered = 1 << 24 }))
    local port = ports.free()
    local command, config = proxy.command(port)
    local function connect(to, user)
      return moonsocket.connect(("%s://localhost:%d/"):format(tls and "wss" or "ws", to), {
        proxy = ("%s://%s@127.0.0.1:%d"):format(proxy.scheme, user or "ann:secret", port),
        tls = tls and { ca = certificates.path "ca.pem" } or nil, max_message = 1 << 24, max_buffered = 1 << 24,
      })
    end
    ok, wrong = pcall(program.run_command, function(p)
      stage.await("the proxy", function() return ports.is_open(port) end)
      play(connect, server.port, p)
    end, command)
    if config then os.remove(config) end
    server:shutdown { drain = 0 }
  end)
  if not ok then error(wrong, 0) end
end

for name, proxy in pairs(proxies) do
  describe("through " .. name, function()
    teardown(certificates.remove)

    for scheme, tls in pairs { ws = false, wss = true } do
      it(scheme .. " carries messages and a Close", function()
        beside(proxy, tls, function(connect, port)
          local ws = assert(connect(port))
          for _, size in ipairs { 0, 125, 65536, 1 << 20 } do
            assert(ws:send(("x"):rep(size), "binary"))
            assert.equal(size, #assert(ws:receive(10)))
          end
          ws:close(3001, "ciao")
          local code, _, info = ws:wait_closed(10)
          assert.same({ 3001, true, "local" }, { code, info.clean, info.by })
        end)
      end)

      it(scheme .. " is told that the proxy is gone", function()
        beside(proxy, tls, function(connect, port, p)
          local ws = assert(connect(port))
          assert(ws:send "hello")
          assert.equal("hello", ws:receive(10))
          p:stop(9)
          local code, _, info = ws:wait_closed(10)
          assert.same({ 1006, false, "network" }, { code, info.clean, info.by })
        end)
      end)
    end

    it("a wrong password, or none, is told", function()
      beside(proxy, false, function(connect, port)
        local ws, message = connect(port, "ann:wrong")
        assert.is_nil(ws)
        assert.matches(proxy.wrong_password, message)
        ws, message = connect(port, "")
        assert.is_nil(ws)
        assert.matches("^the proxy ", message)
      end)
    end)

    it("a server that is not there is told", function()
      beside(proxy, false, function(connect)
        local ws, message = connect(ports.free())
        assert.is_nil(ws)
        assert.matches(proxy.unreachable, message)
      end)
    end)
  end)
end
