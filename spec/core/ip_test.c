/* Addresses as text: what is one, what is none, and that the system agrees. */
#include "protocol/ip.h"

#include <arpa/inet.h>

#include "unit.h"

static struct ws_slice guarded(const char *text)
{
	return (struct ws_slice){ unit_guard_end(text, strlen(text)), strlen(text) };
}

/* The bytes as inet_ntop writes them, or NULL. */
static const char *shown(const char *text, char out[static INET6_ADDRSTRLEN])
{
	uint8_t ip[WS_IP_SIZE];
	if (!ws_ip_parse(ip, guarded(text)))
		return NULL;
	return ws_ip_is_4(ip) ? inet_ntop(AF_INET, ip + 12, out, INET6_ADDRSTRLEN)
	                      : inet_ntop(AF_INET6, ip, out, INET6_ADDRSTRLEN);
}

static void test_addresses(void)
{
	static const char *const rows[][2] = {
		{ "0.0.0.0", "0.0.0.0" }, { "127.0.0.1", "127.0.0.1" }, { "255.255.255.255", "255.255.255.255" },
		{ "1.20.103.4", "1.20.103.4" }, { "::", "::" }, { "::1", "::1" }, { "1::", "1::" },
		{ "2001:DB8::1", "2001:db8::1" }, { "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8" },
		{ "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" }, { "::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8" },
		{ "1:2:3::6:7:8", "1:2:3::6:7:8" }, { "0001:00ff::", "1:ff::" }, { "::ffff:1.2.3.4", "1.2.3.4" },
		{ "::ffff:102:304", "1.2.3.4" }, { "64:ff9b::1.2.3.4", "64:ff9b::102:304" },
		{ "1:2:3:4:5:6:7.8.9.10", "1:2:3:4:5:6:708:90a" }, { "fe80::abcd:ef", "fe80::abcd:ef" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char out[INET6_ADDRSTRLEN];
		const char *seen = shown(rows[i][0], out);
		unit_row("%s", rows[i][0]);
		CHECK(seen && !strcmp(seen, rows[i][1]));
	}
}

static void test_others(void)
{
	static const char *const rows[] = {
		"", ".", ":", ":::", "1", "1.2.3", "1.2.3.", "1.2.3.4.", ".1.2.3.4", "1.2.3.4.5", "1..2.3", "256.0.0.1", "1.2.3.256",
		"01.2.3.4", "1.2.3.00", "1.2.3.4 ", " 1.2.3.4", "+1.2.3.4", "1.2.3.-4", "0x1.2.3.4", "1.2.3.4/8", "99999999999.1.1.1",
		"1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:", ":1:2:3:4:5:6:7", "1::2::3", ":::1", "1:::2", "12345::",
		"g::", "::g", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1::2:3:4:5:6:7:8", "1.2.3.4::", "::1.2.3", "::1.2.3.4:5",
		"::01.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "::1:2:3:4:5:6:7.8.9.10.11", "fe80::1%lo", "[::1]", "unknown", "_hidden",
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint8_t ip[WS_IP_SIZE];
		unit_row("%s", rows[i]);
		CHECK(!ws_ip_parse(ip, guarded(rows[i])));
	}
	uint8_t ip[WS_IP_SIZE];
	CHECK(!ws_ip_parse(ip, (struct ws_slice){ "1.2.3.4\0", 8 }));
	CHECK(!ws_ip_parse(ip, (struct ws_slice){ NULL, 0 }));
}

static void test_sockets(void)
{
	static const struct {
		const char *text, *ip; /* NULL: none */
	} rows[] = {
		{ "1.2.3.4:80", "1.2.3.4" }, { "1.2.3.4:0", "1.2.3.4" }, { "1.2.3.4:65535", "1.2.3.4" }, { "1.2.3.4", "1.2.3.4" },
		{ "[::1]:80", "::1" }, { "[::1]", "::1" }, { "::1", "::1" }, { "[fe80::1%eth0]:80", "fe80::1" },
		{ "[::ffff:1.2.3.4]:80", "1.2.3.4" },
		{ "1.2.3.4:", NULL }, { "1.2.3.4:65536", NULL }, { "1.2.3.4:080", NULL }, { "1.2.3.4:x", NULL },
		{ "1.2.3.4:80:81", NULL }, { "[1.2.3.4]:80", NULL }, { "[::1]80", NULL }, { "[::1]:", NULL }, { "[::1", NULL },
		{ "::1]", NULL }, { "[]", NULL }, { "[]:80", NULL }, { "[", NULL }, { "[::1]:80 ", NULL }, { ":80", NULL },
		{ "unix:", NULL }, { "unix:/tmp/s", NULL }, { "", NULL }, { "localhost:80", NULL },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint8_t ip[WS_IP_SIZE], expected[WS_IP_SIZE];
		unit_row("%s", rows[i].text);
		bool is_one = ws_ip_parse_socket(ip, guarded(rows[i].text));
		CHECK(is_one == (rows[i].ip != NULL));
		if (is_one && rows[i].ip) {
			CHECK(ws_ip_parse(expected, ws_slice_of(rows[i].ip)));
			CHECK(!memcmp(ip, expected, sizeof ip));
		}
	}
}

/* Random text of the characters that matter: the system's own parser agrees on IPv6, and on IPv4. */
static void test_agreement(void)
{
	static const char alphabet[] = "::::....0123afA1";
	uint32_t seed = 7;
	for (int n = 0; n < 300000; n++) {
		char text[24];
		uint8_t ip[WS_IP_SIZE], theirs[16];
		size_t len = 0;
		do {
			seed = seed * 1664525 + 1013904223;
			text[len++] = alphabet[seed >> 28];
		} while (len < sizeof text - 1 && (seed >> 20 & 15));
		text[len] = '\0';
		bool ours = ws_ip_parse(ip, ws_slice_of(text));
		bool six = inet_pton(AF_INET6, text, theirs) == 1, four = !six && inet_pton(AF_INET, text, theirs) == 1;
		unit_row("%s", text);
		CHECK(ours == (six || four));
		CHECK(!six || !memcmp(ip, theirs, 16));
		CHECK(!four || !memcmp(ip + 12, theirs, 4));
	}
}

UNIT_MAIN(
	{ "an address in text is its bytes", test_addresses },
	{ "what is no address, or may be read in two ways, is refused", test_others },
	{ "a socket's address may have a port, and a zone", test_sockets },
	{ "the system reads addresses in the same way", test_agreement },
)
