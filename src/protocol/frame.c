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

enum stage { STAGE_START, STAGE_LENGTH, STAGE_KEY, STAGE_PAYLOAD };

struct ws_frame_reader {
	struct ws_frame_reader *next;
	struct wslay_frame_context *wslay;
	struct ws_frame frame;
	enum stage stage;
	bool masked;
	uint8_t key[4];
	uint8_t opcode;    /* known from the first byte on */
	uint8_t bytes[8];  /* of the present stage, as they come in */
	size_t have, need;
	const uint8_t *give; /* head bytes that wslay may take */
	size_t give_len;
	uint64_t credit;     /* payload bytes that wslay may count */
	uint64_t counted;    /* payload bytes that wslay has been told of */
	uint8_t control[WS_CONTROL_PAYLOAD]; /* a control frame's payload that came in several pieces */
};

/* Gives wslay the head's bytes; of the payload it only gets to know how many there are. */
static ssize_t reader_recv(uint8_t *buf, size_t len, int flags, void *user_data)
{
	struct ws_frame_reader *r = user_data;
	(void)flags;
	if (r->give_len > 0) {
		size_t n = r->give_len < len ? r->give_len : len;
		memcpy(buf, r->give, n);
		r->give += n;
		r->give_len -= n;
		return (ssize_t)n;
	}
	if (r->credit > 0) {
		size_t n = r->credit < len ? (size_t)r->credit : len;
		r->credit -= n;
		return (ssize_t)n;
	}
	return -1;
}

static void reader_start(struct ws_frame_reader *r)
{
	r->stage = STAGE_START;
	r->have = 0;
	r->need = 2;
	r->credit = r->counted = 0;
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
	if (r)
		reader_start(r);
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

/* The bytes of the present stage, where they came in or gathered from several pieces; NULL: not all are there. */
static const uint8_t *collect(struct ws_frame_reader *r, uint8_t **data, size_t *len)
{
	const uint8_t *bytes = *data;
	size_t n = r->need - r->have;
	if (n > *len)
		n = *len;
	if (n < r->need) {
		memcpy(r->bytes + r->have, *data, n);
		bytes = r->bytes;
	}
	if (r->stage == STAGE_START)
		r->opcode = bytes[0] & 0x0f;
	r->have += n;
	*data += n;
	*len -= n;
	return r->have == r->need ? bytes : NULL;
}

static void next_stage(struct ws_frame_reader *r, enum stage stage, size_t need)
{
	r->stage = stage;
	r->have = 0;
	r->need = need;
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

static const char *head_error(const struct ws_frame_reader *r)
{
	return r->stage == STAGE_START ? "a control frame is fragmented or longer than 125 bytes"
	                               : "a frame's length is not encoded in the shortest form or is over 2^63-1";
}

/*
 * Hands wslay the collected bytes, and some of the payload on credit: with one byte of it wslay tells the whole head
 * now, so that an announced length can be judged before any payload came.
 */
static int decode(struct ws_frame_reader *r, const uint8_t *bytes, size_t credit)
{
	struct wslay_frame_iocb iocb;
	r->give = bytes;
	r->give_len = r->need;
	r->credit = credit;
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

static int take_start(struct ws_frame_reader *r, enum ws_role role, bool deflate, const uint8_t *bytes,
                      struct ws_piece *piece)
{
	piece->why = first_bytes_wrong(bytes, role, deflate);
	if (piece->why)
		return WS_ERROR_PROTOCOL;
	const uint8_t unmasked[2] = { bytes[0], bytes[1] & 0x7f };
	size_t length = unmasked[1], key = bytes[1] & 0x80 ? 4 : 0;
	r->masked = key > 0;
	int e = decode(r, unmasked, length < 126 ? length : 0); /* a short payload is counted at once */
	if (e) {
		piece->why = head_error(r);
		return e;
	}
	if (length >= 126)
		next_stage(r, STAGE_LENGTH, length == 126 ? 2 : 8);
	else
		next_stage(r, r->masked ? STAGE_KEY : STAGE_PAYLOAD, key);
	return 0;
}

static int take_length(struct ws_frame_reader *r, const uint8_t *bytes, struct ws_piece *piece)
{
	int e = decode(r, bytes, 1);
	if (e) {
		piece->why = head_error(r);
		return e;
	}
	next_stage(r, r->masked ? STAGE_KEY : STAGE_PAYLOAD, r->masked ? 4 : 0);
	return 0;
}

/* 0 once the head is complete. */
static int read_head(struct ws_frame_reader *r, enum ws_role role, bool deflate, uint8_t **data, size_t *len,
                     struct ws_piece *piece)
{
	while (r->stage != STAGE_PAYLOAD) {
		const uint8_t *bytes = collect(r, data, len);
		if (!bytes)
			return WS_AGAIN;
		int e = 0;
		if (r->stage == STAGE_START)
			e = take_start(r, role, deflate, bytes, piece);
		else if (r->stage == STAGE_LENGTH)
			e = take_length(r, bytes, piece);
		else {
			memcpy(r->key, bytes, 4);
			next_stage(r, STAGE_PAYLOAD, 0);
		}
		if (e)
			return e;
	}
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
	piece->first = r->stage != STAGE_PAYLOAD;
	int e = read_head(r, role, deflate, data, len, piece);
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
	return reader->opcode;
}

void ws_frame_drop(struct ws_frame_reader **reader)
{
	if (*reader)
		reader_free(*reader);
	*reader = NULL;
}

size_t ws_frame_head(uint8_t head[WS_FRAME_HEAD_SIZE], unsigned opcode, bool fin, uint64_t length, const uint8_t *key)
{
	size_t size = length < 126 ? 2 : length <= UINT16_MAX ? 4 : 10;
	head[0] = (uint8_t)((opcode & 0x7f) | (fin ? 0x80 : 0));
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
