/* Reads and frees a route. */
#include "binding/route.h"

#include <lauxlib.h>

const struct ws_route ws_route_empty = { .handlers = { .list = LUA_NOREF }, .admit = LUA_NOREF };

void ws_route_read(lua_State *L, struct ws_route *route)
{
	ws_option_handlers(L, &route->handlers);
	ws_option_names(L, "subprotocols", &route->subprotocols);
	route->admit = ws_option_function(L, "admit");
	route->any_origin = ws_option_boolean(L, "any_origin");
}

void ws_route_clear(struct ws_owner *owner, struct ws_route *route)
{
	ws_names_free(&route->subprotocols);
	ws_owner_unref(owner, &route->handlers.list);
	ws_owner_unref(owner, &route->admit);
}
