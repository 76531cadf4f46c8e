/* A client's frames where the system has no unpredictable bytes for their keys (RFC 6455 section 10.3). */
#include <errno.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "connection_scene.h"
#include "endpoint/connection_private.h"

static bool refusing;

/* Stands before the C library's. */
ssize_t getrandom(void *bytes, size_t len, unsigned flags)
{
	if (!refusing)
		return syscall(SYS_getrandom, bytes, len, flags);
	errno = EPERM;
	return -1;
}

static void test_no_key(void)
{
	static struct scene scene;
	int pair[2];
	CHECK(scene_start(&scene));
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	struct ws_connection *c = ws_connection_new(&scene.endpoint, WS_CLIENT, pair[0], &scene_address);
	CHECK(c != NULL);
	ws_connection_opened(c);
	refusing = true;
	errno = 0;
	CHECK(ws_connection_send(c, WS_TEXT, "x", 1) == WS_ERROR_SYSTEM && errno == EPERM);
	errno = 0;
	CHECK(ws_connection_ping(c, "", 0) == WS_ERROR_SYSTEM && errno == EPERM);
	refusing = false;
	CHECK(ws_connection_send(c, WS_TEXT, "x", 1) == 0);
	uint8_t frame[16] = { 0 };
	(void)ws_loop_turn(scene.loop, 0);
	CHECK(recv(pair[1], frame, sizeof frame, 0) == 7); /* of the three, the last alone */
	CHECK(frame[0] == 0x81 && frame[1] == 0x81 && (frame[6] ^ frame[2]) == 'x');
	ws_connection_drop(c);
	close(pair[1]);
	scene_free(&scene);
}

UNIT_MAIN(
	{ "nothing is sent, and the system's error is told", test_no_key }
)
