/* The server in Lua: what serve() returns. */
#ifndef WS_BINDING_SERVER_H
#define WS_BINDING_SERVER_H

#include <lua.h>
#include <stdbool.h>

#include "binding/options.h"
#include "binding/owner.h"
#include "binding/route.h"

#pragma GCC visibility push(hidden)

/* The userdata; the registry anchors it while it has a listener or connections, or a ws of its is still reachable. */
struct ws_box_server {
	struct ws_owner owner;
	struct ws_box_server *prev, *next; /* in ctx->servers */
	struct ws_task *waiting;       /* tasks in shutdown() */
	int anchor;
	int match;                     /* registry: the router's function(request, is_handshake), or LUA_NOREF */
	int renew_tls;                 /* registry: function([tls]) -> context | nil, message, or LUA_NOREF */
	int on_topic_empty;            /* registry: function(topic), or LUA_NOREF */
	int on_close;                  /* registry: function(ws, code, reason, info), or LUA_NOREF */
	int log;                       /* registry: function(ws, code, reason, info, ms), or LUA_NOREF */
	bool over;                     /* the shutdown is complete */
	unsigned port;                 /* 0: not TCP. Known, as the address is, when the listener has gone */
	char address[WS_ADDRESS_SIZE];
	struct ws_route own;           /* of a server without a router */
	struct ws_route *routes;       /* the router's, in an array */
	size_t route_count;
};

void ws_box_server_register(lua_State *L);

/* The server at index 1. Raises. */
struct ws_box_server *ws_box_server_check(lua_State *L);

/* Of the core: listen{...} and servers(). */
int ws_box_server_listen(lua_State *L);
int ws_box_server_list(lua_State *L);

/* Frees what it has in C. Repeatable. */
void ws_box_server_clear(struct ws_box_server *box);

#pragma GCC visibility pop

#endif
