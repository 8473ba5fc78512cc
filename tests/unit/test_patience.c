/* When a worker is patient: the rules of patience.h as tables of numbers. What comes of it is seen in the flood and the storm. */
#include "server/patience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NS_A_MS = 1000000 };

/* So many events each millisecond, for so long; how often it changed its mind. */
static unsigned go_on(struct patience *p, unsigned a_ms, unsigned for_ms)
{
	uint64_t start_ns = p->since_ns;
	unsigned n_changes = 0;
	for (unsigned ms = 1; ms <= for_ms; ms++)
		n_changes += patience_count(p, a_ms, start_ns + ms * (uint64_t)NS_A_MS);
	return n_changes;
}

static void who_shares_a_processor_is_always_patient(void **state)
{
	(void)state;
	struct patience p = patience_begin(3, 2, NS_A_MS);
	assert_true(p.is_patient);
	assert_int_equal(go_on(&p, 0, 1000), 0);
	assert_int_equal(go_on(&p, 100, 1000), 0);
	assert_true(p.is_patient);
}

static void who_has_one_is_prompt(void **state)
{
	(void)state;
	assert_false(patience_begin(2, 2, NS_A_MS).is_patient);
	assert_false(patience_begin(1, 2, NS_A_MS).is_patient);
	assert_false(patience_begin(8, 0, NS_A_MS).is_patient);
}

static void patient_while_much_comes_in(void **state)
{
	(void)state;
	struct patience p = patience_begin(2, 2, NS_A_MS);
	assert_int_equal(go_on(&p, PATIENCE_FROM / 1000 - 1, 1000), 0);
	assert_int_equal(go_on(&p, PATIENCE_FROM / 1000, 1000), 1);
	assert_true(p.is_patient);
	/* In between it stays as it is. */
	assert_int_equal(go_on(&p, PATIENCE_UNTIL / 1000, 1000), 0);
	assert_true(p.is_patient);
	assert_int_equal(go_on(&p, PATIENCE_UNTIL / 1000 - 1, 1000), 1);
	assert_false(p.is_patient);
}

static void not_before_a_period_is_over(void **state)
{
	(void)state;
	struct patience p = patience_begin(2, 2, NS_A_MS);
	assert_int_equal(go_on(&p, PATIENCE_FROM, PATIENCE_PERIOD_MS - 1), 0);
	assert_false(p.is_patient);
}

static void a_long_wait_is_part_of_the_period(void **state)
{
	(void)state;
	struct patience p = patience_begin(2, 2, NS_A_MS);
	assert_false(patience_count(&p, PATIENCE_FROM - 1, 1001 * (uint64_t)NS_A_MS));
	assert_true(patience_count(&p, PATIENCE_FROM, 2001 * (uint64_t)NS_A_MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_shares_a_processor_is_always_patient),
		cmocka_unit_test(who_has_one_is_prompt),
		cmocka_unit_test(patient_while_much_comes_in),
		cmocka_unit_test(not_before_a_period_is_over),
		cmocka_unit_test(a_long_wait_is_part_of_the_period),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
