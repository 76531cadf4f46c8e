/* Certificates and trust in Lua: what the option tls becomes. */
#ifndef WS_BINDING_TLS_H
#define WS_BINDING_TLS_H

#include <lua.h>
#include <stdbool.h>

#include "net/tls.h"

#pragma GCC visibility push(hidden)

void ws_tls_register(lua_State *L);

/* tls({ cert =, key =, ca =, verify = }, is_server) -> context | nil, message */
int ws_module_tls(lua_State *L);

/* A context made of the table at the index, held by the caller; NULL: nil and a message are on the stack. Raises. */
struct ws_tls_context *ws_tls_make(lua_State *L, int index, bool server);

/* The context that is at the field of the table at index 1; NULL: none. */
struct ws_tls_context *ws_tls_option(lua_State *L, const char *name);

#pragma GCC visibility pop

#endif
