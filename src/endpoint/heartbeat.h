/* Whether the peer is still there: pings when it has been silent, and the verdict when no life follows. Pure. */
#ifndef WS_ENDPOINT_HEARTBEAT_H
#define WS_ENDPOINT_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

#define WS_NEVER UINT64_MAX

/* All times in ms of ws_loop_now. All zero: no ping is out. */
struct ws_heartbeat {
	uint64_t ping_at; /* of the ping that is out: when it was sent; WS_NEVER: we cannot hear; 0: none, or life has come */
};

struct ws_heartbeat_options {
	uint32_t interval; /* ms of silence before a ping; 0: no heartbeat */
	uint32_t timeout;  /* ms after the ping; 0: pings alone, without a verdict */
};

enum ws_heartbeat_verdict { WS_HEARTBEAT_FINE, WS_HEARTBEAT_PING, WS_HEARTBEAT_LOST };

/* When to look next; read_at: when the last byte came. */
uint64_t ws_heartbeat_due(const struct ws_heartbeat *h, const struct ws_heartbeat_options *options, uint64_t read_at);

/* What is to be done now. After PING, ws_heartbeat_sent is to be called. */
enum ws_heartbeat_verdict ws_heartbeat_check(const struct ws_heartbeat *h, const struct ws_heartbeat_options *options,
                                             uint64_t read_at, uint64_t now);

void ws_heartbeat_sent(struct ws_heartbeat *h, uint64_t now);

/* Whatever came counts as life. */
void ws_heartbeat_alive(struct ws_heartbeat *h);

/*
 * While we aren't reading, or our output is stuck, silence proves nothing: the peer gets the whole timeout again once it
 * can be heard again. To be called after every change, and after a ping was sent.
 */
void ws_heartbeat_suspend(struct ws_heartbeat *h, bool suspended, uint64_t now);

#pragma GCC visibility pop

#endif
