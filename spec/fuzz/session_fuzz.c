/*
 * Sessions, with compression and without: what is told of a stream doesn't depend on where it is cut, nor on messages
 * having to wait, nor on being told in parts, and is what the naive reader tells. The first bytes choose the role, the
 * limit, what was agreed on, the modes and the cuts; the rest is the stream.
 */
#include "fuzz.h"

#include "../core/naive_session.h"

enum { HEAD = 8 };

static struct log expected, got;

static struct ws_session_pool pool;

static void check(const struct feeder *f)
{
	FUZZ_CHECK(f->wrong == NULL);
	FUZZ_CHECK(got.len == expected.len && memcmp(got.text, expected.text, got.len) == 0);
}

/*
 * Cut in pieces whose lengths come round: cuts[0], cuts[1]..., 0: the rest. From some byte on, the mode is the second;
 * what is held at the end is told of.
 */
static void play(const struct rules *rules, const uint8_t cuts[4], const enum ws_session_mode modes[2], size_t turn,
                 bool parts, const uint8_t *data, size_t size)
{
	struct feeder f;
	unsigned i = 0;

	got.len = 0;
	feeder_init(&f, &pool, rules, &got);
	f.parts = parts;
	for (size_t at = 0; at < size && !f.over && !f.wrong; i++) {
		size_t len = cuts[i % 4] ? cuts[i % 4] : size;
		if (at < turn && len > turn - at)
			len = turn - at;
		if (len > size - at)
			len = size - at;
		feed(&f, modes[at >= turn], data + at, len);
		at += len;
	}
	feed(&f, modes[1] == WS_SESSION_HOLD ? WS_SESSION_DELIVER : modes[1], NULL, 0);
	check(&f);
	feeder_clear(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t limits[] = { 0, 1, 10, 125, 126, 1000, 65536, SIZE_MAX };
	static const uint8_t whole[4] = { 0 }, bytes[4] = { 1, 1, 1, 1 };
	static const enum ws_session_mode deliver[2] = { WS_SESSION_DELIVER, WS_SESSION_DELIVER };

	if (size < HEAD)
		return 0;
	const enum ws_session_mode modes[2] = {
		(enum ws_session_mode)((data[0] >> 4) % 3), (enum ws_session_mode)((data[1] & 0x3f) % 3)
	};
	const bool deflate = data[1] & 0x80, no_takeover = data[1] & 0x40;
	const struct rules rules = {
		data[0] & 1 ? WS_CLIENT : WS_SERVER,
		deflate && (data[0] >> 1 & 7) == 7 ? 1 << 18 : limits[data[0] >> 1 & 7],
		{ .agreed = deflate, .server_no_context_takeover = no_takeover, .client_no_context_takeover = no_takeover }
	};
	const size_t turn = data[2] * 256u + data[3];
	const uint8_t *const cuts = data + 4;
	data += HEAD;
	size -= HEAD;

	expected.len = 0;
	naive_session(&expected, &rules, data, size, 0, SIZE_MAX);
	play(&rules, whole, deliver, 0, false, data, size);
	play(&rules, cuts, deliver, 0, false, data, size);
	play(&rules, cuts, deliver, 0, true, data, size);
	if (size < 500)
		play(&rules, bytes, deliver, 0, false, data, size);
	/* A message belongs to the mode in which its last byte is taken. */
	const bool first = modes[0] == WS_SESSION_DELIVER || (modes[0] == WS_SESSION_HOLD && modes[1] != WS_SESSION_DISCARD);
	const bool second = modes[1] != WS_SESSION_DISCARD;
	expected.len = 0;
	naive_session(&expected, &rules, data, size, first ? 0 : turn, second ? SIZE_MAX : first ? turn : 0);
	play(&rules, cuts, modes, turn, false, data, size);
	return 0;
}
