/* What waits to be sent on one transport: bytes of its own, and payloads that other transports wait with as well. */
#ifndef WS_NET_OUTPUT_H
#define WS_NET_OUTPUT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#pragma GCC visibility push(hidden)

struct ws_loop;
struct ws_chunk;

/* Of at least so many bytes a payload is shared: of fewer a copy costs no more than what points to them. */
enum { WS_SHARE_SIZE = 4096 };

/* A payload that goes to many. Counted. */
struct ws_shared {
	size_t references, len;
	uint8_t bytes[];
};

/* A copy of data, the caller's to release; NULL: out of memory. */
struct ws_shared *ws_shared_new(const void *data, size_t len);
void ws_shared_release(struct ws_shared *shared);

/* What the outputs that the same bytes go to have in common. All zero: nothing yet. */
struct ws_common {
	struct ws_shared *copy; /* of the last part, for those in which it waits; held; NULL: nobody has needed it yet */
	const uint8_t *batched; /* where all of it is in the loop's batch, while that is filled for the filling-th time */
	size_t size;
	uint64_t filling;
};

/* All zero: empty. Fields are for reading only. */
struct ws_output {
	union {
		struct ws_chunk *last;   /* its next is the first; NULL: empty */
		const uint8_t *borrowed; /* where all of it is, if that is in the loop's batch */
	};
	size_t size; /* bytes */
};

/* Room at the end for len bytes, which are part of it already. NULL: out of memory. */
uint8_t *ws_output_reserve(struct ws_output *o, struct ws_loop *loop, size_t len);

/* Copies the parts, but for their first skip bytes, to the end. All or nothing: 0 or WS_ERROR_MEMORY. */
int ws_output_append(struct ws_output *o, struct ws_loop *loop, const struct iovec *parts, int count, size_t skip);

/*
 * The same, but the last part is not copied if what is left of it is long enough: common->copy is held, which is made
 * where there is none; then it is the caller's to release.
 */
int ws_output_share(struct ws_output *o, struct ws_loop *loop, const struct iovec *parts, int count, size_t skip,
                    struct ws_common *common);

/*
 * The same for parts, of at least one byte, that are to be sent in this turn: they are copied to the loop's batch, once for
 * all outputs, and from there only where not all is taken at once, or something else follows.
 */
int ws_output_borrow(struct ws_output *o, struct ws_loop *loop, const struct iovec *parts, int count,
                     struct ws_common *common);

/* Fills in the first parts of it, at most so many, and their size. Returns how many these are. */
int ws_output_parts(const struct ws_output *o, const struct ws_loop *loop, struct iovec *parts, int most, size_t *size);

/* Takes len bytes off the front: no more than there are. */
void ws_output_consume(struct ws_output *o, struct ws_loop *loop, size_t len);

#pragma GCC visibility pop

#endif
