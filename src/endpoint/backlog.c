/* A list of copies, which all connections that wait with the same message share. */
#include "endpoint/backlog.h"

#include <stdlib.h>

#include "error.h"

static size_t size_of(const struct ws_prepared_copy *copy)
{
	return sizeof(struct ws_backlog_entry) + sizeof *copy + copy->message.plain.len;
}

int ws_backlog_add(struct ws_backlog *b, struct ws_prepared *message)
{
	struct ws_backlog_entry *entry = malloc(sizeof *entry);
	struct ws_prepared_copy *copy = entry ? ws_prepared_copy(message) : NULL;
	if (!copy) {
		free(entry);
		return WS_ERROR_MEMORY;
	}
	*entry = (struct ws_backlog_entry){ .copy = copy };
	if (b->last)
		b->last->next = entry;
	else
		b->first = entry;
	b->last = entry;
	b->bytes += size_of(copy);
	return 0;
}

struct ws_prepared_copy *ws_backlog_take(struct ws_backlog *b)
{
	struct ws_backlog_entry *entry = b->first;
	if (!entry)
		return NULL;
	struct ws_prepared_copy *copy = entry->copy;
	b->first = entry->next;
	if (!b->first)
		b->last = NULL;
	b->bytes -= size_of(copy);
	free(entry);
	return copy;
}

void ws_backlog_clear(struct ws_backlog *b)
{
	for (struct ws_prepared_copy *copy; (copy = ws_backlog_take(b));)
		ws_prepared_release(copy);
}
