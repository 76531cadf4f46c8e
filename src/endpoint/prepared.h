/* A message for many: framed once, and compressed once for all who compress alike. */
#ifndef WS_ENDPOINT_PREPARED_H
#define WS_ENDPOINT_PREPARED_H

#include "net/output.h"
#include "protocol/session.h"

#pragma GCC visibility push(hidden)

/* As a server sends it: nothing is masked. */
struct ws_prepared_frame {
	struct ws_prepared_frame *next;
	const void *data; /* payload */
	size_t len;
	unsigned opcode;   /* perhaps with WS_RSV1 */
	unsigned likeness; /* of ws_deflate_likeness: for whom it is */
	struct ws_common common;  /* what those whom it is sent to share */
	uint8_t head_size, head[WS_FRAME_HEAD_SIZE];
};

/* Fields are for reading only. All zero: cleared. */
struct ws_prepared {
	struct ws_prepared_frame plain;
	struct ws_prepared_frame *compressed; /* one for each way in which it has been compressed; owned */
	struct ws_prepared_copy *copy;        /* NULL: it has not been asked for; held */
};

/* One with data of its own. Counted. */
struct ws_prepared_copy {
	struct ws_prepared message;
	size_t references;
	char data[];
};

/* data is the caller's, and must outlive it. */
void ws_prepared_init(struct ws_prepared *p, enum ws_opcode kind, const void *data, size_t len);

void ws_prepared_clear(struct ws_prepared *p);

/* The frame for who compresses so, without takeover; the plain one where it cannot be compressed. */
struct ws_prepared_frame *ws_prepared_compressed(struct ws_prepared *p, struct ws_deflate *deflate);

/* A copy that outlives it, the same for all who ask. The caller's to release. NULL: out of memory. */
struct ws_prepared_copy *ws_prepared_copy(struct ws_prepared *p);
void ws_prepared_release(struct ws_prepared_copy *copy);

#pragma GCC visibility pop

#endif
