/* What is said to a proxy until it is a tunnel to the origin: HTTP CONNECT (RFC 9110 section 9.3.6) or SOCKS5. */
#ifndef WS_PROTOCOL_TUNNEL_H
#define WS_PROTOCOL_TUNNEL_H

#include "protocol/head.h"
#include "protocol/socks5.h"

#pragma GCC visibility push(hidden)

enum ws_tunnel_kind { WS_TUNNEL_NONE, WS_TUNNEL_HTTP, WS_TUNNEL_SOCKS5 };

struct ws_tunnel_options {
	enum ws_tunnel_kind kind;
	struct ws_slice authority;     /* HTTP: the origin's "host:port" */
	struct ws_slice authorization; /* HTTP: the value of Proxy-Authorization; len 0: none */
	struct ws_socks5_request socks5;
};

enum ws_tunnel_event_type {
	WS_TUNNEL_SAY,     /* say, which may be empty; then more is to come */
	WS_TUNNEL_OPEN,    /* all further bytes are the origin's */
	WS_TUNNEL_REFUSED, /* head: HTTP's; its body follows */
	WS_TUNNEL_FAILED   /* why */
};

struct ws_tunnel_event {
	enum ws_tunnel_event_type type;
	struct ws_slice say;           /* lives as long as the tunnel */
	struct ws_head head;           /* in the caller's bytes */
	char why[160];
};

struct ws_tunnel;

/* kind is not NONE. Everything is copied. 0, WS_ERROR_MEMORY or WS_ERROR_PROTOCOL (a text is too long for SOCKS5). */
int ws_tunnel_new(struct ws_tunnel **out, const struct ws_tunnel_options *options);

/* NULL is allowed. */
void ws_tunnel_free(struct ws_tunnel *tunnel);

/* What is to be said first. */
struct ws_slice ws_tunnel_start(const struct ws_tunnel *tunnel);

/*
 * What the proxy has said since its last answer. Fills the event in and returns the bytes that are used up, WS_AGAIN
 * (the event has nothing to say), or WS_ERROR_PROTOCOL (failed). max_head: of HTTP's answer.
 */
long ws_tunnel_next(struct ws_tunnel *tunnel, const char *data, size_t len, size_t max_head, struct ws_tunnel_event *ev);

#pragma GCC visibility pop

#endif
