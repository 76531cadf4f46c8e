/* Names to addresses, without ever waiting for the network: numbers, localhost, the hosts file, DNS. */
#ifndef WS_NET_RESOLVER_H
#define WS_NET_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>

#include "net/address.h"
#include "net/loop.h"

#pragma GCC visibility push(hidden)

struct ws_resolver; /* one name that is looked up */

/* Of each family: who has not reached one of these will not reach the next. */
enum { WS_RESOLVER_PER_FAMILY = 8, WS_RESOLVER_MAX = 2 * WS_RESOLVER_PER_FAMILY };

/*
 * Some addresses (port 0), and whether they are the last; else another call follows, for the families
 * answer one by one (RFC 8305, section 3). The last call may bring none; if none came at all, why says in
 * words what is wrong with the name. Both live for the call, in which the resolver may be freed.
 */
typedef void ws_resolver_found(void *arg, const union ws_address *addresses, size_t count, bool last,
                               const char *why);

/*
 * Returns 0 or WS_ERROR_MEMORY. host is copied; no brackets around an IPv6 address. found is never called
 * within this call. There is no deadline over all but the caller's; without one, evdns gives up after 15 s
 * or what resolv.conf says. The loop is not held.
 */
int ws_resolver_new(struct ws_resolver **out, struct ws_loop *loop, const char *host,
                    ws_resolver_found *found, void *arg);

/* Cancels what is under way: found is not called any more. NULL is allowed. */
void ws_resolver_free(struct ws_resolver *resolver);

#pragma GCC visibility pop

#endif
