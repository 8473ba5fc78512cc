#include "base/clock.h"

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

struct instant clock_instant(void)
{
	return (struct instant){
		.mono_ms = timespec_ms(clock_read(CLOCK_MONOTONIC)),
		.wall_ms = timespec_ms(clock_read(CLOCK_REALTIME)),
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
