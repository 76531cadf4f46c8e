/* What net's own files share: the loop's inside, the timing wheel, the pool of output chunks. */
#ifndef WS_NET_LOOP_PRIVATE_H
#define WS_NET_LOOP_PRIVATE_H

#include <event2/event_struct.h>

#include "net/loop.h"
#include "net/timer.h"
#include "net/tls.h"

#pragma GCC visibility push(hidden)

/* 11 digits of 6 bits hold any 64-bit time, so no time is too far away to have its slot. */
enum { WS_WHEEL_LEVELS = 11, WS_WHEEL_SLOTS = 64 };

#define WS_WHEEL_NEVER UINT64_MAX

/*
 * Level n is indexed by the n-th base-64 digit of the due time. A timer sits on the level of the highest
 * digit in which its due time differs from `elapsed`, hence always in a slot after the current one: no
 * level wraps round, and the lowest occupied slot of the lowest occupied level comes next.
 */
struct ws_wheel {
	uint64_t elapsed;                   /* ms: what is due by then has been fired or is in `ready` */
	uint64_t occupied[WS_WHEEL_LEVELS]; /* a bit per slot */
	struct ws_timer ready;              /* list head: due when started, for the next turn */
	struct ws_timer slots[WS_WHEEL_LEVELS][WS_WHEEL_SLOTS]; /* list heads; their `due` is their own index */
};

void ws_wheel_init(struct ws_wheel *wheel, uint64_t now);

/* Fires what is due at now, in the order of due times. What is started meanwhile waits for the next call. */
void ws_wheel_advance(struct ws_wheel *wheel, uint64_t now);

/* When to advance next: not after the next timer's due, though perhaps before. WS_WHEEL_NEVER: no timer. */
uint64_t ws_wheel_next(const struct ws_wheel *wheel);

/* Larger chunks go back to malloc. */
enum { WS_CHUNK_POOLED = 64 * 1024 };

struct ws_chunk {
	struct ws_chunk *next;    /* in the pool, or in an output */
	struct ws_shared *shared; /* whose bytes these are: of an output's alone, and not of the pool; NULL: its own */
	size_t size, from, to;    /* bytes[from..to) are in use */
	uint8_t bytes[];
};

/* What many transports are to send at the end of the turn stands here once. */
struct ws_batch {
	uint8_t *bytes;   /* WS_BATCH_SIZE; NULL: not needed yet */
	size_t used;
	size_t borrowers; /* outputs; when there are none it is filled anew */
	uint64_t filling; /* which one this is */
};

/* As much as is corked for one transport. */
enum { WS_BATCH_SIZE = 64 * 1024 };

/* Bytes of the kernel's that have not been handed out stand at the end. */
struct ws_random {
	uint8_t bytes[256];
	size_t left;
};

struct ws_loop {
	struct ws_random random;
	struct event_base *base;
	struct event tick;           /* the one timer of libevent: ends the wait, nothing more */
	uint64_t tick_at;            /* ms; WS_WHEEL_NEVER: not armed */
	uint64_t now;                /* ms: of the turn; 0: nobody has asked in it */
	bool turning;
	size_t held;
	struct ws_deferred deferred; /* list head */
	struct ws_chunk *pool, *parked;
	size_t pooled; /* bytes of the pool */
	struct ws_batch batch;
	uint8_t *receive_buffer;
	uint8_t *plain_buffer; /* NULL: no TLS yet */
	struct ws_tls_sessions *tls_sessions; /* NULL: no client's TLS yet */
	struct evdns_base *dns;      /* NULL: nobody asks */
	size_t dns_awaited;          /* answers that somebody waits for */
	size_t dns_queries;          /* those, and the canceled ones, of which evdns still has to call back */
	const char *resolv_conf, *hosts_file;
	struct ws_wheel wheel;
};

/* The sessions of all clients; made when they are first asked for. NULL: no memory. */
struct ws_tls_sessions *ws_loop_tls_sessions(struct ws_loop *loop);

/* An empty chunk of at least size bytes, or NULL: out of memory. */
struct ws_chunk *ws_chunk_take(struct ws_loop *loop, size_t size);
void ws_chunk_give(struct ws_loop *loop, struct ws_chunk *chunk);

/* Gives it back when the next turn begins: somebody may still be looking at its bytes. */
void ws_chunk_park(struct ws_loop *loop, struct ws_chunk *chunk);

#pragma GCC visibility pop

#endif
