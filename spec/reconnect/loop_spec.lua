-- for ws, attempt in client:connections(): the same client, as a loop.
local core = require "moonsocket.core"
local moonsocket = require "moonsocket"
local program = require "spec.support.program"
local raw_server = require "spec.support.raw_server"
local scene = require "spec.support.reconnect_scene"

local text, close = raw_server.text, raw_server.close

-- Plays the server's part beside the loop; errors in it fail the spec at the end of the scene.
local function beside(s, script)
  local job = { s = s }
  moonsocket.go(function() job.ok, job.wrong = xpcall(script, debug.traceback) end)
  return function()
    s.await("the end of the server's script", function() return job.ok ~= nil end)
    assert(job.ok, job.wrong)
  end
end

-- The next connection, upgraded, with bytes behind the 101.
local function accept(s, bytes)
  local connection = s.server:accept()
  connection:upgrade(nil, bytes)
  return connection
end

describe("a loop over connections", function()
  it("gets each connection, and which attempt it was; what fails goes to on_down", function()
    scene.play(function(s)
      local join = beside(s, function()
        s:shake(accept(s, text "a" .. close(1001)), "")
        s:answer "HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\nno"
        accept(s, text "b" .. text "c"):drop()
        s:shake(accept(s, text "d" .. close(1008)), "")
      end)
      local client, log = s:looped()
      local got = {}
      for ws, attempt in client:connections() do
        assert.equal(ws, client.ws)
        got[#got + 1] = attempt
        for message in ws:messages() do got[#got + 1] = message end
        got[#got + 1] = ws.close_code
      end
      join()
      assert.same({ 1, "a", 1001, 3, "b", "c", 1006, 4, "d", 1008 }, got)
      local downs = {}
      for i, told in ipairs(log.downs) do downs[i] = told.code or told.info.status end
      assert.same({ 1001, 503, 1006, 1008 }, downs)
      assert.same({ true, nil, nil }, { client.stopped, client.ws, log.downs[4].delay })
    end)
  end)

  it("begins nothing before its first step, nor while its body works", function()
    scene.play(function(s)
      local client, log = s:looped()
      s:nobody_comes()
      local join = beside(s, function() accept(s):drop() end)
      for ws, attempt in client:connections() do
        if attempt == 2 then break end
        join()
        ws:wait_closed()
        s:nobody_comes()
        assert.equal(0, #log.downs)
        join = beside(s, function() s:shake(accept(s)) end)
      end
      join()
      assert.same({ 1006, 1000 }, { log.downs[1].code, log.downs[2].code })
    end)
  end)

  it("closes with 1000 what its body leaves open, also where a message stands before the peer's Close", function()
    scene.play(function(s)
      local join = beside(s, function()
        for _ = 1, 2 do assert.equal(1000, s:shake(accept(s, text "unread")).code) end
      end)
      local client, log = s:looped { close_timeout = 3600 }
      local n = 0
      for _ in client:connections() do
        n = n + 1
        if n == 2 then client:stop() end
      end
      join()
      assert.equal(2, n)
      for i = 1, 2 do assert.same({ 1000, true }, { log.downs[i].code, log.downs[i].info.clean }) end
    end)
  end)

  it("keeps what its body set up: on_message, on_close and its fields", function()
    scene.play(function(s)
      local got = {}
      local join = beside(s, function() s:shake(accept(s, text "a"), text "b" .. close(1000)) end)
      local client = s:looped()
      for ws in client:connections() do
        ws.user = "ann"
        ws:on_message(function(message) got[#got + 1] = ws.user .. message end)
        ws:on_close(function(code) got[#got + 1] = code end)
        ws:wait_closed()
        client:stop()
      end
      join()
      assert.same({ "anna", "annb", 1000 }, got)
    end)
  end)

  it("sends what was queued, behind what its body sends first", function()
    scene.play(function(s)
      local client = s:looped { queue = 2 }
      client:send "two"
      local join = beside(s, function()
        local connection = accept(s)
        for _, wanted in ipairs { "one", "two", "three" } do
          assert.equal(wanted, connection:read_frame().payload)
        end
        connection:drop()
      end)
      for ws in client:connections() do
        ws:send "one"
        client:send "three"
        ws:wait_closed()
        client:stop()
      end
      join()
    end)
  end)

  for name, leave in pairs { ["break"] = function() return true end, ["an error"] = function() error "enough" end } do
    it("that is left by " .. name .. " stops the client, and waits for the end of its connection", function()
      scene.play(function(s)
        local held = core.held()
        local client, log = s:looped { close_timeout = 3600 }
        local join = beside(s, function() assert.equal(1000, s:shake(accept(s, text "unread")).code) end)
        local ok, wrong = pcall(function()
          for _ in client:connections() do
            if leave() then break end
          end
        end)
        assert.equal(name == "break", ok)
        assert.is_truthy(ok or wrong:find "enough$", wrong)
        assert.same({ true, nil }, { client.stopped, client.ws })
        assert.same({ 1000, true, nil }, { log.downs[1].code, log.downs[1].info.clean, log.downs[1].delay })
        join()
        s.await("a loop without the client", function() return core.held() == held end)
        s:nobody_comes()
      end)
    end)
  end

  for name, options in pairs { ["in a pause"] = scene.LONG, ["in an attempt"] = { timeout = 3600 } } do
    it("ends when the client is stopped " .. name, function()
      scene.play(function(s)
        local client, log = s:looped(options)
        local join = beside(s, function()
          local connection = s.server:accept()
          connection:read_request()
          if options == scene.LONG then
            connection:drop()
            s:down(log, 1)
          end
          client:stop()
          connection:drop()
        end)
        for _ in client:connections() do error "a connection?" end
        assert.equal(options == scene.LONG and 1 or 0, #log.downs)
        join()
      end)
    end)
  end

  it("of a client that was stopped has no step", function()
    local client = moonsocket.reconnect "ws://127.0.0.1:1/"
    client:stop()
    for _ in client:connections() do error "a connection?" end
    assert.equal(0, core.held())
  end)

  it("is the only one, and there is none beside on_open", function()
    local client = moonsocket.reconnect "ws://127.0.0.1:1/"
    client:connections()
    local other = moonsocket.reconnect("ws://127.0.0.1:1/", { on_open = print })
    for message, each in pairs { ["there has been a loop"] = client, ["on_open gets this client's"] = other } do
      local ok, wrong = pcall(function() each:connections() end)
      assert.is_false(ok)
      assert.matches("loop_spec.lua:%d+: connections: " .. message, wrong)
    end
    other:stop()
    moonsocket.run { signals = false }
  end)

  it("runs at top level, and a connection that it leaves open ends well before the program does", function()
    program.run(function(self)
      self:await "^server\t4000$"
      self:await "^server\t1000$"
      self:await "^client\t1000\tnil$"
      assert.equal(0, self:finish())
    end, "-e", [[
      local moonsocket = require "moonsocket"
      local server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
        ws:on_close(function(code) print("server", code) end)
        ws:send "hello"
        ws:receive()
        if ws.close_code == 1005 then return end
        ws:close(4000)
      end))
      local client = moonsocket.reconnect("ws://" .. server.address, { min_delay = 0.001,
        on_down = function(code, _, _, delay) if not delay then print("client", code, delay) end end })
      for ws, attempt in client:connections() do
        assert(ws:receive() == "hello")
        if attempt == 2 then break end
        ws:send "and again"
        ws:wait_closed()
      end
    ]])
  end)

  it("in a coroutine that somebody closes stops the client all the same", function()
    program.run(function(self)
      self:await "^closed\ttrue$"
      self:await "^down\t1000\tnil$"
      assert.equal(0, self:finish())
    end, "-e", [[
      local moonsocket = require "moonsocket"
      local listener = require "spec.support.raw_server".listen()
      local client = moonsocket.reconnect(listener.url, { on_down = function(code, _, _, delay)
        print("down", code, delay)
      end })
      local co
      moonsocket.go(function()
        for ws in client:connections() do
          co = coroutine.running()
          ws:wait_closed()
        end
      end)
      moonsocket.go(function()
        local connection = listener:accept()
        connection:upgrade()
        while not co do moonsocket.sleep(0) end
        print("closed", coroutine.close(co))
        connection:send(connection.close(connection:read_to "close".code))
        connection:drop()
      end)
      moonsocket.run()
    ]])
  end)
end)
