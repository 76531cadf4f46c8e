/* IP addresses as text: RFC 4291 section 2.2, strictly. */
#ifndef WS_PROTOCOL_IP_H
#define WS_PROTOCOL_IP_H

#include <stdint.h>

#include "protocol/head.h"

#pragma GCC visibility push(hidden)

/* An address in memory. IPv4 as IPv6 has it: ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2). */
enum { WS_IP_SIZE = 16 };

/* Reads one, "192.0.2.1" or "2001:db8::1". False: it is none; ip is not defined then. */
bool ws_ip_parse(uint8_t ip[static WS_IP_SIZE], struct ws_slice text);

/* The same, perhaps with a port, "192.0.2.1:80", "[2001:db8::1]:80", or a zone in the brackets. */
bool ws_ip_parse_socket(uint8_t ip[static WS_IP_SIZE], struct ws_slice text);

/* A decimal number of at most max, without leading zeros; -1: it is none. */
long ws_ip_parse_number(struct ws_slice text, long max);

bool ws_ip_is_4(const uint8_t ip[static WS_IP_SIZE]);

#pragma GCC visibility pop

#endif
