/*
 * The floor under all servers: what comes goes back as it is, by one recv and one send, with no protocol but a canned
 * answer to the opening handshake (whose key the load never changes). Prints its port.
 *     floor echo | publish         publish: what one connection sends goes to all
 *     floor tls CERTIFICATE KEY    the same as echo with OpenSSL between: whole records in, whole records out
 */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
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
	SSL *ssl;               /* NULL: in the clear */
	bool upgraded;
	char *pending;          /* what could not be sent yet; nothing is read before it is */
	size_t pending_size;
};

static struct connection connections[MAX_FILES]; /* by descriptor */
static int epoll, newest;
static bool publishes;
static SSL_CTX *context;    /* NULL: in the clear */

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

/* ---- OpenSSL between, for one connection at a time */

static struct { const char *data; size_t size; } cipher_in;
static struct { char data[2 * ROOM]; size_t size; } cipher_out;

static int bio_read(BIO *bio, char *to, int room)
{
	const size_t size = cipher_in.size < (size_t)room ? cipher_in.size : (size_t)room;

	BIO_clear_retry_flags(bio);
	if (size == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(to, cipher_in.data, size);
	cipher_in.data += size;
	cipher_in.size -= size;
	return (int)size;
}

static int bio_write(BIO *bio, const char *from, int size)
{
	(void)bio;
	if ((size_t)size > sizeof cipher_out.data - cipher_out.size)
		return -1;
	memcpy(cipher_out.data + cipher_out.size, from, (size_t)size);
	cipher_out.size += (size_t)size;
	return size;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio, (void)number, (void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static SSL *new_ssl(void)
{
	static BIO_METHOD *method;
	SSL *ssl = SSL_new(context);

	if (method == NULL && (method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "floor")) != NULL) {
		(void)BIO_meth_set_read(method, bio_read);
		(void)BIO_meth_set_write(method, bio_write);
		(void)BIO_meth_set_ctrl(method, bio_ctrl);
	}
	BIO *bio = method != NULL ? BIO_new(method) : NULL;
	if (ssl == NULL || bio == NULL)
		die("OpenSSL");
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_accept_state(ssl);
	return ssl;
}

static void use_tls(const char *certificate, const char *key)
{
	context = SSL_CTX_new(TLS_server_method());
	if (context == NULL || SSL_CTX_use_certificate_chain_file(context, certificate) != 1
		|| SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		die("certificate or key");
	(void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
}

/* What came becomes what it says, at plain. Returns its size: 0 while there is nothing. */
static size_t decrypt(SSL *ssl, const char *data, size_t size, char *plain)
{
	size_t have = 0, got;

	cipher_in.data = data;
	cipher_in.size = size;
	do {
		if (SSL_read_ex(ssl, plain + have, ROOM - have, &got) != 1)
			break;
		have += got;
	} while (cipher_in.size > 0);
	return have;
}

/* ---- connections */

static void accept_all(int listener)
{
	const int on = 1;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		if (fd >= MAX_FILES)
			die("too many connections");
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		connections[fd] = (struct connection){ .ssl = context != NULL ? new_ssl() : NULL };
		newest = fd > newest ? fd : newest;
		watch(fd, EPOLL_CTL_ADD, EPOLLIN);
	}
}

static void drop(int fd)
{
	free(connections[fd].pending);
	SSL_free(connections[fd].ssl);
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

/* In the clear or as records; those of the handshake, too. */
static void reply(int fd, const char *data, size_t size)
{
	size_t written;

	if (context == NULL) {
		if (size > 0)
			send_or_keep(fd, data, size);
		return;
	}
	if (size > 0 && SSL_write_ex(connections[fd].ssl, data, size, &written) != 1)
		die("SSL_write");
	if (cipher_out.size > 0)
		send_or_keep(fd, cipher_out.data, cipher_out.size);
	cipher_out.size = 0;
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
	static char buffer[ROOM], plain[ROOM];
	const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
	const char *data = context != NULL ? plain : buffer;
	size_t size = got > 0 ? (size_t)got : 0;

	if (got == 0 || (got < 0 && errno != EAGAIN)) {
		drop(fd);
		return;
	}
	if (context != NULL)
		size = decrypt(connections[fd].ssl, buffer, size, plain);
	if (size > 0 && !connections[fd].upgraded) {
		connections[fd].upgraded = true;
		reply(fd, upgrade, sizeof upgrade - 1);
	} else if (size > 0 && publishes) {
		for (int to = 0; to <= newest; to++)
			if (connections[to].upgraded)
				send_or_keep(to, data, size);
	} else {
		reply(fd, data, size);
	}
}

int main(int argc, char **argv)
{
	const int listener = listen_anywhere();

	publishes = argc > 1 && strcmp(argv[1], "publish") == 0;
	if (argc > 3 && strcmp(argv[1], "tls") == 0)
		use_tls(argv[2], argv[3]);
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
