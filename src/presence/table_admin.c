/* What the admin thread does with the session table. */

#include "presence/table_admin.h"

#include "presence/table_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- a user's sessions --- */

static void view_session(
	struct table *t, const struct session *s, struct instant now, struct session_view *ret)
{
	ret->id = atomic_load_explicit(&s->id, memory_order_relaxed);
	ret->connection = session_connection(s);
	ret->transport = (enum transport)s->transport;
	ret->state = (enum state)s->state;
	ret->since_ms = s->since_ms;
	ret->last_seen_ms = last_seen_ms(t, s, now);
	ret->is_reconnecting = is_in_grace(s);
	ret->end_reason = (enum reason)s->end_reason;
	ret->ended_ms = ret->is_reconnecting ? s->keep->at_ms : 0;
	ret->timeout_ms = s->timeout_ms;
	ret->worker = s->worker;
	ret->slot = s->slot;
	table_session_text(t, ret->id, ret->session);
	/* A device without a name has the session's. */
	const char *device = s->device_len > 0 ? session_device(s) : ret->session;
	ret->device_len = s->device_len > 0 ? s->device_len : SESSION_TEXT_MAX - 1;
	memcpy(ret->device, device, ret->device_len);
	ret->has_status = s->status;
	ret->status_len = s->status ? s->status->len : 0;
	if (s->status)
		memcpy(ret->status, s->status->bytes, s->status->len);
}

/* As many as there is room for; how many there are. */
static size_t view_sessions(struct table *t, const char *user, size_t len, struct instant now,
	struct snapshot *ret, struct session_view *views, size_t room)
{
	uint64_t hash = table_hash(t, user, len);
	struct stripe *st = stripe_of_hash(t, hash);
	size_t n = 0;

	lock_acquire(&st->lock);
	const struct user *u = user_find(st, user, len, hash);
	user_snapshot(t, st, u, now, ret);
	const struct session *s = u && !u->is_remembered ? u->sessions : NULL;
	for (; s; s = s->next, n++)
		if (n < room)
			view_session(t, s, now, &views[n]);
	lock_release(&st->lock);
	return n;
}

int table_sessions(struct table *t, const char *user, size_t len, struct instant now,
	struct snapshot *ret, struct session_view **ret_sessions, size_t *ret_n)
{
	struct session_view *views = NULL;
	struct snapshot snapshot;
	size_t room = 0, n;

	/* Again with more room, where there was too little: a user has few sessions, and a limit. */
	while ((n = view_sessions(t, user, len, now, &snapshot, views, room)) > room) {
		free(views);
		views = calloc(n, sizeof(*views));
		if (!views)
			return -ENOMEM;
		room = n;
	}
	if (n == 0) {
		free(views);
		views = NULL;
	}
	*ret = snapshot;
	*ret_sessions = views;
	*ret_n = n;
	return 0;
}

/* --- paging --- */

/* At most so many buckets and users under one lock: some tens of microseconds. */
enum { PAGE_STEPS = 512 };

/* The order of users: by stripe; in it by the bits of the hash that choose the bucket, the lowest first; then by the rest.
 * More buckets take more of those bits: each splits into two that are neighbours in this order, so that a place in it
 * means the same before and after. */
enum { KEY_HASH_SHIFT = 31, KEY_STRIPE_SHIFT = KEY_HASH_SHIFT + USER_HASH_BITS };
static_assert(KEY_STRIPE_SHIFT + STRIPE_BITS == 64, "a key is a rearranged hash");

static uint32_t reverse_bits(uint32_t x)
{
	x = (x >> 1 & 0x55555555) | (x & 0x55555555) << 1;
	x = (x >> 2 & 0x33333333) | (x & 0x33333333) << 2;
	x = (x >> 4 & 0x0f0f0f0f) | (x & 0x0f0f0f0f) << 4;
	return __builtin_bswap32(x) >> (32 - USER_HASH_BITS);
}

uint64_t table_key(uint64_t hash)
{
	uint64_t stripe = hash & (N_STRIPES - 1);
	uint64_t rest = hash >> STRIPE_BITS & ((UINT64_C(1) << KEY_HASH_SHIFT) - 1);
	uint32_t top = (uint32_t)(hash >> USER_HASH_SHIFT);
	return stripe << KEY_STRIPE_SHIFT | (uint64_t)reverse_bits(top) << KEY_HASH_SHIFT | rest;
}

static uint64_t key_of(const struct table *t, const struct user *u)
{
	return table_key(table_hash(t, u->name, u->len));
}

/* Of a bucket's users the first in the order that is not before 'from'; NULL for none. */
static const struct user *first_from(const struct table *t, const struct user *bucket,
	uint64_t from, uint64_t *ret_key, unsigned *steps)
{
	const struct user *first = NULL;
	for (const struct user *u = bucket; u; u = u->next) {
		uint64_t key = key_of(t, u);
		++*steps;
		if (key < from || (first && key >= *ret_key))
			continue;
		first = u;
		*ret_key = key;
	}
	return first;
}

static bool has_invisible(const struct user *u)
{
	const struct session *s = u->is_remembered ? NULL : u->sessions;
	while (s && s->state != STATE_INVISIBLE)
		s = s->next;
	return s;
}

static bool user_matches(const struct user *u, const struct user_filter *f)
{
	if (!u->is_known && !u->sessions)
		return false;
	if (u->len < f->prefix_len ||
		(f->prefix_len > 0 && memcmp(u->name, f->prefix, f->prefix_len) != 0))
		return false;
	if (f->is_online && u->state == STATE_OFFLINE)
		return false;
	if (!f->has_state)
		return true;
	return f->state == STATE_INVISIBLE ? has_invisible(u) : (enum state)u->state == f->state;
}

struct page {
	const struct user_filter *filter;
	struct instant now;
	uint64_t from;
	struct user_view *views;
	size_t n, max;
	unsigned steps;
};

/* The users of a bucket; false where there was no room for all. */
static bool page_bucket(struct table *t, struct stripe *st, const struct user *bucket,
	struct page *p) REQUIRES(st->lock)
{
	const struct user *u;
	uint64_t key = 0;
	while ((u = first_from(t, bucket, p->from, &key, &p->steps))) {
		if (user_matches(u, p->filter)) {
			if (p->n == p->max)
				return false;
			struct user_view *view = &p->views[p->n++];
			view->len = u->len;
			memcpy(view->user, u->name, u->len);
			user_snapshot(t, st, u, p->now, &view->snapshot);
		}
		p->from = key + 1;
		if (p->from == 0)
			break; /* it was the last key there is */
	}
	return true;
}

static void page_stripe(struct table *t, struct stripe *st, struct page *p) REQUIRES(st->lock)
{
	const struct stripe_data *data = stripe_data(st);
	unsigned unused = USER_HASH_BITS - (unsigned)__builtin_ctz(data->n_buckets);
	uint64_t stripe = (uint64_t)(st - t->stripes) << KEY_STRIPE_SHIFT;
	uint32_t at = (uint32_t)(p->from >> KEY_HASH_SHIFT) & ((1U << USER_HASH_BITS) - 1);

	for (uint32_t i = at >> unused; i < data->n_buckets; i++) {
		if (p->steps++ >= PAGE_STEPS)
			return;
		if (!page_bucket(t, st, data->buckets[reverse_bits(i << unused)], p))
			return;
		/* The next bucket's first key; after the last one, the next stripe's; after the last of
		 * these, 0. */
		p->from = stripe + ((uint64_t)(i + 1) << unused << KEY_HASH_SHIFT);
	}
}

bool table_page(struct table *t, const struct user_filter *filter, struct instant now,
	uint64_t *cursor, struct user_view *views, size_t max, size_t *ret_n)
{
	struct page p = {.filter = filter, .now = now, .from = *cursor, .views = views, .max = max};
	struct stripe *st = &t->stripes[p.from >> KEY_STRIPE_SHIFT];

	lock_acquire(&st->lock);
	page_stripe(t, st, &p);
	views[0].snapshot.counter = stripe_data(st)->counter;
	lock_release(&st->lock);
	*cursor = p.from;
	*ret_n = p.n;
	return p.from != 0;
}

/* --- kicking --- */

enum { KICK_BATCH = 32 };

struct kick {
	struct session *sessions[KICK_BATCH];
	struct debris debris[KICK_BATCH];
	unsigned n;
	struct cause cause; /* of the first one, the one updated last */
};

/* Ends the user's sessions, or the one of that name: as many as a batch takes. */
static void kick_sessions(struct table *t, struct stripe *st, struct user *u, const uint64_t *name,
	struct instant now, struct kick *k) REQUIRES(st->lock)
{
	struct session *next;
	for (struct session *s = u->sessions; s && k->n < KICK_BATCH; s = next) {
		next = s->next;
		if (name && session_name(t, atomic_load_explicit(&s->id, memory_order_relaxed)) !=
				    *name)
			continue;
		if (k->n == 0)
			k->cause = session_cause(t, st, s, REASON_KICKED, now);
		k->sessions[k->n] = s;
		k->debris[k->n] = session_finish(t, st, s, REASON_KICKED, now);
		k->n++;
	}
}

static unsigned kick(struct table *t, struct actor *a, const char *user, size_t len,
	const uint64_t *name, struct instant now)
{
	uint64_t hash = table_hash(t, user, len);
	struct stripe *st = stripe_of_hash(t, hash);
	struct user *spent = NULL;
	struct kick k = {.n = 0};
	event_spares_fill(&a->spares);

	lock_acquire(&st->lock);
	struct user *u = user_find(st, user, len, hash);
	if (u && !u->is_remembered) {
		/* Its status is kept by the debris, if it was a kicked session's. */
		struct look before = user_look(u);
		kick_sessions(t, st, u, name, now, &k);
		if (!look_equal(before, user_look(u)))
			user_tell(t, a, st, u, REASON_KICKED, &k.cause, now);
		if (k.n > 0)
			spent = user_settle(t, st, u);
	}
	lock_release(&st->lock);

	for (unsigned i = 0; i < k.n; i++) {
		debris_free(&k.debris[i]);
		session_list(t, a, k.sessions[i]);
	}
	free(spent);
	if (k.n > 0) {
		counter_add(a->counters, COUNTER_ended_kicked, k.n);
		table_forget(t, a);
	}
	return k.n;
}

unsigned table_kick_user(
	struct table *t, struct actor *a, const char *user, size_t len, struct instant now)
{
	unsigned total = 0, n;
	/* At most as many as can have been there when it began: who comes back at once does not keep us here. */
	do {
		n = kick(t, a, user, len, NULL, now);
		total += n;
	} while (n == KICK_BATCH && total < t->params.max_sessions_per_user);
	return total;
}

bool table_kick_session(struct table *t, struct actor *a, const char *user, size_t len,
	const char *session, size_t session_len, struct instant now)
{
	uint64_t name;
	return secret_parse_name(session, session_len, &name) &&
	       kick(t, a, user, len, &name, now) > 0;
}
