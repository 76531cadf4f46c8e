/* The latest session of each server, the latest of all in front. */
#include <stdlib.h>
#include <string.h>

#include "net/tls_private.h"

enum { SESSIONS = 64 }; /* some KB each, and few programs talk to more servers in turn */

struct ws_tls_sessions {
	size_t count;
	struct kept {
		uint8_t key[WS_TLS_DIGEST];
		SSL_SESSION *session;
	} kept[SESSIONS];
};

struct ws_tls_sessions *ws_tls_sessions_new(void)
{
	return calloc(1, sizeof(struct ws_tls_sessions));
}

void ws_tls_sessions_free(struct ws_tls_sessions *sessions)
{
	for (size_t i = 0; sessions && i < sessions->count; i++)
		SSL_SESSION_free(sessions->kept[i].session);
	free(sessions);
}

bool ws_tls_session_key(const struct ws_tls_context *context, const char *host, unsigned port,
                        uint8_t key[WS_TLS_DIGEST])
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool ok = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
	          EVP_DigestUpdate(digest, context->digest, sizeof context->digest) == 1 &&
	          EVP_DigestUpdate(digest, &port, sizeof port) == 1 &&
	          EVP_DigestUpdate(digest, host, strlen(host)) == 1 && EVP_DigestFinal_ex(digest, key, NULL) == 1;
	EVP_MD_CTX_free(digest);
	return ok;
}

static size_t find(const struct ws_tls_sessions *sessions, const uint8_t key[WS_TLS_DIGEST])
{
	size_t i = 0;
	while (i < sessions->count && memcmp(sessions->kept[i].key, key, WS_TLS_DIGEST) != 0)
		i++;
	return i;
}

/* The session is the caller's. */
static SSL_SESSION *take_out(struct ws_tls_sessions *sessions, size_t at)
{
	SSL_SESSION *session = sessions->kept[at].session;
	sessions->count--;
	memmove(&sessions->kept[at], &sessions->kept[at + 1], (sessions->count - at) * sizeof *sessions->kept);
	return session;
}

void ws_tls_sessions_forget(struct ws_tls_sessions *sessions, const uint8_t key[WS_TLS_DIGEST])
{
	size_t at = find(sessions, key);
	if (at < sessions->count)
		SSL_SESSION_free(take_out(sessions, at));
}

void ws_tls_sessions_put(struct ws_tls_sessions *sessions, const uint8_t key[WS_TLS_DIGEST], SSL_SESSION *session)
{
	ws_tls_sessions_forget(sessions, key);
	if (sessions->count == SESSIONS)
		SSL_SESSION_free(take_out(sessions, SESSIONS - 1));
	memmove(&sessions->kept[1], &sessions->kept[0], sessions->count * sizeof *sessions->kept);
	memcpy(sessions->kept[0].key, key, WS_TLS_DIGEST);
	sessions->kept[0].session = session;
	sessions->count++;
}

/* A ticket of TLS 1.3 is used once, lest connections can be linked (RFC 8446 appendix C.4); one of 1.2 stays. */
SSL_SESSION *ws_tls_sessions_take(struct ws_tls_sessions *sessions, const uint8_t key[WS_TLS_DIGEST])
{
	size_t at = find(sessions, key);
	if (at == sessions->count)
		return NULL;
	SSL_SESSION *session = sessions->kept[at].session;
	if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION)
		return take_out(sessions, at);
	SSL_SESSION_up_ref(session);
	return session;
}
