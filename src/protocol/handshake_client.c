/* What a client asks, and whether the answer is one to it. */
#include "protocol/handshake_client.h"

#include <string.h>

#include "error.h"
#include "protocol/head_writer.h"

static void write_field(struct ws_head_writer *w, const char *name, struct ws_slice value)
{
	ws_head_write(w, name);
	ws_head_write(w, ": ");
	ws_head_write_slice(w, value);
	ws_head_write(w, "\r\n");
}

long ws_handshake_request(char *out, size_t size, const struct ws_client_request *request,
                          const char key[WS_HANDSHAKE_KEY])
{
	static const char *const own[] = {
		"Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol",
		"Sec-WebSocket-Extensions", "Content-Length", "Transfer-Encoding", NULL
	};
	struct ws_head_writer w = { out, size, 0 };

	if (!ws_head_lines_valid(request->extra, own))
		return WS_ERROR_PROTOCOL;
	ws_head_write(&w, "GET ");
	ws_head_write_slice(&w, request->target);
	ws_head_write(&w, " HTTP/1.1\r\n");
	write_field(&w, "Host", request->host);
	ws_head_write(&w, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
	write_field(&w, "Sec-WebSocket-Key", (struct ws_slice){ key, WS_HANDSHAKE_KEY });
	if (request->subprotocols.len > 0)
		write_field(&w, "Sec-WebSocket-Protocol", request->subprotocols);
	if (request->extensions.len > 0)
		write_field(&w, "Sec-WebSocket-Extensions", request->extensions);
	ws_head_write(&w, request->extra);
	ws_head_write(&w, "\r\n");
	return (long)w.used;
}

/* How many headers there are of that name; value is the last one's. */
static unsigned find(const struct ws_head *head, const char *name, struct ws_slice *value)
{
	unsigned count = 0;
	size_t from = 0;
	for (const struct ws_header *h; (h = ws_head_next(head, name, &from)); count++)
		*value = h->value;
	return count;
}

static bool is_offered(struct ws_slice name, const char *const *offered, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (name.len == strlen(offered[i]) && !memcmp(name.data, offered[i], name.len))
			return true;
	return false;
}

/* NULL: nothing is wrong. */
static const char *upgrade_wrong(const struct ws_head *head)
{
	struct ws_slice value;
	if (head->minor < 1)
		return "the server answers with HTTP/1.0: only HTTP/1.1 has upgrades";
	const unsigned upgrades = find(head, "Upgrade", &value);
	if (upgrades == 0)
		return "the server's answer has no Upgrade";
	if (upgrades > 1)
		return "the server's answer has more than one Upgrade";
	if (!ws_slice_is(value, "websocket"))
		return "the server's Upgrade is not to websocket, or not to it alone";
	if (find(head, "Connection", &value) == 0)
		return "the server's answer has no Connection";
	if (!ws_head_lists(head, "Connection", "upgrade"))
		return "the server's Connection does not list Upgrade";
	return NULL;
}

static const char *accept_wrong(const struct ws_head *head, const char right[WS_HANDSHAKE_ACCEPT])
{
	struct ws_slice accept;
	const unsigned accepts = find(head, "Sec-WebSocket-Accept", &accept);
	if (accepts == 0)
		return "the server's answer has no Sec-WebSocket-Accept: it is not from a WebSocket server";
	if (accepts > 1)
		return "the server's answer has more than one Sec-WebSocket-Accept";
	if (accept.len != WS_HANDSHAKE_ACCEPT || memcmp(accept.data, right, WS_HANDSHAKE_ACCEPT) != 0)
		return "the server's Sec-WebSocket-Accept does not belong to our key: it answers somebody else";
	return NULL;
}

static const char *subprotocol_wrong(const struct ws_head *head, const char *const *offered, size_t count,
                                     struct ws_slice *subprotocol)
{
	*subprotocol = (struct ws_slice){ NULL, 0 };
	const unsigned answers = find(head, "Sec-WebSocket-Protocol", subprotocol);
	if (answers > 1)
		return "the server's answer has more than one Sec-WebSocket-Protocol";
	if (answers == 1 && count == 0)
		return "the server chose a subprotocol, but none was offered";
	if (answers == 1 && !is_offered(*subprotocol, offered, count))
		return "the server chose a subprotocol that was not offered";
	return NULL;
}

int ws_handshake_verify(const struct ws_head *head, const char right[WS_HANDSHAKE_ACCEPT], const char *const *offered,
                        size_t count, struct ws_slice *subprotocol, const char **why)
{
	*why = upgrade_wrong(head);
	if (!*why)
		*why = accept_wrong(head, right);
	if (!*why)
		*why = subprotocol_wrong(head, offered, count, subprotocol);
	return *why ? WS_ERROR_PROTOCOL : 0;
}
