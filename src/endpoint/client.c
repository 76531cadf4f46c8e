/* The client's side of the opening handshake (RFC 6455 section 4.1), from the name to the verified 101. */
#include "endpoint/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint/connection_private.h"
#include "error.h"
#include "net/random.h"
#include "protocol/handshake_client.h"
#include "protocol/reply.h"

struct ws_client *ws_client_of(const struct ws_connection *c)
{
	return (struct ws_client *)((char *)c->endpoint - offsetof(struct ws_client, endpoint));
}

static struct ws_client *of_work(struct ws_deferred *work)
{
	return (struct ws_client *)((char *)work - offsetof(struct ws_client, work));
}

static struct ws_client *of_timer(struct ws_timer *timer)
{
	return (struct ws_client *)((char *)timer - offsetof(struct ws_client, timer));
}

/* ---- failing */

static void stop_connecting(struct ws_client *client)
{
	ws_timer_stop(client->endpoint.loop, &client->timer);
	ws_connector_free(client->connector);
	client->connector = NULL;
}

/* What failed first is told, when the connection, if there is one, is over (on_finished). */
static void fail(struct ws_client *client, const char *why)
{
	if (!client->why[0])
		snprintf(client->why, sizeof client->why, "%s", why);
	stop_connecting(client);
	if (client->connection)
		ws_ending_step(client->connection, WS_CLOSING_DEADLINE, 0, 0, NULL, 0);
	else
		ws_loop_defer(client->endpoint.loop, &client->work);
}

static void on_work(struct ws_deferred *work)
{
	struct ws_client *client = of_work(work);
	client->handler->on_failed(client, &(struct ws_client_failure){
		.why = client->why,
		.response = &client->response,
		.by_proxy = client->tunnel && client->response.status,
	});
}

static void fail_because(struct ws_client *client, const char *what, const char *why)
{
	char sentence[200];
	snprintf(sentence, sizeof sentence, "%s: %s", what, why);
	fail(client, sentence);
}

static void fail_late(struct ws_client *client, const char *what)
{
	char why[128];
	snprintf(why, sizeof why, "%s within %g s", what, (double)client->options.timeout / 1000);
	fail(client, why);
}

static void on_timer(struct ws_timer *timer)
{
	struct ws_client *client = of_timer(timer);
	fail_late(client, client->tunnel ? "not connected to the proxy" : "not connected");
}

static void on_opening_late(struct ws_connection *c)
{
	struct ws_client *client = ws_client_of(c);
	fail_late(client, client->tunnel ? "no complete answer of the proxy" : "no complete answer of the server");
}

/* ---- asking */

/* Any other failure shows on the reading side. */
static void say(struct ws_client *client, struct ws_slice bytes)
{
	struct iovec part = { (void *)bytes.data, bytes.len };
	if (ws_transport_write(&client->connection->transport, &part, 1) == WS_ERROR_MEMORY)
		fail(client, "out of memory");
}

/* From here on the server is at the other end, and is who it must prove to be. */
static void ask_server(struct ws_client *client)
{
	const struct ws_client_options *options = &client->options;
	struct ws_transport *t = &client->connection->transport;
	const struct ws_tls_peer server = { .host = client->tls_host, .port = options->tls_port };
	if (options->tls && ws_transport_secure(t, options->tls, &server) != 0)
		fail(client, "out of memory");
	else
		say(client, (struct ws_slice){ client->request, client->request_len });
}

/* ---- an answer that refuses */

static void say_refused(struct ws_client *client, const struct ws_head *head)
{
	size_t from = 0;
	const struct ws_header *location = ws_head_next(head, "location", &from);
	struct ws_slice phrase = head->reason.len ? head->reason : ws_slice_of(ws_reply_phrase(head->status));
	const char *who = client->tunnel ? "proxy" : "server";
	int phrase_len = (int)(phrase.len < 40 ? phrase.len : 40);
	if (head->status >= 300 && head->status < 400 && location)
		snprintf(client->why, sizeof client->why, "the %s answered %u %.*s, to %.*s: redirects are not followed", who,
		         head->status, phrase_len, phrase.data,
		         (int)(location->value.len < 150 ? location->value.len : 150), location->value.data);
	else
		snprintf(client->why, sizeof client->why, "the %s answered %u %.*s instead of %s", who,
		         head->status, phrase_len, phrase.data,
		         client->tunnel ? "opening a tunnel" : "101 Switching Protocols");
}

static void take_body(struct ws_client *client, const char *data, size_t len)
{
	if (ws_response_take(&client->response, (struct ws_slice){ data, len }) != 0)
		fail(client, "out of memory");
	else if (ws_response_complete(&client->response))
		fail(client, client->why);
}

/* The response that connect returns. */
static bool keep_response(struct ws_client *client, const struct ws_head *head, const char *data, size_t used)
{
	struct ws_slice bytes = { data, used };
	bool kept = ws_response_begin(&client->response, head, bytes, client->options.max_body) == 0;
	if (!kept)
		fail(client, "out of memory");
	return kept;
}

static void take_refusal(struct ws_client *client, const struct ws_head *head, const char *data, size_t used)
{
	if (!keep_response(client, head, data, used))
		return;
	say_refused(client, head);
	take_body(client, NULL, 0);
}

/* ---- the server's answer, and before it the proxy's */

static void take_101(struct ws_client *client, const struct ws_head *head, const char *data, size_t used)
{
	const struct ws_client_options *options = &client->options;
	const struct ws_compression_options *compression = &client->endpoint.options.compression;
	struct ws_deflate_parameters agreed;
	const struct ws_slice key = { client->key, WS_HANDSHAKE_KEY };
	struct ws_slice subprotocol;
	char right[WS_HANDSHAKE_ACCEPT];
	const char *why;
	if (ws_handshake_accept(&client->endpoint.options.session.pool->digest, key, right) != 0) {
		fail(client, "out of memory");
		return;
	}
	if (ws_handshake_verify(head, right, options->subprotocols, options->subprotocol_count, &subprotocol, &why) ||
	    (why = ws_extension_wrong(head, &compression->parameters, &agreed))) {
		if (keep_response(client, head, data, used))
			fail(client, why);
		return;
	}
	if (ws_session_agree(&client->connection->session, &agreed, compression->level) != 0 ||
	    !client->handler->on_verified(client, subprotocol)) {
		fail(client, "out of memory");
		return;
	}
	ws_connection_opened(client->connection);
}

/* RFC 9110 section 15.2: any number of other 1xx may come first. */
static long take_answer(struct ws_client *client, const char *data, size_t len)
{
	struct ws_head head;
	struct ws_refusal wrong;
	long used = ws_head_parse_response(&head, data, len, client->endpoint.options.max_head, &wrong);
	if (used == WS_AGAIN)
		return WS_AGAIN;
	if (used < 0)
		fail_because(client, "the server's answer is not a valid HTTP response", wrong.why);
	else if (head.status == 101)
		take_101(client, &head, data, (size_t)used);
	else if (head.status >= 200)
		take_refusal(client, &head, data, (size_t)used);
	return used;
}

/* rest: bytes behind the proxy's answer, the server's. It may speak first, but not in TLS (RFC 8446 section 2). */
static void take_tunnel(struct ws_client *client, size_t rest)
{
	if (rest && client->options.tls) {
		fail(client, "the proxy sent more than its answer, before TLS began");
		return;
	}
	ws_tunnel_free(client->tunnel);
	client->tunnel = NULL;
	ask_server(client);
}

static long take_from_proxy(struct ws_client *client, const char *data, size_t len)
{
	struct ws_tunnel_event ev;
	long used = ws_tunnel_next(client->tunnel, data, len, client->endpoint.options.max_head, &ev);
	switch (ev.type) {
	case WS_TUNNEL_SAY:
		say(client, ev.say);
		break;
	case WS_TUNNEL_OPEN:
		take_tunnel(client, len - (size_t)used);
		break;
	case WS_TUNNEL_REFUSED:
		take_refusal(client, &ev.head, data, (size_t)used);
		break;
	case WS_TUNNEL_FAILED:
		fail(client, ev.why);
		break;
	}
	return used;
}

static long on_opening(struct ws_connection *c, const char *data, size_t len)
{
	struct ws_client *client = ws_client_of(c);
	if (client->response.status) {
		take_body(client, data, len);
		return (long)len;
	}
	return client->tunnel ? take_from_proxy(client, data, len) : take_answer(client, data, len);
}

static void on_opened(struct ws_connection *c)
{
	struct ws_client *client = ws_client_of(c);
	client->handler->on_open(client);
}

static void on_finished(struct ws_connection *c)
{
	struct ws_client *client = ws_client_of(c);
	client->connection = NULL;
	if (c->session.closing.opened)
		return;
	if (!client->why[0]) {
		char room[WS_WHY_SIZE];
		const struct ws_slice reason = ws_connection_reason(c, room);
		snprintf(client->why, sizeof client->why, "%.*s, before the %s", (int)reason.len, reason.data,
		         client->tunnel ? "proxy opened a tunnel" : "handshake was answered");
	}
	ws_loop_defer(client->endpoint.loop, &client->work);
}

/* ---- life */

static void on_connected(void *arg, int fd, const union ws_address *peer, const char *why)
{
	struct ws_client *client = arg;
	uint64_t now = ws_loop_now(client->endpoint.loop);
	stop_connecting(client);
	if (fd < 0) {
		if (client->tunnel)
			fail_because(client, "the proxy cannot be reached", why);
		else
			fail(client, why);
		return;
	}
	client->endpoint.options.handshake_timeout = client->deadline > now ? (uint32_t)(client->deadline - now) : 1;
	client->connection = ws_connection_new(&client->endpoint, WS_CLIENT, fd, peer);
	if (!client->connection) {
		fail(client, "out of memory");
		return;
	}
	if (client->tunnel)
		say(client, ws_tunnel_start(client->tunnel));
	else
		ask_server(client);
}

static long write_request(struct ws_client *client, const struct ws_client_options *options)
{
	char list[1024];
	size_t len = 0;
	for (size_t i = 0; i < options->subprotocol_count && len < sizeof list; i++)
		len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "", options->subprotocols[i]);
	if (len >= sizeof list)
		return WS_ERROR_PROTOCOL;
	char extensions[WS_EXTENSION_SIZE];
	const struct ws_deflate_parameters offer = ws_extension_offer(&client->endpoint.options.compression.parameters);
	const struct ws_client_request request = {
		options->resource, options->host, { list, len }, { extensions, ws_extension_text(extensions, &offer) },
		options->headers,
	};
	long size = ws_handshake_request(NULL, 0, &request, client->key);
	if (size < 0)
		return size;
	client->request = malloc((size_t)size);
	client->request_len = (size_t)size;
	return client->request ? ws_handshake_request(client->request, (size_t)size, &request, client->key) : WS_ERROR_MEMORY;
}

static int make_key(struct ws_client *client)
{
	uint8_t nonce[16];
	int e = ws_random_fill(client->endpoint.loop, nonce, sizeof nonce);
	if (e == 0)
		ws_handshake_key(nonce, client->key);
	return e;
}

int ws_client_new(struct ws_client **out, struct ws_loop *loop, const struct ws_client_options *options,
                  const struct ws_connection_options *connection, const struct ws_connection_handler *events,
                  const struct ws_client_handler *handler)
{
	struct ws_client *client = calloc(1, sizeof *client);
	if (!client)
		return WS_ERROR_MEMORY;
	client->endpoint = (struct ws_endpoint){
		.loop = loop,
		.handler = events,
		.on_opening = on_opening,
		.on_opening_late = on_opening_late,
		.on_opened = on_opened,
		.on_finished = on_finished,
		.options = *connection,
	};
	client->handler = handler;
	client->options = *options;
	client->work.run = on_work;
	if (options->tls) {
		ws_tls_context_hold(options->tls);
		client->tls_host = strdup(options->tls_host);
	}
	ws_timer_init(&client->timer, on_timer);
	long e = options->tls && !client->tls_host ? WS_ERROR_MEMORY : make_key(client);
	if (e == 0 && options->tunnel.kind != WS_TUNNEL_NONE)
		e = ws_tunnel_new(&client->tunnel, &options->tunnel);
	if (e == 0)
		e = write_request(client, options);
	if (e > 0)
		e = ws_connector_new(&client->connector, loop, &options->target, on_connected, client);
	if (e < 0) {
		ws_client_free(client);
		return (int)e;
	}
	client->deadline = ws_loop_after(options->timeout);
	ws_timer_start(loop, &client->timer, client->deadline);
	*out = client;
	return 0;
}

void ws_client_free(struct ws_client *client)
{
	stop_connecting(client);
	ws_loop_undefer(client->endpoint.loop, &client->work);
	if (client->connection)
		ws_connection_drop(client->connection);
	ws_tls_context_release(client->options.tls);
	ws_tunnel_free(client->tunnel);
	free(client->tls_host);
	free(client->request);
	ws_response_clear(&client->response);
	free(client);
}
