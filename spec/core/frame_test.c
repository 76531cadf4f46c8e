/* Frames against the layout of RFC 6455 section 5.2, however their bytes are cut. */
#include "protocol/frame.h"

#include "error.h"
#include "unit.h"

enum { LARGEST = 70000, ROOM = LARGEST + WS_FRAME_HEAD_SIZE };

#define COUNT(array) (sizeof (array) / sizeof *(array))

/* The length's form: what stands in its 7 bits, where it isn't the length itself. */
enum form { SHORT, MEDIUM = 126, LONG = 127 };

static const uint8_t key[4] = { 0x37, 0xFA, 0x21, 0x3D };
static const uint8_t opcodes[] = { WS_CONTINUATION, WS_TEXT, WS_BINARY, WS_CLOSE, WS_PING, WS_PONG };
static const enum ws_role roles[] = { WS_SERVER, WS_CLIENT };

/* Lengths in the form they must have. */
static const struct {
	enum form form;
	uint64_t length;
} lengths[] = {
	{ SHORT, 0 }, { SHORT, 1 }, { SHORT, 125 }, { MEDIUM, 126 }, { MEDIUM, 127 }, { MEDIUM, 65535 },
	{ LONG, 65536 }, { LONG, LARGEST }
};

static struct ws_frame_pool pool;
static bool deflate; /* whether compression has been agreed on */

static uint8_t payload_byte(uint64_t at)
{
	return (uint8_t)(at * 31 + (at >> 8) + 7);
}

/* Any head, valid or not; returns its size. */
static size_t head_write(uint8_t *out, unsigned first, enum form form, bool masked, uint64_t length)
{
	unsigned bytes = form == SHORT ? 0 : form == MEDIUM ? 2 : 8;
	size_t size = 2;

	out[0] = (uint8_t)first;
	out[1] = (uint8_t)((form == SHORT ? length : form) | (masked ? 0x80 : 0));
	while (bytes-- > 0)
		out[size++] = (uint8_t)(length >> (8 * bytes));
	if (masked) {
		memcpy(out + size, key, 4);
		size += 4;
	}
	return size;
}

static size_t frame_write(uint8_t *out, unsigned first, enum form form, bool masked, uint64_t length)
{
	size_t size = head_write(out, first, form, masked, length);

	for (uint64_t i = 0; i < length; i++)
		out[size++] = payload_byte(i) ^ (masked ? key[i % 4] : 0);
	return size;
}

/* What has been told of one frame. */
struct seen {
	int result;             /* of the last call */
	unsigned firsts, lasts;
	uint64_t received;
	bool wrong;             /* a payload byte, a count or the order of the pieces */
	struct ws_frame frame;
	const char *why;
	size_t used;            /* bytes of the input */
};

static void piece_note(struct seen *s, const struct ws_piece *piece)
{
	s->wrong |= piece->first != (s->firsts == 0) || s->lasts > 0;
	s->firsts += piece->first;
	s->lasts += piece->last;
	for (size_t i = 0; i < piece->len; i++)
		s->wrong |= piece->data[i] != payload_byte(s->received++);
	s->wrong |= s->frame.received != s->received || piece->last != (s->received == s->frame.length);
}

/* A control frame is told of once, when it is whole. */
static void control_note(struct seen *s, struct ws_piece *piece)
{
	piece->first = true;
	piece_note(s, piece);
	s->wrong |= !piece->last;
}

/* A copy that must not be left on either side; the larger ones are the sanitizer's to watch. */
static uint8_t *guarded(const uint8_t *data, size_t len)
{
	static uint8_t *large;

	free(large);
	large = NULL;
	if (len <= UNIT_ROOM)
		return unit_guard_end(data, len);
	large = malloc(len);
	return large == NULL ? NULL : memcpy(large, data, len);
}

/* Reads one frame's next bytes. */
static void read_on(struct seen *s, struct ws_frame_reader **reader, enum ws_role role, const uint8_t *bytes,
                    size_t len)
{
	uint8_t *data = guarded(bytes, len);

	while (len > 0 && (s->result == 0 || s->result == WS_AGAIN)) {
		const size_t before = len;
		uint8_t *const at = data;
		struct ws_piece piece;
		s->result = ws_frame_read(&pool, reader, role, deflate, &data, &len, &s->frame, &piece);
		s->used += before - len;
		s->why = piece.why;
		s->wrong |= len >= before || data != at + (before - len) || (s->result == WS_AGAIN && len > 0);
		if (s->wrong)
			break;
		if (s->result == 0 && s->frame.opcode >= WS_CLOSE)
			control_note(s, &piece);
		else if (s->result == 0)
			piece_note(s, &piece);
	}
}

/* Reads a frame in two pieces. */
static struct seen read_cut(enum ws_role role, const uint8_t *bytes, size_t len, size_t cut)
{
	struct ws_frame_reader *reader = NULL;
	struct seen s = { 0 };

	read_on(&s, &reader, role, bytes, cut);
	read_on(&s, &reader, role, bytes + cut, len - cut);
	s.wrong |= s.lasts > 0 && reader != NULL;
	ws_frame_drop(&reader);
	return s;
}

/* The next place to cut at: everywhere, but in a large payload's middle. */
static size_t next_cut(size_t cut, size_t len)
{
	return cut == 40 && len > 400 ? len - 40 : cut + 1;
}

/* What a whole, valid frame must have told. */
static void check_whole(const struct seen *s, unsigned first, uint64_t length, size_t size)
{
	CHECK(s->result == 0);
	CHECK(s->used == size);
	CHECK(s->firsts == 1);
	CHECK(s->lasts == 1);
	CHECK(s->received == length);
	CHECK(!s->wrong);
	CHECK(s->frame.opcode == (first & 0x0F));
	CHECK(s->frame.fin == (first >= 0x80));
	CHECK(s->frame.length == length);
	CHECK(s->frame.compressed == ((first & WS_RSV1) != 0));
}

/* That the frame is refused as soon as a certain byte has come, however it is cut. */
static void check_refused(enum ws_role role, const uint8_t *bytes, size_t len, size_t at, const char *why)
{
	for (size_t cut = 0; cut <= len; cut++) {
		struct ws_frame_reader *reader = NULL;
		struct seen s = { 0 };
		read_on(&s, &reader, role, bytes, cut);
		CHECK(s.result == (cut < at ? cut > 0 ? WS_AGAIN : 0 : WS_ERROR_PROTOCOL));
		read_on(&s, &reader, role, bytes + cut, len - cut);
		CHECK(s.result == WS_ERROR_PROTOCOL);
		CHECK(s.firsts == 0);
		CHECK(s.why != NULL && strstr(s.why, why) != NULL);
		ws_frame_drop(&reader);
	}
}

/* --- valid frames --------------------------------------------------------------------------------- */

static void check_form(enum ws_role role, unsigned first, enum form form, uint64_t length)
{
	static uint8_t bytes[ROOM];
	const size_t size = frame_write(bytes, first, form, role == WS_SERVER, length);

	for (size_t cut = 0; cut <= size; cut = next_cut(cut, size)) {
		unit_row("role %d first byte %02x length %d cut %zu", (int)role, first, (int)length, cut);
		const struct seen s = read_cut(role, bytes, size, cut);
		check_whole(&s, first, length, size);
	}
}

static void test_forms(void)
{
	for (size_t r = 0; r < COUNT(roles); r++)
		for (size_t o = 0; o < COUNT(opcodes); o++)
			for (size_t l = 0; l < COUNT(lengths); l++) {
				if (opcodes[o] >= WS_CLOSE && lengths[l].form != SHORT)
					continue;
				check_form(roles[r], 0x80u | opcodes[o], lengths[l].form, lengths[l].length);
				if (opcodes[o] < WS_CLOSE)
					check_form(roles[r], opcodes[o], lengths[l].form, lengths[l].length);
			}
	ws_frame_pool_clear(&pool);
}

static void test_byte_by_byte(void)
{
	uint8_t bytes[400];

	for (size_t r = 0; r < COUNT(roles); r++)
		for (size_t l = 0; l < 5; l++) {
			const size_t size = frame_write(bytes, 0x82, lengths[l].form, roles[r] == WS_SERVER, lengths[l].length);
			struct ws_frame_reader *reader = NULL;
			struct seen s = { 0 };
			unit_row("role %zu length %zu", r, l);
			for (size_t i = 0; i < size; i++)
				read_on(&s, &reader, roles[r], bytes + i, 1);
			check_whole(&s, 0x82, lengths[l].length, size);
			CHECK(reader == NULL);
		}
	ws_frame_pool_clear(&pool);
}

/* Every place in the payload where a piece can begin, against both ends of the memory. */
static void test_unmasking(void)
{
	uint8_t bytes[200];
	struct ws_frame frame;
	struct ws_piece piece;

	for (size_t length = 1; length <= 100; length++) {
		const size_t size = frame_write(bytes, 0x82, SHORT, true, length);
		for (size_t cut = 0; cut < length; cut++) {
			struct ws_frame_reader *reader = NULL;
			struct seen s = { 0 };
			unit_row("length %zu cut %zu", length, cut);
			read_on(&s, &reader, WS_SERVER, bytes, 6 + cut);
			uint8_t *data = unit_guard_start(bytes + 6 + cut, length - cut);
			size_t len = size - 6 - cut;
			CHECK(ws_frame_read(&pool, &reader, WS_SERVER, false, &data, &len, &frame, &piece) == 0);
			CHECK(piece.data == unit_room() && piece.len == length - cut && piece.last && !piece.first);
			for (size_t i = 0; i < piece.len; i++)
				CHECK(piece.data[i] == payload_byte(cut + i));
			CHECK(reader == NULL && !s.wrong);
		}
	}
	ws_frame_pool_clear(&pool);
}

/* A length can be judged before any payload has come. */
static void test_announced(void)
{
	static const uint64_t told[] = { 1, 125, 126, 65535, 65536, UINT64_C(1) << 32, INT64_MAX };
	uint8_t head[WS_FRAME_HEAD_SIZE];

	for (size_t r = 0; r < COUNT(roles); r++)
		for (size_t i = 0; i < COUNT(told); i++) {
			const enum form form = told[i] < 126 ? SHORT : told[i] < 65536 ? MEDIUM : LONG;
			const size_t size = head_write(head, 0x82, form, roles[r] == WS_SERVER, told[i]);
			struct ws_frame_reader *reader = NULL;
			struct seen s = { 0 };
			unit_row("role %zu length %llu", r, (unsigned long long)told[i]);
			for (size_t at = 0; at < size; at++) {
				CHECK(s.firsts == 0);
				read_on(&s, &reader, roles[r], head + at, 1);
				CHECK(s.result == (at + 1 < size ? WS_AGAIN : 0));
			}
			CHECK(s.firsts == 1 && s.lasts == 0 && s.received == 0 && !s.wrong);
			CHECK(s.frame.length == told[i]);
			for (uint64_t at = 0; at < 5 && at < told[i]; at++) {
				const uint8_t byte = payload_byte(at) ^ (roles[r] == WS_SERVER ? key[at % 4] : 0);
				read_on(&s, &reader, roles[r], &byte, 1);
				CHECK(s.result == 0 && s.received == at + 1 && !s.wrong);
			}
			CHECK(s.lasts == (told[i] == 1));
			ws_frame_drop(&reader);
		}
	ws_frame_pool_clear(&pool);
}

static void test_empty(void)
{
	uint8_t bytes[WS_FRAME_HEAD_SIZE];
	struct ws_frame frame;
	struct ws_piece piece;

	for (size_t r = 0; r < COUNT(roles); r++)
		for (size_t o = 0; o < COUNT(opcodes); o++) {
			size_t len = frame_write(bytes, 0x80u | opcodes[o], SHORT, roles[r] == WS_SERVER, 0);
			struct ws_frame_reader *reader = NULL;
			uint8_t *data = bytes;
			unit_row("role %zu opcode %x", r, opcodes[o]);
			CHECK(ws_frame_read(&pool, &reader, roles[r], false, &data, &len, &frame, &piece) == 0);
			CHECK(piece.first && piece.last && piece.len == 0 && len == 0 && reader == NULL);
			CHECK(frame.opcode == opcodes[o] && frame.fin && frame.length == 0 && frame.received == 0);
			CHECK(ws_frame_read(&pool, &reader, roles[r], false, &data, &len, &frame, &piece) == WS_AGAIN);
			CHECK(reader == NULL); /* nothing came, so nothing is held */
		}
	ws_frame_pool_clear(&pool);
}

/* Three pieces; two are test_forms'. */
static void test_control_in_pieces(void)
{
	uint8_t bytes[200];

	for (size_t length = 0; length <= WS_CONTROL_PAYLOAD; length += length < 12 ? 1 : 113) {
		const size_t size = frame_write(bytes, 0x89, SHORT, true, length);
		for (size_t one = 0; one <= size; one++)
			for (size_t two = one; two <= size; two++) {
				struct ws_frame_reader *reader = NULL;
				struct seen s = { 0 };
				unit_row("length %zu cuts %zu %zu", length, one, two);
				read_on(&s, &reader, WS_SERVER, bytes, one);
				read_on(&s, &reader, WS_SERVER, bytes + one, two - one);
				CHECK((s.lasts == 1) == (two == size));
				read_on(&s, &reader, WS_SERVER, bytes + two, size - two);
				check_whole(&s, 0x89, length, size);
				CHECK(reader == NULL);
			}
	}
	ws_frame_pool_clear(&pool);
}

/* Frames in one buffer: each call takes one, and none of the next one's bytes. */
static void test_many(void)
{
	static uint8_t bytes[UNIT_ROOM];
	size_t size = 0, starts[41] = { 0 };

	for (size_t i = 0; i < 40; i++) {
		const uint8_t opcode = opcodes[i % COUNT(opcodes)];
		const uint64_t length = opcode < WS_CLOSE ? i * i : i;
		size += frame_write(bytes + size, 0x80u | opcode, length < 126 ? SHORT : MEDIUM, true, length);
		starts[i + 1] = size;
	}
	uint8_t *const input = unit_guard_end(bytes, size), *data = input;
	struct ws_frame_reader *reader = NULL;
	struct ws_frame frame;
	struct ws_piece piece;
	size_t len = size;
	for (size_t i = 0; i < 40; i++) {
		unit_row("frame %zu", i);
		CHECK(ws_frame_read(&pool, &reader, WS_SERVER, false, &data, &len, &frame, &piece) == 0);
		CHECK(data == input + starts[i + 1] && len == size - starts[i + 1]);
		CHECK(frame.opcode == opcodes[i % COUNT(opcodes)] && piece.first && piece.last);
		CHECK(piece.data + piece.len == data);
		for (size_t k = 0; k < piece.len; k++)
			CHECK(piece.data[k] == payload_byte(k));
		CHECK(memcmp(data, bytes + starts[i + 1], len) == 0);
	}
	CHECK(reader == NULL && pool.count == 1);
	ws_frame_pool_clear(&pool);
}

/* A piece may end with its frame though more bytes have come, also where it isn't the frame's first. */
static void test_next_frame(void)
{
	uint8_t bytes[100];
	const size_t first = frame_write(bytes, 0x02, SHORT, true, 50);
	const size_t size = first + frame_write(bytes + first, 0x80, SHORT, true, 20);

	for (size_t cut = 0; cut < first; cut++) {
		struct ws_frame_reader *reader = NULL;
		struct ws_frame frame;
		struct ws_piece piece;
		struct seen s = { 0 };
		unit_row("cut %zu", cut);
		read_on(&s, &reader, WS_SERVER, bytes, cut);
		uint8_t *data = unit_guard_end(bytes + cut, size - cut);
		size_t len = size - cut;
		CHECK(ws_frame_read(&pool, &reader, WS_SERVER, false, &data, &len, &frame, &piece) == 0);
		CHECK(piece.last && frame.received == 50 && piece.len == 50 - s.received && len == size - first);
		CHECK(ws_frame_read(&pool, &reader, WS_SERVER, false, &data, &len, &frame, &piece) == 0);
		CHECK(piece.first && piece.last && frame.received == 20 && piece.len == 20 && len == 0);
		CHECK(piece.data[0] == payload_byte(0) && piece.data[19] == payload_byte(19));
	}
	ws_frame_pool_clear(&pool);
}

/* --- what is refused ------------------------------------------------------------------------------ */

static void test_reserved_bits(void)
{
	uint8_t bytes[32];

	for (unsigned bits = 0x10; bits <= 0x70; bits += 0x10)
		for (size_t r = 0; r < COUNT(roles); r++)
			for (size_t o = 0; o < COUNT(opcodes); o++) {
				const size_t size = frame_write(bytes, 0x80 | bits | opcodes[o], SHORT, roles[r] == WS_SERVER, 3);
				unit_row("role %zu first byte %02x", r, bytes[0]);
				check_refused(roles[r], bytes, size, 2, "no extension was agreed on");
			}
	ws_frame_pool_clear(&pool);
}

/* RFC 7692 section 6: RSV1 alone, on the first frame of a message. */
static void test_compressed(void)
{
	uint8_t bytes[32];

	deflate = true;
	for (unsigned bits = 0; bits <= 0x70; bits += 0x10)
		for (size_t r = 0; r < COUNT(roles); r++)
			for (size_t o = 0; o < COUNT(opcodes); o++)
				for (unsigned fin = opcodes[o] < WS_CLOSE ? 0 : 0x80; fin <= 0x80; fin += 0x80) {
					const unsigned first = fin | bits | opcodes[o];
					const size_t size = frame_write(bytes, first, SHORT, roles[r] == WS_SERVER, 3);
					unit_row("role %zu first byte %02x", r, bytes[0]);
					if (bits == 0 || (bits == 0x40 && (opcodes[o] == WS_TEXT || opcodes[o] == WS_BINARY)))
						check_form(roles[r], first, SHORT, 3);
					else
						check_refused(roles[r], bytes, size, 2, "not on a message's first frame");
				}
	deflate = false;
	ws_frame_pool_clear(&pool);
}

static void test_reserved_opcodes(void)
{
	static const uint8_t reserved[] = { 3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF };
	uint8_t bytes[32];

	for (unsigned fin = 0; fin <= 0x80; fin += 0x80)
		for (size_t r = 0; r < COUNT(roles); r++)
			for (size_t o = 0; o < COUNT(reserved); o++) {
				const size_t size = frame_write(bytes, fin | reserved[o], SHORT, roles[r] == WS_SERVER, 3);
				unit_row("role %zu first byte %02x", r, bytes[0]);
				check_refused(roles[r], bytes, size, 2, "reserved opcode");
			}
	ws_frame_pool_clear(&pool);
}

/* Section 5.1: a client masks, a server doesn't. */
static void test_masks(void)
{
	uint8_t bytes[400];

	for (size_t r = 0; r < COUNT(roles); r++)
		for (size_t o = 0; o < COUNT(opcodes); o++)
			for (size_t l = 0; l < 5; l++) {
				if (opcodes[o] >= WS_CLOSE && lengths[l].form != SHORT)
					continue;
				const bool masked = roles[r] == WS_CLIENT;
				const size_t size = frame_write(bytes, 0x80u | opcodes[o], lengths[l].form, masked, lengths[l].length);
				unit_row("role %zu opcode %x length %zu", r, opcodes[o], l);
				check_refused(roles[r], bytes, size, 2, masked ? "server is masked" : "client is not masked");
			}
	ws_frame_pool_clear(&pool);
}

static void test_control_rules(void)
{
	uint8_t bytes[400];

	for (size_t r = 0; r < COUNT(roles); r++)
		for (unsigned opcode = WS_CLOSE; opcode <= WS_PONG; opcode++) {
			const bool masked = roles[r] == WS_SERVER;
			unit_row("role %zu opcode %x", r, opcode);
			size_t size = frame_write(bytes, opcode, SHORT, masked, 5);
			check_refused(roles[r], bytes, size, 2, "fragmented");
			size = frame_write(bytes, opcode, SHORT, masked, 0);
			check_refused(roles[r], bytes, size, 2, "fragmented");
			size = frame_write(bytes, 0x80 | opcode, MEDIUM, masked, 126);
			check_refused(roles[r], bytes, size, 2, "longer than 125");
			size = head_write(bytes, 0x80 | opcode, LONG, masked, 65536);
			check_refused(roles[r], bytes, size, 2, "longer than 125");
		}
	ws_frame_pool_clear(&pool);
}

static void test_length_forms(void)
{
	static const struct {
		enum form form;
		uint64_t length;
	} rows[] = {
		{ MEDIUM, 0 }, { MEDIUM, 1 }, { MEDIUM, 125 }, { LONG, 0 }, { LONG, 1 }, { LONG, 125 }, { LONG, 126 },
		{ LONG, 65535 }, { LONG, UINT64_C(1) << 63 }, { LONG, UINT64_C(1) << 63 | 70000 }, { LONG, UINT64_MAX }
	};
	uint8_t bytes[WS_FRAME_HEAD_SIZE];

	for (size_t r = 0; r < COUNT(roles); r++)
		for (unsigned opcode = WS_CONTINUATION; opcode <= WS_BINARY; opcode++)
			for (size_t i = 0; i < COUNT(rows); i++) {
				const size_t size = head_write(bytes, 0x80 | opcode, rows[i].form, roles[r] == WS_SERVER, rows[i].length);
				unit_row("role %zu opcode %x row %zu", r, opcode, i);
				check_refused(roles[r], bytes, size, rows[i].form == MEDIUM ? 4 : 10, "shortest form");
			}
	ws_frame_pool_clear(&pool);
}

/* --- readers -------------------------------------------------------------------------------------- */

static void test_opcode_known(void)
{
	for (size_t o = 0; o < COUNT(opcodes); o++) {
		struct ws_frame_reader *reader = NULL;
		const uint8_t first = opcodes[o];
		struct seen s = { 0 };
		unit_row("opcode %x", first);
		read_on(&s, &reader, WS_SERVER, &first, 1);
		CHECK(reader != NULL && ws_frame_opcode(reader) == opcodes[o]);
		ws_frame_drop(&reader);
		CHECK(reader == NULL);
		ws_frame_drop(&reader);
	}
	CHECK(pool.count == 0);
}

enum { CONNECTIONS = 200 };

/* Connections in mid-frame have a reader each; the pool keeps some of them, not all. */
static void test_pool(void)
{
	static struct ws_frame_reader *readers[CONNECTIONS];
	static struct seen seen[CONNECTIONS];
	uint8_t bytes[64];
	const size_t size = frame_write(bytes, 0x82, SHORT, true, 20);

	memset(seen, 0, sizeof seen);
	for (size_t at = 0; at < size; at++) /* all of them at once */
		for (size_t i = 0; i < CONNECTIONS; i++) {
			read_on(&seen[i], &readers[i], WS_SERVER, bytes + at, 1);
			CHECK((readers[i] != NULL) == (at + 1 < size));
		}
	for (size_t i = 0; i < CONNECTIONS; i++)
		check_whole(&seen[i], 0x82, 20, size);
	CHECK(pool.count > 0 && pool.count < CONNECTIONS / 2);
	const size_t kept = pool.count;
	for (size_t i = 0; i < CONNECTIONS; i++) { /* one after the other */
		seen[0] = read_cut(WS_SERVER, bytes, size, i % size);
		check_whole(&seen[0], 0x82, 20, size);
		CHECK(pool.count == kept);
	}
	ws_frame_pool_clear(&pool);
	CHECK(pool.count == 0 && pool.free == NULL);
}

/* A control frame's data is there until the next call, however many readers the pool has. */
static void test_pool_control(void)
{
	static struct ws_frame_reader *readers[CONNECTIONS];
	struct ws_frame frame;
	struct ws_piece piece;
	uint8_t bytes[64], *data;
	const size_t size = frame_write(bytes, 0x89, SHORT, true, 20);

	for (size_t i = 0; i < CONNECTIONS; i++) {
		size_t len = size - 1;
		data = unit_guard_end(bytes, len);
		CHECK(ws_frame_read(&pool, &readers[i], WS_SERVER, false, &data, &len, &frame, &piece) == WS_AGAIN);
	}
	for (size_t i = 0; i < CONNECTIONS; i++) {
		size_t len = 1;
		unit_row("connection %zu", i);
		data = unit_guard_end(bytes + size - 1, len);
		CHECK(ws_frame_read(&pool, &readers[i], WS_SERVER, false, &data, &len, &frame, &piece) == 0);
		CHECK(piece.len == 20);
		for (size_t k = 0; k < piece.len; k++)
			CHECK(piece.data[k] == payload_byte(k));
	}
	ws_frame_pool_clear(&pool);
}

/* One connection stops inside these bytes or fails with them; others must not notice. */
static void check_others(const uint8_t *broken, size_t len)
{
	uint8_t bytes[400];
	struct ws_frame_reader *reader = NULL, *other = NULL;
	struct seen s = { 0 }, o = { 0 };
	const size_t size = frame_write(bytes, 0x81, MEDIUM, true, 200);

	read_on(&s, &reader, WS_SERVER, broken, len);
	CHECK(reader != NULL && s.lasts == 0);
	read_on(&o, &other, WS_SERVER, bytes, size - 1);
	const size_t before = pool.count;
	ws_frame_drop(&reader);
	CHECK(pool.count == before);
	read_on(&o, &other, WS_SERVER, bytes + size - 1, 1);
	check_whole(&o, 0x81, 200, size);
	for (size_t cut = 0; cut <= size; cut += 67) {
		o = read_cut(WS_SERVER, bytes, size, cut);
		check_whole(&o, 0x81, 200, size);
	}
}

static void test_broken(void)
{
	static const struct {
		unsigned first;
		enum form form;
		bool masked;
		uint64_t length;
	} rows[] = {
		{ 0x82, SHORT, true, 100 }, { 0x82, MEDIUM, true, 300 }, { 0x82, LONG, true, 70000 },
		{ 0x89, SHORT, true, 9 },
		{ 0xC2, SHORT, true, 100 }, { 0x83, SHORT, true, 100 }, { 0x82, SHORT, false, 100 }, { 0x09, SHORT, true, 9 },
		{ 0x89, MEDIUM, true, 300 }, { 0x82, MEDIUM, true, 5 }, { 0x82, LONG, true, 5 },
		{ 0x82, LONG, true, UINT64_MAX }
	};
	uint8_t bytes[WS_FRAME_HEAD_SIZE + 5] = { 0 };

	for (size_t i = 0; i < COUNT(rows); i++) {
		const size_t size = head_write(bytes, rows[i].first, rows[i].form, rows[i].masked, rows[i].length);
		for (size_t len = 1; len <= size + 5; len++) {
			unit_row("row %zu, %zu bytes", i, len);
			check_others(bytes, len);
		}
	}
	ws_frame_pool_clear(&pool);
}

/* --- writing -------------------------------------------------------------------------------------- */

/* Nothing but the head is written, and its key only where it is masked. */
static void check_head(unsigned opcode, unsigned fin, uint64_t length, bool masked)
{
	const enum form form = length < 126 ? SHORT : length < 65536 ? MEDIUM : LONG;
	uint8_t expected[WS_FRAME_HEAD_SIZE + 2], got[WS_FRAME_HEAD_SIZE + 2];

	memset(expected, 0xEE, sizeof expected);
	memset(got, 0xEE, sizeof got);
	const size_t size = head_write(expected, fin << 7 | opcode, form, masked, length);
	unit_row("opcode %x fin %u length %llu masked %d", opcode, fin, (unsigned long long)length, masked);
	CHECK(ws_frame_head(got, opcode, fin, length, masked ? key : NULL) == size);
	CHECK(memcmp(got, expected, sizeof got) == 0);
}

static void test_heads(void)
{
	static const uint64_t sizes[] = {
		0, 1, 125, 126, 127, 255, 256, 65535, 65536, 65537, UINT32_MAX, UINT64_C(1) << 32, INT64_MAX
	};

	for (size_t o = 0; o < COUNT(opcodes); o++)
		for (unsigned fin = 0; fin < 2; fin++)
			for (size_t i = 0; i < COUNT(sizes); i++)
				for (unsigned masked = 0; masked < 2; masked++) {
					if (opcodes[o] >= WS_CLOSE && (sizes[i] > WS_CONTROL_PAYLOAD || !fin))
						continue;
					check_head(opcodes[o], fin, sizes[i], masked);
					check_head(opcodes[o] | WS_RSV1, fin, sizes[i], masked);
				}
}

UNIT_MAIN(
	{ "every form of a head, in both roles, cut at every byte", test_forms },
	{ "frames that come byte by byte", test_byte_by_byte },
	{ "payload is unmasked in place, wherever a piece begins", test_unmasking },
	{ "an announced length is told before the payload", test_announced },
	{ "frames without payload", test_empty },
	{ "control frames in pieces are told of once, whole", test_control_in_pieces },
	{ "many frames in one buffer, one at a time", test_many },
	{ "the next frame's bytes are left alone, wherever a piece begins", test_next_frame },
	{ "reserved bits are refused", test_reserved_bits },
	{ "only RSV1 on a message's first frame is not, where compression was agreed on", test_compressed },
	{ "reserved opcodes are refused", test_reserved_opcodes },
	{ "the wrong masking for the role is refused", test_masks },
	{ "fragmented and long control frames are refused", test_control_rules },
	{ "lengths that are not minimal or have the top bit are refused", test_length_forms },
	{ "the opcode is known from the first byte on", test_opcode_known },
	{ "readers go back to a bounded pool between frames", test_pool },
	{ "a control frame in pieces outlives its reader's return to a full pool", test_pool_control },
	{ "broken readers are never used again", test_broken },
	{ "heads of every size, masked or not, byte by byte", test_heads }
)
