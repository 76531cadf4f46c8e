/*
 * A connection of a server's, its peer at the other end of a socket pair, and somebody above who keeps a log of what
 * he is told. Time passes in turns of the loop.
 */
#ifndef CONNECTION_SCENE_H
#define CONNECTION_SCENE_H

#include <errno.h>
#include <stdarg.h>
#include <sys/socket.h>

#include "endpoint/connection.h"
#include "endpoint/opening.h"
#include "error.h"
#include "unit.h"

enum {
	SCENE_LOG = 8192,
	SCENE_WIRE = 16384,
	SCENE_PATIENCE = 5000 /* ms: what hasn't happened by then never will */
};

struct scene {
	struct ws_loop *loop;
	struct ws_session_pool pool;
	struct ws_endpoint endpoint;
	struct ws_connection *c;        /* held by us */
	int peer;                       /* -1: closed */
	bool late;                      /* on_request is not answered at once */
	char key[64];                   /* of the request */
	const char *busy_at;            /* the callback of this name begins to wait */
	void (*hook)(struct scene *s, const char *name); /* in every callback, after it was noted */
	size_t log_len, wire_len, received;
	char log[SCENE_LOG];            /* a word per callback, with what it is told */
	uint8_t wire[SCENE_WIRE];       /* the first bytes that the peer got */
};

static const union ws_address scene_address = { .any.sa_family = AF_UNIX };

/* The callbacks know their connection only. */
static inline struct scene *scene_of(const struct ws_connection *c)
{
	return (struct scene *)(void *)((char *)c->endpoint - offsetof(struct scene, endpoint));
}

static inline void __attribute__((format(printf, 3, 4)))
scene_note(struct scene *s, const char *name, const char *format, ...)
{
	va_list arguments;

	if (SCENE_LOG - s->log_len < 300)
		return;
	s->log_len += (size_t)sprintf(s->log + s->log_len, "%s%s", s->log_len ? " " : "", name);
	va_start(arguments, format);
	s->log_len += (size_t)vsprintf(s->log + s->log_len, format, arguments);
	va_end(arguments);
	if (s->hook != NULL)
		s->hook(s, name);
}

static inline enum ws_done scene_done(const struct scene *s, const char *name)
{
	return s->busy_at != NULL && strcmp(s->busy_at, name) == 0 ? WS_BUSY : WS_DONE;
}

static inline void scene_accept(struct scene *s)
{
	static const struct ws_slice nothing = { NULL, 0 };

	if (ws_connection_accept(s->c, (struct ws_slice){ s->key, strlen(s->key) }, nothing,
	                         &s->endpoint.options.compression.parameters) == WS_ERROR_MEMORY)
		ws_connection_refuse(s->c, 500, "", nothing);
}

static inline void scene_request(struct ws_connection *c, const struct ws_head *head, struct ws_slice bytes)
{
	struct scene *s = scene_of(c);
	size_t from = 0;
	const struct ws_header *key = ws_head_next(head, "Sec-WebSocket-Key", &from);

	(void)bytes;
	(void)snprintf(s->key, sizeof s->key, "%.*s", (int)key->value.len, key->value.data);
	s->c = c; /* it may be told before ws_connection_new has returned */
	scene_note(s, "request", "%s", "");
	if (!s->late)
		scene_accept(s);
}

static inline enum ws_done scene_message(struct ws_connection *c, const struct ws_message *m)
{
	if (m->len <= 20)
		scene_note(scene_of(c), "message", "(%.*s)", (int)m->len, (const char *)m->data);
	else
		scene_note(scene_of(c), "message", "(%zu)", m->len);
	return scene_done(scene_of(c), "message");
}

static inline enum ws_done scene_ping(struct ws_connection *c, const uint8_t *data, size_t len)
{
	scene_note(scene_of(c), "ping", "(%.*s)", (int)len, (const char *)data);
	return scene_done(scene_of(c), "ping");
}

static inline enum ws_done scene_pong(struct ws_connection *c, const uint8_t *data, size_t len, double rtt)
{
	scene_note(scene_of(c), "pong", "(%.*s)%s", rtt < 0 ? (int)len : 0, (const char *)data, rtt < 0 ? "" : "timed");
	return scene_done(scene_of(c), "pong");
}

static inline enum ws_done scene_closing(struct ws_connection *c, unsigned code, const uint8_t *reason, size_t len)
{
	scene_note(scene_of(c), "closing", "(%u%s%.*s)", code, len ? " " : "", (int)len, (const char *)reason);
	return scene_done(scene_of(c), "closing");
}

static inline enum ws_done scene_drain(struct ws_connection *c)
{
	scene_note(scene_of(c), "drain", "%s", "");
	return scene_done(scene_of(c), "drain");
}

static inline void scene_flushed(struct ws_connection *c)
{
	scene_note(scene_of(c), "flushed", "%s", "");
}

static inline void scene_close(struct ws_connection *c, const struct ws_closing_report *report)
{
	static const char *const by[] = { "network", "peer", "local" };
	char room[WS_WHY_SIZE];
	const struct ws_slice reason = ws_connection_reason(c, room);

	scene_note(scene_of(c), "close", "(%u %.*s, by %s, %s)", report->code, (int)reason.len, reason.data, by[report->by],
	           report->clean ? "clean" : "unclean");
}

static inline void scene_opened(struct ws_connection *c)
{
	scene_note(scene_of(c), "opened", "%s", "");
}

static inline void scene_finished(struct ws_connection *c)
{
	scene_note(scene_of(c), "finished", "%s", "");
}

static const struct ws_connection_handler scene_handler = {
	.on_request = scene_request, .on_message = scene_message, .on_ping = scene_ping, .on_pong = scene_pong,
	.on_closing = scene_closing, .on_drain = scene_drain, .on_flushed = scene_flushed, .on_close = scene_close
};

/* Nothing is held back by default, and every deadline is far away. False: no memory. */
static inline bool scene_start(struct scene *s)
{
	int pair[2];

	memset(s, 0, sizeof *s);
	s->peer = -1;
	s->loop = ws_loop_new();
	if (s->loop == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	s->peer = pair[1];
	s->endpoint = (struct ws_endpoint){
		.loop = s->loop, .handler = &scene_handler,
		.on_opening = ws_opening_input, .on_opening_late = ws_opening_late,
		.on_opened = scene_opened, .on_finished = scene_finished,
		.options = {
			.session = { &s->pool, 1 << 20 }, .max_buffered = 1 << 24, .max_head = 8192, .close_timeout = 20000
		}
	};
	s->c = ws_connection_new(&s->endpoint, WS_SERVER, pair[0], &scene_address);
	if (s->c == NULL)
		return false;
	ws_connection_hold(s->c);
	ws_connection_want(s->c, WS_SESSION_DELIVER);
	return true;
}

/* The peer takes what there is. */
static inline void scene_receive(struct scene *s)
{
	uint8_t bytes[65536];
	ssize_t got;

	while (s->peer >= 0 && (got = recv(s->peer, bytes, sizeof bytes, 0)) > 0) {
		const size_t room = sizeof s->wire - s->wire_len, kept = (size_t)got < room ? (size_t)got : room;
		memcpy(s->wire + s->wire_len, bytes, kept);
		s->wire_len += kept;
		s->received += (size_t)got;
	}
}

/* Turns in which all that can happen without waiting does. */
static inline void scene_turns(struct scene *s)
{
	for (int i = 0; i < 12; i++)
		(void)ws_loop_turn(s->loop, 0);
}

static inline bool scene_told(const struct scene *s, const char *what)
{
	return strstr(s->log, what) != NULL;
}

/* Turns until something was told; deadlines pass. */
static inline bool scene_await(struct scene *s, const char *what)
{
	const uint64_t end = ws_loop_now(s->loop) + SCENE_PATIENCE;

	while (!scene_told(s, what) && ws_loop_now(s->loop) < end)
		(void)ws_loop_turn(s->loop, 50);
	return scene_told(s, what);
}

static inline void scene_bytes(struct scene *s, const void *bytes, size_t len)
{
	(void)send(s->peer, bytes, len, MSG_NOSIGNAL);
}

/* A frame of the peer's, masked. */
static inline size_t scene_frame(uint8_t *out, unsigned first, const void *payload, size_t len)
{
	static const uint8_t key[4] = { 0x37, 0xFA, 0x21, 0x3D };
	size_t size = 0;

	out[size++] = (uint8_t)first;
	out[size++] = (uint8_t)(0x80 | (len < 126 ? len : len < 65536 ? 126 : 127));
	for (int bytes = len < 126 ? 0 : len < 65536 ? 2 : 8; bytes > 0; bytes--)
		out[size++] = (uint8_t)(len >> (8 * (bytes - 1)));
	memcpy(out + size, key, 4);
	size += 4;
	for (size_t i = 0; i < len; i++)
		out[size++] = ((const uint8_t *)payload)[i] ^ key[i % 4];
	return size;
}

static inline void scene_send(struct scene *s, unsigned first, const char *payload)
{
	uint8_t bytes[65536 + 14];

	scene_bytes(s, bytes, scene_frame(bytes, first, payload, strlen(payload)));
}

static const char scene_head[] = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static inline void scene_ask(struct scene *s)
{
	scene_bytes(s, scene_head, sizeof scene_head - 1);
}

static inline void scene_leave(struct scene *s)
{
	if (s->peer >= 0)
		close(s->peer);
	s->peer = -1;
}

/* Starts, and plays the opening handshake. */
static inline void scene_open(struct scene *s)
{
	CHECK(scene_start(s));
	scene_ask(s);
	scene_turns(s);
	scene_receive(s);
	CHECK(s->wire_len > 12 && memcmp(s->wire, "HTTP/1.1 101", 12) == 0);
	CHECK(strcmp(s->log, "request opened") == 0);
	s->log_len = s->wire_len = s->received = 0;
	s->log[0] = '\0';
}

static inline unsigned scene_count(const struct scene *s, const char *what)
{
	unsigned count = 0;

	for (const char *at = s->log; (at = strstr(at, what)) != NULL; at++)
		count++;
	return count;
}

/* Lets go of everything. */
static inline void scene_free(struct scene *s)
{
	scene_leave(s);
	if (s->c != NULL)
		ws_connection_release(s->c);
	s->c = NULL;
	if (s->loop != NULL) {
		scene_turns(s);
		ws_loop_settle(s->loop);
		CHECK(ws_loop_held(s->loop) == 0);
	}
	ws_session_pool_clear(&s->pool);
	ws_loop_free(s->loop);
	s->loop = NULL;
}

#endif
