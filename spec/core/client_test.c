/*
 * A client behind a proxy: what it is told, once, and that it leaves nothing behind, also where the nth allocation fails,
 * and those after it for a while.
 */
#include "memory.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include "endpoint/client.h"
#include "error.h"
#include "protocol/handshake.h"
#include "unit.h"

enum { PATIENCE = 5000 /* ms: what hasn't happened by then never will */ };

#define SLICE(text) { text, sizeof text - 1 }

/* What a proxy answers, in order, and what becomes of it. */
struct scenario {
	const char *name;
	enum ws_tunnel_kind kind;
	bool login;
	struct ws_slice answers[4]; /* data NULL: no more; then comes the server's */
	bool leaves;                /* after them, instead */
	const char *why;            /* NULL: it opens */
	unsigned status;            /* of the proxy's response */
};

static const struct scenario scenarios[] = {
	{ .name = "HTTP", .kind = WS_TUNNEL_HTTP, .answers = { SLICE("HTTP/1.1 200 OK\r\n\r\n") } },
	{ .name = "HTTP refuses", .kind = WS_TUNNEL_HTTP, .login = true,
	  .answers = { SLICE("HTTP/1.1 407 Who\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n1\r\n!\r\n0\r\n\r\n") },
	  .leaves = true, .why = "the proxy answered 407", .status = 407 },
	{ .name = "HTTP leaves", .kind = WS_TUNNEL_HTTP, .answers = { SLICE("HTTP/1.1 200 OK\r\n") }, .leaves = true,
	  .why = "before the proxy opened a tunnel" },
	{ .name = "SOCKS5", .kind = WS_TUNNEL_SOCKS5, .login = true,
	  .answers = { SLICE("\5\2"), SLICE("\1\0"), SLICE("\5\0\0\1\0\0\0\0\0\0") } },
	{ .name = "SOCKS5 refuses", .kind = WS_TUNNEL_SOCKS5, .answers = { SLICE("\5\0"), SLICE("\5\5") }, .leaves = true,
	  .why = "could not connect: connection refused" },
};

static struct {
	struct ws_loop *loop;
	struct ws_session_pool pool;
	struct ws_client *client;
	int listener, proxy;        /* -1: none */
	size_t answered;
	unsigned opened, failed, status;
	bool by_proxy;
	char why[256];
} scene;

static bool on_verified(struct ws_client *client, struct ws_slice subprotocol)
{
	(void)client;
	return subprotocol.len == 0;
}

static void on_open(struct ws_client *client)
{
	(void)client;
	scene.opened++;
}

static void on_failed(struct ws_client *client, const struct ws_client_failure *failure)
{
	scene.failed++;
	scene.status = failure->response->status;
	scene.by_proxy = failure->by_proxy;
	(void)snprintf(scene.why, sizeof scene.why, "%s", failure->why);
	ws_client_free(client);
	scene.client = NULL;
}

static void on_flushed(struct ws_connection *c)
{
	(void)c;
}

static int listen_somewhere(unsigned *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 1) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static int start(const struct scenario *s)
{
	static const struct ws_client_handler handler = { on_verified, on_open, on_failed };
	static const struct ws_connection_handler events = { .on_flushed = on_flushed };
	static const struct ws_connection_options connection = {
		.session = { &scene.pool, 1024 }, .max_buffered = 1024, .max_head = 1024
	};
	const struct ws_slice text = { "secret", s->login ? 6 : 0 };
	struct ws_client_options options = {
		.target = { .host = "127.0.0.1" },
		.tunnel = {
			.kind = s->kind, .authority = SLICE("a.example:80"), .authorization = text,
			.socks5 = { .host = SLICE("a.example"), .port = 80, .user = text, .password = text },
		},
		.resource = SLICE("/"), .host = SLICE("a.example"), .headers = "", .timeout = 10 * PATIENCE, .max_body = 1024,
	};

	memset(&scene, 0, sizeof scene);
	scene.proxy = -1;
	scene.listener = listen_somewhere(&options.target.port);
	scene.loop = ws_loop_new();
	return scene.loop ? ws_client_new(&scene.client, scene.loop, &options, &connection, &events, &handler)
	                  : WS_ERROR_MEMORY;
}

static void answer(const char *data, size_t len)
{
	(void)send(scene.proxy, data, len, MSG_NOSIGNAL);
	scene.answered++;
}

static void accept_key(void)
{
	char bytes[256], accept[WS_HANDSHAKE_ACCEPT];
	if (!scene.client || ws_handshake_accept(&scene.pool.digest, (struct ws_slice){ scene.client->key, WS_HANDSHAKE_KEY }, accept) != 0)
		return;
	const int len = snprintf(bytes, sizeof bytes, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Accept: %.*s\r\n\r\n", (int)sizeof accept, accept);
	answer(bytes, (size_t)len);
}

/* Whatever has come is a question. */
static void play_proxy(const struct scenario *s)
{
	char question[1024];
	if (scene.proxy < 0)
		scene.proxy = accept(scene.listener, NULL, NULL);
	if (scene.proxy < 0 || recv(scene.proxy, question, sizeof question, MSG_DONTWAIT) <= 0)
		return;
	const struct ws_slice next = s->answers[scene.answered];
	if (next.data)
		answer(next.data, next.len);
	else
		accept_key();
	if (s->leaves && !s->answers[scene.answered].data)
		(void)shutdown(scene.proxy, SHUT_WR);
}

static void end(void)
{
	memory_reset(0, 0);
	if (scene.client)
		ws_client_free(scene.client);
	if (scene.loop) {
		ws_loop_settle(scene.loop);
		CHECK(ws_loop_held(scene.loop) == 0);
		ws_session_pool_clear(&scene.pool);
		ws_loop_free(scene.loop);
	}
	if (scene.proxy >= 0)
		close(scene.proxy);
	close(scene.listener);
	ERR_clear_error();
}

/* Returns how many allocations it took until it was told. */
static size_t play(const struct scenario *s, size_t fail_at, size_t count)
{
	memory_reset(fail_at, count);
	bool told = start(s) != 0;
	const uint64_t deadline = told ? 0 : ws_loop_now(scene.loop) + PATIENCE;
	while (!told && ws_loop_now(scene.loop) < deadline) {
		memory.fail_at = 0; /* the proxy's own memory never runs out */
		play_proxy(s);
		memory.fail_at = fail_at;
		(void)ws_loop_turn(scene.loop, 1);
		told = scene.opened + scene.failed > 0;
	}
	CHECK(told);
	CHECK(scene.opened + scene.failed <= 1);
	const size_t calls = memory.calls;
	end();
	return calls;
}

static void test_told(void)
{
	for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
		const struct scenario *s = &scenarios[i];
		(void)play(s, 0, 0);
		unit_row("%s: %s", s->name, scene.why);
		CHECK(scene.opened == (s->why == NULL));
		CHECK(s->why == NULL || strstr(scene.why, s->why));
		CHECK(scene.status == s->status && scene.by_proxy == (s->status != 0));
		CHECK(!strstr(scene.why, "secret"));
	}
}

/* Lets allocations fail one after the other, and the count - 1 behind each. */
static void starve(const struct scenario *s, size_t count)
{
	(void)play(s, 0, 0); /* what libraries allocate once and keep */
	const size_t calls = play(s, 0, 0);
	const unsigned open = unit_descriptors();
	for (size_t n = 1; n <= calls; n++) {
		(void)play(s, n, count); /* and for their errors */
		const size_t live = memory.live;
		(void)play(s, n, count);
		unit_row("%s, allocation %zu of %zu: %s", s->name, n, calls, scene.why);
		CHECK(scene.failed == 0 || s->why || strstr(scene.why, "memory"));
		CHECK(memory.live == live);
		CHECK(unit_descriptors() == open);
	}
}

static void say_nothing(int severity, const char *message)
{
	(void)severity;
	(void)message;
}

static void test_starved(void)
{
	event_set_log_callback(say_nothing);
	for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
		starve(&scenarios[i], 1);
		starve(&scenarios[i], 3);
		starve(&scenarios[i], SIZE_MAX / 2);
	}
}

UNIT_MAIN(
	{ "a proxy's tunnel opens a connection, all else is told once", test_told },
	{ "each allocation may fail: it is told once, and nothing is left", test_starved }
)
