-- The option log: a line of JSON for every connection that has ended.

local core = require "moonsocket.core"

local log = {}

-- RFC 8259 section 7
local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape(c) return escapes[c] or ("\\u%04x"):format(c:byte()) end

-- RFC 8259 section 8.1: each byte that is not UTF-8 becomes U+FFFD.
local function repair(text)
  local pieces, from = {}, 1
  local valid, wrong = utf8.len(text)
  while not valid do
    pieces[#pieces + 1] = text:sub(from, wrong - 1)
    from = wrong + 1
    valid, wrong = utf8.len(text, from)
  end
  pieces[#pieces + 1] = text:sub(from)
  return table.concat(pieces, "\u{FFFD}")
end

local function json(value)
  if value == nil then return "null" end
  if type(value) ~= "string" then return tostring(value) end
  return ('"%s"'):format(repair(value):gsub('[%z\1-\31\127"\\]', escape))
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
