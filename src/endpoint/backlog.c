/* A list of copies, which all connections that wait with the same message share. */
#include "endpoint/backlog.h"

#include <stdlib.h>

#include "error.h"

static size_t size_of(const struct ws_prepared_copy *copy)
{
	return sizeof(struct ws_backlog_entry) + sizeof *copy + copy->message.plain.len;
}

int ws_backlog_add(struct ws_backlog **backlog, struct ws_prepared *message)
{
	if (!*backlog && !(*backlog = calloc(1, sizeof **backlog)))
		return WS_ERROR_MEMORY;
	struct ws_backlog *b = *backlog;
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

struct ws_prepared_copy *ws_backlog_take(struct ws_backlog **backlog)
{
	struct ws_backlog *b = *backlog;
	struct ws_backlog_entry *entry = b ? b->first : NULL;
	if (!entry) {
		free(b);
		*backlog = NULL;
		return NULL;
	}
	struct ws_prepared_copy *copy = entry->copy;
	b->first = entry->next;
	if (!b->first)
		b->last = NULL;
	b->bytes -= size_of(copy);
	free(entry);
	return copy;
}

void ws_backlog_clear(struct ws_backlog **backlog)
{
	for (struct ws_prepared_copy *copy; (copy = ws_backlog_take(backlog));)
		ws_prepared_release(copy);
}
