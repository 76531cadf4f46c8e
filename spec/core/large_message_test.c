/* Messages that are received where they stay: from 16 KiB on, in the middle of a frame (endpoint/pump.c). */
#include "connection_scene.h"

enum {
	FIN = 0x80,
	LARGE = 1 << 20,
	HEADS = 100,
	MARK = 0xA5 /* in the loop's buffer: what was received elsewhere leaves it */
};

static struct scene scene;
static uint8_t payload[LARGE], wire[2 * LARGE + HEADS];
static size_t wire_len;

/* Says whether the message is the payload's first bytes. */
static enum ws_done check_message(struct ws_connection *c, const struct ws_message *m)
{
	const bool right = m->len <= LARGE && memcmp(m->data, payload, m->len) == 0;

	(void)c;
	scene_note(&scene, "message", "(%zu%s)", m->len, right ? "" : " wrong");
	return scene_done(&scene, "message");
}

static void open_scene(void)
{
	static struct ws_connection_handler handler;

	handler = scene_handler;
	handler.on_message = check_message;
	scene_open(&scene);
	scene.endpoint.handler = &handler;
	for (size_t i = 0; i < LARGE; i++)
		payload[i] = (uint8_t)('a' + (i * 7 + (i >> 8) + (i >> 16)) % 26);
	wire_len = 0;
}

/* A frame of payload's bytes goes to the wire's end. */
static void frame(unsigned first, size_t from, size_t len)
{
	wire_len += scene_frame(wire + wire_len, first, payload + from, len);
}

/* Turns as often as the socket's buffer is full. */
static void send_wire(size_t from, size_t to)
{
	for (int stalled = 0; from < to && stalled < 100; stalled++) {
		const ssize_t sent = send(scene.peer, wire + from, to - from, MSG_NOSIGNAL);
		if (sent > 0)
			stalled = 0;
		from += sent > 0 ? (size_t)sent : 0;
		scene_turns(&scene);
	}
	CHECK(from == to);
}

static void mark(void)
{
	memset(ws_loop_receive_buffer(scene.loop), MARK, WS_LOOP_RECEIVE_SIZE);
}

/* The loop's buffer was not received into since it was marked. */
static bool untouched(void)
{
	const uint8_t *buffer = ws_loop_receive_buffer(scene.loop);

	for (size_t i = 0; i < 64; i++)
		if (buffer[i] != MARK)
			return false;
	return true;
}

static void end(const char *log)
{
	scene_leave(&scene);
	scene_turns(&scene);
	unit_row("%s", scene.log);
	CHECK(strncmp(scene.log, log, strlen(log)) == 0);
	CHECK(scene_count(&scene, "close(") == 1);
	scene_free(&scene);
}

/* ---- a kernel that has more than any buffer holds */

static struct {
	bool plays;       /* in the place of the scene's socket */
	size_t at, lacks; /* in the wire, which comes again and again; by how much each recv is not full */
	int calls;
	size_t sizes[4];  /* asked for by the first of them */
} kernel;

ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
	if (!kernel.plays || fd == scene.peer)
		return recvfrom(fd, buffer, size, flags, NULL, NULL);
	if (kernel.calls < 4)
		kernel.sizes[kernel.calls] = size;
	kernel.calls++;
	size -= kernel.lacks;
	for (size_t i = 0; i < size; i++)
		((uint8_t *)buffer)[i] = wire[kernel.at++ % wire_len];
	return (ssize_t)size;
}

static void play_kernel(size_t lacks)
{
	memset(&kernel, 0, sizeof kernel);
	kernel.lacks = lacks;
	kernel.plays = true;
	scene_bytes(&scene, "", 1); /* so that it is readable */
	(void)ws_loop_turn(scene.loop, 0);
	kernel.plays = false;
}

/* The rest of a message follows at once, so that it is whole before another connection's turn; no more than that. */
static void test_two_reads(void)
{
	open_scene();
	frame(FIN | WS_BINARY, 0, LARGE);
	play_kernel(0);
	CHECK(kernel.calls == 2);
	CHECK(kernel.sizes[0] == WS_LOOP_RECEIVE_SIZE && kernel.sizes[1] == wire_len - WS_LOOP_RECEIVE_SIZE);
	end("message(1048576) ");
}

static void test_one_read(void)
{
	static const struct {
		size_t len, lacks;
	} rows[] = {
		{ 12000, 0 }, /* messages fill the buffer, and it ends inside the last one */
		{ LARGE, 1 }, /* there was no more */
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		open_scene();
		frame(FIN | WS_BINARY, 0, rows[i].len);
		play_kernel(rows[i].lacks);
		unit_row("%zu bytes", rows[i].len);
		CHECK(kernel.calls == 1);
		end(rows[i].len < LARGE ? "message(12000) message(12000) " : "finished ");
	}
}

static void pause_reading(struct scene *s, const char *name)
{
	if (strcmp(name, "message") == 0)
		ws_connection_pause(s->c);
}

/* Paused by the first of the messages that came with the beginning of a large one. */
static void test_no_second_read(void)
{
	open_scene();
	scene.hook = pause_reading;
	frame(FIN | WS_BINARY, 0, 5);
	frame(FIN | WS_BINARY, 0, LARGE);
	play_kernel(0);
	CHECK(kernel.calls == 1);
	ws_connection_resume(scene.c);
	scene_turns(&scene);
	end("message(5) finished close(1006 ");
}

/* ---- where it is received */

static void test_in_place(void)
{
	open_scene();
	frame(FIN | WS_BINARY, 0, 100000);
	send_wire(0, 40000);
	scene.c->heartbeat.ping_at = 1;
	mark();
	send_wire(40000, 80000);
	CHECK(untouched());
	CHECK(scene.c->heartbeat.ping_at == 0); /* it is life */
	send_wire(80000, wire_len); /* there is little room left, and little to come: copied */
	CHECK(!untouched());
	end("message(100000)");
}

/* There is no more room than as much again as has come; then the rest of the frame, however large it is said to be. */
static void test_announced(void)
{
	open_scene();
	scene.endpoint.options.session.max_message = SIZE_MAX;
	scene.c->session.limit = SIZE_MAX;
	frame(FIN | WS_BINARY, 0, LARGE);
	memcpy(wire + 2, (uint8_t[]){ 0x40, 0, 0, 0 }, 4);
	send_wire(0, 20000);
	uint8_t *room;
	size_t size = ws_session_room(&scene.c->session, &room);
	CHECK(size > 16384 && size <= 20000 + 4096);
	mark();
	send_wire(20000, 20000 + size);
	CHECK(untouched());
	CHECK(ws_session_room(&scene.c->session, &room) == 0);
	end("finished close(1006 ");
}

static void test_cuts(void)
{
	static const size_t sizes[] = { 16383, 16384, 16385, 40000, 65535, 65536, LARGE };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		const size_t size = sizes[i];
		const size_t cuts[] = { 1, 2, 6, 10, 13, 14, 15, size / 3, size / 2, size - 16384, size - 1, size, size + 13 };
		for (size_t j = 0; j < sizeof cuts / sizeof *cuts; j++) {
			char log[100];
			if (cuts[j] > size + 13)
				continue;
			open_scene();
			frame(FIN | WS_BINARY, 0, size);
			frame(FIN | WS_TEXT, 0, 5);
			frame(FIN | WS_BINARY, 0, size);
			send_wire(0, cuts[j]);
			send_wire(cuts[j], wire_len);
			snprintf(log, sizeof log, "message(%zu) message(5) message(%zu) ", size, size);
			end(log);
		}
	}
}

/* What follows the frame is not received with it, but is not lost either. */
static void test_next_in_the_same_read(void)
{
	open_scene();
	frame(FIN | WS_BINARY, 0, 60000);
	const size_t first = wire_len;
	frame(FIN | WS_PING, 0, 3);
	frame(FIN | WS_BINARY, 0, 70000);
	send_wire(0, 30000);
	CHECK(send(scene.peer, wire + 30000, first + 20000 - 30000, 0) == (ssize_t)(first + 20000 - 30000));
	scene_turns(&scene);
	send_wire(first + 20000, wire_len);
	end("message(60000) ping(aho) message(70000) finished");
}

static void test_fragments(void)
{
	open_scene();
	frame(WS_TEXT, 0, 50000);
	send_wire(0, 20000);
	send_wire(20000, wire_len);
	frame(FIN | WS_PING, 0, 3);
	send_wire(50008, wire_len);
	const size_t from = wire_len;
	frame(WS_CONTINUATION, 50000, 200000);
	frame(FIN | WS_PONG, 0, 3);
	frame(FIN | WS_CONTINUATION, 250000, 50000);
	send_wire(from, from + 50000);
	send_wire(from + 50000, wire_len - 40000);
	send_wire(wire_len - 40000, wire_len);
	end("ping(aho) pong(aho) message(300000) finished close(1006 ");
}

/* ---- what goes wrong in the middle */

static void test_limit(void)
{
	open_scene();
	frame(WS_BINARY, 0, 700000);
	const size_t first = wire_len;
	frame(FIN | WS_CONTINUATION, 0, 400000);
	send_wire(0, 300000);
	send_wire(300000, first + 14); /* what is announced is enough */
	end("finished close(1009 message of 1100000 bytes is over the limit of 1048576, by local, unclean)");
}

static void test_text(void)
{
	static const uint8_t character[] = { 0xe6, 0x97, 0xa5 };

	for (int bad = 0; bad < 2; bad++)
		for (size_t cut = 50000; cut <= 50003; cut++) { /* before, inside and behind the character */
			open_scene();
			memcpy(payload + 50000, character, 3);
			if (bad)
				payload[50002] = 'x';
			frame(FIN | WS_TEXT, 0, 100000);
			send_wire(0, 14 + 20000);
			send_wire(14 + 20000, 14 + cut);
			send_wire(14 + cut, 14 + 80000);
			CHECK(scene.c->session.closing.messages_stopped == bad);
			if (!bad)
				send_wire(14 + 80000, wire_len);
			end(bad ? "finished close(1007 a text message is not valid UTF-8, by local, unclean)"
			        : "message(100000) finished close(1006 ");
		}
}

static void test_end_of_input(void)
{
	open_scene();
	frame(FIN | WS_BINARY, 0, 100000);
	send_wire(0, 40000);
	CHECK(send(scene.peer, wire + 40000, 10000, 0) == 10000);
	end("finished close(1006 connection closed by the peer without a Close frame, by network, unclean)");
}

/* A socket pair's end that leaves with input unread is a reset. */
static void test_reset(void)
{
	open_scene();
	frame(FIN | WS_BINARY, 0, 100000);
	send_wire(0, 40000);
	CHECK(ws_connection_ping(scene.c, "p", 1) == 0);
	scene_turns(&scene);
	end("finished close(1006 connection reset by peer, by network, unclean)");
}

/* ---- waiting in the middle */

static void test_pause(void)
{
	open_scene();
	frame(FIN | WS_BINARY, 0, 100000);
	send_wire(0, 40000);
	ws_connection_pause(scene.c);
	scene_turns(&scene);
	mark();
	send_wire(40000, wire_len);
	CHECK(untouched() && !scene_told(&scene, "message"));
	ws_connection_resume(scene.c);
	scene_turns(&scene);
	end("message(100000) finished");
}

/* What is received while the message may not be told of waits, and is told of in one piece with the rest. */
static void test_hold(void)
{
	open_scene();
	frame(FIN | WS_BINARY, 0, 100000);
	frame(FIN | WS_PING, 0, 3);
	send_wire(0, 40000);
	ws_connection_want(scene.c, WS_SESSION_HOLD);
	send_wire(40000, wire_len);
	CHECK(strcmp(scene.log, "") == 0);
	ws_connection_want(scene.c, WS_SESSION_DELIVER);
	scene_turns(&scene);
	end("message(100000) ping(aho) finished");
}

static void test_discard(void)
{
	open_scene();
	frame(FIN | WS_BINARY, 0, 100000);
	frame(FIN | WS_PING, 0, 3);
	send_wire(0, 40000);
	ws_connection_want(scene.c, WS_SESSION_DISCARD);
	send_wire(40000, wire_len);
	end("ping(aho) finished");
}

/* A message that ends with what was received in place, while those behind it have to wait. */
static void test_busy(void)
{
	open_scene();
	scene.busy_at = "message";
	frame(FIN | WS_BINARY, 0, 60000);
	frame(FIN | WS_BINARY, 0, 70000);
	send_wire(0, 30000);
	send_wire(30000, wire_len);
	CHECK(strcmp(scene.log, "message(60000)") == 0);
	scene.busy_at = NULL;
	ws_connection_continue(scene.c);
	scene_turns(&scene);
	end("message(60000) message(70000) finished");
}

UNIT_MAIN(
	{ "a large message is read to its end while it is in the cache", test_two_reads },
	{ "but the others' turn comes after one read", test_one_read },
	{ "and nothing is read that may not be taken", test_no_second_read },
	{ "the rest of a frame is received in its place, and is life", test_in_place },
	{ "there is room for as much again as has come, whatever was announced", test_announced },
	{ "large messages are told of whole, however they are cut", test_cuts },
	{ "what follows the frame in the same read", test_next_in_the_same_read },
	{ "fragments are joined, with control frames between them", test_fragments },
	{ "the limit holds in the middle of a message", test_limit },
	{ "text is checked as it comes, across pieces", test_text },
	{ "the peer leaves in the middle", test_end_of_input },
	{ "a reset in the middle", test_reset },
	{ "paused in the middle, nothing is read", test_pause },
	{ "a message that must wait in the middle loses nothing", test_hold },
	{ "a message that nobody wants any more is passed over", test_discard },
	{ "a message in place, and one behind it that must wait", test_busy }
)
