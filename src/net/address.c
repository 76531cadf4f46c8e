/* Addresses of sockets: what depends on their family. */
#include "net/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

unsigned ws_address_port(const union ws_address *address)
{
	if (address->any.sa_family == AF_INET)
		return ntohs(address->ip4.sin_port);
	return address->any.sa_family == AF_INET6 ? ntohs(address->ip6.sin6_port) : 0;
}

void ws_address_set_port(union ws_address *address, unsigned port)
{
	if (address->any.sa_family == AF_INET)
		address->ip4.sin_port = htons((uint16_t)port);
	else
		address->ip6.sin6_port = htons((uint16_t)port);
}

socklen_t ws_address_len(const union ws_address *address)
{
	switch (address->any.sa_family) {
	case AF_INET:
		return sizeof address->ip4;
	case AF_INET6:
		return sizeof address->ip6;
	default:
		return (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
		                   strnlen(address->file.sun_path, sizeof address->file.sun_path - 1) + 1);
	}
}

bool ws_address_ip(const union ws_address *address, uint8_t ip[static 16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	switch (address->any.sa_family) {
	case AF_INET:
		memcpy(ip, mapped, sizeof mapped);
		memcpy(ip + sizeof mapped, &address->ip4.sin_addr, sizeof address->ip4.sin_addr);
		return true;
	case AF_INET6:
		memcpy(ip, &address->ip6.sin6_addr, sizeof address->ip6.sin6_addr);
		return true;
	default:
		return false;
	}
}

static union ws_address address_unmap(const union ws_address *address)
{
	if (address->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address->ip6.sin6_addr))
		return *address;
	union ws_address ip4 = {.ip4 = {.sin_family = AF_INET, .sin_port = address->ip6.sin6_port}};
	memcpy(&ip4.ip4.sin_addr, &address->ip6.sin6_addr.s6_addr[12], sizeof ip4.ip4.sin_addr);
	return ip4;
}

void ws_address_text(const union ws_address *address, socklen_t len, char text[static WS_ADDRESS_SIZE])
{
	if (address->any.sa_family == AF_UNIX) {
		size_t head = offsetof(struct sockaddr_un, sun_path);
		int room = len > head ? (int)(len - head) : 0; /* the path's zero may be missing */
		snprintf(text, WS_ADDRESS_SIZE, "unix:%.*s", room, address->file.sun_path);
		return;
	}
	char host[WS_ADDRESS_SIZE - 16];
	union ws_address a = address_unmap(address);
	if (getnameinfo(&a.any, ws_address_len(&a), host, sizeof host, NULL, 0, NI_NUMERICHOST) != 0)
		strcpy(host, "?");
	const char *format = a.any.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u";
	snprintf(text, WS_ADDRESS_SIZE, format, host, ws_address_port(&a));
}

static union ws_address address_of_ip(const uint8_t *ip, unsigned port)
{
	union ws_address address = {.ip6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)}};
	memcpy(&address.ip6.sin6_addr, ip, sizeof address.ip6.sin6_addr);
	return address_unmap(&address);
}

void ws_address_ip_text(const uint8_t ip[static 16], unsigned port, char text[static WS_ADDRESS_SIZE])
{
	const union ws_address address = address_of_ip(ip, port);
	ws_address_text(&address, ws_address_len(&address), text);
}

void ws_address_host_text(const uint8_t ip[static 16], char text[static WS_ADDRESS_SIZE])
{
	const union ws_address address = address_of_ip(ip, 0);
	const bool is_4 = address.any.sa_family == AF_INET;
	inet_ntop(address.any.sa_family, is_4 ? (const void *)&address.ip4.sin_addr : &address.ip6.sin6_addr, text,
	          WS_ADDRESS_SIZE);
}
