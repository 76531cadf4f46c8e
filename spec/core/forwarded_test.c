/* X-Forwarded-For: who is believed, and how far. */
#include "protocol/forwarded.h"

#include "unit.h"

static void add(struct ws_networks *networks, const char *address, unsigned bits)
{
	uint8_t *row = networks->rows + networks->count++ * WS_NETWORK_SIZE;
	CHECK(ws_ip_parse(row, ws_slice_of(address)));
	row[WS_IP_SIZE] = (uint8_t)(ws_ip_is_4(row) ? bits + 96 : bits);
}

static bool is_in(const struct ws_networks *networks, const char *address)
{
	uint8_t ip[WS_IP_SIZE];
	CHECK(ws_ip_parse(ip, ws_slice_of(address)));
	return ws_networks_have(networks, ip);
}

static void test_networks(void)
{
	uint8_t rows[8 * WS_NETWORK_SIZE];
	struct ws_networks networks = { rows, 0 };
	CHECK(!is_in(&networks, "10.0.0.1"));
	add(&networks, "10.0.0.0", 8);
	add(&networks, "192.168.4.0", 22);
	add(&networks, "203.0.113.7", 32);
	add(&networks, "2001:db8::", 33);
	CHECK(is_in(&networks, "10.0.0.0") && is_in(&networks, "10.255.255.255") && is_in(&networks, "::ffff:10.1.2.3"));
	CHECK(!is_in(&networks, "11.0.0.0") && !is_in(&networks, "9.255.255.255"));
	CHECK(is_in(&networks, "192.168.7.255") && !is_in(&networks, "192.168.8.0") && !is_in(&networks, "192.168.3.255"));
	CHECK(is_in(&networks, "203.0.113.7") && !is_in(&networks, "203.0.113.6"));
	CHECK(is_in(&networks, "2001:db8:7fff::1") && !is_in(&networks, "2001:db8:8000::1"));
	networks.count = 0;
	add(&networks, "::", 0);
	CHECK(is_in(&networks, "2001:db8::1") && !is_in(&networks, "10.0.0.1"));
	networks.count = 0;
	add(&networks, "0.0.0.0", 0);
	CHECK(!is_in(&networks, "2001:db8::1") && is_in(&networks, "10.0.0.1"));
}

/* The head of a request with these lines, which lie against a guard page. */
static void parse(struct ws_head *head, const char *lines)
{
	char text[2048];
	struct ws_refusal refusal;
	const int len = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", lines);
	CHECK(ws_head_parse_request(head, unit_guard_end(text, (size_t)len), (size_t)len, (size_t)len, &refusal) == len);
}

static void test_header(void)
{
	static const struct {
		const char *lines, *client; /* NULL: nobody is named */
	} rows[] = {
		{ "", NULL },
		{ "X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1" },
		{ "x-forwarded-for:2001:db8::1\r\n", "2001:db8::1" },
		{ "X-Forwarded-For: 198.51.100.9, 192.0.2.1\r\n", "192.0.2.1" }, /* the left one is only claimed */
		{ "X-Forwarded-For: 198.51.100.9, 192.0.2.1, 10.0.0.2, 10.0.0.1\r\n", "192.0.2.1" },
		{ "X-Forwarded-For: 198.51.100.9,192.0.2.1,10.0.0.2\r\n", "192.0.2.1" },
		{ "X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3" }, /* all are trusted */
		{ "X-Forwarded-For: 198.51.100.9\r\nA: b\r\nX-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1" },
		{ "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.0.0.2\r\n", "192.0.2.1" },
		{ "X-Forwarded-For: 10.0.0.3\r\nX-Forwarded-For:\r\n", "10.0.0.3" },
		{ "X-Forwarded-For:\r\n", NULL }, { "X-Forwarded-For: , ,\t,\r\n", NULL },
		{ "X-Forwarded-For: , 192.0.2.1 ,, \r\n", "192.0.2.1" },
		{ "X-Forwarded-For: 192.0.2.1:4711\r\n", "192.0.2.1" }, { "X-Forwarded-For: [2001:db8::1]:4711\r\n", "2001:db8::1" },
		{ "X-Forwarded-For: [2001:db8::1]\r\n", "2001:db8::1" }, { "X-Forwarded-For: ::ffff:192.0.2.1\r\n", "192.0.2.1" },
		{ "X-Forwarded-For: ::ffff:10.0.0.2\r\n", "10.0.0.2" },
		{ "X-Forwarded-For: 198.51.100.9, unknown\r\n", NULL },
		{ "X-Forwarded-For: 198.51.100.9, unknown, 10.0.0.2\r\n", "10.0.0.2" },
		{ "X-Forwarded-For: 198.51.100.9\r\nX-Forwarded-For: _hidden, 10.0.0.2\r\n", "10.0.0.2" },
		{ "X-Forwarded-For: 198.51.100.9, \"192.0.2.1\"\r\n", NULL }, { "X-Forwarded-For: 198.51.100.9 192.0.2.1\r\n", NULL },
		{ "X-Forwarded-For: 198.51.100.9;192.0.2.1\r\n", NULL }, { "X-Forwarded-For: 192.0.2.1/32\r\n", NULL },
		{ "X-Forwarded-For: 192.0.2.256\r\n", NULL }, { "X-Forwarded-For: unix:\r\n", NULL },
		{ "X-Forwarded-Fo: 192.0.2.1\r\nX-Forwarded-For2: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n", NULL },
	};
	uint8_t networks_rows[WS_NETWORK_SIZE];
	struct ws_networks trusted = { networks_rows, 0 };
	add(&trusted, "10.0.0.0", 8);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct ws_head head;
		uint8_t ip[WS_IP_SIZE], expected[WS_IP_SIZE];
		unit_row("%s", rows[i].lines);
		parse(&head, rows[i].lines);
		const bool named = ws_forwarded_client(ip, &head, &trusted);
		CHECK(named == (rows[i].client != NULL));
		if (named && rows[i].client) {
			CHECK(ws_ip_parse(expected, ws_slice_of(rows[i].client)));
			CHECK(!memcmp(ip, expected, sizeof ip));
		}
	}
}

UNIT_MAIN(
	{ "an address is in a network by the bits that count", test_networks },
	{ "the client is the first from the right that is not trusted", test_header },
)
