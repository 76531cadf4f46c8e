/* Both are tasks of their own: one that waits, or raises, holds up neither the other nor the connection's on_close. */
#include "binding/server_close.h"

#include <lauxlib.h>

#include "binding/server.h"
#include "binding/websocket.h"

struct close_call {
	const struct ws_box *box;
	int function; /* registry */
};

static int push_close(lua_State *L, void *arg)
{
	const struct close_call *call = arg;
	lua_rawgeti(L, LUA_REGISTRYINDEX, call->function);
	int takes = ws_call_takes(L, -1);
	ws_box_push(L, call->box);
	return 1 + ws_box_push_end(L, call->box, takes - 1);
}

/* The log's function is ours, and wants to know how long it lasted: ms. */
static int push_log(lua_State *L, void *arg)
{
	const struct close_call *call = arg;
	int arguments = push_close(L, arg);
	lua_pushinteger(L, (lua_Integer)ws_connection_age(call->box->connection));
	return arguments + 1;
}

static void tell(struct ws_box *box, int function, const struct ws_call *run)
{
	struct close_call call = { box, function };
	if (function != LUA_NOREF)
		ws_box_start(box, run, &call);
}

void ws_server_close_tell(struct ws_box *box)
{
	static const struct ws_call run_close = { .push = push_close, .finished = ws_box_close_finished,
	                                          .on_error = ws_box_push_server_error_handler };
	static const struct ws_call run_log = { .push = push_log, .finished = ws_box_close_finished,
	                                        .on_error = ws_box_push_server_error_handler };
	const struct ws_box_server *server = (struct ws_box_server *)box->handlers->owner;
	tell(box, server->on_close, &run_close);
	tell(box, server->log, &run_log);
}

int ws_server_close_set(lua_State *L)
{
	struct ws_box_server *box = ws_box_server_check(L);
	return ws_owner_set_function(L, &box->owner, &box->on_close);
}
