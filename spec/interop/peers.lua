-- moonsocket and real peers of other languages, in both roles, in the clear and over TLS: what both of them say is
-- compared. `make interop` runs it.
local certificates = require "spec.support.certificates"
local cjson = require "cjson"
local moonsocket = require "moonsocket"
local program = require "spec.support.program"
local raw = require "raw"
local stage = require "spec.support.stage"

local peers = {
  -- without_code: the code that is reported where the peer closes without one
  {
    name = "python's websockets", command = { os.getenv "PYTHON", "spec/interop/python_peer.py" },
    without_code = 1000, -- it sends this one
  },
  { name = "Node's ws", command = { "node", os.getenv "NODE_PEER" }, without_code = 1005 },
}

local CODES = { 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999 }
local REASONS = { "", "bye", ("日"):rep(41) } -- up to 123 bytes
local SIZES = { 0, 1, 125, 126, 65535, 65536, 1 << 20 }
local TERM, KILL, STOP = 15, 9, 19
local TIMEOUT = 30 -- s, until a spec fails

-- ---- a session: one process of the peer, and our side of its connections

local session = {}
session.__index = session

function session:keep(ws)
  self.boxes[ws] = true
  self.opened = self.opened + 1
  ws:on_close(function() self.closed = self.closed + 1 end)
  self.ws = ws
end

--- The next connection to open.
function session:open()
  if self.connect then
    self:keep(assert(self.connect()))
  else
    stage.await("the peer's connection", function() return #self.arrived > 0 end)
    self:keep(table.remove(self.arrived, 1))
  end
  return self.ws
end

--- Sends what the peer obeys.
function session:tell(command) assert(self.ws:send("do " .. command)) end

--- The next message, which must be text.
function session:answer()
  local message, kind = self.ws:receive(TIMEOUT)
  assert.equal("text", kind)
  return message
end

--- What our side is told of the end of the connection. What the peer still sends is taken: it is before its Close.
function session:ours()
  while self.ws:receive(TIMEOUT) do end
  local code, reason, info = self.ws:wait_closed(TIMEOUT)
  return {
    code = code, reason = reason, clean = info.clean, by = info.by, sent = info.sent, received = info.received,
  }
end

--- What the peer is told of it.
function session:theirs()
  local code, how, reason = self.program:await "^closed (%d+) (%a+) (.*)$"
  return { code = tonumber(code), reason = reason, clean = how == "clean" }
end

-- Everybody leaves in good order.
local function leave(self)
  if not self.program.pid then return end -- it was killed
  if self.ws.state == "closed" and not self.connect then self:open() end -- so that the peer is not in a handshake
  if self.ws.state == "open" then
    if self.server then self.server:shutdown { reason = "good night" } else self.ws:close(1001, "good night") end
    assert.same({ code = 1001, reason = "good night", clean = true }, self:theirs())
  end
  if self.server then
    assert.equal(0, self.program:finish())
  else
    assert.equal(-TERM, self.program:stop(TERM))
  end
end

local function settings_of(extra)
  local settings = { max_message = 1 << 24, max_buffered = 1 << 24, subprotocols = { "v2.echo" } }
  for name, value in pairs(extra or {}) do settings[name] = value end
  return settings
end

local function url_of(port, tls) return (tls and "wss://localhost:" or "ws://127.0.0.1:") .. port .. "/" end

-- A role returns the peer's arguments, and what is to be done when it runs.

-- Our client, the peer's server.
local function as_client(self, tls, extra)
  local files = tls and { certificates.path "localhost.pem", certificates.path "localhost.key" } or {}
  local settings = settings_of(extra)
  settings.headers, settings.cookies = { ["X-Ours"] = "of ours" }, { session = "1" }
  if tls then settings.tls = { ca = certificates.path "ca.pem" } end
  return { "serve", table.unpack(files) }, function()
    local url = url_of(self.program:await "^port (%d+)$", tls)
    self.connect = function() return moonsocket.connect(url, settings) end
  end
end

-- Our server, the peer's client.
local function as_server(self, tls, extra)
  local settings = settings_of(extra)
  if tls then settings.tls = certificates.of "localhost" end
  self.arrived = {}
  self.server = assert(moonsocket.serve("127.0.0.1:0", function(ws)
    self.arrived[#self.arrived + 1] = ws
    ws:wait_closed()
  end, settings))
  return { "connect", url_of(self.server.port, tls), tls and certificates.path "ca.pem" }, function() end
end

-- Plays act(session) beside the peer; nothing may be left behind.
-- @param deflate the peer's parameters of compression, or nil
local function play(peer, role, tls, extra, act, deflate)
  local self = setmetatable({ boxes = setmetatable({}, { __mode = "k" }), opened = 0, closed = 0 }, session)
  stage.run(function()
    local arguments, begin = role(self, tls, extra)
    program.run_command(function(p)
      self.program = p
      begin()
      self:open()
      act(self)
      leave(self)
    end, { peer.command[1], peer.command[2], cjson.encode(deflate or cjson.null), table.unpack(arguments) })
    if self.server then self.server:shutdown() end
    stage.await("every on_close", function() return self.closed >= self.opened end)
    assert.equal(self.opened, self.closed)
    self.ws, self.arrived = nil, nil
  end, function()
    if self.server then self.server:shutdown { drain = 0 } end
    for ws in pairs(self.boxes) do ws:terminate() end
    self.ws, self.arrived = nil, nil
  end, self.boxes)
end

-- ---- what is said

-- Text of so many bytes, most of it of three bytes a character.
local function text_of(size) return ("日本語"):rep(size // 9) .. ("x"):rep(size % 9) end

local function echoes(s, message, kind)
  assert(s.ws:send(message, kind))
  local answer, answer_kind = s.ws:receive(TIMEOUT)
  assert.equal(kind, answer_kind)
  assert.equal(#message, #answer)
  assert.truthy(message == answer)
end

-- The same in fragments, out of a writer and into a reader.
local function echoes_in_parts(s, message, kind)
  local writer = assert(s.ws:writer(kind))
  for at = 1, #message, 10000 do assert(writer:write(message:sub(at, at + 9999))) end -- cuts within characters
  assert(writer:close())
  local reader = assert(s.ws:reader(TIMEOUT))
  assert.equal(kind, reader.kind)
  local parts = {}
  for bytes in reader do parts[#parts + 1] = bytes end
  assert.is_true(reader.complete)
  assert.truthy(message == table.concat(parts))
end

local function closed(by, code, reason)
  return { code = code, reason = reason, clean = true, by = by, sent = code, received = code }
end

local function broken(by, reason) return { code = 1006, reason = reason, clean = false, by = by } end

-- An ending by the network; there is always a reason, which depends on how the peer's system ended TCP.
local function lost(s)
  local ours = s:ours()
  assert.not_equal("", ours.reason)
  ours.reason = nil
  assert.same(broken "network", ours)
end

-- The same for every peer, in both roles: play_it(options, act).
local function in_both_roles(peer, play_it)
  for _, kind in ipairs { "text", "binary" } do
    it(kind .. " of every size is echoed", function()
      play_it(nil, function(s)
        for _, size in ipairs(SIZES) do echoes(s, kind == "text" and text_of(size) or ("\xff"):rep(size), kind) end
      end)
    end)

    it(kind .. " in fragments comes whole, the ping among them too", function()
      play_it(nil, function(s)
        local pinged
        s.ws:on_ping(function(payload) pinged = payload end)
        s:tell("fragments " .. kind)
        local message, message_kind = s.ws:receive(TIMEOUT)
        assert.equal(kind, message_kind)
        assert.truthy(message == (kind == "text" and "日" or "\xff\xff\xff"):rep(30000))
        assert.equal("between", pinged)
      end)
    end)
  end

  it("what a writer sends is echoed, and a reader takes it in parts", function()
    play_it(nil, function(s)
      echoes_in_parts(s, text_of(1 << 20), "text")
      echoes_in_parts(s, ("\xff"):rep(1 << 20), "binary")
    end)
  end)

  it("a thousand messages at once are echoed in their order", function()
    play_it(nil, function(s)
      for i = 1, 1000 do assert(s.ws:send("message " .. i)) end
      for i = 1, 1000 do assert.equal("message " .. i, s:answer()) end
    end)
  end)

  it("pings are answered both ways", function()
    play_it(nil, function(s)
      local pinged, ponged, rtt
      s.ws:on_ping(function(payload) pinged = payload end)
      s.ws:on_pong(function(payload, seconds) ponged, rtt = payload, seconds end)
      s:tell "ping there?"
      assert.equal("pong there?", s:answer())
      assert.equal("there?", pinged)
      s.ws:ping(("日"):rep(41) .. "xx") -- 125 bytes
      stage.await("the pong", function() return ponged end)
      assert.equal(("日"):rep(41) .. "xx", ponged)
      s.ws:ping()
      stage.await("the pong to a ping that is measured", function() return rtt end)
    end)
  end)

  it("the heartbeat is answered, and the connection lives on", function()
    play_it({ ping_interval = 0.02, pong_timeout = TIMEOUT }, function(s)
      local pongs = 0
      s.ws:on_pong(function() pongs = pongs + 1 end)
      stage.await("three pongs", function() return pongs >= 3 end)
      echoes(s, "alive", "text")
    end)
  end)

  it("both know the subprotocol and the headers", function()
    play_it(nil, function(s)
      assert.equal("v2.echo", s.ws.subprotocol)
      s:tell "subprotocol"
      assert.equal("v2.echo", s:answer())
      if s.server then
        assert.equal("a peer", s.ws.request.headers["x-peer"])
      else
        s:tell "header x-ours"
        assert.equal("of ours", s:answer())
        s:tell "header cookie"
        assert.equal("session=1", s:answer())
      end
    end)
  end)

  it("our close with every code is answered with it", function()
    play_it(nil, function(s)
      for i, code in ipairs(CODES) do
        local reason = REASONS[i % #REASONS + 1]
        if i > 1 then s:open() end
        assert(s.ws:send "before the Close")
        assert(s.ws:close(code, reason))
        assert.same(closed("local", code, reason), s:ours())
        assert.same({ code = code, reason = reason, clean = true }, s:theirs())
      end
    end)
  end)

  it("the peer's close with every code is answered with it", function()
    play_it(nil, function(s)
      for i, code in ipairs(CODES) do
        local reason = REASONS[i % #REASONS + 1]
        if i > 1 then s:open() end
        s:tell(("close %d %s"):format(code, reason))
        assert.same(closed("peer", code, reason), s:ours())
        assert.same({ code = code, reason = "", clean = true }, s:theirs()) -- our answer has the code alone
      end
    end)
  end)

  it("a close without a code is one on both sides", function()
    play_it(nil, function(s)
      local code = peer.without_code
      s:tell "close"
      assert.same(closed("peer", code, ""), s:ours())
      assert.same({ code = code, reason = "", clean = true }, s:theirs())
    end)
  end)

  it("our terminate is a loss to the peer", function()
    play_it(nil, function(s)
      s.ws:terminate()
      assert.same(broken("local", "terminated"), s:ours())
      assert.same({ code = 1006, reason = "", clean = false }, s:theirs())
    end)
  end)

  it("the peer's terminate is a loss to us", function()
    play_it(nil, function(s)
      s:tell "terminate"
      lost(s)
      assert.same({ code = 1006, reason = "", clean = false }, s:theirs())
    end)
  end)

  for _, how in ipairs { { "killed", KILL }, { "terminated", TERM } } do
    it(("a peer whose process is %s is a loss"):format(how[1]), function()
      play_it(nil, function(s)
        echoes(s, "alive", "text")
        assert.equal(-how[2], s.program:stop(how[2]))
        lost(s)
      end)
    end)
  end

  it("a peer whose process is killed while it is owed data is a loss", function()
    play_it(nil, function(s)
      raw.kill(s.program.pid, STOP)
      assert(s.ws:send(("\xff"):rep(15 << 20), "binary"))
      assert.equal("timeout", select(2, s.ws:drain(0.01)))
      assert.equal(-KILL, s.program:stop(KILL))
      lost(s)
    end)
  end)

  it("a peer whose process stands still is a loss after a ping", function()
    play_it({ ping_interval = 0.05, pong_timeout = 0.1, close_timeout = 0.1 }, function(s)
      raw.kill(s.program.pid, STOP)
      local ours = s:ours()
      assert.same({ 1006, false, "network", 1011 }, { ours.code, ours.clean, ours.by, ours.sent })
      assert.matches("no pong", ours.reason)
      s.program:stop(KILL)
    end)
  end)
end

-- ---- compression

-- Parameters that we ask for, and those that the peer does. Ours are "no takeover" unless told otherwise.
local function parameters(given)
  local all = { threshold = 1, server_no_context_takeover = false, client_no_context_takeover = false }
  for name, value in pairs(given or {}) do all[name] = value end
  return all
end

local COMPRESSED = {
  { "with takeover both ways" },
  { "without the server's takeover", { server_no_context_takeover = true } },
  { "without the client's takeover", { client_no_context_takeover = true } },
  { "without takeover", { server_no_context_takeover = true, client_no_context_takeover = true } },
  { "with a small window of the server's", { server_max_window_bits = 9 } },
  { "with a small window of the client's", { client_max_window_bits = 9 } },
  { "with all of it", {
    server_no_context_takeover = true, client_no_context_takeover = true,
    server_max_window_bits = 10, client_max_window_bits = 11,
  } },
}

-- What both agreed on has the parameters that were asked for, and no other.
local function assert_agreed(s, asked)
  local expected = { "permessage-deflate" }
  for name, value in pairs(asked or {}) do expected[#expected + 1] = value == true and name or name .. "=" .. value end
  local got = {}
  for part in s.ws.extensions:gmatch "[^; ]+" do got[#got + 1] = part end
  table.sort(expected)
  table.sort(got)
  assert.same(expected, got)
  s:tell "extensions"
  assert.matches("^permessage%-deflate", s:answer())
end

local function assert_echoes_all(s)
  for _ = 1, 2 do
    for _, size in ipairs(SIZES) do
      echoes(s, text_of(size), "text")
      echoes(s, ("\xff\0"):rep(size // 2), "binary")
    end
    echoes_in_parts(s, text_of(1 << 20), "text")
    echoes_in_parts(s, ("\xff\0"):rep(1 << 19), "binary")
  end
  for _, kind in ipairs { "text", "binary" } do
    s:tell("fragments " .. kind)
    assert.truthy(s.ws:receive(TIMEOUT) == (kind == "text" and "日" or "\xff\xff\xff"):rep(30000))
  end
end

local function compressed(play_it)
  for _, row in ipairs(COMPRESSED) do
    local what, asked = row[1], row[2]
    it(what .. ", as we ask", function()
      play_it({ compression = parameters(asked) }, function(s)
        assert_agreed(s, asked)
        assert_echoes_all(s)
      end, {})
    end)

    if asked then
      it(what .. ", as the peer asks", function()
        play_it({ compression = parameters() }, function(s)
          assert_agreed(s, asked)
          assert_echoes_all(s)
        end, asked)
      end)
    end
  end
end

local roles = {
  { name = "our client and the server of ", play = as_client },
  { name = "our server and the client of ", play = as_server },
}

describe("between", function()
  teardown(certificates.remove)

  for _, peer in ipairs(peers) do
    for _, role in ipairs(roles) do
      for _, tls in ipairs { false, true } do
        describe(role.name .. peer.name .. (tls and " over TLS:" or ":"), function()
          in_both_roles(peer, function(extra, act) play(peer, role.play, tls, extra, act) end)
        end)
      end
      describe(role.name .. peer.name .. ", compressed:", function()
        compressed(function(extra, act, deflate) play(peer, role.play, false, extra, act, deflate) end)
      end)
    end
  end
end)
