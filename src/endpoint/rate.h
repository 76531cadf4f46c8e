/* How much a peer may send in a time: a token bucket of messages and one of bytes. Pure. */
#ifndef WS_ENDPOINT_RATE_H
#define WS_ENDPOINT_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* All zero: any number. */
struct ws_rate_options {
	double messages, bytes; /* a second; 0: any number */
	double burst;           /* seconds' worth of them that may come at once; of messages at least one may */
	bool close;             /* who sends more is closed; else is read no faster */
};

/* Whether there is any limit. */
bool ws_rate_limits(const struct ws_rate_options *options);

/* All zero: nothing has come yet. */
struct ws_rate {
	double messages, bytes; /* what may still come; negative: too much has */
	uint64_t at;            /* ms: when that was so */
	uint64_t until;         /* ms: when enough has been paid of what was too much */
};

/* So much has come. True: it was too much, and no more should before r->until. */
bool ws_rate_take(struct ws_rate *r, const struct ws_rate_options *options, unsigned messages, size_t bytes,
                      uint64_t now);

#pragma GCC visibility pop

#endif
