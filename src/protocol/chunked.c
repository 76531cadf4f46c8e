/* Chunk sizes are read digit by digit; extensions and trailers are passed over. */
#include "protocol/chunked.h"

#include <stdint.h>

#include "error.h"

/* SIZE: no digit yet; MORE_SIZE: at least one. */
enum state { SIZE, MORE_SIZE, EXTENSION, DATA, DATA_END, LAST };

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of a chunk's first line. */
static int take_size(struct ws_chunked *c, char byte)
{
	int digit = digit_value(byte);
	if (c->state <= MORE_SIZE && digit >= 0) {
		if (c->left > SIZE_MAX / 32)
			return WS_ERROR_PROTOCOL;
		c->left = c->left * 16 + (size_t)digit;
		c->state = MORE_SIZE;
		return 0;
	}
	if (c->state == SIZE)
		return WS_ERROR_PROTOCOL;
	if (byte == '\n')
		c->state = c->left ? DATA : LAST;
	else if (c->state == MORE_SIZE && byte != '\r' && byte != ';' && byte != ' ' && byte != '\t')
		return WS_ERROR_PROTOCOL;
	else
		c->state = EXTENSION;
	return 0;
}

static struct ws_slice take_data(struct ws_chunked *c, struct ws_slice *input)
{
	struct ws_slice piece = { input->data, input->len < c->left ? input->len : c->left };
	input->data += piece.len;
	input->len -= piece.len;
	c->left -= piece.len;
	if (c->left == 0)
		c->state = DATA_END;
	return piece;
}

int ws_chunked_next(struct ws_chunked *c, struct ws_slice *input, struct ws_slice *piece)
{
	while (c->state != LAST && input->len > 0) {
		if (c->state == DATA) {
			*piece = take_data(c, input);
			return 0;
		}
		char byte = *input->data++;
		input->len--;
		if (c->state == DATA_END && byte == '\n')
			c->state = SIZE;
		else if (c->state == DATA_END ? byte != '\r' : take_size(c, byte) != 0)
			return WS_ERROR_PROTOCOL;
	}
	return c->state == LAST ? 1 : WS_AGAIN;
}
