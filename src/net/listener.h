/* A listening socket: TCP, Unix, or inherited from whoever started the process. */
#ifndef WS_NET_LISTENER_H
#define WS_NET_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "net/address.h"
#include "net/address.h"
#include "net/loop.h"

#pragma GCC visibility push(hidden)

struct ws_listener;

struct ws_listener_options {
	int backlog;          /* connections that the kernel holds for us */
	bool reuse_port;      /* SO_REUSEPORT: several processes on one port */
	int tcp_user_timeout; /* ms, set on accepted TCP sockets; 0: the system's */
};

/*
 * fd: non-blocking, close-on-exec, TCP_NODELAY set; the callee owns it. peer: its address, lives for the call; a Unix
 * peer's has no path.
 */
typedef void ws_listener_accepted(void *arg, int fd, const union ws_address *peer);

/*
 * Each returns 0 and the listener, which holds the loop (ws_loop_hold), or WS_ERROR_MEMORY, or
 * WS_ERROR_SYSTEM with errno and, where the resolver failed, its text in *message (static; else NULL).
 * host NULL: every interface, IPv6 and IPv4 on one socket, IPv4 alone where there is no IPv6. port 0: any
 * free one. A Unix path whose listener is gone (connect is refused) is taken over; the file is removed by
 * ws_listener_free. An inherited descriptor must be a listening stream socket (else errno is EINVAL or
 * ENOTSOCK, and it stays the caller's); it is ours from then on.
 */
int ws_listener_tcp(struct ws_listener **out, struct ws_loop *loop, const char *host, unsigned port,
                    const struct ws_listener_options *options, const char **message);
int ws_listener_unix(struct ws_listener **out, struct ws_loop *loop, const char *path,
                     const struct ws_listener_options *options);
int ws_listener_inherit(struct ws_listener **out, struct ws_loop *loop, int fd,
                        const struct ws_listener_options *options);

/* Nothing is accepted before this. arg is handed to accepted. */
void ws_listener_start(struct ws_listener *listener, ws_listener_accepted *accepted, void *arg);

/* Where it listens, in the form of peer's text ("unix:/path" for a Unix socket). Lives with the listener. */
const char *ws_listener_address(const struct ws_listener *listener);
unsigned ws_listener_port(const struct ws_listener *listener); /* 0: not TCP */

/*
 * Accepts those that wait by now: closing it would reset them. Not where the socket was inherited: whoever else has it
 * takes them.
 */
void ws_listener_empty(struct ws_listener *listener);

/* Closes it and lets the loop go; allowed from within accepted. NULL is allowed. */
void ws_listener_free(struct ws_listener *listener);

#pragma GCC visibility pop

#endif
