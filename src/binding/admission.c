/* From a valid opening handshake to a connection in Lua: limits, origin, the user's judge, the handler's first call. */
#include "binding/admission.h"

#include <lauxlib.h>
#include <string.h>

#include "binding/folder.h"
#include "binding/request.h"
#include "binding/route.h"
#include "binding/server.h"
#include "binding/websocket.h"
#include "protocol/code.h"
#include "protocol/extension.h"
#include "protocol/handshake.h"

/* Only a server's ws are admitted. */
static struct ws_box_server *server_of(const struct ws_box *box)
{
	return (struct ws_box_server *)box->handlers->owner;
}

static const struct ws_route *route_of(const struct ws_box *box)
{
	return (const struct ws_route *)box->handlers;
}

struct make_box {
	struct ws_box_server *server;
	struct ws_connection *connection;
	struct ws_slice head;
};

static int make_box(lua_State *L)
{
	const struct make_box *m = lua_touserdata(L, 1);
	ws_box_new(L, &m->server->own.handlers, m->connection, m->head, m->connection->remote);
	return 0;
}

/* NULL: out of memory. */
static struct ws_box *new_box(struct ws_box_server *server, struct ws_connection *c, struct ws_slice head)
{
	lua_State *L = server->owner.ctx->L;
	lua_pushcfunction(L, make_box);
	lua_pushlightuserdata(L, &(struct make_box){ server, c, head });
	if (lua_pcall(L, 1, 0, 0) == LUA_OK)
		return c->user;
	lua_pop(L, 1);
	return NULL;
}

/* ---- accepted */

/* Most handlers don't ask for the request. */
static int push_open(lua_State *L, void *arg)
{
	const struct ws_box *box = arg;
	ws_handlers_push(L, box->handlers, WS_SLOT_OPEN);
	int takes = ws_call_takes(L, -1);
	ws_box_push(L, box);
	if (takes < 2)
		return 1;
	ws_request_push(L, -1);
	return 2;
}

/* Nobody is there, and nobody will come, to take what the peer still sends. */
static void close_unwanted(struct ws_box *box)
{
	ws_connection_close(box->connection, WS_CODE_NORMAL, "", 0);
	box->discard = true;
	if (!box->ended)
		ws_box_want(box);
}

/* A plain loop that is over has nothing more to say; a handler that set on_message has only begun. */
static void open_finished(struct ws_task *task, bool ok)
{
	struct ws_box *box = task->owner;
	bool consumer = box->waiters->receiver || box->handlers->table || ws_box_has_handler(box, WS_SLOT_MESSAGE);
	if (!ok)
		ws_connection_fail(box->connection, WS_CODE_INTERNAL_ERROR, ws_callback_raised);
	else if (!consumer)
		close_unwanted(box);
	if (task->has_waited)
		ws_box_release(box);
}

static void run_open(struct ws_box *box)
{
	static const struct ws_call run = { .push = push_open, .finished = open_finished,
	                                    .on_error = ws_box_push_error_handler };
	if (box->handlers->has & 1u << WS_SLOT_OPEN)
		ws_box_start(box, &run, box);
}

/* Answers with the 101. False: the connection has gone meanwhile, or there is no memory. */
static bool open_connection(struct ws_box *box, const struct ws_head *head)
{
	const struct ws_names *offered = &route_of(box)->subprotocols;
	struct ws_slice subprotocol = ws_handshake_subprotocol(head, offered->list, offered->count);
	ws_box_set_subprotocol(box, head, subprotocol);
	const struct ws_compression_options *compression = &box->connection->endpoint->options.compression;
	struct ws_deflate_parameters agreed = ws_extension_choose(head, &compression->parameters);
	if (ws_connection_accept(box->connection, ws_handshake_key_of(head), subprotocol, &agreed) != 0)
		return false;
	ws_box_opened(box);
	return true;
}

static void admit(struct ws_box *box, const struct ws_head *head)
{
	if (!open_connection(box, head)) {
		ws_box_release(box);
		return;
	}
	run_open(box);
}

/* A browser never shows a page the status of a refusal, but it does show it a close code. */
static void admit_to_close(struct ws_box *box, const struct ws_head *head, unsigned code, const char *reason,
                           size_t len)
{
	if (!open_connection(box, head)) {
		ws_box_release(box);
		return;
	}
	box->turned_away = true;
	ws_connection_close(box->connection, code, reason, len);
}

static void refuse(struct ws_box *box, unsigned status, const char *headers, struct ws_slice body)
{
	ws_connection_refuse(box->connection, status, headers, body);
	ws_box_release(box);
}

/* ---- judged */

static int push_admit(lua_State *L, void *arg)
{
	const struct ws_box *box = arg;
	lua_rawgeti(L, LUA_REGISTRYINDEX, route_of(box)->admit);
	ws_box_push(L, box);
	ws_request_push(L, -1);
	lua_remove(L, -2);
	return 1;
}

/* A status, body and headers (lines). The body may be a file. */
static void answer(struct ws_box *box, lua_State *L)
{
	size_t len = 0;
	unsigned status = (unsigned)lua_tointeger(L, -3);
	const char *body = lua_tolstring(L, -2, &len), *headers = lua_tostring(L, -1);
	struct ws_file *file = body ? NULL : ws_folder_take_file(L, -2);
	if (file)
		ws_connection_send_file(box->connection, status, headers, file);
	else
		ws_connection_refuse(box->connection, status, headers, (struct ws_slice){ body, len });
	ws_box_release(box);
}

/*
 * admit returns true, or status, body, headers (lines), or nil, code, reason; the Lua side has checked them. It may have
 * waited: what the request was parsed from first is gone.
 */
static void admit_finished(struct ws_task *task, bool ok)
{
	struct ws_box *box = task->owner;
	lua_State *L = task->L;
	size_t len = 0;
	struct ws_head head;
	ws_request_head(box, &head);
	const char *full = ws_server_full(box->connection); /* the last one may have gone while authorize waited */
	if (!ok) {
		refuse(box, 500, "", ws_slice_of("the server failed to judge the request"));
	} else if (lua_isinteger(L, -3)) {
		answer(box, L);
	} else if (full) {
		refuse(box, 503, "", ws_slice_of(full));
	} else if (lua_isboolean(L, -3)) {
		admit(box, &head);
	} else {
		const char *reason = lua_tolstring(L, -1, &len);
		admit_to_close(box, &head, (unsigned)lua_tointeger(L, -2), reason, len);
	}
}

static void judge(struct ws_box *box)
{
	static const struct ws_call run = { .push = push_admit, .results = 3, .finished = admit_finished,
	                                    .on_error = ws_box_push_server_error_handler };
	ws_call_start(box->handlers->owner->ctx, &run, box, box);
}

/* What can be refused without the user. NULL: nothing. */
static const char *refusal_of(const struct ws_route *route, const struct ws_head *head, unsigned *status)
{
	*status = 400;
	if (!ws_handshake_subprotocols_valid(head))
		return "Sec-WebSocket-Protocol is not a list of distinct tokens";
	if (!ws_extension_list_valid(head))
		return "Sec-WebSocket-Extensions is not a list of extensions";
	*status = 403;
	if (!route->any_origin && !ws_handshake_same_origin(head))
		return "this origin may not connect: it is not the host of the request";
	return NULL;
}

static void consider(struct ws_box *box, const struct ws_head *head)
{
	if (route_of(box)->admit != LUA_NOREF)
		judge(box);
	else
		admit(box, head);
}

/* ---- routed */

/* The function that answers is on top of the server's stack. */
static int push_responder(lua_State *L, void *arg)
{
	const struct ws_box *box = arg;
	lua_State *from = box->handlers->owner->ctx->L;
	lua_pushvalue(from, -1);
	lua_xmove(from, L, 1);
	ws_box_push(L, box);
	ws_request_push(L, -1);
	lua_remove(L, -2);
	return 1;
}

static void answer_finished(struct ws_task *task, bool ok)
{
	struct ws_box *box = task->owner;
	if (ok)
		answer(box, task->L);
	else
		refuse(box, 500, "", ws_slice_of("the server failed to answer the request"));
}

static int match(lua_State *L)
{
	const struct ws_box *box = lua_touserdata(L, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, server_of(box)->match);
	ws_box_push(L, box);
	ws_request_push(L, -1);
	lua_remove(L, -2);
	lua_pushboolean(L, !box->connection->plain);
	lua_call(L, 2, 3);
	return 3;
}

/* A plain request on the path of a WebSocket is told what it lacks. */
static void enter_route(struct ws_box *box, const struct ws_head *head, struct ws_route *route)
{
	struct ws_refusal refusal = { 0, NULL };
	struct ws_slice key;
	if (box->connection->plain)
		ws_handshake_check(head, &key, &refusal);
	else
		refusal.why = refusal_of(route, head, &refusal.status);
	if (refusal.why) {
		refuse(box, refusal.status, "", ws_slice_of(refusal.why));
		return;
	}
	ws_connection_move(box->connection, &route->endpoint);
	ws_box_set_handlers(box, &route->handlers);
	consider(box, head);
}

/* match returns the number of a route, or a function(request) that answers, or status, body, headers (lines). */
static void route(struct ws_box *box, const struct ws_head *head)
{
	static const struct ws_call run = { .push = push_responder, .results = 3, .finished = answer_finished,
	                                    .on_error = ws_box_push_server_error_handler };
	struct ws_box_server *server = server_of(box);
	lua_State *L = server->owner.ctx->L;
	int top = lua_gettop(L);
	lua_pushcfunction(L, match);
	lua_pushlightuserdata(L, box);
	if (lua_pcall(L, 1, 3, 0) != LUA_OK) {
		refuse(box, 503, "", ws_slice_of("out of memory"));
	} else if (!lua_isnil(L, -2)) {
		answer(box, L);
	} else if (lua_isinteger(L, -3)) {
		enter_route(box, head, &server->routes[lua_tointeger(L, -3) - 1]);
	} else {
		lua_pop(L, 2);
		ws_call_start(server->owner.ctx, &run, box, box);
	}
	lua_settop(L, top);
}

void ws_admission_on_request(struct ws_connection *c, const struct ws_head *head, struct ws_slice bytes)
{
	struct ws_box_server *server = ws_server_of(c)->user;
	const bool routed = server->match != LUA_NOREF;
	unsigned status = 503;
	const char *why = ws_server_full(c);
	struct ws_box *box;
	if (!why && !routed)
		why = refusal_of(&server->own, head, &status);
	if (why)
		ws_connection_refuse(c, status, "", ws_slice_of(why));
	else if (!(box = new_box(server, c, bytes)))
		ws_connection_refuse(c, 503, "", ws_slice_of("out of memory"));
	else if (routed)
		route(box, head);
	else
		consider(box, head);
}
