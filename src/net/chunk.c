/* Blocks of bytes that wait to be sent, or read again: from the loop's pool, so that the hot path allocates nothing. */
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "net/loop_private.h"

enum {
	CHUNK_FIRST = 4096,       /* including its head; a turn's small messages fit */
	CHUNK_POOLED = 64 * 1024, /* larger ones go back to malloc */
	CHUNKS_POOLED = 64,       /* at most 4 MiB lie idle */
};

struct ws_chunk *ws_chunk_take(struct ws_loop *loop, size_t size)
{
	struct ws_chunk *chunk = loop->pool;
	if (chunk != NULL && chunk->size >= size) {
		loop->pool = chunk->next;
		loop->pooled--;
		return chunk;
	}
	if (size > SIZE_MAX / 4)
		return NULL;
	size_t whole = CHUNK_FIRST;
	while (whole - sizeof *chunk < size)
		whole *= 2;
	chunk = malloc(whole);
	if (chunk == NULL)
		return NULL;
	chunk->size = whole - sizeof *chunk;
	chunk->from = chunk->to = 0;
	return chunk;
}

void ws_chunk_give(struct ws_loop *loop, struct ws_chunk *chunk)
{
	if (loop->pooled >= CHUNKS_POOLED || chunk->size > CHUNK_POOLED) {
		free(chunk);
		return;
	}
	chunk->from = chunk->to = 0;
	chunk->next = loop->pool;
	loop->pool = chunk;
	loop->pooled++;
}

void ws_chunk_park(struct ws_loop *loop, struct ws_chunk *chunk)
{
	chunk->next = loop->parked;
	loop->parked = chunk;
}

int ws_chunk_reserve(struct ws_loop *loop, struct ws_chunk **chunk, size_t len)
{
	struct ws_chunk *old = *chunk;
	size_t used = old != NULL ? old->to - old->from : 0;
	if (old != NULL && old->size - old->to >= len)
		return 0;
	if (old != NULL && old->from >= used && old->size - used >= len) {
		/* No more bytes move than have been taken off the front since the last time. */
		memcpy(old->bytes, old->bytes + old->from, used);
		old->from = 0;
		old->to = used;
		return 0;
	}
	if (len > SIZE_MAX / 4 || used > SIZE_MAX / 4)
		return WS_ERROR_MEMORY;
	struct ws_chunk *larger = ws_chunk_take(loop, used + len);
	if (larger == NULL)
		return WS_ERROR_MEMORY;
	if (old != NULL) {
		memcpy(larger->bytes, old->bytes + old->from, used);
		larger->to = used;
		ws_chunk_give(loop, old);
	}
	*chunk = larger;
	return 0;
}

void ws_chunk_append(struct ws_chunk *chunk, const struct iovec *parts, int count, size_t skip)
{
	for (int i = 0; i < count; i++) {
		size_t len = parts[i].iov_len, passed = skip < len ? skip : len;
		skip -= passed;
		if (len == passed)
			continue;
		memcpy(chunk->bytes + chunk->to, (const uint8_t *)parts[i].iov_base + passed, len - passed);
		chunk->to += len - passed;
	}
}
