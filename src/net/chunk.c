/* Blocks of bytes that wait to be sent, or read again: from the loop's pool, so that the hot path allocates nothing. */
#include <stdlib.h>

#include "net/loop_private.h"

enum {
	CHUNK_FIRST = 1024,           /* including its head; a turn's small messages fit */
	POOL_BYTES = 4 * 1024 * 1024, /* that may lie idle: one first chunk for each of 4,096 that a message goes to */
};

struct ws_chunk *ws_chunk_take(struct ws_loop *loop, size_t size)
{
	struct ws_chunk *chunk = loop->pool;
	if (chunk != NULL && chunk->size >= size) {
		loop->pool = chunk->next;
		loop->pooled -= chunk->size;
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
	chunk->shared = NULL;
	chunk->from = chunk->to = 0;
	return chunk;
}

void ws_chunk_give(struct ws_loop *loop, struct ws_chunk *chunk)
{
	if (chunk->size > WS_CHUNK_POOLED || loop->pooled + chunk->size > POOL_BYTES) {
		free(chunk);
		return;
	}
	chunk->from = chunk->to = 0;
	chunk->next = loop->pool;
	loop->pool = chunk;
	loop->pooled += chunk->size;
}

void ws_chunk_park(struct ws_loop *loop, struct ws_chunk *chunk)
{
	chunk->next = loop->parked;
	loop->parked = chunk;
}
