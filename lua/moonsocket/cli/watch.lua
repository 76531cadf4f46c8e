-- --watch: when a file of the script's has changed, its connections end with 1012, and this process becomes a new one.

local core = require "moonsocket.core"
local moonsocket = require "moonsocket"

local PERIOD = 0.25 -- s: a person who saves a file does not notice
local DRAIN = 2 -- s for those who do not answer our Close: nobody who tries something out wants to wait for them

local function say(...) io.stderr:write("moonsocket: ", table.concat { ... }, "\n") end

-- The script, and the Lua files of what it has required, all of which need not exist any more.
local function files(script)
  local paths = { script }
  for name in pairs(package.loaded) do
    local path = package.searchpath(name, package.path)
    if path then paths[#paths + 1] = path end
  end
  return paths
end

-- Whether it could run, as far as that can be seen.
local function is_sound(path)
  local chunk, wrong = loadfile(path)
  if not chunk then say(wrong, ": waiting for the next change") end
  return chunk ~= nil
end

-- The words that began this process: the interpreter's stand at negative places.
local function words_of(command_line)
  local words, first = {}, 0
  while command_line[first - 1] do first = first - 1 end
  for i = first, #command_line do words[#words + 1] = command_line[i] end
  return words
end

-- All at once, and each is waited for.
local function close_all()
  local servers, clients = core.servers(), core.clients()
  local how = { code = moonsocket.codes.SERVICE_RESTART, reason = "restarting", drain = DRAIN }
  for _, server in ipairs(servers) do moonsocket.go(server.shutdown, server, how) end
  for _, ws in ipairs(clients) do ws:close(how.code, how.reason) end
  for _, server in ipairs(servers) do server:shutdown(how) end
  for _, ws in ipairs(clients) do ws:wait_closed(DRAIN) end
end

--- Begins to watch, for as long as the loop runs.
-- @param script its path
-- @param command_line all words of this process
-- @return a function that looks at once: to be called when the script has loaded what it needs
return function(script, command_line)
  local seen, restarting = {}, false

  local function restart()
    restarting = true
    moonsocket.go(function()
      close_all()
      local _, wrong = core.system.exec(table.unpack(words_of(command_line)))
      say("cannot begin again: ", wrong)
      os.exit(1)
    end)
  end

  local function look()
    if restarting then return end
    for _, path in ipairs(files(script)) do
      local modified = core.system.modified(path)
      if seen[path] and modified and modified ~= seen[path] and is_sound(path) then
        say(path, " has changed: beginning again")
        return restart()
      end
      seen[path] = modified or seen[path]
    end
  end

  moonsocket.every(PERIOD, look)
  return look
end
