/* The head of an HTTP response of ours: any but the 101. */
#ifndef WS_PROTOCOL_REPLY_H
#define WS_PROTOCOL_REPLY_H

#include <stdint.h>

#include "protocol/head.h"

#pragma GCC visibility push(hidden)

struct ws_reply {
	unsigned status;     /* 200 to 599 */
	const char *headers; /* further lines, each with its CRLF, or "" */
	uint64_t length;     /* bytes of the body */
	int64_t time;        /* for Date: seconds since 1970 */
};

/*
 * Status line, Date and Content-Type (unless headers has them), Content-Length, Connection: close, the further lines.
 * 405 gets Allow: GET unless headers has one; 426 gets Upgrade: websocket, its Connection: Upgrade and
 * Sec-WebSocket-Version: 13. Writes at most size bytes, returns how many it has (as snprintf without the NUL: more than
 * size means that it did not fit), or WS_ERROR_PROTOCOL where headers is not whole header lines or has Connection,
 * Upgrade, Content-Length or Transfer-Encoding, and for a status outside 200-599.
 */
long ws_reply_head(char *out, size_t size, const struct ws_reply *reply);

/* Whether a response with the status may have a body (RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5). */
bool ws_reply_has_body(unsigned status);

/* The status' standard phrase (RFC 9110 section 15), "Unknown" for what it does not know. Static. */
const char *ws_reply_phrase(unsigned status);

enum { WS_REPLY_DATE = 30 };

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7), whatever the locale; from 1970 to 9999. */
void ws_reply_date(char text[WS_REPLY_DATE], int64_t time);

#pragma GCC visibility pop

#endif
