/* The board on which threads publish their numbers and from which operators read them.
 *
 * Owns     one block for each worker and one for the watchdog, cache lines apart. Rooms that must not know
 *          each other (server/ writes, admin/ reads) meet here.
 * Threads  each block is written by the thread it is named after, the readiness as said below; read by
 *          all. Relaxed: statistics.
 * Memory   fixed at creation. */
#ifndef BASE_TELEMETRY_H
#define BASE_TELEMETRY_H

#include "base/counters.h"
#include "base/histogram.h"

#include <stdatomic.h>
#include <stdint.h>

enum { WORKERS_MAX = 64 };

struct worker_telemetry {
	struct counters counters;
	struct histogram loop_us; /* one turn of the loop, without the wait */
	struct histogram
		event_us; /* from a change to its line being the kernel's, of each line that was taken at once */
	struct histogram
		absent_ms; /* of each user that came back: how long it had been offline by silence */
	struct histogram
		mistake_ms; /* of each mistake, from the timeout's end to the bytes that prove it wrong */
	_Atomic uint64_t sessions; /* that have a connection here */
	_Atomic uint64_t connections;
	_Atomic uint64_t lingering; /* of the connections: closed, and waiting for the peer's FIN */
	_Atomic uint64_t watches;
	_Atomic uint64_t descriptors; /* open in this worker's descriptor table */
	_Atomic uint64_t mailbox_depth; /* events waiting when it last looked */
	/* atomic: worker -> watchdog. Monotonic ms at which the turn under way began; 0 while it waits. */
	_Atomic uint64_t turn_began_ms;
	/* atomic: watchdog -> readers. Whether the worker owes an answer for too long. */
	_Atomic _Bool stalled;
} CACHE_ALIGNED;

struct watchdog_telemetry {
	struct counters counters;
	struct histogram scan_us;
	struct histogram lateness_ms; /* of each expiry, past the promised timeout */
	struct histogram detection_ms; /* of each expiry: from the last byte to the verdict */
	_Atomic uint64_t scans;
	_Atomic uint64_t stalls; /* gaps in its own ticks: all sessions were given more time */
} CACHE_ALIGNED;

struct store_telemetry {
	struct counters counters;
	struct histogram batch_us; /* one transaction, from the look at the table to the commit */
	/* atomic: main, then the store's thread -> readers */
	_Atomic _Bool is_on;
	_Atomic int fault; /* positive errno; 0: the file is written */
	_Atomic int last_fault; /* the last there was */
	_Atomic uint64_t last_fault_ms; /* Unix time; 0: there was none */
	_Atomic uint64_t saved_mono_ms; /* what the table was then, the file is */
	_Atomic uint64_t users; /* in the file, as counted now and then */
} CACHE_ALIGNED;

/* What an errno of the store's says, for people: static. */
const char *store_fault_words(int fault);

#define READINESS(X)                                                                               \
	X(STARTING, "starting")                                                                    \
	X(READY, "ready")                                                                          \
	X(DRAINING, "draining")                                                                    \
	X(STOPPING, "stopping")

#define READINESS_ENUM(name, word) READINESS_##name,
enum readiness { READINESS(READINESS_ENUM) READINESS_N };
#undef READINESS_ENUM

const char *readiness_word(enum readiness);

struct telemetry {
	/* const after start */
	unsigned n_workers;
	uint64_t started_mono_ms;
	char server_id[33]; /* this start of the server: 128 random bits in hex */
	/* atomic: main -> admin */
	_Atomic enum readiness readiness;
	/* each by its thread */
	struct watchdog_telemetry watchdog;
	struct counters admin; /* the admin HTTP thread's */
	struct counters feed; /* the feed thread's */
	struct store_telemetry store;
	struct worker_telemetry workers[];
};

/* NULL when memory is refused. Zeroed, STARTING, with a fresh server_id. */
struct telemetry *telemetry_new(unsigned n_workers, uint64_t now_mono_ms);
void telemetry_free(struct telemetry *);

/* Of all blocks. */
uint64_t telemetry_counter(const struct telemetry *, enum counter);

#endif
