/* connect() waits for the opening handshake; the ws that it returns owns its client. */
#include "binding/client.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "binding/cancellation.h"
#include "binding/options.h"
#include "binding/request.h"
#include "binding/tls.h"
#include "binding/websocket.h"
#include "error.h"

/* ---- life */

static void link_client(struct ws_box_client *box)
{
	box->next = box->owner.ctx->clients;
	if (box->next)
		box->next->prev = box;
	box->owner.ctx->clients = box;
}

static void unlink_client(struct ws_box_client *box)
{
	if (box->prev)
		box->prev->next = box->next;
	else
		box->owner.ctx->clients = box->next;
	if (box->next)
		box->next->prev = box->prev;
}

void ws_box_client_free(struct ws_box_client *box)
{
	unlink_client(box);
	if (box->client)
		ws_client_free(box->client);
	ws_names_free(&box->subprotocols);
	ws_owner_unref(&box->owner, &box->handlers.list);
	free(box);
}

static void on_idle(struct ws_owner *owner)
{
	ws_box_client_free((struct ws_box_client *)owner);
}

void ws_box_client_end(struct ws_box_client *box)
{
	struct ws_connection *c = box->client ? box->client->connection : NULL;
	if (!c)
		return;
	ws_connection_terminate(c, "the Lua state was closed");
	ws_connection_continue(c);
}

/* ---- the answer: what connect is woken with */

struct outcome {
	const struct ws_box *box; /* NULL: failed */
	const struct ws_client_failure *failure;
};

static void push_response(lua_State *L, const struct ws_client_failure *failure)
{
	const struct ws_response *r = failure->response;
	struct ws_head head;
	struct ws_refusal wrong;
	ws_head_parse_response(&head, r->bytes, r->head_len, r->head_len + 1, &wrong);
	lua_createtable(L, 0, 4);
	lua_pushinteger(L, r->status);
	lua_setfield(L, -2, "status");
	ws_request_push_headers(L, &head);
	lua_setfield(L, -2, "headers");
	lua_pushlstring(L, r->bytes + r->head_len, r->len - r->head_len);
	lua_setfield(L, -2, "body");
	lua_pushboolean(L, failure->by_proxy);
	lua_setfield(L, -2, "by_proxy");
}

static int push_cancelled(lua_State *L)
{
	lua_pushnil(L);
	lua_pushliteral(L, "cancelled");
	return 2;
}

static int connected(lua_State *L, int status, lua_KContext ctx)
{
	const struct outcome *outcome = ((struct ws_task *)ctx)->woken_with;
	(void)status;
	if (!outcome)
		return push_cancelled(L);
	if (outcome->box) {
		ws_box_push(L, outcome->box);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, outcome->failure->why);
	if (!outcome->failure->response->status)
		return 2;
	push_response(L, outcome->failure);
	return 3;
}

static void wake(struct ws_box_client *box, const struct outcome *outcome)
{
	struct ws_task *task = box->waiting;
	box->waiting = NULL;
	if (task)
		ws_task_wake(task, outcome);
}

static int make_box(lua_State *L)
{
	struct ws_box_client *box = lua_touserdata(L, 1);
	const struct ws_client *client = box->client;
	const struct ws_slice head = { client->request, client->request_len };
	ws_box_new(L, &box->handlers, client->connection, head, client->connection->remote);
	return 0;
}

/* The box keeps the request: the name is found there, in the list that we sent. */
static void set_subprotocol(struct ws_client *client, struct ws_slice subprotocol)
{
	struct ws_box *ws = client->connection->user;
	const struct ws_client_options *options = &client->options;
	struct ws_head head;
	ws_request_head(ws, &head);
	for (size_t i = 0; i < options->subprotocol_count; i++)
		if (subprotocol.len == strlen(options->subprotocols[i]) &&
		    !memcmp(subprotocol.data, options->subprotocols[i], subprotocol.len))
			ws_box_set_subprotocol(ws, &head, ws_handshake_subprotocol(&head, &options->subprotocols[i], 1));
}

static bool on_verified(struct ws_client *client, struct ws_slice subprotocol)
{
	struct ws_box_client *box = client->user;
	lua_State *L = box->owner.ctx->L;
	lua_pushcfunction(L, make_box);
	lua_pushlightuserdata(L, box);
	if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
		lua_pop(L, 1);
		return false;
	}
	set_subprotocol(client, subprotocol);
	return true;
}

static void on_open(struct ws_client *client)
{
	struct ws_box *ws = client->connection->user;
	ws_box_opened(ws);
	wake(client->user, &(struct outcome){ .box = ws });
}

static void on_failed(struct ws_client *client, const struct ws_client_failure *failure)
{
	wake(client->user, &(struct outcome){ .failure = failure });
	ws_box_client_free(client->user);
}

/* ---- connect */

static struct ws_tunnel_options tunnel_options(lua_State *L)
{
	const char *kind = ws_option_string(L, "tunnel");
	return (struct ws_tunnel_options){
		.kind = !kind ? WS_TUNNEL_NONE : !strcmp(kind, "http") ? WS_TUNNEL_HTTP : WS_TUNNEL_SOCKS5,
		.authority = ws_option_slice(L, "authority"),
		.authorization = ws_option_slice(L, "proxy_authorization"),
		.socks5 = {
			.host = ws_option_slice(L, "origin"),
			.numeric = ws_option_boolean(L, "origin_numeric"),
			.port = (unsigned)ws_option_integer(L, "origin_port"),
			.user = ws_option_slice(L, "proxy_user"),
			.password = ws_option_slice(L, "proxy_password"),
		},
	};
}

static struct ws_client_options client_options(lua_State *L, const struct ws_box_client *box)
{
	return (struct ws_client_options){
		.target = { ws_option_string(L, "host"), (unsigned)ws_option_integer(L, "port"), ws_option_string(L, "path") },
		.tunnel = tunnel_options(L),
		.resource = ws_option_slice(L, "resource"),
		.host = ws_option_slice(L, "host_header"),
		.headers = ws_option_string(L, "header_lines"),
		.subprotocols = box->subprotocols.list,
		.subprotocol_count = box->subprotocols.count,
		.tls = ws_tls_option(L, "context"),
		.tls_host = ws_option_string(L, "server_name"),
		.tls_port = (unsigned)ws_option_integer(L, "server_port"),
		.timeout = ws_option_ms(L, "timeout"),
		.max_body = (size_t)ws_option_integer(L, "max_body"),
	};
}

static int push_start_error(lua_State *L, int error)
{
	lua_pushnil(L);
	lua_pushstring(L, error == WS_ERROR_MEMORY ? "out of memory" : error == WS_ERROR_SYSTEM ? strerror(errno)
	                  : "the request cannot be sent: a header line, the list of subprotocols or the proxy is not valid");
	return 2;
}

/* The task waits for it no longer. */
static void drop_attempt(struct ws_task *task)
{
	struct ws_box_client *box = task->waits_for;
	box->waiting = NULL;
	ws_box_client_free(box);
}

int ws_module_connect(lua_State *L)
{
	static const struct ws_client_handler handler = { on_verified, on_open, on_failed };
	struct ws_cancellation *cancellation = ws_cancellation_check(L, 2);
	struct ws_task *task = ws_task_here(ws_context_of(L), L, "connect");
	if (!task)
		return ws_call_block(L, ws_module_connect);
	if (cancellation && cancellation->cancelled)
		return push_cancelled(L);
	struct ws_box_client *box = calloc(1, sizeof *box);
	if (!box)
		return push_start_error(L, WS_ERROR_MEMORY);
	box->owner = (struct ws_owner){ .ctx = task->ctx, .on_idle = on_idle, .on_error = LUA_NOREF };
	box->handlers = (struct ws_handlers){ .owner = &box->owner, .list = LUA_NOREF };
	link_client(box);
	ws_option_names(L, "subprotocols", &box->subprotocols);
	const struct ws_client_options options = client_options(L, box);
	const struct ws_connection_options connection = ws_option_connection(L);
	int e = ws_client_new(&box->client, task->ctx->loop, &options, &connection, &ws_box_handler, &handler);
	if (e) {
		ws_box_client_free(box);
		return push_start_error(L, e);
	}
	box->client->user = box;
	box->waiting = task;
	ws_task_cancellable(task, cancellation);
	return ws_task_wait(L, task, -1, drop_attempt, box, connected);
}

int ws_box_client_list(lua_State *L)
{
	lua_Integer n = 0;
	lua_newtable(L);
	for (const struct ws_box_client *box = ws_context_of(L)->clients; box; box = box->next) {
		const struct ws_connection *c = box->client ? box->client->connection : NULL;
		if (!c || !c->session.closing.opened)
			continue;
		ws_box_push(L, c->user);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}
