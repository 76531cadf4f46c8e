/* The opening handshake (RFC 6455 section 4), the server's half. */
#ifndef WS_PROTOCOL_HANDSHAKE_H
#define WS_PROTOCOL_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/head.h"

#pragma GCC visibility push(hidden)

enum {
	WS_HANDSHAKE_ACCEPT = 28,     /* characters of Sec-WebSocket-Accept */
	WS_HANDSHAKE_KEY = 24         /* characters of Sec-WebSocket-Key */
};

/* Whether the request asks for a WebSocket, rightly or not. HTTP/1.0 cannot (RFC 9110 section 7.8). */
bool ws_handshake_asked(const struct ws_head *head);

/* Whether it has no body: 0, or WS_ERROR_PROTOCOL with refusal filled (400, 413). */
int ws_handshake_check_body(const struct ws_head *head, struct ws_refusal *refusal);

/*
 * Checks a parsed request against section 4.2.1: GET, HTTP/1.1, Upgrade, Connection, one key that is 16
 * bytes in base64, version 13, no body. Returns 0 and the key, or WS_ERROR_PROTOCOL with refusal filled
 * (400, 405, 413, 426, 505).
 */
int ws_handshake_check(const struct ws_head *head, struct ws_slice *key, struct ws_refusal *refusal);

/* The key of a request that has been checked. */
struct ws_slice ws_handshake_key_of(const struct ws_head *head);

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
 * SHA-1, kept for the next handshake: OpenSSL takes longer to find and set it up than to compute it. All zero: empty.
 */
struct ws_handshake_digest {
	struct evp_md_ctx_st *context;
};

void ws_handshake_digest_clear(struct ws_handshake_digest *digest);

/*
 * The digest of section 4.2.2 point 5.4: base64(SHA-1(key GUID)), no NUL. 0, WS_ERROR_PROTOCOL where the
 * key has not WS_HANDSHAKE_KEY characters, or WS_ERROR_MEMORY (OpenSSL failed).
 */
int ws_handshake_accept(struct ws_handshake_digest *digest, struct ws_slice key, char accept[WS_HANDSHAKE_ACCEPT]);

/*
 * The 101 response. subprotocol.len 0: none. extra is further header lines, each with its CRLF
 * (Sec-WebSocket-Extensions, Set-Cookie), or "". Writes at most size bytes, returns how many it has (as
 * snprintf without the NUL: more than size means that it did not fit), or
 * WS_ERROR_PROTOCOL where extra is not whole header lines or has a field that the response itself sets, or
 * the subprotocol is no token.
 */
long ws_handshake_response(char *out, size_t size, const char accept[WS_HANDSHAKE_ACCEPT], struct ws_slice subprotocol,
                           const char *extra);

/* Sec-WebSocket-Key of 16 unpredictable bytes, no NUL. */
void ws_handshake_key(const uint8_t nonce[16], char key[WS_HANDSHAKE_KEY]);

#pragma GCC visibility pop

#endif
