/*
 * A stream socket on one raw libevent event. What can wait for the turn's end is done there, by
 * transport_chores. Its reading is in transport_read.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "net/transport.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "net/loop_private.h"
#include "net/transport_private.h"

enum {
	CORK_WRITE = 24 * 1024,  /* a larger write goes out uncopied; at this size copying is still cheaper */
	CORK_TOTAL = 64 * 1024,  /* more than a pooled chunk holds does not wait for the end of the turn */
	CORK_PARTS = 7,          /* more parts than this are always copied */
	SEND_PARTS = 16          /* of a long queue, at once */
};

static bool transport_reading(const struct ws_transport *t)
{
	return !t->paused && !t->eof && !t->read_failed;
}

/*
 * While not reading, only edge-triggered EV_WRITE with EV_CLOSED tells of both FIN and RST (libevent turns
 * EPOLLERR into EV_READ | EV_WRITE) without waking the loop again and again.
 */
static short transport_mask(const struct ws_transport *t)
{
	if (t->read_failed || t->lost)
		return 0;
	if (transport_reading(t))
		return (short)(EV_READ | EV_PERSIST | (t->stalled ? EV_WRITE : 0));
	return t->broken_told ? 0 : (short)(EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST);
}

static bool stalled_due(const struct ws_transport *t)
{
	return t->stalled && !t->stalled_told;
}

static bool broken_due(const struct ws_transport *t)
{
	return (t->lost || (t->write_failed && !transport_reading(t))) && !t->broken_told && !t->read_failed;
}

static bool ended_due(const struct ws_transport *t)
{
	return t->ending && !t->ended_told && (t->out.size == 0 || t->write_failed);
}

static bool readable_due(const struct ws_transport *t)
{
	return t->read_again && !t->paused;
}

/* Whether there is anything to tell. */
static bool call_due(const struct ws_transport *t)
{
	return stalled_due(t) || broken_due(t) || ended_due(t) || readable_due(t);
}

void ws_transport_settle(struct ws_transport *t)
{
	if (t->fd < 0)
		return;
	if ((t->out.size > 0 && !t->stalled) || t->watched != transport_mask(t) || call_due(t))
		ws_loop_defer(t->loop, &t->flush);
	else
		ws_loop_undefer(t->loop, &t->flush);
}

static void output_drop(struct ws_transport *t)
{
	ws_output_consume(&t->out, t->loop, t->out.size);
	t->stalled = false;
}

bool ws_transport_owes(const struct ws_transport *t)
{
	return t->output_lost || ws_transport_buffered(t) > t->farewell;
}

void ws_transport_write_fail(struct ws_transport *t, int error)
{
	if (t->error == 0)
		t->error = error;
	t->write_failed = true;
	t->output_lost = ws_transport_owes(t);
	output_drop(t);
}

/* A peer that has left with its whole socket answers our close_notify with a RST: that is no failure. */
static void send_fail(struct ws_transport *t, int error)
{
	if (t->farewell == 0 || !t->eof || ws_transport_owes(t)) {
		ws_transport_write_fail(t, error);
		return;
	}
	output_drop(t);
	t->fin_sent = true;
}

static void transport_lose(struct ws_transport *t, int error)
{
	t->lost = true;
	ws_transport_write_fail(t, error);
}

static void transport_ready(evutil_socket_t fd, short what, void *arg);

/* The event is not added. */
static void transport_assign(struct ws_transport *t, short mask)
{
	event_assign(&t->event, ws_loop_base(t->loop), t->fd, mask, transport_ready, t);
	t->watched = (uint8_t)mask;
}

/* Brings libevent's event into line with transport_mask. */
static void transport_watch(struct ws_transport *t)
{
	short mask = transport_mask(t);
	if (t->watched == mask)
		return;
	event_del(&t->event);
	transport_assign(t, mask);
	if (mask == 0 || event_add(&t->event, NULL) == 0)
		return;
	transport_lose(t, errno);
	transport_assign(t, 0);
}

static ssize_t send_parts(int fd, struct iovec *parts, int count)
{
	if (count == 1) /* there is less to be looked at */
		return send(fd, parts->iov_base, parts->iov_len, MSG_NOSIGNAL);
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

/*
 * One sendmsg. Returns how many bytes the kernel took. Where those aren't all, the transport is stalled or
 * its writing has failed.
 */
static size_t transport_sendmsg(struct ws_transport *t, struct iovec *parts, int count, size_t total)
{
	ssize_t sent;
	do
		sent = send_parts(t->fd, parts, count);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS && errno != ENOMEM) {
		send_fail(t, errno);
		return 0;
	}
	size_t taken = sent > 0 ? (size_t)sent : 0;
	t->stalled = taken < total;
	t->progress_at = ws_loop_now(t->loop);
	return taken;
}

void ws_transport_send(struct ws_transport *t)
{
	struct iovec parts[SEND_PARTS];
	while (t->out.size > 0 && !t->stalled) {
		size_t total;
		int count = ws_output_parts(&t->out, t->loop, parts, SEND_PARTS, &total);
		ws_output_consume(&t->out, t->loop, transport_sendmsg(t, parts, count, total));
	}
}

static void transport_send_fin(struct ws_transport *t)
{
	if (!t->ending || t->fin_sent || t->write_failed || t->out.size > 0)
		return;
	if (shutdown(t->fd, SHUT_WR) == 0)
		t->fin_sent = true;
	else
		send_fail(t, errno);
}

static void transport_call(struct ws_transport *t)
{
	if (stalled_due(t)) {
		t->stalled_told = true;
		t->handler->on_stalled(t);
	}
	if (t->fd >= 0 && broken_due(t)) {
		t->broken_told = true;
		t->handler->on_broken(t);
	}
	if (t->fd >= 0 && ended_due(t)) {
		t->ended_told = true;
		t->handler->on_ended(t);
	}
	if (t->fd >= 0 && readable_due(t)) {
		t->read_again = false;
		t->handler->on_readable(t);
	}
	ws_transport_settle(t);
}

static void transport_chores(struct ws_deferred *work)
{
	void *outer = (char *)work - offsetof(struct ws_transport, flush);
	struct ws_transport *t = outer;
	ws_transport_send(t);
	transport_send_fin(t);
	transport_watch(t);
	if (call_due(t))
		transport_call(t);
}

/*
 * Something happened while we weren't reading: a RST? Asking the socket for its error clears it, so we
 * remember it.
 */
static void transport_look(struct ws_transport *t)
{
	int error = 0;
	socklen_t len = sizeof error;
	if (!t->write_failed && getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error != 0)
		send_fail(t, error);
	ws_transport_settle(t);
}

static void transport_writable(struct ws_transport *t)
{
	size_t before = ws_transport_buffered(t);
	uint64_t progress_at = t->progress_at;
	t->stalled = false;
	ws_transport_send(t);
	t->stalled_told = t->stalled_told && t->stalled;
	if (!t->write_failed && ws_transport_buffered(t) < before)
		t->handler->on_written(t);
	else
		t->progress_at = progress_at;
	ws_transport_settle(t);
}

static void transport_ready(evutil_socket_t fd, short what, void *arg)
{
	struct ws_transport *t = arg;
	(void)fd;
	if (what & EV_WRITE && t->stalled)
		transport_writable(t);
	if (t->fd >= 0 && !transport_reading(t))
		transport_look(t);
	else if (t->fd >= 0 && what & EV_READ) {
		t->read_more = true;
		t->handler->on_readable(t);
		t->read_more = false;
	}
}

int ws_transport_init(struct ws_transport *t, struct ws_loop *loop, int fd,
                      const struct ws_transport_handler *handler)
{
	*t = (struct ws_transport){.loop = loop, .fd = fd, .handler = handler, .flush.run = transport_chores};
	t->read_at = t->progress_at = ws_loop_now(loop);
	transport_assign(t, transport_mask(t));
	if (event_add(&t->event, NULL) == 0)
		return 0;
	int error = errno;
	close(fd);
	t->fd = -1;
	t->error = errno = error;
	return WS_ERROR_SYSTEM;
}

void ws_transport_pause(struct ws_transport *t)
{
	t->paused = true;
	ws_transport_settle(t);
}

void ws_transport_resume(struct ws_transport *t)
{
	if (!t->paused)
		return;
	t->paused = false;
	/* What the kernel has is reported by the event, once it is level-triggered again. */
	t->kept_due = t->kept != NULL && t->kept->from < t->kept->to;
	t->read_again = t->kept_due || ws_transport_end_pending(t);
	ws_transport_settle(t);
}

/* What the kernel has not been given: it waits. common: NULL, or as for ws_transport_write_shared. */
static int transport_queue(struct ws_transport *t, const struct iovec *parts, int count, size_t gone,
                           struct ws_common *common)
{
	if (common == NULL)
		return ws_output_append(&t->out, t->loop, parts, count, gone);
	return t->stalled ? ws_output_share(&t->out, t->loop, parts, count, gone, common)
	                  : ws_output_borrow(&t->out, t->loop, parts, count, common);
}

/* To the kernel with it, behind what is corked, which is little; only what it leaves is queued. */
static int transport_write_now(struct ws_transport *t, const struct iovec *parts, int count, size_t total,
                               struct ws_common *common)
{
	struct iovec all[SEND_PARTS + CORK_PARTS];
	size_t corked;
	int first = ws_output_parts(&t->out, t->loop, all, SEND_PARTS, &corked);
	memcpy(all + first, parts, (size_t)count * sizeof *parts);
	size_t taken = transport_sendmsg(t, all, first + count, corked + total);
	if (t->write_failed)
		return WS_ERROR_CLOSED;
	ws_output_consume(&t->out, t->loop, taken < corked ? taken : corked);
	size_t gone = taken < corked ? 0 : taken - corked;
	if (gone == total)
		return 0;
	if (transport_queue(t, parts, count, gone, common) != 0) {
		if (t->out.size == 0)
			t->stalled = false;
		if (gone > 0)
			transport_lose(t, ENOMEM); /* half a write cannot be taken back */
		return WS_ERROR_MEMORY;
	}
	return 0;
}

/* TLS's output: queued as it is. */
static bool secure_output(void *arg, const void *data, size_t len)
{
	struct ws_transport *t = arg;
	const struct iovec part = {(void *)data, len};
	return t->write_failed || ws_output_append(&t->out, t->loop, &part, 1, 0) == 0;
}

int ws_transport_secure(struct ws_transport *t, struct ws_tls_context *context, const struct ws_tls_peer *peer)
{
	struct ws_tls_peer whom = *peer;
	whom.sessions = peer->host != NULL ? ws_loop_tls_sessions(t->loop) : NULL;
	t->tls = ws_tls_new(context, &whom, secure_output, t);
	t->read_again = ws_transport_end_pending(t);
	ws_transport_settle(t);
	return t->tls != NULL ? 0 : WS_ERROR_MEMORY;
}

const char *ws_transport_error(const struct ws_transport *t)
{
	if (t->tls != NULL && ws_tls_why(t->tls)[0] != '\0')
		return ws_tls_why(t->tls);
	return t->error != 0 ? strerror(t->error) : NULL;
}

/* Parts that fit become one record. */
static int secure_write(struct ws_transport *t, const struct iovec *parts, int count, size_t total)
{
	uint8_t record[CORK_WRITE];
	size_t used = 0;
	int result = 0;
	if (total <= sizeof record) {
		for (int i = 0; i < count; used += parts[i++].iov_len)
			memcpy(record + used, parts[i].iov_base, parts[i].iov_len);
		result = ws_tls_write(t->tls, record, total);
	} else {
		for (int i = 0; i < count && result == 0; i++)
			result = ws_tls_write(t->tls, parts[i].iov_base, parts[i].iov_len);
	}
	if (ws_transport_buffered(t) > CORK_TOTAL)
		ws_transport_send(t);
	return result == WS_ERROR_PROTOCOL ? WS_ERROR_CLOSED : result;
}

static bool writes(const struct ws_transport *t)
{
	return t->fd >= 0 && !t->ending && !t->write_failed;
}

static bool fits_cork(const struct ws_transport *t, size_t len)
{
	return len <= CORK_WRITE && len + t->out.size <= CORK_TOTAL;
}

uint8_t *ws_transport_cork(struct ws_transport *t, size_t len)
{
	if (t->tls != NULL || !writes(t) || !fits_cork(t, len))
		return NULL;
	if (!t->stalled)
		ws_loop_defer(t->loop, &t->flush);
	return ws_output_reserve(&t->out, t->loop, len);
}

int ws_transport_write_shared(struct ws_transport *t, const struct iovec *parts, int count, struct ws_common *common)
{
	if (!writes(t))
		return WS_ERROR_CLOSED;
	size_t total = 0;
	for (int i = 0; i < count; i++)
		total += parts[i].iov_len;
	if (total == 0)
		return 0;
	if (t->tls == NULL && (fits_cork(t, total) || t->stalled || count > CORK_PARTS)) {
		if (!t->stalled)
			ws_loop_defer(t->loop, &t->flush);
		return transport_queue(t, parts, count, 0, common);
	}
	int result = t->tls != NULL ? secure_write(t, parts, count, total)
	                            : transport_write_now(t, parts, count, total, common);
	ws_transport_settle(t);
	return result;
}

int ws_transport_write(struct ws_transport *t, const struct iovec *parts, int count)
{
	return ws_transport_write_shared(t, parts, count, NULL);
}

void ws_transport_flush(struct ws_transport *t)
{
	if (t->fd < 0 || t->out.size == 0)
		return;
	ws_transport_send(t);
	ws_transport_settle(t);
}

void ws_transport_retry(struct ws_transport *t)
{
	if (t->fd >= 0 && t->stalled)
		transport_writable(t);
}

void ws_transport_end(struct ws_transport *t)
{
	size_t before = ws_transport_buffered(t);
	if (t->tls != NULL && !t->ending && !t->write_failed)
		ws_tls_end(t->tls);
	t->farewell += (uint32_t)(ws_transport_buffered(t) - before);
	t->ending = true;
	ws_transport_settle(t);
}

void ws_transport_close(struct ws_transport *t)
{
	if (t->fd < 0)
		return;
	event_del(&t->event); /* before close: epoll would keep a descriptor that somebody else has a copy of */
	ws_loop_undefer(t->loop, &t->flush);
	output_drop(t);
	if (t->kept != NULL)
		ws_chunk_park(t->loop, t->kept); /* its bytes may be lent to the very function that closes */
	t->kept = NULL;
	if (t->tls != NULL)
		ws_tls_stop(t->tls);
	close(t->fd);
	t->fd = -1;
}

void ws_transport_free(struct ws_transport *t)
{
	ws_transport_close(t);
	ws_tls_free(t->tls);
	t->tls = NULL;
}

void ws_transport_abort(struct ws_transport *t)
{
	if (t->fd < 0)
		return;
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	ws_transport_close(t);
}
