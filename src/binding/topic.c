/* ws:subscribe and its kin, and what a server does with topics. */
#include "binding/topic.h"

#include <string.h>

#include "binding/box.h"
#include "binding/call.h"
#include "binding/prepared.h"
#include "binding/server.h"
#include "binding/websocket.h"

static struct ws_slice check_topic(lua_State *L)
{
	size_t len;
	const char *name = luaL_checklstring(L, 2, &len);
	if (len == 0 || len > WS_TOPIC_NAME)
		luaL_argerror(L, 2, lua_pushfstring(L, "the name of a topic has 1 to %d bytes, not %I", WS_TOPIC_NAME,
		                                    (lua_Integer)len));
	return (struct ws_slice){ name, len };
}

/* The topics that ws can subscribe to. Raises. */
static struct ws_topics *check_topics(lua_State *L, const struct ws_box *box)
{
	if (!box->handlers->owner->server)
		luaL_error(L, "topics are a server's: the ws of a client has none");
	return &box->handlers->owner->server->topics;
}

/*
 * The one place that every message for a topic passes. Where several processes are to share topics, it is told to the
 * others here; what they tell goes to ws_topics_deliver, with nobody to be left out.
 */
static int publish(lua_State *L, const struct ws_topics *topics, const struct ws_connection *except)
{
	const struct ws_slice topic = check_topic(L);
	struct ws_prepared now = { .copy = NULL }, *message = ws_box_prepared_check(L, 3, &now);
	const size_t sent = ws_topics_deliver(topics, topic, message, except);
	ws_prepared_clear(&now);
	lua_pushinteger(L, (lua_Integer)sent);
	return 1;
}

/* ---- ws */

int ws_box_subscribe(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	if (!ws_box_is_open(box))
		return ws_box_push_closed(L, box);
	int e = ws_topics_subscribe(check_topics(L, box), box->connection, check_topic(L));
	if (e)
		return ws_box_push_error(L, box, e);
	lua_pushboolean(L, true);
	return 1;
}

int ws_box_unsubscribe(lua_State *L)
{
	struct ws_box *box = ws_box_check(L);
	if (!ws_box_is_open(box))
		return ws_box_push_closed(L, box);
	ws_topics_unsubscribe(check_topics(L, box), box->connection, check_topic(L));
	lua_pushboolean(L, true);
	return 1;
}

/* Not sent by the connection but to the others: so on_close can still tell them. */
int ws_box_publish(lua_State *L)
{
	const struct ws_box *box = ws_box_check(L);
	if (ws_box_is_collected(box))
		return ws_box_push_closed(L, box);
	return publish(L, check_topics(L, box), box->connection);
}

/* Of all names, each behind a byte of its length. */
static size_t names_size(const struct ws_connection *c)
{
	size_t size = 0;
	for (const struct ws_subscription *s = c->subscriptions; s; s = s->next)
		size += 1u + s->topic->len;
	return size;
}

/* From the end on: the first subscription comes first. */
static void copy_names(const struct ws_connection *c, char *end)
{
	for (const struct ws_subscription *s = c->subscriptions; s; s = s->next) {
		end -= 1 + s->topic->len;
		*end = (char)s->topic->len;
		memcpy(end + 1, s->topic->name, s->topic->len);
	}
}

/* Whatever allocates may run a finalizer, and that may unsubscribe: all names are copied before the first is pushed. */
int ws_box_topics(lua_State *L)
{
	const struct ws_box *box = ws_box_check(L);
	size_t size;
	char *names;
	do {
		size = names_size(box->connection);
		names = lua_newuserdatauv(L, size, 0);
	} while (size != names_size(box->connection));
	copy_names(box->connection, names + size);
	lua_newtable(L);
	lua_Integer n = 0;
	for (const char *name = names; name < names + size; name += 1 + (uint8_t)*name) {
		lua_pushlstring(L, name + 1, (uint8_t)*name);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

/* ---- a server */

int ws_box_server_publish(lua_State *L)
{
	return publish(L, &ws_box_server_check(L)->owner.server->topics, NULL);
}

int ws_box_server_topics(lua_State *L)
{
	const struct ws_topics *topics = &ws_box_server_check(L)->owner.server->topics;
	lua_Integer n = 0;
	lua_newtable(L);
	for (const struct ws_topic *topic = ws_topics_next(topics, NULL); topic; topic = ws_topics_next(topics, topic)) {
		lua_pushlstring(L, topic->name, topic->len);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

int ws_box_server_topic_count(lua_State *L)
{
	const struct ws_box_server *box = ws_box_server_check(L);
	lua_pushinteger(L, (lua_Integer)ws_topics_count(&box->owner.server->topics, check_topic(L)));
	return 1;
}

int ws_box_server_on_topic_empty(lua_State *L)
{
	struct ws_box_server *box = ws_box_server_check(L);
	return ws_owner_set_function(L, &box->owner, &box->on_topic_empty);
}

struct empty_call {
	const struct ws_box_server *box;
	struct ws_slice name;
};

static int push_empty(lua_State *L, void *arg)
{
	const struct empty_call *call = arg;
	lua_rawgeti(L, LUA_REGISTRYINDEX, call->box->anchor); /* below the function: the task may outlive the anchor */
	lua_rawgeti(L, LUA_REGISTRYINDEX, call->box->on_topic_empty);
	lua_pushlstring(L, call->name.data, call->name.len);
	return 1;
}

void ws_box_server_topic_empty(void *server, struct ws_slice name)
{
	static const struct ws_call run = { .push = push_empty, .on_error = ws_owner_push_error_handler };
	struct ws_box_server *box = server;
	struct empty_call call = { box, name };
	if (box->on_topic_empty != LUA_NOREF)
		ws_call_start(box->owner.ctx, &run, &box->owner, &call);
}
