/* What the userdata types have in common. */
#include "binding/box.h"

#include <math.h>
#include <string.h>

#include "protocol/code.h"
#include "protocol/frame.h"
#include "protocol/session.h"
#include "protocol/utf8.h"

/* For luaL_setfuncs: the two upvalues, of the metatable at the index. */
static void push_upvalues(lua_State *L, int metatable, int methods)
{
	lua_pushvalue(L, metatable);
	lua_pushvalue(L, methods);
}

void ws_type_register(lua_State *L, const char *name, const luaL_Reg *metamethods, const luaL_Reg *methods)
{
	luaL_newmetatable(L, name);
	int metatable = lua_gettop(L);
	lua_newtable(L);
	lua_pushvalue(L, metatable);
	luaL_setfuncs(L, methods, 1);
	lua_pushvalue(L, -1);
	lua_setfield(L, metatable, "__index");
	lua_pushvalue(L, metatable);
	push_upvalues(L, metatable, metatable + 1);
	luaL_setfuncs(L, metamethods, 2);
	lua_pushstring(L, name);
	lua_setfield(L, metatable, "__metatable");
	lua_settop(L, metatable - 1);
}

/* Both types have a function for __index, whose upvalue 2 are the methods. */
int ws_module_extend(lua_State *L)
{
	lua_pushfstring(L, "moonsocket.%s", luaL_checkstring(L, 1));
	luaL_checktype(L, 3, LUA_TFUNCTION);
	luaL_getmetatable(L, lua_tostring(L, -1));
	lua_getfield(L, -1, "__index");
	lua_getupvalue(L, -1, 2);
	lua_pushvalue(L, 3);
	lua_setfield(L, -2, luaL_checkstring(L, 2));
	return 0;
}

/* luaL_checkudata looks the name up in the registry: a third of what a short method costs. */
void *ws_check_self(lua_State *L, const char *name)
{
	void *self = lua_touserdata(L, 1);
	if (self && lua_getmetatable(L, 1)) {
		bool same = lua_rawequal(L, -1, lua_upvalueindex(1));
		lua_pop(L, 1);
		if (same)
			return self;
	}
	return luaL_checkudata(L, 1, name);
}

double ws_check_seconds(lua_State *L, int index, double otherwise)
{
	if (lua_isnoneornil(L, index))
		return otherwise;
	double seconds = luaL_checknumber(L, index);
	luaL_argcheck(L, seconds >= 0 && !isnan(seconds), index, "seconds expected, 0 or more");
	return seconds;
}

const char *ws_code_wrong(lua_State *L, int index)
{
	int is_integer;
	lua_Integer code = lua_tointegerx(L, index, &is_integer);
	if (is_integer && code >= 0 && code <= 4999 && ws_code_on_wire((unsigned)code))
		return NULL;
	return lua_pushfstring(L, "%s is not a close code that may be sent: 1000-1003, 1007-1014 or 3000-4999 expected",
	                       luaL_tolstring(L, index, NULL));
}

const char *ws_reason_wrong(lua_State *L, int index)
{
	size_t len;
	const char *reason = lua_tolstring(L, index, &len);
	if (!reason)
		return lua_pushfstring(L, "a string expected, got %s", luaL_typename(L, index));
	if (len > WS_REASON_SIZE)
		return lua_pushfstring(L, "a reason of %I bytes is too long: at most 123 fit in a Close frame", (lua_Integer)len);
	return ws_utf8_valid((const uint8_t *)reason, len) ? NULL : "the reason is not valid UTF-8";
}

unsigned ws_check_close(lua_State *L, int index, const char **reason, size_t *len)
{
	lua_Integer code = luaL_optinteger(L, index, WS_CODE_NORMAL);
	const char *wrong = lua_isnoneornil(L, index) ? NULL : ws_code_wrong(L, index);
	if (wrong)
		luaL_argerror(L, index, wrong);
	*reason = luaL_optlstring(L, index + 1, "", len);
	wrong = lua_isnoneornil(L, index + 1) ? NULL : ws_reason_wrong(L, index + 1);
	if (wrong)
		luaL_argerror(L, index + 1, wrong);
	return (unsigned)code;
}

/* 0: it is none. */
static int kind_at(lua_State *L, int index)
{
	size_t len;
	const char *kind = lua_tolstring(L, index, &len);
	if (!kind)
		return lua_isnoneornil(L, index) ? WS_TEXT : 0;
	if (len == 4 && !memcmp(kind, "text", 4))
		return WS_TEXT;
	return len == 6 && !memcmp(kind, "binary", 6) ? WS_BINARY : 0;
}

static const char *push_not_a_kind(lua_State *L, int index)
{
	return lua_pushfstring(L, "the kind of a message is \"text\" or \"binary\", not %s", luaL_tolstring(L, index, NULL));
}

int ws_check_kind(lua_State *L, int index)
{
	int kind = kind_at(L, index);
	return kind ? kind : luaL_argerror(L, index, push_not_a_kind(L, index));
}

static const char not_utf8[] = "text is not valid UTF-8: send it as \"binary\"";

static bool is_sendable(const char *data, size_t len, int kind)
{
	return kind != WS_TEXT || ws_utf8_valid((const uint8_t *)data, len);
}

const char *ws_check_message(lua_State *L, int index, int kind, size_t *len)
{
	const char *data = luaL_checklstring(L, index, len);
	luaL_argcheck(L, is_sendable(data, *len, kind), index, not_utf8);
	return data;
}

const char *ws_message_wrong(lua_State *L, int index)
{
	size_t len;
	const char *data = lua_tolstring(L, index, &len);
	int kind = kind_at(L, index + 1);
	if (!data)
		return lua_pushfstring(L, "a string expected, got %s", luaL_typename(L, index));
	if (!kind)
		return push_not_a_kind(L, index + 1);
	return is_sendable(data, len, kind) ? NULL : not_utf8;
}
