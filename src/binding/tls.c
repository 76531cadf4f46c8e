/* The table of the option tls, and the userdata that holds a context. */
#include "binding/tls.h"

#include <lauxlib.h>
#include <string.h>

#include "binding/box.h"

static const char type_name[] = "moonsocket.tls";

static const char *text_field(lua_State *L, int index, const char *name)
{
	int type = lua_getfield(L, index, name);
	if (type != LUA_TNIL && type != LUA_TSTRING)
		luaL_error(L, "option 'tls': %s is a file's path or PEM, a string, not a %s", name, lua_typename(L, type));
	const char *text = lua_tostring(L, -1); /* the table keeps it alive */
	lua_pop(L, 1);
	return text;
}

static bool verify_field(lua_State *L, int index, bool otherwise)
{
	int type = lua_getfield(L, index, "verify");
	if (type != LUA_TNIL && type != LUA_TBOOLEAN)
		luaL_error(L, "option 'tls': verify is a boolean, not a %s", lua_typename(L, type));
	bool verify = type == LUA_TNIL ? otherwise : lua_toboolean(L, -1);
	lua_pop(L, 1);
	return verify;
}

static void check_names(lua_State *L, int index)
{
	static const char known[] = " cert key ca verify server_name ";
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
		lua_pushfstring(L, " %s ", name);
		if (!strstr(known, lua_tostring(L, -1)))
			luaL_error(L, "option 'tls': unknown field '%s': cert, key, ca, verify or server_name expected", name);
		lua_pop(L, 1);
	}
}

struct ws_tls_context *ws_tls_make(lua_State *L, int index, bool server)
{
	char why[WS_TLS_WHY];
	luaL_checktype(L, index, LUA_TTABLE);
	check_names(L, index);
	const struct ws_tls_config config = {
		.cert = text_field(L, index, "cert"), .key = text_field(L, index, "key"), .ca = text_field(L, index, "ca"),
		.server = server, .verify = verify_field(L, index, !server),
	};
	if (server && (!config.cert || !config.key))
		luaL_error(L, "option 'tls': a server needs cert and key");
	struct ws_tls_context *context = ws_tls_context_new(&config, why);
	if (!context) {
		lua_pushnil(L);
		lua_pushstring(L, why);
	}
	return context;
}

int ws_module_tls(lua_State *L)
{
	struct ws_tls_context **box = lua_newuserdatauv(L, sizeof *box, 0);
	*box = NULL;
	luaL_setmetatable(L, type_name);
	*box = ws_tls_make(L, 1, lua_toboolean(L, 2));
	return *box ? 1 : 2;
}

struct ws_tls_context *ws_tls_option(lua_State *L, const char *name)
{
	lua_getfield(L, 1, name);
	struct ws_tls_context **box = luaL_testudata(L, -1, type_name);
	lua_pop(L, 1);
	return box ? *box : NULL;
}

static int tls_gc(lua_State *L)
{
	struct ws_tls_context **box = ws_check_self(L, type_name);
	ws_tls_context_release(*box);
	*box = NULL;
	return 0;
}

void ws_tls_register(lua_State *L)
{
	static const luaL_Reg metamethods[] = { { "__gc", tls_gc }, { NULL, NULL } };
	static const luaL_Reg methods[] = { { NULL, NULL } };
	ws_type_register(L, type_name, metamethods, methods);
}
