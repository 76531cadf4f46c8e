-- A network namespace of a spec's own, where packets can be lost without anybody else noticing.
local namespace = {}

local LUA = os.getenv "LUA" or "lua5.4"
local PATH = "PATH=$PATH:/usr/sbin:/sbin; export PATH; "

local function quoted(text) return "'" .. text:gsub("'", [['\'']]) .. "'" end

-- Output (standard error too) and whether it succeeded.
local function shell(command)
  local pipe = io.popen("{ " .. PATH .. command .. "\n} 2>&1")
  local output = pipe:read "a"
  return output, (pipe:close())
end

-- Rules that drop what comes to or from a port, whichever tool there is. Dropped on the way in: no sender is told.
local DROP = [[
  { nft add table inet spec &&
    nft 'add chain inet spec input { type filter hook input priority 0; }' &&
    nft add rule inet spec input tcp dport %d drop &&
    nft add rule inet spec input tcp sport %d drop; } ||
  { iptables -A INPUT -p tcp --dport %d -j DROP && iptables -A INPUT -p tcp --sport %d -j DROP; }]]

local function drop_rule(port) return DROP:format(port, port, port, port) end

-- Root makes one right away, others where the kernel lets them be root of a user namespace of their own.
local entrances = { "unshare --net ", "unshare --user --map-root-user --net " }
local entrance, why_not

local function enter(command) return entrance .. "sh -c " .. quoted("ip link set lo up && " .. command) end

--- nil where namespace.run works, else why it does not.
function namespace.missing()
  if entrance or why_not then return why_not end
  local complaints = {}
  for _, way in ipairs(entrances) do
    entrance = way
    local output, ok = shell(enter(drop_rule(1)))
    if ok then return nil end
    complaints[#complaints + 1] = output:gsub("%s+", " ")
  end
  entrance, why_not = nil, "packets cannot be dropped here: " .. table.concat(complaints)
  return why_not
end

--- Runs fn in a process of its own in a new namespace; raises what it printed if it failed. fn must not use a local
-- variable from outside itself: it is dumped and loaded again. In it, assert is luassert's.
function namespace.run(fn)
  assert(not namespace.missing(), why_not)
  local chunk = os.tmpname()
  local file = assert(io.open(chunk, "wb"))
  file:write(string.dump(fn))
  file:close()
  local start = [[assert = require "luassert"; local ok, wrong = pcall(dofile, arg[0])
    if not ok then print(wrong) end os.exit(ok, true)]]
  local output, ok = shell(enter(("%s -e %s %s"):format(LUA, quoted(start), chunk)))
  os.remove(chunk)
  if not ok then error(output, 0) end
end

--- From now on no packet gets through to or from this port; within namespace.run only.
function namespace.cut(port)
  local output, ok = shell(drop_rule(port))
  if not ok then error(output, 2) end
end

--- They get through again.
function namespace.mend()
  local output, ok = shell "nft flush ruleset || iptables -F INPUT"
  if not ok then error(output, 2) end
end

return namespace
