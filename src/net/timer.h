/* A hierarchical timing wheel of intrusive nodes, driven by one timer of libevent. */
#ifndef WS_NET_TIMER_H
#define WS_NET_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/loop.h"

#pragma GCC visibility push(hidden)

/* Embedded in what it times. start and stop are O(1) and never fail. */
struct ws_timer {
	struct ws_timer *prev, *next; /* NULL: stopped */
	uint64_t due;                 /* ms of ws_loop_now */
	void (*fire)(struct ws_timer *self);
};

void ws_timer_init(struct ws_timer *timer, void (*fire)(struct ws_timer *self));

/* (Re)starts: fire is called once, in the first turn at or after due, never early nor within this call. */
void ws_timer_start(struct ws_loop *loop, struct ws_timer *timer, uint64_t due);

/* Stopping a stopped timer is allowed, also from within any timer's fire. */
void ws_timer_stop(struct ws_loop *loop, struct ws_timer *timer);

static inline bool ws_timer_active(const struct ws_timer *timer)
{
	return timer->next != NULL;
}

#pragma GCC visibility pop

#endif
