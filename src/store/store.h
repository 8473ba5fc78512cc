/* The store: what survives a restart. When everybody was last seen and why, who is online, and with which devices.
 *
 * The file holds what the session table holds, to a second: every 0.6 s the store's thread looks over the table (and the feed)
 * for what moved, and writes it in one transaction. So a kill -9 costs at most the last second, and a start that reads the
 * file goes on where the last one ended: who was online is reconnecting for a while, who was offline is so
 * since then. Users whom the table forgets (PRESENCED_REMEMBER), the file forgets too.
 *
 * Faults   A disk that is full, read-only, slow, or broken costs what is stored, and nothing else: no worker ever waits for
 *          the store. One line in the log says what is wrong, and one when it is well again; meanwhile the
 *          telemetry has the fault, and the file is tried again, every second at first and every 10 s later. Once it
 *          can be written, the whole state is. A file that is gone is made anew. One that is damaged is moved
 *          aside, and what could be read of it kept. One of a newer schema, or that is no store, is left alone.
 * Owns     the file, the thread, and what it keeps of each session (46 bytes and the user's id).
 * Threads  store_new, _start, _stop: main.
 * Errors   0 or negative errno: for want of memory or a thread. What is wrong with the file is no error. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/clock.h"
#include "base/telemetry.h"
#include "presence/table.h"

struct feed;
struct store;

struct store_params {
	const char *path; /* copied */
	struct table *table; /* outlives the store, as do the feed and the telemetry */
	struct feed *feed; /* NULL: who comes and goes between two looks is not noticed */
	struct telemetry *telemetry;
	uint64_t n_remembered; /* offline users to keep */
	uint32_t max_sessions_per_user;
	uint32_t restart_grace_ms;
};

/* Reads the file into the table, before any other thread uses that. Nothing is written yet. */
int store_new(const struct store_params *, struct instant now, struct store **ret);
/* From now on the file follows the table. */
int store_start(struct store *);
/* Writes what there is to write, once the workers have been joined, says in the file that the stop was meant, and closes
 * it; where it was never started, only that. NULL is fine. */
void store_stop(struct store *);

#endif
