-- A Lua state that is closed while servers listen and connections are open: each still gets its one on_close, whatever
-- runs then, and nothing crashes, also in finalizers that run after moonsocket's own.
local program = require "spec.support.program"

-- What the programs begin with. connect(n) opens n connections to the program's own server.
local PRELUDE = [[
local moonsocket = require "moonsocket"
local raw, peer = require "raw", require "spec.support.peer"
local opened = 0
local function report(ws)
  ws:on_close(function(code, reason, info) print("closed", ws.id, code, reason, info.clean, info.by) end)
end
local function serve(handler)
  return assert(moonsocket.serve("127.0.0.1:0", function(ws, request)
    opened = opened + 1
    return handler(ws, request)
  end))
end
local function connect(server, n)
  local wanted, fd = opened + n, nil
  for _ = 1, n do
    fd = assert(raw.connect("127.0.0.1", server.port))
    raw.send(fd, peer.request())
  end
  while opened < wanted do moonsocket.step(0.01) end
  return fd
end
]]

-- Runs a program; returns its lines, those that tell of an on_close last and sorted, and its exit status.
local function run(text)
  local said, closed, status = {}, {}, nil
  program.run(function(p)
    status = p:finish()
    for _, line in ipairs(p.lines) do
      local list = line:find "^closed" and closed or said
      list[#list + 1] = line
    end
  end, "-e", PRELUDE .. text)
  table.sort(closed)
  table.move(closed, 1, #closed, #said + 1, said)
  return said, status
end

local function without_position(line)
  return (line:gsub("%(command line%):%d+: ", ""):gsub("%S+%.lua:%d+: ", ""))
end

local function closed(id) return ("closed\t%d\t1006\tthe Lua state was closed\tfalse\tlocal"):format(id) end

local ENDS = {
  ["falls off its end"] = { "", 0 },
  ["calls os.exit and closes the state"] = { "os.exit(3, true)", 3 },
  ["raises"] = { "error 'oops'", 1 },
  ["stops the loop first"] = { "moonsocket.after(0, moonsocket.stop) moonsocket.run()", 0 },
  ["leaves in a task"] = { "moonsocket.run(function() moonsocket.sleep(0) os.exit(4, true) end)", 4 },
  ["leaves in a message's handler"] = { [[
    server:connections()[1]:on_message(function() os.exit(5, true) end)
    for _, ws in ipairs(server:connections()) do ws:on_message(function() os.exit(5, true) end) end
    raw.send(fd, peer.text "leave")
    moonsocket.run()]], 5 },
}

describe("a Lua state that ends with open connections because the program", function()
  for name, way in pairs(ENDS) do
    it(name .. " tells each of them its end", function()
      local lines, status = run([[
        local server = serve(function(ws) ws:on_message(function() end) report(ws) end)
        local fd = connect(server, 3)]] .. "\n" .. way[1])
      assert.equal(way[2], status)
      assert.same({ closed(1), closed(2), closed(3) }, table.move(lines, #lines - 2, #lines, 1, {}))
      assert.equal(name ~= "raises", #lines == 3)
    end)
  end

  it("leaves in an on_close tells the others their end", function()
    local lines, status = run [[
      local server = serve(function(ws) ws:on_message(function() end) report(ws) end)
      connect(server, 3)
      local first = server:connections()[1]
      first:on_close(function(code, reason) print("left", code, reason) os.exit(6, true) end)
      first:terminate()
      moonsocket.run()]]
    assert.equal(6, status)
    assert.same({ "left\t1006\tterminated", closed(1), closed(2) }, lines)
  end)

  it("leaves once more in each on_close does not crash", function()
    local lines, status = run [[
      local server = serve(function(ws)
        ws:on_message(function() end)
        ws:on_close(function(code, reason) print("left", code, reason) os.exit(6, true) end)
      end)
      connect(server, 3)
      os.exit(7, true)]]
    assert.equal(6, status)
    assert.equal("left\t1006\tthe Lua state was closed", lines[1])
  end)
end)

describe("at the end of a Lua state, a connection", function()
  local function ends(what, handler, wanted)
    it(what .. " is told its end", function()
      local lines, status = run(([[
        local waiting = 0
        local server = serve(function(ws) report(ws) %s end)
        local fd = connect(server, 1)
        raw.send(fd, peer.text "hi" .. peer.ping "p")
        while waiting == 0 do moonsocket.step(0.01) end]]):format(handler))
      assert.equal(0, status)
      assert.same(wanted or { closed(1) }, lines)
    end)
  end

  for what, case in pairs {
    ["whose writer has begun"] = { write = [[kept:write "half a"]],
      wanted = "closed\t1\t1011\ta message that was being sent in fragments was never closed\tfalse\tlocal" },
    ["whose writer has sent nothing"] = { write = "", wanted = closed(1) },
  } do
    it(what .. " is told its end, with what waits behind that", function()
      local lines, status = run(([[
        local server = serve(function(ws)
          report(ws)
          ws:on_message(function() end)
          kept = ws:writer() %s
        end)
        local fd = connect(server, 1)
        while not kept do moonsocket.step(0.01) end
        print(server:broadcast "waits")]]):format(case.write))
      assert.equal(0, status)
      assert.same({ "1", case.wanted }, lines)
    end)
  end

  ends("whose on_message waits", "ws:on_message(function() waiting = 1 moonsocket.sleep(100) print 'awake' end)")
  ends("whose on_ping waits", [[
    ws:on_message(function() end)
    ws:on_ping(function() waiting = 1 moonsocket.sleep(100) print 'awake' end)]])
  ends("whose handler waits", "waiting = 1 moonsocket.sleep(100) print 'awake'")
  ends("whose handler waits in receive", [[
    ws:receive() waiting = 1 print("received", ws:receive())]],
    { "received\tnil\tclosed\t1006\tthe Lua state was closed", closed(1) })
  ends("whose handler waits at a reader", [[
    local reader = ws:reader()
    for bytes in reader do print(bytes) end
    waiting = 1 print("received", ws:reader())]],
    { "hi", "received\tnil\tclosed\t1006\tthe Lua state was closed", closed(1) })
  ends("whose writer is open", [[
    ws:receive()
    kept = ws:writer()
    kept:write "half a"
    waiting = 1 print("received", ws:receive())]], {
      "received\tnil\tclosed\t1011\ta message that was being sent in fragments was never closed",
      "closed\t1\t1011\ta message that was being sent in fragments was never closed\tfalse\tlocal",
    })
  ends("whose plain loop is over with it", [[
    for message in ws:messages() do waiting = 1 print(message) end print(ws.close_code, ws.close_reason)]],
    { "hi", "1006\tthe Lua state was closed", closed(1) })
  ends("for which a task is in wait_closed", [[
    ws:on_message(function() end)
    moonsocket.go(function() waiting = 1 local code, reason = ws:wait_closed() print("waited", code, reason) end)]],
    { "waited\t1006\tthe Lua state was closed", closed(1) })
  ends("whose on_message waits for another's end", [[
    ws:on_message(function() waiting = 1 ws:wait_closed() print "awake" end)]], { "awake", closed(1) })
  ends("that is in its closing handshake", [[
    ws:on_message(function() waiting = 1 ws:close(4000, "bye") end)]],
    { "closed\t1\t1006\tthe Lua state was closed\tfalse\tlocal" })
end)

describe("a callback that the end of the Lua state runs", function()
  -- body is run in the on_close of two connections; what it says is compared without positions and tracebacks.
  local function on_close(what, body, wanted)
    it(what, function()
      local lines, status = run(([[
        local server
        server = serve(function(ws)
          ws:on_message(function() end)
          ws:on_close(function() %s end)
        end)
        connect(server, 2)]]):format(body))
      local said = {}
      for _, line in ipairs(lines) do
        if not line:find "stack traceback" and not line:find "^\t" then
          said[#said + 1] = without_position(line)
        end
      end
      assert.equal(0, status)
      assert.same(wanted, said)
    end)
  end

  local closing = "false\tthe Lua state is being closed: nothing can be started or waited for any more"
  on_close("is told that it cannot run", "print(pcall(function() return moonsocket.run() end))",
    { "false\trun: the Lua state is being closed", "false\trun: the Lua state is being closed" })
  for _, call in ipairs { "step()", "sleep(0.01)", "go(print)", "after(0, print)", "every(1, print)",
    "serve('127.0.0.1:0', print)", "on_signal('HUP', print)", "wait(0, 'r')" } do
    on_close("is told that it cannot call " .. call,
      "print(pcall(function() return moonsocket." .. call .. " end))", { closing, closing })
  end
  on_close("may shut the server down, which it cannot wait for",
    "print(pcall(server.shutdown, server))", { closing, closing })
  on_close("finds the others closed and no longer on the list", [[
    print(ws:send "bye") print(ws:close()) print(server:broadcast "bye", server.count, #server:connections())]],
    { "nil\tclosed\t1006", "nil\tclosed\t1006", "0\t1\t1",  "nil\tclosed\t1006", "nil\tclosed\t1006", "0\t0\t0" })
  on_close("may raise", "error 'oops'",
    { "moonsocket: error in a callback: oops", "moonsocket: error in a callback: oops" })
  on_close("may collect garbage", "collectgarbage() print(ws.close_code)", { "1006", "1006" })
end)

describe("a finalizer at the end of a Lua state", function()
  -- body runs in the finalizer of an object from before moonsocket, which is thus finalized after it, and in that of
  -- an object from after the connection; done: the former.
  local function finalizes(what, body, before, after)
    it(what, function()
      local lines, status = {}, nil
      program.run(function(p)
        status = p:finish()
        for i, line in ipairs(p.lines) do lines[i] = without_position(line) end
      end, "-e", ("local moonsocket, server, ws, timer, signal\n"
        .. "local function body(done) %s end\n"
        .. "local before = setmetatable({}, { __gc = function() body(true) end })\n"):format(body)
        .. PRELUDE:gsub("^local ", "") .. [[
        timer, signal = moonsocket.after(100, print), moonsocket.on_signal("HUP", print)
        server = serve(function(connection)
          ws = connection
          ws.user = "ann"
          ws:subscribe "room"
          ws:on_message(function() end)
        end)
        connect(server, 1)
        local after = setmetatable({}, { __gc = function() body(false) end })]])
      assert.equal(0, status)
      assert.same({ after, before }, lines)
    end)
  end

  local collected = "the server has been collected: only a finalizer (__gc) can still see it"
  local closing = "false\tthe Lua state is being closed: nothing can be started or waited for any more"
  finalizes("may send", "print(ws:send 'x')", "nil\tclosed\t1006", "true\t3")
  finalizes("may close", "print(ws:close())", "nil\tclosed\t1006", "true")
  finalizes("may read fields", "print(ws.id, ws.state, ws.user, ws.request.path, ws.buffered, ws.close_code, ws)",
    "1\tclosed\tann\t/\t0\t1006\tmoonsocket.websocket 1 (closed)",
    "1\topen\tann\t/\t0\tnil\tmoonsocket.websocket 1 (open)")
  finalizes("may receive in vain", "if done then print(ws:receive()) else print 'not yet' end",
    "nil\tclosed\t1006\t", "not yet")
  finalizes("may wait for what is over", "print(done and ws:wait_closed())", "1006", "false")
  finalizes("may call every other method", [[
    for _, name in ipairs { "terminate", "drain", "pause", "resume", "ping", "on_message", "on_close", "on_closing",
      "on_ping", "on_pong", "on_drain", "on_error", "topics" } do ws[name](ws, nil) end
    for _, name in ipairs { "subscribe", "unsubscribe", "publish" } do ws[name](ws, "room", "x") end
    for message in ws:messages() do print(message) end
    print "done"]], "done", "done")
  for call, open in pairs {
    [".count"] = "1", [":stats().open"] = "1", [":connections()[1].id"] = "1", [":broadcast 'x'"] = "1",
    [":publish('room', 'x')"] = "1", [":topic_count 'room'"] = "1", [":topics()[1]"] = "room",
    [":on_topic_empty(nil)"] = "nil",
    [":on_error(nil)"] = "nil", [":shutdown { drain = 0 }"] = "0",
  } do
    finalizes("may ask for server" .. call,
      ("print((select(2, pcall(function() return server%s end))))"):format(call), collected, open)
  end
  finalizes("may go", "print(pcall(moonsocket.go, function() end))", closing, "true")
  finalizes("may sleep", "print(pcall(moonsocket.sleep, 0))", closing, "true")
  finalizes("may step", "print(pcall(moonsocket.step))", closing, "true\ttrue")
  finalizes("may stop", "print(pcall(moonsocket.stop))", "true", "true")
  finalizes("may tell the time", "print(moonsocket.now() > 0)", "true", "true")
  finalizes("may serve", "print((pcall(moonsocket.serve, '127.0.0.1:0', print)))", "false", "true")
  finalizes("may prepare", "print((pcall(moonsocket.prepare, 'x')))", "false", "true")
  finalizes("may cancel", "timer:cancel() signal:cancel() print(tostring(timer) ~= '')", "true", "true")
end)

describe("a server that never ran", function()
  it("is told of when the program ends", function()
    local lines, status = run "assert(moonsocket.serve('127.0.0.1:0', print))"
    assert.same({ "moonsocket: the program ends, but its server never ran: call moonsocket.run() at its end" }, lines)
    assert.equal(0, status)
  end)

  it("is told of once, however many there are", function()
    local lines = run "for _ = 1, 3 do assert(moonsocket.serve('127.0.0.1:0', print)) end os.exit(0, true)"
    assert.equal(1, #lines)
  end)

  for name, text in pairs {
    ["was never made"] = "print(moonsocket.now() > 0)",
    ["could not listen"] = "print(moonsocket.serve('127.0.0.1:0', print, { backlog = 1 }) and 0) moonsocket.step()",
    ["was shut down"] = "local s = assert(moonsocket.serve('127.0.0.1:0', print)) s:shutdown() print(s.count)",
    ["was stopped"] = "serve(print) moonsocket.after(0, moonsocket.stop) moonsocket.run() print(1)",
  } do
    it("is not told of where it " .. name, function()
      local lines, status = run(text)
      assert.equal(1, #lines)
      assert.equal(0, status)
    end)
  end
end)
