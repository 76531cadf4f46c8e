/* The two kinds of proxy behind one face. */
#include "protocol/tunnel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "protocol/head_writer.h"

struct ws_tunnel {
	enum ws_tunnel_kind kind;
	struct ws_socks5 socks5;
	size_t request_len;
	char request[]; /* HTTP's */
};

/* RFC 9112 section 3.2.3; Host is the same (RFC 9110 section 7.2). */
static size_t write_request(char *out, size_t size, const struct ws_tunnel_options *options)
{
	struct ws_head_writer w = { out, size, 0 };
	ws_head_write(&w, "CONNECT ");
	ws_head_write_slice(&w, options->authority);
	ws_head_write(&w, " HTTP/1.1\r\nHost: ");
	ws_head_write_slice(&w, options->authority);
	if (options->authorization.len) {
		ws_head_write(&w, "\r\nProxy-Authorization: ");
		ws_head_write_slice(&w, options->authorization);
	}
	ws_head_write(&w, "\r\n\r\n");
	return w.used;
}

int ws_tunnel_new(struct ws_tunnel **out, const struct ws_tunnel_options *options)
{
	bool http = options->kind == WS_TUNNEL_HTTP;
	size_t len = http ? write_request(NULL, 0, options) : 0;
	struct ws_tunnel *tunnel = calloc(1, sizeof *tunnel + len);
	if (!tunnel)
		return WS_ERROR_MEMORY;
	tunnel->kind = options->kind;
	tunnel->request_len = len;
	if (http) {
		write_request(tunnel->request, len, options);
	} else if (ws_socks5_init(&tunnel->socks5, &options->socks5) != 0) {
		free(tunnel);
		return WS_ERROR_PROTOCOL;
	}
	*out = tunnel;
	return 0;
}

void ws_tunnel_free(struct ws_tunnel *tunnel)
{
	free(tunnel);
}

struct ws_slice ws_tunnel_start(const struct ws_tunnel *tunnel)
{
	if (tunnel->kind == WS_TUNNEL_SOCKS5)
		return ws_socks5_message(&tunnel->socks5);
	return (struct ws_slice){ tunnel->request, tunnel->request_len };
}

/* Any 2xx opens the tunnel, and has no body whatever its head says. Other 1xx than 101 announce the answer. */
static long next_http(const char *data, size_t len, size_t max_head, struct ws_tunnel_event *ev)
{
	struct ws_refusal wrong;
	long used = ws_head_parse_response(&ev->head, data, len, max_head, &wrong);
	if (used == WS_AGAIN)
		return WS_AGAIN;
	if (used < 0) {
		ev->type = WS_TUNNEL_FAILED;
		snprintf(ev->why, sizeof ev->why, "the proxy's answer is not a valid HTTP response: %s", wrong.why);
	} else if (ev->head.status / 100 == 2) {
		ev->type = WS_TUNNEL_OPEN;
	} else if (ev->head.status >= 300 || ev->head.status == 101) {
		ev->type = WS_TUNNEL_REFUSED;
	}
	return used;
}

static long next_socks5(struct ws_socks5 *s, const char *data, size_t len, struct ws_tunnel_event *ev)
{
	const char *why;
	long used = ws_socks5_next(s, data, len, &why);
	if (used == WS_AGAIN)
		return WS_AGAIN;
	if (used < 0) {
		ev->type = WS_TUNNEL_FAILED;
		snprintf(ev->why, sizeof ev->why, "%s", why);
	} else {
		ev->type = s->state == WS_SOCKS5_OPEN ? WS_TUNNEL_OPEN : WS_TUNNEL_SAY;
		ev->say = ws_socks5_message(s);
	}
	return used;
}

long ws_tunnel_next(struct ws_tunnel *tunnel, const char *data, size_t len, size_t max_head, struct ws_tunnel_event *ev)
{
	ev->type = WS_TUNNEL_SAY;
	ev->say = (struct ws_slice){ NULL, 0 };
	return tunnel->kind == WS_TUNNEL_HTTP ? next_http(data, len, max_head, ev)
	                                      : next_socks5(&tunnel->socks5, data, len, ev);
}
