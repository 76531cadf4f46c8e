-- client:stop, at every moment of a client's life; afterwards nothing of it is left.
local certificates = require "spec.support.certificates"
local core = require "moonsocket.core"
local moonsocket = require "moonsocket"
local program = require "spec.support.program"
local raw = require "raw"
local raw_server = require "spec.support.raw_server"
local scene = require "spec.support.reconnect_scene"

-- Nothing of the client is in the loop any more, and it was told nothing but this many on_open and on_down.
local function assert_gone(s, held, log, opens, downs)
  s.await("a loop without the client", function() return core.held() == held end)
  assert.same({ opens, downs }, { #log.attempts, #log.downs })
end

describe("stop()", function()
  it("before the first turn: it never connects", function()
    scene.play(function(s)
      local held = core.held()
      local client, log = s:start()
      client:stop()
      client:stop()
      assert.is_true(client.stopped)
      assert_gone(s, held, log, 0, 0)
      s:nobody_comes()
    end)
  end)

  it("in a pause: it is over at once", function()
    scene.play(function(s)
      local held = core.held()
      local client, log = s:start(scene.LONG)
      s:admit(client):drop()
      s:down(log, 1)
      client:stop()
      assert_gone(s, held, log, 1, 1)
      s:nobody_comes()
    end)
  end)

  it("while a name is looked up: it is over at once", function()
    scene.play(function(s)
      local held = core.held()
      local client, log = s:start(scene.LONG, "ws://nobody.invalid/")
      for _ = 1, 3 do moonsocket.sleep(0) end
      client:stop()
      s.await("a loop without the client", function() return core.held() == held end)
      assert.is_true(#log.downs <= 1) -- where there is no network the name is unknown at once
    end)
  end)

  it("while TCP is not answered: it is over at once", function()
    scene.play({ backlog = 0 }, function(s)
      local first = raw.connect("127.0.0.1", s.server.port) -- fills the backlog
      local held = core.held()
      local client, log = s:start { timeout = 3600 }
      for _ = 1, 5 do moonsocket.sleep(0) end
      client:stop()
      assert_gone(s, held, log, 0, 0)
      raw.close(first)
    end)
  end)

  local AUTHENTIC = { ca = certificates.path "ca.pem" }
  for name, case in pairs {
    ["before the server's answer"] = { function() end },
    ["in the head of the answer"] = { function(connection) connection:send "HTTP/1.1 101 Swi" end },
    ["after a 103"] = { function(connection) connection:send "HTTP/1.1 103 Early Hints\r\n\r\n" end },
    ["in the body of a refusal"] = {
      function(connection) connection:send "HTTP/1.1 503 X\r\nContent-Length: 10\r\n\r\nhalf" end,
    },
    ["in the TLS handshake"] = { nil, "wss" },
  } do
    it(name .. ": the attempt is dropped at once, and nobody is told", function()
      scene.play(function(s)
        local held = core.held()
        local url = case[2] and s.url:gsub("^ws", case[2]) or nil
        local client, log = s:start({ timeout = 3600, tls = case[2] and AUTHENTIC }, url)
        local connection = s.server:accept()
        if case[1] then
          connection:read_request()
          case[1](connection)
        else
          assert.equal("\x16", connection:read(1)) -- a ClientHello (RFC 8446 section 5.1)
        end
        for _ = 1, 5 do moonsocket.sleep(0) end
        client:stop()
        assert.equal("reset", (select(2, connection:read_rest())))
        connection:drop()
        assert_gone(s, held, log, 0, 0)
        s:nobody_comes()
      end)
    end)
  end

  it("in the turn in which the connection opens: it is closed with 1000, and nobody is told", function()
    scene.play(function(s)
      local held = core.held()
      local client, log = s:start { close_timeout = 3600 }
      local connection = s.server:accept()
      local near = raw.connect("127.0.0.1", s.server.port)
      local far = s.server:accept()
      moonsocket.go(function()
        moonsocket.wait(near, "r")
        client:stop()
      end)
      moonsocket.sleep(0)
      far:send "x" -- ready before the 101 is, and so called before it, in one turn
      connection:upgrade(nil, raw_server.text "hello")
      assert.equal(1000, s:shake(connection).code)
      raw.close(near)
      far:drop()
      assert_gone(s, held, log, 0, 0)
    end)
  end)

  for _, name in ipairs { "elsewhere", "on_open", "on_message", "on_close" } do
    it(("from %s: the connection is closed with 1000, of which on_down is told"):format(name), function()
      scene.play(function(s)
        local held = core.held()
        local client, log, asked
        client, log = s:start { should_retry = function() asked = true end, on_open = function(ws)
          ws:on_message(function() if name == "on_message" then client:stop() end end)
          ws:on_close(function() if name == "on_close" then client:stop() end end)
          if name == "on_open" then client:stop() end
        end }
        local connection = s.server:accept()
        connection:upgrade(nil, raw_server.text "hello")
        s.await("an open client", function() return client.ws end)
        if name == "elsewhere" then client:stop() end
        if name == "on_close" then client.ws:close() end
        assert.equal(1000, s:shake(connection).code)
        local told = s:down(log, 1)
        assert.same({ 1000, true, "local", nil }, { told.code, told.info.clean, told.info.by, told.delay })
        assert.same({}, { client.ws, asked })
        assert_gone(s, held, log, 1, 1)
        s:nobody_comes()
      end)
    end)
  end

  it("from on_down: it does not come back, though a delay was told", function()
    scene.play(function(s)
      local held = core.held()
      local client, log
      client, log = s:start { on_down = function() client:stop() end }
      s:admit(client):drop()
      assert.is_number(s:down(log, 1).delay)
      assert_gone(s, held, log, 1, 1)
      s:nobody_comes()
    end)
  end)

  it("from should_retry: it does not come back, whatever the answer", function()
    scene.play(function(s)
      local held = core.held()
      local client, log
      client, log = s:start { should_retry = function()
        client:stop()
        return true
      end }
      s:admit(client):drop()
      assert.is_nil(s:down(log, 1).delay)
      assert_gone(s, held, log, 1, 1)
      s:nobody_comes()
    end)
  end)

  it("with messages that were queued: they are not sent", function()
    scene.play(function(s)
      local client = s:start { queue = 2 }
      client:send "one"
      local connection = s.server:accept()
      connection:upgrade()
      s.await("an open client", function() return client.ws end)
      client:stop()
      local frame, before = connection:read_to "close"
      assert.equal(1000, frame.code)
      assert.is_true(#before <= 1)
      connection:send(connection.close(1000))
      connection:drop()
    end)
  end)

  it("is what <close> does", function()
    scene.play(function(s)
      local held = core.held()
      do
        local client <close> = s:start(scene.LONG)
        s:admit(client):drop()
        s.await("its end", function() return not client.ws end)
      end
      s.await("a loop without the client", function() return core.held() == held end)
    end)
  end)
end)

describe("a client that nobody holds", function()
  it("goes on", function()
    scene.play(function(s)
      local opened, stop = 0, nil
      do
        local client
        client = moonsocket.reconnect(s.url, { min_delay = s.MIN, max_delay = s.MAX, on_open = function(ws)
          s.boxes[ws] = true
          ws:on_message(function() end)
          opened = opened + 1
          stop = opened == 2 and function() client:stop() end
        end })
      end
      for i = 1, 2 do
        local connection = s.server:accept()
        collectgarbage()
        connection:upgrade()
        s.await("on_open", function() return opened == i end)
        collectgarbage()
        if stop then stop() end
        if i == 1 then connection:drop() else s:shake(connection) end
        collectgarbage()
      end
    end)
  end)

  for name, options in pairs { ["that waits for a loop"] = {}, ["that was stopped"] = { on_open = print } } do
    it(name .. " is collected", function()
      local weak = setmetatable({ moonsocket.reconnect("ws://127.0.0.1:1/", options) }, { __mode = "v" })
      if options.on_open then weak[1]:stop() end
      moonsocket.run { signals = false }
      collectgarbage()
      collectgarbage()
      assert.is_nil(weak[1])
    end)
  end

  it("may be stopped by a finalizer, also while the state closes", function()
    program.run(function(self)
      self:await "^stopped$"
      assert.equal(0, self:finish())
    end, "-e", [[
      local moonsocket = require "moonsocket"
      local listener = require "spec.support.raw_server".listen()
      local client = moonsocket.reconnect(listener.url, { on_open = print })
      moonsocket.go(function() setmetatable({}, { __gc = function() client:stop() print "stopped" end }) end)
      for _ = 1, 5 do moonsocket.step() end
    ]])
  end)
end)

describe("SIGTERM", function()
  it("ends a program whose clients pause, connect, and are open", function()
    program.run(function(self)
      self:await "^ready$"
      assert.equal(0, self:stop())
      assert.same({ "1001\tnil", "after run\t0" }, { self.lines[#self.lines - 1], self.lines[#self.lines] })
    end, "-e", [[
      local core = require "moonsocket.core"
      local moonsocket = require "moonsocket"
      local raw_server = require "spec.support.raw_server"
      local left = 3
      local function one_less()
        left = left - 1
        if left == 0 then print "ready" end
      end
      moonsocket.reconnect("ws+unix:/nowhere/at/all", { min_delay = 3600, max_delay = 3600, on_open = print,
        on_down = one_less })
      local silent = raw_server.listen()
      moonsocket.reconnect(silent.url, { timeout = 3600, on_open = print, on_down = print })
      moonsocket.go(function()
        silent:accept():read_request()
        one_less()
      end)
      local server = raw_server.listen()
      moonsocket.reconnect(server.url, { min_delay = 0.001, on_open = one_less,
        on_down = function(code, _, _, delay) print(code, delay) end })
      moonsocket.go(function()
        local connection = server:accept()
        connection:upgrade()
        connection:send(connection.close(connection:read_to "close".code))
        connection:fin()
      end)
      moonsocket.run()
      moonsocket.run { signals = false }
      print("after run", core.held())
    ]])
  end)
end)
