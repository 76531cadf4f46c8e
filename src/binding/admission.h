/* The server's decision about an opening handshake. */
#ifndef WS_BINDING_ADMISSION_H
#define WS_BINDING_ADMISSION_H

#include "protocol/head.h"

#pragma GCC visibility push(hidden)

struct ws_connection;

/* on_request of ws_connection_handler. */
void ws_admission_on_request(struct ws_connection *c, const struct ws_head *head, struct ws_slice bytes);

#pragma GCC visibility pop

#endif
