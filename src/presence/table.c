#include "presence/table.h"

#include "base/ensure.h"
#include "base/hash.h"
#include "presence/table_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS_MIN = 4 };

/* --- creation --- */

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; t->stripes && i < N_STRIPES; i++) {
		struct stripe *st = &t->stripes[i];
		lock_acquire(&st->lock);
		struct stripe_data *data = stripe_data(st);
		for (uint32_t b = 0; b < data->n_buckets; b++) {
			struct user *next;
			for (struct user *u = data->buckets[b]; u; u = next) {
				next = u->next;
				for (struct session *s = u->is_remembered ? NULL : u->sessions; s;
					s = s->next) {
					if (s->device_len > DEVICE_HERE_MAX)
						free(s->device.there);
					free(s->status);
				}
				free(u);
			}
		}
		free(data->buckets);
		lock_release(&st->lock);
		lock_destroy(&st->lock);
	}
	for (unsigned i = 0; t->slabs && i < t->params.n_workers; i++) {
		struct slab *slab = &t->slabs[i];
		stamps_destroy(&slab->stamps);
		for (uint32_t b = 0; b < slab->n_blocks; b++) {
			for (uint32_t k = 0; k < SLAB_BLOCK; k++) /* those that have ended, too */
				keep_free(keep_drop(&slab->blocks[b][k]));
			free(slab->blocks[b]);
		}
		free(slab->blocks);
	}
	free(t->slabs);
	free(t->stripes);
	free(t);
}

static bool stripe_init(struct stripe *st)
{
	lock_init(&st->lock, RANK_STRIPE);
	atomic_init(&st->n_users, 0);
	for (unsigned i = 0; i < N_VISIBLE_STATES; i++)
		atomic_init(&st->n_in_state[i], 0);
	for (unsigned i = 0; i < TRANSPORT_N; i++)
		atomic_init(&st->n_by_transport[i], 0);
	atomic_init(&st->n_remembered, 0);
	atomic_init(&st->n_in_grace, 0);
	st->guarded = (struct stripe_data){.n_buckets = 0};
	st->guarded.buckets = calloc(BUCKETS_MIN, sizeof(*st->guarded.buckets));
	if (!st->guarded.buckets)
		return false;
	st->guarded.n_buckets = BUCKETS_MIN;
	return true;
}

static int slab_init(struct slab *slab)
{
	int err = stamps_init(&slab->stamps);
	if (err)
		return err;
	slab->blocks = calloc(SLAB_BLOCKS_MAX, sizeof(struct session *));
	return slab->blocks ? 0 : -ENOMEM;
}

int table_new(const struct table_params *params, struct table **ret)
{
	ensure(params->n_workers >= 1 && params->n_workers <= WORKERS_MAX);
	int err = -ENOMEM;
	struct table *t = calloc(1, sizeof(*t));
	if (!t)
		return err;
	t->params = *params;
	t->seed = random_u64();
	t->id_key = random_u64();
	random_fill(t->secret_key, sizeof(t->secret_key));
	for (size_t i = 0; i < N_STRIPES; i++)
		atomic_init(&t->oldest[i], UINT64_MAX);
	t->slabs = calloc(params->n_workers, sizeof(*t->slabs));
	if (!t->slabs)
		goto fail;
	for (unsigned i = 0; i < params->n_workers; i++)
		if (slab_init(&t->slabs[i]))
			goto fail;
	t->stripes = aligned_alloc(CACHE_LINE, N_STRIPES * sizeof(*t->stripes));
	if (!t->stripes)
		goto fail;
	bool is_whole = true;
	for (size_t i = 0; i < N_STRIPES; i++) /* all of them, for table_free() */
		is_whole &= stripe_init(&t->stripes[i]);
	if (!is_whole)
		goto fail;
	*ret = t;
	return 0;
fail:
	table_free(t);
	return err;
}

void actor_init(struct actor *a, struct counters *counters)
{
	*a = (struct actor){.counters = counters};
}

void actor_destroy(struct actor *a)
{
	event_spares_free(&a->spares);
	keep_free(a->keep);
}

uint64_t table_hash(const struct table *t, const char *user, size_t len)
{
	return hash_bytes(user, len, t->seed);
}

/* --- users --- */

struct user *user_new(const char *name, size_t len, uint64_t hash)
{
	debug_check(len >= 1 && len <= USER_MAX);
	struct user *u = malloc(sizeof(*u) + len);
	if (!u)
		return NULL;
	memset(u, 0, sizeof(*u));
	u->len = (uint8_t)len;
	u->hash = (hash >> USER_HASH_SHIFT) & 0xffffff;
	memcpy(u->name, name, len);
	return u;
}

struct user *user_find(struct stripe *st, const char *name, size_t len, uint64_t hash)
{
	struct stripe_data *data = stripe_data(st);
	uint32_t h = (uint32_t)(hash >> USER_HASH_SHIFT) & 0xffffff;
	struct user *u = data->buckets[h & (data->n_buckets - 1)];
	while (u && (u->hash != h || u->len != len || memcmp(u->name, name, len) != 0))
		u = u->next;
	return u;
}

static struct user **find_place(struct stripe_data *data, const struct user *u)
{
	struct user **place = &data->buckets[u->hash & (data->n_buckets - 1)];
	while (*place && *place != u)
		place = &(*place)->next;
	return place;
}

static void publish_oldest(struct table *t, struct stripe *st) REQUIRES(st->lock)
{
	const struct user *oldest = stripe_data(st)->oldest;
	atomic_store_explicit(&t->oldest[st - t->stripes], oldest ? oldest->ticket : UINT64_MAX,
		memory_order_relaxed);
}

static void add_remembered(struct stripe *st, int n)
{
	atomic_store_explicit(&st->n_remembered,
		atomic_load_explicit(&st->n_remembered, memory_order_relaxed) + (uint32_t)n,
		memory_order_relaxed);
}

static void remember(struct table *t, struct stripe *st, struct user *u) REQUIRES(st->lock)
{
	struct stripe_data *data = stripe_data(st);
	/* 40 bits of tickets last three years at 10,000 a second; a wrap misplaces users, it loses none. */
	u->ticket =
		atomic_fetch_add_explicit(&t->n_tickets, 1, memory_order_relaxed) & 0xffffffffff;
	u->is_remembered = 1;
	u->younger = NULL;
	u->older = data->youngest;
	if (data->youngest)
		data->youngest->younger = u;
	else
		data->oldest = u;
	data->youngest = u;
	add_remembered(st, 1);
	publish_oldest(t, st);
	atomic_fetch_add_explicit(&t->n_remembered, 1, memory_order_relaxed);
}

static void unlink_remembered(struct table *t, struct stripe *st, struct user *u) REQUIRES(st->lock)
{
	struct stripe_data *data = stripe_data(st);
	if (u->older)
		u->older->younger = u->younger;
	else
		data->oldest = u->younger;
	if (u->younger)
		u->younger->older = u->older;
	else
		data->youngest = u->older;
	u->is_remembered = 0;
	u->sessions = NULL;
	u->interest = 0;
	add_remembered(st, -1);
	publish_oldest(t, st);
}

static void set_n_users(struct stripe *st) REQUIRES(st->lock)
{
	atomic_store_explicit(&st->n_users, stripe_data(st)->n_users, memory_order_relaxed);
}

struct user *user_enter(struct table *t, struct stripe *st, struct user **candidate)
{
	struct stripe_data *data = stripe_data(st);
	struct user **bucket = &data->buckets[(*candidate)->hash & (data->n_buckets - 1)];
	for (struct user *u = *bucket; u; u = u->next) {
		if (u->hash != (*candidate)->hash || u->len != (*candidate)->len ||
			memcmp(u->name, (*candidate)->name, u->len) != 0)
			continue;
		if (u->is_remembered) {
			unlink_remembered(t, st, u);
			atomic_fetch_sub_explicit(&t->n_remembered, 1, memory_order_relaxed);
		}
		return u;
	}
	struct user *u = *candidate;
	u->next = *bucket;
	*bucket = u;
	data->n_users++;
	set_n_users(st);
	*candidate = NULL;
	return u;
}

static void take_out(struct stripe *st, struct user *u) REQUIRES(st->lock)
{
	struct stripe_data *data = stripe_data(st);
	*find_place(data, u) = u->next;
	data->n_users--;
	set_n_users(st);
}

struct user *user_settle(struct table *t, struct stripe *st, struct user *u)
{
	if (u->sessions || u->interest)
		return NULL;
	if (u->is_known) {
		remember(t, st, u);
		return NULL;
	}
	take_out(st, u);
	return u;
}

/* Claims one user too many, so that two who forget at once don't forget for each other. */
static bool claim_surplus(struct table *t)
{
	uint64_t n = atomic_load_explicit(&t->n_remembered, memory_order_relaxed);
	/* Below zero for a moment, where those that are claimed come back to life: that is no surplus. */
	while (n > t->params.n_remembered && n <= INT64_MAX)
		if (atomic_compare_exchange_weak_explicit(&t->n_remembered, &n, n - 1,
			    memory_order_relaxed, memory_order_relaxed))
			return true;
	return false;
}

static struct stripe *find_oldest(struct table *t)
{
	uint64_t least = UINT64_MAX;
	size_t at = N_STRIPES;
	for (size_t i = 0; i < N_STRIPES; i++) {
		uint64_t ticket = atomic_load_explicit(&t->oldest[i], memory_order_relaxed);
		if (ticket < least) {
			least = ticket;
			at = i;
		}
	}
	return at < N_STRIPES ? &t->stripes[at] : NULL;
}

void table_forget(struct table *t, struct actor *a)
{
	while (claim_surplus(t)) {
		struct user *u = NULL;
		struct stripe *st;
		while (!u && (st = find_oldest(t))) {
			lock_acquire(&st->lock);
			struct stripe_data *data = stripe_data(st);
			u = data->oldest;
			if (u) {
				unlink_remembered(t, st, u);
				take_out(st, u);
			}
			bool is_empty = data->n_buckets > BUCKETS_MIN &&
					data->n_buckets / 8 > data->n_users;
			lock_release(&st->lock);
			if (is_empty)
				stripe_tidy(st);
		}
		if (!u) {
			/* All of them came back to life meanwhile. Looked at again: who was remembered just now
			 * saw our claim and thought there was room. */
			atomic_fetch_add_explicit(&t->n_remembered, 1, memory_order_relaxed);
			continue;
		}
		free(u);
		counter_add(a->counters, COUNTER_forgotten, 1);
	}
}

/* More buckets (or fewer), allocated and freed without the lock. */
void stripe_tidy(struct stripe *st)
{
	uint32_t n_users = atomic_load_explicit(&st->n_users, memory_order_relaxed);
	lock_acquire(&st->lock);
	uint32_t n_old = stripe_data(st)->n_buckets;
	lock_release(&st->lock);
	uint32_t n_new = n_old;
	while (n_new < n_users / USERS_A_BUCKET && n_new < UINT32_C(1) << USER_HASH_BITS)
		n_new *= 2;
	while (n_new > BUCKETS_MIN && n_new / 8 > n_users)
		n_new /= 2;
	if (n_new == n_old)
		return;
	struct user **buckets = calloc(n_new, sizeof(struct user *));
	if (!buckets)
		return; /* slower, not wrong */

	lock_acquire(&st->lock);
	struct stripe_data *data = stripe_data(st);
	struct user **spent = buckets;
	if (data->n_buckets == n_old) {
		for (uint32_t i = 0; i < n_old; i++) {
			struct user *next;
			for (struct user *u = data->buckets[i]; u; u = next) {
				next = u->next;
				u->next = buckets[u->hash & (n_new - 1)];
				buckets[u->hash & (n_new - 1)] = u;
			}
		}
		spent = data->buckets;
		data->buckets = buckets;
		data->n_buckets = n_new;
	}
	lock_release(&st->lock);
	free(spent);
}

/* --- what a user looks like --- */

struct look user_look(const struct user *u)
{
	struct look look = {.state = STATE_OFFLINE, .status = NULL};
	for (const struct session *s = u->sessions; s; s = s->next) {
		/* The list is in order of update, the last one first: of equals the first one found stays. */
		if (s->state != STATE_INVISIBLE && s->state > look.state)
			look = (struct look){.state = s->state, .status = s->status};
	}
	return look;
}

bool look_equal(struct look a, struct look b)
{
	if (a.state != b.state || !a.status != !b.status)
		return false;
	return !a.status || (a.status->len == b.status->len &&
				    memcmp(a.status->bytes, b.status->bytes, a.status->len) == 0);
}

uint32_t last_heard(struct table *t, const struct session *s)
{
	/* Relaxed: the owner may store a newer one at any time; either is true. */
	uint32_t stamp = atomic_load_explicit(session_stamp(t, s), memory_order_relaxed);
	const struct grant *grant = session_grant_const(s);
	if (grant->ms > 0 && stamp == grant->stamp)
		stamp -= grant->ms;
	return stamp - s->timeout_ms;
}

uint64_t last_seen_ms(struct table *t, const struct session *s, struct instant now)
{
	return is_in_grace(s) ? s->keep->last_seen_ms : wall_of(last_heard(t, s), now);
}

uint64_t wall_of(uint32_t mono_ms, struct instant now)
{
	/* Stamps are rounded up: what is shown is the millisecond that the byte came in, and so never in the future. Not
	 * held at now, for a thread's now may lag behind another's stamp, and what is shown of one stamp is always the
	 * same. */
	int32_t ago = (int32_t)((uint32_t)now.mono_ms - (mono_ms - 1));
	return now.wall_ms - (uint64_t)(int64_t)ago;
}

void user_snapshot(struct table *t, struct stripe *st, const struct user *u, struct instant now,
	struct snapshot *ret)
{
	uint64_t counter = stripe_data(st)->counter;
	*ret = (struct snapshot){.state = STATE_OFFLINE,
		.reason = REASON_UNKNOWN,
		.seq = counter,
		.counter = counter};
	if (!u || !u->is_known)
		return;
	struct look look = {.state = STATE_OFFLINE, .status = NULL};
	ret->is_known = true;
	ret->reason = (enum reason)u->reason;
	ret->seq = u->seq;
	ret->at_ms = u->at_ms;
	ret->last_seen_ms = u->last_seen_ms;
	if (!u->is_remembered) {
		look = user_look(u);
		ret->is_reconnecting = look.state != STATE_OFFLINE;
		for (const struct session *s = u->sessions; s; s = s->next) {
			if (s->state == STATE_INVISIBLE)
				continue;
			uint64_t seen = last_seen_ms(t, s, now);
			if (seen > ret->last_seen_ms)
				ret->last_seen_ms = seen;
			if (!is_in_grace(s) && (enum state)s->state == look.state)
				ret->is_reconnecting = false;
		}
	}
	ret->state = look.state;
	if (look.status) {
		ret->has_status = true;
		ret->status_len = look.status->len;
		memcpy(ret->status, look.status->bytes, look.status->len);
	}
}

static void queue_event(struct table *t, struct actor *a, uint64_t interest, struct event *e)
{
	for (; interest; interest &= interest - 1) {
		unsigned worker = (unsigned)__builtin_ctzll(interest);
		struct mailbox *mailbox = t->params.mailboxes[worker];
		bool wake = false;
		if (e && mailbox_post(mailbox, e, &wake))
			counter_add(a->counters, COUNTER_events_mailed, 1);
		else
			counter_add(
				a->counters, e ? COUNTER_mailbox_full : COUNTER_out_of_memory, 1);
		if (!e)
			wake = mailbox_raise_resync(mailbox);
		if (wake)
			a->wake_workers |= UINT64_C(1) << worker;
	}
}

void count_in_state(struct stripe *st, enum state state, int n)
{
	if (state == STATE_OFFLINE)
		return; /* many come and go without ever being known: reckoned from the others */
	atomic_store_explicit(&st->n_in_state[state],
		atomic_load_explicit(&st->n_in_state[state], memory_order_relaxed) + (uint32_t)n,
		memory_order_relaxed);
}

/* Where it is full, or there is no event, its followers have to begin again. */
static void queue_for_feed(struct table *t, struct actor *a, struct event *e)
{
	if (!e)
		a->wake_feed |= mailbox_raise_resync(t->params.feed);
	if (!e || !mailbox_post(t->params.feed, e, &a->wake_feed))
		counter_add(a->counters, COUNTER_feed_lost, 1);
}

static void user_tell_at(struct table *t, struct actor *a, struct stripe *st, struct user *u,
	enum reason reason, uint64_t at_ms, const struct cause *cause, struct instant now)
	REQUIRES(st->lock)
{
	struct look look = user_look(u);
	count_in_state(st, (enum state)u->state, -1);
	count_in_state(st, look.state, 1);
	u->seq = ++stripe_data(st)->counter;
	u->state = (unsigned)look.state & 7;
	u->reason = (unsigned)reason & 15;
	u->at_ms = at_ms & 0xffffffffffff;
	u->is_known = 1;
	counter_add(a->counters, COUNTER_events, 1);
	if (!u->interest && !t->params.feed)
		return;

	struct snapshot snapshot;
	user_snapshot(t, st, u, now, &snapshot);
	snapshot.is_reconnecting = false; /* for who asks: nothing would tell that it is over */
	struct event *e = event_make(&a->spares, u->name, u->len, table_hash(t, u->name, u->len),
		&snapshot, t->params.feed ? cause : NULL);
	if (e)
		e->made_us = (uint32_t)(a->now_ns / 1000);
	queue_event(t, a, u->interest, e);
	if (t->params.feed)
		queue_for_feed(t, a, e);
	event_unref(e);
}

void user_tell(struct table *t, struct actor *a, struct stripe *st, struct user *u,
	enum reason reason, const struct cause *cause, struct instant now)
{
	user_tell_at(t, a, st, u, reason, now.wall_ms, cause, now);
}

void user_tell_late(struct table *t, struct actor *a, struct stripe *st, struct user *u,
	enum reason reason, uint64_t at_ms, const struct cause *cause, struct instant now)
{
	/* What another device did meanwhile was told: until then the user looked as that device made it look. */
	user_tell_at(t, a, st, u, reason, at_ms > u->at_ms ? at_ms : u->at_ms, cause, now);
}

/* --- watching, looking --- */

int table_watch(struct table *t, struct actor *a, unsigned worker, const char *user, size_t len,
	struct instant now, struct snapshot *ret)
{
	uint64_t hash = table_hash(t, user, len);
	struct stripe *st = stripe_of_hash(t, hash);
	struct user *candidate = user_new(user, len, hash);
	if (!candidate) {
		counter_add(a->counters, COUNTER_out_of_memory, 1);
		return -ENOMEM;
	}
	lock_acquire(&st->lock);
	struct user *u = user_enter(t, st, &candidate);
	u->interest |= UINT64_C(1) << worker;
	user_snapshot(t, st, u, now, ret);
	bool is_crowded = stripe_is_crowded(st);
	lock_release(&st->lock);

	free(candidate);
	if (is_crowded)
		stripe_tidy(st);
	return 0;
}

void table_unwatch(struct table *t, struct actor *a, unsigned worker, const char *user, size_t len)
{
	uint64_t hash = table_hash(t, user, len);
	struct stripe *st = stripe_of_hash(t, hash);
	lock_acquire(&st->lock);
	struct user *u = user_find(st, user, len, hash);
	struct user *spent = NULL;
	if (u && !u->is_remembered) {
		u->interest &= ~(UINT64_C(1) << worker);
		spent = user_settle(t, st, u);
	}
	lock_release(&st->lock);
	free(spent);
	table_forget(t, a);
}

void table_look(
	struct table *t, const char *user, size_t len, struct instant now, struct snapshot *ret)
{
	uint64_t hash = table_hash(t, user, len);
	struct stripe *st = stripe_of_hash(t, hash);
	lock_acquire(&st->lock);
	user_snapshot(t, st, user_find(st, user, len, hash), now, ret);
	lock_release(&st->lock);
}

struct table_counts table_count(const struct table *t)
{
	struct table_counts c = {.bytes = sizeof(*t) + N_STRIPES * sizeof(struct stripe)};
	uint64_t n_users = 0;
	for (size_t i = 0; i < N_STRIPES; i++) {
		const struct stripe *st = &t->stripes[i];
		n_users += atomic_load_explicit(&st->n_users, memory_order_relaxed);
		c.users_remembered += atomic_load_explicit(&st->n_remembered, memory_order_relaxed);
		for (unsigned k = STATE_OFFLINE + 1; k < N_VISIBLE_STATES; k++)
			c.users_in_state[k] +=
				atomic_load_explicit(&st->n_in_state[k], memory_order_relaxed);
		c.sessions_in_grace += atomic_load_explicit(&st->n_in_grace, memory_order_relaxed);
		for (unsigned k = 0; k < TRANSPORT_N; k++)
			c.sessions_by_transport[k] +=
				atomic_load_explicit(&st->n_by_transport[k], memory_order_relaxed);
	}
	for (unsigned k = STATE_OFFLINE + 1; k < N_VISIBLE_STATES; k++)
		c.users_online += c.users_in_state[k];
	for (unsigned k = 0; k < TRANSPORT_N; k++)
		c.sessions += c.sessions_by_transport[k];
	/* Read one after the other while they move: never below zero. */
	c.users_in_state[STATE_OFFLINE] = n_users > c.users_online ? n_users - c.users_online : 0;
	c.users_known = n_users;
	c.bytes += n_users * (sizeof(struct user) + 32) +
		   c.sessions * (sizeof(struct session) + sizeof(uint32_t));
	return c;
}
