/* How long a body is: RFC 9112 section 6.3. */
#include "protocol/response.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"

static int append(struct ws_response *r, struct ws_slice piece)
{
	size_t room = r->max - r->len, len = piece.len < room ? piece.len : room;
	char *grown = realloc(r->bytes, r->len + len + 1);
	if (!grown)
		return WS_ERROR_MEMORY;
	if (len)
		memcpy(grown + r->len, piece.data, len);
	r->bytes = grown;
	r->len += len;
	return 0;
}

/* The digits have been checked by the parser. */
static size_t body_length(const struct ws_head *head, size_t max)
{
	size_t from = 0, length = 0;
	const struct ws_header *h = ws_head_next(head, "content-length", &from);
	if (head->status < 200 || head->status == 204 || head->status == 304)
		return 0;
	if (!h)
		return max;
	for (size_t i = 0; i < h->value.len && length < max; i++)
		length = length * 10 + (size_t)(h->value.data[i] - '0');
	return length < max ? length : max;
}

int ws_response_begin(struct ws_response *r, const struct ws_head *head, struct ws_slice bytes, size_t max_body)
{
	*r = (struct ws_response){ .max = bytes.len };
	if (append(r, bytes) != 0)
		return WS_ERROR_MEMORY;
	r->status = head->status;
	r->head_len = bytes.len;
	r->in_chunks = ws_head_lists(head, "Transfer-Encoding", "chunked");
	r->max += body_length(head, max_body);
	return 0;
}

/* What comes behind the last chunk, or is not in chunks though it should be, is no part of the body. */
static int append_chunks(struct ws_response *r, struct ws_slice input)
{
	struct ws_slice piece;
	int e;
	while ((e = ws_chunked_next(&r->chunked, &input, &piece)) == 0)
		if (append(r, piece) != 0)
			return WS_ERROR_MEMORY;
	if (e != WS_AGAIN)
		r->max = r->len;
	return 0;
}

int ws_response_take(struct ws_response *r, struct ws_slice input)
{
	return r->in_chunks ? append_chunks(r, input) : append(r, input);
}

bool ws_response_complete(const struct ws_response *r)
{
	return r->len == r->max;
}

void ws_response_clear(struct ws_response *r)
{
	free(r->bytes);
	*r = (struct ws_response){ 0 };
}
