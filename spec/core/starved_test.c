/*
 * A connection for which the nth allocation fails, and those after it for a while: in the core, in libevent, wslay and
 * OpenSSL. It may end of it, but never crashes or leaks, and tells its end once.
 */
#include "memory.h"

#include <event2/event.h>
#include <openssl/err.h>

#include "connection_scene.h"
#include "endpoint/fragments.h"

enum { FIN = 0x80, LARGE = 60000 };

static struct scene scene;
static const struct ws_compression_options *compression; /* NULL: none */

/* Some bytes at a time, so that little comes in one piece. */
static void send_in_pieces(unsigned first, const char *payload, size_t len, size_t step)
{
	static uint8_t bytes[LARGE + 14];
	const size_t size = scene_frame(bytes, first, payload, len);

	for (size_t at = 0; at < size; at += step) {
		scene_bytes(&scene, bytes + at, size - at < step ? size - at : step);
		(void)ws_loop_turn(scene.loop, 0);
	}
}

static void exchange(void)
{
	scene_turns(&scene);
	scene_receive(&scene);
}

static void send_prepared(const char *text, int (*send_it)(struct ws_connection *, struct ws_prepared *))
{
	struct ws_prepared message;

	ws_prepared_init(&message, WS_TEXT, text, strlen(text));
	for (int i = 0; i < 2; i++)
		(void)send_it(scene.c, &message);
	ws_prepared_clear(&message);
}

/* A bit of everything that takes memory. */
static void play(void)
{
	static char large[4 * LARGE];

	memset(large, 'x', sizeof large);
	if (!scene_start(&scene))
		return;
	if (compression)
		scene.endpoint.options.compression = *compression;
	scene.endpoint.options.close_timeout = 100;
	scene.endpoint.options.heartbeat = (struct ws_heartbeat_options){ 60000, 60000 };
	scene.endpoint.options.idle_timeout = 60000;
	scene.endpoint.options.rate = (struct ws_rate_options){ .messages = 1000, .burst = 1 };
	scene_bytes(&scene, scene_head, 20);
	exchange();
	scene_bytes(&scene, scene_head + 20, sizeof scene_head - 1 - 20);
	exchange();
	scene_send(&scene, FIN | WS_TEXT, "small");
	scene_send(&scene, FIN | WS_PING, "p");
	exchange();
	send_in_pieces(FIN | WS_TEXT, large, LARGE, 10000);
	send_in_pieces(WS_TEXT, "frag", 4, 3);
	send_in_pieces(FIN | WS_PONG, "between", 7, 2);
	send_in_pieces(FIN | WS_CONTINUATION, "ments", 5, 4);
	exchange();
	if (compression) {
		send_in_pieces(WS_RSV1 | WS_TEXT, "\xf2\x48\xcd", 3, 2);
		send_in_pieces(FIN | WS_CONTINUATION, "\xc9\xc9\x07", 4, 4);
		exchange();
	}
	ws_connection_want(scene.c, WS_SESSION_HOLD);
	scene_send(&scene, FIN | WS_TEXT, "held");
	send_in_pieces(FIN | WS_BINARY, large, 20000, 9000);
	exchange();
	ws_connection_want(scene.c, WS_SESSION_DELIVER);
	exchange();
	(void)ws_connection_send(scene.c, WS_TEXT, "answer", 6);
	send_prepared("to many", ws_connection_send_prepared);
	if (ws_fragments_begin(scene.c, WS_TEXT) == 0) {
		(void)ws_fragments_write(scene.c, "frag", 4);
		send_prepared("behind it", ws_connection_deliver);
		(void)ws_fragments_write(scene.c, "ments", 5);
		(void)ws_fragments_end(scene.c);
	}
	(void)ws_connection_ping(scene.c, NULL, 0);
	(void)ws_connection_send(scene.c, WS_BINARY, large, sizeof large);
	(void)ws_connection_send(scene.c, WS_BINARY, large, sizeof large); /* more than the kernel takes */
	for (int i = 0; i < 8; i++)
		exchange();
}

static void close_by_peer(void)
{
	scene_send(&scene, FIN | WS_CLOSE, "\x03\xe8" "good bye");
	exchange();
}

static void close_by_us(void)
{
	(void)ws_connection_close(scene.c, 1001, "going", 5);
	exchange();
	scene_send(&scene, FIN | WS_CLOSE, "\x03\xe9");
	exchange();
}

static void fail(void)
{
	scene_send(&scene, FIN | WS_TEXT, "\xff");
	exchange();
}

static void refuse(void)
{
	ws_connection_refuse(scene.c, 403, "", (struct ws_slice){ "no", 2 });
	exchange();
}

/* Memory is back. Whatever state it is in, it ends when the peer is gone. */
static void end(void)
{
	memory_reset(0, 0);
	scene_leave(&scene);
	if (scene.c != NULL) {
		CHECK(scene_await(&scene, "finished"));
		scene_turns(&scene);
	}
	CHECK(scene_count(&scene, "finished") == (scene.c != NULL));
	CHECK(scene_count(&scene, "close(") == scene_count(&scene, "opened"));
	scene_free(&scene);
	ERR_clear_error();
}

/* Whoever goes on after all has lost nothing, and nobody is blamed for what we lack. */
static void check_told(void)
{
	static const char all[] = "message(small) ping(p) message(60000) pong(between) message(fragments) message(held) "
		"message(20000)";
	static const char all_compressed[] = "message(small) ping(p) message(60000) pong(between) message(fragments) "
		"message(Hello) message(held) message(20000)";

	CHECK(!scene_told(&scene, "closing(1000 good bye)") || scene_told(&scene, compression ? all_compressed : all));
	CHECK(!scene_told(&scene, "close(1002") && memcmp(scene.wire, "HTTP/1.1 400", 12) != 0);
}

/* Returns how many allocations it took. */
static size_t play_starved(void (*way)(void), size_t fail_at, size_t count)
{
	memory_reset(fail_at, count);
	play();
	if (scene.c != NULL)
		way();
	const size_t calls = memory.calls;
	end();
	return calls;
}

static void say_nothing(int severity, const char *message)
{
	(void)severity;
	(void)message;
}

/* Lets them fail one after the other, and the count - 1 behind each. */
static void starve(void (*way)(void), size_t count)
{
	event_set_log_callback(say_nothing);
	(void)play_starved(way, 0, 0); /* what libraries allocate once and keep */
	const size_t calls = play_starved(way, 0, 0);
	const unsigned open = unit_descriptors();
	unit_row("%zu allocations", calls);
	CHECK(calls > 15);
	CHECK(scene_told(&scene, "close(") || way == refuse);
	for (size_t n = 1; n <= calls; n++) {
		(void)play_starved(way, n, count); /* and for their errors */
		const size_t live = memory.live;
		(void)play_starved(way, n, count);
		unit_row("allocation %zu of %zu: %s", n, calls, scene.log);
		check_told();
		CHECK(memory.live == live);
		CHECK(unit_descriptors() == open);
	}
}

static void test_peer_close(void)
{
	starve(close_by_peer, 1);
}

static void test_own_close(void)
{
	starve(close_by_us, 1);
}

static void test_failure(void)
{
	starve(fail, 1);
}

static void test_refusal(void)
{
	starve(refuse, 1);
}

/* With takeover both ways, and without. What cannot be compressed goes as it is. */
static void test_compressed(void)
{
	static const struct ws_compression_options kinds[] = {
		{ { true, false, false, 0, 0 }, 1, 1 }, { { true, true, true, 0, 0 }, 1, 1 }
	};

	for (size_t i = 0; i < 2; i++) {
		compression = &kinds[i];
		starve(close_by_peer, 1);
		CHECK(scene_told(&scene, "message(Hello)"));
		starve(close_by_us, 5);
	}
	compression = NULL;
}

enum { LETTER_SIZE = 3000 };

/*
 * Each message ends with its letter. The second and the third are alike but for that, and not like the first. Two do
 * not fit into one chunk of output, however well they are compressed.
 */
static void make_letter(char message[LETTER_SIZE], char letter)
{
	for (size_t i = 0; i < LETTER_SIZE - 1; i++)
		message[i] = (char)(' ' + i * i * i % (letter == 'a' ? 8941 : 9001) % 95);
	message[LETTER_SIZE - 1] = letter;
}

static int send_letter(char letter)
{
	char message[LETTER_SIZE];

	make_letter(message, letter);
	return ws_connection_send(scene.c, WS_BINARY, message, sizeof message);
}

/* The letters of the compressed messages that the peer got, '?' for one that is not what was sent. */
static void inflate_letters(char *letters, size_t size)
{
	uint8_t message[LETTER_SIZE + 1];
	char expected[LETTER_SIZE];
	const struct ws_deflate_parameters agreed = { .agreed = true };
	struct ws_deflate_pool pool = { .output_size = 0 };
	struct ws_deflate *d = ws_deflate_new(&pool, WS_CLIENT, &agreed, 1);
	size_t count = 0;
	long n = 0;

	for (size_t at = 0; at + 4 <= scene.wire_len && count + 1 < size && n >= 0;) {
		const uint8_t *head = scene.wire + at, *data = head + (head[1] < 126 ? 2 : 4);
		size_t len = head[1] < 126 ? head[1] : head[2] * 256u + head[3];
		at = (size_t)(data - scene.wire) + len;
		if (!(head[0] & WS_RSV1))
			continue;
		n = ws_deflate_inflate(d, &data, &len, true, message, sizeof message);
		if (n == LETTER_SIZE)
			make_letter(expected, (char)message[LETTER_SIZE - 1]);
		letters[count++] = n == LETTER_SIZE && !memcmp(message, expected, LETTER_SIZE) ? expected[LETTER_SIZE - 1] : '?';
	}
	letters[count] = '\0';
	ws_deflate_free(d);
	ws_deflate_pool_clear(&pool);
}

/* What was compressed, but found no memory to wait in, must not be referred to by what comes behind it. */
static void test_unsent(void)
{
	static const struct ws_compression_options both = { { true, false, false, 0, 0 }, 1, 1 };
	unsigned unsent = 0;

	for (size_t n = 1; n < 12; n++) {
		char letters[20], expected[20] = "a";
		memory_reset(0, 0);
		CHECK(scene_start(&scene));
		scene.endpoint.options.compression = both;
		scene_ask(&scene);
		exchange();
		scene.wire_len = scene.received = 0;
		CHECK(send_letter('a') == 0);
		ws_session_pool_clear(&scene.pool); /* what it holds is made anew */
		memory_reset(n, 2); /* what finds no room in the cork asks for room once more */
		const int e = send_letter('b');
		memory_reset(0, 0);
		unsent += e != 0;
		strcat(expected, e ? "" : "b");
		CHECK(send_letter('c') == 0);
		strcat(expected, "c");
		exchange();
		inflate_letters(letters, sizeof letters);
		unit_row("allocation %zu: %s, not %s", n, letters, expected);
		CHECK(strcmp(letters, expected) == 0 || (e == 0 && strcmp(letters, "ac") == 0)); /* b may have gone as it is */
		end();
	}
	CHECK(unsent > 0);
}

static void test_for_a_while(void)
{
	starve(close_by_peer, 5);
	starve(close_by_us, 20);
}

static void test_for_good(void)
{
	starve(close_by_peer, SIZE_MAX / 2);
}

UNIT_MAIN(
	{ "each allocation fails once, and the peer closes", test_peer_close },
	{ "each allocation fails once, and we close", test_own_close },
	{ "each allocation fails once, and the peer breaks the protocol", test_failure },
	{ "each allocation fails once, and it is refused late", test_refusal },
	{ "each allocation of a compressed connection fails", test_compressed },
	{ "what found no memory to wait in is not referred to", test_unsent },
	{ "some in a row fail", test_for_a_while },
	{ "none succeeds any more", test_for_good }
)
