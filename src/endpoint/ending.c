/* The one place that steps the closing state machine, carries its orders out, finishes and reports. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint/connection_private.h"
#include "endpoint/file.h"
#include "protocol/code.h"

/* Reasons that nobody owns. The second stands for what the transport says: most ask only for the code. */
static const char no_memory[] = "out of memory";
static const char transport_failed[] = "the transport's error";

/* ---- the reason */

void ws_ending_free_reason(struct ws_connection *c)
{
	if (c->reason != no_memory && c->reason != transport_failed)
		free(c->reason);
	c->reason = NULL;
}

void ws_ending_set_reason(struct ws_connection *c, const void *text, size_t len)
{
	ws_ending_free_reason(c);
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
		ws_ending_set_reason(c, why, len < UINT8_MAX ? len : UINT8_MAX);
}

/* The system's message, as part of a sentence. */
static struct ws_slice transport_reason(const struct ws_connection *c, char room[static WS_WHY_SIZE])
{
	snprintf(room, WS_WHY_SIZE, "%s", ws_transport_error(&c->transport));
	if (!isupper((unsigned char)room[1])) /* "TLS failed" stays */
		room[0] = (char)tolower((unsigned char)room[0]);
	return ws_slice_of(room);
}

struct ws_slice ws_connection_reason(const struct ws_connection *c, char room[static WS_WHY_SIZE])
{
	if (c->reason == transport_failed)
		return transport_reason(c, room);
	return c->reason ? (struct ws_slice){ c->reason, c->reason_len } : ws_slice_of("");
}

/* ---- the end */

static void write_close(struct ws_connection *c, const char *reason, size_t len)
{
	uint8_t payload[WS_CONTROL_PAYLOAD];
	size_t size = ws_session_close_payload(payload, c->session.closing.sent, reason, len);
	c->cut = ws_connection_write_frame(c, WS_CLOSE, payload, size) != 0;
}

static void finish(struct ws_connection *c, bool abort)
{
	if (!abort) { /* RFC 8446 section 6.1: no end without close_notify, however it came about */
		ws_transport_end(&c->transport);
		ws_transport_flush(&c->transport);
	}
	c->cut = c->cut || ws_transport_owes(&c->transport);
	if (abort || c->cut) /* a FIN would make what we could not send look complete */
		ws_transport_abort(&c->transport);
	else
		ws_transport_close(&c->transport);
	c->deciding = false;
	ws_timer_stop(c->endpoint->loop, &c->timer);
	ws_loop_defer(c->endpoint->loop, &c->work);
}

void ws_ending_step(struct ws_connection *c, enum ws_closing_event event, unsigned code, unsigned answer,
                    const char *reason, size_t len)
{
	unsigned orders = ws_closing_step(&c->session.closing, event, code, answer);
	if (orders & WS_ORDER_SEND_CLOSE)
		write_close(c, reason, len);
	if (orders & WS_ORDER_END)
		ws_transport_end(&c->transport);
	if (orders & WS_ORDER_DEADLINE)
		c->deadline = ws_loop_after(c->endpoint->options.close_timeout);
	if (orders & WS_ORDER_FINISH)
		finish(c, orders & WS_ORDER_ABORT);
}

void ws_ending_step_why(struct ws_connection *c, enum ws_closing_event event, unsigned code, const char *why)
{
	set_why(c, why);
	ws_ending_step(c, event, code, 0, why, strlen(why));
}

void ws_ending_transport_failed(struct ws_connection *c)
{
	if (!c->reason)
		c->reason = (char *)transport_failed;
	ws_ending_step(c, WS_CLOSING_ERROR, 0, 0, NULL, 0);
}

void ws_ending_out_of_memory(struct ws_connection *c)
{
	if (ws_connection_state(c) == WS_CONNECTING)
		ws_ending_step_why(c, WS_CLOSING_TERMINATE, 0, no_memory);
	else
		ws_ending_step_why(c, WS_CLOSING_PROTOCOL_FAILURE, WS_CODE_INTERNAL_ERROR, no_memory);
}

struct ws_closing_report ws_connection_report(const struct ws_connection *c)
{
	struct ws_closing_report report = ws_closing_report(&c->session.closing);
	report.clean = report.clean && !c->cut; /* 7.1.4: the peer has not seen a Close frame that is still here */
	return report;
}

void ws_ending_clear(struct ws_connection *c)
{
	ws_session_clear(&c->session);
	if (c->session.closing.opened) {
		ws_backlog_clear(&c->backlog);
	} else {
		ws_file_free(c->file);
		c->file = NULL;
	}
}

void ws_ending_report(struct ws_connection *c)
{
	c->reported = true;
	ws_timer_stop(c->endpoint->loop, &c->timer);
	ws_ending_clear(c);
	c->endpoint->on_finished(c);
	if (c->session.closing.opened) {
		struct ws_closing_report r = ws_connection_report(c);
		c->endpoint->handler->on_close(c, &r);
	}
	ws_loop_release(c->endpoint->loop);
	ws_connection_release(c);
}
