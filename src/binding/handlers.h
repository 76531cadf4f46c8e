/* The setters of ws, one per event; each returns the function that was set before. */
#ifndef WS_BINDING_HANDLERS_H
#define WS_BINDING_HANDLERS_H

#include <lua.h>

#pragma GCC visibility push(hidden)

int ws_handlers_on_message(lua_State *L);
int ws_handlers_on_close(lua_State *L);
int ws_handlers_on_closing(lua_State *L);
int ws_handlers_on_ping(lua_State *L);
int ws_handlers_on_pong(lua_State *L);
int ws_handlers_on_drain(lua_State *L);
int ws_handlers_on_error(lua_State *L);

#pragma GCC visibility pop

#endif
