/* A response that is kept to be shown: its head, and as much of its body as is wanted. */
#ifndef WS_PROTOCOL_RESPONSE_H
#define WS_PROTOCOL_RESPONSE_H

#include "protocol/chunked.h"
#include "protocol/head.h"

#pragma GCC visibility push(hidden)

/* All zero: there is none. Fields are for reading only. */
struct ws_response {
	char *bytes;           /* the head, then the body as far as it has come, without its chunks' frames */
	size_t len, head_len;
	size_t max;            /* len, once all that is wanted has come */
	unsigned status;
	bool in_chunks;
	struct ws_chunked chunked;
};

/* Keeps a head that has been parsed; max_body: so much of its body is wanted. 0 or WS_ERROR_MEMORY. */
int ws_response_begin(struct ws_response *r, const struct ws_head *head, struct ws_slice bytes, size_t max_body);

/* Bytes behind the head, as they come. 0 or WS_ERROR_MEMORY. */
int ws_response_take(struct ws_response *r, struct ws_slice input);

/* Nothing more is wanted. A body without a length ends with the connection. */
bool ws_response_complete(const struct ws_response *r);

void ws_response_clear(struct ws_response *r);

#pragma GCC visibility pop

#endif
