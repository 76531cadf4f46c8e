/* A hash table of topics, and lists of subscriptions: each is in its topic's and in its connection's. */
#include "endpoint/topic.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "net/random.h"

enum { SLOTS_FIRST = 16 };

/* ---- the table */

static uint64_t hash_of(const struct ws_topics *topics, struct ws_slice name)
{
	uint64_t hash = topics->seed ^ name.len;
	for (size_t i = 0; i < name.len; i++) {
		hash = (hash ^ (uint8_t)name.data[i]) * 0x9E3779B97F4A7C15;
		hash ^= hash >> 32;
	}
	return hash;
}

static struct ws_topic **slot_of(const struct ws_topics *topics, uint64_t hash)
{
	return &topics->slots[hash & (topics->size - 1)];
}

static struct ws_topic *find(const struct ws_topics *topics, struct ws_slice name)
{
	if (!topics->size)
		return NULL;
	const uint64_t hash = hash_of(topics, name);
	struct ws_topic *topic = *slot_of(topics, hash);
	while (topic && !(topic->hash == hash && topic->len == name.len && !memcmp(topic->name, name.data, name.len)))
		topic = topic->next;
	return topic;
}

static void put(struct ws_topics *topics, struct ws_topic *topic)
{
	struct ws_topic **slot = slot_of(topics, topic->hash);
	topic->next = *slot;
	*slot = topic;
}

/* Where there is no memory for more slots, those that there are do. */
static int reserve_slot(struct ws_topics *topics)
{
	if (topics->count < topics->size)
		return 0;
	struct ws_topics larger = { .size = topics->size ? topics->size * 2 : SLOTS_FIRST };
	if (!topics->size && ws_random_fill(topics->loop, &topics->seed, sizeof topics->seed) != 0)
		return WS_ERROR_SYSTEM;
	larger.slots = calloc(larger.size, sizeof *larger.slots);
	if (!larger.slots)
		return topics->size ? 0 : WS_ERROR_MEMORY;
	for (size_t i = 0; i < topics->size; i++) {
		while (topics->slots[i]) {
			struct ws_topic *topic = topics->slots[i];
			topics->slots[i] = topic->next;
			put(&larger, topic);
		}
	}
	free(topics->slots);
	topics->slots = larger.slots;
	topics->size = larger.size;
	return 0;
}

static void topic_release(struct ws_topic *topic)
{
	if (--topic->references == 0)
		free(topic);
}

static void forget(struct ws_topics *topics, struct ws_topic *topic)
{
	struct ws_topic **at = slot_of(topics, topic->hash);
	while (*at != topic)
		at = &(*at)->next;
	*at = topic->next;
	topics->count--;
	topic_release(topic);
}

/* NULL: out of memory. */
static struct ws_topic *topic_new(struct ws_topics *topics, struct ws_slice name)
{
	struct ws_topic *topic = calloc(1, sizeof *topic + name.len);
	if (!topic)
		return NULL;
	topic->references = 1;
	topic->hash = hash_of(topics, name);
	topic->len = (uint8_t)name.len;
	memcpy(topic->name, name.data, name.len);
	put(topics, topic);
	topics->count++;
	return topic;
}

/* ---- the last member has left */

static void tell_empty(struct ws_topics *topics, struct ws_topic *topic)
{
	topic->references++; /* for its name */
	forget(topics, topic);
	if (topics->on_empty)
		topics->on_empty(topics->arg, (struct ws_slice){ topic->name, topic->len });
	topic_release(topic);
}

/* Not at once: whoever leaves may be about to come back, and may be in the middle of something. */
static void on_work(struct ws_deferred *work)
{
	struct ws_topics *topics = (struct ws_topics *)((char *)work - offsetof(struct ws_topics, work));
	struct ws_topic *topic = topics->empty;
	topics->empty = NULL;
	ws_loop_release(topics->loop);
	while (topic) {
		struct ws_topic *next = topic->next_empty;
		topic->empty = false;
		if (topic->count == 0)
			tell_empty(topics, topic);
		topic = next;
	}
}

static void note_empty(struct ws_topics *topics, struct ws_topic *topic)
{
	if (topic->empty)
		return;
	if (!topics->empty) {
		ws_loop_hold(topics->loop);
		ws_loop_defer(topics->loop, &topics->work);
	}
	topic->empty = true;
	topic->next_empty = topics->empty;
	topics->empty = topic;
}

/* ---- subscriptions */

static void join(struct ws_subscription *s)
{
	s->next_member = s->topic->members;
	if (s->next_member)
		s->next_member->prev_member = s;
	s->topic->members = s;
	s->topic->count++;
}

static void leave(struct ws_topics *topics, struct ws_subscription *s)
{
	if (s->prev_member)
		s->prev_member->next_member = s->next_member;
	else
		s->topic->members = s->next_member;
	if (s->next_member)
		s->next_member->prev_member = s->prev_member;
	if (--s->topic->count == 0)
		note_empty(topics, s->topic);
}

static void subscription_free(struct ws_subscription *s)
{
	topic_release(s->topic);
	free(s);
}

/* Where the connection's subscription to a topic is linked from, or would be. */
static struct ws_subscription **link_to(struct ws_connection *c, const struct ws_topic *topic)
{
	struct ws_subscription **at = &c->subscriptions;
	while (*at && (*at)->topic != topic)
		at = &(*at)->next;
	return at;
}

static int subscribe_to(struct ws_topics *topics, struct ws_connection *c, struct ws_topic *topic)
{
	struct ws_subscription *s = calloc(1, sizeof *s);
	if (!s) {
		if (topic->count == 0 && !topic->empty) /* it was made for this */
			forget(topics, topic);
		return WS_ERROR_MEMORY;
	}
	s->topic = topic;
	s->connection = c;
	s->next = c->subscriptions;
	c->subscriptions = s;
	topic->references++;
	join(s);
	return 0;
}

int ws_topics_subscribe(struct ws_topics *topics, struct ws_connection *c, struct ws_slice name)
{
	struct ws_topic *topic = find(topics, name);
	if (topic && *link_to(c, topic))
		return 0;
	int e = topic ? 0 : reserve_slot(topics);
	if (e)
		return e;
	if (!topic && !(topic = topic_new(topics, name)))
		return WS_ERROR_MEMORY;
	return subscribe_to(topics, c, topic);
}

void ws_topics_unsubscribe(struct ws_topics *topics, struct ws_connection *c, struct ws_slice name)
{
	const struct ws_topic *topic = find(topics, name);
	struct ws_subscription **at = topic ? link_to(c, topic) : NULL, *s = at ? *at : NULL;
	if (!s)
		return;
	*at = s->next;
	leave(topics, s);
	subscription_free(s);
}

void ws_topics_leave(struct ws_topics *topics, struct ws_connection *c)
{
	for (struct ws_subscription *s = c->subscriptions; s; s = s->next)
		leave(topics, s);
}

void ws_subscriptions_free(struct ws_connection *c)
{
	while (c->subscriptions) {
		struct ws_subscription *s = c->subscriptions;
		c->subscriptions = s->next;
		subscription_free(s);
	}
}

/* ---- asking and telling */

size_t ws_topics_deliver(const struct ws_topics *topics, struct ws_slice name, struct ws_prepared *message,
                         const struct ws_connection *except)
{
	const struct ws_topic *topic = find(topics, name);
	size_t sent = 0;
	for (const struct ws_subscription *s = topic ? topic->members : NULL; s; s = s->next_member)
		sent += s->connection != except && ws_connection_deliver(s->connection, message) == 0;
	return sent;
}

size_t ws_topics_count(const struct ws_topics *topics, struct ws_slice name)
{
	const struct ws_topic *topic = find(topics, name);
	return topic ? topic->count : 0;
}

const struct ws_topic *ws_topics_next(const struct ws_topics *topics, const struct ws_topic *topic)
{
	size_t slot = topic ? topic->hash & (topics->size - 1) : 0;
	topic = topic ? topic->next : topics->size ? topics->slots[0] : NULL;
	while (!(topic && topic->count)) {
		if (topic)
			topic = topic->next;
		else if (++slot < topics->size)
			topic = topics->slots[slot];
		else
			return NULL;
	}
	return topic;
}

/* ---- life */

void ws_topics_init(struct ws_topics *topics, struct ws_loop *loop)
{
	*topics = (struct ws_topics){ .loop = loop, .work.run = on_work };
}

void ws_topics_clear(struct ws_topics *topics)
{
	if (topics->empty)
		ws_loop_release(topics->loop);
	ws_loop_undefer(topics->loop, &topics->work);
	for (size_t i = 0; i < topics->size; i++) {
		while (topics->slots[i])
			forget(topics, topics->slots[i]);
	}
	free(topics->slots);
	topics->slots = NULL;
	topics->size = 0;
}
