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

uint64_t histogram_quantile(const struct histogram *h, double fraction)
{
	uint64_t count = histogram_count(h);
	uint64_t max = histogram_max(h);

	/* The record at 'rank', counted from 1, is the first that has the fraction at or below it. */
	double exact = fraction * (double)count;
	uint64_t rank = exact > 0 ? (uint64_t)exact : 0;
	if ((double)rank < exact || rank == 0)
		rank++;
	if (count == 0)
		return 0;

	/* What is recorded meanwhile only adds, so the rank is always reached. */
	uint64_t seen = 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += read_relaxed(&h->counts[i]);
		if (seen >= rank) {
			uint64_t edge = histogram_edge(i);
			return edge < max ? edge : max;
		}
	}
	return max;
}
