/* SOCKS5 byte for byte (RFC 1928, RFC 1929), its answers cut at every byte. */
#include "protocol/socks5.h"

#include "error.h"
#include "unit.h"

#define SLICE(text) { text, sizeof text - 1 }

static const struct ws_socks5_request plain = { .host = SLICE("example.com"), .port = 443 };
static const struct ws_socks5_request with_login = {
	.host = SLICE("example.com"), .port = 443, .user = SLICE("ann"), .password = SLICE("secret")
};

static bool says(const struct ws_socks5 *s, const char *bytes, size_t len)
{
	const struct ws_slice message = ws_socks5_message(s);
	return message.len == len && !memcmp(message.data, bytes, len);
}

#define SAYS(s, text) CHECK(says(s, text, sizeof text - 1))

/*
 * Takes an answer of which each byte comes alone. Returns the bytes it took up, or the error; *at: how many had come by
 * then. Behind the answer lies no readable memory.
 */
static long answer(struct ws_socks5 *s, const char *bytes, size_t len, size_t *at, const char **why)
{
	long result = WS_AGAIN;
	for (*at = 0; result == WS_AGAIN && *at <= len; (*at)++)
		result = ws_socks5_next(s, unit_guard_end(bytes, *at), *at, why);
	--*at;
	return result;
}

/* Whether the answer is taken up just when its last byte has come. */
static bool accepts(struct ws_socks5 *s, const char *bytes, size_t len)
{
	const char *why;
	size_t at;
	return answer(s, bytes, len, &at, &why) == (long)len && at == len;
}

#define ACCEPTS(s, text) CHECK(accepts(s, text, sizeof text - 1))

static void test_plain(void)
{
	struct ws_socks5 s;
	CHECK(ws_socks5_init(&s, &plain) == 0);
	SAYS(&s, "\5\1\0");
	ACCEPTS(&s, "\5\0");
	SAYS(&s, "\5\1\0\3\13example.com\1\273");
	ACCEPTS(&s, "\5\0\0\1\0\0\0\0\0\0");
	CHECK(s.state == WS_SOCKS5_OPEN);
	CHECK(ws_socks5_message(&s).len == 0);
}

static void test_login(void)
{
	struct ws_socks5 s;
	CHECK(ws_socks5_init(&s, &with_login) == 0);
	SAYS(&s, "\5\2\0\2");
	ACCEPTS(&s, "\5\2");
	SAYS(&s, "\1\3ann\6secret");
	ACCEPTS(&s, "\1\0");
	SAYS(&s, "\5\1\0\3\13example.com\1\273");
	ACCEPTS(&s, "\5\0\0\1\0\0\0\0\0\0");
	CHECK(s.state == WS_SOCKS5_OPEN);
}

static void test_login_not_asked_for(void)
{
	struct ws_socks5 s;
	CHECK(ws_socks5_init(&s, &with_login) == 0);
	ACCEPTS(&s, "\5\0");
	SAYS(&s, "\5\1\0\3\13example.com\1\273");
}

static void test_addresses(void)
{
	static const struct {
		struct ws_socks5_request request;
		const char *bytes;
		size_t len;
	} rows[] = {
		{ { .host = SLICE("\177\0\0\1"), .numeric = true, .port = 1 }, "\5\1\0\1\177\0\0\1\0\1", 10 },
		{ { .host = SLICE("\40\1\0\0\0\0\0\0\0\0\0\0\0\0\0\1"), .numeric = true, .port = 65535 },
		  "\5\1\0\4\40\1\0\0\0\0\0\0\0\0\0\0\0\0\0\1\377\377", 22 },
		{ { .host = SLICE("x"), .port = 256 }, "\5\1\0\3\1x\1\0", 8 },
		{ { .host = SLICE("1234"), .port = 80 }, "\5\1\0\3\0041234\0\120", 11 },
	};
	struct ws_socks5 s;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		unit_row("row %zu", i);
		CHECK(ws_socks5_init(&s, &rows[i].request) == 0);
		ACCEPTS(&s, "\5\0");
		CHECK(says(&s, rows[i].bytes, rows[i].len));
	}
}

static void test_lengths(void)
{
	static char text[256];
	memset(text, 'x', sizeof text);
	const struct ws_slice longest = { text, 255 }, too_long = { text, 256 }, empty = { text, 0 };
	const struct {
		struct ws_socks5_request request;
		int result;
	} rows[] = {
		{ { longest, false, 1, longest, longest }, 0 },
		{ { longest, false, 1, longest, empty }, 0 },
		{ { too_long, false, 1, empty, empty }, WS_ERROR_PROTOCOL },
		{ { empty, false, 1, empty, empty }, WS_ERROR_PROTOCOL },
		{ { longest, false, 1, too_long, longest }, WS_ERROR_PROTOCOL },
		{ { longest, false, 1, longest, too_long }, WS_ERROR_PROTOCOL },
		{ { { text, 5 }, true, 1, empty, empty }, WS_ERROR_PROTOCOL },
		{ { { text, 255 }, true, 1, empty, empty }, WS_ERROR_PROTOCOL },
	};
	struct ws_socks5 s;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		unit_row("row %zu", i);
		CHECK(ws_socks5_init(&s, &rows[i].request) == rows[i].result);
	}
	CHECK(ws_socks5_init(&s, &rows[0].request) == 0);
	ACCEPTS(&s, "\5\2");
	CHECK(ws_socks5_message(&s).len == 3 + 2 * 255);
	ACCEPTS(&s, "\1\0");
	CHECK(ws_socks5_message(&s).len == 7 + 255);
}

static void test_bound_addresses(void)
{
	static const char ip4[] = "\5\0\0\1\1\2\3\4\5\6", ip6[] = "\5\0\0\4abcdefghijklmnop\1\2", name[] = "\5\0\0\3\3abc\1\2";
	static const char empty[] = "\5\0\0\3\0\1\2";
	char longest[262] = "\5\0\0\3\377";
	const struct ws_slice rows[] = {
		{ ip4, sizeof ip4 - 1 }, { ip6, sizeof ip6 - 1 }, { name, sizeof name - 1 }, { empty, sizeof empty - 1 },
		{ longest, sizeof longest },
	};
	struct ws_socks5 s;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		unit_row("row %zu", i);
		CHECK(ws_socks5_init(&s, &plain) == 0);
		ACCEPTS(&s, "\5\0");
		CHECK(accepts(&s, rows[i].data, rows[i].len));
		CHECK(s.state == WS_SOCKS5_OPEN);
	}
}

static void test_what_follows(void)
{
	static const char bytes[] = "\5\0\0\1\0\0\0\0\0\0HTTP";
	struct ws_socks5 s;
	const char *why;
	CHECK(ws_socks5_init(&s, &plain) == 0);
	CHECK(ws_socks5_next(&s, "\5\0\5", 3, &why) == 2);
	CHECK(ws_socks5_next(&s, bytes, sizeof bytes - 1, &why) == 10);
}

static void test_refusals(void)
{
	static const struct {
		const struct ws_socks5_request *request;
		struct ws_slice before; /* the answers that came first */
		struct ws_slice bytes;
		size_t at;          /* at how many bytes it is certain */
		const char *why;
	} rows[] = {
		{ &plain, SLICE(""), SLICE("\4\0"), 1, "does not speak SOCKS5" },
		{ &plain, SLICE(""), SLICE("HTTP/1.1 400"), 1, "does not speak SOCKS5" },
		{ &plain, SLICE(""), SLICE("\5\1"), 2, "was not offered" },
		{ &plain, SLICE(""), SLICE("\5\2"), 2, "was not offered" },
		{ &plain, SLICE(""), SLICE("\5\200"), 2, "was not offered" },
		{ &plain, SLICE(""), SLICE("\5\377"), 2, "nobody without authentication" },
		{ &with_login, SLICE(""), SLICE("\5\1"), 2, "was not offered" },
		{ &with_login, SLICE(""), SLICE("\5\377"), 2, "no authentication by user and password" },
		{ &with_login, SLICE("\5\2"), SLICE("\5\0"), 1, "not valid SOCKS5" },
		{ &with_login, SLICE("\5\2"), SLICE("\1\1"), 2, "does not accept this user and password" },
		{ &with_login, SLICE("\5\2"), SLICE("\1\377"), 2, "does not accept this user and password" },
		{ &with_login, SLICE("\5\2\1\0"), SLICE("\5\2"), 2, "its rules" },
		{ &plain, SLICE("\5\0"), SLICE("\1\0"), 1, "not valid SOCKS5" },
		{ &plain, SLICE("\5\0"), SLICE("\5\1"), 2, "general failure" },
		{ &plain, SLICE("\5\0"), SLICE("\5\2"), 2, "its rules" },
		{ &plain, SLICE("\5\0"), SLICE("\5\3"), 2, "network is unreachable" },
		{ &plain, SLICE("\5\0"), SLICE("\5\4"), 2, "host is unreachable" },
		{ &plain, SLICE("\5\0"), SLICE("\5\5"), 2, "connection refused" },
		{ &plain, SLICE("\5\0"), SLICE("\5\6"), 2, "TTL expired" },
		{ &plain, SLICE("\5\0"), SLICE("\5\7"), 2, "the command" },
		{ &plain, SLICE("\5\0"), SLICE("\5\10"), 2, "kind of address" },
		{ &plain, SLICE("\5\0"), SLICE("\5\11"), 2, "unknown failure" },
		{ &plain, SLICE("\5\0"), SLICE("\5\377"), 2, "unknown failure" },
		{ &plain, SLICE("\5\0"), SLICE("\5\0\1\1"), 3, "not valid SOCKS5" },
		{ &plain, SLICE("\5\0"), SLICE("\5\0\0\0"), 4, "not valid SOCKS5" },
		{ &plain, SLICE("\5\0"), SLICE("\5\0\0\2"), 4, "not valid SOCKS5" },
		{ &plain, SLICE("\5\0"), SLICE("\5\0\0\5"), 4, "not valid SOCKS5" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct ws_socks5 s;
		const char *why;
		size_t at;
		unit_row("row %zu: %s", i, rows[i].why);
		CHECK(ws_socks5_init(&s, rows[i].request) == 0);
		for (size_t used = 0; used < rows[i].before.len; used += 2)
			CHECK(accepts(&s, rows[i].before.data + used, 2));
		CHECK(answer(&s, rows[i].bytes.data, rows[i].bytes.len, &at, &why) == WS_ERROR_PROTOCOL);
		CHECK(at == rows[i].at);
		CHECK(why != NULL && strstr(why, rows[i].why) != NULL);
	}
}

UNIT_MAIN(
	{ "without a user nothing but a tunnel is asked for", test_plain },
	{ "user and password are told where they are asked for", test_login },
	{ "and not where they are not", test_login_not_asked_for },
	{ "names and addresses are told as what they are", test_addresses },
	{ "what is too long to be told is refused before", test_lengths },
	{ "the address that the proxy tells is passed over, of whatever kind", test_bound_addresses },
	{ "nothing is taken of what follows an answer", test_what_follows },
	{ "each refusal is told in words, at its first certain byte", test_refusals }
)
