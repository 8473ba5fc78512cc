/* The session table's beginning: users and sessions of an earlier start of the server, put in before any thread runs.
 *
 * A restored session has no connection and is in its grace: its user looks as before, is 'reconnecting' to who asks, and
 * a login with the same user and device continues it without an event and with 'resumed' true, whatever the
 * table's own grace is. Who does not come back is told once, when the grace is over, with the moments given here.
 *
 * For who keeps what survives: table_page() and table_sessions() of table_admin.h walk all users and their sessions in
 * bounded steps, from any thread that is no worker.
 *
 * Threads  main's only, between table_new() and the first thread.
 * Memory   sessions lie in the workers' slabs in turn, as if they had logged in there.
 * Time     told by the caller.
 * Errors   0 or negative errno; on failure nothing of that user's has changed. */
#ifndef PRESENCE_TABLE_RESTORE_H
#define PRESENCE_TABLE_RESTORE_H

#include "presence/table.h"

/* A user as it was: what 'presences' say of it. */
struct restored_user {
	const char *user;
	size_t len;
	enum reason reason; /* of its last event; UNKNOWN: there was none, it was never seen */
	uint64_t at_ms, last_seen_ms; /* Unix time */
};

struct restored_session {
	const char *
		device; /* its name, one that the server made up too: a client comes back with that */
	size_t device_len;
	enum transport transport; /* of the connection that it had */
	enum state state;
	const char *status; /* NULL: none */
	size_t status_len;
	uint64_t since_ms, last_seen_ms; /* Unix time */
	uint32_t timeout_ms; /* shown only: the next login brings its own */
	enum reason
		reason; /* how it will have ended: TIMEOUT where nobody knows better; CLOSED, RESET */
	uint64_t ended_ms; /* Unix time: when; that is the at_ms of the event */
};

/* Enters the user, and its sessions, the one updated last first; they wait for 'grace_ms' from now on. Without sessions it
 * is offline, and remembered as table_params say. -EEXIST: it is there already; -EINVAL: more sessions than a user
 * may have, or a device twice; -ENOMEM, -ENOSPC. */
int table_restore(struct table *, struct actor *, const struct restored_user *,
	const struct restored_session *, size_t n_sessions, uint32_t grace_ms, struct instant now);

#endif
