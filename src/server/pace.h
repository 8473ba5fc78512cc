/* When the watchdog scans next: every scan interval at the latest, sooner in a mass death.
 *
 * Those who die of one cause (a switch, a data centre, a deploy) fall due one after the other, as their last bytes came.
 * A scan that finds many is in the middle of that: the next ones come ten times as often, so that the last of them wait no
 * longer than the first. A scan takes at most a tenth of one processor, however many sessions it walks.
 *
 * Pure rule; watchdog.c does it. Time told by the caller. */
#ifndef SERVER_PACE_H
#define SERVER_PACE_H

#include <stdint.h>

enum {
	PACE_MANY = 64, /* found by a scan: more than chance brings */
	PACE_TIMES = 10, /* as often, then */
	PACE_SHARE = 10, /* of a processor, one part in so many */
};

/* The pause, in ms, after a scan that found so many who had not been found before and took so much processor time. */
uint32_t pace_pause_ms(uint64_t n_found, uint64_t took_ns, uint32_t scan_interval_ms);

#endif
