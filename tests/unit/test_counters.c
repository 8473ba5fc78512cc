#include "base/counters.h"

#include "support/cmocka_all.h"

#include <string.h>

static void each_has_a_name_of_its_own_and_a_help(void **state)
{
	(void)state;
	for (enum counter a = 0; a < COUNTER_N; a++) {
		const char *name = counter_name(a);
		assert_true(strlen(name) > 0);
		/* a key of JSON and the tail of a metric's name */
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
		assert_true(strlen(counter_help(a)) > 0);
		for (enum counter b = 0; b < a; b++)
			assert_string_not_equal(name, counter_name(b));
	}
	assert_string_equal(counter_name(COUNTER_out_of_memory), "out_of_memory");
}

static void each_counts_alone(void **state)
{
	(void)state;
	struct counters c = {0};

	for (enum counter a = 0; a < COUNTER_N; a++)
		counter_add(&c, a, a + 1);
	counter_add(&c, COUNTER_events, 1000);
	for (enum counter a = 0; a < COUNTER_N; a++)
		assert_int_equal(counter_read(&c, a), a + 1 + (a == COUNTER_events ? 1000 : 0));
}

/* Two threads' blocks side by side must not share a line. */
static void blocks_are_whole_cache_lines(void **state)
{
	(void)state;
	struct counters two[2];

	assert_int_equal(sizeof(two[0]) % CACHE_LINE, 0);
	assert_int_equal((uintptr_t)&two[1] % CACHE_LINE, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_has_a_name_of_its_own_and_a_help),
		cmocka_unit_test(each_counts_alone),
		cmocka_unit_test(blocks_are_whole_cache_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
