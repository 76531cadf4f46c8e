/* A list of chunks, as a ring: the last one leads to the first. */
#include "net/output.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "net/loop_private.h"

/* ---- shared payloads */

struct ws_shared *ws_shared_new(const void *data, size_t len)
{
	struct ws_shared *shared = len < SIZE_MAX - sizeof *shared ? malloc(sizeof *shared + len) : NULL;
	if (shared == NULL)
		return NULL;
	*shared = (struct ws_shared){.references = 1, .len = len};
	memcpy(shared->bytes, data, len);
	return shared;
}

void ws_shared_release(struct ws_shared *shared)
{
	if (--shared->references == 0)
		free(shared);
}

/* ---- the list */

static void link_last(struct ws_output *o, struct ws_chunk *chunk)
{
	chunk->next = o->last != NULL ? o->last->next : chunk;
	if (o->last != NULL)
		o->last->next = chunk;
	o->last = chunk;
	o->size += chunk->to - chunk->from;
}

static void drop_first(struct ws_output *o, struct ws_loop *loop)
{
	struct ws_chunk *first = o->last->next;
	o->size -= first->to - first->from;
	if (first == o->last)
		o->last = NULL;
	else
		o->last->next = first->next;
	if (first->shared == NULL) {
		ws_chunk_give(loop, first);
		return;
	}
	ws_shared_release(first->shared);
	free(first);
}

/* ---- bytes of its own */

/* Chunks of a long queue are large, but none that the pool would not take back. */
static size_t next_size(const struct ws_output *o, size_t len)
{
	size_t more = o->last == NULL ? 0 : o->last->size < WS_CHUNK_POOLED / 4 ? 2 * o->last->size : WS_CHUNK_POOLED / 2;
	return len > more ? len : more;
}

static size_t length(const struct iovec *parts, int count)
{
	size_t len = 0;
	for (int i = 0; i < count; i++)
		len += parts[i].iov_len;
	return len;
}

static void copy_parts(uint8_t *to, const struct iovec *parts, int count, size_t skip)
{
	for (int i = 0; i < count; i++) {
		size_t len = parts[i].iov_len;
		if (skip >= len) {
			skip -= len;
			continue;
		}
		memcpy(to, (const uint8_t *)parts[i].iov_base + skip, len - skip);
		to += len - skip;
		skip = 0;
	}
}

static bool borrows(const struct ws_output *o, const struct ws_loop *loop)
{
	const struct ws_batch *batch = &loop->batch;
	return batch->bytes != NULL && (uintptr_t)o->borrowed - (uintptr_t)batch->bytes < WS_BATCH_SIZE;
}

static void end_loan(struct ws_output *o, struct ws_loop *loop)
{
	o->borrowed = NULL;
	loop->batch.borrowers--;
}

/* Copies what it has borrowed. Without memory it is still borrowed, which keeps the batch from being filled anew. */
static int own(struct ws_output *o, struct ws_loop *loop)
{
	if (!borrows(o, loop))
		return 0;
	struct ws_chunk *chunk = ws_chunk_take(loop, o->size);
	if (chunk == NULL)
		return WS_ERROR_MEMORY;
	memcpy(chunk->bytes, o->borrowed, o->size);
	chunk->to = o->size;
	o->size = 0;
	end_loan(o, loop);
	link_last(o, chunk);
	return 0;
}

uint8_t *ws_output_reserve(struct ws_output *o, struct ws_loop *loop, size_t len)
{
	if (own(o, loop) != 0)
		return NULL;
	struct ws_chunk *chunk = o->last;
	if (chunk == NULL || chunk->shared != NULL || chunk->size - chunk->to < len) {
		chunk = ws_chunk_take(loop, next_size(o, len));
		if (chunk == NULL)
			return NULL;
		link_last(o, chunk);
	}
	uint8_t *room = chunk->bytes + chunk->to;
	chunk->to += len;
	o->size += len;
	return room;
}

int ws_output_append(struct ws_output *o, struct ws_loop *loop, const struct iovec *parts, int count, size_t skip)
{
	uint8_t *room = ws_output_reserve(o, loop, length(parts, count) - skip);
	if (room == NULL)
		return WS_ERROR_MEMORY;
	copy_parts(room, parts, count, skip);
	return 0;
}

/* ---- bytes of others, too */

static int append_shared(struct ws_output *o, struct ws_loop *loop, const struct iovec *head, int count, size_t skip,
                         struct ws_shared *shared)
{
	size_t before = length(head, count);
	struct ws_chunk *chunk = own(o, loop) == 0 ? malloc(sizeof *chunk) : NULL;
	if (chunk == NULL || (skip < before && ws_output_append(o, loop, head, count, skip) != 0)) {
		free(chunk);
		return WS_ERROR_MEMORY;
	}
	*chunk = (struct ws_chunk){.shared = shared, .from = skip > before ? skip - before : 0, .to = shared->len};
	shared->references++;
	link_last(o, chunk);
	return 0;
}

int ws_output_share(struct ws_output *o, struct ws_loop *loop, const struct iovec *parts, int count, size_t skip,
                    struct ws_common *common)
{
	const struct iovec *last = &parts[count - 1];
	if (length(parts, count) - skip < WS_SHARE_SIZE || last->iov_len < WS_SHARE_SIZE)
		return ws_output_append(o, loop, parts, count, skip);
	if (common->copy == NULL)
		common->copy = ws_shared_new(last->iov_base, last->iov_len);
	return common->copy != NULL ? append_shared(o, loop, parts, count - 1, skip, common->copy) : WS_ERROR_MEMORY;
}

/* Copies the parts to the batch. False: it is full, or there is no memory for it. */
static bool batch_put(struct ws_batch *batch, const struct iovec *parts, int count, struct ws_common *common)
{
	size_t size = length(parts, count);
	if (batch->bytes == NULL)
		batch->bytes = malloc(WS_BATCH_SIZE);
	if (batch->borrowers == 0) {
		batch->used = 0;
		batch->filling++;
	}
	if (batch->bytes == NULL || size > WS_BATCH_SIZE - batch->used)
		return false;
	uint8_t *bytes = batch->bytes + batch->used;
	copy_parts(bytes, parts, count, 0);
	batch->used += size;
	common->batched = bytes;
	common->size = size;
	common->filling = batch->filling;
	return true;
}

int ws_output_borrow(struct ws_output *o, struct ws_loop *loop, const struct iovec *parts, int count,
                     struct ws_common *common)
{
	struct ws_batch *batch = &loop->batch;
	bool batched = common->batched != NULL && common->filling == batch->filling;
	bool possible = (batched || batch_put(batch, parts, count, common)) &&
	                (o->size == 0 || (borrows(o, loop) && o->borrowed + o->size == common->batched));
	if (!possible)
		return ws_output_append(o, loop, parts, count, 0);
	if (o->size == 0) {
		o->borrowed = common->batched;
		batch->borrowers++;
	}
	o->size += common->size;
	return 0;
}

/* ---- sending it */

int ws_output_parts(const struct ws_output *o, const struct ws_loop *loop, struct iovec *parts, int most, size_t *size)
{
	int count = 0;
	struct ws_chunk *chunk = o->last;
	*size = 0;
	if (chunk == NULL)
		return 0;
	if (borrows(o, loop)) {
		*size = o->size;
		parts[0] = (struct iovec){(void *)o->borrowed, o->size};
		return 1;
	}
	do {
		chunk = chunk->next;
		uint8_t *bytes = chunk->shared != NULL ? chunk->shared->bytes : chunk->bytes;
		parts[count++] = (struct iovec){bytes + chunk->from, chunk->to - chunk->from};
		*size += chunk->to - chunk->from;
	} while (chunk != o->last && count < most);
	return count;
}

static void consume_borrowed(struct ws_output *o, struct ws_loop *loop, size_t len)
{
	o->borrowed += len;
	o->size -= len;
	if (o->size == 0)
		end_loan(o, loop);
	else
		own(o, loop); /* what is left may be left for long */
}

void ws_output_consume(struct ws_output *o, struct ws_loop *loop, size_t len)
{
	if (borrows(o, loop)) {
		consume_borrowed(o, loop, len);
		return;
	}
	while (o->last != NULL) {
		struct ws_chunk *first = o->last->next;
		size_t here = first->to - first->from;
		if (len < here) {
			first->from += len;
			o->size -= len;
			return;
		}
		len -= here;
		drop_first(o, loop);
	}
}
