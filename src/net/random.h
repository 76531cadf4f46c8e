/* Unpredictable bytes, for masking keys and nonces (RFC 6455 section 10.3). */
#ifndef WS_NET_RANDOM_H
#define WS_NET_RANDOM_H

#include <stddef.h>

#include "net/loop.h"

#pragma GCC visibility push(hidden)

/* From the loop's supply: one system call fetches it 64 masking keys. 0 or WS_ERROR_SYSTEM. */
int ws_random_fill(struct ws_loop *loop, void *out, size_t len);

#pragma GCC visibility pop

#endif
