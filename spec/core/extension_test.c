/* permessage-deflate negotiated, both ways, row by row (RFC 7692 sections 5 and 7.1, RFC 6455 section 9.1). */
#include "protocol/extension.h"

#include "unit.h"

#define COUNT(array) (sizeof (array) / sizeof *(array))

/* What we want: whether the server and the client may take their context over, and their windows. */
#define WANT(server_takeover, client_takeover, server_bits, client_bits) \
	{ true, !(server_takeover), !(client_takeover), server_bits, client_bits }
#define EASY WANT(true, true, 15, 15)
#define PLAIN WANT(false, false, 15, 15)
#define NOT { false, false, false, 0, 0 }

#define DEFLATE "permessage-deflate"
#define SERVER_NO "; server_no_context_takeover"
#define CLIENT_NO "; client_no_context_takeover"
#define SERVER_BITS(n) "; server_max_window_bits=" #n
#define CLIENT_BITS(n) "; client_max_window_bits=" #n
#define CLIENT_ANY "; client_max_window_bits"

/* A head with the lines; each is the header's value, and ends with '\n'. */
static const struct ws_head *head_of(const char *lines)
{
	static struct ws_head head;
	static char text[4096];
	struct ws_refusal refusal;
	int len = sprintf(text, "GET / HTTP/1.1\r\nHost: x\r\nX-Other: " DEFLATE "\r\n");

	while (*lines) {
		const int size = (int)strcspn(lines, "\n");
		len += sprintf(text + len, "Sec-WebSocket-Extensions: %.*s\r\n", size, lines);
		lines += size + 1;
	}
	len += sprintf(text + len, "\r\n");
	CHECK(ws_head_parse_request(&head, text, (size_t)len, sizeof text, &refusal) == len);
	return &head;
}

/* ---- the list */

static void test_lists(void)
{
	static const char *const valid[] = {
		"", "a\n", "a, b\n", "a,b;c\n", "a;b;c=d\n", "a;b=\"c\"\n", "a;b=\"\\c\\d\"\n", " a ; b = c , d\n", "\ta\t;\tb\t=\t\"c\"\t\n",
		",a\n", "a,\n", " , a , , b ,\n", "a\nb;c=d\n", "a;a;a\n", "a,a\n", "!#$%&'*+-.^_`|~09azAZ;!=~\n",
		DEFLATE "; unknown=\"12345678901234567890\"\n",
	};
	static const char *const wrong[] = {
		"\n", ",\n", " , ,\n", ";\n", "a;\n", "a; ;b\n", ";a\n", "a b\n", "a;b c\n", "a;b=\n", "a;b= ;c\n", "a;=c\n", "a=b\n",
		"a;b=c=d\n", "a;b=\"\"\n", "a;b=\"c\n", "a;b=\"c\"d\n", "a;b=\"c d\"\n", "a;b=\"c,d\"\n", "a;b=\"\\\"\n", "a;b=\"\\\n",
		"a;b=\"c\\ d\"\n", "a;b=c\"d\"\n", "a;b='c\"\n", "a/b\n", "a;b/c\n", "\"a\"\n", "a;\"b\"\n", "a\xe4\n", "a\n,\n",
		"a\n\n", "\na\n", "a,b c\n", DEFLATE "; client_max_window_bits=\n",
	};

	for (size_t i = 0; i < COUNT(valid); i++) {
		unit_row("%s", valid[i]);
		CHECK(ws_extension_list_valid(head_of(valid[i])));
	}
	for (size_t i = 0; i < COUNT(wrong); i++) {
		unit_row("%s", wrong[i]);
		CHECK(!ws_extension_list_valid(head_of(wrong[i])));
	}
}

/* ---- a server */

static void test_choose(void)
{
	static const struct {
		const char *offers;
		struct ws_deflate_parameters ours;
		const char *answer;
	} rows[] = {
		{ "", EASY, "" },
		{ DEFLATE "\n", NOT, "" },
		{ DEFLATE "\n", EASY, DEFLATE },
		{ DEFLATE "\n", PLAIN, DEFLATE SERVER_NO CLIENT_NO }, /* sections 7.1.1.1 and 7.1.1.2: also unasked */
		{ DEFLATE SERVER_NO "\n", EASY, DEFLATE SERVER_NO },
		{ DEFLATE CLIENT_NO "\n", EASY, DEFLATE CLIENT_NO },
		{ DEFLATE CLIENT_NO SERVER_NO "\n", EASY, DEFLATE SERVER_NO CLIENT_NO },
		{ DEFLATE "\n", WANT(false, true, 15, 15), DEFLATE SERVER_NO },
		{ DEFLATE "\n", WANT(true, false, 15, 15), DEFLATE CLIENT_NO },
		/* the server's window: what is asked for is answered, and a smaller one may be said unasked (7.1.2.1) */
		{ DEFLATE SERVER_BITS(15) "\n", EASY, DEFLATE SERVER_BITS(15) },
		{ DEFLATE SERVER_BITS(14) "\n", EASY, DEFLATE SERVER_BITS(14) },
		{ DEFLATE SERVER_BITS(10) "\n", EASY, DEFLATE SERVER_BITS(10) },
		{ DEFLATE SERVER_BITS(9) "\n", EASY, DEFLATE SERVER_BITS(9) },
		{ DEFLATE SERVER_BITS(8) "\n", EASY, DEFLATE SERVER_BITS(8) },
		{ DEFLATE SERVER_BITS(12) "\n", WANT(true, true, 10, 15), DEFLATE SERVER_BITS(10) },
		{ DEFLATE SERVER_BITS(10) "\n", WANT(true, true, 12, 15), DEFLATE SERVER_BITS(10) },
		{ DEFLATE "\n", WANT(true, true, 10, 15), DEFLATE SERVER_BITS(10) },
		/* the client's: only where it has offered to be asked (7.1.2.2) */
		{ DEFLATE CLIENT_ANY "\n", EASY, DEFLATE },
		{ DEFLATE CLIENT_ANY "\n", WANT(true, true, 15, 9), DEFLATE CLIENT_BITS(9) },
		{ DEFLATE CLIENT_ANY "\n", WANT(true, true, 15, 8), DEFLATE CLIENT_BITS(8) },
		{ DEFLATE CLIENT_BITS(15) "\n", EASY, DEFLATE },
		{ DEFLATE CLIENT_BITS(12) "\n", EASY, DEFLATE CLIENT_BITS(12) },
		{ DEFLATE CLIENT_BITS(12) "\n", WANT(true, true, 15, 10), DEFLATE CLIENT_BITS(10) },
		{ DEFLATE CLIENT_BITS(8) "\n", WANT(true, true, 15, 10), DEFLATE CLIENT_BITS(8) },
		{ DEFLATE "\n", WANT(true, true, 15, 14), "" },
		/* all at once, and forms of a value */
		{ DEFLATE CLIENT_ANY SERVER_BITS(9) CLIENT_NO SERVER_NO "\n", WANT(true, true, 15, 11),
		  DEFLATE SERVER_NO CLIENT_NO SERVER_BITS(9) CLIENT_BITS(11) },
		{ DEFLATE ";server_max_window_bits=\"10\"\n", EASY, DEFLATE SERVER_BITS(10) },
		{ DEFLATE ";server_max_window_bits=\"\\1\\0\"\n", EASY, DEFLATE SERVER_BITS(10) },
		{ DEFLATE "\t; \tserver_max_window_bits = 10 \n", EASY, DEFLATE SERVER_BITS(10) },
		/* several offers: the first that will do (section 5.1) */
		{ DEFLATE SERVER_BITS(10) ", " DEFLATE "\n", EASY, DEFLATE SERVER_BITS(10) },
		{ DEFLATE ", " DEFLATE SERVER_BITS(10) "\n", EASY, DEFLATE },
		{ DEFLATE SERVER_BITS(7) ", " DEFLATE SERVER_NO "\n", EASY, DEFLATE SERVER_NO },
		{ DEFLATE "; x\n" DEFLATE CLIENT_NO "\n", EASY, DEFLATE CLIENT_NO },
		{ DEFLATE ", " DEFLATE CLIENT_ANY "\n", WANT(true, true, 15, 9), DEFLATE CLIENT_BITS(9) },
		{ "x-webkit-deflate-frame, " DEFLATE "\n", EASY, DEFLATE },
		{ "x; server_max_window_bits=1, y\n, " DEFLATE ",\nz\n", EASY, DEFLATE },
		{ "permessage-deflat, permessage-deflates, deflate\n", EASY, "" },
		{ "PERMESSAGE-DEFLATE\n", EASY, "" },
		/* an offer that must be declined (section 7.1) */
		{ DEFLATE "; x\n", EASY, "" },
		{ DEFLATE "; Server_No_Context_Takeover\n", EASY, "" },
		{ DEFLATE "; server_no_context_takeovers\n", EASY, "" },
		{ DEFLATE "; server_no_context_takeover=1\n", EASY, "" },
		{ DEFLATE "; client_no_context_takeover=true\n", EASY, "" },
		{ DEFLATE "; client_no_context_takeover=\"x\"\n", EASY, "" },
		{ DEFLATE SERVER_NO SERVER_NO "\n", EASY, "" },
		{ DEFLATE CLIENT_NO CLIENT_NO "\n", EASY, "" },
		{ DEFLATE SERVER_BITS(10) SERVER_BITS(10) "\n", EASY, "" },
		{ DEFLATE CLIENT_ANY CLIENT_ANY "\n", EASY, "" },
		{ DEFLATE CLIENT_BITS(10) CLIENT_ANY "\n", EASY, "" },
		{ DEFLATE "; server_max_window_bits\n", EASY, "" },
		{ DEFLATE SERVER_BITS(7) "\n", EASY, "" },
		{ DEFLATE SERVER_BITS(16) "\n", EASY, "" },
		{ DEFLATE SERVER_BITS(0) "\n", EASY, "" },
		{ DEFLATE SERVER_BITS(08) "\n", EASY, "" },
		{ DEFLATE SERVER_BITS(010) "\n", EASY, "" },
		{ DEFLATE SERVER_BITS(20) "\n", EASY, "" },
		{ DEFLATE SERVER_BITS(100) "\n", EASY, "" },
		{ DEFLATE SERVER_BITS(1) "\n", EASY, "" },
		{ DEFLATE SERVER_BITS(-9) "\n", EASY, "" },
		{ DEFLATE SERVER_BITS(9.0) "\n", EASY, "" },
		{ DEFLATE SERVER_BITS(1x) "\n", EASY, "" },
		{ DEFLATE SERVER_BITS(1/) "\n", EASY, "" },
		{ DEFLATE SERVER_BITS(x) "\n", EASY, "" },
		{ DEFLATE CLIENT_BITS(7) "\n", EASY, "" },
		{ DEFLATE CLIENT_BITS(16) "\n", EASY, "" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[WS_EXTENSION_SIZE] = "?";
		const struct ws_deflate_parameters agreed = ws_extension_choose(head_of(rows[i].offers), &rows[i].ours);
		const size_t len = ws_extension_text(text, &agreed);
		unit_row("row %zu: %s: %s", i, rows[i].offers, text);
		CHECK(strcmp(text, rows[i].answer) == 0);
		CHECK(len == strlen(text));
	}
}

/* ---- a client */

static void test_offer(void)
{
	static const struct {
		struct ws_deflate_parameters ours;
		const char *offer;
	} rows[] = {
		{ NOT, "" },
		{ EASY, DEFLATE CLIENT_ANY },
		{ PLAIN, DEFLATE SERVER_NO CLIENT_NO CLIENT_ANY },
		{ WANT(false, true, 15, 15), DEFLATE SERVER_NO CLIENT_ANY },
		{ WANT(true, false, 15, 15), DEFLATE CLIENT_NO CLIENT_ANY },
		{ WANT(true, true, 8, 9), DEFLATE SERVER_BITS(8) CLIENT_BITS(9) },
		{ WANT(false, false, 14, 14), DEFLATE SERVER_NO CLIENT_NO SERVER_BITS(14) CLIENT_BITS(14) },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[WS_EXTENSION_SIZE] = "?";
		const struct ws_deflate_parameters offer = ws_extension_offer(&rows[i].ours);
		(void)ws_extension_text(text, &offer);
		unit_row("row %zu: %s", i, text);
		CHECK(strcmp(text, rows[i].offer) == 0);
	}
}

static void test_right_answers(void)
{
	static const struct {
		const char *answer;
		struct ws_deflate_parameters ours;
		const char *agreed;
	} rows[] = {
		{ "", NOT, "" },
		{ "", PLAIN, "" }, /* the server does not want any */
		{ DEFLATE "\n", EASY, DEFLATE },
		{ DEFLATE SERVER_NO CLIENT_NO "\n", EASY, DEFLATE SERVER_NO CLIENT_NO },
		{ DEFLATE SERVER_NO "\n", PLAIN, DEFLATE SERVER_NO CLIENT_NO }, /* our own restraint needs no permission */
		{ DEFLATE SERVER_BITS(8) "\n", EASY, DEFLATE SERVER_BITS(8) },
		{ DEFLATE SERVER_BITS(15) "\n", EASY, DEFLATE SERVER_BITS(15) },
		{ DEFLATE SERVER_BITS(9) "\n", WANT(true, true, 10, 15), DEFLATE SERVER_BITS(9) },
		{ DEFLATE SERVER_BITS(10) "\n", WANT(true, true, 10, 15), DEFLATE SERVER_BITS(10) },
		{ DEFLATE CLIENT_BITS(8) "\n", EASY, DEFLATE CLIENT_BITS(8) },
		{ DEFLATE CLIENT_BITS(15) "\n", EASY, DEFLATE },
		{ DEFLATE "; client_max_window_bits=\"10\"\n", EASY, DEFLATE CLIENT_BITS(10) },
		{ DEFLATE "\n", WANT(true, true, 15, 12), DEFLATE CLIENT_BITS(12) },
		{ DEFLATE CLIENT_BITS(12) "\n", WANT(true, true, 15, 12), DEFLATE CLIENT_BITS(12) },
		{ DEFLATE CLIENT_BITS(11) "\n", WANT(true, true, 15, 12), DEFLATE CLIENT_BITS(11) },
		{ " , " DEFLATE " ,\n", EASY, DEFLATE },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[WS_EXTENSION_SIZE] = "?";
		struct ws_deflate_parameters agreed;
		const char *why = ws_extension_wrong(head_of(rows[i].answer), &rows[i].ours, &agreed);
		(void)ws_extension_text(text, &agreed);
		unit_row("row %zu: %s: %s", i, rows[i].answer, why ? why : text);
		CHECK(why == NULL);
		CHECK(strcmp(text, rows[i].agreed) == 0);
	}
}

#define UNASKED "the server chose an extension, but none was offered"
#define NO_LIST "the server's Sec-WebSocket-Extensions is not a list of extensions"
#define TWO "the server chose more than one extension"
#define OTHER "the server chose an extension that was not offered"
#define PARAMETER "the server chose permessage-deflate with a parameter that is unknown, repeated or has a wrong value"
#define TAKEOVER "the server chose permessage-deflate, but not server_no_context_takeover, which was asked for"
#define SERVER_LARGER "the server chose permessage-deflate, but with a larger server_max_window_bits than was asked for"
#define CLIENT_LARGER "the server chose permessage-deflate, but with a larger client_max_window_bits than was offered"

static void test_wrong_answers(void)
{
	static const struct {
		const char *answer;
		struct ws_deflate_parameters ours;
		const char *why;
	} rows[] = {
		{ DEFLATE "\n", NOT, UNASKED },
		{ "x\n", NOT, UNASKED },
		{ "\n", NOT, UNASKED },
		{ "\n", EASY, NO_LIST },
		{ DEFLATE ";\n", EASY, NO_LIST },
		{ DEFLATE "\n\n", EASY, NO_LIST },
		{ DEFLATE ", " DEFLATE "\n", EASY, TWO },
		{ DEFLATE "\n" DEFLATE "\n", EASY, TWO },
		{ DEFLATE ", x\n", EASY, TWO },
		{ "x\n", EASY, OTHER },
		{ "Permessage-Deflate\n", EASY, OTHER },
		{ DEFLATE "; x\n", EASY, PARAMETER },
		{ DEFLATE SERVER_NO SERVER_NO "\n", EASY, PARAMETER },
		{ DEFLATE "; server_no_context_takeover=1\n", EASY, PARAMETER },
		{ DEFLATE CLIENT_ANY "\n", EASY, PARAMETER }, /* section 7.1.2.2: only an offer may have no value */
		{ DEFLATE "; server_max_window_bits\n", EASY, PARAMETER },
		{ DEFLATE SERVER_BITS(16) "\n", EASY, PARAMETER },
		{ DEFLATE CLIENT_BITS(7) "\n", EASY, PARAMETER },
		{ DEFLATE CLIENT_BITS(9) CLIENT_BITS(9) "\n", EASY, PARAMETER },
		{ DEFLATE "\n", WANT(false, true, 15, 15), TAKEOVER },
		{ DEFLATE CLIENT_NO "\n", PLAIN, TAKEOVER },
		{ DEFLATE "\n", WANT(true, true, 14, 15), SERVER_LARGER },
		{ DEFLATE SERVER_BITS(15) "\n", WANT(true, true, 14, 15), SERVER_LARGER },
		{ DEFLATE SERVER_BITS(9) "\n", WANT(true, true, 8, 15), SERVER_LARGER },
		{ DEFLATE CLIENT_BITS(13) "\n", WANT(true, true, 15, 12), CLIENT_LARGER },
		{ DEFLATE CLIENT_BITS(15) "\n", WANT(true, true, 15, 14), CLIENT_LARGER },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ws_deflate_parameters agreed = { .agreed = true };
		const char *why = ws_extension_wrong(head_of(rows[i].answer), &rows[i].ours, &agreed);
		unit_row("row %zu: %s: %s", i, rows[i].answer, why ? why : "(right)");
		CHECK(why != NULL && strcmp(why, rows[i].why) == 0);
		CHECK(!agreed.agreed);
	}
}

/* Whatever two of ours want, each takes what the other says, and both mean the same by it. */
static void test_ours_with_ours(void)
{
	for (unsigned n = 0; n < 1 << 10; n++) {
		const struct ws_deflate_parameters client = {
			true, n & 1, n & 2, (uint8_t)(8 + (n >> 2 & 1) * 3 + (n >> 3 & 1) * 4), (uint8_t)(15 - (n >> 4 & 1) * 6)
		};
		const struct ws_deflate_parameters server = {
			true, n >> 5 & 1, n >> 6 & 1, (uint8_t)(15 - (n >> 7 & 1) * 5), (uint8_t)(8 + (n >> 8 & 1) * 3 + (n >> 9) * 4)
		};
		char offer[WS_EXTENSION_SIZE + 1], answer[WS_EXTENSION_SIZE + 1], agreed[WS_EXTENSION_SIZE];
		const struct ws_deflate_parameters offered = ws_extension_offer(&client);
		struct ws_deflate_parameters at_client;
		(void)ws_extension_text(offer, &offered);
		strcat(offer, "\n");
		const struct ws_deflate_parameters at_server = ws_extension_choose(head_of(offer), &server);
		(void)ws_extension_text(answer, &at_server);
		unit_row("%s answered %s", offer, answer);
		CHECK(at_server.agreed);
		strcat(answer, "\n");
		CHECK(ws_extension_wrong(head_of(answer), &client, &at_client) == NULL);
		(void)ws_extension_text(agreed, &at_client);
		answer[strlen(answer) - 1] = '\0';
		CHECK(strcmp(agreed, answer) == 0);
		CHECK(at_server.server_no_context_takeover == ((n & 1) || (n >> 5 & 1)));
		CHECK(at_server.client_no_context_takeover == ((n & 2) || (n >> 6 & 1)));
	}
}

UNIT_MAIN(
	{ "the header is a list, over several lines, of tokens with parameters", test_lists },
	{ "a server answers the first offer that it can accept", test_choose },
	{ "a client offers what it wants", test_offer },
	{ "a client takes every right answer", test_right_answers },
	{ "a client says of a wrong answer what is wrong", test_wrong_answers },
	{ "our client and our server always agree", test_ours_with_ours }
)
