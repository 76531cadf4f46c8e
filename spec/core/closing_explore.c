/*
 * Explores the closing state machine: every sequence of its events up to a depth, and every state it can
 * reach at any depth, both roles, against the rules of how a connection ends written down a second time.
 *
 * The rules are in closing_oracle.h. The faults of closing_faults.h, planted in the machine, show that each rule is
 * looked after.
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

#include "closing_faults.h"
#include "closing_oracle.h"
#include "protocol/closing.h"

enum { EVERY_SEQUENCE = 7, EVERY_CODE = 6, NODES = 1 << 14, SLOTS = 1 << 16 };

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

/* The last event led from one moment to the next and gave these orders: which rules did that break? */
static unsigned judge(const struct explorer *x, const struct history *h, const struct ending *e,
	const struct moment *before, const struct moment *after, unsigned orders)
{
	unsigned broken = judge_succession(before, after, orders);
	broken |= judge_orders(orders_of(h, e), orders, before->given);
	broken |= judge_answer(h, e, after, orders);
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
	struct history h = history_of(x, at);
	struct ending e = ending_of(&h);
	if (c->state == WS_CLOSED)
		return;
	check_left(x, at, (const int[]){ WS_CLOSING_ERROR }, 1);
	check_left(x, at, (const int[]){ WS_CLOSING_TERMINATE }, 1);
	if (owes_answer(&h, &e)) {
		check_left(x, at, (const int[]){ WS_CLOSING_DEADLINE, WS_CLOSING_DEADLINE }, 2);
		check_left(x, at, (const int[]){ WS_CLOSING_LOCAL_FAILURE, WS_CLOSING_DEADLINE }, 2);
		check_left(x, at, (const int[]){ WS_CLOSING_EOF, WS_CLOSING_DEADLINE, WS_CLOSING_FIN_SENT }, 3);
		check_left(x, at, (const int[]){ WS_CLOSING_LOCAL_CLOSE, WS_CLOSING_EOF, WS_CLOSING_FIN_SENT }, 3);
		return;
	}
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
	else if (s->event == WS_CLOSING_PEER_CLOSE)
		fputs(" (asking)", stdout);
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
		explore_depth(&x, EVERY_CODE, EACH_KIND_ONCE);
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
	printf("# depth %d, %d %s: %llu sequences%s\n", x->depth, x->symbols, which,
		(unsigned long long)(x->sequences - before), x->stopped ? " before time was up" : "");
}

/* All of each kind of event, and nearly as long ones of all codes, however long it takes. */
static void explore_required(struct explorer *x)
{
	explore_depth(x, EVERY_SEQUENCE, EACH_KIND_ONCE);
	tell_sequences(x, 0, "events, all sequences up to it");
	uint64_t before = x->sequences;
	explore_depth(x, EVERY_CODE, SYMBOLS);
	tell_sequences(x, before, "events with their codes, all sequences up to it");
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
	tell_sequences(x, before, "events with their codes, all sequences of this length");
	x->only_opened = true;
	while (!x->stopped && depth + 1 < LONGEST) {
		before = x->sequences;
		explore_depth(x, ++depth, EACH_KIND_ONCE);
		tell_sequences(x, before, "events, from OPENED to one event after the end");
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

