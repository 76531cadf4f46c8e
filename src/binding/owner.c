/* What servers and clients have in common for their ws. */
#include "binding/owner.h"

#include <lauxlib.h>

void ws_owner_push_handler(lua_State *L, const struct ws_owner *owner, enum ws_slot slot)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, owner->handlers);
	lua_rawgeti(L, -1, slot);
	lua_remove(L, -2);
}

void ws_owner_forget(struct ws_owner *owner)
{
	if (--owner->boxes == 0)
		owner->on_idle(owner);
}

void ws_owner_unref(struct ws_owner *owner, int *reference)
{
	luaL_unref(owner->ctx->L, LUA_REGISTRYINDEX, *reference);
	*reference = LUA_NOREF;
}
