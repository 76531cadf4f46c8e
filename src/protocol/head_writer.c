/* Writing HTTP heads without allocation. */
#include "protocol/head_writer.h"

#include <stdio.h>
#include <string.h>

void ws_head_write_slice(struct ws_head_writer *w, struct ws_slice slice)
{
	if (w->used < w->size && slice.len > 0) {
		const size_t room = w->size - w->used;
		memcpy(w->out + w->used, slice.data, slice.len < room ? slice.len : room);
	}
	w->used += slice.len;
}

void ws_head_write(struct ws_head_writer *w, const char *text)
{
	ws_head_write_slice(w, (struct ws_slice){ text, strlen(text) });
}

void ws_head_write_number(struct ws_head_writer *w, size_t number)
{
	char digits[24];
	(void)snprintf(digits, sizeof digits, "%zu", number);
	ws_head_write(w, digits);
}

bool ws_head_lines_valid(const char *text, const char *const *own)
{
	struct ws_refusal ignored;
	struct ws_header header;

	while (*text != '\0') {
		const long used = ws_head_parse_field(&header, text, strlen(text), &ignored);
		if (used < 0)
			return false;
		for (size_t i = 0; own[i] != NULL; i++)
			if (ws_slice_is(header.name, own[i]))
				return false;
		text += used;
	}
	return true;
}
