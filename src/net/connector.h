/* From a host and port, or a Unix path, to a connected socket. */
#ifndef WS_NET_CONNECTOR_H
#define WS_NET_CONNECTOR_H

#include "net/address.h"
#include "net/loop.h"

#pragma GCC visibility push(hidden)

struct ws_connector;

struct ws_connector_target {
	const char *host; /* a name or an address, without brackets; NULL: Unix */
	unsigned port;    /* 1 to 65535 */
	const char *path;
};

/*
 * fd: connected, non-blocking, close-on-exec, TCP_NODELAY set; the callee owns it. peer: its address. Or fd is
 * -1, and why says in words what failed. Both live for the call, whatever becomes of the connector.
 */
typedef void ws_connector_done(void *arg, int fd, const union ws_address *peer, const char *why);

/*
 * Returns 0 or WS_ERROR_MEMORY; everything else is told to done, which is called exactly once and never
 * within this call. The target is copied. A name's addresses are tried as RFC 8305 asks: IPv6 and IPv4 in
 * turn, the next one after 250 ms or as soon as one fails; the first that connects wins. Holds the loop
 * until done is called. There is no deadline but the system's: the caller's is to free it.
 */
int ws_connector_new(struct ws_connector **out, struct ws_loop *loop, const struct ws_connector_target *target,
                     ws_connector_done *done, void *arg);

/* Cancels everything: done is not called any more. Allowed from within done; NULL is allowed. */
void ws_connector_free(struct ws_connector *connector);

#pragma GCC visibility pop

#endif
