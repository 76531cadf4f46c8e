/* Signals through libevent, which writes them down in the handler and calls back from the loop. */
#include "net/signal.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <stdlib.h>

struct ws_signal {
	struct event event;
	void (*on_signal)(void *arg);
	void *arg;
};

static void signal_came(evutil_socket_t number, short what, void *arg)
{
	struct ws_signal *watch = arg;
	(void)number;
	(void)what;
	watch->on_signal(watch->arg);
}

/* Asked before libevent is, which asserts on what is out of range and warns on stderr about the rest. */
static bool signal_catchable(int number)
{
	struct sigaction old;
	return number > 0 && number != SIGKILL && number != SIGSTOP && sigaction(number, NULL, &old) == 0;
}

struct ws_signal *ws_signal_new(struct ws_loop *loop, int number, void (*on_signal)(void *arg), void *arg)
{
	if (!signal_catchable(number)) {
		errno = EINVAL;
		return NULL;
	}
	struct ws_signal *watch = malloc(sizeof *watch);
	if (watch == NULL)
		return NULL;
	watch->on_signal = on_signal;
	watch->arg = arg;
	evsignal_assign(&watch->event, ws_loop_base(loop), number, signal_came, watch);
	if (event_add(&watch->event, NULL) != 0) {
		free(watch);
		return NULL;
	}
	return watch;
}

void ws_signal_free(struct ws_signal *watch)
{
	if (watch == NULL)
		return;
	event_del(&watch->event);
	free(watch);
}
