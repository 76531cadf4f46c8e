/* One WebSocket connection: session + transport + one deadline. One pump, one finish. */
#ifndef WS_ENDPOINT_CONNECTION_H
#define WS_ENDPOINT_CONNECTION_H

#include "endpoint/backlog.h"
#include "endpoint/heartbeat.h"
#include "endpoint/prepared.h"
#include "endpoint/rate.h"
#include "net/address.h"
#include "net/loop.h"
#include "net/timer.h"
#include "net/transport.h"
#include "protocol/ip.h"
#include "protocol/session.h"

#pragma GCC visibility push(hidden)

struct ws_connection;
struct ws_file;
struct ws_input;
struct ws_server;
struct ws_subscription;

enum ws_overflow { WS_OVERFLOW_CLOSE, WS_OVERFLOW_DROP, WS_OVERFLOW_WAIT };

/* permessage-deflate as we want it. All zero: not at all. */
struct ws_compression_options {
	struct ws_deflate_parameters parameters; /* both windows said */
	int level;                               /* 1 to 9 */
	size_t threshold;                        /* bytes, at least 1: a shorter message is sent as it is */
};

/* Of an endpoint; shared by its connections, which it outlives. Times in ms, 0: none. Sizes in bytes. */
struct ws_connection_options {
	struct ws_session_options session;
	size_t max_buffered;
	size_t max_head;
	enum ws_overflow on_overflow;
	struct ws_compression_options compression;
	struct ws_heartbeat_options heartbeat;
	struct ws_rate_options rate;
	uint32_t send_timeout;
	uint32_t idle_timeout;
	uint32_t close_timeout;
	uint32_t handshake_timeout;
};

struct ws_connection_stats {
	uint64_t messages_in, messages_out, bytes_in, bytes_out; /* bytes: payload of messages */
};

/* A message that has come, or a part of one. */
struct ws_message {
	enum ws_opcode kind;
	const uint8_t *data;
	size_t len;
};

/* Whether a callback is over, or has begun to wait; then ws_connection_continue must follow. */
enum ws_done { WS_DONE, WS_BUSY };

/*
 * What the layer above is told. No two of these overlap for one connection, and while one is WS_BUSY no other comes.
 * Pointers live for the call. Each may close, terminate or release the connection.
 */
struct ws_connection_handler {
	/*
	 * A valid opening handshake, or a plain request (c->plain): to be answered, now or later, with
	 * ws_connection_accept, _refuse or _send_file.
	 */
	void (*on_request)(struct ws_connection *c, const struct ws_head *head, struct ws_slice bytes);
	/* It may take more of them at once: ws_connection_next_message. */
	enum ws_done (*on_message)(struct ws_connection *c, const struct ws_message *message);
	/* The next bytes of a message that ws_connection_stream was called for; last: it ends with them. */
	void (*on_part)(struct ws_connection *c, const uint8_t *data, size_t len, bool last);
	/* A message of this kind, or the rest of one in parts, is held: ws_connection_want. May be left out (NULL). */
	void (*on_held)(struct ws_connection *c, enum ws_opcode kind);
	enum ws_done (*on_ping)(struct ws_connection *c, const uint8_t *data, size_t len);
	/* rtt: seconds since the ping of our heartbeat that it answers; negative: it answers none. */
	enum ws_done (*on_pong)(struct ws_connection *c, const uint8_t *data, size_t len, double rtt);
	/* Before the answer to the peer's Close, which ws_connection_close may give; may be left out (NULL). */
	enum ws_done (*on_closing)(struct ws_connection *c, unsigned code, const uint8_t *reason, size_t len);
	/* The kernel has taken all that was queued, after it had not. */
	enum ws_done (*on_drain)(struct ws_connection *c);
	/* The same, at once: also while a callback is WS_BUSY, which may be what waits for this. Runs no callback. */
	void (*on_flushed)(struct ws_connection *c);
	/*
	 * The last one: exactly once if it opened, after a callback that is WS_BUSY, for which it waits no longer than
	 * close_timeout.
	 */
	void (*on_close)(struct ws_connection *c, const struct ws_closing_report *report);
};

/* Who is at the other end. */
struct ws_remote {
	union ws_address peer;        /* of the socket */
	char client[WS_ADDRESS_SIZE]; /* whom it speaks for, if a proxy has said so; else "" */
	bool has_ip;
	uint8_t ip[WS_IP_SIZE];       /* of the client */
};

/* What the connections of one loop and one endpoint have in common. */
struct ws_endpoint {
	struct ws_loop *loop;
	const struct ws_connection_handler *handler;
	/* Input before it has opened: returns the bytes used, WS_AGAIN, or WS_ERROR_PROTOCOL where nothing will come of it. */
	long (*on_opening)(struct ws_connection *c, const char *data, size_t len);
	/* A whole head of a request has come. 0, or another value and the refusal filled. NULL: it is always welcome. */
	int (*on_head)(struct ws_connection *c, const struct ws_head *head, struct ws_refusal *refusal);
	/* The handshake's deadline has passed. */
	void (*on_opening_late)(struct ws_connection *c);
	/* For the books: it has opened; it is over, whether it had opened or not (right before on_close). */
	void (*on_opened)(struct ws_connection *c);
	void (*on_finished)(struct ws_connection *c);
	struct ws_connection_options options;
	struct ws_connection_stats stats;
	struct ws_input *input;     /* whose frames the pump takes; NULL: it takes none */
	struct ws_tls_context *tls; /* a server's, which holds it; NULL: in the clear */
	struct ws_server *server;   /* NULL: a client's */
	bool logs;                  /* ws_connection_age will be asked for */
	bool takes_plain;           /* requests that ask for no WebSocket are for on_request, too */
	bool preface;               /* connections begin with a PROXY header, before TLS */
};

/* What max_rate and idle_timeout judge by, and the log tells. */
struct ws_conduct {
	struct ws_rate rate;
	uint64_t message_at; /* ms: when a message last went either way */
	uint64_t opened_at;  /* ms: when the opening handshake was done */
};

/* Counted: hold and release. Fields are for reading only, but for user. */
struct ws_connection {
	struct ws_transport transport;
	/* What every message looks at, beside the transport's; the session begins with what it has of that. */
	struct ws_endpoint *endpoint;
	void *user;                    /* the layer above's */
	struct ws_heartbeat heartbeat;
	uint32_t references;
	uint16_t refused;              /* HTTP status of our answer, if not the 101; 0: none */
	uint8_t reason_len;
	uint8_t mode;                  /* enum ws_session_mode that the layer above asked for */
	uint8_t held_kind;             /* of the message that is held */
	uint8_t writing;               /* kind of the message that is sent in fragments; 0: none */
	bool fragments_sent : 1;       /* some of it has been queued */
	bool fragments_compressed : 1;
	bool preface : 1;              /* the PROXY header has not come yet: nothing can be said */
	bool deciding : 1;             /* on_request is being answered */
	bool plain : 1;                /* it has asked for no WebSocket, but for a page */
	bool head_only : 1;            /* it has asked with HEAD */
	bool busy : 1;                 /* a callback waits */
	bool held : 1;                 /* a message waits for somebody who wants it */
	bool overdue : 1;              /* one that came after our Close waited in vain: the handshake goes on without it */
	bool paused : 1;               /* by ws_connection_pause */
	bool throttled : 1;            /* the peer has sent too much, and is not read before conduct->rate.until */
	bool stuck : 1;                /* the kernel has not taken all output */
	bool drained : 1;              /* it has now: on_drain is to be called */
	bool cut : 1;                  /* the end came before all our output had left */
	bool attended : 1;             /* by ws_connection_attend */
	bool eof_held : 1;             /* FIN has come, but is not taken in while it is attended */
	bool reported : 1;
	struct ws_session session;
	struct ws_timer timer;
	struct ws_deferred work;       /* the pump, the report of the end, or the last release */
	struct ws_connection *prev, *next; /* in its server's list */
	struct ws_subscription *subscriptions; /* of topic.c; still there after the end, for who asks what they were */
	union { /* owned, or NULL */
		struct ws_remote *remote;   /* until it opens */
		struct ws_conduct *conduct; /* once it has opened, where its endpoint looks at that */
	};
	union { /* owned, or NULL */
		struct ws_file *file;       /* of one that never opens: what follows the head of its answer */
		struct ws_backlog *backlog; /* once it has opened: what follows the message in fragments */
	};
	uint64_t ping_sent_us;         /* payload of our ping that is out; 0: none */
	uint64_t deadline;             /* ms: of the handshake, of closing */
	char *reason;                  /* for ws_connection_reason; NULL: nothing yet */
	float rtt;                     /* seconds; negative: not measured yet */
	uint32_t counted;              /* the row of its address in its server's counts; 0: it is not counted */
};

/*
 * Takes over fd; the deadline of the handshake starts. peer: its address. NULL: out of memory, or libevent
 * cannot watch the descriptor; it is closed then.
 */
struct ws_connection *ws_connection_new(struct ws_endpoint *endpoint, enum ws_role role, int fd,
                                        const union ws_address *peer);

static inline void ws_connection_hold(struct ws_connection *c)
{
	c->references++;
}

void ws_connection_release(struct ws_connection *c);

/*
 * Frees it at once, whoever holds it, without calling anybody back: for when the loop itself goes, and for a client's
 * whose handshake nobody waits for any more.
 */
void ws_connection_drop(struct ws_connection *c);

static inline enum ws_state ws_connection_state(const struct ws_connection *c)
{
	return (enum ws_state)c->session.closing.state;
}

/*
 * Answers on_request with the 101; agreed: of ws_extension_choose. 0, WS_ERROR_CLOSED (it is gone meanwhile) or
 * WS_ERROR_MEMORY.
 */
int ws_connection_accept(struct ws_connection *c, struct ws_slice key, struct ws_slice subprotocol,
                         const struct ws_deflate_parameters *agreed);

/*
 * The request is for another endpoint of the same loop, which outlives the connection. Before it is answered, once.
 */
void ws_connection_move(struct ws_connection *c, struct ws_endpoint *endpoint);

/* Answers with an HTTP status, extra header lines (each with its CRLF) and a body, whether it has asked yet or not. */
void ws_connection_refuse(struct ws_connection *c, unsigned status, const char *headers, struct ws_slice body);

/* The same with a file as the body, which is the connection's from now on. */
void ws_connection_send_file(struct ws_connection *c, unsigned status, const char *headers, struct ws_file *file);

/*
 * Queues a message. 0, WS_ERROR_CLOSED, WS_ERROR_MEMORY, WS_ERROR_SYSTEM (the system gives no masking key),
 * WS_ERROR_WRITING (one in fragments must end first: endpoint/fragments), or
 * WS_ERROR_OVERFLOW: the queue would be over max_buffered, and nothing was queued; under WS_OVERFLOW_CLOSE the
 * connection has then been failed with 1008.
 */
int ws_connection_send(struct ws_connection *c, enum ws_opcode kind, const void *data, size_t len);

/* The same for a message that others get as well. */
int ws_connection_send_prepared(struct ws_connection *c, struct ws_prepared *message);

/*
 * The same, but behind a message in fragments it waits for that one's end. What waits there may be max_buffered again,
 * for the fragments may fill the queue; it goes with a connection that ends before.
 */
int ws_connection_deliver(struct ws_connection *c, struct ws_prepared *message);

/*
 * Sends a Ping of at most 125 bytes; data NULL: with a payload by which on_pong can tell the round trip's time.
 * 0, WS_ERROR_CLOSED, WS_ERROR_MEMORY or WS_ERROR_SYSTEM.
 */
int ws_connection_ping(struct ws_connection *c, const void *data, size_t len);

/* Whether we may still send a Close frame. */
bool ws_connection_may_close(const struct ws_connection *c);

/*
 * Starts the closing handshake, or answers the peer's; code as ws_code_on_wire, or 1005. 0 or WS_ERROR_CLOSED. Inside
 * a message in fragments 1000 would not be true: 1011 is sent instead.
 */
int ws_connection_close(struct ws_connection *c, unsigned code, const char *reason, size_t len);

/* Fails it (7.1.7) for a reason of ours: 1008 or 1011. Nothing happens once our Close frame has gone. */
void ws_connection_fail(struct ws_connection *c, unsigned code, const char *why);

/* Drops TCP now, in every state. why: for the reason; NULL: "terminated". */
void ws_connection_terminate(struct ws_connection *c, const char *why);

/* The callback that was WS_BUSY is over. */
void ws_connection_continue(struct ws_connection *c);

/*
 * Inside a callback of its own, for somebody who wants it now: takes the message that comes next, if it has come whole
 * and nothing must be waited for. It lives until the next is taken or the callback is over. False: what follows is told
 * of when the callback is over.
 */
bool ws_connection_next_message(struct ws_connection *c, struct ws_message *message);

/* What is to be done with messages; at first they are held. */
void ws_connection_want(struct ws_connection *c, enum ws_session_mode mode);

/* The kind of the message that is held, or of which some has come and is kept; 0: there is none. */
enum ws_opcode ws_connection_held(const struct ws_connection *c);

/* That message is to be told of in parts, by on_part, and may have so many bytes (UINT64_MAX: no limit). */
void ws_connection_stream(struct ws_connection *c, uint64_t limit);

/* The rest of that message is passed over. */
void ws_connection_skip(struct ws_connection *c);

/*
 * Whether somebody works on a message outside of on_message. A FIN is taken in afterwards then: the peer may have shut
 * down writing only, and the answer is still owed.
 */
void ws_connection_attend(struct ws_connection *c, bool attended);

void ws_connection_pause(struct ws_connection *c);
void ws_connection_resume(struct ws_connection *c);

/* How it ended, once it has; as far as it is known before. */
struct ws_closing_report ws_connection_report(const struct ws_connection *c);

/* Why, in words; "" if nobody has said. They are in c, or in room. */
struct ws_slice ws_connection_reason(const struct ws_connection *c, char room[static WS_WHY_SIZE]);

size_t ws_connection_buffered(const struct ws_connection *c);

/* ms since it opened. Of an endpoint that logs. */
uint64_t ws_connection_age(const struct ws_connection *c);

#pragma GCC visibility pop

#endif
