#include "base/clock.h"

#include "base/compiler.h"

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

static uint64_t timespec_ns(struct timespec t)
{
	return (uint64_t)t.tv_sec * MS_PER_S * NS_PER_MS + (uint64_t)t.tv_nsec;
}

/* The wall clock is read after the other one: what lies between, which may be a preemption, makes the difference too
 * large, never too small. So of a few the least is the best. */
static int64_t measure_wall_at_zero(unsigned n)
{
	int64_t least = INT64_MAX;
	for (unsigned i = 0; i < n; i++) {
		int64_t mono_ns = (int64_t)timespec_ns(clock_read(CLOCK_MONOTONIC));
		int64_t at_zero_ns = (int64_t)timespec_ns(clock_read(CLOCK_REALTIME)) - mono_ns;
		least = at_zero_ns < least ? at_zero_ns : least;
	}
	return least;
}

enum { SEVERAL = 5 };

/* Unix time at 0 of CLOCK_MONOTONIC, and its fraction of a millisecond when the process began: by that our monotonic clock
 * is ahead of the kernel's, so that both clocks begin their milliseconds together and the whole milliseconds of the one
 * are the other's but for a constant. Relaxed: whatever any thread found last will do; the fraction is found once. */
static _Atomic int64_t wall_at_zero_ns;
static _Atomic int64_t fraction_ns;

CONSTRUCTOR static void begin_together(void)
{
	int64_t at_zero_ns = measure_wall_at_zero(SEVERAL);
	atomic_store_explicit(&wall_at_zero_ns, at_zero_ns, memory_order_relaxed);
	atomic_store_explicit(&fraction_ns, at_zero_ns % NS_PER_MS, memory_order_relaxed);
}

struct instant clock_instant(void)
{
	int64_t said_ns = atomic_load_explicit(&wall_at_zero_ns, memory_order_relaxed);
	int64_t now_ns = measure_wall_at_zero(1);

	/* Later by a millisecond: the clock was set, or this thread was preempted. */
	if (now_ns > said_ns + NS_PER_MS)
		now_ns = measure_wall_at_zero(SEVERAL);
	if (now_ns > said_ns + NS_PER_MS || now_ns < said_ns - NS_PER_MS) {
		atomic_store_explicit(&wall_at_zero_ns, now_ns, memory_order_relaxed);
		said_ns = now_ns;
	}
	uint64_t mono_ms = clock_mono_ms();
	return (struct instant){
		.mono_ms = mono_ms, .wall_ms = mono_ms + (uint64_t)said_ns / NS_PER_MS};
}

uint64_t clock_mono_ns(void)
{
	return timespec_ns(clock_read(CLOCK_MONOTONIC)) +
	       (uint64_t)atomic_load_explicit(&fraction_ns, memory_order_relaxed);
}

uint64_t clock_mono_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

uint64_t clock_thread_ns(void)
{
	return timespec_ns(clock_read(CLOCK_THREAD_CPUTIME_ID));
}

uint64_t clock_suspended_ms(void)
{
	uint64_t mono_ns = timespec_ns(clock_read(CLOCK_MONOTONIC));
	uint64_t boot_ns = timespec_ns(clock_read(CLOCK_BOOTTIME));

	return (boot_ns - mono_ns) / NS_PER_MS;
}

uint64_t clock_mono_ms_up(void)
{
	return (clock_mono_ns() + NS_PER_MS - 1) / NS_PER_MS;
}
