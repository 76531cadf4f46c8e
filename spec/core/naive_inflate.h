/*
 * A compressed message inflated the slow way, all of it anew whenever there is more: by plain zlib, for which a stream
 * that begins in a used window is one with a dictionary.
 */
#ifndef NAIVE_INFLATE_H
#define NAIVE_INFLATE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

enum { NAIVE_WINDOW = 32768 };

/* The bytes before are in front of those that come: at most room of them. */
struct naive_inflater {
	uint8_t *bytes;
	size_t before, len, room;
	bool ended;  /* a final block has ended where the input did */
	bool broken;
};

static inline void naive_restart(struct naive_inflater *n, z_stream *z)
{
	const size_t all = n->before + n->len, window = all < NAIVE_WINDOW ? all : NAIVE_WINDOW;

	(void)inflateReset(z);
	if (window > 0)
		(void)inflateSetDictionary(z, n->bytes + all - window, (uInt)window);
	n->ended = false;
}

static inline void naive_feed(struct naive_inflater *n, z_stream *z, const uint8_t *data, size_t len)
{
	z->next_in = (Bytef *)data;
	z->avail_in = (uInt)len;
	while (!n->broken && n->len < n->room) {
		if (n->ended && z->avail_in == 0)
			return;
		if (n->ended)
			naive_restart(n, z);
		z->next_out = n->bytes + n->before + n->len;
		z->avail_out = (uInt)(n->room - n->len);
		const int e = inflate(z, Z_SYNC_FLUSH);
		n->len = n->room - z->avail_out;
		n->ended = e == Z_STREAM_END;
		n->broken = e != Z_OK && e != Z_STREAM_END && e != Z_BUF_ERROR;
		if (!n->ended && z->avail_in == 0 && z->avail_out > 0)
			return;
	}
}

/* Whether a block could begin here: a final one without content ends the stream at once. */
static inline bool naive_at_block(z_stream *z)
{
	uint8_t none;

	z->next_in = (Bytef *)"\x01\x00\x00\xff\xff";
	z->avail_in = 5;
	z->next_out = &none;
	z->avail_out = 1;
	return inflate(z, Z_SYNC_FLUSH) == Z_STREAM_END && z->avail_in == 0 && z->avail_out == 1;
}

/* What there is of a message's payload; last: that is all. n->len and n->broken say what comes of it. */
static inline void naive_inflate(struct naive_inflater *n, const uint8_t *payload, size_t len, bool last)
{
	z_stream z = { .zalloc = Z_NULL };

	n->len = 0;
	n->broken = n->ended = false;
	if (inflateInit2(&z, -15) != Z_OK)
		abort();
	naive_restart(n, &z);
	naive_feed(n, &z, payload, len);
	if (last && len > 0 && !n->ended && !n->broken && n->len < n->room) {
		naive_feed(n, &z, (const uint8_t *)"\x00\x00\xff\xff", 4);
		if (n->len < n->room && !n->broken && !n->ended)
			n->broken = !naive_at_block(&z);
	}
	(void)inflateEnd(&z);
}

/* The message is over, and has left what it was to the next. */
static inline void naive_keep(struct naive_inflater *n)
{
	const size_t all = n->before + n->len, window = all < NAIVE_WINDOW ? all : NAIVE_WINDOW;

	for (size_t i = 0; i < window; i++)
		n->bytes[i] = n->bytes[all - window + i];
	n->before = window;
	n->len = 0;
}

#endif
