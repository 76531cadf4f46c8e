/*
 * libwebsockets, as its minimal examples do it: a ring of messages per connection, written when it says writable.
 * Prints its port.
 *     libwebsockets echo | takeover
 *     libwebsockets tls CERTIFICATE KEY
 */
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A message, or what has come of it. */
struct message {
	struct message *next;
	size_t size;
	int binary;
	unsigned char *data;    /* behind LWS_PRE bytes of room for the head */
};

struct session {
	struct message *coming;
	struct message *first, **last; /* what waits to be written */
};

static int append(struct message *message, const void *data, size_t size)
{
	unsigned char *grown = realloc(message->data, LWS_PRE + message->size + size);

	if (grown == NULL)
		return -1;
	message->data = grown;
	memcpy(grown + LWS_PRE + message->size, data, size);
	message->size += size;
	return 0;
}

static void free_message(struct message *message)
{
	if (message != NULL)
		free(message->data);
	free(message);
}

static int receive(struct lws *wsi, struct session *session, const void *data, size_t size)
{
	if (session->coming == NULL)
		session->coming = calloc(1, sizeof *session->coming);
	if (session->coming == NULL || append(session->coming, data, size) != 0)
		return -1;
	if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi) > 0)
		return 0;
	session->coming->binary = lws_frame_is_binary(wsi);
	*session->last = session->coming;
	session->last = &session->coming->next;
	session->coming = NULL;
	lws_callback_on_writable(wsi);
	return 0;
}

static int write_next(struct lws *wsi, struct session *session)
{
	struct message *message = session->first;
	int sent;

	if (message == NULL)
		return 0;
	session->first = message->next;
	if (session->first == NULL)
		session->last = &session->first;
	else
		lws_callback_on_writable(wsi);
	sent = lws_write(wsi, message->data + LWS_PRE, message->size, message->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
	sent = sent < (int)message->size ? -1 : 0;
	free_message(message);
	return sent;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *data, size_t size)
{
	struct session *session = user;

	switch (reason) {
	case LWS_CALLBACK_ESTABLISHED:
		session->last = &session->first;
		return 0;
	case LWS_CALLBACK_RECEIVE:
		return receive(wsi, session, data, size);
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return write_next(wsi, session);
	case LWS_CALLBACK_CLOSED:
		free_message(session->coming);
		while (session->first != NULL) {
			struct message *message = session->first;
			session->first = message->next;
			free_message(message);
		}
		return 0;
	default:
		return lws_callback_http_dummy(wsi, reason, user, data, size);
	}
}

int main(int argc, char **argv)
{
	static const struct lws_protocols protocols[] = {
		{ "echo", on_event, sizeof(struct session), 65536, 0, NULL, 0 }, { 0 }
	};
	static const struct lws_extension extensions[] = {
		{ "permessage-deflate", lws_extension_callback_pm_deflate, "permessage-deflate" }, { 0 }
	};
	struct lws_context_creation_info info = { .port = 0, .iface = "lo", .protocols = protocols };
	struct lws_context *context;
	struct lws_vhost *vhost;

	lws_set_log_level(LLL_ERR, NULL);
	info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_VALIDATE_UTF8;
	if (strcmp(argv[1], "takeover") == 0)
		info.extensions = extensions;
	if (argc > 3 && strcmp(argv[1], "tls") == 0) {
		info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
		info.ssl_cert_filepath = argv[2];
		info.ssl_private_key_filepath = argv[3];
	}
	context = lws_create_context(&info);
	vhost = context == NULL ? NULL : lws_create_vhost(context, &info);
	if (vhost == NULL)
		return EXIT_FAILURE;
	(void)printf("%d\n", lws_get_vhost_listen_port(vhost));
	(void)fflush(stdout);
	while (lws_service(context, 0) >= 0)
		;
	return EXIT_SUCCESS;
}
