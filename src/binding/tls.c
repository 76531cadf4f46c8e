/* The userdata that holds a context, made of a table that the Lua side has checked. */
#include "binding/tls.h"

#include <lauxlib.h>

#include "binding/box.h"
#include "binding/options.h"

static const char type_name[] = "moonsocket.tls";

/* The table on top keeps the texts alive. */
static const char *text_field(lua_State *L, const char *name)
{
	lua_getfield(L, -1, name);
	const char *text = lua_tostring(L, -1);
	lua_pop(L, 1);
	return text;
}

static struct ws_tls_identity identity(lua_State *L)
{
	return (struct ws_tls_identity){ text_field(L, "host"), text_field(L, "cert"), text_field(L, "key") };
}

/* Leaves the list, as a userdata, on the stack. */
static const struct ws_tls_identity *push_named(lua_State *L, size_t *count)
{
	lua_getfield(L, 1, "sni");
	*count = (size_t)lua_rawlen(L, -1);
	struct ws_tls_identity *list = lua_newuserdatauv(L, (*count + 1) * sizeof *list, 0);
	for (size_t i = 0; i < *count; i++) {
		lua_rawgeti(L, -2, (lua_Integer)i + 1);
		list[i] = identity(L);
		lua_pop(L, 1);
	}
	return list;
}

int ws_module_tls(lua_State *L)
{
	char why[WS_TLS_WHY];
	struct ws_tls_config config = { .server = lua_toboolean(L, 2) };
	lua_settop(L, 1);
	config.own = identity(L);
	config.ca = ws_option_string(L, "ca");
	config.verify = ws_option_boolean(L, "verify");
	config.named = push_named(L, &config.named_count);
	lua_getfield(L, 1, "protocols");
	config.protocols = lua_tolstring(L, -1, &config.protocols_len);
	struct ws_tls_context **box = lua_newuserdatauv(L, sizeof *box, 0);
	*box = NULL;
	luaL_setmetatable(L, type_name);
	*box = ws_tls_context_new(&config, why);
	if (*box)
		return 1;
	lua_pushnil(L);
	lua_pushstring(L, why);
	return 2;
}

struct ws_tls_context *ws_tls_context_at(lua_State *L, int index)
{
	struct ws_tls_context **box = luaL_testudata(L, index, type_name);
	return box ? *box : NULL;
}

struct ws_tls_context *ws_tls_option(lua_State *L, const char *name)
{
	lua_getfield(L, 1, name);
	struct ws_tls_context *context = ws_tls_context_at(L, -1);
	lua_pop(L, 1);
	return context;
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
