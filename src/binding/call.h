/* The only place that runs Lua code: every callback is a task, a coroutine that may wait and is used again. */
#ifndef WS_BINDING_CALL_H
#define WS_BINDING_CALL_H

#include <lua.h>
#include <stdbool.h>

#include "binding/context.h"
#include "endpoint/connection.h"
#include "net/timer.h"

#pragma GCC visibility push(hidden)

struct ws_task;
struct ws_box;
struct ws_cancellation;

/*
 * What a task is to run, one for each kind of callback; owner and arg are the task's. push puts a function and its
 * arguments on the task's stack and returns the number of arguments; negative: nothing is to be called. It may raise.
 * finished is told once how it went, with the results on top of the stack, before the coroutine is used again; it must
 * not raise.
 */
struct ws_call {
	int (*push)(lua_State *L, void *arg);
	bool (*again)(void *arg); /* whether push is to be called for another one, after one that has not waited; or NULL */
	int results;              /* of the last one */
	void (*finished)(struct ws_task *task, bool ok);
	/*
	 * Pushes the function that wants to know of an error, and what it is to get before message and traceback; returns
	 * how many arguments that is; negative: stderr, as with NULL. May raise.
	 */
	int (*on_error)(lua_State *L, void *owner);
	bool catches; /* finished takes the error over; nobody else is told */
};

struct ws_task {
	struct ws_context *ctx;
	lua_State *L;           /* its coroutine */
	int anchor;             /* of the coroutine, in the registry */
	struct ws_task *next;   /* in the idle list, or in the list of those who wait for the same thing */
	struct ws_task *prev_task, *next_task; /* in the list of all tasks */
	const struct ws_call *call;
	void *owner;            /* of finished and on_error */
	void *arg;              /* of push and again */
	void (*on_over)(struct ws_task *task); /* told before finished; NULL: nobody */
	struct ws_box *attends; /* on_over's: the ws whose message it works on */
	struct ws_timer timer;  /* of the present wait */
	struct ws_deferred start;
	void (*cancel)(struct ws_task *task); /* takes it off what it waits for; NULL: for the time alone */
	void *waits_for;
	struct ws_cancellation *cancellation; /* of the present wait; NULL: none */
	lua_KFunction k;        /* of the present wait: what comes after it */
	const void *woken_with; /* ws_task_wake's, during the resumption; NULL after a time-out */
	int grace;              /* turns that are left after the time is up */
	bool waiting;
	bool has_waited;        /* since it started: whoever started it has gone on meanwhile */
};

/* How many arguments the function at the index can see: what it does not look at need not be made. */
int ws_call_takes(lua_State *L, int index);

/* Runs it until it waits (WS_BUSY) or is over (WS_DONE; finished has been called). arg lives until this returns. */
enum ws_done ws_call_start(struct ws_context *ctx, const struct ws_call *call, void *owner, void *arg);

/* Starts the function and the arguments on top of L's stack as a task of its own at the end of the turn. Raises. */
void ws_call_go(lua_State *L, int arguments);

/*
 * For a function that waits: the task it is running in; NULL at top level, where ws_call_block is to be used. Raises
 * where neither is possible: a coroutine of somebody else, inside a comparator or a finalizer.
 */
struct ws_task *ws_task_here(struct ws_context *ctx, lua_State *L, const char *what);

/*
 * Waits: seconds negative for as long as it takes. cancel takes the task off what it waits for, when the time is up or
 * nobody wants the task any more (Ctrl-C at top level); only a wait for nothing but the time needs none. Then
 * continues with k (lua_yieldk): return its result. Keeps the loop running meanwhile.
 */
int ws_task_wait(lua_State *L, struct ws_task *task, double seconds, void (*cancel)(struct ws_task *task),
                 void *waits_for, lua_KFunction k);

/* Before ws_task_wait: what may end that wait early, as though its time were up; NULL: nothing. */
void ws_task_cancellable(struct ws_task *task, struct ws_cancellation *cancellation);

/* Lets the time of a task that waits be up in the loop's next turn. */
void ws_task_expire(struct ws_task *task);

/* Goes on with a task that waits; with is what woken_with will be during k. */
void ws_task_wake(struct ws_task *task, const void *with);

/* At top level: runs fn with L's arguments as a task and the loop until it is done; returns its results. Raises. */
int ws_call_block(lua_State *L, lua_CFunction fn);

/* Frees all tasks, also those that still wait: the state is closing. */
void ws_call_close(struct ws_context *ctx);

#pragma GCC visibility pop

#endif
