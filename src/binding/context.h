/* What one Lua state has of ours: its loop, its pools, its tasks. */
#ifndef WS_BINDING_CONTEXT_H
#define WS_BINDING_CONTEXT_H

#include <lua.h>
#include <stdbool.h>

#include "net/loop.h"
#include "protocol/session.h"

#pragma GCC visibility push(hidden)

struct ws_task;
struct ws_box_client;
struct ws_box_server;

/* Lives in a userdata in the registry; its finalizer is the last of ours to run, because it is the first to be made. */
struct ws_context {
	lua_State *L;              /* the main thread */
	lua_State *current;        /* the thread that runs now, for lua_resume's sake */
	struct ws_loop *loop;
	struct ws_session_pool pool;
	int text, binary;          /* registry: these strings, so that they need not be looked for */
	struct ws_task *running;   /* the task whose coroutine runs now; NULL: none */
	struct ws_task *tasks;     /* all of them */
	struct ws_task *idle;      /* finished tasks, whose coroutines are used again */
	size_t idle_count;
	struct ws_box_server *servers; /* every server with a listener or connections */
	struct ws_box_client *clients; /* every client that connects, or whose ws has not been collected */
	uint64_t last_id;          /* of connections */
	bool looping;              /* inside ws_loop_turn */
	bool stopped;              /* stop() was called */
	bool ran;                  /* the loop has been run at all */
	bool ending;               /* the state is being closed */
};

/* The state's context; made by luaopen. */
struct ws_context *ws_context_of(lua_State *L);

/* For what starts something or waits. Raises where the state is being closed. */
void ws_context_check_alive(lua_State *L, const struct ws_context *ctx);

/* The state's context, checked. */
struct ws_context *ws_context_alive(lua_State *L);

/* Makes it if there is none. Raises. */
struct ws_context *ws_context_open(lua_State *L);

/* Milliseconds, rounded up; 30,000 years for what does not fit. */
uint64_t ws_context_ms(double seconds);

/* The time of the loop that is so many seconds ahead. */
uint64_t ws_context_due(double seconds);

/* The state is being closed: every open connection ends, its on_close included. Repeatable. */
void ws_context_end(struct ws_context *ctx);

/*
 * How long a turn that waits at top level may last (ms; negative: for ever) so that the interpreter's answer to Ctrl-C,
 * a hook, gets its chance: ws_context_run_hook calls a hook of L's that is set. False: it raised, the error is on top.
 */
int64_t ws_context_patience(void);
bool ws_context_run_hook(lua_State *L);

/* One turn of the loop, called from L. 0 or WS_ERROR_SYSTEM. Not to be called while it is running. */
int ws_context_turn(struct ws_context *ctx, lua_State *L, int64_t timeout_ms);

#pragma GCC visibility pop

#endif
