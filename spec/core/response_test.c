/* Responses that are kept (RFC 9112 section 6.3), cut at every byte. */
#include "protocol/response.h"

#include "error.h"
#include "unit.h"

/* Keeps a response whose bytes come in two pieces. Returns whether it is complete; the body is text. */
static bool keep(const char *bytes, size_t cut, size_t max_body, char *body)
{
	struct ws_response r = { 0 };
	struct ws_head head;
	struct ws_refusal wrong;
	const size_t len = strlen(bytes);
	const long used = ws_head_parse_response(&head, bytes, len, len + 1, &wrong);
	CHECK(used > 0);
	CHECK(ws_response_begin(&r, &head, (struct ws_slice){ bytes, (size_t)used }, max_body) == 0);
	CHECK(r.status == head.status && r.head_len == (size_t)used);
	cut = cut > (size_t)used ? cut : (size_t)used;
	CHECK(ws_response_take(&r, (struct ws_slice){ unit_guard_end(bytes + used, cut - (size_t)used), cut - (size_t)used }) == 0);
	CHECK(ws_response_take(&r, (struct ws_slice){ unit_guard_end(bytes + cut, len - cut), len - cut }) == 0);
	CHECK(!memcmp(r.bytes, bytes, r.head_len));
	memcpy(body, r.bytes + r.head_len, r.len - r.head_len);
	body[r.len - r.head_len] = '\0';
	const bool complete = ws_response_complete(&r);
	ws_response_clear(&r);
	CHECK(r.bytes == NULL && r.status == 0);
	return complete;
}

static void test_bodies(void)
{
	static const struct {
		const char *bytes, *body;
		bool complete;
	} rows[] = {
		{ "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhello", "hello", true },
		{ "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhello there", "hello", true },
		{ "HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\nhello", "hello", false },
		{ "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\nx", "", true },
		{ "HTTP/1.1 403 No\r\nContent-Length: 999999999999999999\r\n\r\nhello", "hello", false },
		{ "HTTP/1.1 403 No\r\nContent-Length: 999999999999999999\r\n\r\nhello to all", "hello to", true },
		{ "HTTP/1.0 403 No\r\n\r\nhello", "hello", false },
		{ "HTTP/1.0 403 No\r\n\r\nhello to all", "hello to", true },
		{ "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello", true },
		{ "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello", false },
		{ "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n to all\r\n", "hello to", true },
		{ "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nhello", "", true },
		{ "HTTP/1.1 101 Other\r\nContent-Length: 5\r\n\r\nhello", "", true },
		{ "HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\nhello", "", true },
		{ "HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\nhello", "", true },
	};
	char body[64];
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		for (size_t cut = 0; cut <= strlen(rows[i].bytes); cut++) {
			unit_row("%s, cut at %zu", rows[i].bytes, cut);
			CHECK(keep(rows[i].bytes, cut, 8, body) == rows[i].complete);
			CHECK(!strcmp(body, rows[i].body));
		}
	}
}

static void test_nothing_wanted(void)
{
	char body[64];
	CHECK(keep("HTTP/1.1 403 No\r\n\r\nhello", 0, 0, body));
	CHECK(body[0] == '\0');
}

UNIT_MAIN(
	{ "a body is as long as its head or its chunks say, and no longer than is wanted", test_bodies },
	{ "where no body is wanted the head is all", test_nothing_wanted }
)
