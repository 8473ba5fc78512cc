#include "base/hash.h"

#include "support/cmocka_all.h"

#include <stdio.h>
#include <string.h>

/* The library's own test vector: XXH3-64 of nothing with seed 0. */
static void is_xxh3(void **state)
{
	(void)state;
	assert_true(hash_bytes("", 0, 0) == UINT64_C(0x2d06800538d394c2));
}

static void depends_on_bytes_length_and_seed(void **state)
{
	(void)state;
	uint64_t alice = hash_bytes("alice", 5, 1);

	assert_true(alice == hash_bytes("alice...", 5, 1));
	assert_true(alice != hash_bytes("alicf", 5, 1));
	assert_true(alice != hash_bytes("alice\0", 6, 1));
	assert_true(alice != hash_bytes("alice", 5, 2));
}

/* User ids differ in few bytes; the stripes must fill evenly all the same, by low bits and by high ones. */
static void alike_names_spread(void **state)
{
	(void)state;
	enum { N = 64 * 1024, STRIPES = 64 };
	static unsigned low[STRIPES], high[STRIPES];
	char name[32];

	for (int i = 0; i < N; i++) {
		int len = snprintf(name, sizeof(name), "user-%06d", i);
		uint64_t h = hash_bytes(name, (size_t)len, 42);
		low[h % STRIPES]++;
		high[h >> 58]++;
	}
	/* 1024 expected, deviation 32: six deviations either way */
	for (int i = 0; i < STRIPES; i++) {
		assert_in_range(low[i], 1024 - 192, 1024 + 192);
		assert_in_range(high[i], 1024 - 192, 1024 + 192);
	}
}

static void mix_is_no_identity_and_has_no_small_cycle(void **state)
{
	(void)state;
	static uint64_t seen[1000];

	for (size_t i = 0; i < 1000; i++) {
		seen[i] = hash_mix(i);
		assert_true(seen[i] >> 32 != 0);
		for (size_t j = 0; j < i; j++)
			assert_true(seen[i] != seen[j]);
	}
}

static void random_fills_all_and_only_what_is_asked(void **state)
{
	(void)state;
	unsigned char bytes[600], ever[600] = {0};

	for (int round = 0; round < 64; round++) {
		memset(bytes, 0, sizeof(bytes));
		random_fill(bytes + 1, sizeof(bytes) - 2);
		assert_int_equal(bytes[0], 0);
		assert_int_equal(bytes[sizeof(bytes) - 1], 0);
		for (size_t i = 0; i < sizeof(bytes); i++)
			ever[i] |= bytes[i];
	}
	for (size_t i = 1; i < sizeof(bytes) - 1; i++)
		assert_int_not_equal(ever[i], 0);
	assert_true(random_u64() != random_u64());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_xxh3),
		cmocka_unit_test(depends_on_bytes_length_and_seed),
		cmocka_unit_test(alike_names_spread),
		cmocka_unit_test(mix_is_no_identity_and_has_no_small_cycle),
		cmocka_unit_test(random_fills_all_and_only_what_is_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
