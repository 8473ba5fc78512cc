/* When a worker is patient (base/slice.h): it does not displace who runs, and one wake-up does for several events.
 *
 * Always, where workers share a processor: each waits for its turn anyway, and one turn is for what came meanwhile. Else
 * while so much comes in that wake-ups are a good part of its work, as network cards moderate their interrupts. With less
 * to do, one that has a processor starts at once, whoever else would use it: those who live are then answered sooner in
 * a storm.
 *
 * Pure rules; worker.c does it. Time told by the caller. */
#ifndef SERVER_PATIENCE_H
#define SERVER_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	PATIENCE_PERIOD_MS = 50,
	PATIENCE_FROM = 20000, /* events a second */
	PATIENCE_UNTIL = 10000,
};

/* owner: the worker. Made by patience_begin(). */
struct patience {
	uint64_t since_ns;
	uint64_t n_events;
	bool is_patient;
	bool is_always;
};

/* processors 0: as many as workers. */
struct patience patience_begin(unsigned n_workers, unsigned n_processors, uint64_t now_ns);

/* So many events came of a wait; true when 'is_patient' is another now. */
bool patience_count(struct patience *, unsigned n_events, uint64_t now_ns);

#endif
