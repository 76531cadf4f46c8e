/*
 * A strict parser for HTTP heads: one pass from the first byte, refusing at the first byte with which no
 * valid head can start any more. What two parsers could read differently (request smuggling) is never let
 * through.
 */
#include "protocol/head.h"

#include <stdint.h>
#include <string.h>

#include "error.h"

/* What is being read. A function below returns 0 and has moved at, or WS_AGAIN, or WS_ERROR_PROTOCOL. */
struct reader {
	const char *at, *end;
	struct ws_refusal *refusal;
};

/* --- characters ---------------------------------------------------------------------------------- */

static bool char_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

enum {
	TOKEN = 1, /* tchar (RFC 9110 section 5.6.2) */
	HOST = 2,  /* what a uri-host with its port is made of (RFC 3986 section 3.2.2) */
	BOTH = TOKEN | HOST
};

static const uint8_t classes[UINT8_MAX + 1] = {
	['!'] = BOTH, ['#'] = TOKEN, ['$'] = BOTH, ['%'] = BOTH, ['&'] = BOTH, ['\''] = BOTH, ['('] = HOST, [')'] = HOST,
	['*'] = BOTH, ['+'] = BOTH, [','] = HOST, ['-'] = BOTH, ['.'] = BOTH, [':'] = HOST, [';'] = HOST, ['='] = HOST,
	['['] = HOST, [']'] = HOST, ['^'] = TOKEN, ['_'] = BOTH, ['`'] = TOKEN, ['|'] = TOKEN, ['~'] = BOTH,
	['0'] = BOTH, ['1'] = BOTH, ['2'] = BOTH, ['3'] = BOTH, ['4'] = BOTH, ['5'] = BOTH, ['6'] = BOTH, ['7'] = BOTH,
	['8'] = BOTH, ['9'] = BOTH, ['A'] = BOTH, ['B'] = BOTH, ['C'] = BOTH, ['D'] = BOTH, ['E'] = BOTH, ['F'] = BOTH,
	['G'] = BOTH, ['H'] = BOTH, ['I'] = BOTH, ['J'] = BOTH, ['K'] = BOTH, ['L'] = BOTH, ['M'] = BOTH, ['N'] = BOTH,
	['O'] = BOTH, ['P'] = BOTH, ['Q'] = BOTH, ['R'] = BOTH, ['S'] = BOTH, ['T'] = BOTH, ['U'] = BOTH, ['V'] = BOTH,
	['W'] = BOTH, ['X'] = BOTH, ['Y'] = BOTH, ['Z'] = BOTH, ['a'] = BOTH, ['b'] = BOTH, ['c'] = BOTH, ['d'] = BOTH,
	['e'] = BOTH, ['f'] = BOTH, ['g'] = BOTH, ['h'] = BOTH, ['i'] = BOTH, ['j'] = BOTH, ['k'] = BOTH, ['l'] = BOTH,
	['m'] = BOTH, ['n'] = BOTH, ['o'] = BOTH, ['p'] = BOTH, ['q'] = BOTH, ['r'] = BOTH, ['s'] = BOTH, ['t'] = BOTH,
	['u'] = BOTH, ['v'] = BOTH, ['w'] = BOTH, ['x'] = BOTH, ['y'] = BOTH, ['z'] = BOTH,
};

static bool char_is_token(char c)
{
	return (classes[(uint8_t)c] & TOKEN) != 0;
}

static bool char_is_host(char c)
{
	return (classes[(uint8_t)c] & HOST) != 0;
}

/* Printable ASCII but the space; the grammar of a URI is the application's concern. */
static bool char_is_target(char c)
{
	return c > ' ' && c < 0x7F;
}

static bool char_is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* field-vchar, which includes obs-text, and the white space between (RFC 9110 section 5.5) */
static bool char_is_value(char c)
{
	return ((uint8_t)c >= ' ' && c != 0x7F) || c == '\t';
}

static char char_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* --- slices -------------------------------------------------------------------------------------- */

static bool slice_all(struct ws_slice slice, bool (*is)(char))
{
	for (size_t i = 0; i < slice.len; i++)
		if (!is(slice.data[i]))
			return false;
	return true;
}

/* Whether the text starts with the slice, in any case. */
static bool slice_starts(struct ws_slice slice, const char *text)
{
	for (size_t i = 0; i < slice.len; i++)
		if (text[i] == '\0' || char_lower(slice.data[i]) != char_lower(text[i]))
			return false;
	return true;
}

static void slice_trim(struct ws_slice *slice)
{
	while (slice->len > 0 && char_is_space(slice->data[slice->len - 1]))
		slice->len--;
	while (slice->len > 0 && char_is_space(slice->data[0])) {
		slice->data++;
		slice->len--;
	}
}

bool ws_slice_equals(struct ws_slice a, struct ws_slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Most are written as we write them. */
bool ws_slice_matches(struct ws_slice slice, const char *text)
{
	return ws_slice_equals(slice, (struct ws_slice){ text, slice.len }) || slice_starts(slice, text);
}

bool ws_slice_is_token(struct ws_slice slice)
{
	return slice.len > 0 && slice_all(slice, char_is_token);
}

bool ws_slice_split(struct ws_slice *list, struct ws_slice *element)
{
	while (list->len > 0) {
		const char *comma = memchr(list->data, ',', list->len);
		const size_t len = comma != NULL ? (size_t)(comma - list->data) : list->len;
		const size_t used = comma != NULL ? len + 1 : len;

		*element = (struct ws_slice){ list->data, len };
		list->data += used;
		list->len -= used;
		slice_trim(element);
		if (element->len > 0)
			return true;
	}
	return false;
}

/* --- pieces of a head ---------------------------------------------------------------------------- */

static int refuse(struct reader *r, unsigned status, const char *why)
{
	*r->refusal = (struct ws_refusal){ status, why };
	return WS_ERROR_PROTOCOL;
}

/* Characters of one kind, as far as they go. */
static inline struct ws_slice run_read(struct reader *r, bool (*is)(char))
{
	const char *const from = r->at, *at = from;

	while (at < r->end && is(*at))
		at++;
	r->at = at;
	return (struct ws_slice){ from, (size_t)(at - from) };
}

/* Characters of one kind up to the stop, which is passed over. At least one. */
static inline int word_read(struct reader *r, struct ws_slice *word, bool (*is)(char), char stop, const char *why)
{
	*word = run_read(r, is);
	if (r->at == r->end)
		return WS_AGAIN;
	if (*r->at != stop || word->len == 0)
		return refuse(r, 400, why);
	r->at++;
	return 0;
}

static int literal_read(struct reader *r, const char *text, const char *why)
{
	for (; *text != '\0'; text++, r->at++) {
		if (r->at == r->end)
			return WS_AGAIN;
		if (*r->at != *text)
			return refuse(r, 400, why);
	}
	return 0;
}

static int line_end_read(struct reader *r)
{
	/*
	 * A recipient may take a bare LF for a line's end (RFC 9112 section 2.2); those who don't would
	 * disagree.
	 */
	return literal_read(r, "\r\n", "A line does not end where it should, or not with CR LF.");
}

/* HTTP-version (RFC 9112 section 2.3) */
static int version_read(struct reader *r, unsigned *minor)
{
	static const char why[] = "The HTTP version is not of the form HTTP/1.1.";
	int result = literal_read(r, "HTTP/", why);

	if (result != 0)
		return result;
	if (r->at == r->end)
		return WS_AGAIN;
	if (!char_is_digit(*r->at))
		return refuse(r, 400, why);
	if (*r->at != '1')
		return refuse(r, 505, "Only HTTP/1.1 is spoken here.");
	if ((result = literal_read(r, "1.", why)) != 0)
		return result;
	if (r->at == r->end)
		return WS_AGAIN;
	if (!char_is_digit(*r->at))
		return refuse(r, 400, why);
	*minor = (unsigned)(*r->at++ - '0');
	return 0;
}

/* request-line (RFC 9112 section 3) */
static int request_line_read(struct reader *r, struct ws_head *head)
{
	int result;

	if ((result = word_read(r, &head->method, char_is_token, ' ', "The method is not a token.")) != 0)
		return result;
	if ((result = word_read(r, &head->target, char_is_target, ' ',
			"The request target is missing or has a character that it may not have.")) != 0)
		return result;
	if ((result = version_read(r, &head->minor)) != 0)
		return result;
	return line_end_read(r);
}

/* Three digits, 100-599 (RFC 9110 section 15). */
static int status_read(struct reader *r, unsigned *status)
{
	*status = 0;
	for (int i = 0; i < 3; i++, r->at++) {
		if (r->at == r->end)
			return WS_AGAIN;
		if (!char_is_digit(*r->at) || (i == 0 && (*r->at < '1' || *r->at > '5')))
			return refuse(r, 0, "The status code is not a number from 100 to 599.");
		*status = *status * 10 + (unsigned)(*r->at - '0');
	}
	return 0;
}

/*
 * status-line (RFC 9112 section 4). The space before an empty reason is often left out; nothing depends on
 * it.
 */
static int status_line_read(struct reader *r, struct ws_head *head)
{
	int result;

	if ((result = version_read(r, &head->minor)) != 0)
		return result;
	if ((result = literal_read(r, " ", "No space follows the HTTP version.")) != 0)
		return result;
	if ((result = status_read(r, &head->status)) != 0)
		return result;
	if (r->at < r->end && char_is_digit(*r->at))
		return refuse(r, 0, "The status code is not a number from 100 to 599.");
	if (r->at < r->end && *r->at == ' ') {
		r->at++;
		head->reason = run_read(r, char_is_value);
	}
	return line_end_read(r);
}

/* --- fields -------------------------------------------------------------------------------------- */

/* field-name and the colon (RFC 9112 section 5.1: no white space between them) */
static int name_read(struct reader *r, struct ws_slice *name)
{
	if (r->at < r->end && char_is_space(*r->at))
		return refuse(r, 400, "A header line starts with white space."); /* section 5.2: obs-fold */
	return word_read(r, name, char_is_token, ':',
		"A header's name is empty, has a character that it may not have, or no colon behind it.");
}

/* field-value and the line's end. Where more input is needed, value is what has come of it. */
static int value_read(struct reader *r, struct ws_slice *value)
{
	(void)run_read(r, char_is_space);
	*value = run_read(r, char_is_value);
	slice_trim(value);
	if (r->at < r->end && *r->at != '\r' && *r->at != '\n')
		return refuse(r, 400, "A header's value has a control character.");
	return line_end_read(r);
}

/* Requests have rules of their own for Host. */
static bool head_is_request(const struct ws_head *head)
{
	return head->method.len > 0;
}

static bool head_has(const struct ws_head *head, const char *name)
{
	size_t from = 0;

	return ws_head_next(head, name, &from) != NULL;
}

/* What the next field's name may not be after the fields before it. */
static int name_check(struct reader *r, const struct ws_head *head, struct ws_slice name)
{
	const bool length = ws_slice_is(name, "Content-Length");
	const bool encoding = ws_slice_is(name, "Transfer-Encoding");

	/* RFC 9112 section 3.2 */
	if (head_is_request(head) && ws_slice_is(name, "Host") && head_has(head, "Host"))
		return refuse(r, 400, "There is more than one Host.");
	/* RFC 9112 section 6.3 point 5 allows equal values; nobody honest sends them. */
	if ((length && head_has(head, "Content-Length")) || (encoding && head_has(head, "Transfer-Encoding")))
		return refuse(r, 400, "Content-Length or Transfer-Encoding is repeated.");
	/* RFC 9112 section 6.1: an attempt at smuggling */
	if ((length && head_has(head, "Transfer-Encoding")) || (encoding && head_has(head, "Content-Length")))
		return refuse(r, 400, "There are both Content-Length and Transfer-Encoding.");
	if (encoding && head->minor == 0)
		return refuse(r, 400, "HTTP/1.0 has no Transfer-Encoding.");
	return 0;
}

/*
 * What a value that decides where a message goes or ends must be. While it is not ended, what has come of
 * it must be able to become that.
 */
static int value_check(struct reader *r, const struct ws_head *head, const struct ws_header *field,
                       bool ended)
{
	const struct ws_slice value = field->value;

	/* RFC 9112 section 3.2. An empty Host is valid: that of a target without authority. */
	if (head_is_request(head) && ws_slice_is(field->name, "Host") && !slice_all(value, char_is_host))
		return refuse(r, 400, "Host has a character that no host may have.");
	/* 18 digits fit into 64 bits, so that no reader overflows (RFC 9112 section 6.3). */
	if (ws_slice_is(field->name, "Content-Length")
			&& (!slice_all(value, char_is_digit) || value.len > 18 || (ended && value.len == 0)))
		return refuse(r, 400, "Content-Length is not a number of at most 18 digits.");
	/* RFC 9112 section 6.1 */
	if (ws_slice_is(field->name, "Transfer-Encoding")
			&& !(ended ? ws_slice_is(value, "chunked") : slice_starts(value, "chunked")))
		return refuse(r, 501, "No Transfer-Encoding other than chunked is known here.");
	return 0;
}

static int field_read(struct reader *r, struct ws_head *head)
{
	struct ws_header *field = &head->headers[head->count];
	int result, checked;

	if ((result = name_read(r, &field->name)) != 0 || (result = name_check(r, head, field->name)) != 0)
		return result;
	/* What came before a bad byte is judged first: the answer must not depend on how the bytes came in. */
	result = value_read(r, &field->value);
	/* White space or a CR after it ends a value, too. */
	checked = value_check(r, head, field, field->value.data + field->value.len < r->at);
	if (checked != 0)
		return checked;
	if (result == 0)
		head->count++;
	return result;
}

/* All fields and the empty line. */
static int fields_read(struct reader *r, struct ws_head *head)
{
	int result;

	while (r->at < r->end && *r->at != '\r') {
		if (head->count == WS_HEAD_HEADERS)
			return refuse(r, 431, "There are more than 64 headers.");
		if ((result = field_read(r, head)) != 0)
			return result;
	}
	if (r->at == r->end)
		return WS_AGAIN;
	/* RFC 9112 section 3.2 */
	if (head_is_request(head) && head->minor > 0 && !head_has(head, "Host"))
		return refuse(r, 400, "There is no Host.");
	return line_end_read(r);
}

/* --- heads --------------------------------------------------------------------------------------- */

static long head_parse(struct ws_head *head, const char *data, size_t len, size_t max,
                       struct ws_refusal *refusal, int (*first_line_read)(struct reader *, struct ws_head *))
{
	struct reader r = { data, data, refusal };
	int result;

	if (len > 0)
		r.end = data + (len < max ? len : max);
	/* The headers' array is 2 KiB and only its first count entries mean something. */
	head->method = head->target = head->reason = (struct ws_slice){ NULL, 0 };
	head->minor = head->status = 0;
	head->count = 0;
	if ((result = first_line_read(&r, head)) == 0)
		result = fields_read(&r, head);
	if (result == WS_AGAIN && len >= max)
		return refuse(&r, 431, "The head is too large.");
	return result == 0 ? (long)(r.at - data) : result;
}

long ws_head_parse_request(struct ws_head *head, const char *data, size_t len, size_t max,
                           struct ws_refusal *refusal)
{
	return head_parse(head, data, len, max, refusal, request_line_read);
}

long ws_head_parse_response(struct ws_head *head, const char *data, size_t len, size_t max,
                            struct ws_refusal *refusal)
{
	const long result = head_parse(head, data, len, max, refusal, status_line_read);

	if (result == WS_ERROR_PROTOCOL)
		refusal->status = 0;
	return result;
}

long ws_head_parse_field(struct ws_header *header, const char *data, size_t len, struct ws_refusal *refusal)
{
	struct reader r = { data, data + len, refusal };
	int result = name_read(&r, &header->name);

	if (result == 0)
		result = value_read(&r, &header->value);
	return result == 0 ? (long)(r.at - data) : result;
}

const struct ws_header *ws_head_find(const struct ws_head *head, struct ws_slice name, size_t *from)
{
	for (size_t i = *from; i < head->count; i++) {
		const struct ws_header *header = &head->headers[i];
		if (header->name.len == name.len && ws_slice_matches(header->name, name.data)) {
			*from = i + 1;
			return header;
		}
	}
	return NULL;
}

bool ws_head_lists(const struct ws_head *head, const char *name, const char *token)
{
	const struct ws_header *header;
	size_t from = 0;

	while ((header = ws_head_next(head, name, &from)) != NULL) {
		struct ws_slice list = header->value, element;
		while (ws_slice_split(&list, &element))
			if (ws_slice_is(element, token))
				return true;
	}
	return false;
}
