/* How a connection ends (RFC 6455 sections 5.5.1 and 7, the promise of on_close), behaviour by behaviour. */
#include "protocol/closing.h"
#include "protocol/code.h"

#include "unit.h"

enum { STEPS = 6 };

/* Orders, shorter. */
enum {
	CLOSE = WS_ORDER_SEND_CLOSE, STOP = WS_ORDER_STOP_MESSAGES, END = WS_ORDER_END,
	DEADLINE = WS_ORDER_DEADLINE, ABORT = WS_ORDER_ABORT, FINISH = WS_ORDER_FINISH
};

/* Steps: the event, its code, the answer to a peer's Close; then the orders that it must give. */
#define PEER_CLOSE(code, answer) true, WS_CLOSING_PEER_CLOSE, (code), (answer)
#define PEER_CLOSE_ASKING(code) true, WS_CLOSING_PEER_CLOSE, (code), 0
#define LOCAL_CLOSE(code) true, WS_CLOSING_LOCAL_CLOSE, (code), 0
#define PROTOCOL_FAILURE(code) true, WS_CLOSING_PROTOCOL_FAILURE, (code), 0
#define LOCAL_FAILURE(code) true, WS_CLOSING_LOCAL_FAILURE, (code), 0
#define EVENT(name) true, WS_CLOSING_##name, 0, 0

struct step {
	bool present;
	enum ws_closing_event event;
	unsigned code, answer;
	unsigned orders;
};

/* A connection that opened, what happens to it, and what is reported if that ended it. */
struct row {
	const char *name;
	enum ws_role role;
	struct step steps[STEPS];
	struct ws_closing_report report; /* code, sent, received, by, clean; code 0: it is not over */
};

static struct ws_closing opened(enum ws_role role)
{
	struct ws_closing c = { .role = (uint8_t)role };

	CHECK(ws_closing_step(&c, WS_CLOSING_OPENED, 0, 0) == 0);
	CHECK(c.state == WS_OPEN);
	return c;
}

static void check_report(const struct ws_closing *c, const struct ws_closing_report *expected)
{
	const struct ws_closing_report got = ws_closing_report(c);

	CHECK(got.code == expected->code);
	CHECK(got.by == expected->by);
	CHECK(got.sent == expected->sent);
	CHECK(got.received == expected->received);
	CHECK(got.clean == expected->clean);
}

static void check_row(const struct row *row)
{
	struct ws_closing c = opened(row->role);

	for (int i = 0; i < STEPS && row->steps[i].present; i++) {
		const struct step *s = &row->steps[i];
		unit_row("%s, step %d", row->name, i + 1);
		CHECK(ws_closing_step(&c, s->event, s->code, s->answer) == s->orders);
	}
	unit_row("%s, at the end", row->name);
	CHECK((c.state == WS_CLOSED) == (row->report.code != 0));
	if (row->report.code != 0)
		check_report(&c, &row->report);
}

#define CHECK_ROWS(rows) \
	do { \
		for (size_t i = 0; i < sizeof(rows) / sizeof *(rows); i++) \
			check_row(&(rows)[i]); \
	} while (0)

static void test_peer_closes(void)
{
	static const struct row rows[] = {
		{ "server: answers and ends TCP", WS_SERVER, {
			{ PEER_CLOSE(1000, 1000), CLOSE | STOP | END | DEADLINE },
			{ EVENT(FIN_SENT), 0 },
			{ EVENT(EOF), FINISH },
		}, { 1000, 1000, 1000, WS_BY_PEER, true } },
		{ "server: the peer's FIN comes with its Close", WS_SERVER, {
			{ PEER_CLOSE(1001, 1001), CLOSE | STOP | END | DEADLINE },
			{ EVENT(EOF), 0 },
			{ EVENT(FIN_SENT), FINISH },
		}, { 1001, 1001, 1001, WS_BY_PEER, true } },
		{ "an empty Close", WS_SERVER, {
			{ PEER_CLOSE(1005, 1005), CLOSE | STOP | END | DEADLINE },
			{ EVENT(FIN_SENT), 0 },
			{ EVENT(EOF), FINISH },
		}, { 1005, 1005, 1005, WS_BY_PEER, true } },
		{ "answered with another code", WS_SERVER, {
			{ PEER_CLOSE(4001, 4002), CLOSE | STOP | END | DEADLINE },
			{ EVENT(FIN_SENT), 0 },
			{ EVENT(EOF), FINISH },
		}, { 4001, 4002, 4001, WS_BY_PEER, true } },
		{ "only the first of its Close frames counts", WS_SERVER, {
			{ PEER_CLOSE(1000, 1000), CLOSE | STOP | END | DEADLINE },
			{ PEER_CLOSE(4001, 4001), 0 },
			{ EVENT(FIN_SENT), 0 },
			{ EVENT(EOF), FINISH },
		}, { 1000, 1000, 1000, WS_BY_PEER, true } },
	};

	CHECK_ROWS(rows);
}

static void test_late_answer(void)
{
	static const struct row rows[] = {
		{ "server: answers with what was decided, and ends TCP", WS_SERVER, {
			{ PEER_CLOSE_ASKING(1000), STOP | DEADLINE },
			{ LOCAL_CLOSE(4002), CLOSE | END | DEADLINE },
			{ LOCAL_CLOSE(4003), 0 },
			{ EVENT(FIN_SENT), 0 },
			{ EVENT(EOF), FINISH },
		}, { 1000, 4002, 1000, WS_BY_PEER, true } },
		{ "client: answers and waits for FIN", WS_CLIENT, {
			{ PEER_CLOSE_ASKING(4001), STOP | DEADLINE },
			{ EVENT(FIN_SENT), 0 },
			{ LOCAL_CLOSE(4001), CLOSE | DEADLINE },
			{ EVENT(EOF), END | DEADLINE },
			{ EVENT(FIN_SENT), FINISH },
		}, { 4001, 4001, 4001, WS_BY_PEER, true } },
		{ "a failure of our own is an answer, and not what is reported", WS_SERVER, {
			{ PEER_CLOSE_ASKING(1001), STOP | DEADLINE },
			{ LOCAL_FAILURE(1011), CLOSE | END | DEADLINE },
			{ LOCAL_FAILURE(1008), 0 },
			{ EVENT(EOF), 0 },
			{ EVENT(FIN_SENT), FINISH },
		}, { 1001, 1011, 1001, WS_BY_PEER, true } },
		{ "server: a FIN before it, and the answer still goes out", WS_SERVER, {
			{ PEER_CLOSE_ASKING(1000), STOP | DEADLINE },
			{ EVENT(EOF), 0 },
			{ EVENT(EOF), 0 },
			{ LOCAL_CLOSE(1000), CLOSE | END | DEADLINE },
			{ EVENT(FIN_SENT), FINISH },
		}, { 1000, 1000, 1000, WS_BY_PEER, true } },
		{ "client: a FIN before it, and nothing is left to wait for", WS_CLIENT, {
			{ PEER_CLOSE_ASKING(1000), STOP | DEADLINE },
			{ EVENT(EOF), 0 },
			{ LOCAL_CLOSE(1000), CLOSE | END | DEADLINE },
			{ EVENT(FIN_SENT), FINISH },
		}, { 1000, 1000, 1000, WS_BY_PEER, true } },
		{ "meanwhile nothing else answers, nor prolongs it", WS_SERVER, {
			{ PEER_CLOSE_ASKING(1000), STOP | DEADLINE },
			{ PEER_CLOSE(4001, 4001), 0 },
			{ PROTOCOL_FAILURE(1002), 0 },
			{ EVENT(HEARTBEAT_LOST), 0 },
			{ EVENT(SEND_STALLED), 0 },
			{ LOCAL_CLOSE(1000), CLOSE | END | DEADLINE },
		}, { 0 } },
		{ "nobody is asked to answer the answer to ours", WS_SERVER, {
			{ LOCAL_CLOSE(1000), CLOSE | DEADLINE },
			{ PEER_CLOSE_ASKING(1000), STOP | END | DEADLINE },
			{ LOCAL_CLOSE(4002), 0 },
			{ EVENT(DEADLINE), FINISH },
		}, { 1000, 1000, 1000, WS_BY_LOCAL, true } },
	};

	CHECK_ROWS(rows);
}

static void test_answer_due(void)
{
	static const struct row rows[] = {
		{ "server: with the code that came, and a deadline of its own", WS_SERVER, {
			{ PEER_CLOSE_ASKING(4001), STOP | DEADLINE },
			{ EVENT(DEADLINE), CLOSE | END | DEADLINE },
			{ LOCAL_CLOSE(4002), 0 },
			{ EVENT(DEADLINE), FINISH },
		}, { 4001, 4001, 4001, WS_BY_PEER, true } },
		{ "client: the same, and waits for FIN", WS_CLIENT, {
			{ PEER_CLOSE_ASKING(4001), STOP | DEADLINE },
			{ EVENT(DEADLINE), CLOSE | DEADLINE },
			{ EVENT(EOF), END | DEADLINE },
			{ EVENT(FIN_SENT), FINISH },
		}, { 4001, 4001, 4001, WS_BY_PEER, true } },
		{ "client: behind the peer's FIN", WS_CLIENT, {
			{ PEER_CLOSE_ASKING(4001), STOP | DEADLINE },
			{ EVENT(EOF), 0 },
			{ EVENT(DEADLINE), CLOSE | END | DEADLINE },
			{ EVENT(FIN_SENT), FINISH },
		}, { 4001, 4001, 4001, WS_BY_PEER, true } },
		{ "an empty Close with an empty one", WS_SERVER, {
			{ PEER_CLOSE_ASKING(1005), STOP | DEADLINE },
			{ EVENT(DEADLINE), CLOSE | END | DEADLINE },
			{ EVENT(ERROR), FINISH },
		}, { 1005, 1005, 1005, WS_BY_PEER, true } },
	};

	CHECK_ROWS(rows);
}

static void test_never_answered(void)
{
	static const struct row rows[] = {
		{ "RST", WS_SERVER, {
			{ PEER_CLOSE_ASKING(1001), STOP | DEADLINE },
			{ EVENT(ERROR), FINISH },
			{ LOCAL_CLOSE(1001), 0 },
		}, { 1001, 0, 1001, WS_BY_PEER, false } },
		{ "FIN and then RST", WS_CLIENT, {
			{ PEER_CLOSE_ASKING(1001), STOP | DEADLINE },
			{ EVENT(EOF), 0 },
			{ EVENT(ERROR), FINISH },
		}, { 1001, 0, 1001, WS_BY_PEER, false } },
		{ "dropped by us", WS_SERVER, {
			{ PEER_CLOSE_ASKING(1005), STOP | DEADLINE },
			{ EVENT(TERMINATE), ABORT | FINISH },
		}, { 1005, 0, 1005, WS_BY_PEER, false } },
	};

	CHECK_ROWS(rows);
}

static void check_owes(struct ws_closing *c, enum ws_closing_event event, unsigned code, unsigned answer, bool owes)
{
	unit_row("event %d", (int)event);
	(void)ws_closing_step(c, event, code, answer);
	CHECK(ws_closing_owes_answer(c) == owes);
}

/* From the peer's Close to the answer or the end, whatever else comes meanwhile. */
static void test_owes_answer(void)
{
	struct ws_closing asked = opened(WS_SERVER), cut = opened(WS_CLIENT), answered = opened(WS_SERVER);
	struct ws_closing ours = opened(WS_SERVER), failed = opened(WS_SERVER);

	CHECK(!ws_closing_owes_answer(&asked));
	check_owes(&asked, WS_CLOSING_PEER_CLOSE, 1000, 0, true);
	check_owes(&asked, WS_CLOSING_EOF, 0, 0, true);
	check_owes(&asked, WS_CLOSING_LOCAL_CLOSE, 1000, 0, false);
	check_owes(&cut, WS_CLOSING_PEER_CLOSE, 1000, 0, true);
	check_owes(&cut, WS_CLOSING_ERROR, 0, 0, false);
	check_owes(&answered, WS_CLOSING_PEER_CLOSE, 1000, 1000, false);
	check_owes(&ours, WS_CLOSING_LOCAL_CLOSE, 1000, 0, false);
	check_owes(&ours, WS_CLOSING_PEER_CLOSE, 1000, 0, false);
	check_owes(&failed, WS_CLOSING_EOF, 0, 0, false);
}

static void test_client_waits(void)
{
	static const struct row rows[] = {
		{ "the server's close", WS_CLIENT, {
			{ PEER_CLOSE(1000, 1000), CLOSE | STOP | DEADLINE },
			{ EVENT(FIN_SENT), 0 }, /* of what? none was ordered */
			{ EVENT(EOF), END | DEADLINE },
			{ EVENT(FIN_SENT), FINISH },
		}, { 1000, 1000, 1000, WS_BY_PEER, true } },
		{ "our own close", WS_CLIENT, {
			{ LOCAL_CLOSE(1000), CLOSE | DEADLINE },
			{ PEER_CLOSE(1000, 1000), STOP | DEADLINE },
			{ EVENT(EOF), END | DEADLINE },
			{ EVENT(FIN_SENT), FINISH },
		}, { 1000, 1000, 1000, WS_BY_LOCAL, true } },
		{ "the server never ends TCP", WS_CLIENT, {
			{ LOCAL_CLOSE(1000), CLOSE | DEADLINE },
			{ PEER_CLOSE(1000, 1000), STOP | DEADLINE },
			{ EVENT(DEADLINE), FINISH },
		}, { 1000, 1000, 1000, WS_BY_LOCAL, true } },
	};

	CHECK_ROWS(rows);
}

static void test_local_close_answered(void)
{
	static const struct row rows[] = {
		{ "with the same code", WS_SERVER, {
			{ LOCAL_CLOSE(1000), CLOSE | DEADLINE },
			{ PEER_CLOSE(1000, 1000), STOP | END | DEADLINE },
			{ EVENT(FIN_SENT), 0 },
			{ EVENT(EOF), FINISH },
		}, { 1000, 1000, 1000, WS_BY_LOCAL, true } },
		{ "with another code, or crossed by a close of the peer's", WS_SERVER, {
			{ LOCAL_CLOSE(1001), CLOSE | DEADLINE },
			{ PEER_CLOSE(4001, 4001), STOP | END | DEADLINE },
			{ EVENT(FIN_SENT), 0 },
			{ EVENT(EOF), FINISH },
		}, { 4001, 1001, 4001, WS_BY_LOCAL, true } },
		{ "with an empty Close", WS_SERVER, {
			{ LOCAL_CLOSE(4001), CLOSE | DEADLINE },
			{ PEER_CLOSE(1005, 1005), STOP | END | DEADLINE },
			{ EVENT(EOF), 0 },
			{ EVENT(FIN_SENT), FINISH },
		}, { 1005, 4001, 1005, WS_BY_LOCAL, true } },
		{ "closed twice", WS_SERVER, {
			{ LOCAL_CLOSE(1000), CLOSE | DEADLINE },
			{ LOCAL_CLOSE(1001), 0 },
			{ PEER_CLOSE(1000, 1000), STOP | END | DEADLINE },
			{ LOCAL_CLOSE(1001), 0 },
			{ EVENT(FIN_SENT), 0 },
			{ EVENT(EOF), FINISH },
		}, { 1000, 1000, 1000, WS_BY_LOCAL, true } },
	};

	CHECK_ROWS(rows);
}

static void test_local_close_unanswered(void)
{
	static const struct row rows[] = {
		{ "nothing comes", WS_SERVER, {
			{ LOCAL_CLOSE(1000), CLOSE | DEADLINE },
			{ EVENT(DEADLINE), FINISH },
		}, { 1006, 1000, 0, WS_BY_LOCAL, false } },
		{ "FIN comes", WS_SERVER, {
			{ LOCAL_CLOSE(1000), CLOSE | DEADLINE },
			{ EVENT(EOF), STOP | END | DEADLINE },
			{ EVENT(FIN_SENT), FINISH },
		}, { 1006, 1000, 0, WS_BY_LOCAL, false } },
		{ "RST comes", WS_CLIENT, {
			{ LOCAL_CLOSE(1000), CLOSE | DEADLINE },
			{ EVENT(ERROR), FINISH },
		}, { 1006, 1000, 0, WS_BY_LOCAL, false } },
		{ "dropped by us meanwhile", WS_CLIENT, {
			{ LOCAL_CLOSE(1000), CLOSE | DEADLINE },
			{ EVENT(TERMINATE), ABORT | FINISH },
		}, { 1006, 1000, 0, WS_BY_LOCAL, false } },
		{ "what cannot be gone on with comes: our one Close frame has another code", WS_SERVER, {
			{ LOCAL_CLOSE(1000), CLOSE | DEADLINE },
			{ PROTOCOL_FAILURE(1002), STOP | END | DEADLINE },
			{ PEER_CLOSE(1000, 1000), 0 },
			{ EVENT(FIN_SENT), 0 },
			{ EVENT(EOF), FINISH },
		}, { 1006, 1000, 0, WS_BY_LOCAL, false } },
	};

	CHECK_ROWS(rows);
}

static void test_messages_after_local_close(void)
{
	struct ws_closing c = opened(WS_SERVER);

	ws_closing_step(&c, WS_CLOSING_LOCAL_CLOSE, 1000, 0);
	CHECK(!c.messages_stopped);
	ws_closing_step(&c, WS_CLOSING_PEER_CLOSE, 1000, 1000);
	CHECK(c.messages_stopped);
}

static void test_failures(void)
{
	static const struct row rows[] = {
		{ "a protocol error", WS_SERVER, {
			{ PROTOCOL_FAILURE(1002), CLOSE | STOP | END | DEADLINE },
			{ EVENT(FIN_SENT), 0 },
			{ EVENT(EOF), FINISH },
		}, { 1002, 1002, 0, WS_BY_LOCAL, false } },
		{ "the client does not wait for FIN either", WS_CLIENT, {
			{ PROTOCOL_FAILURE(1007), CLOSE | STOP | END | DEADLINE },
			{ EVENT(FIN_SENT), 0 },
			{ EVENT(EOF), FINISH },
		}, { 1007, 1007, 0, WS_BY_LOCAL, false } },
		{ "its answer comes too late to count", WS_SERVER, {
			{ PROTOCOL_FAILURE(1009), CLOSE | STOP | END | DEADLINE },
			{ PEER_CLOSE(1009, 1009), 0 },
			{ EVENT(DEADLINE), FINISH },
		}, { 1009, 1009, 0, WS_BY_LOCAL, false } },
		{ "a callback raised", WS_SERVER, {
			{ LOCAL_FAILURE(1011), CLOSE | STOP | END | DEADLINE },
			{ EVENT(EOF), 0 },
			{ EVENT(FIN_SENT), FINISH },
		}, { 1011, 1011, 0, WS_BY_LOCAL, false } },
		{ "overflow, and another failure behind it", WS_SERVER, {
			{ LOCAL_FAILURE(1008), CLOSE | STOP | END | DEADLINE },
			{ LOCAL_FAILURE(1011), 0 },
			{ PROTOCOL_FAILURE(1002), 0 },
			{ EVENT(ERROR), FINISH },
		}, { 1008, 1008, 0, WS_BY_LOCAL, false } },
		{ "in a callback after the peer's Close", WS_SERVER, {
			{ PEER_CLOSE(1000, 1000), CLOSE | STOP | END | DEADLINE },
			{ LOCAL_FAILURE(1011), 0 },
			{ EVENT(FIN_SENT), 0 },
			{ EVENT(EOF), FINISH },
		}, { 1000, 1000, 1000, WS_BY_PEER, true } },
	};

	CHECK_ROWS(rows);
}

static void test_network(void)
{
	static const struct row rows[] = {
		{ "FIN: what we owe goes out first", WS_SERVER, {
			{ EVENT(EOF), STOP | END | DEADLINE },
			{ EVENT(FIN_SENT), FINISH },
		}, { 1006, 0, 0, WS_BY_NETWORK, false } },
		{ "FIN, and what we owe is not taken", WS_SERVER, {
			{ EVENT(EOF), STOP | END | DEADLINE },
			{ EVENT(DEADLINE), FINISH },
		}, { 1006, 0, 0, WS_BY_NETWORK, false } },
		{ "FIN: nothing can be sent behind ours", WS_CLIENT, {
			{ EVENT(EOF), STOP | END | DEADLINE },
			{ LOCAL_CLOSE(1000), 0 },
			{ LOCAL_FAILURE(1011), 0 },
			{ EVENT(FIN_SENT), FINISH },
		}, { 1006, 0, 0, WS_BY_NETWORK, false } },
		{ "RST", WS_CLIENT, {
			{ EVENT(ERROR), FINISH },
		}, { 1006, 0, 0, WS_BY_NETWORK, false } },
		{ "no pong in time: the 1011 that we try to send is not what is reported", WS_SERVER, {
			{ EVENT(HEARTBEAT_LOST), CLOSE | STOP | END | DEADLINE },
			{ PEER_CLOSE(1011, 1011), 0 },
			{ EVENT(DEADLINE), FINISH },
		}, { 1006, 1011, 0, WS_BY_NETWORK, false } },
		{ "the peer takes no more bytes: nothing is waited for", WS_SERVER, {
			{ EVENT(SEND_STALLED), CLOSE | STOP | ABORT | FINISH },
		}, { 1006, 1011, 0, WS_BY_NETWORK, false } },
		{ "RST after both Close frames changes nothing", WS_SERVER, {
			{ PEER_CLOSE(4999, 4999), CLOSE | STOP | END | DEADLINE },
			{ EVENT(ERROR), FINISH },
		}, { 4999, 4999, 4999, WS_BY_PEER, true } },
	};

	CHECK_ROWS(rows);
}

static void test_terminate(void)
{
	static const struct row rows[] = {
		{ "in OPEN", WS_SERVER, {
			{ EVENT(TERMINATE), ABORT | FINISH },
		}, { 1006, 0, 0, WS_BY_LOCAL, false } },
		{ "after the peer's Close", WS_SERVER, {
			{ PEER_CLOSE(1000, 1000), CLOSE | STOP | END | DEADLINE },
			{ EVENT(TERMINATE), ABORT | FINISH },
		}, { 1000, 1000, 1000, WS_BY_PEER, true } },
		{ "after a failure", WS_SERVER, {
			{ PROTOCOL_FAILURE(1002), CLOSE | STOP | END | DEADLINE },
			{ EVENT(TERMINATE), ABORT | FINISH },
		}, { 1002, 1002, 0, WS_BY_LOCAL, false } },
		{ "after the peer's FIN", WS_CLIENT, {
			{ EVENT(EOF), STOP | END | DEADLINE },
			{ EVENT(TERMINATE), ABORT | FINISH },
		}, { 1006, 0, 0, WS_BY_NETWORK, false } },
	};

	CHECK_ROWS(rows);
}

static void test_meaningless(void)
{
	static const struct row rows[] = {
		{ "open: no deadline was ordered, no FIN was sent", WS_SERVER, {
			{ EVENT(DEADLINE), 0 },
			{ EVENT(FIN_SENT), 0 },
			{ EVENT(OPENED), 0 },
		}, { 0 } },
		{ "closing: its own deadline rules, not heartbeat and stall", WS_SERVER, {
			{ LOCAL_CLOSE(1000), CLOSE | DEADLINE },
			{ EVENT(HEARTBEAT_LOST), 0 },
			{ EVENT(SEND_STALLED), 0 },
			{ EVENT(FIN_SENT), 0 },
		}, { 0 } },
		{ "closing: neither a Close frame nor FIN again prolongs it", WS_SERVER, {
			{ LOCAL_CLOSE(1000), CLOSE | DEADLINE },
			{ PEER_CLOSE(1000, 1000), STOP | END | DEADLINE },
			{ PEER_CLOSE(1000, 1000), 0 },
			{ EVENT(EOF), 0 },
			{ EVENT(EOF), 0 },
		}, { 0 } },
	};

	CHECK_ROWS(rows);
}

/* Whatever comes while the handshake is not done: it ends without ever having opened, or goes on. */
static void test_connecting(void)
{
	static const unsigned orders[WS_CLOSING_EVENTS] = {
		[WS_CLOSING_EOF] = FINISH, [WS_CLOSING_ERROR] = FINISH, [WS_CLOSING_DEADLINE] = FINISH,
		[WS_CLOSING_TERMINATE] = ABORT | FINISH,
	};

	for (int event = WS_CLOSING_OPENED + 1; event < WS_CLOSING_EVENTS; event++) {
		struct ws_closing c = { .role = WS_SERVER };
		unit_row("event %d", event);
		CHECK(ws_closing_step(&c, (enum ws_closing_event)event, 1000, 1000) == orders[event]);
		CHECK(c.state == (orders[event] ? WS_CLOSED : WS_CONNECTING));
		CHECK(!c.opened);
	}
}

static void test_after_the_end(void)
{
	struct ws_closing c = opened(WS_SERVER);
	const struct ws_closing_report expected = { 1006, 1000, 0, WS_BY_LOCAL, false };

	ws_closing_step(&c, WS_CLOSING_LOCAL_CLOSE, 1000, 0);
	CHECK(ws_closing_step(&c, WS_CLOSING_ERROR, 0, 0) == FINISH);
	for (int event = 0; event < WS_CLOSING_EVENTS; event++) {
		unit_row("event %d", event);
		CHECK(ws_closing_step(&c, (enum ws_closing_event)event, 4001, 4001) == 0);
		CHECK(c.state == WS_CLOSED);
		check_report(&c, &expected);
	}
}

/* Codes travel unchanged, up to the largest. */
static void test_codes(void)
{
	for (unsigned code = 1000; code <= 4999; code++) {
		struct ws_closing c = opened(WS_SERVER);
		const struct ws_closing_report expected = { code, code, code, WS_BY_PEER, true };
		if (!ws_code_on_wire(code) && code != WS_CODE_NO_STATUS)
			continue;
		unit_row("%u", code);
		ws_closing_step(&c, WS_CLOSING_PEER_CLOSE, code, code);
		ws_closing_step(&c, WS_CLOSING_ERROR, 0, 0);
		check_report(&c, &expected);
	}
}

UNIT_MAIN(
	{ "the peer's Close is answered once and the server ends TCP (5.5.1, 7.1.1)", test_peer_closes },
	{ "whoever is asked for the answer may give it later (5.5.1)", test_late_answer },
	{ "an answer that nobody gives falls due with the deadline (5.5.1)", test_answer_due },
	{ "a connection cut before the answer has the peer's code and is not clean", test_never_answered },
	{ "an answer is owed from the peer's Close until it is sent or the end", test_owes_answer },
	{ "after both Close frames the client waits for the server's FIN (7.1.1)", test_client_waits },
	{ "our own close, answered, is clean, by local, with the peer's code (7.1.5)",
		test_local_close_answered },
	{ "our own close, not answered, is 1006 by local (7.1.5)", test_local_close_unanswered },
	{ "messages go on after our own close until the peer's (1.4, 5.5.1)",
		test_messages_after_local_close },
	{ "a failure is told, stops messages and ends TCP without waiting (7.1.7)", test_failures },
	{ "what the network ends is 1006 by network (7.1.5, 7.2.1)", test_network },
	{ "terminate waits for nothing, and keeps what was known before it", test_terminate },
	{ "events that mean nothing order nothing", test_meaningless },
	{ "a connection that never opened just ends (4.1, 7.1.7)", test_connecting },
	{ "after the end nothing is ordered and the report stays", test_after_the_end },
	{ "every code that may come is reported as it came (7.4)", test_codes }
)
