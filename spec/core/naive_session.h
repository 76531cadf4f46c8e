/*
 * A peer's bytes read the slow way, the whole stream at once, rule by rule as RFC 6455 and 7692 have them: what
 * sessions are measured by. And a session fed as a connection feeds it. Both keep a log of what they tell.
 */
#ifndef NAIVE_SESSION_H
#define NAIVE_SESSION_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "naive_inflate.h"
#include "naive_utf8.h"
#include "protocol/session.h"

struct log {
	size_t len;
	char text[1 << 16];
};

/* Short data as it is, else its length and a sum of it. */
static inline void log_add(struct log *log, const char *what, unsigned code, const uint8_t *data, size_t len)
{
	uint32_t sum = 2166136261; /* FNV-1a */

	if (log->len + 100 > sizeof log->text)
		return;
	log->len += (size_t)sprintf(log->text + log->len, "%s %u", what, code);
	if (len <= 16) {
		log->len += (size_t)sprintf(log->text + log->len, " (");
		for (size_t i = 0; i < len; i++)
			log->len += (size_t)sprintf(log->text + log->len, data[i] > ' ' && data[i] < 127 ? "%c" : "\\%02x", data[i]);
		log->len += (size_t)sprintf(log->text + log->len, ")\n");
		return;
	}
	for (size_t i = 0; i < len; i++)
		sum = (sum ^ data[i]) * 16777619;
	log->len += (size_t)sprintf(log->text + log->len, " %zu bytes %08x\n", len, sum);
}

/* ---- the naive reader */

/* A session's: whose it is, and what was agreed on. */
struct rules {
	enum ws_role role;
	size_t max_message; /* a compressed one: with room in memory */
	struct ws_deflate_parameters agreed; /* windows of 32 KiB */
};

/* Messages are told of whose last byte is at from <= position < to. */
struct naive {
	struct log *log;
	const struct rules *rules;
	size_t from, to;
	uint8_t *message; /* so far; with room for all that the stream can hold */
	size_t len;
	unsigned opcode;  /* of the message under way; 0: none */
	bool compressed;  /* it is */
	struct naive_inflater inflater;
};

static inline bool naive_fails(struct naive *n, unsigned code)
{
	log_add(n->log, "failure", code, NULL, 0);
	return false;
}

/* Sections 5.5.1 and 7.4. */
static inline bool naive_close(struct naive *n, const uint8_t *payload, size_t len)
{
	const unsigned code = len > 1 ? payload[0] * 256u + payload[1] : 1005;

	if (len == 1)
		return naive_fails(n, 1002);
	if (len > 1 && (code < 1000 || code >= 5000 || (code >= 1004 && code <= 1006) || (code >= 1015 && code < 3000)))
		return naive_fails(n, 1002);
	if (len > 2 && naive_utf8(payload + 2, len - 2) != WHOLE)
		return naive_fails(n, 1007);
	log_add(n->log, "close", code, payload + 2, len > 2 ? len - 2 : 0);
	return false;
}

static inline void naive_tell(struct naive *n, const uint8_t *message, size_t len, size_t end)
{
	if (end > n->from && end <= n->to)
		log_add(n->log, "message", n->opcode, message, len);
	n->opcode = 0;
	n->len = 0;
}

/* RFC 7692 section 7.2.2. The limit ends the inflating; what comes up to there must be right. */
static inline bool naive_compressed(struct naive *n, bool last, bool whole, size_t end)
{
	struct naive_inflater *i = &n->inflater;
	const uint8_t *message = i->bytes + i->before;

	naive_inflate(i, n->message, n->len, last);
	const enum verdict verdict = n->opcode == WS_TEXT ? naive_utf8(message, i->len) : WHOLE;
	if (verdict == BAD)
		return naive_fails(n, 1007);
	if (i->len > n->rules->max_message)
		return naive_fails(n, 1009);
	if (i->broken || (verdict == CUT && last))
		return naive_fails(n, 1007);
	if (!last)
		return whole;
	naive_tell(n, message, i->len, end);
	const struct ws_deflate_parameters *agreed = &n->rules->agreed;
	if (!(n->rules->role == WS_SERVER ? agreed->client_no_context_takeover : agreed->server_no_context_takeover))
		naive_keep(i);
	return true;
}

/* What there is of a data frame's payload, which ends before position end if the frame is whole. */
static inline bool naive_data(struct naive *n, bool fin, bool whole, const uint8_t *payload, size_t len, size_t end)
{
	memcpy(n->message + n->len, payload, len);
	n->len += len;
	if (n->compressed)
		return naive_compressed(n, whole && fin, whole, end);
	const enum verdict verdict = n->opcode == WS_TEXT ? naive_utf8(n->message, n->len) : WHOLE;
	if (verdict == BAD || (verdict == CUT && whole && fin))
		return naive_fails(n, 1007);
	if (!whole || !fin)
		return whole;
	naive_tell(n, n->message, n->len, end);
	return true;
}

/* One frame from position at on; its end in *next. False: nothing can follow, be it a failure or the stream's end. */
static inline bool naive_frame(struct naive *n, const uint8_t *data, size_t size, size_t at, size_t *next)
{
	const bool masked = n->rules->role == WS_SERVER;

	if (size - at < 2)
		return false;
	const bool fin = data[at] >= 0x80;
	const unsigned opcode = data[at] % 16, bits = data[at] / 16 % 8, form = data[at + 1] % 128;
	const unsigned bytes = form == 126 ? 2 : form == 127 ? 8 : 0;
	const bool compressed = n->rules->agreed.agreed && bits == 4 && (opcode == 1 || opcode == 2);
	if ((bits != 0 && !compressed) || (opcode > 2 && opcode < 8) || opcode > 10 || (data[at + 1] >= 0x80) != masked)
		return naive_fails(n, 1002);
	if (opcode >= 8 && (!fin || form > 125))
		return naive_fails(n, 1002);
	at += 2;
	if (size - at < bytes)
		return false;
	uint64_t length = bytes == 0 ? form : 0;
	for (unsigned i = 0; i < bytes; i++)
		length = length * 256 + data[at + i];
	if ((bytes == 2 && length < 126) || (bytes == 8 && (length < 65536 || length > INT64_MAX)))
		return naive_fails(n, 1002);
	at += bytes;
	if (masked && size - at < 4)
		return false;
	const uint8_t *const key = data + at;
	at += masked ? 4 : 0;
	if (opcode < 8 && (opcode == WS_CONTINUATION) != (n->opcode != 0))
		return naive_fails(n, 1002);
	if (opcode == WS_TEXT || opcode == WS_BINARY)
		n->compressed = compressed;
	const size_t max = n->rules->max_message;
	if (opcode < 8 && !n->compressed && (length > max || n->len + length > max))
		return naive_fails(n, 1009);
	const bool whole = length <= size - at;
	const size_t len = whole ? (size_t)length : size - at;
	uint8_t *payload = malloc(len + 1); /* which may be empty */
	for (size_t i = 0; i < len; i++)
		payload[i] = data[at + i] ^ (masked ? key[i % 4] : 0);
	bool more = whole;
	if (opcode == WS_TEXT || opcode == WS_BINARY)
		n->opcode = opcode;
	if (opcode < 8)
		more = naive_data(n, fin, whole, payload, len, at + len);
	else if (whole && opcode == WS_CLOSE)
		more = naive_close(n, payload, len);
	else if (whole)
		log_add(n->log, opcode == WS_PING ? "ping" : "pong", 0, payload, len);
	free(payload);
	*next = at + len;
	return more;
}

/* What is to be told of a stream, if only the messages are wanted that end in (from, to]. */
static inline void naive_session(struct log *log, const struct rules *rules, const uint8_t *data, size_t size,
                                 size_t from, size_t to)
{
	struct naive n = { .log = log, .rules = rules, .from = from, .to = to };

	n.message = malloc(size + 1);
	if (rules->agreed.agreed) {
		n.inflater.room = rules->max_message + 1;
		n.inflater.bytes = malloc(NAIVE_WINDOW + n.inflater.room);
	}
	for (size_t at = 0; naive_frame(&n, data, size, at, &at);)
		;
	free(n.message);
	free(n.inflater.bytes);
}

/* ---- a session that is fed */

struct feeder {
	struct ws_session session;
	struct ws_session_options options;
	struct log *log;
	uint8_t *kept;   /* input that was held back */
	size_t kept_len;
	bool parts;      /* messages are told of in parts, and joined here */
	uint64_t max;    /* bytes of such a message */
	uint8_t *joined;
	size_t joined_len;
	bool over;       /* a Close or a failure was told of */
	const char *wrong; /* what the session did that it may not; NULL: nothing */
	char why[WS_WHY_SIZE];
};

static inline void feeder_init(struct feeder *f, struct ws_session_pool *pool, const struct rules *rules,
                               struct log *log)
{
	*f = (struct feeder){ .options = { pool, rules->max_message }, .log = log, .max = rules->max_message };
	ws_session_init(&f->session, rules->role, &f->options);
	if (ws_session_agree(&f->session, &rules->agreed, 1) != 0)
		f->wrong = "no memory";
}

static inline void feeder_clear(struct feeder *f)
{
	ws_session_clear(&f->session);
	free(f->kept);
	free(f->joined);
	f->kept = f->joined = NULL;
}

/* A part joins those before it; at the message's end it is told of as any other. */
static inline bool feeder_join(struct feeder *f, struct ws_session_event *event)
{
	if (event->len == 0 && !event->last)
		f->wrong = "a part of nothing";
	f->joined = realloc(f->joined, f->joined_len + event->len + 1);
	memcpy(f->joined + f->joined_len, event->data, event->len);
	f->joined_len += event->len;
	event->type = WS_SESSION_MESSAGE;
	event->data = f->joined;
	event->len = f->joined_len;
	if (event->last)
		f->joined_len = 0;
	return event->last;
}

static inline void feeder_tell(struct feeder *f, const struct ws_session_event *event)
{
	static const char *const names[] = { "message", "part", "ping", "pong", "close", "failure" };
	const bool failure = event->type == WS_SESSION_FAILURE;

	log_add(f->log, names[event->type], event->type == WS_SESSION_MESSAGE ? event->kind :
	        event->type == WS_SESSION_CLOSE || failure ? event->code : 0, event->data, failure ? 0 : event->len);
	f->over = event->type == WS_SESSION_CLOSE || failure;
	if (!failure)
		return;
	memcpy(f->why, event->why, sizeof f->why);
	if (event->len == 0 || event->len != strlen(event->why))
		f->wrong = "a failure without its reason";
}

/* Takes all that it can from data; returns how many bytes it left. */
static inline size_t feeder_take(struct feeder *f, enum ws_session_mode mode, uint8_t *data, size_t len)
{
	while (!f->over) {
		struct ws_session_event event = { .type = WS_SESSION_MESSAGE };
		uint8_t *const before = data;
		const size_t len_before = len;
		if (f->parts && !f->session.in_parts)
			ws_session_stream(&f->session, f->max);
		const int result = ws_session_next(&f->session, mode, &data, &len, &event);
		if (data - before != (ptrdiff_t)(len_before - len))
			f->wrong = "data and len have not gone on together";
		if (result == WS_AGAIN && len > 0)
			f->wrong = "more is asked for while there is some left";
		if (result == 0 && event.type == WS_SESSION_HELD && mode != WS_SESSION_HOLD)
			f->wrong = "held, though nobody wanted it";
		if (result == 0 && event.type == WS_SESSION_MESSAGE && mode != WS_SESSION_DELIVER)
			f->wrong = "told of a message that may not be told of";
		if (result != 0 && result != WS_AGAIN)
			f->wrong = "an error without a cause";
		if (result != 0 || event.type == WS_SESSION_HELD || f->wrong)
			break;
		if (event.type == WS_SESSION_PART && mode != WS_SESSION_DELIVER)
			f->wrong = "told of a part that may not be told of";
		if (event.type != WS_SESSION_PART || feeder_join(f, &event))
			feeder_tell(f, &event);
		ws_session_done(&f->session);
	}
	return len;
}

/* Puts bytes into the message's room, as if received there, but no more than are taken there; returns how many. */
static inline size_t feed_room(struct feeder *f, enum ws_session_mode mode, const uint8_t *bytes, size_t len)
{
	uint8_t *room;
	size_t size = f->kept_len > 0 || f->over || mode == WS_SESSION_HOLD ? 0 : ws_session_room(&f->session, &room);

	if (size == 0 || len == 0)
		return 0;
	if (size > ws_frame_rest(f->session.reader))
		f->wrong = "a room for more than the frame has";
	if (size > len)
		size = len;
	memcpy(room, bytes, size);
	if (feeder_take(f, mode, room, size) > 0 && !f->over)
		f->wrong = "what came into the room was not taken";
	return size;
}

/* The next bytes of the stream. They and what was held back lie in memory of just their size. */
static inline void feed(struct feeder *f, enum ws_session_mode mode, const uint8_t *bytes, size_t len)
{
	const size_t in_room = feed_room(f, mode, bytes, len);
	bytes = in_room > 0 ? bytes + in_room : bytes;
	len -= in_room;
	const size_t all = f->kept_len + len;
	uint8_t *input = malloc(all > 0 ? all : 1);

	if (f->kept_len > 0)
		memcpy(input, f->kept, f->kept_len);
	if (len > 0)
		memcpy(input + f->kept_len, bytes, len);
	free(f->kept);
	f->kept_len = feeder_take(f, mode, input, all);
	f->kept = malloc(f->kept_len + 1);
	memcpy(f->kept, input + all - f->kept_len, f->kept_len);
	free(input);
}

#endif
