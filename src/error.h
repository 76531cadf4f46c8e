/* The core's error numbers: what its functions return beside 0 or a count. */
#ifndef WS_ERROR_H
#define WS_ERROR_H

enum ws_error {
	WS_AGAIN = -1,          /* more input is needed */
	WS_ERROR_MEMORY = -2,
	WS_ERROR_PROTOCOL = -3, /* the peer broke RFC 6455 or RFC 9112; the caller's struct says how */
	WS_ERROR_SYSTEM = -4,   /* errno says what */
	WS_ERROR_CLOSED = -5,   /* the connection is closing or closed */
	WS_ERROR_OVERFLOW = -6, /* the send queue is over its limit */
	WS_ERROR_WRITING = -7   /* a message in fragments has not ended yet */
};

#endif
