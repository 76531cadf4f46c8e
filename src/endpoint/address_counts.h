/* How many connections each address has. */
#ifndef WS_ENDPOINT_ADDRESS_COUNTS_H
#define WS_ENDPOINT_ADDRESS_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/ip.h"

#pragma GCC visibility push(hidden)

/* A hash table, chained by the numbers of its rows, which stay what they are. Row 0 is nobody's. */
struct ws_address_counts {
	struct ws_address_row *rows; /* capacity of them, and row 0 */
	uint32_t *chains;            /* by hash: the first row; capacity of them, a power of two */
	uint32_t capacity;           /* 0: nothing has been counted yet */
	uint32_t free;               /* the first of the rows without an address; 0: none */
	uint64_t seed;               /* of the hash, lest strangers choose addresses that all fall into one chain */
};

/* One more for the address. Its row, 1 or more; or WS_ERROR_OVERFLOW: it has max already; or WS_ERROR_MEMORY. */
long ws_address_counts_enter(struct ws_address_counts *counts, const uint8_t ip[static WS_IP_SIZE], size_t max);

/* One less. */
void ws_address_counts_leave(struct ws_address_counts *counts, uint32_t row);

/* Frees what it has. */
void ws_address_counts_clear(struct ws_address_counts *counts);

#pragma GCC visibility pop

#endif
