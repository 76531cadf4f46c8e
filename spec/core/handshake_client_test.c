/* What a client asks, byte for byte, and every answer that is none to it (RFC 6455 section 4.1). */
#include "protocol/handshake_client.h"

#include "error.h"
#include "unit.h"

/* section 1.3 */
static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==", right[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
static const char *const offered[] = { "v1.chat", "v2.chat" };

#define SLICE(text) { text, sizeof text - 1 }

static void test_key(void)
{
	char made[WS_HANDSHAKE_KEY];
	ws_handshake_key((const uint8_t *)"the sample nonce", made);
	CHECK(!memcmp(made, key, sizeof made));
}

static void test_request(void)
{
	static const char expected[] =
		"GET /chat?x=1 HTTP/1.1\r\nHost: example.com:81\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		"Sec-WebSocket-Protocol: v1.chat, v2.chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\nX-A: 1\r\n\r\n";
	const struct ws_client_request request = {
		SLICE("/chat?x=1"), SLICE("example.com:81"), SLICE("v1.chat, v2.chat"), SLICE("permessage-deflate"), "X-A: 1\r\n"
	};
	char out[sizeof expected];
	CHECK(ws_handshake_request(NULL, 0, &request, key) == sizeof expected - 1);
	CHECK(ws_handshake_request(out, sizeof out, &request, key) == sizeof expected - 1);
	CHECK(!memcmp(out, expected, sizeof expected - 1));
}

static void test_least_request(void)
{
	static const char expected[] =
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	const struct ws_client_request request = { SLICE("/"), SLICE("x"), { NULL, 0 }, { NULL, 0 }, "" };
	for (size_t size = 0; size <= sizeof expected; size++) {
		char out[sizeof expected];
		const size_t whole = sizeof expected - 1, written = size < whole ? size : whole;
		memset(out, '#', sizeof out);
		unit_row("room for %zu", size);
		CHECK(ws_handshake_request(out, size, &request, key) == (long)whole);
		CHECK(!memcmp(out, expected, written));
		CHECK(out[written] == '#');
	}
}

static void test_extra(void)
{
	static const char *const wrong[] = {
		"X-A: 1", "X-A 1\r\n", "X-A: 1\r\n\r\n", " X: 1\r\n", "Host: x\r\n", "upgrade: x\r\n", "Connection: x\r\n",
		"Sec-WebSocket-Key: x\r\n", "Sec-WebSocket-Version: 8\r\n", "Sec-WebSocket-Protocol: x\r\n",
		"Sec-WebSocket-Extensions: x\r\n", "Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n",
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		const struct ws_client_request request = { SLICE("/"), SLICE("x"), { NULL, 0 }, { NULL, 0 }, wrong[i] };
		unit_row("%s", wrong[i]);
		CHECK(ws_handshake_request(NULL, 0, &request, key) == WS_ERROR_PROTOCOL);
	}
}

/* The words of the refusal of an answer with these header lines; NULL: it is right. */
static const char *refusal(const char *version, const char *lines, size_t count, struct ws_slice *subprotocol)
{
	char answer[1024];
	struct ws_head head;
	struct ws_refusal wrong;
	const char *why;
	int len = snprintf(answer, sizeof answer, "%s 101 Switching Protocols\r\n%s\r\n", version, lines);
	if (ws_head_parse_response(&head, answer, (size_t)len, sizeof answer, &wrong) != len)
		return wrong.why;
	return ws_handshake_verify(&head, right, offered, count, subprotocol, &why) == 0 ? NULL : why;
}

#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define RIGHT UPGRADE CONNECTION ACCEPT

static void test_right(void)
{
	static const struct {
		const char *lines, *subprotocol;
	} rows[] = {
		{ RIGHT, "" },
		{ "upgrade: WebSocket\r\nCONNECTION: keep-alive, upgrade\r\n" ACCEPT, "" },
		{ RIGHT "Sec-WebSocket-Protocol: v2.chat\r\n", "v2.chat" },
		{ ACCEPT "Server: x\r\n" CONNECTION UPGRADE, "" },
	};
	struct ws_slice subprotocol;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		unit_row("%s", rows[i].lines);
		CHECK(refusal("HTTP/1.1", rows[i].lines, 2, &subprotocol) == NULL);
		CHECK(subprotocol.len == strlen(rows[i].subprotocol));
		CHECK(!subprotocol.len || !memcmp(subprotocol.data, rows[i].subprotocol, subprotocol.len));
	}
}

#define HTTP_1_0 "the server answers with HTTP/1.0: only HTTP/1.1 has upgrades"
#define NO_UPGRADE "the server's answer has no Upgrade"
#define TWO_UPGRADES "the server's answer has more than one Upgrade"
#define OTHER_UPGRADE "the server's Upgrade is not to websocket, or not to it alone"
#define NO_CONNECTION "the server's answer has no Connection"
#define OTHER_CONNECTION "the server's Connection does not list Upgrade"
#define NO_ACCEPT "the server's answer has no Sec-WebSocket-Accept: it is not from a WebSocket server"
#define TWO_ACCEPTS "the server's answer has more than one Sec-WebSocket-Accept"
#define OTHER_ACCEPT "the server's Sec-WebSocket-Accept does not belong to our key: it answers somebody else"
#define TWO_PROTOCOLS "the server's answer has more than one Sec-WebSocket-Protocol"
#define UNASKED_PROTOCOL "the server chose a subprotocol, but none was offered"
#define OTHER_PROTOCOL "the server chose a subprotocol that was not offered"
#define OUR_ACCEPT(value) UPGRADE CONNECTION "Sec-WebSocket-Accept: " value "\r\n"
#define PROTOCOL(value) "Sec-WebSocket-Protocol: " value "\r\n"

static void test_wrong(void)
{
	static const struct {
		const char *why, *version, *lines;
		size_t count; /* subprotocols that were offered */
	} rows[] = {
		{ HTTP_1_0, "HTTP/1.0", RIGHT, 2 },
		{ NO_UPGRADE, "HTTP/1.1", "", 2 },
		{ NO_UPGRADE, "HTTP/1.1", CONNECTION ACCEPT, 2 },
		{ NO_UPGRADE, "HTTP/1.1", "X-Upgrade: websocket\r\n" CONNECTION ACCEPT, 2 },
		{ TWO_UPGRADES, "HTTP/1.1", UPGRADE RIGHT, 2 },
		{ TWO_UPGRADES, "HTTP/1.1", "Upgrade: h2c\r\n" RIGHT, 2 },
		{ TWO_UPGRADES, "HTTP/1.1", RIGHT "upgrade: h2c\r\n", 2 },
		{ OTHER_UPGRADE, "HTTP/1.1", "Upgrade: h2c\r\n" CONNECTION ACCEPT, 2 },
		{ OTHER_UPGRADE, "HTTP/1.1", "Upgrade:\r\n" CONNECTION ACCEPT, 2 },
		{ OTHER_UPGRADE, "HTTP/1.1", "Upgrade: web socket\r\n" CONNECTION ACCEPT, 2 },
		{ OTHER_UPGRADE, "HTTP/1.1", "Upgrade: websockets\r\n" CONNECTION ACCEPT, 2 },
		{ OTHER_UPGRADE, "HTTP/1.1", "Upgrade: websocke\r\n" CONNECTION ACCEPT, 2 },
		{ OTHER_UPGRADE, "HTTP/1.1", "Upgrade: websocket, h2c\r\n" CONNECTION ACCEPT, 2 },
		{ OTHER_UPGRADE, "HTTP/1.1", "Upgrade: websocket/13\r\n" CONNECTION ACCEPT, 2 },
		{ NO_CONNECTION, "HTTP/1.1", UPGRADE ACCEPT, 2 },
		{ OTHER_CONNECTION, "HTTP/1.1", UPGRADE "Connection:\r\n" ACCEPT, 2 },
		{ OTHER_CONNECTION, "HTTP/1.1", UPGRADE "Connection: close\r\n" ACCEPT, 2 },
		{ OTHER_CONNECTION, "HTTP/1.1", UPGRADE "Connection: keep-alive\r\nConnection: upgrades\r\n" ACCEPT, 2 },
		{ OTHER_CONNECTION, "HTTP/1.1", UPGRADE "Connection: not-upgrade\r\n" ACCEPT, 2 },
		{ OTHER_CONNECTION, "HTTP/1.1", UPGRADE "Connection: keep-alive upgrade\r\n" ACCEPT, 2 },
		{ NO_ACCEPT, "HTTP/1.1", UPGRADE CONNECTION, 2 },
		{ NO_ACCEPT, "HTTP/1.1", UPGRADE CONNECTION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 2 },
		{ TWO_ACCEPTS, "HTTP/1.1", RIGHT ACCEPT, 2 },
		{ TWO_ACCEPTS, "HTTP/1.1", RIGHT "sec-websocket-accept: x\r\n", 2 },
		{ TWO_ACCEPTS, "HTTP/1.1", OUR_ACCEPT("x") ACCEPT, 2 },
		{ OTHER_ACCEPT, "HTTP/1.1", OUR_ACCEPT(""), 2 },
		{ OTHER_ACCEPT, "HTTP/1.1", OUR_ACCEPT("S3pPLMBiTxaQ9kYGzzhZRbK+xOo="), 2 }, /* the first character */
		{ OTHER_ACCEPT, "HTTP/1.1", OUR_ACCEPT("s3pPLMBiTxaQ9kYGzzhZRbK+xOp="), 2 }, /* the last one of the digest */
		{ OTHER_ACCEPT, "HTTP/1.1", OUR_ACCEPT("s3pPLMBiTxaQ9kYGzzhZRbK+xOo"), 2 },
		{ OTHER_ACCEPT, "HTTP/1.1", OUR_ACCEPT("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=="), 2 },
		{ OTHER_ACCEPT, "HTTP/1.1", OUR_ACCEPT("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=, x"), 2 },
		{ OTHER_ACCEPT, "HTTP/1.1", OUR_ACCEPT("\"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\""), 2 },
		{ OTHER_ACCEPT, "HTTP/1.1", OUR_ACCEPT("s3pplmbitxaq9kygzzhzrbk+xoo="), 2 },
		{ OTHER_ACCEPT, "HTTP/1.1", OUR_ACCEPT("dGhlIHNhbXBsZSBub25jZQ=="), 2 }, /* the key itself */
		{ TWO_PROTOCOLS, "HTTP/1.1", RIGHT PROTOCOL("v1.chat") PROTOCOL("v1.chat"), 2 },
		{ TWO_PROTOCOLS, "HTTP/1.1", RIGHT PROTOCOL("v1.chat") PROTOCOL("v3.chat"), 0 },
		{ UNASKED_PROTOCOL, "HTTP/1.1", RIGHT PROTOCOL("v1.chat"), 0 },
		{ UNASKED_PROTOCOL, "HTTP/1.1", RIGHT PROTOCOL(""), 0 },
		{ OTHER_PROTOCOL, "HTTP/1.1", RIGHT PROTOCOL("v3.chat"), 2 },
		{ OTHER_PROTOCOL, "HTTP/1.1", RIGHT PROTOCOL("V1.chat"), 2 },
		{ OTHER_PROTOCOL, "HTTP/1.1", RIGHT PROTOCOL("v1.cha"), 2 },
		{ OTHER_PROTOCOL, "HTTP/1.1", RIGHT PROTOCOL("v1.chats"), 2 },
		{ OTHER_PROTOCOL, "HTTP/1.1", RIGHT PROTOCOL("v1.chat, v2.chat"), 2 },
		{ OTHER_PROTOCOL, "HTTP/1.1", RIGHT PROTOCOL(""), 2 },
		{ OTHER_PROTOCOL, "HTTP/1.1", RIGHT PROTOCOL("v2.chat"), 1 }, /* only the first was offered */
	};
	struct ws_slice subprotocol;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *why = refusal(rows[i].version, rows[i].lines, rows[i].count, &subprotocol);
		unit_row("row %zu, %s: %s", i, rows[i].why, why ? why : "(accepted)");
		CHECK(why != NULL && strcmp(why, rows[i].why) == 0);
	}
}

UNIT_MAIN(
	{ "the key is 16 bytes in base64", test_key },
	{ "the request is RFC 6455's, in its order", test_request },
	{ "the least request, in too little room and in enough", test_least_request },
	{ "lines of the user's are whole lines and none of the handshake's own", test_extra },
	{ "right answers, in whatever order and case", test_right },
	{ "each wrong answer is told in words", test_wrong }
)
