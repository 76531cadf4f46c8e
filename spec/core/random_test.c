/* Unpredictable bytes: fetched in supplies, handed out once, and wiped. */
#include "net/random.h"

#include "net/loop_private.h"
#include "unit.h"

static bool all_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static void test_random(void)
{
	struct ws_loop *loop = ws_loop_new();
	static uint8_t keys[500][16];
	for (size_t i = 0; i < 500; i++) {
		CHECK(ws_random_fill(loop, keys[i], sizeof keys[i]) == 0);
		for (size_t before = 0; before < i; before++)
			CHECK(memcmp(keys[before], keys[i], sizeof keys[i]) != 0);
	}
	size_t used = sizeof loop->random.bytes - loop->random.left;
	CHECK(all_zero(loop->random.bytes, used));
	ws_loop_free(loop);
}

static void test_large(void)
{
	struct ws_loop *loop = ws_loop_new();
	uint8_t bytes[1000] = { 0 };
	CHECK(ws_random_fill(loop, bytes, 3) == 0);
	CHECK(ws_random_fill(loop, bytes, sizeof bytes) == 0);
	for (size_t i = 0; i + 32 <= sizeof bytes; i += 32)
		CHECK(!all_zero(bytes + i, 32));
	ws_loop_free(loop);
}

UNIT_MAIN(
	{ "no two keys are the same, and none is kept", test_random },
	{ "more than one supply at once", test_large }
)
