#include "auth/rate.h"

#include "base/compiler.h"
#include "support/cmocka_all.h"

/* How many pass at once. */
static unsigned burst(struct rate *r, uint32_t per_second, uint32_t n_ids, uint32_t now_ms)
{
	unsigned n = 0;

	while (n < 100000000 && rate_take(r, per_second, n_ids, now_ms))
		n++;
	return n;
}

static void a_zeroed_bucket_is_full_whenever_it_is_first_used(void **state)
{
	(void)state;
	static const uint32_t clocks[] = {0, 1, 1000, INT32_MAX, 0x80000000, UINT32_MAX};

	for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
		struct rate r = {0};
		assert_int_equal(burst(&r, 200, 0, clocks[i]), 200 * RATE_BURST_S);
	}
}

static void what_passes_in_a_time(void **state)
{
	(void)state;
	static const struct {
		uint32_t per_second, n_ids, wait_ms;
		unsigned passes; /* after the bucket was emptied and so much waited */
	} rows[] = {
		{200, 0, 0, 0}, {200, 0, 4, 0}, {200, 0, 5, 1}, {200, 0, 1000, 200},
		{200, 0, 5000, 1000}, {200, 0, 3600000, 1000}, /* no more than the bucket */
		{1, 0, 999, 0}, {1, 0, 1000, 1}, {3, 0, 1000, 3}, {1000, 0, 1, 1},
		{200, 50, 1000, 100}, /* 50 ids: one message more */
		{200, 1000, 105, 1}, /* 21 messages */
		{200, 1000, 104, 0}, {RATE_MAX, 0, 2, 1000},
		{UINT32_MAX, 0, 2, 1000}, /* as RATE_MAX */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rate r = {0};
		uint32_t now_ms = 4294967000U; /* the clock wraps under it */

		burst(&r, rows[i].per_second, 0, now_ms);
		unsigned passes =
			burst(&r, rows[i].per_second, rows[i].n_ids, now_ms + rows[i].wait_ms);
		if (passes != rows[i].passes)
			fail_msg("row %zu: %u", i, passes);
	}
}

static void no_rate_is_no_limit(void **state)
{
	(void)state;
	struct rate r = {0};

	for (unsigned i = 0; i < 100000; i++)
		assert_true(rate_take(&r, 0, UINT32_MAX, 5));
	assert_int_equal(rate_wait_ms(&r, 0, UINT32_MAX, 5), 0);
	assert_int_equal(r.taken, 0);
}

static void what_costs_more_than_a_bucket_passes_a_full_one(void **state)
{
	(void)state;
	struct rate r = {0};

	assert_true(rate_take(&r, 1, 1000, 0)); /* 21 of 5 */
	assert_false(rate_take(&r, 1, 0, 0));
	assert_int_equal(rate_wait_ms(&r, 1, 0, 0), 17000);
	assert_false(rate_take(&r, 1, 0, 16999));
	assert_true(rate_take(&r, 1, 0, 17000));
	assert_false(rate_take(&r, 1, 1000, 20000));
	assert_int_equal(rate_wait_ms(&r, 1, 1000, 20000), 2000);
	assert_true(rate_take(&r, 1, 1000, 22000));
	/* Whatever the count says, nothing overflows. */
	struct rate s = {0};
	assert_true(rate_take(&s, RATE_MAX, UINT32_MAX, 0));
	assert_false(rate_take(&s, 1, UINT32_MAX, 0));
}

static void a_refused_take_takes_nothing(void **state)
{
	(void)state;
	struct rate r = {0};

	burst(&r, 10, 0, 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_false(rate_take(&r, 10, 5, 0));
	assert_true(rate_take(&r, 10, 0, 100));
}

static void the_wait_is_exact(void **state)
{
	(void)state;
	static const uint32_t rates[] = {1, 3, 7, 200, 12345, RATE_MAX};

	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		struct rate r = {0};

		burst(&r, rates[i], 0, 1000);
		for (uint32_t ids = 0; ids < 200; ids += 33) {
			uint32_t wait_ms = rate_wait_ms(&r, rates[i], ids, 1000);
			struct rate sooner = r, then = r;

			assert_true(wait_ms > 0);
			assert_false(rate_take(&sooner, rates[i], ids, 1000 + wait_ms - 1));
			assert_true(rate_take(&then, rates[i], ids, 1000 + wait_ms));
		}
	}
}

static void a_clock_that_steps_back_gives_nothing(void **state)
{
	(void)state;
	struct rate r = {0};

	burst(&r, 10, 0, 5000);
	assert_false(rate_take(&r, 10, 0, 4000));
	assert_false(rate_take(&r, 10, 0, 5099)); /* and the second is not counted twice */
	assert_true(rate_take(&r, 10, 0, 5100));
}

static void a_long_silence_fills_it_up(void **state)
{
	(void)state;
	static const uint32_t days[] = {1, 24, 25, 26, 49};

	for (size_t i = 0; i < ARRAY_LEN(days); i++) {
		struct rate r = {0};

		burst(&r, 10, 0, 5000);
		assert_int_equal(burst(&r, 10, 0, 5000 + days[i] * 86400000U), 50);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_zeroed_bucket_is_full_whenever_it_is_first_used),
		cmocka_unit_test(what_passes_in_a_time),
		cmocka_unit_test(no_rate_is_no_limit),
		cmocka_unit_test(what_costs_more_than_a_bucket_passes_a_full_one),
		cmocka_unit_test(a_refused_take_takes_nothing),
		cmocka_unit_test(the_wait_is_exact),
		cmocka_unit_test(a_clock_that_steps_back_gives_nothing),
		cmocka_unit_test(a_long_silence_fills_it_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
