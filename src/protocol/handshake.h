/* The opening handshake (RFC 6455 section 4), the server's half. */
#ifndef WS_PROTOCOL_HANDSHAKE_H
#define WS_PROTOCOL_HANDSHAKE_H

#include <stdint.h>

#include "protocol/head.h"

#pragma GCC visibility push(hidden)

enum {
	WS_HANDSHAKE_ACCEPT = 28,     /* characters of Sec-WebSocket-Accept */
	WS_HANDSHAKE_KEY = 24         /* characters of Sec-WebSocket-Key */
};

/*
 * Checks a parsed request against section 4.2.1: GET, HTTP/1.1, Upgrade, Connection, one key that is 16
 * bytes in base64, version 13, no body. Returns 0 and the key, or WS_ERROR_PROTOCOL with refusal filled
 * (400, 405, 413, 426, 505).
 */
int ws_handshake_check(const struct ws_head *head, struct ws_slice *key, struct ws_refusal *refusal);

/*
 * The first subprotocol of the client's list that is also in offered (count entries; compared with their
 * case), as the client's bytes; len 0 if none.
 */
struct ws_slice ws_handshake_subprotocol(const struct ws_head *head, const char *const *offered,
                                         size_t count);

/*
 * Whether each Sec-WebSocket-Protocol line is a list of distinct tokens (section 4.1 point 10), 64 at most.
 */
bool ws_handshake_subprotocols_valid(const struct ws_head *head);

/*
 * Whether the Origin is absent or its host and port are those of Host (RFC 6454 section 4). A port that is
 * left out is the standard one of the Origin's scheme.
 */
bool ws_handshake_same_origin(const struct ws_head *head);

/*
 * The digest of section 4.2.2 point 5.4: base64(SHA-1(key GUID)), no NUL. 0, WS_ERROR_PROTOCOL where the
 * key has not WS_HANDSHAKE_KEY characters, or WS_ERROR_MEMORY (OpenSSL failed).
 */
int ws_handshake_accept(struct ws_slice key, char accept[WS_HANDSHAKE_ACCEPT]);

/*
 * The 101 response. subprotocol.len 0: none. extra is further header lines, each with its CRLF
 * (Sec-WebSocket-Extensions, Set-Cookie), or "". Writes at most size bytes, returns how many it has (as
 * snprintf without the NUL: more than size means that it did not fit), WS_ERROR_MEMORY, or
 * WS_ERROR_PROTOCOL where extra is not whole header lines or has a field that the response itself sets, or
 * the subprotocol is no token.
 */
long ws_handshake_response(char *out, size_t size, struct ws_slice key, struct ws_slice subprotocol,
                           const char *extra);

/*
 * A refusal: status line, Content-Type (unless extra has one), Content-Length, Connection: close, the extra
 * header lines (each with its CRLF, or ""; 405 gets Allow: GET and 426 gets Upgrade: websocket, its
 * Connection: Upgrade and Sec-WebSocket-Version: 13 by themselves), body. Returns as above;
 * WS_ERROR_PROTOCOL where extra is not whole header lines or has Connection, Upgrade, Content-Length or
 * Transfer-Encoding, and for a status outside 200-599.
 */
long ws_handshake_refusal(char *out, size_t size, unsigned status, const char *extra, struct ws_slice body);

/* The status' standard phrase (RFC 9110 section 15), "Unknown" for what it does not know. Static. */
const char *ws_handshake_phrase(unsigned status);

/* Sec-WebSocket-Key of 16 unpredictable bytes, no NUL. */
void ws_handshake_key(const uint8_t nonce[16], char key[WS_HANDSHAKE_KEY]);

#pragma GCC visibility pop

#endif
