#include "server/pace.h"

uint32_t pace_pause_ms(uint64_t n_found, uint64_t took_ns, uint32_t scan_interval_ms)
{
	uint64_t least_ms = (took_ns * (PACE_SHARE - 1) + 999999) / 1000000;
	uint64_t pause_ms = scan_interval_ms / PACE_TIMES;

	if (pause_ms < least_ms)
		pause_ms = least_ms;
	if (pause_ms == 0)
		pause_ms = 1;
	return n_found < PACE_MANY || pause_ms > scan_interval_ms ? scan_interval_ms
								  : (uint32_t)pause_ms;
}
