/*
 * Faults to plant in the closing state machine, each with the rule that must notice it: what the explorer is worth.
 */
#ifndef CLOSING_FAULTS_H
#define CLOSING_FAULTS_H

#include "closing_oracle.h"
#include "protocol/closing.h"

/* A step that was taken; a fault changes what came of it. */
struct taken {
	const struct ws_closing *before;
	struct ws_closing *c;
	const struct symbol *symbol;
	unsigned orders;
};

struct fault {
	const char *name;
	enum rule rule; /* at least this one must notice */
	void (*step)(struct taken *t);
	void (*report)(struct ws_closing_report *r);
};

static bool in(const struct taken *t, enum ws_state state, enum ws_closing_event event)
{
	return t->before->state == state && t->symbol->event == event;
}

/* What comes while the peer's Close waits for an answer. */
static bool owed(const struct taken *t, enum ws_closing_event event)
{
	return in(t, WS_CLOSING, event) && ws_closing_owes_answer(t->before);
}

static bool late_answer(const struct taken *t)
{
	return owed(t, WS_CLOSING_LOCAL_CLOSE) || owed(t, WS_CLOSING_LOCAL_FAILURE);
}

static bool asking(const struct taken *t)
{
	return in(t, WS_OPEN, WS_CLOSING_PEER_CLOSE) && !t->symbol->answer;
}

static void drop(struct taken *t, unsigned orders)
{
	t->orders &= ~orders;
}

/* As if the event had not come. */
static void swallow(struct taken *t)
{
	*t->c = *t->before;
	t->orders = 0;
}

static void end_now(struct taken *t)
{
	t->c->state = WS_CLOSED;
	t->orders |= WS_ORDER_FINISH;
}

static void send_end(struct taken *t)
{
	t->c->end_ordered = true;
	t->orders |= WS_ORDER_END;
}

static void send_no_end(struct taken *t)
{
	t->c->end_ordered = false;
	drop(t, WS_ORDER_END);
}

static void fault_answers_again(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_PEER_CLOSE))
		t->orders |= WS_ORDER_SEND_CLOSE;
}

static void fault_close_after_fin(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_LOCAL_CLOSE) && t->before->end_ordered && !t->before->sent)
		t->orders |= WS_ORDER_SEND_CLOSE;
}

static void fault_no_answer(struct taken *t)
{
	if (in(t, WS_OPEN, WS_CLOSING_PEER_CLOSE) && t->symbol->answer)
		drop(t, WS_ORDER_SEND_CLOSE);
}

static void fault_silent_failure(struct taken *t)
{
	if (in(t, WS_OPEN, WS_CLOSING_PROTOCOL_FAILURE))
		drop(t, WS_ORDER_SEND_CLOSE);
}

static void fault_server_no_end(struct taken *t)
{
	if (t->c->role == WS_SERVER && in(t, WS_CLOSING, WS_CLOSING_PEER_CLOSE))
		drop(t, WS_ORDER_END);
}

static void fault_client_ends(struct taken *t)
{
	if (t->c->role == WS_CLIENT && in(t, WS_OPEN, WS_CLOSING_PEER_CLOSE))
		send_end(t);
}

static void fault_client_never_ends(struct taken *t)
{
	if (t->c->role == WS_CLIENT && in(t, WS_CLOSING, WS_CLOSING_EOF))
		drop(t, WS_ORDER_END);
}

static void fault_failure_waits(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_PROTOCOL_FAILURE) && (t->orders & WS_ORDER_END))
		send_no_end(t);
}

static void fault_before_our_fin(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_EOF))
		end_now(t);
}

static void fault_before_their_fin(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_FIN_SENT) && t->before->end_ordered)
		end_now(t);
}

static void fault_at_both_closes(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_PEER_CLOSE) && t->c->received)
		end_now(t);
}

static void fault_deadline_in_open(struct taken *t)
{
	if (in(t, WS_OPEN, WS_CLOSING_DEADLINE))
		end_now(t);
}

static void fault_fin_before_end(struct taken *t)
{
	if (in(t, WS_OPEN, WS_CLOSING_FIN_SENT))
		t->c->fin_sent = true;
}

static void fault_no_deadline(struct taken *t)
{
	if (in(t, WS_OPEN, WS_CLOSING_LOCAL_CLOSE))
		drop(t, WS_ORDER_DEADLINE);
}

static void fault_no_deadline_for_fin(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_PEER_CLOSE))
		drop(t, WS_ORDER_DEADLINE);
}

static void fault_deadline_prolonged(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_PEER_CLOSE))
		t->orders |= WS_ORDER_DEADLINE;
}

static void fault_deadline_ignored(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_DEADLINE) && t->before->sent && !t->before->end_ordered)
		swallow(t);
}

static void fault_terminate_swallowed(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_TERMINATE) && t->before->fin_sent)
		swallow(t);
}

static void fault_error_swallowed(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_ERROR) && t->before->messages_stopped)
		swallow(t);
}

static void fault_eof_swallowed(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_EOF) && !t->before->messages_stopped)
		swallow(t);
}

static void fault_close_is_deaf(struct taken *t)
{
	if (in(t, WS_OPEN, WS_CLOSING_LOCAL_CLOSE)) {
		t->c->messages_stopped = true;
		t->orders |= WS_ORDER_STOP_MESSAGES;
	}
}

static void fault_messages_after_close(struct taken *t)
{
	if (in(t, WS_OPEN, WS_CLOSING_PEER_CLOSE))
		drop(t, WS_ORDER_STOP_MESSAGES);
}

static void fault_messages_after_pong(struct taken *t)
{
	if (in(t, WS_OPEN, WS_CLOSING_HEARTBEAT_LOST))
		t->c->messages_stopped = false;
}

static void fault_close_after_failure(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_PEER_CLOSE) && t->before->failed_with)
		t->c->received = (uint16_t)t->symbol->code;
}

static void fault_keeps_last_close(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_PEER_CLOSE) && t->before->received)
		t->c->received = (uint16_t)t->symbol->code;
}

static void fault_unsent_failure(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_PROTOCOL_FAILURE) && (t->orders & WS_ORDER_END))
		t->c->failed_with = (uint16_t)t->symbol->code;
}

static void fault_heartbeat_is_failure(struct taken *t)
{
	if (in(t, WS_OPEN, WS_CLOSING_HEARTBEAT_LOST))
		t->c->failed_with = 1011;
}

static void fault_heartbeat_local(struct taken *t)
{
	if (in(t, WS_OPEN, WS_CLOSING_HEARTBEAT_LOST))
		t->c->by = WS_BY_LOCAL;
}

static void fault_own_close_by_peer(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_PEER_CLOSE) && t->c->received)
		t->c->by = WS_BY_PEER;
}

static void fault_terminate_network(struct taken *t)
{
	if (in(t, WS_OPEN, WS_CLOSING_TERMINATE))
		t->c->by = WS_BY_NETWORK;
}

static void fault_last_cause_counts(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_TERMINATE) || in(t, WS_CLOSING, WS_CLOSING_LOCAL_CLOSE))
		t->c->by = WS_BY_LOCAL;
}

static void fault_empty_answered_1000(struct taken *t)
{
	if (in(t, WS_OPEN, WS_CLOSING_PEER_CLOSE) && t->symbol->answer == 1005)
		t->c->sent = 1000;
}

static void fault_stall_untold(struct taken *t)
{
	if (in(t, WS_OPEN, WS_CLOSING_SEND_STALLED))
		t->c->sent = 0;
}

static void fault_deadline_aborts(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_DEADLINE))
		t->orders |= WS_ORDER_ABORT;
}

static void fault_terminate_polite(struct taken *t)
{
	if (in(t, WS_CONNECTING, WS_CLOSING_TERMINATE))
		drop(t, WS_ORDER_ABORT);
}

static void fault_ends_twice(struct taken *t)
{
	if (in(t, WS_CLOSED, WS_CLOSING_TERMINATE) && t->before->opened)
		t->orders |= WS_ORDER_FINISH;
}

static void fault_learns_after_end(struct taken *t)
{
	if (in(t, WS_CLOSED, WS_CLOSING_PEER_CLOSE))
		t->c->received = (uint16_t)t->symbol->code;
}

static void fault_close_before_opened(struct taken *t)
{
	if (in(t, WS_CONNECTING, WS_CLOSING_LOCAL_CLOSE))
		t->c->state = WS_CLOSING;
}

static void fault_opens_again(struct taken *t)
{
	if (in(t, WS_CLOSED, WS_CLOSING_OPENED) && !t->before->opened)
		t->c->opened = true;
}

static void fault_failure_overwrites(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_LOCAL_FAILURE))
		t->c->failed_with = (uint16_t)t->symbol->code;
}

static void fault_answers_twice(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_LOCAL_CLOSE) && t->before->received && t->before->sent)
		t->orders |= WS_ORDER_SEND_CLOSE;
}

static void fault_answers_unasked(struct taken *t)
{
	if (asking(t))
		t->orders |= WS_ORDER_SEND_CLOSE;
}

static void fault_failure_is_no_answer(struct taken *t)
{
	if (owed(t, WS_CLOSING_LOCAL_FAILURE))
		swallow(t);
}

static void fault_failure_answers(struct taken *t)
{
	if (owed(t, WS_CLOSING_PROTOCOL_FAILURE)) {
		t->c->sent = (uint16_t)t->symbol->code;
		t->orders |= WS_ORDER_SEND_CLOSE;
	}
}

static void fault_deadline_unanswered(struct taken *t)
{
	if (owed(t, WS_CLOSING_DEADLINE)) {
		swallow(t);
		end_now(t);
	}
}

static void fault_fin_loses_answer(struct taken *t)
{
	if (owed(t, WS_CLOSING_EOF))
		end_now(t);
}

static void fault_fin_before_answer(struct taken *t)
{
	if (owed(t, WS_CLOSING_EOF))
		send_end(t);
}

static void fault_client_no_end(struct taken *t)
{
	if (late_answer(t) && t->c->role == WS_CLIENT && t->before->fin_received)
		send_no_end(t);
}

static void fault_client_no_end_due(struct taken *t)
{
	if (owed(t, WS_CLOSING_DEADLINE) && t->c->role == WS_CLIENT && t->before->fin_received)
		send_no_end(t);
}

static void fault_client_answers_and_ends(struct taken *t)
{
	if (late_answer(t) && t->c->role == WS_CLIENT && !t->before->fin_received)
		send_end(t);
}

static void fault_server_no_end_late(struct taken *t)
{
	if (late_answer(t) && t->c->role == WS_SERVER)
		send_no_end(t);
}

static void fault_stall_ends_wait(struct taken *t)
{
	if (owed(t, WS_CLOSING_SEND_STALLED))
		end_now(t);
}

static void fault_fin_unnoted(struct taken *t)
{
	if (owed(t, WS_CLOSING_EOF))
		swallow(t);
}

static void fault_asks_for_ever(struct taken *t)
{
	if (asking(t))
		drop(t, WS_ORDER_DEADLINE);
}

static void fault_no_deadline_late(struct taken *t)
{
	if (late_answer(t))
		drop(t, WS_ORDER_DEADLINE);
}

static void fault_no_deadline_due(struct taken *t)
{
	if (owed(t, WS_CLOSING_DEADLINE))
		drop(t, WS_ORDER_DEADLINE);
}

static void fault_fin_prolongs(struct taken *t)
{
	if (owed(t, WS_CLOSING_EOF))
		t->orders |= WS_ORDER_DEADLINE;
}

static void fault_owes_for_ever(struct taken *t)
{
	if (owed(t, WS_CLOSING_DEADLINE))
		swallow(t);
}

static void fault_messages_while_asking(struct taken *t)
{
	if (asking(t)) {
		t->c->messages_stopped = false;
		drop(t, WS_ORDER_STOP_MESSAGES);
	}
}

static void fault_stops_twice(struct taken *t)
{
	if (late_answer(t))
		t->orders |= WS_ORDER_STOP_MESSAGES;
}

static void fault_answer_replaces(struct taken *t)
{
	if (late_answer(t))
		t->c->received = (uint16_t)t->symbol->code;
}

static void fault_error_forgets(struct taken *t)
{
	if (owed(t, WS_CLOSING_ERROR))
		t->c->received = 0;
}

static void fault_another_code_due(struct taken *t)
{
	if (owed(t, WS_CLOSING_DEADLINE))
		t->c->sent = 1000;
}

static void fault_late_code_ignored(struct taken *t)
{
	if (late_answer(t))
		t->c->sent = t->c->received;
}

static void fault_terminate_waits(struct taken *t)
{
	if (owed(t, WS_CLOSING_TERMINATE))
		drop(t, WS_ORDER_ABORT);
}

static void fault_answers_after_end(struct taken *t)
{
	if (in(t, WS_CLOSED, WS_CLOSING_LOCAL_CLOSE) && t->before->received && !t->before->sent) {
		t->c->sent = (uint16_t)t->symbol->code;
		t->orders |= WS_ORDER_SEND_CLOSE;
	}
}

static void fault_report_clean_unanswered(struct ws_closing_report *r)
{
	r->clean = r->received != 0;
}

static void fault_report_unanswered_1006(struct ws_closing_report *r)
{
	if (!r->sent)
		r->code = 1006;
}

static void fault_report_clean(struct ws_closing_report *r)
{
	r->clean = r->sent != 0;
}

static void fault_report_empty_is_1006(struct ws_closing_report *r)
{
	if (r->code == 1005)
		r->code = 1006;
}

static void fault_report_code_sent(struct ws_closing_report *r)
{
	if (r->received && r->sent)
		r->code = r->sent;
}

static void fault_report_own_code(struct ws_closing_report *r)
{
	if (r->by == WS_BY_LOCAL && r->sent && !r->received)
		r->code = r->sent;
}

static const struct fault faults[] = {
	{ "a second Close frame is answered", RULE_ONE_CLOSE, fault_answers_again, NULL },
	{ "a Close frame is sent behind our FIN", RULE_ONE_CLOSE, fault_close_after_fin, NULL },
	{ "the peer's Close is not answered", RULE_CLOSE_DUE, fault_no_answer, NULL },
	{ "a protocol failure is not told to the peer", RULE_CLOSE_DUE, fault_silent_failure, NULL },
	{ "END missing for the server", RULE_END, fault_server_no_end, NULL },
	{ "the client ends at once", RULE_END, fault_client_ends, NULL },
	{ "the client never ends", RULE_END, fault_client_never_ends, NULL },
	{ "a failure in CLOSING waits for the peer", RULE_END, fault_failure_waits, NULL },
	{ "it is over before our FIN", RULE_FINISH, fault_before_our_fin, NULL },
	{ "it is over before the peer's FIN", RULE_FINISH, fault_before_their_fin, NULL },
	{ "it is over with both Close frames", RULE_FINISH, fault_at_both_closes, NULL },
	{ "a late deadline ends an open connection", RULE_FINISH, fault_deadline_in_open, NULL },
	{ "a FIN that was not ordered counts as sent", RULE_STATE, fault_fin_before_end, NULL },
	{ "DEADLINE forgotten for our own close", RULE_DEADLINE, fault_no_deadline, NULL },
	{ "no deadline of its own for the peer's FIN", RULE_DEADLINE, fault_no_deadline_for_fin, NULL },
	{ "more Close frames prolong the deadline", RULE_DEADLINE, fault_deadline_prolonged, NULL },
	{ "the deadline passes and nothing happens", RULE_LEFT, fault_deadline_ignored, NULL },
	{ "TERMINATE swallowed while the peer's FIN is awaited", RULE_LEFT, fault_terminate_swallowed, NULL },
	{ "ERROR swallowed while input is drained", RULE_LEFT, fault_error_swallowed, NULL },
	{ "FIN instead of an answer swallowed", RULE_LEFT, fault_eof_swallowed, NULL },
	{ "our own close stops messages", RULE_MESSAGES, fault_close_is_deaf, NULL },
	{ "messages go on after the peer's Close", RULE_MESSAGES, fault_messages_after_close, NULL },
	{ "messages go on after a lost heartbeat", RULE_MESSAGES, fault_messages_after_pong, NULL },
	{ "a Close frame after a failure is accepted", RULE_RECEIVED, fault_close_after_failure, NULL },
	{ "the last of the peer's Close frames counts", RULE_RECEIVED, fault_keeps_last_close, NULL },
	{ "code of a failure that was not sent", RULE_CODE, fault_unsent_failure, NULL },
	{ "a later failure of our own replaces 1006", RULE_CODE, fault_failure_overwrites, NULL },
	{ "a lost heartbeat is reported as 1011", RULE_CODE, fault_heartbeat_is_failure, NULL },
	{ "an empty Close is reported as 1006", RULE_CODE, NULL, fault_report_empty_is_1006 },
	{ "our answer is reported instead of the peer's code", RULE_CODE, NULL, fault_report_code_sent },
	{ "a close that was not answered is reported with our code", RULE_CODE, NULL, fault_report_own_code },
	{ "a lost heartbeat is by local", RULE_BY, fault_heartbeat_local, NULL },
	{ "our own close, answered, is by peer", RULE_BY, fault_own_close_by_peer, NULL },
	{ "terminate is by network", RULE_BY, fault_terminate_network, NULL },
	{ "who closed last counts", RULE_BY, fault_last_cause_counts, NULL },
	{ "an empty Close is answered with 1000", RULE_SENT, fault_empty_answered_1000, NULL },
	{ "the 1011 of a stalled send is not told", RULE_SENT, fault_stall_untold, NULL },
	{ "clean without the peer's Close", RULE_CLEAN, NULL, fault_report_clean },
	{ "a passed deadline sends RST", RULE_ABORT, fault_deadline_aborts, NULL },
	{ "terminate during the handshake sends no RST", RULE_ABORT, fault_terminate_polite, NULL },
	{ "it ends a second time", RULE_ONE_REPORT, fault_ends_twice, NULL },
	{ "a Close frame after the end changes the report", RULE_AFTER_END, fault_learns_after_end, NULL },
	{ "it opens after the end", RULE_AFTER_END, fault_opens_again, NULL },
	{ "a close is begun during the handshake", RULE_MEANINGLESS, fault_close_before_opened, NULL },
	/* The answer that is given later, or falls due. */
	{ "the peer's Close is answered twice", RULE_ONE_CLOSE, fault_answers_twice, NULL },
	{ "an answer goes out although somebody is asked for one", RULE_CLOSE_DUE, fault_answers_unasked, NULL },
	{ "a failure of whoever was asked is no answer", RULE_CLOSE_DUE, fault_failure_is_no_answer, NULL },
	{ "what comes behind the peer's Close fails the connection", RULE_CLOSE_DUE, fault_failure_answers, NULL },
	{ "the deadline finishes without the answer", RULE_ANSWERED, fault_deadline_unanswered, NULL },
	{ "a FIN before the answer loses the answer", RULE_ANSWERED, fault_fin_loses_answer, NULL },
	{ "a FIN is answered with FIN in front of the answer", RULE_ANSWERED, fault_fin_before_answer, NULL },
	{ "the client does not end after an answer behind the peer's FIN", RULE_END, fault_client_no_end, NULL },
	{ "the client does not end after an answer due behind the peer's FIN", RULE_END, fault_client_no_end_due, NULL },
	{ "the client ends with a late answer, without the peer's FIN", RULE_END, fault_client_answers_and_ends, NULL },
	{ "the server does not end after a late answer", RULE_END, fault_server_no_end_late, NULL },
	{ "a stalled send ends the wait for an answer", RULE_FINISH, fault_stall_ends_wait, NULL },
	{ "a FIN before the answer is not noted", RULE_STATE, fault_fin_unnoted, NULL },
	{ "no deadline for the answer", RULE_DEADLINE, fault_asks_for_ever, NULL },
	{ "no deadline of its own after a late answer", RULE_DEADLINE, fault_no_deadline_late, NULL },
	{ "no deadline of its own after an answer that fell due", RULE_DEADLINE, fault_no_deadline_due, NULL },
	{ "a FIN before the answer prolongs the deadline", RULE_DEADLINE, fault_fin_prolongs, NULL },
	{ "the deadline of the answer passes and nothing happens", RULE_LEFT, fault_owes_for_ever, NULL },
	{ "messages go on while an answer is awaited", RULE_MESSAGES, fault_messages_while_asking, NULL },
	{ "messages are stopped again by a late answer", RULE_MESSAGES, fault_stops_twice, NULL },
	{ "the late answer replaces the peer's code", RULE_RECEIVED, fault_answer_replaces, NULL },
	{ "an error before the answer forgets the peer's Close", RULE_RECEIVED, fault_error_forgets, NULL },
	{ "another code is answered at the deadline", RULE_SENT, fault_another_code_due, NULL },
	{ "a late answer has the code that came", RULE_SENT, fault_late_code_ignored, NULL },
	{ "terminate before the answer sends no RST", RULE_ABORT, fault_terminate_waits, NULL },
	{ "an answer is given after the end", RULE_AFTER_END, fault_answers_after_end, NULL },
	{ "clean without our answer", RULE_CLEAN, NULL, fault_report_clean_unanswered },
	{ "a Close that was not answered is reported as 1006", RULE_CODE, NULL, fault_report_unanswered_1006 },
};

#endif
