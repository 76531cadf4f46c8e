-- Several Lua states in threads of one process, each with a server of its own: none knows of the others.
local program = require "spec.support.program"

-- Runs a chunk in n threads of a process of its own; returns what was said in each, and what else was printed.
local function in_threads(n, chunk)
  local said, noise = {}, {}
  program.run(function(p)
    assert.equal(0, p:finish())
    for _, line in ipairs(p.lines) do
      local number, text = line:match "^(%d+)> (.*)$"
      if number then said[tonumber(number)] = text else noise[#noise + 1] = line end
    end
  end, "-e", ("for i, text in ipairs { require 'threads'.run(%q, %d) } do print(i .. '> ' .. text) end"):format(
    chunk, n))
  return said, noise
end

local ECHO = [[
local number = ...
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local echoed, ends = 0, {}
local server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
  ws:on_message(function(message, kind) ws:send(message .. number, kind) end)
  ws:on_close(function(code) ends[code] = (ends[code] or 0) + 1 end)
end))
local function visit(n)
  local p = peer.open(server)
  for _ = 1, n do
    p:send(peer.text "hi")
    if p:read_frame().payload == "hi" .. number then echoed = echoed + 1 end
  end
  return p
end
]]

local function all(n, text)
  local list = {}
  for i = 1, n do list[i] = text end
  return list
end

describe("two and more Lua states in threads", function()
  it("serve side by side", function()
    local said, noise = in_threads(4, ECHO .. [[
      moonsocket.run(function()
        for _ = 1, 10 do
          local p = visit(10)
          p:send(peer.close(4000))
          p:read_all()
          p:drop()
        end
        server:shutdown()
      end)
      return echoed .. " echoes, " .. ends[4000] .. " ends"]])
    assert.same(all(4, "ok: 100 echoes, 10 ends"), said)
    assert.same({}, noise)
  end)

  it("stop and end each for itself", function()
    local said, noise = in_threads(4, ECHO .. [[
      moonsocket.go(function()
        visit(number)
        moonsocket.after(0.01 * number, moonsocket.stop)
      end)
      moonsocket.run()
      if number == 2 then error "left with an error" end
      return echoed .. " echoes, " .. server.count .. " open"]])
    assert.same({ "ok: 1 echoes, 1 open", said[2], "ok: 3 echoes, 1 open", "ok: 4 echoes, 1 open" }, said)
    assert.matches("^error: .*left with an error$", said[2])
    assert.same({}, noise)
  end)

  it("tell their connections the end of their own state", function()
    local said, noise = in_threads(2, ECHO .. [[
      local p
      moonsocket.go(function()
        p = visit(1)
        server:connections()[1]:on_close(function(code, reason)
          io.write(("end %d %d %s\n"):format(number, code, reason)) -- one call: print mixes the lines of threads
        end)
        moonsocket.stop()
      end)
      moonsocket.run()
      return "left"]])
    table.sort(noise)
    assert.same(all(2, "ok: left"), said)
    assert.same({ "end 1 1006 the Lua state was closed", "end 2 1006 the Lua state was closed" }, noise)
  end)

  it("leave signals to the process's main thread", function()
    local said, noise = in_threads(3, [[
      local moonsocket = require "moonsocket"
      local handle, message, code = moonsocket.on_signal("TERM", print)
      return ("%s, %s, %d"):format(handle, message, code)]])
    assert.same(all(3, "ok: nil, only the main thread of a process can catch signals, 1"), said)
    assert.same({}, noise)
  end)

  it("may be made and closed again and again", function()
    local said, noise = in_threads(3, [[
      local moonsocket = require "moonsocket"
      local threads = require "threads"
      local inner = "local m = require 'moonsocket' m.after(0.001, m.stop) m.run() return 'inner'"
      local got = {}
      for i = 1, 5 do got[i] = threads.run(inner, 2) end
      return table.concat(got, " ")]])
    assert.same(all(3, "ok: ok: inner ok: inner ok: inner ok: inner ok: inner"), said)
    assert.same({}, noise)
  end)
end)
