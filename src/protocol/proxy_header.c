/* Sections 2.1 and 2.2 of the specification, for streams over IP: what else there may be is not for a server of ours. */
#include "protocol/proxy_header.h"

#include <string.h>

#include "error.h"

enum {
	LINE_SIZE = 107, /* the longest of version 1, its CRLF included */
	HEAD_SIZE = 16   /* what comes before the addresses in version 2 */
};

static const char mark_1[] = "PROXY ";
static const char mark_2[] = "\r\n\r\n\0\r\nQUIT\n";

/* Whether what has come begins, or may still begin, with the mark. */
static bool may_begin(const char *data, size_t len, const char *mark, size_t size)
{
	return !memcmp(data, mark, len < size ? len : size);
}

/* ---- version 1: a line of words with single spaces between them */

static struct ws_slice next_word(struct ws_slice *line)
{
	const char *space = line->len ? memchr(line->data, ' ', line->len) : NULL;
	struct ws_slice word = { line->data, space ? (size_t)(space - line->data) : line->len };
	size_t used = word.len + (space ? 1 : 0);
	*line = (struct ws_slice){ line->data + used, line->len - used };
	return word;
}

/* Source and destination address, source and destination port. */
static long parse_addresses(struct ws_proxy_header *header, struct ws_slice line, bool is_4)
{
	uint8_t destination[WS_IP_SIZE];
	struct ws_slice from = next_word(&line), to = next_word(&line), port = next_word(&line);
	long number = ws_ip_parse_number(port, 65535);
	if (!ws_ip_parse(header->source, from) || !ws_ip_parse(destination, to))
		return WS_ERROR_PROTOCOL;
	if (is_4 && (!ws_ip_is_4(header->source) || !ws_ip_is_4(destination)))
		return WS_ERROR_PROTOCOL;
	if (number < 0 || ws_ip_parse_number(line, 65535) < 0)
		return WS_ERROR_PROTOCOL;
	header->speaks_for_another = true;
	header->port = (unsigned)number;
	return 0;
}

/* Without its CRLF, and without the mark. Of UNKNOWN the rest of the line is to be ignored. */
static long parse_line(struct ws_proxy_header *header, struct ws_slice line)
{
	struct ws_slice family = next_word(&line);
	if (ws_slice_equals(family, ws_slice_of("UNKNOWN")))
		return 0;
	if (ws_slice_equals(family, ws_slice_of("TCP4")))
		return parse_addresses(header, line, true);
	return ws_slice_equals(family, ws_slice_of("TCP6")) ? parse_addresses(header, line, false) : WS_ERROR_PROTOCOL;
}

/* How much of it is printable ASCII: up to the CR, if that has come. */
static size_t find_end(const char *data, size_t len)
{
	size_t i = 0;
	while (i < len && data[i] >= ' ' && data[i] <= '~')
		i++;
	return i;
}

static long parse_1(struct ws_proxy_header *header, const char *data, size_t len)
{
	size_t end = find_end(data, len < LINE_SIZE ? len : LINE_SIZE);
	if (end + 2 > LINE_SIZE || (end < len && data[end] != '\r') || (end + 1 < len && data[end + 1] != '\n'))
		return WS_ERROR_PROTOCOL;
	if (end + 2 > len)
		return WS_AGAIN;
	size_t mark = sizeof mark_1 - 1;
	long wrong = parse_line(header, (struct ws_slice){ data + mark, end - mark });
	return wrong ? wrong : (long)end + 2;
}

/* ---- version 2: binary */

static unsigned number_at(const uint8_t *bytes)
{
	return (unsigned)bytes[0] << 8 | bytes[1];
}

/* Who it is for, from a block of addresses whose family and transport are in one byte. */
static long parse_block(struct ws_proxy_header *header, unsigned kind, const uint8_t *block, size_t len)
{
	enum { UNSPECIFIED = 0x00, TCP_4 = 0x11, TCP_6 = 0x21, UNIX_STREAM = 0x31 };
	switch (kind) {
	case TCP_4: /* source, destination, ports */
		if (len < 4 + 4 + 2 + 2)
			return WS_ERROR_PROTOCOL;
		memcpy(header->source, (const uint8_t[12]){ [10] = 0xff, [11] = 0xff }, 12);
		memcpy(header->source + 12, block, 4);
		header->port = number_at(block + 8);
		break;
	case TCP_6:
		if (len < 16 + 16 + 2 + 2)
			return WS_ERROR_PROTOCOL;
		memcpy(header->source, block, 16);
		header->port = number_at(block + 32);
		break;
	case UNIX_STREAM:
		return len < 108 + 108 ? WS_ERROR_PROTOCOL : 0;
	case UNSPECIFIED:
		return 0;
	default: /* datagrams, or what has no meaning yet: the connection is to be dropped */
		return WS_ERROR_PROTOCOL;
	}
	header->speaks_for_another = true;
	return 0;
}

/* Of LOCAL the block is to be ignored. Behind the addresses there may be TLVs, which say nothing that we want to know. */
static long parse_2(struct ws_proxy_header *header, const uint8_t *bytes, size_t len)
{
	enum { LOCAL = 0x20, PROXY = 0x21 };
	if (len > 12 && bytes[12] != LOCAL && bytes[12] != PROXY)
		return WS_ERROR_PROTOCOL;
	if (len < HEAD_SIZE)
		return WS_AGAIN;
	size_t size = HEAD_SIZE + number_at(bytes + 14);
	if (size > WS_PROXY_HEADER_SIZE)
		return WS_ERROR_PROTOCOL;
	if (len < size)
		return WS_AGAIN;
	long wrong = bytes[12] == LOCAL ? 0 : parse_block(header, bytes[13], bytes + HEAD_SIZE, size - HEAD_SIZE);
	return wrong ? wrong : (long)size;
}

long ws_proxy_header_parse(struct ws_proxy_header *header, const char *data, size_t len)
{
	*header = (struct ws_proxy_header){ .speaks_for_another = false };
	if (len == 0)
		return WS_AGAIN;
	if (may_begin(data, len, mark_2, sizeof mark_2 - 1))
		return parse_2(header, (const uint8_t *)data, len);
	if (!may_begin(data, len, mark_1, sizeof mark_1 - 1))
		return WS_ERROR_PROTOCOL;
	return len < sizeof mark_1 - 1 ? WS_AGAIN : parse_1(header, data, len);
}
