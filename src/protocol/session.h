/* Messages and control frames of one connection (RFC 6455 sections 5 to 8): joins frame, deflate, utf8 and closing. */
#ifndef WS_PROTOCOL_SESSION_H
#define WS_PROTOCOL_SESSION_H

#include "protocol/closing.h"
#include "protocol/deflate.h"
#include "protocol/frame.h"
#include "protocol/handshake.h"
#include "protocol/utf8.h"

#pragma GCC visibility push(hidden)

enum {
	WS_REASON_SIZE = 123,        /* bytes of a Close frame's text: section 5.5.1 */
	WS_WHY_SIZE = 124            /* the same with a NUL */
};

/* A message that did not come in one piece, as far as it has come. */
struct ws_assembly;

/* What the sessions of one thread share. All zero: empty. */
struct ws_session_pool {
	struct ws_frame_pool frames;
	struct ws_deflate_pool deflate;
	struct ws_handshake_digest digest;
	struct ws_assembly *assembly; /* one spare, reused */
	uint8_t *scratch;             /* what a client sends is masked here */
	size_t scratch_size;
};

/* Of an endpoint; its sessions, which it outlives, point here. */
struct ws_session_options {
	struct ws_session_pool *pool;
	size_t max_message; /* bytes, counted after inflating */
};

/* A copy of len bytes, masked with the key; lives until the next call. NULL: out of memory. */
const uint8_t *ws_session_pool_mask(struct ws_session_pool *pool, const void *data, size_t len, const uint8_t key[4]);

void ws_session_pool_clear(struct ws_session_pool *pool);

/* Embedded in a connection. Fields are for reading only, but for closing, which the connection steps. */
struct ws_session {
	struct ws_closing closing;
	uint8_t opcode;                 /* of the message under way; 0: none */
	bool compressed;                /* the message under way is */
	bool delivered;                 /* assembly belongs to what was last told of */
	bool in_parts;                  /* by ws_session_stream, until the message ends */
	bool skipped;                   /* by ws_session_skip, until the message ends */
	const struct ws_session_options *options;
	struct ws_frame_reader *reader; /* NULL between frames */
	struct ws_deflate *deflate;     /* NULL: messages are not compressed */
	struct ws_assembly *assembly;   /* NULL: no message under way, or none of its bytes came yet */
	uint64_t told;                  /* bytes of the message under way that were told of in parts */
	uint64_t limit;                 /* how many it may have besides: of max_message, or of ws_session_stream's */
	struct ws_utf8 utf8;            /* of the text message under way */
	struct ws_deflate_parameters parameters; /* that were agreed on */
};

/* Whether the next message may be told of. */
enum ws_session_mode {
	WS_SESSION_DELIVER, /* yes */
	WS_SESSION_HOLD,    /* not now: its bytes are left where they are, control frames before it are told of */
	WS_SESSION_DISCARD  /* nobody wants it: it is checked and thrown away */
};

enum ws_session_event_type {
	WS_SESSION_MESSAGE,
	WS_SESSION_PART,   /* the next bytes of a message; they may be none where it ends */
	WS_SESSION_PING,
	WS_SESSION_PONG,
	WS_SESSION_CLOSE,  /* a valid Close frame; code, and data/len is its reason */
	WS_SESSION_FAILURE, /* the peer broke the protocol: fail with code, data/len says why in words */
	WS_SESSION_HELD    /* a message that may not be told of, or the rest of one, comes next */
};

struct ws_session_event {
	enum ws_session_event_type type;
	enum ws_opcode kind;  /* MESSAGE, PART, HELD: WS_TEXT or WS_BINARY */
	bool last;            /* PART: the message ends with it */
	unsigned code;        /* CLOSE: 1005 where it carried none. FAILURE: 1002, 1007 or 1009 */
	const uint8_t *data;  /* alive until the next call for this session or the end of the input's life */
	size_t len;
	char why[WS_WHY_SIZE]; /* holds FAILURE's text */
};

void ws_session_init(struct ws_session *s, enum ws_role role, const struct ws_session_options *options);

/* Agreed in the opening handshake; level: of what we compress. 0 or WS_ERROR_MEMORY. */
int ws_session_agree(struct ws_session *s, const struct ws_deflate_parameters *agreed, int level);

/* Repeatable. */
void ws_session_clear(struct ws_session *s);

/*
 * Takes bytes from the input (writable: payload is unmasked in place) until something is to be told, advancing *data
 * and *len. Returns 0 with an event, WS_AGAIN once the input is used up, or WS_ERROR_MEMORY. Not to be called again
 * after CLOSE or FAILURE.
 */
int ws_session_next(struct ws_session *s, enum ws_session_mode mode, uint8_t **data, size_t *len,
                    struct ws_session_event *event);

/*
 * Where the input's next bytes may be received, so that they need not be copied there: the room for the message that is
 * being put together, up to the end of the frame. Returns its size; 0: nowhere.
 */
size_t ws_session_room(const struct ws_session *s, uint8_t **room);

/*
 * Whether the frame that begins with this byte would end a message that is told of as a whole: until it has, nothing
 * but a failure is told of.
 */
bool ws_session_ends_message(const struct ws_session *s, uint8_t first);

/*
 * The message under way, else the next one, is told of in parts, as they come, and may have so many bytes (UINT64_MAX:
 * any number) in place of max_message. No more than 1 MiB of it is ever held.
 */
void ws_session_stream(struct ws_session *s, uint64_t limit);

/* Nobody wants the rest of a message that is told of in parts: it is checked and thrown away in every mode. */
void ws_session_skip(struct ws_session *s);

/* The event has been dealt with: a connection that then falls idle holds no message. */
void ws_session_done(struct ws_session *s);

/*
 * A Close frame's payload (section 5.5.1); code 1005: empty. The reason is cut to what fits, between characters.
 * Returns its size, at most WS_CONTROL_PAYLOAD.
 */
size_t ws_session_close_payload(uint8_t payload[WS_CONTROL_PAYLOAD], unsigned code, const char *reason, size_t len);

#pragma GCC visibility pop

#endif
