#include "base/hash.h"
#include "client/c/backoff.h"
#include "support/cmocka_all.h"

/* Equally likely: of 100,000 waits in ten parts of the window, each has its tenth within five deviations (95 each). */
static void waits_are_spread_evenly(void **state)
{
	unsigned parts[10] = {0};

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		struct backoff b = {.first_ms = 4000, .max_ms = 30000};
		uint64_t wait = backoff_next(&b, 0, hash_mix(i));

		assert_in_range(wait, 0, 4000);
		parts[wait == 4000 ? 9 : wait / 400]++;
	}
	for (unsigned i = 0; i < 10; i++)
		assert_in_range(parts[i], 10000 - 475, 10000 + 475);
}

static void the_window_doubles_to_its_bound(void **state)
{
	struct backoff b = {.first_ms = 3, .max_ms = 20};
	static const uint32_t windows[] = {3, 6, 12, 20, 20};

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		/* The largest wait there can be. */
		assert_int_equal(backoff_next(&b, 0, windows[i]), windows[i]);
	}
	backoff_reset(&b);
	assert_int_equal(backoff_next(&b, 0, 3), 3);
	assert_int_equal(backoff_next(&b, 0, 6), 6);
}

static void odd_windows(void **state)
{
	struct backoff one = {.first_ms = 1, .max_ms = 1};
	struct backoff most = {.first_ms = UINT32_MAX, .max_ms = UINT32_MAX};

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		assert_in_range(backoff_next(&one, 0, hash_mix(i)), 0, 1);
		assert_in_range(backoff_next(&most, 0, hash_mix(i)), 0, UINT32_MAX);
	}
}

static void what_the_server_asks_for_comes_first(void **state)
{
	struct backoff b = {.first_ms = 100, .max_ms = 100};

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_in_range(backoff_next(&b, 5000, hash_mix(i)), 5000, 5100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_are_spread_evenly),
		cmocka_unit_test(the_window_doubles_to_its_bound),
		cmocka_unit_test(odd_windows),
		cmocka_unit_test(what_the_server_asks_for_comes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
