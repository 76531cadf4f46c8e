/* A UTF-8 decoder that works with ranges of code points and not with tables of bytes: the tests' measure. */
#ifndef NAIVE_UTF8_H
#define NAIVE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SURROGATE_FIRST = 0xD800, SURROGATE_LAST = 0xDFFF, LAST = 0x10FFFF };

enum verdict { BAD, CUT, WHOLE };

/* Whether a character can have a number in the range. */
static inline bool range_allowed(uint32_t first, uint32_t last, uint32_t least)
{
	if (first < least)
		first = least;
	if (last > LAST)
		last = LAST;
	if (first >= SURROGATE_FIRST && first <= SURROGATE_LAST)
		first = SURROGATE_LAST + 1;
	if (last >= SURROGATE_FIRST && last <= SURROGATE_LAST)
		last = SURROGATE_FIRST - 1;
	return first <= last;
}

/*
 * The character at the start of data: WHOLE and its length; CUT where the bytes present can be its start;
 * else BAD. Every byte narrows the range of numbers that the character can have.
 */
static inline enum verdict naive_character(const uint8_t *data, size_t len, size_t *used)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned size = 0;

	while (size < 8 && (data[0] & (0x80 >> size)) != 0)
		size++; /* as many leading ones as there are bytes */
	if (size == 0) {
		*used = 1;
		return WHOLE;
	}
	if (size == 1 || size > 4)
		return BAD;
	uint32_t number = data[0] & (0x7Fu >> size);
	for (unsigned i = 1;; i++) {
		const uint32_t open = UINT32_C(1) << (6 * (size - i)); /* numbers that are still possible */
		if (!range_allowed(number * open, number * open + (open - 1), least[size]))
			return BAD;
		*used = i;
		if (i == size)
			return WHOLE;
		if (i == len)
			return CUT;
		if (data[i] / 64 != 2)
			return BAD;
		number = number * 64 + data[i] % 64;
	}
}

static inline enum verdict naive_utf8(const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t used = 0;
		const enum verdict verdict = naive_character(data + i, len - i, &used);
		if (verdict != WHOLE)
			return verdict;
		i += used;
	}
	return WHOLE;
}

#endif
