/* The stamp of a heartbeat: nanoseconds for one store to a slot that the connection knows, slots in no
 * order, one thread storing, and again while another scans. */
#include "base/clock.h"
#include "base/lock.h"
#include "figure.h"
#include "options.h"
#include "presence/stamps.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t n_sessions = 1000000, n_stamps = 20000000;

struct scanner {
	const struct stamps *stamps;
	/* atomic: main -> the scanner, relaxed: it orders nothing, the join does */
	_Atomic bool is_over;
};

static void *scan(void *arg)
{
	struct scanner *scanner = arg;
	uint32_t cursor = 0, slots[256];

	while (!atomic_load_explicit(&scanner->is_over, memory_order_relaxed)) {
		if (cursor == UINT32_MAX)
			cursor = 0;
		(void)stamps_scan(scanner->stamps, 0, &cursor, slots, 256);
	}
	return NULL;
}

/* The addresses of all slots, in no order: a connection knows where its stamp is. */
static int fill(struct stamps *stamps, _Atomic uint32_t **slots)
{
	uint64_t random = 88172645463325252u;
	uint32_t slot;

	role_worker_begin();
	for (uint64_t i = 0; i < n_sessions; i++) {
		int error = stamps_take(stamps, 1000, &slot);

		if (error)
			return error;
		slots[i] = stamps_at(stamps, slot);
	}
	for (uint64_t i = n_sessions - 1; i; i--) {
		_Atomic uint32_t *other = slots[i];

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		slots[i] = slots[random % (i + 1)];
		slots[random % (i + 1)] = other;
	}
	return 0;
}

static double stamp_all(_Atomic uint32_t **slots)
{
	uint64_t start_ns = clock_mono_ns(), at = 0;

	for (uint64_t i = 0; i < n_stamps; i++) {
		/* Relaxed, as a worker stores it. */
		atomic_store_explicit(slots[at], 1000 + (uint32_t)(i & 1023), memory_order_relaxed);
		if (++at == n_sessions)
			at = 0;
	}
	return (double)(clock_mono_ns() - start_ns) / (double)n_stamps;
}

int main(int argc, char **argv)
{
	const struct option_spec own[] = {
		{.name = "n", .number = &n_sessions},
		{.name = "stamps", .number = &n_stamps},
		{.name = NULL},
	};
	struct stamps stamps;
	struct scanner scanner = {.stamps = &stamps};
	_Atomic uint32_t **slots;
	pthread_t thread;
	int error;

	options_read_own(argc, argv, own);
	slots = calloc(n_sessions, sizeof(*slots));
	error = slots ? stamps_init(&stamps) : 1;
	if (!error)
		error = fill(&stamps, slots);
	if (error) {
		fprintf(stderr, "bench_stamp: no memory\n");
		return 1;
	}
	figure_of("stamp", "\"scanned\":false,\"n\":%" PRIu64, n_sessions);
	figure_print("ns_per_stamp", stamp_all(slots), "ns");
	if (pthread_create(&thread, NULL, scan, &scanner) == 0) {
		figure_of("stamp", "\"scanned\":true,\"n\":%" PRIu64, n_sessions);
		figure_print("ns_per_stamp", stamp_all(slots), "ns");
		atomic_store_explicit(&scanner.is_over, true, memory_order_relaxed);
		pthread_join(thread, NULL);
	}
	stamps_destroy(&stamps);
	free(slots);
	return 0;
}
