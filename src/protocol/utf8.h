/* Incremental UTF-8 validation (RFC 3629), word-wise over ASCII. */
#ifndef WS_PROTOCOL_UTF8_H
#define WS_PROTOCOL_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* Where a text stands between two pieces. All zero: at its start. */
struct ws_utf8 {
	uint8_t missing;   /* continuation bytes still to come */
	uint8_t low, high; /* bounds of the next one: exclude overlong forms, surrogates and > U+10FFFF */
};

/* Goes on over the next piece; false as soon as a byte cannot be part of any UTF-8 text. */
bool ws_utf8_feed(struct ws_utf8 *u, const uint8_t *data, size_t len);

/* Whether no character is left half-way: what a text must be at its end. */
bool ws_utf8_complete(const struct ws_utf8 *u);

/* A whole text at once. */
bool ws_utf8_valid(const uint8_t *data, size_t len);

#pragma GCC visibility pop

#endif
