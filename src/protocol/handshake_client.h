/* The opening handshake (RFC 6455 section 4.1), the client's half. */
#ifndef WS_PROTOCOL_HANDSHAKE_CLIENT_H
#define WS_PROTOCOL_HANDSHAKE_CLIENT_H

#include "protocol/handshake.h"

#pragma GCC visibility push(hidden)

struct ws_client_request {
	struct ws_slice target;       /* "/path?query" */
	struct ws_slice host;         /* of the Host header */
	struct ws_slice subprotocols; /* a comma-separated list; len 0: none are offered */
	struct ws_slice extensions;   /* likewise */
	const char *extra;            /* further header lines, each with its CRLF, or "" */
};

/*
 * The request. Writes at most size bytes, returns how many it has, or WS_ERROR_PROTOCOL where extra is not whole header
 * lines or has a field that the request itself sets.
 */
long ws_handshake_request(char *out, size_t size, const struct ws_client_request *request,
                          const char key[WS_HANDSHAKE_KEY]);

/*
 * Checks a 101 against what was asked: Upgrade, Connection, one Accept, which must be the right one
 * (ws_handshake_accept), a subprotocol that was offered if any (for extensions: ws_extension_wrong). Returns 0 and the
 * subprotocol (len 0: none), or WS_ERROR_PROTOCOL with *why (static).
 */
int ws_handshake_verify(const struct ws_head *head, const char right[WS_HANDSHAKE_ACCEPT], const char *const *offered,
                        size_t count, struct ws_slice *subprotocol, const char **why);

#pragma GCC visibility pop

#endif
