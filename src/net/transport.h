/* One connected stream socket: reads into the loop's buffer, corked writes, pause, end (FIN), abort (RST). */
#ifndef WS_NET_TRANSPORT_H
#define WS_NET_TRANSPORT_H

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "net/loop.h"
#include "net/output.h"
#include "net/tls.h"

#pragma GCC visibility push(hidden)

struct ws_transport;

/* What is called from below. Every callback may close or abort the transport; it may not free its memory. */
struct ws_transport_handler {
	void (*on_readable)(struct ws_transport *t); /* there are bytes, the end or an error to read */
	void (*on_broken)(struct ws_transport *t);   /* RST while not reading: paused, or after FIN. Once */
	void (*on_stalled)(struct ws_transport *t);  /* the kernel does not take all output: it waits */
	void (*on_written)(struct ws_transport *t);  /* after that: the kernel took some more of it */
	void (*on_ended)(struct ws_transport *t);    /* all output and the FIN have gone, or never can. Once */
};

/* Embedded in its connection. Fields are for reading only. */
struct ws_transport {
	struct event event;
	struct ws_loop *loop;
	const struct ws_transport_handler *handler;
	struct ws_deferred flush;     /* queued while something, above all corked output, waits for the turn's end */
	struct ws_output out;         /* what the kernel has not been given, or has not taken */
	struct ws_tls *tls;           /* NULL: in the clear */
	struct ws_chunk *kept;        /* input that ws_transport_keep was given; NULL: none */
	uint64_t read_at;             /* ms: when bytes last came */
	uint64_t progress_at;         /* ms: when the kernel last took bytes, or output began to wait */
	uint32_t farewell;            /* bytes of TLS's close_notify: the last of out */
	int fd;                       /* -1: closed */
	int error;                    /* errno of the failure that ended reading or writing; 0: none */
	uint8_t watched;              /* EV_READ and so on: what libevent looks for */
	bool paused : 1;              /* by ws_transport_pause */
	bool eof : 1;                 /* FIN, or TLS's close_notify, has been read */
	bool truncated : 1;           /* FIN came, but no close_notify before it */
	bool ending : 1;              /* ws_transport_end was called */
	bool fin_sent : 1;
	bool write_failed : 1;        /* output is thrown away; what the peer sent before can still be read */
	bool output_lost : 1;         /* some of what was written has been */
	bool cautious : 1;            /* input had to be kept: receive no more than 16 KiB at a time */
	bool stalled : 1;             /* the kernel takes no more: output waits for EV_WRITE */
	bool read_failed : 1;         /* ws_transport_read has told the error */
	bool lost : 1;                /* half of a write is gone and memory ran out, or epoll failed: on_broken */
	bool stalled_told : 1, broken_told : 1, ended_told : 1; /* on_stalled, on_broken, on_ended have been called */
	bool kept_due : 1;            /* resumed: the kept input is to be read again, alone, before what follows it */
	bool read_again : 1;          /* kept input, or TLS's end: on_readable at the end of the turn */
	bool read_more : 1;           /* on_readable was called by the kernel: more has come than was kept */
};

/* Takes over fd (non-blocking) and starts reading. 0 or WS_ERROR_SYSTEM (then fd is closed). */
int ws_transport_init(struct ws_transport *t, struct ws_loop *loop, int fd,
                      const struct ws_transport_handler *handler);

/*
 * From now on all bytes go through TLS; to be called where nothing that was read is left to be used, but for the peer's
 * first bytes of TLS. peer->sessions is not looked at. 0 or WS_ERROR_MEMORY.
 */
int ws_transport_secure(struct ws_transport *t, struct ws_tls_context *context, const struct ws_tls_peer *peer);

/* What went wrong, in the system's or TLS's words; NULL: nothing. */
const char *ws_transport_error(const struct ws_transport *t);

/*
 * What there is to read: kept input first, else one recv into the loop's buffer. Who keeps without pausing
 * needs more: the next on_readable's read has both in one piece, or the end if nothing more comes.
 * Returns the number of bytes at *data (writable: they are unmasked in place; alive until the next read on
 * this loop, or, if kept, on this transport), 0 for FIN, WS_AGAIN, or WS_ERROR_SYSTEM (t->error). The caller
 * owns them all: what it doesn't use it keeps.
 */
long ws_transport_read(struct ws_transport *t, uint8_t **data);

/*
 * The same, but in the clear, and with nothing kept, at most size bytes are received in the room, where *data points
 * then. What goes through another buffer is found there: whoever reads looks at *data alone.
 */
long ws_transport_read_into(struct ws_transport *t, uint8_t *room, size_t size, uint8_t **data);

/* Puts unused bytes, the last len of those just read, back for the next read. 0 or WS_ERROR_MEMORY. */
int ws_transport_keep(struct ws_transport *t, uint8_t *rest, size_t len);

/*
 * Reading stops, but the end does not go unnoticed: a RST is told by on_broken at once, a FIN is found by
 * the read after resume. Where input is kept, resume brings an on_readable at the end of the turn without
 * waiting for the peer.
 */
void ws_transport_pause(struct ws_transport *t);
void ws_transport_resume(struct ws_transport *t);

/*
 * Sends the parts, in order, all or none of them. Up to 24 KiB are corked until ws_transport_flush or the
 * end of the turn; more, or what would make the cork larger than 64 KiB, goes to the kernel at once, in one
 * sendmsg with what is corked, and only what it doesn't take is copied. The parts are the caller's again on
 * return. 0, WS_ERROR_MEMORY or WS_ERROR_CLOSED (ended, closed, or the peer is gone). Where memory runs out
 * with half of the parts gone, WS_ERROR_MEMORY is followed by on_broken: nothing more can be sent.
 */
int ws_transport_write(struct ws_transport *t, const struct iovec *parts, int count);

/*
 * Room in the cork for len bytes, which are as good as written: to be filled in at once. NULL: they cannot be corked, and
 * are ws_transport_write's.
 */
uint8_t *ws_transport_cork(struct ws_transport *t, size_t len);

/*
 * The same for parts that go to many, so that one copy serves them all: of everything until it is sent at the end of the
 * turn, of a long last part for those whose kernel does not take it. common->copy is the caller's to release.
 */
int ws_transport_write_shared(struct ws_transport *t, const struct iovec *parts, int count, struct ws_common *common);

/* Sends what is corked. Errors show up on the reading side: there may be input that came before them. */
void ws_transport_flush(struct ws_transport *t);

/*
 * Offers the kernel stalled output once more; on_written may follow, from within. It asks for more only once
 * a third of its buffer is free: until then a peer that takes a little looks like one that takes nothing.
 */
void ws_transport_retry(struct ws_transport *t);

/* Bytes that the kernel has not taken yet. */
static inline size_t ws_transport_buffered(const struct ws_transport *t)
{
	return t->out.size;
}

/* Whether anything that was written has been lost or is still here. TLS's close_notify does not count. */
bool ws_transport_owes(const struct ws_transport *t);

/*
 * After all output, over TLS close_notify, then FIN (shutdown for writing). on_ended follows, at the earliest at the end
 * of the turn. Repeatable.
 */
void ws_transport_end(struct ws_transport *t);

/* Closes the descriptor now and throws everything queued or kept away. No callback follows. Repeatable. */
void ws_transport_close(struct ws_transport *t);

/* The same, but with a RST where TCP allows it. */
void ws_transport_abort(struct ws_transport *t);

/* Frees what close has left for ws_transport_error to tell. */
void ws_transport_free(struct ws_transport *t);

#pragma GCC visibility pop

#endif
