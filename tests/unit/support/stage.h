/* A session table with its mailboxes, a clock and an actor, for tests; and what its watchers are told, as words.
 *
 * Threads  one: it plays all of them.
 * Time     stage.now, moved by stage_pass() only. */
#ifndef TESTS_STAGE_H
#define TESTS_STAGE_H

#include "base/telemetry.h"
#include "presence/table.h"
#include "presence/table_check.h"
#include "presence/table_grace.h"

#include "support/cmocka_all.h"

enum { STAGE_WORKERS = 3, STAGE_RING = 64, TIMEOUT_MS = 3000 };
#define STAGE_WALL_MS UINT64_C(1763794282100)

struct stage {
	struct mailbox boxes[STAGE_WORKERS], watchdog, feed;
	struct mailbox *mailboxes[STAGE_WORKERS];
	struct counters counters;
	struct actor actor;
	struct table *table;
	struct instant now;
};

/* 'mono_ms' is the clock's start; a limit of 3 sessions a user. */
void stage_begin(struct stage *, uint64_t mono_ms, uint64_t n_remembered);
/* The same, and every event goes to s->feed too, which has room for STAGE_RING. */
void stage_begin_with_feed(struct stage *, uint64_t mono_ms, uint64_t n_remembered);
void stage_begin_with_grace(
	struct stage *, uint64_t mono_ms, uint64_t n_remembered, uint32_t grace_ms);
/* The table is whole; all is freed. */
void stage_end(struct stage *);
void stage_pass(struct stage *, uint32_t ms);
void stage_check(struct stage *); /* table_check() finds nothing */
uint64_t stage_counter(const struct stage *, enum counter);

/* A login. 'state' KEEP: says none. 'status' NULL: says none; "-": says null. */
enum { KEEP = -1 };
struct seat {
	struct session *session;
	_Atomic uint32_t *stamp;
	uint64_t id;
	bool is_takeover, is_resumed;
	bool has_secret, is_baggage_late;
	struct baggage baggage; /* not freed by the stage */
};

struct seat stage_login(struct stage *, unsigned worker, const char *user, const char *device,
	int state, const char *status);
/* The same that shows a secret. */
struct seat stage_resume(struct stage *, unsigned worker, const char *user, const char *device,
	int state, const char *status, const char *secret);
/* 0 or the error; 'ret' may be NULL. */
int stage_update(struct stage *, struct seat, int state, const char *status, struct snapshot *ret);
bool stage_close(struct stage *, struct seat, enum reason); /* table_end(), not yet released */
/* The same, and the record given back. */
void stage_leave(struct stage *, struct seat, enum reason);
/* The owner heard of the session now. */
void stage_stamp(struct stage *, struct seat);
struct snapshot stage_watch(struct stage *, unsigned worker, const char *user);
void stage_unwatch(struct stage *, unsigned worker, const char *user);
struct snapshot stage_look(struct stage *, const char *user);

/* The next event in a worker's mailbox: "user state reason status", status "-" for null; "" for none. Its numbers go
 * to where 'ret' points, if it does. The text is good until the next call. */
/* How a byte that was stamped at a moment of the stage is shown: stamps are rounded up, and the stage's are whole
 * milliseconds, which stand for the one before them. */
#define STAGE_SEEN(wall_ms) ((wall_ms)-1)

struct numbers {
	uint64_t seq, at_ms, last_seen_ms;
};
const char *stage_told(struct stage *, unsigned worker, struct numbers *ret);
/* A snapshot in the same words, without the user. */
const char *stage_words(const struct snapshot *);

/* The next session of a worker's list, or of the watchdog's (STAGE_WORKERS); NULL for none. The one before must have
 * been dealt with: they come one at a time. */
struct session *stage_listed(struct stage *, unsigned box);

#endif
