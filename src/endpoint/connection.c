/* Carries out what session and closing decide, on a transport, under one deadline. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "endpoint/connection_private.h"
#include "endpoint/file.h"
#include "endpoint/opening.h"
#include "endpoint/topic.h"
#include "error.h"
#include "net/random.h"
#include "protocol/code.h"
#include "protocol/mask.h"

static struct ws_connection *of_transport(struct ws_transport *t)
{
	return (struct ws_connection *)((char *)t - offsetof(struct ws_connection, transport));
}

static struct ws_connection *of_timer(struct ws_timer *t)
{
	return (struct ws_connection *)((char *)t - offsetof(struct ws_connection, timer));
}

static struct ws_connection *of_work(struct ws_deferred *w)
{
	return (struct ws_connection *)((char *)w - offsetof(struct ws_connection, work));
}

uint64_t ws_connection_now(const struct ws_connection *c)
{
	return ws_loop_now(c->endpoint->loop);
}

uint64_t ws_connection_microseconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- output */

/* What is long, or goes over TLS. key: a client's mask; NULL: there is none. */
static int write_in_parts(struct ws_connection *c, unsigned opcode, const void *data, size_t len, const uint8_t *key)
{
	uint8_t head[WS_FRAME_HEAD_SIZE];
	size_t size = ws_frame_head(head, opcode, !(opcode & WS_MORE_FOLLOWS), len, key);
	if (key && len && !(data = ws_session_pool_mask(c->endpoint->options.session.pool, data, len, key)))
		return WS_ERROR_MEMORY;
	struct iovec parts[2] = { { head, size }, { (void *)data, len } };
	return ws_transport_write(&c->transport, parts, len ? 2 : 1);
}

/* 5.3: a client masks with a key that nobody can guess, a new one for every frame. */
int ws_connection_write_frame(struct ws_connection *c, unsigned opcode, const void *data, size_t len)
{
	uint8_t mask[4];
	const uint8_t *key = c->session.closing.role == WS_CLIENT ? mask : NULL;
	if (key && ws_random_fill(c->endpoint->loop, mask, sizeof mask) != 0)
		return WS_ERROR_SYSTEM;
	uint8_t *room = ws_transport_cork(&c->transport, ws_frame_head_size(len, key) + len);
	if (!room)
		return write_in_parts(c, opcode, data, len, key);
	room += ws_frame_head(room, opcode, !(opcode & WS_MORE_FOLLOWS), len, key);
	if (len)
		memcpy(room, data, len);
	if (key)
		ws_mask_xor(room, len, key, 0);
	return 0;
}

int ws_connection_timed_ping(struct ws_connection *c)
{
	c->ping_sent_us = ws_connection_microseconds();
	return ws_connection_write_frame(c, WS_PING, &c->ping_sent_us, sizeof c->ping_sent_us);
}

/*
 * After anything that happened: reading goes on or pauses, output leaves, the timer stands no later than what is due
 * next (it may come early: activity only writes time stamps).
 */
void ws_connection_settle(struct ws_connection *c)
{
	if (ws_connection_state(c) == WS_CLOSED)
		return;
	bool reading = ws_pump_reading(c);
	if (reading)
		ws_transport_resume(&c->transport);
	else
		ws_transport_pause(&c->transport);
	ws_transport_flush(&c->transport);
	c->stuck = ws_transport_buffered(&c->transport) > 0;
	if (c->heartbeat.ping_at)
		ws_heartbeat_suspend(&c->heartbeat, c->stuck || !reading, ws_connection_now(c));
	uint64_t due = ws_deadline_next(c);
	if (due != WS_NEVER && (!ws_timer_active(&c->timer) || due < c->timer.due))
		ws_timer_start(c->endpoint->loop, &c->timer, due);
}

/* ---- called from below */

static void on_readable(struct ws_transport *t)
{
	ws_pump(of_transport(t));
}

/*
 * A peer that is gone for good ends even a paused connection; what it had sent and we had not read goes with it. Only
 * its answer to our Close is looked for: reading goes on, and comes upon the failure again.
 */
static void on_broken(struct ws_transport *t)
{
	struct ws_connection *c = of_transport(t);
	if (ws_pump_pass_held(c))
		ws_connection_settle(c);
	else
		ws_ending_transport_failed(c);
}

/* From now on send_timeout rules. */
static void on_stalled(struct ws_transport *t)
{
	ws_connection_settle(of_transport(t));
}

static void tell_drained(struct ws_connection *c)
{
	if (!c->drained || c->busy || ws_connection_state(c) != WS_OPEN)
		return;
	c->drained = false;
	c->busy = c->endpoint->handler->on_drain(c) == WS_BUSY;
}

static void on_written(struct ws_transport *t)
{
	struct ws_connection *c = of_transport(t);
	if (ws_transport_buffered(t) > 0 || !c->stuck)
		return;
	c->stuck = false;
	if (ws_connection_state(c) == WS_CONNECTING) { /* an answer moves on, which nobody above waits for */
		ws_loop_defer(c->endpoint->loop, &c->work);
		return;
	}
	c->drained = true;
	ws_connection_hold(c);
	c->endpoint->handler->on_flushed(c);
	tell_drained(c);
	ws_connection_settle(c);
	ws_connection_release(c);
}

static void on_ended(struct ws_transport *t)
{
	struct ws_connection *c = of_transport(t);
	ws_connection_hold(c);
	ws_ending_step(c, c->refused && t->eof ? WS_CLOSING_EOF : WS_CLOSING_FIN_SENT, 0, 0, NULL, 0);
	ws_connection_settle(c);
	ws_connection_release(c);
}

static void connection_free(struct ws_connection *c)
{
	ws_ending_free_reason(c);
	ws_subscriptions_free(c);
	ws_transport_free(&c->transport);
	if (c->session.closing.opened)
		free(c->conduct);
	else
		free(c->remote);
	free(c);
}

static void on_timer(struct ws_timer *timer)
{
	struct ws_connection *c = of_timer(timer);
	ws_connection_hold(c);
	ws_deadline_passed(c);
	ws_connection_settle(c);
	ws_connection_release(c);
}

static void on_work(struct ws_deferred *work)
{
	struct ws_connection *c = of_work(work);
	if (c->references == 0) {
		connection_free(c);
	} else if (ws_connection_state(c) == WS_CONNECTING) {
		ws_file_continue(c);
		ws_connection_settle(c);
	} else if (ws_connection_state(c) != WS_CLOSED) {
		tell_drained(c);
		ws_pump_held_end(c);
		ws_connection_settle(c);
	} else if (!c->reported && !c->busy) {
		ws_ending_report(c);
	} else if (!c->reported) { /* the callback that holds the report up may wait for output, which never leaves now */
		if (!ws_timer_active(&c->timer))
			ws_timer_start(c->endpoint->loop, &c->timer, ws_loop_after(c->endpoint->options.close_timeout));
		c->endpoint->handler->on_flushed(c);
	}
}

/* ---- called from above */

struct ws_connection *ws_connection_new(struct ws_endpoint *endpoint, enum ws_role role, int fd,
                                        const union ws_address *peer)
{
	static const struct ws_transport_handler handler = { on_readable, on_broken, on_stalled, on_written, on_ended };
	static const struct ws_tls_peer client = { .host = NULL };
	struct ws_connection *c = calloc(1, sizeof *c);
	if (!c || !(c->remote = malloc(sizeof *c->remote))) {
		free(c);
		close(fd);
		return NULL;
	}
	memcpy(&c->remote->peer, peer, ws_address_len(peer));
	c->remote->client[0] = '\0';
	c->remote->has_ip = ws_address_ip(peer, c->remote->ip);
	c->endpoint = endpoint;
	c->preface = endpoint->preface;
	c->references = 1; /* its own, until the report */
	c->work.run = on_work;
	c->mode = WS_SESSION_HOLD;
	c->rtt = -1;
	ws_session_init(&c->session, role, &endpoint->options.session);
	ws_timer_init(&c->timer, on_timer);
	if (ws_transport_init(&c->transport, endpoint->loop, fd, &handler) != 0 ||
	    (endpoint->tls && !c->preface && ws_transport_secure(&c->transport, endpoint->tls, &client) != 0)) {
		connection_free(c);
		return NULL;
	}
	c->deadline = endpoint->options.handshake_timeout ? ws_connection_now(c) + endpoint->options.handshake_timeout : WS_NEVER;
	ws_loop_hold(endpoint->loop);
	ws_connection_settle(c);
	return c;
}

/* Freed at the end of the turn: a callback from below may still be on its way back through it. */
void ws_connection_release(struct ws_connection *c)
{
	if (--c->references == 0)
		ws_loop_defer(c->endpoint->loop, &c->work);
}

void ws_connection_drop(struct ws_connection *c)
{
	struct ws_loop *loop = c->endpoint->loop;
	ws_transport_abort(&c->transport);
	ws_ending_clear(c);
	ws_timer_stop(loop, &c->timer);
	ws_loop_undefer(loop, &c->work);
	if (!c->reported)
		ws_loop_release(loop);
	connection_free(c);
}

void ws_connection_opened(struct ws_connection *c)
{
	const struct ws_connection_options *options = &c->endpoint->options;
	bool asked = c->endpoint->logs || options->idle_timeout || ws_rate_limits(&options->rate);
	free(c->remote); /* the layer above has seen it */
	c->conduct = asked ? calloc(1, sizeof *c->conduct) : NULL;
	if (c->conduct)
		c->conduct->opened_at = c->conduct->message_at = ws_connection_now(c);
	ws_ending_step(c, WS_CLOSING_OPENED, 0, 0, NULL, 0);
	c->endpoint->on_opened(c);
	if (asked && !c->conduct)
		ws_ending_out_of_memory(c);
	ws_loop_defer(c->endpoint->loop, &c->work);
}

int ws_connection_accept(struct ws_connection *c, struct ws_slice key, struct ws_slice subprotocol,
                         const struct ws_deflate_parameters *agreed)
{
	if (!c->deciding)
		return WS_ERROR_CLOSED;
	int e = ws_session_agree(&c->session, agreed, c->endpoint->options.compression.level);
	if (e == 0)
		e = ws_opening_accept(c, key, subprotocol);
	if (e)
		return e;
	c->deciding = false;
	ws_connection_opened(c);
	return 0;
}

void ws_connection_move(struct ws_connection *c, struct ws_endpoint *endpoint)
{
	c->endpoint = endpoint;
	ws_session_init(&c->session, (enum ws_role)c->session.closing.role, &endpoint->options.session);
}

static bool may_answer(const struct ws_connection *c)
{
	return ws_connection_state(c) == WS_CONNECTING && !c->refused;
}

void ws_connection_refuse(struct ws_connection *c, unsigned status, const char *headers, struct ws_slice body)
{
	if (!may_answer(c))
		return;
	ws_opening_refuse(c, status, headers, body);
	ws_loop_defer(c->endpoint->loop, &c->work);
}

void ws_connection_send_file(struct ws_connection *c, unsigned status, const char *headers, struct ws_file *file)
{
	if (!may_answer(c)) {
		ws_file_free(file);
		return;
	}
	ws_opening_send_file(c, status, headers, file);
	ws_loop_defer(c->endpoint->loop, &c->work);
}

bool ws_connection_overflows(struct ws_connection *c, size_t len)
{
	size_t max = c->endpoint->options.max_buffered;
	size_t queued = ws_transport_buffered(&c->transport);
	if (queued == 0 || queued + len <= max)
		return false;
	ws_transport_flush(&c->transport); /* it may only have been corked */
	queued = ws_transport_buffered(&c->transport);
	return queued > 0 && queued + len > max;
}

/* size: what the queue would have had. */
static int overflow(struct ws_connection *c, size_t size)
{
	char why[WS_WHY_SIZE];
	if (c->endpoint->options.on_overflow == WS_OVERFLOW_CLOSE) {
		snprintf(why, sizeof why, "send queue of %zu bytes is over the limit of %zu",
		         size, c->endpoint->options.max_buffered);
		ws_connection_fail(c, WS_CODE_POLICY_VIOLATION, why);
	}
	return WS_ERROR_OVERFLOW;
}

/* 0: a message of that length may be queued now. */
static int admit(struct ws_connection *c, size_t len)
{
	if (ws_connection_state(c) != WS_OPEN)
		return WS_ERROR_CLOSED;
	if (c->writing)
		return WS_ERROR_WRITING;
	return ws_connection_overflows(c, len) ? overflow(c, ws_transport_buffered(&c->transport) + len) : 0;
}

/* After a message was queued, or was not. */
static int after_message(struct ws_connection *c, size_t len, int error)
{
	if (error)
		return error;
	ws_connection_had_message(c);
	c->endpoint->stats.messages_out++;
	c->endpoint->stats.bytes_out += len;
	return 0;
}

/* Whether that was agreed on, and the message is long enough. */
static bool compresses(const struct ws_connection *c, size_t len)
{
	return c->session.deflate && len >= c->endpoint->options.compression.threshold;
}

static int write_message(struct ws_connection *c, unsigned kind, const void *data, size_t len)
{
	struct ws_deflate *deflate = c->session.deflate;
	if (!compresses(c, len) || !ws_deflate_message(deflate, &data, &len))
		return ws_connection_write_frame(c, kind, data, len);
	int e = ws_connection_write_frame(c, kind | WS_RSV1, data, len);
	if (e)
		ws_deflate_forget(deflate);
	return e;
}

int ws_connection_send(struct ws_connection *c, enum ws_opcode kind, const void *data, size_t len)
{
	int e = admit(c, len);
	return e ? e : after_message(c, len, write_message(c, kind, data, len));
}

/* A frame's head and mask are a client's own; what is compressed in a context is that connection's own. */
static int write_prepared(struct ws_connection *c, struct ws_prepared *message)
{
	struct ws_prepared_frame *frame = &message->plain;
	if (compresses(c, frame->len)) {
		if (!ws_deflate_likeness(c->session.deflate))
			return write_message(c, frame->opcode, frame->data, frame->len);
		frame = ws_prepared_compressed(message, c->session.deflate);
	}
	if (c->session.closing.role == WS_CLIENT)
		return ws_connection_write_frame(c, frame->opcode, frame->data, frame->len);
	const struct iovec parts[2] = { { (void *)frame->head, frame->head_size }, { (void *)frame->data, frame->len } };
	return ws_transport_write_shared(&c->transport, parts, frame->len ? 2 : 1, &frame->common);
}

int ws_connection_write_prepared(struct ws_connection *c, struct ws_prepared *message)
{
	return after_message(c, message->plain.len, write_prepared(c, message));
}

int ws_connection_send_prepared(struct ws_connection *c, struct ws_prepared *message)
{
	int e = admit(c, message->plain.len);
	return e ? e : ws_connection_write_prepared(c, message);
}

int ws_connection_deliver(struct ws_connection *c, struct ws_prepared *message)
{
	const size_t waiting = c->backlog ? c->backlog->bytes : 0, size = waiting + message->plain.len;
	if (!c->writing || ws_connection_state(c) != WS_OPEN)
		return ws_connection_send_prepared(c, message);
	if (waiting && size > c->endpoint->options.max_buffered)
		return overflow(c, size);
	return ws_backlog_add(&c->backlog, message);
}

int ws_connection_ping(struct ws_connection *c, const void *data, size_t len)
{
	if (ws_connection_state(c) != WS_OPEN)
		return WS_ERROR_CLOSED;
	return data ? ws_connection_write_frame(c, WS_PING, data, len) : ws_connection_timed_ping(c);
}

bool ws_connection_may_close(const struct ws_connection *c)
{
	return ws_connection_state(c) == WS_OPEN || ws_closing_owes_answer(&c->session.closing);
}

int ws_connection_close(struct ws_connection *c, unsigned code, const char *reason, size_t len)
{
	if (!ws_connection_may_close(c))
		return WS_ERROR_CLOSED;
	if (c->fragments_sent && code == WS_CODE_NORMAL && ws_connection_state(c) == WS_OPEN) { /* 7.4.1: it was not */
		ws_connection_fail(c, WS_CODE_INTERNAL_ERROR, "closed inside a message that was being sent in fragments");
		return 0;
	}
	ws_ending_step(c, WS_CLOSING_LOCAL_CLOSE, code, 0, reason, len);
	ws_loop_defer(c->endpoint->loop, &c->work);
	return 0;
}

void ws_connection_fail(struct ws_connection *c, unsigned code, const char *why)
{
	if (!ws_connection_may_close(c))
		return;
	ws_ending_step_why(c, WS_CLOSING_LOCAL_FAILURE, code, why);
	ws_loop_defer(c->endpoint->loop, &c->work);
}

void ws_connection_terminate(struct ws_connection *c, const char *why)
{
	if (ws_connection_state(c) != WS_CLOSED)
		ws_ending_step_why(c, WS_CLOSING_TERMINATE, 0, why ? why : "terminated");
}

void ws_connection_continue(struct ws_connection *c)
{
	c->busy = false;
	ws_pump_answer_close(c, c->session.closing.received, NULL, 0);
	ws_loop_defer(c->endpoint->loop, &c->work);
}

void ws_connection_want(struct ws_connection *c, enum ws_session_mode mode)
{
	c->mode = (uint8_t)mode;
	if (c->held && ws_pump_reading(c)) /* it waits no longer */
		ws_loop_defer(c->endpoint->loop, &c->work);
}

void ws_connection_attend(struct ws_connection *c, bool attended)
{
	c->attended = attended;
	if (c->eof_held)
		ws_loop_defer(c->endpoint->loop, &c->work);
}

void ws_connection_stream(struct ws_connection *c, uint64_t limit)
{
	ws_session_stream(&c->session, limit);
}

void ws_connection_skip(struct ws_connection *c)
{
	ws_session_skip(&c->session);
	c->held = false;
	ws_loop_defer(c->endpoint->loop, &c->work);
}

enum ws_opcode ws_connection_held(const struct ws_connection *c)
{
	if (c->held)
		return (enum ws_opcode)c->held_kind;
	return c->session.skipped ? 0 : (enum ws_opcode)c->session.opcode;
}

void ws_connection_pause(struct ws_connection *c)
{
	c->paused = true;
	ws_loop_defer(c->endpoint->loop, &c->work);
}

void ws_connection_resume(struct ws_connection *c)
{
	c->paused = false;
	ws_loop_defer(c->endpoint->loop, &c->work);
}

size_t ws_connection_buffered(const struct ws_connection *c)
{
	return ws_transport_buffered(&c->transport);
}

uint64_t ws_connection_age(const struct ws_connection *c)
{
	return c->conduct ? ws_connection_now(c) - c->conduct->opened_at : 0;
}
