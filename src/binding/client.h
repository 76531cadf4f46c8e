/* connect(): one ws of ours to somebody's server. */
#ifndef WS_BINDING_CLIENT_H
#define WS_BINDING_CLIENT_H

#include <lua.h>

#include "binding/options.h"
#include "binding/owner.h"
#include "endpoint/client.h"

#pragma GCC visibility push(hidden)

/* Freed when the connection has failed, or when its ws has been collected. */
struct ws_box_client {
	struct ws_owner owner;
	struct ws_handlers handlers; /* none: it sets its own */
	struct ws_client *client;
	struct ws_box_client *prev, *next; /* in ctx->clients */
	struct ws_task *waiting;           /* the task in connect(); NULL: it has its answer */
	struct ws_names subprotocols;
};

/* connect({...} [, cancellation]) -> ws | nil, message, response */
int ws_module_connect(lua_State *L);

/* clients() -> list of our own connections that are open. */
int ws_box_client_list(lua_State *L);

/* The state is being closed: ends its connection. */
void ws_box_client_end(struct ws_box_client *box);

void ws_box_client_free(struct ws_box_client *box);

#pragma GCC visibility pop

#endif
