/* Tasks: recycled coroutines. Arguments are pushed inside the protection of lua_resume, never outside. */
#include "binding/call.h"

#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding/cancellation.h"

enum {
	IDLE_TASKS = 64, /* a coroutine is about 1 KiB */
	GRACE_TURNS = 2  /* in which what has come before the time was up is found, and everybody else has a turn */
};

static int reset_thread(lua_State *L, lua_State *from)
{
#if LUA_VERSION_RELEASE_NUM >= 50406
	return lua_closethread(L, from);
#else
	(void)from;
	return lua_resetthread(L);
#endif
}

/* ---- making, keeping, starting */

static void on_timeout(struct ws_timer *timer);
static void on_start(struct ws_deferred *work);

static int anchor_thread(lua_State *L)
{
	struct ws_task *task = lua_touserdata(L, 1);
	task->L = lua_newthread(L);
	task->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

/* NULL: out of memory. */
static struct ws_task *task_new(struct ws_context *ctx)
{
	struct ws_task *task = calloc(1, sizeof *task);
	if (!task)
		return NULL;
	task->ctx = ctx;
	ws_timer_init(&task->timer, on_timeout);
	task->start.run = on_start;
	lua_pushcfunction(ctx->L, anchor_thread);
	lua_pushlightuserdata(ctx->L, task);
	if (lua_pcall(ctx->L, 1, 0, 0) != LUA_OK) {
		lua_pop(ctx->L, 1);
		free(task);
		return NULL;
	}
	task->next_task = ctx->tasks;
	if (task->next_task)
		task->next_task->prev_task = task;
	ctx->tasks = task;
	return task;
}

static void task_free(struct ws_task *task)
{
	if (task->prev_task)
		task->prev_task->next_task = task->next_task;
	else
		task->ctx->tasks = task->next_task;
	if (task->next_task)
		task->next_task->prev_task = task->prev_task;
	luaL_unref(task->ctx->L, LUA_REGISTRYINDEX, task->anchor);
	free(task);
}

static struct ws_task *task_take(struct ws_context *ctx, const struct ws_call *call, void *owner)
{
	struct ws_task *task = ctx->idle;
	if (task) {
		ctx->idle = task->next;
		ctx->idle_count--;
	} else {
		task = task_new(ctx);
	}
	if (!task)
		return NULL;
	task->call = call;
	task->owner = owner;
	task->has_waited = false;
	task->next = NULL;
	return task;
}

/* A hook that was set on the coroutine (a debugger's, perhaps) is not for whoever would use it next. */
static void task_give(struct ws_task *task)
{
	struct ws_context *ctx = task->ctx;
	if (ctx->idle_count == IDLE_TASKS || lua_gethook(task->L)) {
		task_free(task);
		return;
	}
	lua_settop(task->L, 0);
	task->next = ctx->idle;
	ctx->idle = task;
	ctx->idle_count++;
}

void ws_call_close(struct ws_context *ctx)
{
	while (ctx->tasks) {
		struct ws_task *task = ctx->tasks;
		if (task->waiting && task->cancel)
			task->cancel(task);
		ws_task_cancellable(task, NULL);
		ws_timer_stop(ctx->loop, &task->timer);
		ws_loop_undefer(ctx->loop, &task->start);
		task_free(task);
	}
	ctx->idle = NULL;
	ctx->idle_count = 0;
}

/* ---- errors that nobody catches */

static const char foreign_yield[] =
	"coroutine.yield in a task of moonsocket, which nobody resumes: only moonsocket's own functions can wait here";

struct failure {
	struct ws_task *task;
	const char *text;  /* the error; NULL: the value on top of its stack */
	bool handled;
};

/* Any value may be an error; this makes a string of it. */
static const char *push_error_text(lua_State *L, const struct failure *f)
{
	if (f->text)
		return lua_pushstring(L, f->text);
	lua_pushvalue(f->task->L, -1);
	lua_xmove(f->task->L, L, 1);
	luaL_tolstring(L, -1, NULL);
	lua_remove(L, -2);
	return lua_tostring(L, -1);
}

static int push_failure(lua_State *L, void *arg)
{
	struct failure *f = arg;
	int arguments = f->task->call->on_error(L, f->task->owner);
	if (arguments < 0)
		return arguments;
	luaL_traceback(L, f->task->L, push_error_text(L, f), 0);
	f->handled = true;
	return arguments + 2;
}

static int print_failure(lua_State *L)
{
	struct failure *f = lua_touserdata(L, 1);
	luaL_traceback(L, f->task->L, push_error_text(L, f), 0);
	fprintf(stderr, "moonsocket: error in a callback: %s\n", lua_tostring(L, -1));
	return 0;
}

/* To the function that wants to know, else to stderr. */
static void tell_failure(struct ws_task *task, const char *text)
{
	struct ws_context *ctx = task->ctx;
	static const struct ws_call call = { .push = push_failure };
	struct failure f = { .task = task, .text = text };
	if (task->call->on_error)
		ws_call_start(ctx, &call, NULL, &f);
	if (f.handled)
		return;
	lua_pushcfunction(ctx->L, print_failure);
	lua_pushlightuserdata(ctx->L, &f);
	if (lua_pcall(ctx->L, 1, 0, 0) != LUA_OK) {
		fputs("moonsocket: error in a callback, and no memory to tell which\n", stderr);
		lua_pop(ctx->L, 1);
	}
}

/* ---- running */

int ws_call_takes(lua_State *L, int index)
{
	lua_Debug function;
	lua_pushvalue(L, index);
	lua_getinfo(L, ">u", &function);
	return function.isvararg ? INT_MAX : function.nparams;
}

static int body_end(lua_State *L, int status, lua_KContext results)
{
	(void)L;
	(void)status;
	return (int)results;
}

/* Not once one has waited: body_end is in body's place then. A hook is not for the next one, as in task_give. */
static bool again(lua_State *L, const struct ws_task *task)
{
	if (!task->call->again || lua_gethook(L) || !task->call->again(task->arg))
		return false;
	lua_settop(L, 1);
	return true;
}

/* The function that every callback's coroutine runs: here it is safe to push what may need memory. */
static int body(lua_State *L)
{
	struct ws_task *task = lua_touserdata(L, 1);
	int results = task->call->results;
	do {
		int arguments = task->call->push(L, task->arg);
		if (arguments < 0)
			return 0;
		lua_callk(L, arguments, results, results, body_end);
	} while (again(L, task));
	return results;
}

static enum ws_done task_over(struct ws_task *task, int status)
{
	bool ok = status == LUA_OK;
	if (!ok && !task->call->catches)
		tell_failure(task, status == LUA_YIELD ? foreign_yield : NULL);
	if (task->on_over)
		task->on_over(task);
	if (task->call->finished)
		task->call->finished(task, ok);
	if (!ok)
		reset_thread(task->L, task->ctx->current);
	task_give(task);
	return WS_DONE;
}

static enum ws_done task_resume(struct ws_task *task, int arguments)
{
	struct ws_context *ctx = task->ctx;
	struct ws_task *outer = ctx->running;
	lua_State *from = ctx->current;
	int results;
	ctx->running = task;
	ctx->current = task->L;
	int status = lua_resume(task->L, from, arguments, &results);
	ctx->running = outer;
	ctx->current = from;
	if (status == LUA_YIELD && task->waiting) {
		task->has_waited = true;
		return WS_BUSY;
	}
	return task_over(task, status);
}

enum ws_done ws_call_start(struct ws_context *ctx, const struct ws_call *call, void *owner, void *arg)
{
	struct ws_task *task = task_take(ctx, call, owner);
	if (!task) {
		fputs("moonsocket: no memory for a callback\n", stderr);
		struct ws_task none = { .ctx = ctx, .call = call, .owner = owner };
		if (call->finished)
			call->finished(&none, false);
		return WS_DONE;
	}
	task->arg = arg;
	lua_pushcfunction(task->L, body);
	lua_pushlightuserdata(task->L, task);
	return task_resume(task, 1);
}

/* ---- go */

static void check_room(lua_State *L, struct ws_task *task, int values)
{
	if (task && lua_checkstack(task->L, values))
		return;
	if (task)
		task_give(task);
	luaL_error(L, "no memory for a task");
}

static void on_start(struct ws_deferred *work)
{
	struct ws_task *task = (struct ws_task *)((char *)work - offsetof(struct ws_task, start));
	ws_loop_release(task->ctx->loop);
	task_resume(task, lua_gettop(task->L) - 1);
}

void ws_call_go(lua_State *L, int arguments)
{
	struct ws_context *ctx = ws_context_of(L);
	static const struct ws_call nothing = { .results = 0 };
	struct ws_task *task = task_take(ctx, &nothing, NULL);
	check_room(L, task, arguments + 1);
	lua_xmove(L, task->L, arguments + 1);
	ws_loop_hold(ctx->loop);
	ws_loop_defer(ctx->loop, &task->start);
}

/* ---- waiting */

struct ws_task *ws_task_here(struct ws_context *ctx, lua_State *L, const char *what)
{
	ws_context_check_alive(L, ctx);
	struct ws_task *task = ctx->running;
	if (task && task->L == L) {
		if (!lua_isyieldable(L))
			luaL_error(L, "%s cannot wait here: Lua cannot leave this function and come back "
			              "(a table.sort comparator, a metamethod or __gc called from C)", what);
		return task;
	}
	bool main = lua_pushthread(L);
	lua_pop(L, 1);
	if (!main)
		luaL_error(L, "%s cannot wait in a coroutine that moonsocket did not start: "
		              "start it with moonsocket.go(fn, ...)", what);
	if (ctx->looping)
		luaL_error(L, "%s cannot wait here: the loop is running already, and this is not one of its tasks", what);
	return NULL;
}

void ws_task_cancellable(struct ws_task *task, struct ws_cancellation *cancellation)
{
	if (task->cancellation)
		task->cancellation->task = NULL;
	task->cancellation = cancellation;
	if (cancellation)
		cancellation->task = task;
}

static void wait_end(struct ws_task *task)
{
	task->waiting = false;
	ws_task_cancellable(task, NULL);
	ws_timer_stop(task->ctx->loop, &task->timer);
	ws_loop_release(task->ctx->loop);
}

static void on_timeout(struct ws_timer *timer)
{
	struct ws_task *task = (struct ws_task *)((char *)timer - offsetof(struct ws_task, timer));
	if (task->grace > 0) {
		task->grace--;
		ws_timer_start(task->ctx->loop, timer, 0);
		return;
	}
	if (task->cancel)
		task->cancel(task);
	ws_task_wake(task, NULL);
}

/* Somebody else's coroutine.resume would take the task away from what it waits for, and that would resume it again. */
static int wait_over(lua_State *L, int status, lua_KContext ctx)
{
	struct ws_task *task = (struct ws_task *)ctx;
	if (task->waiting)
		return luaL_error(L, "this coroutine is a task of moonsocket, and waits: only moonsocket can resume it");
	return task->k(L, status, ctx);
}

int ws_task_wait(lua_State *L, struct ws_task *task, double seconds, void (*cancel)(struct ws_task *task),
                 void *waits_for, lua_KFunction k)
{
	task->waiting = true;
	task->cancel = cancel;
	task->waits_for = waits_for;
	task->k = k;
	task->grace = cancel || seconds == 0 ? GRACE_TURNS : 0;
	ws_loop_hold(task->ctx->loop);
	if (seconds >= 0)
		ws_timer_start(task->ctx->loop, &task->timer, ws_context_due(seconds));
	return lua_yieldk(L, 0, (lua_KContext)task, wait_over);
}

void ws_task_expire(struct ws_task *task)
{
	task->grace = 0;
	ws_timer_start(task->ctx->loop, &task->timer, 0);
}

void ws_task_wake(struct ws_task *task, const void *with)
{
	wait_end(task);
	task->woken_with = with;
	task_resume(task, 0);
}

/* ---- top level */

struct block {
	lua_State *L;
	int results; /* negative: not over yet */
	bool ok;
};

/* Takes the results (or the error) over before the coroutine is used again. */
static void block_finished(struct ws_task *task, bool ok)
{
	struct block *b = task->owner;
	b->ok = ok;
	b->results = ok ? lua_gettop(task->L) : 1;
	if (lua_checkstack(b->L, b->results))
		lua_xmove(task->L, b->L, b->results);
	else
		b->results = 0;
}

/* It waits, and nobody waits for it any more. */
static void abandon(struct ws_task *task)
{
	if (task->cancel)
		task->cancel(task);
	wait_end(task);
	reset_thread(task->L, task->ctx->current);
	task_give(task);
}

int ws_call_block(lua_State *L, lua_CFunction fn)
{
	struct ws_context *ctx = ws_context_of(L);
	struct block b = { .L = L, .results = -1 };
	static const struct ws_call call = { .finished = block_finished, .catches = true };
	struct ws_task *task = task_take(ctx, &call, &b);
	int arguments = lua_gettop(L);
	check_room(L, task, arguments + 1);
	lua_pushcfunction(task->L, fn);
	lua_xmove(L, task->L, arguments);
	task_resume(task, arguments);
	while (b.results < 0) {
		int e = ws_context_turn(ctx, L, ws_context_patience());
		if (b.results < 0 && (e != 0 || !ws_context_run_hook(L))) {
			abandon(task);
			return e ? luaL_error(L, "the event loop failed: %s", strerror(errno)) : lua_error(L);
		}
	}
	return b.ok ? b.results : lua_error(L);
}
