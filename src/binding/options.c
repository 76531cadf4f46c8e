/* Reads the options table at index 1: the Lua side has checked it and filled in the defaults. */
#include "binding/options.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

lua_Integer ws_option_integer(lua_State *L, const char *name)
{
	lua_getfield(L, 1, name);
	lua_Integer n = lua_tointeger(L, -1);
	lua_pop(L, 1);
	return n;
}

bool ws_option_boolean(lua_State *L, const char *name)
{
	lua_getfield(L, 1, name);
	bool b = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return b;
}

const char *ws_option_string(lua_State *L, const char *name)
{
	lua_getfield(L, 1, name);
	const char *s = lua_tostring(L, -1);
	lua_pop(L, 1);
	return s;
}

struct ws_slice ws_option_slice(lua_State *L, const char *name)
{
	struct ws_slice s = { NULL, 0 };
	lua_getfield(L, 1, name);
	s.data = lua_tolstring(L, -1, &s.len);
	lua_pop(L, 1);
	return s;
}

uint32_t ws_option_ms(lua_State *L, const char *name)
{
	lua_getfield(L, 1, name);
	double ms = lua_tonumber(L, -1) * 1000;
	lua_pop(L, 1);
	return ms <= 0 ? 0 : ms < 1 ? 1 : ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static enum ws_overflow option_overflow(lua_State *L)
{
	const char *policy = ws_option_string(L, "on_overflow");
	return !strcmp(policy, "drop") ? WS_OVERFLOW_DROP : !strcmp(policy, "wait") ? WS_OVERFLOW_WAIT : WS_OVERFLOW_CLOSE;
}

/* A field of the table on top of the stack, left there. */
static lua_Integer integer_of(lua_State *L, const char *name)
{
	lua_getfield(L, -1, name);
	lua_Integer n = lua_isboolean(L, -1) ? lua_toboolean(L, -1) : lua_tointeger(L, -1);
	lua_pop(L, 1);
	return n;
}

static struct ws_compression_options option_compression(lua_State *L)
{
	struct ws_compression_options options = { .level = 0 };
	if (lua_getfield(L, 1, "compression") == LUA_TTABLE) {
		options.level = (int)integer_of(L, "level");
		options.threshold = (size_t)integer_of(L, "threshold");
		options.parameters = (struct ws_deflate_parameters){
			.agreed = true,
			.server_no_context_takeover = integer_of(L, "server_no_context_takeover"),
			.client_no_context_takeover = integer_of(L, "client_no_context_takeover"),
			.server_max_window_bits = (uint8_t)integer_of(L, "server_max_window_bits"),
			.client_max_window_bits = (uint8_t)integer_of(L, "client_max_window_bits"),
		};
	}
	lua_pop(L, 1);
	return options;
}

static double number_of(lua_State *L, const char *name)
{
	lua_getfield(L, -1, name);
	double n = lua_tonumber(L, -1);
	lua_pop(L, 1);
	return n;
}

static struct ws_rate_options option_rate(lua_State *L)
{
	struct ws_rate_options options = { .burst = 0 };
	if (lua_getfield(L, 1, "max_rate") == LUA_TTABLE) {
		options.messages = number_of(L, "messages");
		options.bytes = number_of(L, "bytes");
		options.burst = number_of(L, "burst");
		lua_getfield(L, -1, "over");
		options.close = !strcmp(lua_tostring(L, -1), "close");
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return options;
}

struct ws_connection_options ws_option_connection(lua_State *L)
{
	return (struct ws_connection_options){
		.session = { &ws_context_of(L)->pool, (size_t)ws_option_integer(L, "max_message") },
		.max_buffered = (size_t)ws_option_integer(L, "max_buffered"),
		.max_head = (size_t)ws_option_integer(L, "max_head"),
		.on_overflow = option_overflow(L),
		.compression = option_compression(L),
		.heartbeat = { ws_option_ms(L, "ping_interval"), ws_option_ms(L, "pong_timeout") },
		.rate = option_rate(L),
		.send_timeout = ws_option_ms(L, "send_timeout"),
		.idle_timeout = ws_option_ms(L, "idle_timeout"),
		.close_timeout = ws_option_ms(L, "close_timeout"),
		.handshake_timeout = ws_option_ms(L, "handshake_timeout"),
	};
}

struct ws_front_options ws_option_front(lua_State *L)
{
	struct ws_slice networks = ws_option_slice(L, "trusted_networks");
	return (struct ws_front_options){
		.proxy_protocol = ws_option_boolean(L, "proxy_protocol"),
		.trust_unix = ws_option_boolean(L, "trust_unix"),
		.trusted = { (uint8_t *)networks.data, networks.len / WS_NETWORK_SIZE },
		.max_per_address = (size_t)ws_option_integer(L, "max_connections_per_address"),
	};
}

int ws_option_function(lua_State *L, const char *name)
{
	if (lua_getfield(L, 1, name) != LUA_TNIL)
		return luaL_ref(L, LUA_REGISTRYINDEX);
	lua_pop(L, 1);
	return LUA_NOREF;
}

void ws_option_handlers(lua_State *L, struct ws_handlers *handlers)
{
	lua_getfield(L, 1, "handlers");
	for (int slot = 1; slot <= WS_SLOTS; slot++) {
		if (lua_rawgeti(L, -1, slot) == LUA_TFUNCTION)
			handlers->has |= 1u << slot;
		lua_pop(L, 1);
	}
	handlers->list = luaL_ref(L, LUA_REGISTRYINDEX);
	handlers->table = ws_option_boolean(L, "table");
}

void ws_option_names(lua_State *L, const char *name, struct ws_names *names)
{
	lua_getfield(L, 1, name);
	size_t count = lua_isnil(L, -1) ? 0 : (size_t)lua_rawlen(L, -1), size = count * sizeof(char *);
	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(L, -1, (lua_Integer)i + 1);
		size += lua_rawlen(L, -1) + 1;
		lua_pop(L, 1);
	}
	names->list = count ? malloc(size) : NULL;
	names->count = count;
	if (count && !names->list)
		luaL_error(L, "out of memory");
	char *text = (char *)(names->list + count);
	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(L, -1, (lua_Integer)i + 1);
		names->list[i] = strcpy(text, lua_tostring(L, -1));
		text += strlen(text) + 1;
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
}

void ws_names_free(struct ws_names *names)
{
	free(names->list);
	*names = (struct ws_names){ NULL, 0 };
}
