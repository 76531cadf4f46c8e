/* Strict HTTP/1.1 request and response heads (RFC 9112), parsed without allocation. */
#ifndef WS_PROTOCOL_HEAD_H
#define WS_PROTOCOL_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#pragma GCC visibility push(hidden)

enum { WS_HEAD_HEADERS = 64 };

/* A piece of somebody else's bytes; data is not NUL-terminated and may be NULL where len is 0. */
struct ws_slice {
	const char *data;
	size_t len;
};

struct ws_header {
	struct ws_slice name, value; /* value without white space around it */
};

/* Points into the caller's bytes and lives as long as they do. */
struct ws_head {
	struct ws_slice method, target; /* request */
	unsigned minor;                 /* HTTP/1.minor */
	unsigned status;                /* response */
	struct ws_slice reason;         /* response */
	size_t count;
	struct ws_header headers[WS_HEAD_HEADERS];
};

/* Why a head was refused: an HTTP status and one sentence for the answer's body. Static text. */
struct ws_refusal {
	unsigned status;
	const char *why;
};

/*
 * Parses a request head, which ends with an empty line, from the start of data; max is the head's largest
 * size. Returns the bytes it takes up, WS_AGAIN where it is not complete (an error is found at its first
 * byte even so), or WS_ERROR_PROTOCOL with refusal filled: 400, 431 (too large or too many headers), 501
 * (Transfer-Encoding other than chunked), 505. Refused: bare CR or LF, folding, a space before the colon,
 * NUL and control bytes, a missing or repeated Host in HTTP/1.1, Transfer-Encoding together with
 * Content-Length, repeated or non-numeric Content-Length.
 */
long ws_head_parse_request(struct ws_head *head, const char *data, size_t len, size_t max,
                           struct ws_refusal *refusal);

/* The same for a response head. refusal->status is 0; refusal->why says what is wrong. */
long ws_head_parse_response(struct ws_head *head, const char *data, size_t len, size_t max,
                            struct ws_refusal *refusal);

/*
 * One field line with its CRLF, by the same rules. Returns the bytes it takes up, WS_AGAIN, or
 * WS_ERROR_PROTOCOL with refusal filled.
 */
long ws_head_parse_field(struct ws_header *header, const char *data, size_t len, struct ws_refusal *refusal);

/* The first header of that name (any case), or NULL; *from is where to start and, if found, to go on. */
const struct ws_header *ws_head_find(const struct ws_head *head, struct ws_slice name, size_t *from);

/* The same; inline, so that the length of a name in the source is known when it is compiled. */
static inline const struct ws_header *ws_head_next(const struct ws_head *head, const char *name, size_t *from)
{
	return ws_head_find(head, (struct ws_slice){ name, strlen(name) }, from);
}

/* Whether a comma-separated header (all its lines) lists the token, in any case (RFC 9110 section 5.6.1) */
bool ws_head_lists(const struct ws_head *head, const char *name, const char *token);

/*
 * Takes the next element off a comma-separated list, without the white space around it; empty ones are
 * passed over (RFC 9110 section 5.6.1.2). False at the list's end.
 */
bool ws_slice_split(struct ws_slice *list, struct ws_slice *element);

/* Whether a slice is a token (RFC 9110 section 5.6.2). */
bool ws_slice_is_token(struct ws_slice slice);

/* Whether two slices have the same bytes. */
bool ws_slice_equals(struct ws_slice a, struct ws_slice b);

/* A text as a slice, without its NUL. */
static inline struct ws_slice ws_slice_of(const char *text)
{
	return (struct ws_slice){ text, strlen(text) };
}

/* Whether a slice equals a text of its length, in any case of ASCII. */
bool ws_slice_matches(struct ws_slice slice, const char *text);

/* Whether a slice equals a NUL-terminated string, in any case of ASCII; most comparisons are over with the length. */
static inline bool ws_slice_is(struct ws_slice slice, const char *text)
{
	return slice.len == strlen(text) && ws_slice_matches(slice, text);
}

#pragma GCC visibility pop

#endif
