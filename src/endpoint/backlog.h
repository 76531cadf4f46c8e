/* Messages that were delivered to a connection while it sends another in fragments: they wait for its end. */
#ifndef WS_ENDPOINT_BACKLOG_H
#define WS_ENDPOINT_BACKLOG_H

#include "endpoint/prepared.h"

#pragma GCC visibility push(hidden)

struct ws_backlog_entry {
	struct ws_backlog_entry *next;
	struct ws_prepared_copy *copy; /* held */
};

/* Fields are for reading only. Made for the first one that waits; NULL: empty. */
struct ws_backlog {
	struct ws_backlog_entry *first, *last;
	size_t bytes; /* what it takes: empty messages, too, are not for nothing */
};

/* 0 or WS_ERROR_MEMORY. */
int ws_backlog_add(struct ws_backlog **backlog, struct ws_prepared *message);

/* Takes the first one out. It is the caller's to release. NULL: there is none, and the backlog is gone. */
struct ws_prepared_copy *ws_backlog_take(struct ws_backlog **backlog);

void ws_backlog_clear(struct ws_backlog **backlog);

#pragma GCC visibility pop

#endif
