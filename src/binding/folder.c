/* folder:open(path): the userdata hold the descriptors until the collector, or a connection, has them. */
#include "binding/folder.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <unistd.h>

#include "binding/box.h"
#include "endpoint/file.h"
#include "error.h"
#include "protocol/reply.h"

static const char folder_type[] = "moonsocket.folder";
static const char file_type[] = "moonsocket.file";

int ws_module_folder(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	int *folder = lua_newuserdatauv(L, sizeof *folder, 0);
	*folder = -1;
	luaL_setmetatable(L, folder_type);
	*folder = ws_folder_open(path);
	if (*folder >= 0)
		return 1;
	lua_pushnil(L);
	lua_pushstring(L, strerror(errno));
	return 2;
}

static int folder_gc(lua_State *L)
{
	int *folder = ws_check_self(L, folder_type);
	if (*folder >= 0)
		close(*folder);
	*folder = -1;
	return 0;
}

/* open(path) -> file, when it was last changed, as HTTP says it | nil, whether it is a folder */
static int folder_open(lua_State *L)
{
	const int *folder = ws_check_self(L, folder_type);
	const char *path = luaL_checkstring(L, 2);
	struct ws_file **file = lua_newuserdatauv(L, sizeof *file, 0);
	char date[WS_REPLY_DATE];
	*file = NULL;
	luaL_setmetatable(L, file_type);
	int e = ws_file_open(file, *folder, path);
	bool is_folder = e == WS_ERROR_SYSTEM && errno == EISDIR;
	if (e == WS_ERROR_MEMORY || (e && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)))
		return luaL_error(L, "%s cannot be opened: %s", path, e == WS_ERROR_MEMORY ? "out of memory" : strerror(errno));
	if (e) {
		lua_pushnil(L);
		lua_pushboolean(L, is_folder);
		return 2;
	}
	ws_reply_date(date, (*file)->modified);
	lua_pushstring(L, date);
	return 2;
}

static int file_gc(lua_State *L)
{
	struct ws_file **file = ws_check_self(L, file_type);
	ws_file_free(*file);
	*file = NULL;
	return 0;
}

struct ws_file *ws_folder_take_file(lua_State *L, int index)
{
	struct ws_file **box = luaL_testudata(L, index, file_type), *file = box ? *box : NULL;
	if (box)
		*box = NULL;
	return file;
}

void ws_folder_register(lua_State *L)
{
	static const luaL_Reg of_folder[] = { { "__gc", folder_gc }, { NULL, NULL } };
	static const luaL_Reg of_file[] = { { "__gc", file_gc }, { NULL, NULL } };
	static const luaL_Reg folder_methods[] = { { "open", folder_open }, { NULL, NULL } };
	static const luaL_Reg no_methods[] = { { NULL, NULL } };
	ws_type_register(L, folder_type, of_folder, folder_methods);
	ws_type_register(L, file_type, of_file, no_methods);
}
