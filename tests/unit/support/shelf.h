/* A table with a store beside it, for tests: the store's turns are taken one by one, at moments of the test's, on a disk that
 * fails when it is told to; and its file as the shell would read it.
 *
 * Threads  one: it plays all of them. */
#ifndef TESTS_SHELF_H
#define TESTS_SHELF_H

#include "store/store_private.h"

#include "support/faulty_disk.h"
#include "support/stage.h"

#include <sqlite3.h>

struct shelf {
	struct stage stage;
	struct telemetry *telemetry;
	struct feed *feed; /* of two events: quick to lose some */
	struct store *store;
	char folder[64], path[128];
};

void shelf_begin(struct shelf *, uint32_t n_remembered);
void shelf_end(struct shelf *);
void shelf_open_store(struct shelf *, uint32_t n_remembered);
/* The process is started anew, some time later: the old one went without a word. */
void shelf_restart(struct shelf *, uint32_t n_remembered, int64_t away_ms);
/* The table's events to the feed. */
void shelf_pump(struct shelf *);

/* A turn of the store, and 0.8 s pass; the last one. */
void shelf_turn(struct shelf *);
void shelf_last_turn(struct shelf *);

int shelf_fault(const struct shelf *);
uint64_t shelf_count(const struct shelf *, enum counter);

/* The file: a connection to it; and what a query says, columns apart by '|' and rows by spaces, good until the next. */
sqlite3 *shelf_open_file(const struct shelf *);
const char *shelf_ask(const struct shelf *, const char *sql);

#endif
