/*
 * How a connection ends, written down a second time: the rules look at the whole history of events and ask where
 * in it things must have happened; they know nothing of how the machine goes about it.
 */
#ifndef CLOSING_ORACLE_H
#define CLOSING_ORACLE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "protocol/closing.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

enum { LONGEST = 32, NEVER = 1000 };

/* ---- What can happen ---- */

struct symbol {
	enum ws_closing_event event;
	unsigned code, answer; /* answer to PEER_CLOSE; 0: somebody is asked for one */
};

/*
 * First each kind of event once, in the order of the enum, with codes that cannot be mistaken for one another. A
 * Close of the peer whose answer somebody is asked for is a kind of its own.
 */
static const struct symbol alphabet[] = {
	{ WS_CLOSING_OPENED, 0, 0 },
	{ WS_CLOSING_PEER_CLOSE, 4001, 4002 },
	{ WS_CLOSING_LOCAL_CLOSE, 1001, 0 },
	{ WS_CLOSING_PROTOCOL_FAILURE, 1002, 0 },
	{ WS_CLOSING_LOCAL_FAILURE, 1008, 0 },
	{ WS_CLOSING_HEARTBEAT_LOST, 0, 0 },
	{ WS_CLOSING_SEND_STALLED, 0, 0 },
	{ WS_CLOSING_EOF, 0, 0 },
	{ WS_CLOSING_ERROR, 0, 0 },
	{ WS_CLOSING_FIN_SENT, 0, 0 },
	{ WS_CLOSING_DEADLINE, 0, 0 },
	{ WS_CLOSING_TERMINATE, 0, 0 },
	{ WS_CLOSING_PEER_CLOSE, 4003, 0 },
	/* More codes. */
	{ WS_CLOSING_PEER_CLOSE, 1005, 1005 },
	{ WS_CLOSING_PEER_CLOSE, 1005, 0 },
	{ WS_CLOSING_LOCAL_CLOSE, 1005, 0 },
	{ WS_CLOSING_PROTOCOL_FAILURE, 1009, 0 },
	{ WS_CLOSING_LOCAL_FAILURE, 1011, 0 },
};

enum { SYMBOLS = COUNT(alphabet), EACH_KIND_ONCE = WS_CLOSING_EVENTS + 1 };

static const char *const event_names[WS_CLOSING_EVENTS] = {
	"OPENED", "PEER_CLOSE", "LOCAL_CLOSE", "PROTOCOL_FAILURE", "LOCAL_FAILURE", "HEARTBEAT_LOST",
	"SEND_STALLED", "EOF", "ERROR", "FIN_SENT", "DEADLINE", "TERMINATE",
};

struct history {
	enum ws_role role;
	int length;
	uint8_t symbols[LONGEST];
};

static const struct symbol *symbol_at(const struct history *h, int at)
{
	return &alphabet[h->symbols[at]];
}

/* ---- The rules, as places in a history ---- */

#define E(name) (1u << WS_CLOSING_##name)

/* Where each step of the ending stands in the history: an index, or NEVER. */
struct ending {
	int opened;    /* the handshake was done */
	int cause;     /* the first thing that ends an open connection: who ended it, what we send */
	int told;      /* our one Close frame goes out */
	int stop;      /* from here on no message is processed */
	int accepted;  /* the peer's Close frame, if it still was looked at */
	int end;       /* our FIN is due */
	int our_fin;   /* it has gone */
	int their_fin;
	int finish;    /* it is over */
};

static bool is(const struct history *h, int at, unsigned events)
{
	return at < h->length && (1u << symbol_at(h, at)->event & events);
}

static int first(const struct history *h, int from, unsigned events)
{
	for (int at = from; at < h->length; at++)
		if (is(h, at, events))
			return at;
	return NEVER;
}

static int sooner(int a, int b)
{
	return a < b ? a : b;
}

static int later(int a, int b)
{
	return a > b ? a : b;
}

/* The peer closed, and it is not known yet what to answer. */
static bool was_asked(const struct history *h, const struct ending *e)
{
	return is(h, e->cause, E(PEER_CLOSE)) && !symbol_at(h, e->cause)->answer;
}

/*
 * Our Close frame goes out with whatever began the ending, or not at all. RFC 6455 section 5.5.1 lets the answer to
 * the peer's come later: it is given by whoever was asked, is that of a failure of our own, or falls due.
 */
static int told_of(const struct history *h, const struct ending *e)
{
	if (was_asked(h, e))
		return first(h, e->cause + 1, E(LOCAL_CLOSE) | E(LOCAL_FAILURE) | E(DEADLINE));
	return is(h, e->cause, E(PEER_CLOSE) | E(LOCAL_CLOSE) | E(PROTOCOL_FAILURE) | E(LOCAL_FAILURE) |
		E(HEARTBEAT_LOST) | E(SEND_STALLED)) ? e->cause : NEVER;
}

/*
 * RFC 6455 section 7.1.1: after both Close frames the client leaves the first FIN to the server. FIN never goes
 * ahead of an answer that is owed.
 */
static int end_of(const struct history *h, const struct ending *e)
{
	int due = was_asked(h, e) ? e->told : e->stop;
	if (e->accepted != NEVER && h->role == WS_CLIENT)
		return later(due, first(h, e->accepted + 1, E(EOF)));
	return due;
}

/*
 * A transport failure and terminate() end it in any state, a stalled send at once, the deadline wherever there is
 * one, but the first brings the answer if that is owed; left alone it is over when both sides have sent their FIN.
 */
static int finish_of(const struct history *h, const struct ending *e)
{
	int finish = first(h, e->opened + 1, E(ERROR) | E(TERMINATE));
	finish = sooner(finish, first(h, (was_asked(h, e) ? e->told : e->cause) + 1, E(DEADLINE)));
	finish = sooner(finish, is(h, e->cause, E(SEND_STALLED)) ? e->cause : NEVER);
	return sooner(finish, later(e->our_fin, e->their_fin));
}

/* What would come after the end never happens. */
static void forget_after_finish(struct ending *e)
{
	int *const places[] = { &e->told, &e->stop, &e->accepted, &e->end, &e->our_fin, &e->their_fin };
	for (int i = 0; i < COUNT(places); i++)
		if (*places[i] > e->finish)
			*places[i] = NEVER;
	if (e->end == e->finish) /* too late to be polite */
		e->end = NEVER;
}

static struct ending ending_of(const struct history *h)
{
	struct ending e = { NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER };
	int dropped = first(h, 0, E(EOF) | E(ERROR) | E(DEADLINE) | E(TERMINATE));
	int opened = first(h, 0, E(OPENED));
	if (dropped < opened)
		e.finish = dropped;
	if (dropped < opened || opened == NEVER)
		return e;
	e.opened = opened;
	e.cause = first(h, opened + 1, E(PEER_CLOSE) | E(LOCAL_CLOSE) | E(PROTOCOL_FAILURE) |
		E(LOCAL_FAILURE) | E(HEARTBEAT_LOST) | E(SEND_STALLED) | E(EOF) | E(ERROR) | E(TERMINATE));
	e.told = told_of(h, &e);
	/*
	 * Our own close does not stop messages: the peer's answer does, or what makes an answer impossible.
	 * A failure of our own cannot be told to the peer any more, and its answer is still waited for.
	 */
	e.stop = is(h, e.cause, E(LOCAL_CLOSE)) ?
		first(h, e.cause + 1, E(PEER_CLOSE) | E(PROTOCOL_FAILURE) | E(EOF)) : e.cause;
	e.accepted = is(h, e.stop, E(PEER_CLOSE)) ? e.stop : NEVER;
	e.end = end_of(h, &e);
	e.our_fin = first(h, e.end + 1, E(FIN_SENT));
	e.their_fin = first(h, e.cause, E(EOF));
	e.finish = finish_of(h, &e);
	forget_after_finish(&e);
	return e;
}

static bool owes_answer(const struct history *h, const struct ending *e)
{
	return was_asked(h, e) && e->told == NEVER && e->finish == NEVER;
}

/* The code of our one Close frame. An answer that falls due repeats the code that came. */
static unsigned sent_of(const struct history *h, const struct ending *e)
{
	if (is(h, e->told, E(PEER_CLOSE)))
		return symbol_at(h, e->told)->answer;
	if (is(h, e->told, E(LOCAL_CLOSE) | E(PROTOCOL_FAILURE) | E(LOCAL_FAILURE)))
		return symbol_at(h, e->told)->code;
	if (is(h, e->told, E(DEADLINE)))
		return symbol_at(h, e->cause)->code;
	return is(h, e->told, E(HEARTBEAT_LOST) | E(SEND_STALLED)) ? 1011 : 0;
}

static unsigned received_of(const struct history *h, const struct ending *e)
{
	return e->accepted != NEVER ? symbol_at(h, e->accepted)->code : 0;
}

static unsigned code_of(const struct history *h, const struct ending *e)
{
	if (e->accepted != NEVER)
		return symbol_at(h, e->accepted)->code;
	if (is(h, e->cause, E(PROTOCOL_FAILURE) | E(LOCAL_FAILURE)))
		return symbol_at(h, e->cause)->code;
	return 1006;
}

static enum ws_by by_of(const struct history *h, const struct ending *e)
{
	if (is(h, e->cause, E(PEER_CLOSE)))
		return WS_BY_PEER;
	if (is(h, e->cause, E(LOCAL_CLOSE) | E(PROTOCOL_FAILURE) | E(LOCAL_FAILURE) | E(TERMINATE)))
		return WS_BY_LOCAL;
	return WS_BY_NETWORK;
}

static struct ws_closing_report report_of(const struct history *h, const struct ending *e)
{
	unsigned sent = sent_of(h, e), received = received_of(h, e);
	return (struct ws_closing_report){ code_of(h, e), sent, received, by_of(h, e), sent && received };
}

static enum ws_state state_of(const struct ending *e)
{
	if (e->finish != NEVER)
		return WS_CLOSED;
	if (e->cause != NEVER)
		return WS_CLOSING;
	return e->opened != NEVER ? WS_OPEN : WS_CONNECTING;
}

/* The orders that the last event of the history must give. */
static unsigned orders_of(const struct history *h, const struct ending *e)
{
	int now = h->length - 1;
	unsigned orders = 0;
	if (now == e->told)
		orders |= WS_ORDER_SEND_CLOSE;
	if (now == e->finish)
		return orders | WS_ORDER_FINISH |
			(is(h, now, E(TERMINATE) | E(SEND_STALLED)) ? WS_ORDER_ABORT : 0u);
	if (now == e->stop)
		orders |= WS_ORDER_STOP_MESSAGES;
	if (now == e->end)
		orders |= WS_ORDER_END;
	/* Each wait has its deadline: for either's Close, for the peer's FIN, for our output to go. */
	if (now == e->cause || now == e->told || now == e->accepted || now == e->end)
		orders |= WS_ORDER_DEADLINE;
	return orders;
}

/* Whether the last event of the history means anything. */
static bool matters(const struct history *h, const struct ending *e)
{
	int now = h->length - 1;
	return now == e->opened || now == e->cause || now == e->told || now == e->stop || now == e->end ||
		now == e->our_fin || now == e->their_fin || now == e->finish;
}

/* All of a history that matters to what may follow. */
struct summary {
	uint8_t cause, by;
	uint16_t passed, sent, received, code;
};

static struct summary summary_of(const struct history *h, const struct ending *e)
{
	const int places[] = {
		e->opened, e->cause, e->told, e->stop, e->accepted, e->end, e->our_fin, e->their_fin, e->finish
	};
	struct summary s;
	memset(&s, 0, sizeof s);
	for (int i = 0; i < COUNT(places); i++)
		s.passed = (uint16_t)(s.passed | (places[i] != NEVER) << i);
	s.cause = e->cause != NEVER ? (uint8_t)symbol_at(h, e->cause)->event : 0;
	s.by = (uint8_t)by_of(h, e);
	s.sent = (uint16_t)sent_of(h, e);
	s.received = (uint16_t)received_of(h, e);
	s.code = (uint16_t)code_of(h, e);
	return s;
}

/* ---- The rules by name ---- */

enum rule {
	RULE_ONE_REPORT, RULE_AFTER_END, RULE_ONE_CLOSE, RULE_CLOSE_DUE, RULE_ANSWERED, RULE_CODE, RULE_BY,
	RULE_SENT, RULE_RECEIVED, RULE_CLEAN, RULE_END, RULE_DEADLINE, RULE_LEFT, RULE_MESSAGES, RULE_FINISH, RULE_ABORT,
	RULE_STATE, RULE_MEANINGLESS, RULES
};

static const char *const rule_names[RULES] = {
	[RULE_ONE_REPORT] = "a connection ends once",
	[RULE_AFTER_END] = "after the end nothing is ordered and nothing changes",
	[RULE_ONE_CLOSE] = "at most one Close frame is sent, and none behind our FIN",
	[RULE_CLOSE_DUE] = "a Close frame is sent when one is due, and only then",
	[RULE_ANSWERED] =
		"the peer's Close is answered before our FIN and the end, unless an error or terminate came first",
	[RULE_CODE] = "code: the peer's, else that of the failure we told it, else 1006",
	[RULE_BY] = "by: whose Close frame or failure came first",
	[RULE_SENT] = "sent: the code of our Close frame, also of a late one, and of one that could not get through",
	[RULE_RECEIVED] =
		"received: the code of the peer's Close frame, if it came before a failure and the end",
	[RULE_CLEAN] = "clean: both Close frames were seen",
	[RULE_END] =
		"after both Close frames the server sends FIN, the client waits; a failure ends at once",
	[RULE_DEADLINE] = "each wait in CLOSING has its deadline, and the meaningless does not prolong it",
	[RULE_LEFT] = "every state is left by a deadline, an error, terminate and two FINs; by those behind an answer owed",
	[RULE_MESSAGES] =
		"messages stop once, with the peer's Close, a failure, a lost heartbeat, FIN; not with our close",
	[RULE_FINISH] =
		"it is over after both FINs, an error, a deadline, terminate or a stall, and not before",
	[RULE_ABORT] = "RST only for terminate and a stalled send",
	[RULE_STATE] = "the state and the facts behind it are those of the history",
	[RULE_MEANINGLESS] = "events that mean nothing order nothing and change nothing",
};


/* ---- The machine, and one step of it ---- */

struct moment {
	struct ws_closing c;
	uint16_t given; /* all orders so far */
};

/* Both are compared and hashed byte by byte. */
_Static_assert(sizeof(struct moment) == 12, "no padding in struct ws_closing and struct moment");
_Static_assert(sizeof(struct summary) == 10, "no padding in struct summary");

static bool same_state(const struct ws_closing *a, const struct ws_closing *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

/* ---- Judging one step ---- */

#define BROKEN(rule) (1u << (rule))

static unsigned judge_report(const struct ws_closing_report *want, const struct ws_closing_report *got)
{
	unsigned broken = 0;
	if (got->code != want->code)
		broken |= BROKEN(RULE_CODE);
	if (got->by != want->by)
		broken |= BROKEN(RULE_BY);
	if (got->sent != want->sent)
		broken |= BROKEN(RULE_SENT);
	if (got->received != want->received)
		broken |= BROKEN(RULE_RECEIVED);
	if (got->clean != want->clean)
		broken |= BROKEN(RULE_CLEAN);
	return broken;
}

static unsigned judge_orders(unsigned want, unsigned got, unsigned given)
{
	unsigned wrong = want ^ got, broken = 0;
	/* A dropped transport has no more messages anyway. */
	if ((got & WS_ORDER_FINISH) && !(given & WS_ORDER_STOP_MESSAGES))
		wrong &= ~(unsigned)WS_ORDER_STOP_MESSAGES;
	if (wrong & WS_ORDER_SEND_CLOSE)
		broken |= BROKEN(RULE_CLOSE_DUE);
	if (wrong & WS_ORDER_STOP_MESSAGES)
		broken |= BROKEN(RULE_MESSAGES);
	if (wrong & WS_ORDER_END)
		broken |= BROKEN(RULE_END);
	if (wrong & WS_ORDER_DEADLINE)
		broken |= BROKEN(RULE_DEADLINE);
	if (wrong & WS_ORDER_ABORT)
		broken |= BROKEN(RULE_ABORT);
	if (wrong & WS_ORDER_FINISH)
		broken |= BROKEN(RULE_FINISH);
	if (wrong >= WS_ORDER_FINISH << 1)
		broken |= BROKEN(RULE_MEANINGLESS);
	return broken;
}

/* Rules that need no history: they hold between the orders themselves. */
static unsigned judge_succession(const struct moment *before, const struct moment *after, unsigned orders)
{
	unsigned broken = 0;
	if (before->given & WS_ORDER_FINISH) {
		if (orders & WS_ORDER_FINISH)
			broken |= BROKEN(RULE_ONE_REPORT);
		if (orders || !same_state(&before->c, &after->c))
			broken |= BROKEN(RULE_AFTER_END);
	}
	if ((orders & WS_ORDER_SEND_CLOSE) && (before->given & (WS_ORDER_SEND_CLOSE | WS_ORDER_END)))
		broken |= BROKEN(RULE_ONE_CLOSE);
	if (after->c.state == WS_CLOSING && !(after->given & WS_ORDER_DEADLINE))
		broken |= BROKEN(RULE_DEADLINE);
	if ((orders & WS_ORDER_ABORT) && !(orders & WS_ORDER_FINISH))
		broken |= BROKEN(RULE_ABORT);
	return broken;
}

/* 5.5.1, whatever led here: the peer's Close, once looked at, does not stay without an answer. */
static unsigned judge_answer(const struct history *h, const struct ending *e, const struct moment *after,
	unsigned orders)
{
	if (e->accepted == NEVER || (after->given & WS_ORDER_SEND_CLOSE))
		return 0;
	bool cut = is(h, h->length - 1, E(ERROR) | E(TERMINATE));
	return (orders & WS_ORDER_END) || ((orders & WS_ORDER_FINISH) && !cut) ? BROKEN(RULE_ANSWERED) : 0;
}

static unsigned judge_facts(const struct history *h, const struct ending *e, const struct ws_closing *c)
{
	unsigned broken = 0;
	if (c->state != state_of(e) || c->opened != (e->opened != NEVER))
		broken |= BROKEN(RULE_STATE);
	if (ws_closing_owes_answer(c) != owes_answer(h, e))
		broken |= BROKEN(RULE_STATE);
	if (c->sent != sent_of(h, e))
		broken |= BROKEN(RULE_SENT);
	if (c->received != received_of(h, e))
		broken |= BROKEN(RULE_RECEIVED);
	if (e->finish != NEVER)
		return broken;
	if (c->messages_stopped != (e->stop != NEVER))
		broken |= BROKEN(RULE_MESSAGES);
	if (c->end_ordered != (e->end != NEVER) || c->fin_sent != (e->our_fin != NEVER) ||
	    c->fin_received != (e->their_fin != NEVER))
		broken |= BROKEN(RULE_STATE);
	return broken;
}

#endif
