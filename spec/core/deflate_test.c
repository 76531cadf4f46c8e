/* Messages compressed and inflated (RFC 7692 section 7.2): the RFC's own, cut anywhere, broken, without memory. */
#include "memory.h"

#include <zlib.h>

#include "error.h"
#include "protocol/deflate.h"
#include "unit.h"

enum { ROOM = 1 << 18 };

#define COUNT(array) (sizeof (array) / sizeof *(array))

static struct ws_deflate_pool pool;

/* What the server compresses with so many bits the client inflates. */
static struct ws_deflate_parameters parameters_of(unsigned bits, bool takeover)
{
	return (struct ws_deflate_parameters){
		true, !takeover, !takeover, (uint8_t)(bits == 15 ? 0 : bits), (uint8_t)(bits == 15 ? 0 : bits)
	};
}

static struct ws_deflate *end_of(enum ws_role role, unsigned bits, bool takeover, int level)
{
	const struct ws_deflate_parameters agreed = parameters_of(bits, takeover);
	struct ws_deflate *d = ws_deflate_new(&pool, role, &agreed, level);
	CHECK(d != NULL);
	return d;
}

/* ---- inflating, as a session does it */

static uint8_t inflated[ROOM];
static size_t inflated_len;

/* What comes of some of a message's payload, room bytes at a time. 0 or an error. */
static int inflate_piece(struct ws_deflate *d, const void *payload, size_t len, bool last, size_t room)
{
	const uint8_t *data = unit_guard_end(payload, len);
	long n;

	do {
		const size_t left = ROOM - inflated_len, size = room < left ? room : left;
		n = ws_deflate_inflate(d, &data, &len, last, inflated + inflated_len, size);
		if (n < 0)
			return (int)n;
		inflated_len += (size_t)n;
		if ((size_t)n < size && len > 0)
			return 1; /* it must have taken all then */
		if (inflated_len == ROOM)
			return 1;
		room = size;
	} while ((size_t)n == room);
	return 0;
}

/* A whole message, cut in two. */
static int inflate_message(struct ws_deflate *d, const void *payload, size_t len, size_t cut, size_t room)
{
	inflated_len = 0;
	const int e = inflate_piece(d, payload, cut, false, room);
	return e ? e : inflate_piece(d, (const uint8_t *)payload + cut, len - cut, true, room);
}

static bool is_inflated(const void *message, size_t len)
{
	return inflated_len == len && memcmp(inflated, message, len) == 0;
}

/* ---- what is compressed */

static uint32_t noise = 1;

static uint8_t random_byte(void)
{
	noise = noise * 1664525 + 1013904223;
	return (uint8_t)(noise >> 24);
}

/* Words, some of which come again from near, some from far, and some noise. */
static size_t make_message(uint8_t *out, size_t len)
{
	for (size_t at = 0; at < len;) {
		const size_t far = random_byte() & 1 ? 1u + (random_byte() & 63) : 1u + random_byte() * 150u;
		size_t run = 3 + (random_byte() & 31);
		for (bool copies = far <= at && random_byte() > 40; run-- > 0 && at < len; at++)
			out[at] = copies ? out[at - far] : (uint8_t)('a' + (random_byte() & 15));
	}
	return len;
}

/* ---- tests */

/* Sections 7.2.3.1 to 7.2.3.6, in one connection: the second is compressed with what the first has left. */
static void test_examples(void)
{
	static const struct {
		const char *payload;
		size_t len;
		const char *message;
	} rows[] = {
#define ROW(payload, message) { payload, sizeof payload - 1, message }
		ROW("\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello"),
		ROW("\xf2\x00\x11\x00\x00", "Hello"),
		ROW("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello"),
		ROW("\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"),
		ROW("\xf2\x00\x11\x00\x00", "Hello"), /* the final block has left its window, too */
		ROW("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"),
		ROW("\x00", ""),
		ROW("", ""),             /* zlib has nothing to flush for it: some send that */
		ROW("\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello"), /* ends with a final block */
		ROW("\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00", "HelloHello"),
		ROW("\x01\x02\x00\xfd\xff" "Hi\x03\x00\x00", "Hi"), /* final stored, final empty, and the flush */
		ROW("", ""),
		ROW("\x01", ""),         /* a final block is what ends it */
	};

	for (size_t cut = 0; cut < 12; cut++)
		for (size_t room = 1; room < 9; room += 3) {
			struct ws_deflate *d = end_of(WS_SERVER, 15, true, 1);
			for (size_t i = 0; i < COUNT(rows); i++) {
				const size_t at = cut < rows[i].len ? cut : rows[i].len;
				unit_row("row %zu cut %zu room %zu", i, at, room);
				CHECK(inflate_message(d, rows[i].payload, rows[i].len, at, room) == 0);
				CHECK(is_inflated(rows[i].message, strlen(rows[i].message)));
			}
			ws_deflate_free(d);
		}
	ws_deflate_pool_clear(&pool);
}

static void test_broken(void)
{
	static const struct {
		const char *payload;
		size_t len;
	} rows[] = {
#define BROKEN(payload) { payload, sizeof payload - 1 }
		BROKEN("\x06"),                     /* a block of no type */
		BROKEN("\xff\xff\xff\xff"),
		BROKEN("\x00\x05\x00\xfa\xfe" "Hello\x00"), /* the length and its complement */
		BROKEN("\x00\x05\x00\xfa\xff" "Hell"),      /* not all of a stored block */
		BROKEN("\x00\x05\x00\xfa\xff" "Hello"),     /* the flush is missing */
		BROKEN("\x00\x00\x00\xff\xff"),             /* its last four bytes are not left out */
		BROKEN("\x00\x00"),
		BROKEN("\xf2\x48\xcd\xc9\xc9\x07"),
		BROKEN("\xf2\x48\xcd"),
		BROKEN("\xf2\x00\x11\x00\x00"),     /* looks back, but there is nothing */
		BROKEN("\xf3\x48\xcd\xc9\xc9\x07\x00\xff"), /* garbage behind a final block */
		BROKEN("Hello"),
		BROKEN("\x78\x9c\xf3\x48\xcd\xc9\xc9\x07\x00"), /* zlib's head */
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		for (size_t cut = 0; cut <= rows[i].len; cut++)
			for (unsigned takeover = 0; takeover < 2; takeover++) {
				struct ws_deflate *d = end_of(WS_CLIENT, 15, takeover, 1);
				unit_row("row %zu cut %zu", i, cut);
				CHECK(inflate_message(d, rows[i].payload, rows[i].len, cut, 100) == WS_ERROR_PROTOCOL);
				ws_deflate_free(d);
				/* what it leaves in the pool does not hurt the next */
				d = end_of(WS_CLIENT, 15, takeover, 1);
				CHECK(inflate_message(d, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7, 3, 2) == 0 && is_inflated("Hello", 5));
				ws_deflate_free(d);
			}
	ws_deflate_pool_clear(&pool);
}

/* A plain zlib that was told the window, and has to keep it: it gives one byte at a time. */
static bool reference_takes(z_stream *z, const void *payload, size_t len, const uint8_t *message, size_t message_len)
{
	uint8_t input[ROOM], byte;
	size_t count = 0;

	memcpy(input, payload, len);
	memcpy(input + len, "\x00\x00\xff\xff", 4);
	z->next_in = input;
	z->avail_in = (uInt)len + 4;
	do {
		z->next_out = &byte;
		z->avail_out = 1;
		const int e = inflate(z, Z_SYNC_FLUSH);
		if (e != Z_OK && e != Z_BUF_ERROR)
			return false;
		if (z->avail_out == 0 && (count == message_len || message[count++] != byte))
			return false;
	} while (z->avail_out == 0);
	return count == message_len && z->avail_in == 0;
}

/* Messages of every kind: our other end and plain zlib, in the same window, get them back. */
static void check_stream(enum ws_role role, unsigned bits, bool takeover, int level)
{
	static uint8_t message[70000];
	static const size_t sizes[] = { 1, 2, 200, 255, 256, 257, 300, 512, 513, 1000, 5000, 70000, 3, 1000 };
	struct ws_deflate *sender = end_of(role, bits, takeover, level);
	struct ws_deflate *receiver = end_of(role == WS_SERVER ? WS_CLIENT : WS_SERVER, bits, takeover, 9);
	z_stream z = { .zalloc = Z_NULL };

	CHECK(inflateInit2(&z, -(int)bits) == Z_OK);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		const void *payload = message;
		size_t len = make_message(message, sizes[i]);
		unit_row("bits %u takeover %d level %d size %zu", bits, takeover, level, len);
		CHECK(ws_deflate_message(sender, &payload, &len));
		CHECK(len < 12 || len < sizes[i]);
		if (!takeover)
			CHECK(inflateReset(&z) == Z_OK);
		CHECK(reference_takes(&z, payload, len, message, sizes[i]));
		CHECK(inflate_message(receiver, payload, len, len / 3, 4096) == 0);
		CHECK(is_inflated(message, sizes[i]));
	}
	CHECK(inflateEnd(&z) == Z_OK);
	ws_deflate_free(sender);
	ws_deflate_free(receiver);
}

static void test_windows(void)
{
	for (unsigned bits = WS_WINDOW_BITS_MIN; bits <= WS_WINDOW_BITS_MAX; bits++)
		for (int level = 1; level <= 9; level += bits % 2 ? 1 : 4) {
			check_stream(WS_SERVER, bits, true, level);
			check_stream(WS_CLIENT, bits, false, level);
		}
	ws_deflate_pool_clear(&pool);
}

/* Each side's parameters are its own. */
static void test_sides(void)
{
	static uint8_t message[40000];
	const struct ws_deflate_parameters agreed = { true, true, false, 9, 0 };
	struct ws_deflate *server = ws_deflate_new(&pool, WS_SERVER, &agreed, 6);
	struct ws_deflate *client = ws_deflate_new(&pool, WS_CLIENT, &agreed, 6);
	size_t sizes[4];

	for (size_t i = 0; i < 20000; i++)
		message[i] = message[20000 + i] = random_byte();
	for (size_t i = 0; i < 4; i++) {
		const void *payload = message;
		size_t len = sizeof message;
		CHECK(ws_deflate_message(i < 2 ? server : client, &payload, &len));
		CHECK(inflate_message(i < 2 ? client : server, payload, len, 10, 1000) == 0);
		CHECK(is_inflated(message, sizeof message));
		sizes[i] = len;
	}
	CHECK(sizes[0] > 39000 && sizes[1] == sizes[0]); /* 512 bytes see no repetition; nothing is taken over */
	CHECK(sizes[2] < 21000 && sizes[3] < 1000);      /* 32 KiB do; and the whole message comes again */
	ws_deflate_free(server);
	ws_deflate_free(client);
	ws_deflate_pool_clear(&pool);
}

/* Cut anywhere, and into any room: the same comes of it. */
static void test_cuts(void)
{
	uint8_t message[3000];
	const void *payload = message;
	size_t len = make_message(message, sizeof message);
	struct ws_deflate *sender = end_of(WS_SERVER, 15, false, 1);
	uint8_t bytes[sizeof message];

	CHECK(ws_deflate_message(sender, &payload, &len) && len < sizeof bytes);
	memcpy(bytes, payload, len);
	for (unsigned bits = 12; bits <= 15; bits += 3) /* both windows hold it all */
		for (size_t cut = 0; cut <= len; cut++) {
			struct ws_deflate *d = end_of(WS_CLIENT, bits, cut % 2, 1);
			const size_t room = cut % 7 ? cut : sizeof message + cut % 2;
			unit_row("bits %u cut %zu", bits, cut);
			CHECK(inflate_message(d, bytes, len, cut, room) == 0 && is_inflated(message, sizeof message));
			CHECK(inflate_message(d, bytes, len, len - cut, 1 + room) == 0 && is_inflated(message, sizeof message));
			ws_deflate_free(d);
		}
	struct ws_deflate *d = end_of(WS_CLIENT, 15, false, 1);
	inflated_len = 0;
	for (size_t at = 0; at < len; at++)
		CHECK(inflate_piece(d, bytes + at, 1, false, 5) == 0);
	CHECK(inflate_piece(d, NULL, 0, true, 5) == 0 && is_inflated(message, sizeof message));
	ws_deflate_free(d);
	ws_deflate_free(sender);
	ws_deflate_pool_clear(&pool);
}

/* The longest sequence of equal bytes has little to come back to, however large the room: nothing more is inflated. */
static void test_bomb(void)
{
	static uint8_t zeros[ROOM];
	uint8_t small[100];
	const void *payload = zeros;
	size_t len = sizeof zeros;
	struct ws_deflate *sender = end_of(WS_SERVER, 15, false, 9), *d = end_of(WS_CLIENT, 15, false, 1);

	CHECK(ws_deflate_message(sender, &payload, &len) && len < 400);
	const uint8_t *data = payload;
	CHECK(ws_deflate_inflate(d, &data, &len, true, small, sizeof small) == sizeof small && len > 100);
	ws_deflate_free(d);
	ws_deflate_free(sender);
	ws_deflate_pool_clear(&pool);
}

/* A peer that looks back further than its window: what is within is taken, what is twice as far never. */
static void test_window_exceeded(void)
{
	static uint8_t message[1 << 16];
	struct ws_deflate *sender = end_of(WS_SERVER, 15, true, 9);

	for (unsigned bits = WS_WINDOW_BITS_MIN; bits < WS_WINDOW_BITS_MAX; bits++)
		for (unsigned over = 0; over < 2; over++) {
			const size_t back = over ? (2u << bits) + 40 : (1u << bits) - 10;
			const void *payload = message;
			size_t len = back + 20;
			if (back > 32000)
				continue;
			for (size_t i = 0; i < len; i++)
				message[i] = i < back ? random_byte() & 63 : message[i - back];
			ws_deflate_forget(sender);
			unit_row("bits %u over %u", bits, over);
			CHECK(ws_deflate_message(sender, &payload, &len));
			for (size_t room = 300; room <= ROOM; room *= 20) {
				struct ws_deflate *d = end_of(WS_CLIENT, bits, false, 1);
				const int e = inflate_message(d, payload, len, len / 2, room);
				CHECK(over ? e == WS_ERROR_PROTOCOL : e == 0 && is_inflated(message, back + 20));
				ws_deflate_free(d);
			}
		}
	ws_deflate_free(sender);
	ws_deflate_pool_clear(&pool);
}

/* What was compressed, but never sent. */
static void test_forget(void)
{
	uint8_t message[1000];
	struct ws_deflate *sender = end_of(WS_SERVER, 15, true, 6), *d = end_of(WS_CLIENT, 15, true, 6);

	for (size_t i = 0; i < 6; i++) {
		const void *payload = message;
		size_t len = make_message(message, sizeof message);
		CHECK(ws_deflate_message(sender, &payload, &len));
		if (i == 1 || i == 3 || i == 4)
			ws_deflate_forget(sender);
		else
			CHECK(inflate_message(d, payload, len, 5, 2000) == 0 && is_inflated(message, sizeof message));
	}
	ws_deflate_free(sender);
	ws_deflate_free(d);
	ws_deflate_pool_clear(&pool);
}

/* Random bytes do not get smaller: some bytes come on top. */
static void test_nothing_won(void)
{
	static uint8_t message[200000];

	for (size_t i = 0; i < sizeof message; i++)
		message[i] = random_byte();
	for (unsigned bits = WS_WINDOW_BITS_MIN; bits <= WS_WINDOW_BITS_MAX; bits++)
		for (int level = 1; level <= 9; level++) {
			struct ws_deflate *sender = end_of(WS_SERVER, bits, level % 2, level);
			const void *payload = message;
			size_t len = sizeof message;
			unit_row("bits %u level %d", bits, level);
			CHECK(ws_deflate_message(sender, &payload, &len));
			CHECK(len > sizeof message && len < sizeof message + sizeof message / 20);
			ws_deflate_free(sender);
		}
	ws_deflate_pool_clear(&pool);
}

/* ---- memory */

/* Messages both ways between two ends. Those that could not be compressed for want of memory are sent as they are. */
static int converse(unsigned bits, bool takeover)
{
	static uint8_t message[3000];
	const struct ws_deflate_parameters agreed = parameters_of(bits, takeover);
	struct ws_deflate *ends[2] = {
		ws_deflate_new(&pool, WS_SERVER, &agreed, 1), ws_deflate_new(&pool, WS_CLIENT, &agreed, 1)
	};
	int e = ends[0] && ends[1] ? 0 : WS_ERROR_MEMORY;

	for (size_t i = 0; i < 6 && e == 0; i++) {
		const void *payload = message;
		size_t len = make_message(message, sizeof message);
		if (!ws_deflate_message(ends[i % 2], &payload, &len))
			continue;
		e = inflate_message(ends[1 - i % 2], payload, len, i, 1000);
		CHECK(e == WS_ERROR_MEMORY || (e == 0 && is_inflated(message, sizeof message)));
	}
	ws_deflate_free(ends[0]);
	ws_deflate_free(ends[1]);
	return e;
}

/* A message in fragments, with takeover and without, between others that refer to it or share the compressor. */
static void test_fragments(void)
{
	static const char message[] = "In fragments it is compressed by a compressor of its own, in fragments.";
	for (int takeover = 0; takeover < 2; takeover++) {
		struct ws_deflate *sender = end_of(WS_SERVER, 15, takeover, 6), *receiver = end_of(WS_CLIENT, 15, takeover, 6);
		for (size_t round = 0; round < 3; round++) {
			const void *payload = message;
			size_t len = sizeof message;
			CHECK(ws_deflate_message(sender, &payload, &len));
			CHECK(inflate_message(receiver, payload, len, len / 2, ROOM) == 0 && is_inflated(message, sizeof message));
			inflated_len = 0;
			for (size_t at = 0; at < sizeof message; at += 24) {
				payload = message + at;
				len = 24;
				CHECK(ws_deflate_fragment(sender, &payload, &len));
				CHECK(inflate_piece(receiver, payload, len, false, 7) == 0 && inflated_len == at + 24);
				if (!takeover) { /* another connection's message in between */
					struct ws_deflate *other = end_of(WS_SERVER, 15, false, 6);
					payload = "something else";
					len = 14;
					CHECK(ws_deflate_message(other, &payload, &len));
					ws_deflate_free(other);
				}
			}
			ws_deflate_end(sender, &payload, &len);
			CHECK(inflate_piece(receiver, payload, len, true, 7) == 0 && is_inflated(message, sizeof message));
		}
		ws_deflate_free(sender);
		ws_deflate_free(receiver);
	}
	ws_deflate_pool_clear(&pool);
}

/* Without takeover a message in fragments gives its compressor back; with none to be had it is told. */
static void test_memory_of_fragments(void)
{
	const size_t live = memory.live;
	struct ws_deflate *d = end_of(WS_SERVER, 15, false, 1);
	const size_t idle = memory.live;
	const void *payload = "fragment";
	size_t len = 8;
	memory_reset(1, 1);
	CHECK(!ws_deflate_fragment(d, &payload, &len) && len == 8);
	memory_reset(0, 0);
	CHECK(ws_deflate_fragment(d, &payload, &len));
	CHECK(memory.live > idle + 4);
	ws_deflate_end(d, &payload, &len);
	ws_deflate_pool_clear(&pool);
	CHECK(memory.live == idle);
	payload = "fragment";
	len = 8;
	CHECK(ws_deflate_fragment(d, &payload, &len)); /* left unfinished */
	ws_deflate_free(d);
	ws_deflate_pool_clear(&pool);
	CHECK(memory.live == live);
}

static void test_starved(void)
{
	for (unsigned takeover = 0; takeover < 2; takeover++) {
		(void)converse(15, takeover); /* what the process allocates once */
		ws_deflate_pool_clear(&pool);
		const size_t live = memory.live;
		memory_reset(0, 0);
		CHECK(converse(15, takeover) == 0);
		ws_deflate_pool_clear(&pool);
		const size_t calls = memory.calls;
		CHECK(calls > 8 && memory.live == live);
		for (size_t n = 1; n <= calls; n++)
			for (size_t count = 1; count < 100; count += 98) {
				memory_reset(n, count);
				(void)converse(15, takeover);
				memory_reset(0, 0);
				unit_row("takeover %u, allocation %zu of %zu", takeover, n, calls);
				CHECK(converse(15, takeover) == 0); /* the pool is of use still */
				ws_deflate_pool_clear(&pool);
				CHECK(memory.live == live);
			}
	}
}

/* deflate.h says how much it is. */
static void test_memory_of_a_connection(void)
{
	for (unsigned bits = WS_WINDOW_BITS_MIN; bits <= WS_WINDOW_BITS_MAX; bits++) {
		const size_t window = (size_t)1 << (bits > 8 ? bits : 9);
		struct ws_deflate *d = end_of(WS_SERVER, bits, true, 1);
		uint8_t message[1000], bytes[1000];
		const void *payload = message;
		size_t len = make_message(message, sizeof message);
		unit_row("%u bits", bits);
		memory_reset(0, 0);
		CHECK(ws_deflate_message(d, &payload, &len));
		CHECK(memory.bytes < 8 * window + 6 * 1024 + pool.output_size);
		memcpy(bytes, payload, len);
		ws_deflate_pool_clear(&pool);
		memory_reset(0, 0);
		CHECK(inflate_message(d, bytes, len, 0, 2000) == 0);
		CHECK(memory.bytes < window + 7 * 1024 + 512);
		ws_deflate_free(d);
		ws_deflate_pool_clear(&pool);
	}
}

/* Without takeover all connections use the same, and hold nothing between two messages. */
static void test_shared(void)
{
	(void)converse(9, false);
	(void)converse(15, false);
	memory_reset(0, 0);
	const size_t live = memory.live;
	CHECK(converse(15, false) == 0);
	CHECK(converse(15, false) == 0);
	CHECK(memory.calls == 4); /* the ends themselves */
	CHECK(memory.live == live);
	ws_deflate_pool_clear(&pool);

	struct ws_deflate *a = end_of(WS_SERVER, 15, false, 1), *b = end_of(WS_SERVER, 12, false, 1);
	inflated_len = 0; /* two messages at once have two, one of which is kept */
	CHECK(inflate_piece(a, "\xf2\x48\xcd", 3, false, 100) == 0);
	const size_t one = memory.live;
	CHECK(inflate_piece(b, "\xf2\x48\xcd", 3, false, 100) == 0);
	CHECK(inflate_piece(a, "\xc9\xc9\x07\x00", 4, true, 100) == 0);
	CHECK(inflate_piece(b, "\xc9\xc9\x07\x00", 4, true, 100) == 0);
	CHECK(memory.live <= one + 1 && pool.inflater != NULL); /* its window, perhaps */
	ws_deflate_free(a);
	ws_deflate_free(b);
	ws_deflate_free(NULL);
	ws_deflate_pool_clear(&pool);
}

/* Sharing is among those that agreed on the same. */
static void test_not_shared(void)
{
	static uint8_t message[40000];
	static const struct {
		unsigned bits;
		int level;
	} kinds[] = { { 15, 9 }, { 9, 9 }, { 15, 1 }, { 9, 1 }, { 15, 9 } };
	size_t sizes[COUNT(kinds)];

	for (size_t i = 0; i < 20000; i++) /* each letter is as frequent as the others, but words come again */
		message[i] = message[20000 + i] = random_byte() & 63;
	for (size_t i = 0; i < 20000; i += 20)
		memcpy(message + i, message + i / 3, 5);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct ws_deflate *d = end_of(WS_SERVER, kinds[i].bits, false, kinds[i].level);
		const void *payload = message;
		sizes[i] = sizeof message;
		CHECK(ws_deflate_message(d, &payload, &sizes[i]));
		ws_deflate_free(d);
	}
	CHECK(sizes[0] < sizes[1] - 5000 && sizes[2] < sizes[3] - 5000); /* a window of 512 bytes sees less */
	CHECK(sizes[0] < sizes[2]);
	CHECK(sizes[4] == sizes[0]);
	ws_deflate_pool_clear(&pool);
}

/* What one large message took is not kept. */
static void test_large(void)
{
	const size_t size = 3 << 20;
	uint8_t *message = calloc(1, size);
	struct ws_deflate *d = end_of(WS_SERVER, 15, false, 1);
	for (unsigned i = 0; i < 2; i++) {
		const void *payload = message;
		size_t len = i ? 100 : size;
		CHECK(ws_deflate_message(d, &payload, &len));
		CHECK(i ? pool.output_size < 1000 : pool.output_size > size);
	}
	free(message);
	ws_deflate_free(d);
	ws_deflate_pool_clear(&pool);
}

UNIT_MAIN(
	{ "a message in fragments is one that others can stand before and behind", test_fragments },
	{ "a message in fragments has a compressor only until its end", test_memory_of_fragments },
	{ "the RFC's examples, stored and final blocks, empty messages", test_examples },
	{ "broken data, however it is cut", test_broken },
	{ "every window and level, against plain zlib in the same window", test_windows },
	{ "each side has its own window and takeover", test_sides },
	{ "cut at every byte, into every room", test_cuts },
	{ "no more is inflated than there is room for", test_bomb },
	{ "who looks back further than the window is found", test_window_exceeded },
	{ "what was not sent is forgotten", test_forget },
	{ "what cannot be compressed becomes little larger", test_nothing_won },
	{ "every allocation fails", test_starved },
	{ "a connection with takeover has as much memory as is said", test_memory_of_a_connection },
	{ "without takeover all use the same", test_shared },
	{ "those that agreed on different windows or levels do not", test_not_shared },
	{ "a large message's memory is not kept", test_large }
)
