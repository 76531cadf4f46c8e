/* What the command line needs of the system and Lua does not have. */
#ifndef WS_BINDING_SYSTEM_H
#define WS_BINDING_SYSTEM_H

#include <lua.h>

#pragma GCC visibility push(hidden)

/* Pushes the table of functions: read, terminal, modified, exec. */
void ws_system_push(lua_State *L);

#pragma GCC visibility pop

#endif
