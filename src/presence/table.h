/* Session table: who is online, and when each was last heard.
 *
 * Owns     users and their sessions; for each worker the slab of session records and their stamps. Striped by
 *          a seeded hash of the user id: a stripe's lock covers its users, their sessions, and the
 *          counter from which every event of theirs takes its number.
 * Events   A change of what a user looks like, and nothing else, makes an event: numbered and put into the
 *          mailbox of each worker that has a watcher of that user, all under the stripe's lock, so that
 *          mailboxes have the order of the numbers. Where there is a feed, every event goes to its mailbox too, with
 *          what was known of the session that caused it. An end is applied to the session (record and id) that it
 *          belongs to and is nothing where that has ended: an old connection's end can't mask a newer login.
 * Grace    A session whose connection has ended (FIN, RST, silence) stays, as if nothing had happened, until its grace is
 *          over: a record without a connection, its stamp the end of the grace. See table_grace.h.
 * Expiry   No verdict without a hearing. table_nominate(): the watchdog's scan puts a stale session on its
 *          worker's list. The worker reads that very connection; bytes are life (table_acquit()), an end ends
 *          it, nothing to read makes it table_heard(). table_judge(): the watchdog looks at the stamp
 *          again, under the stripe's lock, and only then expires.
 * Threads  by each function's role. Each thread brings an actor of its own. What the admin thread does with
 *          the table stands in table_admin.h.
 * Locks    one a stripe, RANK_STRIPE. No call returns with one held; nothing is allocated, logged or
 *          signalled under one: whom to wake is told by the actor (see actor_wakes).
 * Memory   a record of 88 bytes a session, 56 and the id a user; users offline and unwatched: the last
 *          params.n_remembered, oldest forgotten first, exact to what other threads do at that moment.
 * Time     told by the caller.
 * Errors   0 or negative errno; outputs are untouched on failure. */
#ifndef PRESENCE_TABLE_H
#define PRESENCE_TABLE_H

#include "base/address.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/lock.h"
#include "base/terms.h"
#include "presence/event.h"
#include "presence/mailbox.h"
#include "presence/snapshot.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whom a connection watched, as it leaves it to the one that resumes its session. */
struct baggage {
	struct watch_pack *watches; /* NULL: nobody */
	bool is_lost; /* there was no memory to pack them */
};

struct table;
struct session; /* a record; its address is good until the owning worker's table_release() */

enum { CONNECTION_NONE = UINT32_MAX };
enum {
	GRACE_MAX_MS = 24 * 3600 * 1000
}; /* far less than 32 bits of milliseconds, by which stamps are compared */
enum { SESSION_TEXT_MAX = 17 }; /* a session's name: 16 hexadecimal digits and a NUL */

struct table_params {
	unsigned n_workers; /* 1..WORKERS_MAX */
	struct mailbox *const *mailboxes; /* the workers', n_workers of them; outlive the table */
	struct mailbox *watchdog; /* where heard sessions go */
	struct mailbox *feed; /* where every event goes; NULL: nobody follows them all */
	uint64_t n_remembered;
	uint32_t max_sessions_per_user;
	uint32_t grace_ms; /* 0: none */
};

int table_new(const struct table_params *, struct table **ret);
void table_free(struct table *); /* all threads have been joined */

/* What a thread brings along: its counters, its spare events, and the wake-ups that it owes. */
struct actor {
	struct counters *counters;
	struct event_spares spares;
	struct keep *keep; /* the table's own: a spare */
	uint64_t wake_workers; /* a bit for each worker that must be woken */
	uint64_t
		remind_workers; /* the watchdog's: each that was left records of the dead (mailbox_remind()) */
	bool wake_watchdog, wake_feed;
	uint64_t now_ns; /* of the monotonic clock, when its loop last looked: events carry it */
};

void actor_init(struct actor *, struct counters *);
void actor_destroy(struct actor *);

/* --- a user and its devices: workers --- */

struct login {
	unsigned worker;
	uint32_t connection; /* the worker's own number for it */
	enum transport transport;
	const char *user, *device; /* device NULL: the server makes one up */
	size_t user_len, device_len;
	bool has_state, has_status;
	enum state state;
	const char *status; /* NULL with has_status: none */
	size_t status_len;
	const char *resume; /* a session's secret; NULL: none */
	size_t resume_len;
	uint32_t timeout_ms;
	struct instant now;
	uint32_t stamp_ms; /* of the bytes that brought the hello: clock_mono_ms_up() */
};

struct login_result {
	struct session *session;
	_Atomic uint32_t *stamp; /* where the owning worker stores deadlines */
	uint64_t id;
	bool is_takeover; /* of a live session, or one in its grace */
	uint64_t absent_ms; /* how long the user was offline, as told, by silence; 0: it was not */
	bool is_resumed; /* it is the same session: that was in its grace, or was named by its secret */
	bool has_secret; /* it was named so: whom it watched is in 'baggage' */
	bool is_baggage_late; /* or comes: see table_claim_baggage() */
	struct baggage baggage; /* the caller's now */
	size_t device_len; /* 0: it is the session's name */
	char device[DEVICE_MAX];
};

/* Begin a session. A live session of the same user and device is replaced by it (its state and status are kept
 * where the login brings none); at the limit of sessions a user, the longest silent one is replaced. One that is in its
 * grace, or any of the user's whose secret the login shows, goes on instead: with its id, name, device and beginning.
 * Replaced records go to their workers' lists as ended. -ENOMEM, -ENOSPC. */
int table_login(struct table *, struct actor *, const struct login *, struct login_result *ret)
	REQUIRES(role_worker);

struct update {
	bool has_state, has_status;
	enum state state;
	const char *status; /* NULL with has_status: none */
	size_t status_len;
};

/* Change the device's words; '*ret' holds them as they now are (state, status). -ESTALE: it has ended. */
int table_update(struct table *, struct actor *, struct session *, uint64_t id,
	const struct update *, struct instant now, struct snapshot *ret) REQUIRES(role_worker);

/* End the session for 'reason'; false, and nothing done, where it had ended already. */
bool table_end(struct table *, struct actor *, struct session *, uint64_t id, enum reason,
	struct instant now) REQUIRES(role_worker);

/* Begin to watch a user on behalf of a worker: from here on its events come to that worker's mailbox. The
 * snapshot's 'counter' says which events it holds already. -ENOMEM. */
int table_watch(struct table *, struct actor *, unsigned worker, const char *user, size_t len,
	struct instant now, struct snapshot *ret) REQUIRES(role_worker);
/* The worker has no watcher of that user any more. */
void table_unwatch(struct table *, struct actor *, unsigned worker, const char *user, size_t len)
	REQUIRES(role_worker);

/* One look. Any thread. */
void table_look(
	struct table *, const char *user, size_t len, struct instant now, struct snapshot *ret);

/* The name of a session, as the protocol shows it: a bijection of its id, which says nothing to outsiders. */
void table_session_text(const struct table *, uint64_t id, char ret[SESSION_TEXT_MAX]);

/* The table's hash of a user id, as events carry it. Any thread. */
uint64_t table_hash(const struct table *, const char *user, size_t len);

/* --- a worker's list: sessions nominated for a hearing, and sessions that others have ended --- */

/* Sessions come as links from the worker's mailbox. */
struct session *session_from_link(struct mailbox_link *);
struct mailbox_link *session_link(struct session *);

/* Owner, of a session from its list: the id that is alive in the record; 0 where it has ended. */
uint64_t session_id(const struct session *);
uint32_t session_connection(const struct session *); /* CONNECTION_NONE: no connection */
enum reason session_end_reason(const struct session *) REQUIRES(role_worker); /* of one with id 0 */
uint32_t session_timeout_ms(const struct session *) REQUIRES(role_worker);

/* Owner, of a session from its list: it is in its grace, and has a connection that has yet to be closed: table_part(). */
bool session_is_parting(const struct session *);

/* Heard: bytes had come, and were stamped. False where the session has ended meanwhile: it is as if it had come from
 * the list as ended, and table_release() is told is_listed = true. */
bool table_acquit(struct session *) REQUIRES(role_worker);
/* Heard, at 'now_ms' of the stamp's clock: there was nothing to read. Goes on to the watchdog. */
void table_heard(struct table *, struct actor *, struct session *, uint32_t now_ms)
	REQUIRES(role_worker);
/* Owner, of an ended session taken from its list (is_listed), or that it ended itself or found ended elsewhere
 * (not listed): forget the connection and give the record back, now or when it comes from a list that it is
 * still in. */
void table_release(struct table *, struct session *, bool is_listed) REQUIRES(role_worker);

/* --- the watchdog --- */

/* One worker's stamps, looked over once: every stale session is nominated. Returns how many were, that had not been. */
size_t table_nominate(struct table *, struct actor *, unsigned worker, uint32_t now_ms)
	REQUIRES(role_watchdog);

/* The machine or this process stood still for 'gap_ms' until 'end_ms': each session last heard before that gets
 * as much more time, once, and at most its own timeout. */
struct standstill {
	bool is_set;
	uint32_t end_ms, gap_ms;
};

struct verdict {
	enum {
		VERDICT_EXPIRED, /* silent, and ended */
		VERDICT_PARTED, /* silent, and in its grace now */
		VERDICT_OVER, /* its grace was over: ended */
		VERDICT_ALIVE,
		VERDICT_GRANTED,
		VERDICT_GONE,
		VERDICT_N
	} kind;
	uint32_t lateness_ms; /* EXPIRED, PARTED, OVER: past the deadline in force */
	uint32_t silence_ms; /* EXPIRED, PARTED: since the last byte; grants are in it */
};

/* Of a session that table_heard() sent. */
struct verdict table_judge(struct table *, struct actor *, struct session *,
	const struct standstill *, struct instant now) REQUIRES(role_watchdog);

/* --- numbers: any thread, relaxed --- */

struct table_counts {
	uint64_t sessions, users_online, users_known, users_remembered;
	uint64_t sessions_in_grace; /* of the sessions */
	uint64_t users_in_state[STATE_N]; /* as others see them; offline: known and not online */
	uint64_t sessions_by_transport[TRANSPORT_N];
	uint64_t bytes; /* what the table itself holds, about */
};

struct table_counts table_count(const struct table *);

#endif
