/*
 * wslay decodes heads, checks minimal lengths and control frames, and counts payload. It doesn't see the MASK bit, the
 * key or the payload's bytes: it would unmask byte by byte (1.1 GB/s), and copy. What we send is no more than a head.
 */
#include "protocol/frame.h"

#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <wslay/wslay.h>

#include "protocol/code.h"
#include "protocol/mask.h"

enum {
	POOLED_READERS = 64 /* what as many peers as can be in mid-frame at once usually need: 280 KiB */
};

struct ws_frame_reader {
	struct ws_frame_reader *next;
	struct wslay_frame_context *wslay;
	struct ws_frame frame;
	bool decoded;        /* the head has come; payload is what follows */
	bool masked;
	uint8_t key[4];
	uint8_t head[WS_FRAME_HEAD_SIZE]; /* as it comes in, where it does so in several pieces */
	size_t have;         /* bytes of it */
	const uint8_t *give; /* head bytes that wslay may take */
	size_t give_len;
	size_t given;        /* head bytes that wslay has taken */
	uint64_t credit;     /* payload bytes that wslay may count */
	uint64_t counted;    /* payload bytes that wslay has been told of */
	uint8_t control[WS_CONTROL_PAYLOAD]; /* a control frame's payload that came in several pieces */
};

/* Gives wslay the head's bytes, without the MASK bit; of the payload it only gets to know how many there are. */
static ssize_t reader_recv(uint8_t *buf, size_t len, int flags, void *user_data)
{
	struct ws_frame_reader *r = user_data;
	(void)flags;
	size_t head = r->give_len, payload = r->credit < len - head ? (size_t)r->credit : len - head;
	memcpy(buf, r->give, head);
	if (r->given == 0)
		buf[1] &= 0x7f;
	r->given += head;
	r->give_len = 0;
	r->credit -= payload;
	return head + payload > 0 ? (ssize_t)(head + payload) : -1;
}

static struct ws_frame_reader *reader_new(void)
{
	static const struct wslay_frame_callbacks callbacks = { .recv_callback = reader_recv };
	struct ws_frame_reader *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	if (wslay_frame_context_init(&r->wslay, &callbacks, r) != 0) {
		free(r);
		return NULL;
	}
	return r;
}

static void reader_free(struct ws_frame_reader *r)
{
	wslay_frame_context_free(r->wslay);
	free(r);
}

static struct ws_frame_reader *pool_take(struct ws_frame_pool *pool)
{
	struct ws_frame_reader *r = pool->free;
	if (r) {
		pool->free = r->next;
		pool->count--;
	} else {
		r = reader_new();
	}
	if (r) {
		r->decoded = false;
		r->have = r->given = 0;
	}
	return r;
}

/* What is given back stays, for its control frame may still be looked at: of too many another one goes. */
static void pool_give(struct ws_frame_pool *pool, struct ws_frame_reader *r)
{
	struct ws_frame_reader *surplus = pool->free;
	r->next = surplus;
	pool->free = r;
	if (pool->count < POOLED_READERS) {
		pool->count++;
		return;
	}
	r->next = surplus->next;
	reader_free(surplus);
}

/* Where the head's length ends, as its first two bytes say, and where the head does. */
static size_t length_end(const uint8_t head[2])
{
	unsigned length = head[1] & 0x7f;
	return length < 126 ? 2 : length == 126 ? 4 : 10;
}

static size_t head_end(const uint8_t head[2])
{
	return length_end(head) + (head[1] & 0x80 ? 4 : 0);
}

/* As much of the head as has come, where it came in or gathered from several pieces. */
static const uint8_t *collect(struct ws_frame_reader *r, uint8_t **data, size_t *len, size_t *have)
{
	const uint8_t *head = *data;
	if (r->have == 0 && *len >= 2 && *len >= head_end(head)) {
		*have = head_end(head);
		*data += *have;
		*len -= *have;
		return head;
	}
	while (*len > 0 && (r->have < 2 || r->have < head_end(r->head))) {
		r->head[r->have++] = *(*data)++;
		--*len;
	}
	*have = r->have;
	return r->head;
}

/* RSV1 may be set where compression was agreed on, on a message's first frame (RFC 7692 section 6). */
static const char *reserved_bits_wrong(uint8_t first, bool deflate)
{
	unsigned opcode = first & 0x0f;
	if (!deflate)
		return "a reserved bit is set, but no extension was agreed on";
	if ((first & 0x70) == WS_RSV1 && (opcode == WS_TEXT || opcode == WS_BINARY))
		return NULL;
	return "a reserved bit is set that is not compression's, or not on a message's first frame";
}

/* The rules of section 5.2 that wslay's frame layer leaves to its user. NULL: none is broken. */
static const char *first_bytes_wrong(const uint8_t bytes[2], enum ws_role role, bool deflate)
{
	unsigned opcode = bytes[0] & 0x0f;
	const char *why = bytes[0] & 0x70 ? reserved_bits_wrong(bytes[0], deflate) : NULL;
	if (why)
		return why;
	if ((opcode > WS_BINARY && opcode < WS_CLOSE) || opcode > WS_PONG)
		return "a frame has a reserved opcode";
	if (role == WS_SERVER && !(bytes[1] & 0x80))
		return "a frame from the client is not masked";
	if (role == WS_CLIENT && (bytes[1] & 0x80))
		return "a frame from the server is masked";
	return NULL;
}

static const char *decoding_error(const uint8_t head[2])
{
	return (head[0] & 0x0f) >= WS_CLOSE ? "a control frame is fragmented or longer than 125 bytes"
	                                    : "a frame's length is not encoded in the shortest form or is over 2^63-1";
}

/*
 * Hands wslay what has come of the head before the key, so that it can refuse it, and some of the payload on credit:
 * a short one, or a byte of a longer one, for then wslay tells the whole head.
 */
static int decode(struct ws_frame_reader *r, const uint8_t *head, size_t have, size_t end)
{
	struct wslay_frame_iocb iocb;
	if (r->given == end)
		return 0;
	r->give = head + r->given;
	r->give_len = (have < end ? have : end) - r->given;
	r->credit = have < end ? 0 : end == 2 ? head[1] & 0x7f : 1;
	ssize_t n = wslay_frame_recv(r->wslay, &iocb);
	if (n == WSLAY_ERR_WANT_READ) /* the length is still to come */
		return 0;
	if (n < 0)
		return WS_ERROR_PROTOCOL;
	r->frame = (struct ws_frame){
		.length = iocb.payload_length, .opcode = iocb.opcode, .fin = iocb.fin, .compressed = iocb.rsv != 0,
	};
	r->counted = (uint64_t)n;
	r->credit = 0;
	return 0;
}

/* 0 once the head is complete. */
static int read_head(struct ws_frame_reader *r, enum ws_role role, bool deflate, uint8_t **data, size_t *len,
                     struct ws_piece *piece)
{
	size_t have;
	const uint8_t *head = collect(r, data, len, &have);
	if (have < 2)
		return WS_AGAIN;
	size_t end = length_end(head), size = head_end(head);
	piece->why = first_bytes_wrong(head, role, deflate);
	if (!piece->why && decode(r, head, have, end) != 0)
		piece->why = decoding_error(head);
	if (piece->why)
		return WS_ERROR_PROTOCOL;
	if (have < size)
		return WS_AGAIN;
	r->decoded = true;
	r->masked = size > end;
	if (r->masked)
		memcpy(r->key, head + end, sizeof r->key);
	return 0;
}

/* Lets wslay count what came, less what it had on credit. */
static int count(struct ws_frame_reader *r)
{
	struct wslay_frame_iocb iocb;
	if (r->frame.received <= r->counted)
		return 0;
	r->credit = r->frame.received - r->counted;
	r->counted = r->frame.received;
	while (r->credit > 0)
		if (wslay_frame_recv(r->wslay, &iocb) < 0)
			return WS_ERROR_PROTOCOL;
	return 0;
}

/* A control frame is told of when it is whole. */
static int gather_control(struct ws_frame_reader *r, struct ws_piece *piece)
{
	if (piece->len == r->frame.length)
		return 0;
	memcpy(r->control + r->frame.received - piece->len, piece->data, piece->len);
	piece->data = r->control;
	piece->len = (size_t)r->frame.length;
	return piece->last ? 0 : WS_AGAIN;
}

static int read_payload(struct ws_frame_reader *r, uint8_t **data, size_t *len, struct ws_piece *piece)
{
	uint64_t left = r->frame.length - r->frame.received;
	size_t n = left < *len ? (size_t)left : *len;
	if (r->masked)
		ws_mask_xor(*data, n, r->key, (size_t)(r->frame.received & 3));
	piece->data = *data;
	piece->len = n;
	r->frame.received += n;
	piece->last = r->frame.received == r->frame.length;
	*data += n;
	*len -= n;
	int e = count(r);
	return e || r->frame.opcode < WS_CLOSE ? e : gather_control(r, piece);
}

int ws_frame_read(struct ws_frame_pool *pool, struct ws_frame_reader **reader, enum ws_role role, bool deflate,
                  uint8_t **data, size_t *len, struct ws_frame *frame, struct ws_piece *piece)
{
	*piece = (struct ws_piece){ .why = NULL };
	if (*len == 0)
		return WS_AGAIN;
	if (!*reader && !(*reader = pool_take(pool)))
		return WS_ERROR_MEMORY;
	struct ws_frame_reader *r = *reader;
	piece->first = !r->decoded;
	int e = r->decoded ? 0 : read_head(r, role, deflate, data, len, piece);
	if (e)
		return e;
	e = read_payload(r, data, len, piece);
	*frame = r->frame;
	if (!e && piece->last) {
		pool_give(pool, r);
		*reader = NULL;
	}
	return e;
}

uint8_t ws_frame_opcode(const struct ws_frame_reader *reader)
{
	return reader->decoded ? reader->frame.opcode : reader->head[0] & 0x0f;
}

uint64_t ws_frame_rest(const struct ws_frame_reader *r)
{
	return r->decoded && r->frame.opcode < WS_CLOSE ? r->frame.length - r->frame.received : 0;
}

void ws_frame_drop(struct ws_frame_reader **reader)
{
	if (*reader)
		reader_free(*reader);
	*reader = NULL;
}

size_t ws_frame_head(uint8_t head[WS_FRAME_HEAD_SIZE], unsigned opcode, bool fin, uint64_t length, const uint8_t *key)
{
	size_t size = ws_frame_head_size(length, false);
	head[0] = (uint8_t)(opcode | (fin ? 0x80 : 0));
	head[1] = (uint8_t)((size == 2 ? length : size == 4 ? 126 : 127) | (key ? 0x80 : 0));
	for (size_t at = size; at > 2; length >>= 8)
		head[--at] = (uint8_t)length;
	if (!key)
		return size;
	memcpy(head + size, key, 4);
	return size + 4;
}

void ws_frame_pool_clear(struct ws_frame_pool *pool)
{
	while (pool->free) {
		struct ws_frame_reader *r = pool->free;
		pool->free = r->next;
		reader_free(r);
	}
	pool->count = 0;
}
