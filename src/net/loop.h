/* The event loop: libevent's base, the clock, work put off to the end of a turn, shared buffers. */
#ifndef WS_NET_LOOP_H
#define WS_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

struct event_base;
struct ws_loop;

/* 512 KiB: one recv takes what a fast peer has sent meanwhile. Only the pages in use are resident. */
enum { WS_LOOP_RECEIVE_SIZE = 512 * 1024, WS_LOOP_PLAIN_SIZE = WS_LOOP_RECEIVE_SIZE + 32 * 1024 };

/* Work for the end of the turn. Embedded in what it works on; zero it before its first use. */
struct ws_deferred {
	struct ws_deferred *prev, *next; /* NULL: not queued */
	void (*run)(struct ws_deferred *self);
};

/* NULL: out of memory, or the system gave no event mechanism (errno). */
struct ws_loop *ws_loop_new(void);

/* Everything that hangs off the loop (listeners, transports, timers) must be gone. NULL is allowed. */
void ws_loop_free(struct ws_loop *loop);

/*
 * One turn: waits at most timeout_ms (negative: until something happens; not at all while deferred work is
 * queued), calls back what is ready, then runs the deferred work queued by then. Work queued meanwhile is
 * for the next turn. Returns 0 or WS_ERROR_SYSTEM. Not re-entrant.
 */
int ws_loop_turn(struct ws_loop *loop, int64_t timeout_ms);

/* Queues the work, which is not queued. */
void ws_loop_enqueue(struct ws_loop *loop, struct ws_deferred *work);

/* Queues the work once, however often it is called before the work runs. It has left the queue when run. */
static inline void ws_loop_defer(struct ws_loop *loop, struct ws_deferred *work)
{
	if (work->next == NULL)
		ws_loop_enqueue(loop, work);
}

/* Takes it from the queue, if it is there. */
static inline void ws_loop_undefer(struct ws_loop *loop, struct ws_deferred *work)
{
	(void)loop;
	if (work->next == NULL)
		return;
	work->prev->next = work->next;
	work->next->prev = work->prev;
	work->prev = work->next = NULL;
}

/* Runs the deferred work, and what that queues, until none is left: before a loop is freed. */
void ws_loop_settle(struct ws_loop *loop);

/* Milliseconds of the monotonic clock: within a turn, read once after the wait; between turns, read afresh. */
uint64_t ws_loop_now(const struct ws_loop *loop);

/* When at least so many ms have passed from this very moment: who asks may have taken long since the turn began. */
uint64_t ws_loop_after(uint64_t ms);

/* What keeps a program running: listeners, connections, timers of the user. */
void ws_loop_hold(struct ws_loop *loop);
void ws_loop_release(struct ws_loop *loop);
size_t ws_loop_held(const struct ws_loop *loop);

/* The buffer that every recv of this loop goes to; its content lives until the next one. */
uint8_t *ws_loop_receive_buffer(struct ws_loop *loop);

/* The same for what TLS has decrypted, with room for one record more; made when it is first asked for. NULL: no memory. */
uint8_t *ws_loop_plain_buffer(struct ws_loop *loop);

/* For net/ alone. */
struct event_base *ws_loop_base(struct ws_loop *loop);

/*
 * The descriptor that becomes readable when a turn has something to do (epoll's), for use inside another
 * loop; or -1 where it cannot be found (it takes Linux's /proc). Searches: ask once.
 */
int ws_loop_descriptor(const struct ws_loop *loop);

/* Milliseconds, at most, until the next timer is due; 0 if deferred work waits; -1: nothing to wait for. */
int64_t ws_loop_timeout(const struct ws_loop *loop);

#pragma GCC visibility pop

#endif
