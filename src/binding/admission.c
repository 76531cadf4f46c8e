/* From a valid opening handshake to a connection in Lua: limits, origin, the user's judge, the handler's first call. */
#include "binding/admission.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "binding/request.h"
#include "binding/websocket.h"
#include "protocol/code.h"
#include "protocol/handshake.h"

static struct ws_slice slice(const char *text)
{
	return (struct ws_slice){ text, strlen(text) };
}

/* A request on its way to becoming a connection. */
struct admission {
	struct ws_connection *connection; /* held while the judge waits */
	struct ws_box_server *server;
	int request;                      /* registry */
};

struct push_request {
	struct ws_slice bytes;
	const char *peer;
	int reference;
};

static int make_request(lua_State *L)
{
	struct push_request *p = lua_touserdata(L, 1);
	ws_request_push(L, p->bytes, p->peer);
	p->reference = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

static int make_box(lua_State *L)
{
	const struct admission *a = lua_touserdata(L, 1);
	ws_box_new(L, a->server, a->connection, a->request);
	return 0;
}

static bool protected_call(lua_State *L, lua_CFunction fn, void *arg)
{
	lua_pushcfunction(L, fn);
	lua_pushlightuserdata(L, arg);
	if (lua_pcall(L, 1, 0, 0) == LUA_OK)
		return true;
	lua_pop(L, 1);
	return false;
}

static int push_open(lua_State *L, void *arg)
{
	const struct ws_box *box = arg;
	ws_box_server_push_handler(L, box->server, WS_SLOT_OPEN);
	ws_box_push(L, box);
	lua_getiuservalue(L, -1, WS_VALUE_REQUEST);
	return 2;
}

/* A plain loop that is over has nothing more to say; a handler that set on_message has only begun. */
static void open_finished(struct ws_task *task, bool ok)
{
	struct ws_box *box = task->call.owner;
	bool consumer = box->receiver || box->server->table || ws_box_has_handler(box, WS_SLOT_MESSAGE);
	if (!ok)
		ws_connection_fail(box->connection, WS_CODE_INTERNAL_ERROR, ws_callback_raised);
	else if (!consumer)
		ws_connection_close(box->connection, WS_CODE_NORMAL, "", 0);
	if (task->has_waited)
		ws_box_release(box);
}

static void run_open(struct ws_box *box)
{
	if (box->server->has & 1u << WS_SLOT_OPEN)
		ws_box_start(box, &(struct ws_call){ push_open, box, 0, open_finished, box, ws_box_push_error_handler, false });
}

/* code: 0, or what to close the connection with at once (authorize's answer to a browser). */
static void admit(struct ws_connection *c, struct ws_box_server *server, int request, unsigned code, const char *reason)
{
	lua_State *L = server->ctx->L;
	struct admission a = { c, server, request };
	struct ws_slice key;
	struct ws_refusal refusal;
	struct ws_head head;
	if (!c->deciding)
		return;
	if (!protected_call(L, make_box, &a)) {
		ws_connection_refuse(c, 503, "", slice("out of memory"));
		return;
	}
	struct ws_box *box = c->user;
	lua_rawgeti(L, LUA_REGISTRYINDEX, request);
	ws_request_head(L, -1, &head);
	ws_handshake_check(&head, &key, &refusal);
	struct ws_slice subprotocol = ws_handshake_subprotocol(&head, server->subprotocols, server->subprotocol_count);
	ws_request_set_subprotocol(L, -1, subprotocol);
	lua_pop(L, 1);
	if (ws_connection_accept(c, key, subprotocol) != 0) {
		ws_box_forget(box);
	} else if (code) {
		box->close_told = true;
		ws_connection_close(c, code, reason, strlen(reason));
	} else {
		ws_box_want(box);
		run_open(box);
	}
}

static int push_admit(lua_State *L, void *arg)
{
	const struct admission *a = arg;
	lua_rawgeti(L, LUA_REGISTRYINDEX, a->server->admit);
	lua_rawgeti(L, LUA_REGISTRYINDEX, a->request);
	return 1;
}

static int push_server_error(lua_State *L, void *owner)
{
	const struct admission *a = owner;
	if (a->server->on_error == LUA_NOREF)
		return -1;
	lua_rawgeti(L, LUA_REGISTRYINDEX, a->server->on_error);
	return 0;
}

/* admit returns true, or status, body, headers (lines), or nil, code, reason; the Lua side has checked them. */
static void admit_finished(struct ws_task *task, bool ok)
{
	struct admission *a = task->call.owner;
	lua_State *L = task->L;
	struct ws_connection *c = a->connection;
	size_t len = 0;
	if (!ok) {
		ws_connection_refuse(c, 500, "", slice("the server failed to judge the request"));
	} else if (lua_isboolean(L, -3)) {
		admit(c, a->server, a->request, 0, NULL);
	} else if (lua_isnil(L, -3)) {
		admit(c, a->server, a->request, (unsigned)lua_tointeger(L, -2), lua_tostring(L, -1));
	} else {
		const char *body = lua_tolstring(L, -2, &len);
		ws_connection_refuse(c, (unsigned)lua_tointeger(L, -3), lua_tostring(L, -1), (struct ws_slice){ body, len });
	}
	luaL_unref(L, LUA_REGISTRYINDEX, a->request);
	ws_connection_release(c);
	free(a);
}

static void judge(struct ws_connection *c, struct ws_box_server *server, int request)
{
	struct admission *a = malloc(sizeof *a);
	if (!a) {
		luaL_unref(server->ctx->L, LUA_REGISTRYINDEX, request);
		ws_connection_refuse(c, 503, "", slice("out of memory"));
		return;
	}
	*a = (struct admission){ c, server, request };
	ws_connection_hold(c);
	ws_call_start(server->ctx, &(struct ws_call){ push_admit, a, 3, admit_finished, a, push_server_error, false });
}

/* What the server can refuse by itself. NULL: nothing. */
static const char *refusal_of(const struct ws_box_server *box, const struct ws_head *head, unsigned *status)
{
	*status = 503;
	if (ws_server_full(box->server))
		return box->server->shutting ? "the server is shutting down" : "the server has all the connections it may have";
	*status = 400;
	if (!ws_handshake_subprotocols_valid(head))
		return "Sec-WebSocket-Protocol is not a list of distinct tokens";
	*status = 403;
	if (!box->any_origin && !ws_handshake_same_origin(head))
		return "this origin may not connect: it is not the host of the request";
	return NULL;
}

void ws_admission_on_request(struct ws_connection *c, const struct ws_head *head, struct ws_slice bytes)
{
	struct ws_box_server *server = ws_server_of(c)->user;
	lua_State *L = server->ctx->L;
	struct push_request p = { bytes, c->peer, LUA_NOREF };
	unsigned status;
	const char *why = refusal_of(server, head, &status);
	if (!why && !protected_call(L, make_request, &p)) {
		status = 503;
		why = "out of memory";
	}
	if (why) {
		ws_connection_refuse(c, status, "", slice(why));
	} else if (server->admit != LUA_NOREF) {
		judge(c, server, p.reference);
	} else {
		admit(c, server, p.reference, 0, NULL);
		luaL_unref(L, LUA_REGISTRYINDEX, p.reference);
	}
}
