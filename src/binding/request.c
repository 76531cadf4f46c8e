/* The head lies in the ws as it came, in one block; strings and tables are made of it when somebody looks. */
#include "binding/request.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

#include "binding/box.h"
#include "binding/websocket.h"

static const char type_name[] = "moonsocket.request";

/* The userdata itself is empty; its user value is the ws. */
void ws_request_push(lua_State *L, int index)
{
	index = lua_absindex(L, index);
	lua_newuserdatauv(L, 0, 1);
	lua_pushvalue(L, index);
	lua_setiuservalue(L, -2, 1);
	luaL_setmetatable(L, type_name);
}

/* It was valid when it came, so it is now. */
void ws_request_head(const struct ws_box *box, struct ws_head *head)
{
	struct ws_refusal refusal;
	ws_head_parse_request(head, box->bytes, box->head_len, box->head_len, &refusal);
}

/* Checks the request at the index and pushes its ws. */
static struct ws_box *push_box(lua_State *L, int index)
{
	luaL_checkudata(L, index, type_name);
	lua_getiuservalue(L, index, 1);
	return lua_touserdata(L, -1);
}

/* ---- fields */

static void push_slice(lua_State *L, struct ws_slice s)
{
	lua_pushlstring(L, s.len ? s.data : "", s.len);
}

static void push_lower(lua_State *L, struct ws_slice s)
{
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	for (size_t i = 0; i < s.len; i++)
		luaL_addchar(&b, (char)tolower((unsigned char)s.data[i]));
	luaL_pushresult(&b);
}

/* headers.Origin: any case finds it. */
static int headers_index(lua_State *L)
{
	size_t len;
	const char *key = lua_tolstring(L, 2, &len);
	if (!key)
		return 0;
	push_lower(L, (struct ws_slice){ key, len });
	lua_rawget(L, 1);
	return 1;
}

void ws_request_push_headers(lua_State *L, const struct ws_head *head)
{
	lua_createtable(L, 0, (int)head->count);
	for (size_t i = 0; i < head->count; i++) {
		push_lower(L, head->headers[i].name);
		lua_pushvalue(L, -1);
		if (lua_rawget(L, -3) == LUA_TNIL) {
			lua_pop(L, 1);
			push_slice(L, head->headers[i].value);
		} else { /* RFC 9110 section 5.3 */
			lua_pushliteral(L, ", ");
			push_slice(L, head->headers[i].value);
			lua_concat(L, 3);
		}
		lua_rawset(L, -3);
	}
	lua_createtable(L, 0, 2);
	lua_pushcfunction(L, headers_index);
	lua_setfield(L, -2, "__index");
	lua_pushliteral(L, "moonsocket.headers"); /* headers_index trusts that it is called for a table */
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, -2);
}

static struct ws_slice trim(struct ws_slice s)
{
	while (s.len && (s.data[0] == ' ' || s.data[0] == '\t')) {
		s.data++;
		s.len--;
	}
	while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* Cuts s at the first c: the part before it is returned, s becomes what is behind it. */
static struct ws_slice cut(struct ws_slice *s, char c)
{
	const char *at = s->len ? memchr(s->data, c, s->len) : NULL;
	struct ws_slice before = { s->data, at ? (size_t)(at - s->data) : s->len };
	size_t used = before.len + (at ? 1 : 0);
	*s = (struct ws_slice){ s->data + used, s->len - used };
	return before;
}

static struct ws_slice unquote(struct ws_slice s)
{
	if (s.len >= 2 && s.data[0] == '"' && s.data[s.len - 1] == '"')
		return (struct ws_slice){ s.data + 1, s.len - 2 };
	return s;
}

/* Of two with one name the first counts: browsers send the more specific path first (RFC 6265 section 5.4). */
static void add_cookie(lua_State *L, struct ws_slice name, struct ws_slice value)
{
	push_slice(L, name);
	lua_pushvalue(L, -1);
	if (lua_rawget(L, -3) != LUA_TNIL) {
		lua_pop(L, 2);
		return;
	}
	lua_pop(L, 1);
	push_slice(L, value);
	lua_rawset(L, -3);
}

static void push_cookies(lua_State *L, const struct ws_head *head)
{
	size_t from = 0;
	lua_newtable(L);
	for (const struct ws_header *h; (h = ws_head_next(head, "cookie", &from));) {
		struct ws_slice rest = h->value;
		while (rest.len) {
			struct ws_slice value = cut(&rest, ';');
			struct ws_slice name = trim(cut(&value, '='));
			if (name.len)
				add_cookie(L, name, unquote(trim(value)));
		}
	}
}

static void push_path(lua_State *L, const struct ws_head *head)
{
	struct ws_slice rest = head->target;
	push_slice(L, cut(&rest, '?'));
}

static void push_query(lua_State *L, const struct ws_head *head)
{
	struct ws_slice rest = head->target;
	cut(&rest, '?');
	push_slice(L, rest);
}

static void push_method(lua_State *L, const struct ws_head *head)
{
	push_slice(L, head->method);
}

static void push_params(lua_State *L, const struct ws_head *head)
{
	(void)head;
	lua_newtable(L);
}

static const struct field {
	const char *name;
	void (*push)(lua_State *L, const struct ws_head *head);
} fields[] = {
	{ "method", push_method },   { "path", push_path },       { "query", push_query },
	{ "headers", ws_request_push_headers }, { "cookies", push_cookies }, { "params", push_params },
};

static void push_peer(lua_State *L, const struct ws_box *box)
{
	union ws_address peer;
	char text[WS_ADDRESS_SIZE];
	memcpy(&peer, box->bytes + box->head_len, box->peer_len);
	ws_address_text(&peer, box->peer_len, text);
	lua_pushstring(L, text);
}

static void push_field(lua_State *L, const struct ws_box *box, const char *name)
{
	if (!strcmp(name, "remote_address") && box->proxied) {
		lua_pushstring(L, box->bytes + box->head_len + box->peer_len);
		return;
	}
	if (!strcmp(name, "remote_address") || !strcmp(name, "peer_address")) {
		push_peer(L, box);
		return;
	}
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		if (!strcmp(name, fields[i].name)) {
			struct ws_head head;
			ws_request_head(box, &head);
			fields[i].push(L, &head);
			return;
		}
	}
	lua_pushnil(L);
}

/* Key and value go to the table that the ws keeps for its request. */
static int request_newindex(lua_State *L)
{
	lua_settop(L, 3);
	push_box(L, 1);
	ws_box_push_extras(L, -1);
	if (lua_rawgeti(L, -1, WS_EXTRA_REQUEST) != LUA_TTABLE) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_rawseti(L, -3, WS_EXTRA_REQUEST);
	}
	lua_pushvalue(L, 2);
	lua_pushvalue(L, 3);
	lua_rawset(L, -3);
	return 0;
}

/* Pushes what is in that table, or nil. */
static void push_kept(lua_State *L)
{
	if (lua_getiuservalue(L, -1, WS_VALUE_EXTRAS) != LUA_TTABLE ||
	    lua_rawgeti(L, -1, WS_EXTRA_REQUEST) != LUA_TTABLE) {
		lua_pushnil(L);
		return;
	}
	lua_pushvalue(L, 2);
	lua_rawget(L, -2);
}

static int request_index(lua_State *L)
{
	lua_settop(L, 2);
	struct ws_box *box = push_box(L, 1);
	push_kept(L);
	if (!lua_isnil(L, -1) || lua_type(L, 2) != LUA_TSTRING)
		return 1;
	push_field(L, box, lua_tostring(L, 2));
	if (!lua_istable(L, -1))
		return 1;
	lua_pushvalue(L, 2); /* a table is kept: it may be large, and it may be changed */
	lua_pushvalue(L, -2);
	lua_settable(L, 1);
	return 1;
}

static int request_equal(lua_State *L)
{
	lua_pushboolean(L, push_box(L, 1) == push_box(L, 2));
	return 1;
}

static int request_tostring(lua_State *L)
{
	struct ws_head head;
	ws_request_head(push_box(L, 1), &head);
	lua_pushliteral(L, "moonsocket.request: GET ");
	push_slice(L, head.target);
	lua_concat(L, 2);
	return 1;
}

void ws_request_register(lua_State *L)
{
	static const luaL_Reg metamethods[] = {
		{ "__index", request_index },
		{ "__newindex", request_newindex },
		{ "__eq", request_equal },
		{ "__tostring", request_tostring },
		{ NULL, NULL },
	};
	static const luaL_Reg methods[] = { { NULL, NULL } };
	ws_type_register(L, type_name, metamethods, methods);
}
