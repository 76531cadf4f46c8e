/* cancellation(): ends a task's wait in sleep() or connect() from outside, once and for all. */
#ifndef WS_BINDING_CANCELLATION_H
#define WS_BINDING_CANCELLATION_H

#include <lua.h>
#include <stdbool.h>

#pragma GCC visibility push(hidden)

struct ws_task;

struct ws_cancellation {
	struct ws_task *task; /* whose wait it would end; NULL: nobody's */
	bool cancelled;
};

/* cancellation() -> an object for sleep and connect, with the method cancel. */
int ws_module_cancellation(lua_State *L);

/* The one at the index; NULL where there is none. Raises where it is something else, or another task waits with it. */
struct ws_cancellation *ws_cancellation_check(lua_State *L, int index);

void ws_cancellation_register(lua_State *L);

#pragma GCC visibility pop

#endif
