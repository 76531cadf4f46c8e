/* The connection in Lua: ws. */
#ifndef WS_BINDING_WEBSOCKET_H
#define WS_BINDING_WEBSOCKET_H

#include "binding/call.h"
#include "binding/owner.h"

#pragma GCC visibility push(hidden)

/*
 * User values of the ws userdata. The two handlers that nearly every connection has stand on their own; the others and
 * the user's fields are in a table that few need: an idle connection is to cost 1 KiB.
 */
enum {
	WS_VALUE_MESSAGE = WS_SLOT_MESSAGE,
	WS_VALUE_CLOSE = WS_SLOT_CLOSE,
	WS_VALUE_EXTRAS, /* nil, or a table: the other handlers by enum ws_slot, and what follows */
	WS_VALUES = WS_VALUE_EXTRAS,
	WS_EXTRA_FIELDS = WS_SLOTS + 1, /* table of the user's own fields */
	WS_EXTRA_REQUEST                /* table of the request's fields: what was looked at once, and the user's own */
};

/* What the task in receive() or its kin waits for. */
enum ws_receives {
	WS_RECEIVES_MESSAGE, /* a whole one */
	WS_RECEIVES_START,   /* the start of one */
	WS_RECEIVES_PART     /* the next bytes of the one that the reader reads */
};

/* Who waits for something of a ws: nobody ever does where callbacks serve it. */
struct ws_waiters {
	struct ws_task *receiver;  /* the task in receive(), reader() or reader:read() */
	enum ws_receives receives; /* the receiver */
	struct ws_reader *reader;  /* whose message has not been read to its end; NULL: none */
	struct ws_task *attendant; /* the task that works on the message that receive() gave it */
	struct ws_task *draining;  /* tasks in drain() or a waiting send() */
	struct ws_task *closing;   /* tasks in wait_closed() */
};

/* The userdata; the registry anchors it from a valid request until the refusal, or until its on_close is over. */
struct ws_box {
	const char *type;                 /* ws_box_type: by this it is told from other userdata */
	const struct ws_handlers *handlers; /* of the endpoint that was asked for; they and their owner outlive it */
	struct ws_connection *connection; /* held */
	struct ws_waiters *waiters;       /* owned, once there has been one: ws_box_waiters; before, all NULL and constant */
	uint64_t id;
	int anchor;
	uint32_t subprotocol_at;          /* where it stands in the head */
	uint32_t head_len;
	uint16_t subprotocol_len;         /* 0: none was agreed on */
	union {
		uint16_t holds;               /* the open connection, every task of its own that waits, its attendant */
		uint16_t final_code;          /* of one that has been collected */
	};
	uint16_t has;                     /* which handlers are set on ws itself: 1 << slot */
	bool discard : 1;                 /* messages that nobody wants are dropped */
	bool ended : 1;                   /* on_close has had its turn: the report is final */
	bool close_told : 1;              /* an on_close has been called */
	bool turned_away : 1;             /* authorize closed it: to the callback table it never opened */
	bool proxied : 1;                 /* a proxy has said whom it speaks for */
	uint8_t peer_len;
	char bytes[];                     /* the request's head, the peer's union ws_address, if proxied the client's text */
};

/* Pushes a message of this ws, and "text" or "binary"; returns 2. May raise. */
int ws_box_push_message(lua_State *L, const struct ws_box *box, const struct ws_message *m);

extern const char ws_box_type[];

/* What info.by says, by enum ws_by. */
extern const char *const ws_by_names[];

void ws_box_register(lua_State *L);

/* discard(ws): from now on messages that nobody wants are thrown away, so that none stands before the peer's Close. */
int ws_module_discard(lua_State *L);

/* Whether only a finalizer of the user's, which runs after ours, can still see it. */
bool ws_box_is_collected(const struct ws_box *box);

/* Whether its connection can be written to: no closing handshake has begun. */
bool ws_box_is_open(const struct ws_box *box);

/* The ws at index 1. Raises. */
struct ws_box *ws_box_check(lua_State *L);

/* Makes and anchors the box of a connection that wants to open; head: its request, copied. Raises. */
struct ws_box *ws_box_new(lua_State *L, const struct ws_handlers *handlers, struct ws_connection *c,
                          struct ws_slice head, const struct ws_remote *remote);

/* The callbacks are others. Before it has opened. */
void ws_box_set_handlers(struct ws_box *box, const struct ws_handlers *handlers);

/* Pushes the table of extras of the ws at the index, made if need be. May raise. */
void ws_box_push_extras(lua_State *L, int index);

/* Remembers the subprotocol that was agreed on: a slice of what head, its request, was parsed from, or len 0. */
void ws_box_set_subprotocol(struct ws_box *box, const struct ws_head *head, struct ws_slice subprotocol);

/* Its connection has opened. */
void ws_box_opened(struct ws_box *box);

/* The last release lets the collector have it. */
void ws_box_hold(struct ws_box *box);
void ws_box_release(struct ws_box *box);

/* Pushes the anchored userdata. */
void ws_box_push(lua_State *L, const struct ws_box *box);

/* Pushes the handler that is set on ws itself for a slot, or nil; ws is at the index. */
void ws_box_push_own_handler(lua_State *L, int index, enum ws_slot slot);

/* How it ended, as far as it is known. */
struct ws_closing_report ws_box_report(const struct ws_box *box);

/* Pushes nil, "closed" and the code; returns 3. */
int ws_box_push_closed(lua_State *L, const struct ws_box *box);

/* Pushes nil and why what was asked of the core has failed; returns how many values that is. May raise. */
int ws_box_push_error(lua_State *L, const struct ws_box *box, int error);

/* Pushes the reason; the info table. May raise. */
void ws_box_push_reason(lua_State *L, const struct ws_box *box);
void ws_box_push_info(lua_State *L, const struct ws_box *box);

/* Pushes code, reason, info of one that has ended, or no more of them than are wanted; returns how many. May raise. */
enum { WS_END_VALUES = 3 };
int ws_box_push_end(lua_State *L, const struct ws_box *box, int wanted);

/* Pushes nil and "timeout"; returns 2. */
int ws_box_push_timeout(lua_State *L);

/* Pushes nil, "closed", code and reason of one that has ended; returns 4. */
int ws_box_push_receive_end(lua_State *L, const struct ws_box *box);

/*
 * Waits for what is received, unless it has come, then continues with k, whose task is woken with it. What a reader has
 * left of the message before is passed over. Raises where somebody else is to receive it. fn: what name is the name of.
 */
int ws_box_receive(lua_State *L, struct ws_box *box, enum ws_receives what, double seconds, const char *name,
                   lua_CFunction fn, lua_KFunction k);

/* Tells the connection whether anybody wants the next message. */
void ws_box_want(struct ws_box *box);

/* The task works on a message from now on, until it asks for the next or is over; NULL: nobody does. */
void ws_box_attend(struct ws_box *box, struct ws_task *task);

/* What those who wait are entered in, made if need be. Raises. */
struct ws_waiters *ws_box_waiters(lua_State *L, struct ws_box *box);

/* ws_task_wait for a list that ws_box_wake wakes; seconds negative: for as long as it takes. */
int ws_box_wait_in(lua_State *L, struct ws_task *task, struct ws_task **list, double seconds, lua_KFunction k);

/* Goes on with every task of the list that stood in it when this was called. */
void ws_box_wake(struct ws_task **list);

/* Whether ws, or its server's callback table, has a function for the slot. */
bool ws_box_has_handler(const struct ws_box *box, enum ws_slot slot);

/* ws_call_start for a function of this box, its owner, which is not collected while the task waits. */
enum ws_done ws_box_start(struct ws_box *box, const struct ws_call *call, void *arg);

/* on_error of a struct ws_call whose owner is the box: what is closest to it; what its server has. */
int ws_box_push_error_handler(lua_State *L, void *owner);
int ws_box_push_server_error_handler(lua_State *L, void *owner);

/* finished of a struct ws_call that tells of the end of the box, which owns it. */
void ws_box_close_finished(struct ws_task *task, bool ok);

/* What peer and on_close are told when a callback raised: the error itself is for on_error alone. */
#define ws_callback_raised "a callback raised an error"

/* What an endpoint calls. */
extern const struct ws_connection_handler ws_box_handler;

#pragma GCC visibility pop

#endif
