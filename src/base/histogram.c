#include "base/histogram.h"

#include "base/ensure.h"

uint64_t histogram_edge(unsigned bucket)
{
	ensure(bucket < HISTOGRAM_BUCKETS);
	if (bucket < HISTOGRAM_SUBS)
		return bucket;
	if (bucket == HISTOGRAM_BUCKETS - 1)
		return UINT64_MAX;

	unsigned shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
	uint64_t sub = bucket & (HISTOGRAM_SUBS - 1);
	return ((HISTOGRAM_SUBS + sub + 1) << shift) - 1;
}

/* relaxed: one writer, and no reader takes one number as a sign that another was written */
static uint64_t read_relaxed(const _Atomic uint64_t *x)
{
	return atomic_load_explicit(x, memory_order_relaxed);
}

uint64_t histogram_count(const struct histogram *h)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		count += read_relaxed(&h->counts[i]);
	return count;
}

uint64_t histogram_count_below(const struct histogram *h, unsigned exponent)
{
	uint64_t count = 0;

	ensure(exponent < 40);
	for (unsigned i = 0; i < histogram_bucket(UINT64_C(1) << exponent); i++)
		count += read_relaxed(&h->counts[i]);
	return count;
}

uint64_t histogram_max(const struct histogram *h)
{
	return read_relaxed(&h->max);
}

uint64_t histogram_sum(const struct histogram *h)
{
	return read_relaxed(&h->sum);
}

/* The record at 'rank', counted from 1, is the first that has the fraction at or below it. */
static uint64_t rank_of(double fraction, uint64_t count)
{
	double exact = fraction * (double)count;
	uint64_t rank = exact > 0 ? (uint64_t)exact : 0;

	return (double)rank < exact || rank == 0 ? rank + 1 : rank;
}

void histogram_quantiles(
	const struct histogram *h, const double *fractions, unsigned n, uint64_t *ret)
{
	/* The writer raises it before it counts: nearly all that is recorded is not above it, and what lies there since is for
	 * the next who asks. */
	uint64_t max = histogram_max(h);
	unsigned n_buckets = histogram_bucket(max) + 1, done = 0;
	uint64_t count = 0, seen = 0;

	for (unsigned i = 0; i < n_buckets; i++)
		count += read_relaxed(&h->counts[i]);
	/* What is recorded meanwhile only adds, so that every rank is reached. */
	for (unsigned i = 0; i < n_buckets && count > 0; i++) {
		uint64_t edge = histogram_edge(i);

		seen += read_relaxed(&h->counts[i]);
		while (done < n && seen >= rank_of(fractions[done], count))
			ret[done++] = edge < max ? edge : max;
	}
	while (done < n)
		ret[done++] = count > 0 ? max : 0;
}

uint64_t histogram_quantile(const struct histogram *h, double fraction)
{
	uint64_t value;

	histogram_quantiles(h, &fraction, 1, &value);
	return value;
}
