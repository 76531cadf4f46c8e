-- Several names, each with a certificate of its own, told apart by SNI (RFC 6066 section 3, RFC 9525 section 6.3).
local certificates = require "spec.support.certificates"
local moonsocket = require "moonsocket"
local tls_scene = require "spec.support.tls_scene"

-- The default is localhost's.
local function several()
  local tls = certificates.of "localhost"
  tls.sni = {
    ["Chat.example.org"] = certificates.of "chat",
    ["*.example.org"] = certificates.of "wild",
    ["rsa.example.org"] = certificates.of "rsa",
    ["only"] = { cert = certificates.text "chain.pem", key = certificates.text "below.key" },
  }
  return tls
end

-- The names of the certificates that Python's client is shown, in order.
local function shown(port, asked, ...)
  local names, ca = {}, certificates.path "ca.pem"
  local lines = tls_scene.client_lines(port, "--ca", ca, "--names", table.concat(asked, ","), ...)
  for _, line in ipairs(lines) do
    if not line:find "^ended" then names[#names + 1] = line:match "^handshake .* cn=(%S+)" or line end
  end
  return names
end

describe("a server with several names", function()
  teardown(certificates.remove)

  local cases = {
    { "chat.example.org", "chat" }, { "CHAT.EXAMPLE.ORG", "chat" }, { "other.example.org", "wild" },
    { "OTHER.Example.Org", "wild" }, { "rsa.example.org", "rsa" }, { "two.labels.example.org", "localhost" },
    { "example.org", "localhost" }, { "xexample.org", "localhost" }, { "chat.example.org.evil", "localhost" },
    { "elsewhere.example", "localhost" }, { "localhost", "localhost" }, { "only", "below" }, { "", "localhost" },
  }
  local asked, expected = {}, {}
  for i, case in ipairs(cases) do asked[i], expected[i] = case[1], case[2] end
  for _, version in ipairs { "1.2", "1.3" } do
    it("shows each who asks for it its own certificate, and others the default: TLS " .. version, function()
      tls_scene.serve({ tls = several() }, function(_, _, server)
        assert.same(expected, shown(server.port, asked, "--version", version))
      end)
    end)
  end

  it("is trusted by clients under each of them, and under no other", function()
    tls_scene.serve({ tls = several() }, function(url, endings)
      for _, name in ipairs { "chat.example.org", "any.example.org", "rsa.example.org", "localhost" } do
        tls_scene.works(url, endings, tls_scene.trusting { server_name = name })
      end
      for _, name in ipairs { "example.org", "two.labels.example.org", "only" } do
        assert.matches("hostname mismatch", tls_scene.refusal(url, tls_scene.trusting { server_name = name }))
      end
    end)
  end)

  it("renews all of them, or none: what cannot be used is named", function()
    local both, localhost = { "chat.example.org", "localhost" }, certificates.of "localhost"
    tls_scene.serve({ tls = several() }, function(_, _, server)
      local half = certificates.of "second"
      half.sni = {
        ["chat.example.org"] = certificates.of "rsa",
        ["other.example.org"] = { cert = certificates.path "chat.pem", key = certificates.path "wild.key" },
      }
      local ok, message = server:reload_tls(half)
      assert.is_nil(ok)
      assert.equal(("cannot use the option tls: key of other.example.org (%s): it does not belong to the certificate, "
        .. "the first one in cert"):format(certificates.path "wild.key"), message)
      assert.same({ "chat", "localhost" }, shown(server.port, both))
      assert.is_true(server:reload_tls()) -- of the table before
      assert.same({ "chat", "localhost" }, shown(server.port, both))
      half.sni["other.example.org"] = nil
      assert.is_true(server:reload_tls(half))
      assert.same({ "rsa", "second" }, shown(server.port, both))
      assert.is_true(server:reload_tls(localhost))
      assert.same({ "localhost", "localhost" }, shown(server.port, both))
    end)
  end)

  it("reads the files of its latest table again where reload_tls has none", function()
    local function overwrite(name)
      return { cert = certificates.write("now.pem", certificates.text(name .. ".pem")),
        key = certificates.write("now.key", certificates.text(name .. ".key")) }
    end
    local tls = overwrite "localhost"
    tls.sni = { ["chat.example.org"] = certificates.of "chat" }
    tls_scene.serve({ tls = tls }, function(_, _, server)
      local both = { "localhost", "chat.example.org" }
      overwrite "second"
      assert.same({ "localhost", "chat" }, shown(server.port, both))
      assert.is_true(server:reload_tls())
      assert.same({ "second", "chat" }, shown(server.port, both))
      certificates.write("now.pem", "nothing")
      assert.matches("cert %(.*now%.pem%): no certificate is in it", select(2, server:reload_tls()))
      assert.same({ "second", "chat" }, shown(server.port, both))
      assert.is_true(server:reload_tls(certificates.of "localhost"))
      assert.is_true(server:reload_tls())
      assert.same({ "localhost", "localhost" }, shown(server.port, both))
    end)
  end)

  it("checks clients under each of them", function()
    local tls = several()
    tls.verify, tls.ca = true, certificates.path "ca.pem"
    tls_scene.serve({ tls = tls }, function(url, endings)
      local with = certificates.of "client"
      with.server_name = "chat.example.org"
      tls_scene.works(url, endings, tls_scene.trusting(with))
      local without = tls_scene.trusting { server_name = with.server_name }
      assert.matches("certificate required", tls_scene.refusal(url, without))
    end)
  end)

  it("keeps no file open, and nothing of a table that cannot be used", function()
    tls_scene.run(function()
      local tls = several()
      tls.sni["zzz.example.org"] = { cert = "/nowhere", key = "/nowhere" } -- the last to be read
      for _ = 1, 20 do
        assert.is_nil((moonsocket.serve("127.0.0.1:0", function() end, { tls = tls })))
      end
    end)
  end)
end)
