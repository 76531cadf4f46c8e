/*
 * Connecting, by RFC 8305: attempts are begun one after the other without waiting for one to end, and the
 * first to connect wins.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "net/connector.h"

#include <ctype.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "net/address.h"
#include "net/resolver.h"
#include "net/timer.h"

enum {
	ATTEMPT_DELAY_MS = 250, /* RFC 8305, section 5 */
	FULL_DELAY_MS = 20,     /* nothing tells when a Unix listener's queue has room again */
	WHY_SIZE = 512
};

enum attempt_state { WAITING, CONNECTING, FAILED };

struct attempt {
	struct event event;
	struct ws_connector *connector;
	union ws_address address;
	enum attempt_state state;
	int fd;    /* CONNECTING */
	int error; /* FAILED */
};

struct ws_connector {
	struct ws_loop *loop;
	ws_connector_done *done;
	void *arg;
	struct ws_resolver *resolver; /* NULL: all addresses are known */
	struct ws_deferred begin;     /* for a Unix path, which needs no resolver */
	struct ws_timer next;         /* when to begin the next attempt, however the others fare */
	bool finished;
	unsigned port;
	sa_family_t last_family;
	size_t count;
	struct attempt attempts[WS_RESOLVER_MAX];
	char host[]; /* for the message */
};

#define CONNECTOR_OF(member, pointer) \
	((struct ws_connector *)(void *)((char *)(pointer) - offsetof(struct ws_connector, member)))

static void attempt_close(struct attempt *a)
{
	if (a->state != CONNECTING)
		return;
	event_del(&a->event);
	close(a->fd);
	a->state = FAILED;
}

static void attempt_fail(struct attempt *a, int error)
{
	attempt_close(a);
	a->state = FAILED;
	a->error = error;
}

/* Ends all work; done may follow. */
static void connector_stop(struct ws_connector *c)
{
	if (c->finished)
		return;
	c->finished = true;
	ws_resolver_free(c->resolver);
	c->resolver = NULL;
	ws_loop_undefer(c->loop, &c->begin);
	ws_timer_stop(c->loop, &c->next);
	for (size_t i = 0; i < c->count; i++)
		attempt_close(&c->attempts[i]);
	ws_loop_release(c->loop);
}

static void error_words(int error, char *words, size_t size)
{
	snprintf(words, size, "%s", strerror(error));
	words[0] = (char)tolower((unsigned char)words[0]);
}

/* Whether an attempt before this one has failed in the same way. */
static bool failure_known(const struct ws_connector *c, const struct attempt *a)
{
	for (const struct attempt *each = c->attempts; each < a; each++)
		if (each->error == a->error && each->address.any.sa_family == a->address.any.sa_family)
			return true;
	return false;
}

/* "127.0.0.1:80: connection refused; [::1]:80: ...", every kind named once. */
static void connector_explain(const struct ws_connector *c, char why[static WHY_SIZE])
{
	size_t len = 0;
	why[0] = '\0';
	for (size_t i = 0; i < c->count && len < WHY_SIZE; i++) {
		const struct attempt *a = &c->attempts[i];
		char address[WS_ADDRESS_SIZE], words[128];
		if (failure_known(c, a))
			continue;
		ws_address_text(&a->address, ws_address_len(&a->address), address);
		error_words(a->error, words, sizeof words);
		len += (size_t)snprintf(why + len, WHY_SIZE - len, "%s%s: %s", len > 0 ? "; " : "", address, words);
	}
}

/* done may free the connector: nothing may follow. */
static void connector_fail(struct ws_connector *c, const char *why)
{
	connector_stop(c);
	c->done(c->arg, -1, NULL, why);
}

static void connector_succeed(struct ws_connector *c, struct attempt *a)
{
	const union ws_address peer = a->address;
	int fd = a->fd;
	event_del(&a->event);
	a->state = FAILED; /* its descriptor isn't ours any more */
	connector_stop(c);
	c->done(c->arg, fd, &peer, NULL);
}

/* A port of our own choosing that is also the one we connect to makes TCP's two ends one socket. */
static bool attempt_met_itself(const struct attempt *a)
{
	union ws_address own = {.any = {0}};
	socklen_t len = sizeof own;
	if (a->address.any.sa_family == AF_UNIX || getsockname(a->fd, &own.any, &len) != 0 ||
	    own.any.sa_family != a->address.any.sa_family || ws_address_port(&own) != ws_address_port(&a->address))
		return false;
	if (own.any.sa_family == AF_INET)
		return own.ip4.sin_addr.s_addr == a->address.ip4.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&own.ip6.sin6_addr, &a->address.ip6.sin6_addr);
}

static void connector_next(struct ws_connector *c);

static void attempt_ready(evutil_socket_t fd, short what, void *arg)
{
	struct attempt *a = arg;
	struct ws_connector *c = a->connector;
	int error = 0;
	socklen_t len = sizeof error;
	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	else if (error == 0 && attempt_met_itself(a))
		error = ECONNREFUSED;
	if (error == 0) {
		connector_succeed(c, a);
		return;
	}
	attempt_fail(a, error);
	connector_next(c);
}

/*
 * Leaves the attempt connecting, failed, or, where a Unix listener's queue is full, waiting. One that has
 * connected at once is reported as ready in the next turn.
 */
static void attempt_begin(struct attempt *a)
{
	struct ws_connector *c = a->connector;
	int family = a->address.any.sa_family, on = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		attempt_fail(a, errno);
		return;
	}
	if (family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	a->fd = fd;
	event_assign(&a->event, ws_loop_base(c->loop), fd, EV_WRITE, attempt_ready, a);
	int failure = connect(fd, &a->address.any, ws_address_len(&a->address)) == 0 ? 0 : errno;
	if (failure == EAGAIN && family == AF_UNIX) {
		close(fd);
		return;
	}
	a->state = CONNECTING;
	if (failure != 0 && failure != EINPROGRESS && failure != EINTR)
		attempt_fail(a, failure);
	else if (event_add(&a->event, NULL) != 0)
		attempt_fail(a, errno);
}

/* The families in turn, IPv6 first; in a family, in the order in which they came. */
static struct attempt *connector_pick(struct ws_connector *c)
{
	struct attempt *first = NULL;
	for (size_t i = 0; i < c->count; i++) {
		struct attempt *a = &c->attempts[i];
		if (a->state != WAITING)
			continue;
		if (a->address.any.sa_family != c->last_family)
			return a;
		if (first == NULL)
			first = a;
	}
	return first;
}

static bool connector_connecting(const struct ws_connector *c)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->attempts[i].state == CONNECTING)
			return true;
	return false;
}

/* Begins the next attempt or, where nothing is left to wait for, gives up. */
static void connector_next(struct ws_connector *c)
{
	struct attempt *a;
	ws_timer_stop(c->loop, &c->next);
	while ((a = connector_pick(c)) != NULL) {
		c->last_family = a->address.any.sa_family;
		attempt_begin(a);
		if (a->state == FAILED)
			continue;
		int delay = a->state == CONNECTING ? ATTEMPT_DELAY_MS : FULL_DELAY_MS;
		ws_timer_start(c->loop, &c->next, ws_loop_now(c->loop) + (uint64_t)delay);
		return;
	}
	if (connector_connecting(c) || c->resolver != NULL)
		return;
	char why[WHY_SIZE];
	connector_explain(c, why);
	connector_fail(c, why);
}

static void connector_delayed(struct ws_timer *next)
{
	connector_next(CONNECTOR_OF(next, next));
}

static void connector_begin(struct ws_deferred *begin)
{
	connector_next(CONNECTOR_OF(begin, begin));
}

static struct attempt *connector_add(struct ws_connector *c, const union ws_address *address)
{
	struct attempt *a = &c->attempts[c->count++]; /* the resolver gives no more than there is room for */
	a->connector = c;
	a->address = *address;
	a->state = WAITING;
	return a;
}

static void connector_found(void *arg, const union ws_address *addresses, size_t count, bool last,
                            const char *why)
{
	struct ws_connector *c = arg;
	for (size_t i = 0; i < count; i++)
		ws_address_set_port(&connector_add(c, &addresses[i])->address, c->port);
	if (last && c->count == 0) {
		char text[WHY_SIZE];
		snprintf(text, sizeof text, "%.253s: %s", c->host, why);
		connector_fail(c, text);
		return;
	}
	if (last) {
		ws_resolver_free(c->resolver);
		c->resolver = NULL;
	}
	if (!ws_timer_active(&c->next))
		connector_next(c);
}

static void connector_add_path(struct ws_connector *c, const char *path)
{
	union ws_address address = {.file = {.sun_family = AF_UNIX}};
	size_t len = strlen(path);
	if (len < sizeof address.file.sun_path)
		memcpy(address.file.sun_path, path, len);
	struct attempt *a = connector_add(c, &address);
	if (len == 0 || len >= sizeof address.file.sun_path)
		attempt_fail(a, len == 0 ? ENOENT : ENAMETOOLONG);
	ws_loop_defer(c->loop, &c->begin);
}

int ws_connector_new(struct ws_connector **out, struct ws_loop *loop, const struct ws_connector_target *target,
                     ws_connector_done *done, void *arg)
{
	const char *host = target->host != NULL ? target->host : "";
	struct ws_connector *c = calloc(1, sizeof *c + strlen(host) + 1);
	*out = NULL;
	if (c == NULL)
		return WS_ERROR_MEMORY;
	c->loop = loop;
	c->done = done;
	c->arg = arg;
	c->port = target->port;
	c->last_family = AF_INET;
	c->begin.run = connector_begin;
	ws_timer_init(&c->next, connector_delayed);
	strcpy(c->host, host);
	int result = 0;
	if (target->host != NULL)
		result = ws_resolver_new(&c->resolver, loop, host, connector_found, c);
	else
		connector_add_path(c, target->path);
	if (result != 0) {
		free(c);
		return result;
	}
	ws_loop_hold(loop);
	*out = c;
	return 0;
}

void ws_connector_free(struct ws_connector *c)
{
	if (c == NULL)
		return;
	connector_stop(c);
	free(c);
}
