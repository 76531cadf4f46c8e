/*
 * Explores the closing state machine: every sequence of its events up to a depth, and every state it can
 * reach at any depth, both roles, against the rules of how a connection ends written down a second time.
 *
 * The rules here look at the whole history of events and ask where in it things must have happened; they
 * know nothing of how the machine goes about it. Faults planted in the machine show that each rule is looked
 * after.
 *
 *	closing_explore [--seconds N] [--faults]
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "protocol/closing.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

enum { EVERY_SEQUENCE = 7, EVERY_CODE = 6, LONGEST = 32, NEVER = 1000, NODES = 1 << 14, SLOTS = 1 << 16 };

/* ---- What can happen ---- */

struct symbol {
	enum ws_closing_event event;
	unsigned code, answer;
};

/* First each event once, in the order of the enum, with codes that cannot be mistaken for one another. */
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
	/* More codes. */
	{ WS_CLOSING_PEER_CLOSE, 1000, 1000 },
	{ WS_CLOSING_PEER_CLOSE, 1005, 1005 },
	{ WS_CLOSING_LOCAL_CLOSE, 1000, 0 },
	{ WS_CLOSING_PROTOCOL_FAILURE, 1009, 0 },
	{ WS_CLOSING_LOCAL_FAILURE, 1011, 0 },
};

enum { SYMBOLS = COUNT(alphabet), EACH_EVENT_ONCE = WS_CLOSING_EVENTS };

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

/*
 * A transport failure and terminate() end it in any state, the deadline wherever there is one, a stalled send
 * at once; left alone it is over when both sides have sent their FIN.
 */
static int finish_of(const struct history *h, const struct ending *e)
{
	int finish = first(h, e->opened + 1, E(ERROR) | E(TERMINATE));
	finish = sooner(finish, first(h, e->cause + 1, E(DEADLINE)));
	finish = sooner(finish, is(h, e->cause, E(SEND_STALLED)) ? e->cause : NEVER);
	return sooner(finish, later(e->our_fin, e->their_fin));
}

/* What would come after the end never happens. */
static void forget_after_finish(struct ending *e)
{
	int *const places[] = { &e->stop, &e->accepted, &e->end, &e->our_fin, &e->their_fin };
	for (int i = 0; i < COUNT(places); i++)
		if (*places[i] > e->finish)
			*places[i] = NEVER;
	if (e->end == e->finish) /* too late to be polite */
		e->end = NEVER;
}

static struct ending ending_of(const struct history *h)
{
	struct ending e = { NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER };
	int dropped = first(h, 0, E(EOF) | E(ERROR) | E(DEADLINE) | E(TERMINATE));
	int opened = first(h, 0, E(OPENED));
	if (dropped < opened)
		e.finish = dropped;
	if (dropped < opened || opened == NEVER)
		return e;
	e.opened = opened;
	e.cause = first(h, opened + 1, E(PEER_CLOSE) | E(LOCAL_CLOSE) | E(PROTOCOL_FAILURE) |
		E(LOCAL_FAILURE) | E(HEARTBEAT_LOST) | E(SEND_STALLED) | E(EOF) | E(ERROR) | E(TERMINATE));
	/*
	 * Our own close does not stop messages: the peer's answer does, or what makes an answer impossible.
	 * A failure of our own cannot be told to the peer any more, and its answer is still waited for.
	 */
	e.stop = is(h, e.cause, E(LOCAL_CLOSE)) ?
		first(h, e.cause + 1, E(PEER_CLOSE) | E(PROTOCOL_FAILURE) | E(EOF)) : e.cause;
	e.accepted = is(h, e.stop, E(PEER_CLOSE)) ? e.stop : NEVER;
	/* RFC 6455 section 7.1.1: after both Close frames the client leaves the first FIN to the server. */
	e.end = e.accepted != NEVER && h->role == WS_CLIENT ? first(h, e.accepted + 1, E(EOF)) : e.stop;
	e.our_fin = first(h, e.end + 1, E(FIN_SENT));
	e.their_fin = first(h, e.cause, E(EOF));
	e.finish = finish_of(h, &e);
	forget_after_finish(&e);
	return e;
}

/* The code of our one Close frame: it goes out with whatever began the ending, or not at all. */
static unsigned sent_of(const struct history *h, const struct ending *e)
{
	if (is(h, e->cause, E(PEER_CLOSE)))
		return symbol_at(h, e->cause)->answer;
	if (is(h, e->cause, E(LOCAL_CLOSE) | E(PROTOCOL_FAILURE) | E(LOCAL_FAILURE)))
		return symbol_at(h, e->cause)->code;
	return is(h, e->cause, E(HEARTBEAT_LOST) | E(SEND_STALLED)) ? 1011 : 0;
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
	if (now == e->cause && sent_of(h, e))
		orders |= WS_ORDER_SEND_CLOSE;
	if (now == e->finish)
		return orders | WS_ORDER_FINISH |
			(is(h, now, E(TERMINATE) | E(SEND_STALLED)) ? WS_ORDER_ABORT : 0u);
	if (now == e->stop)
		orders |= WS_ORDER_STOP_MESSAGES;
	if (now == e->end)
		orders |= WS_ORDER_END;
	/* Each wait has its deadline: for the peer's Close, for its FIN, for our output to go. */
	if (now == e->cause || now == e->accepted || now == e->end)
		orders |= WS_ORDER_DEADLINE;
	return orders;
}

/* Whether the last event of the history means anything. */
static bool matters(const struct history *h, const struct ending *e)
{
	int now = h->length - 1;
	return now == e->opened || now == e->cause || now == e->stop || now == e->end || now == e->our_fin ||
		now == e->their_fin || now == e->finish;
}

/* All of a history that matters to what may follow. */
struct summary {
	uint8_t passed, cause, by, unused;
	uint16_t sent, received, code;
};

static struct summary summary_of(const struct history *h, const struct ending *e)
{
	const int places[] = {
		e->opened, e->cause, e->stop, e->accepted, e->end, e->our_fin, e->their_fin, e->finish
	};
	struct summary s;
	memset(&s, 0, sizeof s);
	for (int i = 0; i < COUNT(places); i++)
		s.passed = (uint8_t)(s.passed | (places[i] != NEVER) << i);
	s.cause = e->cause != NEVER ? (uint8_t)symbol_at(h, e->cause)->event : 0;
	s.by = (uint8_t)by_of(h, e);
	s.sent = (uint16_t)sent_of(h, e);
	s.received = (uint16_t)received_of(h, e);
	s.code = (uint16_t)code_of(h, e);
	return s;
}

/* ---- The rules by name ---- */

enum rule {
	RULE_ONE_REPORT, RULE_AFTER_END, RULE_ONE_CLOSE, RULE_CLOSE_DUE, RULE_CODE, RULE_BY, RULE_SENT,
	RULE_RECEIVED, RULE_CLEAN, RULE_END, RULE_DEADLINE, RULE_LEFT, RULE_MESSAGES, RULE_FINISH, RULE_ABORT,
	RULE_STATE, RULE_MEANINGLESS, RULES
};

static const char *const rule_names[RULES] = {
	[RULE_ONE_REPORT] = "a connection ends once",
	[RULE_AFTER_END] = "after the end nothing is ordered and nothing changes",
	[RULE_ONE_CLOSE] = "at most one Close frame is sent, and none behind our FIN",
	[RULE_CLOSE_DUE] = "a Close frame is sent when one is due, and only then",
	[RULE_CODE] = "code: the peer's, else that of the failure we told it, else 1006",
	[RULE_BY] = "by: whose Close frame or failure came first",
	[RULE_SENT] = "sent: the code of our Close frame, also of one that could not get through",
	[RULE_RECEIVED] =
		"received: the code of the peer's Close frame, if it came before a failure and the end",
	[RULE_CLEAN] = "clean: both Close frames were seen",
	[RULE_END] =
		"after both Close frames the server sends FIN, the client waits; a failure ends at once",
	[RULE_DEADLINE] = "each wait in CLOSING has its deadline, and the meaningless does not prolong it",
	[RULE_LEFT] = "every state is left by a deadline, an error, terminate and two FINs",
	[RULE_MESSAGES] =
		"messages stop with the peer's Close, a failure, a lost heartbeat, FIN; not with our close",
	[RULE_FINISH] =
		"it is over after both FINs, an error, a deadline, terminate or a stall, and not before",
	[RULE_ABORT] = "RST only for terminate and a stalled send",
	[RULE_STATE] = "the state and the facts behind it are those of the history",
	[RULE_MEANINGLESS] = "events that mean nothing order nothing and change nothing",
};

/* ---- The machine under test, perhaps with a fault in it ---- */

struct moment {
	struct ws_closing c;
	uint16_t given; /* all orders so far */
};

/* Both are compared and hashed byte by byte. */
_Static_assert(sizeof(struct moment) == 16, "no padding in struct ws_closing and struct moment");
_Static_assert(sizeof(struct summary) == 10, "no padding in struct summary");

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

struct counterexample {
	bool found;
	struct history history;
};

struct node {
	struct moment moment;
	struct summary summary;
	int parent;
	uint8_t role, symbol, depth;
	int next[SYMBOLS];
};

struct explorer {
	const struct fault *fault;
	struct counterexample broken[RULES];
	bool stop_at_first, stopped;

	/* breadth: every state and summary */
	struct node *nodes;
	int *slots;
	int count, deepest;
	bool incomplete;

	/* depth: every sequence */
	bool only_longest; /* shorter ones were judged before */
	bool only_opened;  /* the handshake is done first, and one event after the end is enough */
	int depth, symbols;
	double deadline; /* 0: none */
	uint64_t sequences, until_look;
	struct counterexample unforeseen; /* a sequence that breadth thought to be like another and is not */
};

static unsigned step(const struct explorer *x, struct moment *m, const struct symbol *s)
{
	struct ws_closing before = m->c;
	struct taken t = { &before, &m->c, s, 0 };
	t.orders = ws_closing_step(&m->c, s->event, s->code, s->answer);
	if (x->fault && x->fault->step)
		x->fault->step(&t);
	m->given = (uint16_t)(m->given | t.orders);
	return t.orders;
}

static struct ws_closing_report report(const struct explorer *x, const struct moment *m)
{
	struct ws_closing_report r = ws_closing_report(&m->c);
	if (x->fault && x->fault->report)
		x->fault->report(&r);
	return r;
}

static struct moment start(enum ws_role role)
{
	struct moment m;
	memset(&m, 0, sizeof m);
	m.c.role = (uint8_t)role;
	return m;
}

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
	/* To be told twice to stop does no harm, and a dropped transport has no more messages anyway. */
	if ((got & WS_ORDER_FINISH) || (got & given & WS_ORDER_STOP_MESSAGES))
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

static unsigned judge_facts(const struct history *h, const struct ending *e, const struct ws_closing *c)
{
	unsigned broken = 0;
	if (c->state != state_of(e) || c->opened != (e->opened != NEVER))
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

/* The last event led from one moment to the next and gave these orders: which rules did that break? */
static unsigned judge(const struct explorer *x, const struct history *h, const struct ending *e,
	const struct moment *before, const struct moment *after, unsigned orders)
{
	unsigned broken = judge_succession(before, after, orders);
	broken |= judge_orders(orders_of(h, e), orders, before->given);
	broken |= judge_facts(h, e, &after->c);
	if (!matters(h, e) && (orders || !same_state(&before->c, &after->c)))
		broken |= BROKEN(RULE_MEANINGLESS);
	if (e->finish != NEVER && e->opened != NEVER) {
		struct ws_closing_report want = report_of(h, e), got = report(x, after);
		broken |= judge_report(&want, &got);
	}
	return broken;
}

static void note(struct counterexample *example, const struct history *h)
{
	if (example->found && example->history.length <= h->length)
		return;
	example->found = true;
	example->history = *h;
}

static void note_broken(struct explorer *x, const struct history *h, unsigned broken)
{
	for (int rule = 0; rule < RULES; rule++)
		if (broken & BROKEN(rule))
			note(&x->broken[rule], h);
	if (broken && x->stop_at_first)
		x->stopped = true;
}

/* ---- Breadth: every pair of a state and a summary of what led there, at any depth ---- */

static uint32_t hash(const void *data, size_t size, uint32_t seed)
{
	const unsigned char *bytes = data;
	for (size_t i = 0; i < size; i++)
		seed = (seed ^ bytes[i]) * 16777619u;
	return seed;
}

static bool same(const struct node *n, const struct moment *m, const struct summary *s)
{
	return memcmp(&n->moment, m, sizeof *m) == 0 && memcmp(&n->summary, s, sizeof *s) == 0;
}

/* The node of that moment and summary; a new one is queued. */
static int find(struct explorer *x, const struct moment *m, const struct summary *s, int parent, int symbol)
{
	uint32_t slot = hash(s, sizeof *s, hash(m, sizeof *m, 2166136261u)) % SLOTS;
	while (x->slots[slot] && !same(&x->nodes[x->slots[slot] - 1], m, s))
		slot = (slot + 1) % SLOTS;
	if (x->slots[slot])
		return x->slots[slot] - 1;
	if (x->count == NODES) {
		x->incomplete = true;
		return parent;
	}
	struct node *n = &x->nodes[x->count++];
	memset(n, 0, sizeof *n);
	n->moment = *m;
	n->summary = *s;
	n->role = m->c.role;
	n->parent = parent;
	n->symbol = (uint8_t)symbol;
	n->depth = parent < 0 ? 0 : (uint8_t)(x->nodes[parent].depth + 1);
	x->deepest = later(x->deepest, n->depth);
	x->slots[slot] = x->count;
	return x->count - 1;
}

static struct history history_of(const struct explorer *x, int at)
{
	struct history h = { (enum ws_role)x->nodes[at].role, x->nodes[at].depth, { 0 } };
	for (int i = h.length; i > 0; at = x->nodes[at].parent)
		h.symbols[--i] = x->nodes[at].symbol;
	return h;
}

static void expand(struct explorer *x, int at)
{
	struct history h = history_of(x, at);
	h.length++;
	for (int symbol = 0; symbol < SYMBOLS; symbol++) {
		struct moment before = x->nodes[at].moment, after = before;
		h.symbols[h.length - 1] = (uint8_t)symbol;
		unsigned orders = step(x, &after, &alphabet[symbol]);
		struct ending e = ending_of(&h);
		struct summary s = summary_of(&h, &e);
		note_broken(x, &h, judge(x, &h, &e, &before, &after, orders));
		x->nodes[at].next[symbol] = find(x, &after, &s, at, symbol);
	}
}

/* Whatever the oracle thinks: these must lead out of where we are. */
static void check_left(struct explorer *x, int at, const int *symbols, int count)
{
	struct history h = history_of(x, at);
	struct moment m = x->nodes[at].moment;
	for (int i = 0; i < count; i++) {
		h.symbols[h.length++] = (uint8_t)symbols[i];
		(void)step(x, &m, &alphabet[symbols[i]]);
	}
	if (m.c.state != WS_CLOSED || !(m.given & WS_ORDER_FINISH))
		note_broken(x, &h, BROKEN(RULE_LEFT));
}

static void check_ways_out(struct explorer *x, int at)
{
	const struct ws_closing *c = &x->nodes[at].moment.c;
	if (c->state == WS_CLOSED)
		return;
	check_left(x, at, (const int[]){ WS_CLOSING_ERROR }, 1);
	check_left(x, at, (const int[]){ WS_CLOSING_TERMINATE }, 1);
	check_left(x, at, (const int[]){ WS_CLOSING_EOF, WS_CLOSING_FIN_SENT }, 2);
	if (c->state == WS_CLOSING || c->state == WS_CONNECTING)
		check_left(x, at, (const int[]){ WS_CLOSING_DEADLINE }, 1);
}

static int root_of(struct explorer *x, enum ws_role role)
{
	struct history nothing = { role, 0, { 0 } };
	struct ending e = ending_of(&nothing);
	struct summary s = summary_of(&nothing, &e);
	struct moment m = start(role);
	return find(x, &m, &s, -1, 0);
}

/* To closure. The nodes of the two roles never meet: the role is part of the state. */
static void explore_breadth(struct explorer *x)
{
	x->nodes = calloc(NODES, sizeof *x->nodes);
	x->slots = calloc(SLOTS, sizeof *x->slots);
	if (!x->nodes || !x->slots) {
		fputs("out of memory\n", stderr);
		exit(2);
	}
	root_of(x, WS_SERVER);
	root_of(x, WS_CLIENT);
	for (int at = 0; at < x->count; at++) {
		check_ways_out(x, at);
		expand(x, at);
		if (x->nodes[at].depth + 3 >= LONGEST) {
			x->incomplete = true;
			return;
		}
	}
}

static void explorer_clear(struct explorer *x)
{
	free(x->nodes);
	free(x->slots);
}

static int distinct_states(const struct explorer *x)
{
	int distinct = 0;
	for (int i = 0; i < x->count; i++) {
		int j = 0;
		while (j < i && !same_state(&x->nodes[i].moment.c, &x->nodes[j].moment.c))
			j++;
		distinct += j == i;
	}
	return distinct;
}

/* ---- Depth: every sequence ---- */

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double began;

static void look_up(struct explorer *x)
{
	x->until_look = 1 << 20;
	if (x->deadline > 0 && now() > x->deadline)
		x->stopped = true;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r# depth %d: %llu sequences, %.0f s ", x->depth,
			(unsigned long long)x->sequences, now() - began);
}

static void walk(struct explorer *x, struct history *h, const struct moment *before, int at);

static void walk_on(struct explorer *x, struct history *h, const struct moment *before, int at, int symbol)
{
	struct moment after = *before;
	unsigned orders = step(x, &after, &alphabet[symbol]);
	int next = x->nodes[at].next[symbol];
	h->symbols[h->length++] = (uint8_t)symbol;
	if (!x->only_longest || h->length == x->depth) {
		struct ending e = ending_of(h);
		struct summary s = summary_of(h, &e);
		unsigned broken = judge(x, h, &e, before, &after, orders);
		if (broken)
			note_broken(x, h, broken);
		if (!same(&x->nodes[next], &after, &s))
			note(&x->unforeseen, h);
		x->sequences++;
		if (x->until_look-- == 0)
			look_up(x);
	}
	if (h->length < x->depth && !(x->only_opened && (before->given & WS_ORDER_FINISH)))
		walk(x, h, &after, next);
	h->length--;
}

static void walk(struct explorer *x, struct history *h, const struct moment *before, int at)
{
	for (int symbol = 0; symbol < x->symbols && !x->stopped; symbol++)
		walk_on(x, h, before, at, symbol);
}

/* All sequences up to that length of so many symbols of the alphabet. */
static void explore_depth(struct explorer *x, int depth, int symbols)
{
	x->depth = depth;
	x->symbols = symbols;
	for (int role = WS_SERVER; role <= WS_CLIENT; role++) {
		struct history h = { (enum ws_role)role, 0, { 0 } };
		struct moment m = start((enum ws_role)role);
		if (x->only_opened)
			walk_on(x, &h, &m, root_of(x, (enum ws_role)role), WS_CLOSING_OPENED);
		else
			walk(x, &h, &m, root_of(x, (enum ws_role)role));
	}
}

/* ---- Telling ---- */

static void print_symbol(int symbol)
{
	const struct symbol *s = &alphabet[symbol];
	fputs(event_names[s->event], stdout);
	if (s->code)
		printf(" %u", s->code);
	if (s->answer)
		printf(" (answer %u)", s->answer);
}

static void print_orders(unsigned orders)
{
	static const char *const names[] = {
		"SEND_CLOSE", "STOP_MESSAGES", "END", "DEADLINE", "ABORT", "FINISH"
	};
	if (!orders)
		fputs(" nothing", stdout);
	for (int i = 0; i < COUNT(names); i++)
		if (orders & 1u << i)
			printf(" %s", names[i]);
	if (orders >> COUNT(names))
		printf(" 0x%x?", orders);
}

/* What both the rules and the machine know at the end of a history. */
struct side {
	const char *name;
	unsigned orders, state, sent, received;
	bool opened, stopped, end, our_fin, their_fin;
	struct ws_closing_report report;
};

static struct side rules_side(const struct history *h)
{
	struct ending e = ending_of(h);
	return (struct side){ "by the rules", orders_of(h, &e), state_of(&e), sent_of(h, &e),
		received_of(h, &e), e.opened != NEVER, e.stop != NEVER, e.end != NEVER, e.our_fin != NEVER,
		e.their_fin != NEVER, report_of(h, &e) };
}

static struct side machine_side(const struct explorer *x, const struct moment *m, unsigned orders)
{
	const struct ws_closing *c = &m->c;
	return (struct side){ "the machine", orders, c->state, c->sent, c->received, c->opened,
		c->messages_stopped, c->end_ordered, c->fin_sent, c->fin_received, report(x, m) };
}

static void print_side(const struct side *s)
{
	static const char *const states[] = { "CONNECTING", "OPEN", "CLOSING", "CLOSED" };
	static const char *const by[] = { "network", "peer", "local" };
	const struct ws_closing_report *r = &s->report;
	printf("#   %s:", s->name);
	print_orders(s->orders);
	printf("\n#     %s", s->state < COUNT(states) ? states[s->state] : "?");
	printf("%s%s%s%s%s", s->opened ? ", was open" : "", s->stopped ? ", messages stopped" : "",
		s->end ? ", FIN ordered" : "", s->our_fin ? ", FIN sent" : "",
		s->their_fin ? ", FIN received" : "");
	printf(", Close sent %u, received %u\n", s->sent, s->received);
	if (s->state == WS_CLOSED && s->opened)
		printf("#     report: code %u by %s, sent %u, received %u, %s\n", r->code,
			r->by < COUNT(by) ? by[r->by] : "?", r->sent, r->received,
			r->clean ? "clean" : "not clean");
}

static void print_line(const struct history *h)
{
	fputs(h->role == WS_SERVER ? "server:" : "client:", stdout);
	for (int i = 0; i < h->length; i++) {
		fputs(i ? ", " : " ", stdout);
		print_symbol(h->symbols[i]);
	}
	putchar('\n');
}

static void print_counterexample(const struct explorer *x, const struct history *h)
{
	struct moment m = start(h->role);
	unsigned orders = 0;
	printf("# %s\n", h->role == WS_SERVER ? "server" : "client");
	for (int i = 0; i < h->length; i++) {
		orders = step(x, &m, symbol_at(h, i));
		printf("#   %d. ", i + 1);
		print_symbol(h->symbols[i]);
		fputs(" ->", stdout);
		print_orders(orders);
		putchar('\n');
	}
	struct side rules = rules_side(h), machine = machine_side(x, &m, orders);
	print_side(&rules);
	print_side(&machine);
}

static int tests, failures;

static void ok(bool good, const char *name)
{
	printf("%s %d - %s\n", good ? "ok" : "not ok", ++tests, name);
	failures += !good;
}

/* ---- Faults ---- */

static bool in(const struct taken *t, enum ws_state state, enum ws_closing_event event)
{
	return t->before->state == state && t->symbol->event == event;
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
	if (in(t, WS_OPEN, WS_CLOSING_PEER_CLOSE))
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
	if (t->c->role == WS_CLIENT && in(t, WS_OPEN, WS_CLOSING_PEER_CLOSE)) {
		t->c->end_ordered = true;
		t->orders |= WS_ORDER_END;
	}
}

static void fault_client_never_ends(struct taken *t)
{
	if (t->c->role == WS_CLIENT && in(t, WS_CLOSING, WS_CLOSING_EOF))
		drop(t, WS_ORDER_END);
}

static void fault_failure_waits(struct taken *t)
{
	if (in(t, WS_CLOSING, WS_CLOSING_PROTOCOL_FAILURE) && (t->orders & WS_ORDER_END)) {
		t->c->end_ordered = false;
		drop(t, WS_ORDER_END);
	}
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
	if (in(t, WS_OPEN, WS_CLOSING_PEER_CLOSE) && t->symbol->code == 1005)
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
};

/* Breadth finds the shortest sequence; the walk over sequences must come upon one as well. */
static bool prove(const struct fault *fault, bool *noticed)
{
	struct explorer x = { .fault = fault };
	explore_breadth(&x);
	const struct counterexample *found = &x.broken[fault->rule];
	bool good = found->found;
	if (good) {
		printf("# fault: %s\n#   breaks: %s\n#   found by ", fault->name, rule_names[fault->rule]);
		print_line(&found->history);
		noticed[fault->rule] = true;
		memset(x.broken, 0, sizeof x.broken);
		x.stop_at_first = true;
		/* RULE_LEFT looks one or two events ahead: the walk notices when it gets there. */
		explore_depth(&x, EVERY_CODE, EACH_EVENT_ONCE);
		if (!x.stopped)
			explore_depth(&x, EVERY_CODE, SYMBOLS);
		good = x.stopped;
	}
	if (!good)
		printf("# fault: %s\n#   NOT FOUND by: %s\n", fault->name, rule_names[fault->rule]);
	explorer_clear(&x);
	return good;
}

static void prove_all(void)
{
	bool noticed[RULES] = { false };
	int found = 0, looked_after = 0;
	char line[120];
	for (int i = 0; i < COUNT(faults); i++)
		found += prove(&faults[i], noticed);
	for (int rule = 0; rule < RULES; rule++) {
		if (!noticed[rule])
			printf("# no fault was noticed by: %s\n", rule_names[rule]);
		looked_after += noticed[rule];
	}
	snprintf(line, sizeof line, "%d of %d planted faults are found", found, COUNT(faults));
	ok(found == COUNT(faults), line);
	snprintf(line, sizeof line, "%d of %d rules notice a fault planted in them", looked_after, RULES);
	ok(looked_after == RULES, line);
}

/* ---- The run ---- */

static void tell_sequences(const struct explorer *x, uint64_t before, const char *which)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	printf("# depth %d, %s: %llu sequences%s\n", x->depth, which,
		(unsigned long long)(x->sequences - before), x->stopped ? " before time was up" : "");
}

/* All of each kind of event, and nearly as long ones of all codes, however long it takes. */
static void explore_required(struct explorer *x)
{
	explore_depth(x, EVERY_SEQUENCE, EACH_EVENT_ONCE);
	tell_sequences(x, 0, "12 events, all sequences up to it");
	uint64_t before = x->sequences;
	explore_depth(x, EVERY_CODE, SYMBOLS);
	tell_sequences(x, before, "17 events with their codes, all sequences up to it");
}

/* All codes at full length; then longer and longer ones that do not idle before OPENED and after the end. */
static void explore_while_time(struct explorer *x, double deadline)
{
	int depth = EVERY_SEQUENCE;
	uint64_t before = x->sequences;
	x->deadline = deadline;
	x->only_longest = true;
	if (now() >= deadline)
		return;
	explore_depth(x, EVERY_SEQUENCE, SYMBOLS);
	tell_sequences(x, before, "17 events with their codes, all sequences of this length");
	x->only_opened = true;
	while (!x->stopped && depth + 1 < LONGEST) {
		before = x->sequences;
		explore_depth(x, ++depth, EACH_EVENT_ONCE);
		tell_sequences(x, before, "12 events, from OPENED to one event after the end");
	}
}

static void explore(double deadline)
{
	static struct explorer x;
	explore_breadth(&x);
	printf("# at any depth: %d distinct states, %d with what led to them, the furthest %d events away\n",
		distinct_states(&x), x.count, x.deepest);
	explore_required(&x);
	explore_while_time(&x, deadline);
	int depth = later(EVERY_SEQUENCE, x.stopped ? x.depth - 1 : x.depth);
	printf("# in all: %llu sequences, complete to depth %d, both roles\n",
		(unsigned long long)x.sequences, depth);
	for (int rule = 0; rule < RULES; rule++) {
		ok(!x.broken[rule].found, rule_names[rule]);
		if (x.broken[rule].found)
			print_counterexample(&x, &x.broken[rule].history);
	}
	ok(!x.incomplete, "every state that can be reached was seen");
	ok(!x.unforeseen.found, "no sequence leads to anything else");
	if (x.unforeseen.found)
		print_counterexample(&x, &x.unforeseen.history);
	explorer_clear(&x);
}

static int usage(void)
{
	fputs("usage: closing_explore [--seconds N] [--faults]\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	double seconds = 55;
	bool only_faults = false;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--faults") == 0)
			only_faults = true;
		else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
			seconds = atof(argv[++i]);
		else
			return usage();
	}
	began = now();
	prove_all();
	if (!only_faults)
		explore(began + seconds);
	printf("# %.1f s\n1..%d\n", now() - began, tests);
	return failures ? 1 : 0;
}
