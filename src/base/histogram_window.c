#include "base/histogram_window.h"

void histogram_window_look(struct histogram_window *w, const struct histogram *h)
{
	w->n = 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		/* Relaxed: statistics. A bucket only grows. */
		uint64_t now = atomic_load_explicit(&h->counts[i], memory_order_relaxed);
		uint64_t recent = now - w->before[i];
		w->recent[i] = recent < UINT32_MAX ? (uint32_t)recent : UINT32_MAX;
		w->before[i] = now;
		w->n += w->recent[i];
	}
	/* After the counts: the writer sets it before it counts. */
	w->max = histogram_max(h);
}

uint64_t histogram_window_quantile(const struct histogram_window *w, double fraction)
{
	/* The record at 'rank', counted from 1, is the first that has the fraction at or below it. */
	double exact = fraction * (double)w->n;
	uint64_t rank = exact > 0 ? (uint64_t)exact : 0;
	uint64_t seen = 0;

	if ((double)rank < exact || rank == 0)
		rank++;
	if (w->n == 0)
		return 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += w->recent[i];
		if (seen >= rank) {
			uint64_t edge = histogram_edge(i);
			return edge < w->max ? edge : w->max;
		}
	}
	return w->max;
}
