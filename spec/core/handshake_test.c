/* The opening handshake, the server's half: RFC 6455 section 4.2. */
#include "protocol/handshake.h"

#include "error.h"
#include "unit.h"

enum { MAX = 8192 };

#define KEY "dGhlIHNhbXBsZSBub25jZQ==" /* RFC 6455 section 1.3 */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define START "GET /chat HTTP/1.1\r\nHost: example.com\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define WITH_KEY(key) START UPGRADE VERSION "Sec-WebSocket-Key: " key "\r\n"

static bool slice_is(struct ws_slice slice, const char *text)
{
	return slice.len == strlen(text) && (slice.len == 0 || memcmp(slice.data, text, slice.len) == 0);
}

static struct ws_slice slice_of(const char *text)
{
	return (struct ws_slice){ text, strlen(text) };
}

/* Parses the lines, which must be a good head with the empty line, at a guard page. */
static void head_make(struct ws_head *head, const char *lines)
{
	struct ws_refusal refusal = { 0, NULL };
	char text[4096];
	const int len = snprintf(text, sizeof text, "%s\r\n", lines);

	unit_row("%s", lines);
	CHECK(ws_head_parse_request(head, unit_guard_end(text, (size_t)len), (size_t)len, MAX, &refusal) == len);
}

/* --- the request ------------------------------------------------------------------------------------- */

static void test_check_good(void)
{
	static const char *const rows[] = {
		WITH_KEY(KEY),
		"GET / HTTP/1.2\r\nHost:\r\n" UPGRADE VERSION "Sec-WebSocket-Key: " KEY "\r\n",
		START "upgrade: WebSocket\r\nCONNECTION: keep-alive, UPGRADE\r\n" VERSION
			"sec-websocket-KEY:" KEY " \r\n",
		START "Upgrade: h2c, websocket\r\nConnection: close\r\nConnection: upgrade\r\n" VERSION
			"Sec-WebSocket-Key: " KEY "\r\n",
		WITH_KEY(KEY) "Content-Length: 0\r\n",
		WITH_KEY(KEY) "Content-Length: 000\r\n",
		WITH_KEY(KEY) "Expect: 100-continue\r\nSec-WebSocket-Extensions: x; y=\"z\"\r\n"
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct ws_refusal refusal = { 0, NULL };
		struct ws_slice key = { NULL, 0 };
		struct ws_head head;
		head_make(&head, rows[i]);
		CHECK(ws_handshake_check(&head, &key, &refusal) == 0);
		CHECK(slice_is(key, KEY) && refusal.why == NULL);
	}
}

static void test_check_refused(void)
{
	static const struct {
		unsigned status;
		const char *lines;
	} rows[] = {
		{ 405, "POST / HTTP/1.1\r\nHost: a\r\n" },
		{ 405, "HEAD / HTTP/1.1\r\nHost: a\r\n" },
		{ 405, "get / HTTP/1.1\r\nHost: a\r\n" },
		{ 405, "OPTIONS * HTTP/1.0\r\n" },
		{ 405, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n" },
		{ 405, "PUT / HTTP/1.1\r\nHost: a\r\n" UPGRADE VERSION "Sec-WebSocket-Key: " KEY "\r\n" },
		{ 405, "GETX / HTTP/1.1\r\nHost: a\r\n" UPGRADE VERSION "Sec-WebSocket-Key: " KEY "\r\n" },
		{ 505, "GET / HTTP/1.0\r\nHost: a\r\n" UPGRADE VERSION "Sec-WebSocket-Key: " KEY "\r\n" },
		{ 505, "GET / HTTP/1.0\r\n" },
		{ 426, START },
		{ 426, START "Connection: keep-alive\r\n" },
		{ 426, START "Content-Length: 5\r\n" },
		{ 426, START "Upgrade: h2c\r\nConnection: Upgrade\r\n" },
		{ 426, START "Upgrade: websockets\r\nConnection: Upgrade\r\n" },
		{ 426, START "Upgrade:\r\nConnection: Upgrade\r\n" },
		{ 400, START "Upgrade: websocket\r\n" VERSION "Sec-WebSocket-Key: " KEY "\r\n" },
		{ 400, START "Upgrade: websocket\r\nConnection: keep-alive\r\n" VERSION },
		{ 413, WITH_KEY(KEY) "Content-Length: 1\r\n" },
		{ 413, WITH_KEY(KEY) "Content-Length: 0010\r\n" },
		{ 400, WITH_KEY(KEY) "Transfer-Encoding: chunked\r\n" },
		{ 400, START UPGRADE "Sec-WebSocket-Key: " KEY "\r\n" },
		{ 400, WITH_KEY(KEY) VERSION },
		{ 426, START UPGRADE "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: " KEY "\r\n" },
		{ 426, START UPGRADE "Sec-WebSocket-Version: 14\r\n" },
		{ 426, START UPGRADE "Sec-WebSocket-Version: 013\r\n" },
		{ 426, START UPGRADE "Sec-WebSocket-Version: 13, 8\r\n" },
		{ 426, START UPGRADE "Sec-WebSocket-Version:\r\n" },
		{ 400, START UPGRADE VERSION },
		{ 400, WITH_KEY(KEY) "Sec-WebSocket-Key: " KEY "\r\n" },
		{ 400, WITH_KEY("") },
		{ 400, WITH_KEY("-GhlIHNhbXBsZSBub25jZQ==") },
		{ 400, WITH_KEY("dGhlIHNhbXBsZSBub25jZQ=") },
		{ 400, WITH_KEY("dGhlIHNhbXBsZSBub25jZQ") },
		{ 400, WITH_KEY("dGhlIHNhbXBsZSBub25jZQ===") },
		{ 400, WITH_KEY("dGhlIHNhbXBsZSBub25jZWU=") }, /* 17 bytes */
		{ 400, WITH_KEY("dGhlIHNhbXBsZSBub25jZWVl") }, /* 18 bytes */
		{ 400, WITH_KEY("dGhlIHNhbXBsZSBub25jZR==") }, /* bits behind the 16 bytes */
		{ 400, WITH_KEY("dGhlIHNhbXBsZSBub25jZf==") },
		{ 400, WITH_KEY("dGhlIHNhbXBsZSBub25j=Q==") },
		{ 400, WITH_KEY("dGhlIHNhbXBs ZSBub25jZQ==") },
		{ 400, WITH_KEY("dGhlIHNhbXBsZSBub25j-_==") }, /* the alphabet for URLs */
		{ 400, WITH_KEY("dGhlIHNhbXBsZSBub-5jZQ==") },
		{ 400, WITH_KEY("dGhlIHNhbXBsZSBub\xC3\xA9jZQ==") },
		{ 400, WITH_KEY("dGhlIHNhbXBsZSBub25jZQ=\xBD") }
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct ws_refusal refusal = { 0, NULL };
		struct ws_slice key;
		struct ws_head head;
		head_make(&head, rows[i].lines);
		CHECK(ws_handshake_check(&head, &key, &refusal) == WS_ERROR_PROTOCOL);
		CHECK(refusal.status == rows[i].status && refusal.why != NULL);
	}
}

/* All of the alphabet, and no byte outside it, in the first and in a later place. */
static void test_key_alphabet(void)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (int byte = 0; byte < 256; byte++) {
		for (size_t place = 0; place < WS_HANDSHAKE_KEY; place++) {
			char text[] = "AAAAAAAAAAAAAAAAAAAAAA==";
			struct ws_slice key = { text, sizeof text - 1 };
			struct ws_refusal refusal;
			struct ws_head head;
			const bool valid = place > 21 ? byte == '=' : byte != 0
				&& strchr(place == 21 ? "AQgw" : alphabet, byte) != NULL;
			head_make(&head, WITH_KEY("x"));
			text[place] = (char)byte; /* some of these would not come through the parser */
			head.headers[head.count - 1].value = key;
			unit_row("%02x at %zu", (unsigned)byte, place);
			CHECK((ws_handshake_check(&head, &key, &refusal) == 0) == valid);
		}
	}
}

/* 16 bytes end in one of four characters. */
static void test_key_end(void)
{
	for (int byte = '!'; byte < 0x7F; byte++) {
		struct ws_refusal refusal;
		struct ws_slice key;
		struct ws_head head;
		char lines[256];
		(void)snprintf(lines, sizeof lines, WITH_KEY("AAAAAAAAAAAAAAAAAAAAA%c=="), byte);
		head_make(&head, lines);
		CHECK((ws_handshake_check(&head, &key, &refusal) == 0) == (strchr("AQgw", byte) != NULL));
	}
}

/* --- subprotocols ------------------------------------------------------------------------------------ */

#define P "Sec-WebSocket-Protocol:"

static void test_subprotocol(void)
{
	static const char *const offered[] = { "chat.v2", "chat.v1", "soap" };
	static const struct {
		const char *fields, *expected;
	} rows[] = {
		{ "", "" },
		{ P " chat.v1\r\n", "chat.v1" },
		{ P " chat.v2\r\n", "chat.v2" },
		{ P " chat.v1, chat.v2\r\n", "chat.v1" }, /* the client's order, not ours */
		{ P " x, y,soap , chat.v2\r\n", "soap" },
		{ P " x\r\nY: z\r\n" P " soap\r\n", "soap" },
		{ P " Chat.v1\r\n", "" },
		{ P " chat\r\n", "" },
		{ P " chat.v11\r\n", "" },
		{ P " chat.v1 soap\r\n", "" },
		{ P "\r\n", "" },
		{ P ",,\r\n", "" }
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct ws_head head;
		char lines[256];
		(void)snprintf(lines, sizeof lines, START "%s", rows[i].fields);
		head_make(&head, lines);
		CHECK(slice_is(ws_handshake_subprotocol(&head, offered, 3), rows[i].expected));
		CHECK(ws_handshake_subprotocol(&head, NULL, 0).len == 0);
	}
}

static void test_subprotocols_valid(void)
{
	static const struct {
		const char *fields;
		bool valid;
	} rows[] = {
		{ "", true },
		{ P " chat\r\n", true },
		{ P " chat, Chat\r\n", true }, /* case counts */
		{ P " a,b , c\r\n" P " d\r\n", true },
		{ P " a,,b,\r\n", true }, /* RFC 9110 section 5.6.1.2 */
		{ P "\r\n", false },
		{ P " ,\r\n", false },
		{ P " a\r\n" P "\r\n", false },
		{ P " a, a\r\n", false },
		{ P " a, b, b\r\n", false },
		{ P " a, b\r\n" P " c, a\r\n", false },
		{ P " a b\r\n", false },
		{ P " a;b\r\n", false },
		{ P " a/b\r\n", false },
		{ P " \"a\"\r\n", false },
		{ P " a, \xC3\xA9\r\n", false }
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct ws_head head;
		char lines[256];
		(void)snprintf(lines, sizeof lines, START "%s", rows[i].fields);
		head_make(&head, lines);
		CHECK(ws_handshake_subprotocols_valid(&head) == rows[i].valid);
	}
}

static void test_subprotocols_many(void)
{
	struct ws_head head;
	char lines[1024];
	size_t len = (size_t)snprintf(lines, sizeof lines, START P " p0");

	for (unsigned i = 1; i < 64; i++)
		len += (size_t)snprintf(lines + len, sizeof lines - len, ",p%u", i);
	(void)snprintf(lines + len, sizeof lines - len, "\r\n");
	head_make(&head, lines);
	CHECK(ws_handshake_subprotocols_valid(&head));
	(void)snprintf(lines + len, sizeof lines - len, ",p64\r\n");
	head_make(&head, lines);
	CHECK(!ws_handshake_subprotocols_valid(&head));
}

/* --- origin ------------------------------------------------------------------------------------------ */

static void test_same_origin(void)
{
	static const struct {
		const char *host, *origin;
		bool same;
	} rows[] = {
		{ "example.com", "http://example.com", true },
		{ "example.com", "https://example.com", true },
		{ "EXAMPLE.com", "https://example.COM", true },
		{ "example.com", "HTTPS://example.com:443", true },
		{ "example.com:443", "https://example.com", true },
		{ "example.com:80", "http://example.com", true },
		{ "example.com", "http://example.com:80", true },
		{ "example.com:8080", "http://example.com:8080", true },
		{ "example.com:", "http://example.com", true },
		{ "example.com:08080", "http://example.com:8080", true },
		{ "a-1.b_2", "app://a-1.b_2", true },
		{ "a:9", "app://a:9", true },
		{ "127.0.0.1:8080", "http://127.0.0.1:8080", true },
		{ "example.com:65535", "http://example.com:65535", true },
		{ "AZ09az.x", "http://az09AZ.x", true },
		{ "[::1]", "http://[::1]", true },
		{ "[::1]:8080", "http://[::1]:8080", true },
		{ "[2001:db8::A]", "https://[2001:DB8::a]:443", true },
		{ "example.com:80", "https://example.com", false },
		{ "example.com:443", "http://example.com", false },
		{ "example.com:8080", "http://example.com", false },
		{ "example.com", "http://example.com:8080", false },
		{ "example.com", "https://example.com:80", false },
		{ "example.com", "http://example.org", false },
		{ "example.com", "http://www.example.com", false },
		{ "example.com", "http://example.com.evil.org", false },
		{ "example.com", "http://evil.org?example.com", false },
		{ "example.com", "http://evil.org#example.com", false },
		{ "example.com", "http://evil.org/example.com", false },
		{ "example.com", "http://example.com@evil.org", false },
		{ "example.com", "http://user@example.com", false },
		{ "example.com", "http://example.com/", false },
		{ "example.com", "http://example.com:80/", false },
		{ "example.com", "http://example.com http://evil.org", false },
		{ "example.com", "http://evil.org http://example.com", false },
		{ "example.com", "http://axample.com", false },
		{ "a~", "http://a^", false }, /* a bit apart, as upper and lower case are */
		{ "[{]", "http://[[]", false },
		{ "a:1", "app://a", false },
		{ "example.com", "null", false },
		{ "null", "null", false },
		{ "example.com", "example.com", false },
		{ "example.com", "://example.com", false },
		{ "example.com", "http:example.com", false },
		{ "example.com", "http:/", false },
		{ "example.com", "", false },
		{ "", "http://", false },
		{ "", "file://", false },
		{ ":80", "http://:80", false },
		{ "example.com", "http://example.com:x", false },
		{ "example.com:x", "http://example.com:x", false },
		{ "example.com", "http://example.com:-80", false },
		{ "example.com:65536", "http://example.com:65536", false },
		{ "example.com", "http://example.com:4294967376", false }, /* 80 in 32 bits */
		{ "example.com:80:80", "http://example.com:80:80", false },
		{ "a:8:1", "http://a:8:1", false },
		{ "[::1]", "http://[::2]", false },
		{ "[::1]", "http://::1", false },
		{ "[::1]:80", "http://[::1]x:80", false },
		{ "[::1", "http://[::1", false },
		{ "[", "http://[", false },
		{ "a]", "http://a]", false },
		{ "[a@b]", "http://[a/b]", false }
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		/* Not by the parser, which lets no such Host pass. */
		const char *host = rows[i].host, *origin = unit_guard_end(rows[i].origin, strlen(rows[i].origin));
		struct ws_head head = { .count = 2 };
		head.headers[0] = (struct ws_header){ slice_of("host"), slice_of(host) };
		head.headers[1] = (struct ws_header){ slice_of("ORIGIN"), { origin, strlen(rows[i].origin) } };
		unit_row("%s and %s", host, rows[i].origin);
		CHECK(ws_handshake_same_origin(&head) == rows[i].same);
	}
}

/* Headers that stand before the others. */
static void test_first_line(void)
{
	struct ws_head head;
	static const char *const offered[] = { "a" };

	head_make(&head, "GET / HTTP/1.1\r\n" P " a, a\r\nHost: x\r\n");
	CHECK(!ws_handshake_subprotocols_valid(&head));
	CHECK(slice_is(ws_handshake_subprotocol(&head, offered, 1), "a"));
	head_make(&head, "GET / HTTP/1.1\r\nOrigin: http://y\r\nHost: x\r\n");
	CHECK(!ws_handshake_same_origin(&head));
}

static void test_origin_lines(void)
{
	struct ws_head head;

	head_make(&head, START);
	CHECK(ws_handshake_same_origin(&head));
	head_make(&head, START "Origin: http://example.com\r\n");
	CHECK(ws_handshake_same_origin(&head));
	head_make(&head, START "Origin: http://example.com\r\nOrigin: http://example.com\r\n");
	CHECK(!ws_handshake_same_origin(&head));
	head_make(&head, "GET / HTTP/1.0\r\nOrigin: http://example.com\r\n");
	CHECK(!ws_handshake_same_origin(&head));
	head_make(&head, "GET / HTTP/1.0\r\n");
	CHECK(ws_handshake_same_origin(&head));
}

/* --- the answers ------------------------------------------------------------------------------------- */

static void test_accept(void)
{
	struct ws_handshake_digest digest = { NULL };
	char accept[WS_HANDSHAKE_ACCEPT + 1] = { 0 };

	accept[WS_HANDSHAKE_ACCEPT] = '!';
	CHECK(ws_handshake_accept(&digest, (struct ws_slice){ unit_guard_end(KEY, 24), 24 }, accept) == 0);
	CHECK(memcmp(accept, ACCEPT "!", WS_HANDSHAKE_ACCEPT + 1) == 0);
	CHECK(ws_handshake_accept(&digest, slice_of("AQIDBAUGBwgJCgsMDQ4PEC=="), accept) == 0);
	CHECK(memcmp(accept, "OfS0wDaT5NoxF2gqm7Zj2YtetzM=", WS_HANDSHAKE_ACCEPT) == 0); /* known answer */
	CHECK(ws_handshake_accept(&digest, slice_of(KEY "="), accept) == WS_ERROR_PROTOCOL);
	CHECK(ws_handshake_accept(&digest, slice_of(""), accept) == WS_ERROR_PROTOCOL);
	ws_handshake_digest_clear(&digest);
	ws_handshake_digest_clear(&digest); /* repeatable */
	CHECK(ws_handshake_accept(&digest, slice_of(KEY), accept) == 0 && memcmp(accept, ACCEPT, WS_HANDSHAKE_ACCEPT) == 0);
	ws_handshake_digest_clear(&digest);
}

typedef long write_answer(char *out, size_t size, const void *what);

/* Exactly the expected bytes; with less room their beginning, the same count and nothing behind it. */
static void check_written(write_answer *write, const void *what, const char *expected)
{
	const size_t len = strlen(expected);
	char blank[2048];

	memset(blank, '#', sizeof blank);
	for (size_t size = 0; size <= len + 3; size++) {
		const size_t fits = size < len ? size : len;
		char *out = unit_guard_end(blank, size);
		unit_row("%zu bytes for %.60s", size, expected);
		CHECK(write(out, size, what) == (long)len);
		CHECK(memcmp(out, expected, fits) == 0);
		CHECK(memcmp(out + fits, blank, size - fits) == 0);
	}
	CHECK(write(NULL, 0, what) == (long)len);
}

struct response {
	const char *subprotocol, *extra, *expected;
};

static long response_write(char *out, size_t size, const void *what)
{
	const struct response *r = what;

	return ws_handshake_response(out, size, ACCEPT, slice_of(r->subprotocol), r->extra);
}

#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\n" UPGRADE "Sec-WebSocket-Accept: " ACCEPT "\r\n"

static void test_response(void)
{
	static const struct response rows[] = {
		{ "", "", SWITCHING "\r\n" },
		{ "chat.v2", "", SWITCHING "Sec-WebSocket-Protocol: chat.v2\r\n\r\n" },
		{ "", "Sec-WebSocket-Extensions: permessage-deflate\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n",
			SWITCHING "Sec-WebSocket-Extensions: permessage-deflate\r\nSet-Cookie: a=b\r\n"
			"Set-Cookie: c=d\r\n\r\n" },
		{ "x", "A:\r\n", SWITCHING "Sec-WebSocket-Protocol: x\r\nA:\r\n\r\n" }
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check_written(response_write, &rows[i], rows[i].expected);
}

/* What is not whole header lines. */
static const char *const injections[] = {
	"\r\n", "\n", "A: b", "A: b\r", "A: b\n", "A: b\r\n\r\n", "A: b\r\n\r\nHTTP/1.1 200 OK\r\n",
	"A: b\r\nC", "A\r\n", ": b\r\n", " A: b\r\n", "A: b\r\n c\r\n", "A : b\r\n", "A: b\rC: d\r\n",
	"A: b\nC: d\r\n", "A: \x01\r\n", "A: \x7F\r\n", "\xC3\xA9: b\r\n", "A B: c\r\n",
	"Connection: keep-alive\r\n", "X: y\r\nCONNECTION:\r\n", "content-length: 5\r\n",
	"Transfer-Encoding: chunked\r\n", "Upgrade: h2c\r\n"
};

static void test_response_refused(void)
{
	static const char *const own[] = { "sec-websocket-accept: x\r\n", "Sec-WebSocket-Protocol: x\r\n" };
	static const char *const subprotocols[] = { "a b", "a\r\nX: y", "a,b", "\xC3\xA9", " ", "\r\n" };
	const struct ws_slice none = { NULL, 0 };
	char out[512];

	for (size_t i = 0; i < sizeof injections / sizeof *injections; i++) {
		unit_row("%s", injections[i]);
		CHECK(ws_handshake_response(out, sizeof out, ACCEPT, none, injections[i])
			== WS_ERROR_PROTOCOL);
	}
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		CHECK(ws_handshake_response(out, sizeof out, ACCEPT, none, own[i]) == WS_ERROR_PROTOCOL);
	for (size_t i = 0; i < sizeof subprotocols / sizeof *subprotocols; i++) {
		unit_row("%s", subprotocols[i]);
		CHECK(ws_handshake_response(out, sizeof out, ACCEPT, slice_of(subprotocols[i]), "")
			== WS_ERROR_PROTOCOL);
	}
}

/* What we send is a head that we would take. */
static void test_round_trip(void)
{
	struct ws_refusal refusal;
	struct ws_head head;
	char out[1024];
	size_t from = 0;
	long len = ws_handshake_response(out, sizeof out, ACCEPT, slice_of("chat"), "X: y\r\n");

	CHECK(ws_head_parse_response(&head, out, (size_t)len, MAX, &refusal) == len);
	CHECK(head.status == 101 && head.minor == 1 && head.count == 5);
	CHECK(ws_head_lists(&head, "Upgrade", "websocket") && ws_head_lists(&head, "Connection", "upgrade"));
	CHECK(slice_is(ws_head_next(&head, "Sec-WebSocket-Accept", &from)->value, ACCEPT));
}

UNIT_MAIN(
	{ "good requests", test_check_good },
	{ "every refusal", test_check_refused },
	{ "every byte at every place of a key", test_key_alphabet },
	{ "the last character of a key", test_key_end },
	{ "the choice of a subprotocol", test_subprotocol },
	{ "lists of subprotocols", test_subprotocols_valid },
	{ "64 and 65 subprotocols", test_subprotocols_many },
	{ "Origin and Host", test_same_origin },
	{ "no Origin, two, and no Host", test_origin_lines },
	{ "headers that come first", test_first_line },
	{ "the Accept digest", test_accept },
	{ "the bytes of a response, with every size of the buffer", test_response },
	{ "what a response may not carry", test_response_refused },
	{ "the response is a good head", test_round_trip }
)
