#include "server/pace.h"

#include "support/cmocka_all.h"

#define MS UINT64_C(1000000)

static void test_few_deaths_wait_for_the_interval(void **state)
{
	(void)state;
	assert_int_equal(pace_pause_ms(0, 0, 100), 100);
	assert_int_equal(pace_pause_ms(PACE_MANY - 1, 0, 100), 100);
}

static void test_many_are_looked_for_sooner(void **state)
{
	(void)state;
	assert_int_equal(pace_pause_ms(PACE_MANY, 0, 100), 100 / PACE_TIMES);
	assert_int_equal(pace_pause_ms(1000000, MS, 1000), 1000 / PACE_TIMES);
}

static void test_a_share_of_a_processor_at_most(void **state)
{
	(void)state;
	for (uint64_t took_ns = 0; took_ns < 11 * MS; took_ns += 100001) {
		uint64_t pause_ns = pace_pause_ms(1000, took_ns, 100) * MS;
		assert_true(took_ns <= (took_ns + pause_ns) / PACE_SHARE + 1);
	}
}

/* A scan that takes longer than all of it: no later than without this. */
static void test_never_beyond_the_interval(void **state)
{
	(void)state;
	for (uint64_t took_ms = 0; took_ms < 5000; took_ms += 7)
		assert_in_range(pace_pause_ms(1000, took_ms * MS, 100), 1, 100);
	assert_int_equal(pace_pause_ms(1000, UINT64_MAX / 16, 100), 100);
}

static void test_short_intervals(void **state)
{
	(void)state;
	assert_int_equal(pace_pause_ms(1000, 0, 5), 1);
	assert_int_equal(pace_pause_ms(1000, 0, 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_few_deaths_wait_for_the_interval),
		cmocka_unit_test(test_many_are_looked_for_sooner),
		cmocka_unit_test(test_a_share_of_a_processor_at_most),
		cmocka_unit_test(test_never_beyond_the_interval),
		cmocka_unit_test(test_short_intervals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
