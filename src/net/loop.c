/*
 * One turn: wait in libevent, call back, fire timers, run deferred work. And what the loop's sockets share.
 */
#include "net/loop.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/eventfd.h>
#endif

#include "error.h"
#include "net/loop_private.h"

enum {
	DNS_LOOK_MS = 100,        /* evdns waits for answers with timers that libevent does not show */
	DAY_MS = 24 * 60 * 60 * 1000,
	LARGE_BLOCK = 8 * 1024 * 1024 /* some messages of the largest default size, 1 MiB, in their several places */
};

enum { NS_PER_MS = 1000000 };

static uint64_t clock_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 * NS_PER_MS + (uint64_t)t.tv_nsec;
}

static uint64_t clock_read(void)
{
	return clock_ns() / NS_PER_MS;
}

/* A part of a millisecond that has begun does not count. */
uint64_t ws_loop_after(uint64_t ms)
{
	return ms > 0 ? (clock_ns() + NS_PER_MS - 1) / NS_PER_MS + ms : clock_read();
}

static void tick_passed(evutil_socket_t fd, short what, void *arg)
{
	struct ws_loop *loop = arg;
	(void)fd;
	(void)what;
	loop->tick_at = WS_WHEEL_NEVER; /* the turn itself looks at the wheel */
}

static struct event_base *base_new(void)
{
	struct event_config *config = event_config_new();
	if (config == NULL)
		return NULL;
	/* The environment could otherwise choose a mechanism without edge triggers. */
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
	struct event_base *base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

/*
 * glibc gives a large block back to the system as soon as it is freed, and every page of the next one costs a fault, but
 * only as long as it has not seen one so large come and go. Messages of 1 MiB cost 1.8 times as much until then.
 */
static void malloc_train(void)
{
	void *volatile block = malloc(LARGE_BLOCK); /* volatile: nobody may optimize the pair away */
	free(block);
}

struct ws_loop *ws_loop_new(void)
{
	struct ws_loop *loop = calloc(1, sizeof *loop);
	if (loop == NULL)
		return NULL;
	malloc_train();
	loop->receive_buffer = malloc(WS_LOOP_RECEIVE_SIZE);
	loop->base = loop->receive_buffer != NULL ? base_new() : NULL;
	if (loop->base == NULL) {
		ws_loop_free(loop);
		return NULL;
	}
	loop->deferred.prev = loop->deferred.next = &loop->deferred;
	loop->tick_at = WS_WHEEL_NEVER;
	loop->resolv_conf = "/etc/resolv.conf";
	loop->hosts_file = "/etc/hosts";
	evtimer_assign(&loop->tick, loop->base, tick_passed, loop);
	ws_wheel_init(&loop->wheel, clock_read());
	return loop;
}

static void chunks_free(struct ws_chunk *chunk)
{
	while (chunk != NULL) {
		struct ws_chunk *next = chunk->next;
		free(chunk);
		chunk = next;
	}
}

void ws_loop_free(struct ws_loop *loop)
{
	if (loop == NULL)
		return;
	int saved = errno; /* ws_loop_new reports with it */
	if (loop->base != NULL) {
		if (event_initialized(&loop->tick))
			event_del(&loop->tick);
		if (loop->dns_queries > 0) /* canceled ones, whose memory comes back with evdns's callback */
			event_base_loop(loop->base, EVLOOP_NONBLOCK);
		event_base_free(loop->base);
	}
	chunks_free(loop->pool);
	chunks_free(loop->parked);
	free(loop->receive_buffer);
	free(loop->plain_buffer);
	free(loop->batch.bytes);
	ws_tls_sessions_free(loop->tls_sessions);
	free(loop);
	errno = saved;
}

/*
 * Sees to it that the wait ends at wake. Returns whether there is anything to wait for, or WS_ERROR_SYSTEM.
 */
static int loop_arm(struct ws_loop *loop, uint64_t wake, uint64_t now)
{
	if (wake <= now)
		return 0;
	if (wake >= loop->tick_at)
		return 1; /* too early a tick is cheaper than moving it for every start and stop */
	uint64_t ms = wake - now < DAY_MS ? wake - now : DAY_MS;
	struct timeval delay = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
	if (event_add(&loop->tick, &delay) != 0)
		return WS_ERROR_SYSTEM;
	loop->tick_at = now + ms;
	return 1;
}

/* As loop_arm: whether this turn may wait at all. */
static int loop_may_wait(struct ws_loop *loop, int64_t timeout_ms)
{
	if (timeout_ms == 0 || loop->deferred.next != &loop->deferred)
		return 0;
	uint64_t wake = ws_wheel_next(&loop->wheel);
	if (timeout_ms < 0 && wake >= loop->tick_at)
		return 1; /* the usual case spares the clock */
	uint64_t now = clock_read();
	if (timeout_ms > 0 && (uint64_t)timeout_ms < wake - now && wake > now)
		wake = now + (uint64_t)timeout_ms;
	return loop_arm(loop, wake, now);
}

static void loop_run_deferred(struct ws_loop *loop)
{
	if (loop->deferred.next == &loop->deferred)
		return;
	struct ws_deferred batch = loop->deferred; /* what is queued from here on is for the next turn */
	batch.prev->next = batch.next->prev = &batch;
	loop->deferred.prev = loop->deferred.next = &loop->deferred;
	while (batch.next != &batch) {
		struct ws_deferred *work = batch.next;
		ws_loop_undefer(loop, work);
		work->run(work);
	}
}

int ws_loop_turn(struct ws_loop *loop, int64_t timeout_ms)
{
	int wait = loop_may_wait(loop, timeout_ms);
	if (wait < 0)
		return wait;
	while (loop->parked != NULL) {
		struct ws_chunk *chunk = loop->parked;
		loop->parked = chunk->next;
		ws_chunk_give(loop, chunk);
	}
	loop->turning = true;
	int how = EVLOOP_NO_EXIT_ON_EMPTY | EVLOOP_ONCE | (wait ? 0 : EVLOOP_NONBLOCK);
	int result = event_base_loop(loop->base, how);
	if (result >= 0) {
		/* After the input: what has just arrived may stop the deadline it was meant to meet. */
		ws_wheel_advance(&loop->wheel, ws_loop_now(loop));
		loop_run_deferred(loop);
	}
	loop->turning = false;
	loop->now = 0;
	return result < 0 ? WS_ERROR_SYSTEM : 0;
}

void ws_loop_settle(struct ws_loop *loop)
{
	while (loop->deferred.next != &loop->deferred)
		loop_run_deferred(loop);
}

void ws_loop_enqueue(struct ws_loop *loop, struct ws_deferred *work)
{
	work->next = &loop->deferred;
	work->prev = loop->deferred.prev;
	work->prev->next = work->next->prev = work;
}

/*
 * libevent tells nobody that the wait is over: the first to ask after it reads the clock for the turn. Between turns
 * everybody does: who knows how long ago the last one was.
 */
static uint64_t now_read(const struct ws_loop *loop)
{
	const uint64_t now = clock_read();
	struct ws_loop *cache = (struct ws_loop *)loop;
	if (loop->turning)
		cache->now = now;
	return now;
}

uint64_t ws_loop_now(const struct ws_loop *loop)
{
	return loop->now != 0 ? loop->now : now_read(loop);
}

void ws_loop_hold(struct ws_loop *loop)
{
	loop->held++;
}

void ws_loop_release(struct ws_loop *loop)
{
	loop->held--;
}

size_t ws_loop_held(const struct ws_loop *loop)
{
	return loop->held;
}

uint8_t *ws_loop_plain_buffer(struct ws_loop *loop)
{
	if (loop->plain_buffer == NULL)
		loop->plain_buffer = malloc(WS_LOOP_PLAIN_SIZE);
	return loop->plain_buffer;
}

struct ws_tls_sessions *ws_loop_tls_sessions(struct ws_loop *loop)
{
	if (loop->tls_sessions == NULL)
		loop->tls_sessions = ws_tls_sessions_new();
	return loop->tls_sessions;
}

uint8_t *ws_loop_receive_buffer(struct ws_loop *loop)
{
	return loop->receive_buffer;
}

struct event_base *ws_loop_base(struct ws_loop *loop)
{
	return loop->base;
}

int64_t ws_loop_timeout(const struct ws_loop *loop)
{
	if (loop->deferred.next != &loop->deferred)
		return 0;
	uint64_t next = ws_wheel_next(&loop->wheel);
	if (next == WS_WHEEL_NEVER && loop->dns == NULL)
		return -1;
	uint64_t now = clock_read();
	if (loop->dns != NULL && next > now + DNS_LOOK_MS)
		next = now + DNS_LOOK_MS;
	if (next <= now)
		return 0;
	return next - now < INT64_MAX ? (int64_t)(next - now) : INT64_MAX;
}

#ifdef __linux__

/*
 * Whether our descriptor `fd` is an epoll that watches our descriptor `watched`, as Linux's /proc tells it.
 */
static bool epoll_watches(const char *fd, int watched)
{
	char path[64], line[256];
	snprintf(path, sizeof path, "/proc/self/fdinfo/%.20s", fd);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	bool found = false;
	int seen;
	while (!found && fgets(line, sizeof line, file) != NULL)
		found = sscanf(line, "tfd: %d", &seen) == 1 && seen == watched;
	fclose(file);
	return found;
}

static int epoll_find(int watched)
{
	DIR *folder = opendir("/proc/self/fdinfo");
	if (folder == NULL)
		return -1;
	int found = -1;
	struct dirent *entry;
	while (found < 0 && (entry = readdir(folder)) != NULL)
		if (entry->d_name[0] != '.' && epoll_watches(entry->d_name, watched))
			found = (int)strtol(entry->d_name, NULL, 10);
	closedir(folder);
	return found;
}

static void nothing_happens(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/*
 * libevent does not give its epoll away: we have it watch a descriptor that is ours alone and look who does
 * so.
 */
int ws_loop_descriptor(const struct ws_loop *loop)
{
	int probe = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (probe < 0)
		return -1;
	struct event event;
	event_assign(&event, loop->base, probe, EV_READ, nothing_happens, NULL);
	int found = event_add(&event, NULL) == 0 ? epoll_find(probe) : -1;
	event_del(&event);
	close(probe);
	return found;
}

#else

int ws_loop_descriptor(const struct ws_loop *loop)
{
	(void)loop;
	return -1;
}

#endif
