/* What servers and clients have in common for their ws. */
#include "binding/owner.h"

#include <lauxlib.h>

void ws_handlers_push(lua_State *L, const struct ws_handlers *handlers, enum ws_slot slot)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, handlers->list);
	lua_rawgeti(L, -1, slot);
	lua_remove(L, -2);
}

int ws_owner_push_error_handler(lua_State *L, void *owner)
{
	const struct ws_owner *self = owner;
	if (self->on_error == LUA_NOREF)
		return -1;
	lua_rawgeti(L, LUA_REGISTRYINDEX, self->on_error);
	return 0;
}

void ws_owner_forget(struct ws_owner *owner)
{
	if (--owner->boxes == 0)
		owner->on_idle(owner);
}

int ws_owner_set_function(lua_State *L, struct ws_owner *owner, int *reference)
{
	if (!lua_isnil(L, 2))
		luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	if (*reference == LUA_NOREF)
		lua_pushnil(L);
	else
		lua_rawgeti(L, LUA_REGISTRYINDEX, *reference);
	ws_owner_unref(owner, reference);
	lua_insert(L, 2);
	if (!lua_isnil(L, 3))
		*reference = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_settop(L, 2);
	return 1;
}

void ws_owner_unref(struct ws_owner *owner, int *reference)
{
	luaL_unref(owner->ctx->L, LUA_REGISTRYINDEX, *reference);
	*reference = LUA_NOREF;
}
