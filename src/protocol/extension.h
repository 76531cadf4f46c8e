/* Sec-WebSocket-Extensions (RFC 6455 section 9.1): permessage-deflate offered and agreed on (RFC 7692 section 7). */
#ifndef WS_PROTOCOL_EXTENSION_H
#define WS_PROTOCOL_EXTENSION_H

#include <stdint.h>

#include "protocol/head.h"

#pragma GCC visibility push(hidden)

enum {
	WS_WINDOW_BITS_MIN = 8,
	WS_WINDOW_BITS_MAX = 15,
	WS_EXTENSION_SIZE = 160 /* the longest text there is, and a NUL */
};

/* Section 7.1. All zero: permessage-deflate is not in use. */
struct ws_deflate_parameters {
	bool agreed;
	bool server_no_context_takeover, client_no_context_takeover;
	uint8_t server_max_window_bits, client_max_window_bits; /* 8 to 15; 0: not said, which means 15 */
};

/* Whether each line of the header is a list of extensions. */
bool ws_extension_list_valid(const struct ws_head *head);

/*
 * A server: the answer to the first offer of permessage-deflate that goes with what we want (both windows said); all
 * zero where there is none.
 */
struct ws_deflate_parameters ws_extension_choose(const struct ws_head *head, const struct ws_deflate_parameters *ours);

/* A client: what is to be offered where it wants that (both windows said). */
struct ws_deflate_parameters ws_extension_offer(const struct ws_deflate_parameters *ours);

/*
 * A client: checks what the server has chosen against what we want, all zero: nothing was offered. Agreed is what holds
 * for both from now on: our own restraint is in it though the server does not ask for it. NULL, or what is wrong.
 */
const char *ws_extension_wrong(const struct ws_head *head, const struct ws_deflate_parameters *ours,
                               struct ws_deflate_parameters *agreed);

/* Writes parameters as the header has them, with a NUL; "": permessage-deflate is not in use. Returns the length. */
size_t ws_extension_text(char out[WS_EXTENSION_SIZE], const struct ws_deflate_parameters *parameters);

#pragma GCC visibility pop

#endif
