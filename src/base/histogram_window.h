/* What a histogram was told between two looks at it: the quantiles of the last second, where the histogram itself has
 * those of all time.
 *
 * Threads  the owner's only; the histogram's writer goes on meanwhile.
 * Memory   inline, 7 KB, no allocation. Zeroed, the first look has all that was recorded so far. */
#ifndef BASE_HISTOGRAM_WINDOW_H
#define BASE_HISTOGRAM_WINDOW_H

#include "base/histogram.h"

struct histogram_window {
	uint64_t before[HISTOGRAM_BUCKETS]; /* at the look before */
	uint32_t recent[HISTOGRAM_BUCKETS]; /* since then, at most UINT32_MAX a bucket */
	uint64_t n; /* of all buckets */
	uint64_t max; /* of all time: no quantile is above it */
};

/* Looks: from here on the window has what was recorded since the look before. */
void histogram_window_look(struct histogram_window *, const struct histogram *);

/* As histogram_quantile(), of the window; 0 of an empty one. Of 1 the highest, as its bucket's upper edge. */
uint64_t histogram_window_quantile(const struct histogram_window *, double fraction);

#endif
