/* Windows of load, each a way to send: what a server took, and how long its answers took. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <sys/types.h>

#include "connection.h"

struct load {
	struct target target;
	struct connection *connections;
	size_t count;
	size_t in_flight;
	uint64_t rate;                  /* messages a second, of measure_pace() */
	pid_t server;
};

/* Counted from the start of a window to its end. */
struct result {
	uint64_t messages;              /* echoes, deliveries, handshakes */
	uint64_t nanoseconds;
	uint64_t server_cpu, load_cpu;  /* nanoseconds */
	uint64_t bytes;
	uint64_t p50, p99, p999;        /* nanoseconds, of measure_pace() */
};

/* Opens all connections of the load. */
void open_all(struct load *load);

/* Once the whole script on the first connection, with its contents. */
struct result measure_check(struct load *load, uint64_t milliseconds);

/* in_flight messages on every connection; when all of them are back, the next. 0 ms: once. */
struct result measure_echo(struct load *load, uint64_t milliseconds);

/* So many messages a second whatever comes back; each one's time counts from when it was due. */
struct result measure_pace(struct load *load, uint64_t milliseconds);

/* in_flight messages of the first connection, to all; when all have them, the next. */
struct result measure_publish(struct load *load, uint64_t milliseconds);

/* Connections that are opened, upgraded and dropped; the load's own are not used. */
struct result measure_handshakes(struct load *load, uint64_t milliseconds);

#endif
