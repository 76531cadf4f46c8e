/* The server's side of the opening handshake (RFC 6455 section 4.2), and the answers to those who don't get one. */
#include "endpoint/opening.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "endpoint/connection_private.h"
#include "endpoint/file.h"
#include "endpoint/front.h"
#include "endpoint/server.h"
#include "error.h"
#include "protocol/handshake.h"
#include "protocol/reply.h"

static int write_bytes(struct ws_connection *c, char *bytes, long size)
{
	struct iovec part = { bytes, (size_t)size };
	return ws_transport_write(&c->transport, &part, 1);
}

/*
 * Header lines of any size are allowed: written to the heap where they don't fit. body: what follows at once. 0,
 * WS_ERROR_PROTOCOL where the head cannot be sent (somebody else's text in it, perhaps), or as ws_transport_write.
 */
static int write_reply(struct ws_connection *c, const struct ws_reply *reply, struct ws_slice body)
{
	char small[1024], *head = small;
	long size = ws_reply_head(head, sizeof small, reply);
	if (size > (long)sizeof small) {
		head = malloc((size_t)size);
		if (!head)
			return WS_ERROR_MEMORY;
		ws_reply_head(head, (size_t)size, reply);
	}
	int e = WS_ERROR_PROTOCOL;
	if (size >= 0) {
		const struct iovec parts[2] = { { head, (size_t)size }, { (void *)body.data, body.len } };
		e = ws_transport_write(&c->transport, parts, body.len ? 2 : 1);
	}
	if (head != small)
		free(head);
	return e;
}

/* RFC 9110 section 9.3.2 */
static bool sends_body(const struct ws_connection *c, unsigned status)
{
	return !c->head_only && ws_reply_has_body(status);
}

/* From here on the peer is only waited for: lingering close. */
static void answered(struct ws_connection *c, unsigned status)
{
	c->deciding = false;
	c->refused = (uint16_t)status;
	c->deadline = ws_loop_after(WS_LINGER_MS);
	if (!c->file)
		ws_transport_end(&c->transport);
}

/* What must not go out is replaced: the peer may not go without an answer either. */
static void answer(struct ws_connection *c, struct ws_reply *reply, struct ws_slice body)
{
	if (c->preface) {
		c->refused = (uint16_t)reply->status;
		ws_connection_terminate(c, NULL);
		return;
	}
	reply->time = (int64_t)time(NULL);
	if (write_reply(c, reply, sends_body(c, reply->status) ? body : ws_slice_of("")) == WS_ERROR_PROTOCOL) {
		ws_file_free(c->file);
		c->file = NULL;
		body = ws_slice_of("the server's answer was not valid");
		*reply = (struct ws_reply){ 500, "", body.len, reply->time };
		write_reply(c, reply, sends_body(c, 500) ? body : ws_slice_of(""));
	}
	answered(c, reply->status);
}

void ws_opening_refuse(struct ws_connection *c, unsigned status, const char *headers, struct ws_slice body)
{
	answer(c, &(struct ws_reply){ status, headers, body.len, 0 }, body);
}

void ws_opening_send_file(struct ws_connection *c, unsigned status, const char *headers, struct ws_file *file)
{
	struct ws_reply reply = { status, headers, file->size, 0 };
	if (sends_body(c, status))
		c->file = file;
	else
		ws_file_free(file);
	answer(c, &reply, ws_slice_of(""));
}

static long refuse(struct ws_connection *c, const struct ws_refusal *refusal)
{
	ws_opening_refuse(c, refusal->status, "", ws_slice_of(refusal->why));
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
		return refuse(c, &refusal);
	c->preface = false;
	if (!c->endpoint->tls)
		return used;
	const struct ws_tls_peer client = { .first = (const uint8_t *)data + used, .first_len = len - (size_t)used };
	if (ws_transport_secure(&c->transport, c->endpoint->tls, &client) != 0)
		ws_ending_out_of_memory(c);
	return (long)len;
}

/* A page is answered whenever it is ready: the deadline was that of the request. */
static int check(struct ws_connection *c, const struct ws_head *head, struct ws_refusal *refusal)
{
	struct ws_slice key;
	c->head_only = ws_slice_is(head->method, "HEAD");
	if (c->endpoint->takes_plain && !ws_handshake_asked(head)) {
		c->plain = true;
		ws_server_of(c)->answering++;
	}
	if (c->endpoint->on_head && c->endpoint->on_head(c, head, refusal) != 0)
		return WS_ERROR_PROTOCOL;
	if (!c->plain)
		return ws_handshake_check(head, &key, refusal);
	c->deadline = WS_NEVER;
	return ws_handshake_check_body(head, refusal);
}

long ws_opening_input(struct ws_connection *c, const char *data, size_t len)
{
	if (c->preface)
		return take_preface(c, data, len);
	struct ws_head head;
	struct ws_refusal refusal;
	long used = ws_head_parse_request(&head, data, len, c->endpoint->options.max_head, &refusal);
	if (used == WS_AGAIN)
		return WS_AGAIN;
	if (used < 0 || check(c, &head, &refusal) != 0)
		return refuse(c, &refusal);
	c->deciding = true;
	c->endpoint->handler->on_request(c, &head, (struct ws_slice){ data, (size_t)used });
	return used;
}

int ws_opening_accept(struct ws_connection *c, struct ws_slice key, struct ws_slice subprotocol)
{
	static const char name[] = "Sec-WebSocket-Extensions: ";
	char accept[WS_HANDSHAKE_ACCEPT], out[1024], text[WS_EXTENSION_SIZE], line[sizeof name + WS_EXTENSION_SIZE + 2] = "";
	if (ws_handshake_accept(&c->endpoint->options.session.pool->digest, key, accept) != 0)
		return WS_ERROR_MEMORY;
	if (ws_extension_text(text, &c->session.parameters) > 0)
		snprintf(line, sizeof line, "%s%s\r\n", name, text);
	long size = ws_handshake_response(out, sizeof out, accept, subprotocol, line);
	return size < 0 || size > (long)sizeof out ? WS_ERROR_MEMORY : write_bytes(c, out, size);
}

void ws_opening_late(struct ws_connection *c)
{
	if (c->refused)
		ws_ending_step(c, WS_CLOSING_DEADLINE, 0, 0, NULL, 0);
	else
		ws_opening_refuse(c, 408, "", ws_slice_of("the opening handshake took too long"));
}
