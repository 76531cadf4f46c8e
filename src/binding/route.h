/* What differs between the WebSocket endpoints of a server: one without a router has a single route. */
#ifndef WS_BINDING_ROUTE_H
#define WS_BINDING_ROUTE_H

#include "binding/options.h"
#include "binding/owner.h"

#pragma GCC visibility push(hidden)

struct ws_route {
	struct ws_handlers handlers;  /* first: a ws finds its route by them */
	struct ws_endpoint endpoint;  /* of a router's route; without a router the server's own serves */
	struct ws_names subprotocols;
	int admit;                    /* registry: function(request) that judges a handshake, or LUA_NOREF */
	bool any_origin;              /* the origin is not for C to judge */
};

/* Reads the options table at index 1. On an empty route; raises. */
void ws_route_read(lua_State *L, struct ws_route *route);

void ws_route_clear(struct ws_owner *owner, struct ws_route *route);

extern const struct ws_route ws_route_empty;

#pragma GCC visibility pop

#endif
