/*
 * A proxy's answers: what becomes of them is the same however they come in. The first byte says which proxy, whether
 * there is a user, and in what pieces.
 */
#include "fuzz.h"

#include <stdbool.h>
#include <string.h>

#include "error.h"
#include "protocol/tunnel.h"

struct talk {
	size_t used, said; /* bytes of all answers, of all that we said to them */
	enum ws_tunnel_event_type type;
	unsigned status;
	char why[160];
};

static struct ws_tunnel *tunnel_of(uint8_t choice)
{
	const struct ws_slice user = { "ann", choice & 2 ? 3 : 0 };
	const struct ws_tunnel_options options = {
		.kind = choice & 1 ? WS_TUNNEL_SOCKS5 : WS_TUNNEL_HTTP,
		.authority = { "h:80", 4 }, .authorization = { "Basic x", choice & 2 ? 7 : 0 },
		.socks5 = { .host = { "h", 1 }, .port = 80, .user = user, .password = user },
	};
	struct ws_tunnel *tunnel;
	FUZZ_CHECK(ws_tunnel_new(&tunnel, &options) == 0);
	FUZZ_CHECK(ws_tunnel_start(tunnel).len > 0);
	return tunnel;
}

/* step: how many bytes come at once. What has not been used comes again, with what follows. */
static struct talk talk(uint8_t choice, const uint8_t *data, size_t size, size_t step)
{
	struct ws_tunnel *tunnel = tunnel_of(choice);
	struct ws_tunnel_event ev;
	struct talk t = { .type = WS_TUNNEL_SAY };
	size_t come = 0;

	while (t.type == WS_TUNNEL_SAY && t.used < size) {
		char *part = malloc(come - t.used + 1);
		memcpy(part, data + t.used, come - t.used);
		const long used = ws_tunnel_next(tunnel, part, come - t.used, 1024, &ev);
		FUZZ_CHECK(used <= (long)(come - t.used) && used != 0);
		FUZZ_CHECK((used == WS_ERROR_PROTOCOL) == (ev.type == WS_TUNNEL_FAILED));
		FUZZ_CHECK(used != WS_AGAIN || (ev.type == WS_TUNNEL_SAY && ev.say.len == 0));
		t.used += used > 0 ? (size_t)used : 0;
		t.said += ev.say.len;
		t.type = ev.type;
		t.status = t.type == WS_TUNNEL_REFUSED ? ev.head.status : 0;
		if (t.type == WS_TUNNEL_FAILED)
			memcpy(t.why, ev.why, sizeof t.why);
		free(part);
		if (used == WS_AGAIN && come == size)
			break;
		if (used == WS_AGAIN)
			come += step < size - come ? step : size - come;
	}
	ws_tunnel_free(tunnel);
	return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (size < 2)
		return 0;
	const struct talk whole = talk(bytes[0], bytes + 1, size - 1, size);
	const size_t steps[] = { 1, 2 + bytes[0] / 4u };

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		const struct talk pieces = talk(bytes[0], bytes + 1, size - 1, steps[i]);
		FUZZ_CHECK(pieces.type == whole.type && pieces.used == whole.used && pieces.said == whole.said);
		FUZZ_CHECK(pieces.status == whole.status && strcmp(pieces.why, whole.why) == 0);
	}
	return 0;
}
