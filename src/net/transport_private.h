/* What the files of a transport share: transport, transport_read. */
#ifndef WS_NET_TRANSPORT_PRIVATE_H
#define WS_NET_TRANSPORT_PRIVATE_H

#include "net/transport.h"

#pragma GCC visibility push(hidden)

/* ---- transport.c */

/* Queues the chores if there are any. To be called after every change, but that output was corked. */
void ws_transport_settle(struct ws_transport *t);

/* Offers the kernel all that waits. */
void ws_transport_send(struct ws_transport *t);

/* Nothing more can be sent. */
void ws_transport_write_fail(struct ws_transport *t, int error);

/* ---- transport_read.c */

/* TLS has something to tell that no further bytes will bring up: its end, or its failure. */
bool ws_transport_end_pending(const struct ws_transport *t);

#pragma GCC visibility pop

#endif
