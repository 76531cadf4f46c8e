-- max_message: what is over it is found on the head's word and costs no memory (RFC 6455 sections 7.4.1 and 10.4).
local subject = require "spec.support.subject"
local outcome = require "spec.support.outcome"
local handlers = require "spec.support.handlers"
local moonsocket = require "moonsocket"
local raw = require "raw"

local scene, peer, serving = subject.scene, subject.peer, subject.serving(it)

local echo = handlers.echo

local LIMIT = 1000
local MiB = 1024 * 1024

local function x(n) return ("x"):rep(n) end
local function first(f) return peer.frame { opcode = f.opcode or 2, payload = f[1], length = f.length, fin = false } end
local function more(f) return peer.frame { opcode = 0, payload = f[1], length = f.length, fin = false } end
local function last(f) return peer.frame { opcode = 0, payload = f[1], length = f.length } end

-- The head of a frame whose payload never comes.
local function head(f)
  local payload = f.payload or ""
  local bytes = peer.frame { opcode = f.opcode or 2, payload = payload, length = f.length, fin = f.fin }
  return bytes:sub(1, #bytes - #payload)
end

describe("a message over max_message fails the connection with 1009", function()
  local cases = {
    { "in one frame", peer.binary(x(1001)), "message of 1001 bytes is over the limit of 1000" },
    { "in one frame of text", peer.text(x(1001)), "message of 1001 bytes is over the limit of 1000" },
    { "in one large frame", peer.binary(x(70000)), "message of 70000 bytes is over the limit of 1000" },
    { "by the sum of two fragments", first { x(600) } .. last { x(401) }, "over the limit of 1000" },
    { "by one byte after all that is allowed", first { x(1000) } .. last { "x" }, "over the limit of 1000" },
    { "by a first fragment alone", first { x(1001) }, "over the limit of 1000" },
    { "by a fragment after an empty one", first { "" } .. more { x(1001) }, "over the limit of 1000" },
    { "by the sum of many fragments", first { "x" } .. more { "x" }:rep(1000), "over the limit of 1000" },
    { "with a Ping between its fragments", first { x(600) } .. peer.pong "unasked" .. last { x(401) },
      "over the limit of 1000" },
  }
  for _, case in ipairs(cases) do
    it(case[1], function()
      scene.play({ handler = echo, max_message = LIMIT }, function(s)
        local p = s:open()
        p:send(peer.text("before") .. case[2] .. peer.text("after") .. peer.close(1000))
        outcome.check_failed(s:outcome(p), 1009, case[3], { "text before" })
        assert.same({ "before" }, s.last.got)
      end)
    end)
  end

  local announced = {
    { "of 1001 bytes", head { length = 1001 }, "message of 1001 bytes is over the limit of 1000" },
    { "of 1001 bytes of text", head { opcode = 1, length = 1001 }, "message of 1001 bytes is over the limit of 1000" },
    { "of 65536 bytes", head { length = 65536 }, "message of 65536 bytes is over the limit of 1000" },
    { "of 4 GiB", head { length = 1 << 32 }, "message of 4294967296 bytes is over the limit of 1000" },
    { "of 4 GiB and 5 bytes", head { length = (1 << 32) + 5 }, "over the limit of 1000" },
    { "of the largest length there is", head { length = math.maxinteger },
      "message of 9223372036854775807 bytes is over the limit of 1000" },
    { "of a first fragment", head { length = 1001, fin = false }, "over the limit of 1000" },
    { "of a later fragment", first { x(600) } .. head { opcode = 0, length = 401 }, "over the limit of 1000" },
    { "of a later fragment that is not the last", first { x(600) } .. head { opcode = 0, length = 401, fin = false },
      "over the limit of 1000" },
    { "of a later fragment whose sum no integer holds",
      first { x(600) } .. head { opcode = 0, length = math.maxinteger }, "over the limit of 1000" },
  }
  for _, case in ipairs(announced) do
    it("by announcement alone: " .. case[1], function()
      scene.play({ handler = echo, max_message = LIMIT }, function(s)
        local p = s:open()
        p:send(case[2])
        outcome.check_failed(s:outcome(p), 1009, case[3])
        p = s:open()
        p:drip(case[2]:sub(1, 20))
        if #case[2] > 20 then p:send(case[2]:sub(21)) end
        outcome.check_failed(s:outcome(p), 1009, case[3])
        assert.same({}, s.last.got)
      end)
    end)
  end

  it("before its text is looked at", function()
    scene.play({ handler = echo, max_message = LIMIT }, function(s)
      local p = s:open()
      p:send(peer.text(("\xff"):rep(1001)))
      outcome.check_failed(s:outcome(p), 1009, "1001")
    end)
  end)

  it("and what is still sent of it is read, so that the Close frame arrives", function()
    scene.play({ handler = echo, max_message = LIMIT }, function(s)
      local p = s:open()
      p:send(peer.frame { opcode = 2, payload = ("\0"):rep(3000000), key = "\0\0\0\0" })
      outcome.check_failed(s:outcome(p), 1009, "3000000")
    end)
  end)

  it("as soon as there is a consumer", function()
    local go
    local function late(ws, request, record)
      record.got = {}
      while not go do moonsocket.sleep(0.001) end
      echo(ws, request, record)
    end
    scene.play({ handler = late, max_message = LIMIT }, function(s)
      local p = s:open()
      p:send(peer.text("before") .. peer.binary(x(1001)))
      go = true
      outcome.check_failed(s:outcome(p), 1009, "1001", { "text before" })
    end)
  end)

  serving("even where nobody wants messages", function()
    local told
    scene.play({ max_message = LIMIT, table = { close = function(_, ...) told = { ... } end } }, function(s)
      local p = s:open()
      p:send(peer.binary(x(1000)) .. peer.binary(x(1001)))
      local frames, how = p:read_all()
      p:drop()
      s.await("on_close", function() return told end)
      assert.same({ 1, 1009, "fin" }, { #frames, frames[1].code, how })
      assert.same({ 1009, "message of 1001 bytes is over the limit of 1000",
        { clean = false, by = "local", sent = 1009 } }, told)
    end)
  end)

  it("by default from 1 MiB on", function()
    scene.play({ handler = echo }, function(s)
      local p = s:open()
      p:send(peer.frame { opcode = 2, payload = ("\0"):rep(MiB), key = "\0\0\0\0" })
      assert.equal(MiB, #p:read_frame().payload)
      p:send(head { length = MiB + 1 })
      outcome.check_failed(s:outcome(p), 1009, "message of 1048577 bytes is over the limit of 1048576")
    end)
  end)
end)

describe("a message of max_message bytes comes through", function()
  local cases = {
    { "in one frame", peer.binary(x(1000)) },
    { "in two fragments", first { x(600) } .. last { x(400) } },
    { "with an empty end", first { x(1000) } .. more { "" } .. last { "" } },
    { "with an empty beginning", first { "" } .. more { "" } .. last { x(1000) } },
    { "byte by byte", first { "x" } .. more { "x" }:rep(998) .. last { "x" } },
    { "with Pings between, which do not count",
      first { x(500) } .. peer.pong(x(125)):rep(10) .. last { x(500) } },
  }
  for _, case in ipairs(cases) do
    it(case[1] .. ", again and again", function()
      scene.play({ handler = echo, max_message = LIMIT }, function(s)
        local p = s:open()
        p:send(case[2] .. case[2] .. case[2] .. peer.close(1000))
        local message = "binary " .. x(1000)
        assert.same(outcome.answered(1000, "", { message, message, message }), s:outcome(p))
      end)
    end)

    serving(case[1] .. ", again and again, where nobody wants it", function()
      local told
      scene.play({ max_message = LIMIT, table = { close = function(_, code) told = code end } }, function(s)
        local p = s:open()
        p:send(case[2] .. case[2] .. case[2] .. peer.close(1000))
        local frames = p:read_all()
        p:drop()
        s.await("on_close", function() return told end)
        assert.same({ 1, 1000, 1000 }, { #frames, frames[1].code, told })
      end)
    end)
  end

  serving("even where it comes after our own Close to a handler that is gone", function()
    scene.play({ handler = function(ws) ws:close(4000) end, max_message = LIMIT }, function(s)
      for _, case in ipairs(cases) do
        local p = s:open()
        p:send(case[2] .. case[2] .. case[2] .. peer.close(4000))
        assert.same({ wire = { "close 4000" }, tcp = "fin", code = 4000, reason = "", clean = true, by = "local",
          sent = 4000, received = 4000 }, s:outcome(p))
      end
    end)
  end)
end)

describe("an announced length", function()
  it("costs no memory before the bytes come", function()
    scene.play({ handler = echo, max_message = 256 * MiB }, function(s)
      local peers = {}
      local before = raw.resident()
      for i = 1, 20 do
        peers[i] = s:open()
        peers[i]:send(peer.ping "?" .. head { length = 256 * MiB } .. "some")
        assert.equal("pong ?", peer.describe(peers[i]:read_frame()))
      end
      assert(raw.resident() - before < 16 * MiB, ("%d bytes more"):format(raw.resident() - before))
      for _, p in ipairs(peers) do p:reset() end
      for i = 1, 20 do assert.equal(1006, s:ending(i).code) end
    end)
  end)

  -- AddressSanitizer keeps freed memory back, memcheck some of it.
  local measure = os.getenv "ASAN_OPTIONS" and pending or it
  measure("costs no memory after its message was handed over", function()
    scene.play({ handler = function(ws) ws:on_message(function() ws:send "got it" end) end }, function(s)
      local peers, message = {}, first { ("\0"):rep(500000) } .. last { ("\0"):rep(500000) }
      local function exchange(i)
        peers[i] = s:open()
        peers[i]:send(message)
        assert.equal("text got it", peer.describe(peers[i]:read_frame()))
        collectgarbage() -- the strings of both sides
      end
      exchange(1)
      local before = raw.resident()
      for i = 2, 60 do exchange(i) end
      assert(raw.resident() - before < 40 * MiB, ("%d bytes more"):format(raw.resident() - before))
      for _, p in ipairs(peers) do p:reset() end
      for i = 1, 60 do assert.equal(1006, s:ending(i).code) end
    end)
  end)
end)
