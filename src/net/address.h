/* Addresses of sockets: their families in one union, and their text. */
#ifndef WS_NET_ADDRESS_H
#define WS_NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#pragma GCC visibility push(hidden)

/* "127.0.0.1:40312", "[::1]:40312", "unix:/path", "unix:" for a Unix peer without one; NUL-terminated. */
enum { WS_ADDRESS_SIZE = 128 };

union ws_address {
	struct sockaddr any;
	struct sockaddr_in ip4;
	struct sockaddr_in6 ip6;
	struct sockaddr_un file;
	struct sockaddr_storage room;
};

/* 0 for a Unix address. */
unsigned ws_address_port(const union ws_address *address);

/* address must be IPv4 or IPv6. */
void ws_address_set_port(union ws_address *address, unsigned port);

/* How many bytes of the union the system wants to be given; what is behind them says nothing. */
socklen_t ws_address_len(const union ws_address *address);

/* Its 16 bytes, IPv4 mapped into IPv6. False: it has none, for it is a Unix address. */
bool ws_address_ip(const union ws_address *address, uint8_t ip[static 16]);

/* len: as the system told it. An IPv4 address mapped into IPv6 is shown as what it is. */
void ws_address_text(const union ws_address *address, socklen_t len, char text[static WS_ADDRESS_SIZE]);

/* The same of an address in memory, IPv4 mapped into IPv6; and without a port: "127.0.0.1", "::1". */
void ws_address_ip_text(const uint8_t ip[static 16], unsigned port, char text[static WS_ADDRESS_SIZE]);
void ws_address_host_text(const uint8_t ip[static 16], char text[static WS_ADDRESS_SIZE]);

#pragma GCC visibility pop

#endif
