/* The opening handshake's request in Lua: a view of the head that its ws keeps. */
#ifndef WS_BINDING_REQUEST_H
#define WS_BINDING_REQUEST_H

#include <lua.h>

#include "protocol/head.h"

#pragma GCC visibility push(hidden)

struct ws_box;

void ws_request_register(lua_State *L);

/* Pushes a request of the ws at the index; two of one ws are equal. Raises. */
void ws_request_push(lua_State *L, int index);

/* Pushes a table of a head's headers: lower-case keys, any case finds them, repeats joined. Raises. */
void ws_request_push_headers(lua_State *L, const struct ws_head *head);

/* The head, parsed again from the box's own bytes, which live as long as it does. */
void ws_request_head(const struct ws_box *box, struct ws_head *head);

#pragma GCC visibility pop

#endif
