/* Reads the header's list, decides on permessage-deflate, and writes its parameters. */
#include "protocol/extension.h"

#include <stdio.h>
#include <string.h>

static const char name_of_deflate[] = "permessage-deflate";

/* ---- reading: 1#( token *( ";" token [ "=" ( token | quoted-string ) ] ) ), white space between any two of these */

/* One element of the list. */
struct extension {
	bool is_deflate;
	bool valid;         /* if it is: no unknown or repeated parameter, no value that is none (section 7.1) */
	bool client_window_open; /* client_max_window_bits came without a value */
	struct ws_deflate_parameters parameters;
};

/* The list, over all the header's lines (RFC 6455 section 9.1). */
struct list {
	const struct ws_head *head;
	size_t next_line;
	struct ws_slice rest; /* of the present line */
	bool malformed;
};

static void skip_space(struct ws_slice *text)
{
	while (text->len > 0 && (*text->data == ' ' || *text->data == '\t')) {
		text->data++;
		text->len--;
	}
}

static bool take_char(struct ws_slice *text, char c)
{
	skip_space(text);
	if (text->len == 0 || *text->data != c)
		return false;
	text->data++;
	text->len--;
	return true;
}

/* As many characters as a token may have; false where there is none. */
static bool take_token(struct ws_slice *text, struct ws_slice *token)
{
	skip_space(text);
	size_t len = 0;
	while (len < text->len && ws_slice_is_token((struct ws_slice){ text->data + len, 1 }))
		len++;
	*token = (struct ws_slice){ text->data, len };
	text->data += len;
	text->len -= len;
	return len > 0;
}

/* A parameter's value: as much of it as is needed to know a number of one or two digits. */
struct value {
	char start[4];
	size_t len;
};

static void value_add(struct value *value, char c)
{
	if (value->len < sizeof value->start)
		value->start[value->len] = c;
	value->len++;
}

/* Behind the opening quote. What it stands for must be a token, too. */
static bool take_quoted(struct ws_slice *text, struct value *value)
{
	while (text->len > 0 && *text->data != '"') {
		size_t at = *text->data == '\\' ? 1 : 0;
		if (at >= text->len || !ws_slice_is_token((struct ws_slice){ text->data + at, 1 }))
			return false;
		value_add(value, text->data[at]);
		text->data += at + 1;
		text->len -= at + 1;
	}
	return take_char(text, '"') && value->len > 0;
}

static bool take_value(struct ws_slice *text, struct value *value)
{
	struct ws_slice token;
	if (take_char(text, '"'))
		return take_quoted(text, value);
	if (!take_token(text, &token))
		return false;
	for (size_t i = 0; i < token.len; i++)
		value_add(value, token.data[i]);
	return true;
}

/* A decimal number from 8 to 15 without leading zeros; else 0. */
static uint8_t window_bits(const struct value *value)
{
	const char *s = value->start;
	if (value->len == 1 && (*s == '8' || *s == '9'))
		return (uint8_t)(*s - '0');
	return value->len == 2 && s[0] == '1' && s[1] >= '0' && s[1] <= '5' ? (uint8_t)(10 + s[1] - '0') : 0;
}

static bool set_flag(bool *flag, const struct value *value)
{
	bool fresh = !*flag;
	*flag = true;
	return fresh && value->len == 0;
}

static bool set_window(uint8_t *bits, const struct value *value)
{
	bool fresh = *bits == 0;
	*bits = window_bits(value);
	return fresh && *bits != 0;
}

/* False: the parameter is unknown, or there for a second time, or its value is none that it may have. */
static bool set_parameter(struct extension *e, struct ws_slice name, const struct value *value)
{
	struct ws_deflate_parameters *p = &e->parameters;
	if (ws_slice_equals(name, ws_slice_of("server_no_context_takeover")))
		return set_flag(&p->server_no_context_takeover, value);
	if (ws_slice_equals(name, ws_slice_of("client_no_context_takeover")))
		return set_flag(&p->client_no_context_takeover, value);
	if (ws_slice_equals(name, ws_slice_of("server_max_window_bits")))
		return set_window(&p->server_max_window_bits, value);
	if (!ws_slice_equals(name, ws_slice_of("client_max_window_bits")))
		return false;
	e->client_window_open = value->len == 0;
	const struct value any = { "15", 2 };
	return set_window(&p->client_max_window_bits, value->len == 0 ? &any : value);
}

/* False: the text is not of the list's form. */
static bool take_extension(struct ws_slice *text, struct extension *e)
{
	struct ws_slice name, parameter;
	*e = (struct extension){ .valid = true };
	if (!take_token(text, &name))
		return false;
	e->is_deflate = ws_slice_equals(name, ws_slice_of(name_of_deflate));
	e->parameters.agreed = e->is_deflate;
	while (take_char(text, ';')) {
		struct value value = { .len = 0 };
		if (!take_token(text, &parameter) || (take_char(text, '=') && !take_value(text, &value)))
			return false;
		e->valid = set_parameter(e, parameter, &value) && e->valid;
	}
	skip_space(text);
	return text->len == 0 || *text->data == ',';
}

/* Passes over empty elements; false at the line's end. */
static bool find_element(struct ws_slice *text)
{
	while (take_char(text, ','))
		;
	return text->len > 0;
}

/* False at the end of the list, or where it is malformed. */
static bool list_next(struct list *list, struct extension *e)
{
	if (!find_element(&list->rest)) {
		const struct ws_header *line = ws_head_next(list->head, "Sec-WebSocket-Extensions", &list->next_line);
		if (!line)
			return false;
		list->rest = line->value;
		find_element(&list->rest); /* there is at least one */
	}
	list->malformed = !take_extension(&list->rest, e);
	return !list->malformed;
}

/* ---- deciding */

static uint8_t or_most(uint8_t bits)
{
	return bits ? bits : WS_WINDOW_BITS_MAX;
}

static uint8_t smaller(uint8_t a, uint8_t b)
{
	return a < b ? a : b;
}

/* The most that there can be need not be said. */
static uint8_t unless_most(uint8_t bits)
{
	return bits < WS_WINDOW_BITS_MAX ? bits : 0;
}

/*
 * Agrees, if we can do as the client asks (sections 7.1.1 and 7.1.2): its own window can only be asked to be smaller if
 * the client has said that it understands that.
 */
static void accept_offer(const struct extension *offer, const struct ws_deflate_parameters *ours,
                         struct ws_deflate_parameters *answer)
{
	const struct ws_deflate_parameters *theirs = &offer->parameters;
	uint8_t server_bits = smaller(or_most(theirs->server_max_window_bits), ours->server_max_window_bits);
	if (!offer->is_deflate || !offer->valid)
		return;
	if (!theirs->client_max_window_bits && ours->client_max_window_bits < WS_WINDOW_BITS_MAX)
		return;
	*answer = (struct ws_deflate_parameters){
		.agreed = true,
		.server_no_context_takeover = theirs->server_no_context_takeover || ours->server_no_context_takeover,
		.client_no_context_takeover = theirs->client_no_context_takeover || ours->client_no_context_takeover,
		.server_max_window_bits = theirs->server_max_window_bits ? server_bits : unless_most(server_bits),
		.client_max_window_bits =
			unless_most(smaller(or_most(theirs->client_max_window_bits), ours->client_max_window_bits)),
	};
}

bool ws_extension_list_valid(const struct ws_head *head)
{
	struct list list = { .head = head };
	struct extension e;
	while (list_next(&list, &e))
		;
	return !list.malformed;
}

struct ws_deflate_parameters ws_extension_choose(const struct ws_head *head, const struct ws_deflate_parameters *ours)
{
	struct list list = { .head = head };
	struct ws_deflate_parameters answer = { .agreed = false };
	struct extension e;
	while (ours->agreed && !answer.agreed && list_next(&list, &e))
		accept_offer(&e, ours, &answer);
	return answer;
}

struct ws_deflate_parameters ws_extension_offer(const struct ws_deflate_parameters *ours)
{
	struct ws_deflate_parameters offer = *ours;
	offer.server_max_window_bits = unless_most(ours->server_max_window_bits);
	return offer;
}

/* What the server must have said if it takes our offer, and what it may not say (section 7.1.1 and 7.1.2). */
static const char *answer_wrong(const struct extension *e, const struct ws_deflate_parameters *ours)
{
	const struct ws_deflate_parameters *theirs = &e->parameters;
	if (!e->is_deflate)
		return "the server chose an extension that was not offered";
	if (!e->valid || e->client_window_open)
		return "the server chose permessage-deflate with a parameter that is unknown, repeated or has a wrong value";
	if (ours->server_no_context_takeover && !theirs->server_no_context_takeover)
		return "the server chose permessage-deflate, but not server_no_context_takeover, which was asked for";
	if (or_most(theirs->server_max_window_bits) > ours->server_max_window_bits)
		return "the server chose permessage-deflate, but with a larger server_max_window_bits than was asked for";
	if (theirs->client_max_window_bits > ours->client_max_window_bits)
		return "the server chose permessage-deflate, but with a larger client_max_window_bits than was offered";
	return NULL;
}

const char *ws_extension_wrong(const struct ws_head *head, const struct ws_deflate_parameters *ours,
                               struct ws_deflate_parameters *agreed)
{
	struct list list = { .head = head };
	struct extension e, second;
	*agreed = (struct ws_deflate_parameters){ .agreed = false };
	bool found = list_next(&list, &e);
	bool more = found && list_next(&list, &second);
	if (!ours->agreed && (found || list.malformed))
		return "the server chose an extension, but none was offered";
	if (list.malformed)
		return "the server's Sec-WebSocket-Extensions is not a list of extensions";
	if (more)
		return "the server chose more than one extension";
	const char *why = found ? answer_wrong(&e, ours) : NULL;
	if (!found || why)
		return why;
	*agreed = e.parameters;
	agreed->client_no_context_takeover = agreed->client_no_context_takeover || ours->client_no_context_takeover;
	agreed->client_max_window_bits =
		unless_most(smaller(or_most(agreed->client_max_window_bits), ours->client_max_window_bits));
	return NULL;
}

/* ---- writing */

size_t ws_extension_text(char out[WS_EXTENSION_SIZE], const struct ws_deflate_parameters *p)
{
	char server[32] = "", client[32] = "";
	out[0] = '\0';
	if (!p->agreed)
		return 0;
	if (p->server_max_window_bits)
		snprintf(server, sizeof server, "; server_max_window_bits=%u", p->server_max_window_bits);
	if (unless_most(p->client_max_window_bits))
		snprintf(client, sizeof client, "; client_max_window_bits=%u", p->client_max_window_bits);
	else if (p->client_max_window_bits) /* an offer: any window is fine (section 7.1.2.2) */
		snprintf(client, sizeof client, "; client_max_window_bits");
	return (size_t)snprintf(out, WS_EXTENSION_SIZE, "%s%s%s%s%s", name_of_deflate,
	                        p->server_no_context_takeover ? "; server_no_context_takeover" : "",
	                        p->client_no_context_takeover ? "; client_no_context_takeover" : "", server, client);
}
