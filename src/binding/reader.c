/* A reader waits for a message to begin, and then takes it as it comes; what is not asked for is not read. */
#include "binding/reader.h"

#include <lauxlib.h>
#include <string.h>

#include "binding/box.h"

static const char type_name[] = "moonsocket.reader";

/* The userdata; its user value keeps ws. */
struct ws_reader {
	struct ws_box *box;
	enum ws_opcode kind;
	bool complete; /* the whole message has been read */
};

static struct ws_reader *check_reader(lua_State *L)
{
	return ws_check_self(L, type_name);
}

/* ---- opening one */

static void new_reader(lua_State *L, struct ws_box *box, enum ws_opcode kind)
{
	lua_Integer limit = luaL_optinteger(L, 3, 0);
	struct ws_reader *r = lua_newuserdatauv(L, sizeof *r, 1);
	*r = (struct ws_reader){ .box = box, .kind = kind };
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	luaL_setmetatable(L, type_name);
	ws_connection_stream(box->connection, limit ? (uint64_t)limit : UINT64_MAX);
	box->waiters->reader = r;
}

static int begun(lua_State *L, int status, lua_KContext ctx)
{
	struct ws_task *task = (struct ws_task *)ctx;
	struct ws_box *box = ws_box_check(L);
	const enum ws_opcode *kind = task->woken_with;
	(void)status;
	if (kind) {
		new_reader(L, box, *kind);
		return 1;
	}
	return box->ended ? ws_box_push_receive_end(L, box) : ws_box_push_timeout(L);
}

int ws_box_reader(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	if (box->ended)
		return ws_box_push_receive_end(L, box);
	double seconds = ws_check_seconds(L, 2, -1);
	luaL_argcheck(L, lua_isnoneornil(L, 3) || luaL_checkinteger(L, 3) > 0, 3, "bytes expected, 1 or more");
	lua_settop(L, 3);
	return ws_box_receive(L, box, WS_RECEIVES_START, seconds, "reader", ws_box_reader, begun);
}

/* ---- reading */

void ws_reader_part(struct ws_box *box, const uint8_t *data, size_t len, bool last)
{
	const struct ws_message part = { .data = data, .len = len };
	struct ws_task *receiver = box->waiters->receiver;
	if (last) {
		box->waiters->reader->complete = true;
		box->waiters->reader = NULL;
		ws_box_attend(box, receiver);
	}
	box->waiters->receiver = NULL;
	ws_box_want(box);
	ws_task_wake(receiver, &part);
}

static int read_part(lua_State *L, int status, lua_KContext ctx)
{
	struct ws_task *task = (struct ws_task *)ctx;
	const struct ws_reader *r = check_reader(L);
	const struct ws_message *part = task->woken_with;
	(void)status;
	if (part && part->len == 0)
		lua_pushnil(L);
	else if (part)
		lua_pushlstring(L, (const char *)part->data, part->len);
	else
		return r->box->ended ? ws_box_push_receive_end(L, r->box) : ws_box_push_timeout(L);
	return 1;
}

/* read([timeout]) -> bytes | nil at the message's end | nil, "closed", code, reason | nil, "timeout" */
static int reader_read(lua_State *L)
{
	struct ws_reader *r = check_reader(L);
	if (r->complete) {
		lua_pushnil(L);
		return 1;
	}
	if (r->box->ended)
		return ws_box_push_receive_end(L, r->box);
	double seconds = ws_check_seconds(L, 2, -1);
	if (r->box->waiters->reader != r)
		return luaL_error(L, "read: the rest of this message has been passed over: the reader was closed, or the next "
		                     "message was asked for");
	return ws_box_receive(L, r->box, WS_RECEIVES_PART, seconds, "read", reader_read, read_part);
}

/* for bytes in reader do */
static int reader_call(lua_State *L)
{
	lua_settop(L, 1);
	return reader_read(L);
}

/* ---- leaving */

void ws_reader_leave(struct ws_box *box)
{
	if (!box->waiters->reader)
		return;
	box->waiters->reader = NULL;
	if (box->ended)
		return;
	ws_connection_skip(box->connection);
	ws_box_want(box);
}

/* Also close() and <close>. */
static int reader_gc(lua_State *L)
{
	struct ws_reader *r = check_reader(L);
	if (r->box->waiters->reader == r && r->box->waiters->receiver && r->box->waiters->receives == WS_RECEIVES_PART)
		return luaL_error(L, "close: another task is in read");
	if (r->box->waiters->reader == r)
		ws_reader_leave(r->box);
	return 0;
}

/* ---- the type */

/* Upvalue 2: the methods. */
static int reader_index(lua_State *L)
{
	const struct ws_reader *r = check_reader(L);
	const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
	lua_settop(L, 2);
	if (!strcmp(name, "kind"))
		lua_pushstring(L, r->kind == WS_TEXT ? "text" : "binary");
	else if (!strcmp(name, "complete"))
		lua_pushboolean(L, r->complete);
	else
		lua_rawget(L, lua_upvalueindex(2));
	return 1;
}

void ws_reader_register(lua_State *L)
{
	static const luaL_Reg metamethods[] = {
		{ "__gc", reader_gc }, { "__close", reader_gc }, { "__call", reader_call }, { "__index", reader_index },
		{ NULL, NULL },
	};
	static const luaL_Reg methods[] = { { "read", reader_read }, { "close", reader_gc }, { NULL, NULL } };
	ws_type_register(L, type_name, metamethods, methods);
}
