/* A harness for C units: named tests in TAP (testanything.org), and inputs placed against unmapped memory. */
#ifndef UNIT_H
#define UNIT_H

#include <dirent.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct unit_test {
	const char *name;
	void (*run)(void);
};

/* The running test's first failure; later ones are mostly its consequences. */
static struct {
	bool failed;
	const char *file, *expression;
	int line;
	char row[120], failed_row[120];
} unit;

/* How many descriptors the process has: to be compared with how many it had. */
static inline unsigned unit_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;
	while (folder && readdir(folder))
		count++;
	if (folder)
		closedir(folder);
	return count;
}

/* Fails the running test if cond is false. The test goes on. */
#define CHECK(cond) unit_check((cond), __FILE__, __LINE__, #cond)

static inline void unit_check(bool held, const char *file, int line, const char *expression)
{
	if (held || unit.failed)
		return;
	unit.failed = true;
	unit.file = file;
	unit.line = line;
	unit.expression = expression;
	memcpy(unit.failed_row, unit.row, sizeof unit.row);
}

/* Names the row of a table that the following checks are about; shown if one of them fails. */
static inline void __attribute__((format(printf, 1, 2))) unit_row(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(unit.row, sizeof unit.row, format, arguments);
	va_end(arguments);
}

/* Prints text with what would end the line escaped. */
static inline void unit_print(const char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7F)
			(void)printf("\\x%02x", (unsigned)(unsigned char)*text);
		else
			(void)putchar(*text);
	}
}

/* Runs all tests, prints TAP and returns main's result. */
static inline int unit_run(const struct unit_test *tests, size_t count)
{
	int result = EXIT_SUCCESS;

	(void)setvbuf(stdout, NULL, _IOLBF, 0); /* a crash must not swallow what went before */
	(void)printf("1..%zu\n", count);
	for (size_t i = 0; i < count; i++) {
		memset(&unit, 0, sizeof unit);
		tests[i].run();
		if (!unit.failed) {
			(void)printf("ok %zu - %s\n", i + 1, tests[i].name);
			continue;
		}
		result = EXIT_FAILURE;
		(void)printf("not ok %zu - %s # %s:%d %s", i + 1, tests[i].name, unit.file, unit.line,
			unit.expression);
		if (unit.failed_row[0] != '\0')
			(void)printf(" in row: ");
		unit_print(unit.failed_row);
		(void)printf("\n");
	}
	return result;
}

/* main of a test program: UNIT_MAIN({ "name", function }, ...) */
#define UNIT_MAIN(...) \
	int main(void) \
	{ \
		static const struct unit_test tests[] = { __VA_ARGS__ }; \
		return unit_run(tests, sizeof tests / sizeof *tests); \
	}

enum { UNIT_ROOM = 1 << 16 /* the largest input */ };

/* UNIT_ROOM bytes of memory between two pages that can be neither read nor written. Mapped once. */
static inline uint8_t *unit_room(void)
{
	static uint8_t *room;
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (room == NULL) {
		uint8_t *area = mmap(NULL, UNIT_ROOM + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (area == MAP_FAILED || mprotect(area + page, UNIT_ROOM, PROT_READ | PROT_WRITE) != 0) {
			perror("Bail out! mmap");
			exit(EXIT_FAILURE);
		}
		room = area + page;
	}
	return room;
}

/* A copy whose end lies against a guard page: reading one byte more crashes. Valid until the next call. */
static inline void *unit_guard_end(const void *data, size_t len)
{
	uint8_t *copy = unit_room() + UNIT_ROOM - len;

	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

/* A copy whose start lies against a guard page: reading one byte before it crashes. */
static inline void *unit_guard_start(const void *data, size_t len)
{
	uint8_t *copy = unit_room();

	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

#endif
