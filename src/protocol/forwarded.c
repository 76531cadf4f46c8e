/* The header is everybody's to write: only what a trusted proxy has added, at its right end, says anything. */
#include "protocol/forwarded.h"

#include <string.h>

static bool share_bits(const uint8_t *a, const uint8_t *b, size_t bits)
{
	const size_t whole = bits / 8, rest = bits % 8;
	return !memcmp(a, b, whole) && (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

/* All of IPv6, ::/0, is not all of IPv4, although that is mapped into it. */
bool ws_networks_have(const struct ws_networks *networks, const uint8_t ip[static WS_IP_SIZE])
{
	const bool is_4 = ws_ip_is_4(ip);
	for (size_t i = 0; i < networks->count; i++) {
		const uint8_t *row = networks->rows + i * WS_NETWORK_SIZE;
		if ((!is_4 || row[WS_IP_SIZE] >= 96) && share_bits(row, ip, row[WS_IP_SIZE]))
			return true;
	}
	return false;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Takes the last element off a comma-separated list, without the white space around it. False: there is none. */
static bool split_last(struct ws_slice *list, struct ws_slice *element)
{
	do {
		size_t end = list->len, from;
		if (end == 0)
			return false;
		for (from = end; from > 0 && list->data[from - 1] != ','; from--)
			;
		list->len = from > 0 ? from - 1 : 0;
		while (from < end && is_blank(list->data[from]))
			from++;
		while (end > from && is_blank(list->data[end - 1]))
			end--;
		*element = (struct ws_slice){ list->data + from, end - from };
	} while (element->len == 0); /* RFC 9110 section 5.6.1.2 */
	return true;
}

bool ws_forwarded_client(uint8_t ip[static WS_IP_SIZE], const struct ws_head *head, const struct ws_networks *trusted)
{
	bool named = false;
	for (size_t i = head->count; i > 0; i--) {
		const struct ws_header *header = &head->headers[i - 1];
		struct ws_slice list = header->value, element;
		if (!ws_slice_is(header->name, "x-forwarded-for"))
			continue;
		while (split_last(&list, &element)) {
			uint8_t next[WS_IP_SIZE];
			if (!ws_ip_parse_socket(next, element))
				return named;
			memcpy(ip, next, sizeof next);
			named = true;
			if (!ws_networks_have(trusted, ip))
				return true;
		}
	}
	return named;
}
