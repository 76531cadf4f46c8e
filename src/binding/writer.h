/* ws:writer(): one message in fragments, of any size. */
#ifndef WS_BINDING_WRITER_H
#define WS_BINDING_WRITER_H

#include <lua.h>

#pragma GCC visibility push(hidden)

void ws_writer_register(lua_State *L);

/* ws:writer([kind]) -> writer | nil, "closed", code | nil, "writing" */
int ws_box_writer(lua_State *L);

#pragma GCC visibility pop

#endif
