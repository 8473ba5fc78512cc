/* A worker of torture_table.c: its simulated connections and watchers, and what they do at random.
 *
 * Owns     what the threads share: the table, the clock, the run's seed. torture_table.c sets them up.
 * Threads  each worker by its own thread; by main once all were joined. */
#ifndef TESTS_TORTURE_PLAY_H
#define TESTS_TORTURE_PLAY_H

#include "torture.h"

#include "base/telemetry.h"
#include "presence/table_grace.h"
#include "presence/watch.h"

#include <pthread.h>

enum {
	N_WORKERS = 6, /* and the watchdog, and the looker */
	N_USERS = 64,
	N_POPULAR =
		8, /* whom most watch; many of the others are watched by nobody, and forgotten */
	N_DEVICES = 3,
	N_WATCHERS = 12,
	N_CONNECTIONS = 192,
	N_FLOOD = 4200, /* logins at once, of users of their own: more than one chunk of stamps */
	N_PAST = 32,
	WATCHES_MAX = 4,
	SESSIONS_MAX = 4,
	REMEMBERED = 2,
	RING = 16,
	HELD = 6,
	N_STRIPES_USED = 4, /* in which all the users are: lists and counters are shared */
	NAME_MAX_LEN = 24,
	GRACE_MS = 40
};

/* What a watcher was told last. */
struct word {
	bool is_known;
	enum state state;
	enum reason reason;
	uint64_t seq, at_ms;
	char status[8]; /* empty: none */
};

struct connection {
	struct session *session; /* NULL: free */
	uint64_t id;
	_Atomic uint32_t *stamp;
	uint32_t deadline, timeout_ms;
	uint16_t generation;
	bool is_silent, is_visible;
	bool is_waiting; /* for the baggage of the connection before */
	bool is_heard; /* sent to the watchdog, though its bytes came after all */
	uint8_t user;
};

struct teller {
	struct watcher watcher; /* first, so that a watcher's address is the teller's */
	struct word words[N_USERS];
};

struct worker {
	unsigned index;
	struct rng rng;
	struct mailbox mailbox;
	struct counters counters;
	struct actor actor;
	struct watch_index *watches;
	struct teller tellers[N_WATCHERS];
	struct connection connections[N_CONNECTIONS + N_FLOOD];
	struct {
		struct session *session;
		uint64_t id;
	} past[N_PAST]; /* ended here, some time ago */
	unsigned n_past;
	uint64_t n_taken, n_resyncs, n_told, n_expired, n_acquitted, n_ops;
	uint64_t n_revived, n_at_once, n_late,
		n_given_up; /* bytes after a verdict; baggage: there, late, never */
	uint64_t n_until; /* operations, at the end of this round */
	pthread_t thread;
};

extern struct torture torture;
extern struct table *table;
extern _Atomic uint64_t last_ids[N_USERS]; /* of each user a session, for who shows its secret */
extern _Atomic uint64_t now_ms; /* the clock of them all; the watchdog moves it */

/* Starts a little before 2^32, so that the stamps wrap early. */
#define MONO_START UINT64_C(0xfffffe00)
#define WALL_START UINT64_C(1763794282100)

struct instant instant_now(void);
void users_init(void); /* once the table is there: gives them their names */
size_t user_name(char *to, unsigned user);
struct word word_of_snapshot(const struct snapshot *);
/* The watcher is told so of a user; 'is_first': by the snapshot of a watch. */
void hear_word(struct teller *, unsigned user, const struct word *, bool is_first);
/* Writes at most 'n_lines' to the next watcher of the flush list. */
void flush_one(struct worker *, unsigned n_lines);

/* The thread of a worker: its share of the operations. */
void *worker_run(void *worker);

/* All of its mail, and all that its watchers are still to be told; once the other workers have stopped. */
void worker_rest(struct worker *) REQUIRES(role_worker);
/* Ends the connection, as its peer's going would. */
void worker_end(struct worker *, struct connection *, enum reason) REQUIRES(role_worker);
void worker_close_watcher(struct worker *, struct teller *) REQUIRES(role_worker);

#endif
