/* The server's side of the opening handshake (RFC 6455 section 4.2). */
#include "endpoint/opening.h"

#include <stdio.h>
#include <stdlib.h>

#include "endpoint/connection_private.h"
#include "endpoint/front.h"
#include "error.h"
#include "protocol/handshake.h"

static int write_bytes(struct ws_connection *c, char *bytes, long size)
{
	struct iovec part = { bytes, (size_t)size };
	return ws_transport_write(&c->transport, &part, 1);
}

/* From here on the peer is only waited for: lingering close. */
static void end_refused(struct ws_connection *c, unsigned status)
{
	c->deciding = false;
	c->refused = (uint16_t)status;
	c->deadline = ws_loop_after(WS_LINGER_MS);
	ws_transport_end(&c->transport);
}

/*
 * A page of any size is allowed as the body: written to the heap where it doesn't fit. Header lines that cannot be
 * sent (somebody else's text in them, perhaps) must not go out, nor may the peer go without an answer.
 */
static void write_refusal(struct ws_connection *c, unsigned status, const char *headers, struct ws_slice body,
                          bool head_only)
{
	if (c->preface) {
		c->refused = (uint16_t)status;
		ws_connection_terminate(c, NULL);
		return;
	}
	char small[1024], *out = small;
	long size = ws_handshake_refusal(out, sizeof small, status, headers, body);
	if (size < 0) {
		status = 500;
		headers = "";
		body = ws_slice_of("the server's answer was not valid");
		size = ws_handshake_refusal(out, sizeof small, status, headers, body);
	}
	if (size > (long)sizeof small) {
		out = malloc((size_t)size);
		if (out)
			ws_handshake_refusal(out, (size_t)size, status, headers, body);
	}
	if (out && size > 0)
		write_bytes(c, out, head_only ? size - (long)body.len : size);
	if (out != small)
		free(out);
	end_refused(c, status);
}

void ws_opening_refuse(struct ws_connection *c, unsigned status, const char *headers, struct ws_slice body)
{
	write_refusal(c, status, headers, body, false);
}

static long refuse(struct ws_connection *c, const struct ws_refusal *refusal, bool head_only)
{
	write_refusal(c, refusal->status, "", ws_slice_of(refusal->why), head_only);
	return WS_ERROR_PROTOCOL;
}

/* What has come behind the header is the beginning of TLS, where that is spoken. */
static long take_preface(struct ws_connection *c, const char *data, size_t len)
{
	static const struct ws_refusal refusal = { 400, "" };
	long used = ws_front_preface(c, data, len);
	if (used == WS_AGAIN)
		return WS_AGAIN;
	if (used < 0)
		return refuse(c, &refusal, false);
	c->preface = false;
	if (!c->endpoint->tls)
		return used;
	const struct ws_tls_peer client = { .first = (const uint8_t *)data + used, .first_len = len - (size_t)used };
	if (ws_transport_secure(&c->transport, c->endpoint->tls, &client) != 0)
		ws_ending_out_of_memory(c);
	return (long)len;
}

long ws_opening_input(struct ws_connection *c, const char *data, size_t len)
{
	if (c->preface)
		return take_preface(c, data, len);
	struct ws_head head;
	struct ws_refusal refusal;
	struct ws_slice key;
	long used = ws_head_parse_request(&head, data, len, c->endpoint->options.max_head, &refusal);
	if (used == WS_AGAIN)
		return WS_AGAIN;
	if (used < 0)
		return refuse(c, &refusal, false);
	bool welcome = !c->endpoint->on_head || c->endpoint->on_head(c, &head, &refusal) == 0;
	if (!welcome || ws_handshake_check(&head, &key, &refusal) != 0) /* RFC 9110 section 9.3.2: HEAD gets no body */
		return refuse(c, &refusal, ws_slice_is(head.method, "HEAD"));
	c->deciding = true;
	c->endpoint->handler->on_request(c, &head, (struct ws_slice){ data, (size_t)used });
	free(c->remote);
	c->remote = NULL;
	return used;
}

int ws_opening_accept(struct ws_connection *c, struct ws_slice key, struct ws_slice subprotocol)
{
	static const char name[] = "Sec-WebSocket-Extensions: ";
	char out[1024], text[WS_EXTENSION_SIZE], line[sizeof name + WS_EXTENSION_SIZE + 2] = "";
	if (ws_extension_text(text, &c->session.parameters) > 0)
		snprintf(line, sizeof line, "%s%s\r\n", name, text);
	long size = ws_handshake_response(out, sizeof out, key, subprotocol, line);
	return size < 0 || size > (long)sizeof out ? WS_ERROR_MEMORY : write_bytes(c, out, size);
}

void ws_opening_late(struct ws_connection *c)
{
	if (c->refused)
		ws_ending_step(c, WS_CLOSING_DEADLINE, 0, 0, NULL, 0);
	else
		ws_opening_refuse(c, 408, "", ws_slice_of("the opening handshake took too long"));
}
