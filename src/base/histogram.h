/* A histogram with buckets of about 6 % (16 a power of two), of values 0..2^40.
 *
 * Threads  one writer; any reader, at any time, who sees each bucket whole but not all at one moment.
 * Memory   inline, no allocation. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

enum {
	HISTOGRAM_SUB_BITS = 4,
	HISTOGRAM_SUBS = 1 << HISTOGRAM_SUB_BITS,
	HISTOGRAM_BUCKETS = (40 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS
};

struct histogram {
	/* atomic: the writer -> readers, relaxed: they are statistics */
	_Atomic uint64_t counts[HISTOGRAM_BUCKETS];
	_Atomic uint64_t sum;
	_Atomic uint64_t max;
};

/* Values below 16 have a bucket each; above, each power of two [2^e, 2^(e+1)) is cut into 16 equal parts, so
 * that a bucket is at most 1/16 of its lower edge wide. A value of 2^40 or more is counted in the last one. */
static inline unsigned histogram_bucket(uint64_t value)
{
	if (value < HISTOGRAM_SUBS)
		return (unsigned)value;
	if (value >> 40)
		return HISTOGRAM_BUCKETS - 1;

	unsigned exponent = 63 - (unsigned)__builtin_clzll(value);
	unsigned shift = exponent - HISTOGRAM_SUB_BITS;
	return ((shift + 1) << HISTOGRAM_SUB_BITS) +
	       (unsigned)((value >> shift) & (HISTOGRAM_SUBS - 1));
}

/* Here, for every line that is told is recorded. Relaxed: one writer, and no reader takes one number as a sign that another
 * was written. */
static inline void histogram_record(struct histogram *h, uint64_t value)
{
	_Atomic uint64_t *count = &h->counts[histogram_bucket(value)];
	uint64_t sum = atomic_load_explicit(&h->sum, memory_order_relaxed) + value;

	if (value > atomic_load_explicit(&h->max, memory_order_relaxed))
		atomic_store_explicit(&h->max, value, memory_order_relaxed);
	atomic_store_explicit(&h->sum, sum, memory_order_relaxed);
	atomic_store_explicit(
		count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* The value below or at which 'fraction' (0..1) of the records lie, as the bucket's upper edge and at
 * most the maximum; 0 of an empty one. */
uint64_t histogram_quantile(const struct histogram *, double fraction);
/* Several, of fractions that rise, in one pass. */
void histogram_quantiles(
	const struct histogram *, const double *fractions, unsigned n, uint64_t *ret);
uint64_t histogram_count(const struct histogram *);
/* Records below 2^exponent, an edge of the buckets: exact. Exponents below 40. */
uint64_t histogram_count_below(const struct histogram *, unsigned exponent);
uint64_t histogram_max(const struct histogram *);
uint64_t histogram_sum(const struct histogram *);

/* The bucket's upper edge, inclusive, UINT64_MAX for the last: for those who print all buckets. */
uint64_t histogram_edge(unsigned bucket);

#endif
