/* Sessions whose connections end: they wait for their grace, or for what another worker has to pack. */

#include "presence/table_grace.h"

#include "base/ensure.h"
#include "presence/table_private.h"

#include <stdlib.h>

bool table_has_grace(const struct table *t)
{
	return t->params.grace_ms > 0;
}

bool table_resume_text(const struct table *t, uint64_t id, char ret[RESUME_TEXT_MAX])
{
	static_assert((int)RESUME_TEXT_MAX == (int)SECRET_TEXT_MAX, "it is a secret");
	return table_has_grace(t) && secret_make(t->secret_key, session_name(t, id), ret) == 0;
}

/* --- what is kept --- */

void keep_free(struct keep *k)
{
	if (!k)
		return;
	free(k->baggage.watches);
	free(k);
}

void keep_spare_fill(const struct table *t, struct actor *a)
{
	if (t->params.grace_ms == 0 || a->keep)
		return;
	a->keep = calloc(1, sizeof(*a->keep));
	if (!a->keep)
		counter_add(a->counters, COUNTER_out_of_memory, 1);
}

void keep_give(struct session *s, struct keep *k)
{
	debug_check(!s->has_keep);
	k->grant = s->grant;
	s->keep = k;
	s->has_keep = 1;
}

struct keep *keep_drop(struct session *s)
{
	if (!s->has_keep)
		return NULL;
	struct keep *k = s->keep;
	s->has_keep = 0;
	s->grant = k->grant;
	if (k->holder == s)
		k->holder = NULL;
	if (k->debtor == s)
		k->debtor = NULL; /* nobody is there who wants it */
	return !k->holder && !k->debtor ? k : NULL;
}

/* --- in grace, and out of it --- */

void count_in_grace(struct stripe *st, int n)
{
	atomic_store_explicit(&st->n_in_grace,
		atomic_load_explicit(&st->n_in_grace, memory_order_relaxed) + (uint32_t)n,
		memory_order_relaxed);
}

bool grace_begin(struct table *t, struct actor *a, struct stripe *st, struct session *s,
	enum reason reason, const struct cause *cause, struct instant now)
{
	uint32_t length_ms = t->params.grace_ms;
	uint64_t seen_ms = last_seen_ms(t, s, now);
	if (!s->has_keep) {
		struct keep *k = a->keep;
		if (!k)
			return false;
		a->keep = NULL;
		*k = (struct keep){
			.id = atomic_load_explicit(&s->id, memory_order_relaxed), .holder = s};
		keep_give(s, k);
	}
	s->keep->last_seen_ms = seen_ms;
	s->keep->at_ms = now.wall_ms;
	s->keep->length_ms = length_ms;
	/* Rounded up: it is not over before. */
	s->keep->deadline = (uint32_t)now.mono_ms + 1 + length_ms;
	s->keep->evidence = cause->evidence;
	s->keep->grant = (struct grant){.ms = 0};
	s->end_reason = (uint8_t)reason & 15;
	session_changed(t, s);
	count_in_grace(st, 1);
	return true;
}

struct keep *grace_undo(struct table *t, struct stripe *st, struct session *s)
{
	session_changed(t, s);
	s->end_reason = REASON_UNKNOWN;
	count_in_grace(st, -1);
	s->keep->grant = (struct grant){.ms = 0};
	return keep_drop(s);
}

static void forget_connection(struct session *s)
{
	atomic_store_explicit(&s->connection, CONNECTION_NONE, memory_order_relaxed);
}

/* Bytes came after the verdict put it in its grace: a stamp that is not the one that the verdict made. Owner, whose the
 * stamps are. (Where timeout and grace are about equal, bytes of one certain millisecond make that very stamp. They came
 * behind the deadline, so that not to see them is no false word.) */
static bool was_heard_in_grace(struct table *t, const struct session *s)
{
	return is_in_grace(s) &&
	       atomic_load_explicit(session_stamp(t, s), memory_order_relaxed) != s->keep->deadline;
}

/* The session's own connection has brought its baggage; what is left of it is for free(). */
static struct watch_pack *accept_baggage(struct session *s, struct baggage in)
{
	struct keep *k = s->keep;
	/* Another worker's is awaited: then this connection never had the watches, and has none. */
	if (k->debtor && k->debtor != s)
		return in.watches;
	struct watch_pack *old = k->baggage.watches;
	k->debtor = NULL;
	k->baggage = in;
	return old;
}

enum loss table_lose(struct table *t, struct actor *a, struct session *s, uint64_t id,
	enum reason reason, struct baggage baggage, struct instant now)
{
	struct stripe *st = stripe_of_id(t, id);
	struct watch_pack *spent = baggage.watches;
	struct keep *spent_keep = NULL;
	enum loss loss = LOSS_STALE;
	keep_spare_fill(t, a);

	lock_acquire(&st->lock);
	if (session_is(s, id)) {
		loss = LOSS_ENDED;
		if (was_heard_in_grace(t, s))
			spent_keep = grace_undo(t, st, s);
		bool was_first = is_in_grace(s); /* the watchdog */
		struct cause cause = session_cause(t, st, s, reason, now);
		if (was_first ||
			(t->params.grace_ms > 0 && grace_begin(t, a, st, s, reason, &cause, now))) {
			loss = LOSS_KEPT;
			spent = accept_baggage(s, baggage);
			atomic_store_explicit(
				session_stamp(t, s), s->keep->deadline, memory_order_relaxed);
			forget_connection(s);
		}
	}
	lock_release(&st->lock);

	free(spent);
	keep_free(spent_keep);
	if (loss == LOSS_KEPT)
		counter_add(a->counters, COUNTER_grace_began, 1);
	if (loss == LOSS_ENDED && !table_end(t, a, s, id, reason, now))
		return LOSS_STALE;
	return loss;
}

bool table_detach(
	struct table *t, struct actor *a, struct session *s, uint64_t id, struct baggage baggage)
{
	struct stripe *st = stripe_of_id(t, id);
	struct watch_pack *spent = baggage.watches;
	keep_spare_fill(t, a);

	lock_acquire(&st->lock);
	bool is_alive = session_is(s, id);
	if (is_alive) {
		if (!s->has_keep && a->keep) {
			*a->keep = (struct keep){.id = id, .holder = s};
			keep_give(s, a->keep);
			a->keep = NULL;
		}
		if (s->has_keep)
			spent = accept_baggage(s, baggage);
		forget_connection(s);
	}
	lock_release(&st->lock);
	free(spent);
	return is_alive;
}

/* --- the watchdog ended it: its worker parts with the connection --- */

bool session_is_parting(const struct session *s)
{
	return atomic_load(&s->mark) == MARK_PARTING;
}

enum parting table_part(struct table *t, struct session *s, uint64_t id)
{
	struct stripe *st = stripe_of_id(t, id);
	struct keep *spent = NULL;
	enum parting parting = PARTING_ENDED;

	lock_acquire(&st->lock);
	if (session_is(s, id)) {
		if (was_heard_in_grace(t, s)) {
			parting = PARTING_ALIVE;
			spent = grace_undo(t, st, s);
		} else {
			parting = PARTING_CLOSE;
			forget_connection(s);
		}
		/* Under the lock: an end that comes after it finds the mark quiet. */
		atomic_store(&s->mark, MARK_QUIET);
	}
	lock_release(&st->lock);
	keep_free(spent);
	return parting;
}

/* --- baggage that others wait for --- */

uint64_t table_owes_baggage(const struct session *s)
{
	debug_check(atomic_load(&s->id) == 0);
	return s->has_keep ? s->keep->id : 0;
}

void table_deliver_baggage(
	struct table *t, struct actor *a, struct session *s, uint64_t id, struct baggage baggage)
{
	struct stripe *st = stripe_of_id(t, id);
	struct watch_pack *spent = baggage.watches;
	struct keep *spent_keep = NULL;
	struct session *heir = NULL;

	lock_acquire(&st->lock);
	if (s->has_keep && s->keep->id == id && s->keep->debtor == s) {
		struct keep *k = s->keep;
		k->baggage = baggage;
		k->debtor = NULL;
		spent = NULL;
		heir = k->holder != s ? k->holder : NULL;
		if (k->holder != s)
			spent_keep = keep_drop(s);
	}
	lock_release(&st->lock);

	free(spent);
	keep_free(spent_keep);
	/* It may have ended by now, and its record be another's: they are looked at once for nothing then. */
	if (heir)
		session_list(t, a, heir);
}

enum claim table_claim_baggage(
	struct table *t, struct session *s, uint64_t id, bool is_last_call, struct baggage *ret)
{
	struct stripe *st = stripe_of_id(t, id);
	struct keep *spent = NULL;
	enum claim claim = CLAIM_STALE;

	lock_acquire(&st->lock);
	if (session_is(s, id) && s->has_keep && !is_in_grace(s)) {
		struct keep *k = s->keep;
		claim = !k->debtor ? CLAIM_THERE : is_last_call ? CLAIM_GIVEN_UP : CLAIM_LATE;
		if (claim == CLAIM_THERE) {
			*ret = k->baggage;
			k->baggage = (struct baggage){.watches = NULL};
		}
		if (claim != CLAIM_LATE)
			spent = keep_drop(s);
	}
	lock_release(&st->lock);
	keep_free(spent);
	return claim;
}
