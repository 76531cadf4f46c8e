/* What a server has to say of the end of each of its connections: server:on_close, and the log. */
#ifndef WS_BINDING_SERVER_CLOSE_H
#define WS_BINDING_SERVER_CLOSE_H

#include <lua.h>

#pragma GCC visibility push(hidden)

struct ws_box;

/* A connection of a server has ended, and its own on_close been called. */
void ws_server_close_tell(struct ws_box *box);

/* server:on_close(fn) */
int ws_server_close_set(lua_State *L);

#pragma GCC visibility pop

#endif
