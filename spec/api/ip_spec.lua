-- Numeric addresses (RFC 4291 section 2.2).
local ip = require "moonsocket.ip"

local function hex(bytes)
  return bytes and bytes:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end)
end

describe("ip.parse", function()
  local good = {
    ["0.0.0.0"] = "00000000",
    ["127.0.0.1"] = "7f000001",
    ["255.255.255.255"] = "ffffffff",
    ["::"] = ("00"):rep(16),
    ["::1"] = ("00"):rep(15) .. "01",
    ["1::"] = "0001" .. ("00"):rep(14),
    ["2001:DB8::a"] = "20010db8" .. ("00"):rep(10) .. "000a",
    ["1:2:3:4:5:6:7:8"] = "00010002000300040005000600070008",
    ["1:2:3:4:5:6:7::"] = "00010002000300040005000600070000",
    ["::2:3:4:5:6:7:8"] = "00000002000300040005000600070008",
    ["::ffff:127.0.0.1"] = ("00"):rep(10) .. "ffff7f000001",
    ["64:ff9b::192.0.2.33"] = "0064ff9b" .. ("00"):rep(8) .. "c0000221",
    ["1:2:3:4:5:6:192.0.2.33"] = "000100020003000400050006c0000221",
  }
  for text, bytes in pairs(good) do
    it("takes " .. text, function() assert.equal(bytes, (hex(ip.parse(text)))) end)
  end

  local bad = {
    "", ".", ":", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", "256.0.0.1", "1.2.3.0000", "01.2.3.4", "00.2.3.4", "1.2.3.4 ",
    "0x1.2.3.4", "-1.2.3.4", "1:2", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "1::2::3", ":::", ":::1",
    "1:::", ":1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:", "::1:", ":1::", "::12345", "::g", "::1.2.3", "::1.2.3.4:5",
    "1.2.3.4::", "1:2:3:4:5:6:7:1.2.3.4", "fe80::1%eth0", "[::1]", "localhost",
  }
  for _, text in ipairs(bad) do
    it(("does not take %q"):format(text), function() assert.is_nil(ip.parse(text)) end)
  end
end)

describe("ip.share", function()
  it("compares so many bits and no more", function()
    local a, b = ip.parse "10.1.2.3", ip.parse "10.1.130.3"
    for bits = 0, 32 do assert.equal(bits <= 16, ip.share(bits, a, b), bits) end
    a, b = ip.parse "2001:db8::", ip.parse "2001:db8:8000::"
    for bits = 0, 128 do assert.equal(bits <= 32, ip.share(bits, a, b), bits) end
  end)

  it("finds nothing in common between IPv4 and IPv6", function()
    assert.is_false(ip.share(0, ip.parse "0.0.0.0", ip.parse "::"))
  end)
end)

describe("ip.is_loopback", function()
  it("is true of 127.0.0.0/8 and ::1 alone", function()
    for text, is in pairs {
      ["127.0.0.1"] = true, ["127.255.255.255"] = true, ["::1"] = true,
      ["126.0.0.1"] = false, ["128.0.0.1"] = false, ["::"] = false, ["::2"] = false, ["1::1"] = false,
      ["7f00::1"] = false,
    } do
      assert.equal(is, ip.is_loopback(ip.parse(text)), text)
    end
  end)
end)
