/* The userdata of a prepared message. Its user value is the string, which it only points to. */
#include "binding/prepared.h"

#include "binding/box.h"
#include "binding/context.h"

static const char type_name[] = "moonsocket.prepared";

/* Owns nothing until the message is sent to somebody who compresses: raising is allowed. */
static void init(lua_State *L, struct ws_prepared *p, int index)
{
	size_t len;
	int kind = ws_check_kind(L, index + 1);
	const char *data = ws_check_message(L, index, kind, &len);
	ws_prepared_init(p, (enum ws_opcode)kind, data, len);
}

int ws_module_prepare(lua_State *L)
{
	if (!ws_context_of(L)->loop)
		return luaL_error(L, "the Lua state is being closed: nothing can be sent any more");
	lua_settop(L, 2);
	struct ws_prepared *p = lua_newuserdatauv(L, sizeof *p, 1);
	*p = (struct ws_prepared){ .copy = NULL };
	init(L, p, 1);
	luaL_setmetatable(L, type_name);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	return 1;
}

struct ws_prepared *ws_box_prepared_at(lua_State *L, int index)
{
	struct ws_prepared *p = lua_touserdata(L, index) ? luaL_testudata(L, index, type_name) : NULL;
	if (p && !p->plain.data)
		luaL_argerror(L, index, "the message has been collected: only a finalizer (__gc) can still see it");
	if (p && !lua_isnoneornil(L, index + 1))
		luaL_argerror(L, index + 1, "a prepared message has its kind already");
	return p;
}

struct ws_prepared *ws_box_prepared_check(lua_State *L, int index, struct ws_prepared *now)
{
	struct ws_prepared *p = ws_box_prepared_at(L, index);
	if (p)
		return p;
	init(L, now, index);
	return now;
}

static int prepared_gc(lua_State *L)
{
	struct ws_prepared *p = ws_check_self(L, type_name);
	ws_prepared_clear(p);
	p->plain.data = NULL; /* what a finalizer of the user's made of it now, nobody would free */
	return 0;
}

static int prepared_tostring(lua_State *L)
{
	const struct ws_prepared *p = ws_check_self(L, type_name);
	lua_pushfstring(L, "%s: %s of %I bytes", type_name, p->plain.opcode == WS_TEXT ? "text" : "binary",
	                (lua_Integer)p->plain.len);
	return 1;
}

void ws_box_prepared_register(lua_State *L)
{
	static const luaL_Reg metamethods[] = {
		{ "__gc", prepared_gc },
		{ "__tostring", prepared_tostring },
		{ NULL, NULL },
	};
	static const luaL_Reg methods[] = {
		{ NULL, NULL },
	};
	ws_type_register(L, type_name, metamethods, methods);
}
