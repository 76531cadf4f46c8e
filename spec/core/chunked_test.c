/* Bodies in chunks (RFC 9112 section 7.1), cut at every byte. */
#include "protocol/chunked.h"

#include "error.h"
#include "unit.h"

/* Decodes what comes in two pieces; returns the last result, the body is in out. */
static int decode(const char *text, size_t len, size_t cut, char *out)
{
	struct ws_chunked c = { 0 };
	int result = WS_AGAIN;
	size_t used = 0;
	for (int half = 0; half < 2 && result == WS_AGAIN; half++) {
		const char *from = half ? text + cut : text;
		struct ws_slice piece, input = { from, half ? len - cut : cut };
		input.data = unit_guard_end(from, input.len);
		while ((result = ws_chunked_next(&c, &input, &piece)) == 0) {
			memcpy(out + used, piece.data, piece.len);
			used += piece.len;
		}
	}
	out[used] = '\0';
	return result;
}

static void test_good(void)
{
	static const struct {
		const char *text, *body;
	} rows[] = {
		{ "0\r\n\r\n", "" },
		{ "5\r\nhello\r\n0\r\n\r\n", "hello" },
		{ "3\r\nnot\r\n5;x=y\r\n here\r\n0\r\n\r\n", "not here" },
		{ "A\r\n0123456789\r\n0a\r\nabcdefghij\r\n0\r\n", "0123456789abcdefghij" },
		{ "1 ; name=\"a;b\"\r\nx\r\n000\r\nTrailer: 1\r\n\r\n", "x" },
	};
	char body[64];
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		size_t len = strlen(rows[i].text);
		for (size_t cut = 0; cut <= len; cut++) {
			unit_row("row %zu, cut at %zu", i, cut);
			CHECK(decode(rows[i].text, len, cut, body) == 1);
			CHECK(!strcmp(body, rows[i].body));
		}
	}
}

static void test_truncated(void)
{
	static const char text[] = "3\r\nnot\r\n5\r\n here\r\n0\r\n";
	char body[64];
	for (size_t len = 0; len < sizeof text - 2; len++) {
		unit_row("%zu bytes", len);
		CHECK(decode(text, len, len / 2, body) == WS_AGAIN);
		CHECK(!strncmp(body, "not here", strlen(body)));
	}
}

static void test_wrong(void)
{
	static const struct {
		const char *text, *body; /* what came before */
	} rows[] = {
		{ "x\r\n", "" }, { "g\r\n", "" }, { "-1\r\n", "" }, { "0x1\r\n", "" }, { "<html>", "" }, { "5hello", "" },
		{ "\r\n", "" }, { "\n", "" }, { ";x=y\r\n", "" }, { " 1\r\nx\r\n", "" }, { "fffffffffffffffff\r\n", "" },
		{ "3\r\nnot\r\nx\r\n", "not" }, { "3\r\nnot\r\n\r\n", "not" }, { "3\r\nnot0\r\n\r\n", "not" },
		{ "3\r\nnot here\r\n0\r\n\r\n", "not" },
	};
	char body[64];
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		size_t len = strlen(rows[i].text);
		for (size_t cut = 0; cut <= len; cut++) {
			unit_row("%s, cut at %zu", rows[i].text, cut);
			CHECK(decode(rows[i].text, len, cut, body) == WS_ERROR_PROTOCOL);
			CHECK(!strcmp(body, rows[i].body));
		}
	}
}

static void test_largest(void)
{
	char line[32], body[64];
	int len = snprintf(line, sizeof line, "%zX\r\n", SIZE_MAX / 2);
	CHECK(decode(line, (size_t)len, 1, body) == WS_AGAIN);
	len = snprintf(line, sizeof line, "%zX\r\n", SIZE_MAX / 2 + 1);
	CHECK(decode(line, (size_t)len, 1, body) == WS_ERROR_PROTOCOL);
}

UNIT_MAIN(
	{ "chunks are joined, extensions and trailers passed over", test_good },
	{ "what is not over waits for more", test_truncated },
	{ "what is no chunk is refused", test_wrong },
	{ "sizes do not overflow", test_largest }
)
