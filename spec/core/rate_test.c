/* The token bucket: what may come at once, what comes back with time, and how long too much is to be waited for. */
#include "endpoint/rate.h"
#include "unit.h"

/* For how many ms no more should come. */
static uint64_t take(struct ws_rate *r, const struct ws_rate_options *options, unsigned messages, size_t bytes,
                     uint64_t now)
{
	return ws_rate_take(r, options, messages, bytes, now) ? r->until - now : 0;
}

static void test_messages(void)
{
	const struct ws_rate_options ten = { .messages = 10, .burst = 1 };
	struct ws_rate r = { .at = 0 };
	for (int i = 0; i < 10; i++)
		CHECK(take(&r, &ten, 1, 1 << 20, 1000) == 0);
	CHECK(take(&r, &ten, 1, 0, 1000) == 101);
	CHECK(take(&r, &ten, 1, 0, 1101) > 90);
	CHECK(take(&r, &ten, 1, 0, 1500) == 0);
	CHECK(take(&r, &ten, 1, 0, 900000) == 0);
	for (int i = 0; i < 9; i++) /* no more is saved up than a second's worth */
		CHECK(take(&r, &ten, 1, 0, 900000) == 0);
	CHECK(take(&r, &ten, 1, 0, 900000) > 0);
}

static void test_bytes(void)
{
	const struct ws_rate_options options = { .bytes = 1000, .burst = 2 };
	struct ws_rate r = { .at = 0 };
	CHECK(take(&r, &options, 1, 2000, 5) == 0);
	CHECK(take(&r, &options, 1, 0, 5) == 0);
	CHECK(take(&r, &options, 1, 500, 5) == 501);
	CHECK(take(&r, &options, 0, 500, 506) == 500);
}

/* Less than one a second: the first may come at once. */
static void test_slow(void)
{
	const struct ws_rate_options slow = { .messages = 0.1, .burst = 1 };
	struct ws_rate r = { .at = 0 };
	CHECK(take(&r, &slow, 1, 0, 1) == 0);
	CHECK(take(&r, &slow, 1, 0, 1) == 10001);
	CHECK(take(&r, &slow, 0, 0, 10002) == 0);
}

UNIT_MAIN(
	{ "messages: a burst, then their rate", test_messages },
	{ "bytes: whatever the number of messages", test_bytes },
	{ "less than one message a second", test_slow }
)
