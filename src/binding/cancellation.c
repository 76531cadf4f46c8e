/* What reconnect stops a pause and an attempt with. */
#include "binding/cancellation.h"

#include <lauxlib.h>

#include "binding/box.h"
#include "binding/call.h"

static const char type_name[] = "moonsocket.cancellation";

int ws_module_cancellation(lua_State *L)
{
	struct ws_cancellation *cancellation = lua_newuserdatauv(L, sizeof *cancellation, 0);
	*cancellation = (struct ws_cancellation){ NULL, false };
	luaL_setmetatable(L, type_name);
	return 1;
}

struct ws_cancellation *ws_cancellation_check(lua_State *L, int index)
{
	if (lua_isnoneornil(L, index))
		return NULL;
	struct ws_cancellation *cancellation = luaL_checkudata(L, index, type_name);
	luaL_argcheck(L, !cancellation->task, index, "another task waits with this cancellation");
	return cancellation;
}

/* The task itself goes on in the loop's next turn: whoever cancels may be in the middle of anything. */
static int cancellation_cancel(lua_State *L)
{
	struct ws_cancellation *cancellation = ws_check_self(L, type_name);
	cancellation->cancelled = true;
	if (cancellation->task)
		ws_task_expire(cancellation->task);
	return 0;
}

/* A task that waits keeps it, unless somebody closed the task's coroutine. */
static int cancellation_gc(lua_State *L)
{
	struct ws_cancellation *cancellation = ws_check_self(L, type_name);
	if (cancellation->task)
		ws_task_cancellable(cancellation->task, NULL);
	return 0;
}

void ws_cancellation_register(lua_State *L)
{
	static const luaL_Reg metamethods[] = { { "__gc", cancellation_gc }, { NULL, NULL } };
	static const luaL_Reg methods[] = { { "cancel", cancellation_cancel }, { NULL, NULL } };
	ws_type_register(L, type_name, metamethods, methods);
}
