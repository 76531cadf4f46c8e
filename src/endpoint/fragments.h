/* A message of any size that is sent in fragments (RFC 6455 section 5.4), one at a time on a connection. */
#ifndef WS_ENDPOINT_FRAGMENTS_H
#define WS_ENDPOINT_FRAGMENTS_H

#include "endpoint/connection.h"

#pragma GCC visibility push(hidden)

/* What is written at once is no longer: it is copied as far as the kernel does not take it. */
enum { WS_FRAGMENT_SIZE = 64 * 1024 };

/* Begins one; nothing is sent yet. 0, WS_ERROR_CLOSED, or WS_ERROR_WRITING: another has not ended. */
int ws_fragments_begin(struct ws_connection *c, enum ws_opcode kind);

/*
 * Sends the next fragment, of at least one byte. 0, WS_ERROR_CLOSED, WS_ERROR_OVERFLOW (nothing was queued: to be tried
 * again after on_flushed), or WS_ERROR_MEMORY or WS_ERROR_SYSTEM, after which the connection has been failed with 1011.
 */
int ws_fragments_write(struct ws_connection *c, const void *data, size_t len);

/* Ends the message, and sends what waited for that, however full the queue is. As above, but for WS_ERROR_OVERFLOW. */
int ws_fragments_end(struct ws_connection *c);

/* There will be no more of it: a connection on which some has been sent is failed with 1011. */
void ws_fragments_abandon(struct ws_connection *c, const char *why);

#pragma GCC visibility pop

#endif
