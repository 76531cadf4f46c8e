/* A Lua state's own loop: made with the module, freed with the state. */
#include "binding/context.h"

#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "binding/call.h"
#include "binding/client.h"
#include "binding/server.h"
#include "error.h"

enum { HOOK_TICK_MS = 200 };

static const char context_key = 0;

struct ws_context *ws_context_of(lua_State *L)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, &context_key);
	struct ws_context *ctx = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return ctx;
}

void ws_context_check_alive(lua_State *L, const struct ws_context *ctx)
{
	if (ctx->ending)
		luaL_error(L, "the Lua state is being closed: nothing can be started or waited for any more");
}

struct ws_context *ws_context_alive(lua_State *L)
{
	struct ws_context *ctx = ws_context_of(L);
	ws_context_check_alive(L, ctx);
	return ctx;
}

uint64_t ws_context_ms(double seconds)
{
	static const double far = 1e15;
	double ms = seconds * 1000;
	return ms < far ? (uint64_t)(ms + 0.999999) : (uint64_t)far;
}

uint64_t ws_context_due(double seconds)
{
	return ws_loop_after(ws_context_ms(seconds));
}

/* Connections that are still open end with the truth before the loop goes. */
static int context_gc(lua_State *L)
{
	struct ws_context *ctx = lua_touserdata(L, 1);
	if (!ctx->loop)
		return 0;
	ws_context_end(ctx);
	ws_call_close(ctx);
	while (ctx->servers)
		ws_box_server_clear(ctx->servers);
	while (ctx->clients)
		ws_box_client_free(ctx->clients);
	ws_loop_settle(ctx->loop);
	ws_session_pool_clear(&ctx->pool);
	ws_loop_free(ctx->loop);
	ctx->loop = NULL;
	return 0;
}

void ws_context_end(struct ws_context *ctx)
{
	if (ctx->ending)
		return;
	ctx->ending = true;
	if (!ctx->ran && ctx->servers)
		fputs("moonsocket: the program ends, but its server never ran: call moonsocket.run() at its end\n", stderr);
	for (struct ws_box_server *box = ctx->servers; box; box = box->next) {
		for (struct ws_connection *c = box->owner.server->first; c; c = c->next) {
			ws_connection_terminate(c, "the Lua state was closed");
			ws_connection_continue(c); /* a callback that waits will not go on: on_close does not wait for it */
		}
	}
	for (struct ws_box_client *box = ctx->clients; box; box = box->next)
		ws_box_client_end(box);
	ws_loop_settle(ctx->loop);
}

struct ws_context *ws_context_open(lua_State *L)
{
	struct ws_context *ctx = ws_context_of(L);
	if (ctx)
		return ctx;
	ctx = lua_newuserdatauv(L, sizeof *ctx, 0);
	*ctx = (struct ws_context){ 0 };
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
	ctx->L = ctx->current = lua_tothread(L, -1);
	lua_pop(L, 1);
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, context_gc);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	lua_pushliteral(L, "text");
	ctx->text = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_pushliteral(L, "binary");
	ctx->binary = luaL_ref(L, LUA_REGISTRYINDEX);
	ctx->loop = ws_loop_new();
	if (!ctx->loop)
		luaL_error(L, "moonsocket has no event loop: out of memory or of file descriptors");
	lua_rawsetp(L, LUA_REGISTRYINDEX, &context_key);
	return ctx;
}

int64_t ws_context_patience(void)
{
	struct sigaction answer;
	bool somebody_answers = sigaction(SIGINT, NULL, &answer) == 0 && answer.sa_handler != SIG_DFL &&
	                        answer.sa_handler != SIG_IGN;
	return somebody_answers ? HOOK_TICK_MS : -1;
}

static int nothing(lua_State *L)
{
	(void)L;
	return 0;
}

/* Any call will do. */
bool ws_context_run_hook(lua_State *L)
{
	if (!lua_gethook(L))
		return true;
	lua_pushcfunction(L, nothing);
	return lua_pcall(L, 0, 0, 0) == LUA_OK;
}

int ws_context_turn(struct ws_context *ctx, lua_State *L, int64_t timeout_ms)
{
	lua_State *outer = ctx->current;
	ctx->looping = ctx->ran = true;
	ctx->current = L;
	int e = ws_loop_turn(ctx->loop, timeout_ms);
	ctx->current = outer;
	ctx->looping = false;
	return e;
}
