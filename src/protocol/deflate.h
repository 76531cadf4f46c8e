/* permessage-deflate (RFC 7692 section 7.2): payloads compressed and inflated. The only user of zlib. */
#ifndef WS_PROTOCOL_DEFLATE_H
#define WS_PROTOCOL_DEFLATE_H

#include "protocol/closing.h"
#include "protocol/extension.h"

#pragma GCC visibility push(hidden)

struct ws_deflater;
struct ws_inflater;

/*
 * What the connections of one thread share: without context takeover a message is compressed by a compressor that all
 * of them use, and inflated by one that is kept for the next. All zero: empty.
 */
struct ws_deflate_pool {
	struct ws_deflater *deflaters; /* one of each window and level in use */
	struct ws_inflater *inflater;  /* one spare */
	uint8_t *output;               /* what was compressed last */
	size_t output_size;
};

void ws_deflate_pool_clear(struct ws_deflate_pool *pool);

/*
 * One connection's. With context takeover it has a compressor of its own, from the first message on, of 8 times the
 * window and 6 KiB: 262 KiB; and what inflates, of the window and 7 KiB: 39 KiB. Without, it has nothing between two
 * messages.
 */
struct ws_deflate;

/* role is ours; level: 1 to 9. NULL: out of memory. */
struct ws_deflate *ws_deflate_new(struct ws_deflate_pool *pool, enum ws_role role,
                                  const struct ws_deflate_parameters *agreed, int level);

/* NULL is allowed. */
void ws_deflate_free(struct ws_deflate *d);

/*
 * Compresses a whole message, of at least one byte. True: *data and *len are the payload instead, alive until the next
 * call for any connection of the pool. False: it is to be sent as it is, for want of memory or being over 1 GiB.
 */
bool ws_deflate_message(struct ws_deflate *d, const void **data, size_t *len);

/*
 * The same for some of a message that is sent in fragments. Until its end it has a compressor of its own, and no other
 * message is compressed for d. False: out of memory; sent as they are, the bytes can only be a message's first.
 */
bool ws_deflate_fragment(struct ws_deflate *d, const void **data, size_t *len);

/* The end of such a message: *data and *len are the payload of its last frame. */
void ws_deflate_end(struct ws_deflate *d, const void **data, size_t *len);

/* Who has the same number compresses a message to the same bytes. 0: what was sent before counts as well (takeover). */
unsigned ws_deflate_likeness(const struct ws_deflate *d);

/* The message compressed last has not been sent: the next one must not refer to it. */
void ws_deflate_forget(struct ws_deflate *d);

/*
 * Inflates what there is of a message's payload, advancing *data and *len; last: it ends there. Writes at most size
 * bytes to out, at least one, and returns how many: where that is size, there may be more, even if *len is 0. Or
 * WS_ERROR_PROTOCOL: this is no DEFLATE data, not all of it, or it refers to what has left the window that was agreed
 * on; or WS_ERROR_MEMORY. After an error only ws_deflate_free may follow.
 */
long ws_deflate_inflate(struct ws_deflate *d, const uint8_t **data, size_t *len, bool last, uint8_t *out, size_t size);

#pragma GCC visibility pop

#endif
