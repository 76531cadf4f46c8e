#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
	MAX_HEAD = 14,          /* a frame's: 2 bytes, 8 of length, 4 of masking key */
	DISTINCT = 64,          /* JSON messages, before they repeat */
	TAIL = 4                /* of a flushed deflate stream, left out on the wire (RFC 7692, 7.2.1) */
};

static const uint8_t key[4] = { 0x12, 0x34, 0x56, 0x78 };

static void *allocate(size_t size)
{
	void *room = malloc(size);

	if (room == NULL) {
		perror("load: malloc");
		exit(EXIT_FAILURE);
	}
	return room;
}

/* Fills the payload with rows that differ from message to message as such things do. */
static void fill_json(uint8_t *payload, size_t size, size_t number)
{
	size_t used = 0;

	payload[used++] = '[';
	for (size_t i = number;; i++) {
		char row[96];
		size_t length = (size_t)snprintf(row, sizeof row, "{\"id\": %zu, \"name\": \"name %zu\", \"on\": %s}, ",
			i, i * 7919 % 10007, i % 3 == 0 ? "true" : "false");
		if (used + length >= size)
			break;
		memcpy(payload + used, row, length);
		used += length;
	}
	memset(payload + used, ' ', size - used);
	payload[size - 1] = ']';
}

static uint8_t *make_payload(enum kind kind, size_t size, size_t number)
{
	static const char cjk[] = "\xe6\x9c\x88\xe5\xa5\x97\xe6\x8e\xa5"; /* 3 bytes each */
	uint8_t *payload = allocate(size);

	memset(payload, 'm', size);
	if (kind == KIND_CJK)
		for (size_t i = 0; i < size - size % 3; i++)
			payload[i] = (uint8_t)cjk[i % (sizeof cjk - 1)];
	if (kind == KIND_JSON)
		fill_json(payload, size, number);
	return payload;
}

/* Appends one masked frame to the wire. */
static size_t append_frame(uint8_t *wire, uint8_t first, const uint8_t *payload, size_t size)
{
	const size_t extra = size < 126 ? 0 : size < 65536 ? 2 : 8;
	size_t used = 0;

	wire[used++] = first;
	wire[used++] = (uint8_t)(0x80 | (extra == 0 ? (int)size : extra == 2 ? 126 : 127));
	for (size_t i = 0; i < extra; i++)
		wire[used++] = (uint8_t)(size >> 8 * (extra - 1 - i));
	memcpy(wire + used, key, sizeof key);
	used += sizeof key;
	for (size_t i = 0; i < size; i++)
		wire[used++] = payload[i] ^ key[i % 4];
	return used;
}

/* A whole message, in fragments. Returns the bytes on the wire. */
static size_t append_message(uint8_t *wire, uint8_t first, const uint8_t *payload, size_t size, size_t fragment)
{
	size_t used = 0;

	for (size_t from = 0; from < size; from += fragment) {
		const bool last = size - from <= fragment;
		used += append_frame(wire + used, (uint8_t)((from == 0 ? first : 0) | (last ? 0x80 : 0)),
			payload + from, last ? size - from : fragment);
	}
	return used;
}

/* The payload as a message of the stream. Returns its size. */
static size_t pack(z_stream *stream, uint8_t *packed, size_t room, uint8_t *payload, size_t size)
{
	stream->next_in = payload;
	stream->avail_in = (uInt)size;
	stream->next_out = packed;
	stream->avail_out = (uInt)room;
	(void)deflate(stream, Z_SYNC_FLUSH);
	return room - stream->avail_out - TAIL;
}

struct script script_new(size_t count, enum kind kind, size_t size, size_t fragment, bool deflated, bool takeover)
{
	const size_t distinct = kind == KIND_JSON ? DISTINCT : 1;
	const size_t room = size + 64 + size / 1000; /* deflated, at most */
	const uint8_t opcode = kind == KIND_BINARY ? 0x02 : 0x01, first = opcode | (deflated ? 0x40 : 0);
	struct script script = { .count = count > distinct ? count : distinct, .size = size, .opcode = opcode };
	uint8_t *packed = allocate(room);
	z_stream stream = { 0 };
	size_t used = 0;

	(void)deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
	script.messages = allocate(script.count * sizeof *script.messages);
	script.wire = allocate(script.count * (room + (size / fragment + 1) * MAX_HEAD));
	for (size_t i = 0; i < script.count; i++) {
		struct message *message = &script.messages[i];
		message->payload = i < distinct ? make_payload(kind, size, i) : script.messages[i % distinct].payload;
		message->wire_start = used;
		if (!takeover)
			(void)deflateReset(&stream);
		used += deflated
			? append_message(script.wire + used, first, packed, pack(&stream, packed, room, message->payload, size), fragment)
			: append_message(script.wire + used, first, message->payload, size, fragment);
		message->wire_size = used - message->wire_start;
	}
	(void)deflateEnd(&stream);
	free(packed);
	return script;
}
