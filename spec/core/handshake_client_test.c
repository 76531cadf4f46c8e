/* What a client asks, byte for byte, and every answer that is none to it (RFC 6455 section 4.1). */
#include "protocol/handshake_client.h"

#include "error.h"
#include "unit.h"

static const char key[] = "dGhlIHNhbXBsZSBub25jZQ=="; /* section 1.3 */
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
		"Sec-WebSocket-Protocol: v1.chat, v2.chat\r\nX-A: 1\r\n\r\n";
	const struct ws_client_request request = {
		SLICE("/chat?x=1"), SLICE("example.com:81"), SLICE("v1.chat, v2.chat"), "X-A: 1\r\n"
	};
	char out[sizeof expected];
	CHECK(ws_handshake_request(NULL, 0, &request, key) == sizeof expected - 1);
	CHECK(ws_handshake_request(out, sizeof out, &request, key) == sizeof expected - 1);
	CHECK(!memcmp(out, expected, sizeof expected - 1));
}

static void test_extra(void)
{
	static const char *const wrong[] = {
		"X-A: 1", "X-A 1\r\n", "X-A: 1\r\n\r\n", " X: 1\r\n", "Host: x\r\n", "upgrade: x\r\n", "Connection: x\r\n",
		"Sec-WebSocket-Key: x\r\n", "Sec-WebSocket-Version: 8\r\n", "Sec-WebSocket-Protocol: x\r\n",
		"Sec-WebSocket-Extensions: x\r\n", "Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n",
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		const struct ws_client_request request = { SLICE("/"), SLICE("x"), { NULL, 0 }, wrong[i] };
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
	return ws_handshake_verify(&head, key, offered, count, subprotocol, &why) == 0 ? NULL : why;
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

static void test_wrong(void)
{
	static const struct {
		const char *version, *lines;
		size_t count; /* subprotocols that were offered */
		const char *why;
	} rows[] = {
		{ "HTTP/1.0", RIGHT, 2, "HTTP/1.1" },
		{ "HTTP/1.1", CONNECTION ACCEPT, 2, "Upgrade: websocket" },
		{ "HTTP/1.1", "Upgrade: h2c\r\n" CONNECTION ACCEPT, 2, "Upgrade: websocket" },
		{ "HTTP/1.1", "Upgrade: websocket, h2c\r\n" CONNECTION ACCEPT, 2, "Upgrade: websocket" },
		{ "HTTP/1.1", UPGRADE RIGHT, 2, "Upgrade: websocket" },
		{ "HTTP/1.1", UPGRADE ACCEPT, 2, "Connection: Upgrade" },
		{ "HTTP/1.1", UPGRADE "Connection: close\r\n" ACCEPT, 2, "Connection: Upgrade" },
		{ "HTTP/1.1", UPGRADE CONNECTION, 2, "no Sec-WebSocket-Accept" },
		{ "HTTP/1.1", RIGHT ACCEPT, 2, "more than one Sec-WebSocket-Accept" },
		{ "HTTP/1.1", UPGRADE CONNECTION "Sec-WebSocket-Accept: \r\n", 2, "does not belong to our key" },
		{ "HTTP/1.1", UPGRADE CONNECTION "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", 2, "our key" },
		{ "HTTP/1.1", UPGRADE CONNECTION "Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n", 2, "our key" },
		{ "HTTP/1.1", RIGHT "Sec-WebSocket-Extensions: permessage-deflate\r\n", 2, "extension" },
		{ "HTTP/1.1", RIGHT "Sec-WebSocket-Protocol: v3.chat\r\n", 2, "not offered" },
		{ "HTTP/1.1", RIGHT "Sec-WebSocket-Protocol: V1.chat\r\n", 2, "not offered" },
		{ "HTTP/1.1", RIGHT "Sec-WebSocket-Protocol: v1.chat, v2.chat\r\n", 2, "not offered" },
		{ "HTTP/1.1", RIGHT "Sec-WebSocket-Protocol: v1.chat\r\n", 0, "none was offered" },
		{ "HTTP/1.1", RIGHT "Sec-WebSocket-Protocol: v1.chat\r\nSec-WebSocket-Protocol: v1.chat\r\n", 2, "more than one" },
	};
	struct ws_slice subprotocol;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *why = refusal(rows[i].version, rows[i].lines, rows[i].count, &subprotocol);
		unit_row("%s: %s", rows[i].why, why ? why : "(accepted)");
		CHECK(why != NULL && strstr(why, rows[i].why) != NULL);
	}
}

UNIT_MAIN(
	{ "the key is 16 bytes in base64", test_key },
	{ "the request is RFC 6455's, in its order", test_request },
	{ "lines of the user's are whole lines and none of the handshake's own", test_extra },
	{ "right answers, in whatever order and case", test_right },
	{ "each wrong answer is told in words", test_wrong }
)
