/* Listeners: every form of address, taking over, running out of descriptors, freeing at awkward times. */
#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "error.h"
#include "unit.h"

/* What `accepted` has seen. */
struct host {
	struct ws_listener *listener;
	int count, fd;
	char peer[WS_ADDRESS_SIZE];
	bool free_within;
};

static const struct ws_listener_options defaults = {.backlog = 16};
static struct ws_loop *loop;
static char folder[] = "/tmp/listener_test.XXXXXX";

static void accepted(void *arg, int fd, const union ws_address *peer)
{
	struct host *host = arg;
	host->count++;
	if (host->fd >= 0)
		close(host->fd);
	host->fd = fd;
	ws_address_text(peer, ws_address_len(peer), host->peer);
	if (host->free_within) {
		ws_listener_free(host->listener);
		host->listener = NULL;
	}
}

static void host_start(struct host *host)
{
	host->count = 0;
	host->fd = -1;
	ws_listener_start(host->listener, accepted, host);
}

static void host_stop(struct host *host)
{
	if (host->fd >= 0)
		close(host->fd);
	ws_listener_free(host->listener);
	host->listener = NULL;
}

static bool host_await(struct host *host, int count)
{
	for (int turns = 0; host->count < count && turns < 100; turns++)
		CHECK(ws_loop_turn(loop, 50) == 0);
	return host->count == count;
}

static int connect_ip4(unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		return fd;
	close(fd);
	return -1;
}

static int connect_ip6(unsigned port)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	a.sin6_addr = in6addr_loopback;
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		return fd;
	close(fd);
	return -1;
}

/* own: a path that the client has itself; NULL: none, as nearly all */
static int connect_unix(const char *path, const char *own)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (own != NULL) {
		strcpy(a.sun_path, own);
		CHECK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
	}
	strcpy(a.sun_path, path);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool has_ip6(void)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
	if (fd >= 0)
		close(fd);
	return has;
}

static int tcp_new(struct host *host, const char *name, unsigned port)
{
	const char *message = "untouched";
	int result = ws_listener_tcp(&host->listener, loop, name, port, &defaults, &message);
	CHECK(message == NULL);
	return result;
}

/* A peer's address has the form of start, then its port. */
static bool peer_is(const struct host *host, const char *start)
{
	size_t len = strlen(start);
	return strncmp(host->peer, start, len) == 0 && strtol(host->peer + len, NULL, 10) > 0;
}

static bool is_nodelay(int fd)
{
	int on = 0;
	socklen_t len = sizeof on;
	return getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len) == 0 && on != 0;
}

static void tcp_ip4(void)
{
	static const char *const names[] = {"127.0.0.1", "localhost"};
	for (size_t i = 0; i < 2; i++) {
		struct host host = {.fd = -1};
		char expected[64];
		unit_row("%s", names[i]);
		CHECK(tcp_new(&host, names[i], 0) == 0);
		unsigned port = ws_listener_port(host.listener);
		snprintf(expected, sizeof expected, "127.0.0.1:%u", port);
		CHECK(port != 0 && strcmp(ws_listener_address(host.listener), expected) == 0);
		CHECK(ws_loop_held(loop) == 1);
		int client = connect_ip4(port);
		CHECK(client >= 0);
		host_start(&host);
		CHECK(host_await(&host, 1) && peer_is(&host, "127.0.0.1:") && is_nodelay(host.fd));
		CHECK((fcntl(host.fd, F_GETFL) & O_NONBLOCK) != 0 && (fcntl(host.fd, F_GETFD) & FD_CLOEXEC) != 0);
		close(client);
		host_stop(&host);
		CHECK(ws_loop_held(loop) == 0);
	}
}

static void tcp_ip6(void)
{
	struct host host = {.fd = -1};
	char expected[64];
	if (!has_ip6())
		return;
	CHECK(tcp_new(&host, "::1", 0) == 0);
	snprintf(expected, sizeof expected, "[::1]:%u", ws_listener_port(host.listener));
	CHECK(strcmp(ws_listener_address(host.listener), expected) == 0);
	host_start(&host);
	int client = connect_ip6(ws_listener_port(host.listener));
	CHECK(client >= 0 && host_await(&host, 1) && peer_is(&host, "[::1]:"));
	CHECK(connect_ip4(ws_listener_port(host.listener)) < 0);
	close(client);
	host_stop(&host);
}

static void tcp_everywhere(void)
{
	struct host host = {.fd = -1};
	char expected[64];
	CHECK(tcp_new(&host, NULL, 0) == 0);
	unsigned port = ws_listener_port(host.listener);
	snprintf(expected, sizeof expected, has_ip6() ? "[::]:%u" : "0.0.0.0:%u", port);
	CHECK(strcmp(ws_listener_address(host.listener), expected) == 0);
	host_start(&host);
	int client = connect_ip4(port);
	CHECK(client >= 0 && host_await(&host, 1) && peer_is(&host, "127.0.0.1:")); /* not ::ffff:127.0.0.1 */
	close(client);
	if (has_ip6()) {
		client = connect_ip6(port);
		CHECK(client >= 0 && host_await(&host, 2) && peer_is(&host, "[::1]:"));
		close(client);
	}
	host_stop(&host);
}

static void tcp_options(void)
{
	struct host host = {.fd = -1}, other = {.fd = -1};
	struct ws_listener_options options = {.backlog = 0, .reuse_port = true, .tcp_user_timeout = 12345};
	const char *message;
	CHECK(ws_listener_tcp(&host.listener, loop, "127.0.0.1", 0, &options, &message) == 0);
	unsigned port = ws_listener_port(host.listener);
	CHECK(ws_listener_tcp(&other.listener, loop, "127.0.0.1", port, &options, &message) == 0);
	CHECK(ws_loop_held(loop) == 2);
	ws_listener_free(other.listener);
	host_start(&host);
	int client = connect_ip4(port), timeout = 0;
	socklen_t len = sizeof timeout;
	CHECK(host_await(&host, 1));
	CHECK(getsockopt(host.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, &len) == 0 && timeout == 12345);
	close(client);
	host_stop(&host);
}

static void tcp_failures(void)
{
	struct host host = {.fd = -1}, other = {.fd = -1};
	const char *message;
	CHECK(tcp_new(&host, "127.0.0.1", 0) == 0);
	errno = 0;
	CHECK(tcp_new(&other, "127.0.0.1", ws_listener_port(host.listener)) == WS_ERROR_SYSTEM);
	CHECK(errno == EADDRINUSE && other.listener == NULL);
	unsigned port = ws_listener_port(host.listener);
	ws_listener_free(host.listener);
	CHECK(tcp_new(&host, "127.0.0.1", port) == 0); /* SO_REUSEADDR */
	ws_listener_free(host.listener);
	CHECK(tcp_new(&other, "127.0.0.1", 65536) == WS_ERROR_SYSTEM && errno == EINVAL);
	CHECK(tcp_new(&other, "192.0.2.1", 0) == WS_ERROR_SYSTEM && errno == EADDRNOTAVAIL); /* not ours */
	/* A name that cannot be one is refused without asking anybody. */
	CHECK(ws_listener_tcp(&other.listener, loop, "not..valid", 0, &defaults, &message) == WS_ERROR_SYSTEM);
	CHECK(message != NULL && message[0] != '\0' && other.listener == NULL);
	CHECK(ws_loop_held(loop) == 0);
	ws_listener_free(NULL);
}

static const char *in_folder(const char *name)
{
	static char path[128];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

static void unix_socket(void)
{
	struct host host = {.fd = -1}, other = {.fd = -1};
	struct stat status;
	const char *path = in_folder("a");
	CHECK(ws_listener_unix(&host.listener, loop, path, &defaults) == 0);
	CHECK(strncmp(ws_listener_address(host.listener), "unix:", 5) == 0);
	CHECK(strcmp(ws_listener_address(host.listener) + 5, path) == 0);
	CHECK(ws_listener_port(host.listener) == 0);
	host_start(&host);
	char own[sizeof folder + 4];
	snprintf(own, sizeof own, "%s/own", folder);
	for (int i = 0; i < 2; i++) {
		int client = connect_unix(path, i == 0 ? NULL : own);
		CHECK(client >= 0 && host_await(&host, i + 1) && strcmp(host.peer, "unix:") == 0);
		close(client);
	}
	unlink(own);
	/* A living one is not taken over. */
	errno = 0;
	CHECK(ws_listener_unix(&other.listener, loop, path, &defaults) == WS_ERROR_SYSTEM && errno == EADDRINUSE);
	host_stop(&host);
	CHECK(stat(path, &status) != 0);
	char longer[200];
	memset(longer, 'x', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	CHECK(ws_listener_unix(&other.listener, loop, longer, &defaults) == WS_ERROR_SYSTEM);
	CHECK(errno == ENAMETOOLONG);
	CHECK(ws_listener_unix(&other.listener, loop, "", &defaults) == WS_ERROR_SYSTEM && errno == EINVAL);
	CHECK(ws_listener_unix(&other.listener, loop, in_folder("no/where"), &defaults) == WS_ERROR_SYSTEM);
	CHECK(errno == ENOENT && other.listener == NULL && ws_loop_held(loop) == 0);
	/* The longest path that there is room for. */
	char longest[sizeof((struct sockaddr_un *)0)->sun_path];
	size_t len = (size_t)snprintf(longest, sizeof longest, "%s/", folder);
	memset(longest + len, 'y', sizeof longest - len - 1);
	longest[sizeof longest - 1] = '\0';
	CHECK(ws_listener_unix(&host.listener, loop, longest, &defaults) == 0);
	CHECK(strcmp(ws_listener_address(host.listener) + 5, longest) == 0);
	ws_listener_free(host.listener);
	CHECK(stat(longest, &status) != 0);
}

static void unix_takeover(void)
{
	struct host host = {.fd = -1}, other = {.fd = -1};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct stat status;
	strcpy(a.sun_path, in_folder("stale"));
	int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(dead, (struct sockaddr *)&a, sizeof a) == 0 && listen(dead, 1) == 0);
	close(dead); /* the file stays */
	CHECK(ws_listener_unix(&host.listener, loop, a.sun_path, &defaults) == 0);
	host_start(&host);
	int client = connect_unix(a.sun_path, NULL);
	CHECK(client >= 0 && host_await(&host, 1));
	close(client);
	/* Somebody else's file in its place is left alone. */
	unlink(a.sun_path);
	CHECK(ws_listener_unix(&other.listener, loop, a.sun_path, &defaults) == 0);
	host_stop(&host);
	CHECK(stat(a.sun_path, &status) == 0);
	ws_listener_free(other.listener);
	CHECK(stat(a.sun_path, &status) != 0);
	/* So is what isn't a socket. */
	int file = open(a.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(file);
	CHECK(ws_listener_unix(&other.listener, loop, a.sun_path, &defaults) == WS_ERROR_SYSTEM);
	CHECK(errno == EADDRINUSE && stat(a.sun_path, &status) == 0);
	unlink(a.sun_path);
}

static void inherited(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	struct host host = {.fd = -1};
	int pair[2], fd = socket(AF_INET, SOCK_STREAM, 0);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
	errno = 0;
	CHECK(ws_listener_inherit(&host.listener, loop, fd, &defaults) == WS_ERROR_SYSTEM && errno == EINVAL);
	CHECK(listen(fd, 4) == 0);
	socklen_t len = sizeof a;
	CHECK(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
	int client = connect_ip4(ntohs(a.sin_port)); /* as where it is the first one for which systemd starts us */
	CHECK(ws_listener_inherit(&host.listener, loop, fd, &defaults) == 0);
	CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	host_start(&host);
	CHECK(client >= 0 && host_await(&host, 1) && peer_is(&host, "127.0.0.1:") && is_nodelay(host.fd));
	close(client);
	host_stop(&host);
	CHECK(fcntl(fd, F_GETFD) < 0);
	CHECK(pipe(pair) == 0);
	CHECK(ws_listener_inherit(&host.listener, loop, pair[0], &defaults) == WS_ERROR_SYSTEM);
	CHECK(errno == ENOTSOCK);
	CHECK(fcntl(pair[0], F_GETFD) >= 0); /* still the caller's */
	close(pair[0]);
	close(pair[1]);
	CHECK(ws_listener_inherit(&host.listener, loop, pair[0], &defaults) == WS_ERROR_SYSTEM && errno == EBADF);
}

static void many_at_once(void)
{
	struct host host = {.fd = -1};
	const char *message;
	int clients[100];
	struct ws_listener_options options = {.backlog = 128};
	CHECK(ws_listener_tcp(&host.listener, loop, "127.0.0.1", 0, &options, &message) == 0);
	for (int i = 0; i < 100; i++)
		clients[i] = connect_ip4(ws_listener_port(host.listener));
	host_start(&host);
	CHECK(ws_loop_turn(loop, 1000) == 0);
	CHECK(host.count == 64); /* others want their turn, too */
	CHECK(host_await(&host, 100));
	for (int i = 0; i < 100; i++)
		close(clients[i]);
	host_stop(&host);
}

static void out_of_descriptors(void)
{
	struct host host = {.fd = -1};
	struct rlimit before, tight;
	CHECK(tcp_new(&host, "127.0.0.1", 0) == 0);
	int client = connect_ip4(ws_listener_port(host.listener));
	host_start(&host);
	CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	tight = before;
	int lowest = dup(client);
	close(lowest);
	tight.rlim_cur = (rlim_t)lowest; /* the lowest free one is one too many */
	CHECK(setrlimit(RLIMIT_NOFILE, &tight) == 0);
	uint64_t begin = ws_loop_now(loop);
	int turns = 0;
	for (; ws_loop_now(loop) < begin + 250; turns++)
		CHECK(ws_loop_turn(loop, 250) == 0);
	CHECK(host.count == 0);
	CHECK(turns < 30); /* no spinning */
	CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
	CHECK(host_await(&host, 1)); /* without another client's coming */
	close(client);
	/* Freed while it rests. */
	client = connect_ip4(ws_listener_port(host.listener));
	tight.rlim_cur = (rlim_t)(lowest + 1); /* the accepted one has taken `lowest` or the client's */
	CHECK(setrlimit(RLIMIT_NOFILE, &tight) == 0);
	CHECK(ws_loop_turn(loop, 50) == 0);
	CHECK(host.count == 1 && ws_loop_timeout(loop) > 0);
	CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
	host_stop(&host);
	close(client);
	CHECK(ws_loop_timeout(loop) == -1);
}

static void freed_within_accepted(void)
{
	struct host host = {.free_within = true};
	int clients[3];
	CHECK(tcp_new(&host, "127.0.0.1", 0) == 0);
	for (int i = 0; i < 3; i++)
		clients[i] = connect_ip4(ws_listener_port(host.listener));
	host_start(&host);
	CHECK(host_await(&host, 1) && host.listener == NULL);
	CHECK(ws_loop_turn(loop, 0) == 0);
	CHECK(host.count == 1 && ws_loop_held(loop) == 0 && ws_loop_timeout(loop) == -1);
	for (int i = 0; i < 3; i++)
		close(clients[i]);
	host_stop(&host);
}

static void not_started(void)
{
	struct host host = {.fd = -1};
	CHECK(tcp_new(&host, "127.0.0.1", 0) == 0);
	int client = connect_ip4(ws_listener_port(host.listener));
	CHECK(ws_loop_turn(loop, 0) == 0);
	CHECK(ws_loop_turn(loop, 0) == 0);
	close(client);
	host_stop(&host);
}

/* Each test in a loop of its own, after which no descriptor may be left. */
static void in_loop(void (*test)(void))
{
	unsigned before = unit_descriptors();
	loop = ws_loop_new();
	strcpy(folder + sizeof folder - 7, "XXXXXX");
	if (loop == NULL || mkdtemp(folder) == NULL)
		abort();
	test();
	CHECK(rmdir(folder) == 0);
	ws_loop_free(loop);
	CHECK(unit_descriptors() == before);
}

#define TEST(name) static void test_##name(void) { in_loop(name); }
TEST(tcp_ip4)
TEST(tcp_ip6)
TEST(tcp_everywhere)
TEST(tcp_options)
TEST(tcp_failures)
TEST(unix_socket)
TEST(unix_takeover)
TEST(inherited)
TEST(many_at_once)
TEST(out_of_descriptors)
TEST(freed_within_accepted)
TEST(not_started)

UNIT_MAIN({"IPv4, by number and by name", test_tcp_ip4},
          {"IPv6", test_tcp_ip6},
          {"every interface", test_tcp_everywhere},
          {"options", test_tcp_options},
          {"addresses where one cannot listen", test_tcp_failures},
          {"a Unix socket", test_unix_socket},
          {"a Unix socket left behind is taken over", test_unix_takeover},
          {"inherited descriptors", test_inherited},
          {"many connections at once", test_many_at_once},
          {"running out of descriptors", test_out_of_descriptors},
          {"freed within accepted", test_freed_within_accepted},
          {"nothing is accepted before start", test_not_started})
