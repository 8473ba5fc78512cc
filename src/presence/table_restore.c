#include "presence/table_restore.h"

#include "base/ensure.h"
#include "presence/table_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A user's sessions on their way into the table: what is allocated before the lock. */
struct newcomer {
	struct session *record;
	struct keep *keep;
};

static void newcomers_free(struct table *t, struct newcomer *all, size_t n) REQUIRES(role_worker)
{
	for (size_t i = 0; all && i < n; i++) {
		struct session *s = all[i].record;
		keep_free(all[i].keep);
		if (!s)
			continue;
		if (s->device_len > DEVICE_HERE_MAX)
			free(s->device.there);
		free(s->status);
		s->device_len = 0;
		s->status = NULL;
		give_record(t, s);
	}
	free(all);
}

static int make_newcomer(struct table *t, const struct restored_session *in, uint32_t deadline,
	struct newcomer *ret) REQUIRES(role_worker)
{
	unsigned worker = (unsigned)(t->n_restored++ % t->params.n_workers);
	ret->keep = calloc(1, sizeof(*ret->keep));
	if (!ret->keep)
		return -ENOMEM;
	int err = take_record(t, worker, deadline, &ret->record);
	if (err)
		return err;
	struct session *s = ret->record;
	if (in->device_len > DEVICE_HERE_MAX) {
		s->device.there = malloc(in->device_len);
		if (!s->device.there)
			return -ENOMEM;
		memcpy(s->device.there, in->device, in->device_len);
	} else {
		memcpy(s->device.here, in->device, in->device_len);
	}
	s->device_len = (uint8_t)in->device_len;
	s->status = in->status ? text_new(in->status, in->status_len) : NULL;
	return in->status && !s->status ? -ENOMEM : 0;
}

static bool has_twice(const struct restored_session *sessions, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (sessions[i].device_len == sessions[k].device_len &&
				memcmp(sessions[i].device, sessions[k].device,
					sessions[i].device_len) == 0)
				return true;
	return false;
}

static int make_newcomers(struct table *t, const struct restored_session *sessions, size_t n,
	uint32_t deadline, struct newcomer **ret) REQUIRES(role_worker)
{
	*ret = NULL;
	if (n == 0)
		return 0;
	struct newcomer *all = calloc(n, sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int err = make_newcomer(t, &sessions[i], deadline, &all[i]);
		if (err) {
			newcomers_free(t, all, n);
			return err;
		}
	}
	*ret = all;
	return 0;
}

/* Behind those that are there: 'place' is where. */
static void begin_restored(struct table *t, struct stripe *st, struct user *u,
	const struct restored_session *in, struct newcomer *newcomer, struct session **place,
	uint32_t deadline, uint32_t grace_ms) REQUIRES(st->lock) REQUIRES(role_worker)
{
	struct session *s = newcomer->record;
	struct keep *k = newcomer->keep;
	uint64_t id = next_id(t, st, s->worker);
	s->user = u;
	s->next = NULL;
	*place = s;
	s->state = in->state & 7;
	s->since_ms = in->since_ms;
	s->timeout_ms = in->timeout_ms;
	s->transport = (unsigned)in->transport & 7;
	s->end_reason = (uint8_t)in->reason & 15;
	*k = (struct keep){.id = id,
		.holder = s,
		.at_ms = in->ended_ms,
		.last_seen_ms = in->last_seen_ms,
		.length_ms = grace_ms,
		.deadline = deadline,
		.evidence = {.session = session_name(t, id),
			.last_byte_ms = in->last_seen_ms,
			.timeout_ms = in->timeout_ms,
			.late_ms = AGO_UNKNOWN,
			.nominated_ago_ms = AGO_UNKNOWN,
			.heard_ago_ms = AGO_UNKNOWN,
			.socket = SOCKET_NONE,
			.transport = (uint8_t)in->transport}};
	s->has_keep = 1;
	s->keep = k;
	newcomer->record = NULL;
	newcomer->keep = NULL;
	count_session(st, s, 1);
	count_in_grace(st, 1);
	atomic_store_explicit(&s->connection, CONNECTION_NONE, memory_order_relaxed);
	atomic_store(&s->mark, MARK_QUIET);
	atomic_store(&s->id, id);
	session_changed(t, s);
}

static void know_user(struct stripe *st, struct user *u, const struct restored_user *in)
	REQUIRES(st->lock)
{
	struct look look = user_look(u);
	if (in->reason == REASON_UNKNOWN && look.state == STATE_OFFLINE)
		return; /* it was invisible whenever it was there */
	u->is_known = 1;
	u->seq = ++stripe_data(st)->counter;
	u->reason = (unsigned)in->reason & 15;
	u->at_ms = in->at_ms & 0xffffffffffff;
	u->last_seen_ms = in->last_seen_ms & 0xffffffffffff;
	u->state = (unsigned)look.state & 7;
	count_in_state(st, (enum state)u->state, 1);
}

int table_restore(struct table *t, struct actor *a, const struct restored_user *in,
	const struct restored_session *sessions, size_t n, uint32_t grace_ms, struct instant now)
{
	role_worker_begin(); /* no thread is there yet: main stands for all of them */
	uint64_t hash = table_hash(t, in->user, in->len);
	struct stripe *st = stripe_of_hash(t, hash);
	uint32_t deadline = (uint32_t)now.mono_ms + 1 + grace_ms;
	struct newcomer *newcomers;
	if (n > t->params.max_sessions_per_user || has_twice(sessions, n))
		return -EINVAL;
	int err = make_newcomers(t, sessions, n, deadline, &newcomers);
	struct user *candidate = err ? NULL : user_new(in->user, in->len, hash), *spent = NULL;
	if (!candidate) {
		newcomers_free(t, newcomers, n);
		return err ? err : -ENOMEM;
	}

	lock_acquire(&st->lock);
	if (user_find(st, in->user, in->len, hash)) {
		err = -EEXIST;
	} else {
		struct user *u = user_enter(t, st, &candidate);
		struct session **place = &u->sessions;
		for (size_t i = 0; i < n; i++) {
			struct session *s = newcomers[i].record;
			begin_restored(
				t, st, u, &sessions[i], &newcomers[i], place, deadline, grace_ms);
			place = &s->next;
		}
		know_user(st, u, in);
		spent = user_settle(t, st, u);
	}
	bool is_crowded = stripe_is_crowded(st);
	lock_release(&st->lock);

	newcomers_free(t, newcomers, n);
	free(candidate);
	free(spent);
	if (is_crowded)
		stripe_tidy(st);
	table_forget(t, a);
	return err;
}
