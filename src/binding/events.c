/* What happens on a connection becomes a call of the user's function. */
#include "binding/admission.h"
#include "binding/box.h"
#include "binding/reader.h"
#include "binding/server_close.h"
#include "binding/websocket.h"
#include "protocol/code.h"

static struct ws_box *box_of(const struct ws_connection *c)
{
	return c->user;
}

/* ---- whose function it is */

void ws_box_push(lua_State *L, const struct ws_box *box)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, box->anchor);
}

/*
 * Pushes the function for a slot and, for the server's own, ws. Returns how many arguments that is; -1: no function.
 * Below ws's own function ws is left: taking it away costs more than it lies in the way.
 */
static int push_handler(lua_State *L, const struct ws_box *box, enum ws_slot slot)
{
	if (box->has & 1u << slot) {
		ws_box_push(L, box);
		ws_box_push_own_handler(L, -1, slot);
		return 0;
	}
	if (box->handlers->has & 1u << slot) {
		ws_handlers_push(L, box->handlers, slot);
		ws_box_push(L, box);
		return 1;
	}
	return -1;
}

bool ws_box_has_handler(const struct ws_box *box, enum ws_slot slot)
{
	unsigned has = box->has | (box->turned_away ? 0 : box->handlers->has);
	return has & 1u << slot;
}

/* An error goes to ws's own on_error, else to the callback table's, else to the server's. */
int ws_box_push_error_handler(lua_State *L, void *owner)
{
	const struct ws_box *box = owner;
	int arguments = push_handler(L, box, WS_SLOT_ERROR);
	return arguments >= 0 ? arguments : ws_owner_push_error_handler(L, box->handlers->owner);
}

int ws_box_push_server_error_handler(lua_State *L, void *owner)
{
	const struct ws_box *box = owner;
	return ws_owner_push_error_handler(L, box->handlers->owner);
}

/* ---- running it */

enum ws_done ws_box_start(struct ws_box *box, const struct ws_call *call, void *arg)
{
	enum ws_done done = ws_call_start(box->handlers->owner->ctx, call, box, arg);
	if (done == WS_BUSY)
		ws_box_hold(box);
	return done;
}

static void event_finished(struct ws_task *task, bool ok)
{
	struct ws_box *box = task->owner;
	if (!ok)
		ws_connection_fail(box->connection, WS_CODE_INTERNAL_ERROR, ws_callback_raised);
	if (task->has_waited) {
		ws_connection_continue(box->connection);
		ws_box_release(box);
	}
}

/* ---- messages */

int ws_box_push_message(lua_State *L, const struct ws_box *box, const struct ws_message *m)
{
	const struct ws_context *ctx = box->handlers->owner->ctx;
	lua_pushlstring(L, (const char *)m->data, m->len);
	lua_rawgeti(L, LUA_REGISTRYINDEX, m->kind == WS_TEXT ? ctx->text : ctx->binary);
	return 2;
}

struct message_call {
	const struct ws_box *box;
	struct ws_message message;
};

static int push_message(lua_State *L, void *arg)
{
	const struct message_call *call = arg;
	int arguments = push_handler(L, call->box, WS_SLOT_MESSAGE);
	return arguments + ws_box_push_message(L, call->box, &call->message);
}

/* One that came with it. Whoever is to have it may be another by now. */
static bool next_message(void *arg)
{
	struct message_call *call = arg;
	return ws_box_has_handler(call->box, WS_SLOT_MESSAGE) &&
	       ws_connection_next_message(call->box->connection, &call->message);
}

static enum ws_done on_message(struct ws_connection *c, const struct ws_message *message)
{
	static const struct ws_call run = { .push = push_message, .again = next_message, .finished = event_finished,
	                                    .on_error = ws_box_push_error_handler };
	struct ws_box *box = box_of(c);
	struct ws_task *receiver = box->waiters->receiver;
	if (receiver) {
		box->waiters->receiver = NULL;
		ws_box_want(box);
		ws_box_attend(box, receiver);
		ws_task_wake(receiver, message);
		return WS_DONE;
	}
	if (!ws_box_has_handler(box, WS_SLOT_MESSAGE))
		return WS_DONE;
	struct message_call call = { box, *message };
	return ws_box_start(box, &run, &call);
}

static void on_part(struct ws_connection *c, const uint8_t *data, size_t len, bool last)
{
	ws_reader_part(box_of(c), data, len, last);
}

static void on_held(struct ws_connection *c, enum ws_opcode kind)
{
	struct ws_box *box = box_of(c);
	struct ws_task *receiver = box->waiters->receiver;
	if (!receiver || box->waiters->receives != WS_RECEIVES_START)
		return;
	box->waiters->receiver = NULL;
	ws_task_wake(receiver, &kind);
}

/* ---- control frames and output */

struct control_call {
	const struct ws_box *box;
	enum ws_slot slot;
	const uint8_t *data;
	size_t len;
	double rtt;    /* negative: none */
	unsigned code; /* of on_closing */
};

static int push_control(lua_State *L, void *arg)
{
	const struct control_call *call = arg;
	int arguments = push_handler(L, call->box, call->slot);
	if (call->slot == WS_SLOT_DRAIN)
		return arguments;
	lua_pushlstring(L, (const char *)call->data, call->len);
	if (call->rtt < 0)
		return arguments + 1;
	lua_pushnumber(L, call->rtt);
	return arguments + 2;
}

static enum ws_done control(struct ws_connection *c, enum ws_slot slot, const uint8_t *data, size_t len, double rtt)
{
	static const struct ws_call run = { .push = push_control, .finished = event_finished,
	                                    .on_error = ws_box_push_error_handler };
	struct control_call call = { .box = box_of(c), .slot = slot, .data = data, .len = len, .rtt = rtt };
	return ws_box_has_handler(call.box, slot) ? ws_box_start(box_of(c), &run, &call) : WS_DONE;
}

static enum ws_done on_ping(struct ws_connection *c, const uint8_t *data, size_t len)
{
	return control(c, WS_SLOT_PING, data, len, -1);
}

static enum ws_done on_pong(struct ws_connection *c, const uint8_t *data, size_t len, double rtt)
{
	return control(c, WS_SLOT_PONG, data, len, rtt);
}

static enum ws_done on_drain(struct ws_connection *c)
{
	return control(c, WS_SLOT_DRAIN, NULL, 0, -1);
}

static void on_flushed(struct ws_connection *c)
{
	ws_box_wake(&box_of(c)->waiters->draining);
}

/* ---- on_closing: its results are checked in the protection of its task */

static int closing_checked(lua_State *L, int status, lua_KContext ctx)
{
	const char *reason;
	size_t len;
	(void)status;
	(void)ctx;
	lua_settop(L, 2);
	if (!lua_isnil(L, 1))
		ws_check_close(L, 1, &reason, &len);
	return 2;
}

static int call_closing(lua_State *L)
{
	lua_callk(L, lua_gettop(L) - 1, 2, 0, closing_checked);
	return closing_checked(L, LUA_OK, 0);
}

static int push_closing(lua_State *L, void *arg)
{
	const struct control_call *call = arg;
	int arguments = push_handler(L, call->box, WS_SLOT_CLOSING);
	lua_pushcfunction(L, call_closing);
	lua_insert(L, -2 - arguments);
	lua_pushinteger(L, call->code);
	lua_pushlstring(L, (const char *)call->data, call->len);
	return arguments + 3;
}

static void closing_finished(struct ws_task *task, bool ok)
{
	struct ws_box *box = task->owner;
	size_t len = 0;
	if (ok && lua_isinteger(task->L, -2)) {
		bool text = lua_type(task->L, -1) == LUA_TSTRING;
		const char *reason = text ? lua_tolstring(task->L, -1, &len) : NULL;
		ws_connection_close(box->connection, (unsigned)lua_tointeger(task->L, -2), reason, len);
	}
	event_finished(task, ok);
}

static enum ws_done on_closing(struct ws_connection *c, unsigned code, const uint8_t *reason, size_t len)
{
	static const struct ws_call run = { .push = push_closing, .results = 2, .finished = closing_finished,
	                                    .on_error = ws_box_push_error_handler };
	struct ws_box *box = box_of(c);
	struct control_call call = { .box = box, .data = reason, .len = len, .code = code };
	return ws_box_has_handler(box, WS_SLOT_CLOSING) ? ws_box_start(box, &run, &call) : WS_DONE;
}

/* ---- on_close */

static int push_close(lua_State *L, void *arg)
{
	const struct ws_box *box = arg;
	int arguments = push_handler(L, box, WS_SLOT_CLOSE);
	return arguments + ws_box_push_end(L, box, ws_call_takes(L, -1 - arguments) - arguments);
}

void ws_box_close_finished(struct ws_task *task, bool ok)
{
	(void)ok;
	if (task->has_waited)
		ws_box_release(task->owner);
}

/* Those who wait for something else first: what they do with the end may be what on_close counts on. */
static void on_close(struct ws_connection *c, const struct ws_closing_report *report)
{
	static const struct ws_call run = { .push = push_close, .finished = ws_box_close_finished,
	                                    .on_error = ws_box_push_error_handler };
	struct ws_box *box = box_of(c);
	(void)report;
	box->ended = true;
	ws_box_attend(box, NULL);
	box->close_told = true; /* an on_close that those who are woken set is not late: it is called below */
	ws_box_wake(&box->waiters->receiver);
	ws_box_wake(&box->waiters->draining);
	box->close_told = ws_box_has_handler(box, WS_SLOT_CLOSE);
	if (box->close_told)
		ws_box_start(box, &run, box);
	if (box->handlers->owner->server)
		ws_server_close_tell(box);
	ws_box_wake(&box->waiters->closing);
	ws_box_release(box);
}

const struct ws_connection_handler ws_box_handler = {
	.on_request = ws_admission_on_request,
	.on_message = on_message,
	.on_part = on_part,
	.on_held = on_held,
	.on_ping = on_ping,
	.on_pong = on_pong,
	.on_closing = on_closing,
	.on_drain = on_drain,
	.on_flushed = on_flushed,
	.on_close = on_close,
};
