/* Time, signals and other people's descriptors, for Lua. */
#include "binding/timer.h"

#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#include "binding/box.h"
#include "binding/call.h"
#include "binding/cancellation.h"
#include "net/signal.h"
#include "net/watch.h"

static const char type_name[] = "moonsocket.timer";

/* What after, every and on_signal return; user value 1 is the function. The registry anchors it while it may call. */
struct handle {
	struct ws_context *ctx;
	struct ws_timer timer;
	struct ws_signal *signal; /* of on_signal, else NULL */
	uint64_t interval;        /* ms; 0: once */
	int anchor;
	bool active;              /* it may call: neither cancelled nor done */
	bool busy;                /* its callback waits; the next tick is left out meanwhile */
};

static struct handle *of_timer(struct ws_timer *timer)
{
	return (struct handle *)((char *)timer - offsetof(struct handle, timer));
}

static void let_go(struct handle *h)
{
	luaL_unref(h->ctx->L, LUA_REGISTRYINDEX, h->anchor);
	h->anchor = LUA_NOREF;
}

static void cancel(struct handle *h)
{
	if (!h->active || !h->ctx->loop)
		return;
	h->active = false;
	if (h->signal)
		ws_signal_free(h->signal);
	else
		ws_loop_release(h->ctx->loop);
	h->signal = NULL;
	ws_timer_stop(h->ctx->loop, &h->timer);
	if (!h->busy)
		let_go(h);
}

/* ---- calling */

static int push_function(lua_State *L, void *arg)
{
	struct handle *h = arg;
	lua_rawgeti(L, LUA_REGISTRYINDEX, h->anchor);
	lua_getiuservalue(L, -1, 1);
	lua_remove(L, -2);
	return 0;
}

static void finished(struct ws_task *task, bool ok)
{
	struct handle *h = task->owner;
	(void)ok;
	h->busy = false;
	if (!h->active)
		let_go(h);
}

static void call(struct handle *h)
{
	static const struct ws_call run = { .push = push_function, .finished = finished };
	if (h->busy)
		return;
	h->busy = true;
	if (!h->signal && !h->interval)
		cancel(h);
	ws_call_start(h->ctx, &run, h, h);
}

static void on_timer(struct ws_timer *timer)
{
	struct handle *h = of_timer(timer);
	if (h->interval)
		ws_timer_start(h->ctx->loop, timer, ws_loop_now(h->ctx->loop) + h->interval);
	call(h);
}

static void on_signal(void *arg)
{
	call(arg);
}

/* ---- making */

static struct handle *new_handle(lua_State *L)
{
	luaL_checktype(L, 2, LUA_TFUNCTION);
	struct handle *h = lua_newuserdatauv(L, sizeof *h, 1);
	*h = (struct handle){ .ctx = ws_context_alive(L), .anchor = LUA_NOREF };
	ws_timer_init(&h->timer, on_timer);
	luaL_setmetatable(L, type_name);
	lua_pushvalue(L, 2);
	lua_setiuservalue(L, -2, 1);
	lua_pushvalue(L, -1);
	h->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
	return h;
}

static void start_timer(struct handle *h, double seconds)
{
	h->active = true;
	ws_loop_hold(h->ctx->loop);
	ws_timer_start(h->ctx->loop, &h->timer, ws_context_due(seconds));
}

/* Not to be left out. */
static double check_seconds(lua_State *L)
{
	luaL_checknumber(L, 1);
	return ws_check_seconds(L, 1, 0);
}

/* after(seconds, fn) -> timer */
int ws_module_after(lua_State *L)
{
	double seconds = check_seconds(L);
	start_timer(new_handle(L), seconds);
	return 1;
}

/* every(seconds, fn) -> timer */
int ws_module_every(lua_State *L)
{
	double seconds = check_seconds(L);
	luaL_argcheck(L, seconds >= 0.001, 1, "an interval of at least 0.001 s expected");
	struct handle *h = new_handle(L);
	h->interval = ws_context_ms(seconds);
	start_timer(h, seconds);
	return 1;
}

static int check_signal(lua_State *L, int index)
{
	static const struct {
		const char *name;
		int number;
	} signals[] = {
		{ "HUP", SIGHUP },   { "INT", SIGINT },   { "TERM", SIGTERM }, { "QUIT", SIGQUIT },   { "USR1", SIGUSR1 },
		{ "USR2", SIGUSR2 }, { "CHLD", SIGCHLD }, { "PIPE", SIGPIPE }, { "WINCH", SIGWINCH },
	};
	const char *name = luaL_checkstring(L, index);
	const char *bare = strncmp(name, "SIG", 3) ? name : name + 3;
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		if (!strcmp(bare, signals[i].name))
			return signals[i].number;
	return luaL_argerror(L, index, lua_pushfstring(L, "no signal that can be caught: '%s'; \"HUP\", \"INT\", \"TERM\", "
	                                                  "\"QUIT\", \"USR1\", \"USR2\", \"CHLD\", \"PIPE\" or \"WINCH\" expected",
	                                               name));
}

/* on_signal(name, fn) -> handle | nil, message, errno */
int ws_module_on_signal(lua_State *L)
{
	int number = check_signal(L, 1);
	struct handle *h = new_handle(L);
	h->signal = ws_signal_new(h->ctx->loop, number, on_signal, h);
	if (!h->signal) {
		int code = errno;
		let_go(h);
		lua_pushnil(L);
		lua_pushstring(L, code == EPERM ? "only the main thread of a process can catch signals" : strerror(code));
		lua_pushinteger(L, code);
		return 3;
	}
	h->active = true;
	return 1;
}

static int handle_cancel(lua_State *L)
{
	cancel(ws_check_self(L, type_name));
	return 0;
}

static int handle_gc(lua_State *L)
{
	cancel(ws_check_self(L, type_name));
	return 0;
}

/* ---- waiting */

static int slept(lua_State *L, int status, lua_KContext ctx)
{
	(void)L;
	(void)status;
	(void)ctx;
	return 0;
}

/* sleep(seconds [, cancellation]) */
int ws_module_sleep(lua_State *L)
{
	double seconds = check_seconds(L);
	struct ws_cancellation *cancellation = ws_cancellation_check(L, 2);
	struct ws_task *task = ws_task_here(ws_context_of(L), L, "sleep");
	if (!task)
		return ws_call_block(L, ws_module_sleep);
	if (cancellation && cancellation->cancelled)
		return 0;
	ws_task_cancellable(task, cancellation);
	return ws_task_wait(L, task, seconds, NULL, NULL, slept);
}

static void stop_watching(struct ws_task *task)
{
	ws_watch_free(task->waits_for);
	task->waits_for = NULL;
}

static void on_ready(void *arg)
{
	stop_watching(arg);
	ws_task_wake(arg, arg);
}

static int waited(lua_State *L, int status, lua_KContext ctx)
{
	const struct ws_task *task = (const struct ws_task *)ctx;
	(void)status;
	if (task->woken_with) {
		lua_pushboolean(L, true);
		return 1;
	}
	lua_pushnil(L);
	lua_pushliteral(L, "timeout");
	return 2;
}

/* Pushes the object's getfd, or something that is not a function. */
static void push_getfd(lua_State *L, int index)
{
	if (lua_istable(L, index) || luaL_getmetafield(L, index, "__index") != LUA_TNIL)
		lua_getfield(L, index, "getfd");
	else
		lua_pushnil(L);
}

/* A number, or whatever has getfd (LuaSocket's and luaposix's objects). -1 for what no descriptor can be. */
static int check_descriptor(lua_State *L, int index)
{
	int top = lua_gettop(L), is_integer;
	if (lua_isinteger(L, index)) {
		lua_pushvalue(L, index);
	} else {
		push_getfd(L, index);
		luaL_argcheck(L, lua_isfunction(L, -1), index, "a file descriptor, or an object with a method getfd, expected");
		lua_pushvalue(L, index);
		lua_call(L, 1, 1);
	}
	lua_Integer fd = lua_tointegerx(L, -1, &is_integer);
	luaL_argcheck(L, is_integer, index, "its method getfd returned no file descriptor");
	lua_settop(L, top);
	return fd >= 0 && fd <= INT_MAX ? (int)fd : -1;
}

static bool check_mode(lua_State *L, int index)
{
	const char *mode = luaL_checkstring(L, index);
	bool write = !strcmp(mode, "w");
	if (!write && strcmp(mode, "r"))
		luaL_argerror(L, index, lua_pushfstring(L, "\"r\" or \"w\" expected, got '%s'", mode));
	return write;
}

/* wait(fd, "r"|"w" [, timeout]) -> true | nil, "timeout" | nil, message, errno */
int ws_module_wait(lua_State *L)
{
	int fd = check_descriptor(L, 1);
	bool write = check_mode(L, 2);
	double seconds = ws_check_seconds(L, 3, -1);
	struct ws_task *task = ws_task_here(ws_context_of(L), L, "wait");
	if (!task)
		return ws_call_block(L, ws_module_wait);
	struct ws_watch *watch = ws_watch_new(task->ctx->loop, fd, write, on_ready, task);
	if (!watch)
		return luaL_fileresult(L, 0, NULL);
	return ws_task_wait(L, task, seconds, stop_watching, watch, waited);
}

void ws_timer_register(lua_State *L)
{
	static const luaL_Reg metamethods[] = { { "__gc", handle_gc }, { NULL, NULL } };
	static const luaL_Reg methods[] = { { "cancel", handle_cancel }, { NULL, NULL } };
	ws_type_register(L, type_name, metamethods, methods);
}
