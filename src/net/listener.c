/*
 * Listening sockets: finding the address, taking over what a dead process left behind, accepting with
 * restraint.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "net/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "net/timer.h"

enum {
	ACCEPTS_PER_EVENT = 64, /* connections that are open want their turn, too */
	REST_MS = 100           /* without descriptors or memory, trying again at once would only spin */
};

struct ws_listener {
	struct event event;
	struct ws_timer rest;
	struct ws_loop *loop;
	struct ws_listener_options options;
	ws_listener_accepted *accepted;
	void *arg;
	bool inherited;
	bool accepting; /* listener_ready is running: it frees a listener that was closed meanwhile */
	int fd;         /* -1: closed */
	sa_family_t family;
	unsigned port;
	char address[WS_ADDRESS_SIZE];
	char *path; /* of the file to remove; NULL: none */
	dev_t file_device;
	ino_t file_inode;
};

static void listener_watch(struct ws_listener *listener)
{
	if (event_add(&listener->event, NULL) != 0)
		ws_timer_start(listener->loop, &listener->rest, ws_loop_now(listener->loop) + REST_MS);
}

static void listener_rested(struct ws_timer *timer)
{
	listener_watch((struct ws_listener *)(void *)((char *)timer - offsetof(struct ws_listener, rest)));
}

/*
 * What a socket is told before it listens, its connections inherit (Linux, the BSDs, macOS): a system call less for
 * each. At a socket that was itself inherited some may wait that came before, so there each is told.
 */
static void socket_tune(int fd, sa_family_t family, const struct ws_listener_options *options)
{
	int on = 1, timeout = options->tcp_user_timeout;
	if (family == AF_UNIX)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
#ifdef TCP_USER_TIMEOUT
	if (timeout > 0)
		setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
#else
	(void)timeout;
#endif
}

/* Takes one connection of those that wait, if it still lives. false: none is there, or errno says why none can be taken. */
static bool listener_accept(struct ws_listener *listener)
{
	union ws_address peer;
	socklen_t len = sizeof peer;
	int fd = accept4(listener->fd, &peer.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return errno == EINTR || errno == ECONNABORTED;
	if (listener->family == AF_UNIX)
		peer.file = (struct sockaddr_un){.sun_family = AF_UNIX}; /* a client has no path worth showing */
	if (listener->inherited)
		socket_tune(fd, listener->family, &listener->options);
	listener->accepted(listener->arg, fd, &peer);
	return true;
}

static void listener_ready(evutil_socket_t fd, short what, void *arg)
{
	struct ws_listener *listener = arg;
	(void)fd;
	(void)what;
	listener->accepting = true;
	for (int i = 0; i < ACCEPTS_PER_EVENT && listener->fd >= 0; i++) {
		if (listener_accept(listener))
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK) {
			event_del(&listener->event);
			ws_timer_start(listener->loop, &listener->rest, ws_loop_now(listener->loop) + REST_MS);
		}
		break;
	}
	listener->accepting = false;
	if (listener->fd < 0)
		free(listener);
}

void ws_listener_empty(struct ws_listener *listener)
{
	if (listener->inherited)
		return;
	for (int i = 0; i <= listener->options.backlog && listener_accept(listener); i++)
		;
}

/* Takes the listening socket over, whatever comes of it. Failing, it leaves errno alone. */
static int listener_new(struct ws_listener **out, struct ws_loop *loop, int fd,
                        const struct ws_listener_options *options)
{
	union ws_address own;
	socklen_t len = sizeof own;
	struct ws_listener *listener = calloc(1, sizeof *listener);
	if (listener == NULL || getsockname(fd, &own.any, &len) != 0) {
		int error = errno;
		bool memory = listener == NULL;
		free(listener);
		close(fd);
		errno = error;
		return memory ? WS_ERROR_MEMORY : WS_ERROR_SYSTEM;
	}
	listener->loop = loop;
	listener->fd = fd;
	listener->options = *options;
	listener->family = own.any.sa_family;
	listener->port = ws_address_port(&own);
	ws_address_text(&own, len, listener->address);
	ws_timer_init(&listener->rest, listener_rested);
	event_assign(&listener->event, ws_loop_base(loop), fd, EV_READ | EV_PERSIST, listener_ready, listener);
	ws_loop_hold(loop);
	*out = listener;
	return 0;
}

/* A socket that is bound and listens, or -1 with errno. */
static int socket_listen(const struct sockaddr *address, socklen_t len,
                         const struct ws_listener_options *options)
{
	int on = 1, off = 0, error;
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (address->sa_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	socket_tune(fd, address->sa_family, options);
	if (address->sa_family == AF_INET6 &&
	    IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr))
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (options->reuse_port && address->sa_family != AF_UNIX &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
		goto failed;
	if (bind(fd, address, len) == 0 && listen(fd, options->backlog > 0 ? options->backlog : SOMAXCONN) == 0)
		return fd;
failed:
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static int listen_everywhere(unsigned port, const struct ws_listener_options *options)
{
	struct sockaddr_in6 ip6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	struct sockaddr_in ip4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket_listen((struct sockaddr *)&ip6, sizeof ip6, options);
	if (fd < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
		fd = socket_listen((struct sockaddr *)&ip4, sizeof ip4, options);
	return fd;
}

/*
 * The first of the host's addresses where one can listen. IPv4 first: that is what "localhost" means to
 * most clients.
 */
static int listen_first(const struct addrinfo *found, unsigned port,
                        const struct ws_listener_options *options)
{
	static const int families[] = {AF_INET, AF_INET6};
	int fd = -1;
	errno = EADDRNOTAVAIL;
	for (int i = 0; i < 2; i++)
		for (const struct addrinfo *each = found; fd < 0 && each != NULL; each = each->ai_next) {
			union ws_address a;
			if (each->ai_family != families[i] || each->ai_addrlen > sizeof a)
				continue;
			memcpy(&a, each->ai_addr, each->ai_addrlen);
			ws_address_set_port(&a, port);
			fd = socket_listen(&a.any, each->ai_addrlen, options);
		}
	return fd;
}

/* getaddrinfo with our kind of result. */
static int host_resolve(const char *host, struct addrinfo **found, const char **message)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	int failure = getaddrinfo(host, NULL, &hints, found);
	if (failure == 0)
		return 0;
	if (failure == EAI_MEMORY)
		return WS_ERROR_MEMORY;
	if (failure != EAI_SYSTEM) {
		errno = EADDRNOTAVAIL;
		*message = gai_strerror(failure);
	}
	return WS_ERROR_SYSTEM;
}

int ws_listener_tcp(struct ws_listener **out, struct ws_loop *loop, const char *host, unsigned port,
                    const struct ws_listener_options *options, const char **message)
{
	struct addrinfo *found = NULL;
	*out = NULL;
	*message = NULL;
	if (port > UINT16_MAX) {
		errno = EINVAL;
		return WS_ERROR_SYSTEM;
	}
	int result = host != NULL ? host_resolve(host, &found, message) : 0;
	if (result != 0)
		return result;
	int fd = host != NULL ? listen_first(found, port, options) : listen_everywhere(port, options);
	if (found != NULL) {
		int error = errno;
		freeaddrinfo(found);
		errno = error;
	}
	return fd >= 0 ? listener_new(out, loop, fd, options) : WS_ERROR_SYSTEM;
}

/* Whether the file is a socket that nobody listens on any more. */
static bool socket_is_stale(const struct sockaddr_un *address)
{
	struct stat status;
	/* connect is refused by a file of any other kind as well, and that isn't ours to remove */
	if (lstat(address->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode))
		return false;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	bool stale = connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 && errno == ECONNREFUSED;
	close(fd);
	return stale;
}

/* Notes which file is ours to remove. */
static int listener_own(struct ws_listener *listener, const char *path)
{
	struct stat status;
	listener->path = strdup(path);
	if (listener->path == NULL)
		return WS_ERROR_MEMORY;
	if (lstat(path, &status) != 0)
		return WS_ERROR_SYSTEM;
	listener->file_device = status.st_dev;
	listener->file_inode = status.st_ino;
	return 0;
}

int ws_listener_unix(struct ws_listener **out, struct ws_loop *loop, const char *path,
                     const struct ws_listener_options *options)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	*out = NULL;
	if (path[0] == '\0' || strlen(path) >= sizeof address.sun_path) {
		errno = path[0] == '\0' ? EINVAL : ENAMETOOLONG;
		return WS_ERROR_SYSTEM;
	}
	strcpy(address.sun_path, path);
	int fd = socket_listen((struct sockaddr *)&address, sizeof address, options);
	if (fd < 0 && errno == EADDRINUSE) {
		if (socket_is_stale(&address) && unlink(path) == 0)
			fd = socket_listen((struct sockaddr *)&address, sizeof address, options);
		else
			errno = EADDRINUSE;
	}
	if (fd < 0)
		return WS_ERROR_SYSTEM;
	int result = listener_new(out, loop, fd, options);
	if (result == 0)
		result = listener_own(*out, path);
	if (result != 0) {
		int error = errno;
		ws_listener_free(*out);
		unlink(path);
		*out = NULL;
		errno = error;
	}
	return result;
}

/* Whether fd is a listening stream socket; else errno. */
static bool socket_listens(int fd)
{
	int type = 0, listens = 0;
	socklen_t len = sizeof type;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0)
		return false;
	len = sizeof listens;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0)
		return false;
	errno = EINVAL;
	return type == SOCK_STREAM && listens != 0;
}

int ws_listener_inherit(struct ws_listener **out, struct ws_loop *loop, int fd,
                        const struct ws_listener_options *options)
{
	*out = NULL;
	if (!socket_listens(fd))
		return WS_ERROR_SYSTEM;
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return WS_ERROR_SYSTEM;
	int result = listener_new(out, loop, fd, options);
	if (result == 0)
		(*out)->inherited = true;
	return result;
}

void ws_listener_start(struct ws_listener *listener, ws_listener_accepted *accepted, void *arg)
{
	listener->accepted = accepted;
	listener->arg = arg;
	listener_watch(listener);
}

const char *ws_listener_address(const struct ws_listener *listener)
{
	return listener->address;
}

unsigned ws_listener_port(const struct ws_listener *listener)
{
	return listener->port;
}

/* Unless somebody has put their own in its place meanwhile. */
static void listener_remove_file(const struct ws_listener *listener)
{
	struct stat status;
	if (listener->path != NULL && lstat(listener->path, &status) == 0 &&
	    status.st_dev == listener->file_device && status.st_ino == listener->file_inode)
		unlink(listener->path);
}

void ws_listener_free(struct ws_listener *listener)
{
	if (listener == NULL)
		return;
	event_del(&listener->event);
	ws_timer_stop(listener->loop, &listener->rest);
	listener_remove_file(listener);
	close(listener->fd);
	listener->fd = -1;
	ws_loop_release(listener->loop);
	free(listener->path);
	if (!listener->accepting)
		free(listener);
}
