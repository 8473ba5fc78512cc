/* Sessions begin, change their words, and end. */

#include "presence/table.h"

#include "base/ensure.h"
#include "base/hash.h"
#include "presence/table_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct text *text_new(const char *bytes, size_t len)
{
	struct text *t = malloc(sizeof(*t) + len);
	if (!t)
		return NULL;
	t->len = (uint16_t)len;
	memcpy(t->bytes, bytes, len);
	return t;
}

void debris_free(struct debris *d)
{
	free(d->device);
	free(d->status);
	*d = (struct debris){.device = NULL};
}

void table_session_text(const struct table *t, uint64_t id, char ret[SESSION_TEXT_MAX])
{
	snprintf(ret, SESSION_TEXT_MAX, "%016llx", (unsigned long long)hash_mix(id ^ t->id_key));
}

/* --- records --- */

/* A free record of the worker's slab, its stamp stored. Its id is 0 until the login gives it one. */
static int take_record(struct table *t, unsigned worker, uint32_t first_stamp, struct session **ret)
	REQUIRES(role_worker)
{
	struct slab *slab = &t->slabs[worker];
	uint32_t n_slots = slab->n_blocks * SLAB_BLOCK;
	/* The block must be there before the scan can see a stamp of its slots in use. The lowest free slot is
	 * taken, so that it lies in a block that is there unless all of these are full. */
	if (slab->stamps.n_used == n_slots) {
		if (slab->n_blocks == SLAB_BLOCKS_MAX)
			return -ENOSPC;
		struct session *block = calloc(SLAB_BLOCK, sizeof(*block));
		if (!block)
			return -ENOMEM;
		for (uint32_t i = 0; i < SLAB_BLOCK; i++) {
			block[i].slot = (n_slots + i) & 0xffffff;
			block[i].worker = (uint8_t)worker;
		}
		slab->blocks[slab->n_blocks++] = block;
	}
	uint32_t slot;
	int err = stamps_take(&slab->stamps, first_stamp, &slot);
	if (err)
		return err;
	*ret = slab_at(slab, slot);
	debug_check(atomic_load(&(*ret)->id) == 0 && atomic_load(&(*ret)->mark) == MARK_FREE);
	return 0;
}

static void give_record(struct table *t, struct session *s) REQUIRES(role_worker)
{
	stamps_give(&t->slabs[s->worker].stamps, s->slot);
}

void table_release(struct table *t, struct session *s, bool is_listed)
{
	atomic_store_explicit(&s->connection, CONNECTION_NONE, memory_order_relaxed);
	uint8_t mark = is_listed ? MARK_LISTED : MARK_QUIET;
	if (atomic_compare_exchange_strong(&s->mark, &mark, MARK_FREE))
		give_record(t, s);
	/* Else it is in a list, or on its way from the watchdog, and comes back to us as ended. */
}

struct session *session_from_link(struct mailbox_link *link)
{
	return (struct session *)(void *)((char *)link - offsetof(struct session, link));
}

struct mailbox_link *session_link(struct session *s)
{
	return &s->link;
}

uint64_t session_id(const struct session *s)
{
	return atomic_load(&s->id);
}

uint32_t session_connection(const struct session *s)
{
	return atomic_load_explicit(&s->connection, memory_order_relaxed);
}

enum reason session_end_reason(const struct session *s)
{
	return (enum reason)s->end_reason;
}

uint32_t session_timeout_ms(const struct session *s)
{
	return s->timeout_ms;
}

/* --- ends --- */

static void count_session(struct stripe *st, const struct session *s, int n)
{
	_Atomic uint32_t *count = &st->n_by_transport[s->transport];
	atomic_store_explicit(count,
		atomic_load_explicit(count, memory_order_relaxed) + (uint32_t)n,
		memory_order_relaxed);
}

static struct session **place_of(struct user *u, const struct session *s)
{
	struct session **place = &u->sessions;
	while (*place != s)
		place = &(*place)->next;
	return place;
}

static enum socket socket_of(const struct session *s, enum reason reason)
{
	if (session_connection(s) == CONNECTION_NONE)
		return SOCKET_NONE;
	if (reason == REASON_CLOSED)
		return SOCKET_CLOSED;
	return reason == REASON_RESET ? SOCKET_RESET : SOCKET_OPEN;
}

struct cause session_cause(struct table *t, struct stripe *st, const struct session *s,
	enum reason reason, struct instant now)
{
	struct cause cause = {.device_len = 0};
	(void)st;
	if (!t->params.feed)
		return cause;
	uint64_t id = atomic_load_explicit(&s->id, memory_order_relaxed);
	uint32_t stamp = atomic_load_explicit(session_stamp(t, s), memory_order_relaxed);
	cause.evidence = (struct evidence){
		.session = hash_mix(id ^ t->id_key),
		.last_byte_ms = wall_of(last_heard(t, s), now),
		.timeout_ms = s->timeout_ms,
		.granted_ms = stamp == s->granted_stamp ? s->grant_ms : 0,
		.late_ms = AGO_UNKNOWN,
		.nominated_ago_ms = AGO_UNKNOWN,
		.heard_ago_ms = AGO_UNKNOWN,
		.socket = (uint8_t)socket_of(s, reason),
		.transport = (uint8_t)s->transport,
	};
	/* Copied: the record may be another's before the event is made. */
	cause.device_len = s->device_len;
	memcpy(cause.device, session_device(s), s->device_len);
	return cause;
}

struct debris session_finish(struct table *t, struct stripe *st, struct session *s,
	enum reason reason, struct instant now)
{
	struct user *u = s->user;
	*place_of(u, s) = s->next;
	if (s->state != STATE_INVISIBLE) {
		uint64_t seen = wall_of(last_heard(t, s), now);
		if (seen > u->last_seen_ms)
			u->last_seen_ms = seen & 0xffffffffffff;
	}
	struct debris debris = {.device = s->device_len > DEVICE_HERE_MAX ? s->device.there : NULL,
		.status = s->status};
	s->device_len = 0;
	s->status = NULL;
	s->user = NULL;
	s->next = NULL;
	s->end_reason = (uint8_t)reason & 15;
	count_session(st, s, -1);
	session_changed(t, s);
	/* Last, and sequentially consistent: see enum mark. */
	atomic_store(&s->id, 0);
	return debris;
}

void session_list(struct table *t, struct actor *a, struct session *s)
{
	uint8_t quiet = MARK_QUIET;
	if (atomic_compare_exchange_strong(&s->mark, &quiet, MARK_LISTED) &&
		mailbox_push(t->params.mailboxes[s->worker], &s->link))
		a->wake_workers |= UINT64_C(1) << s->worker;
}

static enum counter counter_of_end(enum reason reason)
{
	switch (reason) {
	case REASON_LOGOUT:
		return COUNTER_ended_logout;
	case REASON_CLOSED:
		return COUNTER_ended_closed;
	case REASON_RESET:
		return COUNTER_ended_reset;
	case REASON_TIMEOUT:
		return COUNTER_ended_timeout;
	case REASON_KICKED:
		return COUNTER_ended_kicked;
	case REASON_EXPIRED:
		return COUNTER_ended_expired;
	case REASON_SLOW:
		return COUNTER_ended_slow;
	case REASON_VIOLATION:
		return COUNTER_ended_violation;
	case REASON_UNKNOWN:
	case REASON_LOGIN:
	case REASON_UPDATE:
	case REASON_REPLACED:
	case REASON_SHUTDOWN:
	case REASON_N:
		break;
	}
	ensure(!"a session ends for one of the reasons above");
	return COUNTER_N;
}

bool table_end(struct table *t, struct actor *a, struct session *s, uint64_t id, enum reason reason,
	struct instant now)
{
	struct stripe *st = stripe_of_id(t, id);
	struct debris debris = {.device = NULL};
	struct user *spent = NULL;
	event_spares_fill(&a->spares);

	lock_acquire(&st->lock);
	bool is_alive = atomic_load_explicit(&s->id, memory_order_relaxed) == id;
	if (is_alive) {
		struct user *u = s->user;
		struct look before = user_look(u);
		struct cause cause = session_cause(t, st, s, reason, now);
		debris = session_finish(t, st, s, reason, now);
		if (!look_equal(before, user_look(u)))
			user_tell(t, a, st, u, reason, &cause, now);
		spent = user_settle(t, st, u);
	}
	lock_release(&st->lock);

	debris_free(&debris);
	free(spent);
	if (is_alive) {
		counter_add(a->counters, counter_of_end(reason), 1);
		table_forget(t, a);
	}
	return is_alive;
}

bool table_detach(struct table *t, struct session *s, uint64_t id)
{
	(void)t;
	atomic_store_explicit(&s->connection, CONNECTION_NONE, memory_order_relaxed);
	return atomic_load(&s->id) == id;
}

/* --- logins --- */

static bool is_device(
	const struct table *t, const struct session *s, const char *device, size_t len)
{
	if (s->device_len > 0)
		return s->device_len == len && memcmp(session_device(s), device, len) == 0;
	/* Made up from the session's name: a client may come back with what it was told. */
	char made_up[SESSION_TEXT_MAX];
	table_session_text(t, atomic_load_explicit(&s->id, memory_order_relaxed), made_up);
	return len == SESSION_TEXT_MAX - 1 && memcmp(made_up, device, len) == 0;
}

static struct session *find_device(
	const struct table *t, const struct user *u, const char *device, size_t len)
{
	struct session *s = device ? u->sessions : NULL;
	while (s && !is_device(t, s, device, len))
		s = s->next;
	return s;
}

/* The session to give way at the limit of sessions a user; NULL where there is room. */
static struct session *find_surplus(struct table *t, const struct user *u)
{
	uint32_t n = 0;
	struct session *silent = NULL;
	for (struct session *s = u->sessions; s; s = s->next) {
		n++;
		if (!silent || (int32_t)(last_heard(t, s) - last_heard(t, silent)) <= 0)
			silent = s;
	}
	return n >= t->params.max_sessions_per_user ? silent : NULL;
}

/* What a login brings into the lock, allocated before, and what it leaves there to be freed after. */
struct luggage {
	struct user *candidate;
	char *device; /* NULL: it is short, or made up */
	struct text *status;
	struct session *record;
	struct debris debris;
};

static void luggage_free(struct table *t, struct luggage *l) REQUIRES(role_worker)
{
	free(l->candidate);
	free(l->device);
	free(l->status);
	if (l->record)
		give_record(t, l->record);
	debris_free(&l->debris);
}

static int pack_luggage(struct table *t, const struct login *in, uint64_t hash, struct luggage *l)
	REQUIRES(role_worker)
{
	l->candidate = user_new(in->user, in->user_len, hash);
	bool has_long_device = in->device && in->device_len > DEVICE_HERE_MAX;
	l->device = has_long_device ? malloc(in->device_len) : NULL;
	if (l->device)
		memcpy(l->device, in->device, in->device_len);
	l->status = in->status ? text_new(in->status, in->status_len) : NULL;
	if (!l->candidate || (has_long_device && !l->device) || (in->status && !l->status))
		return -ENOMEM;
	return take_record(t, in->worker, in->stamp_ms + in->timeout_ms, &l->record);
}

/* Fills the record in and puts it among the user's sessions, in place of 'old' where there is one. */
static void begin_session(struct table *t, struct stripe *st, struct user *u,
	const struct login *in, struct luggage *l, struct session *old) REQUIRES(st->lock)
{
	struct session *s = l->record;
	struct slab *slab = &t->slabs[in->worker];
	s->user = u;
	s->device_len = in->device ? (uint8_t)in->device_len : 0;
	if (l->device)
		s->device.there = l->device;
	else if (in->device)
		memcpy(s->device.here, in->device, in->device_len);
	s->status = l->status;
	s->state = (uint8_t)(in->has_state ? in->state : STATE_ONLINE) & 15;
	s->since_ms = in->now.wall_ms;
	s->timeout_ms = in->timeout_ms;
	s->transport = (unsigned)in->transport & 7;
	s->granted_stamp = s->grant_ms = 0;
	s->end_reason = REASON_UNKNOWN;
	/* A reconnect without words is no activity: it keeps its place in the order of updates. */
	bool keeps_place = old && !in->has_state && !in->has_status;
	struct session **place = keeps_place ? place_of(u, old) : &u->sessions;
	s->next = *place;
	*place = s;
	if (old) {
		if (!in->has_state)
			s->state = old->state;
		if (!in->has_status) {
			s->status = old->status;
			old->status = NULL;
		}
		l->debris = session_finish(t, st, old, REASON_REPLACED, in->now);
	}
	l->record = NULL;
	l->device = NULL;
	l->status = NULL;
	count_session(st, s, 1);
	atomic_store_explicit(&s->connection, in->connection, memory_order_relaxed);
	atomic_store(&s->mark, MARK_QUIET);
	uint64_t number = slab->n_ids++ * WORKERS_MAX + in->worker + WORKERS_MAX;
	atomic_store(&s->id, number << STRIPE_BITS | (uint64_t)(st - t->stripes));
	session_changed(t, s);
}

int table_login(struct table *t, struct actor *a, const struct login *in, struct login_result *ret)
{
	uint64_t hash = table_hash(t, in->user, in->user_len);
	struct stripe *st = stripe_of_hash(t, hash);
	struct luggage l = {.candidate = NULL};
	int err = pack_luggage(t, in, hash, &l);
	if (err) {
		luggage_free(t, &l);
		counter_add(a->counters, COUNTER_out_of_memory, 1);
		return err;
	}
	event_spares_fill(&a->spares);

	lock_acquire(&st->lock);
	struct user *u = user_enter(t, st, &l.candidate);
	struct session *old = find_device(t, u, in->device, in->device_len);
	bool is_takeover = old;
	struct look before = user_look(u);
	struct session *s = l.record;
	if (!old)
		old = find_surplus(t, u);
	begin_session(t, st, u, in, &l, is_takeover ? old : NULL);
	if (old && !is_takeover)
		l.debris = session_finish(t, st, old, REASON_REPLACED, in->now);
	/* An invisible login changes the look only by replacing a device that was seen: it went out of sight. */
	enum reason reason = s->state == STATE_INVISIBLE ? REASON_LOGOUT : REASON_LOGIN;
	if (!look_equal(before, user_look(u))) {
		struct cause cause = session_cause(t, st, s, reason, in->now);
		user_tell(t, a, st, u, reason, &cause, in->now);
	}
	ret->session = s;
	ret->stamp = session_stamp(t, s);
	ret->id = atomic_load_explicit(&s->id, memory_order_relaxed);
	ret->is_takeover = is_takeover;
	bool is_crowded = stripe_data(st)->n_users > stripe_data(st)->n_buckets;
	lock_release(&st->lock);

	luggage_free(t, &l);
	if (is_crowded)
		stripe_tidy(st);
	if (old)
		session_list(t, a, old);
	counter_add(a->counters, COUNTER_logins, 1);
	if (old)
		counter_add(a->counters, is_takeover ? COUNTER_takeovers : COUNTER_evicted, 1);
	return 0;
}

/* --- updates --- */

static void move_to_front(struct user *u, struct session *s)
{
	*place_of(u, s) = s->next;
	s->next = u->sessions;
	u->sessions = s;
}

/* What an update of a device is to others: its coming and going out of sight look like login and logout. */
static enum reason reason_of_update(enum state before, enum state after)
{
	if (before != STATE_INVISIBLE && after == STATE_INVISIBLE)
		return REASON_LOGOUT;
	if (before == STATE_INVISIBLE && after != STATE_INVISIBLE)
		return REASON_LOGIN;
	return REASON_UPDATE;
}

static void apply_words(struct table *t, struct session *s, const struct update *in,
	struct text **status, struct instant now)
{
	struct user *u = s->user;
	if (in->has_state) {
		if (s->state != STATE_INVISIBLE && in->state == STATE_INVISIBLE) {
			uint64_t seen = wall_of(last_heard(t, s), now);
			if (seen > u->last_seen_ms)
				u->last_seen_ms = seen & 0xffffffffffff;
		}
		s->state = (uint8_t)in->state & 15;
	}
	if (in->has_status) {
		struct text *old = s->status;
		s->status = *status;
		*status = old;
	}
	/* No words (a token alone) are no update to others. */
	if (in->has_state || in->has_status) {
		move_to_front(u, s);
		session_changed(t, s);
	}
}

int table_update(struct table *t, struct actor *a, struct session *s, uint64_t id,
	const struct update *in, struct instant now, struct snapshot *ret)
{
	struct text *status = NULL;
	if (in->has_status && in->status) {
		status = text_new(in->status, in->status_len);
		if (!status) {
			counter_add(a->counters, COUNTER_out_of_memory, 1);
			return -ENOMEM;
		}
	}
	event_spares_fill(&a->spares);
	struct stripe *st = stripe_of_id(t, id);
	int err = -ESTALE;

	lock_acquire(&st->lock);
	if (atomic_load_explicit(&s->id, memory_order_relaxed) == id) {
		struct user *u = s->user;
		struct look before = user_look(u);
		enum state was = (enum state)s->state;
		apply_words(t, s, in, &status, now);
		if (!look_equal(before, user_look(u))) {
			enum reason reason = reason_of_update(was, (enum state)s->state);
			struct cause cause = session_cause(t, st, s, reason, now);
			user_tell(t, a, st, u, reason, &cause, now);
		}
		ret->state = (enum state)s->state;
		ret->has_status = s->status;
		ret->status_len = s->status ? s->status->len : 0;
		if (s->status)
			memcpy(ret->status, s->status->bytes, s->status->len);
		err = 0;
	}
	lock_release(&st->lock);

	free(status); /* the old one, or what was not needed */
	if (!err)
		counter_add(a->counters, COUNTER_updates, 1);
	return err;
}
