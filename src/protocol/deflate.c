/* Compressors and inflaters: whose they are, and what RFC 7692 adds to zlib. */
#include "protocol/deflate.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "error.h"

enum {
	OUTPUT_SPARE = 1024 * 1024, /* a larger one is freed rather than kept for the next message */
	MESSAGE_MAX = 1 << 30,      /* zlib counts in 32 bits: what is larger is sent as it is */
	INPUT_MAX = 1 << 30,
	TAIL = 4                    /* bytes of what ends each message's data, but is not sent (section 7.2.1) */
};

static const uint8_t tail[TAIL] = { 0x00, 0x00, 0xff, 0xff };

struct ws_deflater {
	z_stream z;
	struct ws_deflater *next; /* in the pool */
	uint8_t bits, level;
};

struct ws_inflater {
	z_stream z;
	uint8_t bits;
	uint8_t tail_taken; /* bytes of it, at the message's end */
	bool begun;         /* the message's payload is not empty */
	bool ended;         /* by a final block: what follows begins a new stream in the same window (section 7.2.3.4) */
};

struct ws_deflate {
	struct ws_deflate_pool *pool;
	struct ws_deflater *deflater; /* our own, with takeover or inside a message in fragments; NULL: none yet */
	struct ws_inflater *inflater; /* NULL: no message is under way, nor has one left its window to the next */
	uint8_t out_bits, in_bits, level;
	bool out_takeover, in_takeover;
};

static uint8_t bits_of(uint8_t said)
{
	return said ? said : WS_WINDOW_BITS_MAX;
}

struct ws_deflate *ws_deflate_new(struct ws_deflate_pool *pool, enum ws_role role,
                                  const struct ws_deflate_parameters *agreed, int level)
{
	const uint8_t server = bits_of(agreed->server_max_window_bits), client = bits_of(agreed->client_max_window_bits);
	const bool is_server = role == WS_SERVER;
	struct ws_deflate *d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	d->pool = pool;
	d->level = (uint8_t)level;
	d->out_bits = is_server ? server : client;
	d->in_bits = is_server ? client : server;
	d->out_takeover = !(is_server ? agreed->server_no_context_takeover : agreed->client_no_context_takeover);
	d->in_takeover = !(is_server ? agreed->client_no_context_takeover : agreed->server_no_context_takeover);
	return d;
}

/* ---- compressing */

static void deflater_free(struct ws_deflater *c)
{
	if (!c)
		return;
	deflateEnd(&c->z);
	free(c);
}

/*
 * zlib's tables shrink with the window, so that all of it takes 8 times the window and 6 KiB. zlib has no raw window of
 * 256 bytes, but in one of 512 it looks back no further than 512 - 262 = 250: that is within both.
 */
static struct ws_deflater *deflater_new(uint8_t bits, uint8_t level)
{
	const int window = bits > WS_WINDOW_BITS_MIN ? bits : WS_WINDOW_BITS_MIN + 1;
	struct ws_deflater *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->bits = bits;
	c->level = level;
	if (deflateInit2(&c->z, level, Z_DEFLATED, -window, window - 7, Z_DEFAULT_STRATEGY) == Z_OK)
		return c;
	free(c);
	return NULL;
}

/* The one that all connections use that agreed on no takeover, ready for a message. NULL: out of memory. */
static struct ws_deflater *shared_deflater(struct ws_deflate_pool *pool, uint8_t bits, uint8_t level)
{
	struct ws_deflater *c = pool->deflaters;
	while (c && (c->bits != bits || c->level != level))
		c = c->next;
	if (c) {
		deflateReset(&c->z);
	} else if ((c = deflater_new(bits, level))) {
		c->next = pool->deflaters;
		pool->deflaters = c;
	}
	return c;
}

static struct ws_deflater *own_deflater(struct ws_deflate *d)
{
	if (!d->deflater)
		d->deflater = deflater_new(d->out_bits, d->level);
	return d->deflater;
}

static bool reserve_output(struct ws_deflate_pool *pool, size_t size)
{
	if (size <= pool->output_size && pool->output_size <= OUTPUT_SPARE)
		return true;
	free(pool->output);
	pool->output = malloc(size);
	pool->output_size = pool->output ? size : 0;
	return pool->output;
}

static struct ws_deflater *deflater_of(struct ws_deflate *d)
{
	return d->out_takeover ? own_deflater(d) : shared_deflater(d->pool, d->out_bits, d->level);
}

/* Into the pool's output, flushed to a byte's end by an empty stored block. c: NULL, for want of memory. */
static bool compress_some(struct ws_deflate *d, struct ws_deflater *c, const void **data, size_t *len)
{
	if (!c || !reserve_output(d->pool, deflateBound(&c->z, (uLong)*len) + TAIL + 2))
		return false;
	c->z.next_in = (Bytef *)*data;
	c->z.avail_in = (uInt)*len;
	c->z.next_out = d->pool->output;
	c->z.avail_out = (uInt)d->pool->output_size;
	if (deflate(&c->z, Z_SYNC_FLUSH) != Z_OK || c->z.avail_out == 0) {
		ws_deflate_forget(d);
		return false;
	}
	*data = d->pool->output;
	*len = d->pool->output_size - c->z.avail_out;
	return true;
}

/* Section 7.2.1: the last four bytes of that block are left out. */
bool ws_deflate_message(struct ws_deflate *d, const void **data, size_t *len)
{
	if (*len > MESSAGE_MAX || !compress_some(d, deflater_of(d), data, len))
		return false;
	*len -= TAIL;
	return true;
}

bool ws_deflate_fragment(struct ws_deflate *d, const void **data, size_t *len)
{
	return *len <= MESSAGE_MAX && compress_some(d, own_deflater(d), data, len);
}

/* Every fragment has ended with a whole block: here is one more, of which only the first byte is sent. */
void ws_deflate_end(struct ws_deflate *d, const void **data, size_t *len)
{
	*data = tail;
	*len = 1;
	if (d->out_takeover)
		return;
	deflater_free(d->deflater);
	d->deflater = NULL;
}

unsigned ws_deflate_likeness(const struct ws_deflate *d)
{
	return d->out_takeover ? 0 : (unsigned)d->out_bits << 8 | d->level;
}

void ws_deflate_forget(struct ws_deflate *d)
{
	if (d->deflater)
		deflateReset(&d->deflater->z);
}

/* ---- inflating */

static void inflater_free(struct ws_inflater *i)
{
	if (!i)
		return;
	inflateEnd(&i->z);
	free(i);
}

static struct ws_inflater *inflater_new(uint8_t bits)
{
	struct ws_inflater *i = calloc(1, sizeof *i);
	if (!i)
		return NULL;
	i->bits = bits;
	if (inflateInit2(&i->z, -bits) == Z_OK)
		return i;
	free(i);
	return NULL;
}

static struct ws_inflater *pool_take(struct ws_deflate_pool *pool, uint8_t bits)
{
	struct ws_inflater *i = pool->inflater;
	if (!i)
		return inflater_new(bits);
	pool->inflater = NULL;
	inflateReset2(&i->z, -bits);
	i->bits = bits;
	i->tail_taken = 0;
	i->begun = i->ended = false;
	return i;
}

static void pool_give(struct ws_deflate_pool *pool, struct ws_inflater *i)
{
	if (pool->inflater)
		inflater_free(i);
	else
		pool->inflater = i;
}

/*
 * Inflates until the input is used up or the output is full; adds to *written. zlib can look back into the window and
 * all that one call of it writes: so it gets to write no more than a window's length at a time.
 */
static int inflate_some(struct ws_inflater *i, const uint8_t **data, size_t *len, uint8_t *out, size_t size,
                        size_t *written)
{
	z_stream *z = &i->z;
	const size_t window = (size_t)1 << i->bits;
	while (*written < size && !(i->ended && *len == 0)) {
		const uInt input = (uInt)(*len < INPUT_MAX ? *len : INPUT_MAX);
		const uInt room = (uInt)(size - *written < window ? size - *written : window);
		if (i->ended)
			inflateResetKeep(z); /* inflateReset would lose the window */
		z->next_in = (Bytef *)*data;
		z->avail_in = input;
		z->next_out = out + *written;
		z->avail_out = room;
		const int e = inflate(z, Z_SYNC_FLUSH);
		*data += input - z->avail_in;
		*len -= input - z->avail_in;
		*written += room - z->avail_out;
		i->ended = e == Z_STREAM_END;
		if (e == Z_MEM_ERROR)
			return WS_ERROR_MEMORY;
		if (e != Z_OK && e != Z_STREAM_END && e != Z_BUF_ERROR) /* the last: there was nothing to do */
			return WS_ERROR_PROTOCOL;
		if (*len == 0 && z->avail_out > 0)
			break;
	}
	return 0;
}

/*
 * Section 7.2.2: the bytes that were left out follow the payload. Not a final block, behind which nothing need follow;
 * nor no payload at all, which is how some peers compress an empty message.
 */
static int take_tail(struct ws_inflater *i, uint8_t *out, size_t size, size_t *written)
{
	const uint8_t *left = tail + i->tail_taken;
	size_t len = TAIL - i->tail_taken;
	if (i->tail_taken == 0 && (i->ended || !i->begun))
		return 0;
	const int e = inflate_some(i, &left, &len, out, size, written);
	i->tail_taken = (uint8_t)(TAIL - len);
	if (e || *written == size)
		return e;
	/* 128: a block has just ended; and of the last byte no bit is left. */
	return i->ended || i->z.data_type == 128 ? 0 : WS_ERROR_PROTOCOL;
}

static void message_over(struct ws_deflate *d)
{
	d->inflater->tail_taken = 0;
	d->inflater->begun = false;
	if (d->in_takeover)
		return;
	pool_give(d->pool, d->inflater);
	d->inflater = NULL;
}

long ws_deflate_inflate(struct ws_deflate *d, const uint8_t **data, size_t *len, bool last, uint8_t *out, size_t size)
{
	size_t written = 0;
	if (!d->inflater && !(d->inflater = pool_take(d->pool, d->in_bits)))
		return WS_ERROR_MEMORY;
	d->inflater->begun = d->inflater->begun || *len > 0;
	int e = inflate_some(d->inflater, data, len, out, size, &written);
	if (e == 0 && last && written < size)
		e = take_tail(d->inflater, out, size, &written);
	if (e && (e != WS_ERROR_PROTOCOL || written < size)) /* what fills the room comes before what is broken behind it */
		return e;
	if (last && written < size)
		message_over(d);
	return (long)written;
}

/* ---- the end */

void ws_deflate_free(struct ws_deflate *d)
{
	if (!d)
		return;
	deflater_free(d->deflater);
	if (d->inflater)
		pool_give(d->pool, d->inflater);
	free(d);
}

void ws_deflate_pool_clear(struct ws_deflate_pool *pool)
{
	while (pool->deflaters) {
		struct ws_deflater *c = pool->deflaters;
		pool->deflaters = c->next;
		deflater_free(c);
	}
	inflater_free(pool->inflater);
	free(pool->output);
	*pool = (struct ws_deflate_pool){ .deflaters = NULL };
}
