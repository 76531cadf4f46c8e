-- What the two sides say of permessage-deflate in the opening handshake, and what comes of it (RFC 7692 section 7.1).
-- The rows of every offer and answer are spec/core/extension_test.c's.
local client_scene = require "spec.support.client_scene"
local peer = require "spec.support.peer"
local scene = require "spec.support.scene"

local DEFLATE = "permessage-deflate"
local BOTH = "; server_no_context_takeover; client_no_context_takeover"
local TAKEOVER = { server_no_context_takeover = false, client_no_context_takeover = false }

local function header(value) return ("Sec-WebSocket-Extensions: %s\r\n"):format(value) end

describe("a server", function()
  -- Its option, the client's header lines, its answer.
  local ROWS = {
    { nil, header(DEFLATE), nil },
    { false, header(DEFLATE), nil },
    { true, "", nil },
    { true, header "x-other", nil },
    { true, header(DEFLATE), DEFLATE .. BOTH },
    { {}, header(DEFLATE .. "; client_max_window_bits"), DEFLATE .. BOTH },
    { TAKEOVER, header(DEFLATE), DEFLATE },
    { TAKEOVER, header "x" .. header(DEFLATE .. "; x, " .. DEFLATE .. "; server_max_window_bits=\"9\""),
      DEFLATE .. "; server_max_window_bits=9" },
    { { client_max_window_bits = 9 }, header(DEFLATE), nil },
    { { client_max_window_bits = 9, server_max_window_bits = 10 }, header(DEFLATE .. "; client_max_window_bits=12"),
      DEFLATE .. BOTH .. "; server_max_window_bits=10; client_max_window_bits=9" },
  }
  for i, row in ipairs(ROWS) do
    it(("answers an offer of compression (%d)"):format(i), function()
      local extensions
      local function handler(ws)
        extensions = ws.extensions
        ws:wait_closed()
        assert.equal(extensions, ws.extensions) -- still, after the end
      end
      scene.play({ handler = handler, compression = row[1] }, function(s)
        local p = s:connect()
        p:send(peer.request(row[2]))
        local response = p:read_response()
        assert.equal(101, response.status)
        assert.equal(row[3], response.headers["sec-websocket-extensions"])
        assert.equal(row[3] or "", extensions)
      end)
    end)
  end

  for _, compression in ipairs { true, false } do
    it(("with compression = %s refuses a header that is no list of extensions"):format(compression), function()
      scene.play({ compression = compression }, function(s)
        for _, wrong in ipairs { "", ";", "a b", "a;", "a;b=", 'a;b="c', "a;b=\"c d\"", DEFLATE .. "; =8" } do
          local response = s:refusal(peer.request(header(wrong)))
          assert.equal(400, response.status)
          assert.equal("Sec-WebSocket-Extensions is not a list of extensions", response.body)
        end
      end)
    end)
  end
end)

describe("a client", function()
  -- Its option, its offer, the server's header lines, ws.extensions.
  local ROWS = {
    { nil, nil, "", "" },
    { false, nil, "", "" },
    { true, DEFLATE .. BOTH .. "; client_max_window_bits", "", "" },
    { true, DEFLATE .. BOTH .. "; client_max_window_bits", header(DEFLATE .. "; server_no_context_takeover"),
      DEFLATE .. BOTH },
    { TAKEOVER, DEFLATE .. "; client_max_window_bits", header(DEFLATE .. "; client_max_window_bits=\"8\""),
      DEFLATE .. "; client_max_window_bits=8" },
    { { server_max_window_bits = 8, client_max_window_bits = 14, client_no_context_takeover = false },
      DEFLATE .. "; server_no_context_takeover; server_max_window_bits=8; client_max_window_bits=14",
      header(DEFLATE .. ";server_max_window_bits=8;server_no_context_takeover"),
      DEFLATE .. "; server_no_context_takeover; server_max_window_bits=8; client_max_window_bits=14" },
  }
  for i, row in ipairs(ROWS) do
    it(("offers compression and takes the answer (%d)"):format(i), function()
      client_scene.play(function(s)
        local ws, _, _, request = s:meet(function(connection) return connection:upgrade(row[3]) end,
          { compression = row[1] })
        assert.same(row[2] and { row[2] }, request.headers["sec-websocket-extensions"])
        assert.equal(row[4], ws.extensions)
        ws:terminate()
        ws:wait_closed()
        assert.equal(row[4], ws.extensions)
      end)
    end)
  end

  local WRONG = {
    { nil, DEFLATE, "the server chose an extension, but none was offered" },
    { true, "x-other", "the server chose an extension that was not offered" },
    { true, DEFLATE, "but not server_no_context_takeover, which was asked for" },
    { TAKEOVER, DEFLATE .. ", " .. DEFLATE, "the server chose more than one extension" },
    { TAKEOVER, DEFLATE .. "; x", "unknown, repeated or has a wrong value" },
    { TAKEOVER, DEFLATE .. "; server_max_window_bits=7", "unknown, repeated or has a wrong value" },
    { { server_max_window_bits = 9 }, DEFLATE .. "; server_no_context_takeover; server_max_window_bits=10",
      "but with a larger server_max_window_bits than was asked for" },
  }
  for i, row in ipairs(WRONG) do
    it(("refuses an answer that it has not asked for (%d)"):format(i), function()
      client_scene.play(function(s)
        local ws, message, response = s:meet(function(connection) connection:upgrade(header(row[2])) end,
          { compression = row[1] })
        assert.is_nil(ws)
        assert.truthy(message:find(row[3], 1, true), message)
        assert.same({ 101, row[2] }, { response.status, response.headers["sec-websocket-extensions"] })
      end)
    end)
  end
end)
