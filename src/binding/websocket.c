/* ws: its life and its methods. */
#include "binding/websocket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "binding/box.h"
#include "binding/fields.h"
#include "binding/handlers.h"
#include "binding/prepared.h"
#include "binding/reader.h"
#include "binding/topic.h"
#include "binding/writer.h"
#include "error.h"
#include "protocol/code.h"

const char ws_box_type[] = "moonsocket.websocket";
const char *const ws_by_names[] = { "network", "peer", "local" };

/* ---- the userdata's life */

void ws_box_set_handlers(struct ws_box *box, const struct ws_handlers *handlers)
{
	box->handlers = handlers;
	box->discard = handlers->table && !(handlers->has & 1u << WS_SLOT_MESSAGE);
}

static const struct ws_waiters nobody;

struct ws_waiters *ws_box_waiters(lua_State *L, struct ws_box *box)
{
	if (box->waiters != &nobody)
		return box->waiters;
	struct ws_waiters *waiters = calloc(1, sizeof *waiters);
	if (!waiters)
		luaL_error(L, "out of memory");
	box->waiters = waiters;
	return waiters;
}

static void free_waiters(struct ws_box *box)
{
	if (box->waiters != &nobody)
		free(box->waiters);
	box->waiters = (struct ws_waiters *)&nobody;
}

struct ws_box *ws_box_new(lua_State *L, const struct ws_handlers *handlers, struct ws_connection *c,
                          struct ws_slice head, const struct ws_remote *remote)
{
	bool proxied = remote->client[0] != '\0';
	size_t peer_len = ws_address_len(&remote->peer), client_size = proxied ? strlen(remote->client) + 1 : 0;
	size_t size = offsetof(struct ws_box, bytes) + head.len + peer_len + client_size;
	struct ws_box *box = lua_newuserdatauv(L, size, WS_VALUES);
	*box = (struct ws_box){
		.type = ws_box_type, .holds = 1, .waiters = (struct ws_waiters *)&nobody, .head_len = (uint32_t)head.len,
		.peer_len = (uint8_t)peer_len, .proxied = proxied,
	};
	ws_box_set_handlers(box, handlers);
	memcpy(box->bytes, head.data, head.len);
	memcpy(box->bytes + head.len, &remote->peer, peer_len);
	memcpy(box->bytes + head.len + peer_len, remote->client, client_size);
	luaL_setmetatable(L, ws_box_type);
	box->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
	box->connection = c;
	handlers->owner->boxes++;
	if (handlers->owner->server)
		ws_server_hold(handlers->owner->server);
	ws_connection_hold(c);
	c->user = box;
	return box;
}

void ws_box_set_subprotocol(struct ws_box *box, const struct ws_head *head, struct ws_slice subprotocol)
{
	if (subprotocol.len)
		box->subprotocol_at = (uint32_t)(subprotocol.data - head->method.data); /* a request begins with its method */
	box->subprotocol_len = (uint16_t)subprotocol.len;
}

void ws_box_opened(struct ws_box *box)
{
	box->id = ++box->handlers->owner->ctx->last_id;
	ws_box_want(box);
}

void ws_box_hold(struct ws_box *box)
{
	box->holds++;
}

void ws_box_release(struct ws_box *box)
{
	if (--box->holds == 0) {
		if (box->handlers->owner->server)
			ws_server_release(box->handlers->owner->server);
		luaL_unref(box->handlers->owner->ctx->L, LUA_REGISTRYINDEX, box->anchor);
		box->anchor = LUA_NOREF;
	}
}

/* What a finalizer of the user's sees that runs after ours. */
static const struct ws_connection collected = { .session.closing.state = WS_CLOSED, .rtt = -1 };

bool ws_box_is_collected(const struct ws_box *box)
{
	return box->connection == &collected;
}

/* An open connection is anchored: only a closing state collects it. */
static int websocket_gc(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	if (!box->connection || ws_box_is_collected(box))
		return 0;
	if (box->anchor != LUA_NOREF)
		ws_context_end(box->handlers->owner->ctx);
	box->ended = true;
	box->final_code = (uint16_t)ws_connection_report(box->connection).code;
	ws_connection_release(box->connection);
	free_waiters(box);
	box->connection = (struct ws_connection *)&collected;
	ws_owner_forget(box->handlers->owner);
	return 0;
}

/* As ws_check_self, whose metatables are a third of what a short method costs. A light userdata has no length. */
struct ws_box *ws_box_check(lua_State *L)
{
	struct ws_box *box = lua_touserdata(L, 1);
	bool is_ws = box && lua_rawlen(L, 1) >= sizeof *box && box->type == ws_box_type;
	return is_ws ? box : luaL_checkudata(L, 1, ws_box_type);
}

/* ---- waiting */

void ws_box_want(struct ws_box *box)
{
	enum ws_session_mode mode = box->discard ? WS_SESSION_DISCARD : WS_SESSION_HOLD;
	if (box->waiters->receiver)
		mode = box->waiters->receives == WS_RECEIVES_START ? WS_SESSION_HOLD : WS_SESSION_DELIVER;
	else if (box->waiters->reader)
		mode = WS_SESSION_HOLD;
	else if (ws_box_has_handler(box, WS_SLOT_MESSAGE))
		mode = WS_SESSION_DELIVER;
	ws_connection_want(box->connection, mode);
}

int ws_module_discard(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	box->discard = true;
	ws_reader_leave(box);
	if (!box->ended)
		ws_box_want(box);
	return 0;
}

void ws_box_wake(struct ws_task **list)
{
	struct ws_task *task = *list;
	if (task)
		*list = NULL;
	while (task) {
		struct ws_task *next = task->next;
		task->next = NULL;
		ws_task_wake(task, NULL);
		task = next;
	}
}

/* Takes a task whose time is up off the list that it waits in. */
static void leave_list(struct ws_task *task)
{
	for (struct ws_task **at = task->waits_for; *at; at = &(*at)->next) {
		if (*at == task) {
			*at = task->next;
			task->next = NULL;
			return;
		}
	}
}

int ws_box_wait_in(lua_State *L, struct ws_task *task, struct ws_task **list, double seconds, lua_KFunction k)
{
	task->next = *list;
	*list = task;
	return ws_task_wait(L, task, seconds, leave_list, list, k);
}

/* ---- results */

int ws_box_push_timeout(lua_State *L)
{
	lua_pushnil(L);
	lua_pushliteral(L, "timeout");
	return 2;
}

struct ws_closing_report ws_box_report(const struct ws_box *box)
{
	if (ws_box_is_collected(box))
		return (struct ws_closing_report){ .code = box->final_code };
	return ws_connection_report(box->connection);
}

/* While the closing handshake goes on, the code that we sent is the best that is known. */
static unsigned end_code(const struct ws_box *box)
{
	struct ws_closing_report report = ws_box_report(box);
	return ws_connection_state(box->connection) != WS_CLOSED && report.sent ? report.sent : report.code;
}

int ws_box_push_closed(lua_State *L, const struct ws_box *box)
{
	lua_pushnil(L);
	lua_pushliteral(L, "closed");
	lua_pushinteger(L, end_code(box));
	return 3;
}

int ws_box_push_error(lua_State *L, const struct ws_box *box, int error)
{
	if (error == WS_ERROR_CLOSED)
		return ws_box_push_closed(L, box);
	const char *why = error == WS_ERROR_OVERFLOW  ? "overflow"
	                  : error == WS_ERROR_WRITING ? "writing"
	                  : error == WS_ERROR_SYSTEM  ? strerror(errno)
	                                              : "out of memory";
	lua_pushnil(L);
	lua_pushstring(L, why);
	return 2;
}

void ws_box_push_reason(lua_State *L, const struct ws_box *box)
{
	char room[WS_WHY_SIZE];
	const struct ws_slice reason = ws_connection_reason(box->connection, room);
	lua_pushlstring(L, reason.data, reason.len);
}

static void set_code(lua_State *L, const char *field, unsigned code)
{
	if (!code)
		return;
	lua_pushinteger(L, code);
	lua_setfield(L, -2, field);
}

void ws_box_push_info(lua_State *L, const struct ws_box *box)
{
	struct ws_closing_report report = ws_box_report(box);
	lua_createtable(L, 0, 5);
	lua_pushboolean(L, report.clean);
	lua_setfield(L, -2, "clean");
	lua_pushstring(L, ws_by_names[report.by]);
	lua_setfield(L, -2, "by");
	set_code(L, "sent", report.sent);
	set_code(L, "received", report.received);
	const char *error = ws_transport_error(&box->connection->transport);
	if (error) {
		lua_pushstring(L, error);
		lua_setfield(L, -2, "error");
	}
}

int ws_box_push_end(lua_State *L, const struct ws_box *box, int wanted)
{
	lua_pushinteger(L, ws_box_report(box).code);
	if (wanted < 2)
		return 1;
	ws_box_push_reason(L, box);
	if (wanted < WS_END_VALUES)
		return 2;
	ws_box_push_info(L, box);
	return WS_END_VALUES;
}

bool ws_box_is_open(const struct ws_box *box)
{
	return ws_connection_state(box->connection) == WS_OPEN;
}

/* ---- send */

static int websocket_send(lua_State *L);

static int send_again(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	return websocket_send(L);
}

static int wait_to_send(lua_State *L, struct ws_box *box)
{
	struct ws_task *task = ws_task_here(box->handlers->owner->ctx, L, "send, with the option on_overflow = \"wait\",");
	return task ? ws_box_wait_in(L, task, &ws_box_waiters(L, box)->draining, -1, send_again)
	            : ws_call_block(L, websocket_send);
}

/* Queues the string, or the prepared message, at index 2. */
static int queue_message(lua_State *L, struct ws_connection *c)
{
	struct ws_prepared *prepared = ws_box_prepared_at(L, 2);
	if (prepared)
		return ws_connection_send_prepared(c, prepared);
	size_t len;
	int kind = ws_check_kind(L, 3);
	const char *data = ws_check_message(L, 2, kind, &len);
	return ws_connection_send(c, (enum ws_opcode)kind, data, len);
}

static int websocket_send(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	if (!ws_box_is_open(box))
		return ws_box_push_closed(L, box);
	int e = queue_message(L, box->connection);
	if (e == WS_ERROR_OVERFLOW && box->connection->endpoint->options.on_overflow == WS_OVERFLOW_WAIT) {
		lua_settop(L, 3);
		return wait_to_send(L, box);
	}
	if (e)
		return ws_box_push_error(L, box, e);
	lua_pushboolean(L, true);
	lua_pushinteger(L, (lua_Integer)ws_connection_buffered(box->connection));
	return 2;
}

static int drain_end(lua_State *L, int status, lua_KContext ctx)
{
	struct ws_box *box = ws_box_check(L);
	(void)status;
	(void)ctx;
	if (!ws_box_is_open(box))
		return ws_box_push_closed(L, box);
	if (ws_connection_buffered(box->connection) > 0)
		return ws_box_push_timeout(L);
	lua_pushboolean(L, true);
	return 1;
}

static int websocket_drain(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	if (!ws_box_is_open(box))
		return ws_box_push_closed(L, box);
	double seconds = ws_check_seconds(L, 2, -1);
	ws_transport_flush(&box->connection->transport);
	if (!ws_box_is_open(box) || ws_connection_buffered(box->connection) == 0)
		return drain_end(L, LUA_OK, 0);
	struct ws_task *task = ws_task_here(box->handlers->owner->ctx, L, "drain");
	return task ? ws_box_wait_in(L, task, &ws_box_waiters(L, box)->draining, seconds, drain_end)
	            : ws_call_block(L, websocket_drain);
}

/* ---- receive */

static void attendant_over(struct ws_task *task)
{
	ws_box_attend(task->attends, NULL);
}

void ws_box_attend(struct ws_box *box, struct ws_task *task)
{
	struct ws_task *before = box->waiters->attendant;
	if (task == before)
		return;
	if (task && task->attends)
		ws_box_attend(task->attends, NULL);
	if (before) {
		before->attends = NULL;
		before->on_over = NULL;
		ws_box_release(box);
	}
	box->waiters->attendant = task;
	ws_connection_attend(box->connection, task != NULL);
	if (task) {
		task->attends = box;
		task->on_over = attendant_over;
		ws_box_hold(box);
	}
}

int ws_box_push_receive_end(lua_State *L, const struct ws_box *box)
{
	ws_box_push_closed(L, box);
	ws_box_push_reason(L, box);
	return 4;
}

static int received(lua_State *L, int status, lua_KContext ctx)
{
	struct ws_task *task = (struct ws_task *)ctx;
	struct ws_box *box = ws_box_check(L);
	(void)status;
	if (task->woken_with)
		return ws_box_push_message(L, box, task->woken_with);
	return box->ended ? ws_box_push_receive_end(L, box) : ws_box_push_timeout(L);
}

static void stop_receiving(struct ws_task *task)
{
	struct ws_box *box = task->waits_for;
	box->waiters->receiver = NULL;
	ws_box_want(box);
}

int ws_box_receive(lua_State *L, struct ws_box *box, enum ws_receives what, double seconds, const char *name,
                   lua_CFunction fn, lua_KFunction k)
{
	if (ws_box_has_handler(box, WS_SLOT_MESSAGE))
		return luaL_error(L, "%s and on_message exclude each other: on_message is set, so messages go there", name);
	if (box->waiters->receiver)
		return luaL_error(L, "another task is in receive already: a message can have one receiver only");
	struct ws_task *task = ws_task_here(box->handlers->owner->ctx, L, name);
	if (!task)
		return ws_call_block(L, fn);
	struct ws_waiters *waiters = ws_box_waiters(L, box);
	if (what != WS_RECEIVES_PART)
		ws_reader_leave(box);
	struct ws_message next; /* one that has come with the one before */
	if (what == WS_RECEIVES_MESSAGE && ws_connection_next_message(box->connection, &next)) {
		ws_box_attend(box, task);
		task->woken_with = &next;
		return k(L, LUA_OK, (lua_KContext)task);
	}
	if (waiters->attendant == task)
		ws_box_attend(box, NULL);
	enum ws_opcode held = what == WS_RECEIVES_START ? ws_connection_held(box->connection) : 0;
	if (held) {
		task->woken_with = &held;
		return k(L, LUA_OK, (lua_KContext)task);
	}
	waiters->receiver = task;
	waiters->receives = what;
	ws_box_want(box);
	return ws_task_wait(L, task, seconds, stop_receiving, box, k);
}

static int websocket_receive(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	if (box->ended)
		return ws_box_push_receive_end(L, box);
	double seconds = ws_check_seconds(L, 2, -1);
	return ws_box_receive(L, box, WS_RECEIVES_MESSAGE, seconds, "receive", websocket_receive, received);
}

static int next_message(lua_State *L)
{
	lua_settop(L, 1);
	return websocket_receive(L);
}

static int websocket_messages(lua_State *L)
{
	ws_box_check(L);
	lua_settop(L, 1);
	lua_pushcfunction(L, next_message);
	lua_insert(L, 1);
	return 2;
}

/* ---- the end */

static int websocket_close(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	const char *reason;
	size_t len;
	if (!ws_connection_may_close(box->connection))
		return ws_box_push_closed(L, box);
	unsigned code = ws_check_close(L, 2, &reason, &len);
	ws_connection_close(box->connection, code, reason, len);
	lua_pushboolean(L, true);
	return 1;
}

static int websocket_terminate(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	if (ws_connection_state(box->connection) == WS_CLOSED)
		return ws_box_push_closed(L, box);
	ws_connection_terminate(box->connection, NULL);
	lua_pushboolean(L, true);
	return 1;
}

/* local ws <close>: a block that an error leaves ends the connection with 1011. */
static int websocket_close_variable(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	if (lua_isnoneornil(L, 2))
		ws_connection_close(box->connection, WS_CODE_NORMAL, "", 0);
	else
		ws_connection_fail(box->connection, WS_CODE_INTERNAL_ERROR, ws_callback_raised);
	return 0;
}

static int closed_end(lua_State *L, int status, lua_KContext ctx)
{
	struct ws_box *box = ws_box_check(L);
	(void)status;
	(void)ctx;
	return box->ended ? ws_box_push_end(L, box, WS_END_VALUES) : ws_box_push_timeout(L);
}

static int websocket_wait_closed(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	if (box->ended)
		return ws_box_push_end(L, box, WS_END_VALUES);
	double seconds = ws_check_seconds(L, 2, -1);
	struct ws_task *task = ws_task_here(box->handlers->owner->ctx, L, "wait_closed");
	if (task && box->waiters->attendant == task) /* it waits for the end now, so the end need not wait for it */
		ws_box_attend(box, NULL);
	return task ? ws_box_wait_in(L, task, &ws_box_waiters(L, box)->closing, seconds, closed_end)
	            : ws_call_block(L, websocket_wait_closed);
}

/* ---- flow */

static int websocket_pause(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	if (!ws_box_is_open(box))
		return ws_box_push_closed(L, box);
	ws_connection_pause(box->connection);
	lua_pushboolean(L, true);
	return 1;
}

static int websocket_resume(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	if (!ws_box_is_open(box))
		return ws_box_push_closed(L, box);
	ws_connection_resume(box->connection);
	lua_pushboolean(L, true);
	return 1;
}

static int websocket_ping(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	size_t len = 0;
	if (!ws_box_is_open(box))
		return ws_box_push_closed(L, box);
	const char *payload = luaL_optlstring(L, 2, NULL, &len);
	luaL_argcheck(L, len <= WS_CONTROL_PAYLOAD, 2, "the payload of a ping has at most 125 bytes");
	int e = ws_connection_ping(box->connection, payload, len);
	if (e)
		return ws_box_push_error(L, box, e);
	lua_pushboolean(L, true);
	return 1;
}

/* ---- the type */

void ws_box_register(lua_State *L)
{
	static const luaL_Reg metamethods[] = {
		{ "__gc", websocket_gc },
		{ "__close", websocket_close_variable },
		{ "__index", ws_fields_index },
		{ "__newindex", ws_fields_newindex },
		{ "__tostring", ws_fields_tostring },
		{ NULL, NULL },
	};
	static const luaL_Reg methods[] = {
		{ "send", websocket_send },
		{ "writer", ws_box_writer },
		{ "drain", websocket_drain },
		{ "receive", websocket_receive },
		{ "messages", websocket_messages },
		{ "reader", ws_box_reader },
		{ "close", websocket_close },
		{ "terminate", websocket_terminate },
		{ "wait_closed", websocket_wait_closed },
		{ "pause", websocket_pause },
		{ "resume", websocket_resume },
		{ "ping", websocket_ping },
		{ "subscribe", ws_box_subscribe },
		{ "unsubscribe", ws_box_unsubscribe },
		{ "topics", ws_box_topics },
		{ "publish", ws_box_publish },
		{ "on_message", ws_handlers_on_message },
		{ "on_close", ws_handlers_on_close },
		{ "on_closing", ws_handlers_on_closing },
		{ "on_ping", ws_handlers_on_ping },
		{ "on_pong", ws_handlers_on_pong },
		{ "on_drain", ws_handlers_on_drain },
		{ "on_error", ws_handlers_on_error },
		{ NULL, NULL },
	};
	ws_type_register(L, ws_box_type, metamethods, methods);
}
