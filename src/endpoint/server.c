/* Accepts, keeps the books and shuts down in order. */
#include "endpoint/server.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "endpoint/opening.h"
#include "error.h"

enum { SPREAD_TICK_MS = 20 };

static const char shutting[] = "the server is shutting down";
static const char aborted[] = "aborted: still open at the end of the shutdown";

/* Counting is never worth a failure: without memory a new row is left out. */
static void tally(struct ws_tally *t, unsigned key)
{
	for (size_t i = 0; i < t->count; i++) {
		if (t->rows[i].key == key) {
			t->rows[i].count++;
			return;
		}
	}
	if (t->count == t->capacity) {
		size_t capacity = t->capacity ? t->capacity * 2 : 8;
		struct ws_tally_row *rows = realloc(t->rows, capacity * sizeof *rows);
		if (!rows)
			return;
		t->rows = rows;
		t->capacity = capacity;
	}
	t->rows[t->count++] = (struct ws_tally_row){ key, 1 };
}

struct ws_server *ws_server_of(const struct ws_connection *c)
{
	return c->endpoint->server;
}

static uint64_t now(const struct ws_server *server)
{
	return ws_loop_now(server->endpoint.loop);
}

static void last_over(struct ws_server *server)
{
	server->give_up_at = ws_loop_after(server->endpoint.options.close_timeout);
	ws_loop_defer(server->endpoint.loop, &server->work);
}

/* ---- connections come and go */

static void link_connection(struct ws_server *server, struct ws_connection *c)
{
	c->next = server->first;
	if (c->next)
		c->next->prev = c;
	server->first = c;
	server->opening++;
}

static void unlink_connection(struct ws_server *server, struct ws_connection *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		server->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->prev = c->next = NULL;
}

static void on_accepted(void *arg, int fd, const union ws_address *peer)
{
	struct ws_server *server = arg;
	struct ws_connection *c = ws_connection_new(&server->endpoint, WS_SERVER, fd, peer);
	if (!c)
		return;
	link_connection(server, c);
	ws_front_on_accepted(c);
}

static void on_opened(struct ws_connection *c)
{
	struct ws_server *server = ws_server_of(c);
	server->opening--;
	server->open++;
	server->opened++;
}

static void on_finished(struct ws_connection *c)
{
	struct ws_server *server = ws_server_of(c);
	unlink_connection(server, c);
	ws_topics_leave(&server->topics, c);
	ws_front_leave(c);
	if (c->session.closing.opened) {
		struct ws_closing_report report = ws_connection_report(c);
		server->open--;
		tally(&server->closed, report.code);
		tally(&server->closed_by, report.by);
		if (server->shutting) {
			server->ended++;
			server->aborted += !report.clean;
		}
	} else {
		server->opening--;
		server->answering -= c->plain;
		tally(c->plain ? &server->requests : &server->refused, c->refused);
	}
	if (server->shutting && !server->first)
		last_over(server);
}

/* ---- the shutdown */

static void close_one(struct ws_server *server, struct ws_connection *c)
{
	if (ws_connection_state(c) == WS_CONNECTING)
		ws_connection_refuse(c, 503, "", ws_slice_of(shutting));
	else
		ws_connection_close(c, server->shutdown.code, server->shutdown.reason, server->shutdown.reason_len);
}

static bool spreading(const struct ws_server *server)
{
	return now(server) < server->shutdown_at + server->shutdown.spread_ms;
}

/* How many should have been told by now. */
static size_t share(const struct ws_server *server)
{
	uint64_t past = now(server) - server->shutdown_at;
	return spreading(server) ? (size_t)(server->to_close * past / server->shutdown.spread_ms) : server->to_close;
}

/* Who has come before the shutdown, and is not open yet, has until the end of the spread for it. */
static void tell_share(struct ws_server *server)
{
	bool all = !spreading(server);
	size_t due = share(server);
	for (struct ws_connection *c = server->first; c && (all || server->told < due); c = c->next) {
		enum ws_state state = ws_connection_state(c);
		bool opening = state == WS_CONNECTING && !c->refused && !c->plain; /* a page is still delivered */
		if (state == WS_OPEN || (all && opening)) {
			close_one(server, c);
			server->told++;
		}
	}
}

static void abort_all(struct ws_server *server)
{
	for (struct ws_connection *c = server->first; c; c = c->next)
		ws_connection_terminate(c, aborted);
}

static void on_tick(struct ws_timer *timer)
{
	struct ws_server *server = (struct ws_server *)((char *)timer - offsetof(struct ws_server, timer));
	if (!server->first) {
		ws_loop_defer(server->endpoint.loop, &server->work);
		return;
	}
	tell_share(server);
	if (now(server) >= server->abort_at) {
		abort_all(server);
		return;
	}
	uint64_t tick = now(server) + SPREAD_TICK_MS;
	bool soon = spreading(server) && tick < server->abort_at;
	ws_timer_start(server->endpoint.loop, timer, soon ? tick : server->abort_at);
}

/* No connection is left. Those who wait in their on_close, or clean up after a plain loop, have some time yet. */
static void on_work(struct ws_deferred *work)
{
	struct ws_server *server = (struct ws_server *)((char *)work - offsetof(struct ws_server, work));
	if (server->users > 0 && now(server) < server->give_up_at) {
		ws_timer_start(server->endpoint.loop, &server->timer, server->give_up_at);
		return;
	}
	ws_timer_stop(server->endpoint.loop, &server->timer);
	server->over = true;
	server->on_shutdown(server);
}

static void stop_accepting(struct ws_server *server)
{
	ws_listener_free(server->listener);
	server->listener = NULL;
}

void ws_server_shutdown(struct ws_server *server, const struct ws_server_shutdown *shutdown)
{
	if (server->shutting) {
		server->abort_at = ws_loop_after(shutdown->drain_ms);
	} else {
		server->shutting = true;
		server->shutdown = *shutdown;
		server->shutdown.reason = strndup(shutdown->reason, shutdown->reason_len);
		if (!server->shutdown.reason)
			server->shutdown.reason_len = 0;
		server->shutdown_at = now(server);
		server->abort_at = ws_loop_after(shutdown->spread_ms + shutdown->drain_ms);
		ws_listener_empty(server->listener);
		stop_accepting(server);
		server->to_close = server->opening + server->open;
		if (!server->first)
			last_over(server);
	}
	if (server->first)
		on_tick(&server->timer);
}

void ws_server_hold(struct ws_server *server)
{
	server->users++;
}

void ws_server_release(struct ws_server *server)
{
	if (--server->users == 0 && server->shutting && !server->first && !server->over)
		ws_loop_defer(server->endpoint.loop, &server->work);
}

/* ---- life */

struct ws_server *ws_server_new(struct ws_loop *loop, struct ws_listener *listener,
                                const struct ws_connection_handler *handler,
                                const struct ws_connection_options *options, const struct ws_front_options *front,
                                size_t max_connections)
{
	struct ws_server *server = calloc(1, sizeof *server);
	if (!server || ws_front_init(&server->front, loop, front) != 0) {
		free(server);
		ws_listener_free(listener);
		return NULL;
	}
	server->endpoint = (struct ws_endpoint){
		.loop = loop,
		.handler = handler,
		.on_opening = ws_opening_input,
		.on_head = ws_front_on_head,
		.on_opening_late = ws_opening_late,
		.on_opened = on_opened,
		.on_finished = on_finished,
		.options = *options,
		.preface = front->proxy_protocol,
		.server = server,
	};
	server->max_connections = max_connections;
	server->listener = listener;
	server->work.run = on_work;
	ws_topics_init(&server->topics, loop);
	ws_timer_init(&server->timer, on_tick);
	ws_listener_start(listener, on_accepted, server);
	return server;
}

void ws_server_join(struct ws_server *server, struct ws_endpoint *endpoint)
{
	const struct ws_connection_options options = endpoint->options;
	*endpoint = server->endpoint;
	endpoint->options = options;
	endpoint->tls = NULL; /* of the listener: it may be another by then */
}

const char *ws_server_full(const struct ws_connection *c)
{
	const struct ws_server *server = ws_server_of(c);
	const size_t others = server->open + server->answering - c->plain;
	if (server->shutting && !spreading(server))
		return shutting;
	bool full = server->max_connections && others >= server->max_connections;
	return full ? "the server has all the connections it may have" : NULL;
}

size_t ws_server_broadcast(struct ws_server *server, struct ws_prepared *message)
{
	size_t sent = 0;
	for (struct ws_connection *c = server->first; c; c = c->next)
		sent += ws_connection_deliver(c, message) == 0;
	return sent;
}

size_t ws_server_buffered(const struct ws_server *server)
{
	size_t buffered = 0;
	for (const struct ws_connection *c = server->first; c; c = c->next)
		buffered += ws_connection_buffered(c);
	return buffered;
}

void ws_server_set_tls(struct ws_server *server, struct ws_tls_context *tls)
{
	if (tls)
		ws_tls_context_hold(tls);
	ws_tls_context_release(server->endpoint.tls);
	server->endpoint.tls = tls;
}

void ws_server_free(struct ws_server *server)
{
	if (!server)
		return;
	stop_accepting(server);
	while (server->first) {
		struct ws_connection *c = server->first;
		unlink_connection(server, c);
		ws_topics_leave(&server->topics, c);
		ws_connection_drop(c);
	}
	ws_topics_clear(&server->topics);
	ws_front_clear(&server->front);
	ws_timer_stop(server->endpoint.loop, &server->timer);
	ws_loop_undefer(server->endpoint.loop, &server->work);
	free((char *)server->shutdown.reason);
	free(server->closed.rows);
	free(server->closed_by.rows);
	free(server->refused.rows);
	free(server->requests.rows);
	ws_tls_context_release(server->endpoint.tls);
	free(server);
}
