-- Topics when something goes wrong: connections that end while they are subscribed, slow ones, the collector, crowds.
local deflate = require "deflate"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local program = require "spec.support.program"
local scene = require "spec.support.scene"

local function next_frame(p) return peer.describe(assert(p:read_frame())) end

-- A handler whose connection is subscribed to "room".
local function joins(ws)
  ws:subscribe "room"
  ws:on_message(function(message) if message ~= "" then ws:send(message) end end)
end

-- n peers that are subscribed.
local function open_all(s, n, ...)
  local peers = {}
  for i = 1, n do peers[i] = s:open(...) end
  s.await("all subscriptions", function() return s.server:topic_count "room" == n end)
  return peers
end

describe("a subscriber that ends", function()
  local ways = {
    ["by its Close"] = function(p)
      p:send(peer.close(1000))
      p:read_all()
      p:drop()
    end,
    ["by FIN"] = function(p) p:drop() end,
    ["by RST"] = function(p) p:reset() end,
    ["by our close"] = function(p, ws)
      ws:close(4000)
      p:send(peer.close(4000))
      p:read_all()
      p:drop()
    end,
    ["by terminate"] = function(_, ws) ws:terminate() end,
    ["by breaking the protocol"] = function(p)
      p:send "\xff\xff"
      p:read_all()
      p:drop()
    end,
  }
  for how, finish in pairs(ways) do
    it(("%s has left in on_close, where it can still see its topics and publish"):format(how), function()
      scene.play({ handler = joins }, function(s)
        local seen
        s.on_close = function(ws)
          if seen then return end
          seen = {
            topics = ws:topics(), count = s.server:topic_count "room", published = ws:publish("room", "one has left"),
            by_server = s.server:publish("room", "really"), subscribed = table.pack(ws:subscribe "room")[2],
            unsubscribed = table.pack(ws:unsubscribe "room")[2], still = ws:topics(),
          }
        end
        local stays = open_all(s, 1)[1]
        local leaves = s:open()
        s.await("both", function() return s.server:topic_count "room" == 2 end)
        local ws
        for _, each in ipairs(s.server:connections()) do
          if each.id == s.last.id then ws = each end
        end
        finish(leaves, ws)
        ws = nil -- luacheck: ignore
        s:ending(2)
        assert.same({
          topics = { "room" }, count = 1, published = 1, by_server = 1, subscribed = "closed", unsubscribed = "closed",
          still = { "room" },
        }, seen)
        assert.same({ "text one has left", "text really" }, { next_frame(stays), next_frame(stays) })
        assert.equal(1, s.server:topic_count "room")
      end)
    end)
  end

  it("gets nothing from its Close frame on, though it is counted until its end", function()
    scene.play({ handler = joins }, function(s)
      local p = open_all(s, 1)[1]
      s:ws():close(4000)
      assert.same({ 0, 1 }, { s.server:publish("room", "late"), s.server:topic_count "room" })
      assert.equal("close 4000", next_frame(p))
      p:send(peer.close(4000))
      assert.same({}, s:outcome(p).wire)
      assert.equal(0, s.server:topic_count "room")
    end)
  end)

  it("may be told by several on_close at once, each of which publishes", function()
    scene.play({ handler = joins }, function(s)
      local counts = {}
      s.on_close = function(ws) counts[#counts + 1] = ws:publish("room", "bye") end
      local peers = open_all(s, 5)
      for i = 1, 4 do peers[i]:reset() end
      for i = 1, 4 do s:ending(i) end
      for _ = 1, 4 do -- those whose end is not known yet are sent to in vain
        assert.equal("text bye", next_frame(peers[5]))
      end
      for _, count in ipairs(counts) do assert.is_true(count >= 1 and count <= 4) end
    end)
  end)

  it("keeps its topics to itself for as long as somebody holds it", function()
    scene.play({ handler = joins }, function(s)
      local p = open_all(s, 1)[1]
      local ws = s:ws()
      p:reset()
      s:ending()
      assert.same({}, s.server:topics())
      s:open()
      s.await("the next", function() return s.server:topic_count "room" == 1 end)
      collectgarbage()
      assert.same({ "room" }, ws:topics())
      ws = nil -- luacheck: ignore
    end)
  end)
end)

describe("a subscriber that is slow", function()
  local MESSAGE = ("x"):rep(100000)
  for policy, code in pairs { drop = false, wait = false, close = 1008 } do
    it(("is treated as on_overflow = %q says, and holds nobody up"):format(policy), function()
      local options = { handler = joins, max_buffered = 150000, on_overflow = policy, receive_buffer = 4096,
        close_timeout = 0.05 }
      scene.play(options, function(s)
        local reader, slow = table.unpack(open_all(s, 2))
        local reached
        for _ = 1, 1000 do
          reached = s.server:publish("room", MESSAGE, "binary")
          assert.equal(#MESSAGE, #assert(reader:read_frame()).payload)
          if reached < 2 then break end
        end
        assert.equal(1, reached)
        if code then assert.equal(code, s:ending(2).code) end
        assert.equal(code and 1 or 2, s.server:topic_count "room")
        slow:drop()
      end)
    end)
  end
end)

describe("the collector", function()
  it("may run finalizers that subscribe and unsubscribe while topics are listed", function()
    scene.play({ handler = joins }, function(s)
      s:open()
      s.await("a connection", function() return s:ws() end)
      local ws, n = s:ws(), 0
      -- Long ones of different lengths: most of the memory that is asked for is for their list.
      local function name(i) return "topic " .. ("x"):rep(i % 200) .. i end
      local function upset()
        setmetatable({}, { __gc = function()
          n = n + 1
          if ws then
            for i = 1, 10 do
              ws:unsubscribe(name((n + i) * 7 % 50))
              ws:subscribe(name(n * i % 97))
            end
            ws:publish("room", "x")
            upset()
          end
        end })
      end
      for i = 1, 50 do ws:subscribe(name(i)) end
      upset()
      local pause = collectgarbage("setpause", 1) -- one cycle after the other
      while n < 20 do
        for _ = 1, 10 do
          for _, list in ipairs { ws:topics(), s.server:topics() } do
            for _, each in ipairs(list) do
              if each ~= "room" and not each:find "^topic x*%d+$" then error(("%q is no topic"):format(each)) end
            end
          end
        end
      end
      collectgarbage("setpause", pause)
      ws = nil
    end)
  end)

  it("has taken a prepared message that a finalizer still sees", function()
    scene.play({ handler = joins }, function(s)
      s:open()
      local ok, wrong
      local function finalize(self) ok, wrong = pcall(s.server.broadcast, s.server, self[1]) end
      local object = setmetatable({}, { __gc = finalize })
      object[1] = moonsocket.prepare "x"
      object = nil -- luacheck: ignore
      s.await("the finalizer", function()
        collectgarbage()
        return ok ~= nil
      end)
      assert.is_false(ok)
      assert.matches("the message has been collected: only a finalizer %(__gc%) can still see it", wrong)
    end)
  end)

  it("takes a server with its topics, and a prepared message that nobody sends", function()
    for _ = 1, 3 do
      local server = assert(moonsocket.serve("127.0.0.1:0", joins))
      server:on_topic_empty(function() return server end)
      moonsocket.prepare(("x"):rep(1000))
      local weak = setmetatable({ server }, { __mode = "v" })
      server:shutdown { drain = 0 }
      server:on_topic_empty(nil)
      server = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      assert.is_nil(weak[1])
    end
  end)
end)

describe("a Lua state that ends with subscribers", function()
  it("tells each end once, and every topic that is emptied", function()
    program.run(function(run)
      for _ = 1, 2 do run:await "^ended\t1006\troom\t%d$" end
      run:await "^empty\troom\t0$"
      assert.equal(0, run:finish())
    end, "-e", [[
      local moonsocket = require "moonsocket"
      local server
      server = assert(moonsocket.serve("127.0.0.1:0", { open = function(ws) ws:subscribe "room" end,
        close = function(ws, code) print("ended", code, ws:topics()[1], ws:publish("room", "bye")) end }))
      server:on_topic_empty(function(topic) print("empty", topic, server:topic_count(topic)) end)
      kept = { assert(moonsocket.connect(server.url)), assert(moonsocket.connect(server.url)) }
      while server:topic_count "room" < 2 do moonsocket.step(0.01) end
      server:publish("room", moonsocket.prepare "last")
    ]])
  end)
end)

describe("a thousand subscribers", function()
  local OFFER = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
  for name, compression in pairs { plain = false, compressed = true } do
    it(("all get what is published, %s"):format(name), function()
      local LONG = ("The same words come again and again. "):rep(30)
      scene.play({ handler = joins, compression = compression }, function(s)
        local peers = open_all(s, 1000, compression and OFFER or nil)
        for i = 1, 8 do assert.equal(1000, s.server:publish("room", LONG .. i)) end
        for _, p in ipairs(peers) do
          for i = 1, 8 do
            local frame = assert(p:read_frame())
            assert.equal(LONG .. i, compression and deflate.inflater()(frame.payload) or frame.payload)
          end
        end
        for i = 1, 500 do peers[i]:reset() end
        s.await("half of them", function() return s.server:topic_count "room" == 500 end)
        assert.equal(500, s.server:publish("room", "half"))
      end)
    end)
  end
end)

describe("topics over TLS", function()
  it("are the same", function()
    scene.over_tls.play({ handler = joins }, function(s)
      local peers = open_all(s, 3)
      for _, size in ipairs { 1, 1000, 100000 } do
        local message = ("x"):rep(size)
        assert.equal(3, s.server:publish("room", message))
        for _, p in ipairs(peers) do assert.equal(message, assert(p:read_frame()).payload) end
      end
      peers[1]:reset()
      s.await("one less", function() return s.server:topic_count "room" == 2 end)
    end)
  end)
end)
