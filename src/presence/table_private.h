/* The session table's inside, shared by its own files only: table.c (users, stripes, forgetting), login.c
 * (sessions begin, end), update.c (they change), grace.c (their connections end, and they wait), verdict.c (the list of a worker, the
 * watchdog), table_admin.c and table_restore.c. */
#ifndef PRESENCE_TABLE_PRIVATE_H
#define PRESENCE_TABLE_PRIVATE_H

#include "base/compiler.h"
#include "base/hash.h"
#include "base/telemetry.h"
#include "presence/secret.h"
#include "presence/stamps.h"
#include "presence/table.h"
#include "presence/table_grace.h"

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
 *   HEARD  -> PARTING the watchdog, which then pushes it back, where the session is in its grace and its
 *                     connection has yet to be closed; from there as from LISTED
 *   QUIET  -> FREE    the owner, by compare-and-swap: the slot is given back
 *   LISTED -> FREE    the owner, having taken it from its list
 *   FREE   -> QUIET   the owner, when the slot is taken anew
 * Ends set the id to 0 first and swap the mark after; the owner sets QUIET first and looks at the id after; all of
 * it is sequentially consistent, so that one of the two sees the other and no ended session is overlooked. */
enum mark { MARK_FREE, MARK_QUIET, MARK_LISTED, MARK_HEARD, MARK_PARTING };

/* What a standstill added to a stamp, and the stamp that came of it; see last_heard(). */
struct grant {
	uint32_t stamp, ms;
};

/* What is kept of a session whose connection has gone, or is being replaced by one that resumes it: so few have it that the
 * record has no more than a pointer to it, where else its grants are.
 *
 * The session that has it is its holder. Whom the old connection watched its own worker has to pack: until that is done
 * the old record, a debtor, has it too. It is freed with the later of the two. */
struct keep {
	/* const: of the session, and so of its stripe, whose lock guards the rest */
	uint64_t id;
	struct session *holder, *debtor; /* NULL: gone; packed, or not wanted any more */
	struct baggage baggage;
	struct grant grant;
	/* In grace: */
	uint64_t at_ms, last_seen_ms; /* Unix time: of the end; of the last byte */
	struct evidence evidence; /* of the end */
	uint32_t length_ms; /* of the grace */
	uint32_t deadline; /* the stamp that it made: another one says that bytes came after all */
};

struct session {
	/* atomic: 0 while there is no session here; set and cleared under the lock of the stripe that the
	 * id's low bits name. So whoever holds that lock and finds the id unchanged has the session. */
	_Atomic uint64_t id;
	/* atomic: see enum mark */
	_Atomic uint8_t mark;
	/* const while the id lives */
	uint8_t worker;
	/* guarded: the stripe's lock; once the id is 0: owner */
	uint8_t state : 3; /* enum state */
	uint8_t has_keep : 1; /* which of the union below holds */
	uint8_t end_reason : 4; /* enum reason; of a live session: UNKNOWN, or it is in its grace */
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
	/* guarded: as state */
	union {
		struct grant grant;
		struct keep *keep;
	};
	uint32_t timeout_ms; /* const while the id lives */
	/* atomic: owner -> watchdog */
	_Atomic uint32_t connection;
	/* owner: whichever list the record is in, or is on its way to: how far past its deadline it was nominated, and
	 * heard; or LATE_UNKNOWN. For the evidence only. */
	uint16_t nominated_late_ms, heard_late_ms;
};
static_assert(sizeof(struct session) == 88,
	"8+1+1+1+1+4 id, mark, worker, state, reason, slot and transport; 4*8 pointers; "
	"8 link; 8 since; 8 grant or keep; 2*4 timeout, connection; 2*2 evidence");
enum { LATE_UNKNOWN = UINT16_MAX };
static_assert(STATE_N <= 1 << 3, "a state has 3 bits");
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
	_Atomic uint32_t n_in_grace; /* of them */
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
	unsigned char secret_key[SECRET_KEY_LEN];
	struct slab *slabs;
	struct stripe *stripes;
	uint64_t n_restored; /* sessions: which worker's turn it is */
	/* atomic: any -> any */
	_Atomic uint64_t n_remembered, n_tickets;
	/* atomic: holder of the stripe's lock -> whoever forgets. The ticket of each stripe's oldest
	 * remembered user, UINT64_MAX for none; dense, for a search that is one pass of loads. */
	_Atomic uint64_t oldest[N_STRIPES];
};

/* Whether the record has that session, under the lock of the stripe that the id names. None has 0: who asks for a session that
 * had ended before he asked comes with that. */
static inline bool session_is(const struct session *s, uint64_t id)
{
	return id != 0 && atomic_load_explicit(&s->id, memory_order_relaxed) == id;
}

static inline const char *session_device(const struct session *s)
{
	return s->device_len > DEVICE_HERE_MAX ? s->device.there : s->device.here;
}

/* Ended, as its user's watchers have not been told yet. Under the lock, of a live session. */
static inline bool is_in_grace(const struct session *s)
{
	return s->end_reason != REASON_UNKNOWN;
}

static inline struct grant *session_grant(struct session *s)
{
	return s->has_keep ? &s->keep->grant : &s->grant;
}
static inline const struct grant *session_grant_const(const struct session *s)
{
	return s->has_keep ? &s->keep->grant : &s->grant;
}

static inline uint64_t session_name(const struct table *t, uint64_t id)
{
	return hash_mix(id ^ t->id_key);
}

static inline struct stripe_data *stripe_data(struct stripe *st) REQUIRES(st->lock)
{
	return &st->guarded;
}

/* Half the memory of a bucket a user, and a lookup follows two links more at most, where it is made at all: at a login, a
 * watch, an end. */
enum { USERS_A_BUCKET = 2 };

static inline bool stripe_is_crowded(struct stripe *st) REQUIRES(st->lock)
{
	return stripe_data(st)->n_users / USERS_A_BUCKET > stripe_data(st)->n_buckets;
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
/* The same of a change that happened at 'at_ms', or, where others happened since, with the last of them. */
void user_tell_late(struct table *, struct actor *, struct stripe *st, struct user *, enum reason,
	uint64_t at_ms, const struct cause *, struct instant now) REQUIRES(st->lock);
void count_in_state(struct stripe *st, enum state, int n) REQUIRES(st->lock);
void user_snapshot(struct table *, struct stripe *st, const struct user *, struct instant now,
	struct snapshot *ret) REQUIRES(st->lock);
/* After the lock was released: buckets that are too few become more; too many remembered are forgotten. */
void stripe_tidy(struct stripe *);
void table_forget(struct table *, struct actor *);

/* --- sessions: login.c, verdict.c --- */

/* When the session was last heard, on the stamp's clock; not of one in its grace, whose stamp is the end of that. */
uint32_t last_heard(struct table *, const struct session *);
/* When it was last heard, as Unix time. */
uint64_t last_seen_ms(struct table *, const struct session *, struct instant now);

/* Texts that nobody refers to any more, for free() once the lock is released. */
struct debris {
	char *device;
	struct text *status;
	struct keep *keep;
};

void debris_free(struct debris *);
/* Takes the session off its user, under the lock of its stripe. What comes of it for the user is the caller's. */
struct debris session_finish(struct table *, struct stripe *st, struct session *, enum reason,
	struct instant now) REQUIRES(st->lock);
/* The same of one that another record goes on with: what was last seen of it is no news, and what it keeps has been
 * taken over. */
struct debris session_unlink(struct table *, struct stripe *st, struct session *, enum reason)
	REQUIRES(st->lock);
enum counter counter_of_end(enum reason);
struct session **place_of(struct user *, const struct session *);
void count_in_grace(struct stripe *st, int n) REQUIRES(st->lock);
/* What is known of a live session that is about to change, or has changed, how its user looks, for 'reason'. Where nobody
 * follows all events nothing is looked up. The watchdog fills in what it knows of a timeout. */
struct cause session_cause(struct table *, struct stripe *st, const struct session *, enum reason,
	struct instant now) REQUIRES(st->lock);
/* Its user was last seen when the session was; an invisible one shows nothing. */
void note_seen(struct table *, const struct session *, struct instant now);
/* Unix time of a moment on the stamp's clock. */
uint64_t wall_of(uint32_t mono_ms, struct instant now);
/* Puts a session that somebody else has ended on its worker's list, unless it is in one. */
void session_list(struct table *, struct actor *, struct session *);
/* A free record of the worker's slab, its stamp stored. Its id is 0 until the login gives it one. */
int take_record(struct table *, unsigned worker, uint32_t first_stamp, struct session **ret)
	REQUIRES(role_worker);
void give_record(struct table *, struct session *) REQUIRES(role_worker);
struct text *text_new(const char *bytes, size_t len); /* NULL: no memory */
/* An id for a session of the stripe's, that no other ever had. */
uint64_t next_id(struct table *, const struct stripe *, unsigned worker) REQUIRES(role_worker);
void count_session(struct stripe *st, const struct session *, int n) REQUIRES(st->lock);

/* --- what is kept: grace.c --- */

void keep_free(struct keep *); /* with what is in it; NULL is fine */
/* The actor's spare is there, outside any lock, where the table has a grace; else, and where memory is refused, not. */
void keep_spare_fill(const struct table *, struct actor *);
/* The session has a keep from here on; it had none. Grants move there. */
void keep_give(struct session *, struct keep *);
/* It has none any more; NULL where somebody else still has it, else for free(). Also where it has none. */
struct keep *keep_drop(struct session *) WARN_UNUSED;
/* The session has ended for 'reason', as watchers are told when its grace is over; its stamp is not touched. Its keep, or
 * where it has none the actor's spare; false, and nothing done, where there is neither. */
bool grace_begin(struct table *, struct actor *, struct stripe *st, struct session *, enum reason,
	const struct cause *, struct instant now) REQUIRES(st->lock);
/* It goes on. What is for keep_free(). */
struct keep *grace_undo(struct table *, struct stripe *st, struct session *)
	REQUIRES(st->lock) WARN_UNUSED;

#endif
