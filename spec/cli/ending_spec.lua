-- The sentence that says how a connection ended.
local ending = require "moonsocket.cli.ending"
local moonsocket = require "moonsocket"

local function explain(code, reason, info) return ending.explain(code, reason, info, "the server") end

describe("the sentence about an ending", function()
  for _, case in ipairs {
    { { 1000, "bye", { clean = true, by = "peer", sent = 1000, received = 1000 } },
      'The server closed with 1000, "bye", which was answered. 1000 NORMAL: all that was to be done is done.' },
    { { 1005, "", { clean = true, by = "peer" } },
      "The server closed with 1005, which was answered. 1005 NO_STATUS: a Close frame without a code." },
    { { 4001, "", { clean = true, by = "peer", sent = 4001, received = 4001 } },
      "The server closed with 4001, which was answered. 4001: a code of this application's own." },
    { { 3001, "", { clean = true, by = "peer", sent = 3001, received = 3001 } },
      "The server closed with 3001, which was answered. 3001: a code of a library or framework, registered with "
        .. "IANA." },
    { { 1001, "x", { clean = false, by = "peer", sent = 1001, received = 1001 } },
      'The server closed with 1001, "x", but our answer did not reach it. 1001 GOING_AWAY: going away: a server that '
        .. "shuts down, or a page that was left." },
    { { 1000, "", { clean = true, by = "local", sent = 1000, received = 1000 } },
      "We closed, and the server answered with 1000. 1000 NORMAL: all that was to be done is done." },
    { { 1009, "message of 9 bytes is over the limit of 5", { clean = false, by = "local", sent = 1009 } },
      "We failed the connection: message of 9 bytes is over the limit of 5. 1009 MESSAGE_TOO_BIG: a message that is "
        .. "too big." },
    { { 1006, "closing handshake timed out after 5 s", { clean = false, by = "local", sent = 1000 } },
      "We ended the connection, and got no answer: closing handshake timed out after 5 s. 1006 ABNORMAL: no Close "
        .. "frame came: not a code that is ever sent." },
    { { 1006, "connection reset by peer", { clean = false, by = "network" } },
      "The connection was lost: connection reset by peer. 1006 ABNORMAL: no Close frame came: not a code that is ever "
        .. "sent." },
  } do
    it("is: " .. case[2], function() assert.equal(case[2], explain(table.unpack(case[1]))) end)
  end

  it("has a meaning for every code that can be told", function()
    for code = 1000, 4999 do
      if moonsocket.codes[code] then assert.not_equal("a code of this application's own", ending.meaning(code)) end
    end
  end)
end)
