/* The PROXY protocol's header: it is the same however it comes in, and nothing behind it matters. */
#include "fuzz.h"

#include <string.h>

#include "error.h"
#include "protocol/proxy_header.h"

/* With nothing readable behind it. */
static long parse(struct ws_proxy_header *header, const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1);
	FUZZ_CHECK(copy);
	memcpy(copy, data, size);
	const long used = ws_proxy_header_parse(header, copy, size);
	free(copy);
	return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ws_proxy_header whole, part;
	const long used = parse(&whole, data, size);
	FUZZ_CHECK(used == WS_AGAIN || used == WS_ERROR_PROTOCOL || (used >= 15 && used <= (long)size));
	FUZZ_CHECK(used <= WS_PROXY_HEADER_SIZE && (used != WS_AGAIN || size < WS_PROXY_HEADER_SIZE));
	if (used > 0) {
		FUZZ_CHECK(parse(&part, data, (size_t)used) == used);
		FUZZ_CHECK(part.speaks_for_another == whole.speaks_for_another && part.port == whole.port && part.port <= 65535);
		FUZZ_CHECK(!memcmp(part.source, whole.source, sizeof part.source));
	}
	const size_t limit = used > 0 ? (size_t)used : size;
	long before = WS_AGAIN;
	for (size_t n = 0; n < limit; n += n < 200 ? 1 : 97) {
		const long now = parse(&part, data, n);
		FUZZ_CHECK(now == WS_AGAIN || (now == WS_ERROR_PROTOCOL && used == WS_ERROR_PROTOCOL));
		FUZZ_CHECK(before == WS_AGAIN || now == before); /* what is wrong stays wrong */
		before = now;
	}
	return 0;
}
