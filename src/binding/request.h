/* The opening handshake's request in Lua. */
#ifndef WS_BINDING_REQUEST_H
#define WS_BINDING_REQUEST_H

#include <lua.h>

#include "protocol/head.h"

void ws_request_register(lua_State *L);

/* Pushes a request made of a head's bytes (copied) and the peer's address. Raises. */
void ws_request_push(lua_State *L, struct ws_slice bytes, const char *peer);

/* The head of the request at the index, parsed again from its own bytes, which live as long as it does. */
void ws_request_head(lua_State *L, int index, struct ws_head *head);

/* Remembers the subprotocol that was agreed on: a slice of the head. */
void ws_request_set_subprotocol(lua_State *L, int index, struct ws_slice subprotocol);

/* Pushes it, or nil. */
void ws_request_push_subprotocol(lua_State *L, int index);

#endif
