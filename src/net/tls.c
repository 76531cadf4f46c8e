/* A BIO of our own lies over the transport's buffers: what came is read from there, what goes out is appended there. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "net/tls_private.h"

/* ---- errors */

unsigned long ws_tls_error(void)
{
	unsigned long error = ERR_get_error();
	ERR_clear_error();
	return error;
}

const char *ws_tls_reason(unsigned long error)
{
	const char *reason = ERR_SYSTEM_ERROR(error) ? strerror((int)ERR_GET_REASON(error)) : ERR_reason_error_string(error);
	return reason ? reason : "unknown error";
}

/* A browser that was sent to http:// instead of https:// can read this. */
static void answer_http(struct ws_tls *tls)
{
	static const char answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
		"this port speaks TLS: use wss:// or https://\n";
	tls->output(tls->arg, answer, sizeof answer - 1);
}

/* Of TLS's own complaints (not the system's, nor of memory), one about the very first bytes. */
static bool is_no_tls(const struct ws_tls *tls, int reason)
{
	return !tls->context->server && reason > 0 && reason < SSL_AD_REASON_OFFSET &&
	       SSL_get_state(tls->ssl) == TLS_ST_CW_CLNT_HELLO;
}

static void say_why(struct ws_tls *tls, unsigned long error)
{
	long verified = SSL_get_verify_result(tls->ssl);
	int reason = ERR_GET_REASON(error);
	char why[WS_TLS_WHY];
	const char *words = ws_tls_reason(error), *alert = reason >= SSL_AD_REASON_OFFSET ? strstr(words, "alert ") : NULL;
	if (verified != X509_V_OK && SSL_get_verify_mode(tls->ssl) != SSL_VERIFY_NONE)
		snprintf(why, sizeof why, "TLS failed: the peer's certificate is not trusted: %s",
		         X509_verify_cert_error_string(verified));
	else if (alert)
		snprintf(why, sizeof why, "TLS failed: the peer gave up, with the %s", alert);
	else if (is_no_tls(tls, reason))
		snprintf(why, sizeof why, "TLS failed: the server does not speak TLS there (%s)", words);
	else
		snprintf(why, sizeof why, "TLS failed: %s", words);
	tls->why = strdup(why);
}

static long fail(struct ws_tls *tls, unsigned long error)
{
	if (ERR_GET_REASON(error) == SSL_R_HTTP_REQUEST)
		answer_http(tls);
	tls->failed = true;
	say_why(tls, error);
	ERR_clear_error();
	return WS_ERROR_PROTOCOL;
}

/*
 * After a call that did not do what it was to. A handshake's emptied OpenSSL's queue of errors first, and the first entry
 * names the cause. Before any other call that would cost 200 instructions at the least, and others may have left theirs:
 * the last entry is what TLS says, and only without any does SSL_get_error tell what the connection itself knows. One that
 * is no longer established has failed.
 */
static void take_outcome(struct ws_tls *tls, bool established)
{
	unsigned long error = established ? ERR_peek_last_error() : ERR_peek_error();
	if (established)
		ERR_clear_error();
	int outcome = SSL_get_error(tls->ssl, 0);
	if (outcome == SSL_ERROR_ZERO_RETURN && (!established || SSL_is_init_finished(tls->ssl)))
		tls->closed = true;
	else if (outcome != SSL_ERROR_WANT_READ)
		fail(tls, error);
}

/* ---- the BIO */

static int bio_read(BIO *bio, char *out, int size)
{
	struct ws_tls *tls = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	if (tls->in_len == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	size_t n = tls->in_len < (size_t)size ? tls->in_len : (size_t)size;
	memcpy(out, tls->in, n);
	tls->in += n;
	tls->in_len -= n;
	return (int)n;
}

static int bio_write(BIO *bio, const char *data, int len)
{
	struct ws_tls *tls = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	return tls->output(tls->arg, data, (size_t)len) ? len : -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *ws_tls_bio_method(void)
{
	BIO_METHOD *bio = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "transport");
	if (bio) {
		BIO_meth_set_read(bio, bio_read);
		BIO_meth_set_write(bio, bio_write);
		BIO_meth_set_ctrl(bio, bio_ctrl);
	}
	return bio;
}

/* ---- one connection */

/* RFC 6066 section 3: names alone are indicated; RFC 9525: a name or an address is what the certificate must have. */
static bool set_host(SSL *ssl, const char *host)
{
	unsigned char address[16];
	if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	return SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1;
}

int ws_tls_on_session(SSL *ssl, SSL_SESSION *session)
{
	struct ws_tls *tls = SSL_get_app_data(ssl);
	if (tls->sessions)
		ws_tls_sessions_put(tls->sessions, tls->session_key, session);
	return tls->sessions != NULL;
}

/* It is no harm if it fails: the handshake is a full one then. */
static void resume(struct ws_tls *tls, const struct ws_tls_peer *peer)
{
	if (!peer->sessions || !ws_tls_session_key(tls->context, peer->host, peer->port, tls->session_key))
		return;
	tls->sessions = peer->sessions;
	SSL_SESSION *session = ws_tls_sessions_take(tls->sessions, tls->session_key);
	if (session)
		SSL_set_session(tls->ssl, session);
	SSL_SESSION_free(session);
	ERR_clear_error();
}

/* A flight of a client's is no more than the beginning: nothing comes of it but our answer, or a failure. */
static void take_first(struct ws_tls *tls, const struct ws_tls_peer *peer)
{
	if (!peer || peer->first_len == 0)
		return;
	tls->in = peer->first;
	tls->in_len = peer->first_len;
	if (SSL_do_handshake(tls->ssl) != 1)
		take_outcome(tls, false);
}

static bool start(struct ws_tls *tls, const struct ws_tls_peer *peer)
{
	BIO *bio = BIO_new(tls->context->bio);
	if (!bio)
		return false;
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio);
	if (tls->context->server) {
		SSL_set_accept_state(tls->ssl);
		take_first(tls, peer);
		return true;
	}
	SSL_set_connect_state(tls->ssl);
	if (!set_host(tls->ssl, peer->host) || SSL_set_app_data(tls->ssl, tls) != 1)
		return false;
	resume(tls, peer);
	SSL_do_handshake(tls->ssl); /* puts out the ClientHello, and waits */
	return true;
}

struct ws_tls *ws_tls_new(struct ws_tls_context *context, const struct ws_tls_peer *peer, ws_tls_output *output,
                          void *arg)
{
	struct ws_tls *tls = calloc(1, sizeof *tls);
	if (!tls)
		return NULL;
	ERR_clear_error();
	ws_tls_context_hold(context);
	tls->context = context;
	tls->output = output;
	tls->arg = arg;
	tls->ssl = SSL_new(context->ssl);
	if (!tls->ssl || !start(tls, peer)) {
		ws_tls_free(tls);
		return NULL;
	}
	return tls;
}

void ws_tls_stop(struct ws_tls *tls)
{
	if (tls->sessions && !SSL_is_init_finished(tls->ssl))
		ws_tls_sessions_forget(tls->sessions, tls->session_key); /* the server may have left because of it */
	if (tls->ssl && !tls->failed)
		SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN); /* RFC 5246 section 7.2.1: a line that is cut spoils no session */
	SSL_free(tls->ssl);
	free(tls->waiting);
	ws_tls_context_release(tls->context);
	tls->ssl = NULL;
	tls->waiting = NULL;
	tls->context = NULL;
	tls->sessions = NULL;
}

void ws_tls_free(struct ws_tls *tls)
{
	if (!tls)
		return;
	ws_tls_stop(tls);
	free(tls->why);
	free(tls);
}

static int write_out(struct ws_tls *tls, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t written = 0;
		if (SSL_write_ex(tls->ssl, data, len, &written) != 1)
			return tls->failed ? WS_ERROR_PROTOCOL : (int)fail(tls, ERR_peek_last_error());
		data += written;
		len -= written;
	}
	return 0;
}

static int write_waiting(struct ws_tls *tls)
{
	if (tls->waiting_len == 0 || !SSL_is_init_finished(tls->ssl))
		return 0;
	int e = write_out(tls, tls->waiting, tls->waiting_len);
	free(tls->waiting);
	tls->waiting = NULL;
	tls->waiting_len = 0;
	return e;
}

long ws_tls_read(struct ws_tls *tls, const uint8_t *data, size_t len, uint8_t *plain, size_t size)
{
	size_t have = 0, n;
	bool established = SSL_is_init_finished(tls->ssl);
	tls->in = data;
	tls->in_len = len;
	while (!tls->closed && !tls->failed && have < size) {
		if (SSL_read_ex(tls->ssl, plain + have, size - have, &n) == 1) {
			have += n;
			if (tls->in_len == 0)
				break; /* there was room for a whole record: OpenSSL could only say that it wants more */
			continue;
		}
		take_outcome(tls, established);
		break;
	}
	if (!tls->failed)
		write_waiting(tls);
	if (have > 0)
		return (long)have;
	return tls->failed ? WS_ERROR_PROTOCOL : tls->closed ? 0 : WS_AGAIN;
}

bool ws_tls_closed(const struct ws_tls *tls)
{
	return tls->closed || tls->failed;
}

int ws_tls_write(struct ws_tls *tls, const void *data, size_t len)
{
	if (tls->failed)
		return WS_ERROR_PROTOCOL;
	if (SSL_is_init_finished(tls->ssl))
		return write_out(tls, data, len);
	uint8_t *grown = realloc(tls->waiting, tls->waiting_len + len);
	if (!grown)
		return WS_ERROR_MEMORY;
	memcpy(grown + tls->waiting_len, data, len);
	tls->waiting = grown;
	tls->waiting_len += len;
	return 0;
}

void ws_tls_end(struct ws_tls *tls)
{
	if (tls->failed || !SSL_is_init_finished(tls->ssl))
		return;
	ERR_clear_error();
	SSL_shutdown(tls->ssl);
	ERR_clear_error();
}

const char *ws_tls_why(const struct ws_tls *tls)
{
	return tls->why ? tls->why : tls->failed ? "TLS failed" : "";
}
