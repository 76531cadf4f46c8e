/* Unpredictable bytes: fetched in supplies, handed out once, and wiped. */
#include "net/random.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include "error.h"
#include "net/loop_private.h"
#include "unit.h"

/* What the kernel does instead of giving as many random bytes as it was asked for. All zero: nothing. */
static struct {
	unsigned calls;
	unsigned fails_at; /* this call fails with EIO; 0: none does */
	bool interrupts;   /* each second call, beginning with the first */
	size_t most;       /* bytes that one call gives, which count up; 0: random ones, all of them */
	uint8_t next;
} kernel;

/* Takes the C library's place. */
ssize_t getrandom(void *out, size_t len, unsigned flags)
{
	kernel.calls++;
	if (kernel.calls == kernel.fails_at || (kernel.interrupts && kernel.calls % 2 == 1)) {
		errno = kernel.calls == kernel.fails_at ? EIO : EINTR;
		return -1;
	}
	if (kernel.most == 0)
		return (ssize_t)syscall(SYS_getrandom, out, len, flags);
	len = len < kernel.most ? len : kernel.most;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)out)[i] = kernel.next++;
	return (ssize_t)len;
}

static struct ws_loop *start(void)
{
	struct ws_loop *loop = ws_loop_new();
	memset(&kernel, 0, sizeof kernel);
	return loop;
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static void test_random(void)
{
	struct ws_loop *loop = start();
	static uint8_t keys[500][16];
	for (size_t i = 0; i < 500; i++) {
		CHECK(ws_random_fill(loop, keys[i], sizeof keys[i]) == 0);
		for (size_t before = 0; before < i; before++)
			CHECK(memcmp(keys[before], keys[i], sizeof keys[i]) != 0);
	}
	size_t used = sizeof loop->random.bytes - loop->random.left;
	CHECK(used > 0);
	CHECK(all_zero(loop->random.bytes, used));
	ws_loop_free(loop);
}

static void test_large(void)
{
	struct ws_loop *loop = start();
	uint8_t bytes[1000] = { 0 };
	CHECK(ws_random_fill(loop, bytes, 3) == 0);
	CHECK(ws_random_fill(loop, bytes, sizeof bytes) == 0);
	for (size_t i = 0; i + 32 <= sizeof bytes; i += 32)
		CHECK(!all_zero(bytes + i, 32));
	ws_loop_free(loop);
}

static void test_calls(void)
{
	struct ws_loop *loop = start();
	uint8_t key[4];
	for (size_t i = 0; i < 128; i++) {
		CHECK(ws_random_fill(loop, key, sizeof key) == 0);
		CHECK(kernel.calls == i / 64 + 1);
	}
	CHECK(ws_random_fill(loop, key, 0) == 0);
	CHECK(kernel.calls == 2);
	ws_loop_free(loop);
}

/* Every byte of the kernel's is handed out once, in its order, however they come and are taken. */
static void test_pieces(void)
{
	static const struct {
		size_t most;
		bool interrupts;
	} rows[] = { { 256, false }, { 256, true }, { 255, false }, { 7, false }, { 7, true }, { 1, true } };
	uint8_t bytes[600];
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct ws_loop *loop = start();
		uint8_t expected = 0;
		kernel.most = rows[i].most;
		kernel.interrupts = rows[i].interrupts;
		for (size_t len = 0; len <= sizeof bytes; len += 1 + len / 3) {
			unit_row("at most %zu%s, %zu taken", rows[i].most, rows[i].interrupts ? ", interrupted" : "", len);
			CHECK(ws_random_fill(loop, bytes, len) == 0);
			for (size_t at = 0; at < len; at++)
				CHECK(bytes[at] == expected++);
		}
		ws_loop_free(loop);
	}
}

/* The call that fails is the second of a supply: the half that came before it is not handed out. */
static void test_failure(void)
{
	struct ws_loop *loop = start();
	uint8_t bytes[4];
	kernel.most = 128;
	kernel.fails_at = 2;
	CHECK(ws_random_fill(loop, bytes, sizeof bytes) == WS_ERROR_SYSTEM);
	CHECK(loop->random.left == 0);
	CHECK(ws_random_fill(loop, bytes, sizeof bytes) == 0);
	CHECK(bytes[0] == 128 && bytes[3] == 131);
	ws_loop_free(loop);
}

UNIT_MAIN(
	{ "no two keys are the same, and none is kept", test_random },
	{ "more than one supply at once", test_large },
	{ "64 masking keys cost one system call", test_calls },
	{ "a kernel that is interrupted and gives less than it was asked for", test_pieces },
	{ "a kernel that fails is told of, and asked anew the next time", test_failure }
)
