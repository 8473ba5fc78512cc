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

/* What Unix time is at 0 of the monotonic clock, as all threads say it: so that one moment is shown as one time, whoever
 * shows it. Looked at anew each time, and changed when it is out by more than rounding. Relaxed: any value that was
 * right within the last call of anybody will do. */
static _Atomic int64_t wall_offset_ms = INT64_MIN;

struct instant clock_instant(void)
{
	struct timespec mono = clock_read(CLOCK_MONOTONIC), wall = clock_read(CLOCK_REALTIME);
	int64_t offset_ms = (int64_t)timespec_ms(wall) - (int64_t)timespec_ms(mono);
	int64_t said_ms = atomic_load_explicit(&wall_offset_ms, memory_order_relaxed);

	if (said_ms == INT64_MIN || offset_ms > said_ms + 1 || offset_ms < said_ms - 1) {
		atomic_store_explicit(&wall_offset_ms, offset_ms, memory_order_relaxed);
		said_ms = offset_ms;
	}
	return (struct instant){
		.mono_ms = timespec_ms(mono),
		.wall_ms = timespec_ms(mono) + (uint64_t)said_ms,
	};
}

uint64_t clock_mono_ns(void)
{
	struct timespec now = clock_read(CLOCK_MONOTONIC);

	return (uint64_t)now.tv_sec * MS_PER_S * NS_PER_MS + (uint64_t)now.tv_nsec;
}

uint64_t clock_mono_ms(void)
{
	return timespec_ms(clock_read(CLOCK_MONOTONIC));
}

uint64_t clock_mono_ms_up(void)
{
	return (clock_mono_ns() + NS_PER_MS - 1) / NS_PER_MS;
}
