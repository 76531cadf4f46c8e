/* A BIO of our own lies over the transport's buffers: what came is read from there, what goes out is appended there. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

struct ws_tls_context {
	SSL_CTX *ssl;
	BIO_METHOD *bio;
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

/* ---- errors */

/* The oldest error is the cause; the queue is left empty (a stale entry would break the next connection). */
static void say(char why[WS_TLS_WHY], const char *what)
{
	unsigned long code = ERR_get_error();
	const char *reason = ERR_SYSTEM_ERROR(code) ? strerror((int)ERR_GET_REASON(code))
		: code ? ERR_reason_error_string(code) : NULL;
	snprintf(why, WS_TLS_WHY, "%s: %s", what, reason ? reason : "unknown error");
	ERR_clear_error();
}

/* A browser that was sent to http:// instead of https:// can read this. */
static void answer_http(struct ws_tls *tls)
{
	static const char answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
		"this port speaks TLS: use wss:// or https://\n";
	tls->output(tls->arg, answer, sizeof answer - 1);
}

static long fail(struct ws_tls *tls)
{
	long verified = SSL_get_verify_result(tls->ssl);
	if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST)
		answer_http(tls);
	tls->failed = true;
	say(tls->why, "TLS failed");
	if (verified != X509_V_OK)
		snprintf(tls->why, sizeof tls->why, "TLS failed: the peer's certificate is not trusted: %s",
		         X509_verify_cert_error_string(verified));
	return WS_ERROR_PROTOCOL;
}

/* ---- certificates and trust */

static bool is_pem(const char *text)
{
	return strstr(text, "-----BEGIN") != NULL;
}

static BIO *open_text(const char *text)
{
	return is_pem(text) ? BIO_new_mem_buf(text, -1) : BIO_new_file(text, "r");
}

/* The leaf first, then the chain. */
static bool use_chain(SSL_CTX *ssl, BIO *in)
{
	X509 *leaf = PEM_read_bio_X509_AUX(in, NULL, NULL, NULL), *next;
	bool ok = leaf && SSL_CTX_use_certificate(ssl, leaf) == 1;
	X509_free(leaf);
	while (ok && (next = PEM_read_bio_X509(in, NULL, NULL, NULL))) {
		ok = SSL_CTX_add0_chain_cert(ssl, next) == 1;
		if (!ok)
			X509_free(next);
	}
	if (ok)
		ERR_clear_error(); /* the end of the file counts as an error */
	return ok;
}

static bool use_cert(SSL_CTX *ssl, const char *text)
{
	BIO *in = open_text(text);
	bool ok = in && use_chain(ssl, in);
	BIO_free(in);
	return ok;
}

static bool use_key(SSL_CTX *ssl, const char *text)
{
	BIO *in = open_text(text);
	EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : NULL;
	bool ok = key && SSL_CTX_use_PrivateKey(ssl, key) == 1 && SSL_CTX_check_private_key(ssl) == 1;
	EVP_PKEY_free(key);
	BIO_free(in);
	return ok;
}

static bool use_ca(SSL_CTX *ssl, const char *text)
{
	BIO *in = open_text(text);
	X509 *ca;
	size_t count = 0;
	while (in && (ca = PEM_read_bio_X509(in, NULL, NULL, NULL))) {
		count += X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), ca) == 1;
		X509_free(ca);
	}
	BIO_free(in);
	if (count > 0)
		ERR_clear_error();
	return count > 0;
}

static bool use_config(SSL_CTX *ssl, const struct ws_tls_config *config, char why[WS_TLS_WHY])
{
	const char *wrong = config->cert && !use_cert(ssl, config->cert) ? "the certificate cannot be used"
		: config->key && !use_key(ssl, config->key) ? "the key cannot be used"
		: config->ca && !use_ca(ssl, config->ca) ? "the certificates of ca cannot be used"
		: !config->ca && config->verify && SSL_CTX_set_default_verify_paths(ssl) != 1 ? "no system's store" : NULL;
	if (wrong)
		say(why, wrong);
	return wrong == NULL;
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

static BIO_METHOD *bio_method(void)
{
	BIO_METHOD *bio = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "transport");
	if (bio) {
		BIO_meth_set_read(bio, bio_read);
		BIO_meth_set_write(bio, bio_write);
		BIO_meth_set_ctrl(bio, bio_ctrl);
	}
	return bio;
}

/* ---- contexts */

/* RFC 7301; a client that offers other protocols alone still gets a connection. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                           unsigned in_len, void *arg)
{
	static const unsigned char http[] = "\x08http/1.1";
	(void)ssl;
	(void)arg;
	return SSL_select_next_proto((unsigned char **)out, out_len, http, sizeof http - 1, in, in_len) == OPENSSL_NPN_NEGOTIATED
		? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static void set_rules(SSL_CTX *ssl, const struct ws_tls_config *config)
{
	SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(ssl, config->verify ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE, NULL);
	if (config->server) {
		SSL_CTX_set_num_tickets(ssl, 1); /* unread ones would turn our end into a RST */
		SSL_CTX_set_session_id_context(ssl, (const unsigned char *)"moonsocket", 10);
		SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, NULL);
	}
}

struct ws_tls_context *ws_tls_context_new(const struct ws_tls_config *config, char why[WS_TLS_WHY])
{
	struct ws_tls_context *context = calloc(1, sizeof *context);
	snprintf(why, WS_TLS_WHY, "out of memory");
	if (!context)
		return NULL;
	ERR_clear_error();
	context->references = 1;
	context->server = config->server;
	context->bio = bio_method();
	context->ssl = SSL_CTX_new(config->server ? TLS_server_method() : TLS_client_method());
	if (!context->bio || !context->ssl || !use_config(context->ssl, config, why)) {
		ws_tls_context_release(context);
		return NULL;
	}
	set_rules(context->ssl, config);
	return context;
}

void ws_tls_context_hold(struct ws_tls_context *context)
{
	context->references++;
}

void ws_tls_context_release(struct ws_tls_context *context)
{
	if (!context || --context->references > 0)
		return;
	SSL_CTX_free(context->ssl);
	BIO_meth_free(context->bio);
	free(context);
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

static bool start(struct ws_tls *tls, const char *host)
{
	static const unsigned char http[] = "\x08http/1.1";
	BIO *bio = BIO_new(tls->context->bio);
	if (!bio)
		return false;
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio);
	if (tls->context->server) {
		SSL_set_accept_state(tls->ssl);
		return true;
	}
	SSL_set_connect_state(tls->ssl);
	if (!set_host(tls->ssl, host) || SSL_set_alpn_protos(tls->ssl, http, sizeof http - 1) != 0)
		return false;
	SSL_do_handshake(tls->ssl); /* puts out the ClientHello, and waits */
	return true;
}

struct ws_tls *ws_tls_new(struct ws_tls_context *context, const char *host, ws_tls_output *output, void *arg)
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
	if (!tls->ssl || !start(tls, host)) {
		ws_tls_free(tls);
		return NULL;
	}
	return tls;
}

void ws_tls_stop(struct ws_tls *tls)
{
	SSL_free(tls->ssl);
	free(tls->waiting);
	ws_tls_context_release(tls->context);
	tls->ssl = NULL;
	tls->waiting = NULL;
	tls->context = NULL;
}

void ws_tls_free(struct ws_tls *tls)
{
	if (!tls)
		return;
	ws_tls_stop(tls);
	free(tls);
}

static int write_out(struct ws_tls *tls, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t written = 0;
		ERR_clear_error();
		if (SSL_write_ex(tls->ssl, data, len, &written) != 1)
			return tls->failed ? WS_ERROR_PROTOCOL : (int)fail(tls);
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
	tls->in = data;
	tls->in_len = len;
	while (!tls->closed && !tls->failed && have < size) {
		ERR_clear_error();
		if (SSL_read_ex(tls->ssl, plain + have, size - have, &n) == 1) {
			have += n;
			continue;
		}
		int error = SSL_get_error(tls->ssl, 0);
		if (error == SSL_ERROR_WANT_READ)
			break;
		if (error == SSL_ERROR_ZERO_RETURN)
			tls->closed = true;
		else
			fail(tls);
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
	return tls->why;
}
