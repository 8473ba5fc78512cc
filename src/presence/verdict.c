/* No verdict without a hearing: nomination, hearing, judgement. */

#include "presence/table.h"

#include "base/ensure.h"
#include "presence/table_private.h"

#include <stdlib.h>

/* --- the watchdog nominates --- */

static uint16_t late_ms(struct table *t, const struct session *s, uint32_t now_ms)
{
	uint32_t late = now_ms - atomic_load_explicit(session_stamp(t, s), memory_order_relaxed);
	return late < LATE_UNKNOWN ? (uint16_t)late : LATE_UNKNOWN;
}

static bool nominate(struct table *t, struct actor *a, struct session *s, uint32_t now_ms)
{
	if (atomic_load(&s->id) == 0)
		return false;
	bool has_connection = session_connection(s) != CONNECTION_NONE;
	uint8_t quiet = MARK_QUIET;
	/* Without a connection there is nothing to hear: straight to the verdict. */
	uint8_t to = has_connection ? MARK_LISTED : MARK_HEARD;
	if (!atomic_compare_exchange_strong(&s->mark, &quiet, to))
		return false; /* in a list already, or just given back */
	/* On its way to a list: ours until the push. */
	s->nominated_late_ms = late_ms(t, s, now_ms);
	s->heard_late_ms = LATE_UNKNOWN;
	if (!has_connection) {
		mailbox_push(t->params.watchdog, &s->link); /* our own, and we are awake */
		return true;
	}
	counter_add(a->counters, COUNTER_nominated, 1);
	if (mailbox_push(t->params.mailboxes[s->worker], &s->link))
		a->wake_workers |= UINT64_C(1) << s->worker;
	return true;
}

size_t table_nominate(struct table *t, struct actor *a, unsigned worker, uint32_t now_ms)
{
	enum { BATCH = 512 };
	uint32_t slots[BATCH];
	struct slab *slab = &t->slabs[worker];
	uint32_t cursor = 0;
	size_t n_found = 0;
	while (cursor != UINT32_MAX) {
		size_t n = stamps_scan(&slab->stamps, now_ms, &cursor, slots, BATCH);
		for (size_t i = 0; i < n; i++)
			n_found += nominate(t, a, slab_at(slab, slots[i]), now_ms);
	}
	return n_found;
}

/* --- the worker hears --- */

bool table_acquit(struct session *s)
{
	/* The mark first, the id after: see enum mark. */
	atomic_store(&s->mark, MARK_QUIET);
	if (atomic_load(&s->id) != 0)
		return true;
	uint8_t quiet = MARK_QUIET;
	/* Whoever ended it may have put it on the list again just now: then it comes by that. */
	return !atomic_compare_exchange_strong(&s->mark, &quiet, MARK_LISTED);
}

void table_heard(struct table *t, struct actor *a, struct session *s, uint32_t now_ms)
{
	s->heard_late_ms = late_ms(t, s, now_ms);
	atomic_store(&s->mark, MARK_HEARD);
	if (mailbox_push(t->params.watchdog, &s->link))
		a->wake_watchdog = true;
}

/* --- the watchdog judges --- */

/* More time for a session that was last heard before the standstill ended, once; the deadline now in force. In a grace too:
 * those who would come back could not. */
static uint32_t grant(
	struct table *t, struct session *s, uint32_t stamp, const struct standstill *still)
{
	struct grant *g = session_grant(s);
	uint32_t length_ms = is_in_grace(s) ? s->keep->length_ms : s->timeout_ms;
	if (!still->is_set || (g->ms > 0 && stamp == g->stamp))
		return stamp;
	if ((int32_t)(stamp - length_ms - still->end_ms) >= 0)
		return stamp;
	/* A grace goes on with what was left of it: all of the standstill that it saw. */
	uint32_t most = is_in_grace(s) ? still->end_ms - (stamp - length_ms) : length_ms;
	uint32_t more = still->gap_ms < most ? still->gap_ms : most;
	uint32_t longer = stamp + more;
	/* Swapped, so that a stamp that the owner stores just now is not lost. Relaxed: see stamps.h. */
	if (!atomic_compare_exchange_strong_explicit(session_stamp(t, s), &stamp, longer,
		    memory_order_relaxed, memory_order_relaxed))
		return stamp;
	*g = (struct grant){.stamp = longer, .ms = more};
	session_changed(t, s);
	return longer;
}

static uint32_t ago_of(uint16_t late, uint32_t lateness_ms)
{
	return late == LATE_UNKNOWN || late > lateness_ms ? AGO_UNKNOWN : lateness_ms - late;
}

/* Why it is expired: what the list that it comes from has kept of it, too. */
static struct cause cause_of_timeout(struct table *t, struct stripe *st, const struct session *s,
	uint32_t lateness_ms, struct instant now) REQUIRES(st->lock)
{
	struct cause cause = session_cause(t, st, s, REASON_TIMEOUT, now);
	cause.evidence.late_ms = lateness_ms;
	cause.evidence.nominated_ago_ms = ago_of(s->nominated_late_ms, lateness_ms);
	cause.evidence.heard_ago_ms = ago_of(s->heard_late_ms, lateness_ms);
	return cause;
}

enum { ORDINARY_LATENESS_MS = 200 };

/* A silent session goes into its grace: PARTED. EXPIRED where there was no memory for it, ALIVE where its owner has stamped
 * it just now. */
static int part(struct table *t, struct actor *a, struct stripe *st, struct session *s,
	uint32_t stamp, struct instant now) REQUIRES(st->lock)
{
	struct cause cause = cause_of_timeout(t, st, s, (uint32_t)now.mono_ms - stamp, now);
	if (!grace_begin(t, a, st, s, REASON_TIMEOUT, &cause, now))
		return VERDICT_EXPIRED;
	/* The grace is over within a scan of its end, as the timeout was: the two don't add up. What is more than the scan's
	 * and the hearing's share was a stall, and is no part of it. */
	uint32_t late = (uint32_t)now.mono_ms - stamp, most = t->params.grace_ms / 4;
	if (late <= ORDINARY_LATENESS_MS)
		s->keep->deadline -= late < most ? late : most;
	/* Swapped, as in grant(). */
	if (!atomic_compare_exchange_strong_explicit(session_stamp(t, s), &stamp, s->keep->deadline,
		    memory_order_relaxed, memory_order_relaxed)) {
		keep_free(a->keep);
		a->keep = grace_undo(t, st, s);
		return VERDICT_ALIVE;
	}
	if (session_connection(s) != CONNECTION_NONE && !s->keep->debtor)
		s->keep->debtor = s;
	return VERDICT_PARTED;
}

/* The verdict itself, under the stripe's lock. */
static struct verdict judge(struct table *t, struct actor *a, struct stripe *st, struct session *s,
	uint64_t id, const struct standstill *still, struct instant now) REQUIRES(st->lock)
{
	uint32_t now_ms = (uint32_t)now.mono_ms;
	if (atomic_load_explicit(&s->id, memory_order_relaxed) != id)
		return (struct verdict){.kind = VERDICT_GONE};
	uint32_t stamp = atomic_load_explicit(session_stamp(t, s), memory_order_relaxed);
	if (!stamp_is_stale(stamp, now_ms))
		return (struct verdict){.kind = VERDICT_ALIVE};
	uint32_t deadline = grant(t, s, stamp, still);
	if (!stamp_is_stale(deadline, now_ms))
		return (struct verdict){.kind = VERDICT_GRANTED};
	if (is_in_grace(s))
		return (struct verdict){.kind = VERDICT_OVER, .lateness_ms = now_ms - deadline};
	struct verdict silent = {.kind = VERDICT_EXPIRED,
		.lateness_ms = now_ms - deadline,
		.silence_ms = now_ms - last_heard(t, s)};
	if (t->params.grace_ms > 0)
		silent.kind = part(t, a, st, s, deadline, now);
	return silent;
}

/* A session that was judged goes where it belongs: what is done with it under the lock. */
struct sentence {
	struct debris debris;
	struct user *spent;
	enum reason reason; /* of an end */
	bool is_parting; /* a connection is to be closed */
};

static void end_judged(struct table *t, struct actor *a, struct stripe *st, struct session *s,
	uint32_t lateness_ms, struct instant now, struct sentence *ret) REQUIRES(st->lock)
{
	struct user *u = s->user;
	struct look before = user_look(u);
	bool was_in_grace = is_in_grace(s);
	uint64_t at_ms = was_in_grace ? s->keep->at_ms : now.wall_ms;
	ret->reason = was_in_grace ? (enum reason)s->end_reason : REASON_TIMEOUT;
	struct cause cause = was_in_grace ? session_cause(t, st, s, ret->reason, now)
					  : cause_of_timeout(t, st, s, lateness_ms, now);
	if (was_in_grace)
		cause.evidence = s->keep->evidence;
	ret->debris = session_finish(t, st, s, ret->reason, now);
	if (!look_equal(before, user_look(u)))
		user_tell_late(t, a, st, u, ret->reason, at_ms, &cause, now);
	ret->spent = user_settle(t, st, u);
}

static void count_verdict(struct actor *a, const struct verdict *v, enum reason reason)
{
	if (v->kind == VERDICT_PARTED)
		counter_add(a->counters, COUNTER_grace_began, 1);
	if (v->kind == VERDICT_OVER)
		counter_add(a->counters, COUNTER_grace_over, 1);
	if (v->kind == VERDICT_EXPIRED || v->kind == VERDICT_OVER)
		counter_add(a->counters, counter_of_end(reason), 1);
}

struct verdict table_judge(struct table *t, struct actor *a, struct session *s,
	const struct standstill *still, struct instant now)
{
	debug_check(atomic_load(&s->mark) == MARK_HEARD);
	uint64_t id = atomic_load(&s->id);
	struct verdict verdict = {.kind = VERDICT_GONE};
	struct sentence sentence = {.spent = NULL};

	if (id != 0) {
		struct stripe *st = stripe_of_id(t, id);
		event_spares_fill(&a->spares);
		keep_spare_fill(t, a);
		lock_acquire(&st->lock);
		verdict = judge(t, a, st, s, id, still, now);
		bool has_ended = verdict.kind == VERDICT_EXPIRED || verdict.kind == VERDICT_OVER;
		if (has_ended)
			end_judged(t, a, st, s, verdict.lateness_ms, now, &sentence);
		sentence.is_parting =
			verdict.kind == VERDICT_PARTED && session_connection(s) != CONNECTION_NONE;
		/* Under the lock: an end that comes after it finds the mark quiet. */
		if (!has_ended && verdict.kind != VERDICT_GONE && !sentence.is_parting)
			atomic_store(&s->mark, MARK_QUIET);
		lock_release(&st->lock);
	}
	debris_free(&sentence.debris);
	free(sentence.spent);
	count_verdict(a, &verdict, sentence.reason);
	bool has_ended = verdict.kind == VERDICT_EXPIRED || verdict.kind == VERDICT_OVER;
	if (has_ended) {
		/* In a mass death the dead wait for their burial, and each scan would look at each of them. */
		stamps_pass_over(&t->slabs[s->worker].stamps, s->slot);
		table_forget(t, a);
	}
	/* Back to its worker, which closes the connection and, of an ended one, gives the record back: the dead have time. */
	struct mailbox *box = t->params.mailboxes[s->worker];
	uint64_t worker = UINT64_C(1) << s->worker;
	if (has_ended) {
		atomic_store(&s->mark, MARK_LISTED);
		mailbox_leave(box, &s->link);
		a->remind_workers |= worker;
	} else if (verdict.kind == VERDICT_GONE || sentence.is_parting) {
		atomic_store(&s->mark, sentence.is_parting ? MARK_PARTING : MARK_LISTED);
		if (mailbox_push(box, &s->link))
			a->wake_workers |= worker;
	}
	return verdict;
}
