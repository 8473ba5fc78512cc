/* The watchdog's scan: nanoseconds a session, over N stamps of live sessions.
 *
 * Its floor is one pass over as many bare numbers in one array, as wide as the machine's vectors make it. */
#include "base/clock.h"
#include "base/compiler.h"
#include "base/lock.h"
#include "figure.h"
#include "options.h"
#include "presence/stamps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 20, STALE_MAX = 256 };

static uint64_t n_sessions = 1000000;
static uint64_t n_stale; /* spread evenly among them */

static int fill(struct stamps *stamps, uint32_t now)
{
	uint64_t every = n_stale ? n_sessions / n_stale : 1;
	uint32_t slot;
	int error = 0;

	role_worker_begin();
	for (uint64_t i = 0; i < n_sessions && !error; i++) {
		bool is_stale = n_stale && i % every == 0 && i / every < n_stale;

		error = stamps_take(
			stamps, is_stale ? now - 1 : now + 1 + (uint32_t)(i % 30000), &slot);
	}
	return error;
}

/* One whole scan; how many stale ones it found. */
static uint64_t scan(const struct stamps *stamps, uint32_t now)
{
	uint32_t cursor = 0, slots[STALE_MAX];
	uint64_t n = 0;

	while (cursor != UINT32_MAX)
		n += stamps_scan(stamps, now, &cursor, slots, STALE_MAX);
	return n;
}

/* Sixteen bytes at a time in every compiler's default mode: what portable code can hope for. */
typedef uint32_t lanes __attribute__((vector_size(16)));

enum { LANES = sizeof(lanes) / sizeof(uint32_t), UNROLLED = 4 };

/* Whether any of the deadlines lies before now. */
static bool floor_scan(const lanes *stamps, size_t n, uint32_t now)
{
	lanes past = {0}, nows = {now, now, now, now};

	for (size_t i = 0; i + UNROLLED <= n; i += UNROLLED)
		past |= (stamps[i] - nows) | (stamps[i + 1] - nows) | (stamps[i + 2] - nows) |
			(stamps[i + 3] - nows);
	return ((past[0] | past[1] | past[2] | past[3]) >> 31) != 0;
}

static int measure_floor(uint32_t now)
{
	size_t n = n_sessions / LANES / UNROLLED * UNROLLED;
	lanes *stamps =
		aligned_alloc(CACHE_LINE, (n * sizeof(*stamps) / CACHE_LINE + 1) * CACHE_LINE);
	uint64_t best_ns = UINT64_MAX;
	bool any = false;

	if (!stamps)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		for (unsigned lane = 0; lane < LANES; lane++)
			stamps[i][lane] = now + 1 + (uint32_t)(i % 30000);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t start_ns = clock_mono_ns(), took_ns;

		any |= floor_scan(stamps, n, now);
		took_ns = clock_mono_ns() - start_ns;
		if (took_ns < best_ns)
			best_ns = took_ns;
	}
	free(stamps);
	figure_of("scan", "\"server\":\"floor\",\"n\":%" PRIu64 ",\"stale\":%d", n_sessions, any);
	figure_print("ns_per_session", (double)best_ns / (double)n_sessions, "ns");
	return 0;
}

static int measure(uint32_t now, uint64_t *ret_n_found)
{
	uint64_t best_ns = UINT64_MAX, sum_ns = 0, n_found = 0;
	struct stamps stamps;
	int error = stamps_init(&stamps);

	if (error)
		return error;
	error = fill(&stamps, now);
	for (int i = 0; i < ROUNDS && !error; i++) {
		uint64_t start_ns = clock_mono_ns(), took_ns;

		n_found += scan(&stamps, now);
		took_ns = clock_mono_ns() - start_ns;
		sum_ns += took_ns;
		if (took_ns < best_ns)
			best_ns = took_ns;
	}
	stamps_destroy(&stamps);
	if (error)
		return error;
	figure_of("scan", "\"n\":%" PRIu64 ",\"stale\":%" PRIu64, n_sessions, n_stale);
	figure_print("ns_per_session", (double)best_ns / (double)n_sessions, "ns");
	figure_print("ns_per_session_mean", (double)sum_ns / ROUNDS / (double)n_sessions, "ns");
	*ret_n_found = n_found;
	return 0;
}

int main(int argc, char **argv)
{
	const struct option_spec own[] = {
		{.name = "n", .number = &n_sessions},
		{.name = "stale", .number = &n_stale},
		{.name = NULL},
	};
	uint32_t now = UINT32_MAX - 10000; /* so that deadlines lie on both sides of the wrap */
	uint64_t n_found = 0;
	int error;

	options_read_own(argc, argv, own);
	error = measure(now, &n_found);
	if (!error)
		error = measure_floor(now);
	if (error) {
		fprintf(stderr, "bench_scan: %s\n", strerror(-error));
		return 1;
	}
	if (n_found != ROUNDS * n_stale) {
		fprintf(stderr, "bench_scan: found %" PRIu64 " stale ones, not %" PRIu64 "\n",
			n_found, ROUNDS * n_stale);
		return 1;
	}
	return 0;
}
