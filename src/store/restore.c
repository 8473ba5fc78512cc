/* From the file to the table. */
#include "store/store_private.h"

#include "base/log.h"
#include "presence/table_restore.h"

#include <errno.h>
#include <stdlib.h>

enum { PATIENCE_MS = 5000 }; /* for who has the file locked; a start waits so long at most */

struct restoring {
	struct store *store;
	struct actor actor;
	struct instant now;
	uint64_t saved_ms; /* when the last server wrote last */
	struct restored_session *sessions; /* room for one user's */
	uint64_t n_online, n_sessions, n_offline, n_refused;
};

/* What lies ahead of now was written by another clock. */
static uint64_t past(const struct restoring *r, uint64_t ms)
{
	return ms < r->now.wall_ms ? ms : r->now.wall_ms;
}

static struct restored_session session_of(const struct restoring *r, const struct file_device *d)
{
	bool had_ended = d->reason != REASON_UNKNOWN && d->ended_ms > 0;
	/* Who does not come back was last there when the server was. */
	uint64_t gone_ms = r->saved_ms > d->last_seen_ms ? r->saved_ms : d->last_seen_ms;
	return (struct restored_session){
		.device = d->device,
		.device_len = d->device_len,
		.transport = d->transport,
		.state = d->state,
		.status = d->has_status ? d->status : NULL,
		.status_len = d->status_len,
		.since_ms = past(r, d->since_ms),
		.last_seen_ms = past(r, d->last_seen_ms),
		.timeout_ms = d->timeout_ms,
		.reason = had_ended ? d->reason : REASON_TIMEOUT,
		.ended_ms = past(r, had_ended ? d->ended_ms : gone_ms),
	};
}

static int restore_user(
	void *arg, const struct file_user *u, const struct file_device *devices, size_t n)
{
	struct restoring *r = arg;
	struct restored_user user = {
		.user = u->user,
		.len = u->len,
		.reason = u->reason,
		.at_ms = past(r, u->at_ms),
		.last_seen_ms = past(r, u->last_seen_ms),
	};
	for (size_t i = 0; i < n; i++)
		r->sessions[i] = session_of(r, &devices[i]);
	int err = table_restore(r->store->params.table, &r->actor, &user, r->sessions, n,
		r->store->params.restart_grace_ms, r->now);
	if (err == -ENOMEM)
		return err;
	if (err) {
		r->n_refused++;
		return 0;
	}
	*(n > 0 ? &r->n_online : &r->n_offline) += 1;
	r->n_sessions += n;
	return 0;
}

static void tell(const struct restoring *r, uint64_t n_skipped, bool is_clean, uint64_t began_ms)
{
	log_info("store read", LOG_TEXT("path", r->store->params.path),
		LOG_U64("users", r->n_online + r->n_offline), LOG_U64("online", r->n_online),
		LOG_U64("sessions", r->n_sessions), LOG_BOOL("stopped_cleanly", is_clean),
		LOG_U64("skipped", n_skipped + r->n_refused),
		LOG_U64("took_ms", clock_mono_ms() - began_ms));
}

static int read_into_table(struct restoring *r)
{
	const struct store_params *params = &r->store->params;
	struct file_limits limits = {
		.n_offline = params->n_remembered, .n_devices = params->max_sessions_per_user};
	uint64_t began_ms = clock_mono_ms(), n_skipped = 0;
	bool is_clean = false;
	int err = file_read_end(r->store->file, &r->saved_ms, &is_clean);
	if (err)
		return err;
	err = file_read_users(r->store->file, &limits, restore_user, r, &n_skipped);
	counter_add(
		&r->store->telemetry->counters, COUNTER_store_skipped, n_skipped + r->n_refused);
	tell(r, n_skipped, is_clean, began_ms);
	return err;
}

int restore_all(struct store *s, struct instant now)
{
	struct restoring r = {.store = s, .now = now};
	/* At the first write the sessions lie elsewhere in the table, and so have other places. */
	s->needs_all = true;
	int err = store_open_file(s, PATIENCE_MS);
	if (!err && file_is_new(s->file))
		return 0;
	if (!err) {
		r.sessions = calloc(s->params.max_sessions_per_user, sizeof(*r.sessions));
		actor_init(&r.actor, &s->telemetry->counters);
		err = r.sessions ? read_into_table(&r) : -ENOMEM;
		actor_destroy(&r.actor);
		free(r.sessions);
	}
	/* What was damaged has been read as far as it goes; what could not be read may be worth a look. */
	s->is_unread = err && err != -EUCLEAN;
	return err;
}
