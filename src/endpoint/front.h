/* Who a server's client is, and how many connections it may have. */
#ifndef WS_ENDPOINT_FRONT_H
#define WS_ENDPOINT_FRONT_H

#include "endpoint/address_counts.h"
#include "net/loop.h"
#include "protocol/forwarded.h"

#pragma GCC visibility push(hidden)

struct ws_connection;

struct ws_front_options {
	bool proxy_protocol;        /* every connection begins with a PROXY header */
	bool trust_unix;            /* who comes over a Unix socket is a proxy that can be believed */
	struct ws_networks trusted; /* so is who comes from these addresses */
	size_t max_per_address;     /* connections, those that open included; 0: no limit */
};

/* Of a server. */
struct ws_front {
	struct ws_front_options options;
	struct ws_address_counts counts;
};

/* The options are copied. 0 or WS_ERROR_MEMORY. */
int ws_front_init(struct ws_front *front, struct ws_loop *loop, const struct ws_front_options *options);
void ws_front_clear(struct ws_front *front);

/* Counts it for its address. If that has all it may have, this is said when it asks. */
void ws_front_on_accepted(struct ws_connection *c);

/*
 * Looks for the PROXY header, which says whose connection it is. Returns its bytes, WS_AGAIN where it isn't complete, or
 * WS_ERROR_PROTOCOL: it is none.
 */
long ws_front_preface(struct ws_connection *c, const char *data, size_t len);

/* on_head of an endpoint: whom trusted proxies speak for, and whether that one may have a connection. */
int ws_front_on_head(struct ws_connection *c, const struct ws_head *head, struct ws_refusal *refusal);

/* The connection is over. */
void ws_front_leave(struct ws_connection *c);

#pragma GCC visibility pop

#endif
