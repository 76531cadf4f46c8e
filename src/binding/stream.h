/* Bytes to and from a server, in the clear or over TLS, with no WebSocket in them: what the test kit's peer stands on. */
#ifndef WS_BINDING_STREAM_H
#define WS_BINDING_STREAM_H

#include <lua.h>

#pragma GCC visibility push(hidden)

void ws_stream_register(lua_State *L);

/* stream{ host =, port =, path =, context =, server_name =, timeout = } -> stream | nil, message */
int ws_module_stream(lua_State *L);

#pragma GCC visibility pop

#endif
