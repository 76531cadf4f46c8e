/* Masking (RFC 6455 section 5.3) in place, 32 bytes at a time. */
#ifndef WS_PROTOCOL_MASK_H
#define WS_PROTOCOL_MASK_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* XORs len bytes at data with the key, as if data stood at the given offset of the frame's payload. */
void ws_mask_xor(uint8_t *data, size_t len, const uint8_t key[4], size_t offset);

#pragma GCC visibility pop

#endif
