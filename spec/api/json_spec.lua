-- ws:send_json and ws:receive_json: with each library, and with none.
local client_scene = require "spec.support.client_scene"
local core = require "moonsocket.core"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene"

local function missing() error "not installed" end

-- Plays fn(json) with no other library than the one of that name to be found; "": with none.
local function with_library(name, fn)
  local loaded, preload, methods = {}, {}, { core.extend }
  local hidden = { cjson = name ~= "cjson" or nil, dkjson = name ~= "dkjson" or nil }
  for module in pairs(hidden) do
    loaded[module], preload[module] = package.loaded[module], package.preload[module]
    package.loaded[module], package.preload[module] = nil, missing
  end
  core.extend = function(_, method, extension) methods[method] = extension end
  local ok, wrong = xpcall(function()
    local json = assert(loadfile(assert(package.searchpath("moonsocket.json", package.path)), "t", _G))()
    fn(json)
  end, debug.traceback)
  core.extend = methods[1]
  for module in pairs(hidden) do
    package.loaded[module], package.preload[module] = loaded[module], preload[module]
  end
  if not ok then error(wrong, 0) end
end

local function with_connection(act)
  scene.play({ handler = function(ws) ws:wait_closed() end }, function(s)
    local p = s:open()
    act(s:ws(), p, s)
    p:drop()
  end)
end

for _, name in ipairs { "cjson", "dkjson" } do
  describe("JSON with " .. name, function()
    local null = require(name).null

    it("goes both ways", function()
      with_library(name, function(json)
        with_connection(function(ws, p)
          for text, value in pairs {
            ['{"a":[1.5,"b",true]}'] = { a = { 1.5, "b", true } }, ['"\xe2\x82\xac"'] = "\xe2\x82\xac",
            ["[1.5]"] = { 1.5 }, ["false"] = false, ["null"] = null,
          } do
            assert.is_true(json.send(ws, value))
            assert.equal("text " .. text, p.describe(p:read_frame()))
            p:send(peer.text(" " .. text .. " "))
            assert.same(value, json.receive(ws))
          end
        end)
      end)
    end)

    it("that is broken is told of, and the next message is taken", function()
      with_library(name, function(json)
        with_connection(function(ws, p)
          for _, text in ipairs { "{", "", "1 x", "nil", ("["):rep(100000) } do
            p:send(peer.text(text))
            local value, wrong = json.receive(ws)
            assert.is_nil(value)
            assert.is_truthy(wrong:find "^the message is not JSON: ", wrong)
          end
          p:send(peer.text "true")
          assert.is_true(json.receive(ws))
        end)
      end)
    end)

    it("does not take what cannot be JSON", function()
      with_library(name, function(json)
        with_connection(function(ws)
          local ok, wrong = pcall(json.send, ws, print)
          assert.is_false(ok)
          assert.is_truthy(wrong:find "send_json: .*function", wrong)
          ok, wrong = pcall(json.send, ws, "\xff")
          assert.is_false(ok)
          assert.is_truthy(wrong:find "send_json: text is not valid UTF%-8", wrong)
        end)
      end)
    end)

    it("waits as receive does, and is told of the end as it is", function()
      with_library(name, function(json)
        with_connection(function(ws, p)
          assert.same({ n = 2, nil, "timeout" }, table.pack(json.receive(ws, 0.001)))
          p:send(peer.close(4000, "enough"))
          p:fin()
          assert.same({ n = 4, nil, "closed", 4000, "enough" }, table.pack(json.receive(ws)))
          assert.same({ n = 3, nil, "closed", 4000 }, table.pack(json.send(ws, print)))
        end)
      end)
    end)
  end)
end

describe("JSON", function()
  it("needs a library, and says which", function()
    with_library("", function(json)
      with_connection(function(ws)
        for method, call in pairs { send_json = json.send, receive_json = json.receive } do
          local ok, wrong = pcall(call, ws, 1)
          assert.is_false(ok)
          assert.equal(method .. ": no JSON library is installed: `luarocks install lua-cjson`, or dkjson",
            wrong:match "[%w_]+: no .*")
        end
      end)
    end)
  end)

  it("is a client's and a server's, as methods of ws", function()
    client_scene.play(function(s)
      local ws, connection = s:open()
      connection:send(connection.text '{"n":1.5}')
      assert.same({ n = 1.5 }, ws:receive_json())
      ws:send_json { "x" }
      assert.equal('text ["x"]', connection.describe(connection:read_frame()))
      assert.has_error(function() ws.send_json = 1 end, "send_json is a method: ws:send_json(...)")
      ws:terminate()
    end)
  end)
end)
