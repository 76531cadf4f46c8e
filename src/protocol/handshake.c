/* The server's half of the opening handshake: what a request must say, and the answer to it. */
#include "protocol/handshake.h"

#include <openssl/evp.h>
#include <string.h>

#include "error.h"
#include "protocol/head_writer.h"

/* RFC 6455 section 1.3 */
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/* They are told apart by comparing each with each: a longer list would cost its sender less than us. */
enum { SUBPROTOCOLS = 64 };

/* --- the request --------------------------------------------------------------------------------- */

static int refuse(struct ws_refusal *refusal, unsigned status, const char *why)
{
	*refusal = (struct ws_refusal){ status, why };
	return WS_ERROR_PROTOCOL;
}


/* How often a header that may stand only once does: 0, 1, or 2 for more. The value is the first one's. */
static unsigned header_find(const struct ws_head *head, const char *name, struct ws_slice *value)
{
	size_t from = 0;
	const struct ws_header *header = ws_head_next(head, name, &from);

	if (header == NULL)
		return 0;
	*value = header->value;
	return ws_head_next(head, name, &from) == NULL ? 1 : 2;
}

static bool char_is_base64(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* 16 bytes in base64: 22 characters, the last of which carries two bits and four zeros, and "==". */
static bool key_valid(struct ws_slice key)
{
	if (key.len != WS_HANDSHAKE_KEY || memcmp(key.data + WS_HANDSHAKE_KEY - 2, "==", 2) != 0)
		return false;
	for (size_t i = 0; i < WS_HANDSHAKE_KEY - 2; i++)
		if (!char_is_base64(key.data[i]))
			return false;
	return memchr("AQgw", key.data[WS_HANDSHAKE_KEY - 3], 4) != NULL;
}

/* Behind an upgrade with a body the frames would begin behind bytes that nobody reads. */
int ws_handshake_check_body(const struct ws_head *head, struct ws_refusal *refusal)
{
	struct ws_slice length;

	if (header_find(head, "Transfer-Encoding", &length) != 0)
		return refuse(refusal, 400, "A request has no Transfer-Encoding here.");
	if (header_find(head, "Content-Length", &length) != 0)
		for (size_t i = 0; i < length.len; i++)
			if (length.data[i] != '0')
				return refuse(refusal, 413, "A request has no body here.");
	return 0;
}

bool ws_handshake_asked(const struct ws_head *head)
{
	return head->minor >= 1 && ws_head_lists(head, "Upgrade", "websocket");
}

/* Whether the request asks for a WebSocket at all (section 4.2.1 points 1, 3 and 4). */
static int upgrade_check(const struct ws_head *head, struct ws_refusal *refusal)
{
	if (!ws_slice_equals(head->method, ws_slice_of("GET")))
		return refuse(refusal, 405, "A WebSocket is opened with GET.");
	/*
	 * RFC 9110 section 7.8 has Upgrade ignored in HTTP/1.0, and proxies that speak it drop the header, so
	 * before it is looked for the version is told, as the reason (section 15.6.6, stretched to the minor
	 * version).
	 */
	if (head->minor < 1)
		return refuse(refusal, 505, "A WebSocket needs HTTP/1.1, also from a proxy on the way.");
	if (!ws_head_lists(head, "Upgrade", "websocket"))
		return refuse(refusal, 426, "This is a WebSocket endpoint: the request has no Upgrade: websocket.");
	if (!ws_head_lists(head, "Connection", "upgrade"))
		return refuse(refusal, 400, "The request has Upgrade, but no Connection: Upgrade.");
	return 0;
}

int ws_handshake_check(const struct ws_head *head, struct ws_slice *key, struct ws_refusal *refusal)
{
	struct ws_slice version;
	int result;

	if ((result = upgrade_check(head, refusal)) != 0 || (result = ws_handshake_check_body(head, refusal)) != 0)
		return result;
	/* Point 6; once only (section 11.3.5); another version is told ours (section 4.4). */
	if (header_find(head, "Sec-WebSocket-Version", &version) != 1)
		return refuse(refusal, 400, "Sec-WebSocket-Version is missing or repeated.");
	if (!ws_slice_is(version, "13"))
		return refuse(refusal, 426, "Only version 13 of the WebSocket protocol is spoken here.");
	/* Point 5; once only (section 11.3.1) */
	if (header_find(head, "Sec-WebSocket-Key", key) != 1)
		return refuse(refusal, 400, "Sec-WebSocket-Key is missing or repeated.");
	if (!key_valid(*key))
		return refuse(refusal, 400, "Sec-WebSocket-Key is not 16 bytes in base64.");
	return 0;
}

struct ws_slice ws_handshake_key_of(const struct ws_head *head)
{
	size_t from = 0;

	return ws_head_next(head, "Sec-WebSocket-Key", &from)->value;
}

/* --- subprotocols -------------------------------------------------------------------------------- */

/*
 * Notes one line's elements behind the count ones known; false for no token, a repeated one or one too
 * many.
 */
static bool subprotocols_note(struct ws_slice list, struct ws_slice known[SUBPROTOCOLS], size_t *count)
{
	struct ws_slice element;

	if (!ws_slice_split(&list, &element))
		return false; /* 1#token: an empty line is no list */
	do {
		if (*count == SUBPROTOCOLS || !ws_slice_is_token(element))
			return false;
		for (size_t i = 0; i < *count; i++)
			if (ws_slice_equals(known[i], element))
				return false;
		known[(*count)++] = element;
	} while (ws_slice_split(&list, &element));
	return true;
}

bool ws_handshake_subprotocols_valid(const struct ws_head *head)
{
	struct ws_slice known[SUBPROTOCOLS];
	const struct ws_header *header;
	size_t count = 0, from = 0;

	/* Several lines are one list (section 11.3.4). */
	while ((header = ws_head_next(head, "Sec-WebSocket-Protocol", &from)) != NULL)
		if (!subprotocols_note(header->value, known, &count))
			return false;
	return true;
}

struct ws_slice ws_handshake_subprotocol(const struct ws_head *head, const char *const *offered,
                                         size_t count)
{
	const struct ws_header *header;
	size_t from = 0;

	while ((header = ws_head_next(head, "Sec-WebSocket-Protocol", &from)) != NULL) {
		struct ws_slice list = header->value, element;
		while (ws_slice_split(&list, &element))
			for (size_t i = 0; i < count; i++)
				if (ws_slice_equals(element, ws_slice_of(offered[i])))
					return element;
	}
	return (struct ws_slice){ NULL, 0 };
}

/* --- origin -------------------------------------------------------------------------------------- */

/* The digits of a port; standard where there are none. False if that is no port. */
static bool port_read(struct ws_slice digits, unsigned standard, unsigned *port)
{
	*port = digits.len == 0 ? standard : 0;
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.data[i] < '0' || digits.data[i] > '9')
			return false;
		*port = *port * 10 + (unsigned)(digits.data[i] - '0');
		if (*port > 65535)
			return false;
	}
	return true;
}

/*
 * "host", "host:port", "[v6]" or "[v6]:port"; false for anything else, user information and paths included.
 */
static bool authority_split(struct ws_slice authority, unsigned standard, struct ws_slice *host,
                            unsigned *port)
{
	struct ws_slice digits = { NULL, 0 };
	const bool bracketed = authority.len > 0 && authority.data[0] == '[';
	size_t i = 0;

	if (bracketed) {
		while (i < authority.len && authority.data[i] != ']')
			i++;
		if (i++ == authority.len)
			return false;
	} else {
		while (i < authority.len && authority.data[i] != ':')
			if (strchr("/?#@[]", authority.data[i++]) != NULL) /* a NUL is found, too */
				return false;
	}
	*host = (struct ws_slice){ authority.data, i };
	if (i < authority.len) {
		if (authority.data[i] != ':')
			return false;
		digits = (struct ws_slice){ authority.data + i + 1, authority.len - i - 1 };
	}
	return host->len > 0 && port_read(digits, standard, port);
}

static bool host_equals(struct ws_slice a, struct ws_slice b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		const char c = a.data[i], d = b.data[i];
		const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		if (c != d && !(letter && (c ^ d) == ('a' ^ 'A')))
			return false;
	}
	return true;
}

/* Cuts "scheme://" off; gives the scheme's port, or 0 where it has none that we know. */
static bool scheme_cut(struct ws_slice *origin, unsigned *standard)
{
	size_t i = 0;

	while (i + 3 <= origin->len && memcmp(origin->data + i, "://", 3) != 0)
		i++;
	if (i == 0 || i + 3 > origin->len)
		return false; /* "null" among others (RFC 6454 section 6.1) */
	const struct ws_slice scheme = { origin->data, i };
	*standard = ws_slice_is(scheme, "https") || ws_slice_is(scheme, "wss") ? 443
		: ws_slice_is(scheme, "http") || ws_slice_is(scheme, "ws") ? 80 : 0;
	origin->data += i + 3;
	origin->len -= i + 3;
	return true;
}

bool ws_handshake_same_origin(const struct ws_head *head)
{
	struct ws_slice origin, host, origin_host, host_host;
	unsigned standard, origin_port, host_port;
	const unsigned origins = header_find(head, "Origin", &origin);

	if (origins == 0)
		return true; /* no browser */
	if (origins > 1 || header_find(head, "Host", &host) != 1 || !scheme_cut(&origin, &standard))
		return false;
	/* Behind a proxy that ends TLS we can't know our own scheme: a Host without a port is at the page's. */
	return authority_split(origin, standard, &origin_host, &origin_port)
		&& authority_split(host, standard, &host_host, &host_port)
		&& origin_port == host_port && host_equals(origin_host, host_host);
}

/* --- the answer ---------------------------------------------------------------------------------- */

void ws_handshake_digest_clear(struct ws_handshake_digest *digest)
{
	EVP_MD_CTX_free(digest->context);
	digest->context = NULL;
}

/* Ready for input. */
static bool digest_start(struct ws_handshake_digest *digest)
{
	if (digest->context != NULL)
		return EVP_DigestInit_ex(digest->context, NULL, NULL) == 1;
	digest->context = EVP_MD_CTX_new();
	if (digest->context != NULL && EVP_DigestInit_ex(digest->context, EVP_sha1(), NULL) == 1)
		return true;
	ws_handshake_digest_clear(digest);
	return false;
}

int ws_handshake_accept(struct ws_handshake_digest *digest, struct ws_slice key, char accept[WS_HANDSHAKE_ACCEPT])
{
	unsigned char input[WS_HANDSHAKE_KEY + sizeof GUID - 1], sum[EVP_MAX_MD_SIZE];
	unsigned char encoded[WS_HANDSHAKE_ACCEPT + 1];
	unsigned len = 0;

	if (key.len != WS_HANDSHAKE_KEY)
		return WS_ERROR_PROTOCOL;
	memcpy(input, key.data, WS_HANDSHAKE_KEY);
	memcpy(input + WS_HANDSHAKE_KEY, GUID, sizeof GUID - 1);
	if (!digest_start(digest) || EVP_DigestUpdate(digest->context, input, sizeof input) != 1
			|| EVP_DigestFinal_ex(digest->context, sum, &len) != 1 || len != 20)
		return WS_ERROR_MEMORY;
	(void)EVP_EncodeBlock(encoded, sum, (int)len);
	memcpy(accept, encoded, WS_HANDSHAKE_ACCEPT);
	return 0;
}

void ws_handshake_key(const uint8_t nonce[16], char key[WS_HANDSHAKE_KEY])
{
	unsigned char encoded[WS_HANDSHAKE_KEY + 1];

	(void)EVP_EncodeBlock(encoded, nonce, 16);
	memcpy(key, encoded, WS_HANDSHAKE_KEY);
}

long ws_handshake_response(char *out, size_t size, const char accept[WS_HANDSHAKE_ACCEPT], struct ws_slice subprotocol,
                           const char *extra)
{
	/* Both lengths would be wrong in a 101 (RFC 9110 section 8.6, RFC 9112 section 6.1). */
	static const char *const own[] = {
		"Upgrade", "Connection", "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol", "Content-Length",
		"Transfer-Encoding", NULL
	};
	struct ws_head_writer w = { out, size, 0 };

	if (!ws_head_lines_valid(extra, own) || (subprotocol.len > 0 && !ws_slice_is_token(subprotocol)))
		return WS_ERROR_PROTOCOL;
	ws_head_write(&w, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: ");
	ws_head_write_slice(&w, (struct ws_slice){ accept, WS_HANDSHAKE_ACCEPT });
	if (subprotocol.len > 0) {
		ws_head_write(&w, "\r\nSec-WebSocket-Protocol: ");
		ws_head_write_slice(&w, subprotocol);
	}
	ws_head_write(&w, "\r\n");
	ws_head_write(&w, extra);
	ws_head_write(&w, "\r\n");
	return (long)w.used;
}
