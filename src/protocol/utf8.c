/*
 * UTF-8 validation. The inside of a text is checked 16 bytes at a time, whatever its script; only the edges
 * of a piece, where a character may be cut, go byte by byte.
 */
#include "protocol/utf8.h"

#include <string.h>

enum {
	BLOCK = 16,
	SHORT = 8 * BLOCK,
	BEFORE = 3 /* how many bytes before a byte decide whether it is valid: the longest form has 4 */
};

typedef int8_t block __attribute__((vector_size(BLOCK)));

/*
 * The byte that starts a character: sets how many follow and what the first of them may be (Unicode table
 * 3-7).
 */
static bool lead_take(struct ws_utf8 *u, uint8_t byte)
{
	u->low = 0x80;
	u->high = 0xBF;
	if (byte < 0x80)
		return true;
	if (byte < 0xC2 || byte > 0xF4) /* C0, C1: overlong; F5 and up: beyond U+10FFFF */
		return false;
	u->missing = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
	switch (byte) {
	case 0xE0: u->low = 0xA0; break;  /* below: overlong */
	case 0xED: u->high = 0x9F; break; /* above: surrogates */
	case 0xF0: u->low = 0x90; break;  /* below: overlong */
	case 0xF4: u->high = 0x8F; break; /* above: beyond U+10FFFF */
	default: break;
	}
	return true;
}

static bool byte_take(struct ws_utf8 *u, uint8_t byte)
{
	if (u->missing == 0)
		return lead_take(u, byte);
	if (byte < u->low || byte > u->high)
		return false;
	u->missing--;
	u->low = 0x80;
	u->high = 0xBF;
	return true;
}

static bool bytes_take(struct ws_utf8 *u, const uint8_t *data, const uint8_t *end)
{
	while (data < end)
		if (!byte_take(u, *data++))
			return false;
	return true;
}

/*
 * Bytes with the top bit flipped, so that signed comparisons, which every vector unit has, order them as
 * unsigned.
 */
static inline block block_load(const uint8_t *data)
{
	block bytes;
	memcpy(&bytes, data, sizeof bytes);
	return bytes ^ (int8_t)-128;
}

/* A byte as block_load shows it. */
#define FLIPPED(byte) ((int8_t)((byte) - 0x80))

static inline bool block_any(block bits)
{
	uint64_t halves[2];
	memcpy(halves, &bits, sizeof halves);
	return (halves[0] | halves[1]) != 0;
}

/*
 * Whether the 16 bytes go on validly from the 3 before them. Per byte: it is a continuation exactly if one
 * of the 3 bytes before it asks for one, it is none of those that never occur, and the four narrow second
 * bytes are kept to (Unicode table 3-7). The first invalid byte of a text is always caught at its own
 * place.
 */
static inline bool block_valid(const uint8_t *data)
{
	const block byte = block_load(data);
	const block last1 = block_load(data - 1);
	const block last2 = block_load(data - 2);
	const block last3 = block_load(data - 3);
	const block wanted = (last1 > FLIPPED(0xBF)) | (last2 > FLIPPED(0xDF)) | (last3 > FLIPPED(0xEF));
	const block found = (byte > FLIPPED(0x7F)) & (byte < FLIPPED(0xC0));
	block wrong = (wanted ^ found) | (byte > FLIPPED(0xF4)) | ((byte & ~1) == FLIPPED(0xC0));

	wrong |= (last1 == FLIPPED(0xE0)) & (byte < FLIPPED(0xA0));
	wrong |= (last1 == FLIPPED(0xED)) & (byte > FLIPPED(0x9F));
	wrong |= (last1 == FLIPPED(0xF0)) & (byte < FLIPPED(0x90));
	wrong |= (last1 == FLIPPED(0xF4)) & (byte > FLIPPED(0x8F));
	return !block_any(wrong);
}

/* Goes over whole blocks of ASCII. */
static const uint8_t *ascii_skip(const uint8_t *data, const uint8_t *end)
{
	while (end - data >= 4 * (ptrdiff_t)sizeof(uint64_t)) {
		uint64_t words[4];
		memcpy(words, data, sizeof words);
		if (((words[0] | words[1] | words[2] | words[3]) & UINT64_C(0x8080808080808080)) != 0)
			break;
		data += sizeof words;
	}
	return data;
}

/*
 * Whether it is all ASCII. For short texts: most are, and blocks that are loaded across what unmasking has just stored
 * wait for it.
 */
static bool ascii_only(const uint8_t *data, size_t len)
{
	const uint8_t *const last = data + len - sizeof(uint64_t);
	uint64_t bits, word;

	memcpy(&bits, last, sizeof bits); /* some bytes twice rather than one by one */
	for (; data < last; data += sizeof word) {
		memcpy(&word, data, sizeof word);
		bits |= word;
	}
	return (bits & UINT64_C(0x8080808080808080)) == 0;
}

/* The bytes from data, which has at least 3 checked ones before it, to end, at least 16 further on. */
static bool blocks_valid(const uint8_t *data, const uint8_t *end)
{
	while (end - data >= BLOCK) {
		if (data[-1] < 0x80) /* no character is open */
			data = ascii_skip(data, end);
		if (end - data < BLOCK)
			break;
		if (!block_valid(data))
			return false;
		data += BLOCK;
	}
	return data == end || block_valid(end - BLOCK); /* some bytes twice rather than one by one */
}

/* The state at end, after at least 3 valid bytes. */
static void state_find(struct ws_utf8 *u, const uint8_t *end)
{
	const uint8_t *data = end - BEFORE;

	while (data < end && (*data & 0xC0) == 0x80)
		data++; /* belongs to a character that started earlier and is therefore complete */
	u->missing = 0;
	(void)bytes_take(u, data, end);
}

bool ws_utf8_feed(struct ws_utf8 *u, const uint8_t *data, size_t len)
{
	if (u->missing == 0 && len >= sizeof(uint64_t) && len <= SHORT && ascii_only(data, len))
		return true;
	if (len < BEFORE + BLOCK)
		return len == 0 || bytes_take(u, data, data + len);
	if (!bytes_take(u, data, data + BEFORE) || !blocks_valid(data + BEFORE, data + len))
		return false;
	state_find(u, data + len);
	return true;
}

bool ws_utf8_complete(const struct ws_utf8 *u)
{
	return u->missing == 0;
}

bool ws_utf8_valid(const uint8_t *data, size_t len)
{
	struct ws_utf8 u = { 0, 0, 0 };

	return ws_utf8_feed(&u, data, len) && ws_utf8_complete(&u);
}
