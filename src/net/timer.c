/*
 * The timing wheel: 1 ms ticks, a level per base-64 digit of the time, a bitmap per level to find what
 * comes next.
 */
#include "net/timer.h"

#include "net/loop_private.h"

enum { DIGIT_BITS = 6, DIGIT_MASK = WS_WHEEL_SLOTS - 1 };

static unsigned digit_of(uint64_t time, unsigned level)
{
	return (unsigned)(time >> level * DIGIT_BITS) & DIGIT_MASK;
}

static void list_init(struct ws_timer *head)
{
	head->prev = head->next = head;
}

static bool list_empty(const struct ws_timer *head)
{
	return head->next == head;
}

static void list_append(struct ws_timer *head, struct ws_timer *timer)
{
	timer->next = head;
	timer->prev = head->prev;
	timer->prev->next = head->prev = timer;
}

/* Moves all of one list to the empty list `to`. */
static void list_move(struct ws_timer *from, struct ws_timer *to)
{
	list_init(to);
	if (list_empty(from))
		return;
	to->prev = from->prev;
	to->next = from->next;
	to->prev->next = to->next->prev = to;
	list_init(from);
}

void ws_wheel_init(struct ws_wheel *wheel, uint64_t now)
{
	wheel->elapsed = now;
	list_init(&wheel->ready);
	for (unsigned level = 0; level < WS_WHEEL_LEVELS; level++) {
		wheel->occupied[level] = 0;
		for (unsigned slot = 0; slot < WS_WHEEL_SLOTS; slot++) {
			list_init(&wheel->slots[level][slot]);
			wheel->slots[level][slot].due = level * WS_WHEEL_SLOTS + slot;
		}
	}
}

/* Into its slot or, if due, onto the list `due`. */
static void wheel_place(struct ws_wheel *wheel, struct ws_timer *timer, struct ws_timer *due)
{
	if (timer->due <= wheel->elapsed) {
		list_append(due, timer);
		return;
	}
	unsigned highest = 63 - (unsigned)__builtin_clzll(timer->due ^ wheel->elapsed);
	unsigned level = highest / DIGIT_BITS;
	unsigned slot = digit_of(timer->due, level);
	wheel->occupied[level] |= (uint64_t)1 << slot;
	list_append(&wheel->slots[level][slot], timer);
}

static void wheel_remove(struct ws_wheel *wheel, struct ws_timer *timer)
{
	struct ws_timer *left = timer->prev;
	left->next = timer->next;
	timer->next->prev = left;
	timer->prev = timer->next = NULL;
	if (!list_empty(left))
		return;
	/*
	 * It was alone, so `left` is the list's head: that of a slot, `ready`, or the list that is being fired.
	 */
	unsigned level = (unsigned)(left->due / WS_WHEEL_SLOTS);
	unsigned slot = (unsigned)(left->due % WS_WHEEL_SLOTS);
	if (left->due < WS_WHEEL_LEVELS * WS_WHEEL_SLOTS && left == &wheel->slots[level][slot])
		wheel->occupied[level] &= ~((uint64_t)1 << slot);
}

/* The lowest occupied slot, or NULL; and when its time begins. */
static const struct ws_timer *wheel_first(const struct ws_wheel *wheel, uint64_t *begins)
{
	for (unsigned level = 0; level < WS_WHEEL_LEVELS; level++) {
		if (wheel->occupied[level] == 0)
			continue;
		unsigned slot = (unsigned)__builtin_ctzll(wheel->occupied[level]);
		unsigned shift = level * DIGIT_BITS;
		uint64_t above = level + 1 < WS_WHEEL_LEVELS ? UINT64_MAX << (shift + DIGIT_BITS) : 0;
		*begins = (wheel->elapsed & above) | (uint64_t)slot << shift;
		return &wheel->slots[level][slot];
	}
	return NULL;
}

uint64_t ws_wheel_next(const struct ws_wheel *wheel)
{
	uint64_t begins = WS_WHEEL_NEVER;
	if (!list_empty(&wheel->ready))
		return wheel->elapsed;
	wheel_first(wheel, &begins);
	return begins;
}

/* Collects what is due by now. Slots of higher levels are dealt out to lower ones as their time begins. */
static void wheel_collect(struct ws_wheel *wheel, uint64_t now, struct ws_timer *due)
{
	const struct ws_timer *first;
	uint64_t begins;
	while ((first = wheel_first(wheel, &begins)) != NULL && begins <= now) {
		unsigned level = (unsigned)(first->due / WS_WHEEL_SLOTS);
		unsigned slot = (unsigned)(first->due % WS_WHEEL_SLOTS);
		struct ws_timer begun;
		list_move(&wheel->slots[level][slot], &begun);
		wheel->occupied[level] &= ~((uint64_t)1 << slot);
		wheel->elapsed = begins;
		while (!list_empty(&begun)) {
			struct ws_timer *timer = begun.next;
			begun.next = timer->next;
			timer->next->prev = &begun;
			wheel_place(wheel, timer, due);
		}
	}
	if (now > wheel->elapsed)
		wheel->elapsed = now;
}

void ws_wheel_advance(struct ws_wheel *wheel, uint64_t now)
{
	struct ws_timer due;
	if (now == wheel->elapsed && list_empty(&wheel->ready))
		return; /* many turns fit into a millisecond */
	list_move(&wheel->ready, &due);
	due.due = WS_WHEEL_NEVER; /* no slot's index */
	wheel_collect(wheel, now, &due);
	while (!list_empty(&due)) {
		struct ws_timer *timer = due.next;
		wheel_remove(wheel, timer);
		timer->fire(timer);
	}
}

void ws_timer_init(struct ws_timer *timer, void (*fire)(struct ws_timer *self))
{
	*timer = (struct ws_timer){.fire = fire};
}

void ws_timer_start(struct ws_loop *loop, struct ws_timer *timer, uint64_t due)
{
	ws_timer_stop(loop, timer);
	timer->due = due;
	wheel_place(&loop->wheel, timer, &loop->wheel.ready);
}

void ws_timer_stop(struct ws_loop *loop, struct ws_timer *timer)
{
	if (ws_timer_active(timer))
		wheel_remove(&loop->wheel, timer);
}
