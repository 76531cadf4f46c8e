/* The PROXY protocol's header, versions 1 and 2 (HAProxy's doc/proxy-protocol.txt): for whom a proxy speaks. */
#ifndef WS_PROTOCOL_PROXY_HEADER_H
#define WS_PROTOCOL_PROXY_HEADER_H

#include "protocol/ip.h"

#pragma GCC visibility push(hidden)

/* The largest of version 2 that is taken, TLVs and all: a client's certificate is no matter of ours. */
enum { WS_PROXY_HEADER_SIZE = 4096 };

struct ws_proxy_header {
	bool speaks_for_another;      /* false: for itself (a health check), or for whom it cannot say */
	uint8_t source[WS_IP_SIZE];   /* whom it speaks for */
	unsigned port;
};

/*
 * Reads the header at the start of data. Returns the bytes that it takes up, WS_AGAIN where it isn't complete, or
 * WS_ERROR_PROTOCOL, at the first byte that cannot be part of one. Nothing behind the header is looked at.
 */
long ws_proxy_header_parse(struct ws_proxy_header *header, const char *data, size_t len);

#pragma GCC visibility pop

#endif
