/* All messages are written at the start: none of them depends on an answer, only whether it is sent. */
#include "protocol/socks5.h"

#include <string.h>

#include "error.h"

/* Bytes of the two RFCs. */
enum {
	VERSION = 5, LOGIN_VERSION = 1,
	METHOD_NONE = 0, METHOD_LOGIN = 2, METHOD_UNACCEPTABLE = 0xff,
	COMMAND_CONNECT = 1,
	ADDRESS_IP4 = 1, ADDRESS_NAME = 3, ADDRESS_IP6 = 4
};

/* ---- what we say */

static void put(struct ws_socks5 *s, size_t *used, unsigned byte)
{
	s->messages[(*used)++] = (uint8_t)byte;
}

static void put_slice(struct ws_socks5 *s, size_t *used, struct ws_slice slice)
{
	if (slice.len)
		memcpy(s->messages + *used, slice.data, slice.len);
	*used += slice.len;
}

/* Its length comes first. */
static void put_text(struct ws_socks5 *s, size_t *used, struct ws_slice text)
{
	put(s, used, (unsigned)text.len);
	put_slice(s, used, text);
}

/* RFC 1928 section 3 */
static void put_methods(struct ws_socks5 *s, size_t *used, bool login)
{
	put(s, used, VERSION);
	put(s, used, login ? 2 : 1);
	put(s, used, METHOD_NONE);
	if (login)
		put(s, used, METHOD_LOGIN);
}

/* RFC 1929 section 2. It has no empty password, but proxies take one where a token is the user. */
static void put_login(struct ws_socks5 *s, size_t *used, const struct ws_socks5_request *request)
{
	put(s, used, LOGIN_VERSION);
	put_text(s, used, request->user);
	put_text(s, used, request->password);
}

/* RFC 1928 sections 4 and 5 */
static void put_request(struct ws_socks5 *s, size_t *used, const struct ws_socks5_request *request)
{
	put(s, used, VERSION);
	put(s, used, COMMAND_CONNECT);
	put(s, used, 0);
	if (request->numeric) {
		put(s, used, request->host.len == 4 ? ADDRESS_IP4 : ADDRESS_IP6);
		put_slice(s, used, request->host);
	} else {
		put(s, used, ADDRESS_NAME);
		put_text(s, used, request->host);
	}
	put(s, used, request->port >> 8);
	put(s, used, request->port & 0xff);
}

int ws_socks5_init(struct ws_socks5 *s, const struct ws_socks5_request *request)
{
	size_t used = 0, len = request->host.len;
	if (request->numeric ? len != 4 && len != 16 : len < 1 || len > WS_SOCKS5_TEXT)
		return WS_ERROR_PROTOCOL;
	if (request->user.len > WS_SOCKS5_TEXT || request->password.len > WS_SOCKS5_TEXT)
		return WS_ERROR_PROTOCOL;
	s->state = WS_SOCKS5_METHOD;
	put_methods(s, &used, request->user.len > 0);
	s->end[WS_SOCKS5_METHOD] = used;
	if (request->user.len > 0)
		put_login(s, &used, request);
	s->end[WS_SOCKS5_LOGIN] = used;
	put_request(s, &used, request);
	s->end[WS_SOCKS5_REQUEST] = used;
	return 0;
}

struct ws_slice ws_socks5_message(const struct ws_socks5 *s)
{
	if (s->state == WS_SOCKS5_OPEN)
		return (struct ws_slice){ NULL, 0 };
	size_t from = s->state == WS_SOCKS5_METHOD ? 0 : s->end[s->state - 1];
	return (struct ws_slice){ (const char *)s->messages + from, s->end[s->state] - from };
}

static bool has_login(const struct ws_socks5 *s)
{
	return s->end[WS_SOCKS5_LOGIN] > s->end[WS_SOCKS5_METHOD];
}

/* ---- what the proxy answers: NULL, or what is wrong with as much of it as has come */

static const char invalid[] = "the proxy's answer is not valid SOCKS5";

/* RFC 1928 section 3 */
static const char *method_wrong(const struct ws_socks5 *s, unsigned method)
{
	if (method == METHOD_NONE || (method == METHOD_LOGIN && has_login(s)))
		return NULL;
	if (method != METHOD_UNACCEPTABLE)
		return "the proxy chose a way to authenticate that it was not offered";
	return has_login(s) ? "the proxy accepts no authentication by user and password"
	                    : "the proxy accepts nobody without authentication: it may want a user and password in its URL";
}

/* RFC 1928 section 6. A refusal counts at once: what follows the code may never come. */
static const char *reply_wrong(const uint8_t *answer, size_t len)
{
	static const char *const refusals[] = {
		NULL,
		"the proxy could not connect: general failure",
		"the proxy could not connect: its rules do not allow it",
		"the proxy could not connect: network is unreachable",
		"the proxy could not connect: host is unreachable",
		"the proxy could not connect: connection refused",
		"the proxy could not connect: TTL expired",
		"the proxy could not connect: it does not know the command CONNECT",
		"the proxy could not connect: it does not know this kind of address",
	};
	if (answer[1] >= sizeof refusals / sizeof *refusals)
		return "the proxy could not connect: unknown failure";
	if (answer[1] != 0)
		return refusals[answer[1]];
	bool known = len < 4 || answer[3] == ADDRESS_IP4 || answer[3] == ADDRESS_NAME || answer[3] == ADDRESS_IP6;
	return known && (len < 3 || answer[2] == 0) ? NULL : invalid;
}

static const char *answer_wrong(const struct ws_socks5 *s, const uint8_t *answer, size_t len)
{
	if (len > 0 && answer[0] != (s->state == WS_SOCKS5_LOGIN ? LOGIN_VERSION : VERSION))
		return s->state == WS_SOCKS5_METHOD ? "the proxy does not speak SOCKS5" : invalid;
	if (len < 2)
		return NULL;
	if (s->state == WS_SOCKS5_METHOD)
		return method_wrong(s, answer[1]);
	if (s->state == WS_SOCKS5_REQUEST)
		return reply_wrong(answer, len);
	return answer[1] == 0 ? NULL : "the proxy does not accept this user and password"; /* RFC 1929 section 2 */
}

/* How long the answer is, as far as can be told from what has come. Its address and port are nobody's concern. */
static size_t answer_length(const struct ws_socks5 *s, const uint8_t *answer, size_t len)
{
	if (s->state != WS_SOCKS5_REQUEST)
		return 2;
	if (len < 5)
		return 5;
	return answer[3] == ADDRESS_NAME ? 7u + answer[4] : answer[3] == ADDRESS_IP4 ? 10 : 22;
}

long ws_socks5_next(struct ws_socks5 *s, const char *data, size_t len, const char **why)
{
	const uint8_t *answer = (const uint8_t *)data;
	*why = answer_wrong(s, answer, len);
	if (*why)
		return WS_ERROR_PROTOCOL;
	size_t size = answer_length(s, answer, len);
	if (len < size)
		return WS_AGAIN;
	if (s->state == WS_SOCKS5_METHOD && answer[1] == METHOD_NONE)
		s->state = WS_SOCKS5_LOGIN; /* passed over */
	s->state++;
	return (long)size;
}
