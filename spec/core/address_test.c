/* Addresses of sockets: their length, their text and their 16 bytes, by family. */
#include "net/address.h"

#include <arpa/inet.h>
#include <stddef.h>

#include "unit.h"

enum { PORT = 8080 };

static union ws_address address_of(const char *text)
{
	union ws_address a = {.ip4 = {.sin_family = AF_INET, .sin_port = htons(PORT)}};
	if (inet_pton(AF_INET, text, &a.ip4.sin_addr) == 1)
		return a;
	a = (union ws_address){.ip6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)}};
	CHECK(inet_pton(AF_INET6, text, &a.ip6.sin6_addr) == 1);
	return a;
}

static void test_ip(void)
{
	/* as the system has it; as text; its 16 bytes */
	static const char *const rows[][3] = {
		{"127.0.0.1", "127.0.0.1:8080", "::ffff:127.0.0.1"},
		{"::ffff:192.0.2.1", "192.0.2.1:8080", "::ffff:192.0.2.1"},
		{"2001:db8::1", "[2001:db8::1]:8080", "2001:db8::1"},
		{"::", "[::]:8080", "::"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const union ws_address a = address_of(rows[i][0]);
		char text[WS_ADDRESS_SIZE];
		uint8_t ip[16], expected[16];
		unit_row("%s", rows[i][0]);
		ws_address_text(&a, ws_address_len(&a), text);
		CHECK(strcmp(text, rows[i][1]) == 0);
		CHECK(inet_pton(AF_INET6, rows[i][2], expected) == 1);
		CHECK(ws_address_ip(&a, ip) && memcmp(ip, expected, sizeof ip) == 0);
	}
}

/* Its length is all that has to be kept of it. */
static void test_unix(void)
{
	static const char *const paths[] = {"", "/a", "/tmp/a much longer name.sock"};
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		union ws_address a = {.file = {.sun_family = AF_UNIX}}, kept;
		char text[WS_ADDRESS_SIZE];
		uint8_t ip[16];
		unit_row("%s", paths[i]);
		strcpy(a.file.sun_path, paths[i]);
		const socklen_t len = ws_address_len(&a);
		CHECK(len == offsetof(struct sockaddr_un, sun_path) + strlen(paths[i]) + 1);
		memset(&kept, 'x', sizeof kept);
		memcpy(&kept, &a, len);
		ws_address_text(&kept, len, text);
		CHECK(strncmp(text, "unix:", 5) == 0 && strcmp(text + 5, paths[i]) == 0);
		CHECK(!ws_address_ip(&a, ip));
	}
	union ws_address full = {.file = {.sun_family = AF_UNIX}};
	memset(full.file.sun_path, 'x', sizeof full.file.sun_path);
	CHECK(ws_address_len(&full) == sizeof full.file);
}

UNIT_MAIN({"IP addresses", test_ip}, {"Unix addresses", test_unix})
