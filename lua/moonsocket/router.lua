-- The router: which path is whose. Paths are kept as a tree of their segments.

local core = require "moonsocket.core"
local admission = require "moonsocket.admission"
local files = require "moonsocket.files"
local handlers = require "moonsocket.handlers"
local options = require "moonsocket.options"
local page = require "moonsocket.page"

local router = {}

-- ---- paths

local function decode(segment)
  if segment:find "%%%X" or segment:find "%%.?$" or segment:find "%%.%X" then return nil end
  return (segment:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- The segments of a path, decoded, or nil. An absolute URL (RFC 9112 section 3.2.2) is a path behind its host.
local function split(path)
  path = path:gsub("^%a[%w+.-]*://[^/]*", "")
  local segments = {}
  for segment in path:gmatch "/([^/]*)" do
    local text = decode(segment)
    if not text then return nil end
    segments[#segments + 1] = text
  end
  return segments
end

-- ---- the tree: node = { children = { [text] = node }, parameter = node, websocket =, get =, files = }

local function new_node() return { children = {} } end

-- The node of a pattern, made if need be, and the names of its parameters; or nil and what is wrong.
local function place(tree, pattern)
  local node, names, seen = tree, {}, {}
  for segment in pattern:gmatch "/([^/]*)" do
    local name = segment:match "^:(.*)$"
    if not name then
      node.children[segment] = node.children[segment] or new_node()
      node = node.children[segment]
    else
      if not name:find "^[%a_][%w_]*$" then return nil, ("':%s' has no name such as ':room'"):format(name) end
      if seen[name] then return nil, ("the parameter ':%s' stands in it twice"):format(name) end
      seen[name], names[#names + 1] = true, name
      node.parameter = node.parameter or new_node()
      node = node.parameter
    end
  end
  return node, names
end

-- Exact segments win over parameters, and both over the files of a folder above.
local function find(node, segments, i, wanted, values)
  local segment = segments[i]
  if not segment then return node[wanted] or node.get or node.websocket or node.files, values, i end
  local child = node.children[segment]
  local found, at, from
  if child then found, at, from = find(child, segments, i + 1, wanted, values) end
  if not found and node.parameter and segment ~= "" then
    local more = table.move(values, 1, #values, 1, {})
    more[#more + 1] = segment
    found, at, from = find(node.parameter, segments, i + 1, wanted, more)
  end
  if found then return found, at, from end
  return node.files, values, i
end

-- ---- requests

local not_found = "there is nothing at this path"
local allow = "Allow: GET, HEAD\r\n"

local metrics_type = "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"

local function params_of(route, values)
  local params = {}
  for i, name in ipairs(route.names) do params[name] = values[i] end
  return params
end

-- What the core is to do with a request: the number of a WebSocket's route, or a function(request) that answers, or
-- status, body, header lines.
local function match(tree, context, request, is_handshake)
  local segments = split(request.path)
  if not segments then return 400, "the path is not percent-encoded as it should be", "" end
  local route, values, from = find(tree, segments, 1, is_handshake and "websocket" or "get", {})
  if not route or (is_handshake and not route.number) then return 404, not_found, "" end
  request.params = params_of(route, values)
  if route.number then return route.number end
  if request.method ~= "GET" and request.method ~= "HEAD" then return 405, "this is read with GET", allow end
  return route.responder(table.move(segments, from, #segments, 1, {}), context)
end

-- ---- what the user calls

local methods = {}
local metatable = { __index = methods, __name = "moonsocket.router" }

local function check(self, what, path)
  if getmetatable(self) ~= metatable then
    error(("%s: a router expected, got %s: call it as router:%s(...)"):format(what, type(self), what), 3)
  elseif self.served then
    error(("%s: the router is served already: routes are added before"):format(what), 3)
  elseif type(path) ~= "string" or not path:find "^/" or path:find "[?#%z%s]" then
    error(("%s: a path that begins with '/' and has no query expected, got %s"):format(what, tostring(path)), 3)
  end
end

local function add(self, what, path, kind, route)
  local node, names = place(self.tree, kind == "files" and path:gsub("/$", "") or path)
  if not node then error(("%s: %s: %s"):format(what, path, names), 3) end
  if node[kind] then error(("%s: %s is there already, as %s"):format(what, path, node[kind].path), 3) end
  for _, each in ipairs { "websocket", "get", "files" } do
    local other = node[each]
    if other and table.concat(other.names, " ") ~= table.concat(names, " ") then
      error(("%s: %s and %s are the same path with other names"):format(what, path, other.path), 3)
    end
  end
  route.path, route.names = path, names
  node[kind] = route
end

local function check_function(what, fn)
  if type(fn) ~= "function" then error(("%s: a function(request) expected, got %s"):format(what, type(fn)), 3) end
end

--- A WebSocket endpoint.
-- @param path where "/:name" stands for any segment
-- @param handler function(ws, request), or a table of callbacks, as for serve
-- @param given options of the endpoint, which go over those of serve
function methods:websocket(path, handler, given)
  check(self, "websocket", path)
  local list, is_table = handlers.of("websocket", handler, 3)
  options.check_endpoint("websocket", given, 3)
  self.websockets[#self.websockets + 1] = { list = list, is_table = is_table, given = given or {} }
  add(self, "websocket", path, "websocket", { number = #self.websockets })
  return self
end

--- A page, for GET and HEAD.
-- @param fn function(request) -> [status,] body [, headers]; it may wait
function methods:get(path, fn)
  check(self, "get", path)
  check_function("get", fn)
  local function respond(request) return page.response(path, fn(request)) end
  add(self, "get", path, "get", { responder = function() return respond end })
  return self
end

--- The server's metrics, as Prometheus reads them.
function methods:metrics(path)
  check(self, "metrics", path)
  local function responder(_, context)
    return function() return 200, context.server:metrics(), metrics_type end
  end
  add(self, "metrics", path, "get", { responder = responder })
  return self
end

--- The files of a folder, below a path.
function methods:files(prefix, folder)
  check(self, "files", prefix)
  if type(folder) ~= "string" or folder:find "%z" then
    error(("files: the path of a folder expected, got %s"):format(tostring(folder)), 2)
  end
  local opened, wrong = core.folder(folder)
  if not opened then error(("files: the folder %s cannot be opened: %s"):format(folder, wrong), 2) end
  local function responder(segments)
    return function(request) return files.respond(opened, segments, request) end
  end
  add(self, "files", prefix, "files", { responder = responder })
  return self
end

-- ---- for serve

local function endpoint(websocket, shared)
  local given = {}
  for name, value in pairs(shared) do given[name] = value end
  for name, value in pairs(websocket.given) do given[name] = value end
  local config = options.check("serve", given, options.endpoint, 4)
  config.handlers, config.table = websocket.list, websocket.is_table
  config.admit = admission.judge(config.origins, config.authorize)
  config.any_origin = config.origins ~= nil
  return config
end

--- Whether serve was given a router.
function router.is(value) return getmetatable(value) == metatable end

--- What core.listen wants of a router.
-- @param given the user's options of serve
-- @param context its field server is to be set as soon as there is one
-- @return routes, match
function router.compile(self, given, context)
  local shared, routes = options.endpoint_part(given or {}), {}
  self.served = true
  for i, websocket in ipairs(self.websockets) do routes[i] = endpoint(websocket, shared) end
  return routes, function(request, is_handshake) return match(self.tree, context, request, is_handshake) end
end

--- A router without routes.
function router.new() return setmetatable({ tree = new_node(), websockets = {} }, metatable) end

return router
