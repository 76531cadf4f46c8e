/* UTF-8: fed in pieces or at once, the verdict is the naive decoder's, and it falls at the first bad byte. */
#include "fuzz.h"

#include <string.h>

#include "../core/naive_utf8.h"
#include "protocol/utf8.h"

/* Fed in pieces of step bytes; how many bytes were fed when the verdict fell. */
static enum verdict fed(const uint8_t *data, size_t size, size_t step, size_t *at)
{
	struct ws_utf8 u = { 0, 0, 0 };

	for (*at = 0; *at < size;) {
		const size_t len = step < size - *at ? step : size - *at;
		const bool valid = ws_utf8_feed(&u, data + *at, len);
		*at += len;
		if (!valid)
			return BAD;
	}
	return ws_utf8_complete(&u) ? WHOLE : CUT;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t first_bad, at;

	if (size == 0)
		return 0;
	const size_t step = (size_t)data[0] + 1;
	data++;
	size--;
	const enum verdict expected = naive_utf8(data, size);
	FUZZ_CHECK(fed(data, size, 1, &first_bad) == expected);
	FUZZ_CHECK(expected != BAD || (naive_utf8(data, first_bad) == BAD && naive_utf8(data, first_bad - 1) != BAD));
	FUZZ_CHECK(fed(data, size, step, &at) == expected);
	FUZZ_CHECK(expected != BAD || at < first_bad + step);
	FUZZ_CHECK(fed(data, size, size, &at) == expected);
	FUZZ_CHECK(ws_utf8_valid(data, size) == (expected == WHOLE));
	return 0;
}
