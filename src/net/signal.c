/* Signals through libevent, which writes them down in the handler and calls back from the loop. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* syscall */
#endif
#include "net/signal.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#if defined __linux__
#include <sys/syscall.h>
#elif defined __APPLE__
#include <pthread.h>
#endif

struct ws_signal {
	struct event event;
	void (*on_signal)(void *arg);
	void *arg;
};

/* Signals are the process's, and libevent's bookkeeping of them knows one base and no locks. */
static bool thread_is_main(void)
{
#if defined __linux__
	return syscall(SYS_gettid) == getpid();
#elif defined __APPLE__
	return pthread_main_np() != 0;
#else
	return true;
#endif
}

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
	if (!thread_is_main()) {
		errno = EPERM;
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
