/* Connecting: one address and several, staggered attempts, every kind of failure, canceling at each stage. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "net/connector.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include "error.h"
#include "net/address.h"
#include "net/loop_private.h"
#include "unit.h"

static struct ws_loop *loop;
static char folder[] = "/tmp/connector_test.XXXXXX", hosts[64], resolv_conf[64];

/* What `done` was told. */
struct client {
	struct ws_connector *connector;
	int calls, fd;
	bool free_within;
	char peer[WS_ADDRESS_SIZE], why[600];
};

static void done(void *arg, int fd, const union ws_address *peer, const char *why)
{
	struct client *client = arg;
	client->calls++;
	client->fd = fd;
	CHECK((fd >= 0) == (peer != NULL) && (fd >= 0) == (why == NULL));
	if (peer != NULL)
		ws_address_text(peer, ws_address_len(peer), client->peer);
	snprintf(client->why, sizeof client->why, "%s", why != NULL ? why : "");
	if (client->free_within) {
		ws_connector_free(client->connector);
		client->connector = NULL;
	}
}

static void client_begin(struct client *client, const char *host, unsigned port, const char *path)
{
	char host_copy[300], path_copy[300];
	struct ws_connector_target target = {.port = port};
	if (host != NULL)
		target.host = strcpy(host_copy, host);
	if (path != NULL)
		target.path = strcpy(path_copy, path);
	client->fd = -1;
	CHECK(ws_connector_new(&client->connector, loop, &target, done, client) == 0);
	CHECK(client->calls == 0 && ws_loop_held(loop) == 1);
	memset(host_copy, 'x', sizeof host_copy); /* it has been copied */
	memset(path_copy, 'x', sizeof path_copy);
}

static bool client_await(struct client *client)
{
	for (int turns = 0; client->calls == 0 && turns < 400; turns++)
		CHECK(ws_loop_turn(loop, 50) == 0);
	return client->calls == 1;
}

/* As client_await, though no turn waits: what is told must not have needed a timer. */
static bool client_await_at_once(struct client *client)
{
	for (int turns = 0; client->calls == 0 && turns < 50; turns++)
		CHECK(ws_loop_turn(loop, 0) == 0);
	return client->calls == 1;
}

/* Afterwards nothing may be under way. */
static void client_end(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	ws_connector_free(client->connector);
	CHECK(ws_loop_held(loop) == 0 && ws_loop_timeout(loop) == -1);
	CHECK(ws_loop_turn(loop, 0) == 0 && client->calls <= 1);
}

static bool client_run(struct client *client, const char *host, unsigned port, const char *path)
{
	*client = (struct client){.fd = -1};
	client_begin(client, host, port, path);
	CHECK(client_await(client));
	CHECK(ws_loop_held(loop) == 0);
	return client->fd >= 0;
}

static union ws_address address_of(const char *host, unsigned port)
{
	union ws_address a = {.any = {0}};
	if (inet_pton(AF_INET, host, &a.ip4.sin_addr) == 1)
		a.any.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, host, &a.ip6.sin6_addr) == 1)
		a.any.sa_family = AF_INET6;
	ws_address_set_port(&a, port);
	return a;
}

static unsigned port_of(int fd)
{
	union ws_address a = {.any = {0}};
	socklen_t len = sizeof a;
	CHECK(getsockname(fd, &a.any, &len) == 0);
	return ws_address_port(&a);
}

/* Below those that the kernel picks for everybody's connections: free on one address, it is free on all, most likely. */
static unsigned port_below_ephemeral(void)
{
	static unsigned next;
	if (next == 0)
		next = (unsigned)getpid();
	return 10000 + next++ * 7919 % 20000;
}

/* A bound socket, or -1: no such address here (IPv6; all of 127/8 is Linux's). Port 0: any. */
static int bound(const char *host, unsigned port)
{
	union ws_address a = address_of(host, port != 0 ? port : port_below_ephemeral());
	int on = 1, fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, &a.any, ws_address_len(&a)) == 0)
		return fd;
	bool taken = errno == EADDRINUSE;
	close(fd);
	return port == 0 && taken ? bound(host, 0) : -1;
}

static bool has_ip6(void)
{
	int fd = bound("::1", 0);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int listening(const char *host, unsigned port, int backlog)
{
	int fd = bound(host, port);
	CHECK(fd >= 0 && listen(fd, backlog) == 0);
	return fd;
}

/* A listener that takes no one in any more: what comes is dropped, as behind a firewall. */
struct hole {
	int listener, fill[8];
};

static void hole_make(struct hole *hole, const char *host, unsigned port)
{
	hole->listener = listening(host, port, 0);
	union ws_address a = address_of(host, port_of(hole->listener));
	for (int i = 0; i < 8; i++) {
		hole->fill[i] = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		CHECK(connect(hole->fill[i], &a.any, ws_address_len(&a)) == 0 || errno == EINPROGRESS);
	}
}

static void hole_close(const struct hole *hole)
{
	for (int i = 0; i < 8; i++)
		close(hole->fill[i]);
	close(hole->listener);
}

/* A port that nobody listens on, kept from others as long as the socket is bound. */
static unsigned port_refusing(int *fd)
{
	*fd = bound("127.0.0.1", 0);
	return port_of(*fd);
}

static void hosts_are(const char *text)
{
	FILE *file = fopen(hosts, "we");
	CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static const char *expected(const char *format, unsigned port)
{
	static char text[600];
	size_t len = 0;
	for (; *format != '\0'; format++) /* every # is the port */
		len += (size_t)snprintf(text + len, sizeof text - len, *format == '#' ? "%u" : "%c",
		                        *format == '#' ? port : (unsigned char)*format);
	return text;
}

static void one_address(void)
{
	static const char *const rows[][3] = {
		{"127.0.0.1", "127.0.0.1", "127.0.0.1:#"}, {"::1", "::1", "[::1]:#"},
		{"::ffff:127.0.0.1", "127.0.0.1", "127.0.0.1:#"},
		{"localhost", "127.0.0.1", "127.0.0.1:#"}, {"localhost", "::1", "[::1]:#"},
		{"a.localhost.", "127.0.0.1", "127.0.0.1:#"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct client client;
		int nodelay = 0;
		socklen_t len = sizeof nodelay;
		if (!has_ip6() && strchr(rows[i][1], ':') != NULL)
			continue;
		int listener = listening(rows[i][1], 0, 4);
		unsigned port = port_of(listener);
		unit_row("%s, listening on %s", rows[i][0], rows[i][1]);
		CHECK(client_run(&client, rows[i][0], port, NULL));
		CHECK(strcmp(client.peer, expected(rows[i][2], port)) == 0);
		CHECK(getsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &len) == 0 && nodelay != 0);
		CHECK((fcntl(client.fd, F_GETFL) & O_NONBLOCK) != 0 && (fcntl(client.fd, F_GETFD) & FD_CLOEXEC) != 0);
		int accepted = accept(listener, NULL, NULL);
		char byte = 0;
		CHECK(write(client.fd, "x", 1) == 1 && read(accepted, &byte, 1) == 1 && byte == 'x');
		close(accepted);
		close(listener);
		client_end(&client);
	}
}

static void refused(void)
{
	struct client client;
	int held;
	unsigned port = port_refusing(&held);
	CHECK(!client_run(&client, "127.0.0.1", port, NULL));
	CHECK(strstr(client.why, ": " "connection refused") != NULL);
	client_end(&client);
	CHECK(!client_run(&client, "0.0.0.0", port, NULL));
	client_end(&client);
	/* Of a family that fails in one way the first address stands for all. */
	hosts_are("127.0.0.1 many.test\n127.0.0.2 many.test\n127.0.0.3 many.test\n::1 many.test\n");
	CHECK(!client_run(&client, "many.test", port, NULL));
	if (has_ip6())
		CHECK(strcmp(client.why, expected("127.0.0.1:#: connection refused; [::1]:#: connection refused", port)) == 0);
	client_end(&client);
	/* Several kinds: a broadcast address cannot be connected to. */
	hosts_are("127.0.0.1 kinds.test\n255.255.255.255 kinds.test\n127.0.0.2 kinds.test\n");
	CHECK(!client_run(&client, "kinds.test", port, NULL));
	CHECK(strncmp(client.why, expected("127.0.0.1:#: connection refused; 255.255.255.255:#: ", port),
	              strlen(expected("127.0.0.1:#: connection refused; 255.255.255.255:#: ", port))) == 0);
	CHECK(strstr(client.why, "127.0.0.2") == NULL);
	client_end(&client);
	close(held);
}

static void unknown_names(void)
{
	static const char *const rows[][2] = {
		{"a..b", "a..b: this cannot be a name"}, {"", ": this cannot be a name"},
		{"no.test", "no.test: there is no name server to ask"},
	};
	struct client client;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		unit_row("%s", rows[i][0]);
		CHECK(!client_run(&client, rows[i][0], 80, NULL));
		CHECK(strcmp(client.why, rows[i][1]) == 0);
		client_end(&client);
	}
}

/* The first address that connects wins, wherever it stands, and the attempts before it are closed. */
static void refused_then_good(void)
{
	struct client client = {.fd = -1};
	int held, others;
	unsigned port = port_refusing(&held);
	int listener = listening("127.0.0.3", port, 4);
	hosts_are("127.0.0.1 two.test\n127.0.0.2 two.test\n::1 two.test\n127.0.0.3 two.test\n127.0.0.4 two.test\n");
	client_begin(&client, "two.test", port, NULL);
	CHECK(client_await_at_once(&client)); /* a failure does not wait for the 250 ms */
	CHECK(strcmp(client.peer, expected("127.0.0.3:#", port)) == 0);
	others = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CHECK(others == client.fd + 1 || others < client.fd); /* no attempt's descriptor lies between */
	close(others);
	close(listener);
	close(held);
	client_end(&client);
}

static void black_hole_then_good(void)
{
	struct client client;
	struct hole hole;
	hole_make(&hole, "127.0.0.1", 0);
	unsigned port = port_of(hole.listener);
	int listener = listening("127.0.0.2", port, 4);
	hosts_are("127.0.0.1 two.test\n127.0.0.2 two.test\n");
	uint64_t begin = ws_loop_now(loop);
	CHECK(client_run(&client, "two.test", port, NULL));
	CHECK(ws_loop_now(loop) >= begin + 250); /* not begun together */
	CHECK(strcmp(client.peer, expected("127.0.0.2:#", port)) == 0);
	close(listener);
	hole_close(&hole);
	client_end(&client);
}

/* A slow first one may still win: room comes while the second is a black hole as well. */
static void slow_but_first(void)
{
	struct client client = {.fd = -1};
	struct hole slow, hole;
	hole_make(&slow, "127.0.0.1", 0);
	unsigned port = port_of(slow.listener);
	hole_make(&hole, "127.0.0.2", port);
	hosts_are("127.0.0.1 two.test\n127.0.0.2 two.test\n");
	client_begin(&client, "two.test", port, NULL);
	uint64_t begin = ws_loop_now(loop);
	while (ws_loop_now(loop) < begin + 300)
		CHECK(ws_loop_turn(loop, 50) == 0);
	CHECK(client.calls == 0);
	for (int taken; (taken = accept4(slow.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0; close(taken))
		if (fcntl(slow.listener, F_SETFL, O_NONBLOCK) != 0)
			break;
	CHECK(client_await(&client)); /* SYN is repeated after 1 s */
	CHECK(strcmp(client.peer, expected("127.0.0.1:#", port)) == 0);
	hole_close(&slow);
	hole_close(&hole);
	client_end(&client);
}

/* IPv6 first, whatever the order in the file. */
static void ip6_first(void)
{
	struct client client = {.fd = -1};
	struct hole hole;
	if (!has_ip6())
		return;
	hole_make(&hole, "127.0.0.1", 0);
	unsigned port = port_of(hole.listener);
	int listener = listening("::1", port, 4);
	hosts_are("127.0.0.1 two.test\n::1 two.test\n");
	client_begin(&client, "two.test", port, NULL);
	CHECK(client_await_at_once(&client) && strcmp(client.peer, expected("[::1]:#", port)) == 0);
	client_end(&client);
	close(listener);
	hole_close(&hole);
}

/* The second attempt is IPv4's, however many addresses of IPv6 there are. */
static void families_in_turn(void)
{
	struct client client = {.fd = -1};
	struct hole hole;
	if (!has_ip6())
		return;
	hole_make(&hole, "::1", 0);
	unsigned port = port_of(hole.listener);
	int listener = listening("127.0.0.1", port, 4);
	unsigned before = unit_descriptors();
	hosts_are("::1 two.test\n::1 two.test\n::1 two.test\n127.0.0.1 two.test\n");
	client_begin(&client, "two.test", port, NULL);
	while (client.calls == 0 && unit_descriptors() <= before + 2) /* two attempts at the most */
		CHECK(ws_loop_turn(loop, 1000) == 0);
	CHECK(client.calls == 1 && strcmp(client.peer, expected("127.0.0.1:#", port)) == 0);
	client_end(&client);
	close(listener);
	hole_close(&hole);
}

static int unix_listening(const char *path, int backlog)
{
	union ws_address a = {.file = {.sun_family = AF_UNIX}};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(a.file.sun_path, path);
	CHECK(bind(fd, &a.any, sizeof a.file) == 0 && listen(fd, backlog) == 0);
	return fd;
}

static void unix_path(void)
{
	struct client client;
	char path[100], longer[200];
	snprintf(path, sizeof path, "%s/socket", folder);
	CHECK(!client_run(&client, NULL, 0, path));
	CHECK(strstr(client.why, ": " "no such file or directory") != NULL);
	client_end(&client);
	int listener = unix_listening(path, 4);
	CHECK(client_run(&client, NULL, 0, path));
	CHECK(strncmp(client.peer, "unix:", 5) == 0 && strcmp(client.peer + 5, path) == 0);
	CHECK((fcntl(client.fd, F_GETFL) & O_NONBLOCK) != 0 && (fcntl(client.fd, F_GETFD) & FD_CLOEXEC) != 0);
	client_end(&client);
	close(listener);
	CHECK(!client_run(&client, NULL, 0, path)); /* left behind */
	CHECK(strstr(client.why, ": " "connection refused") != NULL);
	client_end(&client);
	unlink(path);
	memset(longer, 'x', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	CHECK(!client_run(&client, NULL, 0, longer) && strstr(client.why, ": file name too long") != NULL);
	client_end(&client);
	CHECK(!client_run(&client, NULL, 0, "") && strstr(client.why, ": " "no such file or directory") != NULL);
	client_end(&client);
}

/* Its queue full, connect says EAGAIN, and nothing will say when to try again. */
static void unix_full(void)
{
	struct client client = {.fd = -1};
	char path[100];
	int fill[8], filled = 0;
	union ws_address a = {.file = {.sun_family = AF_UNIX}};
	snprintf(path, sizeof path, "%s/socket", folder);
	strcpy(a.file.sun_path, path);
	int listener = unix_listening(path, 0);
	do
		fill[filled] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	while (connect(fill[filled++], &a.any, sizeof a.file) == 0 && filled < 8);
	CHECK(filled < 8);
	client_begin(&client, NULL, 0, path);
	for (int turns = 0; turns < 5; turns++)
		CHECK(ws_loop_turn(loop, 10) == 0);
	CHECK(client.calls == 0);
	int taken = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(client_await(&client) && client.fd >= 0);
	close(taken);
	for (int i = 0; i < filled; i++)
		close(fill[i]);
	close(listener);
	client_end(&client);
	unlink(path);
}

static void no_descriptor(void)
{
	struct client client;
	struct rlimit before, none;
	int held;
	unsigned port = port_refusing(&held);
	CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	none = before;
	none.rlim_cur = 3; /* nothing can be opened any more */
	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	CHECK(!client_run(&client, "127.0.0.1", port, NULL));
	CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
	CHECK(strstr(client.why, ": too many open files") != NULL);
	client_end(&client);
	close(held);
}

/* A name server that says nothing: its socket is never read. */
static int silent_server(void)
{
	union ws_address a = address_of("127.0.0.1", 0);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(bind(fd, &a.any, sizeof a.ip4) == 0);
	FILE *file = fopen(resolv_conf, "we");
	CHECK(file != NULL);
	fprintf(file, "nameserver 127.0.0.1:%u\noptions timeout:0.1 attempts:1\n", port_of(fd));
	fclose(file);
	return fd;
}

static void canceled(void)
{
	struct hole hole;
	int server = silent_server(), listener = listening("127.0.0.1", 0, 64), held;
	unsigned port = port_of(listener), refusing = port_refusing(&held);
	hole_make(&hole, "127.0.0.1", 0);
	hosts_are("127.0.0.1 two.test\n127.0.0.1 two.test\n");
	const struct {
		const char *host;
		unsigned port;
		const char *path;
	} rows[] = {
		{"127.0.0.1", port, NULL},   {"127.0.0.1", refusing, NULL}, {"127.0.0.1", port_of(hole.listener), NULL},
		{"two.test", port_of(hole.listener), NULL}, {"silent.test", port, NULL}, {NULL, 0, "/nowhere/at/all"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (int turns = 0; turns < 5; turns++) {
			struct client client = {.fd = -1};
			unit_row("row %zu after %d turns", i, turns);
			client_begin(&client, rows[i].host, rows[i].port, rows[i].path);
			for (int n = 0; n < turns; n++)
				CHECK(ws_loop_turn(loop, 1) == 0);
			ws_connector_free(client.connector);
			client.connector = NULL;
			int calls = client.calls;
			CHECK(ws_loop_turn(loop, 0) == 0 && ws_loop_turn(loop, 0) == 0);
			CHECK(client.calls == calls && loop->dns == NULL);
			client_end(&client);
		}
	ws_connector_free(NULL);
	/* With two attempts under way. */
	struct client client = {.fd = -1};
	client_begin(&client, "two.test", port_of(hole.listener), NULL);
	uint64_t begin = ws_loop_now(loop);
	while (ws_loop_now(loop) < begin + 300)
		CHECK(ws_loop_turn(loop, 50) == 0);
	CHECK(client.calls == 0);
	client_end(&client);
	hole_close(&hole);
	close(held);
	close(listener);
	close(server);
}

static void name_server_is_silent(void)
{
	struct client client;
	int server = silent_server();
	CHECK(!client_run(&client, "silent.test", 80, NULL));
	CHECK(strcmp(client.why, "silent.test: no name server gave an answer") == 0);
	client_end(&client);
	close(server);
}

static void freed_within(void)
{
	int listener = listening("127.0.0.1", 0, 4), held, server = silent_server();
	unsigned port = port_of(listener), refusing = port_refusing(&held);
	char path[100];
	snprintf(path, sizeof path, "%s/socket", folder);
	int unix_listener = unix_listening(path, 4);
	hosts_are("127.0.0.1 two.test\n127.0.0.2 two.test\n");
	const struct {
		const char *host;
		unsigned port;
		const char *path;
	} rows[] = {
		{"127.0.0.1", port, NULL}, {"127.0.0.1", refusing, NULL}, {"255.255.255.255", 80, NULL},
		{"two.test", port, NULL}, {"two.test", refusing, NULL}, {"a..b", 80, NULL}, {"silent.test", 80, NULL},
		{NULL, 0, path}, {NULL, 0, "/nowhere/at/all"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct client client = {.free_within = true};
		unit_row("row %zu", i);
		client_begin(&client, rows[i].host, rows[i].port, rows[i].path);
		CHECK(client_await(&client) && client.connector == NULL);
		client_end(&client);
	}
	unlink(path);
	close(unix_listener);
	close(listener);
	close(held);
	close(server);
}

/* Freed with its loop before another turn. */
static void loop_ends(void)
{
	int server = silent_server();
	struct client client = {.fd = -1};
	client_begin(&client, "silent.test", 80, NULL);
	CHECK(ws_loop_turn(loop, 0) == 0);
	ws_connector_free(client.connector);
	CHECK(client.calls == 0 && ws_loop_held(loop) == 0 && loop->dns_queries == 2);
	close(server);
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
	unlink(hosts);
	unlink(resolv_conf);
	CHECK(rmdir(folder) == 0);
	ws_loop_free(loop);
	CHECK(unit_descriptors() == before);
}

#define TEST(name) static void test_##name(void) { in_loop(name); }
TEST(one_address)
TEST(refused)
TEST(unknown_names)
TEST(refused_then_good)
TEST(black_hole_then_good)
TEST(slow_but_first)
TEST(ip6_first)
TEST(families_in_turn)
TEST(unix_path)
TEST(unix_full)
TEST(no_descriptor)
TEST(canceled)
TEST(name_server_is_silent)
TEST(freed_within)
TEST(loop_ends)

UNIT_MAIN({"an address, and localhost on either family", test_one_address},
          {"refused: what failed, each kind once", test_refused},
          {"unknown names", test_unknown_names},
          {"refused, then good", test_refused_then_good},
          {"a black hole, then good", test_black_hole_then_good},
          {"the first attempt wins although others were begun", test_slow_but_first},
          {"IPv6 first", test_ip6_first},
          {"IPv6 and IPv4 in turn", test_families_in_turn},
          {"a Unix path", test_unix_path},
          {"a Unix listener whose queue is full", test_unix_full},
          {"no descriptor left", test_no_descriptor},
          {"canceled at each stage", test_canceled},
          {"the name server is silent", test_name_server_is_silent},
          {"freed within done", test_freed_within},
          {"freed with its loop", test_loop_ends})
