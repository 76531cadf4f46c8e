/* An address has a row from its first connection to the end of its last; the memory is that of the most at one time. */
#include "endpoint/address_counts.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"

struct ws_address_row {
	uint8_t ip[WS_IP_SIZE];
	uint32_t count;
	uint32_t next; /* in its chain, or of the free ones; 0: none */
};

enum { FIRST_CAPACITY = 16 };

static uint32_t *chain_of(const struct ws_address_counts *counts, const uint8_t *ip)
{
	uint64_t hash = counts->seed;
	for (size_t i = 0; i < WS_IP_SIZE; i += sizeof hash) {
		uint64_t part;
		memcpy(&part, ip + i, sizeof part);
		hash = (hash ^ part) * 0x9E3779B97F4A7C15;
		hash ^= hash >> 32;
	}
	return &counts->chains[hash & (counts->capacity - 1)];
}

static void put(struct ws_address_counts *counts, uint32_t row)
{
	uint32_t *chain = chain_of(counts, counts->rows[row].ip);
	counts->rows[row].next = *chain;
	*chain = row;
}

/* All rows are taken. */
static int grow(struct ws_address_counts *counts)
{
	uint32_t before = counts->capacity, capacity = before ? before * 2 : FIRST_CAPACITY;
	uint32_t *chains = calloc(capacity, sizeof *chains);
	struct ws_address_row *rows = chains ? realloc(counts->rows, (capacity + (size_t)1) * sizeof *rows) : NULL;
	if (!rows) {
		free(chains);
		return WS_ERROR_MEMORY;
	}
	free(counts->chains);
	counts->rows = rows;
	counts->chains = chains;
	counts->capacity = capacity;
	for (uint32_t row = 1; row <= before; row++)
		put(counts, row);
	for (uint32_t row = capacity; row > before; row--) {
		rows[row].next = counts->free;
		counts->free = row;
	}
	return 0;
}

static uint32_t find(const struct ws_address_counts *counts, const uint8_t *ip)
{
	uint32_t row = counts->capacity ? *chain_of(counts, ip) : 0;
	while (row && memcmp(counts->rows[row].ip, ip, WS_IP_SIZE))
		row = counts->rows[row].next;
	return row;
}

long ws_address_counts_enter(struct ws_address_counts *counts, const uint8_t ip[static WS_IP_SIZE], size_t max)
{
	uint32_t row = find(counts, ip);
	if (row && counts->rows[row].count >= max)
		return WS_ERROR_OVERFLOW;
	if (!row) {
		if (!counts->free && grow(counts) != 0)
			return WS_ERROR_MEMORY;
		row = counts->free;
		counts->free = counts->rows[row].next;
		memcpy(counts->rows[row].ip, ip, WS_IP_SIZE);
		counts->rows[row].count = 0;
		put(counts, row);
	}
	counts->rows[row].count++;
	return row;
}

void ws_address_counts_leave(struct ws_address_counts *counts, uint32_t row)
{
	if (--counts->rows[row].count > 0)
		return;
	uint32_t *at = chain_of(counts, counts->rows[row].ip);
	while (*at != row)
		at = &counts->rows[*at].next;
	*at = counts->rows[row].next;
	counts->rows[row].next = counts->free;
	counts->free = row;
}

void ws_address_counts_clear(struct ws_address_counts *counts)
{
	free(counts->rows);
	free(counts->chains);
	*counts = (struct ws_address_counts){ .rows = NULL };
}
