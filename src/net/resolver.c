/*
 * Looking a name up. Whatever needs no network is known at once and told at the end of the turn; for the
 * rest evdns is asked for AAAA and A at the same time. evdns's state exists only while it is being asked:
 * an idle one would probe name servers that have failed, and would not notice a new resolv.conf.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "net/resolver.h"

#include <event2/dns.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "error.h"
#include "net/loop_private.h"

enum {
	RESOLUTION_DELAY_MS = 50, /* what an AAAA may take longer than the A before it: RFC 8305, section 3 */
	NAME_MAX_LENGTH = 253,    /* RFC 1035, section 2.3.4, as text and without the last dot */
	LABEL_MAX_LENGTH = 63
};

/* A question to evdns, which answers in any case and later, even to what was canceled. */
struct query {
	struct ws_resolver *resolver; /* NULL: given up */
	struct ws_loop *loop;
	struct evdns_request *request;
};

enum { IP6, IP4, FAMILIES };

struct ws_resolver {
	struct ws_loop *loop;
	ws_resolver_found *found;
	void *arg;
	struct ws_deferred known;        /* tells what needed no query */
	struct ws_timer delay;           /* the A records have come and wait for the AAAA */
	struct query *queries[FAMILIES]; /* NULL: answered or not asked */
	const char *why;
	size_t count;
	union ws_address addresses[WS_RESOLVER_MAX];
};

#define RESOLVER_OF(member, pointer) \
	((struct ws_resolver *)(void *)((char *)(pointer) - offsetof(struct ws_resolver, member)))

static void resolver_add(struct ws_resolver *r, const union ws_address *address)
{
	size_t same = 0;
	for (size_t i = 0; i < r->count; i++)
		same += r->addresses[i].any.sa_family == address->any.sa_family;
	if (same < WS_RESOLVER_PER_FAMILY)
		r->addresses[r->count++] = *address;
}

static void resolver_add_ip6(struct ws_resolver *r, const struct in6_addr *ip6)
{
	union ws_address a = {.ip6 = {.sin6_family = AF_INET6, .sin6_addr = *ip6}};
	resolver_add(r, &a);
}

static void resolver_add_ip4(struct ws_resolver *r, struct in_addr ip4)
{
	union ws_address a = {.ip4 = {.sin_family = AF_INET, .sin_addr = ip4}};
	resolver_add(r, &a);
}

/* Adds the address that text is, if it is one; AI_NUMERICHOST: nobody is asked. 0 or WS_ERROR_MEMORY. */
static int resolver_add_numeric(struct ws_resolver *r, const char *text)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *numeric = NULL;
	int failure = getaddrinfo(text, NULL, &hints, &numeric);
	if (failure != 0)
		return failure == EAI_MEMORY ? WS_ERROR_MEMORY : 0;
	union ws_address a = {.any = {0}};
	memcpy(&a, numeric->ai_addr, numeric->ai_addrlen);
	freeaddrinfo(numeric);
	resolver_add(r, &a);
	return 0;
}

/* RFC 6761, section 6.3: these are never asked for. */
static void resolver_add_localhost(struct ws_resolver *r, const char *name)
{
	static const char localhost[] = ".localhost";
	size_t len = strlen(name), tail = sizeof localhost - 1;
	if (strcasecmp(name, localhost + 1) != 0 && (len <= tail || strcasecmp(name + len - tail, localhost) != 0))
		return;
	resolver_add_ip6(r, &in6addr_loopback);
	resolver_add_ip4(r, (struct in_addr){htonl(INADDR_LOOPBACK)});
}

/* An address, then its names; # begins a comment. */
static void hosts_line(struct ws_resolver *r, char *line, const char *name)
{
	static const char blanks[] = " \t\r\n";
	char *state, *address, *each;
	line[strcspn(line, "#")] = '\0';
	address = strtok_r(line, blanks, &state);
	while (address != NULL && (each = strtok_r(NULL, blanks, &state)) != NULL)
		if (strcasecmp(each, name) == 0) {
			resolver_add_numeric(r, address);
			return;
		}
}

static void resolver_add_hosts(struct ws_resolver *r, const char *name)
{
	char *line = NULL;
	size_t size = 0;
	FILE *file = fopen(r->loop->hosts_file, "re");
	if (file == NULL)
		return;
	while (getline(&line, &size, file) >= 0)
		hosts_line(r, line, name);
	free(line);
	fclose(file);
}

/* RFC 1035, section 2.3.4; evdns would send an empty label. */
static bool name_valid(const char *name)
{
	size_t label = 0;
	if (name[0] == '.' || strlen(name) > NAME_MAX_LENGTH)
		return false;
	for (; *name != '\0'; name++) {
		label = *name == '.' ? 0 : label + 1;
		if (label > LABEL_MAX_LENGTH || (label == 0 && (name[1] == '.' || name[1] == '\0')))
			return false;
	}
	return label > 0;
}

static const char *failure_words(int failure)
{
	switch (failure) {
	case DNS_ERR_NOTEXIST:
		return "the name does not exist";
	case DNS_ERR_NODATA:
		return "the name has no address";
	case DNS_ERR_TIMEOUT:
		return "no name server gave an answer";
	case DNS_ERR_REFUSED:
		return "the name server refuses to answer";
	default:
		return evdns_err_to_string(failure);
	}
}

/* It would tell stderr of every name server that fails. Who asked is told by us. */
static void dns_keep_quiet(int is_warning, const char *message)
{
	(void)is_warning;
	(void)message;
}

static int dns_open(struct ws_loop *loop)
{
	if (loop->dns != NULL)
		return 0;
	evdns_set_log_fn(dns_keep_quiet); /* the process's; the same for every loop */
	/* Without resolv.conf: with it, evdns_base_new fails where no name server is set. */
	loop->dns = evdns_base_new(loop->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (loop->dns == NULL)
		return WS_ERROR_MEMORY;
	int what = DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_NAMESERVERS_NO_DEFAULT | DNS_OPTION_MISC;
	evdns_base_resolv_conf_parse(loop->dns, what, loop->resolv_conf);
	/* No probe within any life of this base: it asks for somebody else's name, and may outlive its server. */
	evdns_base_set_option(loop->dns, "initial-probe-timeout", "3600");
	return 0;
}

/* Once nobody waits for an answer. evdns's callbacks that are still to come do not need it. */
static void dns_close_unused(struct ws_loop *loop)
{
	if (loop->dns == NULL || loop->dns_awaited > 0)
		return;
	evdns_base_free(loop->dns, 0);
	loop->dns = NULL;
}

static bool resolver_asking(const struct ws_resolver *r)
{
	return r->queries[IP6] != NULL || r->queries[IP4] != NULL;
}

/* found may free the resolver: nothing may follow. */
static void resolver_tell(struct ws_resolver *r)
{
	size_t count = r->count;
	r->count = 0;
	ws_timer_stop(r->loop, &r->delay);
	r->found(r->arg, r->addresses, count, !resolver_asking(r), r->why);
}

static void resolver_known(struct ws_deferred *known)
{
	resolver_tell(RESOLVER_OF(known, known));
}

static void resolver_delayed(struct ws_timer *delay)
{
	resolver_tell(RESOLVER_OF(delay, delay));
}

static void resolver_take(struct ws_resolver *r, int failure, int type, int count, const void *addresses)
{
	for (int i = 0; i < count && type == DNS_IPv6_AAAA; i++)
		resolver_add_ip6(r, (const struct in6_addr *)addresses + i);
	for (int i = 0; i < count && type == DNS_IPv4_A; i++)
		resolver_add_ip4(r, ((const struct in_addr *)addresses)[i]);
	if (failure == DNS_ERR_NONE)
		failure = DNS_ERR_NODATA; /* matters only if there is none */
	if (r->why == NULL || failure != DNS_ERR_NODATA)
		r->why = failure_words(failure);
}

static void query_answered(int failure, char type, int count, int ttl, void *addresses, void *arg)
{
	struct query *query = arg;
	struct ws_resolver *r = query->resolver;
	struct ws_loop *loop = query->loop;
	(void)ttl;
	loop->dns_queries--;
	if (r == NULL) {
		free(query);
		return;
	}
	bool is_ip6 = query == r->queries[IP6];
	r->queries[is_ip6 ? IP6 : IP4] = NULL;
	free(query);
	loop->dns_awaited--;
	dns_close_unused(loop);
	resolver_take(r, failure, type, failure == DNS_ERR_NONE ? count : 0, addresses);
	if (!resolver_asking(r) || (is_ip6 && r->count > 0))
		resolver_tell(r);
	else if (r->count > 0)
		ws_timer_start(loop, &r->delay, ws_loop_now(loop) + RESOLUTION_DELAY_MS);
}

static int resolver_ask(struct ws_resolver *r, int family, const char *name, bool absolute)
{
	struct query *query = malloc(sizeof *query);
	if (query == NULL)
		return WS_ERROR_MEMORY;
	query->resolver = r;
	query->loop = r->loop;
	int flags = absolute ? DNS_QUERY_NO_SEARCH : 0;
	query->request = family == IP6 ? evdns_base_resolve_ipv6(r->loop->dns, name, flags, query_answered, query)
	                               : evdns_base_resolve_ipv4(r->loop->dns, name, flags, query_answered, query);
	if (query->request == NULL) {
		free(query);
		return WS_ERROR_MEMORY; /* the name has been looked at */
	}
	r->queries[family] = query;
	r->loop->dns_queries++;
	r->loop->dns_awaited++;
	return 0;
}

/* Asks DNS, or says why it cannot. */
static int resolver_start(struct ws_resolver *r, const char *name, bool absolute)
{
	if (!name_valid(name)) {
		r->why = "this cannot be a name";
		return 0;
	}
	int result = dns_open(r->loop);
	if (result == 0 && evdns_base_count_nameservers(r->loop->dns) == 0) {
		r->why = "there is no name server to ask";
		dns_close_unused(r->loop);
		return 0;
	}
	for (int family = 0; family < FAMILIES && result == 0; family++)
		result = resolver_ask(r, family, name, absolute);
	return result;
}

int ws_resolver_new(struct ws_resolver **out, struct ws_loop *loop, const char *host,
                    ws_resolver_found *found, void *arg)
{
	*out = NULL;
	size_t len = strlen(host);
	struct ws_resolver *r = calloc(1, sizeof *r);
	char *name = strdup(host);
	if (r == NULL || name == NULL) {
		free(r);
		free(name);
		return WS_ERROR_MEMORY;
	}
	r->loop = loop;
	r->found = found;
	r->arg = arg;
	r->known.run = resolver_known;
	ws_timer_init(&r->delay, resolver_delayed);
	bool absolute = len > 1 && name[len - 1] == '.'; /* no search list applies */
	if (absolute)
		name[len - 1] = '\0';
	int result = resolver_add_numeric(r, host);
	if (r->count == 0)
		resolver_add_localhost(r, name);
	if (r->count == 0)
		resolver_add_hosts(r, name);
	if (r->count == 0 && result == 0)
		result = resolver_start(r, name, absolute);
	free(name);
	if (result != 0) {
		ws_resolver_free(r);
		return result;
	}
	if (!resolver_asking(r))
		ws_loop_defer(loop, &r->known);
	*out = r;
	return 0;
}

static void query_cancel(struct query *query)
{
	query->resolver = NULL;
	query->loop->dns_awaited--;
	evdns_cancel_request(query->loop->dns, query->request);
}

void ws_resolver_free(struct ws_resolver *r)
{
	if (r == NULL)
		return;
	for (int family = 0; family < FAMILIES; family++)
		if (r->queries[family] != NULL)
			query_cancel(r->queries[family]);
	dns_close_unused(r->loop);
	ws_loop_undefer(r->loop, &r->known);
	ws_timer_stop(r->loop, &r->delay);
	free(r);
}
