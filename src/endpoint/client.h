/*
 * One connection of ours to a server: name, TCP, a proxy's tunnel, opening handshake, under one deadline; then it is as
 * any other.
 */
#ifndef WS_ENDPOINT_CLIENT_H
#define WS_ENDPOINT_CLIENT_H

#include "endpoint/connection.h"
#include "net/connector.h"
#include "protocol/handshake.h"
#include "protocol/response.h"
#include "protocol/tunnel.h"

#pragma GCC visibility push(hidden)

struct ws_client;

/* Everything is copied, but for the subprotocols, which outlive the client. */
struct ws_client_options {
	struct ws_connector_target target; /* the server, or its proxy */
	struct ws_tunnel_options tunnel;   /* what the proxy is asked for */
	struct ws_slice resource;      /* "/path?query" */
	struct ws_slice host;          /* of the Host header */
	const char *headers;           /* further header lines, each with its CRLF, or "" */
	const char *const *subprotocols;
	size_t subprotocol_count;
	struct ws_tls_context *tls;    /* held; NULL: in the clear */
	const char *tls_host;          /* the name or address that the certificate must have */
	unsigned tls_port;             /* of the server, not of a proxy before it */
	uint32_t timeout;              /* ms for all of it */
	size_t max_body;               /* of a refusal: so much of it is kept */
};

/* Pointers live for the call. */
struct ws_client_failure {
	const char *why;
	const struct ws_response *response; /* status 0: there was no answer */
	bool by_proxy;                 /* the answer is the proxy's */
};

struct ws_client_handler {
	/* The answer is right, the connection is about to open. subprotocol: len 0 if none. False: out of memory. */
	bool (*on_verified)(struct ws_client *client, struct ws_slice subprotocol);
	/* It has opened. */
	void (*on_open)(struct ws_client *client);
	/* It will not. Once, never within ws_client_new; the client may be freed in it. */
	void (*on_failed)(struct ws_client *client, const struct ws_client_failure *failure);
};

/* Fields are for reading only, but for user. */
struct ws_client {
	struct ws_endpoint endpoint;
	struct ws_connector *connector;    /* NULL: not connecting */
	struct ws_connection *connection;  /* NULL: there is none, or it is over */
	struct ws_tunnel *tunnel;          /* NULL: there is no proxy, or it has opened its tunnel */
	const struct ws_client_handler *handler;
	struct ws_client_options options;  /* of it, subprotocols, tls, tls_port, max_body and timeout are used */
	struct ws_timer timer;             /* until TCP is there; then the connection's deadline counts */
	struct ws_deferred work;           /* on_failed */
	uint64_t deadline;                 /* ms */
	void *user;
	char *tls_host;
	char *request;                     /* its head as it is sent */
	size_t request_len;
	char key[WS_HANDSHAKE_KEY];
	struct ws_response response;       /* a refusal, as far as it has come */
	char why[256];                     /* "": nothing has failed */
};

/*
 * Starts connecting. connection: options of the connection, of which handshake_timeout doesn't count. 0, WS_ERROR_MEMORY,
 * WS_ERROR_SYSTEM or WS_ERROR_PROTOCOL (the header lines cannot be sent).
 */
int ws_client_new(struct ws_client **out, struct ws_loop *loop, const struct ws_client_options *options,
                  const struct ws_connection_options *connection, const struct ws_connection_handler *events,
                  const struct ws_client_handler *handler);

/* Frees it, the connection's last report having been given; before that it is dropped without a word. */
void ws_client_free(struct ws_client *client);

/* The client of its connection. */
struct ws_client *ws_client_of(const struct ws_connection *c);

#pragma GCC visibility pop

#endif
