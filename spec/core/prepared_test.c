/* A message for many: its frames, made once for all who are alike, and given back. */
#include "memory.h"

#include "endpoint/prepared.h"
#include "unit.h"

static struct ws_session_pool pool;
static const char text[] = "the same words, the same words, the same words";

enum { LEN = sizeof text - 1 };

static struct ws_deflate *deflate_of(unsigned bits, int level, bool takeover)
{
	const struct ws_deflate_parameters agreed = {
		.agreed = true, .server_no_context_takeover = !takeover, .server_max_window_bits = (uint8_t)bits,
	};
	return ws_deflate_new(&pool.deflate, WS_SERVER, &agreed, level);
}

static void test_plain(void)
{
	static const struct { size_t len; const char *head; size_t head_size; } rows[] = {
		{ 0, "\x82\x00", 2 }, { 125, "\x82\x7d", 2 }, { 126, "\x82\x7e\x00\x7e", 4 }, { 65535, "\x82\x7e\xff\xff", 4 },
		{ 65536, "\x82\x7f\0\0\0\0\0\1\0\0", 10 },
	};
	static char payload[65536];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct ws_prepared p;
		unit_row("%zu bytes", rows[i].len);
		ws_prepared_init(&p, WS_BINARY, payload, rows[i].len);
		CHECK(p.plain.data == payload && p.plain.len == rows[i].len && p.plain.opcode == WS_BINARY);
		CHECK(p.plain.head_size == rows[i].head_size && !memcmp(p.plain.head, rows[i].head, rows[i].head_size));
		ws_prepared_clear(&p);
	}
	ws_session_pool_clear(&pool);
}

static void test_compressed(void)
{
	struct ws_deflate *deflates[] = { deflate_of(15, 1, false), deflate_of(15, 1, false), deflate_of(9, 1, false),
	                                  deflate_of(15, 9, false) };
	struct ws_prepared_frame *frames[4];
	struct ws_prepared p;

	ws_prepared_init(&p, WS_TEXT, text, LEN);
	for (size_t i = 0; i < 4; i++) {
		frames[i] = ws_prepared_compressed(&p, deflates[i]);
		CHECK(frames[i]->opcode == (WS_TEXT | WS_RSV1) && frames[i]->len < LEN);
		CHECK(frames[i]->head[0] == 0xC1 && frames[i]->head[1] == frames[i]->len && frames[i]->head_size == 2);
	}
	CHECK(frames[0] == frames[1]);
	CHECK(frames[0] != frames[2] && frames[0] != frames[3] && frames[2] != frames[3]);
	for (size_t i = 0; i < 4; i++) {
		CHECK(ws_prepared_compressed(&p, deflates[i]) == frames[i]);
		ws_deflate_free(deflates[i]);
	}
	ws_prepared_clear(&p);
	ws_prepared_clear(&p);
	CHECK(p.compressed == NULL);
	ws_session_pool_clear(&pool);
}

static void test_likeness(void)
{
	struct ws_deflate *shared = deflate_of(15, 1, false), *own = deflate_of(15, 1, true);

	CHECK(ws_deflate_likeness(shared) != 0 && ws_deflate_likeness(own) == 0);
	ws_deflate_free(shared);
	ws_deflate_free(own);
	ws_session_pool_clear(&pool);
}

/* What cannot be compressed for want of memory is sent as it is. */
static size_t play_starved(size_t fail_at)
{
	struct ws_prepared p;
	struct ws_deflate *deflate = deflate_of(9, 1, false);

	memory_reset(fail_at, 1);
	ws_prepared_init(&p, WS_TEXT, text, LEN);
	const struct ws_prepared_frame *frame = ws_prepared_compressed(&p, deflate);
	CHECK(frame == &p.plain || frame->opcode == (WS_TEXT | WS_RSV1));
	CHECK((frame == &p.plain) == (p.compressed == NULL));
	const size_t calls = memory.calls;
	memory_reset(0, 0);
	ws_prepared_clear(&p);
	ws_deflate_free(deflate);
	ws_session_pool_clear(&pool);
	return calls;
}

static void test_starved(void)
{
	const size_t calls = play_starved(0), live = memory.live;

	CHECK(calls > 3);
	for (size_t n = 1; n <= calls; n++) {
		unit_row("allocation %zu of %zu", n, calls);
		(void)play_starved(n);
		CHECK(memory.live == live);
	}
}

UNIT_MAIN(
	{ "the frame of a message has the head that its length asks for", test_plain },
	{ "it is compressed once for each window and level", test_compressed },
	{ "with takeover nobody is alike", test_likeness },
	{ "without memory it stays plain", test_starved }
)
