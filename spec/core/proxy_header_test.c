/* The PROXY protocol's header: both versions, in one piece, in pieces, with something behind it, and wrong. */
#include "protocol/proxy_header.h"

#include "error.h"
#include "unit.h"

/* Parses exactly these bytes, with nothing readable behind them. */
static long parse(struct ws_proxy_header *header, const void *bytes, size_t len)
{
	return ws_proxy_header_parse(header, unit_guard_end(bytes, len), len);
}

/* Every shorter piece must be incomplete, and what follows must not matter. */
static long parse_all_ways(struct ws_proxy_header *header, const char *bytes, size_t len)
{
	char more[UNIT_ROOM / 8];
	for (size_t n = 0; n < len; n++)
		CHECK(parse(header, bytes, n) == WS_AGAIN);
	memcpy(more, bytes, len);
	memcpy(more + len, "\x16\x03\x01\r\n", 5);
	CHECK(parse(header, more, len + 5) == (long)len);
	return parse(header, bytes, len);
}

static bool is_from(const struct ws_proxy_header *header, const char *address, unsigned port)
{
	uint8_t ip[WS_IP_SIZE];
	if (!address)
		return !header->speaks_for_another;
	return header->speaks_for_another && ws_ip_parse(ip, ws_slice_of(address)) &&
	       !memcmp(ip, header->source, sizeof ip) && header->port == port;
}

static void test_line(void)
{
	static const struct {
		const char *line, *address;
		unsigned port;
	} rows[] = {
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 40000 443\r\n", "192.0.2.1", 40000 },
		{ "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255", 65535 },
		{ "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0", 0 },
		{ "PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "2001:db8::1", 1 },
		{ "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n", "192.0.2.1", 1 },
		{ "PROXY UNKNOWN\r\n", NULL, 0 },
		{ "PROXY UNKNOWN \r\n", NULL, 0 },
		{ "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
		  NULL, 0 }, /* 107 bytes: the longest */
	};
	struct ws_proxy_header header;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		unit_row("%s", rows[i].line);
		CHECK(parse_all_ways(&header, rows[i].line, strlen(rows[i].line)) == (long)strlen(rows[i].line));
		CHECK(is_from(&header, rows[i].address, rows[i].port));
	}
}

static void test_wrong_line(void)
{
	static const char *const rows[] = {
		"PROXY \r\n", "PROXY TCP4\r\n", "PROXY TCP4 \r\n", "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
		"PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
		"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2  1 2\r\n", "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 1\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 a 2\r\n", "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2 1 2\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n", "PROXY TCP4 192.0.2.1 ::1 1 2\r\n",
		"PROXY TCP6 ::1 ::g 1 2\r\n", "PROXY TCP6 [::1] ::1 1 2\r\n", "PROXY TCP4 host host 1 2\r\n",
		"PROXY UNKNOWNX\r\n", "PROXY UNIX a b\r\n", "PROXY UNKNOWN\n", "PROXY UNKNOWN\r\r\n", "PROXY UNKNOWN\rX",
		"PROXY UNKNOWN\t\r\n", "PROXY UNKNOWN \x80\r\n", "PROXY\r\n", "proxy UNKNOWN\r\n", "PROXX",
		"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02", "X", "\n", " PROXY UNKNOWN\r\n", "\rX", "\r\n\r\nX",
		"PROXY UNKNOWN fffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
		"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535X",
	};
	struct ws_proxy_header header;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		unit_row("%s", rows[i]);
		CHECK(parse(&header, rows[i], strlen(rows[i])) == WS_ERROR_PROTOCOL);
	}
	CHECK(parse(&header, "PROXY UNKNOWN \0\r\n", 17) == WS_ERROR_PROTOCOL);
	CHECK(parse(&header, "", 0) == WS_AGAIN);
}

#define MARK "\r\n\r\n\0\r\nQUIT\n"
#define IP4 "\xc0\0\2\1" "\xc0\0\2\2" "\x9c\x40" "\1\xbb"
#define IP6 "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1" "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1" "\0\1" "\0\2"
#define ROW(bytes, address, port) { bytes, sizeof bytes - 1, address, port }

static void test_binary(void)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *address;
		unsigned port;
	} rows[] = {
		ROW(MARK "\x21\x11\0\x0c" IP4, "192.0.2.1", 40000),
		ROW(MARK "\x21\x21\0\x24" IP6, "2001:db8::1", 1),
		ROW(MARK "\x21\x11\0\x13" IP4 "\4\0\4abcd", "192.0.2.1", 40000), /* a TLV */
		ROW(MARK "\x21\x11\0\x0d" IP4 "\4", "192.0.2.1", 40000), /* what is behind the addresses is skipped as it is */
		ROW(MARK "\x20\x11\0\x0c" IP4, NULL, 0),
		ROW(MARK "\x20\0\0\0", NULL, 0),
		ROW(MARK "\x20\xff\0\3abc", NULL, 0),
		ROW(MARK "\x21\0\0\0", NULL, 0),
		ROW(MARK "\x21\0\0\x0c" IP4, NULL, 0),
	};
	struct ws_proxy_header header;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		unit_row("row %zu", i);
		CHECK(parse_all_ways(&header, rows[i].bytes, rows[i].len) == (long)rows[i].len);
		CHECK(is_from(&header, rows[i].address, rows[i].port));
	}
	char large[WS_PROXY_HEADER_SIZE + 1] = MARK "\x21\x11\x0f\xf0" IP4;
	unit_row("the largest");
	CHECK(parse(&header, large, WS_PROXY_HEADER_SIZE - 1) == WS_AGAIN);
	CHECK(parse(&header, large, WS_PROXY_HEADER_SIZE) == WS_PROXY_HEADER_SIZE && is_from(&header, "192.0.2.1", 40000));
	memcpy(large, MARK "\x21\x31\0\xd8", 16);
	CHECK(parse(&header, large, 16 + 216) == 16 + 216 && is_from(&header, NULL, 0)); /* Unix sockets */
}

static void test_wrong_binary(void)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *address;
		unsigned port;
	} rows[] = {
		ROW(MARK "\x11", NULL, 0), ROW(MARK "\x31", NULL, 0), ROW(MARK "\x22", NULL, 0), ROW(MARK "\x2f", NULL, 0),
		ROW(MARK "\x21\x12\0\x0c" IP4, NULL, 0), ROW(MARK "\x21\x22\0\x24" IP6, NULL, 0), /* datagrams */
		ROW(MARK "\x21\x10\0\x0c" IP4, NULL, 0), ROW(MARK "\x21\x13\0\x0c" IP4, NULL, 0),
		ROW(MARK "\x21\x41\0\x0c" IP4, NULL, 0), ROW(MARK "\x21\1\0\0", NULL, 0),
		ROW(MARK "\x21\x11\0\x0b" IP4, NULL, 0), ROW(MARK "\x21\x21\0\x23" IP6, NULL, 0),
		ROW(MARK "\x21\x11\0\0", NULL, 0), ROW(MARK "\x21\x31\0\x0c" IP4, NULL, 0),
		ROW(MARK "\x21\x11\x0f\xf1", NULL, 0), ROW(MARK "\x20\0\xff\xff", NULL, 0), /* before it has come */
		ROW("\r\n\r\n\0\r\nQUIX", NULL, 0),
	};
	struct ws_proxy_header header;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		unit_row("row %zu", i);
		CHECK(parse(&header, rows[i].bytes, rows[i].len) == WS_ERROR_PROTOCOL);
	}
}

UNIT_MAIN(
	{ "version 1 is a line", test_line },
	{ "any other line is refused", test_wrong_line },
	{ "version 2 is binary", test_binary },
	{ "anything else in version 2 is refused", test_wrong_binary },
)
