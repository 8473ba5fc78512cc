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
	HISTOGRAM_BUCKETS = (40 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS
};

struct histogram {
	/* atomic: the writer -> readers, relaxed: they are statistics */
	_Atomic uint64_t counts[HISTOGRAM_BUCKETS];
	_Atomic uint64_t sum;
	_Atomic uint64_t max;
};

/* A value of 2^40 or more is counted in the last bucket. */
void histogram_record(struct histogram *, uint64_t value);

/* The value below or at which 'fraction' (0..1) of the records lie, as the bucket's upper edge and at
 * most the maximum; 0 of an empty one. */
uint64_t histogram_quantile(const struct histogram *, double fraction);
uint64_t histogram_count(const struct histogram *);
/* Records below 2^exponent, an edge of the buckets: exact. Exponents below 40. */
uint64_t histogram_count_below(const struct histogram *, unsigned exponent);
uint64_t histogram_max(const struct histogram *);
uint64_t histogram_sum(const struct histogram *);

/* The bucket's upper edge, inclusive, UINT64_MAX for the last: for those who print all buckets. */
uint64_t histogram_edge(unsigned bucket);

#endif
