/* ws:on_message(fn) and its kin: where ws keeps the user's functions. */
#include "binding/handlers.h"

#include <lauxlib.h>

#include "binding/reader.h"
#include "binding/websocket.h"

static bool in_extras(enum ws_slot slot)
{
	return slot > WS_SLOT_CLOSE;
}

void ws_box_push_extras(lua_State *L, int index)
{
	index = lua_absindex(L, index);
	if (lua_getiuservalue(L, index, WS_VALUE_EXTRAS) == LUA_TTABLE)
		return;
	lua_pop(L, 1);
	lua_newtable(L);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, index, WS_VALUE_EXTRAS);
}

void ws_box_push_own_handler(lua_State *L, int index, enum ws_slot slot)
{
	if (!in_extras(slot)) {
		lua_getiuservalue(L, index, (int)slot);
	} else if (lua_getiuservalue(L, index, WS_VALUE_EXTRAS) == LUA_TTABLE) {
		lua_rawgeti(L, -1, slot);
		lua_remove(L, -2);
	}
}

/* Takes the function on top of the stack for the ws at index 1. */
static void store_handler(lua_State *L, enum ws_slot slot)
{
	if (!in_extras(slot)) {
		lua_setiuservalue(L, 1, (int)slot);
		return;
	}
	ws_box_push_extras(L, 1);
	lua_insert(L, -2);
	lua_rawseti(L, -2, slot);
	lua_pop(L, 1);
}

/* One handler per event; the one before is returned. After the end only on_close still means something. */
static int set_handler(lua_State *L, struct ws_box *box, enum ws_slot slot)
{
	if (box->ended && (slot != WS_SLOT_CLOSE || !lua_isfunction(L, 2)))
		return ws_box_push_closed(L, box);
	if (!lua_isnil(L, 2))
		luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	ws_box_push_own_handler(L, 1, slot);
	lua_insert(L, 2);
	unsigned bit = 1u << slot;
	box->has = (uint16_t)(lua_isnil(L, 3) ? box->has & ~bit : box->has | bit);
	store_handler(L, slot);
	return 1;
}

int ws_handlers_on_message(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	if (box->waiters->receiver)
		return luaL_error(L, "on_message and receive exclude each other: a task is in receive");
	int results = set_handler(L, box, WS_SLOT_MESSAGE);
	if (ws_box_has_handler(box, WS_SLOT_MESSAGE))
		ws_reader_leave(box);
	if (!box->ended)
		ws_box_want(box);
	return results;
}

/* The end cannot be missed: a handler that comes too late for it is called on the next turn. */
int ws_handlers_on_close(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	int results = set_handler(L, box, WS_SLOT_CLOSE);
	bool late = box->ended && !box->close_told && !ws_box_is_collected(box);
	if (late && box->has & 1u << WS_SLOT_CLOSE) {
		box->close_told = true;
		lua_getiuservalue(L, 1, WS_SLOT_CLOSE);
		ws_call_go(L, ws_box_push_end(L, box, WS_END_VALUES));
	}
	return results;
}

int ws_handlers_on_closing(lua_State *L)
{
	return set_handler(L, ws_box_check(L), WS_SLOT_CLOSING);
}

int ws_handlers_on_ping(lua_State *L)
{
	return set_handler(L, ws_box_check(L), WS_SLOT_PING);
}

int ws_handlers_on_pong(lua_State *L)
{
	return set_handler(L, ws_box_check(L), WS_SLOT_PONG);
}

int ws_handlers_on_drain(lua_State *L)
{
	return set_handler(L, ws_box_check(L), WS_SLOT_DRAIN);
}

int ws_handlers_on_error(lua_State *L)
{
	return set_handler(L, ws_box_check(L), WS_SLOT_ERROR);
}
