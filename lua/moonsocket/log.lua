-- The option log: a line of JSON for every connection that has ended.

local core = require "moonsocket.core"
local json_string = require "moonsocket.json_string"

local log = {}

local function json(value)
  if value == nil then return "null" end
  return type(value) == "string" and json_string(value) or tostring(value)
end

-- Not "%.3f": that writes a comma where the locale does.
local function seconds(ms) return ("%d.%03d"):format(ms // 1000, ms % 1000) end

--- The line for a connection.
-- @param ws it
-- @param code what its on_close was told, as are reason and info
-- @param ms how long it was open
-- @param time when it ended, as os.time
function log.line(ws, code, reason, info, ms, time)
  local request = ws.request
  local fields = {
    { "time", json(os.date("!%Y-%m-%dT%H:%M:%SZ", time)) },
    { "id", json(ws.id) },
    { "remote_address", json(request.remote_address) },
    { "path", json(request.path) },
    { "code", json(code) },
    { "name", json(core.codes[code]) },
    { "reason", json(reason) },
    { "clean", json(info.clean) },
    { "by", json(info.by) },
    { "sent", json(info.sent) },
    { "received", json(info.received) },
    { "error", json(info.error) },
    { "seconds", seconds(ms) },
  }
  for i, field in ipairs(fields) do fields[i] = ('"%s":%s'):format(field[1], field[2]) end
  return "{" .. table.concat(fields, ",") .. "}"
end

-- One write for a line, lest those of several processes mix.
local function file_writer(file)
  return function(line)
    local ok, wrong = core.write_log(file, line .. "\n")
    if not ok then error("the log cannot be written: " .. wrong, 0) end
  end
end

--- What is called at the end of a connection, for the core.
-- @param target of the option: true, an open file or function(line); nil or false: no log
function log.writer(target)
  if not target then return nil end
  local write = type(target) == "function" and target or file_writer(target == true and io.stderr or target)
  return function(ws, code, reason, info, ms) write(log.line(ws, code, reason, info, ms, os.time())) end
end

return log
