/* A client's connection to 127.0.0.1, in the clear or over TLS. Once it is open nothing waits. */
#ifndef BENCH_CONNECTION_H
#define BENCH_CONNECTION_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <zlib.h>

#include "script.h"

struct connection {
	int fd;
	SSL *ssl;               /* NULL: in the clear */
	const struct script *script;
	uint64_t to_send;       /* messages that should be under way or sent, of all time */
	uint64_t sent;          /* messages that are */
	size_t offset;          /* bytes that are sent of the next one */
	bool waits_to_write;
	uint64_t received;      /* messages, of all time */
	uint8_t head[14];       /* of the frame that comes */
	size_t head_size;
	size_t payload_left;    /* of that frame, once its head is complete */
	bool in_message;        /* its first frame has come */
	size_t message_size;    /* payload so far of the message */
	z_stream *inflater;     /* set while the contents of deflated messages are checked */
};

/* What all connections have in common. */
struct target {
	int epoll;
	uint16_t port;
	SSL_CTX *tls;           /* NULL: in the clear */
	bool deflated;
	bool takeover;
	const struct script *script;
	bool checks;            /* the contents, and not the sizes alone */
	uint64_t bytes;         /* payload bytes that came, as they were on the wire */
};

/* Prints what went wrong and ends the process. */
void die(const char *what);

/* Connects and asks for the upgrade; number: spreads the connections over source addresses. */
void connection_start(struct connection *connection, const struct target *target, size_t number);

/* Waits for the answer, and watches the connection from then on. */
void connection_finish(struct connection *connection, const struct target *target);

/* Ends the connection with a RST, which leaves no port behind in TIME_WAIT. */
void connection_drop(struct connection *connection);

/* So many messages more of the script. */
void connection_send(struct connection *connection, struct target *target, uint64_t count);

/* Goes on with what epoll said is possible. */
void connection_go_on(struct connection *connection, struct target *target, uint32_t events);

#endif
