/* Both kinds of proxy behind one face: what is said, and the events that answers become. */
#include "protocol/tunnel.h"

#include "error.h"
#include "unit.h"

#define SLICE(text) { text, sizeof text - 1 }

static const struct ws_tunnel_options http = { .kind = WS_TUNNEL_HTTP, .authority = SLICE("example.com:443") };
static const struct ws_tunnel_options socks5 = {
	.kind = WS_TUNNEL_SOCKS5, .socks5 = { .host = SLICE("example.com"), .port = 443 }
};

static bool is(struct ws_slice slice, const char *text)
{
	return slice.len == strlen(text) && !memcmp(slice.data, text, slice.len);
}

static void test_request(void)
{
	struct ws_tunnel_options options = http;
	struct ws_tunnel *tunnel;
	CHECK(ws_tunnel_new(&tunnel, &options) == 0);
	CHECK(is(ws_tunnel_start(tunnel), "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"));
	ws_tunnel_free(tunnel);
	options.authorization = (struct ws_slice)SLICE("Basic YW5uOnM=");
	CHECK(ws_tunnel_new(&tunnel, &options) == 0);
	CHECK(is(ws_tunnel_start(tunnel), "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n"
	         "Proxy-Authorization: Basic YW5uOnM=\r\n\r\n"));
	ws_tunnel_free(tunnel);
	ws_tunnel_free(NULL);
}

/* All answers come in one piece; those before the last have nothing to say but what they bring about. */
static void test_http(void)
{
	static const struct {
		const char *bytes;
		enum ws_tunnel_event_type type;
		long used; /* of it; 0: all */
		const char *why;
	} rows[] = {
		{ "HTTP/1.1 200 OK\r\n\r\n", WS_TUNNEL_OPEN, 0, NULL },
		{ "HTTP/1.0 200\r\n\r\n", WS_TUNNEL_OPEN, 0, NULL },
		{ "HTTP/1.1 299 OK\r\nContent-Length: 5\r\n\r\n\26\3\1", WS_TUNNEL_OPEN, 38, NULL },
		{ "HTTP/1.1 200 OK\r\n\r", WS_TUNNEL_SAY, WS_AGAIN, NULL },
		{ "", WS_TUNNEL_SAY, WS_AGAIN, NULL },
		{ "HTTP/1.1 100 Continue\r\n\r\n", WS_TUNNEL_SAY, 0, NULL },
		{ "HTTP/1.1 199 Wait\r\n\r\n", WS_TUNNEL_SAY, 0, NULL },
		{ "HTTP/1.1 101 Switching Protocols\r\n\r\n", WS_TUNNEL_REFUSED, 0, NULL },
		{ "HTTP/1.1 300 Many\r\n\r\n", WS_TUNNEL_REFUSED, 0, NULL },
		{ "HTTP/1.1 407 Who\r\nContent-Length: 3\r\n\r\nyou", WS_TUNNEL_REFUSED, 39, NULL },
		{ "HTTP/1.1 599 Fail\r\n\r\n", WS_TUNNEL_REFUSED, 0, NULL },
		{ "\5\1\0", WS_TUNNEL_FAILED, WS_ERROR_PROTOCOL, "not a valid HTTP response: " },
		{ "HTTP/1.1 200 OK\n\n", WS_TUNNEL_FAILED, WS_ERROR_PROTOCOL, "not a valid HTTP response: " },
		{ "HTTP/1.1 200 OK\r\nA: 89012345678901234567890123456789012345678901234567890", WS_TUNNEL_FAILED,
		  WS_ERROR_PROTOCOL, "large" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct ws_tunnel *tunnel;
		struct ws_tunnel_event ev;
		const size_t len = strlen(rows[i].bytes);
		unit_row("%s", rows[i].bytes);
		CHECK(ws_tunnel_new(&tunnel, &http) == 0);
		const long used = ws_tunnel_next(tunnel, unit_guard_end(rows[i].bytes, len), len, 64, &ev);
		CHECK(used == (rows[i].used ? rows[i].used : (long)len));
		CHECK(ev.type == rows[i].type);
		CHECK(ev.say.len == 0);
		CHECK(!rows[i].why || strstr(ev.why, rows[i].why));
		ws_tunnel_free(tunnel);
	}
}

static void test_socks5(void)
{
	struct ws_tunnel *tunnel;
	struct ws_tunnel_event ev;
	CHECK(ws_tunnel_new(&tunnel, &socks5) == 0);
	CHECK(ws_tunnel_start(tunnel).len == 3);
	CHECK(ws_tunnel_next(tunnel, "\5", 1, 64, &ev) == WS_AGAIN);
	CHECK(ev.type == WS_TUNNEL_SAY && ev.say.len == 0);
	CHECK(ws_tunnel_next(tunnel, "\5\0", 2, 64, &ev) == 2);
	CHECK(ev.type == WS_TUNNEL_SAY && ev.say.len == 18);
	CHECK(ws_tunnel_next(tunnel, "\5\0\0\1\0\0\0\0\0\0x", 11, 64, &ev) == 10);
	CHECK(ev.type == WS_TUNNEL_OPEN);
	ws_tunnel_free(tunnel);
	CHECK(ws_tunnel_new(&tunnel, &socks5) == 0);
	CHECK(ws_tunnel_next(tunnel, "\5\377", 2, 64, &ev) == WS_ERROR_PROTOCOL);
	CHECK(ev.type == WS_TUNNEL_FAILED && strstr(ev.why, "authentication"));
	ws_tunnel_free(tunnel);
}

static void test_too_long(void)
{
	static const char name[256];
	struct ws_tunnel_options options = socks5;
	struct ws_tunnel *tunnel = NULL;
	options.socks5.host = (struct ws_slice){ name, sizeof name };
	CHECK(ws_tunnel_new(&tunnel, &options) == WS_ERROR_PROTOCOL);
	CHECK(tunnel == NULL);
}

UNIT_MAIN(
	{ "HTTP is asked with CONNECT, and with authorization if there is one", test_request },
	{ "HTTP's answers open, refuse, announce or fail", test_http },
	{ "SOCKS5's answers say what comes next, open or fail", test_socks5 },
	{ "what SOCKS5 has no way to say makes no tunnel", test_too_long }
)
