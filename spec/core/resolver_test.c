/* Names to addresses: what needs no network, what a name server of the test's own answers, and canceling. */
#include "net/resolver.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>

#include "error.h"
#include "net/loop_private.h"
#include "unit.h"

static struct ws_loop *loop;
static char folder[] = "/tmp/resolver_test.XXXXXX", hosts[64], resolv_conf[64];
static int server = -1; /* the name server's socket */
static int questions;   /* that it was asked */
static char asked[300]; /* the last question's name */

/* What `found` was told. */
struct lookup {
	struct ws_resolver *resolver;
	int calls;
	bool last, free_within;
	char text[1200], why[200]; /* addresses joined with spaces, calls with "|" */
};

static void found(void *arg, const union ws_address *addresses, size_t count, bool last, const char *why)
{
	struct lookup *lookup = arg;
	CHECK(!lookup->last);
	if (lookup->calls++ > 0)
		strcat(lookup->text, "|");
	for (size_t i = 0; i < count; i++) {
		char host[INET6_ADDRSTRLEN];
		bool ip4 = addresses[i].any.sa_family == AF_INET;
		const void *bytes = ip4 ? (const void *)&addresses[i].ip4.sin_addr : &addresses[i].ip6.sin6_addr;
		CHECK(inet_ntop(addresses[i].any.sa_family, bytes, host, sizeof host) != NULL);
		CHECK(ws_address_port(&addresses[i]) == 0);
		size_t len = strlen(lookup->text);
		snprintf(lookup->text + len, sizeof lookup->text - len, "%s%s", i > 0 ? " " : "", host);
	}
	lookup->last = last;
	snprintf(lookup->why, sizeof lookup->why, "%s", why != NULL ? why : "");
	if (lookup->free_within) {
		ws_resolver_free(lookup->resolver);
		lookup->resolver = NULL;
		lookup->last = true;
	}
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");
	CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* From now on the loop asks the test's name server, and nobody else. */
static void server_start(const char *options)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof a;
	char text[200];
	server = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	CHECK(bind(server, (struct sockaddr *)&a, sizeof a) == 0);
	CHECK(getsockname(server, (struct sockaddr *)&a, &len) == 0);
	snprintf(text, sizeof text, "nameserver 127.0.0.1:%u\nsearch example.test\noptions %s\n", ntohs(a.sin_port),
	         options);
	write_file(resolv_conf, text);
	questions = 0;
}

enum { NOERROR, SERVFAIL = 2, NXDOMAIN = 3, REFUSED = 5, SILENCE = -1 };

static const struct zone {
	const char *name;
	int ip4_code, ip6_code;
	const char *ip4, *ip6; /* joined with spaces */
} zones[] = {
	{"both.test", NOERROR, NOERROR, "192.0.2.1 192.0.2.2", "2001:db8::1"},
	{"four.test", NOERROR, NOERROR, "192.0.2.4", ""},
	{"six.test", NOERROR, NOERROR, "", "2001:db8::6 2001:db8::7"},
	{"empty.test", NOERROR, NOERROR, "", ""},
	{"refused.test", REFUSED, REFUSED, "", ""},
	{"broken.test", SERVFAIL, SERVFAIL, "", ""},
	{"silent.test", SILENCE, SILENCE, "", ""},
	{"slow6.test", NOERROR, SILENCE, "192.0.2.4", ""},
	{"slow4.test", SILENCE, NOERROR, "", "2001:db8::6"},
	{"half.test", REFUSED, NOERROR, "", "2001:db8::6"},
	{"many.test", NOERROR, NOERROR, "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7 "
	                                "192.0.2.8 192.0.2.9 192.0.2.10", "2001:db8::1"},
	{"short.example.test", NOERROR, NOERROR, "192.0.2.9", ""},
};

/* Appends the records of joined addresses to the answer, which begins with the question; RFC 1035, 4.1.3. */
static size_t answer_add(uint8_t *answer, size_t len, const char *joined, bool ip6)
{
	char copy[300], *state, *each;
	snprintf(copy, sizeof copy, "%s", joined);
	for (each = strtok_r(copy, " ", &state); each != NULL; each = strtok_r(NULL, " ", &state)) {
		uint8_t size = ip6 ? 16 : 4;
		const uint8_t head[12] = {0xC0, 12, 0, ip6 ? 28 : 1, 0, 1, 0, 0, 0, 60, 0, size};
		memcpy(answer + len, head, sizeof head);
		CHECK(inet_pton(ip6 ? AF_INET6 : AF_INET, each, answer + len + 12) == 1);
		len += 12 + (size_t)size;
		answer[7]++;
	}
	return len;
}

/* Answers what has come. */
static void server_turn(void)
{
	uint8_t packet[1500];
	struct sockaddr_in from;
	socklen_t from_len = sizeof from;
	ssize_t got = recvfrom(server, packet, 512, 0, (struct sockaddr *)&from, &from_len);
	if (got < 17)
		return;
	size_t at = 12, len = 0;
	while (packet[at] != 0) {
		for (uint8_t left = packet[at++]; left > 0; left--)
			asked[len++] = (char)tolower(packet[at++]);
		asked[len++] = packet[at] != 0 ? '.' : '\0';
	}
	bool ip6 = packet[at + 2] == 28;
	const struct zone *zone = NULL;
	questions++;
	for (size_t i = 0; i < sizeof zones / sizeof *zones && zone == NULL; i++)
		zone = strcmp(asked, zones[i].name) == 0 ? &zones[i] : NULL;
	int code = zone == NULL ? NXDOMAIN : ip6 ? zone->ip6_code : zone->ip4_code;
	if (code == SILENCE)
		return;
	packet[2] = 0x81; /* a response */
	packet[3] = (uint8_t)(0x80 | code);
	size_t size = at + 5;
	if (zone != NULL)
		size = answer_add(packet, size, ip6 ? zone->ip6 : zone->ip4, ip6);
	CHECK(sendto(server, packet, size, 0, (struct sockaddr *)&from, from_len) == (ssize_t)size);
}

static void turn(void)
{
	CHECK(ws_loop_turn(loop, 5) == 0);
	for (int i = 0; i < 8 && server >= 0; i++)
		server_turn();
}

static void lookup_begin(struct lookup *lookup, const char *name)
{
	CHECK(ws_resolver_new(&lookup->resolver, loop, name, found, lookup) == 0 && lookup->calls == 0);
}

static void lookup_run(struct lookup *lookup, const char *name)
{
	lookup_begin(lookup, name);
	for (int turns = 0; !lookup->last && turns < 400; turns++)
		turn();
	CHECK(lookup->last);
	ws_resolver_free(lookup->resolver);
	lookup->resolver = NULL;
	CHECK(loop->dns == NULL && ws_loop_held(loop) == 0 && ws_loop_timeout(loop) == -1);
}

/* Whether these are all addresses; a last call without any may have come. */
static bool text_is(const struct lookup *lookup, const char *addresses)
{
	size_t len = strlen(addresses);
	return strncmp(lookup->text, addresses, len) == 0 && strspn(lookup->text + len, "|") == strlen(lookup->text + len);
}

struct expectation {
	const char *name, *addresses, *why;
};

static void expect(const struct expectation *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct lookup lookup = {.calls = 0};
		unit_row("%.40s", rows[i].name);
		lookup_run(&lookup, rows[i].name);
		CHECK(text_is(&lookup, rows[i].addresses));
		CHECK(rows[i].why == NULL || strcmp(lookup.why, rows[i].why) == 0);
	}
}

#define EXPECT(...) \
	do { \
		static const struct expectation rows[] = {__VA_ARGS__}; \
		expect(rows, sizeof rows / sizeof *rows); \
	} while (0)

static void numeric(void)
{
	server_start("");
	EXPECT({"192.0.2.1", "192.0.2.1", NULL}, {"::1", "::1", NULL}, {"2001:DB8::A", "2001:db8::a", NULL},
	       {"::ffff:192.0.2.1", "::ffff:192.0.2.1", NULL});
	/* Told within the next turn, which does not wait. */
	struct lookup lookup = {.calls = 0};
	lookup_begin(&lookup, "192.0.2.1");
	CHECK(ws_loop_timeout(loop) == 0 && ws_loop_turn(loop, 10000) == 0 && lookup.calls == 1);
	ws_resolver_free(lookup.resolver);
	CHECK(questions == 0);
}

/* RFC 6761, section 6.3; whatever the hosts file says. */
static void localhost(void)
{
	server_start("");
	write_file(hosts, "192.0.2.1 localhost\n");
	EXPECT({"localhost", "::1 127.0.0.1", NULL}, {"LocalHost", "::1 127.0.0.1", NULL},
	       {"localhost.", "::1 127.0.0.1", NULL}, {"a.b.localhost", "::1 127.0.0.1", NULL},
	       {"a.localhost.", "::1 127.0.0.1", NULL});
	unlink(hosts);
	EXPECT({"localhost", "::1 127.0.0.1", NULL});
	CHECK(questions == 0);
	EXPECT({"notlocalhost", "", "the name does not exist"}, {"localhost.test", "", "the name does not exist"});
}

static void hosts_file(void)
{
	server_start("");
	write_file(hosts, "# 192.0.2.1 commented.test\n"
	                  "192.0.2.1\tone.test  alias.test # not.test\r\n"
	                  "nonsense bad.test\n"
	                  "\n"
	                  "192.0.2.3\n"
	                  "  192.0.2.2 two.test\n"
	                  "2001:db8::2 two.test two.test\n"
	                  "192.0.2.9 last.test");
	EXPECT({"one.test", "192.0.2.1", NULL}, {"ALIAS.test.", "192.0.2.1", NULL},
	       {"two.test", "192.0.2.2 2001:db8::2", NULL}, {"last.test", "192.0.2.9", NULL});
	CHECK(questions == 0);
	EXPECT({"not.test", "", "the name does not exist"}, {"commented.test", "", "the name does not exist"},
	       {"bad.test", "", "the name does not exist"}, {"one.tes", "", "the name does not exist"});
	/* It is read afresh. */
	write_file(hosts, "192.0.2.7 one.test\n");
	EXPECT({"one.test", "192.0.2.7", NULL});
}

static void impossible_names(void)
{
	static char label[64 + 5 + 1], whole[260];
	memset(label, 'a', 64);
	strcpy(label + 64, ".test");
	for (size_t i = 0; i < sizeof whole - 1; i++)
		whole[i] = i % 4 == 3 ? '.' : 'a';
	server_start("");
	EXPECT({"", "", "this cannot be a name"}, {".", "", "this cannot be a name"},
	       {"a..test", "", "this cannot be a name"}, {".test", "", "this cannot be a name"},
	       {"a.test..", "", "this cannot be a name"}, {label, "", "this cannot be a name"},
	       {whole, "", "this cannot be a name"});
	CHECK(questions == 0);
	EXPECT({label + 1, "", "the name does not exist"});
}

static void no_name_server(void)
{
	static const char *const contents[] = {NULL, "", "# nothing\n", "search example.test\n", "nameserver nonsense\n"};
	write_file(hosts, "192.0.2.1 one.test\n");
	for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
		if (contents[i] != NULL)
			write_file(resolv_conf, contents[i]);
		EXPECT({"192.0.2.1", "192.0.2.1", NULL}, {"one.test", "192.0.2.1", NULL},
		       {"localhost", "::1 127.0.0.1", NULL}, {"four.test", "", "there is no name server to ask"});
	}
}

static void answers(void)
{
	server_start("timeout:5 attempts:1");
	EXPECT({"four.test", "192.0.2.4", NULL}, {"six.test", "2001:db8::6 2001:db8::7", NULL},
	       {"empty.test.", "", "the name has no address"}, {"missing.test", "", "the name does not exist"},
	       {"refused.test.", "", "the name server refuses to answer"},
	       {"broken.test.", "", "no name server gave an answer"}, {"half.test", "2001:db8::6", NULL});
	/* One or two calls, as the answers come in one turn or in two; never more than 8 of a family. */
	static const struct expectation rows[] = {
		{"both.test", "2001:db8::1", "192.0.2.1 192.0.2.2"},
		{"many.test", "2001:db8::1", "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7 "
		                             "192.0.2.8"},
	};
	for (size_t i = 0; i < 2; i++) {
		struct lookup lookup = {.calls = 0};
		unit_row("%s", rows[i].name);
		lookup_run(&lookup, rows[i].name);
		const char *ip6 = strstr(lookup.text, rows[i].addresses), *ip4 = strstr(lookup.text, rows[i].why);
		CHECK(ip6 != NULL && ip4 != NULL);
		CHECK(strlen(lookup.text) == strlen(rows[i].addresses) + strlen(rows[i].why) + 1);
	}
}

static void search_list(void)
{
	server_start("timeout:5 attempts:1");
	EXPECT({"short", "192.0.2.9", NULL});
	EXPECT({"short.", "", "the name does not exist"});
	CHECK(strcmp(asked, "short") == 0);
}

/* RFC 8305, section 3. */
static void one_family_is_silent(void)
{
	struct lookup lookup = {.calls = 0};
	server_start("timeout:0.3 attempts:1");
	lookup_run(&lookup, "slow6.test"); /* A was told before AAAA was given up */
	CHECK(strcmp(lookup.text, "192.0.2.4|") == 0);
	lookup = (struct lookup){.calls = 0};
	lookup_run(&lookup, "slow4.test");
	CHECK(strcmp(lookup.text, "2001:db8::6|") == 0);
}

static void nobody_answers(void)
{
	struct lookup lookup = {.calls = 0};
	server_start("timeout:0.1 attempts:2");
	lookup_begin(&lookup, "silent.test");
	CHECK(ws_loop_timeout(loop) >= 0 && ws_loop_timeout(loop) <= 100); /* who steps the loop looks after evdns */
	for (int turns = 0; !lookup.last && turns < 400; turns++)
		turn();
	CHECK(lookup.last && lookup.calls == 1 && strcmp(lookup.why, "no name server gave an answer") == 0);
	CHECK(questions == 4);
	ws_resolver_free(lookup.resolver);
	CHECK(loop->dns == NULL);
}

static void canceled(void)
{
	static const char *const names[] = {"192.0.2.1", "localhost", "silent.test", "slow6.test", "both.test"};
	server_start("timeout:0.1 attempts:1");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		for (int turns = 0; turns < 4; turns++) {
			struct lookup lookup = {.calls = 0};
			unit_row("%s after %d turns", names[i], turns);
			lookup_begin(&lookup, names[i]);
			for (int n = 0; n < turns; n++)
				turn();
			int calls = lookup.calls;
			ws_resolver_free(lookup.resolver);
			CHECK(loop->dns == NULL);
			for (int n = 0; n < 4; n++)
				turn();
			CHECK(lookup.calls == calls && loop->dns_queries == 0 && ws_loop_timeout(loop) == -1);
		}
	ws_resolver_free(NULL);
}

/* The answer to what is canceled here lies in the socket, or is on its way to the callback. */
static void canceled_as_it_comes(void)
{
	struct lookup first = {.calls = 0}, second = {.calls = 0};
	server_start("timeout:5 attempts:1");
	lookup_begin(&first, "both.test");
	lookup_begin(&second, "four.test");
	for (int n = 0; n < 8; n++)
		server_turn();
	ws_resolver_free(first.resolver);
	for (int turns = 0; !second.last && turns < 400; turns++)
		turn();
	CHECK(first.calls == 0 && strcmp(second.text, "192.0.2.4") == 0);
	ws_resolver_free(second.resolver);
	CHECK(loop->dns == NULL && loop->dns_queries == 0);
}

static void freed_within(void)
{
	static const char *const names[] = {"192.0.2.1", "both.test", "slow6.test", "slow4.test", "missing.test"};
	server_start("timeout:5 attempts:1");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct lookup lookup = {.free_within = true};
		unit_row("%s", names[i]);
		lookup_run(&lookup, names[i]);
		CHECK(lookup.calls == 1);
	}
}

static void many_at_once(void)
{
	struct lookup lookups[100];
	memset(lookups, 0, sizeof lookups);
	server_start("timeout:5 attempts:1");
	for (int i = 0; i < 100; i++) /* more than evdns has under way at a time */
		lookup_begin(&lookups[i], i % 2 == 0 ? "both.test" : "missing.test");
	int left = 100;
	for (int turns = 0; left > 0 && turns < 400; turns++) {
		turn();
		left = 0;
		for (int i = 0; i < 100; i++)
			left += !lookups[i].last;
	}
	CHECK(left == 0 && loop->dns == NULL);
	for (int i = 0; i < 100; i++)
		ws_resolver_free(lookups[i].resolver);
	/* Canceled with the queue full, and no turn until the loop is freed. */
	for (int i = 0; i < 100; i++) {
		lookups[i] = (struct lookup){.calls = 0};
		lookup_begin(&lookups[i], "silent.test");
	}
	for (int i = 0; i < 100; i++)
		ws_resolver_free(lookups[i].resolver);
	CHECK(loop->dns == NULL && loop->dns_queries == 200);
}

/* Each test in a loop of its own, after which no descriptor may be left. */
static void in_loop(void (*test)(void))
{
	unsigned before = unit_descriptors();
	loop = ws_loop_new();
	strcpy(folder + sizeof folder - 7, "XXXXXX");
	if (loop == NULL || mkdtemp(folder) == NULL)
		abort();
	snprintf(hosts, sizeof hosts, "%s/hosts", folder);
	snprintf(resolv_conf, sizeof resolv_conf, "%s/resolv.conf", folder);
	loop->hosts_file = hosts;
	loop->resolv_conf = resolv_conf;
	test();
	if (server >= 0)
		close(server);
	server = -1;
	unlink(hosts);
	unlink(resolv_conf);
	CHECK(rmdir(folder) == 0);
	ws_loop_free(loop);
	CHECK(unit_descriptors() == before);
}

#define TEST(name) static void test_##name(void) { in_loop(name); }
TEST(numeric)
TEST(localhost)
TEST(hosts_file)
TEST(impossible_names)
TEST(no_name_server)
TEST(answers)
TEST(search_list)
TEST(one_family_is_silent)
TEST(nobody_answers)
TEST(canceled)
TEST(canceled_as_it_comes)
TEST(freed_within)
TEST(many_at_once)

UNIT_MAIN({"numeric addresses", test_numeric},
          {"localhost is never asked for", test_localhost},
          {"the hosts file", test_hosts_file},
          {"what cannot be a name is not asked for", test_impossible_names},
          {"no name server", test_no_name_server},
          {"answers and refusals of a name server", test_answers},
          {"the search list, and a name with a last dot", test_search_list},
          {"addresses of one family do not wait for a server that is silent about the other", test_one_family_is_silent},
          {"nobody answers", test_nobody_answers},
          {"canceled at each stage", test_canceled},
          {"canceled as the answer comes, beside another", test_canceled_as_it_comes},
          {"freed within found", test_freed_within},
          {"many at once, and a loop freed with canceled ones", test_many_at_once})
