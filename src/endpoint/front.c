/* Who a server's client is: the peer of the socket, or whom proxies say that they speak for. */
#include "endpoint/front.h"

#include <stdlib.h>
#include <string.h>

#include "endpoint/server.h"
#include "error.h"
#include "net/random.h"
#include "protocol/proxy_header.h"

enum { CUSTOMER_BYTES = 8 }; /* RFC 6177: of an IPv6 address, those that one customer does not choose */

int ws_front_init(struct ws_front *front, struct ws_loop *loop, const struct ws_front_options *options)
{
	struct ws_networks *trusted = &front->options.trusted;
	*front = (struct ws_front){ .options = *options };
	ws_random_fill(loop, &front->counts.seed, sizeof front->counts.seed);
	if (trusted->count == 0)
		return 0;
	trusted->rows = malloc(trusted->count * WS_NETWORK_SIZE);
	if (!trusted->rows)
		return WS_ERROR_MEMORY;
	memcpy(trusted->rows, options->trusted.rows, trusted->count * WS_NETWORK_SIZE);
	return 0;
}

void ws_front_clear(struct ws_front *front)
{
	ws_address_counts_clear(&front->counts);
	if (front->options.trusted.count)
		free(front->options.trusted.rows);
}

/* Whether what it says of its client is to be believed. */
static bool is_trusted(const struct ws_connection *c)
{
	const struct ws_front_options *options = &ws_server_of(c)->front.options;
	if (c->remote->has_ip)
		return ws_networks_have(&options->trusted, c->remote->ip);
	return options->trust_unix && c->remote->peer.any.sa_family == AF_UNIX;
}

/*
 * An IPv6 address stands for its /64, which is what one customer of a provider has; a Unix socket has no address, and a
 * trusted proxy brings many clients. Once: who is counted already is welcome.
 */
static int count(struct ws_connection *c)
{
	struct ws_front *front = &ws_server_of(c)->front;
	uint8_t ip[WS_IP_SIZE];
	if (c->counted || !front->options.max_per_address || !c->remote->has_ip || is_trusted(c))
		return 0;
	memcpy(ip, c->remote->ip, sizeof ip);
	if (!ws_ip_is_4(ip))
		memset(ip + CUSTOMER_BYTES, 0, sizeof ip - CUSTOMER_BYTES);
	long row = ws_address_counts_enter(&front->counts, ip, front->options.max_per_address);
	if (row < 0)
		return (int)row;
	c->counted = (uint32_t)row;
	return 0;
}

void ws_front_on_accepted(struct ws_connection *c)
{
	if (!c->preface)
		count(c);
}

long ws_front_preface(struct ws_connection *c, const char *data, size_t len)
{
	struct ws_proxy_header header;
	struct ws_remote *remote = c->remote;
	long used = ws_proxy_header_parse(&header, data, len);
	if (used < 0)
		return used;
	if (header.speaks_for_another) {
		memcpy(remote->ip, header.source, sizeof remote->ip);
		remote->has_ip = true;
		ws_address_ip_text(remote->ip, header.port, remote->client);
	}
	count(c);
	return used;
}

int ws_front_on_head(struct ws_connection *c, const struct ws_head *head, struct ws_refusal *refusal)
{
	struct ws_remote *remote = c->remote;
	if (is_trusted(c) && ws_forwarded_client(remote->ip, head, &ws_server_of(c)->front.options.trusted)) {
		remote->has_ip = true;
		ws_address_host_text(remote->ip, remote->client);
	}
	int e = count(c);
	if (e == WS_ERROR_OVERFLOW)
		*refusal = (struct ws_refusal){ 429, "this address has all the connections it may have" };
	else
		*refusal = (struct ws_refusal){ 503, "out of memory" };
	return e;
}

void ws_front_leave(struct ws_connection *c)
{
	if (c->counted)
		ws_address_counts_leave(&ws_server_of(c)->front.counts, c->counted);
}
