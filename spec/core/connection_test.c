/* A connection from socket to callback: what is told, in what order, and that the end is told once, and last. */
#include "connection_scene.h"
#include "protocol/code.h"

enum { FIN = 0x80 };

static struct scene scene;

static void expect(const char *log)
{
	const bool same = strcmp(scene.log, log) == 0;

	if (!same)
		unit_row("%s", scene.log);
	CHECK(same);
}

/* The peer's Close, and its end: what every connection that is still there can end with. */
static void end_politely(void)
{
	scene_send(&scene, FIN | WS_CLOSE, "\x03\xe8" "bye");
	scene_turns(&scene);
	scene_leave(&scene);
	scene_turns(&scene);
	scene_free(&scene);
}

/* ---- order */

static void test_order(void)
{
	scene_open(&scene);
	scene_send(&scene, FIN | WS_TEXT, "one");
	scene_send(&scene, FIN | WS_PING, "p");
	scene_send(&scene, FIN | WS_PONG, "q");
	scene_send(&scene, FIN | WS_BINARY, "two");
	scene_turns(&scene);
	expect("message(one) ping(p) pong(q) message(two)");
	CHECK(scene.c->endpoint->stats.messages_in == 2 && scene.c->endpoint->stats.bytes_in == 6);
	end_politely();
	expect("message(one) ping(p) pong(q) message(two) closing(1000 bye) finished close(1000 bye, by peer, clean)");
}

/* Glued to the request, to each other, and in one byte at a time. */
static void test_any_cut(void)
{
	static const char told[] = "request opened message(one) ping(p) message(two) closing(1000) finished "
		"close(1000 , by peer, clean)";
	uint8_t bytes[400];

	for (size_t step = 1; step <= sizeof bytes; step *= 7) {
		size_t size = sizeof scene_head - 1;
		memcpy(bytes, scene_head, size);
		size += scene_frame(bytes + size, FIN | WS_TEXT, "one", 3);
		size += scene_frame(bytes + size, FIN | WS_PING, "p", 1);
		size += scene_frame(bytes + size, WS_TEXT, "t", 1);
		size += scene_frame(bytes + size, FIN | WS_CONTINUATION, "wo", 2);
		size += scene_frame(bytes + size, FIN | WS_CLOSE, "\x03\xe8", 2);
		CHECK(scene_start(&scene));
		for (size_t at = 0; at < size; at += step) {
			scene_bytes(&scene, bytes + at, size - at < step ? size - at : step);
			scene_turns(&scene);
		}
		scene_leave(&scene);
		scene_turns(&scene);
		scene_free(&scene);
		expect(told);
	}
}

static void take_next(struct scene *s, const char *name)
{
	struct ws_message m;

	while (strcmp(name, "message") == 0 && ws_connection_next_message(s->c, &m))
		scene_note(s, "next", "(%.*s)", (int)m.len, (const char *)m.data);
}

/* Only what is no message is left to the other callbacks; and what has not come whole, to a later one. */
static void test_next_message(void)
{
	struct ws_message m;
	uint8_t bytes[400];
	size_t size = 0;

	scene_open(&scene);
	scene.hook = take_next;
	size += scene_frame(bytes + size, FIN | WS_TEXT, "one", 3);
	size += scene_frame(bytes + size, FIN | WS_BINARY, "two", 3);
	size += scene_frame(bytes + size, FIN | WS_PING, "p", 1);
	size += scene_frame(bytes + size, FIN | WS_TEXT, "three", 5);
	size += scene_frame(bytes + size, WS_TEXT, "fo", 2);
	size += scene_frame(bytes + size, FIN | WS_PONG, "q", 1);
	size += scene_frame(bytes + size, FIN | WS_CONTINUATION, "ur", 2);
	size += scene_frame(bytes + size, FIN | WS_TEXT, "five", 4);
	size += scene_frame(bytes + size, FIN | WS_TEXT, "six", 3);
	scene_bytes(&scene, bytes, size - 1);
	scene_turns(&scene);
	expect("message(one) next(two) ping(p) message(three) pong(q) message(four) next(five)");
	CHECK(scene.c->endpoint->stats.messages_in == 5 && scene.c->endpoint->stats.bytes_in == 19);
	CHECK(!ws_connection_next_message(scene.c, &m));
	scene_bytes(&scene, bytes + size - 1, 1);
	scene_turns(&scene);
	expect("message(one) next(two) ping(p) message(three) pong(q) message(four) next(five) message(six)");
	end_politely();
	CHECK(scene_count(&scene, "close(") == 1);
}

static void test_late_accept(void)
{
	CHECK(scene_start(&scene));
	scene.late = true;
	scene_ask(&scene);
	scene_send(&scene, FIN | WS_TEXT, "early");
	scene_turns(&scene);
	expect("request");
	scene_accept(&scene);
	scene_turns(&scene);
	expect("request opened message(early)");
	CHECK(ws_connection_accept(scene.c, (struct ws_slice){ scene.key, 24 }, (struct ws_slice){ NULL, 0 },
	                           &(struct ws_deflate_parameters){ .agreed = false }) == WS_ERROR_CLOSED);
	end_politely();
	CHECK(scene_count(&scene, "close(") == 1);
}

/* ---- what never opens has no on_close */

static void test_refused(void)
{
	static const struct ws_slice body = { "no", 2 };

	CHECK(scene_start(&scene));
	scene.late = true;
	scene_ask(&scene);
	scene_send(&scene, FIN | WS_TEXT, "never read");
	scene_turns(&scene);
	ws_connection_refuse(scene.c, 403, "X: y\r\n", body);
	ws_connection_refuse(scene.c, 500, "", body);
	scene_turns(&scene);
	scene_receive(&scene);
	CHECK(memcmp(scene.wire, "HTTP/1.1 403", 12) == 0 && memcmp(scene.wire + scene.wire_len - 2, "no", 2) == 0);
	expect("request");
	scene_leave(&scene);
	scene_turns(&scene);
	expect("request finished");
	scene_free(&scene);
	expect("request finished");
}

static void leave_in_the_head(void)
{
	scene_bytes(&scene, "GET / HT", 8);
	scene_turns(&scene);
	scene_leave(&scene);
}

static void leave_while_deciding(void)
{
	scene.late = true;
	scene_ask(&scene);
	scene_turns(&scene);
	scene_leave(&scene);
	scene_turns(&scene);
	ws_connection_terminate(scene.c, NULL); /* the peer may only have shut down writing */
}

static void talk_nonsense(void)
{
	scene_bytes(&scene, "\x16\x03\x01\r\n\r\n", 7);
	scene_turns(&scene);
	scene_receive(&scene);
	CHECK(memcmp(scene.wire, "HTTP/1.1 400", 12) == 0);
	scene_leave(&scene);
}

static void test_not_opened(void)
{
	static void (*const ways[])(void) = { leave_in_the_head, leave_while_deciding, talk_nonsense };

	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		CHECK(scene_start(&scene));
		ways[i]();
		scene_turns(&scene);
		unit_row("way %zu: %s", i, scene.log);
		CHECK(scene_count(&scene, "finished") == 1 && scene_count(&scene, "close") == 0);
		scene_free(&scene);
	}
}

/* ---- waiting */

static void test_held(void)
{
	scene_open(&scene);
	ws_connection_want(scene.c, WS_SESSION_HOLD);
	scene_send(&scene, FIN | WS_PING, "before");
	scene_send(&scene, FIN | WS_TEXT, "held");
	scene_send(&scene, FIN | WS_PING, "behind");
	scene_turns(&scene);
	scene_send(&scene, FIN | WS_TEXT, "next");
	scene_turns(&scene);
	expect("ping(before)");
	ws_connection_want(scene.c, WS_SESSION_DELIVER);
	scene_turns(&scene);
	expect("ping(before) message(held) ping(behind) message(next)");
	ws_connection_want(scene.c, WS_SESSION_DISCARD);
	scene_send(&scene, FIN | WS_TEXT, "unwanted");
	scene_send(&scene, FIN | WS_PING, "last");
	scene_turns(&scene);
	expect("ping(before) message(held) ping(behind) message(next) ping(last)");
	end_politely();
	CHECK(scene_count(&scene, "close(") == 1);
}

static void want_nothing(struct scene *s, const char *name)
{
	if (strcmp(name, "message") == 0)
		ws_connection_want(s->c, WS_SESSION_HOLD);
}

static void test_held_one_by_one(void)
{
	scene_open(&scene);
	scene.hook = want_nothing;
	for (int i = 0; i < 3; i++)
		scene_send(&scene, FIN | WS_TEXT, "again");
	scene_turns(&scene);
	expect("message(again)");
	ws_connection_want(scene.c, WS_SESSION_DELIVER);
	scene_turns(&scene);
	expect("message(again) message(again)");
	ws_connection_want(scene.c, WS_SESSION_DELIVER);
	scene_turns(&scene);
	expect("message(again) message(again) message(again)");
	end_politely();
}

static void test_busy(void)
{
	scene_open(&scene);
	scene.busy_at = "message";
	scene_send(&scene, FIN | WS_TEXT, "one");
	scene_send(&scene, FIN | WS_PING, "p");
	scene_send(&scene, FIN | WS_TEXT, "two");
	scene_send(&scene, FIN | WS_TEXT, "three");
	scene_turns(&scene);
	expect("message(one)");
	ws_connection_continue(scene.c);
	expect("message(one)"); /* nothing within the call */
	scene_turns(&scene);
	expect("message(one) ping(p) message(two)");
	ws_connection_continue(scene.c);
	scene_turns(&scene);
	expect("message(one) ping(p) message(two) message(three)");
	scene.busy_at = NULL;
	ws_connection_continue(scene.c);
	end_politely();
	CHECK(scene_count(&scene, "close(") == 1);
}

static void test_busy_in_control(void)
{
	scene_open(&scene);
	scene.busy_at = "ping";
	scene_send(&scene, FIN | WS_PING, "p");
	scene_send(&scene, FIN | WS_PONG, "q");
	scene_send(&scene, FIN | WS_TEXT, "m");
	scene_turns(&scene);
	expect("ping(p)");
	scene_receive(&scene);
	CHECK(scene.wire_len == 3 && memcmp(scene.wire, "\x8a\x01p", 3) == 0); /* answered before it waited */
	scene.busy_at = "pong";
	ws_connection_continue(scene.c);
	scene_turns(&scene);
	expect("ping(p) pong(q)");
	ws_connection_continue(scene.c);
	scene_turns(&scene);
	expect("ping(p) pong(q) message(m)");
	end_politely();
}

/* Somebody who waits is told at once that the queue has gone; on_drain waits for whoever is busy. */
static void test_drain(void)
{
	static char large[1 << 20];

	scene_open(&scene);
	scene.busy_at = "message";
	scene_send(&scene, FIN | WS_TEXT, "m");
	scene_turns(&scene);
	CHECK(ws_connection_send(scene.c, WS_BINARY, large, sizeof large) == 0);
	scene_turns(&scene);
	CHECK(ws_connection_buffered(scene.c) > 0);
	expect("message(m)");
	for (int i = 0; i < 20; i++) {
		scene_receive(&scene);
		scene_turns(&scene);
	}
	CHECK(scene.received == sizeof large + 10 && ws_connection_buffered(scene.c) == 0);
	expect("message(m) flushed");
	ws_connection_continue(scene.c);
	scene_turns(&scene);
	expect("message(m) flushed drain");
	scene.busy_at = NULL;
	end_politely();
}

static void test_pause(void)
{
	scene_open(&scene);
	ws_connection_pause(scene.c);
	scene_send(&scene, FIN | WS_PING, "p");
	scene_send(&scene, FIN | WS_TEXT, "m");
	scene_turns(&scene);
	expect("");
	ws_connection_resume(scene.c);
	scene_turns(&scene);
	expect("ping(p) message(m)");
	ws_connection_pause(scene.c);
	scene_send(&scene, FIN | WS_CLOSE, "\x03\xe8");
	scene_turns(&scene);
	CHECK(!scene_told(&scene, "closing"));
	CHECK(ws_connection_close(scene.c, 1001, NULL, 0) == 0); /* reading resumes for the closing handshake */
	scene_turns(&scene);
	scene_leave(&scene);
	scene_turns(&scene);
	expect("ping(p) message(m) finished close(1000 , by local, clean)");
	scene_free(&scene);
}

/* ---- the end */

static void test_close_in_message(void)
{
	scene_open(&scene);
	scene_send(&scene, FIN | WS_TEXT, "one");
	scene_send(&scene, FIN | WS_TEXT, "two");
	scene_turns(&scene);
	CHECK(ws_connection_close(scene.c, 4000, "done", 4) == 0);
	CHECK(ws_connection_close(scene.c, 4001, "again", 5) == WS_ERROR_CLOSED);
	CHECK(ws_connection_send(scene.c, WS_TEXT, "late", 4) == WS_ERROR_CLOSED);
	CHECK(ws_connection_ping(scene.c, NULL, 0) == WS_ERROR_CLOSED);
	scene_send(&scene, FIN | WS_TEXT, "on its way"); /* 1.4: until the peer's Close */
	scene_turns(&scene);
	scene_receive(&scene);
	CHECK(scene.wire_len == 8 && memcmp(scene.wire, "\x88\x06\x0f\xa0" "done", 8) == 0);
	scene_send(&scene, FIN | WS_CLOSE, "\x0f\xa0");
	scene_send(&scene, FIN | WS_TEXT, "behind it");
	scene_turns(&scene);
	scene_leave(&scene);
	scene_turns(&scene);
	expect("message(one) message(two) message(on its way) finished close(4000 , by local, clean)");
	scene_free(&scene);
}

static void test_on_closing(void)
{
	static const struct {
		bool busy;
		unsigned answer; /* 0: none, the peer's own code goes back */
		const char *wire;
	} rows[] = {
		{ false, 0, "\x88\x02\x03\xe8" }, { true, 0, "\x88\x02\x03\xe8" }, { true, 4000, "\x88\x03\x0f\xa0z" }
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		scene_open(&scene);
		scene.busy_at = rows[i].busy ? "closing" : NULL;
		scene_send(&scene, FIN | WS_CLOSE, "\x03\xe8");
		scene_send(&scene, FIN | WS_TEXT, "too late");
		scene_turns(&scene);
		scene_receive(&scene);
		unit_row("row %zu", i);
		CHECK(!rows[i].busy || scene.wire_len == 0);
		if (rows[i].answer)
			CHECK(ws_connection_close(scene.c, rows[i].answer, "z", 1) == 0);
		if (rows[i].busy)
			ws_connection_continue(scene.c);
		scene_turns(&scene);
		scene_receive(&scene);
		CHECK(scene.wire_len == strlen(rows[i].wire) && memcmp(scene.wire, rows[i].wire, scene.wire_len) == 0);
		scene_leave(&scene);
		scene_turns(&scene);
		unit_row("row %zu: %s", i, scene.log);
		CHECK(strcmp(scene.log, "closing(1000) finished close(1000 , by peer, clean)") == 0);
		scene_free(&scene);
	}
}

static const char *at; /* the callback in which it is dropped */

static void terminate_at(struct scene *s, const char *name)
{
	if (strcmp(name, at) == 0)
		ws_connection_terminate(s->c, NULL);
}

/* In whatever callback: nothing follows but the end, which says so. */
static void test_terminate(void)
{
	static const char *const names[] = { "request", "opened", "message", "ping", "pong", "closing" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		for (int busy = 0; busy < 2; busy++) {
			at = names[i];
			CHECK(scene_start(&scene));
			scene.hook = terminate_at;
			scene.busy_at = busy ? at : NULL;
			scene.endpoint.options.close_timeout = 30;
			scene_ask(&scene);
			scene_send(&scene, FIN | WS_TEXT, "m");
			scene_send(&scene, FIN | WS_PING, "p");
			scene_send(&scene, FIN | WS_PONG, "q");
			scene_send(&scene, FIN | WS_CLOSE, "\x03\xe8");
			(void)scene_await(&scene, "finished");
			scene_turns(&scene);
			unit_row("in %s, %s: %s", at, busy ? "which waits" : "which returns", scene.log);
			CHECK(scene_count(&scene, "finished") == 1);
			if (i == 0) {
				CHECK(strcmp(scene.log, "request finished") == 0);
			} else {
				const char *behind = strchr(strstr(scene.log, at), ' ');
				CHECK(scene_count(&scene, "close(") == 1);
				CHECK(behind != NULL);
				if (busy && i > 1)
					CHECK(strncmp(behind, " flushed", 8) == 0 && (behind += 8));
				CHECK(strcmp(behind, strcmp(at, "closing") == 0 ? " finished close(1000 , by peer, unclean)"
					: " finished close(1006 terminated, by local, unclean)") == 0);
			}
			if (busy)
				ws_connection_continue(scene.c); /* that it ended is no reason not to come to an end */
			scene_turns(&scene);
			CHECK(scene_count(&scene, "finished") == 1 && scene_count(&scene, "close(") == (i > 0));
			scene_free(&scene);
		}
}

/* The peer goes while a callback waits: the end waits for it, but not for ever. */
static void test_end_while_busy(void)
{
	for (int patient = 0; patient < 2; patient++) {
		scene_open(&scene);
		scene.busy_at = "message";
		scene.endpoint.options.close_timeout = patient ? 20000 : 30;
		scene_send(&scene, FIN | WS_TEXT, "m");
		scene_turns(&scene);
		ws_connection_terminate(scene.c, "gone");
		scene_turns(&scene);
		unit_row("patient %d: %s", patient, scene.log);
		CHECK(!scene_told(&scene, "finished"));
		if (patient)
			ws_connection_continue(scene.c);
		CHECK(scene_await(&scene, "close("));
		if (!patient)
			ws_connection_continue(scene.c);
		scene_turns(&scene);
		CHECK(scene_count(&scene, "close(") == 1 && scene_told(&scene, "finished close(1006 gone, by local, unclean)"));
		scene_free(&scene);
	}
}

static void use_all(struct scene *s, const char *name)
{
	if (strcmp(name, "close") != 0 && strcmp(name, "finished") != 0)
		return;
	CHECK(ws_connection_send(s->c, WS_TEXT, "x", 1) == WS_ERROR_CLOSED);
	CHECK(ws_connection_ping(s->c, "x", 1) == WS_ERROR_CLOSED);
	CHECK(ws_connection_close(s->c, 1000, NULL, 0) == WS_ERROR_CLOSED);
	ws_connection_fail(s->c, 1011, "why");
	ws_connection_terminate(s->c, NULL);
	ws_connection_pause(s->c);
	ws_connection_resume(s->c);
	ws_connection_want(s->c, WS_SESSION_HOLD);
	ws_connection_want(s->c, WS_SESSION_DELIVER);
	ws_connection_refuse(s->c, 403, "", (struct ws_slice){ "", 0 });
	ws_connection_continue(s->c);
	CHECK(ws_connection_buffered(s->c) == 0 && ws_connection_state(s->c) == WS_CLOSED);
}

static void test_use_after_end(void)
{
	scene_open(&scene);
	scene.hook = use_all;
	scene_send(&scene, FIN | WS_CLOSE, "\x03\xe8");
	scene_turns(&scene);
	scene_leave(&scene);
	scene_turns(&scene);
	expect("closing(1000) finished close(1000 , by peer, clean)");
	use_all(&scene, "close"); /* we still hold it */
	scene_turns(&scene);
	expect("closing(1000) finished close(1000 , by peer, clean)");
	scene_free(&scene);
}

/* ---- dropping */

static void test_drop(void)
{
	for (int stage = 0; stage < 6; stage++) {
		CHECK(scene_start(&scene));
		scene.late = stage == 1;
		scene.busy_at = stage == 4 ? "message" : NULL;
		if (stage > 0)
			scene_ask(&scene);
		if (stage > 2)
			scene_send(&scene, FIN | WS_TEXT, "m");
		if (stage > 3)
			scene_bytes(&scene, "\x81\x8a" "abc", 5); /* in mid-frame */
		scene_turns(&scene);
		if (stage == 5)
			CHECK(ws_connection_close(scene.c, 1000, NULL, 0) == 0);
		char before[SCENE_LOG];
		strcpy(before, scene.log);
		ws_connection_drop(scene.c);
		scene.c = NULL;
		scene_turns(&scene);
		unit_row("stage %d: %s", stage, scene.log);
		CHECK(strcmp(scene.log, before) == 0 && ws_loop_held(scene.loop) == 0);
		scene_free(&scene);
	}
}

static void let_go(struct scene *s, const char *name)
{
	if (strcmp(name, at) != 0)
		return;
	ws_connection_release(s->c);
	s->c = NULL;
}

/* Whoever holds it may let it go in any callback; it stays until it is over. */
static void test_release(void)
{
	static const char *const names[] = { "opened", "message", "ping", "closing", "finished", "close" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		at = names[i];
		CHECK(scene_start(&scene));
		scene.hook = let_go;
		scene_ask(&scene);
		scene_send(&scene, FIN | WS_TEXT, "m");
		scene_send(&scene, FIN | WS_PING, "p");
		scene_send(&scene, FIN | WS_CLOSE, "\x03\xe8");
		scene_turns(&scene);
		scene_leave(&scene);
		scene_turns(&scene);
		unit_row("in %s: %s", at, scene.log);
		CHECK(strcmp(scene.log, "request opened message(m) ping(p) closing(1000) finished "
			"close(1000 , by peer, clean)") == 0);
		scene_free(&scene);
	}
}

UNIT_MAIN(
	{ "what comes is told in order, and the end as the last", test_order },
	{ "the same is told, however the bytes come in", test_any_cut },
	{ "what has come with a message may be taken with it", test_next_message },
	{ "what comes before the handshake is answered waits", test_late_accept },
	{ "who was refused has no on_close", test_refused },
	{ "who never opened has no on_close", test_not_opened },
	{ "a message waits until it is wanted, and what is behind it, too", test_held },
	{ "messages can be taken one at a time", test_held_one_by_one },
	{ "nothing is told while a callback waits", test_busy },
	{ "callbacks of control frames may wait, too", test_busy_in_control },
	{ "on_flushed comes at once, on_drain after who is busy", test_drain },
	{ "pause, and close while paused", test_pause },
	{ "after our close messages come until the peer's Close", test_close_in_message },
	{ "the peer's Close is answered once, with what on_closing says", test_on_closing },
	{ "terminate in every callback, even in one that then waits", test_terminate },
	{ "the end waits for a callback, but no longer than close_timeout", test_end_while_busy },
	{ "everything may be called in on_close, in vain", test_use_after_end },
	{ "dropped in every state, without a word", test_drop },
	{ "let go in every callback", test_release }
)
