/* A signal of the process, delivered as a callback of the loop. */
#ifndef WS_NET_SIGNAL_H
#define WS_NET_SIGNAL_H

#include "net/loop.h"

#pragma GCC visibility push(hidden)

struct ws_signal;

/*
 * Does not keep the loop running. NULL with errno: out of memory, a signal that cannot be caught, or EPERM: only the
 * process's main thread may catch signals.
 */
struct ws_signal *ws_signal_new(struct ws_loop *loop, int number, void (*on_signal)(void *arg), void *arg);

/* Restores the signal's disposition if it was the last one for that number. NULL is allowed. */
void ws_signal_free(struct ws_signal *watch);

#pragma GCC visibility pop

#endif
