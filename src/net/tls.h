/* TLS 1.2 and later for one transport, over OpenSSL: bytes in, bytes out. The only user of OpenSSL's SSL. */
#ifndef WS_NET_TLS_H
#define WS_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

enum { WS_TLS_WHY = 256 };

/* Certificates, trust and rules of a server or a client. Counted. */
struct ws_tls_context;

/* Who we are. Each text is a file's path or PEM itself ("-----BEGIN"). */
struct ws_tls_identity {
	const char *host; /* a server's name, "chat.example.org" or "*.example.org"; NULL: any */
	const char *cert; /* chain, leaf first; NULL: none */
	const char *key;  /* the leaf's, without a password */
};

struct ws_tls_config {
	struct ws_tls_identity own;          /* a server's: for those who ask for none of the names */
	const struct ws_tls_identity *named; /* a server's others */
	size_t named_count;
	const char *ca;                      /* whom we trust, as cert; NULL: the system's store */
	const char *protocols;               /* of ALPN, the best first, as on the wire (RFC 7301 section 3.1) */
	size_t protocols_len;
	bool server;
	bool verify; /* the peer must show a certificate that we trust (a client: for the host's name) */
};

/* NULL: why says what is wrong, in words. */
struct ws_tls_context *ws_tls_context_new(const struct ws_tls_config *config, char why[WS_TLS_WHY]);
void ws_tls_context_hold(struct ws_tls_context *context);

/* NULL is allowed. */
void ws_tls_context_release(struct ws_tls_context *context);

/*
 * What servers have given to clients to come back with (RFC 8446 section 2.2), the latest of each. One is used only for
 * the same host and port, by a context that trusts, shows and asks for the same.
 */
struct ws_tls_sessions;

/* NULL: out of memory. */
struct ws_tls_sessions *ws_tls_sessions_new(void);

/* NULL is allowed. */
void ws_tls_sessions_free(struct ws_tls_sessions *sessions);

/* Whom a client talks to; or what a server has received of TLS before it began. */
struct ws_tls_peer {
	const char *host;                 /* a name or a numeric address, which its certificate must have */
	unsigned port;
	struct ws_tls_sessions *sessions; /* outlives the connection; NULL: nothing is resumed */
	const uint8_t *first;             /* used up at once */
	size_t first_len;
};

struct ws_tls;

/* Takes the bytes that are to go out, all of them; false: out of memory. */
typedef bool ws_tls_output(void *arg, const void *data, size_t len);

/* peer: NULL for a server that has received nothing yet. NULL: out of memory. Wrong first bytes: ws_tls_closed. */
struct ws_tls *ws_tls_new(struct ws_tls_context *context, const struct ws_tls_peer *peer, ws_tls_output *output,
                          void *arg);

/* Lets everything go but what ws_tls_why tells. No other call may follow. */
void ws_tls_stop(struct ws_tls *tls);

/* NULL is allowed. */
void ws_tls_free(struct ws_tls *tls);

/*
 * Takes in what came (all of it) and gives what it says: bytes at plain, which has room for len of them and a record;
 * WS_AGAIN; 0: close_notify; WS_ERROR_PROTOCOL: it has failed, ws_tls_why says how, and what has been
 * put out since is the alert that tells the peer.
 */
long ws_tls_read(struct ws_tls *tls, const uint8_t *data, size_t len, uint8_t *plain, size_t size);

/* Whether the next read tells the end (close_notify) or the failure, without waiting for more. */
bool ws_tls_closed(const struct ws_tls *tls);

/* What is written before the handshake is over waits for it. 0, WS_ERROR_MEMORY or WS_ERROR_PROTOCOL. */
int ws_tls_write(struct ws_tls *tls, const void *data, size_t len);

/* Puts out close_notify. */
void ws_tls_end(struct ws_tls *tls);

/* What went wrong; "": nothing. */
const char *ws_tls_why(const struct ws_tls *tls);

#pragma GCC visibility pop

#endif
