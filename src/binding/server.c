/* serve() and the server's methods. */
#include "binding/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "binding/box.h"
#include "binding/options.h"
#include "binding/prepared.h"
#include "binding/server_close.h"
#include "binding/tls.h"
#include "binding/topic.h"
#include "binding/websocket.h"
#include "error.h"
#include "protocol/code.h"

static const char type_name[] = "moonsocket.server";

static int open_listener(lua_State *L, struct ws_loop *loop, struct ws_listener **listener, const char **message)
{
	const struct ws_listener_options options = {
		.backlog = (int)ws_option_integer(L, "backlog"),
		.reuse_port = ws_option_boolean(L, "reuse_port"),
		.tcp_user_timeout = (int)ws_option_ms(L, "tcp_user_timeout"),
	};
	const char *path = ws_option_string(L, "path");
	*message = NULL;
	if (path)
		return ws_listener_unix(listener, loop, path, &options);
	int fd = (int)ws_option_integer(L, "fd");
	if (fd >= 0)
		return ws_listener_inherit(listener, loop, fd, &options);
	return ws_listener_tcp(listener, loop, ws_option_string(L, "host"), (unsigned)ws_option_integer(L, "port"), &options,
	                       message);
}

/* ---- life */

static void link_box(struct ws_box_server *box)
{
	box->next = box->owner.ctx->servers;
	if (box->next)
		box->next->prev = box;
	box->owner.ctx->servers = box;
}

static void unlink_box(struct ws_box_server *box)
{
	if (box->prev)
		box->prev->next = box->next;
	else
		box->owner.ctx->servers = box->next;
	if (box->next)
		box->next->prev = box->prev;
	box->prev = box->next = NULL;
}

void ws_box_server_clear(struct ws_box_server *box)
{
	if (box->owner.server) {
		if (!box->over)
			unlink_box(box);
		ws_server_free(box->owner.server);
		box->owner.server = NULL;
	}
	ws_route_clear(&box->owner, &box->own);
	for (size_t i = 0; i < box->route_count; i++)
		ws_route_clear(&box->owner, &box->routes[i]);
	ws_owner_unref(&box->owner, &box->match);
	ws_owner_unref(&box->owner, &box->renew_tls);
	ws_owner_unref(&box->owner, &box->owner.on_error);
	ws_owner_unref(&box->owner, &box->on_topic_empty);
	ws_owner_unref(&box->owner, &box->on_close);
	ws_owner_unref(&box->owner, &box->log);
	ws_owner_unref(&box->owner, &box->anchor);
}

/* Only a closing state collects one that is anchored. */
static int server_gc(lua_State *L)
{
	struct ws_box_server *box = ws_check_self(L, type_name);
	if (box->anchor != LUA_NOREF)
		ws_context_end(box->owner.ctx);
	if (box->owner.ctx->loop)
		ws_box_server_clear(box);
	return 0;
}

/* Once nothing needs it but whoever holds it, to read its books perhaps. */
static void let_go(struct ws_box_server *box)
{
	if (box->over && box->owner.boxes == 0)
		ws_owner_unref(&box->owner, &box->anchor);
}

static void on_idle(struct ws_owner *owner)
{
	let_go((struct ws_box_server *)owner);
}

static void on_shutdown(struct ws_server *server)
{
	struct ws_box_server *box = server->user;
	box->over = true;
	unlink_box(box);
	let_go(box);
	ws_box_wake(&box->waiting);
}

/* Reads the table at index 1 into the route at index 2. */
static int read_route(lua_State *L)
{
	struct ws_route *route = lua_touserdata(L, 2);
	ws_route_read(L, route);
	route->endpoint.options = ws_option_connection(L);
	return 0;
}

/* The routes of a router live as long as the server on top of the stack: they are its user value. */
static void read_routes(lua_State *L, struct ws_box_server *box)
{
	lua_getfield(L, 1, "routes");
	const size_t count = (size_t)lua_rawlen(L, -1);
	box->routes = lua_newuserdatauv(L, (count + 1) * sizeof *box->routes, 0);
	lua_setiuservalue(L, -3, 1);
	for (size_t i = 0; i < count; i++) {
		box->routes[i] = ws_route_empty;
		box->routes[i].handlers.owner = &box->owner;
		box->route_count = i + 1;
		lua_pushcfunction(L, read_route);
		lua_rawgeti(L, -2, (lua_Integer)i + 1);
		lua_pushlightuserdata(L, &box->routes[i]);
		lua_call(L, 2, 0);
	}
	lua_pop(L, 1);
}

static void read_router(lua_State *L, struct ws_box_server *box)
{
	box->match = ws_option_function(L, "match");
	if (box->match != LUA_NOREF)
		read_routes(L, box);
}

static void join_routes(struct ws_box_server *box)
{
	box->owner.server->endpoint.takes_plain = box->match != LUA_NOREF;
	box->owner.server->endpoint.logs = box->log != LUA_NOREF;
	for (size_t i = 0; i < box->route_count; i++)
		ws_server_join(box->owner.server, &box->routes[i].endpoint);
}

/* listen{...} -> server | nil, message, errno */
int ws_box_server_listen(lua_State *L)
{
	struct ws_context *ctx = ws_context_alive(L);
	struct ws_box_server *box = lua_newuserdatauv(L, sizeof *box, 1);
	*box = (struct ws_box_server){
		.owner = { .ctx = ctx, .on_idle = on_idle, .on_error = LUA_NOREF }, .own = ws_route_empty,
		.anchor = LUA_NOREF, .match = LUA_NOREF, .renew_tls = LUA_NOREF, .on_topic_empty = LUA_NOREF,
		.on_close = LUA_NOREF, .log = LUA_NOREF,
	};
	box->own.handlers.owner = &box->owner;
	luaL_setmetatable(L, type_name);
	ws_route_read(L, &box->own);
	read_router(L, box);
	box->renew_tls = ws_option_function(L, "renew_tls");
	box->log = ws_option_function(L, "log");
	const struct ws_connection_options options = ws_option_connection(L);
	const struct ws_front_options front = ws_option_front(L);
	lua_pushvalue(L, -1);
	box->anchor = luaL_ref(L, LUA_REGISTRYINDEX);

	struct ws_listener *listener;
	const char *message;
	int e = open_listener(L, ctx->loop, &listener, &message);
	int code = errno;
	if (e == 0)
		box->owner.server = ws_server_new(ctx->loop, listener, &ws_box_handler, &options, &front,
		                            (size_t)ws_option_integer(L, "max_connections"));
	if (!box->owner.server) {
		ws_box_server_clear(box);
		lua_pushnil(L);
		lua_pushstring(L, e == WS_ERROR_SYSTEM ? message ? message : strerror(code) : "out of memory");
		lua_pushinteger(L, e == WS_ERROR_SYSTEM ? code : ENOMEM);
		return 3;
	}
	strcpy(box->address, ws_listener_address(listener));
	box->port = ws_listener_port(listener);
	box->owner.server->user = box;
	join_routes(box);
	ws_server_set_tls(box->owner.server, ws_tls_option(L, "context"));
	box->owner.server->on_shutdown = on_shutdown;
	box->owner.server->topics.on_empty = ws_box_server_topic_empty;
	box->owner.server->topics.arg = box;
	link_box(box);
	return 1;
}

/* servers() -> list of those that have not shut down */
int ws_box_server_list(lua_State *L)
{
	lua_Integer n = 0;
	lua_newtable(L);
	for (const struct ws_box_server *box = ws_context_of(L)->servers; box; box = box->next) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, box->anchor);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

/* ---- methods */

struct ws_box_server *ws_box_server_check(lua_State *L)
{
	struct ws_box_server *box = ws_check_self(L, type_name);
	if (!box->owner.server)
		luaL_error(L, "the server has been collected: only a finalizer (__gc) can still see it");
	return box;
}

static int server_connections(lua_State *L)
{
	struct ws_box_server *box = ws_box_server_check(L);
	lua_Integer n = 0;
	lua_createtable(L, (int)box->owner.server->open, 0);
	for (const struct ws_connection *c = box->owner.server->first; c; c = c->next) {
		if (!c->session.closing.opened || !c->user)
			continue;
		ws_box_push(L, c->user);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

/* Returns how many connections the message was queued for. */
static int server_broadcast(lua_State *L)
{
	struct ws_box_server *box = ws_box_server_check(L);
	struct ws_prepared now = { .copy = NULL }, *message = ws_box_prepared_check(L, 2, &now);
	lua_Integer sent = (lua_Integer)ws_server_broadcast(box->owner.server, message);
	ws_prepared_clear(&now);
	lua_pushinteger(L, sent);
	return 1;
}

static int server_on_error(lua_State *L)
{
	struct ws_box_server *box = ws_box_server_check(L);
	return ws_owner_set_function(L, &box->owner, &box->owner.on_error);
}

/* ---- shutdown */

static int shutdown_end(lua_State *L, int status, lua_KContext ctx)
{
	struct ws_box_server *box = ws_box_server_check(L);
	(void)status;
	(void)ctx;
	lua_pushinteger(L, (lua_Integer)(box->owner.server->ended - box->owner.server->aborted));
	lua_pushinteger(L, (lua_Integer)box->owner.server->aborted);
	return 2;
}

static int wait_for_shutdown(lua_State *L)
{
	struct ws_box_server *box = ws_box_server_check(L);
	if (box->over)
		return shutdown_end(L, LUA_OK, 0);
	struct ws_task *task = ws_task_here(box->owner.ctx, L, "shutdown");
	return task ? ws_box_wait_in(L, task, &box->waiting, -1, shutdown_end) : ws_call_block(L, wait_for_shutdown);
}

/* For the field on top of the stack. */
static int option_error(lua_State *L, const char *name, const char *wrong)
{
	return luaL_error(L, "shutdown: option '%s': %s", name, wrong);
}

static uint64_t seconds_option(lua_State *L, const char *name, double otherwise)
{
	double seconds = otherwise;
	if (lua_getfield(L, 2, name) != LUA_TNIL) {
		seconds = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
		if (!(seconds >= 0))
			option_error(L, name, lua_pushfstring(L, "seconds, 0 or more, expected, got %s", luaL_tolstring(L, -1, NULL)));
	}
	lua_pop(L, 1);
	return ws_context_ms(seconds);
}

/* A misspelled name would silently shut down in another way than was meant. */
static void check_option_names(lua_State *L)
{
	static const char *const names[] = { "code", "reason", "drain", "spread" };
	for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
		const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
		size_t i = 0;
		while (i < 4 && strcmp(name, names[i]))
			i++;
		if (i == 4)
			luaL_error(L, "shutdown: unknown option '%s': code, reason, drain or spread expected",
			           luaL_tolstring(L, -2, NULL));
	}
}

/* Leaves the reason on the stack. */
static struct ws_server_shutdown check_shutdown(lua_State *L)
{
	struct ws_server_shutdown shutdown = { .code = WS_CODE_GOING_AWAY };
	const char *wrong;
	check_option_names(L);
	shutdown.drain_ms = seconds_option(L, "drain", 10);
	shutdown.spread_ms = seconds_option(L, "spread", 0);
	if (lua_getfield(L, 2, "code") != LUA_TNIL) {
		if ((wrong = ws_code_wrong(L, -1)))
			option_error(L, "code", wrong);
		shutdown.code = (unsigned)lua_tointeger(L, -1);
	}
	if (lua_getfield(L, 2, "reason") != LUA_TNIL && (wrong = ws_reason_wrong(L, -1)))
		option_error(L, "reason", wrong);
	shutdown.reason = luaL_optlstring(L, -1, "", &shutdown.reason_len);
	return shutdown;
}

/* shutdown{code =, reason =, drain =, spread =} -> closed, aborted */
static int server_shutdown(lua_State *L)
{
	struct ws_box_server *box = ws_box_server_check(L);
	if (lua_isnoneornil(L, 2)) {
		lua_settop(L, 1);
		lua_newtable(L);
	}
	luaL_checktype(L, 2, LUA_TTABLE);
	struct ws_server_shutdown shutdown = check_shutdown(L);
	if (!box->over)
		ws_server_shutdown(box->owner.server, &shutdown);
	lua_settop(L, 1);
	return wait_for_shutdown(L);
}

/* local server <close>: whoever leaves the block does not wait for anybody else. */
static int server_close_variable(lua_State *L)
{
	lua_settop(L, 1);
	lua_createtable(L, 0, 1);
	lua_pushinteger(L, 0);
	lua_setfield(L, 2, "drain");
	return server_shutdown(L);
}

/* reload_tls([tls]) -> true | nil, message: for connections from now on; what is wrong changes nothing */
static int server_reload_tls(lua_State *L)
{
	struct ws_box_server *box = ws_box_server_check(L);
	if (box->renew_tls == LUA_NOREF)
		return luaL_error(L, "reload_tls: the server was started without the option tls");
	lua_settop(L, 2);
	lua_rawgeti(L, LUA_REGISTRYINDEX, box->renew_tls);
	lua_insert(L, 2);
	lua_call(L, 1, 2);
	struct ws_tls_context *context = ws_tls_context_at(L, -2);
	if (!context)
		return 2;
	ws_server_set_tls(box->owner.server, context);
	lua_pushboolean(L, true);
	return 1;
}

/* ---- stats */

/* What went through all its endpoints. */
static struct ws_connection_stats sum_stats(const struct ws_box_server *box)
{
	struct ws_connection_stats sum = box->owner.server->endpoint.stats;
	for (size_t i = 0; i < box->route_count; i++) {
		const struct ws_connection_stats *stats = &box->routes[i].endpoint.stats;
		sum.messages_in += stats->messages_in;
		sum.messages_out += stats->messages_out;
		sum.bytes_in += stats->bytes_in;
		sum.bytes_out += stats->bytes_out;
	}
	return sum;
}

static void set_count(lua_State *L, const char *name, uint64_t n)
{
	lua_pushinteger(L, (lua_Integer)n);
	lua_setfield(L, -2, name);
}

static void set_tally(lua_State *L, const char *name, const struct ws_tally *tally)
{
	lua_createtable(L, 0, (int)tally->count);
	for (size_t i = 0; i < tally->count; i++) {
		lua_pushinteger(L, (lua_Integer)tally->rows[i].count);
		lua_rawseti(L, -2, tally->rows[i].key);
	}
	lua_setfield(L, -2, name);
}

static int server_stats(lua_State *L)
{
	const struct ws_box_server *box = ws_box_server_check(L);
	const struct ws_server *server = box->owner.server;
	const struct ws_connection_stats stats = sum_stats(box);
	lua_newtable(L);
	set_count(L, "opened", server->opened);
	set_count(L, "open", server->open);
	set_count(L, "buffered", ws_server_buffered(server));
	set_count(L, "messages_in", stats.messages_in);
	set_count(L, "messages_out", stats.messages_out);
	set_count(L, "bytes_in", stats.bytes_in);
	set_count(L, "bytes_out", stats.bytes_out);
	set_tally(L, "closed", &server->closed);
	set_tally(L, "refused", &server->refused);
	set_tally(L, "requests", &server->requests);
	lua_createtable(L, 0, 3);
	for (size_t i = 0; i < server->closed_by.count; i++)
		set_count(L, ws_by_names[server->closed_by.rows[i].key], server->closed_by.rows[i].count);
	lua_setfield(L, -2, "closed_by");
	return 1;
}

/* ---- fields */

/* What connects to it: a path is percent-encoded where the URL would be read otherwise. Nothing says TLS over Unix. */
static void push_url(lua_State *L, const struct ws_box_server *box)
{
	bool tls = box->owner.server->endpoint.tls != NULL;
	if (box->port) {
		lua_pushfstring(L, "%s://%s", tls ? "wss" : "ws", box->address);
	} else if (tls) {
		lua_pushnil(L);
	} else {
		const char *path = luaL_gsub(L, box->address + strlen("unix:"), "%", "%25");
		path = luaL_gsub(L, path, ":", "%3A");
		path = luaL_gsub(L, path, "?", "%3F");
		lua_pushfstring(L, "ws+unix:%s", luaL_gsub(L, path, "#", "%23"));
	}
}

/* Upvalue 2: the methods. */
static int server_index(lua_State *L)
{
	struct ws_box_server *box = ws_box_server_check(L);
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL)
		return 1;
	const char *name = lua_tostring(L, 2);
	if (!name)
		return 0;
	if (!strcmp(name, "count"))
		lua_pushinteger(L, (lua_Integer)box->owner.server->open);
	else if (!strcmp(name, "address"))
		lua_pushstring(L, box->address);
	else if (!strcmp(name, "port") && box->port)
		lua_pushinteger(L, box->port);
	else if (!strcmp(name, "url"))
		push_url(L, box);
	else
		lua_pushnil(L);
	return 1;
}

static int server_newindex(lua_State *L)
{
	ws_box_server_check(L);
	lua_pushvalue(L, 2);
	bool method = lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL;
	const char *name = luaL_tolstring(L, 2, NULL);
	if (method)
		return luaL_error(L, "%s is a method: server:%s(%s)", name, name, strncmp(name, "on_", 3) ? "..." : "fn");
	return luaL_error(L, "a server has no fields that can be set, such as %s", name);
}

static int server_tostring(lua_State *L)
{
	const struct ws_box_server *box = ws_box_server_check(L);
	lua_pushfstring(L, "moonsocket.server %s%s", box->address, box->owner.server->listener ? "" : " (shut down)");
	return 1;
}

void ws_box_server_register(lua_State *L)
{
	static const luaL_Reg metamethods[] = {
		{ "__gc", server_gc },
		{ "__close", server_close_variable },
		{ "__newindex", server_newindex },
		{ "__index", server_index },
		{ "__tostring", server_tostring },
		{ NULL, NULL },
	};
	static const luaL_Reg methods[] = {
		{ "connections", server_connections },
		{ "broadcast", server_broadcast },
		{ "publish", ws_box_server_publish },
		{ "topics", ws_box_server_topics },
		{ "topic_count", ws_box_server_topic_count },
		{ "on_topic_empty", ws_box_server_on_topic_empty },
		{ "on_close", ws_server_close_set },
		{ "on_error", server_on_error },
		{ "shutdown", server_shutdown },
		{ "reload_tls", server_reload_tls },
		{ "stats", server_stats },
		{ NULL, NULL },
	};
	ws_type_register(L, type_name, metamethods, methods);
}
