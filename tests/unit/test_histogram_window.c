/* The quantiles of what was recorded since the last look. */
#include "base/histogram_window.h"

#include "support/cmocka_all.h"

#include <string.h>

struct fixture {
	struct histogram h;
	struct histogram_window w;
};

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	*state = &f;
	return 0;
}

static void record(struct fixture *f, uint64_t value, unsigned n)
{
	while (n-- > 0)
		histogram_record(&f->h, value);
}

static void empty_is_zero(void **state)
{
	struct fixture *f = *state;

	histogram_window_look(&f->w, &f->h);
	assert_int_equal(f->w.n, 0);
	assert_int_equal(histogram_window_quantile(&f->w, 0.99), 0);
}

static void each_look_has_only_what_came_since(void **state)
{
	struct fixture *f = *state;

	record(f, 5000, 10);
	histogram_window_look(&f->w, &f->h);
	assert_int_equal(f->w.n, 10);
	assert_int_equal(histogram_window_quantile(&f->w, 0.5), 5000);
	record(f, 7, 3);
	histogram_window_look(&f->w, &f->h);
	assert_int_equal(f->w.n, 3);
	assert_int_equal(histogram_window_quantile(&f->w, 1), 7);
	histogram_window_look(&f->w, &f->h);
	assert_int_equal(f->w.n, 0);
	assert_int_equal(histogram_window_quantile(&f->w, 1), 0);
}

/* The first window is the histogram itself: both say the same of it. */
static void says_what_the_histogram_says(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 1; i <= 1000; i++)
		record(f, i * i, 1);
	histogram_window_look(&f->w, &f->h);
	for (unsigned percent = 0; percent <= 100; percent++)
		assert_int_equal(histogram_window_quantile(&f->w, percent / 100.0),
			histogram_quantile(&f->h, percent / 100.0));
}

static void a_rare_value_is_found_at_its_rank(void **state)
{
	struct fixture *f = *state;

	record(f, 1, 99);
	record(f, 900, 1);
	histogram_window_look(&f->w, &f->h);
	assert_int_equal(histogram_window_quantile(&f->w, 0.99), 1);
	assert_int_equal(histogram_window_quantile(&f->w, 0.991), 900);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(empty_is_zero),
		TEST(each_look_has_only_what_came_since),
		TEST(says_what_the_histogram_says),
		TEST(a_rare_value_is_found_at_its_rank),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
