/* UTF-8 validation against a decoder that works with ranges of code points and not with tables of bytes. */
#include "protocol/utf8.h"

#include "naive_utf8.h"
#include "unit.h"

static enum verdict fed(const uint8_t *data, size_t len)
{
	struct ws_utf8 u = { 0, 0, 0 };

	if (!ws_utf8_feed(&u, data, len))
		return BAD;
	return ws_utf8_complete(&u) ? WHOLE : CUT;
}

static enum verdict fed_in_two(const uint8_t *data, size_t len, size_t cut)
{
	struct ws_utf8 u = { 0, 0, 0 };

	if (!ws_utf8_feed(&u, data, cut) || !ws_utf8_feed(&u, data + cut, len - cut))
		return BAD;
	return ws_utf8_complete(&u) ? WHOLE : CUT;
}

static enum verdict fed_byte_by_byte(const uint8_t *data, size_t len)
{
	struct ws_utf8 u = { 0, 0, 0 };

	for (size_t i = 0; i < len; i++)
		if (!ws_utf8_feed(&u, data + i, 1))
			return BAD;
	return ws_utf8_complete(&u) ? WHOLE : CUT;
}

/* --- exhaustive ---------------------------------------------------------------------------------- */

static void test_short(void)
{
	uint8_t text[3];

	CHECK(fed(NULL, 0) == WHOLE);
	for (unsigned n = 0; n < 1u << 24; n++) {
		text[0] = (uint8_t)(n >> 16);
		text[1] = (uint8_t)(n >> 8);
		text[2] = (uint8_t)n;
		const bool right = fed(text, 3) == naive_utf8(text, 3);
		if (!right)
			unit_row("%06x", n);
		CHECK(right);
	}
	for (unsigned n = 0; n < 1u << 16; n++) {
		text[0] = (uint8_t)(n >> 8);
		text[1] = (uint8_t)n;
		unit.row[0] = '\0';
		CHECK(fed(text, 2) == naive_utf8(text, 2));
		CHECK(fed(text, 1) == naive_utf8(text, 1));
	}
}

/* Every character there is, encoded by arithmetic, and every cut of it. */
static void test_characters(void)
{
	unsigned valid = 0;

	for (uint32_t number = 0; number < 0x200000; number++) {
		uint8_t text[4];
		size_t len = number < 0x80 ? 1 : number < 0x800 ? 2 : number < 0x10000 ? 3 : 4;
		uint32_t rest = number;
		for (size_t i = len; i-- > 1; rest /= 64)
			text[i] = (uint8_t)(0x80 + rest % 64);
		text[0] = (uint8_t)(rest + (len == 1 ? 0 : 0xF00u >> len));
		const bool expected = number <= LAST && !(number >= SURROGATE_FIRST && number <= SURROGATE_LAST);
		bool right = ws_utf8_valid(text, len) == expected
			&& (fed_byte_by_byte(text, len) == WHOLE) == expected;
		for (size_t cut = 1; expected && cut < len; cut++)
			right = right && fed(text, cut) == CUT;
		if (!right)
			unit_row("U+%04x", (unsigned)number);
		CHECK(right);
		valid += expected;
	}
	CHECK(valid == 0x110000 - 0x800);
}

/* The bytes around every bound of Unicode's table 3-7. */
static const uint8_t bounds[] = {
	0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE,
	0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF7, 0xF8, 0xFF
};

enum { BOUNDS = sizeof bounds };

static void quad_make(uint8_t text[4], unsigned n)
{
	for (size_t i = 0; i < 4; i++, n /= BOUNDS)
		text[i] = bounds[n % BOUNDS];
}

static void test_quads(void)
{
	for (unsigned n = 0; n < BOUNDS * BOUNDS * BOUNDS * BOUNDS; n++) {
		uint8_t text[4];
		quad_make(text, n);
		const enum verdict expected = naive_utf8(text, 4);
		const bool right = fed(text, 4) == expected && fed_byte_by_byte(text, 4) == expected;
		if (!right)
			unit_row("%02x %02x %02x %02x", text[0], text[1], text[2], text[3]);
		CHECK(right);
	}
}

/* The same inside longer texts, where whole blocks are looked at: at another place each. */
static void test_quads_in_blocks(void)
{
	enum { LEN = 64 };
	static const char *const fillers[] = { "abcdefgh", "\xE4\xBD\xA0", "\xD0\x9F", "\xF0\x9F\x98\x80" };

	for (size_t f = 0; f < sizeof fillers / sizeof *fillers; f++) {
		const size_t size = strlen(fillers[f]);
		for (unsigned n = 0; n < BOUNDS * BOUNDS * BOUNDS * BOUNDS; n++) {
			uint8_t text[LEN + 4];
			size_t len = 0;
			for (const size_t place = n * 7 % (LEN / size); len < place * size; len += size)
				memcpy(text + len, fillers[f], size);
			quad_make(text + len, n);
			for (len += 4; len + size <= LEN; len += size)
				memcpy(text + len, fillers[f], size);
			const bool right = fed(text, len) == naive_utf8(text, len);
			if (!right)
				unit_row("filler %zu, quad %u", f, n);
			CHECK(right);
		}
	}
}

/* --- pieces -------------------------------------------------------------------------------------- */

/* One, two, three and four bytes, at the ends of every range. */
static const char mixed[] =
	"a\x7F" "\xC2\x80\xDF\xBF" "\xE0\xA0\x80\xE0\xBF\xBF\xE1\x80\x80\xEC\xBF\xBF\xED\x80\x80\xED\x9F\xBF"
	"\xEE\x80\x80\xEF\xBF\xBF" "\xF0\x90\x80\x80\xF0\xBF\xBF\xBF\xF1\x80\x80\x80\xF3\xBF\xBF\xBF"
	"\xF4\x80\x80\x80\xF4\x8F\xBF\xBF" "the end, in sixteen bytes and more of ASCII \xC3\xA9";

static void test_split(void)
{
	const uint8_t *text = (const uint8_t *)mixed;
	const size_t len = sizeof mixed - 1;

	CHECK(ws_utf8_valid(text, len));
	for (size_t cut = 0; cut <= len; cut++) {
		unit_row("cut at %zu", cut);
		CHECK(fed_in_two(text, len, cut) == WHOLE);
		CHECK(fed(text, cut) == naive_utf8(text, cut));
		for (size_t second = cut; second <= len; second++) {
			struct ws_utf8 u = { 0, 0, 0 };
			CHECK(ws_utf8_feed(&u, text, cut) && ws_utf8_feed(&u, text + cut, second - cut)
				&& ws_utf8_feed(&u, text + second, len - second) && ws_utf8_complete(&u));
		}
	}
	CHECK(fed_byte_by_byte(text, len) == WHOLE);
}

/*
 * A wrong byte anywhere, a cut anywhere: refused with the piece that holds the first wrong byte, not
 * before.
 */
static void test_split_bad(void)
{
	static const uint8_t wrong[] = { 0x00, 0x80, 0xBF, 0xC0, 0xE0, 0xED, 0xF4, 0xF5, 0xFF };
	uint8_t text[sizeof mixed - 1];
	const size_t len = sizeof text;

	for (size_t place = 0; place < len; place++) {
		for (size_t w = 0; w < sizeof wrong; w++) {
			memcpy(text, mixed, len);
			text[place] = wrong[w];
			size_t first_bad = 0;
			while (first_bad < len && naive_utf8(text, first_bad + 1) != BAD)
				first_bad++;
			for (size_t cut = 0; cut <= len; cut++) {
				struct ws_utf8 u = { 0, 0, 0 };
				const bool first = ws_utf8_feed(&u, text, cut);
				unit_row("%02x at %zu, cut at %zu", wrong[w], place, cut);
				CHECK(first == (cut <= first_bad));
				if (first)
					CHECK(ws_utf8_feed(&u, text + cut, len - cut) == (first_bad == len));
			}
		}
	}
}

/* --- words --------------------------------------------------------------------------------------- */

/* Against both guard pages, for every length: each over-read or under-read crashes. */
static void test_guarded(void)
{
	const uint8_t *text = (const uint8_t *)mixed;

	for (size_t len = 0; len < sizeof mixed; len++) {
		unit_row("len %zu", len);
		CHECK(fed(unit_guard_end(text, len), len) == naive_utf8(text, len));
		CHECK(fed(unit_guard_start(text, len), len) == naive_utf8(text, len));
		const uint8_t *tail = text + (sizeof mixed - 1 - len);
		CHECK(fed(unit_guard_end(tail, len), len) == naive_utf8(tail, len));
	}
}

static void test_ascii(void)
{
	enum { LONGEST = 130 };
	static const uint8_t wrong[] = { 0x80, 0xBF, 0xC1, 0xFF };
	uint8_t text[LONGEST];

	for (size_t len = 0; len <= LONGEST; len++) {
		memset(text, 'x', sizeof text);
		uint8_t *copy = unit_guard_end(text, len);
		unit_row("len %zu", len);
		CHECK(ws_utf8_valid(copy, len));
		for (size_t place = 0; place < len; place++) {
			for (size_t w = 0; w < sizeof wrong; w++) {
				copy[place] = wrong[w];
				unit_row("len %zu, %02x at %zu", len, wrong[w], place);
				CHECK(fed(copy, len) == BAD);
			}
			copy[place] = 0xE4; /* the start of a character: bad but at the end */
			CHECK(fed(copy, len) == (place == len - 1 ? CUT : BAD));
			copy[place] = 'x';
		}
	}
}

static void test_alignment(void)
{
	_Alignas(64) uint8_t room[sizeof mixed + 64];
	const size_t len = sizeof mixed - 1;

	for (size_t alignment = 0; alignment < 64; alignment++) {
		memset(room, 0xFF, sizeof room);
		memcpy(room + alignment, mixed, len);
		unit_row("alignment %zu", alignment);
		CHECK(ws_utf8_valid(room + alignment, len));
		room[alignment + len - 1] = 'x';
		CHECK(!ws_utf8_valid(room + alignment, len));
	}
}

/* Long texts in one script, cut everywhere near their ends: the blocks begin and end in mid-character. */
static void test_scripts(void)
{
	static const char *const characters[] = {
		"\xC3\xA9", "\xE4\xBD\xA0", "\xF0\x9F\x98\x80", "x\xE4\xBD\xA0"
	};

	for (size_t c = 0; c < sizeof characters / sizeof *characters; c++) {
		const size_t size = strlen(characters[c]);
		uint8_t text[240];
		for (size_t i = 0; i < sizeof text; i++)
			text[i] = (uint8_t)characters[c][i % size];
		for (size_t len = 0; len <= sizeof text; len++) {
			unit_row("script %zu, len %zu", c, len);
			CHECK(fed(unit_guard_end(text, len), len) == naive_utf8(text, len));
			CHECK(fed_in_two(text, sizeof text, len) == WHOLE);
		}
	}
}

UNIT_MAIN(
	{ "all strings of one, two and three bytes", test_short },
	{ "all characters", test_characters },
	{ "four bytes around every bound", test_quads },
	{ "four bytes around every bound in long texts", test_quads_in_blocks },
	{ "a text split at every position", test_split },
	{ "a bad byte is found in its piece, at every split", test_split_bad },
	{ "nothing outside the text is read", test_guarded },
	{ "a bad byte at every offset of ASCII", test_ascii },
	{ "every alignment", test_alignment },
	{ "one script at a time", test_scripts }
)
