/* A body in chunks (RFC 9112 section 7.1), as it comes in. */
#ifndef WS_PROTOCOL_CHUNKED_H
#define WS_PROTOCOL_CHUNKED_H

#include <stdbool.h>

#include "protocol/head.h"

#pragma GCC visibility push(hidden)

/* All zero: at the start. */
struct ws_chunked {
	size_t left;   /* bytes of the chunk that are still to come */
	unsigned char state;
};

/*
 * The next piece of the body in the input, which is advanced: 0 with a piece, perhaps empty; WS_AGAIN: the input is used
 * up; 1: the last chunk has come; WS_ERROR_PROTOCOL: this is not in chunks.
 */
int ws_chunked_next(struct ws_chunked *c, struct ws_slice *input, struct ws_slice *piece);

#pragma GCC visibility pop

#endif
