/* A request keeps its head as it came, in one block; tables are made of it when somebody looks. */
#include "binding/request.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

#include "binding/box.h"

static const char type_name[] = "moonsocket.request";

struct request {
	uint32_t len;                              /* of the head */
	uint32_t subprotocol_at, subprotocol_len;  /* where it stands in the head; 0: none */
	uint32_t peer_len;
	char bytes[];                              /* the head, then the peer's address */
};

/* ---- made from C */

void ws_request_push(lua_State *L, struct ws_slice bytes, const char *peer)
{
	size_t peer_len = strlen(peer);
	struct request *r = lua_newuserdatauv(L, sizeof *r + bytes.len + peer_len, 1);
	*r = (struct request){ .len = (uint32_t)bytes.len, .peer_len = (uint32_t)peer_len };
	memcpy(r->bytes, bytes.data, bytes.len);
	memcpy(r->bytes + bytes.len, peer, peer_len);
	luaL_setmetatable(L, type_name);
}

/* It was valid when it came, so it is now. */
static void parse(const struct request *r, struct ws_head *head)
{
	struct ws_refusal refusal;
	ws_head_parse_request(head, r->bytes, r->len, r->len, &refusal);
}

void ws_request_head(lua_State *L, int index, struct ws_head *head)
{
	parse(lua_touserdata(L, index), head);
}

void ws_request_set_subprotocol(lua_State *L, int index, struct ws_slice subprotocol)
{
	struct request *r = lua_touserdata(L, index);
	if (subprotocol.len)
		r->subprotocol_at = (uint32_t)(subprotocol.data - r->bytes);
	r->subprotocol_len = (uint32_t)subprotocol.len;
}

void ws_request_push_subprotocol(lua_State *L, int index)
{
	struct request *r = lua_touserdata(L, index);
	if (r->subprotocol_len)
		lua_pushlstring(L, r->bytes + r->subprotocol_at, r->subprotocol_len);
	else
		lua_pushnil(L);
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

static void push_headers(lua_State *L, const struct ws_head *head)
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
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, headers_index);
	lua_setfield(L, -2, "__index");
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
	{ "headers", push_headers }, { "cookies", push_cookies }, { "params", push_params },
};

static void push_field(lua_State *L, const struct request *r, const char *name)
{
	if (!strcmp(name, "remote_address") || !strcmp(name, "peer_address")) {
		lua_pushlstring(L, r->bytes + r->len, r->peer_len);
		return;
	}
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		if (!strcmp(name, fields[i].name)) {
			struct ws_head head;
			parse(r, &head);
			fields[i].push(L, &head);
			return;
		}
	}
	lua_pushnil(L);
}

/* What was looked at once is kept, along with the user's own fields, in a table of its own. */
static int request_index(lua_State *L)
{
	struct request *r = luaL_checkudata(L, 1, type_name);
	if (lua_getiuservalue(L, 1, 1) == LUA_TTABLE) {
		lua_pushvalue(L, 2);
		if (lua_rawget(L, -2) != LUA_TNIL)
			return 1;
		lua_pop(L, 1);
	}
	if (lua_type(L, 2) != LUA_TSTRING)
		return 0;
	push_field(L, r, lua_tostring(L, 2));
	if (lua_isnil(L, -1))
		return 1;
	lua_pushvalue(L, 2);
	lua_pushvalue(L, -2);
	lua_settable(L, 1);
	return 1;
}

static int request_newindex(lua_State *L)
{
	luaL_checkudata(L, 1, type_name);
	if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_setiuservalue(L, 1, 1);
	}
	lua_insert(L, 2);
	lua_rawset(L, 2);
	return 0;
}

static int request_tostring(lua_State *L)
{
	struct ws_head head;
	parse(luaL_checkudata(L, 1, type_name), &head);
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
		{ "__tostring", request_tostring },
		{ NULL, NULL },
	};
	static const luaL_Reg methods[] = { { NULL, NULL } };
	ws_type_register(L, type_name, metamethods, methods);
}
