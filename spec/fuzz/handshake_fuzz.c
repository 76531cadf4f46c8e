/*
 * Handshakes. The input is a request's head, then header lines of ours up to a NUL, then a body: what a server makes of
 * it. What we answer is a head by our own strict reading, and says what it was to say.
 */
#include "fuzz.h"

#include <string.h>

#include "error.h"
#include "protocol/handshake_client.h"
#include "protocol/reply.h"

static const char *const offered[] = { "chat", "superchat" };
static struct ws_head head, answer;
static struct ws_handshake_digest digest;

/* A writer tells its size whatever the room, and writes only so much of it. */
static long written(char **out, long (*write)(char *, size_t, const void *), const void *arguments)
{
	char small[40];

	memset(small, 'x', sizeof small);
	const long size = write(small, sizeof small - 8, arguments);
	FUZZ_CHECK(memcmp(small + sizeof small - 8, "xxxxxxxx", 8) == 0);
	*out = malloc(size > 0 ? (size_t)size : 1);
	FUZZ_CHECK(write(*out, size > 0 ? (size_t)size : 0, arguments) == size);
	if (size > 0)
		FUZZ_CHECK(memcmp(*out, small, size < 32 ? (size_t)size : 32) == 0);
	return size;
}

struct refusal_arguments {
	unsigned status;
	const char *extra;
	size_t length;
};

static long write_refusal(char *out, size_t size, const void *arguments)
{
	const struct refusal_arguments *a = arguments;
	return ws_reply_head(out, size, &(struct ws_reply){ a->status, a->extra, a->length, 0 });
}

struct response_arguments {
	char accept[WS_HANDSHAKE_ACCEPT];
	struct ws_slice subprotocol;
	const char *extra;
};

static long write_response(char *out, size_t size, const void *arguments)
{
	const struct response_arguments *a = arguments;
	return ws_handshake_response(out, size, a->accept, a->subprotocol, a->extra);
}

struct request_arguments {
	struct ws_client_request request;
	char key[WS_HANDSHAKE_KEY];
};

static long write_request(char *out, size_t size, const void *arguments)
{
	const struct request_arguments *a = arguments;
	return ws_handshake_request(out, size, &a->request, a->key);
}

/* Whether some headers or a body are too much for what we read ourselves. */
static bool too_much(const char *out, long size)
{
	struct ws_refusal refusal;

	return ws_head_parse_response(&answer, out, (size_t)size, SIZE_MAX, &refusal) == WS_ERROR_PROTOCOL &&
	       strstr(refusal.why, "more than 64") != NULL;
}

static void check_refusal(unsigned status, const char *extra, size_t length)
{
	const struct refusal_arguments arguments = { status, extra, length };
	struct ws_refusal refusal;
	char *out;
	const long size = written(&out, write_refusal, &arguments);

	if (size > 0 && !too_much(out, size)) {
		const long used = ws_head_parse_response(&answer, out, (size_t)size, SIZE_MAX, &refusal);
		FUZZ_CHECK(used == size && answer.status == status);
		FUZZ_CHECK(ws_head_lists(&answer, "Connection", "close"));
	}
	free(out);
}

/* The client that asked so takes our answer. */
static void check_response(struct ws_slice key, struct ws_slice subprotocol, const char *extra)
{
	struct response_arguments arguments = { "", subprotocol, extra };
	struct ws_refusal refusal;
	struct ws_slice chosen;
	const char *why = "";
	char *out;
	FUZZ_CHECK(ws_handshake_accept(&digest, key, arguments.accept) == 0);
	const long size = written(&out, write_response, &arguments);
	if (size > 0 && !too_much(out, size)) {
		FUZZ_CHECK(ws_head_parse_response(&answer, out, (size_t)size, SIZE_MAX, &refusal) == size);
		FUZZ_CHECK(ws_handshake_verify(&answer, arguments.accept, offered, 2, &chosen, &why) == 0);
		FUZZ_CHECK(chosen.len == subprotocol.len);
	}
	free(out);
}

/* What a client asks with the same words, a server understands. */
static void check_request(const char *extra)
{
	struct request_arguments arguments = {
		{ head.target, { "localhost", 9 }, { "chat, superchat", 15 }, { NULL, 0 }, extra }, ""
	};
	static const uint8_t nonce[16] = { 1, 2, 3 };
	struct ws_refusal refusal;
	struct ws_slice key;
	char *out;

	ws_handshake_key(nonce, arguments.key);
	const long size = written(&out, write_request, &arguments);
	if (size > 0) {
		const long used = ws_head_parse_request(&head, out, (size_t)size, SIZE_MAX, &refusal);
		FUZZ_CHECK(used == size || (used == WS_ERROR_PROTOCOL && refusal.status == 431));
		if (used == size) {
			FUZZ_CHECK(ws_handshake_check(&head, &key, &refusal) == 0 && memcmp(key.data, arguments.key, key.len) == 0);
			FUZZ_CHECK(ws_handshake_subprotocol(&head, offered, 2).len == 4);
		}
	}
	free(out);
}

/* An answer from somebody else's server. */
static void check_verify(const char *data, size_t size)
{
	struct ws_refusal refusal;
	struct ws_slice chosen;
	const char *why = NULL;

	if (ws_head_parse_response(&answer, data, size, 8192, &refusal) <= 0)
		return;
	const int result = ws_handshake_verify(&answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", offered, 2, &chosen, &why);
	FUZZ_CHECK(result == 0 || (result == WS_ERROR_PROTOCOL && why != NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const char *const data = (const char *)bytes;
	struct ws_refusal refusal = { 0, NULL };
	struct ws_slice key, body = { NULL, 0 };

	check_verify(data, size);
	const long used = ws_head_parse_request(&head, data, size, 8192, &refusal);
	if (used <= 0)
		return 0;
	char *extra = malloc(size - (size_t)used + 1);
	memcpy(extra, data + used, size - (size_t)used);
	extra[size - (size_t)used] = '\0';
	const size_t behind = (size_t)used + strlen(extra) + 1;
	if (behind < size)
		body = (struct ws_slice){ data + behind, size - behind };

	const bool valid = ws_handshake_subprotocols_valid(&head);
	const struct ws_slice subprotocol = ws_handshake_subprotocol(&head, offered, 2);
	FUZZ_CHECK(subprotocol.len == 0 || subprotocol.len == 4 || subprotocol.len == 9);
	FUZZ_CHECK(subprotocol.len == 0 || !valid || ws_slice_is_token(subprotocol));
	(void)ws_handshake_same_origin(&head);
	if (ws_handshake_check(&head, &key, &refusal) == 0)
		check_response(key, subprotocol, extra);
	else
		FUZZ_CHECK(refusal.status >= 400 && refusal.why != NULL);
	check_refusal(refusal.status > 0 ? refusal.status : 403, extra, body.len);
	check_request(extra);
	free(extra);
	return 0;
}
