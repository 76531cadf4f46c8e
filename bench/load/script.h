/* What the load sends: masked frames, made once, so that sending costs the load nothing but the system call. */
#ifndef BENCH_SCRIPT_H
#define BENCH_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kind { KIND_BINARY, KIND_ASCII, KIND_CJK, KIND_JSON };

/* One message: where it is on the wire, and what the echo must say. */
struct message {
	size_t wire_start, wire_size;
	uint8_t *payload;
};

/* Messages in the order in which each connection sends them, over and over. Lasts as long as the load. */
struct script {
	size_t count;
	size_t size;                    /* of each payload */
	uint8_t opcode;
	struct message *messages;
	uint8_t *wire;                  /* all frames, one behind the other */
};

/*
 * A script of at least so many messages of that size, in fragments of at most so many bytes each. Deflated ones are
 * one stream, of which every message may refer to those before it; the first refers to none, so that the script can
 * begin again without the stream doing so. Without takeover no message refers to another.
 */
struct script script_new(size_t count, enum kind kind, size_t size, size_t fragment, bool deflated, bool takeover);

#endif
