/* When the dead are buried: the rules of burial.h as tables of numbers. What workers do by them is seen in the storm. */
#include "server/burial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SCAN_MS = 100 };

static void few_deaths_are_buried_at_once(void **state)
{
	struct burial_hold h = {.since_ms = 0};
	(void)state;
	for (uint64_t now = 1000; now < 3000; now += SCAN_MS)
		assert_true(burial_hold(&h, BURIAL_MANY - 1, now, SCAN_MS) <= now);
}

static void many_deaths_hold_burials_until_two_scans_are_calm(void **state)
{
	struct burial_hold h = {.since_ms = 0};
	(void)state;
	assert_int_equal(burial_hold(&h, BURIAL_MANY, 1000, SCAN_MS), 1200);
	assert_int_equal(burial_hold(&h, BURIAL_MANY, 1100, SCAN_MS), 1300);
	assert_int_equal(burial_hold(&h, 0, 1200, SCAN_MS), 1300);
	assert_true(burial_hold(&h, 0, 1300, SCAN_MS) <= 1300);
	assert_int_equal(h.since_ms, 0);
}

static void a_death_that_does_not_end_holds_burials_for_so_long_only(void **state)
{
	struct burial_hold h = {.since_ms = 0};
	uint64_t until = 0;
	(void)state;
	for (uint64_t now = 1000; now < 9000; now += SCAN_MS)
		until = burial_hold(&h, 100000, now, SCAN_MS);
	assert_int_equal(until, 1000 + BURIAL_HOLD_MAX_MS);
	/* Calm for a scan: the next one is another death. */
	burial_hold(&h, 0, 9000, SCAN_MS);
	assert_int_equal(burial_hold(&h, BURIAL_MANY, 9100, SCAN_MS), 9300);
}

static void workers_together_take_their_share_of_the_processors(void **state)
{
	static const struct {
		unsigned n_workers, n_processors;
		uint64_t pause_ns;
	} rows[] = {
		{1, 1, 200},
		{2, 2, 200},
		{64, 64, 200},
		{6, 2, 800},
		{56, 2, 8300},
		{1, 2, 0}, /* one of two is half of them at most, and another's work has the other */
		{1, 64, 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(burial_pause_ns(100, rows[i].n_workers, rows[i].n_processors),
			rows[i].pause_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_deaths_are_buried_at_once),
		cmocka_unit_test(many_deaths_hold_burials_until_two_scans_are_calm),
		cmocka_unit_test(a_death_that_does_not_end_holds_burials_for_so_long_only),
		cmocka_unit_test(workers_together_take_their_share_of_the_processors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
