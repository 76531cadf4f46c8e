/* A writer waits while the output is full. Left open, it ends the connection: half a message must not look whole. */
#include "binding/writer.h"

#include <lauxlib.h>

#include "binding/box.h"
#include "binding/websocket.h"
#include "endpoint/fragments.h"
#include "error.h"

static const char type_name[] = "moonsocket.writer";

/* The userdata; its user value keeps ws. */
struct writer {
	struct ws_box *box;
	enum ws_opcode kind;
	struct ws_utf8 utf8; /* of a text, as far as it was written */
	size_t at;           /* how far the string is sent that write was given */
	bool open;
	bool busy;           /* a task is in write */
};

static struct writer *check_writer(lua_State *L)
{
	return ws_check_self(L, type_name);
}

int ws_box_writer(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	if (!ws_box_is_open(box))
		return ws_box_push_closed(L, box);
	enum ws_opcode kind = (enum ws_opcode)ws_check_kind(L, 2);
	ws_box_waiters(L, box); /* so that write() need not fail where it waits */
	struct writer *w = lua_newuserdatauv(L, sizeof *w, 1);
	*w = (struct writer){ .box = box, .kind = kind };
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	luaL_setmetatable(L, type_name);
	int e = ws_fragments_begin(box->connection, kind);
	if (e)
		return ws_box_push_error(L, box, e);
	w->open = true;
	return 1;
}

/* ---- write */

static int write_on(lua_State *L, int status, lua_KContext ctx)
{
	struct writer *w = check_writer(L);
	struct ws_box *box = w->box;
	size_t len;
	const char *data = lua_tolstring(L, 2, &len);
	int e = 0;
	(void)status;
	while (e == 0 && w->at < len) {
		size_t left = len - w->at, size = left < WS_FRAGMENT_SIZE ? left : WS_FRAGMENT_SIZE;
		e = ws_fragments_write(box->connection, data + w->at, size);
		if (e == WS_ERROR_OVERFLOW)
			return ws_box_wait_in(L, (struct ws_task *)ctx, &box->waiters->draining, -1, write_on);
		if (e == 0)
			w->at += size;
	}
	w->busy = false;
	if (e)
		return ws_box_push_error(L, box, e);
	lua_pushboolean(L, true);
	lua_pushinteger(L, (lua_Integer)ws_connection_buffered(box->connection));
	return 2;
}

static void check_idle(lua_State *L, const struct writer *w, const char *name)
{
	if (w->busy)
		luaL_error(L, "%s: another task is in write", name);
}

/* write(bytes) -> true, buffered | nil, "closed", code | nil, message */
static int writer_write(lua_State *L)
{
	struct writer *w = check_writer(L);
	size_t len;
	if (!w->open)
		return luaL_error(L, "write: the writer has been closed");
	check_idle(L, w, "write");
	if (!ws_box_is_open(w->box))
		return ws_box_push_closed(L, w->box);
	const char *data = luaL_checklstring(L, 2, &len);
	struct ws_utf8 utf8 = w->utf8;
	bool valid = w->kind != WS_TEXT || ws_utf8_feed(&utf8, (const uint8_t *)data, len);
	luaL_argcheck(L, valid, 2, "text is not valid UTF-8: write it as \"binary\"");
	struct ws_task *task = ws_task_here(w->box->handlers->owner->ctx, L, "write");
	if (!task)
		return ws_call_block(L, writer_write);
	w->utf8 = utf8;
	w->at = 0;
	w->busy = true;
	return write_on(L, LUA_OK, (lua_KContext)task);
}

/* ---- the end */

/* close() -> true | nil, "closed", code | nil, message */
static int writer_close(lua_State *L)
{
	struct writer *w = check_writer(L);
	struct ws_connection *c = w->box->connection;
	check_idle(L, w, "close");
	bool whole = w->kind != WS_TEXT || ws_utf8_complete(&w->utf8);
	if (w->open && !whole) {
		w->open = false;
		ws_fragments_abandon(c, "a text in fragments was closed inside a UTF-8 character");
		return luaL_error(L, "close: the text ends inside a UTF-8 character");
	}
	int e = w->open ? ws_fragments_end(c) : 0;
	w->open = false;
	if (e)
		return ws_box_push_error(L, w->box, e);
	lua_pushboolean(L, true);
	return 1;
}

static void abandon(struct writer *w, const char *why)
{
	if (w->open)
		ws_fragments_abandon(w->box->connection, why);
	w->open = false;
}

/* local writer <close>: an error that leaves the block leaves half a message. */
static int writer_close_variable(lua_State *L)
{
	if (lua_isnoneornil(L, 2))
		return writer_close(L);
	abandon(check_writer(L), "an error came up inside a message that was being sent in fragments");
	return 0;
}

static int writer_gc(lua_State *L)
{
	abandon(check_writer(L), "a message that was being sent in fragments was never closed");
	return 0;
}

void ws_writer_register(lua_State *L)
{
	static const luaL_Reg metamethods[] = {
		{ "__gc", writer_gc }, { "__close", writer_close_variable }, { NULL, NULL },
	};
	static const luaL_Reg methods[] = { { "write", writer_write }, { "close", writer_close }, { NULL, NULL } };
	ws_type_register(L, type_name, metamethods, methods);
}
