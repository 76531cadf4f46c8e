/* The heads of responses: their bytes, what they may not carry, and the date. */
#include "protocol/reply.h"

#include <time.h>

#include "error.h"
#include "unit.h"

enum { MAX = 8192 };

#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" /* RFC 9110 section 5.6.7 */
#define PLAIN "Content-Type: text/plain; charset=utf-8\r\n"

static const int64_t example = 784111777;

static long write_reply(char *out, size_t size, unsigned status, const char *headers, uint64_t length)
{
	return ws_reply_head(out, size, &(struct ws_reply){ status, headers, length, example });
}

/* With less room their beginning is written, the same count told, and nothing behind it touched. */
static void test_bytes(void)
{
	static const struct {
		unsigned status;
		const char *headers;
		uint64_t length;
		const char *expected;
	} rows[] = {
		{ 200, "", 5000000000, "200 OK\r\n" DATE PLAIN "Content-Length: 5000000000\r\nConnection: close\r\n" },
		{ 200, "date: x\r\n", 1, "200 OK\r\n" PLAIN "Content-Length: 1\r\nConnection: close\r\ndate: x\r\n" },
		{ 204, "", 4, "204 No Content\r\n" DATE "Connection: close\r\n" },
		{ 205, "", 4, "205 Reset Content\r\n" DATE "Content-Length: 0\r\nConnection: close\r\n" },
		{ 304, "ETag: \"x\"\r\n", 4, "304 Not Modified\r\n" DATE "Connection: close\r\nETag: \"x\"\r\n" },
		{ 400, "", 4, "400 Bad Request\r\n" DATE PLAIN "Content-Length: 4\r\nConnection: close\r\n" },
		{ 405, "", 2, "405 Method Not Allowed\r\n" DATE PLAIN "Content-Length: 2\r\nAllow: GET\r\n"
			"Connection: close\r\n" },
		{ 405, "allow: POST\r\n", 2, "405 Method Not Allowed\r\n" DATE PLAIN "Content-Length: 2\r\n"
			"Connection: close\r\nallow: POST\r\n" },
		{ 426, "", 10, "426 Upgrade Required\r\n" DATE PLAIN "Content-Length: 10\r\nSec-WebSocket-Version: 13\r\n"
			"Upgrade: websocket\r\nConnection: Upgrade, close\r\n" },
		{ 401, "WWW-Authenticate: Basic\r\nX: y\r\n", 0, "401 Unauthorized\r\n" DATE PLAIN "Content-Length: 0\r\n"
			"Connection: close\r\nWWW-Authenticate: Basic\r\nX: y\r\n" },
		{ 503, "content-TYPE: application/json\r\n", 2, "503 Service Unavailable\r\n" DATE "Content-Length: 2\r\n"
			"Connection: close\r\ncontent-TYPE: application/json\r\n" },
		{ 299, "", 0, "299 Unknown\r\n" DATE PLAIN "Content-Length: 0\r\nConnection: close\r\n" }
	};
	char blank[2048], expected[2048];

	memset(blank, '#', sizeof blank);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const size_t len = (size_t)snprintf(expected, sizeof expected, "HTTP/1.1 %s\r\n", rows[i].expected);
		for (size_t size = 0; size <= len + 3; size++) {
			const size_t fits = size < len ? size : len;
			char *out = unit_guard_end(blank, size);
			unit_row("%zu bytes for %.60s", size, expected);
			CHECK(write_reply(out, size, rows[i].status, rows[i].headers, rows[i].length) == (long)len);
			CHECK(memcmp(out, expected, fits) == 0);
			CHECK(memcmp(out + fits, blank, size - fits) == 0);
		}
	}
}

static void test_refused(void)
{
	static const unsigned statuses[] = { 0, 99, 100, 101, 199, 600, 4294967295u };
	static const char *const injections[] = {
		"\r\n", "\n", "A: b", "A: b\r", "A: b\n", "A: b\r\n\r\n", "A: b\r\n\r\nHTTP/1.1 200 OK\r\n", "A: b\r\nC", "A\r\n",
		": b\r\n", " A: b\r\n", "A: b\r\n c\r\n", "A : b\r\n", "A: b\rC: d\r\n", "A: b\nC: d\r\n", "A: \x01\r\n",
		"Connection: keep-alive\r\n", "X: y\r\nCONNECTION:\r\n", "content-length: 5\r\n",
		"Transfer-Encoding: chunked\r\n", "Upgrade: h2c\r\n"
	};
	char out[512];

	for (size_t i = 0; i < sizeof injections / sizeof *injections; i++) {
		unit_row("%s", injections[i]);
		CHECK(write_reply(out, sizeof out, 200, injections[i], 0) == WS_ERROR_PROTOCOL);
		CHECK(write_reply(out, sizeof out, 405, injections[i], 0) == WS_ERROR_PROTOCOL);
		CHECK(write_reply(out, sizeof out, 426, injections[i], 0) == WS_ERROR_PROTOCOL);
	}
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
		CHECK(write_reply(out, sizeof out, statuses[i], "", 0) == WS_ERROR_PROTOCOL);
}

/* What we send is a head that we would take. */
static void test_round_trip(void)
{
	struct ws_refusal refusal;
	struct ws_head head;
	char out[1024];

	for (unsigned status = 200; status < 600; status++) {
		const long len = write_reply(out, sizeof out, status, "X: y\r\n", 4);
		const struct ws_slice phrase = ws_slice_of(ws_reply_phrase(status));
		unit_row("%u", status);
		CHECK(ws_head_parse_response(&head, out, (size_t)len, MAX, &refusal) == len);
		CHECK(head.status == status && ws_slice_equals(head.reason, phrase));
		CHECK(ws_head_lists(&head, "Connection", "close"));
	}
}

static void test_dates(void)
{
	static const struct {
		int64_t time;
		const char *text;
	} rows[] = {
		{ 0, "Thu, 01 Jan 1970 00:00:00 GMT" }, { -1, "Thu, 01 Jan 1970 00:00:00 GMT" },
		{ 784111777, "Sun, 06 Nov 1994 08:49:37 GMT" }, { 951782400, "Tue, 29 Feb 2000 00:00:00 GMT" },
		{ 951868799, "Tue, 29 Feb 2000 23:59:59 GMT" }, { 951868800, "Wed, 01 Mar 2000 00:00:00 GMT" },
		{ 978307199, "Sun, 31 Dec 2000 23:59:59 GMT" }, { 2147483648, "Tue, 19 Jan 2038 03:14:08 GMT" },
		{ 4107542400, "Mon, 01 Mar 2100 00:00:00 GMT" }, { 4107542399, "Sun, 28 Feb 2100 23:59:59 GMT" },
		{ 253402300799, "Fri, 31 Dec 9999 23:59:59 GMT" }, { INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT" }
	};
	char text[WS_REPLY_DATE];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ws_reply_date(text, rows[i].time);
		unit_row("%s", rows[i].text);
		CHECK(strcmp(text, rows[i].text) == 0);
	}
}

/* Day by day over an era of the calendar: the C library's own count. */
static void test_every_day(void)
{
	char text[WS_REPLY_DATE], expected[64];

	for (time_t time = 0; time < (time_t)146097 * 86400; time += 86400) {
		struct tm utc;
		gmtime_r(&time, &utc);
		strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &utc); /* the C locale's */
		ws_reply_date(text, time);
		unit_row("%s", expected);
		CHECK(strcmp(text, expected) == 0);
	}
}

/* RFC 9110 section 15 and RFC 6585 */
static void test_phrases(void)
{
	static const char *const lines[] = {
		"100 Continue", "101 Switching Protocols", "200 OK", "201 Created", "202 Accepted",
		"203 Non-Authoritative Information", "204 No Content", "205 Reset Content", "206 Partial Content",
		"300 Multiple Choices", "301 Moved Permanently", "302 Found", "303 See Other", "304 Not Modified",
		"305 Use Proxy", "307 Temporary Redirect", "308 Permanent Redirect", "400 Bad Request",
		"401 Unauthorized", "402 Payment Required", "403 Forbidden", "404 Not Found",
		"405 Method Not Allowed", "406 Not Acceptable", "407 Proxy Authentication Required",
		"408 Request Timeout", "409 Conflict", "410 Gone", "411 Length Required", "412 Precondition Failed",
		"413 Content Too Large", "414 URI Too Long", "415 Unsupported Media Type",
		"416 Range Not Satisfiable", "417 Expectation Failed", "421 Misdirected Request",
		"422 Unprocessable Content", "426 Upgrade Required", "428 Precondition Required",
		"429 Too Many Requests", "431 Request Header Fields Too Large", "500 Internal Server Error",
		"501 Not Implemented", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout",
		"505 HTTP Version Not Supported"
	};
	size_t known = 0;

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		unit_row("%s", lines[i]);
		CHECK(strcmp(ws_reply_phrase((unsigned)strtoul(lines[i], NULL, 10)), lines[i] + 4) == 0);
	}
	for (unsigned status = 0; status < 1000; status++)
		known += strcmp(ws_reply_phrase(status), "Unknown") != 0;
	CHECK(known == sizeof lines / sizeof *lines);
}

UNIT_MAIN(
	{ "their bytes, with every size of the buffer", test_bytes },
	{ "what they may not carry", test_refused },
	{ "they are good heads", test_round_trip },
	{ "dates", test_dates },
	{ "every day of 400 years", test_every_day },
	{ "phrases", test_phrases }
)
