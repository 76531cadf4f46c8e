/* Close codes: RFC 6455 section 7.4 and the IANA registry. */
#include "protocol/code.h"

#include "unit.h"

static void test_on_wire(void)
{
	for (unsigned code = 0; code <= 70000; code++) {
		const bool expected = code == 1000 || code == 1001 || code == 1002 || code == 1003 || code == 1007
			|| code == 1008 || code == 1009 || code == 1010 || code == 1011 || code == 1012 || code == 1013
			|| code == 1014 || (code >= 3000 && code < 5000);
		unit_row("%u", code);
		CHECK(ws_code_on_wire(code) == expected);
	}
	CHECK(!ws_code_on_wire((unsigned)-1));
}

static void test_names(void)
{
	static const struct {
		unsigned code;
		const char *name;
	} rows[] = {
		{ WS_CODE_NORMAL, "NORMAL" }, { WS_CODE_GOING_AWAY, "GOING_AWAY" },
		{ WS_CODE_PROTOCOL_ERROR, "PROTOCOL_ERROR" }, { WS_CODE_UNSUPPORTED_DATA, "UNSUPPORTED_DATA" },
		{ WS_CODE_NO_STATUS, "NO_STATUS" }, { WS_CODE_ABNORMAL, "ABNORMAL" },
		{ WS_CODE_INVALID_DATA, "INVALID_DATA" }, { WS_CODE_POLICY_VIOLATION, "POLICY_VIOLATION" },
		{ WS_CODE_MESSAGE_TOO_BIG, "MESSAGE_TOO_BIG" },
		{ WS_CODE_MANDATORY_EXTENSION, "MANDATORY_EXTENSION" },
		{ WS_CODE_INTERNAL_ERROR, "INTERNAL_ERROR" }, { WS_CODE_SERVICE_RESTART, "SERVICE_RESTART" },
		{ WS_CODE_TRY_AGAIN_LATER, "TRY_AGAIN_LATER" }, { WS_CODE_BAD_GATEWAY, "BAD_GATEWAY" },
		{ WS_CODE_TLS_HANDSHAKE, "TLS_HANDSHAKE" }
	};
	const size_t count = sizeof rows / sizeof *rows;
	size_t named = 0;

	for (size_t i = 0; i < count; i++) {
		const char *name = ws_code_name(rows[i].code);
		unit_row("%u", rows[i].code);
		CHECK(name != NULL && strcmp(name, rows[i].name) == 0);
	}
	for (unsigned code = 0; code <= 70000; code++)
		named += ws_code_name(code) != NULL;
	CHECK(named == count);
	CHECK(ws_code_name(1004) == NULL);
}

UNIT_MAIN(
	{ "the codes that may stand in a Close frame", test_on_wire },
	{ "every code that has a name", test_names }
)
