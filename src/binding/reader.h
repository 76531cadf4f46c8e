/* ws:reader(): one message in parts, as they come. */
#ifndef WS_BINDING_READER_H
#define WS_BINDING_READER_H

#include "binding/websocket.h"

#pragma GCC visibility push(hidden)

void ws_reader_register(lua_State *L);

/* ws:reader([timeout [, max_message]]) -> reader | nil, "closed", code, reason | nil, "timeout" */
int ws_box_reader(lua_State *L);

/* The reader of the box, if there is one, reads no more: the rest of its message is passed over. */
void ws_reader_leave(struct ws_box *box);

/* What has come for the reader of the box; last: its message ends with it. */
void ws_reader_part(struct ws_box *box, const uint8_t *data, size_t len, bool last);

#pragma GCC visibility pop

#endif
