/*
 * Heads of requests and responses. The first byte says which, and the largest size allowed. However much of it has
 * come, the verdict is the same, and falls at the same byte; what is told of a head lies in it and has nothing in it
 * that would mean something else to another reader.
 */
#include "fuzz.h"

#include <string.h>

#include "error.h"
#include "protocol/head.h"

typedef long parse(struct ws_head *head, const char *data, size_t len, size_t max, struct ws_refusal *refusal);

/* The sanitizer sees who reads past a part. */
static long parse_part(parse *parser, struct ws_head *head, const char *data, size_t len, size_t max,
                       struct ws_refusal *refusal)
{
	char *part = malloc(len > 0 ? len : 1);

	memcpy(part, data, len);
	const long result = parser(head, part, len, max, refusal);
	free(part);
	return result;
}

static void check_slice(struct ws_slice slice, const char *data, long used, const char *forbidden)
{
	if (slice.len == 0)
		return;
	FUZZ_CHECK(slice.data >= data && slice.data + slice.len <= data + used);
	for (size_t i = 0; i < slice.len; i++)
		FUZZ_CHECK(slice.data[i] != '\0' && strchr(forbidden, slice.data[i]) == NULL);
}

static void check_head(const struct ws_head *head, const char *data, long used)
{
	FUZZ_CHECK(used >= 4 && memcmp(data + used - 4, "\r\n\r\n", 4) == 0);
	FUZZ_CHECK(head->count <= WS_HEAD_HEADERS && head->minor <= 9);
	check_slice(head->method, data, used, "\r\n\t :");
	check_slice(head->target, data, used, "\r\n\t ");
	check_slice(head->reason, data, used, "\r\n");
	for (size_t i = 0; i < head->count; i++) {
		const struct ws_slice name = head->headers[i].name, value = head->headers[i].value;
		FUZZ_CHECK(ws_slice_is_token(name));
		check_slice(name, data, used, "\r\n\t :");
		check_slice(value, data, used, "\r\n");
		FUZZ_CHECK(value.len == 0 || strchr(" \t", value.data[0]) == NULL);
		FUZZ_CHECK(value.len == 0 || strchr(" \t", value.data[value.len - 1]) == NULL);
	}
}

/* A part of the head is judged as the whole is, or needs more. */
static void check_part(parse *parser, const char *data, size_t len, size_t max, long whole,
                       const struct ws_refusal *expected)
{
	static struct ws_head head;
	struct ws_refusal refusal;
	const long result = parse_part(parser, &head, data, len, max, &refusal);

	if (whole == WS_ERROR_PROTOCOL) {
		FUZZ_CHECK(result == WS_AGAIN || result == WS_ERROR_PROTOCOL);
		FUZZ_CHECK(result == WS_AGAIN || (refusal.status == expected->status && refusal.why == expected->why));
	} else {
		FUZZ_CHECK(result == (whole >= 0 && len >= (size_t)whole ? whole : WS_AGAIN));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const size_t limits[] = { 64, 256, 1000, 8192 };
	static struct ws_head head;
	struct ws_refusal refusal = { 0, NULL };

	if (size == 0)
		return 0;
	parse *const parser = bytes[0] & 1 ? ws_head_parse_response : ws_head_parse_request;
	const size_t max = limits[bytes[0] >> 1 & 3];
	const char *const data = (const char *)bytes + 1;
	size--;
	const long whole = parser(&head, data, size, max, &refusal);
	FUZZ_CHECK(whole == WS_AGAIN || whole == WS_ERROR_PROTOCOL || (whole > 0 && (size_t)whole <= size));
	FUZZ_CHECK(whole <= (long)max);
	if (whole == WS_ERROR_PROTOCOL)
		FUZZ_CHECK(refusal.why != NULL && (bytes[0] & 1 ? refusal.status == 0 : refusal.status >= 400));
	if (whole > 0)
		check_head(&head, data, whole);
	bool refused = false;
	for (size_t len = 0; len < size; len += size < 300 ? 1 : 1 + size / 100) {
		struct ws_refusal ignored;
		check_part(parser, data, len, max, whole, &refusal);
		if (size >= 300)
			continue;
		const bool now = parse_part(parser, &head, data, len, max, &ignored) == WS_ERROR_PROTOCOL;
		FUZZ_CHECK(now || !refused); /* once refused, always refused */
		refused = now;
	}
	return 0;
}
