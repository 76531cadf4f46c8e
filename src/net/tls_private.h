/* What the files of TLS share: the insides of a context and of a connection, and the sessions of clients. */
#ifndef WS_NET_TLS_PRIVATE_H
#define WS_NET_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "net/tls.h"

#pragma GCC visibility push(hidden)

enum { WS_TLS_DIGEST = 32 }; /* SHA-256 */

struct ws_tls_named;

struct ws_tls_context {
	SSL_CTX *ssl;
	BIO_METHOD *bio;
	struct ws_tls_named *named; /* a server's certificates by host */
	size_t named_count;
	unsigned char *protocols;   /* of ALPN, as on the wire */
	unsigned protocols_len;
	uint8_t digest[WS_TLS_DIGEST]; /* of all that a session depends on: trust, own certificate, protocols */
	size_t references;
	bool server;
};

struct ws_tls {
	struct ws_tls_context *context;
	SSL *ssl;
	ws_tls_output *output;
	void *arg;
	const uint8_t *in; /* what came and has not been taken in */
	size_t in_len;
	uint8_t *waiting;  /* what was written before the handshake was over */
	size_t waiting_len;
	struct ws_tls_sessions *sessions;   /* NULL: nothing is resumed, or kept */
	uint8_t session_key[WS_TLS_DIGEST];
	char *why;         /* NULL: nothing went wrong, or there was no memory to say what */
	bool closed, failed;
};

/* The error that came first, for its cause; OpenSSL's queue is left empty: a stale entry would break the next connection. */
unsigned long ws_tls_error(void);

/* In words; static. */
const char *ws_tls_reason(unsigned long error);

/* BIOs whose data is the struct ws_tls. NULL: out of memory. */
BIO_METHOD *ws_tls_bio_method(void);

/* For OpenSSL: a client has got a session. */
int ws_tls_on_session(SSL *ssl, SSL_SESSION *session);

/* What sessions with this server, under these rules, are found by. False: out of memory. */
bool ws_tls_session_key(const struct ws_tls_context *context, const char *host, unsigned port,
                        uint8_t key[WS_TLS_DIGEST]);

/* Takes the session over. */
void ws_tls_sessions_put(struct ws_tls_sessions *sessions, const uint8_t key[WS_TLS_DIGEST], SSL_SESSION *session);

/* A session to be freed by the caller, or NULL. */
SSL_SESSION *ws_tls_sessions_take(struct ws_tls_sessions *sessions, const uint8_t key[WS_TLS_DIGEST]);

void ws_tls_sessions_forget(struct ws_tls_sessions *sessions, const uint8_t key[WS_TLS_DIGEST]);

#pragma GCC visibility pop

#endif
