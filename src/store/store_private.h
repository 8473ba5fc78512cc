/* The store's inside, shared by its own files: store.c (the thread, and what it does about faults), save.c (from the table to
 * the file) and restore.c (from the file to the table). */
#ifndef STORE_STORE_PRIVATE_H
#define STORE_STORE_PRIVATE_H

#include "base/lock.h"
#include "feed/feed.h"
#include "presence/sampler.h"
#include "store/file.h"
#include "store/store.h"

#include <pthread.h>

struct store {
	/* const after start */
	struct store_params params; /* its path is owned here */
	uint64_t started_ms; /* Unix time */
	struct store_telemetry *telemetry;
	int wakeup;
	bool is_started;
	pthread_t thread;
	/* atomic: main -> the store's thread */
	_Atomic bool is_stopping;
	/* owner: the store's thread; before and after it, main */
	struct store_file *file; /* NULL: not open */
	struct sampler *sampler;
	uint64_t cursor; /* into the feed */
	struct places places;
	struct user_id **changed; /* users who may look different, owned; some twice */
	size_t n_changed, max_changed;
	bool needs_all; /* the file holds something else than the table did: all is written anew */
	bool is_unread; /* the file was there at the start, and could not be read: not to be lost */
	bool is_damaged; /* the file was, at the start */
	bool is_begun; /* anew, after the last one was moved aside, and nothing was written to it yet */
	bool has_written; /* this server, ever */
	bool is_tidy; /* nothing was written since the last checkpoint */
	int fault; /* negative errno that has been told; 0: the file is written */
	uint64_t fault_ms, busy_ms; /* since when; busy 0: it is not */
	uint64_t retry_ms, backoff_ms;
	uint64_t checkpoint_ms, prune_ms; /* when next */
};

/* --- save.c: errors are those of the file's, and -ENOMEM; after one, s->needs_all --- */

/* Looks over the table; what moved is in s->places and s->changed then. */
int save_look(struct store *, struct instant now) REQUIRES(role_store);
/* Whether there is something to write. */
bool save_has_news(const struct store *);
/* One transaction: what is new, or with s->needs_all everything. -EBUSY: nothing is lost. */
int save_write(struct store *, struct instant now, bool is_last) REQUIRES(role_store);
void save_forget_changed(struct store *);

/* --- restore.c --- */

/* Opens the file and reads it into the table. What is wrong is the fault returned, and s->is_unread, s->needs_all say what
 * comes of it. */
int restore_all(struct store *, struct instant now);

/* --- store.c --- */

/* What the thread does every TICK_MS, and once more at the end. */
void store_turn(struct store *, struct instant now, bool is_last) REQUIRES(role_store);
int store_open_file(struct store *, int busy_ms);
/* Moves a file that is of no use out of the way, and says so. */
int store_move_aside(struct store *, const char *word, const char *why, uint64_t now_ms);

#endif
