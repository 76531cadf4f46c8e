/* The pump: what has come in becomes calls of the handler, one at a time, until something must be waited for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint/connection_private.h"
#include "error.h"
#include "protocol/code.h"

enum { ROOM_LEAST = 16 * 1024 }; /* less is copied in less time than a system call takes */

/* What has come and has not been taken yet. */
struct ws_input {
	const struct ws_connection *connection;
	uint8_t *data;
	size_t len;
};

/* ---- what the peer's frames lead to */

void ws_pump_answer_close(struct ws_connection *c, unsigned code, const char *reason, size_t len)
{
	if (ws_closing_owes_answer(&c->session.closing))
		ws_ending_step(c, WS_CLOSING_LOCAL_CLOSE, code, 0, reason, len);
}

/* 5.5.1: answered with the code that came, unless on_closing wants another. The answer says no reason of its own. */
static void peer_close(struct ws_connection *c, const struct ws_session_event *ev)
{
	bool ask = ws_connection_state(c) == WS_OPEN && c->endpoint->handler->on_closing;
	ws_ending_set_reason(c, ev->data, ev->len);
	ws_ending_step(c, WS_CLOSING_PEER_CLOSE, ev->code, ask ? 0 : ev->code, NULL, 0);
	if (!ask)
		return;
	c->busy = c->endpoint->handler->on_closing(c, ev->code, (const uint8_t *)c->reason, c->reason_len) == WS_BUSY;
	if (!c->busy)
		ws_pump_answer_close(c, ev->code, NULL, 0);
}

/* 5.5.3: a Pong with the same payload. A peer that pings without reading gets no more than the queue may hold. */
static void peer_ping(struct ws_connection *c, const struct ws_session_event *ev)
{
	if (ws_transport_buffered(&c->transport) <= c->endpoint->options.max_buffered && !c->session.closing.sent)
		ws_connection_write_frame(c, WS_PONG, ev->data, ev->len);
	c->busy = c->endpoint->handler->on_ping(c, ev->data, ev->len) == WS_BUSY;
}

static void peer_pong(struct ws_connection *c, const struct ws_session_event *ev)
{
	double rtt = -1;
	if (c->ping_sent_us && ev->len == sizeof c->ping_sent_us && !memcmp(ev->data, &c->ping_sent_us, ev->len)) {
		rtt = (double)(ws_connection_microseconds() - c->ping_sent_us) / 1e6;
		c->rtt = (float)rtt;
		c->ping_sent_us = 0;
	}
	c->busy = c->endpoint->handler->on_pong(c, ev->data, ev->len, rtt) == WS_BUSY;
}

/*
 * So much of messages has come. What is over closes the connection, or is the last that is read for a while: after our
 * own Close everything is, to find the peer's. False: closed.
 */
static bool within_rate(struct ws_connection *c, unsigned messages, size_t bytes)
{
	const struct ws_rate_options *options = &c->endpoint->options.rate;
	char why[WS_WHY_SIZE];
	struct ws_rate *rate = &c->conduct->rate;
	bool over = ws_rate_limits(options) && ws_rate_take(rate, options, messages, bytes, ws_connection_now(c));
	if (!over || ws_connection_state(c) != WS_OPEN)
		return true;
	if (!options->close) {
		c->throttled = true;
		return true;
	}
	bool of_messages = options->messages > 0 && rate->messages < 0;
	snprintf(why, sizeof why, "more than %g %s a second", of_messages ? options->messages : options->bytes,
	         of_messages ? "messages" : "bytes");
	ws_ending_step_why(c, WS_CLOSING_LOCAL_FAILURE, WS_CODE_POLICY_VIOLATION, why);
	return false;
}

/* False: it is too much, and has closed the connection. */
static inline bool admit_message(struct ws_connection *c, const struct ws_session_event *ev, struct ws_message *message)
{
	if (c->conduct && !within_rate(c, 1, ev->len))
		return false;
	ws_connection_had_message(c);
	c->endpoint->stats.messages_in++;
	c->endpoint->stats.bytes_in += ev->len;
	*message = (struct ws_message){ ev->kind, ev->data, ev->len };
	return true;
}

static void peer_message(struct ws_connection *c, const struct ws_session_event *ev)
{
	struct ws_message message;
	if (admit_message(c, ev, &message))
		c->busy = c->endpoint->handler->on_message(c, &message) == WS_BUSY;
}

static void peer_part(struct ws_connection *c, const struct ws_session_event *ev)
{
	if (c->conduct && !within_rate(c, ev->last, ev->len))
		return;
	ws_connection_had_message(c);
	c->endpoint->stats.messages_in += ev->last;
	c->endpoint->stats.bytes_in += ev->len;
	c->endpoint->handler->on_part(c, ev->data, ev->len, ev->last);
}

static void peer_failure(struct ws_connection *c, const struct ws_session_event *ev)
{
	ws_ending_step_why(c, WS_CLOSING_PROTOCOL_FAILURE, ev->code, ev->why);
}

static void message_held(struct ws_connection *c, const struct ws_session_event *ev)
{
	c->held = true;
	c->held_kind = (uint8_t)ev->kind;
	if (c->endpoint->handler->on_held)
		c->endpoint->handler->on_held(c, ev->kind);
}

static void dispatch(struct ws_connection *c, const struct ws_session_event *ev)
{
	switch (ev->type) {
	case WS_SESSION_MESSAGE:
		peer_message(c, ev);
		break;
	case WS_SESSION_PART:
		peer_part(c, ev);
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
		peer_failure(c, ev);
		break;
	case WS_SESSION_HELD:
		message_held(c, ev);
		break;
	}
}

/* ---- the pump */

/* After our own Close control frames are taken while a callback waits, too; a message waits for it, if not for ever. */
static enum ws_session_mode mode(const struct ws_connection *c)
{
	if (c->overdue)
		return WS_SESSION_DISCARD;
	return c->busy && c->mode == WS_SESSION_DELIVER ? WS_SESSION_HOLD : (enum ws_session_mode)c->mode;
}

static bool holds_message(const struct ws_connection *c)
{
	return c->held && mode(c) == WS_SESSION_HOLD;
}

bool ws_pump_reading(const struct ws_connection *c)
{
	switch (ws_connection_state(c)) {
	case WS_CONNECTING:
		return !c->deciding;
	case WS_OPEN:
		return !c->busy && !c->paused && !c->eof_held && !c->throttled && !holds_message(c);
	case WS_CLOSING:
		return c->session.closing.messages_stopped || !holds_message(c);
	case WS_CLOSED:
		break;
	}
	return false;
}

/* Whether there is input whose frames are looked at now. */
static bool goes_on(const struct ws_connection *c, const struct ws_input *input)
{
	return input->len > 0 && ws_pump_reading(c) && !c->session.closing.messages_stopped;
}

/* False: all input has been taken, or it fails for want of memory. */
static bool next_event(struct ws_connection *c, struct ws_input *input, enum ws_session_mode mode,
                       struct ws_session_event *ev)
{
	c->held = false;
	int e = ws_session_next(&c->session, mode, &input->data, &input->len, ev);
	if (e == WS_ERROR_MEMORY)
		ws_ending_out_of_memory(c);
	return e == 0;
}

/* Takes what the frames in the input take up, until something must be waited for. */
static inline void take_frames(struct ws_connection *c, struct ws_input *input)
{
	struct ws_session_event ev;
	c->endpoint->input = input;
	while (goes_on(c, input) && next_event(c, input, mode(c), &ev)) {
		dispatch(c, &ev);
		ws_session_done(&c->session);
	}
	c->endpoint->input = NULL;
}

bool ws_connection_next_message(struct ws_connection *c, struct ws_message *message)
{
	struct ws_input *input = c->endpoint->input;
	struct ws_session_event ev;
	if (!input || input->connection != c || !goes_on(c, input) ||
	    !ws_session_ends_message(&c->session, *input->data) || !next_event(c, input, WS_SESSION_DELIVER, &ev))
		return false;
	if (ev.type == WS_SESSION_MESSAGE)
		return admit_message(c, &ev, message);
	peer_failure(c, &ev);
	return false;
}

/* A pipelined request behind a refused one is never read. Returns whether the rest must wait. */
static bool take_head(struct ws_connection *c, uint8_t **data, size_t *len)
{
	long used = c->endpoint->on_opening(c, (const char *)*data, *len);
	if (used == WS_AGAIN)
		return true;
	if (used > 0) {
		*data += used;
		*len -= (size_t)used;
	}
	return false;
}

static inline void take_input(struct ws_connection *c, uint8_t *data, size_t len)
{
	bool wait = false;
	ws_heartbeat_alive(&c->heartbeat);
	while (len > 0 && !wait && !c->refused && !c->deciding && ws_connection_state(c) == WS_CONNECTING)
		wait = take_head(c, &data, &len);
	struct ws_input input = { c, data, len };
	if (!wait && ws_connection_state(c) != WS_CONNECTING)
		take_frames(c, &input);
	bool drain = c->refused || c->session.closing.messages_stopped || ws_connection_state(c) == WS_CLOSED;
	if (input.len > 0 && !drain && ws_transport_keep(&c->transport, input.data, input.len) != 0)
		ws_ending_out_of_memory(c);
}

bool ws_pump_pass_held(struct ws_connection *c)
{
	bool pass = ws_connection_state(c) == WS_CLOSING && !c->session.closing.messages_stopped && c->held && !c->overdue;
	c->overdue = c->overdue || pass;
	return pass;
}

static const char *eof_reason(const struct ws_connection *c)
{
	if (c->transport.truncated) /* RFC 8446 section 6.1: nobody knows whether that was all */
		return "TLS connection cut off";
	if (ws_connection_state(c) == WS_CONNECTING)
		return "connection closed by the peer";
	return c->session.closing.sent ? "connection closed by the peer before it answered our Close frame"
	                               : "connection closed by the peer without a Close frame";
}

/* The peer may have shut down writing only, and wait for our answer: that is over when all of it has left. */
static bool answering(const struct ws_connection *c)
{
	return ws_connection_state(c) == WS_CONNECTING && c->refused && !c->transport.fin_sent;
}

static void take_end(struct ws_connection *c)
{
	if (answering(c))
		return;
	c->eof_held = c->attended && ws_connection_state(c) == WS_OPEN;
	if (c->eof_held)
		c->deadline = ws_loop_after(c->endpoint->options.close_timeout);
	else
		ws_ending_step_why(c, WS_CLOSING_EOF, 0, eof_reason(c));
}

/* Whoever owes the peer an answer for longer than close_timeout has lost it: an end must not go unnoticed. */
void ws_pump_held_end(struct ws_connection *c)
{
	bool hold = c->attended && ws_connection_state(c) == WS_OPEN && ws_connection_now(c) < c->deadline;
	if (!c->eof_held || hold)
		return;
	c->attended = false;
	take_end(c);
}

/* In the middle of a frame: the place of its rest in the message, if that is enough for a recv of its own; 0: it isn't. */
static inline size_t rest_room(const struct ws_connection *c, uint8_t **room)
{
	size_t size = c->session.reader ? ws_session_room(&c->session, room) : 0;
	return size >= ROOM_LEAST ? size : 0;
}

/* Takes in one recv. Returns as ws_transport_read. */
static inline long take_some(struct ws_connection *c)
{
	uint8_t *data, *room;
	size_t size = rest_room(c, &room);
	long n = size ? ws_transport_read_into(&c->transport, room, size, &data) : ws_transport_read(&c->transport, &data);
	if (n > 0)
		take_input(c, data, (size_t)n);
	else if (n == 0)
		take_end(c);
	else if (n == WS_ERROR_SYSTEM)
		ws_ending_transport_failed(c);
	return n;
}

void ws_pump(struct ws_connection *c)
{
	uint8_t *room;
	ws_connection_hold(c);
	if (ws_pump_reading(c) && take_some(c) == WS_LOOP_RECEIVE_SIZE && rest_room(c, &room) && ws_pump_reading(c))
		take_some(c);
	ws_connection_settle(c);
	ws_connection_release(c);
}
