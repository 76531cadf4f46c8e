#include "measure.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

enum {
	MAX_EVENTS = 256,
	IN_HANDSHAKE = 100      /* at most, lest the server's backlog overflow */
};

static uint64_t read_clock(clockid_t clock)
{
	struct timespec time;

	if (clock_gettime(clock, &time) != 0)
		die("clock");
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint64_t now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

/* Of all threads of a process, those that ended as well. */
static uint64_t cpu_of(pid_t process)
{
	clockid_t clock;

	errno = clock_getcpuclockid(process, &clock);
	if (errno != 0)
		die("the server's clock");
	return read_clock(clock);
}

static struct result start_window(const struct load *load)
{
	return (struct result){ .nanoseconds = now(), .server_cpu = cpu_of(load->server),
		.load_cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID), .bytes = load->target.bytes };
}

static struct result end_window(const struct load *load, struct result begin, uint64_t messages)
{
	const struct result end = start_window(load);

	return (struct result){ .messages = messages, .nanoseconds = end.nanoseconds - begin.nanoseconds,
		.server_cpu = end.server_cpu - begin.server_cpu, .load_cpu = end.load_cpu - begin.load_cpu,
		.bytes = end.bytes - begin.bytes };
}

void open_all(struct load *load)
{
	for (size_t i = 0; i < load->count + IN_HANDSHAKE; i++) {
		if (i < load->count)
			connection_start(&load->connections[i], &load->target, i);
		if (i >= IN_HANDSHAKE)
			connection_finish(&load->connections[i - IN_HANDSHAKE], &load->target);
	}
}

/* Waits, forever with a negative time, and reads and writes what can be. Returns the number of events. */
static int turn(struct load *load, struct epoll_event *events, int64_t nanoseconds)
{
	const struct timespec time = { .tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000 };
	const int ready = epoll_pwait2(load->target.epoll, events, MAX_EVENTS, nanoseconds < 0 ? NULL : &time, NULL);

	if (ready < 0)
		die("epoll_pwait2");
	for (int i = 0; i < ready; i++)
		connection_go_on(events[i].data.ptr, &load->target, events[i].events);
	return ready;
}

struct result measure_check(struct load *load, uint64_t milliseconds)
{
	const struct result begin = start_window(load);
	struct epoll_event events[MAX_EVENTS];
	struct connection *first = load->connections;
	z_stream inflater = { 0 };

	(void)milliseconds;
	if (inflateInit2(&inflater, -15) != Z_OK)
		die("zlib");
	first->inflater = &inflater;
	load->target.checks = true;
	connection_send(first, &load->target, first->script->count);
	while (first->received < first->to_send)
		(void)turn(load, events, -1);
	load->target.checks = false;
	first->inflater = NULL;
	(void)inflateEnd(&inflater);
	return end_window(load, begin, first->received);
}

struct result measure_echo(struct load *load, uint64_t milliseconds)
{
	const struct result begin = start_window(load);
	const uint64_t end = begin.nanoseconds + milliseconds * 1000000;
	size_t pending = load->count;
	uint64_t messages = 0;

	for (size_t i = 0; i < load->count; i++)
		connection_send(&load->connections[i], &load->target, load->in_flight);
	while (pending > 0) {
		struct epoll_event events[MAX_EVENTS];
		const int ready = turn(load, events, -1);
		const bool over = now() >= end;
		for (int i = 0; i < ready; i++) {
			struct connection *connection = events[i].data.ptr;
			if (connection->received < connection->to_send)
				continue;
			messages += load->in_flight;
			if (over)
				pending--;
			else
				connection_send(connection, &load->target, load->in_flight);
		}
	}
	return end_window(load, begin, messages);
}

struct result measure_publish(struct load *load, uint64_t milliseconds)
{
	const struct result begin = start_window(load);
	const uint64_t end = begin.nanoseconds + milliseconds * 1000000;
	struct connection *publisher = load->connections;
	uint64_t messages = 0;

	do {
		size_t pending = load->count;
		connection_send(publisher, &load->target, load->in_flight);
		while (pending > 0) {
			struct epoll_event events[MAX_EVENTS];
			const int ready = turn(load, events, -1);
			for (int i = 0; i < ready; i++)
				if (((struct connection *)events[i].data.ptr)->received == publisher->to_send)
					pending--;
		}
		messages += load->in_flight * load->count;
	} while (now() < end);
	return end_window(load, begin, messages);
}

struct result measure_handshakes(struct load *load, uint64_t milliseconds)
{
	const struct result begin = start_window(load);
	const uint64_t end = begin.nanoseconds + milliseconds * 1000000;
	struct connection connections[IN_HANDSHAKE];
	uint64_t handshakes = 0;

	do {
		for (size_t i = 0; i < IN_HANDSHAKE; i++)
			connection_start(&connections[i], &load->target, i);
		for (size_t i = 0; i < IN_HANDSHAKE; i++) {
			connection_finish(&connections[i], &load->target);
			connection_drop(&connections[i]);
		}
		handshakes += IN_HANDSHAKE;
	} while (now() < end);
	return end_window(load, begin, handshakes);
}

/* ---- a pace */

static int compare(const void *left, const void *right)
{
	const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

/* Of one connection: how many answers are counted, and when the message of the next one was due. */
struct pace {
	uint64_t received;
	double due;
};

/* Sends what is due; message n of all is the connection n % count's. Returns the nanoseconds to the next one. */
static double send_due(struct load *load, uint64_t *sent, uint64_t total, double interval, uint64_t began)
{
	const double passed = (double)(now() - began);

	for (; *sent < total && (double)*sent * interval <= passed; ++*sent)
		connection_send(&load->connections[*sent % load->count], &load->target, 1);
	return *sent == total ? -1 : (double)*sent * interval - passed;
}

struct result measure_pace(struct load *load, uint64_t milliseconds)
{
	const uint64_t total = milliseconds * load->rate / 1000 / load->count * load->count;
	const double interval = 1e9 / (double)load->rate;
	const struct result begin = start_window(load);
	uint64_t *taken = calloc(total, sizeof *taken);
	struct pace *paces = calloc(load->count, sizeof *paces);
	uint64_t sent = 0, back = 0;
	struct result result;

	if (taken == NULL || paces == NULL || total < 1000)
		die("too few messages for a latency");
	for (size_t i = 0; i < load->count; i++)
		paces[i] = (struct pace){ .received = load->connections[i].received, .due = (double)i * interval };
	while (back < total) {
		struct epoll_event events[MAX_EVENTS];
		const double wait = send_due(load, &sent, total, interval, begin.nanoseconds);
		const int ready = turn(load, events, (int64_t)wait);
		const double came = (double)(now() - begin.nanoseconds);
		for (int i = 0; i < ready; i++) {
			const struct connection *connection = events[i].data.ptr;
			struct pace *pace = &paces[connection - load->connections];
			for (; pace->received < connection->received; pace->received++) {
				taken[back++] = (uint64_t)(came - pace->due);
				pace->due += interval * (double)load->count;
			}
		}
	}
	result = end_window(load, begin, total);
	qsort(taken, total, sizeof *taken, compare);
	result.p50 = taken[total / 2];
	result.p99 = taken[total * 99 / 100];
	result.p999 = taken[total * 999 / 1000];
	free(taken);
	free(paces);
	return result;
}
