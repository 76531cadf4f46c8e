/* X-Forwarded-For: whom proxies that are trusted speak for. */
#ifndef WS_PROTOCOL_FORWARDED_H
#define WS_PROTOCOL_FORWARDED_H

#include "protocol/ip.h"

#pragma GCC visibility push(hidden)

/* A network is an address, as ws_ip_parse gives it, and how many of its bits count: of IPv4 96 or more. */
enum { WS_NETWORK_SIZE = WS_IP_SIZE + 1 };

struct ws_networks {
	uint8_t *rows; /* one after the other */
	size_t count;
};

/* Whether an address is in one of the networks. */
bool ws_networks_have(const struct ws_networks *networks, const uint8_t ip[static WS_IP_SIZE]);

/*
 * Of a request that a trusted proxy has passed on: reads the header from the right, where the nearest proxy has written,
 * to the first address that is not trusted; that, or where all are the leftmost, is the client. What is no address ends
 * the way there: nobody knows then who wrote what is left of it. False: nobody is named.
 */
bool ws_forwarded_client(uint8_t ip[static WS_IP_SIZE], const struct ws_head *head, const struct ws_networks *trusted);

#pragma GCC visibility pop

#endif
