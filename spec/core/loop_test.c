/* The loop's turns, deferred work, clock, watches and signals. */
#include "net/loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

#include "error.h"
#include "net/loop_private.h"
#include "net/signal.h"
#include "net/timer.h"
#include "net/watch.h"
#include "unit.h"

/* A deferred work or a timer that counts and may do something else. */
struct job {
	struct ws_deferred work;
	struct ws_timer timer;
	struct ws_loop *loop;
	struct job *other;
	void (*then)(struct job *job);
	int runs;
};

static void job_run(struct ws_deferred *work)
{
	struct job *job = (struct job *)(void *)((char *)work - offsetof(struct job, work));
	CHECK(work->next == NULL);
	job->runs++;
	if (job->then != NULL)
		job->then(job);
}

static void job_fire(struct ws_timer *timer)
{
	struct job *job = (struct job *)(void *)((char *)timer - offsetof(struct job, timer));
	job->runs++;
	if (job->then != NULL)
		job->then(job);
}

static struct job job_of(struct ws_loop *loop, void (*then)(struct job *job), struct job *other)
{
	struct job job = {.work.run = job_run, .loop = loop, .other = other, .then = then};
	ws_timer_init(&job.timer, job_fire);
	return job;
}

static uint64_t clock_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void count(void *arg)
{
	++*(int *)arg;
}

static void defer_self(struct job *job)
{
	ws_loop_defer(job->loop, &job->work);
}

static void undefer_other(struct job *job)
{
	ws_loop_undefer(job->loop, &job->other->work);
}

static void deferred_work(void)
{
	struct ws_loop *loop = ws_loop_new();
	struct job a = job_of(loop, defer_self, NULL), c = job_of(loop, NULL, NULL);
	struct job b = job_of(loop, undefer_other, &c);
	ws_loop_undefer(loop, &a.work);
	ws_loop_defer(loop, &a.work);
	ws_loop_defer(loop, &a.work);
	ws_loop_defer(loop, &b.work);
	ws_loop_defer(loop, &c.work);
	CHECK(ws_loop_timeout(loop) == 0);
	CHECK(ws_loop_turn(loop, -1) == 0); /* does not wait */
	CHECK(a.runs == 1 && b.runs == 1 && c.runs == 0);
	CHECK(ws_loop_turn(loop, -1) == 0);
	CHECK(a.runs == 2 && b.runs == 1);
	ws_loop_undefer(loop, &a.work);
	CHECK(ws_loop_timeout(loop) == -1);
	CHECK(ws_loop_turn(loop, 0) == 0);
	CHECK(a.runs == 2);
	ws_loop_free(loop);
}

static void defer_other(struct job *job)
{
	ws_loop_defer(job->loop, &job->other->work);
}

static void deferred_work_settles(void)
{
	struct ws_loop *loop = ws_loop_new();
	struct job b = job_of(loop, NULL, NULL), a = job_of(loop, defer_other, &b);
	ws_loop_defer(loop, &a.work);
	ws_loop_settle(loop);
	CHECK(a.runs == 1 && b.runs == 1 && ws_loop_timeout(loop) == -1);
	ws_loop_free(loop);
}

static void turn_waits(void)
{
	struct ws_loop *loop = ws_loop_new();
	uint64_t begin = clock_ms();
	CHECK(ws_loop_turn(loop, 0) == 0);
	CHECK(clock_ms() - begin < 20);
	begin = clock_ms();
	int turns = 0;
	for (; clock_ms() - begin < 50 && turns < 100; turns++)
		CHECK(ws_loop_turn(loop, 50) == 0); /* no event is registered: it waits all the same */
	CHECK(turns <= 10);
	CHECK(clock_ms() - begin < 150);
	/* A shorter timeout after a longer one, which was cut short, is kept to. */
	struct job late = job_of(loop, NULL, NULL);
	ws_timer_start(loop, &late.timer, ws_loop_now(loop) + 60000);
	int ends[2], ready = 0;
	CHECK(pipe(ends) == 0);
	struct ws_watch *watch = ws_watch_new(loop, ends[1], true, count, &ready);
	CHECK(ws_loop_turn(loop, 50000) == 0 && ready == 1);
	ws_watch_free(watch);
	close(ends[0]);
	close(ends[1]);
	begin = clock_ms();
	CHECK(ws_loop_turn(loop, 10) == 0);
	CHECK(clock_ms() - begin < 100);
	CHECK(late.runs == 0);
	int64_t left = ws_loop_timeout(loop);
	CHECK(left > 0 && left <= 60000);
	ws_timer_stop(loop, &late.timer);
	CHECK(ws_loop_timeout(loop) == -1);
	ws_loop_free(loop);
}

static void let_time_pass(struct job *job)
{
	uint64_t before = ws_loop_now(job->loop), real = clock_ms();
	while (clock_ms() < real + 3)
		continue;
	CHECK(ws_loop_now(job->loop) == before);
}

static void clock_once_a_turn(void)
{
	struct ws_loop *loop = ws_loop_new();
	struct job a = job_of(loop, let_time_pass, NULL);
	ws_loop_defer(loop, &a.work);
	CHECK(ws_loop_turn(loop, 0) == 0);
	CHECK(a.runs == 1);
	uint64_t between = ws_loop_now(loop);
	while (clock_ms() < between + 3)
		continue;
	CHECK(ws_loop_now(loop) >= between + 3); /* between turns it is always the present */
	ws_loop_free(loop);
}

static void timers_fire_in_turns(void)
{
	struct ws_loop *loop = ws_loop_new();
	struct job a = job_of(loop, NULL, NULL), b = job_of(loop, NULL, NULL);
	uint64_t begin = ws_loop_now(loop);
	ws_timer_start(loop, &a.timer, begin);
	CHECK(ws_loop_turn(loop, -1) == 0);
	CHECK(a.runs == 1);
	ws_timer_start(loop, &a.timer, begin + 5000);
	ws_timer_start(loop, &b.timer, begin + 20);
	int turns = 0;
	while (b.runs == 0 && turns++ < 100)
		CHECK(ws_loop_turn(loop, -1) == 0);
	CHECK(ws_loop_now(loop) >= begin + 20);
	CHECK(a.runs == 1 && turns < 20);
	ws_timer_stop(loop, &a.timer);
	/* A timer that is due although libevent's has not passed: inside another loop nobody waits in ours. */
	ws_timer_start(loop, &b.timer, ws_loop_now(loop) + 2);
	uint64_t now = clock_ms();
	while (clock_ms() < now + 4)
		continue;
	CHECK(ws_loop_timeout(loop) == 0);
	CHECK(ws_loop_turn(loop, 0) == 0);
	CHECK(b.runs == 2);
	ws_loop_free(loop);
}

static void holds(void)
{
	struct ws_loop *loop = ws_loop_new();
	CHECK(ws_loop_held(loop) == 0);
	ws_loop_hold(loop);
	ws_loop_hold(loop);
	ws_loop_release(loop);
	CHECK(ws_loop_held(loop) == 1);
	ws_loop_free(loop);
	ws_loop_free(NULL);
}

static void watches(void)
{
	struct ws_loop *loop = ws_loop_new();
	int pair[2], reads = 0, writes = 0;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	struct ws_watch *r = ws_watch_new(loop, pair[0], false, count, &reads);
	struct ws_watch *w = ws_watch_new(loop, pair[0], true, count, &writes);
	CHECK(r != NULL && w != NULL);
	CHECK(ws_loop_turn(loop, 1000) == 0);
	CHECK(reads == 0 && writes == 1);
	CHECK(write(pair[1], "x", 1) == 1);
	CHECK(ws_loop_turn(loop, 1000) == 0);
	CHECK(ws_loop_turn(loop, 0) == 0);
	CHECK(reads == 1 && writes == 1); /* once */
	ws_watch_free(r);
	ws_watch_free(w);
	ws_watch_free(NULL);
	close(pair[1]);
	r = ws_watch_new(loop, pair[0], false, count, &reads); /* the end counts as readable */
	CHECK(ws_loop_turn(loop, 1000) == 0);
	CHECK(reads == 2);
	ws_watch_free(r);
	close(pair[0]);
	errno = 0;
	CHECK(ws_watch_new(loop, pair[0], false, count, &reads) == NULL && errno == EBADF);
	FILE *file = tmpfile();
	CHECK(ws_watch_new(loop, fileno(file), false, count, &reads) == NULL && errno == EPERM);
	fclose(file);
	ws_loop_free(loop);
}

static void signals(void)
{
	struct ws_loop *loop = ws_loop_new();
	struct sigaction action;
	int one = 0, two = 0;
	struct ws_signal *a = ws_signal_new(loop, SIGUSR1, count, &one);
	struct ws_signal *b = ws_signal_new(loop, SIGUSR1, count, &two);
	CHECK(a != NULL && b != NULL);
	raise(SIGUSR1);
	CHECK(ws_loop_turn(loop, 1000) == 0);
	CHECK(one == 1 && two == 1);
	ws_signal_free(a);
	raise(SIGUSR1);
	CHECK(ws_loop_turn(loop, 1000) == 0);
	CHECK(one == 1 && two == 2);
	ws_signal_free(b);
	ws_signal_free(NULL);
	CHECK(sigaction(SIGUSR1, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
	static const int wrong[] = {-1, 0, SIGKILL, SIGSTOP, 32, 1000};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		errno = 0;
		CHECK(ws_signal_new(loop, wrong[i], count, &one) == NULL && errno == EINVAL);
	}
	ws_loop_free(loop);
}

static void inside_another_loop(void)
{
	struct ws_loop *loops[2] = {ws_loop_new(), ws_loop_new()};
	int fds[2] = {ws_loop_descriptor(loops[0]), ws_loop_descriptor(loops[1])};
	if (fds[0] >= 0) {
		int pair[2], reads = 0;
		CHECK(fds[0] != fds[1] && ws_loop_descriptor(loops[0]) == fds[0]);
		CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
		struct ws_watch *r = ws_watch_new(loops[1], pair[0], false, count, &reads);
		struct pollfd polled[2] = {{.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLIN}};
		CHECK(poll(polled, 2, 0) == 0);
		CHECK(write(pair[1], "x", 1) == 1);
		CHECK(poll(polled, 2, 1000) == 1 && polled[1].revents == POLLIN);
		CHECK(ws_loop_turn(loops[1], 0) == 0 && reads == 1);
		ws_watch_free(r);
		close(pair[0]);
		close(pair[1]);
	}
	ws_loop_free(loops[0]);
	ws_loop_free(loops[1]);
}

static void chunk_pool(void)
{
	struct ws_loop *loop = ws_loop_new();
	struct ws_chunk *small = ws_chunk_take(loop, 100), *large = ws_chunk_take(loop, 1000000);
	CHECK(small->size >= 100 && large->size >= 1000000);
	ws_chunk_give(loop, large); /* too large for the pool */
	ws_chunk_give(loop, small);
	CHECK(loop->pooled == small->size);
	struct ws_chunk *again = ws_chunk_take(loop, 100), *other = ws_chunk_take(loop, 5000);
	CHECK(again == small && other->size >= 5000);
	again->to = 7;
	ws_chunk_park(loop, again);
	CHECK(loop->pooled == 0);
	ws_chunk_give(loop, other);
	CHECK(ws_loop_turn(loop, 0) == 0);
	CHECK(loop->pooled == again->size + other->size && loop->parked == NULL && loop->pool->to == 0);
	CHECK(ws_chunk_take(loop, SIZE_MAX - 10) == NULL);
	enum { MANY = 5000, MOST = 4 * 1024 * 1024 };
	struct ws_chunk *many[MANY];
	for (int i = 0; i < MANY; i++)
		many[i] = ws_chunk_take(loop, 1);
	CHECK(loop->pooled == 0);
	for (int i = 0; i < MANY; i++)
		ws_chunk_give(loop, many[i]);
	CHECK(loop->pooled <= MOST && loop->pooled > MOST - 1024);
	ws_loop_free(loop);
}

UNIT_MAIN({"deferred work: once, at the end of the turn", deferred_work},
          {"deferred work runs until none is left", deferred_work_settles},
          {"a turn waits as long as told", turn_waits},
          {"the clock is read once a turn", clock_once_a_turn},
          {"timers fire in turns", timers_fire_in_turns},
          {"holds are counted", holds},
          {"watches", watches},
          {"signals", signals},
          {"a descriptor for another loop", inside_another_loop},
          {"the pool of chunks", chunk_pool})
