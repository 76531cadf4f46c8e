-- A server of ours over TLS, clients of ours, Python's peers, and a line between that can be cut or damaged.
local assert = require "luassert"
local certificates = require "spec.support.certificates"
local moonsocket = require "moonsocket"
local program = require "spec.support.program"
local raw = require "raw"
local stage = require "spec.support.stage"

local tls_scene = {}

--- Plays in a task; afterwards nothing may be left.
function tls_scene.run(play) stage.run(play, function() end, {}) end

--- An echo for the time of a play(url, endings, server); "bye" is closed with 4000.
-- @param options of the server, in the place of a certificate for localhost
function tls_scene.serve(options, play)
  local settings, endings = { tls = certificates.of "localhost", close_timeout = 0.5 }, {}
  for name, value in pairs(options) do settings[name] = value end
  tls_scene.run(function()
    local server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
      ws:on_message(function(message, kind)
        if message == "bye" then return ws:close(4000, "bye") end
        ws:send(message, kind)
      end)
      ws:on_close(function(code, reason, info)
        endings[#endings + 1] = { code = code, reason = reason, clean = info.clean, by = info.by, error = info.error }
      end)
    end, settings))
    local ok, wrong = xpcall(play, stage.traced, "wss://localhost:" .. server.port .. "/", endings, server)
    server:shutdown { drain = ok and 1 or 0 }
    if not ok then error(wrong, 0) end
  end)
end

--- Options of a client that trusts the ca; extra: more of the option tls.
function tls_scene.trusting(extra)
  local tls = { ca = certificates.path "ca.pem" }
  for name, value in pairs(extra or {}) do tls[name] = value end
  return { tls = tls }
end

--- Waits until the server has been told so many endings: a client may be gone before.
function tls_scene.await_endings(endings, count)
  stage.await("the server's on_close", function() return #endings >= count end)
  assert.equal(count, #endings)
end

--- Connects, is echoed, closes. options: of the client (default: it trusts the ca).
function tls_scene.visit(url, options)
  local ws = assert(moonsocket.connect(url, options or tls_scene.trusting()))
  assert(ws:send "hello")
  assert.equal("hello", ws:receive())
  ws:close(1000, "done")
  local code, _, info = ws:wait_closed()
  assert.same({ 1000, true, "local" }, { code, info.clean, info.by })
end

--- The same, and what the server was told.
function tls_scene.works(url, endings, options)
  tls_scene.visit(url, options)
  tls_scene.await_endings(endings, 1)
  assert.same({ code = 1000, reason = "done", clean = true, by = "peer" }, table.remove(endings))
end

--- Connects to Python's server, sends it the message for which it waits before it ends the connection, and returns what
-- on_close is told.
function tls_scene.end_by_peer(url, options)
  local ws = assert(moonsocket.connect(url, options))
  assert(ws:send "x")
  return ws:wait_closed()
end

--- Waits until that many handshakes with a server have failed; no connection may have opened.
-- @param status of HTTP, default: none
function tls_scene.await_failed(server, count, status)
  stage.await("a handshake that fails", function() return server:stats().refused[status or 0] == count end)
  assert.equal(0, server:stats().opened)
end

--- What connect says where it must fail.
function tls_scene.refusal(url, options)
  local ws, message = moonsocket.connect(url, options or tls_scene.trusting())
  if ws then
    ws:terminate()
    error("it connects", 2)
  end
  return message
end

--- Runs Python's peer (spec/tls/peer.py) beside a play(program), which is in a task.
function tls_scene.python(arguments, play)
  program.run_command(play, { "python3", "-W", "ignore", "spec/tls/peer.py", table.unpack(arguments) })
end

--- Python's client at a port: the lines that it prints.
function tls_scene.client_lines(port, ...)
  local lines
  tls_scene.python({ "client", tostring(port), ... }, function(p)
    assert.equal(0, p:finish(), table.concat(p.lines, "\n"))
    lines = p.lines
  end)
  return lines
end

--- Stands between a client and a port. relay.cut(how) ends both sides, "fin" or "reset"; relay.damage("up" | "down")
-- flips a bit of what next goes to the server, or comes from it; relay.ends: how each side ended, "fin" or "reset".
function tls_scene.relay(port)
  local listening, at = raw.listen()
  local relay, sockets, damaged = { port = at, ends = {} }, {}, {}
  local function forward(from, to, direction)
    while true do
      local bytes, why = raw.receive(from, 65536)
      if bytes then
        if damaged[direction] then
          bytes = bytes:sub(1, -2) .. string.char(bytes:byte(-1) ~ 1)
          damaged[direction] = nil
        end
        while #bytes > 0 do
          local n = raw.send(to, bytes)
          if not n then return end
          bytes = bytes:sub(n + 1)
          if #bytes > 0 then moonsocket.wait(to, "w", 0.02) end
        end
      elseif why ~= "wait" or relay.over then
        if not relay.over then
          relay.ends[direction] = why
          raw.fin(to)
        end
        return
      else
        moonsocket.wait(from, "r", 0.02) -- relay.cut may close it meanwhile
      end
    end
  end
  moonsocket.go(function()
    moonsocket.wait(listening, "r", 10)
    sockets = { assert(raw.accept(listening)), assert(raw.connect("127.0.0.1", port)) }
    moonsocket.go(forward, sockets[1], sockets[2], "up")
    forward(sockets[2], sockets[1], "down")
  end)
  function relay.damage(direction) damaged[direction] = true end
  function relay.cut(how)
    for _, fd in ipairs(sockets) do
      if how == "reset" then raw.reset(fd) else raw.fin(fd) end
    end
    relay.over, relay.reset = true, how == "reset"
  end
  function relay.close()
    relay.over = true
    if not relay.reset then
      for _, fd in ipairs(sockets) do raw.close(fd) end
    end
    raw.close(listening)
  end
  return relay
end

return tls_scene
