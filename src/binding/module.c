/* moonsocket.core: what lua/moonsocket.lua is made of. */
#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <time.h>

#include "binding/box.h"
#include "binding/call.h"
#include "binding/cancellation.h"
#include "binding/client.h"
#include "binding/folder.h"
#include "binding/log.h"
#include "binding/prepared.h"
#include "binding/reader.h"
#include "binding/request.h"
#include "binding/server.h"
#include "binding/stream.h"
#include "binding/system.h"
#include "binding/timer.h"
#include "binding/tls.h"
#include "binding/websocket.h"
#include "binding/writer.h"
#include "net/random.h"
#include "protocol/code.h"

/* may_run() -> true | nil, why not */
static int module_may_run(lua_State *L)
{
	const struct ws_context *ctx = ws_context_of(L);
	lua_pushnil(L);
	if (ctx->ending)
		lua_pushliteral(L, "the Lua state is being closed");
	else if (ctx->looping)
		lua_pushliteral(L, "the loop is running already, and this was called by it");
	else
		lua_pushboolean(L, true);
	return lua_isboolean(L, -1) ? 1 : 2;
}

/* run(trapped): until nothing is left, or stop(). After may_run. trapped: Ctrl-C is a signal of the loop's. */
static int module_run(lua_State *L)
{
	struct ws_context *ctx = ws_context_of(L);
	int64_t patience = lua_toboolean(L, 1) ? -1 : ws_context_patience();
	ctx->stopped = false;
	ctx->ran = true;
	while (!ctx->stopped && ws_loop_held(ctx->loop) > 0) {
		if (ws_context_turn(ctx, L, patience) != 0)
			return luaL_error(L, "run: the event loop failed: %s", strerror(errno));
		if (!ws_context_run_hook(L))
			return lua_error(L);
	}
	return 0;
}

static int module_stop(lua_State *L)
{
	ws_context_of(L)->stopped = true;
	return 0;
}

/* step([timeout]): one turn; true while something is left. */
static int module_step(lua_State *L)
{
	struct ws_context *ctx = ws_context_alive(L);
	double seconds = ws_check_seconds(L, 1, 0);
	if (ctx->looping)
		return luaL_error(L, "step: the loop is running already, and this was called by it");
	if (ws_context_turn(ctx, L, (int64_t)ws_context_ms(seconds)) != 0)
		return luaL_error(L, "step: the event loop failed: %s", strerror(errno));
	lua_pushboolean(L, ws_loop_held(ctx->loop) > 0);
	return 1;
}

/* go(fn, ...): a task of its own, from the next turn on. */
static int module_go(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	ws_context_alive(L);
	ws_call_go(L, lua_gettop(L) - 1);
	return 0;
}

/* message_wrong(message [, kind]) -> nil | why ws:send would not take it */
static int module_message_wrong(lua_State *L)
{
	lua_settop(L, 2);
	lua_pushstring(L, ws_message_wrong(L, 1));
	return 1;
}

/* code_wrong(code) -> nil | why no Close frame may have it */
static int module_code_wrong(lua_State *L)
{
	lua_settop(L, 1);
	lua_pushstring(L, ws_code_wrong(L, 1));
	return 1;
}

/* reason_wrong(reason) -> nil | why no Close frame can have it */
static int module_reason_wrong(lua_State *L)
{
	lua_settop(L, 1);
	lua_pushstring(L, ws_reason_wrong(L, 1));
	return 1;
}

/* now(): seconds of the monotonic clock. */
static int module_now(lua_State *L)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec / 1e9);
	return 1;
}

/* random(): a float in [0, 1), unlike any other process's. math.random without ASLR is that of the same second. */
static int module_random(lua_State *L)
{
	uint64_t bits;
	if (ws_random_fill(ws_context_alive(L)->loop, &bits, sizeof bits) != 0)
		return luaL_error(L, "no random numbers: %s", strerror(errno));
	lua_pushnumber(L, (lua_Number)(bits >> 11) * 0x1p-53);
	return 1;
}

/* held(): how many listeners, connections, timers and waiting tasks keep the loop running. For tests. */
static int module_held(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)ws_loop_held(ws_context_of(L)->loop));
	return 1;
}

/* codes: both ways, codes.GOING_AWAY == 1001 and codes[1001] == "GOING_AWAY". */
static void push_codes(lua_State *L)
{
	lua_newtable(L);
	for (unsigned code = WS_CODE_NORMAL; code <= WS_CODE_TLS_HANDSHAKE; code++) {
		const char *name = ws_code_name(code);
		if (!name)
			continue;
		lua_pushstring(L, name);
		lua_rawseti(L, -2, code);
		lua_pushinteger(L, code);
		lua_setfield(L, -2, name);
	}
}

LUAMOD_API int luaopen_moonsocket_core(lua_State *L);

LUAMOD_API int luaopen_moonsocket_core(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "listen", ws_box_server_listen },
		{ "folder", ws_module_folder },
		{ "connect", ws_module_connect },
		{ "cancellation", ws_module_cancellation },
		{ "discard", ws_module_discard },
		{ "extend", ws_module_extend },
		{ "write_log", ws_log_write },
		{ "tls", ws_module_tls },
		{ "stream", ws_module_stream },
		{ "prepare", ws_module_prepare },
		{ "servers", ws_box_server_list },
		{ "clients", ws_box_client_list },
		{ "may_run", module_may_run },
		{ "run", module_run },
		{ "stop", module_stop },
		{ "step", module_step },
		{ "go", module_go },
		{ "message_wrong", module_message_wrong },
		{ "code_wrong", module_code_wrong },
		{ "reason_wrong", module_reason_wrong },
		{ "now", module_now },
		{ "random", module_random },
		{ "held", module_held },
		{ "after", ws_module_after },
		{ "every", ws_module_every },
		{ "on_signal", ws_module_on_signal },
		{ "sleep", ws_module_sleep },
		{ "wait", ws_module_wait },
		{ NULL, NULL },
	};
	luaL_checkversion(L);
	ws_context_open(L);
	ws_request_register(L);
	ws_box_server_register(L);
	ws_box_register(L);
	ws_box_prepared_register(L);
	ws_timer_register(L);
	ws_cancellation_register(L);
	ws_tls_register(L);
	ws_folder_register(L);
	ws_stream_register(L);
	ws_reader_register(L);
	ws_writer_register(L);
	luaL_newlib(L, functions);
	push_codes(L);
	lua_setfield(L, -2, "codes");
	ws_system_push(L);
	lua_setfield(L, -2, "system");
	return 1;
}
