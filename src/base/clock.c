#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

enum { NS_PER_MS = 1000000, MS_PER_S = 1000 };

static struct timespec clock_read(clockid_t which)
{
	struct timespec now = {0};

	/* Through the vDSO; can fail only for a bad clock or pointer. */
	clock_gettime(which, &now);
	return now;
}

static uint64_t timespec_ms(struct timespec t)
{
	return (uint64_t)t.tv_sec * MS_PER_S + (uint64_t)t.tv_nsec / NS_PER_MS;
}

static uint64_t timespec_ns(struct timespec t)
{
	return (uint64_t)t.tv_sec * MS_PER_S * NS_PER_MS + (uint64_t)t.tv_nsec;
}

/* Unix time at 0 of the monotonic clock, in ns, as all threads say it: so that one moment is shown as one time, whoever
 * shows it. Looked at anew with each call. The wall clock is read after the other one, so that what lies between makes the
 * difference too large, never too small: the least is kept, until the clock has been set, or has drifted by 1 ms.
 * Relaxed: whatever any thread found last will do. */
static _Atomic int64_t wall_at_zero_ns = INT64_MAX;

struct instant clock_instant(void)
{
	int64_t mono_ns = (int64_t)timespec_ns(clock_read(CLOCK_MONOTONIC));
	int64_t at_zero_ns = (int64_t)timespec_ns(clock_read(CLOCK_REALTIME)) - mono_ns;
	int64_t said_ns = atomic_load_explicit(&wall_at_zero_ns, memory_order_relaxed);

	if (at_zero_ns < said_ns || at_zero_ns > said_ns + NS_PER_MS) {
		atomic_store_explicit(&wall_at_zero_ns, at_zero_ns, memory_order_relaxed);
		said_ns = at_zero_ns;
	}
	uint64_t mono_ms = (uint64_t)mono_ns / NS_PER_MS;
	return (struct instant){
		.mono_ms = mono_ms, .wall_ms = mono_ms + (uint64_t)said_ns / NS_PER_MS};
}

uint64_t clock_mono_ns(void)
{
	return timespec_ns(clock_read(CLOCK_MONOTONIC));
}

uint64_t clock_mono_ms(void)
{
	return timespec_ms(clock_read(CLOCK_MONOTONIC));
}

uint64_t clock_mono_ms_up(void)
{
	return (clock_mono_ns() + NS_PER_MS - 1) / NS_PER_MS;
}
