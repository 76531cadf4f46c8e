/* What the files of TLS share: the insides of a context and of a connection. */
#ifndef WS_NET_TLS_PRIVATE_H
#define WS_NET_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "net/tls.h"

#pragma GCC visibility push(hidden)

struct ws_tls_named;

struct ws_tls_context {
	SSL_CTX *ssl;
	BIO_METHOD *bio;
	struct ws_tls_named *named; /* a server's certificates by host */
	size_t named_count;
	unsigned char *protocols;   /* of ALPN, as on the wire */
	unsigned protocols_len;
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
	bool closed, failed;
	char why[WS_TLS_WHY];
};

/* The error that came first, for its cause; OpenSSL's queue is left empty: a stale entry would break the next connection. */
unsigned long ws_tls_error(void);

/* In words; static. */
const char *ws_tls_reason(unsigned long error);

/* BIOs whose data is the struct ws_tls. NULL: out of memory. */
BIO_METHOD *ws_tls_bio_method(void);

#pragma GCC visibility pop

#endif
