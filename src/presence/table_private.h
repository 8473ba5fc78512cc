/* The session table's inside, shared by its own files only: table.c (users, stripes, forgetting), login.c
 * (sessions begin, change, end) and verdict.c (the list of a worker, the watchdog). */
#ifndef PRESENCE_TABLE_PRIVATE_H
#define PRESENCE_TABLE_PRIVATE_H

#include "base/compiler.h"
#include "base/telemetry.h"
#include "presence/stamps.h"
#include "presence/table.h"

#include <assert.h>

enum {
	STRIPE_BITS = 9,
	N_STRIPES = 1 << STRIPE_BITS
}; /* 8 a worker at the most workers there can be */

/* The top bits of an id's hash choose the bucket, and are kept with the user. */
enum { USER_HASH_BITS = 24, USER_HASH_SHIFT = 64 - USER_HASH_BITS };

/* A device's name: in the record itself where it is short, as most are. */
enum { DEVICE_HERE_MAX = 8 };
union device_name {
	char here[DEVICE_HERE_MAX];
	char *there;
};

/* A status. */
struct text {
	uint16_t len;
	char bytes[];
};

/* Where a session record is. Only these changes happen:
 *   QUIET  -> LISTED  whoever nominates or ends it, by compare-and-swap, and then pushes it
 *   LISTED -> QUIET   the owner, having taken it from its list
 *   LISTED -> HEARD   the owner, which then pushes it to the watchdog
 *   HEARD  -> QUIET   the watchdog, under the stripe's lock, where the session goes on
 *   HEARD  -> LISTED  the watchdog, which then pushes it back, where the session has ended
 *   QUIET  -> FREE    the owner, by compare-and-swap: the slot is given back
 *   LISTED -> FREE    the owner, having taken it from its list
 *   FREE   -> QUIET   the owner, when the slot is taken anew
 * Ends set the id to 0 first and swap the mark after; the owner sets QUIET first and looks at the id after; all of
 * it is sequentially consistent, so that one of the two sees the other and no ended session is overlooked. */
enum mark { MARK_FREE, MARK_QUIET, MARK_LISTED, MARK_HEARD };

struct session {
	/* atomic: 0 while there is no session here; set and cleared under the lock of the stripe that the
	 * id's low bits name. So whoever holds that lock and finds the id unchanged has the session. */
	_Atomic uint64_t id;
	/* atomic: see enum mark */
	_Atomic uint8_t mark;
	/* const while the id lives */
	uint8_t worker;
	/* guarded: the stripe's lock; once the id is 0: owner */
	uint8_t state : 4; /* enum state */
	uint8_t end_reason : 4; /* enum reason */
	uint8_t device_len; /* 0: its name is made up from the id */
	uint32_t
		slot : 24; /* const: the record's own. Read as below, or by the owner: see transport */
	/* const while the id lives; written by the owner, under the stripe's lock */
	uint32_t transport : 3; /* enum transport */
	struct user *user;
	struct session *next; /* of the same user, the one updated last first */
	union device_name device;
	struct text *status; /* NULL: none */
	/* owned by whichever list the record is in */
	struct mailbox_link link;
	uint64_t since_ms; /* Unix time of the login */
	uint32_t timeout_ms; /* const while the id lives */
	/* guarded: what a standstill added to the stamp, and the stamp that came of it; see last_heard() */
	uint32_t granted_stamp, grant_ms;
	/* atomic: owner -> watchdog */
	_Atomic uint32_t connection;
	/* owner: whichever list the record is in, or is on its way to: how far past its deadline it was nominated, and
	 * heard; or LATE_UNKNOWN. For the evidence only. */
	uint16_t nominated_late_ms, heard_late_ms;
};
static_assert(sizeof(struct session) == 88,
	"8+1+1+1+1+4 id, mark, worker, state, reason, slot and transport; 4*8 pointers; "
	"8 link; 8 since; 4*4 timeout, grant, connection; 2*2 evidence");
enum { LATE_UNKNOWN = UINT16_MAX };
static_assert(STAMPS_CHUNK * STAMPS_CHUNKS_MAX <= 1 << 24, "a slot's number has 24 bits");
static_assert(TRANSPORT_N <= 1 << 3, "a transport has 3 bits");

struct user {
	struct user *next; /* in its bucket */
	union {
		struct session *sessions; /* while not remembered */
		struct user *younger; /* in the stripe's list of remembered users */
	};
	union {
		uint64_t interest; /* a bit for each worker with a watcher; while not remembered */
		struct user *older;
	};
	uint64_t seq; /* of its last event */
	uint64_t at_ms : 48, len : 8, state : 3, reason : 4,
		is_known : 1; /* 48 bits of ms: 8,900 years */
	uint64_t last_seen_ms : 48, is_remembered : 1;
	uint64_t ticket : 40, hash
	    : USER_HASH_BITS; /* order of being remembered; the top bits of the id's hash */
	char name[];
};
static_assert(sizeof(struct user) == 56, "five words, and three packed ones");

struct stripe_data {
	struct user **buckets;
	uint32_t n_buckets; /* a power of two */
	uint32_t n_users;
	uint64_t counter; /* every event of the stripe's users takes the next */
	struct user *oldest, *youngest; /* remembered */
};

/* The states that a user can be in: those of a device, but for the last. */
enum { N_VISIBLE_STATES = STATE_INVISIBLE };

struct stripe {
	struct lock lock;
	/* guarded: lock; by stripe_data() */
	struct stripe_data guarded;
	/* atomic: holder of the lock -> readers */
	_Atomic uint32_t n_users, n_remembered;
	_Atomic uint32_t
		n_in_state[N_VISIBLE_STATES]; /* users, by what others see; [0], offline, unused */
	_Atomic uint32_t n_by_transport[TRANSPORT_N]; /* sessions */
} CACHE_ALIGNED;

enum { SLAB_BLOCK = 512, SLAB_BLOCKS_MAX = STAMPS_CHUNK * STAMPS_CHUNKS_MAX / SLAB_BLOCK };

/* One worker's session records; record and stamp have the same slot. */
struct slab {
	struct stamps stamps;
	/* owner: the worker; a block is there before a stamp of its slots is in use */
	struct session **blocks;
	uint32_t n_blocks;
	uint64_t n_ids; /* ids given out */
};

struct table {
	/* const after start */
	struct table_params params;
	uint64_t seed, id_key;
	struct slab *slabs;
	struct stripe *stripes;
	/* atomic: any -> any */
	_Atomic uint64_t n_remembered, n_tickets;
	/* atomic: holder of the stripe's lock -> whoever forgets. The ticket of each stripe's oldest
	 * remembered user, UINT64_MAX for none; dense, for a search that is one pass of loads. */
	_Atomic uint64_t oldest[N_STRIPES];
};

static inline const char *session_device(const struct session *s)
{
	return s->device_len > DEVICE_HERE_MAX ? s->device.there : s->device.here;
}

static inline struct stripe_data *stripe_data(struct stripe *st) REQUIRES(st->lock)
{
	return &st->guarded;
}

static inline struct stripe *stripe_of_id(struct table *t, uint64_t id)
{
	return &t->stripes[id & (N_STRIPES - 1)];
}

static inline struct stripe *stripe_of_hash(struct table *t, uint64_t hash)
{
	return &t->stripes[hash & (N_STRIPES - 1)];
}

static inline struct session *slab_at(struct slab *s, uint32_t slot)
{
	return &s->blocks[slot / SLAB_BLOCK][slot % SLAB_BLOCK];
}

static inline _Atomic uint32_t *session_stamp(struct table *t, const struct session *s)
{
	return stamps_at(&t->slabs[s->worker].stamps, s->slot);
}

/* Called under the session's stripe's lock, after each change of it that is more than a new stamp: begun, ended, other
 * words, other end. The sampler compares. */
static inline void session_changed(struct table *t, const struct session *s)
{
	struct stamps *stamps = &t->slabs[s->worker].stamps;
	_Atomic uint16_t *changes =
		&stamps->chunks[s->slot / STAMPS_CHUNK]->changes[s->slot % STAMPS_CHUNK];
	/* One writer at a time: the slot changes hands by its owner's lists. Release: pairs with the acquire in
	 * sampler_look(); who sees the number sees that there is a record. */
	uint16_t n = atomic_load_explicit(changes, memory_order_relaxed);
	atomic_store_explicit(changes, (uint16_t)(n + 1), memory_order_release);
}

/* --- users: table.c --- */

/* What others see of a user: the state, and the words of the device that makes it. */
struct look {
	enum state state;
	const struct text *status;
};

struct look user_look(const struct user *);
bool look_equal(struct look, struct look);

struct user *user_new(
	const char *name, size_t len, uint64_t hash); /* not yet in the table; free() */
struct user *user_find(struct stripe *st, const char *name, size_t len, uint64_t hash)
	REQUIRES(st->lock);
/* The user by that name; where there is none, '*candidate' enters the table and is NULL then. A remembered one
 * is remembered no more, but live. */
struct user *user_enter(struct table *, struct stripe *st, struct user **candidate)
	REQUIRES(st->lock);
/* After an end of something: a user without sessions and watchers is remembered, or, never seen, taken out of the
 * table and returned for free(). */
struct user *user_settle(struct table *, struct stripe *st, struct user *) REQUIRES(st->lock);
/* Told to the watchers that the user looks different now: takes a number, makes the event, queues it. */
void user_tell(struct table *, struct actor *, struct stripe *st, struct user *, enum reason,
	const struct cause *, struct instant now) REQUIRES(st->lock);
void user_snapshot(struct table *, struct stripe *st, const struct user *, struct instant now,
	struct snapshot *ret) REQUIRES(st->lock);
/* After the lock was released: buckets that are too few become more; too many remembered are forgotten. */
void stripe_tidy(struct stripe *);
void table_forget(struct table *, struct actor *);

/* --- sessions: login.c, verdict.c --- */

/* When the session was last heard, on the stamp's clock. */
uint32_t last_heard(struct table *, const struct session *);

/* Texts that nobody refers to any more, for free() once the lock is released. */
struct debris {
	char *device;
	struct text *status;
};

void debris_free(struct debris *);
/* Takes the session off its user, under the lock of its stripe. What comes of it for the user is the caller's. */
struct debris session_finish(struct table *, struct stripe *st, struct session *, enum reason,
	struct instant now) REQUIRES(st->lock);
/* What is known of a live session that is about to change, or has changed, how its user looks, for 'reason'. Where nobody
 * follows all events nothing is looked up. The watchdog fills in what it knows of a timeout. */
struct cause session_cause(struct table *, struct stripe *st, const struct session *, enum reason,
	struct instant now) REQUIRES(st->lock);
/* Unix time of a moment on the stamp's clock. */
uint64_t wall_of(uint32_t mono_ms, struct instant now);
/* Puts a session that somebody else has ended on its worker's list, unless it is in one. */
void session_list(struct table *, struct actor *, struct session *);

#endif
