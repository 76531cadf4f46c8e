/* A folder whose files a router serves, and a file of it that is to be sent, in Lua. */
#ifndef WS_BINDING_FOLDER_H
#define WS_BINDING_FOLDER_H

#include <lua.h>

#pragma GCC visibility push(hidden)

struct ws_file;

void ws_folder_register(lua_State *L);

/* Of the core: folder(path) -> folder | nil, message */
int ws_module_folder(lua_State *L);

/* Takes the file out of the userdata at the index; NULL: it is no file, or has been taken. */
struct ws_file *ws_folder_take_file(lua_State *L, int index);

#pragma GCC visibility pop

#endif
