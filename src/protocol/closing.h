/* How a connection ends: the closing state machine, a pure function of (state, event) -> orders. */
#ifndef WS_PROTOCOL_CLOSING_H
#define WS_PROTOCOL_CLOSING_H

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

enum ws_role { WS_SERVER, WS_CLIENT };

enum ws_state { WS_CONNECTING, WS_OPEN, WS_CLOSING, WS_CLOSED };

/* Whose Close frame, or failure of the connection, came first. */
enum ws_by { WS_BY_NETWORK, WS_BY_PEER, WS_BY_LOCAL };

enum ws_closing_event {
	WS_CLOSING_OPENED,           /* the opening handshake is done */
	WS_CLOSING_PEER_CLOSE,       /* a valid Close frame came; code: 1005 if it carried none */
	WS_CLOSING_LOCAL_CLOSE,      /* we want to close with this code: close(), shutdown, idle timeout, a late answer */
	WS_CLOSING_PROTOCOL_FAILURE, /* what the peer sent cannot be gone on with: 1002, 1003, 1007, 1009 */
	WS_CLOSING_LOCAL_FAILURE,    /* we cannot go on: overflow and rate 1008, a callback raised 1011 */
	WS_CLOSING_HEARTBEAT_LOST,   /* no pong in time */
	WS_CLOSING_SEND_STALLED,     /* the peer takes no more bytes */
	WS_CLOSING_EOF,              /* FIN, after everything that came before it was read */
	WS_CLOSING_ERROR,            /* RST and other failures of the transport */
	WS_CLOSING_FIN_SENT,         /* our output and our FIN have gone */
	WS_CLOSING_DEADLINE,         /* the deadline that was last ordered has passed */
	WS_CLOSING_TERMINATE,        /* drop it now */
	WS_CLOSING_EVENTS
};

/* Orders are to be carried out in this order. */
enum ws_closing_order {
	WS_ORDER_SEND_CLOSE = 1,    /* a Close frame with closing.sent (1005: empty), behind what is queued */
	WS_ORDER_STOP_MESSAGES = 2, /* frames are no longer looked at; input is read and thrown away */
	WS_ORDER_END = 4,           /* FIN behind the output */
	WS_ORDER_DEADLINE = 8,      /* (re)arm the close deadline */
	WS_ORDER_ABORT = 16,        /* RST instead of the polite end of TCP */
	WS_ORDER_FINISH = 32        /* it is over: drop the transport, report */
};

/* All zero: CONNECTING, a server. The facts behind the state; whoever embeds it may read them. */
struct ws_closing {
	uint8_t role;            /* enum ws_role */
	uint8_t state;           /* enum ws_state */
	uint8_t by;              /* enum ws_by */
	bool opened : 1;
	bool messages_stopped : 1;
	bool end_ordered : 1;
	bool fin_sent : 1, fin_received : 1;
	uint16_t sent, received; /* codes of the Close frames, 1005: an empty one; 0: none */
	uint16_t failed_with;    /* the code of our failing the connection that went out in a Close frame; 0: none */
};

/* Whether the peer's Close has not been answered yet. */
bool ws_closing_owes_answer(const struct ws_closing *c);

/* What on_close tells, but for the reason. */
struct ws_closing_report {
	unsigned code;
	unsigned sent, received; /* 0: none */
	enum ws_by by;
	bool clean; /* both Close frames were seen */
};

/*
 * Takes the event in and returns orders (enum ws_closing_order, or'ed). code: of PEER_CLOSE, LOCAL_CLOSE and the two
 * failures, else 0. answer: the code to answer PEER_CLOSE with (usually the same); 0: somebody is being asked, and
 * LOCAL_CLOSE will follow, or the deadline. Events that mean nothing in the present state return 0 and change nothing.
 */
unsigned ws_closing_step(struct ws_closing *c, enum ws_closing_event event, unsigned code, unsigned answer);

/* To be asked once WS_ORDER_FINISH was given, if the connection had opened. */
struct ws_closing_report ws_closing_report(const struct ws_closing *c);

#pragma GCC visibility pop

#endif
