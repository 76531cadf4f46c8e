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
	const int count = ws_output_parts(o, loop, parts, 3, &offered);

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

/* So that chunks are allocated. */
static void empty_pool(void)
{
	while (loop->pool) {
		struct ws_chunk *chunk = loop->pool;
		loop->pool = chunk->next;
		loop->pooled -= chunk->size;
		free(chunk);
	}
}

static void test_order(void)
{
	struct ws_output o = { .last = NULL };
	size_t in = 0, out = 0;

	srand(7);
	for (int i = 0; i < 4000; i++) {
		const size_t head = (size_t)rand() % 14, skip = (size_t)rand() % 20;
		const size_t len = (size_t)rand() % (i % 50 ? 9000 : LARGE - 100) + 20;
		const int how = rand() % 3;
		const size_t start = how == 2 ? in : in - (skip < in ? skip : in);
		const struct iovec parts[2] = { { large, head }, { large + head, len } };
		struct ws_common common = { .copy = NULL };
		fill(large, start, head + len);
		if (how == 2)
			CHECK(ws_output_borrow(&o, loop, parts, 2, &common) == 0);
		else if (how == 1)
			CHECK(ws_output_share(&o, loop, parts, 2, in - start, &common) == 0);
		else
			CHECK(ws_output_append(&o, loop, parts, 2, in - start) == 0);
		if (common.copy)
			ws_shared_release(common.copy);
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
	struct ws_common common = { .copy = NULL };
	const struct iovec parts[2] = { { large, 10 }, { large + 10, LARGE - 10 } };

	fill(large, 0, LARGE);
	memory_reset(0, 0);
	for (size_t i = 0; i < MANY; i++)
		CHECK(ws_output_share(&outputs[i], loop, parts, 2, i, &common) == 0);
	CHECK(memory.bytes < LARGE + MANY * 5000);
	CHECK(common.copy->references == MANY + 1);
	ws_shared_release(common.copy);
	memset(large, 0, sizeof large); /* it was the caller's again */
	for (size_t i = 0; i < MANY; i++)
		take_all(&outputs[i], i, LARGE);
}

/* Pointing to it would cost as much. */
static void test_short(void)
{
	struct ws_output o = { .last = NULL };
	struct ws_common common = { .copy = NULL };
	const struct iovec part = { large, WS_SHARE_SIZE }, shorter = { large, WS_SHARE_SIZE - 1 };

	CHECK(ws_output_share(&o, loop, &part, 1, 1, &common) == 0);
	CHECK(ws_output_share(&o, loop, &shorter, 1, 0, &common) == 0);
	CHECK(common.copy == NULL);
	ws_output_consume(&o, loop, o.size);
}

/* Queues the next len bytes of the stream, which all outputs borrow, to one. */
static void borrow(struct ws_output *o, size_t at, size_t len, struct ws_common *common)
{
	const struct iovec parts[2] = { { large, len / 3 }, { large + len / 3, len - len / 3 } };

	fill(large, at, len);
	CHECK(ws_output_borrow(o, loop, parts, 2, common) == 0);
	memset(large, 0, len); /* it was the caller's again */
}

static const uint8_t *first_part(const struct ws_output *o, size_t len)
{
	struct iovec parts[2];
	size_t offered;

	CHECK(ws_output_parts(o, loop, parts, 2, &offered) == 1 && offered == len && parts[0].iov_len == len);
	return parts[0].iov_base;
}

static void test_borrowed(void)
{
	enum { MANY = 100, LEN = 300 };
	struct ws_output outputs[MANY] = { { .last = NULL } };
	struct ws_common first = { .copy = NULL }, second = { .copy = NULL };

	for (size_t i = 0; i < MANY; i++)
		borrow(&outputs[i], 0, LEN, &first);
	for (size_t i = 0; i < MANY; i++)
		borrow(&outputs[i], LEN, LEN, &second);
	for (size_t i = 0; i < MANY; i++) /* one piece, and the same one */
		CHECK(first_part(&outputs[i], 2 * LEN) == loop->batch.bytes);
	CHECK(loop->batch.borrowers == MANY && !first.copy && !second.copy);
	for (size_t i = 0; i < MANY; i++)
		take_all(&outputs[i], 0, 2 * LEN);
	CHECK(loop->batch.borrowers == 0);
}

/* What stays does not depend on what is lent to others afterwards. */
static void test_borrowed_for_a_turn(void)
{
	struct ws_output slow = { .last = NULL }, quick = { .last = NULL };
	struct ws_common common = { .copy = NULL }, other = { .copy = NULL };

	borrow(&slow, 0, 300, &common);
	borrow(&quick, 0, 300, &common);
	CHECK(take(&slow, 0, 100) == 100); /* nobody takes more than that */
	CHECK(loop->batch.borrowers == 1 && first_part(&slow, 200) != first_part(&quick, 300) + 100);
	take_all(&quick, 0, 300);
	borrow(&quick, 7, 300, &other);
	CHECK(first_part(&quick, 300) == loop->batch.bytes); /* over what had been there */
	take_all(&slow, 100, 300);
	take_all(&quick, 7, 307);
	borrow(&quick, 50, 60, &common); /* long after that: nothing of it is there any more */
	take_all(&quick, 50, 110);
}

/* What cannot follow what is borrowed is copied, and with it what was borrowed. */
static void test_borrowed_and_more(void)
{
	struct ws_output o = { .last = NULL };
	struct ws_common rows[3] = { { .copy = NULL } };

	borrow(&o, 0, 100, &rows[0]);
	const struct iovec part = { large, 50 };
	fill(large, 100, 50);
	CHECK(ws_output_append(&o, loop, &part, 1, 0) == 0); /* its own */
	CHECK(loop->batch.borrowers == 0);
	borrow(&o, 150, 100, &rows[1]);
	take_all(&o, 0, 250);
	struct ws_common shared = { .copy = NULL };
	const struct iovec long_part = { large, WS_SHARE_SIZE };
	borrow(&o, 0, 100, &rows[0]);
	fill(large, 100, WS_SHARE_SIZE);
	CHECK(ws_output_share(&o, loop, &long_part, 1, 0, &shared) == 0);
	ws_shared_release(shared.copy);
	take_all(&o, 0, 100 + WS_SHARE_SIZE);
	struct ws_output elsewhere = { .last = NULL };
	borrow(&o, 0, 100, &rows[2]);
	borrow(&elsewhere, 0, 100, &rows[0]);
	borrow(&o, 100, 100, &rows[1]); /* something of others' stands between */
	take_all(&o, 0, 200);
	take_all(&elsewhere, 0, 100);
	CHECK(loop->batch.borrowers == 0);
}

static void test_full_batch(void)
{
	struct ws_output outputs[2] = { { .last = NULL } };
	struct ws_common rows[3] = { { .copy = NULL } };
	const size_t half = WS_BATCH_SIZE / 2 + 1;

	borrow(&outputs[0], 0, half, &rows[0]);
	borrow(&outputs[1], 0, half, &rows[1]); /* does not fit in */
	CHECK(loop->batch.borrowers == 1 && first_part(&outputs[1], half) != loop->batch.bytes + half);
	take_all(&outputs[0], 0, half);
	take_all(&outputs[1], 0, half);
	borrow(&outputs[0], 0, WS_BATCH_SIZE + 1, &rows[2]); /* never would */
	CHECK(loop->batch.borrowers == 0);
	take_all(&outputs[0], 0, WS_BATCH_SIZE + 1);
}

/* Without any for the batch bytes are copied; without any for the copy they stay borrowed. */
static void test_borrowed_memory(void)
{
	struct ws_output o = { .last = NULL }, other = { .last = NULL };
	struct ws_common rows[3] = { { .copy = NULL } };
	const struct iovec part = { large, 100 };

	fill(large, 0, 100);
	memory_reset(1, 2);
	CHECK(ws_output_borrow(&o, loop, &part, 1, &rows[0]) == WS_ERROR_MEMORY && o.size == 0);
	memory_reset(1, 1);
	CHECK(ws_output_borrow(&o, loop, &part, 1, &rows[0]) == 0 && loop->batch.borrowers == 0);
	take_all(&o, 0, 100);
	empty_pool();
	borrow(&o, 0, 100, &rows[1]);
	memory_reset(1, 100);
	CHECK(take(&o, 0, 10) == 10 && loop->batch.borrowers == 1);
	memory_reset(1, 1);
	CHECK(ws_output_append(&o, loop, &part, 1, 0) == WS_ERROR_MEMORY && o.size == 90);
	borrow(&other, 7, 100, &rows[2]);
	memory_reset(0, 0);
	take_all(&o, 10, 100);
	take_all(&other, 7, 107);
	CHECK(loop->batch.borrowers == 0);
}

static void test_memory(void)
{
	const struct iovec parts[2] = { { large, 10 }, { large + 10, LARGE - 10 } };

	fill(large, 0, LARGE);
	for (size_t fail_at = 1; fail_at <= 4; fail_at++) { /* payload, chunk of it, chunk of the head; none */
		struct ws_output o = { .last = NULL };
		struct ws_common common = { .copy = NULL };
		unit_row("allocation %zu", fail_at);
		empty_pool();
		const size_t live = memory.live;
		memory_reset(fail_at, 1);
		const int e = ws_output_share(&o, loop, parts, 2, 0, &common);
		CHECK(e == (memory.calls >= fail_at ? WS_ERROR_MEMORY : 0));
		memory_reset(0, 0);
		CHECK(o.size == (e ? 0 : LARGE));
		if (common.copy)
			ws_shared_release(common.copy);
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
TEST(borrowed)
TEST(borrowed_for_a_turn)
TEST(borrowed_and_more)
TEST(full_batch)
TEST(borrowed_memory)
TEST(memory)

UNIT_MAIN(
	{ "what is queued comes out as it went in", order_in_loop },
	{ "a payload that many wait for is kept once", shared_in_loop },
	{ "a short one is copied", short_in_loop },
	{ "bytes that many send in a turn stand in one place", borrowed_in_loop },
	{ "what is not taken in a turn is not borrowed any more", borrowed_for_a_turn_in_loop },
	{ "what follows other bytes than those borrowed is copied", borrowed_and_more_in_loop },
	{ "so is what finds no place", full_batch_in_loop },
	{ "memory runs out while bytes are borrowed", borrowed_memory_in_loop },
	{ "nothing is queued in part where memory runs out", memory_in_loop })
