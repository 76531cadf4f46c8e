/* The kernel's random bytes, buffered; those handed out are wiped. */
#include "net/random.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "error.h"
#include "net/loop_private.h"

static int refill(struct ws_random *r)
{
	size_t have = 0;
	while (have < sizeof r->bytes) {
		ssize_t n = getrandom(r->bytes + have, sizeof r->bytes - have, 0);
		if (n < 0 && errno != EINTR)
			return WS_ERROR_SYSTEM;
		have += n > 0 ? (size_t)n : 0;
	}
	r->left = sizeof r->bytes;
	return 0;
}

int ws_random_fill(struct ws_loop *loop, void *out, size_t len)
{
	struct ws_random *r = &loop->random;
	uint8_t *to = out;
	while (len > 0) {
		if (r->left == 0 && refill(r) != 0)
			return WS_ERROR_SYSTEM;
		size_t n = len < r->left ? len : r->left;
		uint8_t *from = r->bytes + sizeof r->bytes - r->left;
		memcpy(to, from, n);
		memset(from, 0, n);
		r->left -= n;
		to += n;
		len -= n;
	}
	return 0;
}
