/* Masking against the loop of RFC 6455 section 5.3. */
#include "protocol/mask.h"

#include "unit.h"

enum { LONGEST = 200, MARGIN = 40 };

static const uint8_t key[4] = { 0x37, 0xFA, 0x21, 0x3D };

static void naive(uint8_t *data, size_t len, size_t offset)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(data[i] ^ key[(offset + i) % 4]);
}

static void fill(uint8_t *data, size_t len)
{
	uint32_t seed = 12345;

	for (size_t i = 0; i < len; i++) {
		seed = seed * 1103515245 + 12345;
		data[i] = (uint8_t)(seed >> 16);
	}
}

/* The result and, around it, that nothing else was touched. */
static void check_one(size_t len, size_t offset, size_t alignment)
{
	_Alignas(64) uint8_t got[LONGEST + 2 * MARGIN], expected[LONGEST + 2 * MARGIN];

	fill(got, sizeof got);
	memcpy(expected, got, sizeof got);
	ws_mask_xor(got + alignment, len, key, offset);
	naive(expected + alignment, len, offset);
	CHECK(memcmp(got, expected, sizeof got) == 0);
}

static void test_all(void)
{
	for (size_t len = 0; len <= LONGEST; len++)
		for (size_t offset = 0; offset < 4; offset++)
			for (size_t alignment = 0; alignment < 33; alignment++) {
				unit_row("len %zu offset %zu alignment %zu", len, offset, alignment);
				check_one(len, offset, alignment);
			}
}

static void test_offsets(void)
{
	static const size_t offsets[] = {
		4, 5, 31, 32, 1023, 65534, (size_t)UINT32_MAX + 2, SIZE_MAX - 1, SIZE_MAX
	};

	for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
		unit_row("offset %zu", offsets[i]);
		check_one(67, offsets[i], 1);
	}
}

static void test_guarded(void)
{
	uint8_t input[LONGEST], expected[LONGEST];

	fill(input, sizeof input);
	for (size_t len = 0; len <= LONGEST; len++) {
		unit_row("len %zu", len);
		memcpy(expected, input, len);
		naive(expected, len, 3);
		uint8_t *data = unit_guard_end(input, len);
		ws_mask_xor(data, len, key, 3);
		CHECK(memcmp(data, expected, len) == 0);
		data = unit_guard_start(input, len);
		ws_mask_xor(data, len, key, 3);
		CHECK(memcmp(data, expected, len) == 0);
	}
}

static void test_pieces(void)
{
	uint8_t input[LONGEST], got[LONGEST];

	fill(input, sizeof input);
	for (size_t cut = 0; cut <= LONGEST; cut++) {
		memcpy(got, input, sizeof got);
		ws_mask_xor(got, cut, key, 0);
		ws_mask_xor(got + cut, LONGEST - cut, key, cut);
		ws_mask_xor(got, LONGEST, key, 0);
		unit_row("cut at %zu", cut);
		CHECK(memcmp(got, input, sizeof got) == 0);
	}
}

/* RFC 6455 section 5.7: "Hello" masked */
static void test_example(void)
{
	uint8_t data[] = { 0x7F, 0x9F, 0x4D, 0x51, 0x58 };

	ws_mask_xor(data, sizeof data, key, 0);
	CHECK(memcmp(data, "Hello", 5) == 0);
	ws_mask_xor(NULL, 0, key, 0);
}

UNIT_MAIN(
	{ "every length, offset and alignment", test_all },
	{ "large offsets", test_offsets },
	{ "nothing is touched outside the data", test_guarded },
	{ "pieces of a payload, and twice is not at all", test_pieces },
	{ "RFC 6455 section 5.7", test_example }
)
