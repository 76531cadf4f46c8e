/* SOCKS5 (RFC 1928), with user and password (RFC 1929): what a client says, and what the proxy's answers mean. */
#ifndef WS_PROTOCOL_SOCKS5_H
#define WS_PROTOCOL_SOCKS5_H

#include <stdint.h>

#include "protocol/head.h"

#pragma GCC visibility push(hidden)

enum {
	WS_SOCKS5_TEXT = 255, /* bytes of a name, a user, a password: their length is one byte */
	WS_SOCKS5_ALL = 4 + (3 + 2 * WS_SOCKS5_TEXT) + (7 + WS_SOCKS5_TEXT) /* of all that we may say */
};

struct ws_socks5_request {
	struct ws_slice host;           /* a name, which the proxy resolves; numeric: the 4 or 16 bytes of an address */
	bool numeric;
	unsigned port;
	struct ws_slice user, password; /* user.len 0: none */
};

/* Which answer is waited for. */
enum ws_socks5_state { WS_SOCKS5_METHOD, WS_SOCKS5_LOGIN, WS_SOCKS5_REQUEST, WS_SOCKS5_OPEN };

struct ws_socks5 {
	enum ws_socks5_state state;
	size_t end[WS_SOCKS5_OPEN];     /* where the message that asks for each answer ends */
	uint8_t messages[WS_SOCKS5_ALL];
};

/* 0 or WS_ERROR_PROTOCOL: a text is too long or empty. */
int ws_socks5_init(struct ws_socks5 *s, const struct ws_socks5_request *request);

/* What is to be said in the present state; len 0: nothing, the tunnel is open. */
struct ws_slice ws_socks5_message(const struct ws_socks5 *s);

/*
 * What the proxy has said since its last answer. Returns the bytes that its next one takes up, and goes on to another
 * state; WS_AGAIN; or WS_ERROR_PROTOCOL with *why (static), as soon as it is certain.
 */
long ws_socks5_next(struct ws_socks5 *s, const char *data, size_t len, const char **why);

#pragma GCC visibility pop

#endif
