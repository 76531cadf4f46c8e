/* The one deadline of a connection: when to look next, and what is due then. */
#include <stdio.h>
#include <string.h>

#include "endpoint/connection_private.h"
#include "endpoint/opening.h"
#include "protocol/code.h"

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
	return timeout && !c->throttled ? c->conduct->message_at + timeout : WS_NEVER;
}

/* A closing handshake behind a long queue lasts as long as the queue moves. */
static uint64_t close_due(const struct ws_connection *c)
{
	uint64_t moved = c->transport.progress_at + c->endpoint->options.close_timeout;
	return moved > c->deadline ? moved : c->deadline;
}

/* An answer takes as long as the peer goes on taking it, and then as long as lingering does. */
static uint64_t opening_due(const struct ws_connection *c)
{
	if (!c->refused)
		return c->deadline;
	if (c->stuck)
		return send_due(c);
	uint64_t moved = c->transport.progress_at + WS_LINGER_MS;
	return moved > c->deadline ? moved : c->deadline;
}

uint64_t ws_deadline_next(const struct ws_connection *c)
{
	if (ws_connection_state(c) == WS_CONNECTING)
		return opening_due(c);
	if (ws_connection_state(c) == WS_CLOSING)
		return close_due(c);
	uint64_t due = ws_heartbeat_due(&c->heartbeat, &c->endpoint->options.heartbeat, c->transport.read_at);
	due = earlier(earlier(due, send_due(c)), idle_due(c));
	if (c->throttled)
		due = earlier(due, c->conduct->rate.until);
	return c->eof_held ? earlier(due, c->deadline) : due;
}

/* Seconds for a sentence: "10 s", "0.25 s". */
static void why_seconds(char why[WS_WHY_SIZE], const char *what, uint32_t ms)
{
	snprintf(why, WS_WHY_SIZE, "%s %g s", what, (double)ms / 1000);
}

static void beat(struct ws_connection *c)
{
	const struct ws_heartbeat_options *options = &c->endpoint->options.heartbeat;
	char why[WS_WHY_SIZE];
	switch (ws_heartbeat_check(&c->heartbeat, options, c->transport.read_at, ws_connection_now(c))) {
	case WS_HEARTBEAT_FINE:
		break;
	case WS_HEARTBEAT_PING:
		ws_connection_timed_ping(c);
		ws_heartbeat_sent(&c->heartbeat, ws_connection_now(c));
		break;
	case WS_HEARTBEAT_LOST:
		why_seconds(why, "no pong within", options->timeout);
		ws_ending_step_why(c, WS_CLOSING_HEARTBEAT_LOST, 0, why);
		break;
	}
}

static void open_deadline(struct ws_connection *c)
{
	const struct ws_connection_options *options = &c->endpoint->options;
	char why[WS_WHY_SIZE];
	if (c->throttled && ws_connection_now(c) >= c->conduct->rate.until) { /* it may have sent messages meanwhile */
		c->throttled = false;
		ws_connection_had_message(c);
	}
	if (ws_connection_now(c) >= send_due(c)) {
		why_seconds(why, "the peer took no data for", options->send_timeout);
		ws_ending_step_why(c, WS_CLOSING_SEND_STALLED, 0, why);
	} else if (c->eof_held && ws_connection_now(c) >= c->deadline) {
		ws_pump_held_end(c);
	} else if (ws_connection_now(c) >= idle_due(c)) {
		why_seconds(why, "no message for", options->idle_timeout);
		ws_connection_close(c, WS_CODE_GOING_AWAY, why, strlen(why));
	} else {
		beat(c);
	}
}

static void closing_deadline(struct ws_connection *c)
{
	char why[WS_WHY_SIZE];
	if (ws_closing_owes_answer(&c->session.closing)) {
		ws_ending_step(c, WS_CLOSING_DEADLINE, 0, 0, NULL, 0);
		return;
	}
	if (ws_pump_pass_held(c)) {
		c->deadline = ws_loop_after(c->endpoint->options.close_timeout);
		return;
	}
	why_seconds(why, "closing handshake timed out after", c->endpoint->options.close_timeout);
	ws_ending_step_why(c, WS_CLOSING_DEADLINE, 0, why);
}

/* Whether output moves is asked before anybody is judged by it. Calls back: anything may have happened afterwards. */
static void try_output(struct ws_connection *c)
{
	ws_transport_retry(&c->transport);
	c->stuck = ws_transport_buffered(&c->transport) > 0;
}

void ws_deadline_passed(struct ws_connection *c)
{
	if (ws_connection_state(c) == WS_CLOSED) { /* a callback that waits has held the report up for long enough */
		ws_ending_report(c);
		return;
	}
	try_output(c);
	if (ws_connection_state(c) == WS_OPEN)
		open_deadline(c);
	else if (ws_connection_state(c) == WS_CONNECTING && ws_connection_now(c) >= opening_due(c))
		c->endpoint->on_opening_late(c);
	else if (ws_connection_state(c) == WS_CLOSING && ws_connection_now(c) >= close_due(c))
		closing_deadline(c);
}
