/*
 * The floor under all servers: what comes goes back as it is, by one recv and one send, with no protocol but a canned
 * answer to the opening handshake (whose key the load never changes). Prints its port.
 *     floor echo | publish     publish: what one connection sends goes to all
 */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 512 * 1024, MAX_EVENTS = 1024, MAX_FILES = 32768 };

struct connection {
	bool upgraded;
	char *pending;          /* what could not be sent yet; nothing is read before it is */
	size_t pending_size;
};

static struct connection connections[MAX_FILES]; /* by descriptor */
static int epoll, newest;
static bool publishes;

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void watch(int fd, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	if (epoll_ctl(epoll, operation, fd, &event) != 0)
		die("epoll_ctl");
}

static int listen_anywhere(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof address;
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 511) != 0
		|| getsockname(fd, (struct sockaddr *)&address, &size) != 0)
		die("listen");
	(void)printf("%d\n", ntohs(address.sin_port));
	(void)fflush(stdout);
	return fd;
}

static void accept_all(int listener)
{
	const int on = 1;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		if (fd >= MAX_FILES)
			die("too many connections");
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		connections[fd] = (struct connection){ 0 };
		newest = fd > newest ? fd : newest;
		watch(fd, EPOLL_CTL_ADD, EPOLLIN);
	}
}

static void drop(int fd)
{
	free(connections[fd].pending);
	connections[fd] = (struct connection){ 0 };
	(void)close(fd);
}

static void send_or_keep(int fd, const char *data, size_t size)
{
	struct connection *connection = &connections[fd];
	ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);

	if (sent == (ssize_t)size || (sent < 0 && errno != EAGAIN))
		return;
	sent = sent < 0 ? 0 : sent;
	connection->pending_size = size - (size_t)sent;
	connection->pending = malloc(connection->pending_size);
	if (connection->pending == NULL)
		die("malloc");
	memcpy(connection->pending, data + sent, connection->pending_size);
	watch(fd, EPOLL_CTL_MOD, EPOLLOUT);
}

static void send_pending(int fd)
{
	struct connection *connection = &connections[fd];
	char *pending = connection->pending;
	const size_t size = connection->pending_size;

	connection->pending = NULL;
	watch(fd, EPOLL_CTL_MOD, EPOLLIN);
	send_or_keep(fd, pending, size);
	free(pending);
}

static void answer(int fd)
{
	static const char upgrade[] =
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
	static char buffer[ROOM];
	const ssize_t got = recv(fd, buffer, sizeof buffer, 0);

	if (got == 0 || (got < 0 && errno != EAGAIN)) {
		drop(fd);
	} else if (got > 0 && !connections[fd].upgraded) {
		connections[fd].upgraded = true;
		send_or_keep(fd, upgrade, sizeof upgrade - 1);
	} else if (got > 0 && publishes) {
		for (int to = 0; to <= newest; to++)
			if (connections[to].upgraded)
				send_or_keep(to, buffer, (size_t)got);
	} else if (got > 0) {
		send_or_keep(fd, buffer, (size_t)got);
	}
}

int main(int argc, char **argv)
{
	const int listener = listen_anywhere();

	publishes = argc > 1 && strcmp(argv[1], "publish") == 0;
	epoll = epoll_create1(0);
	watch(listener, EPOLL_CTL_ADD, EPOLLIN);
	for (;;) {
		struct epoll_event events[MAX_EVENTS];
		const int ready = epoll_wait(epoll, events, MAX_EVENTS, -1);
		for (int i = 0; i < ready; i++) {
			if (events[i].data.fd == listener)
				accept_all(listener);
			else if (events[i].events & EPOLLOUT)
				send_pending(events[i].data.fd);
			else
				answer(events[i].data.fd);
		}
	}
}
