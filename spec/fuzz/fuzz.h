/* What the fuzz targets share. Each defines LLVMFuzzerTestOneInput, for clang's libFuzzer or for driver.c. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that every input must have. */
#define FUZZ_CHECK(cond) do { \
	if (!(cond)) { \
		(void)fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #cond); \
		abort(); \
	} \
} while (0)

#endif
