/* When the dead are buried: what is left to do for sessions that were ended elsewhere (expired, kicked, replaced), a bye and a
 * close each, which cost ten times the verdict and its telling.
 *
 * In a mass death the watchers come first: while the watchdog finds many at once, nobody is buried, for at most
 * BURIAL_HOLD_MAX_MS. And buried is within a share of the processors, so that those who live are answered meanwhile.
 *
 * Pure rules; hearing.c does it. Threads: burial_hold(): the watchdog. Time told by the caller. */
#ifndef SERVER_BURIAL_H
#define SERVER_BURIAL_H

#include <stdint.h>

enum {
	BURIAL_MANY = 256, /* deaths in a scan interval: some 5 ms of burials */
	BURIAL_HOLD_MAX_MS = 5000,
	BURIAL_SHARE = 3, /* of the processors, one part in so many */
};

/* owner: the watchdog */
struct burial_hold {
	uint64_t since_ms, until_ms; /* 0: there is none */
};

/* So many were found dead in the scan interval before 'now_ms'; until when burials wait, 0 or past: they don't. */
uint64_t burial_hold(
	struct burial_hold *, uint64_t n_deaths, uint64_t now_ms, uint32_t scan_interval_ms);

/* For how long to leave off after burying for 'spent_ns', where all workers do so at once. */
uint64_t burial_pause_ns(uint64_t spent_ns, unsigned n_workers, unsigned n_processors);

#endif
