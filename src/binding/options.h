/* The options table that the Lua side hands to the core, at index 1, checked and with its defaults. */
#ifndef WS_BINDING_OPTIONS_H
#define WS_BINDING_OPTIONS_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "binding/owner.h"
#include "endpoint/connection.h"

#pragma GCC visibility push(hidden)

lua_Integer ws_option_integer(lua_State *L, const char *name);
bool ws_option_boolean(lua_State *L, const char *name);

/* A string, which the table keeps alive; NULL: absent. */
const char *ws_option_string(lua_State *L, const char *name);

/* The same, with its length; len 0: absent. */
struct ws_slice ws_option_slice(lua_State *L, const char *name);

/* Seconds become milliseconds; anything above 0 is at least one. */
uint32_t ws_option_ms(lua_State *L, const char *name);

/* A reference in the registry, or LUA_NOREF. May raise. */
int ws_option_function(lua_State *L, const char *name);

struct ws_connection_options ws_option_connection(lua_State *L);

/* Its networks live as long as the table does. */
struct ws_front_options ws_option_front(lua_State *L);

/* handlers and table. May raise. */
void ws_option_handlers(lua_State *L, struct ws_handlers *handlers);

/* Strings of C made of a list, in one block. */
struct ws_names {
	const char **list; /* NULL: none */
	size_t count;
};

/* Raises where there is no memory. */
void ws_option_names(lua_State *L, const char *name, struct ws_names *names);
void ws_names_free(struct ws_names *names);

#pragma GCC visibility pop

#endif
