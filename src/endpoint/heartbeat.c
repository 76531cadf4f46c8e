/* The arithmetic of the heartbeat (RFC 6455 section 5.5.2 leaves the policy to us). */
#include "endpoint/heartbeat.h"

uint64_t ws_heartbeat_due(const struct ws_heartbeat *h, const struct ws_heartbeat_options *options, uint64_t read_at)
{
	if (options->interval == 0)
		return WS_NEVER;
	if (h->ping_at == 0)
		return read_at + options->interval;
	return h->ping_at == WS_NEVER || options->timeout == 0 ? WS_NEVER : h->ping_at + options->timeout;
}

enum ws_heartbeat_verdict ws_heartbeat_check(const struct ws_heartbeat *h, const struct ws_heartbeat_options *options,
                                             uint64_t read_at, uint64_t now)
{
	if (now < ws_heartbeat_due(h, options, read_at))
		return WS_HEARTBEAT_FINE;
	return h->ping_at ? WS_HEARTBEAT_LOST : WS_HEARTBEAT_PING;
}

void ws_heartbeat_sent(struct ws_heartbeat *h, uint64_t now)
{
	h->ping_at = now;
}

void ws_heartbeat_alive(struct ws_heartbeat *h)
{
	h->ping_at = 0;
}

void ws_heartbeat_suspend(struct ws_heartbeat *h, bool suspended, uint64_t now)
{
	if (h->ping_at && suspended)
		h->ping_at = WS_NEVER;
	else if (h->ping_at == WS_NEVER)
		h->ping_at = now;
}
