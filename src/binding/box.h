/* Userdata types: registering them, checking arguments, and results that every method shares. */
#ifndef WS_BINDING_BOX_H
#define WS_BINDING_BOX_H

#include <lauxlib.h>
#include <stdbool.h>
#include <stddef.h>

#pragma GCC visibility push(hidden)

/*
 * Registers a metatable of that name. Every function has the metatable as upvalue 1, for ws_check_self; __index is a
 * function of metamethods with the table of methods as upvalue 2, or that table itself.
 */
void ws_type_register(lua_State *L, const char *name, const luaL_Reg *metamethods, const luaL_Reg *methods);

/* extend("websocket" or "server", name, fn): a method of that name, written in Lua. */
int ws_module_extend(lua_State *L);

/* The userdata at index 1, which must be of the type. Raises. */
void *ws_check_self(lua_State *L, const char *name);

/* A number of seconds, at least 0; the default where it is absent or nil. Raises. */
double ws_check_seconds(lua_State *L, int index, double otherwise);

/* What is wrong with a close code to be sent, or with its reason; NULL: nothing. Leaves the text on the stack. */
const char *ws_code_wrong(lua_State *L, int index);
const char *ws_reason_wrong(lua_State *L, int index);

/* A close code that may be sent, and its reason (absent: ""). Raises. Code absent: 1000. */
unsigned ws_check_close(lua_State *L, int index, const char **reason, size_t *len);

/* "text" or "binary", absent: text. Returns the opcode. Raises and names what was meant. */
int ws_check_kind(lua_State *L, int index);

/* A message: a string (for text, UTF-8). Raises. */
const char *ws_check_message(lua_State *L, int index, int kind, size_t *len);

/* What is wrong with a message, or with its kind at the next index; NULL: nothing. Leaves the text on the stack. */
const char *ws_message_wrong(lua_State *L, int index);

#pragma GCC visibility pop

#endif
