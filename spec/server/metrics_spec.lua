-- server:metrics: the books of server:stats as Prometheus reads them.
local metrics = require "moonsocket.metrics"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene"

local function stats(changes)
  local filled = {
    opened = 0, open = 0, buffered = 0, messages_in = 0, messages_out = 0, bytes_in = 0, bytes_out = 0,
    closed = {}, closed_by = {}, refused = {}, requests = {},
  }
  for name, value in pairs(changes or {}) do filled[name] = value end
  return filled
end

-- Reads the text as strictly as the format says (0.0.4): name -> { kind =, help =, samples = label or "" -> value }.
local function parse(text)
  local families, current = {}, nil
  assert.equal("\n", text:sub(-1))
  for line in text:gmatch "(.-)\n" do
    local help_name, help = line:match "^# HELP ([%a_:][%w_:]*) (.+)$"
    local type_name, kind = line:match "^# TYPE ([%a_:][%w_:]*) (%l+)$"
    if help_name then
      assert.is_nil(families[help_name], line)
      current = { name = help_name, help = help, samples = {} }
      families[help_name] = current
    elseif type_name then
      assert.equal(current.name, type_name)
      assert.is_nil(current.kind)
      current.kind = kind
    else
      local name, labels, value = line:match "^([%a_:][%w_:]*)(%S*) (%d+)$"
      assert.equal(current.name, name, line)
      assert.truthy(current.kind, line)
      assert.truthy(labels == "" or labels:find '^{%l+="[^"\\]*"}$', line)
      assert.is_nil(current.samples[labels], line)
      current.samples[labels] = math.tointeger(value)
    end
  end
  return families
end

describe("metrics", function()
  it("have every field of the stats, counters by the name that counters have", function()
    local families = parse(metrics.text(stats {
      opened = 10, open = 2, buffered = 3, messages_in = 4, messages_out = 5, bytes_in = 6, bytes_out = math.maxinteger,
      closed = { [1000] = 6, [1006] = 2 }, closed_by = { peer = 7, ["local"] = 1 }, refused = { [0] = 8, [403] = 9 },
      requests = { [200] = 10 },
    }))
    local read = {}
    for name, family in pairs(families) do
      assert.equal("moonsocket_", name:sub(1, 11))
      assert.equal(name:sub(-6) == "_total" and "counter" or "gauge", family.kind, name)
      read[name:sub(12)] = family.samples
    end
    assert.same({
      connections_open = { [""] = 2 }, connections_opened_total = { [""] = 10 },
      connections_closed_total = { ['{code="1000"}'] = 6, ['{code="1006"}'] = 2 },
      connections_closed_by_total = { ['{by="peer"}'] = 7, ['{by="local"}'] = 1 },
      handshakes_refused_total = { ['{status="0"}'] = 8, ['{status="403"}'] = 9 },
      requests_total = { ['{status="200"}'] = 10 },
      messages_in_total = { [""] = 4 }, messages_out_total = { [""] = 5 },
      bytes_in_total = { [""] = 6 }, bytes_out_total = { [""] = math.maxinteger },
      buffered_bytes = { [""] = 3 },
    }, read)
  end)

  it("have the samples of a label in order", function()
    local closed, found, expected = {}, {}, { 1000, 1001, 1006, 1011, 3000, 4000, 4401, 4999 }
    for _, code in ipairs(expected) do closed[code] = 1 end
    for code in metrics.text(stats { closed = closed }):gmatch 'code="(%d+)"' do found[#found + 1] = tonumber(code) end
    assert.same(expected, found)
  end)

  it("say what each is before any connection has come", function()
    local families, n = parse(metrics.text(stats())), 0
    for _, family in pairs(families) do
      n = n + 1
      assert.truthy(family.help:find "%.$")
    end
    assert.equal(11, n)
  end)

  it("are listed in docs/metrics.md, and no others", function()
    local documented = {}
    for line in io.lines "docs/metrics.md" do
      local name, kind = line:match "^| `([%l_]+)` | (%l+) |"
      if name then documented[name] = kind end
    end
    local there = {}
    for name, family in pairs(parse(metrics.text(stats()))) do there[name] = family.kind end
    assert.same(there, documented)
  end)

  it("are what a server's stats are", function()
    scene.play({}, function(s)
      local p = s:open()
      p:send(peer.text "hello")
      assert(p:read_frame())
      p:send(peer.close(4000))
      s:outcome(p)
      s:refusal("nonsense\r\n")
      local open = s:open()
      assert.equal(metrics.text(s.server:stats()), s.server:metrics())
      local families = parse(s.server:metrics())
      assert.same({ ['{code="4000"}'] = 1 }, families.moonsocket_connections_closed_total.samples)
      assert.same({ [""] = 1 }, families.moonsocket_connections_open.samples)
      open:drop()
      s.server:shutdown()
      assert.equal(metrics.text(s.server:stats()), s.server:metrics())
    end)
  end)
end)

describe("stats.buffered", function()
  it("are the bytes that wait for all peers, until they are taken or lost", function()
    scene.play({ max_buffered = 1 << 24, receive_buffer = 4096 }, function(s)
      local stuck, other = s:open(), s:open()
      assert.equal(0, s.server:stats().buffered)
      local sum = 0
      for _, ws in ipairs(s.server:connections()) do
        repeat ws:send(("x"):rep(1 << 20), "binary") until ws.buffered > 0
        sum = sum + ws.buffered
      end
      assert.equal(sum, s.server:stats().buffered)
      stuck:reset()
      other:reset()
      s:ending(1)
      s:ending(2)
      assert.equal(0, s.server:stats().buffered)
    end)
  end)
end)
