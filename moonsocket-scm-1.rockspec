rockspec_format = "3.0"
package = "moonsocket"
version = "scm-1"

-- `make rock` packs the working tree and puts the archive's place here.
source = {
  url = "git+https://moonsocket.example/moonsocket.git",
}

description = {
  summary = "WebSockets whose on_close always tells the truth",
  detailed = [[
    A WebSocket server for Lua scripts, on wslay's frame parser and libevent's sockets.
    Every connection that opened ends with exactly one on_close(code, reason, info), however it ended.]],
  license = "MIT",
  labels = { "websocket", "network", "server", "async" },
}

dependencies = {
  "lua >= 5.4, < 5.6",
}

external_dependencies = {
  WSLAY = { header = "wslay/wslay.h", library = "wslay" },
  LIBEVENT = { header = "event2/event.h", library = "event_core" },
  OPENSSL = { header = "openssl/evp.h", library = "crypto" },
}

build = {
  type = "builtin",
  modules = {
    ["moonsocket.core"] = {
      sources = {
      },
      incdirs = { "src", "$(WSLAY_INCDIR)", "$(LIBEVENT_INCDIR)", "$(OPENSSL_INCDIR)" },
      libdirs = { "$(WSLAY_LIBDIR)", "$(LIBEVENT_LIBDIR)", "$(OPENSSL_LIBDIR)" },
      libraries = { "wslay", "event_core", "crypto" },
    },
  },
}
