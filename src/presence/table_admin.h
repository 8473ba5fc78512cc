/* What others than workers and watchdog do with the session table: list a user's sessions, page through all users; and, for
 * the operator, end sessions.
 *
 * Threads  listing and paging: any that is no worker. Ending: the admin thread, with an actor of its own.
 * Locks    one stripe's at a time, for the sessions of one user or a bounded part of a page.
 * Memory   what is returned is the caller's; nothing is allocated under a lock.
 * Time     told by the caller.
 * Errors   0 or negative errno; outputs are untouched on failure. */
#ifndef PRESENCE_TABLE_ADMIN_H
#define PRESENCE_TABLE_ADMIN_H

#include "presence/table.h"

/* A session as the operator sees it: invisible ones too. Its peer's address is not in the table: a record has 88 bytes,
 * and the connection, which knows it, is its worker's alone; see inquiry.h. */
struct session_view {
	uint64_t id;
	uint32_t connection; /* the worker's number for it; CONNECTION_NONE: it has none now */
	char session[SESSION_TEXT_MAX];
	enum transport transport;
	enum state state;
	bool has_status;
	uint16_t device_len, status_len;
	char device[DEVICE_MAX];
	char status[STATUS_MAX];
	uint64_t since_ms, last_seen_ms; /* Unix time */
	uint32_t timeout_ms;
	bool is_reconnecting; /* it has ended, and is in its grace */
	enum reason end_reason; /* then: how, and when (Unix time) */
	uint64_t ended_ms;
	unsigned worker; /* where its record is */
	uint32_t slot;
};

/* One moment of a user: what others see, and all sessions, the one updated last first; '*ret_sessions' is for free(),
 * NULL where there are none. -ENOMEM. */
int table_sessions(struct table *, const char *user, size_t len, struct instant now,
	struct snapshot *ret, struct session_view **ret_sessions, size_t *ret_n);

/* --- paging --- */

struct user_filter {
	const char *prefix; /* of the id, in bytes; not read where prefix_len is 0 */
	size_t prefix_len;
	bool is_online; /* as others see the user: not offline */
	bool has_state;
	enum state state; /* as others see the user; INVISIBLE: some device of the user is */
};

struct user_view {
	uint8_t len;
	char user[USER_MAX];
	struct snapshot snapshot;
};

/* The next users that match, at most 'max' of them, from '*cursor' on, which begins at 0 and is moved; false once the end
 * was reached. Users known and users with sessions are there; who is only watched, and was never seen, is not.
 * One hold of one lock, over at most some hundreds of users: so fewer than 'max', or none, is not yet the end. The stripe's
 * counter at that moment is in each view, and in the first (of 'max', at least 1) also where none matches.
 *
 * Users come in the order of a key made of the hash of their ids, and the cursor is a key: whoever is in the table all the
 * time is met exactly once, whatever comes and goes meanwhile, buckets included. (Two users with the same
 * 64 bits of hash may be taken for one at the end of a page: among ten million users one chance in 400,000.) */
bool table_page(struct table *, const struct user_filter *, struct instant now, uint64_t *cursor,
	struct user_view *views, size_t max, size_t *ret_n);

/* Where a user of that hash stands in that order: before, at or after a cursor, which is the next key to be looked at. */
uint64_t table_key(uint64_t user_hash);

/* --- kicking: the sessions end as 'kicked', and go to their workers, which say bye and close --- */

/* All sessions of a user, as one change to watchers (up to 32 sessions at a time); how many there were. */
unsigned table_kick_user(struct table *, struct actor *, const char *user, size_t len,
	struct instant now) REQUIRES(role_admin);
/* The session of that name (table_session_text()); false where the user has none such. */
bool table_kick_session(struct table *, struct actor *, const char *user, size_t len,
	const char *session, size_t session_len, struct instant now) REQUIRES(role_admin);

#endif
