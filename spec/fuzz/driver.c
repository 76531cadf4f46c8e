/*
 * Runs a fuzz target without libFuzzer: on every file of its seeds, then on so many blind mutations of them, the same
 * ones each time. It speaks TAP, and leaves the input that it was at in a file, for when that was the last.
 *   NAME_fuzz [RUNS [FOLDER OR FILE]]      the seeds: spec/fuzz/seeds/NAME
 */
#include <dirent.h>
#include <sys/stat.h>
#include <string.h>

#include "fuzz.h"

enum { SEEDS = 256, LARGEST = 8192, RUNS = 5000 };

static struct {
	uint8_t *data;
	size_t size;
} seeds[SEEDS];
static size_t seed_count;
static char last_path[512];

static uint32_t random_next(void)
{
	static uint32_t state = 2463534242; /* Marsaglia's xorshift */

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

static size_t random_below(size_t limit)
{
	return random_next() % limit;
}

static void load_file(const char *path)
{
	FILE *file = fopen(path, "rb");

	if (file == NULL || seed_count == SEEDS)
		return;
	uint8_t *data = malloc(LARGEST);
	seeds[seed_count].data = data;
	seeds[seed_count].size = data != NULL ? fread(data, 1, LARGEST, file) : 0;
	seed_count += data != NULL;
	(void)fclose(file);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void load(const char *path)
{
	struct dirent **entries;
	char inner[1024];
	const int count = scandir(path, &entries, NULL, by_name);

	if (count < 0)
		load_file(path);
	for (int i = 0; i < count; i++) {
		(void)snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.')
			load_file(inner);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

/* The target sees a copy of just its size, so that the sanitizer notices who reads past it. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);
	FILE *last = fopen(last_path, "wb");

	if (copy == NULL)
		abort();
	if (last != NULL) {
		(void)fwrite(data, 1, size, last);
		(void)fclose(last);
	}
	if (size > 0)
		memcpy(copy, data, size);
	(void)LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

/* Puts len bytes from elsewhere over or between those at a random place. */
static size_t splice(uint8_t *data, size_t size, const uint8_t *from, size_t len)
{
	const size_t at = random_below(size + 1);

	if (random_below(2) == 0 && size + len <= LARGEST) {
		memmove(data + at + len, data + at, size - at);
		size += len;
	}
	if (len > size - at)
		len = size - at;
	memmove(data + at, from, len);
	return size;
}

static size_t mutate(uint8_t *data, size_t size)
{
	static const uint8_t telling[] = { 0, 1, 0x7D, 0x7E, 0x7F, 0x80, 0x81, 0x88, 0xFE, 0xFF, '\r', '\n', ' ', ',', ':' };
	const size_t at = size > 0 ? random_below(size) : 0;
	const size_t other = random_below(seed_count);

	switch (random_below(6)) {
	case 0:
		return at; /* cut off */
	case 1:
		if (size > 0)
			data[at] ^= (uint8_t)(1u << random_below(8));
		return size;
	case 2:
		if (size > 0)
			data[at] = telling[random_below(sizeof telling)];
		return size;
	case 3: { /* taken out */
		const size_t len = size > at ? random_below(size - at + 1) : 0;
		memmove(data + at, data + at + len, size - at - len);
		return size - len;
	}
	default: {
		const size_t from = seeds[other].size > 0 ? random_below(seeds[other].size) : 0;
		return splice(data, size, seeds[other].data + from, random_below(seeds[other].size - from + 1));
	}
	}
}

static void run_mutation(void)
{
	static uint8_t data[LARGEST];
	const size_t seed = random_below(seed_count);
	size_t size = seeds[seed].size;

	memcpy(data, seeds[seed].data, size);
	for (size_t i = random_below(4) + 1; i > 0; i--)
		size = mutate(data, size);
	run(data, size);
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *name = slash != NULL ? slash + 1 : argv[0];
	const long runs = argc > 1 ? strtol(argv[1], NULL, 10) : RUNS;
	char path[512];

	(void)snprintf(last_path, sizeof last_path, "%s.last", argv[0]);
	const char *end = strstr(name, "_fuzz");
	(void)snprintf(path, sizeof path, "spec/fuzz/seeds/%.*s", end != NULL ? (int)(end - name) : 0, name);
	load(argc > 2 ? argv[2] : path);
	if (seed_count == 0) {
		(void)printf("Bail out! no seeds in %s\n", argc > 2 ? argv[2] : path);
		return EXIT_FAILURE;
	}
	(void)printf("1..2\n");
	for (size_t i = 0; i < seed_count; i++)
		run(seeds[i].data, seeds[i].size);
	(void)printf("ok 1 - %zu seeds\n", seed_count);
	for (long i = 0; i < runs; i++)
		run_mutation();
	(void)printf("ok 2 - %ld mutations of them\n", runs);
	for (size_t i = 0; i < seed_count; i++)
		free(seeds[i].data);
	return EXIT_SUCCESS;
}
