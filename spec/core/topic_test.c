/* Topics: who is a member of what, what is delivered, when a topic is empty, and each allocation that fails. */
#include "memory.h"

#include "connection_scene.h"
#include "endpoint/topic.h"

enum { CONNECTIONS = 8, MANY = 500 };

/* One connection is open, with its peer; the others never opened: what is delivered to them goes nowhere. */
static struct {
	struct scene scene;
	struct ws_topics topics;
	struct ws_connection closed[CONNECTIONS];
	char told[2000]; /* names of topics that were empty, each with a space behind it */
	void (*hook)(struct ws_slice name);
} t;

static struct ws_slice name_of(const char *text)
{
	return (struct ws_slice){ text, strlen(text) };
}

static void on_empty(void *arg, struct ws_slice name)
{
	CHECK(arg == &t);
	const size_t len = strlen(t.told);
	if (len + name.len + 2 < sizeof t.told)
		(void)sprintf(t.told + len, "%.*s ", (int)name.len, name.data);
	if (t.hook != NULL)
		t.hook(name);
}

static void start(void)
{
	memset(&t, 0, sizeof t);
	scene_open(&t.scene);
	ws_topics_init(&t.topics, t.scene.loop);
	t.topics.on_empty = on_empty;
	t.topics.arg = &t;
}

/* The open connection's subscriptions go with it, when there are no topics any more. */
static void forget_all(void)
{
	ws_topics_leave(&t.topics, t.scene.c);
	for (size_t i = 0; i < CONNECTIONS; i++) {
		ws_topics_leave(&t.topics, &t.closed[i]);
		ws_subscriptions_free(&t.closed[i]);
	}
	ws_topics_clear(&t.topics);
}

static void finish(void)
{
	forget_all();
	scene_free(&t.scene);
}

static void subscribe(struct ws_connection *c, const char *name)
{
	CHECK(ws_topics_subscribe(&t.topics, c, name_of(name)) == 0);
}

static void unsubscribe(struct ws_connection *c, const char *name)
{
	ws_topics_unsubscribe(&t.topics, c, name_of(name));
}

static size_t count(const char *name)
{
	return ws_topics_count(&t.topics, name_of(name));
}

static size_t listed(void)
{
	size_t n = 0;
	for (const struct ws_topic *topic = ws_topics_next(&t.topics, NULL); topic; topic = ws_topics_next(&t.topics, topic))
		n++;
	return n;
}

static size_t deliver(const char *name, const struct ws_connection *except)
{
	struct ws_prepared message;
	ws_prepared_init(&message, WS_TEXT, "hello", 5);
	const size_t sent = ws_topics_deliver(&t.topics, name_of(name), &message, except);
	ws_prepared_clear(&message);
	return sent;
}

static void turn(void)
{
	(void)ws_loop_turn(t.scene.loop, 0);
}

/* ---- */

static void test_members(void)
{
	start();
	CHECK(count("a") == 0 && listed() == 0);
	for (size_t i = 0; i < CONNECTIONS; i++) {
		subscribe(&t.closed[i], "a");
		subscribe(&t.closed[i], "a");
		CHECK(count("a") == i + 1);
	}
	subscribe(t.scene.c, "b");
	CHECK(listed() == 2);
	static const size_t order[CONNECTIONS] = { 3, 0, 7, 4, 1, 6, 2, 5 }; /* from the middle and from both ends */
	for (size_t i = 0; i < CONNECTIONS; i++) {
		unsubscribe(&t.closed[order[i]], "a");
		unsubscribe(&t.closed[order[i]], "a");
		CHECK(count("a") == CONNECTIONS - 1 - i);
		CHECK(t.closed[order[i]].subscriptions == NULL);
	}
	CHECK(listed() == 1 && count("b") == 1);
	finish();
}

static void test_delivery(void)
{
	start();
	subscribe(t.scene.c, "a");
	subscribe(&t.closed[0], "a");
	CHECK(deliver("a", NULL) == 1); /* nothing goes to who is not open */
	CHECK(deliver("a", &t.closed[0]) == 1);
	CHECK(deliver("a", t.scene.c) == 0);
	CHECK(deliver("b", NULL) == 0);
	scene_turns(&t.scene);
	scene_receive(&t.scene);
	CHECK(t.scene.received == 14 && memcmp(t.scene.wire, "\x81\x05hello\x81\x05hello", 14) == 0);
	finish();
}

static void test_names(void)
{
	char longest[WS_TOPIC_NAME];
	start();
	memset(longest, 'x', sizeof longest);
	const struct ws_slice names[] = {
		{ "a", 1 }, { "a\0", 2 }, { "a\0b", 3 }, { "A", 1 }, { longest, sizeof longest }, { longest, sizeof longest - 1 }
	};
	const size_t n = sizeof names / sizeof *names;
	for (size_t i = 0; i < n; i++) {
		const struct ws_slice placed = { unit_guard_end(names[i].data, names[i].len), names[i].len };
		CHECK(ws_topics_count(&t.topics, placed) == 0);
		CHECK(ws_topics_subscribe(&t.topics, t.scene.c, placed) == 0);
		CHECK(ws_topics_count(&t.topics, names[i]) == 1);
	}
	CHECK(listed() == n);
	for (size_t i = 0; i < n; i++)
		ws_topics_unsubscribe(&t.topics, t.scene.c, names[i]);
	CHECK(listed() == 0 && t.scene.c->subscriptions == NULL);
	finish();
}

static void test_many(void)
{
	char name[20];
	start();
	for (int i = 0; i < MANY; i++) {
		(void)sprintf(name, "topic %d", i);
		subscribe(&t.closed[i % CONNECTIONS], name);
		subscribe(&t.closed[(i + 1) % CONNECTIONS], name);
	}
	CHECK(listed() == MANY);
	for (int i = 0; i < MANY; i++) {
		(void)sprintf(name, "topic %d", i);
		CHECK(count(name) == 2);
		unsubscribe(&t.closed[i % CONNECTIONS], name);
		if (i % 2)
			unsubscribe(&t.closed[(i + 1) % CONNECTIONS], name);
	}
	CHECK(listed() == MANY / 2);
	turn();
	CHECK(t.topics.count == MANY / 2);
	finish();
}

/* What was left in a turn and found nobody by its end is told, once. */
static void test_empty(void)
{
	start();
	const size_t held = ws_loop_held(t.scene.loop);
	subscribe(t.scene.c, "a");
	unsubscribe(t.scene.c, "a");
	subscribe(t.scene.c, "a");
	unsubscribe(t.scene.c, "a");
	CHECK(t.told[0] == '\0' && listed() == 0 && ws_loop_held(t.scene.loop) == held + 1);
	turn();
	CHECK(strcmp(t.told, "a ") == 0 && t.topics.count == 0 && ws_loop_held(t.scene.loop) == held);
	subscribe(t.scene.c, "a");
	unsubscribe(t.scene.c, "a");
	subscribe(&t.closed[0], "a");
	turn();
	turn();
	CHECK(strcmp(t.told, "a ") == 0 && count("a") == 1 && ws_loop_held(t.scene.loop) == held);
	finish();
}

static void come_back(struct ws_slice name)
{
	if (name.data[0] == 'b') {
		subscribe(t.scene.c, "a"); /* in the list as well, behind it or before */
		subscribe(t.scene.c, "b");
		unsubscribe(t.scene.c, "c");
	}
}

static void test_empty_again(void)
{
	start();
	subscribe(t.scene.c, "a");
	subscribe(t.scene.c, "b");
	subscribe(t.scene.c, "c");
	unsubscribe(t.scene.c, "a");
	unsubscribe(t.scene.c, "b");
	t.hook = come_back;
	turn();
	CHECK(strcmp(t.told, "b ") == 0 || strcmp(t.told, "a b ") == 0);
	turn();
	CHECK(strstr(t.told, "b c ") != NULL);
	CHECK(count("a") == 1 && count("b") == 1 && count("c") == 0 && listed() == 2);
	finish();
}

/* Its subscriptions can still be read, while others are told of the topic's end and make it anew. */
static void test_after_end(void)
{
	start();
	subscribe(t.scene.c, "a");
	subscribe(t.scene.c, "b");
	ws_topics_leave(&t.topics, t.scene.c);
	CHECK(count("a") == 0 && listed() == 0 && deliver("a", NULL) == 0);
	turn();
	CHECK(strstr(t.told, "a ") != NULL && strstr(t.told, "b ") != NULL && t.topics.count == 0);
	subscribe(&t.closed[0], "a");
	const struct ws_subscription *s = t.scene.c->subscriptions;
	CHECK(s->topic->name[0] == 'b' && s->next->topic->name[0] == 'a' && s->next->next == NULL);
	ws_subscriptions_free(t.scene.c);
	CHECK(count("a") == 1 && t.scene.c->subscriptions == NULL);
	finish();
}

static void test_cleared_while_empty(void)
{
	start();
	const size_t held = ws_loop_held(t.scene.loop);
	subscribe(t.scene.c, "a");
	unsubscribe(t.scene.c, "a");
	forget_all();
	turn();
	CHECK(t.told[0] == '\0' && ws_loop_held(t.scene.loop) == held);
	scene_free(&t.scene);
}

/* ---- each allocation fails */

static size_t play_starved(size_t fail_at)
{
	char name[20];
	memory_reset(fail_at, 1);
	for (int i = 0; i < 40; i++) {
		(void)sprintf(name, "topic %d", i);
		const size_t before = count(name), topics = listed();
		if (ws_topics_subscribe(&t.topics, t.scene.c, name_of(name)) != 0)
			CHECK(count(name) == before && listed() == topics);
	}
	const size_t calls = memory.calls;
	memory_reset(0, 0);
	return calls;
}

static void test_starved(void)
{
	start();
	const size_t calls = play_starved(0);
	finish();
	CHECK(calls > 80);
	for (size_t n = 1; n <= calls; n++) {
		const size_t live = memory.live;
		unit_row("allocation %zu of %zu", n, calls);
		start();
		(void)play_starved(n);
		CHECK(t.told[0] == '\0');
		CHECK(listed() >= 39 && t.topics.count == listed());
		for (int i = 0; i < 40; i++) { /* who was refused may come again */
			char name[20];
			(void)sprintf(name, "topic %d", i);
			subscribe(t.scene.c, name);
			CHECK(count(name) == 1);
		}
		finish();
		CHECK(memory.live == live);
	}
}

UNIT_MAIN(
	{ "members come and go, in any order, and each is one once", test_members },
	{ "a message is delivered to the members that are open, but for one", test_delivery },
	{ "names are compared as they are", test_names },
	{ "there may be many topics", test_many },
	{ "a topic without members is told of at the end of the turn, once", test_empty },
	{ "whoever is told may subscribe and unsubscribe", test_empty_again },
	{ "what one that has ended was subscribed to can be read", test_after_end },
	{ "topics may be cleared before it is told that one is empty", test_cleared_while_empty },
	{ "without memory nobody subscribes, and nothing else changes", test_starved }
)
