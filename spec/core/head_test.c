/* HTTP heads: RFC 9112, and nothing that two parsers could read differently. */
#include "protocol/head.h"

#include "error.h"
#include "unit.h"

enum { MAX = 8192 };

/* A literal that may hold NULs. */
#define BYTES(literal) (literal), sizeof(literal) - 1

#define START "GET / HTTP/1.1\r\n"
#define HOST START "Host: a\r\n"

static bool slice_is(struct ws_slice slice, const char *text)
{
	return slice.len == strlen(text) && (slice.len == 0 || memcmp(slice.data, text, slice.len) == 0);
}

typedef long parse(struct ws_head *, const char *, size_t, size_t, struct ws_refusal *);

/* Parses a copy against a guard page. refusal->why must be there exactly if there is a refusal. */
static long parse_guarded(parse *run, const char *data, size_t len, struct ws_head *head,
                          struct ws_refusal *refusal)
{
	*refusal = (struct ws_refusal){ 0, NULL };
	const long result = run(head, unit_guard_end(data, len), len, MAX, refusal);

	CHECK(result > 0 || result == WS_AGAIN || result == WS_ERROR_PROTOCOL);
	CHECK((result == WS_ERROR_PROTOCOL) == (refusal->why != NULL));
	return result;
}

/* --- good heads -------------------------------------------------------------------------------------- */

static const char *const good_requests[] = {
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.0\r\n\r\n",
	"GET / HTTP/1.1\r\nHost:\r\n\r\n",
	"GET / HTTP/1.1\r\nHost:a\r\n\r\n",
	"GET / HTTP/1.1\r\nhOST: \t a \t \r\nX:\r\nY: \r\nZ:a b\t c\r\n\r\n",
	"GET /chat?room=1&x=%20;y HTTP/1.1\r\nHost: example.com:8080\r\nUpgrade: websocket\r\n\r\n",
	"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
	"GET / HTTP/1.9\r\nHost: a\r\n\r\n",
	"!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n",
	"GET / HTTP/1.1\r\nX: \x80\xFF \xC3\xA9 ~!\"\\\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 123456789012345678 \t\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:\tCHUNKED \r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nX: 2\r\nCookie: a=b\r\n\r\n",
	"GET / HTTP/1.1\r\nHosts: a\r\nHost: a\r\nHos: a\r\nContent-Lengths: x\r\nTransfer-Encodings: y\r\n\r\n"
};

static const char *const good_responses[] = {
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
	"HTTP/1.1 200 \r\n\r\n",
	"HTTP/1.1 200\r\n\r\n",
	"HTTP/1.0 599 \x80 very\todd\xFF\r\nX: y\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\n",
	"HTTP/1.1 403 Forbidden\r\nContent-Length: 12\r\nHost: a b\r\nHost: c\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
};

/* Complete it is taken whole, whatever follows; no prefix is refused, none is taken. */
static void check_good(parse *run, const char *text)
{
	struct ws_refusal refusal;
	struct ws_head head;
	const size_t len = strlen(text);
	char longer[512];

	for (size_t cut = 0; cut < len; cut++) {
		unit_row("the first %zu of %s", cut, text);
		CHECK(parse_guarded(run, text, cut, &head, &refusal) == WS_AGAIN);
	}
	unit_row("%s", text);
	CHECK(parse_guarded(run, text, len, &head, &refusal) == (long)len);
	const int longer_len = snprintf(longer, sizeof longer, "%s\r\nGET\n", text);
	CHECK(parse_guarded(run, longer, (size_t)longer_len, &head, &refusal) == (long)len);
}

static void test_good(void)
{
	for (size_t i = 0; i < sizeof good_requests / sizeof *good_requests; i++)
		check_good(ws_head_parse_request, good_requests[i]);
	for (size_t i = 0; i < sizeof good_responses / sizeof *good_responses; i++)
		check_good(ws_head_parse_response, good_responses[i]);
}

static void test_request_parts(void)
{
	static const char text[] =
		"GET /chat?x=1 HTTP/1.1\r\nHost:  example.com \r\nempty:\r\nX-Two:\ta,b\t c\t\r\n\r\n";
	struct ws_refusal refusal;
	struct ws_head head;

	memset(&head, 0xA5, sizeof head);
	CHECK(ws_head_parse_request(&head, text, sizeof text - 1, MAX, &refusal) == (long)sizeof text - 1);
	CHECK(slice_is(head.method, "GET"));
	CHECK(slice_is(head.target, "/chat?x=1"));
	CHECK(head.minor == 1);
	CHECK(head.status == 0 && head.reason.len == 0);
	CHECK(head.count == 3);
	CHECK(slice_is(head.headers[0].name, "Host") && slice_is(head.headers[0].value, "example.com"));
	CHECK(slice_is(head.headers[1].name, "empty") && slice_is(head.headers[1].value, ""));
	CHECK(slice_is(head.headers[2].name, "X-Two") && slice_is(head.headers[2].value, "a,b\t c"));
	CHECK(head.method.data == text); /* pieces of the caller's bytes */
}

static void test_response_parts(void)
{
	static const char text[] = "HTTP/1.0 404 Not  Found \r\nA: b\r\n\r\nbody";
	struct ws_refusal refusal;
	struct ws_head head;

	memset(&head, 0xA5, sizeof head);
	CHECK(ws_head_parse_response(&head, text, sizeof text - 1, MAX, &refusal) == (long)sizeof text - 5);
	CHECK(head.method.len == 0 && head.target.len == 0);
	CHECK(head.minor == 0 && head.status == 404);
	CHECK(slice_is(head.reason, "Not  Found "));
	CHECK(head.count == 1 && slice_is(head.headers[0].value, "b"));
	CHECK(ws_head_parse_response(&head, "HTTP/1.1 200\r\n\r\n", 16, MAX, &refusal) == 16);
	CHECK(head.status == 200 && head.reason.len == 0);
}

/* --- malformed heads --------------------------------------------------------------------------------- */

/* good can still become a head and bad's first byte ends that. */
struct malformed {
	unsigned status;
	const char *good;
	size_t good_len;
	const char *bad;
	size_t bad_len;
};

#define ROW(status, good, bad) { status, BYTES(good), BYTES(bad) }

static const struct malformed bad_requests[] = {
	/* the request line */
	ROW(400, "", "\r\nGET / HTTP/1.1\r\n"), /* an empty line first */
	ROW(400, "", "\nGET / HTTP/1.1\r\n"),
	ROW(400, "", " GET / HTTP/1.1\r\n"),
	ROW(400, "", "\0GET / HTTP/1.1\r\n"),
	ROW(400, "", "\x16\x03\x01"), /* TLS */
	ROW(400, "G", "\xC9T / HTTP/1.1\r\n"),
	ROW(400, "GET", "\t/ HTTP/1.1\r\n"),
	ROW(400, "GET", "\r\n"),
	ROW(400, "GE", "(T / HTTP/1.1\r\n"),
	ROW(400, "GET", ":/ HTTP/1.1\r\n"),
	ROW(400, "GET ", " / HTTP/1.1\r\n"),
	ROW(400, "GET ", "\r\n"),
	ROW(400, "GET /", "\r\nHost: a\r\n\r\n"), /* HTTP/0.9 */
	ROW(400, "GET /", "\nHost: a\r\n\r\n"),
	ROW(400, "GET /a", "\tHTTP/1.1\r\n"),
	ROW(400, "GET /a", "\0 HTTP/1.1\r\n"),
	ROW(400, "GET /a", "\x7F HTTP/1.1\r\n"),
	ROW(400, "GET /\x61", "\xC3\xA9 HTTP/1.1\r\n"),
	ROW(400, "GET /a ", "b HTTP/1.1\r\n"),
	ROW(400, "GET / ", " HTTP/1.1\r\n"),
	ROW(400, "GET / ", "http/1.1\r\n"),
	ROW(400, "GET / HTTP", " 1.1\r\n"),
	ROW(400, "GET / HTTP/", "x.1\r\n"),
	ROW(400, "GET / HTTP/", "\r\n"),
	ROW(400, "GET / HTTP/1", "\r\n"),
	ROW(400, "GET / HTTP/1", "1.1\r\n"),
	ROW(400, "GET / HTTP/1", ",1\r\n"),
	ROW(400, "GET / HTTP/1.", "\r\n"),
	ROW(400, "GET / HTTP/1.", "x\r\n"),
	ROW(400, "GET / HTTP/1.1", "1\r\n"),
	ROW(400, "GET / HTTP/1.1", " \r\n"),
	ROW(400, "GET / HTTP/1.1", "\nHost: a\n\n"),
	ROW(400, "GET / HTTP/1.1\r", "Host: a\r\n"),
	ROW(400, "GET / HTTP/1.1\r", "\r\n"),
	ROW(505, "GET / HTTP/", "2.0\r\n"),
	ROW(505, "GET / HTTP/", "0.9\r\n"),
	ROW(505, "GET / HTTP/", "3\r\n"),
	ROW(505, "PRI * HTTP/", "2.0\r\n\r\nSM\r\n\r\n"),
	/* fields */
	ROW(400, START, "\nHost: a\r\n"),
	ROW(400, START, " Host: a\r\n"),
	ROW(400, START, "\tHost: a\r\n"),
	ROW(400, START, ": a\r\n"),
	ROW(400, START, "\0: a\r\n"),
	ROW(400, START "Host", " : a\r\n"),
	ROW(400, START "Host", "\t: a\r\n"),
	ROW(400, START "Host", "\r\n"),
	ROW(400, START "Host", "\n"),
	ROW(400, START "Ho", "@st: a\r\n"),
	ROW(400, START "Ho", "(st: a\r\n"),
	ROW(400, START "Ho", "\xC3\xA9: a\r\n"),
	ROW(400, START "Ho", "\0st: a\r\n"),
	ROW(400, START "Ho", "\x7F: a\r\n"),
	ROW(400, HOST, " folded\r\n"),
	ROW(400, HOST "X: y\r\n", "\tfolded\r\n"),
	ROW(400, HOST "X: y\r\n", " \r\n"),
	ROW(400, HOST "X: y", "\n\r\n"),
	ROW(400, HOST "X: y\r", "z\r\n"),
	ROW(400, HOST "X: y\r", "\r\n"),
	ROW(400, HOST "X: y", "\0z\r\n"),
	ROW(400, HOST "X: ", "\0\r\n"),
	ROW(400, HOST "X: y", "\x01\r\n"),
	ROW(400, HOST "X: y", "\x0Bz\r\n"),
	ROW(400, HOST "X: y", "\x1Bz\r\n"),
	ROW(400, HOST "X: y", "\x7Fz\r\n"),
	ROW(400, HOST, "\n"),
	ROW(400, HOST "\r", "\r\n"),
	ROW(400, HOST "\r", "x"),
	/* Host */
	ROW(400, START, "\r\n"),
	ROW(400, START "X: y\r\n", "\r\n"),
	ROW(400, "G / HTTP/1.1\r\n", "\r\n"),
	ROW(400, HOST "Host", ": a\r\n"),
	ROW(400, HOST "X: y\r\nhOsT", ":\r\n"),
	ROW(400, "GET / HTTP/1.0\r\nHost: a\r\nHost", ": a\r\n"),
	ROW(400, START "Host: a ", "b\r\n"),
	ROW(400, START "Host: a", "/b\r\n"),
	ROW(400, START "Host: u", "@a\r\n"),
	ROW(400, START "Host: a", "?\r\n"),
	ROW(400, START "Host: a", "\\b\r\n"),
	ROW(400, START "Host: ", "\"a\"\r\n"),
	ROW(400, START "Host: a", "\x80\r\n"),
	/* Content-Length */
	ROW(400, HOST "Content-Length: ", "\r\n\r\n"),
	ROW(400, HOST "Content-Length:", "\r\n\r\n"),
	ROW(400, HOST "Content-Length: ", "x\r\n"),
	ROW(400, HOST "Content-Length: ", "-1\r\n"),
	ROW(400, HOST "Content-Length: ", "+1\r\n"),
	ROW(400, HOST "Content-Length: 1", "x\r\n"),
	ROW(400, HOST "Content-Length: 0", "x1\r\n"),
	ROW(400, HOST "Content-Length: 1", ", 1\r\n"),
	ROW(400, HOST "Content-Length: 1 ", "1\r\n"),
	ROW(400, HOST "Content-Length: 1", ".0\r\n"),
	ROW(400, HOST "Content-Length: 123456789012345678", "9\r\n"),
	ROW(400, HOST "Content-Length: 5\r\nContent-Length", ": 5\r\n"),
	ROW(400, HOST "Content-Length: 5\r\ncontent-length", ": 6\r\n"),
	/* Transfer-Encoding */
	ROW(400, HOST "Content-Length: 5\r\nTransfer-Encoding", ": chunked\r\n"),
	ROW(400, HOST "Transfer-Encoding: chunked\r\nContent-Length", ": 5\r\n"),
	ROW(400, HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding", ": chunked\r\n"),
	ROW(400, "GET / HTTP/1.0\r\nTransfer-Encoding", ": chunked\r\n"),
	ROW(400, HOST "Transfer-Encoding", " : chunked\r\n"),
	ROW(400, HOST "Transfer-Encoding: ", "\x0B" "chunked\r\n"),
	ROW(501, HOST "Transfer-Encoding: ", "gzip\r\n"),
	ROW(501, HOST "Transfer-Encoding: ", "gzip, chunked\r\n"),
	ROW(501, HOST "Transfer-Encoding: ", "identity\r\n"),
	ROW(501, HOST "Transfer-Encoding: ", "\"chunked\"\r\n"),
	ROW(501, HOST "Transfer-Encoding: ", ",chunked\r\n"),
	ROW(501, HOST "Transfer-Encoding: ", "\r\n"),
	ROW(501, HOST "Transfer-Encoding: chunk", "\r\n"),
	ROW(501, HOST "Transfer-Encoding: chunk", " ed\r\n"),
	ROW(501, HOST "Transfer-Encoding: chunk", " \x01\r\n"),
	ROW(501, HOST "Transfer-Encoding: chunk", "y\0\r\n"),
	ROW(501, HOST "Transfer-Encoding: chunked", ", identity\r\n"),
	ROW(501, HOST "Transfer-Encoding: chunked", "x\r\n"),
	ROW(501, HOST "Transfer-Encoding: chunked", ";q=1\r\n")
};

static const struct malformed bad_responses[] = {
	ROW(0, "", "\r\n"),
	ROW(0, "", " HTTP/1.1 200 OK\r\n"),
	ROW(0, "", "http/1.1 200 OK\r\n"),
	ROW(0, "", "GET / HTTP/1.1\r\n"),
	ROW(0, "H", "ELLO"),
	ROW(0, "HTTP/", "2 200 OK\r\n"),
	ROW(0, "HTTP/1", " 200 OK\r\n"),
	ROW(0, "HTTP/1.1", "200 OK\r\n"),
	ROW(0, "HTTP/1.1 ", " 200 OK\r\n"),
	ROW(0, "HTTP/1.1", "\t200 OK\r\n"),
	ROW(0, "HTTP/1.1", "\r\n"),
	ROW(0, "HTTP/1.1 ", "0\r\n"),
	ROW(0, "HTTP/1.1 ", "600 X\r\n"),
	ROW(0, "HTTP/1.1 ", "-10 X\r\n"),
	ROW(0, "HTTP/1.1 10", " X\r\n"),
	ROW(0, "HTTP/1.1 10", "x X\r\n"),
	ROW(0, "HTTP/1.1 101", "1 X\r\n"),
	ROW(0, "HTTP/1.1 101", "\tX\r\n"),
	ROW(0, "HTTP/1.1 101", "\n"),
	ROW(0, "HTTP/1.1 101 X", "\n"),
	ROW(0, "HTTP/1.1 101 X", "\0\r\n"),
	ROW(0, "HTTP/1.1 101 X", "\x7F\r\n"),
	ROW(0, "HTTP/1.1 101 X\r", "X"),
	ROW(0, "HTTP/1.1 200 OK\r\n", " X: y\r\n"),
	ROW(0, "HTTP/1.1 200 OK\r\nX", " : y\r\n"),
	ROW(0, "HTTP/1.1 200 OK\r\nX: y", "\n"),
	ROW(0, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length", ": 1\r\n"),
	ROW(0, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding", ": chunked\r\n"),
	ROW(0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: ", "gzip\r\n"),
	ROW(0, "HTTP/1.0 200 OK\r\nTransfer-Encoding", ": chunked\r\n")
};

/* Not refused before the bad byte; refused with it, and with all that may follow. */
static void check_malformed(parse *run, const struct malformed *row)
{
	struct ws_refusal refusal;
	struct ws_head head;
	char text[256];
	const size_t len = row->good_len + row->bad_len;

	memcpy(text, row->good, row->good_len);
	memcpy(text + row->good_len, row->bad, row->bad_len);
	for (size_t cut = 0; cut <= len; cut++) {
		unit_row("%u: %zu of %.40s|%.30s", row->status, cut,
			row->good_len > 40 ? row->good + row->good_len - 40 : row->good, row->bad);
		const long result = parse_guarded(run, text, cut, &head, &refusal);
		CHECK(result == (cut <= row->good_len ? WS_AGAIN : WS_ERROR_PROTOCOL));
		CHECK(refusal.status == (cut <= row->good_len ? 0 : row->status));
	}
}

static void test_bad_requests(void)
{
	CHECK(sizeof bad_requests / sizeof *bad_requests >= 40);
	for (size_t i = 0; i < sizeof bad_requests / sizeof *bad_requests; i++)
		check_malformed(ws_head_parse_request, &bad_requests[i]);
}

static void test_bad_responses(void)
{
	for (size_t i = 0; i < sizeof bad_responses / sizeof *bad_responses; i++)
		check_malformed(ws_head_parse_response, &bad_responses[i]);
}

/* Every byte at the places where most are refused. */
static void test_bytes(void)
{
	struct ws_refusal refusal;
	struct ws_head head;

	for (int byte = 0; byte < 256; byte++) {
		char name[] = HOST "Xx: y\r\n\r\n", value[] = HOST "X: yzy\r\n\r\n";
		char target[] = "GET /xx HTTP/1.1\r\n", method[] = "GET ";
		char host[] = "GET / HTTP/1.1\r\nHost: aXb\r\n\r\n";
		const bool alphanumeric = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z')
			|| (byte >= 'A' && byte <= 'Z');
		const bool token = alphanumeric || (byte > 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
		const bool in_host = alphanumeric || (byte > 0 && strchr("-._~%!$&'()*+,;=:[]", byte) != NULL);
		const bool text = byte == '\t' || (byte >= 0x20 && byte <= 0x7E) || byte >= 0x80;
		unit_row("byte %02x", (unsigned)byte);
		name[sizeof HOST] = (char)byte;
		CHECK((parse_guarded(ws_head_parse_request, BYTES(name), &head, &refusal) > 0)
			== (token || byte == ':'));
		value[sizeof HOST + 4 - 1] = (char)byte;
		CHECK((parse_guarded(ws_head_parse_request, BYTES(value), &head, &refusal) > 0) == text);
		*strchr(host, 'X') = (char)byte;
		CHECK((parse_guarded(ws_head_parse_request, BYTES(host), &head, &refusal) > 0) == in_host);
		target[6] = (char)byte;
		CHECK((parse_guarded(ws_head_parse_request, BYTES(target), &head, &refusal) == WS_AGAIN)
			== (byte > 0x20 && byte < 0x7F));
		method[1] = (char)byte;
		CHECK((parse_guarded(ws_head_parse_request, BYTES(method), &head, &refusal) == WS_AGAIN)
			== (token || byte == ' '));
	}
}

/* --- limits ------------------------------------------------------------------------------------------ */

/* A head of exactly so many bytes. */
static size_t head_of_size(char *text, size_t size)
{
	static const char before[] = HOST "X: ", after[] = "\r\n\r\n";

	memcpy(text, before, sizeof before - 1);
	memset(text + sizeof before - 1, 'x', size - (sizeof before - 1) - (sizeof after - 1));
	memcpy(text + size - (sizeof after - 1), after, sizeof after - 1);
	return size;
}

static void test_size(void)
{
	static char text[MAX + 100];
	struct ws_refusal refusal = { 0, NULL };
	struct ws_head head;
	const size_t size = head_of_size(text, MAX);

	CHECK(ws_head_parse_request(&head, unit_guard_end(text, size), size, MAX, &refusal) == MAX);
	CHECK(ws_head_parse_request(&head, text, size - 1, MAX, &refusal) == WS_AGAIN);
	CHECK(ws_head_parse_request(&head, text, size + 50, MAX, &refusal) == MAX); /* more behind it */
	/* One byte smaller a limit: refused as soon as as many bytes are there. */
	CHECK(ws_head_parse_request(&head, text, size - 2, MAX - 1, &refusal) == WS_AGAIN);
	for (size_t len = size - 1; len < size + 50; len++) {
		refusal.status = 0;
		CHECK(ws_head_parse_request(&head, text, len, MAX - 1, &refusal) == WS_ERROR_PROTOCOL);
		CHECK(refusal.status == 431 && refusal.why != NULL);
	}
	/* An error within the limit is that error. */
	text[20] = '\0';
	CHECK(ws_head_parse_request(&head, text, size, 100, &refusal) == WS_ERROR_PROTOCOL);
	CHECK(refusal.status == 400);
	/* One behind it is not looked at. */
	(void)head_of_size(text, MAX);
	text[200] = '\0';
	CHECK(ws_head_parse_request(&head, text, size, 100, &refusal) == WS_ERROR_PROTOCOL);
	CHECK(refusal.status == 431);
	CHECK(ws_head_parse_request(&head, NULL, 0, MAX, &refusal) == WS_AGAIN);
	CHECK(ws_head_parse_request(&head, "", 0, 0, &refusal) == WS_ERROR_PROTOCOL && refusal.status == 431);
}

static void test_size_of_target(void)
{
	static char text[MAX + 1];
	struct ws_refusal refusal;
	struct ws_head head;

	memset(text, 'x', sizeof text);
	CHECK(ws_head_parse_request(&head, text, MAX - 1, MAX, &refusal) == WS_AGAIN); /* a method without end */
	CHECK(ws_head_parse_request(&head, text, MAX + 1, MAX, &refusal) == WS_ERROR_PROTOCOL);
	CHECK(refusal.status == 431);
	memcpy(text, "GET /", 5);
	CHECK(ws_head_parse_request(&head, text, MAX - 1, MAX, &refusal) == WS_AGAIN);
	CHECK(ws_head_parse_request(&head, text, MAX, MAX, &refusal) == WS_ERROR_PROTOCOL);
	CHECK(refusal.status == 431);
	memcpy(text, "HTTP/1.1 200 ", 13);
	CHECK(ws_head_parse_response(&head, text, MAX, MAX, &refusal) == WS_ERROR_PROTOCOL);
	CHECK(refusal.status == 0);
}

static void test_count(void)
{
	struct ws_refusal refusal = { 0, NULL };
	struct ws_head head;
	char text[2048] = HOST;
	size_t len = sizeof HOST - 1;

	for (unsigned i = 1; i < 64; i++)
		len += (size_t)snprintf(text + len, sizeof text - len, "X-%u: %u\r\n", i, i);
	memcpy(text + len, "\r\n", 2);
	CHECK(parse_guarded(ws_head_parse_request, text, len + 2, &head, &refusal) == (long)len + 2);
	CHECK(ws_head_parse_request(&head, text, len + 2, MAX, &refusal) == (long)len + 2);
	CHECK(head.count == 64);
	CHECK(slice_is(head.headers[63].name, "X-63") && slice_is(head.headers[63].value, "63"));
	memcpy(text + len, "Y: z\r\n\r\n", 8);
	CHECK(parse_guarded(ws_head_parse_request, text, len, &head, &refusal) == WS_AGAIN);
	for (size_t more = 1; more <= 8; more++) {
		CHECK(parse_guarded(ws_head_parse_request, text, len + more, &head, &refusal) == WS_ERROR_PROTOCOL);
		CHECK(refusal.status == 431);
	}
}

/* --- properties -------------------------------------------------------------------------------------- */

static uint32_t random_next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* One good head with up to three pieces of others, or of rubbish, thrown in. */
static size_t head_mutate(char *text, size_t room, uint32_t *seed)
{
	static const char *const pieces[] = {
		" ", "\r", "\n", "\r\n", "\r\n\r\n", ":", "\t", "\x7F", "\x80", "Host: a\r\n", "Host",
		"Content-Length: 1\r\n", "Content-Length: ", "Transfer-Encoding: chunked\r\n",
		"Transfer-Encoding: ", "chunked", "1", "HTTP/1.1", "HTTP/2", "x", ",", "/"
	};
	const size_t goods = sizeof good_requests / sizeof *good_requests;
	size_t len = (size_t)snprintf(text, room, "%s", good_requests[random_next(seed) % goods]);

	for (uint32_t n = random_next(seed) % 4; n > 0; n--) {
		const char *piece = pieces[random_next(seed) % (sizeof pieces / sizeof *pieces)];
		const size_t at = random_next(seed) % (len + 1), size = strlen(piece);
		const size_t over = random_next(seed) % 2 == 0 || at + size > len ? 0 : size; /* instead or between */
		if (len + size >= room)
			break;
		memmove(text + at + size, text + at + over, len - at - over);
		memcpy(text + at, piece, size);
		len += size - over;
	}
	return len;
}

/* More bytes never change a refusal or an end; only "more is needed" becomes something else. */
static void test_prefixes(void)
{
	uint32_t seed = 2463534242u;
	struct ws_refusal refusal, before = { 0, NULL };
	struct ws_head head;
	char text[512];

	for (int round = 0; round < 40000; round++) {
		const size_t len = head_mutate(text, sizeof text, &seed);
		long result = WS_AGAIN;
		for (size_t cut = 0; cut <= len; cut++) {
			const long next = parse_guarded(ws_head_parse_request, text, cut, &head, &refusal);
			unit_row("round %d, %zu bytes", round, cut);
			CHECK(result == WS_AGAIN ? next <= (long)cut : next == result);
			CHECK(result != WS_ERROR_PROTOCOL || refusal.status == before.status);
			result = next;
			before = refusal;
		}
	}
}

/* Whether anything at all makes a head of what is there. */
static bool head_completes(const char *text, size_t len)
{
	static const char *const ends[] = {
		"G / HTTP/1.1\r\nHost: a\r\n\r\n", "G / HTTP/1.0\r\nx: 1\r\n\r\n", "chunked\r\nHost: a\r\n\r\n",
		"chunked\r\n\r\n", "1\r\nHost: a\r\n\r\n", "x: 1\r\nHost: a\r\n\r\n"
	};
	struct ws_refusal refusal;
	struct ws_head head;
	char longer[600];

	memcpy(longer, text, len);
	for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
		for (const char *end = ends[e]; *end != '\0'; end++) {
			memcpy(longer + len, end, strlen(end));
			if (ws_head_parse_request(&head, longer, len + strlen(end), MAX, &refusal) > 0)
				return true;
		}
	}
	return false;
}

/* "More is needed" is said only where something can still come of it. */
static void test_earliest(void)
{
	uint32_t seed = 88172645u;
	struct ws_refusal refusal;
	struct ws_head head;
	char text[512];

	for (int round = 0; round < 40000; round++) {
		size_t len = head_mutate(text, sizeof text, &seed);
		while (len > 0 && ws_head_parse_request(&head, text, len, MAX, &refusal) != WS_AGAIN)
			len--; /* the longest prefix that is not settled is the most interesting one */
		const size_t shown = len < 40 ? len : 40;
		unit_row("round %d, %zu bytes: ...%.*s", round, len, (int)shown, text + len - shown);
		CHECK(head_completes(text, len));
	}
}

/* --- the rest ---------------------------------------------------------------------------------------- */

static void test_next(void)
{
	static const char text[] = HOST "X: 1\r\ny: 2\r\nx: 3\r\n\r\n";
	const struct ws_header *header;
	struct ws_refusal refusal;
	struct ws_head head;
	size_t from = 0;

	CHECK(ws_head_parse_request(&head, BYTES(text), MAX, &refusal) > 0);
	header = ws_head_next(&head, "X", &from);
	CHECK(header != NULL && slice_is(header->value, "1") && from == 2);
	header = ws_head_next(&head, "X", &from);
	CHECK(header != NULL && slice_is(header->value, "3") && from == 4);
	CHECK(ws_head_next(&head, "X", &from) == NULL);
	from = 0;
	CHECK(ws_head_next(&head, "Z", &from) == NULL && from == 0);
	CHECK(ws_head_next(&head, "", &from) == NULL && ws_head_next(&head, "Hosts", &from) == NULL);
	CHECK(ws_head_next(&head, "HOST", &from) == &head.headers[0]);
	from = 1000;
	CHECK(ws_head_next(&head, "X", &from) == NULL);
}

static void test_lists(void)
{
	static const struct {
		const char *fields, *token;
		bool listed;
	} rows[] = {
		{ "Connection: upgrade", "upgrade", true },
		{ "Connection: Upgrade", "uPGRADE", true },
		{ "connection: keep-alive, Upgrade", "upgrade", true },
		{ "Connection: keep-alive,Upgrade,x", "upgrade", true },
		{ "Connection: ,, \t,Upgrade\t,", "upgrade", true },
		{ "Connection: keep-alive\r\nX: y\r\nConnection: x, upgrade", "upgrade", true },
		{ "Connection: upgraded", "upgrade", false },
		{ "Connection: upgrad", "upgrade", false },
		{ "Connection: not-upgrade", "upgrade", false },
		{ "Connection: keep-alive upgrade", "upgrade", false },
		{ "Connection: \"upgrade\"", "upgrade", false },
		{ "Connection: upgrade;q=1", "upgrade", false },
		{ "Connection:", "upgrade", false },
		{ "Connection: x, ,upgrade", "upgrade", true },
		{ "Connection: ,", "upgrade", false },
		{ "Connection: ,", "", false },
		{ "X: upgrade", "upgrade", false }
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct ws_refusal refusal;
		struct ws_head head;
		char text[256];
		const int len = snprintf(text, sizeof text, HOST "%s\r\n\r\n", rows[i].fields);
		const char *copy = unit_guard_end(text, (size_t)len);
		unit_row("%s", rows[i].fields);
		CHECK(ws_head_parse_request(&head, copy, (size_t)len, MAX, &refusal) == len);
		CHECK(ws_head_lists(&head, "Connection", rows[i].token) == rows[i].listed);
	}
	struct ws_head first = { .count = 1, .headers = { { { "A", 1 }, { "b", 1 } } } };
	CHECK(ws_head_lists(&first, "a", "B"));
}

static void test_field(void)
{
	struct ws_refusal refusal;
	struct ws_header header;

	CHECK(ws_head_parse_field(&header, BYTES("A: b\r\nC"), &refusal) == 6);
	CHECK(slice_is(header.name, "A") && slice_is(header.value, "b"));
	for (size_t len = 0; len < 6; len++)
		CHECK(ws_head_parse_field(&header, unit_guard_end("A: b\r\n", len), len, &refusal) == WS_AGAIN);
	CHECK(ws_head_parse_field(&header, BYTES("\r\n"), &refusal) == WS_ERROR_PROTOCOL);
	CHECK(ws_head_parse_field(&header, BYTES(" A: b\r\n"), &refusal) == WS_ERROR_PROTOCOL);
	CHECK(ws_head_parse_field(&header, BYTES("A : b\r\n"), &refusal) == WS_ERROR_PROTOCOL);
	CHECK(ws_head_parse_field(&header, BYTES("A: b\n"), &refusal) == WS_ERROR_PROTOCOL);
	CHECK(ws_head_parse_field(&header, BYTES("A: b\rc\r\n"), &refusal) == WS_ERROR_PROTOCOL);
	CHECK(ws_head_parse_field(&header, BYTES("A: \0\r\n"), &refusal) == WS_ERROR_PROTOCOL);
}

static void test_slices(void)
{
	struct ws_slice list = { unit_guard_end(" a ,, b c\t, ,d", 14), 14 }, element;

	CHECK(ws_slice_split(&list, &element) && slice_is(element, "a"));
	CHECK(ws_slice_split(&list, &element) && slice_is(element, "b c"));
	CHECK(ws_slice_split(&list, &element) && slice_is(element, "d"));
	CHECK(!ws_slice_split(&list, &element) && !ws_slice_split(&list, &element));
	list = (struct ws_slice){ NULL, 0 };
	CHECK(!ws_slice_split(&list, &element));
	CHECK(ws_slice_is(list, "") && !ws_slice_is(list, "x") && !ws_slice_is_token(list));
	CHECK(!ws_slice_is((struct ws_slice){ "[", 1 }, "{"));
	CHECK(ws_slice_is((struct ws_slice){ "AYZ@[", 5 }, "ayz@["));
	CHECK(!ws_slice_is((struct ws_slice){ "@[`{", 4 }, "`{@["));
	CHECK(!ws_slice_is((struct ws_slice){ "ab", 2 }, "abc"));
	CHECK(!ws_slice_is((struct ws_slice){ "abc", 3 }, "ab"));
	CHECK(!ws_slice_is((struct ws_slice){ "a\0b", 3 }, unit_guard_end("a", 2)));
	CHECK(ws_slice_is_token((struct ws_slice){ "v2.chat", 7 }));
	CHECK(ws_slice_is_token((struct ws_slice){ "v", 1 }));
	CHECK(!ws_slice_is_token((struct ws_slice){ "v2 chat", 7 }));
	CHECK(!ws_slice_is_token((struct ws_slice){ "a\0", 2 }));
}

UNIT_MAIN(
	{ "good heads are taken whole and no prefix of them is refused", test_good },
	{ "the parts of a request", test_request_parts },
	{ "the parts of a response", test_response_parts },
	{ "malformed requests, refused at their first bad byte", test_bad_requests },
	{ "malformed responses, refused at their first bad byte", test_bad_responses },
	{ "every byte in a name, a value, a host, a target and a method", test_bytes },
	{ "the largest size", test_size },
	{ "a first line without end", test_size_of_target },
	{ "64 and 65 headers", test_count },
	{ "more bytes never change what was decided", test_prefixes },
	{ "what cannot become a head is refused at once", test_earliest },
	{ "finding headers", test_next },
	{ "comma-separated lists", test_lists },
	{ "a single field line", test_field },
	{ "slices", test_slices }
)
