/* What waits to be sent comes out as it went in, however it is taken; payloads that many wait for are kept once. */
#include "memory.h"

#include "error.h"
#include "net/loop_private.h"
#include "net/output.h"
#include "unit.h"

enum { LARGE = 100 * 1024 };

static struct ws_loop *loop;
static uint8_t large[LARGE];

/* The byte at a place of a stream that never repeats itself soon. */
static uint8_t byte_at(size_t at)
{
	return (uint8_t)((at * 2654435761u) >> 13);
}

static void fill(uint8_t *bytes, size_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = byte_at(at + i);
}

/* Takes up to len bytes off the front, in as many parts as are offered, and compares them. Returns where it stands. */
static size_t take(struct ws_output *o, size_t at, size_t len)
{
	struct iovec parts[3];
	size_t taken = 0, offered;
	const int count = ws_output_parts(o, parts, 3, &offered);

	for (int i = 0; i < count; i++)
		offered -= parts[i].iov_len;
	CHECK(offered == 0);
	for (int i = 0; i < count && taken < len; i++) {
		const uint8_t *bytes = parts[i].iov_base;
		for (size_t j = 0; j < parts[i].iov_len && taken < len; j++, taken++)
			CHECK(bytes[j] == byte_at(at + taken));
	}
	ws_output_consume(o, loop, taken);
	return at + taken;
}

static void take_all(struct ws_output *o, size_t at, size_t end)
{
	while (at < end && !unit.failed)
		at = take(o, at, SIZE_MAX);
	CHECK(at == end && o->last == NULL && o->size == 0);
}

static void test_order(void)
{
	struct ws_output o = { .last = NULL };
	size_t in = 0, out = 0;

	srand(7);
	for (int i = 0; i < 4000; i++) {
		const size_t head = (size_t)rand() % 14, skip = (size_t)rand() % 20;
		const size_t len = (size_t)rand() % (i % 50 ? 9000 : LARGE - 100) + 20;
		const size_t start = in - (skip < in ? skip : in);
		const struct iovec parts[2] = { { large, head }, { large + head, len } };
		struct ws_shared *shared = NULL;
		fill(large, start, head + len);
		if (i % 3)
			CHECK(ws_output_share(&o, loop, parts, 2, in - start, &shared) == 0);
		else
			CHECK(ws_output_append(&o, loop, parts, 2, in - start) == 0);
		if (shared)
			ws_shared_release(shared);
		in = start + head + len;
		CHECK(o.size == in - out);
		out = take(&o, out, (size_t)rand() % (i % 100 < 50 ? 4000 : 20000));
	}
	take_all(&o, out, in);
}

/* The head is an output's own, the payload is kept once. */
static void test_shared(void)
{
	enum { MANY = 100 };
	struct ws_output outputs[MANY] = { { .last = NULL } };
	struct ws_shared *shared = NULL;
	const struct iovec parts[2] = { { large, 10 }, { large + 10, LARGE - 10 } };

	fill(large, 0, LARGE);
	memory_reset(0, 0);
	for (size_t i = 0; i < MANY; i++)
		CHECK(ws_output_share(&outputs[i], loop, parts, 2, i, &shared) == 0);
	CHECK(memory.bytes < LARGE + MANY * 5000);
	CHECK(shared->references == MANY + 1);
	ws_shared_release(shared);
	memset(large, 0, sizeof large); /* it was the caller's again */
	for (size_t i = 0; i < MANY; i++)
		take_all(&outputs[i], i, LARGE);
}

/* Pointing to it would cost as much. */
static void test_short(void)
{
	struct ws_output o = { .last = NULL };
	struct ws_shared *shared = NULL;
	const struct iovec part = { large, WS_SHARE_SIZE }, shorter = { large, WS_SHARE_SIZE - 1 };

	CHECK(ws_output_share(&o, loop, &part, 1, 1, &shared) == 0);
	CHECK(ws_output_share(&o, loop, &shorter, 1, 0, &shared) == 0);
	CHECK(shared == NULL);
	ws_output_consume(&o, loop, o.size);
}

static void test_memory(void)
{
	const struct iovec parts[2] = { { large, 10 }, { large + 10, LARGE - 10 } };

	fill(large, 0, LARGE);
	for (size_t fail_at = 1; fail_at <= 4; fail_at++) { /* payload, chunk of it, chunk of the head; none */
		struct ws_output o = { .last = NULL };
		struct ws_shared *shared = NULL;
		unit_row("allocation %zu", fail_at);
		while (loop->pool) { /* so that chunks are allocated, too */
			struct ws_chunk *chunk = loop->pool;
			loop->pool = chunk->next;
			loop->pooled -= chunk->size;
			free(chunk);
		}
		const size_t live = memory.live;
		memory_reset(fail_at, 1);
		const int e = ws_output_share(&o, loop, parts, 2, 0, &shared);
		CHECK(e == (memory.calls >= fail_at ? WS_ERROR_MEMORY : 0));
		memory_reset(0, 0);
		CHECK(o.size == (e ? 0 : LARGE));
		if (shared)
			ws_shared_release(shared);
		CHECK(!e || memory.live == live);
		take_all(&o, 0, o.size);
	}
}

static void with_loop(void (*test)(void))
{
	loop = ws_loop_new();
	if (!loop)
		abort();
	test();
	ws_loop_free(loop);
}

#define TEST(name) \
	static void name##_in_loop(void) \
	{ \
		with_loop(test_##name); \
	}

TEST(order)
TEST(shared)
TEST(short)
TEST(memory)

UNIT_MAIN(
	{ "what is queued comes out as it went in", order_in_loop },
	{ "a payload that many wait for is kept once", shared_in_loop },
	{ "a short one is copied", short_in_loop },
	{ "nothing is queued in part where memory runs out", memory_in_loop })
