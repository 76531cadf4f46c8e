-- JSON-RPC 2.0 over a WebSocket, for both sides of it: either may call the other. The sections are those of
-- https://www.jsonrpc.org/specification
local cjson = require "cjson.safe"
local moonsocket = require "moonsocket"

local rpc = {}

-- Section 5.1, and one of our own, of those that it leaves to servers.
rpc.PARSE_ERROR, rpc.INVALID_REQUEST, rpc.METHOD_NOT_FOUND = -32700, -32600, -32601
rpc.INVALID_PARAMS, rpc.INTERNAL_ERROR = -32602, -32603
rpc.NO_ANSWER = -32000

local MAX_RUNNING = 16 -- calls of one peer at once: with more, the next is done before anything else is read

local Failure = {}

--- Ends a method with an error for the caller.
function rpc.fail(code, message, data)
  error(setmetatable({ code = code, message = message, data = data }, Failure), 0)
end

-- ---- answering

local function response(id, failure, result)
  if failure then
    local wrong = { code = failure.code, message = failure.message, data = failure.data }
    return cjson.encode { jsonrpc = "2.0", id = id, error = wrong }
  end
  return cjson.encode { jsonrpc = "2.0", id = id, result = result == nil and cjson.null or result }
end

-- What a method raised by mistake is for our log, not for the caller.
local function to_failure(raised)
  if getmetatable(raised) == Failure then return raised end
  io.stderr:write(debug.traceback("rpc: " .. tostring(raised), 2), "\n")
  return { code = rpc.INTERNAL_ERROR, message = "internal error" }
end

local function is_id(id) return id == nil or id == cjson.null or type(id) == "string" or type(id) == "number" end

local function is_request(r) -- section 4
  return type(r) == "table" and r.jsonrpc == "2.0" and type(r.method) == "string" and is_id(r.id)
    and (r.params == nil or type(r.params) == "table")
end

-- The response to one request, or nil to a notification.
local function answer(peer, request)
  if not is_request(request) then
    return response(cjson.null, { code = rpc.INVALID_REQUEST, message = "not a request of JSON-RPC 2.0" })
  end
  local method, result, failure = peer.methods[request.method], nil, nil
  if not method then
    failure = { code = rpc.METHOD_NOT_FOUND, message = "no method " .. request.method }
  else
    local ok, outcome = xpcall(method, to_failure, request.params or {}, peer)
    if ok then result = outcome else failure = outcome end
  end
  if request.id == nil then return nil end
  return response(request.id, failure, result)
    or response(request.id, { code = rpc.INTERNAL_ERROR, message = "the result cannot be JSON" })
end

-- ---- calling

local function settle(peer, id, result, failure)
  local call = peer.pending[id]
  if not call then return end -- it has timed out, or never was
  peer.pending[id] = nil
  call.timer:cancel()
  moonsocket.go(call.fn, result, failure) -- an error in it is its own
end

local function is_response(r) -- section 5
  return type(r) == "table" and r.method == nil and (r.result ~= nil or type(r.error) == "table")
end

local function take(peer, r)
  if r.error then settle(peer, r.id, nil, r.error) else settle(peer, r.id, r.result) end
end

-- A request as a table: a call, or without fn a notification.
local function request_of(peer, method, params, fn)
  local request = { jsonrpc = "2.0", method = method, params = params }
  if fn then
    local id = peer.last + 1
    peer.last, request.id = id, id
    peer.pending[id] = {
      fn = fn,
      timer = moonsocket.after(peer.timeout, function()
        settle(peer, id, nil, { code = rpc.NO_ANSWER, message = ("no answer within %g s"):format(peer.timeout) })
      end),
    }
  end
  return request
end

local Peer = {}
Peer.__index = Peer

--- Calls a method of the other side. Any number of calls may be under way at once.
-- @param params a table, or nil
-- @param fn function(result, failure), called once; failure: { code =, message =, data = }
function Peer:call(method, params, fn)
  self:batch { { method, params, fn } }
end

--- Calls a method and wants no answer.
function Peer:notify(method, params)
  self:batch { { method, params } }
end

--- Several calls and notifications in one message.
-- @param calls a list of { method, params, fn }; without fn it is a notification
function Peer:batch(calls)
  local requests = {}
  for i, call in ipairs(calls) do requests[i] = request_of(self, call[1], call[2], call[3]) end
  local sent = self.ws:send(assert(cjson.encode(requests[2] and requests or requests[1])))
  if sent or self.ws.state ~= "closed" then return end -- else on_close settles them
  for _, request in ipairs(requests) do
    if request.id then settle(self, request.id, nil, { code = rpc.NO_ANSWER, message = "the connection is closed" }) end
  end
end

-- ---- a connection

local function receive_batch(peer, list) -- section 6
  local answers = {}
  for _, each in ipairs(list) do
    if is_response(each) then take(peer, each) else answers[#answers + 1] = answer(peer, each) end
  end
  if answers[1] then peer.ws:send("[" .. table.concat(answers, ",") .. "]") end
end

local function receive(peer, text)
  local value = cjson.decode(text)
  if value == nil then
    peer.ws:send(response(cjson.null, { code = rpc.PARSE_ERROR, message = "not JSON" }))
  elseif text:find "^%s*%[" and value[1] ~= nil then
    receive_batch(peer, value)
  elseif is_response(value) then
    take(peer, value)
  else
    local json = answer(peer, value)
    if json then peer.ws:send(json) end
  end
end

--- Serves a connection's calls, and makes some.
-- @param methods functions(params, peer) -> result, by name; they may wait, and end with rpc.fail
-- @param timeout seconds that a call may take; default 30
function rpc.attach(ws, methods, timeout)
  local peer = setmetatable({
    ws = ws, methods = methods, timeout = timeout or 30, pending = {}, last = 0, running = 0,
  }, Peer)

  ws:on_message(function(text)
    if peer.running >= MAX_RUNNING then return receive(peer, text) end
    peer.running = peer.running + 1
    moonsocket.go(function()
      receive(peer, text)
      peer.running = peer.running - 1
    end)
  end)

  ws:on_close(function(code, reason)
    for id in pairs(peer.pending) do
      settle(peer, id, nil, { code = rpc.NO_ANSWER, message = ("the connection ended: %d %s"):format(code, reason) })
    end
  end)
  return peer
end

return rpc
