/* Certificates and trust in Lua: what the option tls becomes. */
#ifndef WS_BINDING_TLS_H
#define WS_BINDING_TLS_H

#include <lua.h>
#include <stdbool.h>

#include "net/tls.h"

#pragma GCC visibility push(hidden)

void ws_tls_register(lua_State *L);

/*
 * tls({ cert =, key =, ca =, verify =, protocols = as on the wire, sni = { { host =, cert =, key = }, ... } }, is_server)
 * -> context | nil, message. The Lua side has checked the table.
 */
int ws_module_tls(lua_State *L);

/* The context at the index; NULL: none is there. */
struct ws_tls_context *ws_tls_context_at(lua_State *L, int index);

/* The same at the field of the table at index 1. */
struct ws_tls_context *ws_tls_option(lua_State *L, const char *name);

#pragma GCC visibility pop

#endif
