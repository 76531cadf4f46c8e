/* The fields of ws. */
#ifndef WS_BINDING_FIELDS_H
#define WS_BINDING_FIELDS_H

#include <lua.h>

#pragma GCC visibility push(hidden)

/* __index, __newindex and __tostring; upvalue 2 is the table of methods. */
int ws_fields_index(lua_State *L);
int ws_fields_newindex(lua_State *L);
int ws_fields_tostring(lua_State *L);

#pragma GCC visibility pop

#endif
