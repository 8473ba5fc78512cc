#include "presence/table_check.h"

#include "presence/table_private.h"

#include <string.h>

/* The first text that isn't NULL. */
#define CHECK(condition, text)                                                                     \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return text;                                                               \
	} while (0)
#define CHECK_PART(call)                                                                           \
	do {                                                                                       \
		const char *broken = (call);                                                       \
		if (broken)                                                                        \
			return broken;                                                             \
	} while (0)

/* What the stripes hold, all told, to be held against what the slabs hold. */
struct totals {
	uint64_t n_sessions, n_remembered, n_in_grace;
	uint64_t n_by_transport[TRANSPORT_N];
};

static bool slot_is_used(struct table *t, const struct session *s)
{
	const struct stamps_chunk *chunk =
		t->slabs[s->worker].stamps.chunks[s->slot / STAMPS_CHUNK];
	unsigned at = s->slot % STAMPS_CHUNK;
	return atomic_load(&chunk->used[at / 64]) >> (at % 64) & 1;
}

static bool device_equal(const struct session *a, const struct session *b)
{
	/* Made-up names differ as the ids do. */
	return a->device_len > 0 && a->device_len == b->device_len &&
	       memcmp(session_device(a), session_device(b), a->device_len) == 0;
}

static const char *check_keep(struct session *s, uint64_t id)
{
	CHECK(!is_in_grace(s) || s->has_keep, "a session is in its grace and keeps nothing");
	if (!s->has_keep) {
		CHECK(s->grant.ms <= s->timeout_ms, "a session was granted more than its timeout");
		return NULL;
	}
	const struct keep *k = s->keep;
	CHECK(k->id == id, "a session keeps what is another's");
	CHECK(k->holder == s, "a session is not the holder of what it keeps");
	CHECK(is_in_grace(s) || k->grant.ms <= s->timeout_ms,
		"a session was granted more than its timeout");
	CHECK(!k->debtor || (k->debtor->has_keep && k->debtor->keep == k),
		"whose baggage a session waits for knows nothing of it");
	CHECK(!is_in_grace(s) || session_connection(s) == CONNECTION_NONE ||
			atomic_load(&s->mark) == MARK_PARTING,
		"a session in its grace has a connection that nobody closes");
	return NULL;
}

static const char *check_session(
	struct table *t, const struct stripe *st, const struct user *u, struct session *s)
{
	uint64_t id = atomic_load(&s->id);
	CHECK(id != 0, "a user has a session that has ended");
	CHECK(stripe_of_id(t, id) == st, "a session's id names another stripe than its user's");
	CHECK(s->user == u, "a session does not name the user that it is of");
	CHECK(s->worker < t->params.n_workers, "a session names a worker that there isn't");
	CHECK(s->slot < t->slabs[s->worker].n_blocks * SLAB_BLOCK,
		"a session's slot lies past its slab");
	CHECK(slab_at(&t->slabs[s->worker], s->slot) == s, "a session's slot is not its own");
	CHECK(slot_is_used(t, s), "a live session's stamp is not in use");
	CHECK(atomic_load(&s->mark) != MARK_FREE, "a live session is marked free");
	CHECK(s->state > STATE_OFFLINE && s->state < STATE_N,
		"a device is in a state that there isn't");
	CHECK(s->device_len <= DEVICE_MAX, "a device's name is too long");
	CHECK(!s->status || s->status->len <= STATUS_MAX, "a status is too long");
	CHECK(s->transport < TRANSPORT_N, "a session came in by no transport that there is");
	CHECK_PART(check_keep(s, id));
	for (const struct session *other = s->next; other; other = other->next) {
		CHECK(other != s, "a user's sessions go round in a ring");
		CHECK(!device_equal(s, other), "a user has a device twice");
	}
	return NULL;
}

static const char *check_live(
	struct table *t, const struct stripe *st, const struct user *u, struct totals *stripe)
{
	CHECK(u->sessions || u->interest, "a user without sessions and watchers is not remembered");
	CHECK(t->params.n_workers == WORKERS_MAX || u->interest >> t->params.n_workers == 0,
		"a worker that there isn't watches a user");
	uint64_t n = 0;
	for (struct session *s = u->sessions; s; s = s->next, n++) {
		CHECK_PART(check_session(t, st, u, s));
		stripe->n_by_transport[s->transport]++;
		stripe->n_in_grace += is_in_grace(s);
	}
	CHECK(n <= t->params.max_sessions_per_user || n == 1,
		"a user has more sessions than may be");
	CHECK((enum state)u->state == user_look(u).state,
		"a user's state is not that of its devices");
	stripe->n_sessions += n;
	return NULL;
}

static const char *check_user(struct table *t, struct stripe *st, uint32_t bucket,
	const struct user *u, struct totals *stripe) REQUIRES(st->lock)
{
	const struct stripe_data *data = stripe_data(st);
	uint64_t hash = table_hash(t, u->name, u->len);
	CHECK(stripe_of_hash(t, hash) == st, "a user is in another stripe than its hash says");
	CHECK((u->hash & (data->n_buckets - 1)) == bucket,
		"a user is in another bucket than its hash says");
	CHECK(user_find(st, u->name, u->len, hash) == u,
		"a user can't be found by its name, or is there twice");
	CHECK(u->len >= 1 && u->len <= USER_MAX, "a user's name has no possible length");
	CHECK(u->seq <= data->counter, "a user's number is past its stripe's counter");
	CHECK(u->is_known ? u->seq > 0 : u->seq == 0 && u->state == STATE_OFFLINE,
		"a user that was never told of has a number or a state, or one that was has none");
	if (!u->is_remembered)
		return check_live(t, st, u, stripe);
	CHECK(u->is_known && u->state == STATE_OFFLINE,
		"a user is remembered that isn't known and offline");
	stripe->n_remembered++;
	return NULL;
}

/* The stripe's list of remembered users: in the order of their tickets, linked both ways, and of 'n'. */
static const char *check_remembered(struct table *t, struct stripe *st, uint64_t n)
	REQUIRES(st->lock)
{
	const struct stripe_data *data = stripe_data(st);
	const struct user *older = NULL;
	uint64_t n_listed = 0;
	for (const struct user *u = data->oldest; u; u = u->younger) {
		CHECK(++n_listed <= n,
			"more users are in a stripe's list of remembered ones than are remembered");
		CHECK(u->is_remembered, "a user is listed as remembered and isn't");
		CHECK(u->older == older, "the list of remembered users is not linked both ways");
		CHECK(!older || older->ticket < u->ticket,
			"remembered users are not in the order of their tickets");
		CHECK(u->ticket < atomic_load(&t->n_tickets),
			"a remembered user has a ticket not given out yet");
		older = u;
	}
	CHECK(n_listed == n, "a remembered user is not in its stripe's list");
	CHECK(data->youngest == older,
		"a stripe's youngest remembered user is not the last of the list");
	CHECK(atomic_load(&t->oldest[st - t->stripes]) ==
			(data->oldest ? data->oldest->ticket : UINT64_MAX),
		"a stripe's oldest ticket is not what it published");
	CHECK(atomic_load(&st->n_remembered) == n, "a stripe's count of remembered users is wrong");
	return NULL;
}

static const char *check_stripe_data(struct table *t, struct stripe *st, struct totals *totals)
	REQUIRES(st->lock)
{
	const struct stripe_data *data = stripe_data(st);
	struct totals stripe = {0};
	uint64_t n_users = 0, n_in_state[STATE_N] = {0};
	CHECK(data->n_buckets > 0 && (data->n_buckets & (data->n_buckets - 1)) == 0,
		"a stripe's buckets are no power of two");
	for (uint32_t b = 0; b < data->n_buckets; b++) {
		for (const struct user *u = data->buckets[b]; u; u = u->next) {
			CHECK(++n_users <= data->n_users, "a stripe has more users than it counts");
			n_in_state[u->state]++;
			CHECK_PART(check_user(t, st, b, u, &stripe));
		}
	}
	CHECK(n_users == data->n_users && n_users == atomic_load(&st->n_users),
		"a stripe miscounts its users");
	for (unsigned i = STATE_OFFLINE + 1; i < N_VISIBLE_STATES; i++)
		CHECK(n_in_state[i] == atomic_load(&st->n_in_state[i]),
			"a stripe miscounts its users by state");
	for (unsigned i = 0; i < TRANSPORT_N; i++)
		CHECK(stripe.n_by_transport[i] == atomic_load(&st->n_by_transport[i]),
			"a stripe miscounts its sessions by transport");
	CHECK(stripe.n_in_grace == atomic_load(&st->n_in_grace),
		"a stripe miscounts its sessions in grace");
	CHECK_PART(check_remembered(t, st, stripe.n_remembered));
	totals->n_sessions += stripe.n_sessions;
	totals->n_remembered += stripe.n_remembered;
	return NULL;
}

static const char *check_chunk(const struct stamps *stamps, uint32_t index, uint64_t *n_used)
{
	const struct stamps_chunk *chunk = stamps->chunks[index];
	uint64_t n = 0;
	for (unsigned w = 0; w < STAMPS_WORDS; w++) {
		uint64_t used = atomic_load(&chunk->used[w]);
		CHECK((chunk->full >> w & 1) == (used == UINT64_MAX),
			"a word of stamps is full, or not, against its mark");
		n += (uint64_t)__builtin_popcountll(used);
	}
	CHECK(index >= stamps->first_with_room || n == STAMPS_CHUNK,
		"a chunk before the first with room has room");
	*n_used += n;
	return NULL;
}

static const char *check_record(struct table *t, unsigned worker, uint32_t slot, uint64_t *n_alive)
{
	const struct session *s = slab_at(&t->slabs[worker], slot);
	CHECK(s->worker == worker && s->slot == slot, "a record does not say where it is");
	uint64_t id = atomic_load(&s->id);
	bool has_stamp = slot / STAMPS_CHUNK < atomic_load(&t->slabs[worker].stamps.n_chunks) &&
			 slot_is_used(t, s);
	CHECK(has_stamp == (atomic_load(&s->mark) != MARK_FREE),
		"a record is free and its stamp isn't, or the reverse");
	CHECK(id == 0 || has_stamp, "a free record has an id");
	CHECK(id != 0 || (!s->user && s->device_len == 0 && !s->status),
		"a record without a session holds on to something");
	CHECK(id != 0 || !s->has_keep || s->keep->debtor == s,
		"a record without a session keeps what it does not owe");
	CHECK(has_stamp || !s->has_keep, "a free record keeps something");
	*n_alive += id != 0;
	return NULL;
}

static const char *check_slab(struct table *t, unsigned worker, uint64_t *n_alive)
{
	const struct slab *slab = &t->slabs[worker];
	uint64_t n_used = 0;
	for (uint32_t i = 0; i < atomic_load(&slab->stamps.n_chunks); i++)
		CHECK_PART(check_chunk(&slab->stamps, i, &n_used));
	CHECK(n_used == slab->stamps.n_used, "a worker miscounts its stamps");
	uint64_t n_alive_here = 0, n_marked = 0;
	for (uint32_t slot = 0; slot < slab->n_blocks * SLAB_BLOCK; slot++) {
		CHECK_PART(check_record(t, worker, slot, &n_alive_here));
		n_marked += atomic_load(&slab_at(&t->slabs[worker], slot)->mark) != MARK_FREE;
	}
	CHECK(n_marked == n_used, "a stamp is in use that has no record");
	*n_alive += n_alive_here;
	return NULL;
}

const char *table_check(struct table *t)
{
	struct totals totals = {0};
	for (size_t i = 0; i < N_STRIPES; i++) {
		struct stripe *st = &t->stripes[i];
		lock_acquire(&st->lock);
		const char *broken = check_stripe_data(t, st, &totals);
		lock_release(&st->lock);
		if (broken)
			return broken;
	}
	uint64_t n_alive = 0;
	for (unsigned w = 0; w < t->params.n_workers; w++)
		CHECK_PART(check_slab(t, w, &n_alive));
	CHECK(n_alive == totals.n_sessions, "a session is alive that no user has");
	CHECK(totals.n_remembered == atomic_load(&t->n_remembered),
		"the count of remembered users is wrong");
	CHECK(totals.n_remembered <= t->params.n_remembered,
		"more users are remembered than may be");
	return NULL;
}
