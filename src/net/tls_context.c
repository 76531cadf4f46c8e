/* Certificates, keys and whom to trust, read from files or PEM; which of them a client is shown (SNI); ALPN. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/tls_private.h"

/* An identity that has been read. */
struct identity {
	X509 *leaf;
	STACK_OF(X509) *chain;
	EVP_PKEY *key;
};

struct ws_tls_named {
	char *host;
	struct identity identity;
};

/* ---- what is read, and what is wrong with it */

struct source {
	const char *what; /* "cert", "key", "ca" */
	const char *host; /* whose; NULL: of all */
	const char *text;
	bool encrypted;   /* a password was asked for */
};

static bool is_pem(const char *text)
{
	return strstr(text, "-----BEGIN") != NULL;
}

/* Of a long path its end says most. */
static const char *path_end(const char *path)
{
	size_t len = strlen(path), most = 80;
	return len > most ? path + len - most : path;
}

/* "key of chat.example.org (/etc/tls/key.pem): No such file or directory". Returns false. */
static bool blame(const struct source *s, const char *otherwise, char why[WS_TLS_WHY])
{
	unsigned long error = ws_tls_error();
	const char *wrong = s->encrypted ? "it is encrypted, and only a key without a password can be used"
		: ERR_SYSTEM_ERROR(error) ? ws_tls_reason(error) : otherwise;
	bool path = !is_pem(s->text);
	snprintf(why, WS_TLS_WHY, "%s%s%.80s%s%s%s: %s", s->what, s->host ? " of " : "", s->host ? s->host : "",
	         path ? " (" : "", path ? path_end(s->text) : "", path ? ")" : "", wrong);
	return false;
}

/* OpenSSL would ask at the terminal. */
static int no_password(char *out, int size, int writing, void *source)
{
	(void)out;
	(void)size;
	(void)writing;
	((struct source *)source)->encrypted = true;
	return -1;
}

static BIO *open_source(const struct source *s)
{
	ERR_clear_error();
	return is_pem(s->text) ? BIO_new_mem_buf(s->text, -1) : BIO_new_file(s->text, "r");
}

static bool at_end(void)
{
	unsigned long last = ERR_peek_last_error();
	return ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
}

static void free_certs(STACK_OF(X509) *certs)
{
	sk_X509_pop_free(certs, X509_free);
}

/* All of them, in their order; at least one. NULL: why says what is wrong. */
static STACK_OF(X509) *read_certs(struct source *s, char why[WS_TLS_WHY])
{
	BIO *in = open_source(s);
	STACK_OF(X509) *certs = sk_X509_new_null();
	X509 *cert = NULL;
	while (in && certs && (cert = PEM_read_bio_X509(in, NULL, no_password, s)) && sk_X509_push(certs, cert) > 0)
		cert = NULL;
	X509_free(cert);
	BIO_free(in);
	if (sk_X509_num(certs) > 0 && at_end()) {
		ERR_clear_error();
		return certs;
	}
	blame(s, at_end() ? "no certificate is in it" : "a certificate in it cannot be read", why);
	free_certs(certs);
	return NULL;
}

static EVP_PKEY *read_key(struct source *s, char why[WS_TLS_WHY])
{
	BIO *in = open_source(s);
	EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, no_password, s) : NULL;
	BIO_free(in);
	if (!key)
		blame(s, "no private key can be read from it", why);
	return key;
}

/* ---- who we are */

static void identity_clear(struct identity *identity)
{
	X509_free(identity->leaf);
	free_certs(identity->chain);
	EVP_PKEY_free(identity->key);
}

/* A client may have none. */
static bool identity_read(struct identity *identity, const struct ws_tls_identity *from, char why[WS_TLS_WHY])
{
	struct source cert = { "cert", from->host, from->cert, false }, key = { "key", from->host, from->key, false };
	if (!from->cert)
		return true;
	identity->chain = read_certs(&cert, why);
	if (!identity->chain)
		return false;
	identity->leaf = sk_X509_shift(identity->chain);
	identity->key = read_key(&key, why);
	if (!identity->key)
		return false;
	return X509_check_private_key(identity->leaf, identity->key) == 1 ||
	       blame(&key, "it does not belong to the certificate, the first one in cert", why);
}

/* Instead of any that it has: one of another kind of key would stay, and might be preferred. */
static bool identity_show(const struct identity *identity, SSL *ssl)
{
	SSL_certs_clear(ssl);
	return SSL_use_cert_and_key(ssl, identity->leaf, identity->key, identity->chain, 1) == 1;
}

static bool set_own(SSL_CTX *ssl, const struct identity *own, const struct ws_tls_config *config, char why[WS_TLS_WHY])
{
	const struct source s = { "cert", NULL, config->own.cert, false };
	return !own->leaf || SSL_CTX_use_cert_and_key(ssl, own->leaf, own->key, own->chain, 1) == 1 ||
	       blame(&s, ws_tls_reason(ERR_peek_error()), why);
}

/* OpenSSL may refuse it, for too short a key perhaps: better now than when somebody asks for it. */
static bool try_named(SSL_CTX *ssl, const struct ws_tls_named *named, const struct ws_tls_identity *from,
                      char why[WS_TLS_WHY])
{
	const struct source s = { "cert", from->host, from->cert, false };
	SSL *nobody = SSL_new(ssl);
	bool ok = nobody && identity_show(&named->identity, nobody);
	if (!ok)
		blame(&s, ws_tls_reason(ERR_peek_error()), why);
	SSL_free(nobody);
	return ok;
}

static bool set_named(struct ws_tls_context *context, const struct ws_tls_config *config, char why[WS_TLS_WHY])
{
	context->named = calloc(config->named_count + 1, sizeof *context->named);
	if (!context->named)
		return false;
	for (size_t i = 0; i < config->named_count; i++) {
		struct ws_tls_named *named = &context->named[context->named_count++];
		named->host = strdup(config->named[i].host);
		if (!named->host || !identity_read(&named->identity, &config->named[i], why) ||
		    !try_named(context->ssl, named, &config->named[i], why))
			return false;
	}
	return true;
}

/* RFC 9525 section 6.3: a "*" stands for exactly one label, the first. */
static bool host_is(const char *host, const char *asked)
{
	if (strncmp(host, "*.", 2) != 0)
		return strcasecmp(host, asked) == 0;
	const char *rest = strchr(asked, '.');
	return rest && rest > asked && strcasecmp(host + 1, rest) == 0;
}

/* The exact name goes before the wildcard. NULL: none. */
static const struct ws_tls_named *find_named(const struct ws_tls_context *context, const char *asked)
{
	const struct ws_tls_named *found = NULL;
	for (size_t i = 0; i < context->named_count; i++) {
		const struct ws_tls_named *named = &context->named[i];
		if (host_is(named->host, asked) && (!found || found->host[0] == '*'))
			found = named;
	}
	return found;
}

/* RFC 6066 section 3: a name that we do not know is no error. */
static int choose_identity(SSL *ssl, int *alert, void *context)
{
	const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct ws_tls_named *named = asked ? find_named(context, asked) : NULL;
	if (!named)
		return SSL_TLSEXT_ERR_NOACK;
	if (identity_show(&named->identity, ssl))
		return SSL_TLSEXT_ERR_OK;
	*alert = SSL_AD_INTERNAL_ERROR;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* RFC 7301 section 3.2: nothing in common is fatal; who does not ask is not told. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                           unsigned in_len, void *arg)
{
	const struct ws_tls_context *context = arg;
	(void)ssl;
	return SSL_select_next_proto((unsigned char **)out, out_len, context->protocols, context->protocols_len, in,
	                             in_len) == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- whom we trust */

static bool set_trust(SSL_CTX *ssl, STACK_OF(X509) *ca, const struct ws_tls_config *config)
{
	if (!ca)
		return !config->verify || SSL_CTX_set_default_verify_paths(ssl) == 1;
	for (int i = 0; i < sk_X509_num(ca); i++) {
		X509 *cert = sk_X509_value(ca, i);
		if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), cert) != 1)
			return false;
		if (config->server && SSL_CTX_add_client_CA(ssl, cert) != 1) /* a browser looks for one that fits */
			return false;
	}
	return true;
}

/* ---- contexts */

/* Each piece has its mark in front, so that no two lists of pieces look alike. */
static bool digest_piece(EVP_MD_CTX *digest, char mark, const void *piece, size_t len)
{
	return EVP_DigestUpdate(digest, &mark, 1) == 1 && EVP_DigestUpdate(digest, piece, len) == 1;
}

static bool digest_cert(EVP_MD_CTX *digest, char mark, const X509 *cert)
{
	unsigned char bytes[WS_TLS_DIGEST];
	return X509_digest(cert, EVP_sha256(), bytes, NULL) == 1 && digest_piece(digest, mark, bytes, sizeof bytes);
}

/* Whoever must not resume another's sessions differs in one of these. */
static bool set_digest(struct ws_tls_context *context, const struct identity *own, STACK_OF(X509) *ca,
                       const struct ws_tls_config *config)
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool ok = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
	          digest_piece(digest, config->verify ? 'v' : 'n', NULL, 0) &&
	          (!own->leaf || digest_cert(digest, 'o', own->leaf));
	for (int i = 0; ok && i < sk_X509_num(ca); i++)
		ok = digest_cert(digest, 'c', sk_X509_value(ca, i));
	ok = ok && digest_piece(digest, 'p', context->protocols, context->protocols_len) &&
	     EVP_DigestFinal_ex(digest, context->digest, NULL) == 1;
	EVP_MD_CTX_free(digest);
	return ok;
}

static void set_server_rules(struct ws_tls_context *context)
{
	SSL_CTX *ssl = context->ssl;
	SSL_CTX_set_num_tickets(ssl, 1); /* unread ones would turn our end into a RST */
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF); /* the client keeps its session, in the ticket */
	SSL_CTX_set_session_id_context(ssl, (const unsigned char *)"moonsocket", 10);
	SSL_CTX_set_tlsext_servername_callback(ssl, choose_identity);
	SSL_CTX_set_tlsext_servername_arg(ssl, context);
	SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, context);
}

/* RFC 9525 sections 2 and 6.3: the subject is not looked at, and a "*" is a whole label. */
static bool set_client_rules(struct ws_tls_context *context)
{
	SSL_CTX *ssl = context->ssl;
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ssl, ws_tls_on_session);
	X509_VERIFY_PARAM_set_hostflags(SSL_CTX_get0_param(ssl),
	                                X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_CTX_set_alpn_protos(ssl, context->protocols, context->protocols_len) == 0;
}

static bool set_rules(struct ws_tls_context *context, const struct ws_tls_config *config)
{
	SSL_CTX *ssl = context->ssl;
	context->protocols = malloc(config->protocols_len + 1);
	if (!context->protocols || SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) != 1)
		return false;
	memcpy(context->protocols, config->protocols, config->protocols_len);
	context->protocols_len = (unsigned)config->protocols_len;
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(ssl, config->verify ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE, NULL);
	if (!config->server)
		return set_client_rules(context);
	set_server_rules(context);
	return true;
}

/* why is "out of memory", unless what was read says otherwise. */
static bool use_config(struct ws_tls_context *context, const struct ws_tls_config *config, char why[WS_TLS_WHY])
{
	struct source source = { "ca", NULL, config->ca, false };
	struct identity own = { NULL, NULL, NULL };
	STACK_OF(X509) *ca = config->ca ? read_certs(&source, why) : NULL;
	bool ok = (ca || !config->ca) && identity_read(&own, &config->own, why) && set_rules(context, config) &&
	          set_trust(context->ssl, ca, config) && set_own(context->ssl, &own, config, why) &&
	          set_named(context, config, why) && set_digest(context, &own, ca, config);
	identity_clear(&own);
	free_certs(ca);
	ERR_clear_error();
	return ok;
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
	context->bio = ws_tls_bio_method();
	context->ssl = SSL_CTX_new(config->server ? TLS_server_method() : TLS_client_method());
	if (!context->bio || !context->ssl || !use_config(context, config, why)) {
		ws_tls_context_release(context);
		return NULL;
	}
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
	for (size_t i = 0; i < context->named_count; i++) {
		identity_clear(&context->named[i].identity);
		free(context->named[i].host);
	}
	free(context->named);
	free(context->protocols);
	free(context);
}
