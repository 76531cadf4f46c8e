/* A message in fragments: what is delivered meanwhile waits for its end, control frames pass. */
#include "endpoint/fragments.h"

#include "endpoint/connection_private.h"
#include "error.h"
#include "protocol/code.h"

int ws_fragments_begin(struct ws_connection *c, enum ws_opcode kind)
{
	if (ws_connection_state(c) != WS_OPEN)
		return WS_ERROR_CLOSED;
	if (c->writing)
		return WS_ERROR_WRITING;
	c->writing = (uint8_t)kind;
	c->fragments_sent = c->fragments_compressed = false;
	return 0;
}

/* Half a message is worse than none. */
static int sent(struct ws_connection *c, int error)
{
	if (error == WS_ERROR_MEMORY || error == WS_ERROR_SYSTEM)
		ws_connection_fail(c, WS_CODE_INTERNAL_ERROR, "a message in fragments could not be gone on with");
	if (error)
		return error;
	c->fragments_sent = true;
	ws_connection_had_message(c);
	return 0;
}

/* Of a compressed message the first frame says so (RFC 7692 section 6.1). */
static unsigned opcode(const struct ws_connection *c)
{
	if (c->fragments_sent)
		return WS_CONTINUATION;
	return c->fragments_compressed ? c->writing | WS_RSV1 : c->writing;
}

int ws_fragments_write(struct ws_connection *c, const void *data, size_t len)
{
	struct ws_deflate *deflate = c->session.deflate;
	const size_t size = len;
	if (ws_connection_state(c) != WS_OPEN)
		return WS_ERROR_CLOSED;
	if (ws_connection_overflows(c, len))
		return WS_ERROR_OVERFLOW;
	bool compress = deflate && (c->fragments_compressed || !c->fragments_sent);
	bool compressed = compress && ws_deflate_fragment(deflate, &data, &len);
	if (c->fragments_compressed && !compressed)
		return sent(c, WS_ERROR_MEMORY);
	c->fragments_compressed = compressed;
	int e = sent(c, ws_connection_write_frame(c, opcode(c) | WS_MORE_FOLLOWS, data, len));
	if (e == 0)
		c->endpoint->stats.bytes_out += size;
	return e;
}

/* There is no message in fragments any more: what was delivered meanwhile follows. */
static void finish(struct ws_connection *c)
{
	c->writing = 0;
	c->fragments_sent = false;
	for (struct ws_prepared_copy *copy; (copy = ws_backlog_take(&c->backlog)); ws_prepared_release(copy)) {
		if (ws_connection_state(c) == WS_OPEN && ws_connection_write_prepared(c, &copy->message) != 0)
			ws_connection_fail(c, WS_CODE_INTERNAL_ERROR, "a message that had been queued could not be sent");
	}
}

int ws_fragments_end(struct ws_connection *c)
{
	const void *data = NULL;
	size_t len = 0;
	if (ws_connection_state(c) != WS_OPEN)
		return WS_ERROR_CLOSED;
	if (c->fragments_compressed)
		ws_deflate_end(c->session.deflate, &data, &len);
	int e = sent(c, ws_connection_write_frame(c, opcode(c), data, len));
	if (e == 0)
		c->endpoint->stats.messages_out++;
	finish(c);
	return e;
}

void ws_fragments_abandon(struct ws_connection *c, const char *why)
{
	if (ws_connection_state(c) != WS_OPEN)
		return;
	if (c->fragments_sent)
		ws_connection_fail(c, WS_CODE_INTERNAL_ERROR, why);
	else
		finish(c);
}
