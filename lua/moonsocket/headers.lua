-- Header lines made of a user's table. What somebody else wrote into a value must not begin a line of its own, and
-- none may take the place of one that the handshake sets itself (RFC 9110 sections 5.1 and 5.5).

local headers = {}

-- The core sets these in a refusal.
local of_response = { connection = true, upgrade = true, ["content-length"] = true, ["transfer-encoding"] = true }

-- What is said of those that the core sets in a request (RFC 6455 section 4.1), or that it can have no use for.
local by_handshake, no_body = "the handshake sets it", "the request has no body"
local of_request = {
  host = "it is the URL's host", connection = by_handshake, upgrade = by_handshake,
  ["sec-websocket-key"] = by_handshake, ["sec-websocket-version"] = by_handshake,
  ["sec-websocket-extensions"] = by_handshake, ["sec-websocket-accept"] = "it belongs to the answer",
  ["sec-websocket-protocol"] = "the option subprotocols sets it",
  ["content-length"] = no_body, ["transfer-encoding"] = no_body, expect = no_body, trailer = no_body,
}

--- Whether it is a token (RFC 9110 section 5.6.2).
function headers.is_token(text) return type(text) == "string" and text:find "^[%w!#$%%&'*+.^_`|~-]+$" ~= nil end

local function is_text(value) return type(value) == "string" or type(value) == "number" end

-- A tab may stand in a value.
local function is_value(value) return is_text(value) and not tostring(value):find "[\0-\8\10-\31\127]" end

local function line(name, value) return ("%s: %s\r\n"):format(name, value) end

local function sorted(given)
  local names = {}
  for name in pairs(given) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  return names
end

--- The lines of a response.
-- @param given { name = value }
-- @return a string, each line with its CRLF, or nil and what is wrong
function headers.response(given)
  local lines = {}
  for i, name in ipairs(sorted(given)) do
    if not headers.is_token(name) or of_response[name:lower()] then
      return nil, ("a header that cannot be sent: %q"):format(tostring(name))
    elseif not is_value(given[name]) then
      return nil, ("the header %s with a value that cannot be sent"):format(name)
    end
    lines[i] = line(name, given[name])
  end
  return table.concat(lines)
end

-- One Cookie line; RFC 6265 section 4.1.1 says what a value may be.
local function cookie_line(cookies)
  local pairs_of_it = {}
  for i, name in ipairs(sorted(cookies)) do
    local value = cookies[name]
    if not headers.is_token(name) then
      return nil, ("%q is not a name that a cookie can have"):format(tostring(name))
    elseif not is_text(value) then
      return nil, ("the value of '%s' is not a string but a %s"):format(name, type(value))
    elseif tostring(value):gsub('^"(.*)"$', "%1"):find '[\0-\32",;\\\127-\255]' then
      return nil, ("the value of '%s' has a character that no cookie may have: encode it"):format(name)
    end
    pairs_of_it[i] = name .. "=" .. value
  end
  return #pairs_of_it > 0 and line("Cookie", table.concat(pairs_of_it, "; ")) or ""
end

-- The lines of one header of a request: one for each value.
local function add_request_header(lines, name, values)
  if not headers.is_token(name) then
    return ("%q is not a name that a header can have"):format(tostring(name))
  elseif of_request[name:lower()] then
    return ("'%s' cannot be given: %s"):format(name, of_request[name:lower()])
  end
  for _, value in ipairs(type(values) == "table" and values or { values }) do
    if not is_text(value) then
      return ("the value of '%s' is not a string but a %s"):format(name, type(value))
    elseif not is_value(value) then
      return ("the value of '%s' has a control character"):format(name)
    end
    lines[#lines + 1] = line(name, value)
  end
end

--- The lines of a request, besides those of the handshake.
-- @param given { name = value | list of values } or nil
-- @param cookies { name = value } or nil
-- @param authorization the URL's, or nil
-- @return a string, each line with its CRLF, or nil and what is wrong with which option
function headers.request(given, cookies, authorization)
  local lines = {}
  for _, name in ipairs(sorted(given or {})) do
    local wrong = add_request_header(lines, name, given[name])
    if wrong then return nil, "option 'headers': " .. wrong end
    local lower = name:lower()
    if lower == "cookie" and next(cookies or {}) then -- RFC 6265 section 5.4: one line
      return nil, "there are both a header 'Cookie' and the option cookies"
    elseif lower == "authorization" and authorization then
      return nil, "there are both a header 'Authorization' and a user in the URL"
    end
  end
  if authorization then lines[#lines + 1] = line("Authorization", authorization) end
  local cookie, wrong = cookie_line(cookies or {})
  if not cookie then return nil, "option 'cookies': " .. wrong end
  return table.concat(lines) .. cookie
end

return headers
