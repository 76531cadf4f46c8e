/* Topics in Lua: methods of ws and of a server. */
#ifndef WS_BINDING_TOPIC_H
#define WS_BINDING_TOPIC_H

#include <lua.h>

#include "protocol/head.h"

#pragma GCC visibility push(hidden)

int ws_box_subscribe(lua_State *L);
int ws_box_unsubscribe(lua_State *L);
int ws_box_topics(lua_State *L);
int ws_box_publish(lua_State *L);

int ws_box_server_publish(lua_State *L);
int ws_box_server_topics(lua_State *L);
int ws_box_server_topic_count(lua_State *L);
int ws_box_server_on_topic_empty(lua_State *L);

/* on_empty of a server's topics; the argument is its box. */
void ws_box_server_topic_empty(void *server, struct ws_slice name);

#pragma GCC visibility pop

#endif
