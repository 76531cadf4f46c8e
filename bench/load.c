/*
 * Load for a WebSocket echo server on 127.0.0.1: many connections, one binary message in flight on each.
 *
 *     load PORT CONNECTIONS SIZE
 *
 * Prints "ready" once all are open. Every line of its input, a number of milliseconds, is answered by "MESSAGES
 * NANOSECONDS": how many were echoed in that time (0: one on each connection), and how long it took until the last
 * echo was back. Ends with its input.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum {
	MAX_HEAD = 14,          /* a frame's: 2 bytes, 8 of length, 4 of masking key */
	MAX_EVENTS = 256,
	IN_HANDSHAKE = 100,     /* at most, lest the server's backlog overflow */
	SOURCES = 8,            /* addresses 127.0.0.2 and up, so that local ports do not run short */
	ROOM = 256 * 1024
};

struct connection {
	int fd;
	size_t received;        /* bytes of the answer that is under way */
};

struct load {
	int epoll;
	size_t count;
	struct connection *connections;
	uint8_t *frame;         /* what is sent */
	size_t frame_size;
	uint8_t answer[MAX_HEAD]; /* how the echo must begin */
	size_t answer_head, answer_size;
};

static void die(const char *what)
{
	(void)fprintf(stderr, "load: %s: %s\n", what, errno != 0 ? strerror(errno) : "unexpected");
	exit(EXIT_FAILURE);
}

static uint64_t now(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* The first bytes of a binary frame of that size, for the client (masked) or the server. Returns their number. */
static size_t frame_head(uint8_t *head, size_t size, bool masked)
{
	const size_t extra = size < 126 ? 0 : size < 65536 ? 2 : 8;

	head[0] = 0x82;
	head[1] = (uint8_t)((masked ? 0x80 : 0) | (extra == 0 ? (int)size : extra == 2 ? 126 : 127));
	for (size_t i = 0; i < extra; i++)
		head[2 + i] = (uint8_t)(size >> 8 * (extra - 1 - i));
	return 2 + extra;
}

static void make_frames(struct load *load, size_t size)
{
	static const uint8_t key[4] = { 0x12, 0x34, 0x56, 0x78 };
	size_t head;

	load->frame = malloc(MAX_HEAD + size);
	if (load->frame == NULL)
		die("malloc");
	head = frame_head(load->frame, size, true);
	memcpy(load->frame + head, key, sizeof key);
	head += sizeof key;
	for (size_t i = 0; i < size; i++)
		load->frame[head + i] = 'm' ^ key[i % 4];
	load->frame_size = head + size;
	load->answer_head = frame_head(load->answer, size, false);
	load->answer_size = load->answer_head + size;
}

static void send_all(int fd, const void *data, size_t size)
{
	const uint8_t *next = data;

	while (size > 0) {
		ssize_t sent = send(fd, next, size, MSG_NOSIGNAL);
		if (sent < 0)
			die("send");
		next += sent;
		size -= (size_t)sent;
	}
}

/* Connects and sends the opening handshake; its answer comes later. */
static int start_connection(uint16_t port, size_t number)
{
	static const char request[] =
		"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
	const int on = 1;
	struct sockaddr_in address = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(number % SOURCES));
	if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
		die("bind");
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons(port);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
		die("connect");
	send_all(fd, request, sizeof request - 1);
	return fd;
}

/* Reads the answer to the handshake, which nothing follows. */
static void finish_connection(int fd)
{
	static const char status[] = "HTTP/1.1 101 ";
	char head[1024];
	size_t size = 0;

	do {
		ssize_t got = recv(fd, head + size, sizeof head - 1 - size, 0);
		if (got <= 0)
			die("handshake");
		size += (size_t)got;
		head[size] = '\0';
	} while (strstr(head, "\r\n\r\n") == NULL);
	if (strncmp(head, status, sizeof status - 1) != 0)
		die("handshake refused");
}

static void open_all(struct load *load, uint16_t port)
{
	for (size_t i = 0; i < load->count + IN_HANDSHAKE; i++) {
		if (i < load->count)
			load->connections[i].fd = start_connection(port, i);
		if (i >= IN_HANDSHAKE) {
			struct connection *connection = &load->connections[i - IN_HANDSHAKE];
			struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };
			finish_connection(connection->fd);
			if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
				die("epoll_ctl");
		}
	}
}

/* Reads what has come; true if that completes the echo. */
static bool receive_echo(const struct load *load, struct connection *connection)
{
	static uint8_t buffer[ROOM];
	ssize_t got = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);

	if (got < 0 && errno == EAGAIN)
		return false;
	if (got <= 0)
		die("recv");
	for (size_t i = connection->received; i < load->answer_head && i < connection->received + (size_t)got; i++)
		if (buffer[i - connection->received] != load->answer[i])
			die("not an echo");
	connection->received += (size_t)got;
	if (connection->received > load->answer_size)
		die("more than an echo");
	return connection->received == load->answer_size;
}

/* One window of load. Returns the number of echoes. */
static uint64_t run(struct load *load, uint64_t nanoseconds)
{
	const uint64_t end = now() + nanoseconds;
	size_t pending = load->count;
	uint64_t echoes = 0;

	for (size_t i = 0; i < load->count; i++) {
		load->connections[i].received = 0;
		send_all(load->connections[i].fd, load->frame, load->frame_size);
	}
	while (pending > 0) {
		struct epoll_event events[MAX_EVENTS];
		int ready = epoll_wait(load->epoll, events, MAX_EVENTS, -1);
		const bool over = now() >= end;
		for (int i = 0; i < ready; i++) {
			struct connection *connection = events[i].data.ptr;
			if (!receive_echo(load, connection))
				continue;
			echoes++;
			connection->received = 0;
			if (over)
				pending--;
			else
				send_all(connection->fd, load->frame, load->frame_size);
		}
	}
	return echoes;
}

int main(int argc, char **argv)
{
	struct load load = { .epoll = epoll_create1(EPOLL_CLOEXEC) };
	struct rlimit files;
	char line[32];

	if (argc != 4) {
		(void)fprintf(stderr, "usage: load PORT CONNECTIONS SIZE\n");
		return EXIT_FAILURE;
	}
	(void)getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);

	load.count = strtoul(argv[2], NULL, 10);
	load.connections = calloc(load.count, sizeof *load.connections);
	if (load.connections == NULL)
		die("calloc");
	make_frames(&load, strtoul(argv[3], NULL, 10));
	open_all(&load, (uint16_t)strtoul(argv[1], NULL, 10));
	(void)printf("ready\n");
	(void)fflush(stdout);

	while (fgets(line, sizeof line, stdin) != NULL) {
		const uint64_t began = now();
		const uint64_t echoes = run(&load, strtoull(line, NULL, 10) * 1000000);
		(void)printf("%llu %llu\n", (unsigned long long)echoes, (unsigned long long)(now() - began));
		(void)fflush(stdout);
	}
	return EXIT_SUCCESS;
}
