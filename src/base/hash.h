/* The seeded hash of names (XXH3-64), and random numbers from the kernel.
 *
 * The seed is drawn at start, so that nobody outside can aim at one stripe or bucket.
 * Threads  any. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *data, size_t len, uint64_t seed);

/* A bijection of 64 bits (the finaliser of splitmix64): makes a counter look like noise. */
uint64_t hash_mix(uint64_t);

/* getrandom(2). Fails only before the kernel's pool is ready, which ensure() treats as broken. */
void random_fill(void *data, size_t len);
uint64_t random_u64(void);

#endif
