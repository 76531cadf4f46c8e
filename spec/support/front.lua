-- A proxy with the text of its file in examples/deployment, but for ports, paths and what a spec changes, in front of a
-- scene's server.
local certificates = require "spec.support.certificates"
local moonsocket = require "moonsocket"
local peer = require "spec.support.peer"
local ports = require "spec.support.ports"
local program = require "spec.support.program"
local scene = require "spec.support.scene"
local stage = require "spec.support.stage"

local front = {}
front.__index = front

local function folder()
  local pipe <close> = assert(io.popen "mkdir -p build/deployment && cd build/deployment && pwd")
  return pipe:read()
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  assert(file:write(text))
  return path
end

-- A file of examples/deployment with other texts in the place of some: an error if one of those is not there.
local function example(name, changes)
  local file <close> = assert(io.open("examples/deployment/" .. name))
  local text = file:read "a"
  for old, new in pairs(changes) do
    local changed, count = text:gsub(old:gsub("%p", "%%%0"), (new:gsub("%%", "%%%%")))
    if count ~= 1 then error(("%s has '%s' %d times"):format(name, old, count), 2) end
    text = changed
  end
  return text
end

local function merged(...)
  local all = {}
  for _, each in ipairs { ... } do
    for key, value in pairs(each) do all[key] = value end
  end
  return all
end

-- Debian keeps them where only root's PATH leads.
local function at_sbin(...) return { "env", "PATH=" .. os.getenv "PATH" .. ":/usr/sbin:/sbin", ... } end

-- One process, so that whoever ends it ends all of it; nothing of the system's own configuration.
local NGINX = [[
daemon off;
master_process off;
pid %s/nginx.pid;
error_log stderr;
include /etc/nginx/modules-enabled/*.conf;
events { worker_connections 256; }
]]
local NGINX_HTTP = [[
http {
    access_log off;
    client_body_temp_path %s/body;
    proxy_temp_path %s/proxy;
    fastcgi_temp_path %s/fastcgi;
    uwsgi_temp_path %s/uwsgi;
    scgi_temp_path %s/scgi;
    include %s/site.conf;
}
]]

local function nginx(here, config)
  return at_sbin("nginx", "-e", "stderr", "-c", write(here .. "/nginx.conf", (config:gsub("%%s", here))))
end

local function haproxy(file, own, changes)
  local text = example(file, merged({
    ["bind :443"] = "bind 127.0.0.1:" .. own,
    ["maxconn 20000"] = "maxconn 256",
    ["inter 2s"] = "inter 100ms",
  }, changes))
  return at_sbin("haproxy", "-db", "-f", write(folder() .. "/haproxy.cfg", text))
end

--- name -> function(port to listen on, where the server is as the file says it, changes to the file): the command that
-- runs it. Those of http have the certificate; those of tcp leave it to the server, and speak the PROXY protocol.
front.http, front.tcp = {}, {}

function front.http.nginx(own, to, changes)
  local here = folder()
  write(here .. "/site.conf", example("nginx.conf", merged({
    ["listen 443 ssl;"] = ("listen 127.0.0.1:%d ssl;"):format(own),
    ["listen [::]:443 ssl;"] = "",
    ["/etc/ssl/example.com/chain.pem"] = certificates.path "localhost.pem",
    ["/etc/ssl/example.com/key.pem"] = certificates.path "localhost.key",
    ["127.0.0.1:8080"] = to,
  }, changes)))
  return nginx(here, NGINX .. NGINX_HTTP)
end

function front.tcp.nginx(own, to, changes)
  return nginx(folder(), NGINX .. example("nginx-stream.conf", merged({
    ["listen 443;"] = ("listen 127.0.0.1:%d;"):format(own),
    ["listen [::]:443;"] = "",
    ["127.0.0.1:8443"] = to,
  }, changes)))
end

function front.http.haproxy(own, to, changes)
  local both = certificates.text "localhost.pem" .. certificates.text "localhost.key"
  return haproxy("haproxy.cfg", own, merged({
    ["/etc/haproxy/example.com.pem"] = certificates.write("haproxy.pem", both),
    ["127.0.0.1:8080"] = to:gsub("^unix:", "unix@"),
  }, changes))
end

function front.tcp.haproxy(own, to, changes)
  return haproxy("haproxy-tcp.cfg", own, merged({ ["127.0.0.1:8443"] = to }, changes))
end

--- Our client, through the proxy. resource: path and query without the first slash, or nil
function front:client(options, resource)
  return moonsocket.connect(self.url .. (resource or ""), merged({ tls = self.tls }, options or {}))
end

--- One that comes back, without much of a pause.
function front:reconnect(options)
  return moonsocket.reconnect(self.url, merged({ tls = self.tls, min_delay = 0.01, max_delay = 0.05 }, options))
end

--- A raw peer, through the proxy.
function front:open() return self.scene:keep(peer.open { port = self.port, tls = true }) end

--- Another server takes the place of the scene's, which has gone.
function front:start_server()
  local s = self.scene
  s.server = assert(moonsocket.serve("127.0.0.1:" .. s.to.port, s:recording(scene.echo)))
end

--- Plays a scene with a proxy in front of its server: play(front, scene) runs as a task.
-- @param command of front.http or front.tcp
-- @param options { server = of the scene, changes = to the proxy's file }, both may be left out
function front.play(command, options, play)
  scene.play(options.server or {}, function(s)
    local port = ports.free()
    program.run_command(function(proxy)
      stage.await("the proxy", function() return ports.is_open(port) end)
      local self = setmetatable({
        scene = s, proxy = proxy, port = port, url = ("wss://localhost:%d/"):format(port),
        tls = { ca = certificates.path "ca.pem" },
      }, front)
      play(self, s)
    end, command(port, s.server.address, options.changes or {}))
  end)
end

return front
