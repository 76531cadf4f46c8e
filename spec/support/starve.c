/* Lua states that run out of memory when they are told to: see play. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdlib.h>

struct pantry {
	lua_Integer asked;        /* allocations since it was armed */
	lua_Integer first, count; /* those that fail: count of them from the first on */
	size_t bytes;             /* handed out and not returned */
	bool armed;
};

/* Lua takes it for granted that a block can be made smaller. */
static void *hand_out(void *ud, void *block, size_t old_size, size_t size)
{
	struct pantry *p = ud;
	size_t old = block ? old_size : 0;
	if (size == 0) {
		p->bytes -= old;
		free(block);
		return NULL;
	}
	if (size > old && p->armed) {
		p->asked++;
		if (p->asked >= p->first && p->asked < p->first + p->count)
			return NULL;
	}
	void *result = realloc(block, size);
	if (result)
		p->bytes += size - old;
	return result;
}

/* arm(on): the chunk says when the count begins, and when there is enough of everything again. */
static int arm(lua_State *L)
{
	struct pantry *p = lua_touserdata(L, lua_upvalueindex(1));
	p->armed = lua_toboolean(L, 1);
	return 0;
}

struct order {
	struct pantry *pantry;
	const char *chunk, *path, *cpath;
	size_t chunk_size;
};

static int run_chunk(lua_State *L)
{
	const struct order *order = lua_touserdata(L, 1);
	luaL_openlibs(L);
	lua_getglobal(L, "package");
	lua_pushstring(L, order->path);
	lua_setfield(L, -2, "path");
	lua_pushstring(L, order->cpath);
	lua_setfield(L, -2, "cpath");
	if (luaL_loadbuffer(L, order->chunk, order->chunk_size, "=chunk") != LUA_OK)
		return lua_error(L);
	lua_pushlightuserdata(L, order->pantry);
	lua_pushcclosure(L, arm, 1);
	lua_call(L, 1, 1);
	return 1;
}

static const char *package_field(lua_State *L, const char *name)
{
	lua_getglobal(L, "package");
	lua_getfield(L, -1, name);
	lua_remove(L, -2);
	return lua_tostring(L, -1);
}

/*
 * play(chunk, first, count [, from_the_start]) -> ok, what it returned or raised, number of allocations, bytes that
 * the state has not returned. The chunk's argument is arm.
 */
static int play(lua_State *L)
{
	struct pantry pantry = { .first = luaL_checkinteger(L, 2), .count = luaL_checkinteger(L, 3) };
	struct order order = { .pantry = &pantry, .chunk = luaL_checklstring(L, 1, &order.chunk_size) };
	order.path = package_field(L, "path");
	order.cpath = package_field(L, "cpath");
	pantry.armed = lua_toboolean(L, 4);
	lua_State *hungry = lua_newstate(hand_out, &pantry);
	int status = LUA_ERRMEM;
	const char *said = "no state";
	if (hungry) {
		lua_pushcfunction(hungry, run_chunk);
		lua_pushlightuserdata(hungry, &order);
		status = lua_pcall(hungry, 1, 1, 0);
		said = lua_tostring(hungry, -1);
	}
	lua_pushboolean(L, status == LUA_OK);
	lua_pushstring(L, said ? said : "");
	if (hungry)
		lua_close(hungry);
	lua_pushinteger(L, pantry.asked);
	lua_pushinteger(L, (lua_Integer)pantry.bytes);
	return 4;
}

int luaopen_starve(lua_State *L);

int luaopen_starve(lua_State *L)
{
	static const luaL_Reg functions[] = { { "play", play }, { NULL, NULL } };
	luaL_newlib(L, functions);
	return 1;
}
