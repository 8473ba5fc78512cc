/* What the torture programs have in common: a seed to play a run again, a count of operations, and a check that
 * says where it failed. Program [SEED [OPERATIONS]]; TORTURE_SEED and TORTURE_OPS do the same. The threads'
 * order is the machine's, so that a seed repeats the choices of each thread and not the run. */
#ifndef TESTS_TORTURE_H
#define TESTS_TORTURE_H

#include "base/clock.h"
#include "base/compiler.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED SANITIZE_THREAD
#endif

enum { TIME_LIMIT_MS = 45000 }; /* a run that is slower ends early, and says so */

struct torture {
	uint64_t seed, n_ops, began_ms, limit_ms;
};

static inline uint64_t torture_number(
	int argc, char **argv, int at, const char *name, uint64_t otherwise)
{
	const char *text = argc > at ? argv[at] : getenv(name);
	return text ? strtoull(text, NULL, 0) : otherwise;
}

static inline struct torture torture_begin(int argc, char **argv, uint64_t n_ops)
{
	struct torture t = {
		.seed = torture_number(argc, argv, 1, "TORTURE_SEED", random_u64() >> 32),
		.n_ops = torture_number(argc, argv, 2, "TORTURE_OPS", n_ops),
		.began_ms = clock_mono_ms(),
		.limit_ms = TIME_LIMIT_MS,
	};
	printf("seed %llu, %llu operations\n", (unsigned long long)t.seed,
		(unsigned long long)t.n_ops);
	fflush(stdout);
	return t;
}

static inline bool torture_is_late(const struct torture *t)
{
	return clock_mono_ms() - t->began_ms > t->limit_ms;
}

NORETURN static inline void torture_fail(const char *what, const char *file, int line)
{
	printf("%s:%d: %s\n", file, line, what);
	fflush(stdout);
	abort();
}

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (UNLIKELY(!(condition)))                                                        \
			torture_fail(#condition, __FILE__, __LINE__);                              \
	} while (0)

/* splitmix64: any state is a good one. */
struct rng {
	uint64_t state;
};

static inline uint32_t rng_below(struct rng *r, uint32_t n)
{
	r->state += 0x9e3779b97f4a7c15;
	return (uint32_t)((hash_mix(r->state) >> 32) * n >> 32);
}

static inline bool rng_one_in(struct rng *r, uint32_t n)
{
	return rng_below(r, n) == 0;
}

#endif
