#include "base/hash.h"

#include "base/ensure.h"

#include <errno.h>
#include <sys/random.h>

/* Inlined, so that short names take XXH3's short path without a call through the PLT. */
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash_bytes(const void *data, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, len, seed);
}

uint64_t hash_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

void random_fill(void *data, size_t len)
{
	char *to = data;

	while (len > 0) {
		ssize_t n = getrandom(to, len, 0);
		if (n < 0 && errno == EINTR)
			continue; /* only large requests are interrupted */
		ensure(n > 0);
		to += n;
		len -= (size_t)n;
	}
}

uint64_t random_u64(void)
{
	uint64_t x;

	random_fill(&x, sizeof(x));
	return x;
}
