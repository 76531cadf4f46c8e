/* A listener, its connections, its books, and its orderly end. */
#ifndef WS_ENDPOINT_SERVER_H
#define WS_ENDPOINT_SERVER_H

#include "endpoint/connection.h"
#include "endpoint/front.h"
#include "endpoint/topic.h"
#include "net/listener.h"

#pragma GCC visibility push(hidden)

struct ws_server;

/* How often something was seen: closed by code, refused by status. */
struct ws_tally {
	struct ws_tally_row {
		unsigned key;
		uint64_t count;
	} *rows;
	size_t count, capacity;
};

struct ws_server_shutdown {
	unsigned code;
	const char *reason; /* copied */
	size_t reason_len;
	uint64_t spread_ms; /* the Close frames go out over so long */
	uint64_t drain_ms;  /* from then on: after it what is left is aborted */
};

/* Fields are for reading only, but for user. */
struct ws_server {
	struct ws_endpoint endpoint;
	struct ws_listener *listener; /* NULL: no longer accepting */
	struct ws_connection *first;  /* every connection, opening ones too */
	struct ws_front front;
	struct ws_topics topics;      /* on_empty and its argument are the layer above's */
	size_t opening, open;
	size_t max_connections;       /* 0: no limit. Those over it are refused with 503 */
	uint64_t opened;
	struct ws_tally closed;       /* by code */
	struct ws_tally closed_by;    /* by enum ws_by */
	struct ws_tally refused;      /* by HTTP status; 0: the peer left during the handshake */
	struct ws_tally requests;     /* those that ask for no WebSocket, by status; 0: the peer left before the answer */
	size_t answering;             /* connections with such a request */
	size_t ended, aborted;        /* during the shutdown: connections over, and those of them that were not clean */
	size_t users;                 /* ws_server_hold */
	void (*on_shutdown)(struct ws_server *server); /* once: all is over */
	void *user;
	bool shutting, over;
	struct ws_timer timer;        /* of the shutdown */
	struct ws_deferred work;
	struct ws_server_shutdown shutdown;
	uint64_t shutdown_at, abort_at, give_up_at;
	size_t to_close;              /* connections there were when the shutdown began */
	size_t told;                  /* how many of them have been told so far */
};

/* Takes the listener over and starts accepting. NULL: out of memory (the listener is freed). */
struct ws_server *ws_server_new(struct ws_loop *loop, struct ws_listener *listener,
                                const struct ws_connection_handler *handler,
                                const struct ws_connection_options *options, const struct ws_front_options *front,
                                size_t max_connections);

/* Makes one more endpoint for its connections, for ws_connection_move; its options are there already. */
void ws_server_join(struct ws_server *server, struct ws_endpoint *endpoint);

/*
 * The layer above has not done with a connection yet, or with its end: a shutdown waits for it, but no longer than
 * close_timeout after the last connection is over.
 */
void ws_server_hold(struct ws_server *server);
void ws_server_release(struct ws_server *server);

/*
 * Stops accepting, closes every connection, and calls on_shutdown when all is over (never within this call).
 * Again during a shutdown: the new drain_ms counts from now; the rest is ignored.
 */
void ws_server_shutdown(struct ws_server *server, const struct ws_server_shutdown *shutdown);

/* Why a connection that asks is to be refused with 503; NULL: it is not. Static. */
const char *ws_server_full(const struct ws_connection *c);

/* For connections from now on; the context is held. NULL: in the clear. */
void ws_server_set_tls(struct ws_server *server, struct ws_tls_context *tls);

/* Drops all connections, whoever holds them, and frees the server; nothing is called back any more. NULL is allowed. */
void ws_server_free(struct ws_server *server);

/* Sends the message to every open connection. Returns how many it was queued for. */
size_t ws_server_broadcast(struct ws_server *server, struct ws_prepared *message);

/* Bytes that wait to be sent, of all its connections. */
size_t ws_server_buffered(const struct ws_server *server);

/* The server of one of its connections. */
struct ws_server *ws_server_of(const struct ws_connection *c);

#pragma GCC visibility pop

#endif
