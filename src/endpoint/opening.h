/* The server's side of the opening handshake: from the first byte to the 101 or the refusal. For connection.c. */
#ifndef WS_ENDPOINT_OPENING_H
#define WS_ENDPOINT_OPENING_H

#include "endpoint/connection.h"

#pragma GCC visibility push(hidden)

/* A refused peer has so long to read the answer and to leave before we do. */
enum { WS_LINGER_MS = 2000 };

/*
 * Looks at what has come. Returns the bytes of a PROXY header, or of a valid request's head (on_request has then been
 * called, and the connection may be open, refused or still deciding), WS_AGAIN where it isn't complete, or
 * WS_ERROR_PROTOCOL: refused.
 */
long ws_opening_input(struct ws_connection *c, const char *data, size_t len);

/* The deadline has passed: 408, or the end of who was refused and does not leave. */
void ws_opening_late(struct ws_connection *c);

/* Writes an answer and begins the lingering close; before the PROXY header has come, drops it. */
void ws_opening_refuse(struct ws_connection *c, unsigned status, const char *headers, struct ws_slice body);

/* The same with a file, which is taken over. */
void ws_opening_send_file(struct ws_connection *c, unsigned status, const char *headers, struct ws_file *file);

/* Writes the 101. 0 or WS_ERROR_MEMORY. */
int ws_opening_accept(struct ws_connection *c, struct ws_slice key, struct ws_slice subprotocol);

#pragma GCC visibility pop

#endif
