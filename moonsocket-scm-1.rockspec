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
    WebSocket servers and clients for Lua scripts, on wslay's frame parser and libevent's sockets.
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
  LIBEVENT_EXTRA = { header = "event2/dns.h", library = "event_extra" },
  OPENSSL = { header = "openssl/evp.h", library = "crypto" },
  OPENSSL_SSL = { header = "openssl/ssl.h", library = "ssl" },
  ZLIB = { header = "zlib.h", library = "z" },
}

build = {
  type = "builtin",
  modules = {
    ["moonsocket"] = "lua/moonsocket.lua",
    ["moonsocket.address"] = "lua/moonsocket/address.lua",
    ["moonsocket.admission"] = "lua/moonsocket/admission.lua",
    ["moonsocket.headers"] = "lua/moonsocket/headers.lua",
    ["moonsocket.ip"] = "lua/moonsocket/ip.lua",
    ["moonsocket.proxy"] = "lua/moonsocket/proxy.lua",
    ["moonsocket.url"] = "lua/moonsocket/url.lua",
    ["moonsocket.options"] = "lua/moonsocket/options.lua",
    ["moonsocket.reconnect"] = "lua/moonsocket/reconnect.lua",
    ["moonsocket.testing"] = "lua/moonsocket/testing.lua",
    ["moonsocket.testing.assertions"] = "lua/moonsocket/testing/assertions.lua",
    ["moonsocket.testing.certificate"] = "lua/moonsocket/testing/certificate.lua",
    ["moonsocket.testing.endings"] = "lua/moonsocket/testing/endings.lua",
    ["moonsocket.testing.frame"] = "lua/moonsocket/testing/frame.lua",
    ["moonsocket.testing.peer"] = "lua/moonsocket/testing/peer.lua",
    ["moonsocket.testing.settings"] = "lua/moonsocket/testing/settings.lua",
    ["moonsocket.tls"] = "lua/moonsocket/tls.lua",
    ["moonsocket.core"] = {
      sources = {
        "src/binding/admission.c",
        "src/binding/box.c",
        "src/binding/call.c",
        "src/binding/cancellation.c",
        "src/binding/client.c",
        "src/binding/context.c",
        "src/binding/events.c",
        "src/binding/fields.c",
        "src/binding/handlers.c",
        "src/binding/module.c",
        "src/binding/options.c",
        "src/binding/owner.c",
        "src/binding/prepared.c",
        "src/binding/request.c",
        "src/binding/server.c",
        "src/binding/stream.c",
        "src/binding/timer.c",
        "src/binding/tls.c",
        "src/binding/websocket.c",
        "src/endpoint/client.c",
        "src/endpoint/connection.c",
        "src/endpoint/deadline.c",
        "src/endpoint/ending.c",
        "src/endpoint/heartbeat.c",
        "src/endpoint/opening.c",
        "src/endpoint/prepared.c",
        "src/endpoint/pump.c",
        "src/endpoint/server.c",
        "src/net/address.c",
        "src/net/chunk.c",
        "src/net/connector.c",
        "src/net/listener.c",
        "src/net/loop.c",
        "src/net/random.c",
        "src/net/resolver.c",
        "src/net/signal.c",
        "src/net/timer.c",
        "src/net/tls.c",
        "src/net/tls_context.c",
        "src/net/tls_session.c",
        "src/net/transport.c",
        "src/net/watch.c",
        "src/protocol/chunked.c",
        "src/protocol/closing.c",
        "src/protocol/code.c",
        "src/protocol/deflate.c",
        "src/protocol/extension.c",
        "src/protocol/frame.c",
        "src/protocol/handshake.c",
        "src/protocol/handshake_client.c",
        "src/protocol/head.c",
        "src/protocol/head_writer.c",
        "src/protocol/mask.c",
        "src/protocol/response.c",
        "src/protocol/session.c",
        "src/protocol/socks5.c",
        "src/protocol/tunnel.c",
        "src/protocol/utf8.c",
      },
      incdirs = {
        "src",
        "$(WSLAY_INCDIR)",
        "$(LIBEVENT_INCDIR)",
        "$(LIBEVENT_EXTRA_INCDIR)",
        "$(OPENSSL_INCDIR)",
        "$(OPENSSL_SSL_INCDIR)",
        "$(ZLIB_INCDIR)",
      },
      libdirs = {
        "$(WSLAY_LIBDIR)",
        "$(LIBEVENT_LIBDIR)",
        "$(LIBEVENT_EXTRA_LIBDIR)",
        "$(OPENSSL_LIBDIR)",
        "$(OPENSSL_SSL_LIBDIR)",
        "$(ZLIB_LIBDIR)",
      },
      libraries = { "wslay", "event_extra", "event_core", "ssl", "crypto", "z" },
    },
  },
}
