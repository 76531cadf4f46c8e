/* The timing wheel: against a naive model with a clock of our own, and its edges one by one. */
#include "net/timer.h"

#include "error.h"
#include "net/loop_private.h"
#include "unit.h"

enum { TIMERS = 300, OPERATIONS = 100000 };

#define HOUR (UINT64_C(60) * 60 * 1000)

/* What the wheel should know, kept in the most stupid way. */
struct model {
	struct ws_timer timer; /* first: fire gets its address */
	bool active;
	uint64_t due;
	uint64_t started_in; /* the number of the advance during or before which it was started */
};

static struct {
	struct ws_loop *loop;
	struct model all[TIMERS];
	uint64_t now, advance, random, last_due;
	bool advancing;
	unsigned fired;
} world;

static uint64_t random_bits(unsigned bits)
{
	world.random ^= world.random << 13;
	world.random ^= world.random >> 7;
	world.random ^= world.random << 17;
	return bits == 0 ? 0 : world.random >> (64 - bits);
}

static uint64_t random_due(void)
{
	switch (random_bits(3)) {
	case 0:
		return world.now - random_bits(8); /* past */
	case 1:
		return world.now; /* now */
	case 2:
		/* a digit's border */
		return (world.now | (((uint64_t)64 << random_bits(2) * 6) - 1)) + random_bits(1);
	default:
		return world.now + random_bits((unsigned)random_bits(5) + (unsigned)random_bits(3));
	}
}

static void model_start(struct model *m, uint64_t due)
{
	ws_timer_start(world.loop, &m->timer, due);
	m->active = true;
	m->due = due;
	m->started_in = world.advancing ? world.advance : 0;
	CHECK(ws_timer_active(&m->timer));
}

static void model_stop(struct model *m)
{
	ws_timer_stop(world.loop, &m->timer);
	m->active = false;
	CHECK(!ws_timer_active(&m->timer));
}

static void model_touch(void)
{
	struct model *m = &world.all[random_bits(16) % TIMERS];
	if (random_bits(2) != 0)
		model_start(m, random_due());
	else
		model_stop(m);
}

static void model_fire(struct ws_timer *timer)
{
	struct model *m = (struct model *)(void *)timer;
	world.fired++;
	CHECK(m->active);
	CHECK(world.advancing);
	CHECK(m->due <= world.now);
	CHECK(m->started_in != world.advance);
	CHECK(!ws_timer_active(timer));
	m->active = false;
	for (uint64_t n = random_bits(2); n > 0; n--)
		model_touch();
}

static void model_advance(uint64_t now)
{
	world.now = now;
	world.advance++;
	world.advancing = true;
	ws_wheel_advance(&world.loop->wheel, now);
	world.advancing = false;
	uint64_t next = ws_wheel_next(&world.loop->wheel), first = WS_WHEEL_NEVER;
	for (int i = 0; i < TIMERS; i++) {
		struct model *m = &world.all[i];
		CHECK(m->active == ws_timer_active(&m->timer));
		CHECK(!m->active || m->due > now || m->started_in == world.advance);
		if (m->active && m->due < first)
			first = m->due;
	}
	CHECK(next <= first || (first <= now && next <= now));
	CHECK((first == WS_WHEEL_NEVER) == (next == WS_WHEEL_NEVER));
	CHECK(first <= now || next > now || next == WS_WHEEL_NEVER);
}

static void world_new(uint64_t now, void (*fire)(struct ws_timer *self))
{
	memset(&world, 0, sizeof world);
	world.loop = ws_loop_new();
	if (world.loop == NULL)
		abort();
	world.now = now;
	world.random = 88172645463325252;
	ws_wheel_init(&world.loop->wheel, now);
	for (int i = 0; i < TIMERS; i++)
		ws_timer_init(&world.all[i].timer, fire);
}

static void random_operations(void)
{
	for (int round = 0; round < 3; round++) {
		static const uint64_t starts[] = {0, 1234567, UINT64_C(1) << 36};
		world_new(starts[round], model_fire);
		for (int i = 0; i < OPERATIONS / 3; i++) {
			if (random_bits(3) != 0)
				model_touch();
			else
				model_advance(world.now + random_bits((unsigned)random_bits(5)));
		}
		CHECK(world.fired > 1000);
		ws_loop_free(world.loop);
	}
}

static void count_fire(struct ws_timer *timer)
{
	struct model *m = (struct model *)(void *)timer;
	world.fired++;
	CHECK(timer->due >= world.last_due);
	world.last_due = timer->due;
	m->active = false;
}

/* Every distance, to the millisecond, around every border between levels. */
static void borders(void)
{
	world_new(0, count_fire);
	for (unsigned shift = 0; shift < 42; shift += 6)
		for (uint64_t from = 0; from < 3; from++)
			for (int64_t off = -2; off <= 2; off++) {
				uint64_t now = (UINT64_C(1) << 50) + (UINT64_C(1) << shift) - 1 + from;
				uint64_t due = now + (UINT64_C(64) << shift) + (uint64_t)off;
				struct ws_timer *timer = &world.all[0].timer;
				world.fired = 0;
				world.last_due = 0;
				ws_wheel_init(&world.loop->wheel, now);
				ws_timer_start(world.loop, timer, due);
				ws_wheel_advance(&world.loop->wheel, due - 1);
				CHECK(world.fired == 0 && ws_wheel_next(&world.loop->wheel) == due);
				ws_wheel_advance(&world.loop->wheel, due);
				CHECK(world.fired == 1 && ws_wheel_next(&world.loop->wheel) == WS_WHEEL_NEVER);
			}
	ws_loop_free(world.loop);
}

/* Waking when the wheel says so finds a far timer in a few steps, and not one millisecond late. */
static void far_future(void)
{
	static const uint64_t distances[] = {1,         63,              64,               5000, HOUR,
	                                     24 * HOUR, 400 * 24 * HOUR, UINT64_C(1) << 60};
	world_new(777777, count_fire);
	for (size_t i = 0; i < sizeof distances / sizeof *distances; i++) {
		struct ws_timer *timer = &world.all[i].timer;
		uint64_t now = world.loop->wheel.elapsed, due = now + distances[i];
		int steps = 0;
		world.fired = 0;
		ws_timer_start(world.loop, timer, due);
		while (world.fired == 0 && steps++ < 20) {
			CHECK(ws_wheel_next(&world.loop->wheel) <= due);
			ws_wheel_advance(&world.loop->wheel, ws_wheel_next(&world.loop->wheel));
		}
		CHECK(world.fired == 1);
		CHECK(steps <= WS_WHEEL_LEVELS);
		CHECK(world.loop->wheel.elapsed == due);
	}
	struct ws_timer *never = &world.all[100].timer;
	ws_timer_start(world.loop, never, UINT64_MAX);
	ws_timer_stop(world.loop, never);
	ws_timer_stop(world.loop, never);
	CHECK(ws_wheel_next(&world.loop->wheel) == WS_WHEEL_NEVER);
	ws_loop_free(world.loop);
}

static void jump_of_hours(void)
{
	world_new(1000, count_fire);
	for (uint64_t i = 0; i < TIMERS; i++)
		ws_timer_start(world.loop, &world.all[(i * 7) % TIMERS].timer, 1000 + i * i * 97);
	ws_wheel_advance(&world.loop->wheel, 1000 + 9 * HOUR);
	CHECK(world.fired == TIMERS); /* in order: count_fire looks */
	ws_loop_free(world.loop);
}

static void fire_restarts_itself(struct ws_timer *timer)
{
	world.fired++;
	ws_timer_start(world.loop, timer, 0);
}

static void due_in_the_past(void)
{
	world_new(5000, fire_restarts_itself);
	struct ws_timer *timer = &world.all[0].timer;
	ws_timer_start(world.loop, timer, 10);
	CHECK(world.fired == 0);
	for (unsigned turn = 1; turn <= 3; turn++) {
		CHECK(ws_wheel_next(&world.loop->wheel) <= 5000);
		ws_wheel_advance(&world.loop->wheel, 5000); /* the same millisecond is a new turn */
		CHECK(world.fired == turn);
	}
	ws_timer_stop(world.loop, timer);
	ws_wheel_advance(&world.loop->wheel, 6000);
	CHECK(world.fired == 3);
	ws_loop_free(world.loop);
}

static void fire_stops_all(struct ws_timer *timer)
{
	(void)timer;
	world.fired++;
	for (int i = 0; i < TIMERS; i++)
		ws_timer_stop(world.loop, &world.all[i].timer);
}

static void stopped_by_another(void)
{
	world_new(0, fire_stops_all);
	for (uint64_t i = 0; i < TIMERS; i++)
		ws_timer_start(world.loop, &world.all[i].timer, i / 3);
	ws_wheel_advance(&world.loop->wheel, 1000);
	CHECK(world.fired == 1);
	CHECK(ws_wheel_next(&world.loop->wheel) == WS_WHEEL_NEVER);
	ws_loop_free(world.loop);
}

static void real_clock(void)
{
	world_new(0, count_fire);
	ws_wheel_init(&world.loop->wheel, ws_loop_now(world.loop));
	uint64_t begin = ws_loop_now(world.loop);
	int turns = 0;
	for (uint64_t i = 0; i < 5; i++)
		ws_timer_start(world.loop, &world.all[i].timer, begin + 10 * (i + 1));
	CHECK(ws_loop_timeout(world.loop) >= 0 && ws_loop_timeout(world.loop) <= 10);
	while (world.fired < 5 && turns++ < 1000)
		CHECK(ws_loop_turn(world.loop, -1) == 0);
	CHECK(ws_loop_now(world.loop) >= begin + 50);
	CHECK(turns < 50); /* some wake early, none spins */
	ws_loop_free(world.loop);
}

UNIT_MAIN({"100,000 random operations agree with the model", random_operations},
          {"borders between levels", borders},
          {"far futures are found in a few steps", far_future},
          {"a jump of hours fires all, in order", jump_of_hours},
          {"due in the past: the next turn, and only once a turn", due_in_the_past},
          {"a timer stopped while its turn has come does not fire", stopped_by_another},
          {"with the real clock", real_clock})
