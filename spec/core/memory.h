/*
 * Counts what a test program allocates, in every library it uses, and makes the nth allocation fail. To be included
 * by one file of the program: it defines malloc and its kin, in front of glibc's and of the sanitizer's.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Volatile: compilers know malloc, and that it changes no variable of the program. */
static volatile struct {
	size_t calls;    /* allocations that were asked for */
	size_t bytes;    /* how much they were, in sum */
	size_t live;     /* blocks that were not freed yet */
	size_t fail_at;  /* the allocation that fails, counted from 1; 0: none */
	size_t fail_to;  /* those up to here fail as well */
} memory;

/* Counts afresh; the blocks that are alive stay counted. */
static inline void memory_reset(size_t fail_at, size_t count)
{
	memory.calls = memory.bytes = 0;
	memory.fail_at = fail_at;
	memory.fail_to = fail_at + count;
}

/* AddressSanitizer's, and glibc's where it is absent. */
#define MEMORY_REAL(type, name, parameters) \
	extern type __interceptor_##name parameters __attribute__((weak)); \
	extern type __libc_##name parameters __attribute__((weak)); \
	static type (*memory_##name(void)) parameters \
	{ \
		return __interceptor_##name ? __interceptor_##name : __libc_##name; \
	}

MEMORY_REAL(void *, malloc, (size_t size))
MEMORY_REAL(void *, calloc, (size_t count, size_t size))
MEMORY_REAL(void *, realloc, (void *block, size_t size))
MEMORY_REAL(void, free, (void *block))

/* Called before the sanitizer is ready. */
#define MEMORY_EARLY __attribute__((no_sanitize("address", "undefined")))

MEMORY_EARLY static bool memory_grants(size_t size)
{
	memory.calls++;
	memory.bytes += size;
	if (memory.fail_at == 0 || memory.calls < memory.fail_at || memory.calls >= memory.fail_to)
		return true;
	errno = ENOMEM;
	return false;
}

MEMORY_EARLY void *malloc(size_t size)
{
	void *block = memory_grants(size) ? memory_malloc()(size) : NULL;
	memory.live += block != NULL;
	return block;
}

MEMORY_EARLY void *calloc(size_t count, size_t size)
{
	void *block = memory_grants(count * size) ? memory_calloc()(count, size) : NULL;
	memory.live += block != NULL;
	return block;
}

MEMORY_EARLY void *realloc(void *old, size_t size)
{
	void *block = memory_grants(size) ? memory_realloc()(old, size) : NULL;
	memory.live += old == NULL && block != NULL;
	return block;
}

MEMORY_EARLY void free(void *block)
{
	memory.live -= block != NULL;
	memory_free()(block);
}

/* The sanitizer has one that doesn't call malloc. */
MEMORY_EARLY char *strdup(const char *text)
{
	const size_t size = strlen(text) + 1;
	char *copy = malloc(size);
	return copy != NULL ? memcpy(copy, text, size) : NULL;
}

#endif
