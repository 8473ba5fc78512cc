/* Sessions begin, and end. */

#include "presence/table.h"

#include "base/ensure.h"
#include "base/hash.h"
#include "presence/table_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text *text_new(const char *bytes, size_t len)
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
	keep_free(d->keep);
	*d = (struct debris){.device = NULL};
}

void table_session_text(const struct table *t, uint64_t id, char ret[SESSION_TEXT_MAX])
{
	snprintf(ret, SESSION_TEXT_MAX, "%016llx", (unsigned long long)hash_mix(id ^ t->id_key));
}

/* --- records --- */

int take_record(struct table *t, unsigned worker, uint32_t first_stamp, struct session **ret)
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

void give_record(struct table *t, struct session *s)
{
	stamps_give(&t->slabs[s->worker].stamps, s->slot);
}

void table_release(struct table *t, struct session *s, bool is_listed)
{
	atomic_store_explicit(&s->connection, CONNECTION_NONE, memory_order_relaxed);
	uint8_t mark = is_listed ? atomic_load(&s->mark) : MARK_QUIET;
	debug_check(!is_listed || mark == MARK_LISTED || mark == MARK_PARTING);
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

void count_session(struct stripe *st, const struct session *s, int n)
{
	_Atomic uint32_t *count = &st->n_by_transport[s->transport];
	atomic_store_explicit(count,
		atomic_load_explicit(count, memory_order_relaxed) + (uint32_t)n,
		memory_order_relaxed);
}

struct session **place_of(struct user *u, const struct session *s)
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
	const struct grant *grant = session_grant_const(s);
	cause.evidence = (struct evidence){
		.session = session_name(t, id),
		.last_byte_ms = last_seen_ms(t, s, now),
		.timeout_ms = s->timeout_ms,
		.granted_ms = !is_in_grace(s) && stamp == grant->stamp ? grant->ms : 0,
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

void note_seen(struct table *t, const struct session *s, struct instant now)
{
	uint64_t seen_ms = s->state == STATE_INVISIBLE ? 0 : last_seen_ms(t, s, now);
	if (seen_ms > s->user->last_seen_ms)
		s->user->last_seen_ms = seen_ms & 0xffffffffffff;
}

struct debris session_finish(struct table *t, struct stripe *st, struct session *s,
	enum reason reason, struct instant now)
{
	note_seen(t, s, now);
	struct keep *keep = keep_drop(s);
	struct debris debris = session_unlink(t, st, s, reason);
	debris.keep = keep;
	return debris;
}

struct debris session_unlink(
	struct table *t, struct stripe *st, struct session *s, enum reason reason)
{
	(void)t;
	*place_of(s->user, s) = s->next;
	if (is_in_grace(s))
		count_in_grace(st, -1);
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

enum counter counter_of_end(enum reason reason)
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
	bool is_alive = session_is(s, id);
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

static struct session *find_name(const struct table *t, const struct user *u, uint64_t name)
{
	struct session *s = u->sessions;
	while (s && session_name(t, atomic_load_explicit(&s->id, memory_order_relaxed)) != name)
		s = s->next;
	return s;
}

/* The session to give way at the limit of sessions a user; NULL where there is room. */
static struct session *find_surplus(struct table *t, const struct user *u, struct instant now)
{
	uint32_t n = 0;
	uint64_t least_ms = UINT64_MAX;
	struct session *silent = NULL;
	for (struct session *s = u->sessions; s; s = s->next) {
		uint64_t seen_ms = last_seen_ms(t, s, now);
		n++;
		if (seen_ms > least_ms)
			continue;
		least_ms = seen_ms;
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
	struct keep *keep; /* where the login shows a secret */
	struct keep *old_keep;
	bool has_secret;
	uint64_t name; /* of the session whose secret it is */
	struct debris debris;
};

static void luggage_free(struct table *t, struct luggage *l) REQUIRES(role_worker)
{
	free(l->candidate);
	free(l->device);
	free(l->status);
	keep_free(l->keep);
	keep_free(l->old_keep);
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
	l->has_secret = in->resume && table_has_grace(t) &&
			secret_open(t->secret_key, in->resume, in->resume_len, &l->name);
	l->keep = l->has_secret ? calloc(1, sizeof(*l->keep)) : NULL;
	if (!l->candidate || (has_long_device && !l->device) || (in->status && !l->status) ||
		(l->has_secret && !l->keep))
		return -ENOMEM;
	return take_record(t, in->worker, in->stamp_ms + in->timeout_ms, &l->record);
}

/* What the login says itself. */
static void fill_in(struct session *s, struct user *u, const struct login *in, struct luggage *l)
{
	s->user = u;
	s->device_len = in->device ? (uint8_t)in->device_len : 0;
	if (l->device)
		s->device.there = l->device;
	else if (in->device)
		memcpy(s->device.here, in->device, in->device_len);
	s->status = l->status;
	s->state = (in->has_state ? in->state : STATE_ONLINE) & 7;
	s->since_ms = in->now.wall_ms;
	s->timeout_ms = in->timeout_ms;
	s->transport = (unsigned)in->transport & 7;
	s->has_keep = 0;
	s->grant = (struct grant){.ms = 0};
	s->end_reason = REASON_UNKNOWN;
	l->device = NULL;
	l->status = NULL;
}

/* The session goes on in another record: what it is goes there with it. */
static void carry_over(struct session *s, struct session *old, struct luggage *l)
{
	/* It is named alike, or is named as it was: a secret says nothing of devices. */
	if (s->device_len > DEVICE_HERE_MAX)
		l->device = s->device.there;
	s->device_len = old->device_len;
	s->device = old->device;
	old->device_len = 0;
	s->since_ms = old->since_ms;
}

/* With the secret also whom it watched goes over, or will. */
static void carry_baggage(
	struct session *s, struct session *old, struct luggage *l, struct login_result *ret)
{
	struct keep *k = old->has_keep ? old->keep : NULL;
	ret->has_secret = true;
	if (k && !k->debtor) {
		ret->baggage = k->baggage;
		k->baggage = (struct baggage){.watches = NULL};
		l->old_keep = keep_drop(old);
		return;
	}
	if (!k && session_connection(old) == CONNECTION_NONE) { /* there was no memory for it */
		ret->baggage.is_lost = true;
		return;
	}
	ret->is_baggage_late = true;
	if (!k) {
		k = l->keep;
		l->keep = NULL;
		*k = (struct keep){
			.id = atomic_load_explicit(&old->id, memory_order_relaxed), .debtor = old};
		keep_give(old, k);
	}
	k->holder = s;
	if (k->debtor != old)
		old->has_keep = 0;
	s->keep = k;
	s->has_keep = 1;
	k->grant = (struct grant){.ms = 0};
}

uint64_t next_id(struct table *t, const struct stripe *st, unsigned worker)
{
	uint64_t number = t->slabs[worker].n_ids++ * WORKERS_MAX + worker + WORKERS_MAX;
	return number << STRIPE_BITS | (uint64_t)(st - t->stripes);
}

/* Fills the record in and puts it among the user's sessions, in place of 'old' where there is one. */
static void begin_session(struct table *t, struct stripe *st, struct user *u,
	const struct login *in, struct luggage *l, struct session *old, struct login_result *ret)
	REQUIRES(st->lock) REQUIRES(role_worker)
{
	struct session *s = l->record;
	uint64_t id = ret->is_resumed ? atomic_load_explicit(&old->id, memory_order_relaxed)
				      : next_id(t, st, in->worker);
	l->record = NULL;
	fill_in(s, u, in, l);
	/* A reconnect without words is no activity: it keeps its place in the order of updates. */
	bool keeps_place = old && !in->has_state && !in->has_status;
	struct session **place = keeps_place ? place_of(u, old) : &u->sessions;
	s->next = *place;
	*place = s;
	if (old && !in->has_state)
		s->state = old->state;
	if (old && !in->has_status) {
		s->status = old->status;
		old->status = NULL;
	}
	if (ret->is_resumed)
		carry_over(s, old, l);
	if (old)
		note_seen(t, old, in->now);
	if (ret->is_resumed && l->has_secret && session_name(t, id) == l->name)
		carry_baggage(s, old, l, ret);
	if (ret->has_secret)
		l->debris = session_unlink(t, st, old, REASON_REPLACED);
	else if (old)
		l->debris = session_finish(t, st, old, REASON_REPLACED, in->now);
	count_session(st, s, 1);
	atomic_store_explicit(&s->connection, in->connection, memory_order_relaxed);
	atomic_store(&s->mark, MARK_QUIET);
	atomic_store(&s->id, id);
	session_changed(t, s);
	ret->session = s;
	ret->stamp = session_stamp(t, s);
	ret->id = id;
	ret->device_len = s->device_len;
	memcpy(ret->device, session_device(s), s->device_len);
}

static void count_login(struct actor *a, const struct login_result *r, bool has_evicted)
{
	counter_add(a->counters, COUNTER_logins, 1);
	if (r->is_resumed)
		counter_add(a->counters, COUNTER_resumed, 1);
	else if (r->is_takeover)
		counter_add(a->counters, COUNTER_takeovers, 1);
	else if (has_evicted)
		counter_add(a->counters, COUNTER_evicted, 1);
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
	struct login_result result = {.id = 0};

	lock_acquire(&st->lock);
	struct user *u = user_enter(t, st, &l.candidate);
	struct session *old = l.has_secret ? find_name(t, u, l.name) : NULL;
	result.is_resumed = old;
	if (!old)
		old = find_device(t, u, in->device, in->device_len);
	result.is_takeover = old;
	result.is_resumed |= old && is_in_grace(old);
	struct look before = user_look(u);
	struct session *surplus = old ? NULL : find_surplus(t, u, in->now);
	begin_session(t, st, u, in, &l, old, &result);
	if (surplus)
		l.debris = session_finish(t, st, surplus, REASON_REPLACED, in->now);
	/* An invisible login changes the look only by replacing a device that was seen: it went out of sight. */
	enum reason reason =
		result.session->state == STATE_INVISIBLE ? REASON_LOGOUT : REASON_LOGIN;
	if (!look_equal(before, user_look(u))) {
		if (before.state == STATE_OFFLINE && u->reason == REASON_TIMEOUT &&
			in->now.wall_ms > u->at_ms)
			result.absent_ms = in->now.wall_ms - u->at_ms;
		struct cause cause = session_cause(t, st, result.session, reason, in->now);
		user_tell(t, a, st, u, reason, &cause, in->now);
	}
	bool is_crowded = stripe_is_crowded(st);
	lock_release(&st->lock);

	luggage_free(t, &l);
	if (is_crowded)
		stripe_tidy(st);
	if (old || surplus)
		session_list(t, a, old ? old : surplus);
	count_login(a, &result, surplus);
	*ret = result;
	return 0;
}
