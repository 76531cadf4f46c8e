/* Topics of one server: who is subscribed to a name gets what is published under it. */
#ifndef WS_ENDPOINT_TOPIC_H
#define WS_ENDPOINT_TOPIC_H

#include "endpoint/connection.h"

#pragma GCC visibility push(hidden)

/* Bytes of a name: its length is kept in one. Where strangers choose the names, that much is kept for each. */
enum { WS_TOPIC_NAME = 255 };

/* Fields of these three are for reading only, but for on_empty and its argument. */
struct ws_topic {
	struct ws_topic *next;             /* in its slot */
	struct ws_topic *next_empty;       /* in the list of those that have lost their last member */
	struct ws_subscription *members;   /* connections that get what is published */
	size_t count;                      /* how many those are */
	size_t references;                 /* subscriptions, those of connections that have ended too; and the slot */
	uint64_t hash;
	bool empty;                        /* it is in that list; perhaps it has members again */
	uint8_t len;
	char name[];
};

struct ws_subscription {
	struct ws_topic *topic;            /* held */
	struct ws_connection *connection;
	struct ws_subscription *next;      /* of the connection's, the latest first */
	struct ws_subscription *prev_member, *next_member;
};

struct ws_topics {
	struct ws_loop *loop;
	struct ws_topic **slots;           /* by hash, chained */
	size_t size, count;                /* size: a power of two, or 0 */
	uint64_t seed;                     /* of the hash, lest strangers choose names that all fall into one slot */
	struct ws_topic *empty;            /* those that lost their last member in this turn */
	struct ws_deferred work;
	/*
	 * A topic that had lost its last member has found no other by the end of the turn: it is forgotten. May subscribe
	 * and unsubscribe. NULL: nobody is told.
	 */
	void (*on_empty)(void *arg, struct ws_slice name);
	void *arg;
};

void ws_topics_init(struct ws_topics *topics, struct ws_loop *loop);

/* Every connection must have left. */
void ws_topics_clear(struct ws_topics *topics);

/* name: 1 to WS_TOPIC_NAME bytes. 0 (it may have been subscribed before), WS_ERROR_MEMORY or WS_ERROR_SYSTEM. */
int ws_topics_subscribe(struct ws_topics *topics, struct ws_connection *c, struct ws_slice name);

/* Where it is not subscribed nothing happens. */
void ws_topics_unsubscribe(struct ws_topics *topics, struct ws_connection *c, struct ws_slice name);

/* The connection has ended. It keeps its subscriptions to look at until ws_subscriptions_free. */
void ws_topics_leave(struct ws_topics *topics, struct ws_connection *c);
void ws_subscriptions_free(struct ws_connection *c);

/*
 * Sends the message to the members of a topic, but for one (or NULL), as ws_connection_deliver does. Calls nobody
 * back: the end of one that overflows is told later. Returns how many it was queued for.
 */
size_t ws_topics_deliver(const struct ws_topics *topics, struct ws_slice name, struct ws_prepared *message,
                         const struct ws_connection *except);

/* How many members a topic has. */
size_t ws_topics_count(const struct ws_topics *topics, struct ws_slice name);

/* The topic after that one (NULL: the first) that has members; NULL: there is none. In no order. */
const struct ws_topic *ws_topics_next(const struct ws_topics *topics, const struct ws_topic *topic);

#pragma GCC visibility pop

#endif
