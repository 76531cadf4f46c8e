/* Close codes (RFC 6455 section 7.4 and the IANA registry). The core's error numbers come along. */
#ifndef WS_PROTOCOL_CODE_H
#define WS_PROTOCOL_CODE_H

#include <stdbool.h>

#include "error.h"

#pragma GCC visibility push(hidden)

enum ws_code {
	WS_CODE_NORMAL = 1000,
	WS_CODE_GOING_AWAY = 1001,
	WS_CODE_PROTOCOL_ERROR = 1002,
	WS_CODE_UNSUPPORTED_DATA = 1003,
	WS_CODE_NO_STATUS = 1005,        /* never on the wire: a Close frame without a code */
	WS_CODE_ABNORMAL = 1006,         /* never on the wire: no Close frame at all */
	WS_CODE_INVALID_DATA = 1007,
	WS_CODE_POLICY_VIOLATION = 1008,
	WS_CODE_MESSAGE_TOO_BIG = 1009,
	WS_CODE_MANDATORY_EXTENSION = 1010,
	WS_CODE_INTERNAL_ERROR = 1011,
	WS_CODE_SERVICE_RESTART = 1012,
	WS_CODE_TRY_AGAIN_LATER = 1013,
	WS_CODE_BAD_GATEWAY = 1014,
	WS_CODE_TLS_HANDSHAKE = 1015     /* never on the wire */
};

/* Whether the code may stand in a Close frame, sent or received: 1000-1003, 1007-1014, 3000-4999. */
bool ws_code_on_wire(unsigned code);

/* The code's name in the form "GOING_AWAY", or NULL where it has none. Static. */
const char *ws_code_name(unsigned code);

#pragma GCC visibility pop

#endif
