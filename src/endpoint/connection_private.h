/* What the files of a connection share: connection, ending, pump, deadline. */
#ifndef WS_ENDPOINT_CONNECTION_PRIVATE_H
#define WS_ENDPOINT_CONNECTION_PRIVATE_H

#include "endpoint/connection.h"

#pragma GCC visibility push(hidden)

/* ---- connection.c */

/* ms of the loop's clock; microseconds of the same clock, read now. */
uint64_t ws_connection_now(const struct ws_connection *c);
uint64_t ws_connection_microseconds(void);

/* A message has gone either way: idle_timeout begins anew. */
static inline void ws_connection_had_message(struct ws_connection *c)
{
	if (c->conduct)
		c->conduct->message_at = ws_connection_now(c);
}

/* Or'ed to the opcode of a frame that is not its message's last. */
enum { WS_MORE_FOLLOWS = 0x100 };

/* Queues one frame; opcode: perhaps with WS_RSV1 or WS_MORE_FOLLOWS. As ws_transport_write. */
int ws_connection_write_frame(struct ws_connection *c, unsigned opcode, const void *data, size_t len);

/* Whether the queue would be over max_buffered with so many bytes more. */
bool ws_connection_overflows(struct ws_connection *c, size_t len);

/* Queues a message, however full the queue is. As ws_transport_write. */
int ws_connection_write_prepared(struct ws_connection *c, struct ws_prepared *message);

/* Sends a Ping whose Pong will tell the round trip's time. As above. */
int ws_connection_timed_ping(struct ws_connection *c);

/* The opening handshake is done. */
void ws_connection_opened(struct ws_connection *c);

/* To be called after anything that happened: reading, output and the timer follow the state. */
void ws_connection_settle(struct ws_connection *c);

/* ---- ending.c */

/* The reason that on_close will be told is the peer's text from now on. */
void ws_ending_set_reason(struct ws_connection *c, const void *text, size_t len);
void ws_ending_free_reason(struct ws_connection *c);

/* Steps the closing state machine; reason: of our Close frame, if it orders one. */
void ws_ending_step(struct ws_connection *c, enum ws_closing_event event, unsigned code, unsigned answer,
                    const char *reason, size_t len);

/* An event that a sentence explains: the reason, unless there is one already, on the wire as well as in on_close. */
void ws_ending_step_why(struct ws_connection *c, enum ws_closing_event event, unsigned code, const char *why);

/* What the transport says of its failure is the reason, unless there is one already. */
void ws_ending_transport_failed(struct ws_connection *c);

/* Ends it in whatever state it is. */
void ws_ending_out_of_memory(struct ws_connection *c);

/* Frees what only a connection that goes on has use for. */
void ws_ending_clear(struct ws_connection *c);

/* Tells the server and, if it had opened, on_close. Once, and the last thing that happens. */
void ws_ending_report(struct ws_connection *c);

/* ---- pump.c */

/*
 * Takes in one recv: the loop comes back while there is more. A second one where the first was full and there is much
 * to come of a message: so that it goes on while its beginning is in the cache.
 */
void ws_pump(struct ws_connection *c);

/* Whether what has come is looked at now. */
bool ws_pump_reading(const struct ws_connection *c);

/* Answers the peer's Close, if that has not been done: what on_closing said, or nobody. */
void ws_pump_answer_close(struct ws_connection *c, unsigned code, const char *reason, size_t len);

/* Takes in a FIN that had to wait, if it need not wait any more. */
void ws_pump_held_end(struct ws_connection *c);

/*
 * After our own Close the peer's may stand behind a message that nobody has taken: messages are thrown away from now on,
 * to find it. False: there is none to pass over, or it has been done before.
 */
bool ws_pump_pass_held(struct ws_connection *c);

/* ---- deadline.c */

/* ms: when something is due if nothing happens; WS_NEVER. */
uint64_t ws_deadline_next(const struct ws_connection *c);

/* The connection's timer has fired, perhaps too early. */
void ws_deadline_passed(struct ws_connection *c);

#pragma GCC visibility pop

#endif
