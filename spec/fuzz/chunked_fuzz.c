/* Bodies in chunks: what comes out is the same however they come in. The first byte says in what pieces. */
#include "fuzz.h"

#include <string.h>

#include "error.h"
#include "protocol/chunked.h"

struct body {
	char *bytes;
	size_t len;
	int result;
	size_t used;
};

static struct body read_in_pieces(const char *data, size_t size, size_t step)
{
	struct body body = { .bytes = malloc(size + 1), .result = WS_AGAIN };
	struct ws_chunked chunked = { 0 };

	while (body.result == WS_AGAIN && body.used < size) {
		const size_t len = step < size - body.used ? step : size - body.used;
		char *part = malloc(len);
		struct ws_slice input = { memcpy(part, data + body.used, len), len }, piece;
		while ((body.result = ws_chunked_next(&chunked, &input, &piece)) == 0) {
			FUZZ_CHECK(piece.data >= part && piece.data + piece.len <= part + len);
			memcpy(body.bytes + body.len, piece.data, piece.len);
			body.len += piece.len;
		}
		FUZZ_CHECK(body.result != WS_AGAIN || input.len == 0);
		body.used += len - input.len;
		free(part);
	}
	return body;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (size < 2)
		return 0;
	const char *const data = (const char *)bytes + 1;
	struct body whole = read_in_pieces(data, size - 1, size - 1), single = read_in_pieces(data, size - 1, 1);
	struct body some = read_in_pieces(data, size - 1, (size_t)bytes[0] + 1);
	FUZZ_CHECK(single.result == whole.result && some.result == whole.result);
	FUZZ_CHECK(single.used == whole.used && some.used == whole.used);
	FUZZ_CHECK(single.len == whole.len && memcmp(single.bytes, whole.bytes, whole.len) == 0);
	FUZZ_CHECK(some.len == whole.len && memcmp(some.bytes, whole.bytes, whole.len) == 0);
	free(whole.bytes);
	free(single.bytes);
	free(some.bytes);
	return 0;
}
