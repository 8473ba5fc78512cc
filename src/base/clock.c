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
 * shows it. Relaxed: whatever any thread found last will do. */
static _Atomic int64_t wall_at_zero_ns = INT64_MAX;

/* The wall clock is read after the other one: what lies between, which may be a preemption, makes the difference too
 * large, never too small. So of a few the least is the best. */
static int64_t measure_wall_at_zero(unsigned n)
{
	int64_t least = INT64_MAX;
	for (unsigned i = 0; i < n; i++) {
		int64_t mono_ns = (int64_t)timespec_ns(clock_read(CLOCK_MONOTONIC));
		int64_t at_zero = (int64_t)timespec_ns(clock_read(CLOCK_REALTIME)) - mono_ns;
		least = at_zero < least ? at_zero : least;
	}
	return least;
}

struct instant clock_instant(void)
{
	enum { SEVERAL = 5 };
	int64_t said_ns = atomic_load_explicit(&wall_at_zero_ns, memory_order_relaxed);
	int64_t now_ns = measure_wall_at_zero(said_ns == INT64_MAX ? SEVERAL : 1);

	/* Later by a millisecond: the clock was set, or this thread was preempted. */
	if (said_ns != INT64_MAX && now_ns > said_ns + NS_PER_MS)
		now_ns = measure_wall_at_zero(SEVERAL);
	if (said_ns == INT64_MAX || now_ns < said_ns || now_ns > said_ns + NS_PER_MS) {
		atomic_store_explicit(&wall_at_zero_ns, now_ns, memory_order_relaxed);
		said_ns = now_ns;
	}
	uint64_t mono_ms = clock_mono_ms();
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
