/* What makes ws: a server, or the client of one connection. */
#ifndef WS_BINDING_OWNER_H
#define WS_BINDING_OWNER_H

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

struct ws_owner;

/* The user's callbacks. */
struct ws_handlers {
	struct ws_owner *owner; /* whose they are, and every ws that has them */
	int list;               /* registry: list of functions by enum ws_slot, or LUA_NOREF */
	unsigned has;           /* which slots of it are set: 1 << slot */
	bool table;             /* they came as a table: nobody's returning means anything */
};

/* Embedded first in what owns; outlives every ws of its. */
struct ws_owner {
	struct ws_context *ctx;
	struct ws_server *server; /* NULL: a client, or a server that has been cleared */
	size_t boxes;             /* ws userdata that have not been collected */
	void (*on_idle)(struct ws_owner *owner); /* the last of them has been */
	int on_error;             /* registry, or LUA_NOREF */
};

/* Pushes the function for a slot, or nil. */
void ws_handlers_push(lua_State *L, const struct ws_handlers *handlers, enum ws_slot slot);

/* on_error of a struct ws_call: for the owner, what it was given as on_error. */
int ws_owner_push_error_handler(lua_State *L, void *owner);

/* One of its ws has been collected. */
void ws_owner_forget(struct ws_owner *owner);

/* A setter of a server's: keeps the function, or nil, at index 2 in place of the one before, which it returns. Raises. */
int ws_owner_set_function(lua_State *L, struct ws_owner *owner, int *reference);

/* Lets a reference of the registry go. */
void ws_owner_unref(struct ws_owner *owner, int *reference);

#pragma GCC visibility pop

#endif
