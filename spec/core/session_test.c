/* Sessions without a socket: frames in, events out, however the bytes are cut (RFC 6455 sections 5 to 8). */
#include "memory.h"

#include "naive_session.h"
#include "protocol/code.h"
#include "unit.h"

enum { ROOM = 4096, LIMIT = 200 };

static struct ws_session_pool pool;
static const struct ws_session_options limited = { &pool, LIMIT };

/* A stream of a client's frames, and what a session told of it: a line per event. */
static uint8_t stream[ROOM];
static size_t stream_len;
static char told[8 * ROOM];

/* ---- a stream */

static void frame(unsigned first, const void *payload, size_t len)
{
	static const uint8_t key[4] = { 0x37, 0xFA, 0x21, 0x3D };
	stream[stream_len++] = (uint8_t)first;
	if (len < 126) {
		stream[stream_len++] = (uint8_t)(0x80 | len);
	} else {
		stream[stream_len++] = 0x80 | 126;
		stream[stream_len++] = (uint8_t)(len >> 8);
		stream[stream_len++] = (uint8_t)len;
	}
	memcpy(stream + stream_len, key, 4);
	stream_len += 4;
	for (size_t i = 0; i < len; i++)
		stream[stream_len++] = ((const uint8_t *)payload)[i] ^ key[i % 4];
}

static void text_frame(unsigned first, const char *payload)
{
	frame(first, payload, strlen(payload));
}

enum { FIN = 0x80 };

/* ---- what is told of it */

static void tell(const struct ws_session_event *ev)
{
	static const char *const names[] = { "message", "part", "ping", "pong", "close", "failure", "held" };
	size_t len = strlen(told);
	int used = snprintf(told + len, sizeof told - len, "%s%s", ev->type == WS_SESSION_PART && ev->last ? "last " : "",
	                    names[ev->type]);
	if (ev->type == WS_SESSION_MESSAGE || ev->type == WS_SESSION_PART)
		used += snprintf(told + len + used, sizeof told - len - (size_t)used, " %u", ev->kind);
	if (ev->type == WS_SESSION_CLOSE || ev->type == WS_SESSION_FAILURE)
		used += snprintf(told + len + used, sizeof told - len - (size_t)used, " %u", ev->code);
	if (ev->type != WS_SESSION_FAILURE && ev->type != WS_SESSION_HELD)
		used += snprintf(told + len + used, sizeof told - len - (size_t)used, " '%.*s'", (int)ev->len,
		                 (const char *)ev->data);
	snprintf(told + len + used, sizeof told - len - (size_t)used, "\n");
}

/* Takes what there is; true once the session has said its last word. */
static bool take(struct ws_session *s, enum ws_session_mode mode, uint8_t **data, size_t *len)
{
	struct ws_session_event ev;
	while (ws_session_next(s, mode, data, len, &ev) == 0) {
		if (ev.type == WS_SESSION_HELD)
			return false;
		tell(&ev);
		ws_session_done(s);
		if (ev.type == WS_SESSION_CLOSE || ev.type == WS_SESSION_FAILURE)
			return true;
	}
	return false;
}

/* Plays the stream in pieces that end where cuts has a bit (NULL: in one piece); where hold has one, a message waits. */
static const char *play(const uint8_t *cuts, bool hold)
{
	uint8_t copy[ROOM];
	struct ws_session s;
	size_t from = 0;
	bool over = false;
	memcpy(copy, stream, stream_len);
	told[0] = '\0';
	ws_session_init(&s, WS_SERVER, &limited);
	for (size_t to = 1; to <= stream_len && !over; to++) {
		if (to < stream_len && !(cuts && cuts[to]))
			continue;
		uint8_t *data = copy + from;
		size_t len = to - from;
		if (hold)
			over = take(&s, WS_SESSION_HOLD, &data, &len);
		if (!over)
			over = take(&s, WS_SESSION_DELIVER, &data, &len);
		from = to - len;
	}
	ws_session_clear(&s);
	return told;
}

static const char *play_whole(void)
{
	return play(NULL, false);
}

/* ---- tests */

static void test_messages(void)
{
	stream_len = 0;
	text_frame(FIN | WS_TEXT, "hello");
	frame(FIN | WS_BINARY, "\xff\x00\x01", 3);
	text_frame(FIN | WS_TEXT, "");
	CHECK(!strcmp(play_whole(), "message 1 'hello'\nmessage 2 '\xff'\nmessage 1 ''\n"));
}

static void test_fragments(void)
{
	stream_len = 0;
	text_frame(WS_TEXT, "frag");
	text_frame(FIN | WS_PING, "between");
	text_frame(WS_CONTINUATION, "");
	text_frame(FIN | WS_PONG, "");
	text_frame(FIN | WS_CONTINUATION, "ments");
	CHECK(!strcmp(play_whole(), "ping 'between'\npong ''\nmessage 1 'fragments'\n"));
}

static void random_stream(unsigned *seed)
{
	static const char *const texts[] = { "", "a", "hello world", "\xe6\x97\xa5\xe6\x9c\xac", "0123456789abcdef0123456789abcdef" };
	bool open = false;
	stream_len = 0;
	for (int i = 0; i < 12; i++) {
		const char *payload = texts[rand_r(seed) % 5];
		switch (rand_r(seed) % 4) {
		case 0:
			text_frame(FIN | (rand_r(seed) % 2 ? WS_PING : WS_PONG), payload);
			break;
		case 1:
			text_frame(open ? WS_CONTINUATION : WS_TEXT, payload);
			open = true;
			break;
		default:
			text_frame(FIN | (open ? WS_CONTINUATION : rand_r(seed) % 2 ? WS_TEXT : WS_BINARY), payload);
			open = false;
		}
	}
	frame(FIN | WS_CLOSE, "\x03\xe8" "bye", 5);
}

static void test_cuts(void)
{
	static char whole[sizeof told];
	static uint8_t cuts[ROOM];
	for (unsigned n = 1; n <= 300; n++) {
		unsigned seed = n;
		random_stream(&seed);
		strcpy(whole, play_whole());
		CHECK(strstr(whole, "close 1000 'bye'\n"));
		for (int round = 0; round < 6; round++) {
			unsigned often = round == 0 ? 1 : 1u << round;
			for (size_t i = 0; i < stream_len; i++)
				cuts[i] = (unsigned)rand_r(&seed) % often == 0;
			unit_row("stream %u round %d", n, round);
			CHECK(!strcmp(play(cuts, false), whole));
			CHECK(!strcmp(play(cuts, true), whole));
		}
	}
}

static void test_hold(void)
{
	struct ws_session s;
	struct ws_session_event ev;
	uint8_t copy[ROOM], *data = copy;
	stream_len = 0;
	text_frame(FIN | WS_PING, "first");
	text_frame(FIN | WS_TEXT, "kept");
	text_frame(FIN | WS_PING, "behind");
	memcpy(copy, stream, stream_len);
	size_t len = stream_len;
	ws_session_init(&s, WS_SERVER, &limited);
	CHECK(ws_session_next(&s, WS_SESSION_HOLD, &data, &len, &ev) == 0 && ev.type == WS_SESSION_PING);
	for (int i = 0; i < 3; i++) {
		size_t before = len;
		CHECK(ws_session_next(&s, WS_SESSION_HOLD, &data, &len, &ev) == 0 && ev.type == WS_SESSION_HELD);
		CHECK(len == before);
	}
	CHECK(ws_session_next(&s, WS_SESSION_DISCARD, &data, &len, &ev) == 0 && ev.type == WS_SESSION_PING);
	CHECK(ev.len == 6 && !memcmp(ev.data, "behind", 6) && len == 0);
	ws_session_clear(&s);
}

/* Each alone is a failure, with its code; what came before it is still told. */
static void test_failures(void)
{
	static const struct {
		const char *what;
		unsigned first, second; /* second 0: none */
		const char *payload;
		size_t len;
		unsigned code;
	} rows[] = {
		{ "a continuation of nothing", FIN | WS_CONTINUATION, 0, "x", 1, 1002 },
		{ "a message inside another", WS_TEXT, FIN | WS_TEXT, "x", 1, 1002 },
		{ "half a code in a Close frame", FIN | WS_CLOSE, 0, "\x03", 1, 1002 },
		{ "1005 in a Close frame", FIN | WS_CLOSE, 0, "\x03\xed", 2, 1002 },
		{ "a reason that is not UTF-8", FIN | WS_CLOSE, 0, "\x03\xe8\xff", 3, 1007 },
		{ "text that is not UTF-8", FIN | WS_TEXT, 0, "ab\xff", 3, 1007 },
		{ "text that ends in a character", FIN | WS_TEXT, 0, "ab\xe6\x97", 4, 1007 },
		{ "text wrong across fragments", WS_TEXT, FIN | WS_CONTINUATION, "\xe6", 1, 1007 },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char expected[80];
		stream_len = 0;
		text_frame(FIN | WS_BINARY, "before");
		frame(rows[i].first, rows[i].payload, rows[i].len);
		if (rows[i].second)
			frame(rows[i].second, rows[i].payload, rows[i].len);
		text_frame(FIN | WS_BINARY, "behind");
		snprintf(expected, sizeof expected, "message 2 'before'\nfailure %u\n", rows[i].code);
		unit_row("%s", rows[i].what);
		CHECK(!strcmp(play_whole(), expected));
	}
}

static void test_bad_byte(void)
{
	struct ws_session s;
	struct ws_session_event ev;
	static const uint8_t head[] = { FIN | WS_TEXT, 0x80 | 100, 0, 0, 0, 0 }; /* a key of zeros masks nothing */
	for (size_t good = 0; good < 40; good++) {
		uint8_t bytes[64], *data = bytes;
		size_t len = sizeof head + good + 1;
		memcpy(bytes, head, sizeof head);
		memset(bytes + sizeof head, 'a', good);
		bytes[sizeof head + good] = 0xff;
		ws_session_init(&s, WS_SERVER, &limited);
		unit_row("%zu good bytes of 100", good);
		CHECK(ws_session_next(&s, WS_SESSION_DELIVER, &data, &len, &ev) == 0);
		CHECK(ev.type == WS_SESSION_FAILURE && ev.code == 1007);
		ws_session_clear(&s);
	}
}

static void test_limit(void)
{
	static char payload[LIMIT + 1];
	memset(payload, 'x', sizeof payload);
	stream_len = 0;
	frame(FIN | WS_BINARY, payload, LIMIT);
	CHECK(!strncmp(play_whole(), "message 2 'xxx", 14));
	stream_len = 0;
	frame(FIN | WS_BINARY, payload, LIMIT + 1);
	CHECK(!strcmp(play_whole(), "failure 1009\n"));
	stream_len = 0;
	for (int i = 0; i < 3; i++)
		frame(i ? WS_CONTINUATION : WS_BINARY, payload, LIMIT / 2);
	CHECK(!strcmp(play_whole(), "failure 1009\n"));
	stream_len = 0; /* messages are not added up */
	for (int i = 0; i < 3; i++)
		frame(FIN | WS_BINARY, payload, LIMIT / 2);
	CHECK(strncmp(play_whole(), "failure", 7) != 0 && !strstr(told, "failure"));
}

static void test_announcement(void)
{
	static const uint8_t head[] = { FIN | WS_BINARY, 0x80 | 127, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4 };
	uint8_t bytes[sizeof head], *data = bytes;
	size_t len = sizeof head;
	struct ws_session s;
	struct ws_session_event ev;
	memcpy(bytes, head, sizeof head);
	ws_session_init(&s, WS_SERVER, &limited);
	CHECK(ws_session_next(&s, WS_SESSION_DELIVER, &data, &len, &ev) == 0);
	CHECK(ev.type == WS_SESSION_FAILURE && ev.code == 1009 && !s.assembly);
	CHECK(!strcmp((const char *)ev.data, "message of 4611686018427387904 bytes is over the limit of 200"));
	ws_session_clear(&s);
}

static void test_close(void)
{
	static const uint8_t bye[] = { 0x0f, 0xa1, 'b', 'y', 'e' };
	stream_len = 0;
	frame(FIN | WS_CLOSE, bye, sizeof bye);
	CHECK(!strcmp(play_whole(), "close 4001 'bye'\n"));
	stream_len = 0;
	frame(FIN | WS_CLOSE, "", 0);
	CHECK(!strcmp(play_whole(), "close 1005 ''\n"));
}

static void test_close_payload(void)
{
	uint8_t out[WS_CONTROL_PAYLOAD];
	char reason[200];
	CHECK(ws_session_close_payload(out, WS_CODE_NO_STATUS, "x", 1) == 0);
	CHECK(ws_session_close_payload(out, 1000, NULL, 0) == 2 && out[0] == 0x03 && out[1] == 0xe8);
	memset(reason, 'a', sizeof reason);
	CHECK(ws_session_close_payload(out, 4999, reason, 123) == 125);
	CHECK(out[0] == 0x13 && out[1] == 0x87 && memcmp(out + 2, reason, 123) == 0);
	CHECK(ws_session_close_payload(out, 4999, reason, 200) == 125);
	for (size_t at = 118; at <= 123; at++) { /* a character of four bytes that begins there is kept whole or left out */
		memset(reason, 'a', sizeof reason);
		memcpy(reason + at, "\xf0\x9f\x98\x80", 4);
		unit_row("a character at %zu", at);
		CHECK(ws_session_close_payload(out, 1000, reason, 150) == (at == 118 || at == 119 ? 125 : at + 2));
	}
}

/* An idle connection holds nothing, and the next one uses what this one has given back. */
static void test_memory(void)
{
	struct ws_session s;
	uint8_t copy[ROOM], *data = copy;
	struct ws_session_event ev;
	stream_len = 0;
	text_frame(WS_TEXT, "frag");
	text_frame(FIN | WS_CONTINUATION, "ments");
	memcpy(copy, stream, stream_len);
	size_t len = stream_len;
	ws_session_init(&s, WS_SERVER, &limited);
	CHECK(ws_session_next(&s, WS_SESSION_DELIVER, &data, &len, &ev) == 0 && ev.type == WS_SESSION_MESSAGE);
	struct ws_assembly *used = s.assembly;
	CHECK(used != NULL && s.reader == NULL);
	ws_session_done(&s);
	CHECK(s.assembly == NULL && pool.assembly == used);
	ws_session_clear(&s);
	ws_session_pool_clear(&pool);
	CHECK(pool.assembly == NULL && pool.frames.free == NULL);
}

/* Room grows ahead of what comes, but not past the end that was announced: so it is small enough to be kept. */
static void test_room(void)
{
	enum { MESSAGE = 1024 * 1024, HEAD = 14, FRAME = HEAD + MESSAGE, PIECE = 400 * 1024 };
	struct ws_session s;
	struct ws_session_event ev;
	uint8_t *bytes = calloc(1, FRAME), *data = bytes;
	CHECK(bytes != NULL);
	memcpy(bytes, (uint8_t[]){ FIN | WS_BINARY, 0x80 | 127, 0, 0, 0, 0, 0, MESSAGE >> 16 }, 8); /* masked with zeros */
	ws_session_init(&s, WS_SERVER, &(const struct ws_session_options){ &pool, 16 * MESSAGE });
	for (size_t len = PIECE; data - bytes < 2 * PIECE; len = PIECE)
		CHECK(ws_session_next(&s, WS_SESSION_DELIVER, &data, &len, &ev) == WS_AGAIN);
	size_t rest = FRAME - 2 * PIECE;
	CHECK(ws_session_next(&s, WS_SESSION_DELIVER, &data, &rest, &ev) == 0);
	CHECK(ev.type == WS_SESSION_MESSAGE && ev.len == MESSAGE);
	ws_session_done(&s);
	CHECK(pool.assembly != NULL);
	ws_session_clear(&s);
	ws_session_pool_clear(&pool);
	free(bytes);
}

/* Nor, where only fragments are announced, past what is kept, as long as they fit into that. */
static void test_room_for_fragments(void)
{
	enum { MESSAGE = 1024 * 1024, PIECE = 48 * 1024 };
	struct ws_session s;
	struct ws_session_event ev = { .type = WS_SESSION_PING };
	uint8_t *bytes = malloc(8 + PIECE);
	CHECK(bytes != NULL);
	ws_session_init(&s, WS_SERVER, &(const struct ws_session_options){ &pool, 16 * MESSAGE });
	for (int i = 0; i < MESSAGE / PIECE; i++) {
		uint8_t *data = bytes, first = i == 0 ? WS_BINARY : WS_CONTINUATION;
		size_t len = 8 + PIECE;
		memset(bytes, 0, len);
		memcpy(bytes, (uint8_t[]){ i == MESSAGE / PIECE - 1 ? FIN | first : first, 0x80 | 126, PIECE >> 8 }, 3);
		CHECK(ws_session_next(&s, WS_SESSION_DELIVER, &data, &len, &ev) == (bytes[0] & FIN ? 0 : WS_AGAIN));
	}
	CHECK(ev.type == WS_SESSION_MESSAGE && ev.len == MESSAGE / PIECE * PIECE);
	ws_session_done(&s);
	CHECK(pool.assembly != NULL);
	ws_session_clear(&s);
	ws_session_pool_clear(&pool);
	free(bytes);
}

/* ---- against the naive reader */

/* ---- compressed messages (RFC 7692) */

/* What a session tells of the stream, if takeover was agreed on; its last words in why. */
static const char *play_compressed(char why[WS_WHY_SIZE])
{
	static const struct ws_deflate_parameters agreed = { .agreed = true };
	struct ws_session s;
	uint8_t copy[ROOM], *data = copy;
	struct ws_session_event ev = { .why = "" };
	size_t len = stream_len;

	memcpy(copy, stream, stream_len);
	told[0] = '\0';
	ws_session_init(&s, WS_SERVER, &limited);
	CHECK(ws_session_agree(&s, &agreed, 1) == 0);
	while (ws_session_next(&s, WS_SESSION_DELIVER, &data, &len, &ev) == 0) {
		tell(&ev);
		ws_session_done(&s);
		if (ev.type == WS_SESSION_FAILURE)
			break;
	}
	memcpy(why, ev.why, WS_WHY_SIZE);
	ws_session_clear(&s);
	CHECK(s.deflate == NULL);
	return told;
}

static void test_compressed(void)
{
	static const struct {
		const char *payload;
		size_t len;
		unsigned first;
		const char *told, *why;
	} rows[] = {
#define ROW(payload) payload, sizeof payload - 1
		{ ROW("\xf2\x48\xcd\xc9\xc9\x07\x00"), WS_TEXT, "message 1 'Hello'\n", "" },
		{ ROW("\x00"), WS_BINARY, "message 2 ''\n", "" },
		{ ROW(""), WS_BINARY, "message 2 ''\n", "" },
		{ ROW("\x06"), WS_TEXT, "failure 1007\n", "a compressed message cannot be inflated" },
		{ ROW("\xf2\x48\xcd"), WS_TEXT, "failure 1007\n", "a compressed message cannot be inflated" },
		{ ROW("\x00\x01\x00\xfe\xff\xff\x00"), WS_TEXT, "failure 1007\n", "a text message is not valid UTF-8" },
		{ ROW("\x00\x01\x00\xfe\xff\xff\x00"), WS_BINARY, "message 2 '\xff'\n", "" },
		{ ROW("\x00\x02\x00\xfd\xff\xe6\x97\x00"), WS_TEXT, "failure 1007\n",
		  "a text message ends inside a UTF-8 character" },
		{ ROW("\x62\x60\x18\x26\x00\x00"), WS_BINARY, "failure 1009\n",
		  "message of at least 201 bytes is over the limit of 200" },
	};
	char why[WS_WHY_SIZE], expected_text[100];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		stream_len = 0;
		frame(FIN | WS_RSV1 | rows[i].first, rows[i].payload, rows[i].len);
		text_frame(FIN | WS_TEXT, "next");
		snprintf(expected_text, sizeof expected_text, "%s%s", rows[i].told, rows[i].why[0] ? "" : "message 1 'next'\n");
		unit_row("row %zu: %s", i, play_compressed(why));
		CHECK(strcmp(told, expected_text) == 0);
		CHECK(!rows[i].why[0] || strcmp(why, rows[i].why) == 0);
	}
	ws_session_pool_clear(&pool);
}

/* The limit holds for a plain message as before, also right behind a compressed one. */
static void test_plain_behind_compressed(void)
{
	char large[LIMIT + 1], why[WS_WHY_SIZE];

	memset(large, 'x', sizeof large);
	stream_len = 0;
	frame(FIN | WS_RSV1 | WS_BINARY, "\x00", 1);
	frame(FIN | WS_BINARY, large, sizeof large);
	CHECK(strcmp(play_compressed(why), "message 2 ''\nfailure 1009\n") == 0);
	CHECK(strcmp(why, "message of 201 bytes is over the limit of 200") == 0);
	ws_session_pool_clear(&pool);
}

/* Something of everything, right up to the Close frame. */
static void mixed_stream(void)
{
	stream_len = 0;
	text_frame(FIN | WS_TEXT, "one");
	text_frame(WS_TEXT, "t\xc3");
	text_frame(FIN | WS_PING, "p");
	text_frame(WS_CONTINUATION, "");
	text_frame(FIN | WS_CONTINUATION, "\xbcwo");
	frame(FIN | WS_BINARY, "\xff\x00", 2);
	text_frame(FIN | WS_PONG, "");
	text_frame(FIN | WS_TEXT, "");
	text_frame(FIN | WS_TEXT, "three");
	frame(FIN | WS_CLOSE, "\x03\xe8" "bye", 5);
}

/* The same of compressed messages: the RFC's examples, in fragments, with takeover and without, and one that is plain. */
static void compressed_stream(void)
{
	stream_len = 0;
	frame(FIN | WS_RSV1 | WS_TEXT, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
	text_frame(FIN | WS_PING, "p");
	frame(WS_RSV1 | WS_BINARY, "\xf3\x48\xcd", 3);
	text_frame(FIN | WS_PONG, "between");
	frame(WS_CONTINUATION, "", 0);
	frame(WS_CONTINUATION, "\xc9\xc9\x07", 3);
	frame(FIN | WS_CONTINUATION, "\x00\x00", 2);
	text_frame(FIN | WS_TEXT, "plain");
	frame(FIN | WS_RSV1 | WS_TEXT, "\x00", 1);
	frame(WS_RSV1 | WS_TEXT, "\x00\x04\x00\xfb\xff" "a\xe6\x97", 8); /* stored: a, and a character in two fragments */
	frame(FIN | WS_CONTINUATION, "\xa5\x00", 2);
	frame(FIN | WS_RSV1 | WS_BINARY, "\x62\x60\x18\x1e\x00\x00", 6); /* zeros: LIMIT of them */
	frame(FIN | WS_CLOSE, "\x03\xe8" "bye", 5);
}

static struct log expected, got;
static const struct rules plain_rules = { WS_SERVER, LIMIT, { .agreed = false } };

/* Each kind of stream, and the rules that it is by. */
static const struct kind {
	void (*make)(void);
	struct rules rules;
} kinds[] = {
	{ mixed_stream, { WS_SERVER, LIMIT, { .agreed = false } } },
	{ mixed_stream, { WS_SERVER, LIMIT, { .agreed = true } } },
	{ compressed_stream, { WS_SERVER, LIMIT, { .agreed = true } } },
	{ compressed_stream, { WS_SERVER, LIMIT, { .agreed = true, .client_no_context_takeover = true } } },
	{ compressed_stream, { WS_SERVER, LIMIT, { .agreed = false } } },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* The second mode holds from the cut on. What is held at last is told of. A message has its last byte's mode. */
static void check_modes(const struct rules *rules, size_t cut, enum ws_session_mode first, enum ws_session_mode second)
{
	const bool before = first == WS_SESSION_DELIVER || (first == WS_SESSION_HOLD && second != WS_SESSION_DISCARD);
	const bool behind = second != WS_SESSION_DISCARD;
	struct feeder f;

	expected.len = got.len = 0;
	naive_session(&expected, rules, stream, stream_len, before ? 0 : cut, behind ? SIZE_MAX : before ? cut : 0);
	feeder_init(&f, &pool, rules, &got);
	feed(&f, first, stream, cut);
	feed(&f, second, stream + cut, stream_len - cut);
	feed(&f, behind ? WS_SESSION_DELIVER : WS_SESSION_DISCARD, NULL, 0);
	unit_row("cut %zu, modes %d and %d", cut, (int)first, (int)second);
	CHECK(f.wrong == NULL && f.over);
	CHECK(got.len == expected.len && memcmp(got.text, expected.text, got.len) == 0);
	feeder_clear(&f);
}

static void test_modes(void)
{
	static const enum ws_session_mode modes[] = { WS_SESSION_DELIVER, WS_SESSION_HOLD, WS_SESSION_DISCARD };

	for (size_t k = 0; k < KINDS; k++) {
		kinds[k].make();
		for (size_t cut = 0; cut <= stream_len; cut++)
			for (size_t first = 0; first < 3; first++)
				for (size_t second = 0; second < 3; second++)
					check_modes(&kinds[k].rules, cut, modes[first], modes[second]);
	}
	ws_session_pool_clear(&pool);
}

/* In parts, wherever the stream is cut and whether they had to wait, comes what comes whole. */
static void test_parts(void)
{
	for (size_t k = 0; k < KINDS; k++) {
		kinds[k].make();
		expected.len = 0;
		naive_session(&expected, &kinds[k].rules, stream, stream_len, 0, SIZE_MAX);
		for (size_t cut = 0; cut <= stream_len; cut++) {
			struct feeder f;
			got.len = 0;
			feeder_init(&f, &pool, &kinds[k].rules, &got);
			f.parts = true;
			feed(&f, cut % 2 ? WS_SESSION_HOLD : WS_SESSION_DELIVER, stream, cut);
			feed(&f, WS_SESSION_HOLD, stream + cut, stream_len - cut);
			feed(&f, WS_SESSION_DELIVER, NULL, 0);
			unit_row("kind %zu, cut %zu", k, cut);
			CHECK(f.wrong == NULL && f.over);
			CHECK(got.len == expected.len && memcmp(got.text, expected.text, got.len) == 0);
			feeder_clear(&f);
		}
	}
	ws_session_pool_clear(&pool);
}

/* What a session tells in parts, which may have so many bytes; skip: after the first of them. */
static const char *play_parts(uint64_t limit, bool skip, bool whole_before)
{
	struct ws_session s;
	struct ws_session_event ev;
	uint8_t copy[ROOM], *data = copy;
	size_t len = stream_len;
	memcpy(copy, stream, stream_len);
	told[0] = '\0';
	ws_session_init(&s, WS_SERVER, &limited);
	if (whole_before) { /* a frame of it came when nobody had asked for parts yet */
		size_t first = 8;
		CHECK(ws_session_next(&s, WS_SESSION_DELIVER, &data, &first, &ev) == WS_AGAIN);
		len -= 8;
	}
	ws_session_stream(&s, limit);
	while (ws_session_next(&s, WS_SESSION_DELIVER, &data, &len, &ev) == 0) {
		tell(&ev);
		if (ev.type == WS_SESSION_FAILURE)
			break;
		if (skip)
			ws_session_skip(&s);
	}
	ws_session_clear(&s);
	ws_session_pool_clear(&pool);
	return told;
}

static void test_parts_of_one(void)
{
	stream_len = 0;
	text_frame(WS_TEXT, "ab");
	text_frame(FIN | WS_PING, "p");
	text_frame(WS_CONTINUATION, "");
	text_frame(WS_CONTINUATION, "cd");
	text_frame(FIN | WS_CONTINUATION, "");
	text_frame(FIN | WS_TEXT, "next");
	CHECK(!strcmp(play_parts(4, false, false),
	              "part 1 'ab'\nping 'p'\npart 1 'cd'\nlast part 1 ''\nmessage 1 'next'\n"));
	CHECK(!strcmp(play_parts(4, false, true), "ping 'p'\npart 1 'ab'\npart 1 'cd'\nlast part 1 ''\nmessage 1 'next'\n"));
	CHECK(!strcmp(play_parts(4, true, false), "part 1 'ab'\nping 'p'\nmessage 1 'next'\n"));
	CHECK(!strcmp(play_parts(3, false, false), "part 1 'ab'\nping 'p'\nfailure 1009\n"));
	CHECK(!strcmp(play_parts(1, false, false), "failure 1009\n"));
	CHECK(!strcmp(play_parts(1, false, true), "ping 'p'\npart 1 'ab'\nfailure 1009\n"));
}

/* max_message holds for whole messages only, and again for the one after a message in parts. */
static void test_limit_of_parts(void)
{
	char large[LIMIT + 1];
	memset(large, 'x', sizeof large);
	stream_len = 0;
	text_frame(WS_TEXT, "ab");
	for (int i = 0; i < 3; i++)
		frame(WS_CONTINUATION, large, LIMIT);
	frame(FIN | WS_CONTINUATION, "", 0);
	frame(FIN | WS_BINARY, large, sizeof large);
	const char *got_told = play_parts(UINT64_MAX, true, false);
	CHECK(!strcmp(got_told, "part 1 'ab'\nfailure 1009\n"));
	CHECK(strstr(play_parts(UINT64_MAX, false, false), "last part 1 ''\nfailure 1009\n"));
	play_parts(400, false, false);
	CHECK(strstr(told, "failure 1009\n"));
}

/* A bomb, in parts: 8 MiB of zeros come in 8 KiB, and no more than 1 MiB of them is held at once. */
static void test_bomb_in_parts(void)
{
	static const struct ws_deflate_parameters agreed = { .agreed = true };
	static uint8_t zeros[8 << 20];
	struct ws_deflate_pool deflate = { .deflaters = NULL };
	struct ws_deflate *d = ws_deflate_new(&deflate, WS_CLIENT, &agreed, 9);
	const void *payload = zeros;
	size_t len = sizeof zeros, most = 0;
	CHECK(ws_deflate_message(d, &payload, &len));
	uint8_t *bytes = calloc(1, len + 8), *data = bytes; /* masked with zeros */
	memcpy(bytes, (const uint8_t[]){ FIN | WS_RSV1 | WS_BINARY, 0x80 | 126, (uint8_t)(len >> 8), (uint8_t)len }, 4);
	memcpy(bytes + 8, payload, len);
	len += 8;
	struct ws_session s;
	struct ws_session_event ev = { .last = false };
	uint64_t sum = 0;
	ws_session_init(&s, WS_SERVER, &limited);
	CHECK(ws_session_agree(&s, &agreed, 1) == 0);
	ws_session_stream(&s, UINT64_MAX);
	while (ws_session_next(&s, WS_SESSION_DELIVER, &data, &len, &ev) == 0 && ev.type == WS_SESSION_PART) {
		sum += ev.len;
		most = ev.len > most ? ev.len : most;
	}
	CHECK(sum == sizeof zeros && ev.last && most <= 1 << 20);
	ws_session_clear(&s);
	ws_session_pool_clear(&pool);
	ws_deflate_free(d);
	ws_deflate_pool_clear(&deflate);
	free(bytes);
}

/* One bit of the stream is wrong: what that leads to does not depend on the cut, either. */
static void check_wrong_bits(const struct kind *kind)
{
	char why[WS_WHY_SIZE];
	unsigned failures = 0;

	kind->make();
	for (size_t bit = 0; bit < 8 * stream_len; bit++) {
		stream[bit / 8] ^= (uint8_t)(1u << bit % 8);
		expected.len = 0;
		naive_session(&expected, &kind->rules, stream, stream_len, 0, SIZE_MAX);
		for (size_t cut = 0; cut < stream_len; cut += 3) {
			struct feeder f;
			got.len = 0;
			feeder_init(&f, &pool, &kind->rules, &got);
			f.parts = bit % 2;
			feed(&f, WS_SESSION_DELIVER, stream, cut);
			feed(&f, WS_SESSION_DELIVER, stream + cut, stream_len - cut);
			unit_row("bit %zu, cut %zu", bit, cut);
			CHECK(f.wrong == NULL);
			CHECK(got.len == expected.len && memcmp(got.text, expected.text, got.len) == 0);
			/* Of two faults in one compressed message either may be named. */
			CHECK(cut == 0 || strcmp(f.why, why) == 0 || kind->rules.agreed.agreed);
			memcpy(why, f.why, sizeof why);
			failures += f.why[0] != '\0';
			feeder_clear(&f);
		}
		stream[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	CHECK(failures > stream_len); /* else this would test little */
}

static void test_wrong_bits(void)
{
	for (size_t k = 0; k < KINDS; k++)
		check_wrong_bits(&kinds[k]);
	ws_session_pool_clear(&pool);
}

static void test_close_codes(void)
{
	for (unsigned code = 0; code <= UINT16_MAX; code++) {
		const uint8_t payload[2] = { (uint8_t)(code >> 8), (uint8_t)code };
		expected.len = 0;
		stream_len = 0;
		frame(FIN | WS_CLOSE, payload, 2);
		naive_session(&expected, &plain_rules, stream, stream_len, 0, SIZE_MAX);
		char line[40];
		const bool allowed = strncmp(expected.text, "close", 5) == 0;
		snprintf(line, sizeof line, allowed ? "close %u ''\n" : "failure 1002\n", code);
		unit_row("%u", code);
		CHECK(strcmp(play_whole(), line) == 0);
	}
}

/* ---- memory */

/* A binary frame that announces this much, with a key of zeros. */
static size_t announce(uint8_t *out, unsigned first, uint64_t length)
{
	out[0] = (uint8_t)first;
	out[1] = 0x80 | 127;
	for (int i = 0; i < 8; i++)
		out[2 + i] = (uint8_t)(length >> (56 - 8 * i));
	memset(out + 10, 0, 4);
	return 14;
}

static void take_all(struct ws_session *s, uint8_t *data, size_t len, struct ws_session_event *ev, int result)
{
	CHECK(ws_session_next(s, WS_SESSION_DELIVER, &data, &len, ev) == result);
	CHECK(len == 0);
}

/* Memory grows with what has come: at most to twice of it and 4 KiB, however much was announced. */
static void test_growth(void)
{
	static uint8_t piece[1000];
	struct ws_session s;
	struct ws_session_event ev;
	size_t sum = 0;

	ws_session_pool_clear(&pool);
	ws_session_init(&s, WS_SERVER, &(const struct ws_session_options){ &pool, SIZE_MAX });
	take_all(&s, piece, announce(piece, FIN | WS_BINARY, UINT64_C(1) << 40), &ev, WS_AGAIN);
	CHECK(s.assembly == NULL);
	memory_reset(0, 0);
	for (int i = 0; i < 1000; i++) {
		memset(piece, 'x', sizeof piece);
		take_all(&s, piece, sizeof piece, &ev, WS_AGAIN);
		sum += sizeof piece;
		CHECK(memory.bytes <= 4096 + 4 * sum + 1000); /* all that was asked for, in sum: 1 + 1/2 + 1/4... of twice */
	}
	CHECK(memory.calls < 12);
	ws_session_clear(&s);
	ws_session_pool_clear(&pool);
}

/* Whether the session has so much room, and takes what is received there as the stream's next bytes. */
static bool receive_in_place(struct ws_session *s, const uint8_t *bytes, size_t len, size_t size,
                             struct ws_session_event *ev, int result)
{
	uint8_t *room;

	if (ws_session_room(s, &room) != size)
		return false;
	memcpy(room, bytes, len);
	return ws_session_next(s, WS_SESSION_DELIVER, &room, &len, ev) == result && len == 0;
}

/* The rest of a frame is received where it stays: in room that was there, without a copy, and not past the frame. */
static void test_received_in_place(void)
{
	uint8_t first[ROOM], other[ROOM], *room;
	struct ws_session s;
	struct ws_session_event ev;

	ws_session_init(&s, WS_SERVER, &(const struct ws_session_options){ &pool, ROOM });
	CHECK(ws_session_room(&s, &room) == 0); /* no message */
	stream_len = 0;
	text_frame(WS_TEXT, "0123456789");
	memcpy(first, stream, sizeof first);
	take_all(&s, first, 6, &ev, WS_AGAIN); /* the head */
	CHECK(ws_session_room(&s, &room) == 0);
	take_all(&s, first + 6, 4, &ev, WS_AGAIN);
	memory_reset(0, 0);
	CHECK(receive_in_place(&s, stream + 10, 2, 6, &ev, WS_AGAIN));
	CHECK(receive_in_place(&s, stream + 12, 4, 4, &ev, WS_AGAIN));
	CHECK(ws_session_room(&s, &room) == 0); /* between frames */
	stream_len = 0;
	text_frame(FIN | WS_PING, "between");
	memcpy(other, stream, stream_len);
	take_all(&s, other, 8, &ev, WS_AGAIN);
	CHECK(ws_session_room(&s, &room) == 0); /* a control frame's payload is nothing of the message's */
	take_all(&s, other + 8, stream_len - 8, &ev, 0);
	stream_len = 0;
	text_frame(FIN | WS_CONTINUATION, "abcdefghij");
	memcpy(other, stream, stream_len);
	take_all(&s, other, 6 + 1, &ev, WS_AGAIN);
	CHECK(ws_session_room(&s, &room) == 9);
	CHECK(receive_in_place(&s, stream + 7, 9, 9, &ev, 0));
	CHECK(ev.data + 11 == room); /* it is where it came */
	CHECK(ev.type == WS_SESSION_MESSAGE && ev.len == 20 && !memcmp(ev.data, "0123456789abcdefghij", 20));
	CHECK(memory.calls == 0);
	ws_session_done(&s);
	CHECK(ws_session_room(&s, &room) == 0);
	ws_session_clear(&s);
	ws_session_pool_clear(&pool);
}

/* A message that is told of in parts is not put together. */
static void test_no_room_for_parts(void)
{
	uint8_t copy[ROOM], *room;
	struct ws_session s;
	struct ws_session_event ev;

	ws_session_init(&s, WS_SERVER, &(const struct ws_session_options){ &pool, ROOM });
	stream_len = 0;
	text_frame(FIN | WS_TEXT, "0123456789");
	memcpy(copy, stream, stream_len);
	take_all(&s, copy, 8, &ev, WS_AGAIN);
	CHECK(ws_session_room(&s, &room) == 8);
	ws_session_stream(&s, ROOM);
	CHECK(ws_session_room(&s, &room) == 0);
	ws_session_clear(&s);
	ws_session_pool_clear(&pool);
}

/* In two pieces, so that it must be kept; the event's data stays while another session is at work. */
static void test_reuse(void)
{
	uint8_t one[300], two[300];
	struct ws_session a, b;
	struct ws_session_event first, second;

	ws_session_init(&a, WS_SERVER, &limited);
	ws_session_init(&b, WS_SERVER, &limited);
	stream_len = 0;
	text_frame(WS_TEXT, "first");
	text_frame(FIN | WS_CONTINUATION, " one");
	memcpy(one, stream, stream_len);
	take_all(&a, one, stream_len, &first, 0);
	stream_len = 0;
	text_frame(WS_TEXT, "other");
	text_frame(FIN | WS_CONTINUATION, " two");
	memcpy(two, stream, stream_len);
	take_all(&b, two, stream_len, &second, 0);
	CHECK(first.len == 9 && memcmp(first.data, "first one", 9) == 0);
	CHECK(second.len == 9 && memcmp(second.data, "other two", 9) == 0);
	ws_session_done(&a);
	ws_session_done(&b);
	memory_reset(0, 0);
	for (int i = 0; i < 10; i++) {
		memcpy(two, stream, stream_len);
		take_all(i % 2 ? &a : &b, two, stream_len, &first, 0);
		if (i % 3) /* else the next call for it does that */
			ws_session_done(i % 2 ? &a : &b);
		else
			take_all(i % 2 ? &a : &b, two, 0, &first, WS_AGAIN);
	}
	CHECK(memory.calls == 0);
	ws_session_clear(&a);
	ws_session_clear(&b);
	ws_session_pool_clear(&pool);
}

/* What one large message took is not kept for small ones. */
static void test_large_given_back(void)
{
	enum { LARGE = 3 << 20 };
	uint8_t head[14], *payload = calloc(1, LARGE);
	struct ws_session s;
	struct ws_session_event ev;
	const size_t live = memory.live;

	ws_session_init(&s, WS_SERVER, &(const struct ws_session_options){ &pool, LARGE });
	take_all(&s, head, announce(head, WS_BINARY, LARGE / 2), &ev, WS_AGAIN);
	take_all(&s, payload, 10, &ev, WS_AGAIN);
	take_all(&s, payload + 10, LARGE / 2 - 10, &ev, WS_AGAIN);
	take_all(&s, head, announce(head, FIN | WS_CONTINUATION, LARGE / 2), &ev, WS_AGAIN);
	take_all(&s, payload, LARGE / 2, &ev, 0);
	CHECK(ev.type == WS_SESSION_MESSAGE && ev.len == LARGE);
	ws_session_done(&s);
	CHECK(pool.assembly == NULL && s.assembly == NULL && s.reader == NULL);
	ws_session_pool_clear(&pool);
	CHECK(memory.live == live);
	free(payload);
}

/* ---- a client's side */

static void test_client(void)
{
	uint8_t plain[] = { FIN | WS_TEXT, 2, 'h', 'i' };
	struct ws_session s;
	struct ws_session_event ev;

	ws_session_init(&s, WS_CLIENT, &limited);
	take_all(&s, plain, sizeof plain, &ev, 0);
	CHECK(ev.type == WS_SESSION_MESSAGE && ev.len == 2 && memcmp(ev.data, "hi", 2) == 0);
	stream_len = 0;
	text_frame(FIN | WS_TEXT, "");
	take_all(&s, stream, 2, &ev, 0);
	CHECK(ev.type == WS_SESSION_FAILURE && ev.code == 1002 && strstr(ev.why, "masked") != NULL);
	ws_session_clear(&s);
	ws_session_pool_clear(&pool);
}

static void check_mask(const uint8_t *data, size_t len)
{
	static const uint8_t key[4] = { 1, 2, 3, 250 };
	const uint8_t *masked = ws_session_pool_mask(&pool, data, len, key);

	CHECK(masked != NULL && masked != data);
	for (size_t i = 0; i < len; i++)
		CHECK(masked[i] == (data[i] ^ key[i % 4]));
}

/* Masking copies into memory that is used again, unless it is a great deal. */
static void test_mask(void)
{
	enum { LARGE = 2 << 20 };
	uint8_t *data = calloc(1, LARGE);
	const size_t live = memory.live;

	data[0] = data[LARGE - 1] = 'x';
	check_mask(data, 5);
	check_mask(data, 4096);
	check_mask(data, 100000);
	memory_reset(0, 0);
	check_mask(data, 100000);
	check_mask(data, 7);
	CHECK(memory.calls == 0);
	check_mask(data, LARGE);
	CHECK(data[0] == 'x' && data[LARGE - 1] == 'x');
	check_mask(data, 100);
	CHECK(pool.scratch_size < LARGE);
	memory_reset(1, 1);
	CHECK(ws_session_pool_mask(&pool, data, 500000, (const uint8_t *)"abcd") == NULL);
	memory_reset(0, 0);
	check_mask(data, 100);
	ws_session_pool_clear(&pool);
	CHECK(memory.live == live);
	free(data);
}

/* Not in mid-frame, where the next byte is payload, and not where the message is told of in parts. */
static void test_ends_message(void)
{
	struct ws_session s;
	struct ws_session_event ev;
	uint8_t half[] = { FIN | WS_TEXT, 0x82, 0, 0, 0, 0, 'x' }, *data = half;
	size_t len = sizeof half;

	ws_session_init(&s, WS_SERVER, &limited);
	for (unsigned first = 0; first < 256; first++)
		CHECK(ws_session_ends_message(&s, (uint8_t)first) == (first >= FIN && (first & 0x0f) < WS_CLOSE));
	CHECK(ws_session_next(&s, WS_SESSION_DELIVER, &data, &len, &ev) == WS_AGAIN);
	CHECK(!ws_session_ends_message(&s, FIN | WS_TEXT));
	ws_session_clear(&s);
	ws_session_init(&s, WS_SERVER, &limited);
	ws_session_stream(&s, LIMIT);
	CHECK(!ws_session_ends_message(&s, FIN | WS_TEXT));
	ws_session_clear(&s);
	ws_session_pool_clear(&pool);
}

UNIT_MAIN(
	{ "messages come whole, in kind", test_messages },
	{ "fragments are joined, with control frames between them told at once", test_fragments },
	{ "what is told does not depend on how the bytes are cut, nor on messages that had to wait", test_cuts },
	{ "a message that may not be told of stays where it is", test_hold },
	{ "a frame is seen by its first byte to end a message", test_ends_message },
	{ "each failure has its code, and what came before it is told", test_failures },
	{ "text that is not UTF-8 is found at the first bad byte of an unfinished frame", test_bad_byte },
	{ "the limit holds for a frame and for the sum of fragments, not for several messages", test_limit },
	{ "an announced length is enough, and nothing is allocated for it", test_announcement },
	{ "compressed messages are told of inflated, and what is wrong with them in words", test_compressed },
	{ "a plain message behind a compressed one is limited by its length", test_plain_behind_compressed },
	{ "a Close frame is told with its code and reason", test_close },
	{ "the reason of a Close frame is cut between characters", test_close_payload },
	{ "nothing is held once a message was handed over", test_memory },
	{ "the room of a message grows no further than the message can", test_room },
	{ "the room of fragments is kept, if they fit into what is", test_room_for_fragments },
	{ "wherever the mode changes, nothing is lost, doubled or put in another order", test_modes },
	{ "messages in parts are what they are whole", test_parts },
	{ "a part is told of as it comes; the rest of a message that nobody wants is passed over", test_parts_of_one },
	{ "a message in parts has a limit of its own", test_limit_of_parts },
	{ "what unfolds without end is told of in parts of bounded size", test_bomb_in_parts },
	{ "one wrong bit leads to the same, wherever the stream is cut", test_wrong_bits },
	{ "every close code", test_close_codes },
	{ "memory grows with what has come, not with what was announced", test_growth },
	{ "the rest of a frame is received where it stays", test_received_in_place },
	{ "a message that is told of in parts has no room", test_no_room_for_parts },
	{ "a message lives until it was dealt with; then its memory is the next one's", test_reuse },
	{ "a large message's memory is given back", test_large_given_back },
	{ "a client takes what is not masked, and nothing else", test_client },
	{ "what a client sends is masked in memory that is used again", test_mask }
)
