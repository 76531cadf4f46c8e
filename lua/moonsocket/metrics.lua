-- server:stats() as Prometheus reads it: the text exposition format, version 0.0.4.

local core = require "moonsocket.core"

local metrics = {}

-- One family each: its name behind "moonsocket_", its type, what it is, the field of the stats; and, where that is a
-- table of counts, what its keys are. docs/metrics.md has the same list.
local families = {
  { "connections_open", "gauge", "Connections that are open.", "open" },
  { "connections_opened_total", "counter", "Connections that have opened.", "opened" },
  { "connections_closed_total", "counter", "Connections that have ended, by close code.", "closed", "code" },
  { "connections_closed_by_total", "counter", "Connections that have ended, by who ended them.", "closed_by", "by" },
  { "handshakes_refused_total", "counter", "Opening handshakes that failed, by HTTP status; 0: the client left.",
    "refused", "status" },
  { "requests_total", "counter", "HTTP requests for no WebSocket, by HTTP status; 0: the client left.", "requests",
    "status" },
  { "messages_in_total", "counter", "Messages received.", "messages_in" },
  { "messages_out_total", "counter", "Messages sent.", "messages_out" },
  { "bytes_in_total", "counter", "Bytes of the messages received.", "bytes_in" },
  { "bytes_out_total", "counter", "Bytes of the messages sent.", "bytes_out" },
  { "buffered_bytes", "gauge", "Bytes that wait to be sent.", "buffered" },
}

-- Codes and statuses are numbers, and whoever ended it is one of three words: no label needs escaping.
local function samples(name, counts, label)
  local lines = {}
  for key, count in pairs(counts) do lines[#lines + 1] = ('%s{%s="%s"} %d\n'):format(name, label, key, count) end
  table.sort(lines)
  return table.concat(lines)
end

--- @param stats as server:stats() returns them
-- @return the text
function metrics.text(stats)
  local parts = {}
  for i, family in ipairs(families) do
    local base, kind, help, field, label = table.unpack(family)
    local name, value = "moonsocket_" .. base, stats[field]
    parts[i] = ("# HELP %s %s\n# TYPE %s %s\n"):format(name, help, name, kind)
      .. (label and samples(name, value, label) or ("%s %d\n"):format(name, value))
  end
  return table.concat(parts)
end

core.extend("server", "metrics", function(server) return metrics.text(server:stats()) end)

return metrics
