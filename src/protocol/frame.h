/* One frame in, one frame out (RFC 6455 section 5.2), on wslay's frame state machine. */
#ifndef WS_PROTOCOL_FRAME_H
#define WS_PROTOCOL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/closing.h"

#pragma GCC visibility push(hidden)

enum ws_opcode {
	WS_CONTINUATION = 0x0,
	WS_TEXT = 0x1,
	WS_BINARY = 0x2,
	WS_CLOSE = 0x8,
	WS_PING = 0x9,
	WS_PONG = 0xA
};

enum {
	WS_RSV1 = 0x40,            /* or'ed to the opcode of a compressed message's first frame (RFC 7692 section 6) */
	WS_FRAME_HEAD_SIZE = 14,   /* 2 bytes, 8 of length, 4 of masking key */
	WS_CONTROL_PAYLOAD = 125   /* section 5.5 */
};

/* The frame that is being received. */
struct ws_frame {
	uint64_t length, received; /* payload bytes announced and seen */
	uint8_t opcode;
	bool fin;
	bool compressed; /* the first one of a compressed message */
};

/*
 * What one call found: the head of a frame and as much of its payload as there was, unmasked in place. A control
 * frame comes whole; its data lives until the next call for any reader of the pool.
 */
struct ws_piece {
	uint8_t *data;
	size_t len;
	bool first;      /* the frame's head came with this piece */
	bool last;       /* the frame is complete */
	const char *why; /* after WS_ERROR_PROTOCOL: static text */
};

/* Holds wslay's 4.3 KiB of state while a frame is under way. */
struct ws_frame_reader;

/*
 * Readers of one thread's connections. A connection between two frames has none, so idle ones need none. All zero:
 * empty.
 */
struct ws_frame_pool {
	struct ws_frame_reader *free;
	size_t count;
};

/* Frees what the pool holds; every reader must have been given back. */
void ws_frame_pool_clear(struct ws_frame_pool *pool);

/*
 * Goes on with the frame under way, or starts one where *reader is NULL; advances *data and *len over what it used.
 * Returns 0 with a piece, WS_AGAIN where the head isn't complete, WS_ERROR_PROTOCOL (never call again, but
 * ws_frame_drop) or WS_ERROR_MEMORY. An announced length comes with the head, as a piece of no bytes if need be.
 * After the last piece *reader is NULL again. frame tells the head that the piece belongs to. role is ours; deflate:
 * messages may be compressed.
 */
int ws_frame_read(struct ws_frame_pool *pool, struct ws_frame_reader **reader, enum ws_role role, bool deflate,
                  uint8_t **data, size_t *len, struct ws_frame *frame, struct ws_piece *piece);

/* The opcode of the frame under way, of which perhaps only the first byte has come. */
uint8_t ws_frame_opcode(const struct ws_frame_reader *reader);

/* How much of a data frame's payload is still to come; 0 where its head is. */
uint64_t ws_frame_rest(const struct ws_frame_reader *reader);

/* Frees a reader in mid-frame or after an error: wslay would take the next bytes for a new frame. NULL is allowed. */
void ws_frame_drop(struct ws_frame_reader **reader);

/* How long the head of a frame of so many payload bytes is. */
static inline size_t ws_frame_head_size(uint64_t length, bool masked)
{
	return (length < 126 ? 2u : length <= UINT16_MAX ? 4u : 10u) + (masked ? 4u : 0u);
}

/*
 * Writes the head of a frame of so many payload bytes; opcode: perhaps with WS_RSV1; key: what the payload is masked
 * with, NULL: it is not. Returns its size.
 */
size_t ws_frame_head(uint8_t head[WS_FRAME_HEAD_SIZE], unsigned opcode, bool fin, uint64_t length, const uint8_t *key);

#pragma GCC visibility pop

#endif
