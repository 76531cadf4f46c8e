/* How a connection ends: RFC 6455 section 7 and the rules of the on_close promise, and nothing else. */
#include "protocol/closing.h"

#include "protocol/code.h"

/* From here on input is only drained: 5.5.1 and 7.1.7 forbid to process data after the peer's Close or a failure. */
static unsigned stop_messages(struct ws_closing *c)
{
	if (c->messages_stopped)
		return 0;
	c->messages_stopped = true;
	return WS_ORDER_STOP_MESSAGES;
}

static unsigned send_close(struct ws_closing *c, unsigned code)
{
	c->sent = (uint16_t)code;
	c->state = WS_CLOSING;
	return WS_ORDER_SEND_CLOSE | WS_ORDER_DEADLINE;
}

static unsigned end(struct ws_closing *c)
{
	c->end_ordered = true;
	return WS_ORDER_END | WS_ORDER_DEADLINE;
}

static unsigned finish(struct ws_closing *c)
{
	c->state = WS_CLOSED;
	return WS_ORDER_FINISH;
}

/* 7.1.1: the server closes TCP first, the client waits for it, unless that has happened already. */
static unsigned both_closed(struct ws_closing *c)
{
	return stop_messages(c) | (c->role == WS_SERVER || c->fin_received ? end(c) : WS_ORDER_DEADLINE);
}

bool ws_closing_owes_answer(const struct ws_closing *c)
{
	return c->state == WS_CLOSING && c->received && !c->sent;
}

/* 5.5.1: an endpoint that gets a Close frame answers it, if it has not sent one itself. */
static unsigned answer_peer(struct ws_closing *c, unsigned code)
{
	return send_close(c, code) | both_closed(c);
}

/* 7.1.7: the Close frame says why, nothing is processed any more, TCP ends without waiting for an answer. */
static unsigned fail(struct ws_closing *c, unsigned code)
{
	c->failed_with = (uint16_t)code;
	c->by = WS_BY_LOCAL;
	return send_close(c, code) | stop_messages(c) | end(c);
}

static unsigned step_connecting(struct ws_closing *c, enum ws_closing_event event)
{
	switch (event) {
	case WS_CLOSING_OPENED:
		c->opened = true;
		c->state = WS_OPEN;
		return 0;
	case WS_CLOSING_TERMINATE:
		return finish(c) | WS_ORDER_ABORT;
	case WS_CLOSING_EOF:
	case WS_CLOSING_ERROR:
	case WS_CLOSING_DEADLINE:
		return finish(c);
	default:
		return 0;
	}
}

static unsigned step_open(struct ws_closing *c, enum ws_closing_event event, unsigned code, unsigned answer)
{
	switch (event) {
	case WS_CLOSING_PEER_CLOSE:
		c->received = (uint16_t)code;
		c->by = WS_BY_PEER;
		if (answer)
			return answer_peer(c, answer);
		c->state = WS_CLOSING;
		return stop_messages(c) | WS_ORDER_DEADLINE;
	case WS_CLOSING_LOCAL_CLOSE:
		c->by = WS_BY_LOCAL;
		return send_close(c, code);
	case WS_CLOSING_PROTOCOL_FAILURE:
	case WS_CLOSING_LOCAL_FAILURE:
		return fail(c, code);
	case WS_CLOSING_HEARTBEAT_LOST:
		return send_close(c, WS_CODE_INTERNAL_ERROR) | stop_messages(c) | end(c);
	case WS_CLOSING_SEND_STALLED: /* nothing gets through any more, so nothing is waited for */
		return (send_close(c, WS_CODE_INTERNAL_ERROR) & ~(unsigned)WS_ORDER_DEADLINE) |
		       stop_messages(c) | finish(c) | WS_ORDER_ABORT;
	case WS_CLOSING_EOF: /* the peer may have shut down writing only: what we still owe it goes out first */
		c->fin_received = true;
		c->state = WS_CLOSING;
		return stop_messages(c) | end(c);
	case WS_CLOSING_ERROR:
		return finish(c);
	case WS_CLOSING_TERMINATE:
		c->by = WS_BY_LOCAL;
		return finish(c) | WS_ORDER_ABORT;
	default:
		return 0;
	}
}

static unsigned step_closing(struct ws_closing *c, enum ws_closing_event event, unsigned code)
{
	switch (event) {
	case WS_CLOSING_PEER_CLOSE: /* the answer to ours, or one that crossed it */
		if (c->messages_stopped)
			return 0;
		c->received = (uint16_t)code;
		return both_closed(c);
	case WS_CLOSING_LOCAL_CLOSE:
	case WS_CLOSING_LOCAL_FAILURE:
		return ws_closing_owes_answer(c) ? answer_peer(c, code) : 0;
	case WS_CLOSING_PROTOCOL_FAILURE: /* our one Close frame has gone with another code */
		return c->messages_stopped ? 0 : stop_messages(c) | end(c);
	case WS_CLOSING_EOF:
		c->fin_received = true;
		if (c->fin_sent)
			return finish(c);
		return c->end_ordered || ws_closing_owes_answer(c) ? 0 : stop_messages(c) | end(c);
	case WS_CLOSING_FIN_SENT:
		if (!c->end_ordered)
			return 0;
		c->fin_sent = true;
		return c->fin_received ? finish(c) : 0;
	case WS_CLOSING_DEADLINE: /* whoever was asked for an answer had all the time there is */
		return ws_closing_owes_answer(c) ? answer_peer(c, c->received) : finish(c);
	case WS_CLOSING_ERROR:
		return finish(c);
	case WS_CLOSING_TERMINATE:
		return finish(c) | WS_ORDER_ABORT;
	default:
		return 0;
	}
}

unsigned ws_closing_step(struct ws_closing *c, enum ws_closing_event event, unsigned code, unsigned answer)
{
	switch ((enum ws_state)c->state) {
	case WS_CONNECTING:
		return step_connecting(c, event);
	case WS_OPEN:
		return step_open(c, event, code, answer);
	case WS_CLOSING:
		return step_closing(c, event, code);
	case WS_CLOSED:
		break;
	}
	return 0;
}

struct ws_closing_report ws_closing_report(const struct ws_closing *c)
{
	return (struct ws_closing_report){
		.code = c->received ? c->received : c->failed_with ? c->failed_with : WS_CODE_ABNORMAL,
		.sent = c->sent,
		.received = c->received,
		.by = (enum ws_by)c->by,
		.clean = c->sent && c->received,
	};
}
