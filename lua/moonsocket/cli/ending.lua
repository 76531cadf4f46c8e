-- How a connection ended, in a sentence for people.

local moonsocket = require "moonsocket"

local ending = {}

-- RFC 6455 section 7.4.1, and the IANA registry for 1012 to 1014.
local meanings = {
  [1000] = "all that was to be done is done",
  [1001] = "going away: a server that shuts down, or a page that was left",
  [1002] = "a protocol error",
  [1003] = "data of a kind that is not taken",
  [1005] = "a Close frame without a code",
  [1006] = "no Close frame came: not a code that is ever sent",
  [1007] = "text that is not UTF-8, or compressed data that is broken",
  [1008] = "against the rules of whoever closed",
  [1009] = "a message that is too big",
  [1010] = "an extension that the client needs is missing",
  [1011] = "an error in the server",
  [1012] = "the server restarts: come back soon",
  [1013] = "the server has too much to do: come back later",
  [1014] = "a gateway got no answer, or a wrong one, from the server behind it",
  [1015] = "TLS failed: not a code that is ever sent",
}

--- What a code means.
function ending.meaning(code)
  if meanings[code] then return meanings[code] end
  if code >= 3000 and code <= 3999 then return "a code of a library or framework, registered with IANA" end
  return "a code of this application's own"
end

-- Which sentence it is: of whose Close frame came first, and whether there was another.
local function kind_of(code, info)
  if info.by == "local" and not info.clean then return info.sent == code and "failed" or "unanswered" end
  return info.by .. (info.clean and "" or " unclean")
end

local sentences = {
  peer = "%s closed with %d%s, which was answered.",
  ["peer unclean"] = "%s closed with %d%s, but our answer did not reach it.",
  ["local"] = "We closed, and %s answered with %d%s.",
}

local of_reason = {
  failed = "We failed the connection: %s.",
  unanswered = "We ended the connection, and got no answer: %s.",
  ["network unclean"] = "The connection was lost: %s.",
}

--- The sentence, and what the code means.
-- @param code, reason, info as on_close is told them
-- @param peer who it was on the other side: "the server" or "the client"
function ending.explain(code, reason, info, peer)
  local kind = kind_of(code, info)
  local quoted = reason ~= "" and (', "%s"'):format(reason) or ""
  local name = moonsocket.codes[code]
  local said = of_reason[kind] and of_reason[kind]:format(reason) or sentences[kind]:format(peer, code, quoted)
  return ("%s %d%s: %s."):format(said:gsub("^%l", string.upper), code, name and " " .. name or "", ending.meaning(code))
end

return ending
