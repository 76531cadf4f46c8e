/*
 * Sec-WebSocket-Extensions: what a server chooses and what a client makes of it, against a reader made of regular
 * expressions. The first two bytes are what we want; the rest is the header's lines.
 */
#include <regex.h>
#include <stdbool.h>
#include <string.h>

#include "fuzz.h"
#include "protocol/extension.h"

#define SPACE "[ \t]*"
#define TOKEN "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
#define QUOTED "\"([!#$%&'*+.^_`|~0-9A-Za-z-]|\\\\[!#$%&'*+.^_`|~0-9A-Za-z-])+\""
#define PARAMETER SPACE ";" SPACE TOKEN "(" SPACE "=" SPACE "(" TOKEN "|" QUOTED "))?"
#define EXTENSION TOKEN "(" PARAMETER ")*"
#define LIST "^(" SPACE ",)*" SPACE EXTENSION SPACE "(," SPACE "(" EXTENSION SPACE ")?)*$"

static regex_t list_form, extension_form, parameter_form;

static void compile(regex_t *form, const char *pattern)
{
	FUZZ_CHECK(regcomp(form, pattern, REG_EXTENDED) == 0);
}

/* ---- one extension, of the right form */

struct naive {
	bool valid, client_open;
	struct ws_deflate_parameters parameters;
	unsigned seen[4];
};

/* A parameter without its white space, quotes and backslashes. */
static void naive_parameter(struct naive *n, const char *text)
{
	static const char *const names[4] = {
		"server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits", "client_max_window_bits"
	};
	static const char *const numbers[] = { "8", "9", "10", "11", "12", "13", "14", "15" };
	const char *value = strchr(text, '=');
	const size_t len = value ? (size_t)(value - text) : strlen(text);
	unsigned which = 0, bits = 0;

	while (which < 4 && (strlen(names[which]) != len || strncmp(names[which], text, len) != 0))
		which++;
	if (which == 4 || n->seen[which]++ > 0) {
		n->valid = false;
		return;
	}
	for (unsigned i = 0; value && i < 8; i++)
		if (strcmp(value + 1, numbers[i]) == 0)
			bits = i + 8;
	if (which < 2)
		n->valid = n->valid && !value;
	else
		n->valid = n->valid && (bits || (which == 3 && !value));
	n->client_open = n->client_open || (which == 3 && !value);
	if (which == 0)
		n->parameters.server_no_context_takeover = true;
	if (which == 1)
		n->parameters.client_no_context_takeover = true;
	if (which == 2)
		n->parameters.server_max_window_bits = (uint8_t)bits;
	if (which == 3)
		n->parameters.client_max_window_bits = (uint8_t)(value ? bits : 15);
}

/* False: it is another extension. */
static bool naive_extension(struct naive *n, const char *text, size_t len)
{
	static const char name[] = "permessage-deflate";
	char *copy = strndup(text, len), *rest = copy, *bare = malloc(len + 1);
	regmatch_t at;

	*n = (struct naive){ .valid = true };
	const bool is = strncmp(copy, name, sizeof name - 1) == 0 && strchr(" \t;,", copy[sizeof name - 1]) != NULL;
	while (is && regexec(&parameter_form, rest, 1, &at, 0) == 0) {
		size_t size = 0;
		for (regoff_t i = at.rm_so; i < at.rm_eo; i++)
			if (strchr(" \t;\"\\", rest[i]) == NULL)
				bare[size++] = rest[i];
		bare[size] = '\0';
		naive_parameter(n, bare);
		rest += at.rm_eo;
	}
	free(copy);
	free(bare);
	return is;
}

/* ---- a server and a client */

static bool same(const struct ws_deflate_parameters *a, const struct ws_deflate_parameters *b)
{
	return a->agreed == b->agreed && a->server_no_context_takeover == b->server_no_context_takeover &&
	       a->client_no_context_takeover == b->client_no_context_takeover &&
	       a->server_max_window_bits == b->server_max_window_bits &&
	       a->client_max_window_bits == b->client_max_window_bits;
}

static unsigned least(unsigned a, unsigned b)
{
	a = a ? a : 15;
	return a < b ? a : b;
}

static void naive_accept(const struct naive *n, const struct ws_deflate_parameters *ours,
                         struct ws_deflate_parameters *answer)
{
	const struct ws_deflate_parameters *p = &n->parameters;
	const unsigned server = least(p->server_max_window_bits, ours->server_max_window_bits);
	const unsigned client = least(p->client_max_window_bits, ours->client_max_window_bits);

	if (!ours->agreed || answer->agreed || !n->valid || (!p->client_max_window_bits && client < 15))
		return;
	answer->agreed = true;
	answer->server_no_context_takeover = p->server_no_context_takeover | ours->server_no_context_takeover;
	answer->client_no_context_takeover = p->client_no_context_takeover | ours->client_no_context_takeover;
	answer->server_max_window_bits = (uint8_t)(p->server_max_window_bits || server < 15 ? server : 0);
	answer->client_max_window_bits = (uint8_t)(client < 15 ? client : 0);
}

static bool naive_right(const struct naive *n, const struct ws_deflate_parameters *ours)
{
	const struct ws_deflate_parameters *p = &n->parameters;

	return n->valid && !n->client_open && (p->server_no_context_takeover || !ours->server_no_context_takeover) &&
	       least(p->server_max_window_bits, 15) <= ours->server_max_window_bits &&
	       p->client_max_window_bits <= ours->client_max_window_bits;
}

/* ---- the header */

/* The lines as the parser of heads would give them; false for bytes that it would refuse. */
static bool make_head(struct ws_head *head, char *text)
{
	*head = (struct ws_head){ .count = 0 };
	for (char *line = text, *end; line && head->count < 8; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		for (const char *c = line; *c; c++)
			if ((*c > 0 && *c < ' ' && *c != '\t') || *c == 0x7f)
				return false;
		line += strspn(line, " \t");
		for (char *last = line + strlen(line); last > line && strchr(" \t", last[-1]); last--)
			last[-1] = '\0';
		head->headers[head->count++] = (struct ws_header){
			{ "sec-websocket-extensions", 24 }, { line, strlen(line) }
		};
	}
	return true;
}

/* What the other side of ours makes of what was agreed on. */
static void check_answer(const struct ws_deflate_parameters *answer)
{
	static const struct ws_deflate_parameters easy = { true, false, false, 15, 15 };
	struct ws_deflate_parameters agreed;
	char text[WS_EXTENSION_SIZE];
	struct ws_head head = { .count = 1 };

	const size_t len = ws_extension_text(text, answer);
	FUZZ_CHECK(len == strlen(text));
	head.headers[0] = (struct ws_header){ { "sec-websocket-extensions", 24 }, { text, len } };
	FUZZ_CHECK(ws_extension_wrong(&head, &easy, &agreed) == NULL && same(&agreed, answer));
}

static void check(const struct ws_head *head, const struct ws_deflate_parameters *ours)
{
	struct ws_deflate_parameters expected = { .agreed = false }, agreed;
	unsigned extensions = 0;
	bool valid = true, right = true;

	for (size_t i = 0; i < head->count; i++) {
		const char *line = head->headers[i].value.data;
		regmatch_t at;
		valid = valid && regexec(&list_form, line, 0, NULL, 0) == 0;
		for (; valid && regexec(&extension_form, line, 1, &at, 0) == 0; line += at.rm_eo) {
			struct naive n;
			const bool is = naive_extension(&n, line + at.rm_so, (size_t)(at.rm_eo - at.rm_so));
			if (is)
				naive_accept(&n, ours, &expected);
			right = right && is && naive_right(&n, ours);
			extensions++;
		}
	}
	FUZZ_CHECK(ws_extension_list_valid(head) == valid);
	agreed = ws_extension_choose(head, ours);
	FUZZ_CHECK(!valid || same(&agreed, &expected));
	if (agreed.agreed)
		check_answer(&agreed);
	const char *why = ws_extension_wrong(head, ours, &agreed);
	FUZZ_CHECK((why == NULL) == (valid && right && extensions == 1 && ours->agreed));
	FUZZ_CHECK(agreed.agreed == (why == NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ws_head head;

	if (size < 2)
		return 0;
	if (list_form.re_nsub == 0) {
		compile(&list_form, LIST);
		compile(&extension_form, EXTENSION);
		compile(&parameter_form, PARAMETER);
	}
	const struct ws_deflate_parameters ours = {
		data[0] & 1, data[0] & 2, data[0] & 4, (uint8_t)(15 - data[1] % 8), (uint8_t)(15 - data[1] / 16 % 8)
	};
	char *text = strndup((const char *)data + 2, size < 202 ? size - 2 : 200);
	if (make_head(&head, text))
		check(&head, &ours);
	free(text);
	return 0;
}
