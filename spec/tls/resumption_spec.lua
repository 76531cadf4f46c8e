-- A second connection resumes the first one's session (RFC 8446 section 2.2, RFC 5077), as its peer, Python, sees it;
-- but never one that was made under other rules.
local certificates = require "spec.support.certificates"
local moonsocket = require "moonsocket"
local tls_scene = require "spec.support.tls_scene"

-- Python's server: play(connect); connect(extra) connects with that much more in the option tls, and returns whether
-- the server saw a session resumed.
local function beside_python(arguments, play)
  local files = certificates.of "localhost"
  tls_scene.run(function()
    tls_scene.python({ "server", "--times", "30", "--cert", files.cert, "--key", files.key, table.unpack(arguments) },
      function(p)
        local url = "wss://localhost:" .. p:await "^port (%d+)" .. "/"
        play(function(extra)
          tls_scene.end_by_peer(url, tls_scene.trusting(extra))
          return p:await "^handshake .* reused=(%a+)" == "True"
        end)
      end)
  end)
end

describe("a session", function()
  teardown(certificates.remove)

  for _, version in ipairs { "1.2", "1.3" } do
    it("is resumed by our client's next connection: TLS " .. version, function()
      beside_python({ "--version", version }, function(connect)
        assert.same({ false, true, true, true }, { connect(), connect(), connect(), connect() })
      end)
    end)

    it("is resumed with our server: TLS " .. version, function()
      tls_scene.serve({}, function(_, endings, server)
        local lines = tls_scene.client_lines(server.port, "--version", version, "--times", "3")
        for i, reused in ipairs { "False", "True", "True" } do
          assert.equal(reused, lines[2 * i - 1]:match "reused=(%a+)")
          assert.equal("ended close_notify", lines[2 * i])
        end
        tls_scene.await_endings(endings, 3)
      end)
    end)

    it("is resumed by none with other rules: TLS " .. version, function()
      local ca, client = certificates.path "ca.pem", certificates.of "client"
      local rules = {
        { ca = ca }, { verify = false }, { server_name = "127.0.0.1" }, { ca = certificates.path "both.pem" }, client,
        { alpn = { "http/1.1", "other" } },
      }
      beside_python({ "--version", version, "--ask", "--ca", ca }, function(connect)
        for i, extra in ipairs(rules) do assert.is_false(connect(extra), "rule " .. i) end
        for i, extra in ipairs(rules) do assert.is_true(connect(extra), "rule " .. i) end
      end)
    end)
  end

  it("of a client that verified nothing does not make another trust the server", function()
    tls_scene.serve({ tls = certificates.of "elsewhere" }, function(url)
      for _ = 1, 2 do
        tls_scene.visit(url, { tls = { verify = false } })
        assert.matches("hostname mismatch", tls_scene.refusal(url))
        tls_scene.visit(url, tls_scene.trusting { server_name = "example.com" })
        assert.matches("hostname mismatch", tls_scene.refusal(url))
      end
    end)
  end)

  it("is the same for PEM and for the file that it is in", function()
    beside_python({}, function(connect)
      assert.is_false(connect())
      assert.is_true(connect { ca = certificates.text "ca.pem" })
    end)
  end)

  for _, how in ipairs { "fin", "notify", "reset" } do
    for _, version in ipairs { "1.2", "1.3" } do
      it(("is resumed after the end of a connection by %s: TLS %s"):format(how, version), function()
        beside_python({ "--version", version, "--end", how }, function(connect)
          assert.is_false(connect())
          assert.is_true(connect())
        end)
      end)
    end
  end

  it("is not resumed after reload_tls: what it was made with may no longer hold", function()
    tls_scene.run(function()
      local server, opened = nil, 0
      server = assert(moonsocket.serve("127.0.0.1:0", { open = function()
        opened = opened + 1
        if opened == 2 then assert(server:reload_tls()) end
      end }, { tls = certificates.of "localhost" }))
      local seen = {}
      for _, line in ipairs(tls_scene.client_lines(server.port, "--times", "4")) do
        seen[#seen + 1] = line:match "reused=(%a+)"
      end
      assert.same({ "False", "True", "False", "True" }, seen)
      server:shutdown()
    end)
  end)

  it("keeps what its client has shown", function()
    local tls = certificates.of "localhost"
    tls.verify, tls.ca = true, certificates.path "ca.pem"
    tls_scene.serve({ tls = tls }, function(_, endings, server)
      local files = certificates.of "client"
      local lines = tls_scene.client_lines(server.port, "--times", "2", "--cert", files.cert, "--key", files.key)
      assert.same({ "False", "True" }, { lines[1]:match "reused=(%a+)", lines[3]:match "reused=(%a+)" })
      tls_scene.await_endings(endings, 2)
    end)
  end)
end)
