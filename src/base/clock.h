/* The clocks. CLOCK_MONOTONIC decides, wall time is shown. Ours is ahead of the kernel's by a constant of less than a
 * millisecond, so that a moment's wall time is the same whichever thread shows it, and whenever.
 *
 * Only the loops (worker, watchdog, admin) call this; every other module is told the time.
 * Threads  any. Errors none: these clocks can't fail on Linux. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* One moment on both clocks. */
struct instant {
	uint64_t mono_ms; /* CLOCK_MONOTONIC, rounded down */
	uint64_t
		wall_ms; /* Unix time, for display: to 1 ms, and the same of one moment in all threads */
};

struct instant clock_instant(void);
uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void); /* rounded down: for comparing with a deadline */
uint64_t clock_mono_ms_up(void); /* rounded up: for stamping what was just read */

/* The processor time that the calling thread has had; a system call. */
uint64_t clock_thread_ns(void);

/* How long the machine has been suspended since it was booted, to about 1 ms: CLOCK_MONOTONIC stands still meanwhile. What
 * others date by a calendar (a token's expiry) runs on by this. */
uint64_t clock_suspended_ms(void);

#endif
