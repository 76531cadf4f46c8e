-- ws:send_json and ws:receive_json, with the JSON library that is installed.

local core = require "moonsocket.core"

local json = {}

-- Each library by its module: what makes of it { encode = fn(value), decode = fn(text) }, which raise.
local adapters = {
  { "cjson", function(cjson) return cjson end },
  { "dkjson", function(dkjson)
    return {
      encode = dkjson.encode,
      -- It stops behind the first value, and what is null would be nil, which stands for failures here.
      decode = function(text)
        local value, after, wrong = dkjson.decode(text, 1, dkjson.null)
        if wrong then error(wrong, 0) end
        local rest = text:find("[^ \t\r\n]", after)
        if rest then error(("the value ends before character %d"):format(rest), 0) end
        return value
      end,
    }
  end },
}

local library

local function find(name)
  for _, adapter in ipairs(adapters) do
    local found, module = pcall(require, adapter[1])
    if found then
      library = adapter[2](module)
      return library
    end
  end
  error(("%s: no JSON library is installed: `luarocks install lua-cjson`, or dkjson"):format(name), 3)
end

--- Sends a value as JSON, in a text message.
-- @return as ws:send; raises where the value cannot be JSON
function json.send(ws, value)
  if ws.state ~= "open" then return ws:send "" end
  local ok, text = pcall((library or find "send_json").encode, value)
  if not ok then error("send_json: " .. text, 2) end
  local wrong = core.message_wrong(text)
  if wrong then error("send_json: " .. wrong, 2) end
  return ws:send(text)
end

--- Waits for the next message, which is JSON.
-- @param timeout seconds; nil: for as long as it takes
-- @return the value; or what ws:receive returns where there is no message; or nil and what is wrong with the message
function json.receive(ws, timeout)
  local decode = (library or find "receive_json").decode
  local message, kind, code, reason = ws:receive(timeout)
  if not message then
    if kind == "closed" then return nil, kind, code, reason end
    return nil, kind
  end
  local ok, value = pcall(decode, message)
  if not ok then return nil, "the message is not JSON: " .. value end
  return value
end

core.extend("websocket", "send_json", json.send)
core.extend("websocket", "receive_json", json.receive)

return json
