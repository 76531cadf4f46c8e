/* Connections per address: a table that must always agree with one that simply looks through all of them. */
#include "endpoint/address_counts.h"

#include "error.h"
#include "unit.h"

static void address_of(uint8_t ip[static WS_IP_SIZE], unsigned number)
{
	memset(ip, 0, WS_IP_SIZE);
	memcpy(ip + (number % 2 ? 0 : 12), &number, sizeof number);
}

static void test_limit(void)
{
	struct ws_address_counts counts = { .seed = 1 };
	uint8_t ip[WS_IP_SIZE], other[WS_IP_SIZE];
	address_of(ip, 1);
	address_of(other, 2);
	const long first = ws_address_counts_enter(&counts, ip, 2), second = ws_address_counts_enter(&counts, ip, 2);
	CHECK(first > 0 && second == first);
	CHECK(ws_address_counts_enter(&counts, ip, 2) == WS_ERROR_OVERFLOW);
	CHECK(ws_address_counts_enter(&counts, other, 2) > 0);
	ws_address_counts_leave(&counts, (uint32_t)first);
	CHECK(ws_address_counts_enter(&counts, ip, 2) == first);
	CHECK(ws_address_counts_enter(&counts, ip, 2) == WS_ERROR_OVERFLOW);
	ws_address_counts_clear(&counts);
	CHECK(ws_address_counts_enter(&counts, ip, 1) > 0); /* it can be used again */
	ws_address_counts_clear(&counts);
	ws_address_counts_clear(&counts);
}

enum { ADDRESSES = 300, LIVE = 2000, MAX = 5 };

static void test_random(void)
{
	struct ws_address_counts counts = { .seed = 0x1234567 };
	static struct { unsigned address; uint32_t row; } live[LIVE];
	static unsigned naive[ADDRESSES];
	size_t n = 0;
	uint32_t seed = 3;
	for (int step = 0; step < 200000; step++) {
		seed = seed * 1664525 + 1013904223;
		const unsigned address = (seed >> 16) % ADDRESSES;
		uint8_t ip[WS_IP_SIZE];
		address_of(ip, address);
		if (seed >> 31 && n < LIVE) {
			const long row = ws_address_counts_enter(&counts, ip, MAX);
			unit_row("step %d, address %u", step, address);
			CHECK((row > 0) == (naive[address] < MAX));
			if (row <= 0)
				continue;
			naive[address]++;
			live[n].address = address;
			live[n++].row = (uint32_t)row;
		} else if (n > 0) {
			const size_t i = (seed >> 8) % n;
			ws_address_counts_leave(&counts, live[i].row);
			naive[live[i].address]--;
			live[i] = live[--n];
		}
	}
	while (n > 0)
		ws_address_counts_leave(&counts, live[--n].row);
	CHECK(counts.capacity <= 512); /* rows are used again: there were never more addresses than 300 */
	ws_address_counts_clear(&counts);
}

UNIT_MAIN(
	{ "an address may have so many, and others as many again", test_limit },
	{ "whatever comes and goes, the counts are right", test_random },
)
