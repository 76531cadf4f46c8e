-- codes and is_unexpected.
local moonsocket = require "moonsocket"
local codes = moonsocket.codes

-- RFC 6455 section 7.4.1 and the IANA registry of close codes.
local REGISTERED = {
  [1000] = "NORMAL", [1001] = "GOING_AWAY", [1002] = "PROTOCOL_ERROR", [1003] = "UNSUPPORTED_DATA",
  [1005] = "NO_STATUS", [1006] = "ABNORMAL", [1007] = "INVALID_DATA", [1008] = "POLICY_VIOLATION",
  [1009] = "MESSAGE_TOO_BIG", [1010] = "MANDATORY_EXTENSION", [1011] = "INTERNAL_ERROR", [1012] = "SERVICE_RESTART",
  [1013] = "TRY_AGAIN_LATER", [1014] = "BAD_GATEWAY", [1015] = "TLS_HANDSHAKE",
}

describe("codes", function()
  it("has every registered code under its name", function()
    for code, name in pairs(REGISTERED) do assert.equal(code, codes[name], name) end
  end)

  it("has every name under its code", function()
    for code, name in pairs(REGISTERED) do assert.equal(name, codes[code], code) end
  end)

  it("has nothing else", function()
    local count = 0
    for key, value in pairs(codes) do
      assert.equal(key, codes[value])
      count = count + 1
    end
    local registered = 0
    for _ in pairs(REGISTERED) do registered = registered + 1 end
    assert.equal(2 * registered, count)
    for _, code in ipairs { 0, 999, 1004, 1016, 3000, 4000 } do assert.is_nil(codes[code]) end
  end)
end)

describe("is_unexpected", function()
  it("is true for all but 1000 and 1001 unless told otherwise", function()
    assert.is_false(moonsocket.is_unexpected(1000))
    assert.is_false(moonsocket.is_unexpected(1001))
    for _, code in ipairs { 1002, 1005, 1006, 1007, 1011, 1012, 3000, 4000, 4999 } do
      assert.is_true(moonsocket.is_unexpected(code), code)
    end
  end)

  it("is true for all but those that are expected", function()
    assert.is_false(moonsocket.is_unexpected(4000, 4000))
    assert.is_false(moonsocket.is_unexpected(1005, 1000, 1001, 1005))
    assert.is_true(moonsocket.is_unexpected(1000, 4000))
    assert.is_true(moonsocket.is_unexpected(1001, 1000, 4000))
    assert.is_true(moonsocket.is_unexpected(1006, codes.NORMAL, codes.GOING_AWAY, codes.NO_STATUS))
  end)
end)
