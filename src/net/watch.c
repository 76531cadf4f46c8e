/* One libevent event on a descriptor that isn't ours. */
#include "net/watch.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/epoll.h>
#endif

struct ws_watch {
	struct event event;
	void (*on_ready)(void *arg);
	void *arg;
};

static void watch_ready(evutil_socket_t fd, short what, void *arg)
{
	struct ws_watch *watch = arg;
	(void)fd;
	(void)what;
	watch->on_ready(watch->arg); /* may free the watch */
}

#ifdef __linux__

static bool epoll_takes(int fd)
{
	struct epoll_event nothing = { .events = 0 };
	int probe = epoll_create1(EPOLL_CLOEXEC);
	bool takes = probe >= 0 && epoll_ctl(probe, EPOLL_CTL_ADD, fd, &nothing) == 0;
	int failure = errno;
	if (probe >= 0)
		close(probe);
	errno = failure;
	return takes;
}

#else

static bool epoll_takes(int fd)
{
	(void)fd;
	return true;
}

#endif

/* epoll refuses files, folders and devices such as /dev/null, and libevent would say so on stderr. */
static bool watch_possible(int fd)
{
	struct stat status;
	if (fstat(fd, &status) != 0)
		return false;
	return S_ISSOCK(status.st_mode) || S_ISFIFO(status.st_mode) || epoll_takes(fd);
}

struct ws_watch *ws_watch_new(struct ws_loop *loop, int fd, bool write, void (*on_ready)(void *arg),
                              void *arg)
{
	if (!watch_possible(fd))
		return NULL;
	struct ws_watch *watch = malloc(sizeof *watch);
	if (watch == NULL)
		return NULL;
	watch->on_ready = on_ready;
	watch->arg = arg;
	event_assign(&watch->event, ws_loop_base(loop), fd, write ? EV_WRITE : EV_READ, watch_ready, watch);
	if (event_add(&watch->event, NULL) != 0) {
		int failure = errno;
		free(watch);
		errno = failure;
		return NULL;
	}
	return watch;
}

void ws_watch_free(struct ws_watch *watch)
{
	if (watch == NULL)
		return;
	event_del(&watch->event);
	free(watch);
}
