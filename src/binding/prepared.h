/* prepare(): a message that is to be sent to many. */
#ifndef WS_BINDING_PREPARED_H
#define WS_BINDING_PREPARED_H

#include <lua.h>

#include "endpoint/prepared.h"

#pragma GCC visibility push(hidden)

void ws_box_prepared_register(lua_State *L);

/* prepare(message [, kind]): what send, broadcast and publish take in a message's place */
int ws_module_prepare(lua_State *L);

/* What prepare returned, at the index: no kind may stand behind it. Raises. NULL: something else is there. */
struct ws_prepared *ws_box_prepared_at(lua_State *L, int index);

/* The same, or the message at the index, with its kind, made ready in now, which is to be cleared. Raises. */
struct ws_prepared *ws_box_prepared_check(lua_State *L, int index, struct ws_prepared *now);

#pragma GCC visibility pop

#endif
