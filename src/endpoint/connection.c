/* Carries out what session and closing decide, on a transport, under one deadline. */
#include "endpoint/connection.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "endpoint/opening.h"
#include "error.h"
#include "protocol/code.h"

static const char no_memory[] = "out of memory";

static void settle(struct ws_connection *c);

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

enum ws_state ws_connection_state(const struct ws_connection *c)
{
	return (enum ws_state)c->session.closing.state;
}

static uint64_t now(const struct ws_connection *c)
{
	return ws_loop_now(c->endpoint->loop);
}

static uint64_t microseconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- the reason */

static void reason_free(struct ws_connection *c)
{
	if (c->reason != no_memory)
		free(c->reason);
	c->reason = NULL;
}

static void set_reason(struct ws_connection *c, const void *text, size_t len)
{
	reason_free(c);
	c->reason = malloc(len + 1);
	if (!c->reason) {
		c->reason = (char *)no_memory;
		len = sizeof no_memory - 1;
	} else {
		if (len)
			memcpy(c->reason, text, len);
		c->reason[len] = '\0';
	}
	c->reason_len = (uint8_t)len;
}

/* What happened first is the reason; a Close frame of the peer goes over it (set_reason). */
static void set_why(struct ws_connection *c, const char *why)
{
	size_t len = strlen(why);
	if (!c->reason)
		set_reason(c, why, len < UINT8_MAX ? len : UINT8_MAX);
}

/* ---- output */

static int write_frame(struct ws_connection *c, enum ws_opcode opcode, const void *data, size_t len)
{
	uint8_t head[WS_FRAME_HEAD_SIZE];
	int size = ws_frame_head(&c->endpoint->pool->frames, head, opcode, true, len);
	if (size < 0)
		return size;
	struct iovec parts[2] = { { head, (size_t)size }, { (void *)data, len } };
	return ws_transport_write(&c->transport, parts, len ? 2 : 1);
}

static void write_close(struct ws_connection *c, const char *reason, size_t len)
{
	uint8_t payload[WS_CONTROL_PAYLOAD];
	size_t size = ws_session_close_payload(payload, c->session.closing.sent, reason, len);
	write_frame(c, WS_CLOSE, payload, size);
}

/* ---- the end */

static void finish(struct ws_connection *c, bool abort)
{
	/* A FIN would make what we could not send look complete. */
	if (abort || ws_transport_buffered(&c->transport) > 0)
		ws_transport_abort(&c->transport);
	else
		ws_transport_close(&c->transport);
	c->deciding = false;
	if (c->busy)
		ws_timer_start(c->endpoint->loop, &c->timer, now(c) + c->endpoint->options.close_timeout);
	else
		ws_timer_stop(c->endpoint->loop, &c->timer);
	ws_loop_defer(c->endpoint->loop, &c->work);
}

/* The only place that closing is stepped, and the only one that carries its orders out. reason: of our Close frame. */
static void step(struct ws_connection *c, enum ws_closing_event event, unsigned code, unsigned answer,
                 const char *reason, size_t len)
{
	unsigned orders = ws_closing_step(&c->session.closing, event, code, answer);
	if (orders & WS_ORDER_SEND_CLOSE)
		write_close(c, reason, len);
	if (orders & WS_ORDER_END)
		ws_transport_end(&c->transport);
	if (orders & WS_ORDER_DEADLINE)
		c->deadline = now(c) + c->endpoint->options.close_timeout;
	if (orders & WS_ORDER_FINISH)
		finish(c, orders & WS_ORDER_ABORT);
}

/* An event that ends the connection for a cause that a sentence can tell. */
static void step_why(struct ws_connection *c, enum ws_closing_event event, unsigned code, const char *why)
{
	set_why(c, why);
	step(c, event, code, 0, c->reason, c->reason_len);
}

/* Ends it in whatever state it is. */
static void out_of_memory(struct ws_connection *c)
{
	if (ws_connection_state(c) == WS_CONNECTING)
		step_why(c, WS_CLOSING_TERMINATE, 0, no_memory);
	else
		step_why(c, WS_CLOSING_PROTOCOL_FAILURE, WS_CODE_INTERNAL_ERROR, no_memory);
}

static void report(struct ws_connection *c)
{
	c->reported = true;
	ws_timer_stop(c->endpoint->loop, &c->timer);
	ws_session_clear(&c->session);
	c->endpoint->on_finished(c);
	if (c->session.closing.opened) {
		struct ws_closing_report r = ws_closing_report(&c->session.closing);
		if (!c->reason)
			set_reason(c, "", 0);
		c->endpoint->handler->on_close(c, &r, c->reason, c->reason_len);
	}
	ws_loop_release(c->endpoint->loop);
	ws_connection_release(c);
}

/* ---- what the peer's frames lead to */

static void answer_close(struct ws_connection *c, unsigned code, const char *reason, size_t len)
{
	unsigned received = c->close_code;
	c->close_code = 0;
	step(c, WS_CLOSING_PEER_CLOSE, received, code, reason, len);
}

/* 5.5.1: answered with the code that came, unless on_closing wants another. The answer says no reason of its own. */
static void peer_close(struct ws_connection *c, const struct ws_session_event *ev)
{
	set_reason(c, ev->data, ev->len);
	c->close_code = (uint16_t)ev->code;
	if (ws_connection_state(c) != WS_OPEN || !c->endpoint->handler->on_closing) {
		answer_close(c, ev->code, NULL, 0);
		return;
	}
	c->deadline = now(c) + c->endpoint->options.close_timeout;
	c->busy = c->endpoint->handler->on_closing(c, ev->code, (const uint8_t *)c->reason, c->reason_len) == WS_BUSY;
	if (!c->busy && c->close_code)
		answer_close(c, c->close_code, NULL, 0);
}

/* 5.5.3: a Pong with the same payload. A peer that pings without reading gets no more than the queue may hold. */
static void peer_ping(struct ws_connection *c, const struct ws_session_event *ev)
{
	if (ws_transport_buffered(&c->transport) <= c->endpoint->options.max_buffered && !c->session.closing.sent)
		write_frame(c, WS_PONG, ev->data, ev->len);
	c->busy = c->endpoint->handler->on_ping(c, ev->data, ev->len) == WS_BUSY;
}

static void peer_pong(struct ws_connection *c, const struct ws_session_event *ev)
{
	double rtt = -1;
	if (c->ping_sent_us && ev->len == sizeof c->ping_sent_us && !memcmp(ev->data, &c->ping_sent_us, ev->len)) {
		rtt = (double)(microseconds() - c->ping_sent_us) / 1e6;
		c->rtt = (float)rtt;
		c->ping_sent_us = 0;
	}
	c->busy = c->endpoint->handler->on_pong(c, ev->data, ev->len, rtt) == WS_BUSY;
}

static void peer_message(struct ws_connection *c, const struct ws_session_event *ev)
{
	c->message_at = now(c);
	c->endpoint->stats.messages_in++;
	c->endpoint->stats.bytes_in += ev->len;
	c->busy = c->endpoint->handler->on_message(c, ev->kind, ev->data, ev->len) == WS_BUSY;
}

static void dispatch(struct ws_connection *c, const struct ws_session_event *ev)
{
	switch (ev->type) {
	case WS_SESSION_MESSAGE:
		peer_message(c, ev);
		break;
	case WS_SESSION_PING:
		if (!c->busy)
			peer_ping(c, ev);
		break;
	case WS_SESSION_PONG:
		if (!c->busy)
			peer_pong(c, ev);
		break;
	case WS_SESSION_CLOSE:
		peer_close(c, ev);
		break;
	case WS_SESSION_FAILURE:
		step_why(c, WS_CLOSING_PROTOCOL_FAILURE, ev->code, ev->why);
		break;
	case WS_SESSION_HELD:
		c->held = true;
		break;
	}
}

/* ---- the pump */

/* After our own Close the handshake must not wait for a consumer: 1.4 lets messages be dropped from then on. */
static enum ws_session_mode mode(const struct ws_connection *c)
{
	if (ws_connection_state(c) == WS_CLOSING && (c->busy || c->mode == WS_SESSION_HOLD))
		return WS_SESSION_DISCARD;
	return (enum ws_session_mode)c->mode;
}

/* Whether what has come is looked at now. */
static bool reading(const struct ws_connection *c)
{
	switch (ws_connection_state(c)) {
	case WS_CONNECTING:
		return !c->deciding;
	case WS_OPEN:
		return !c->busy && !c->paused && !(c->held && c->mode == WS_SESSION_HOLD);
	case WS_CLOSING:
		return true;
	case WS_CLOSED:
		break;
	}
	return false;
}

/* Advances data over what the frames in it take up, until something must be waited for. */
static void take_frames(struct ws_connection *c, uint8_t **data, size_t *len)
{
	struct ws_session_event ev;
	while (*len > 0 && reading(c) && !c->session.closing.messages_stopped) {
		c->held = false;
		int e = ws_session_next(&c->session, mode(c), data, len, &ev);
		if (e == WS_AGAIN)
			return;
		if (e == 0)
			dispatch(c, &ev);
		else
			out_of_memory(c);
	}
}

/* A pipelined request behind a refused one is never read. Returns whether the rest must wait. */
static bool take_head(struct ws_connection *c, uint8_t **data, size_t *len)
{
	long used = ws_opening_input(c, (const char *)*data, *len);
	if (used == WS_AGAIN)
		return true;
	if (used > 0) {
		*data += used;
		*len -= (size_t)used;
	}
	return false;
}

static void take_input(struct ws_connection *c, uint8_t *data, size_t len)
{
	bool wait = false;
	ws_heartbeat_alive(&c->heartbeat);
	if (ws_connection_state(c) == WS_CONNECTING && !c->refused)
		wait = take_head(c, &data, &len);
	if (!wait && ws_connection_state(c) != WS_CONNECTING)
		take_frames(c, &data, &len);
	bool drain = c->refused || c->session.closing.messages_stopped || ws_connection_state(c) == WS_CLOSED;
	if (len > 0 && !drain && ws_transport_keep(&c->transport, data, len) != 0)
		out_of_memory(c);
}

/* The system's message, as part of a sentence. */
static void input_error(struct ws_connection *c)
{
	char why[WS_WHY_SIZE];
	snprintf(why, sizeof why, "%s", strerror(c->transport.error));
	why[0] = (char)tolower((unsigned char)why[0]);
	step_why(c, WS_CLOSING_ERROR, 0, why);
}

static const char *eof_reason(const struct ws_connection *c)
{
	return c->session.closing.sent ? "connection closed by the peer before it answered our Close frame"
	                               : "connection closed by the peer without a Close frame";
}

/* Takes in at most one recv: the loop comes back while there is more. */
static void pump(struct ws_connection *c)
{
	ws_connection_hold(c);
	c->pumping = true;
	if (reading(c)) {
		uint8_t *data;
		long n = ws_transport_read(&c->transport, &data);
		if (n > 0)
			take_input(c, data, (size_t)n);
		else if (n == 0)
			step_why(c, WS_CLOSING_EOF, 0, eof_reason(c));
		else if (n == WS_ERROR_SYSTEM)
			input_error(c);
	}
	c->pumping = false;
	settle(c);
	ws_connection_release(c);
}

/* ---- deadlines */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t send_due(const struct ws_connection *c)
{
	uint32_t timeout = c->endpoint->options.send_timeout;
	return c->stuck && timeout ? c->transport.progress_at + timeout : WS_NEVER;
}

static uint64_t idle_due(const struct ws_connection *c)
{
	uint32_t timeout = c->endpoint->options.idle_timeout;
	return timeout ? c->message_at + timeout : WS_NEVER;
}

/* A closing handshake behind a long queue lasts as long as the queue moves. */
static uint64_t close_due(const struct ws_connection *c)
{
	uint64_t moved = c->transport.progress_at + c->endpoint->options.close_timeout;
	return c->stuck && moved > c->deadline ? moved : c->deadline;
}

static uint64_t next_due(const struct ws_connection *c)
{
	if (ws_connection_state(c) == WS_CONNECTING)
		return c->deadline;
	if (ws_connection_state(c) == WS_CLOSING)
		return close_due(c);
	uint64_t due = ws_heartbeat_due(&c->heartbeat, &c->endpoint->options.heartbeat, c->transport.read_at);
	due = earlier(earlier(due, send_due(c)), idle_due(c));
	return c->close_code ? earlier(due, c->deadline) : due;
}

/* Seconds for a sentence: "10 s", "0.25 s". */
static void why_seconds(char why[WS_WHY_SIZE], const char *what, uint32_t ms)
{
	snprintf(why, WS_WHY_SIZE, "%s %g s", what, (double)ms / 1000);
}

static int timed_ping(struct ws_connection *c)
{
	c->ping_sent_us = microseconds();
	return write_frame(c, WS_PING, &c->ping_sent_us, sizeof c->ping_sent_us);
}

static void beat(struct ws_connection *c)
{
	const struct ws_heartbeat_options *options = &c->endpoint->options.heartbeat;
	char why[WS_WHY_SIZE];
	switch (ws_heartbeat_check(&c->heartbeat, options, c->transport.read_at, now(c))) {
	case WS_HEARTBEAT_FINE:
		break;
	case WS_HEARTBEAT_PING:
		timed_ping(c);
		ws_heartbeat_sent(&c->heartbeat, now(c));
		break;
	case WS_HEARTBEAT_LOST:
		why_seconds(why, "no pong within", options->timeout);
		step_why(c, WS_CLOSING_HEARTBEAT_LOST, 0, why);
		break;
	}
}

static void open_deadline(struct ws_connection *c)
{
	const struct ws_connection_options *options = &c->endpoint->options;
	char why[WS_WHY_SIZE];
	if (c->close_code && now(c) >= c->deadline) {
		answer_close(c, c->close_code, NULL, 0);
	} else if (now(c) >= send_due(c)) {
		why_seconds(why, "the peer took no data for", options->send_timeout);
		step_why(c, WS_CLOSING_SEND_STALLED, 0, why);
	} else if (now(c) >= idle_due(c)) {
		why_seconds(why, "no message for", options->idle_timeout);
		step(c, WS_CLOSING_LOCAL_CLOSE, WS_CODE_GOING_AWAY, 0, why, strlen(why));
	} else {
		beat(c);
	}
}

static void handshake_deadline(struct ws_connection *c)
{
	static const char late[] = "the opening handshake took too long";
	if (c->refused)
		step(c, WS_CLOSING_DEADLINE, 0, 0, NULL, 0);
	else
		ws_opening_refuse(c, 408, "", (struct ws_slice){ late, sizeof late - 1 });
}

static void on_timer(struct ws_timer *timer)
{
	struct ws_connection *c = of_timer(timer);
	char why[WS_WHY_SIZE];
	ws_connection_hold(c);
	if (ws_connection_state(c) == WS_CLOSED) { /* a callback that waits has held the report up for long enough */
		report(c);
	} else if (ws_connection_state(c) == WS_OPEN) {
		open_deadline(c);
	} else if (now(c) >= next_due(c)) {
		if (ws_connection_state(c) == WS_CONNECTING) {
			handshake_deadline(c);
		} else {
			why_seconds(why, "closing handshake timed out after", c->endpoint->options.close_timeout);
			step_why(c, WS_CLOSING_DEADLINE, 0, why);
		}
	}
	settle(c);
	ws_connection_release(c);
}

/*
 * After anything that happened: reading goes on or pauses, output leaves, the timer stands no later than what is due
 * next (it may come early: activity only writes time stamps).
 */
static void settle(struct ws_connection *c)
{
	if (ws_connection_state(c) == WS_CLOSED)
		return;
	if (reading(c))
		ws_transport_resume(&c->transport);
	else
		ws_transport_pause(&c->transport);
	ws_transport_flush(&c->transport);
	c->stuck = ws_transport_buffered(&c->transport) > 0;
	ws_heartbeat_suspend(&c->heartbeat, c->stuck || !reading(c), now(c));
	uint64_t due = next_due(c);
	if (due != WS_NEVER && (!ws_timer_active(&c->timer) || due < c->timer.due))
		ws_timer_start(c->endpoint->loop, &c->timer, due);
}

/* ---- called from below */

static void on_readable(struct ws_transport *t)
{
	pump(of_transport(t));
}

/* A peer that is gone for good ends even a paused connection; what it had sent and we had not read goes with it. */
static void on_broken(struct ws_transport *t)
{
	input_error(of_transport(t));
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
	c->drained = true;
	ws_connection_hold(c);
	c->endpoint->handler->on_flushed(c);
	tell_drained(c);
	settle(c);
	ws_connection_release(c);
}

static void on_ended(struct ws_transport *t)
{
	struct ws_connection *c = of_transport(t);
	ws_connection_hold(c);
	step(c, WS_CLOSING_FIN_SENT, 0, 0, NULL, 0);
	settle(c);
	ws_connection_release(c);
}

static void connection_free(struct ws_connection *c)
{
	reason_free(c);
	free(c->peer);
	free(c);
}

static void on_work(struct ws_deferred *work)
{
	struct ws_connection *c = of_work(work);
	if (c->references == 0) {
		connection_free(c);
	} else if (ws_connection_state(c) != WS_CLOSED) {
		tell_drained(c);
		settle(c);
	} else if (!c->reported && !c->busy) {
		report(c);
	}
}

/* ---- called from above */

struct ws_connection *ws_connection_new(struct ws_endpoint *endpoint, enum ws_role role, int fd, const char *peer)
{
	static const struct ws_transport_handler handler = { on_readable, on_broken, on_written, on_ended };
	struct ws_connection *c = calloc(1, sizeof *c);
	if (!c || !(c->peer = strdup(peer))) {
		free(c);
		close(fd);
		return NULL;
	}
	c->endpoint = endpoint;
	c->references = 1; /* its own, until the report */
	c->work.run = on_work;
	c->mode = WS_SESSION_HOLD;
	c->rtt = -1;
	ws_session_init(&c->session, endpoint->pool, role, endpoint->options.max_message);
	ws_timer_init(&c->timer, on_timer);
	if (ws_transport_init(&c->transport, endpoint->loop, fd, &handler) != 0) {
		connection_free(c);
		return NULL;
	}
	c->deadline = endpoint->options.handshake_timeout ? now(c) + endpoint->options.handshake_timeout : WS_NEVER;
	ws_loop_hold(endpoint->loop);
	settle(c);
	return c;
}

void ws_connection_hold(struct ws_connection *c)
{
	c->references++;
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
	ws_session_clear(&c->session);
	ws_timer_stop(loop, &c->timer);
	ws_loop_undefer(loop, &c->work);
	if (!c->reported)
		ws_loop_release(loop);
	connection_free(c);
}

int ws_connection_accept(struct ws_connection *c, struct ws_slice key, struct ws_slice subprotocol)
{
	if (!c->deciding)
		return WS_ERROR_CLOSED;
	int e = ws_opening_accept(c, key, subprotocol);
	if (e)
		return e;
	c->deciding = false;
	c->message_at = now(c);
	step(c, WS_CLOSING_OPENED, 0, 0, NULL, 0);
	c->endpoint->on_opened(c);
	ws_loop_defer(c->endpoint->loop, &c->work);
	return 0;
}

void ws_connection_refuse(struct ws_connection *c, unsigned status, const char *headers, struct ws_slice body)
{
	if (!c->deciding)
		return;
	ws_opening_refuse(c, status, headers, body);
	ws_loop_defer(c->endpoint->loop, &c->work);
}

static bool overflows(struct ws_connection *c, size_t len)
{
	size_t max = c->endpoint->options.max_buffered;
	size_t queued = ws_transport_buffered(&c->transport);
	if (queued == 0 || queued + len <= max)
		return false;
	ws_transport_flush(&c->transport); /* it may only have been corked */
	queued = ws_transport_buffered(&c->transport);
	return queued > 0 && queued + len > max;
}

static int overflow(struct ws_connection *c, size_t len)
{
	char why[WS_WHY_SIZE];
	if (c->endpoint->options.on_overflow == WS_OVERFLOW_CLOSE) {
		snprintf(why, sizeof why, "send queue of %zu bytes is over the limit of %zu",
		         ws_transport_buffered(&c->transport) + len, c->endpoint->options.max_buffered);
		ws_connection_fail(c, WS_CODE_POLICY_VIOLATION, why);
	}
	return WS_ERROR_OVERFLOW;
}

/* What is written outside the pump has its deadlines looked after at the end of the turn. */
static void after_write(struct ws_connection *c)
{
	if (!c->pumping)
		ws_loop_defer(c->endpoint->loop, &c->work);
}

int ws_connection_send(struct ws_connection *c, enum ws_opcode kind, const void *data, size_t len)
{
	if (ws_connection_state(c) != WS_OPEN)
		return WS_ERROR_CLOSED;
	if (overflows(c, len))
		return overflow(c, len);
	int e = write_frame(c, kind, data, len);
	if (e)
		return e;
	c->message_at = now(c);
	c->endpoint->stats.messages_out++;
	c->endpoint->stats.bytes_out += len;
	after_write(c);
	return 0;
}

int ws_connection_ping(struct ws_connection *c, const void *data, size_t len)
{
	if (ws_connection_state(c) != WS_OPEN)
		return WS_ERROR_CLOSED;
	int e = data ? write_frame(c, WS_PING, data, len) : timed_ping(c);
	after_write(c);
	return e;
}

int ws_connection_close(struct ws_connection *c, unsigned code, const char *reason, size_t len)
{
	if (ws_connection_state(c) != WS_OPEN)
		return WS_ERROR_CLOSED;
	if (c->close_code) /* on_closing is running: this is its answer */
		answer_close(c, code, reason, len);
	else
		step(c, WS_CLOSING_LOCAL_CLOSE, code, 0, reason, len);
	ws_loop_defer(c->endpoint->loop, &c->work);
	return 0;
}

void ws_connection_fail(struct ws_connection *c, unsigned code, const char *why)
{
	if (ws_connection_state(c) != WS_OPEN)
		return;
	step_why(c, WS_CLOSING_LOCAL_FAILURE, code, why);
	ws_loop_defer(c->endpoint->loop, &c->work);
}

void ws_connection_terminate(struct ws_connection *c, const char *why)
{
	if (ws_connection_state(c) != WS_CLOSED)
		step_why(c, WS_CLOSING_TERMINATE, 0, why ? why : "terminated");
}

void ws_connection_answer(struct ws_connection *c, unsigned code, const char *reason, size_t len)
{
	if (c->close_code && ws_connection_state(c) == WS_OPEN)
		answer_close(c, code, reason, len);
}

void ws_connection_continue(struct ws_connection *c)
{
	c->busy = false;
	if (c->close_code && ws_connection_state(c) == WS_OPEN)
		answer_close(c, c->close_code, NULL, 0);
	ws_loop_defer(c->endpoint->loop, &c->work);
}

void ws_connection_want(struct ws_connection *c, enum ws_session_mode mode)
{
	bool was_reading = reading(c);
	c->mode = (uint8_t)mode;
	if (!was_reading && reading(c))
		ws_loop_defer(c->endpoint->loop, &c->work);
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
