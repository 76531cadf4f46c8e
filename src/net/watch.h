/* Somebody else's descriptor, awaited once: for clients of databases, pipes and the like. */
#ifndef WS_NET_WATCH_H
#define WS_NET_WATCH_H

#include <stdbool.h>

#include "net/loop.h"

#pragma GCC visibility push(hidden)

struct ws_watch;

/*
 * Calls on_ready once when fd can be read (or written), or has ended; the watch stays until freed. The
 * descriptor stays the caller's. NULL with errno: out of memory, or a descriptor that cannot be awaited (a
 * regular file: EPERM).
 */
struct ws_watch *ws_watch_new(struct ws_loop *loop, int fd, bool write, void (*on_ready)(void *arg),
                              void *arg);

/* NULL is allowed. */
void ws_watch_free(struct ws_watch *watch);

#pragma GCC visibility pop

#endif
