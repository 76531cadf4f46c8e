/* HTTP heads, written into a buffer of the caller's: requests, responses, refusals. */
#ifndef WS_PROTOCOL_HEAD_WRITER_H
#define WS_PROTOCOL_HEAD_WRITER_H

#include "protocol/head.h"

#pragma GCC visibility push(hidden)

/* Writes what fits into size bytes and counts what there is. */
struct ws_head_writer {
	char *out;
	size_t size, used;
};

void ws_head_write(struct ws_head_writer *w, const char *text);
void ws_head_write_slice(struct ws_head_writer *w, struct ws_slice slice);
void ws_head_write_number(struct ws_head_writer *w, size_t number);

/* Whether the text is whole header lines, each with its CRLF, none of them of a name in own (NULL ends it). */
bool ws_head_lines_valid(const char *text, const char *const *own);

#pragma GCC visibility pop

#endif
