/* A transport in Lua's hands: it is read only while a task is in receive, so a peer that does not read is one. */
#include "binding/stream.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "binding/box.h"
#include "binding/call.h"
#include "binding/options.h"
#include "binding/tls.h"
#include "error.h"
#include "net/connector.h"
#include "net/transport.h"

static const char type_name[] = "moonsocket.stream";

/* Outlives its userdata to the end of the turn: a callback of the transport may be what let the userdata go. */
struct stream {
	struct ws_transport transport;
	struct ws_context *ctx;
	struct ws_connector *connector; /* NULL: not connecting */
	struct ws_task *waiting;        /* in stream or receive; NULL: nobody */
	struct ws_tls_context *tls;     /* held until it is connected; NULL: in the clear */
	char *server_name;
	unsigned port;
	struct ws_deferred freeing;
};

static struct stream *of_transport(struct ws_transport *t)
{
	return (struct stream *)((char *)t - offsetof(struct stream, transport));
}

/* ---- the end */

static void on_freeing(struct ws_deferred *freeing)
{
	struct stream *s = (struct stream *)((char *)freeing - offsetof(struct stream, freeing));
	ws_transport_free(&s->transport);
	free(s->server_name);
	free(s);
}

static void stop_connecting(struct stream *s)
{
	ws_connector_free(s->connector);
	s->connector = NULL;
	ws_tls_context_release(s->tls);
	s->tls = NULL;
}

/* The time of a task that waits is up. waits_for is NULL where the stream has gone first: the state is being closed. */
static void stop_waiting(struct ws_task *task)
{
	struct stream *s = task->waits_for;
	if (!s)
		return;
	s->waiting = NULL;
	stop_connecting(s);
	ws_transport_pause(&s->transport);
}

/* What a task is woken with. */
struct outcome {
	const char *bytes;
	size_t len;
	const char *why; /* NULL: there are bytes, or it is connected */
};

static void wake(struct stream *s, const struct outcome *outcome)
{
	struct ws_task *task = s->waiting;
	s->waiting = NULL;
	if (task)
		ws_task_wake(task, outcome);
}

/* ---- reading */

static const char *end_of(const struct ws_transport *t)
{
	if (t->eof)
		return "fin";
	return t->error == ECONNRESET ? "reset" : ws_transport_error(t);
}

static void on_readable(struct ws_transport *t)
{
	struct stream *s = of_transport(t);
	uint8_t *bytes;
	long n = ws_transport_read(t, &bytes);
	if (n == WS_AGAIN)
		return;
	ws_transport_pause(t);
	if (n > 0)
		wake(s, &(struct outcome){ .bytes = (const char *)bytes, .len = (size_t)n });
	else
		wake(s, &(struct outcome){ .why = end_of(t) });
}

/* The next receive finds it. */
static void on_nothing(struct ws_transport *t)
{
	(void)t;
}

static const struct ws_transport_handler handler = { on_readable, on_nothing, on_nothing, on_nothing, on_nothing };

static struct stream *check_stream(lua_State *L)
{
	struct stream **box = ws_check_self(L, type_name);
	if (!*box)
		luaL_error(L, "the peer has been collected: only a finalizer (__gc) can still see it");
	return *box;
}

static int push_nil(lua_State *L, const char *why)
{
	lua_pushnil(L);
	lua_pushstring(L, why);
	return 2;
}

static int received(lua_State *L, int status, lua_KContext ctx)
{
	const struct outcome *outcome = ((struct ws_task *)ctx)->woken_with;
	(void)status;
	if (!outcome || outcome->why)
		return push_nil(L, outcome ? outcome->why : "timeout");
	lua_pushlstring(L, outcome->bytes, outcome->len);
	return 1;
}

/* receive([timeout]) -> bytes | nil, "fin" | "reset" | "timeout" | "closed" | message */
static int stream_receive(lua_State *L)
{
	struct stream *s = check_stream(L);
	double seconds = ws_check_seconds(L, 2, -1);
	const struct ws_transport *t = &s->transport;
	if (t->fd < 0)
		return push_nil(L, "closed");
	if (t->eof || t->read_failed)
		return push_nil(L, end_of(t));
	struct ws_task *task = ws_task_here(ws_context_of(L), L, "receive");
	if (!task)
		return ws_call_block(L, stream_receive);
	if (s->waiting)
		return luaL_error(L, "receive: another task is waiting in it already");
	s->waiting = task;
	ws_transport_resume(&s->transport);
	return ws_task_wait(L, task, seconds, stop_waiting, s, received);
}

/* ---- writing and leaving */

/* send(bytes) -> true | nil, message: queued, however long the server takes to read it */
static int stream_send(lua_State *L)
{
	struct stream *s = check_stream(L);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	const struct iovec part = { (void *)bytes, len };
	int e = ws_transport_write(&s->transport, &part, 1);
	if (e) {
		const char *why = ws_transport_error(&s->transport);
		return push_nil(L, e == WS_ERROR_MEMORY ? "out of memory" : why ? why : "closed");
	}
	lua_pushboolean(L, true);
	return 1;
}

/* fin(): after what was sent the end of our side, of TLS's too; what the server sends can still be read. */
static int stream_fin(lua_State *L)
{
	struct stream *s = check_stream(L);
	if (s->transport.fd >= 0)
		ws_transport_end(&s->transport);
	return 0;
}

/* cut_off(): the same, but TLS is not told, as when a process dies. */
static int stream_cut_off(lua_State *L)
{
	struct stream *s = check_stream(L);
	ws_transport_flush(&s->transport);
	if (s->transport.fd >= 0)
		shutdown(s->transport.fd, SHUT_WR);
	return 0;
}

/* Whoever is in receive is told that it is closed. */
static void leave(struct stream *s, void (*end)(struct ws_transport *t))
{
	ws_transport_flush(&s->transport);
	end(&s->transport);
	wake(s, &(struct outcome){ .why = "closed" });
}

/* close(): what was sent goes out, as far as the system takes it, then the socket is closed. */
static int stream_close(lua_State *L)
{
	leave(check_stream(L), ws_transport_close);
	return 0;
}

/* reset(): the same with a RST. */
static int stream_reset(lua_State *L)
{
	leave(check_stream(L), ws_transport_abort);
	return 0;
}

/* Nobody can be in receive, but where the state is being closed. */
static int stream_gc(lua_State *L)
{
	struct stream **box = ws_check_self(L, type_name), *s = *box;
	if (!s)
		return 0;
	*box = NULL;
	if (s->waiting)
		s->waiting->waits_for = NULL;
	stop_connecting(s);
	ws_transport_close(&s->transport);
	ws_loop_defer(s->ctx->loop, &s->freeing);
	return 0;
}

/* ---- connecting */

static const char *start(struct stream *s, int fd)
{
	const struct ws_tls_peer whom = { .host = s->server_name, .port = s->port };
	const char *why = NULL;
	if (ws_transport_init(&s->transport, s->ctx->loop, fd, &handler) != 0)
		why = strerror(errno);
	else if (s->tls && ws_transport_secure(&s->transport, s->tls, &whom) != 0)
		why = "out of memory";
	ws_transport_pause(&s->transport);
	return why;
}

static void on_connected(void *arg, int fd, const union ws_address *peer, const char *why)
{
	struct stream *s = arg;
	(void)peer;
	const struct outcome outcome = { .why = fd < 0 ? why : start(s, fd) };
	stop_connecting(s);
	wake(s, &outcome);
}

static int connected(lua_State *L, int status, lua_KContext ctx)
{
	const struct outcome *outcome = ((struct ws_task *)ctx)->woken_with;
	(void)status;
	if (!outcome || outcome->why)
		return push_nil(L, outcome ? outcome->why : "timeout");
	return 1; /* the userdata is on top */
}

static struct stream *new_stream(lua_State *L, struct ws_context *ctx)
{
	struct stream **box = lua_newuserdatauv(L, sizeof *box, 0);
	*box = NULL;
	luaL_setmetatable(L, type_name);
	*box = calloc(1, sizeof **box);
	if (!*box)
		luaL_error(L, "out of memory");
	(*box)->ctx = ctx;
	(*box)->freeing.run = on_freeing;
	(*box)->transport.fd = -1;
	(*box)->transport.loop = ctx->loop;
	return *box;
}

int ws_module_stream(lua_State *L)
{
	struct ws_task *task = ws_task_here(ws_context_of(L), L, "stream");
	if (!task)
		return ws_call_block(L, ws_module_stream);
	const struct ws_connector_target target = {
		ws_option_string(L, "host"), (unsigned)ws_option_integer(L, "port"), ws_option_string(L, "path"),
	};
	struct stream *s = new_stream(L, task->ctx);
	s->tls = ws_tls_option(L, "context");
	if (s->tls) {
		ws_tls_context_hold(s->tls);
		s->port = target.port;
		s->server_name = strdup(ws_option_string(L, "server_name"));
	}
	if ((s->tls && !s->server_name) || ws_connector_new(&s->connector, task->ctx->loop, &target, on_connected, s) != 0)
		return push_nil(L, "out of memory");
	s->waiting = task;
	return ws_task_wait(L, task, ws_option_ms(L, "timeout") / 1000.0, stop_waiting, s, connected);
}

void ws_stream_register(lua_State *L)
{
	static const luaL_Reg metamethods[] = { { "__gc", stream_gc }, { NULL, NULL } };
	static const luaL_Reg methods[] = {
		{ "send", stream_send },
		{ "receive", stream_receive },
		{ "fin", stream_fin },
		{ "cut_off", stream_cut_off },
		{ "close", stream_close },
		{ "reset", stream_reset },
		{ NULL, NULL },
	};
	ws_type_register(L, type_name, metamethods, methods);
}
