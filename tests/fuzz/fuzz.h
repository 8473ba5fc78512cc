/* What each fuzzer is: one function over bytes, called by libFuzzer or by replay.c. It aborts where a
 * property does not hold. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* On in every build, for a property that is not checked finds nothing. */
#define PROPERTY(holds)                                                                            \
	do {                                                                                       \
		if (!(holds))                                                                      \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
