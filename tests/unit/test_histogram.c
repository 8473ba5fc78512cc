#include "base/histogram.h"

#include "base/hash.h"

#include "support/cmocka_all.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct histogram *fresh(void)
{
	static struct histogram h;

	memset(&h, 0, sizeof(h));
	return &h;
}

static void empty_is_zero(void **state)
{
	(void)state;
	struct histogram *h = fresh();

	assert_int_equal(histogram_count(h), 0);
	assert_int_equal(histogram_max(h), 0);
	assert_int_equal(histogram_sum(h), 0);
	assert_int_equal(histogram_quantile(h, 0), 0);
	assert_int_equal(histogram_quantile(h, 1), 0);
}

static void edges_rise_by_a_sixteenth(void **state)
{
	(void)state;
	for (unsigned i = 1; i < HISTOGRAM_BUCKETS - 1; i++) {
		uint64_t low = histogram_edge(i - 1) + 1, high = histogram_edge(i);
		assert_true(high >= low);
		assert_true(high - low <= low / 16);
	}
	assert_true(histogram_edge(HISTOGRAM_BUCKETS - 2) == (UINT64_C(31) << 35) - 1);
	assert_true(histogram_edge(HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
}

static void each_edge_is_in_its_own_bucket(void **state)
{
	(void)state;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		struct histogram *h = fresh();
		histogram_record(h, histogram_edge(i));
		assert_int_equal(atomic_load(&h->counts[i]), 1);
		histogram_record(h, histogram_edge(i) + 1);
		assert_int_equal(atomic_load(&h->counts[i + 1]), 1);
	}
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Against the sorted records: never less than the exact quantile, and at most a bucket more. */
static void check_quantiles(uint64_t *values, size_t n)
{
	static const double fractions[] = {0, 0.001, 0.1, 0.25, 0.5, 0.9, 0.99, 0.999, 1};
	struct histogram *h = fresh();
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		histogram_record(h, values[i]);
		sum += values[i];
	}
	qsort(values, n, sizeof(values[0]), by_value);
	assert_int_equal(histogram_count(h), n);
	assert_int_equal(histogram_sum(h), sum);
	assert_int_equal(histogram_max(h), values[n - 1]);
	for (size_t f = 0; f < sizeof(fractions) / sizeof(fractions[0]); f++) {
		double rank = fractions[f] * (double)n;
		size_t at = (size_t)rank;
		if ((double)at < rank || at == 0)
			at++;
		uint64_t exact = values[at - 1];
		uint64_t told = histogram_quantile(h, fractions[f]);
		assert_in_range(told, exact, exact + exact / 16);
		assert_true(told <= values[n - 1]);
	}
	uint64_t all[sizeof(fractions) / sizeof(fractions[0])];
	histogram_quantiles(h, fractions, sizeof(all) / sizeof(all[0]), all);
	for (size_t f = 0; f < sizeof(all) / sizeof(all[0]); f++)
		assert_int_equal(all[f], histogram_quantile(h, fractions[f]));
}

static void quantiles_are_the_exact_ones_within_a_bucket(void **state)
{
	(void)state;
	enum { N = 2000 };
	static uint64_t values[N];
	static const size_t sizes[] = {1, 2, 3, 10, 999, N};
	uint64_t counter = 7;

	for (unsigned bits = 1; bits <= 40; bits++) {
		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
			/* spread over the magnitudes up to 'bits', as times are */
			for (size_t i = 0; i < sizes[s]; i++) {
				values[i] = hash_mix(counter++) >> (64 - bits);
				values[i] >>= hash_mix(counter++) % bits;
			}
			check_quantiles(values, sizes[s]);
		}
	}
}

static void values_past_the_last_bucket_are_counted_there(void **state)
{
	(void)state;
	struct histogram *h = fresh();

	histogram_record(h, UINT64_C(1) << 40);
	histogram_record(h, UINT64_MAX / 4);
	assert_int_equal(atomic_load(&h->counts[HISTOGRAM_BUCKETS - 1]), 2);
	assert_int_equal(histogram_max(h), UINT64_MAX / 4);
	assert_int_equal(histogram_quantile(h, 1), UINT64_MAX / 4);
}

static void counts_below_powers_of_two_are_exact(void **state)
{
	(void)state;
	struct histogram *h = fresh();

	for (unsigned e = 0; e < 40; e++) {
		histogram_record(h, (UINT64_C(1) << e) - 1);
		histogram_record(h, UINT64_C(1) << e);
	}
	/* Both records of each smaller exponent, and the lower of its own. */
	for (unsigned e = 0; e < 40; e++)
		assert_int_equal(histogram_count_below(h, e), 2 * e + 1);
}

enum { RECORDS = 50000 };

static void *record_many(void *argument)
{
	for (uint64_t i = 0; i < RECORDS; i++)
		histogram_record(argument, i);
	return NULL;
}

static void readers_see_it_grow(void **state)
{
	(void)state;
	struct histogram *h = fresh();
	pthread_t writer;
	uint64_t last = 0;

	assert_int_equal(pthread_create(&writer, NULL, record_many, h), 0);
	while (last < RECORDS) {
		uint64_t count = histogram_count(h);
		assert_in_range(count, last, RECORDS);
		assert_in_range(histogram_quantile(h, 0.5), 0, RECORDS);
		last = count;
	}
	assert_int_equal(pthread_join(writer, NULL), 0);
	assert_int_equal(histogram_sum(h), (uint64_t)RECORDS * (RECORDS - 1) / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_is_zero),
		cmocka_unit_test(edges_rise_by_a_sixteenth),
		cmocka_unit_test(each_edge_is_in_its_own_bucket),
		cmocka_unit_test(quantiles_are_the_exact_ones_within_a_bucket),
		cmocka_unit_test(values_past_the_last_bucket_are_counted_there),
		cmocka_unit_test(counts_below_powers_of_two_are_exact),
		cmocka_unit_test(readers_see_it_grow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
