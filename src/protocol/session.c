/* Turns the pieces of frames into messages, control frames and failures, one at a time. */
#include "protocol/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/code.h"
#include "protocol/mask.h"

enum {
	ASSEMBLY_MORE = 4096,         /* beyond twice what has come, of which a frame's head may have been a part */
	ASSEMBLY_SPARE = 1024 * 1024, /* a larger one is freed after its message rather than kept for the next */
	SCRATCH_LEAST = 4096,
	PART_INPUT = 512,             /* compressed bytes that are looked at together: they become 516 KiB at most */
	PART_ENOUGH = 64 * 1024       /* a part that has grown so long is told of before more of it is inflated */
};

struct ws_assembly {
	size_t len, capacity;
	uint8_t data[];
};

static void assembly_release(struct ws_session *s)
{
	struct ws_assembly *a = s->assembly;
	struct ws_session_pool *pool = s->options->pool;
	s->assembly = NULL;
	s->delivered = false;
	if (!a)
		return;
	if (pool->assembly || a->capacity > ASSEMBLY_SPARE) {
		free(a);
		return;
	}
	a->len = 0;
	pool->assembly = a;
}

/*
 * Makes room for so many bytes more: for what has come, never on the word of an announced length; that, as the most
 * that it can become, only bounds how far ahead of what has come the room grows.
 */
static int assembly_reserve(struct ws_session *s, size_t len, uint64_t most)
{
	if (!s->assembly) {
		s->assembly = s->options->pool->assembly;
		s->options->pool->assembly = NULL;
	}
	struct ws_assembly *a = s->assembly;
	size_t used = a ? a->len : 0, capacity = a ? a->capacity : 0;
	if (capacity - used < len) {
		size_t needed = used + len, wanted = needed * 2 + ASSEMBLY_MORE;
		if (wanted > ASSEMBLY_SPARE && needed <= ASSEMBLY_SPARE)
			wanted = ASSEMBLY_SPARE;
		if (wanted > most)
			wanted = (size_t)most;
		if (wanted < needed)
			wanted = needed;
		a = realloc(a, sizeof *a + wanted);
		if (!a)
			return WS_ERROR_MEMORY;
		a->len = used;
		a->capacity = wanted;
		s->assembly = a;
	}
	return 0;
}

static int assembly_append(struct ws_session *s, const uint8_t *data, size_t len, uint64_t most)
{
	int e = assembly_reserve(s, len, most);
	if (e)
		return e;
	uint8_t *end = s->assembly->data + s->assembly->len;
	if (data != end) /* else it was received there */
		memcpy(end, data, len);
	s->assembly->len += len;
	return 0;
}

const uint8_t *ws_session_pool_mask(struct ws_session_pool *pool, const void *data, size_t len, const uint8_t key[4])
{
	if (len > pool->scratch_size || pool->scratch_size > ASSEMBLY_SPARE) {
		free(pool->scratch);
		pool->scratch_size = len > SCRATCH_LEAST ? len : SCRATCH_LEAST;
		pool->scratch = malloc(pool->scratch_size);
		if (!pool->scratch) {
			pool->scratch_size = 0;
			return NULL;
		}
	}
	memcpy(pool->scratch, data, len);
	ws_mask_xor(pool->scratch, len, key, 0);
	return pool->scratch;
}

void ws_session_pool_clear(struct ws_session_pool *pool)
{
	ws_frame_pool_clear(&pool->frames);
	ws_deflate_pool_clear(&pool->deflate);
	ws_handshake_digest_clear(&pool->digest);
	free(pool->assembly);
	free(pool->scratch);
	*pool = (struct ws_session_pool){ .assembly = NULL };
}

void ws_session_init(struct ws_session *s, enum ws_role role, const struct ws_session_options *options)
{
	*s = (struct ws_session){ .options = options, .limit = options->max_message };
	s->closing.role = (uint8_t)role;
}

int ws_session_agree(struct ws_session *s, const struct ws_deflate_parameters *agreed, int level)
{
	s->parameters = *agreed;
	if (agreed->agreed)
		s->deflate = ws_deflate_new(&s->options->pool->deflate, (enum ws_role)s->closing.role, agreed, level);
	return agreed->agreed && !s->deflate ? WS_ERROR_MEMORY : 0;
}

void ws_session_clear(struct ws_session *s)
{
	ws_frame_drop(&s->reader);
	ws_deflate_free(s->deflate);
	s->deflate = NULL;
	assembly_release(s);
}

static int fail(struct ws_session_event *event, unsigned code, const char *why)
{
	event->type = WS_SESSION_FAILURE;
	event->code = code;
	if (why != event->why)
		snprintf(event->why, sizeof event->why, "%s", why);
	event->data = (const uint8_t *)event->why;
	event->len = strlen(event->why);
	return 0;
}

static size_t message_len(const struct ws_session *s)
{
	return s->assembly ? s->assembly->len : 0;
}

static int fail_too_big(const struct ws_session *s, struct ws_session_event *event, bool at_least, uint64_t size)
{
	snprintf(event->why, sizeof event->why, "message of %s%" PRIu64 " bytes is over the limit of %" PRIu64,
	         at_least ? "at least " : "", s->told + size, s->told + s->limit);
	return fail(event, WS_CODE_MESSAGE_TOO_BIG, event->why);
}

static void message_start(struct ws_session *s, const struct ws_frame *frame)
{
	s->opcode = frame->opcode;
	s->compressed = frame->compressed;
	s->utf8 = (struct ws_utf8){ 0 };
}

/*
 * Section 5.4, and the limit, which holds for what is announced as well as for the sum of the fragments; of a
 * compressed message it counts what is inflated. True: it has failed.
 */
static inline bool data_frame_fails(struct ws_session *s, const struct ws_frame *frame, struct ws_session_event *event)
{
	if (frame->opcode == WS_CONTINUATION && !s->opcode)
		return !fail(event, WS_CODE_PROTOCOL_ERROR, "a continuation frame continues no message");
	if (frame->opcode != WS_CONTINUATION && s->opcode)
		return !fail(event, WS_CODE_PROTOCOL_ERROR, "a new message begins inside an unfinished one");
	if (frame->opcode != WS_CONTINUATION)
		message_start(s, frame);
	if (frame->length > s->limit - message_len(s) && !s->compressed)
		return !fail_too_big(s, event, !frame->fin, message_len(s) + frame->length);
	return false;
}

/* False: a text ends inside a character. */
static inline bool message_over(struct ws_session *s, struct ws_session_event *event)
{
	bool whole = s->opcode != WS_TEXT || ws_utf8_complete(&s->utf8);
	s->opcode = 0;
	if (!whole)
		fail(event, WS_CODE_INVALID_DATA, "a text message ends inside a UTF-8 character");
	return whole;
}

/* The message is whole: in the assembly if any of it had to be kept, else in the piece itself. */
static int message_end(struct ws_session *s, const struct ws_piece *piece, enum ws_session_mode mode,
                       struct ws_session_event *event)
{
	event->kind = (enum ws_opcode)s->opcode;
	s->delivered = true;
	if (!message_over(s, event))
		return 0;
	if (mode == WS_SESSION_DISCARD) {
		assembly_release(s);
		return WS_AGAIN;
	}
	event->type = WS_SESSION_MESSAGE;
	event->data = s->assembly ? s->assembly->data : piece->data;
	event->len = s->assembly ? s->assembly->len : piece->len;
	return 0;
}

/* Some of a message, or its end: what was inflated, or kept before parts were asked for; else the piece itself. */
static int part_end(struct ws_session *s, const struct ws_piece *piece, bool last, enum ws_session_mode mode,
                    struct ws_session_event *event)
{
	bool wanted = mode != WS_SESSION_DISCARD && !s->skipped;
	event->kind = (enum ws_opcode)s->opcode;
	event->last = last;
	event->data = s->assembly ? s->assembly->data : piece->data;
	event->len = s->assembly ? s->assembly->len : piece->len;
	s->told += event->len;
	s->limit -= event->len;
	s->delivered = true;
	if (last && !message_over(s, event))
		return 0;
	if (last) {
		s->in_parts = s->skipped = false;
		s->told = 0;
		s->limit = s->options->max_message;
	}
	if (!wanted || (event->len == 0 && !last)) {
		assembly_release(s);
		return WS_AGAIN;
	}
	event->type = WS_SESSION_PART;
	return 0;
}

static int fail_text(struct ws_session_event *event)
{
	return fail(event, WS_CODE_INVALID_DATA, "a text message is not valid UTF-8");
}

/* Inflates into the assembly's room, at most one byte more than a message may have. Returns as ws_deflate_inflate. */
static long inflate_some(struct ws_session *s, const uint8_t **data, size_t *len, bool last, size_t *room)
{
	uint64_t left = s->limit - message_len(s);
	int e = assembly_reserve(s, 1, s->limit);
	if (e)
		return e;
	struct ws_assembly *a = s->assembly;
	*room = a->capacity - a->len > left ? (size_t)left + 1 : a->capacity - a->len;
	return ws_deflate_inflate(s->deflate, data, len, last, a->data + a->len, *room);
}

/*
 * RFC 7692 section 6.2. What unfolds without end is cut at the limit, however little of it has come. Returns WS_AGAIN
 * where all is well. Inlined it would take registers from the path of plain messages.
 */
__attribute__((noinline))
static int take_compressed(struct ws_session *s, const struct ws_piece *piece, bool last,
                           struct ws_session_event *event)
{
	const uint8_t *data = piece->data;
	size_t len = piece->len, room = 0;
	long n;
	do {
		n = inflate_some(s, &data, &len, last, &room);
		if (n == WS_ERROR_PROTOCOL)
			return fail(event, WS_CODE_INVALID_DATA, "a compressed message cannot be inflated");
		if (n < 0)
			return (int)n;
		if (s->opcode == WS_TEXT && !ws_utf8_feed(&s->utf8, s->assembly->data + s->assembly->len, (size_t)n))
			return fail_text(event);
		s->assembly->len += (size_t)n;
		if (message_len(s) > s->limit)
			return fail_too_big(s, event, true, message_len(s));
	} while ((size_t)n == room);
	return WS_AGAIN;
}

/* The same. What is told of right afterwards need not be kept: a message that came in one piece, or a part. */
static inline int take_plain(struct ws_session *s, const struct ws_frame *frame, const struct ws_piece *piece,
                             bool keep, struct ws_session_event *event)
{
	if (s->opcode == WS_TEXT && !ws_utf8_feed(&s->utf8, piece->data, piece->len))
		return fail_text(event);
	if (piece->len == 0 || (!s->assembly && !keep))
		return WS_AGAIN;
	uint64_t come = message_len(s) + piece->len;
	int e = assembly_append(s, piece->data, piece->len, frame->fin ? come + frame->length - frame->received : s->limit);
	return e ? e : WS_AGAIN;
}

/* Returns WS_AGAIN where there is nothing to tell yet. */
static int take_data(struct ws_session *s, const struct ws_frame *frame, const struct ws_piece *piece,
                     enum ws_session_mode mode, struct ws_session_event *event)
{
	bool last = piece->last && frame->fin;
	if (piece->first && data_frame_fails(s, frame, event))
		return 0;
	int e = s->compressed ? take_compressed(s, piece, last, event) : take_plain(s, frame, piece, !last, event);
	return e == WS_AGAIN && last ? message_end(s, piece, mode, event) : e;
}

/* The same of a message that is told of in parts. more: there is more input. */
static int take_part(struct ws_session *s, const struct ws_frame *frame, const struct ws_piece *piece, bool more,
                     enum ws_session_mode mode, struct ws_session_event *event)
{
	bool last = piece->last && frame->fin;
	if (piece->first && data_frame_fails(s, frame, event))
		return 0;
	int e = s->compressed ? take_compressed(s, piece, last, event) : take_plain(s, frame, piece, false, event);
	if (e != WS_AGAIN)
		return e;
	if (s->compressed && more && !piece->last && message_len(s) < PART_ENOUGH)
		return WS_AGAIN;
	return part_end(s, piece, last, mode, event);
}

/* Section 5.5.1 and 7.4. */
static int take_close(const uint8_t *data, size_t len, struct ws_session_event *event)
{
	if (len == 1)
		return fail(event, WS_CODE_PROTOCOL_ERROR, "a Close frame has half a status code");
	event->type = WS_SESSION_CLOSE;
	event->code = len ? (unsigned)data[0] << 8 | data[1] : WS_CODE_NO_STATUS;
	event->data = len ? data + 2 : data;
	event->len = len ? len - 2 : 0;
	if (len && !ws_code_on_wire(event->code)) {
		snprintf(event->why, sizeof event->why, "a Close frame has the code %u, which may not be sent", event->code);
		return fail(event, WS_CODE_PROTOCOL_ERROR, event->why);
	}
	if (!ws_utf8_valid(event->data, event->len))
		return fail(event, WS_CODE_INVALID_DATA, "a Close frame's reason is not valid UTF-8");
	return 0;
}

static int take_control(const struct ws_frame *frame, const uint8_t *data, size_t len, struct ws_session_event *event)
{
	if (frame->opcode == WS_CLOSE)
		return take_close(data, len, event);
	event->type = frame->opcode == WS_PING ? WS_SESSION_PING : WS_SESSION_PONG;
	event->data = data;
	event->len = len;
	return 0;
}

/*
 * The kind of the message whose bytes come next, in a data frame under way or the head of one; 0: none that could be
 * told of.
 */
static unsigned message_next(const struct ws_session *s, const uint8_t *data)
{
	unsigned opcode = s->reader ? ws_frame_opcode(s->reader) : data[0] & 0x0f;
	if (opcode > WS_BINARY || s->skipped)
		return 0;
	return s->opcode ? s->opcode : opcode;
}

static inline int read_frame(struct ws_session *s, uint8_t **data, size_t *len, struct ws_frame *frame,
                             struct ws_piece *piece)
{
	return ws_frame_read(&s->options->pool->frames, &s->reader, (enum ws_role)s->closing.role, s->deflate, data, len, frame,
	                     piece);
}

static int fail_frame(struct ws_session_event *event, const struct ws_piece *piece, int error)
{
	return error == WS_ERROR_PROTOCOL ? fail(event, WS_CODE_PROTOCOL_ERROR, piece->why) : error;
}

/*
 * Takes a piece of a frame. Returns WS_AGAIN where there is nothing to tell yet: also where it is a head or a control
 * frame of which more is to come.
 */
static int take_frame(struct ws_session *s, enum ws_session_mode mode, uint8_t **data, size_t *len,
                      struct ws_session_event *event)
{
	struct ws_frame frame;
	struct ws_piece piece;
	int e = read_frame(s, data, len, &frame, &piece);
	if (e)
		return fail_frame(event, &piece, e);
	return frame.opcode <= WS_BINARY ? take_data(s, &frame, &piece, mode, event)
	                                 : take_control(&frame, piece.data, piece.len, event);
}

/*
 * The same while a message is told of in parts. Of one that may be compressed no more is read than can be inflated at
 * once. Not inlined for the same reason as take_compressed.
 */
__attribute__((noinline))
static int take_frame_in_parts(struct ws_session *s, enum ws_session_mode mode, uint8_t **data, size_t *len,
                               struct ws_session_event *event)
{
	struct ws_frame frame;
	struct ws_piece piece;
	bool bounded = s->deflate && (s->compressed || !s->opcode) && *len > PART_INPUT;
	size_t rest = bounded ? *len - PART_INPUT : 0;
	*len -= rest;
	int e = read_frame(s, data, len, &frame, &piece);
	*len += rest;
	if (e)
		return fail_frame(event, &piece, e);
	return frame.opcode <= WS_BINARY ? take_part(s, &frame, &piece, *len > 0, mode, event)
	                                 : take_control(&frame, piece.data, piece.len, event);
}

/* Section 5.2: FIN is set, and it is no control frame. */
bool ws_session_ends_message(const struct ws_session *s, uint8_t first)
{
	return !s->reader && !s->in_parts && (first & 0x88) == 0x80;
}

void ws_session_stream(struct ws_session *s, uint64_t limit)
{
	s->in_parts = true;
	s->limit = limit > message_len(s) ? limit : message_len(s); /* what has come has come */
}

void ws_session_skip(struct ws_session *s)
{
	s->skipped = s->in_parts;
}

void ws_session_done(struct ws_session *s)
{
	if (s->delivered)
		assembly_release(s);
}

size_t ws_session_room(const struct ws_session *s, uint8_t **room)
{
	struct ws_assembly *a = s->assembly;
	if (!a || !s->reader || s->compressed || s->in_parts)
		return 0;
	uint64_t rest = ws_frame_rest(s->reader);
	size_t left = a->capacity - a->len;
	*room = a->data + a->len;
	return left < rest ? left : (size_t)rest;
}

int ws_session_next(struct ws_session *s, enum ws_session_mode mode, uint8_t **data, size_t *len,
                    struct ws_session_event *event)
{
	ws_session_done(s);
	while (*len > 0) {
		unsigned kind = mode == WS_SESSION_HOLD ? message_next(s, *data) : 0;
		if (kind) {
			event->type = WS_SESSION_HELD;
			event->kind = (enum ws_opcode)kind;
			return 0;
		}
		int e = s->in_parts ? take_frame_in_parts(s, mode, data, len, event) : take_frame(s, mode, data, len, event);
		if (e != WS_AGAIN)
			return e;
	}
	return WS_AGAIN;
}

/* The length of the longest prefix of at most max bytes that doesn't end inside a character. */
static size_t whole_characters(const char *text, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max > 0 && ((unsigned char)text[max] & 0xC0) == 0x80)
		max--;
	return max;
}

size_t ws_session_close_payload(uint8_t payload[WS_CONTROL_PAYLOAD], unsigned code, const char *reason, size_t len)
{
	if (code == WS_CODE_NO_STATUS)
		return 0;
	len = whole_characters(reason, len, WS_REASON_SIZE);
	payload[0] = (uint8_t)(code >> 8);
	payload[1] = (uint8_t)code;
	if (len)
		memcpy(payload + 2, reason, len);
	return len + 2;
}
