/* What is delivered to a connection behind a message in fragments: in order, shared, and given back. */
#include "memory.h"

#include "connection_scene.h"
#include "endpoint/fragments.h"

static struct scene scene;

static struct ws_prepared prepare(const char *text)
{
	struct ws_prepared p;
	ws_prepared_init(&p, WS_TEXT, text, strlen(text));
	return p;
}

static void begin(void)
{
	scene_open(&scene);
	CHECK(ws_fragments_begin(scene.c, WS_TEXT) == 0 && ws_fragments_write(scene.c, "a", 1) == 0);
}

static void deliver(const char *text)
{
	struct ws_prepared p = prepare(text);
	CHECK(ws_connection_deliver(scene.c, &p) == 0);
	ws_prepared_clear(&p);
}

static void test_list(void)
{
	struct ws_backlog *one = NULL, *other = NULL;
	struct ws_prepared first = prepare("first"), second = prepare("");
	struct ws_prepared_copy *copy;

	CHECK(ws_backlog_take(&one) == NULL);
	for (int round = 0; round < 2; round++) {
		CHECK(ws_backlog_add(&one, &first) == 0 && ws_backlog_add(&one, &second) == 0);
		CHECK(ws_backlog_add(&other, &first) == 0);
		CHECK(first.copy->references == 3 && first.copy->message.plain.data != first.plain.data);
		CHECK(one->bytes > other->bytes && other->bytes > 5);
		CHECK((copy = ws_backlog_take(&one)) == first.copy && copy == other->first->copy);
		ws_prepared_release(copy);
		CHECK((copy = ws_backlog_take(&one)) == second.copy && copy->message.plain.len == 0);
		ws_prepared_release(copy);
		CHECK(ws_backlog_take(&one) == NULL && one == NULL);
		ws_backlog_clear(&other);
		CHECK(other == NULL && first.copy->references == 1);
	}
	ws_prepared_clear(&first);
	ws_prepared_clear(&second);
	ws_session_pool_clear(&scene.pool);
}

static void test_order(void)
{
	static const char wire[] = "\x01\x01" "a" "\x80\x00" "\x81\x03" "one" "\x81\x00" "\x81\x05" "three";
	begin();
	deliver("one");
	deliver("");
	scene_turns(&scene);
	scene_receive(&scene);
	CHECK(scene.received == 3);
	CHECK(ws_fragments_end(scene.c) == 0);
	deliver("three");
	scene_turns(&scene);
	scene_receive(&scene);
	CHECK(scene.received == sizeof wire - 1 && memcmp(scene.wire, wire, sizeof wire - 1) == 0);
	scene_free(&scene);
}

static void test_dropped(void)
{
	const size_t live = memory.live;
	begin();
	deliver("never");
	ws_connection_drop(scene.c);
	scene.c = NULL;
	scene_free(&scene);
	CHECK(memory.live == live);
}

/* Somebody may hold the connection long after its end. */
static void test_ended(void)
{
	begin();
	deliver("never");
	ws_connection_terminate(scene.c, NULL);
	scene_turns(&scene);
	CHECK(scene_told(&scene, "close") && scene.c->backlog == NULL);
	scene_free(&scene);
}

/* What was counted as queued does not go missing unseen: after the Close frame nothing more is said. */
static void test_starved(void)
{
	static const char why[] = "a message that had been queued could not be sent";
	static char large[300001];
	memset(large, 'x', sizeof large - 1);
	begin();
	CHECK(ws_fragments_write(scene.c, large, sizeof large - 1) == 0); /* more than the kernel takes */
	deliver(large);
	deliver("never");
	memory_reset(1, 1);
	CHECK(ws_fragments_end(scene.c) == 0);
	memory_reset(0, 0);
	CHECK(scene.c->backlog == NULL);
	for (int i = 0; i < 8; i++) {
		scene_turns(&scene);
		scene_receive(&scene);
	}
	CHECK(scene.received == 3 + 10 + sizeof large - 1 + 2 + 2 + 2 + sizeof why - 1);
	scene_free(&scene);
}

UNIT_MAIN(
	{ "it is a list of copies that several share", test_list },
	{ "it follows the message in fragments, in order", test_order },
	{ "without memory it ends the connection", test_starved },
	{ "it goes with a connection that is dropped", test_dropped },
	{ "it goes with the end of the connection", test_ended }
)
