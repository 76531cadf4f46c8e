/* Close codes: which may be sent and received, and what they are called. */
#include "protocol/code.h"

#include <stddef.h>

bool ws_code_on_wire(unsigned code)
{
	/*
	 * RFC 6455 section 7.4.2: 0-999 are not used, 1000-2999 belong to the protocol, 3000-4999 to its users.
	 */
	if (code >= 3000)
		return code <= 4999;
	/*
	 * Of the protocol's own, 1004 is reserved and 1005, 1006 only report what never came (section 7.4.1).
	 */
	return (code >= WS_CODE_NORMAL && code <= WS_CODE_UNSUPPORTED_DATA)
		|| (code >= WS_CODE_INVALID_DATA && code <= WS_CODE_BAD_GATEWAY);
}

const char *ws_code_name(unsigned code)
{
	switch (code) {
	case WS_CODE_NORMAL: return "NORMAL";
	case WS_CODE_GOING_AWAY: return "GOING_AWAY";
	case WS_CODE_PROTOCOL_ERROR: return "PROTOCOL_ERROR";
	case WS_CODE_UNSUPPORTED_DATA: return "UNSUPPORTED_DATA";
	case WS_CODE_NO_STATUS: return "NO_STATUS";
	case WS_CODE_ABNORMAL: return "ABNORMAL";
	case WS_CODE_INVALID_DATA: return "INVALID_DATA";
	case WS_CODE_POLICY_VIOLATION: return "POLICY_VIOLATION";
	case WS_CODE_MESSAGE_TOO_BIG: return "MESSAGE_TOO_BIG";
	case WS_CODE_MANDATORY_EXTENSION: return "MANDATORY_EXTENSION";
	case WS_CODE_INTERNAL_ERROR: return "INTERNAL_ERROR";
	case WS_CODE_SERVICE_RESTART: return "SERVICE_RESTART";
	case WS_CODE_TRY_AGAIN_LATER: return "TRY_AGAIN_LATER";
	case WS_CODE_BAD_GATEWAY: return "BAD_GATEWAY";
	case WS_CODE_TLS_HANDSHAKE: return "TLS_HANDSHAKE";
	default: return NULL;
	}
}
