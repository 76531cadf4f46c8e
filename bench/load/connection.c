#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SOURCES = 8,            /* addresses 127.0.0.2 and up, so that local ports do not run short */
	ROOM = 512 * 1024
};

void die(const char *what)
{
	(void)fprintf(stderr, "load: %s: %s\n", what, errno != 0 ? strerror(errno) : "unexpected");
	exit(EXIT_FAILURE);
}

/* ---- bytes. Return their number, 0 where none can go or come now. */

static size_t after_tls(const struct connection *connection, int result, const char *what)
{
	if (result > 0)
		return (size_t)result;
	switch (SSL_get_error(connection->ssl, result)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	default:
		die(what);
		return 0;
	}
}

static size_t send_some(const struct connection *connection, const void *data, size_t size)
{
	ssize_t sent;

	if (connection->ssl != NULL)
		return after_tls(connection, SSL_write(connection->ssl, data, (int)size), "SSL_write");
	sent = send(connection->fd, data, size, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		die("send");
	return sent < 0 ? 0 : (size_t)sent;
}

static size_t receive_some(const struct connection *connection, void *buffer, size_t size)
{
	ssize_t got;

	if (connection->ssl != NULL)
		return after_tls(connection, SSL_read(connection->ssl, buffer, (int)size), "SSL_read");
	got = recv(connection->fd, buffer, size, 0);
	if (got == 0 || (got < 0 && errno != EAGAIN))
		die("recv");
	return got < 0 ? 0 : (size_t)got;
}

/* ---- opening */

static int connect_from(uint16_t port, size_t number)
{
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
	return fd;
}

void connection_start(struct connection *connection, const struct target *target, size_t number)
{
	const char *extension = !target->deflated ? ""
		: target->takeover ? "Sec-WebSocket-Extensions: permessage-deflate\r\n"
		: "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n";
	char request[512];
	const int size = snprintf(request, sizeof request,
		"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n", extension);

	*connection = (struct connection){ .fd = connect_from(target->port, number), .script = target->script };
	if (target->tls != NULL) {
		connection->ssl = SSL_new(target->tls);
		if (connection->ssl == NULL || SSL_set_fd(connection->ssl, connection->fd) != 1
			|| SSL_connect(connection->ssl) != 1)
			die("TLS handshake");
	}
	if (send_some(connection, request, (size_t)size) != (size_t)size)
		die("handshake");
}

void connection_finish(struct connection *connection, const struct target *target)
{
	static const char status[] = "HTTP/1.1 101 ";
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };
	char head[1024];
	size_t size = 0;

	do { /* nothing follows the answer, and the socket still waits */
		const ssize_t got = connection->ssl != NULL
			? SSL_read(connection->ssl, head + size, (int)(sizeof head - 1 - size))
			: recv(connection->fd, head + size, sizeof head - 1 - size, 0);
		if (got <= 0)
			die("handshake");
		size += (size_t)got;
		head[size] = '\0';
	} while (strstr(head, "\r\n\r\n") == NULL);
	if (strncmp(head, status, sizeof status - 1) != 0)
		die("handshake refused");
	if (target->deflated && strstr(head, "permessage-deflate") == NULL)
		die("the server does not compress");
	if (fcntl(connection->fd, F_SETFL, O_NONBLOCK) != 0
		|| epoll_ctl(target->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
		die("watch");
}

void connection_drop(struct connection *connection)
{
	const struct linger now = { .l_onoff = 1 };

	(void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	SSL_free(connection->ssl);
	(void)close(connection->fd);
}

/* ---- sending */

/* Up to the end of the script at once; the rest follows. */
static void flush(struct connection *connection, const struct target *target)
{
	const struct script *script = connection->script;
	struct epoll_event event = { .data.ptr = connection };

	while (connection->sent < connection->to_send) {
		const size_t first = connection->sent % script->count;
		const uint64_t wanted = connection->to_send - connection->sent;
		const size_t last = wanted < script->count - first ? first + (size_t)wanted - 1 : script->count - 1;
		const size_t from = script->messages[first].wire_start + connection->offset;
		const size_t end = script->messages[last].wire_start + script->messages[last].wire_size;
		const size_t sent = send_some(connection, script->wire + from, end - from);
		if (sent == 0)
			break;
		connection->offset += sent;
		for (size_t i = first; i <= last && connection->offset >= script->messages[i].wire_size; i++) {
			connection->offset -= script->messages[i].wire_size;
			connection->sent++;
		}
	}
	if (connection->waits_to_write != (connection->sent < connection->to_send)) {
		connection->waits_to_write = !connection->waits_to_write;
		event.events = connection->waits_to_write ? EPOLLIN | EPOLLOUT : EPOLLIN;
		(void)epoll_ctl(target->epoll, EPOLL_CTL_MOD, connection->fd, &event);
	}
}

void connection_send(struct connection *connection, struct target *target, uint64_t count)
{
	connection->to_send += count;
	flush(connection, target);
}

/* ---- receiving */

/* Bytes of a frame's extended length (RFC 6455, 5.2). */
static size_t length_size(const uint8_t *head)
{
	const uint8_t length = head[1] & 0x7f;

	return length == 127 ? 8 : length == 126 ? 2 : 0;
}

/* Bytes of a frame's head that are still to come; the raw floor sends masked frames back, as it got them. */
static size_t head_left(const struct connection *connection)
{
	const uint8_t *head = connection->head;
	const size_t size = connection->head_size < 2 ? 2 : 2 + length_size(head) + (head[1] & 0x80 ? 4 : 0);

	return size - connection->head_size;
}

static size_t payload_size(const uint8_t *head)
{
	const size_t extra = length_size(head);
	size_t size = extra == 0 ? head[1] & 0x7f : 0;

	for (size_t i = 0; i < extra; i++)
		size = size << 8 | head[2 + i];
	return size;
}

static bool is_control(const struct connection *connection)
{
	return connection->head[0] & 0x08;
}

/* Its head is complete. */
static void begin_frame(struct connection *connection)
{
	const uint8_t opcode = connection->head[0] & 0x0f;

	connection->payload_left = payload_size(connection->head);
	if (opcode == 0x08)
		die("the server closed");
	if (is_control(connection))
		return;
	if (opcode != (connection->in_message ? 0 : connection->script->opcode))
		die("not the kind of the message");
	connection->in_message = true;
}

/* Compares payload that came with the message of the script that it answers. */
static void check(struct connection *connection, const uint8_t *data, size_t size)
{
	const struct script *script = connection->script;
	const uint8_t *expected = script->messages[connection->received % script->count].payload;
	const uint8_t *key = connection->head + connection->head_size - 4;
	const size_t frame_at = payload_size(connection->head) - connection->payload_left;

	if (connection->message_size + size > script->size)
		die("more than an echo");
	for (size_t i = 0; i < size; i++) {
		const uint8_t mask = connection->head[1] & 0x80 ? key[(frame_at + i) % 4] : 0;
		if ((data[i] ^ mask) != expected[connection->message_size + i])
			die("not an echo");
	}
	connection->message_size += size;
}

/* The same of deflated payload. */
static void check_inflated(struct connection *connection, const uint8_t *data, size_t size)
{
	static uint8_t room[ROOM];
	z_stream *stream = connection->inflater;

	stream->next_in = (uint8_t *)(uintptr_t)data;
	stream->avail_in = (uInt)size;
	do {
		stream->next_out = room;
		stream->avail_out = sizeof room;
		if (inflate(stream, Z_SYNC_FLUSH) < 0 && stream->avail_in > 0)
			die("inflate");
		check(connection, room, sizeof room - stream->avail_out);
	} while (stream->avail_out == 0);
}

static void take_payload(struct connection *connection, struct target *target, const uint8_t *data, size_t size)
{
	if (is_control(connection))
		return;
	target->bytes += size;
	if (!target->checks)
		connection->message_size += size;
	else if (!target->deflated)
		check(connection, data, size);
	else
		check_inflated(connection, data, size);
}

static void end_frame(struct connection *connection, const struct target *target)
{
	static const uint8_t tail[4] = { 0x00, 0x00, 0xff, 0xff };
	const bool is_last = !is_control(connection) && connection->head[0] & 0x80;

	if (is_last) {
		if (target->deflated && target->checks) {
			check_inflated(connection, tail, sizeof tail);
			if (!target->takeover)
				(void)inflateReset(connection->inflater);
		}
		if ((!target->deflated || target->checks) && connection->message_size != connection->script->size)
			die("not as long as the message");
		connection->received++;
		connection->in_message = false;
		connection->message_size = 0;
	}
	connection->head_size = 0;
}

static void receive(struct connection *connection, struct target *target)
{
	static uint8_t buffer[ROOM];
	const size_t got = receive_some(connection, buffer, sizeof buffer);

	for (size_t at = 0; at < got;) {
		if (head_left(connection) > 0) {
			connection->head[connection->head_size++] = buffer[at++];
			if (head_left(connection) > 0)
				continue;
			begin_frame(connection);
		} else {
			const size_t left = connection->payload_left < got - at ? connection->payload_left : got - at;
			take_payload(connection, target, buffer + at, left);
			connection->payload_left -= left;
			at += left;
		}
		if (connection->payload_left == 0)
			end_frame(connection, target);
	}
}

void connection_go_on(struct connection *connection, struct target *target, uint32_t events)
{
	if (events & EPOLLOUT)
		flush(connection, target);
	if (events & ~(uint32_t)EPOLLOUT)
		do
			receive(connection, target);
		while (connection->ssl != NULL && SSL_pending(connection->ssl) > 0);
}
