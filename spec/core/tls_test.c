/* TLS without a socket: two of them, each the other's line; and every allocation that fails. */
#include "memory.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "error.h"
#include "net/tls_private.h"
#include "unit.h"

enum { ROOM = 1 << 16 };

/* ---- certificates, signed by themselves, each trusted as its own authority */

static char cert[3000], key[1000], other_cert[3000], other_key[1000];

static void to_text(BIO *from, char *text, size_t size)
{
	int len = BIO_read(from, text, (int)size - 1);
	text[len > 0 ? len : 0] = '\0';
	BIO_free(from);
}

static void make_certificate(const char *names, char cert_text[3000], char key_text[1000])
{
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_EXTENSION *alternative = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
	BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_mem());

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)names, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, pair);
	X509_add_ext(x, alternative, -1);
	X509_sign(x, pair, EVP_sha256());
	PEM_write_bio_X509(cert_bio, x);
	PEM_write_bio_PrivateKey(key_bio, pair, NULL, NULL, 0, NULL, NULL);
	to_text(cert_bio, cert_text, 3000);
	to_text(key_bio, key_text, 1000);
	X509_EXTENSION_free(alternative);
	X509_free(x);
	EVP_PKEY_free(pair);
}

static void make_certificates(void)
{
	if (cert[0] != '\0')
		return;
	make_certificate("DNS:host.example", cert, key);
	make_certificate("DNS:other.example,DNS:*.other.example", other_cert, other_key);
}

/* ---- contexts */

#define HTTP "\x08http/1.1"

static struct ws_tls_context *context_of(const struct ws_tls_config *config)
{
	char why[WS_TLS_WHY];
	struct ws_tls_context *context = ws_tls_context_new(config, why);
	unit_row("%s", context != NULL ? "" : why);
	return context;
}

static struct ws_tls_config server_config(void)
{
	static struct ws_tls_identity named[2];

	make_certificates();
	named[0] = (struct ws_tls_identity){"other.example", other_cert, other_key};
	named[1] = (struct ws_tls_identity){"*.other.example", other_cert, other_key};
	return (struct ws_tls_config){
		.own = {NULL, cert, key}, .named = named, .named_count = 2, .server = true,
		.protocols = HTTP, .protocols_len = sizeof HTTP - 1,
	};
}

static struct ws_tls_config client_config(const char *ca)
{
	make_certificates();
	return (struct ws_tls_config){.ca = ca, .verify = true, .protocols = HTTP, .protocols_len = sizeof HTTP - 1};
}

static struct ws_tls_context *new_server(void)
{
	const struct ws_tls_config config = server_config();
	return context_of(&config);
}

static struct ws_tls_context *new_client(const char *ca)
{
	const struct ws_tls_config config = client_config(ca);
	return context_of(&config);
}

/* ---- two sides and the line between */

struct side {
	struct ws_tls *tls;
	uint8_t out[ROOM];   /* what it has put out and the other has not got */
	size_t out_len;
	bool refuses;        /* to put out */
	char plain[ROOM];    /* what it has been told */
	size_t plain_len;
	long end;            /* WS_AGAIN: none yet */
};

static struct side client, server;

static bool put_out(void *arg, const void *data, size_t len)
{
	struct side *side = arg;

	if (side->refuses || side->out_len + len > ROOM)
		return false;
	memcpy(side->out + side->out_len, data, len);
	side->out_len += len;
	return true;
}

/* At most step bytes from one to the other; reads what they say. */
static void deliver(struct side *from, struct side *to, size_t step)
{
	static uint8_t plain[ROOM + 16384];
	const size_t len = from->out_len < step ? from->out_len : step;

	if (len == 0 && !ws_tls_closed(to->tls))
		return;
	const long got = to->end == WS_AGAIN
		? ws_tls_read(to->tls, unit_guard_end(from->out, len), len, plain, sizeof plain) : to->end;
	from->out_len -= len;
	memmove(from->out, from->out + len, from->out_len);
	if (got > 0) {
		memcpy(to->plain + to->plain_len, plain, (size_t)got);
		to->plain_len += (size_t)got;
	} else {
		to->end = got;
	}
}

static void talk(size_t step)
{
	while (client.out_len + server.out_len > 0) {
		deliver(&client, &server, step);
		deliver(&server, &client, step);
	}
}

/* Whom a client talks to. */
#define PEER(name, number, store) {.host = (name), .port = (number), .sessions = (store)}

/* Starts a client, for the host and port, and a server. False: no memory. */
static bool begin(struct ws_tls_context *of_client, struct ws_tls_context *of_server, const struct ws_tls_peer *peer)
{
	client = (struct side){.end = WS_AGAIN};
	server = (struct side){.end = WS_AGAIN};
	client.tls = of_client != NULL ? ws_tls_new(of_client, peer, put_out, &client) : NULL;
	server.tls = of_server != NULL ? ws_tls_new(of_server, NULL, put_out, &server) : NULL;
	return client.tls != NULL && server.tls != NULL;
}

static void leave(void)
{
	ws_tls_free(client.tls);
	ws_tls_free(server.tls);
	client.tls = server.tls = NULL;
}

static bool told(const struct side *side, const char *text)
{
	return side->plain_len == strlen(text) && memcmp(side->plain, text, side->plain_len) == 0;
}

static bool works(void)
{
	(void)ws_tls_write(client.tls, "ping", 4);
	talk(ROOM);
	(void)ws_tls_write(server.tls, "pong", 4);
	talk(ROOM);
	return told(&server, "ping") && told(&client, "pong") && client.end == WS_AGAIN && server.end == WS_AGAIN;
}

/* ---- tests */

static void test_exchange(void)
{
	static const size_t steps[] = {1, 2, 7, 100, 1000, ROOM};
	struct ws_tls_context *c = new_client(cert), *s = new_server();
	const struct ws_tls_peer peer = PEER("host.example", 443, NULL);

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		unit_row("in pieces of %zu", steps[i]);
		CHECK(begin(c, s, &peer));
		CHECK(ws_tls_write(client.tls, "be", 2) == 0 && ws_tls_write(client.tls, "fore", 4) == 0);
		CHECK(ws_tls_write(server.tls, "welcome", 7) == 0);
		talk(steps[i]);
		CHECK(told(&server, "before") && told(&client, "welcome"));
		CHECK(ws_tls_write(client.tls, " and after", 10) == 0);
		ws_tls_end(client.tls);
		CHECK(!ws_tls_closed(server.tls));
		talk(steps[i]);
		deliver(&client, &server, steps[i]);
		CHECK(told(&server, "before and after") && server.end == 0 && ws_tls_closed(server.tls));
		CHECK(ws_tls_write(server.tls, ", bye", 5) == 0); /* half a connection is one */
		ws_tls_end(server.tls);
		talk(steps[i]);
		deliver(&server, &client, steps[i]);
		CHECK(told(&client, "welcome, bye") && client.end == 0);
		CHECK(ws_tls_why(client.tls)[0] == '\0' && ws_tls_why(server.tls)[0] == '\0');
		leave();
	}
	ws_tls_context_release(c);
	ws_tls_context_release(s);
}

/* OpenSSL's queue of errors belongs to the thread: what somebody else left there is nobody's failure here. */
static void test_errors_of_others(void)
{
	struct ws_tls_context *c = new_client(cert), *s = new_server();
	const struct ws_tls_peer peer = {.host = "host.example", .port = 443};

	CHECK(begin(c, s, &peer));
	ERR_raise(ERR_LIB_USER, ERR_R_INTERNAL_ERROR);
	talk(3);
	ERR_raise(ERR_LIB_USER, ERR_R_INTERNAL_ERROR);
	CHECK(ws_tls_write(client.tls, "ping", 4) == 0);
	ERR_raise(ERR_LIB_USER, ERR_R_INTERNAL_ERROR);
	talk(3); /* the first piece is no whole record */
	CHECK(told(&server, "ping") && server.end == WS_AGAIN && ws_tls_why(server.tls)[0] == '\0');
	ws_tls_end(server.tls);
	ERR_raise(ERR_LIB_USER, ERR_R_INTERNAL_ERROR);
	talk(ROOM);
	CHECK(client.end == 0 && ws_tls_why(client.tls)[0] == '\0');
	leave();
	CHECK(begin(c, s, &peer));
	talk(ROOM);
	CHECK(ws_tls_write(client.tls, "ping", 4) == 0);
	client.out[client.out_len - 1] ^= 1;
	ERR_raise(ERR_LIB_USER, ERR_R_INTERNAL_ERROR);
	talk(ROOM);
	CHECK(strcmp(ws_tls_why(server.tls), "TLS failed: decryption failed or bad record mac") == 0);
	CHECK(strcmp(ws_tls_why(client.tls), "TLS failed: the peer gave up, with the alert bad record mac") == 0);
	leave();
	ws_tls_context_release(c);
	ws_tls_context_release(s);
}

/* TLS 1.2 allows it (RFC 5246 section 7.2.1). */
static void test_close_in_handshake(void)
{
	struct ws_tls_context *c = new_client(cert), *s = new_server();
	const struct ws_tls_peer peer = {.host = "host.example", .port = 443};
	static struct side stranger;

	CHECK(begin(c, s, &peer));
	(void)put_out(&stranger, "\x15\x03\x03\0\2\1\0", 7);
	deliver(&stranger, &client, ROOM);
	CHECK(client.end == 0 && ws_tls_why(client.tls)[0] == '\0');
	leave();
	ws_tls_context_release(c);
	ws_tls_context_release(s);
}

static void test_names(void)
{
	static const struct {
		const char *host;
		bool other;
	} rows[] = {
		{"other.example", true}, {"OTHER.example", true}, {"a.other.example", true}, {"A.Other.EXAMPLE", true},
		{"host.example", false}, {"another.example", false}, {"a.b.other.example", false}, {".other.example", false},
		{"other.example.", false}, {"example", false}, {"other", false}, {"*.other.example", true},
	};
	struct ws_tls_context *s = new_server(), *c[2] = {new_client(cert), new_client(other_cert)};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct ws_tls_peer peer = PEER(rows[i].host, 443, NULL);
		unit_row("%s", rows[i].host);
		for (size_t trusts_other = 0; trusts_other < 2; trusts_other++) {
			CHECK(begin(c[trusts_other], s, &peer));
			talk(ROOM);
			/* without trust it is "self-signed certificate" */
			CHECK((strstr(ws_tls_why(client.tls), "signed") == NULL) == (trusts_other == rows[i].other));
			leave();
		}
	}
	ws_tls_context_release(s);
	ws_tls_context_release(c[0]);
	ws_tls_context_release(c[1]);
}

static void test_protocols(void)
{
	struct ws_tls_config config = client_config(cert);
	const struct ws_tls_peer peer = PEER("host.example", 443, NULL);

	config.protocols = "\x02h2\x04mqtt";
	config.protocols_len = 8;
	struct ws_tls_context *c = context_of(&config), *s = new_server();
	CHECK(begin(c, s, &peer));
	talk(ROOM);
	CHECK(client.end == WS_ERROR_PROTOCOL && server.end == WS_ERROR_PROTOCOL);
	CHECK(strcmp(ws_tls_why(server.tls), "TLS failed: no application protocol") == 0);
	CHECK(strcmp(ws_tls_why(client.tls), "TLS failed: the peer gave up, with the alert no application protocol") == 0);
	CHECK(ERR_peek_error() == 0); /* others look at the queue, too */
	CHECK(ws_tls_write(client.tls, "x", 1) == WS_ERROR_PROTOCOL && ws_tls_write(server.tls, "x", 1) == WS_ERROR_PROTOCOL);
	leave();
	ws_tls_context_release(c);
	ws_tls_context_release(s);
}

/* What is no TLS at all. */
static void test_strangers(void)
{
	static const struct {
		const char *says, *of_client, *of_server;
	} rows[] = {
		{"HTTP/1.1 400 Bad Request\r\n\r\n", "TLS failed: the server does not speak TLS there", "TLS failed: "},
		{"GET / HTTP/1.1\r\n\r\n", "TLS failed: the server does not speak TLS there", "TLS failed: http request"},
		{"SSH-2.0-OpenSSH_9.2\r\n", "TLS failed: the server does not speak TLS there", "TLS failed: "},
		{"\x15\x03\x01\0\2\2\x28", "TLS failed: the peer gave up, with the alert handshake failure",
		 "TLS failed: unexpected message"},
	};
	struct ws_tls_context *c = new_client(cert), *s = new_server();
	const struct ws_tls_peer peer = PEER("host.example", 443, NULL);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		static struct side stranger;
		const size_t len = i == 3 ? 7 : strlen(rows[i].says);
		CHECK(begin(c, s, &peer));
		client.out_len = 0;
		stranger.out_len = 0;
		(void)put_out(&stranger, rows[i].says, len);
		deliver(&stranger, &client, ROOM);
		(void)put_out(&stranger, rows[i].says, len);
		deliver(&stranger, &server, ROOM);
		unit_row("%zu: %s, %s", i, ws_tls_why(client.tls), ws_tls_why(server.tls));
		CHECK(client.end == WS_ERROR_PROTOCOL && server.end == WS_ERROR_PROTOCOL);
		CHECK(strncmp(ws_tls_why(client.tls), rows[i].of_client, strlen(rows[i].of_client)) == 0);
		CHECK(strncmp(ws_tls_why(server.tls), rows[i].of_server, strlen(rows[i].of_server)) == 0);
		CHECK((memcmp(server.out, "HTTP/1.1 400 ", 13) == 0) == (i == 1));
		leave();
	}
	ws_tls_context_release(c);
	ws_tls_context_release(s);
}

/* A bit that was changed on its way is noticed, wherever it is: nobody is told anything but what was sent. */
static void test_damage(void)
{
	struct ws_tls_context *c = new_client(cert), *s = new_server();
	const struct ws_tls_peer peer = PEER("host.example", 443, NULL);

	for (size_t turn = 0; turn < 2; turn++) {
		for (size_t at = 0; at < 1200; at += 11) {
			CHECK(begin(c, s, &peer));
			CHECK(ws_tls_write(client.tls, "ping", 4) == 0);
			for (size_t turns = 0; turns < turn; turns++) {
				deliver(&client, &server, ROOM);
				deliver(&server, &client, ROOM);
			}
			if (at < client.out_len)
				client.out[at] ^= 0x40;
			deliver(&client, &server, ROOM);
			if (at < server.out_len)
				server.out[at] ^= 0x40;
			talk(ROOM);
			unit_row("byte %zu of turn %zu: %s, %s", at, turn, ws_tls_why(client.tls), ws_tls_why(server.tls));
			CHECK(server.plain_len == 0 || told(&server, "ping"));
			CHECK((server.end == WS_ERROR_PROTOCOL) == (ws_tls_why(server.tls)[0] != '\0'));
			leave();
		}
	}
	ws_tls_context_release(c);
	ws_tls_context_release(s);
}

/* Whether a connection resumes a session, as both sides see it. */
static bool resumes(struct ws_tls_context *c, struct ws_tls_context *s, const struct ws_tls_peer *peer)
{
	CHECK(begin(c, s, peer));
	CHECK(works());
	const bool resumed = SSL_session_reused(client.tls->ssl) == 1;
	CHECK((SSL_session_reused(server.tls->ssl) == 1) == resumed);
	leave();
	return resumed;
}

static void test_sessions(void)
{
	struct ws_tls_sessions *sessions = ws_tls_sessions_new();
	struct ws_tls_context *c = new_client(cert), *again = new_client(cert), *s = new_server();
	const struct ws_tls_peer peer = PEER("host.example", 443, sessions), port = PEER("host.example", 444, sessions);
	const struct ws_tls_peer nobody = PEER("host.example", 443, NULL);

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		unit_row("TLS 1.%d", version - TLS1_VERSION);
		SSL_CTX_set_max_proto_version(s->ssl, version);
		CHECK(!resumes(c, s, &nobody));
		CHECK(!resumes(c, s, &peer)); /* one of another version does not serve */
		CHECK(resumes(c, s, &peer));
		CHECK(resumes(again, s, &peer)); /* the same rules */
		CHECK(!resumes(c, s, &nobody));
		CHECK(!resumes(c, s, &port));
		CHECK(resumes(c, s, &port) && resumes(c, s, &peer));
	}
	ws_tls_context_release(c);
	ws_tls_context_release(again);
	ws_tls_context_release(s);
	ws_tls_sessions_free(sessions);
}

/* RFC 8446 appendix C.4 */
static void test_ticket_is_used_once(void)
{
	struct ws_tls_sessions *sessions = ws_tls_sessions_new();
	struct ws_tls_context *c = new_client(cert), *s = new_server();
	const struct ws_tls_peer peer = PEER("host.example", 443, sessions);

	CHECK(!resumes(c, s, &peer));
	struct ws_tls *first = ws_tls_new(c, &peer, put_out, &client); /* takes it, and never gets another */
	CHECK(first != NULL);
	CHECK(!resumes(c, s, &peer));
	CHECK(resumes(c, s, &peer));
	ws_tls_free(first);
	ws_tls_context_release(c);
	ws_tls_context_release(s);
	ws_tls_sessions_free(sessions);
}

static void test_session_of_a_broken_handshake(void)
{
	struct ws_tls_sessions *sessions = ws_tls_sessions_new();
	struct ws_tls_context *c = new_client(cert), *s = new_server();
	const struct ws_tls_peer peer = PEER("host.example", 443, sessions);

	SSL_CTX_set_max_proto_version(s->ssl, TLS1_2_VERSION); /* whose sessions are used again and again */
	CHECK(!resumes(c, s, &peer));
	CHECK(resumes(c, s, &peer));
	CHECK(begin(c, s, &peer));
	talk(ROOM);
	CHECK(SSL_session_reused(client.tls->ssl) == 1);
	leave(); /* without close_notify, which is no failure */
	CHECK(resumes(c, s, &peer));
	for (size_t turns = 0; turns < 2; turns++) {
		unit_row("after %zu turns", turns);
		CHECK(begin(c, s, &peer));
		if (turns > 0)
			deliver(&client, &server, ROOM);
		leave(); /* in the middle of the handshake */
		CHECK(!resumes(c, s, &peer));
		CHECK(resumes(c, s, &peer));
	}
	CHECK(begin(c, s, &peer));
	deliver(&client, &server, ROOM);
	server.out[server.out_len - 1] ^= 1;
	talk(ROOM);
	CHECK(client.end == WS_ERROR_PROTOCOL);
	leave();
	CHECK(!resumes(c, s, &peer));
	ws_tls_context_release(c);
	ws_tls_context_release(s);
	ws_tls_sessions_free(sessions);
}

static void test_sessions_are_bounded(void)
{
	struct ws_tls_sessions *sessions = ws_tls_sessions_new();
	struct ws_tls_context *c = new_client(cert), *s = new_server();

	for (unsigned port = 0; port < 100; port++)
		CHECK(!resumes(c, s, &(struct ws_tls_peer)PEER("host.example", port, sessions)));
	CHECK(!resumes(c, s, &(struct ws_tls_peer)PEER("host.example", 36, NULL)));
	CHECK(!resumes(c, s, &(struct ws_tls_peer)PEER("host.example", 0, sessions))); /* pushes the 36th out */
	CHECK(!resumes(c, s, &(struct ws_tls_peer)PEER("host.example", 36, sessions)));
	for (unsigned port = 38; port < 100; port++)
		CHECK(resumes(c, s, &(struct ws_tls_peer)PEER("host.example", port, sessions)));
	ws_tls_context_release(c);
	ws_tls_context_release(s);
	ws_tls_sessions_free(sessions);
}

/* ---- without memory */

/* The ways to ask for something that takes memory; each says whether it got as far as it can. */
static struct ws_tls_context *shared_client, *shared_server;
static struct ws_tls_sessions *shared_sessions;

static bool make_contexts(void)
{
	char why[WS_TLS_WHY] = "";
	const struct ws_tls_config of_server = server_config(), of_client = client_config(cert);
	struct ws_tls_context *s = ws_tls_context_new(&of_server, why), *c = ws_tls_context_new(&of_client, why);
	const bool made = s != NULL && c != NULL;

	CHECK(made || why[0] != '\0');
	ws_tls_context_release(s);
	ws_tls_context_release(c);
	return made;
}

static bool connect_once(void)
{
	const struct ws_tls_peer peer = PEER("host.example", 443, shared_sessions);
	bool worked = begin(shared_client, shared_server, &peer) && works();

	if (client.tls != NULL && server.tls != NULL) {
		CHECK(server.plain_len == 0 || told(&server, "ping"));
		CHECK((client.end == WS_ERROR_PROTOCOL) <= (ws_tls_why(client.tls)[0] != '\0'));
		ws_tls_end(client.tls);
		talk(ROOM);
	}
	leave();
	return worked;
}

static size_t starve_at(bool (*way)(void), size_t n, size_t count)
{
	memory_reset(n, count);
	(void)way();
	const size_t calls = memory.calls;
	memory_reset(0, 0);
	ERR_clear_error();
	return calls;
}

/* Every step-th allocation fails, and the count - 1 behind it. Afterwards it works, and nothing is left. */
static void starve(bool (*way)(void), size_t step, size_t count)
{
	CHECK(way() && way());
	const size_t calls = starve_at(way, 0, 0);
	unit_row("%zu allocations", calls);
	CHECK(calls > 100);
	for (size_t n = 1; n <= calls; n += step) {
		(void)starve_at(way, n, count); /* and for what is allocated once and kept */
		CHECK(way());
		const size_t live = memory.live;
		(void)starve_at(way, n, count);
		CHECK(way());
		unit_row("allocation %zu of %zu: %zu more", n, calls, memory.live - live);
		CHECK(memory.live == live);
	}
}

static void test_contexts_without_memory(void)
{
	make_certificates();
	starve(make_contexts, 211, 1);
	starve(make_contexts, 499, SIZE_MAX / 2);
}

static void test_handshake_without_memory(void)
{
	shared_client = new_client(cert);
	shared_server = new_server();
	starve(connect_once, 29, 1);
	starve(connect_once, 97, 10);
	starve(connect_once, 97, SIZE_MAX / 2);
	shared_sessions = ws_tls_sessions_new();
	starve(connect_once, 29, 1);
	ws_tls_context_release(shared_client);
	ws_tls_context_release(shared_server);
	ws_tls_sessions_free(shared_sessions);
}

/* Where the transport's memory runs out. */
static void test_output_refused(void)
{
	struct ws_tls_context *c = new_client(cert), *s = new_server();
	const struct ws_tls_peer peer = PEER("host.example", 443, NULL);

	for (int when = 0; when < 3; when++) {
		unit_row("%d", when);
		CHECK(begin(c, s, &peer));
		if (when == 0)
			server.refuses = true;
		deliver(&client, &server, ROOM);
		if (when == 1)
			client.refuses = true;
		deliver(&server, &client, ROOM);
		talk(ROOM);
		client.refuses = true;
		CHECK(ws_tls_write(client.tls, "x", 1) == (when == 0 ? 0 : WS_ERROR_PROTOCOL));
		CHECK(when == 0 || strncmp(ws_tls_why(client.tls), "TLS failed: ", 12) == 0);
		ws_tls_end(client.tls);
		leave();
	}
	ws_tls_context_release(c);
	ws_tls_context_release(s);
}

UNIT_MAIN(
	{ "a handshake, what both say, and both ends, in pieces of every size", test_exchange },
	{ "errors that others left behind are not taken for its own", test_errors_of_others },
	{ "the peer closes in the handshake", test_close_in_handshake },
	{ "who asks for a name gets its certificate", test_names },
	{ "no protocol in common is told to both", test_protocols },
	{ "what is no TLS is called so", test_strangers },
	{ "what was changed on its way fails", test_damage },
	{ "a session is resumed for the same server, under the same rules", test_sessions },
	{ "a ticket of TLS 1.3 is used once", test_ticket_is_used_once },
	{ "a session is not tried again after a handshake that broke off", test_session_of_a_broken_handshake },
	{ "of 64 servers sessions are kept", test_sessions_are_bounded },
	{ "output that cannot be put out fails", test_output_refused },
	{ "contexts without memory", test_contexts_without_memory },
	{ "connections without memory", test_handshake_without_memory }
)
