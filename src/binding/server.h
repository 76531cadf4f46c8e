/* The server in Lua: what serve() returns. */
#ifndef WS_BINDING_SERVER_H
#define WS_BINDING_SERVER_H

#include <lua.h>
#include <stdbool.h>

#include "binding/context.h"
#include "endpoint/server.h"

#pragma GCC visibility push(hidden)

/* The user's callbacks, in the order of the list of handlers. */
enum ws_slot {
	WS_SLOT_MESSAGE = 1,
	WS_SLOT_CLOSE,
	WS_SLOT_CLOSING,
	WS_SLOT_PING,
	WS_SLOT_PONG,
	WS_SLOT_DRAIN,
	WS_SLOT_ERROR,
	WS_SLOT_OPEN,
	WS_SLOTS = WS_SLOT_OPEN
};

/* The userdata; the registry anchors it while it has a listener or connections, or a ws of its is still reachable. */
struct ws_box_server {
	struct ws_context *ctx;
	struct ws_server *server;      /* NULL: cleared */
	struct ws_box_server *prev, *next; /* in ctx->servers */
	struct ws_task *waiting;       /* tasks in shutdown() */
	size_t boxes;                  /* ws userdata that have not been collected */
	int anchor;
	int handlers;                  /* registry: list of functions by enum ws_slot */
	int admit;                     /* registry: function(request) that judges a handshake, or LUA_NOREF */
	int on_error;                  /* registry, or LUA_NOREF */
	unsigned has;                  /* which slots of handlers are set: 1 << slot */
	bool table;                    /* serve was given a table of callbacks, not a function */
	bool any_origin;               /* the origin is not for C to judge */
	bool over;                     /* the shutdown is complete */
	unsigned port;                 /* 0: not TCP. Known, as the address is, when the listener has gone */
	char address[WS_ADDRESS_SIZE];
	size_t subprotocol_count;
	const char **subprotocols;     /* owned, with their text, in one block */
};

/* Registers the type and pushes core.listen. */
void ws_box_server_register(lua_State *L);
int ws_box_server_listen(lua_State *L);

/* One of its ws has been collected. */
void ws_box_server_forget(struct ws_box_server *box);

/* Frees what it has in C. Repeatable. */
void ws_box_server_clear(struct ws_box_server *box);

/* Pushes the server's function for a slot, or nil. */
void ws_box_server_push_handler(lua_State *L, const struct ws_box_server *box, enum ws_slot slot);

#pragma GCC visibility pop

#endif
