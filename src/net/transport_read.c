/* What a transport reads: kept bytes, the kernel's, TLS's; and how reading ends. */
#include "net/transport.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "error.h"
#include "net/loop_private.h"
#include "net/transport_private.h"

enum { CAUTIOUS_READ = 16 * 1024 };

bool ws_transport_end_pending(const struct ws_transport *t)
{
	return t->tls != NULL && ws_tls_closed(t->tls) && !t->eof && !t->read_failed;
}

static long read_fail(struct ws_transport *t)
{
	t->read_failed = true;
	ws_transport_write_fail(t, t->error);
	ws_transport_settle(t);
	errno = t->error;
	return WS_ERROR_SYSTEM;
}

static long read_end(struct ws_transport *t)
{
	/*
	 * Whoever learns a socket's error takes it away from the others: after a RST that a send or
	 * transport_look has reported, recv says 0. EPIPE is another matter: there a FIN had come first.
	 */
	if (t->error != 0 && t->error != EPIPE)
		return read_fail(t);
	t->eof = true;
	t->truncated = t->tls != NULL && !ws_tls_closed(t->tls);
	ws_transport_settle(t);
	return 0;
}

/* Lends the kept bytes: all of them, and from stands behind the last. */
static long read_kept(struct ws_transport *t, uint8_t **data)
{
	size_t len = t->kept->to - t->kept->from;
	*data = t->kept->bytes + t->kept->from;
	t->kept->from = t->kept->to;
	t->kept_due = false;
	t->read_again = ws_transport_end_pending(t);
	return (long)len;
}

/* One recv, with ws_transport_read's result. */
static long transport_recv(struct ws_transport *t, uint8_t *data, size_t size)
{
	ssize_t got;
	do
		got = recv(t->fd, data, size, 0);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		t->read_at = ws_loop_now(t->loop);
		return (long)got;
	}
	if (got == 0)
		return read_end(t);
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return WS_AGAIN;
	if (t->error == 0)
		t->error = errno;
	return read_fail(t);
}

/* What TLS says: its failure goes out as an alert before the connection is given up. */
static long secure_result(struct ws_transport *t, long result)
{
	t->read_again = result > 0 && ws_transport_end_pending(t);
	if (result == 0)
		return read_end(t);
	if (result != WS_ERROR_PROTOCOL) {
		ws_transport_settle(t);
		return result;
	}
	ws_transport_send(t);
	if (t->error == 0)
		t->error = EPROTO;
	return read_fail(t);
}

/* One recv, decrypted if need be; *data is where it is. */
static long transport_receive(struct ws_transport *t, uint8_t **data, size_t size)
{
	uint8_t *plain = t->tls != NULL ? ws_loop_plain_buffer(t->loop) : NULL;
	*data = ws_loop_receive_buffer(t->loop);
	if (t->tls == NULL)
		return transport_recv(t, *data, size);
	if (plain == NULL) {
		t->error = ENOMEM;
		return read_fail(t);
	}
	long got = ws_transport_end_pending(t) ? 0 : transport_recv(t, *data, size);
	if (got < 0 || (got == 0 && t->eof))
		return got;
	const uint8_t *cipher = *data;
	*data = plain;
	return secure_result(t, ws_tls_read(t->tls, cipher, (size_t)got, plain, WS_LOOP_PLAIN_SIZE));
}

/* Makes room behind the kept bytes for one recv; one of TLS may bring the rest of a record, too. */
static int kept_reserve(struct ws_transport *t)
{
	struct ws_chunk *kept = t->kept;
	size_t len = kept->to - kept->from, room = CAUTIOUS_READ * (t->tls != NULL ? 3 : 1);
	if (kept->size - kept->to >= room)
		return 0;
	struct ws_chunk *larger = ws_chunk_take(t->loop, len + room);
	if (larger == NULL)
		return WS_ERROR_MEMORY;
	memcpy(larger->bytes, kept->bytes + kept->from, len);
	larger->to = len;
	ws_chunk_give(t->loop, kept);
	t->kept = larger;
	return 0;
}

/* The reader kept these bytes without pausing: it needs what follows. If nothing does, that is the end. */
static long read_behind_kept(struct ws_transport *t, uint8_t **data)
{
	t->read_more = false;
	if (kept_reserve(t) != 0) {
		t->error = ENOMEM;
		return read_fail(t);
	}
	uint8_t *bytes = t->kept->bytes + t->kept->to, *behind = bytes;
	long got = t->tls != NULL ? transport_receive(t, &bytes, CAUTIOUS_READ) : transport_recv(t, bytes, CAUTIOUS_READ);
	if (got > 0 && bytes != behind)
		memcpy(behind, bytes, (size_t)got);
	if (got > 0)
		t->kept->to += (size_t)got;
	if (got > 0 || got == WS_AGAIN)
		return read_kept(t, data);
	t->kept->from = t->kept->to;
	return got;
}

long ws_transport_read(struct ws_transport *t, uint8_t **data)
{
	if (t->fd < 0)
		return WS_AGAIN;
	if (t->kept != NULL && t->kept->from < t->kept->to)
		return !t->kept_due && (t->read_more || ws_transport_end_pending(t)) ? read_behind_kept(t, data)
		                                                                     : read_kept(t, data);
	if (t->kept != NULL)
		ws_chunk_give(t->loop, t->kept);
	t->kept = NULL;
	if (t->read_failed)
		return read_fail(t);
	if (t->eof)
		return 0;
	return transport_receive(t, data, t->cautious ? CAUTIOUS_READ : WS_LOOP_RECEIVE_SIZE);
}

long ws_transport_read_into(struct ws_transport *t, uint8_t *room, size_t size, uint8_t **data)
{
	if (t->fd < 0 || t->tls != NULL || t->kept != NULL || t->read_failed || t->eof)
		return ws_transport_read(t, data);
	*data = room;
	return transport_recv(t, room, size);
}

int ws_transport_keep(struct ws_transport *t, uint8_t *rest, size_t len)
{
	struct ws_chunk *kept = t->kept;
	if (len == 0 || t->fd < 0)
		return 0;
	if (kept != NULL && len <= kept->to && rest == kept->bytes + kept->to - len) {
		kept->from = kept->to - len; /* it never left */
		return 0;
	}
	kept = ws_chunk_take(t->loop, len);
	if (kept == NULL)
		return WS_ERROR_MEMORY;
	if (t->kept != NULL)
		ws_chunk_give(t->loop, t->kept);
	memcpy(kept->bytes, rest, len);
	kept->to = len;
	t->kept = kept;
	t->cautious = true;
	return 0;
}
