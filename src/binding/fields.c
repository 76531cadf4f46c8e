/* ws.name: our fields, and the user's own. */
#include "binding/fields.h"

#include <lauxlib.h>
#include <string.h>

#include "binding/request.h"
#include "binding/websocket.h"

static void field_id(lua_State *L, const struct ws_box *box)
{
	lua_pushinteger(L, (lua_Integer)box->id);
}

static void field_state(lua_State *L, const struct ws_box *box)
{
	static const char *const names[] = { "connecting", "open", "closing", "closed" };
	lua_pushstring(L, names[ws_connection_state(box->connection)]);
}

static void field_request(lua_State *L, const struct ws_box *box)
{
	(void)box;
	ws_request_push(L, 1);
}

static void field_subprotocol(lua_State *L, const struct ws_box *box)
{
	if (box->subprotocol_len)
		lua_pushlstring(L, box->bytes + box->subprotocol_at, box->subprotocol_len);
	else
		lua_pushnil(L);
}

static void field_extensions(lua_State *L, const struct ws_box *box)
{
	char text[WS_EXTENSION_SIZE];
	ws_extension_text(text, &box->connection->session.parameters);
	lua_pushstring(L, text);
}

static void field_buffered(lua_State *L, const struct ws_box *box)
{
	lua_pushinteger(L, (lua_Integer)ws_connection_buffered(box->connection));
}

static void field_rtt(lua_State *L, const struct ws_box *box)
{
	if (box->connection->rtt >= 0)
		lua_pushnumber(L, box->connection->rtt);
	else
		lua_pushnil(L);
}

static void field_close_code(lua_State *L, const struct ws_box *box)
{
	if (box->ended)
		lua_pushinteger(L, ws_box_report(box).code);
	else
		lua_pushnil(L);
}

static void field_close_reason(lua_State *L, const struct ws_box *box)
{
	if (box->ended)
		ws_box_push_reason(L, box);
	else
		lua_pushnil(L);
}

static void field_close_info(lua_State *L, const struct ws_box *box)
{
	if (box->ended)
		ws_box_push_info(L, box);
	else
		lua_pushnil(L);
}

static const struct field {
	const char *name;
	void (*push)(lua_State *L, const struct ws_box *box);
} fields[] = {
	{ "id", field_id },
	{ "state", field_state },
	{ "request", field_request },
	{ "subprotocol", field_subprotocol },
	{ "extensions", field_extensions },
	{ "buffered", field_buffered },
	{ "rtt", field_rtt },
	{ "close_code", field_close_code },
	{ "close_reason", field_close_reason },
	{ "close_info", field_close_info },
};

static const struct field *find_field(const char *name)
{
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (!strcmp(fields[i].name, name))
			return &fields[i];
	return NULL;
}

/* Upvalue 2: the methods. Then our fields, then the user's own. */
int ws_fields_index(lua_State *L)
{
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL)
		return 1;
	struct ws_box *box = lua_touserdata(L, 1); /* __metatable hides this function from all others */
	const struct field *field = lua_type(L, 2) == LUA_TSTRING ? find_field(lua_tostring(L, 2)) : NULL;
	if (field) {
		field->push(L, box);
		return 1;
	}
	if (lua_getiuservalue(L, 1, WS_VALUE_EXTRAS) != LUA_TTABLE || lua_rawgeti(L, -1, WS_EXTRA_FIELDS) != LUA_TTABLE)
		return 0;
	lua_pushvalue(L, 2);
	lua_rawget(L, -2);
	return 1;
}

static void check_own_field(lua_State *L)
{
	const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL)
		luaL_error(L, "%s is a method: ws:%s(%s)", name, name, strncmp(name, "on_", 3) ? "..." : "fn");
	lua_pop(L, 1);
	if (name && find_field(name))
		luaL_error(L, "%s is a field that moonsocket sets: choose another name", name);
}

int ws_fields_newindex(lua_State *L)
{
	ws_box_check(L);
	check_own_field(L);
	ws_box_push_extras(L, 1);
	if (lua_rawgeti(L, -1, WS_EXTRA_FIELDS) != LUA_TTABLE) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_rawseti(L, -3, WS_EXTRA_FIELDS);
	}
	lua_replace(L, -2);
	lua_insert(L, 2);
	lua_rawset(L, 2);
	return 0;
}

int ws_fields_tostring(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	field_state(L, box);
	lua_pushfstring(L, "moonsocket.websocket %I (%s)", (lua_Integer)box->id, lua_tostring(L, -1));
	return 1;
}
