/* What the userdata types have in common. */
#include "binding/box.h"

#include <math.h>

#include "protocol/code.h"
#include "protocol/frame.h"
#include "protocol/session.h"
#include "protocol/utf8.h"

void ws_type_register(lua_State *L, const char *name, const luaL_Reg *metamethods, const luaL_Reg *methods)
{
	luaL_newmetatable(L, name);
	luaL_setfuncs(L, metamethods, 0);
	lua_newtable(L);
	luaL_setfuncs(L, methods, 0);
	lua_setfield(L, -2, "methods");
	lua_pushstring(L, name);
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);
}

void ws_type_push_methods(lua_State *L, const char *name)
{
	luaL_getmetatable(L, name);
	lua_getfield(L, -1, "methods");
	lua_remove(L, -2);
}

double ws_check_seconds(lua_State *L, int index, double otherwise)
{
	if (lua_isnoneornil(L, index))
		return otherwise;
	double seconds = luaL_checknumber(L, index);
	luaL_argcheck(L, seconds >= 0 && !isnan(seconds), index, "seconds expected, 0 or more");
	return seconds;
}

unsigned ws_check_close(lua_State *L, int index, const char **reason, size_t *len)
{
	lua_Integer code = luaL_optinteger(L, index, WS_CODE_NORMAL);
	if (code < 0 || code > 4999 || !ws_code_on_wire((unsigned)code))
		luaL_argerror(L, index, lua_pushfstring(L, "%I is not a close code that may be sent: 1000-1003, 1007-1014 or "
		                                           "3000-4999 expected", code));
	*reason = luaL_optlstring(L, index + 1, "", len);
	if (*len > WS_REASON_SIZE)
		luaL_argerror(L, index + 1, lua_pushfstring(L, "a reason of %d bytes is too long: at most 123 fit in a Close frame",
		                                            (int)*len));
	if (!ws_utf8_valid((const uint8_t *)*reason, *len))
		luaL_argerror(L, index + 1, "the reason is not valid UTF-8");
	return (unsigned)code;
}

int ws_check_kind(lua_State *L, int index)
{
	static const char *const names[] = { "text", "binary", NULL };
	if (lua_isboolean(L, index))
		luaL_argerror(L, index, "the kind of a message is \"text\" or \"binary\", not a boolean");
	return luaL_checkoption(L, index, "text", names) == 0 ? WS_TEXT : WS_BINARY;
}

const char *ws_check_message(lua_State *L, int index, int kind, size_t *len)
{
	const char *data = luaL_checklstring(L, index, len);
	if (kind == WS_TEXT && !ws_utf8_valid((const uint8_t *)data, *len))
		luaL_argerror(L, index, "text is not valid UTF-8: send it as \"binary\"");
	return data;
}
