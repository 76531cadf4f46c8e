/* A leading zero means octal to some and nothing to others: it is refused. */
#include "protocol/ip.h"

#include <string.h>

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

bool ws_ip_is_4(const uint8_t ip[static WS_IP_SIZE])
{
	return !memcmp(ip, mapped, sizeof mapped);
}

/* Cuts s at the first c: the part before it is returned, s becomes what is behind it. False: there is none. */
static bool cut(struct ws_slice *s, char c, struct ws_slice *before)
{
	const char *at = s->len ? memchr(s->data, c, s->len) : NULL;
	if (!at)
		return false;
	*before = (struct ws_slice){ s->data, (size_t)(at - s->data) };
	*s = (struct ws_slice){ at + 1, s->len - before->len - 1 };
	return true;
}

long ws_ip_parse_number(struct ws_slice text, long max)
{
	long number = 0;
	if (text.len == 0 || (text.len > 1 && text.data[0] == '0'))
		return -1;
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return -1;
		number = number * 10 + (text.data[i] - '0');
		if (number > max)
			return -1;
	}
	return number;
}

static bool parse_4(uint8_t bytes[static 4], struct ws_slice text)
{
	for (size_t i = 0; i < 4; i++) {
		struct ws_slice part = text;
		if (i < 3 && !cut(&text, '.', &part))
			return false;
		long number = ws_ip_parse_number(i < 3 ? part : text, 255);
		if (number < 0)
			return false;
		bytes[i] = (uint8_t)number;
	}
	return true;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One to four hexadecimal digits, all of the text. */
static bool parse_group(uint8_t bytes[static 2], struct ws_slice text)
{
	unsigned number = 0;
	if (text.len == 0 || text.len > 4)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (hex(text.data[i]) < 0)
			return false;
		number = number << 4 | (unsigned)hex(text.data[i]);
	}
	bytes[0] = (uint8_t)(number >> 8);
	bytes[1] = (uint8_t)number;
	return true;
}

/* Groups between single colons, the last of which may be an IPv4 address. Returns how many bytes; -1: it is none. */
static int parse_groups(uint8_t bytes[static WS_IP_SIZE], struct ws_slice text)
{
	int size = 0;
	bool more = text.len > 0;
	while (more) {
		struct ws_slice group = text;
		more = cut(&text, ':', &group);
		if (!more && size <= WS_IP_SIZE - 4 && parse_4(bytes + size, group))
			return size + 4;
		if (size == WS_IP_SIZE || !parse_group(bytes + size, group))
			return -1;
		size += 2;
	}
	return size;
}

/* Where "::" is in the text; its length: nowhere. */
static size_t find_gap(struct ws_slice text)
{
	for (size_t i = 0; i + 1 < text.len; i++)
		if (text.data[i] == ':' && text.data[i + 1] == ':')
			return i;
	return text.len;
}

static bool has_dot(struct ws_slice text)
{
	return text.len && memchr(text.data, '.', text.len);
}

static bool parse_6(uint8_t ip[static WS_IP_SIZE], struct ws_slice text)
{
	size_t gap = find_gap(text);
	if (gap == text.len)
		return parse_groups(ip, text) == WS_IP_SIZE;
	uint8_t tail[WS_IP_SIZE];
	struct ws_slice before = { text.data, gap }, behind = { text.data + gap + 2, text.len - gap - 2 };
	int head = has_dot(before) ? -1 : parse_groups(ip, before), size = parse_groups(tail, behind);
	if (head < 0 || size < 0 || head + size > WS_IP_SIZE - 2)
		return false;
	memset(ip + head, 0, (size_t)(WS_IP_SIZE - head - size));
	memcpy(ip + WS_IP_SIZE - size, tail, (size_t)size);
	return true;
}

static bool parse_mapped(uint8_t ip[static WS_IP_SIZE], struct ws_slice text)
{
	memcpy(ip, mapped, sizeof mapped);
	return parse_4(ip + sizeof mapped, text);
}

bool ws_ip_parse(uint8_t ip[static WS_IP_SIZE], struct ws_slice text)
{
	return parse_mapped(ip, text) || parse_6(ip, text);
}

static bool is_port(struct ws_slice text)
{
	return ws_ip_parse_number(text, 65535) >= 0;
}

/* What is behind the first "[". */
static bool parse_bracketed(uint8_t ip[static WS_IP_SIZE], struct ws_slice text)
{
	struct ws_slice host, zone, none;
	if (!cut(&text, ']', &host))
		return false;
	if (text.len && (!cut(&text, ':', &none) || none.len || !is_port(text)))
		return false;
	zone = host;
	cut(&zone, '%', &host);
	return parse_6(ip, host);
}

bool ws_ip_parse_socket(uint8_t ip[static WS_IP_SIZE], struct ws_slice text)
{
	struct ws_slice rest = text, host;
	if (ws_ip_parse(ip, text))
		return true;
	if (text.len && text.data[0] == '[')
		return parse_bracketed(ip, (struct ws_slice){ text.data + 1, text.len - 1 });
	return cut(&rest, ':', &host) && is_port(rest) && parse_mapped(ip, host);
}
