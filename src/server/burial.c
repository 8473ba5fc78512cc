#include "server/burial.h"

#include <stdbool.h>

uint64_t burial_hold(
	struct burial_hold *h, uint64_t n_deaths, uint64_t now_ms, uint32_t scan_interval_ms)
{
	bool is_held = now_ms < h->until_ms;
	if (n_deaths < BURIAL_MANY) {
		if (!is_held)
			*h = (struct burial_hold){.since_ms = 0};
		return h->until_ms;
	}
	if (h->since_ms == 0)
		h->since_ms = now_ms;
	/* The next scan may come a little late. */
	h->until_ms = now_ms + 2 * (uint64_t)scan_interval_ms;
	if (h->until_ms > h->since_ms + BURIAL_HOLD_MAX_MS)
		h->until_ms = h->since_ms + BURIAL_HOLD_MAX_MS;
	return h->until_ms;
}

uint64_t burial_pause_ns(uint64_t spent_ns, unsigned n_workers, unsigned n_processors)
{
	uint64_t parts = (uint64_t)BURIAL_SHARE * n_workers / n_processors;
	return parts > 1 ? spent_ns * (parts - 1) : 0;
}
