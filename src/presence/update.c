/* Sessions change their words. */

#include "presence/table.h"

#include "presence/table_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
		if (in->state == STATE_INVISIBLE)
			note_seen(t, s, now);
		s->state = in->state & 7;
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
	if (session_is(s, id)) {
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
