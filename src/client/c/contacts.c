#include "client/c/contacts.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int contacts_init(struct contacts *cs)
{
	*cs = (struct contacts){.seed = random_u64(), .stale_at_ms = UINT64_MAX};
	return map_init(&cs->map);
}

static void contact_free(struct contact *c)
{
	free(c->status);
	free(c);
}

void contacts_destroy(struct contacts *cs)
{
	struct contact *next;

	contacts_bury(cs);
	for (struct contact *c = cs->first; c; c = next) {
		next = c->next;
		contact_free(c);
	}
	map_destroy(&cs->map);
}

struct contact *contacts_find(const struct contacts *cs, const char *user)
{
	uint64_t hash = hash_bytes(user, strlen(user), cs->seed);

	for (struct map_node *n = map_first(&cs->map, hash); n; n = map_next(n)) {
		struct contact *c = (struct contact *)n; /* its first member */

		if (strcmp(c->user, user) == 0)
			return c;
	}
	return NULL;
}

int contacts_add(struct contacts *cs, const char *user, struct contact **ret)
{
	size_t len = strlen(user);
	struct contact *c;

	if (contacts_find(cs, user))
		return -EEXIST;
	c = calloc(1, sizeof(*c) + len + 1);
	if (!c)
		return -ENOMEM;
	memcpy(c->user, user, len + 1);
	c->node.hash = hash_bytes(user, len, cs->seed);
	c->view = (struct presence_contact){.user = c->user, .at_ms = -1, .last_seen_ms = -1};
	map_insert(&cs->map, &c->node);
	c->previous = cs->last;
	*(cs->last ? &cs->last->next : &cs->first) = c;
	cs->last = c;
	cs->n++;
	cs->n_in[CONTACT_WANTED]++;
	*ret = c;
	return 0;
}

static void forget_untold(struct contacts *cs, struct contact *c)
{
	struct contact *before = NULL;

	if (!c->is_untold)
		return;
	for (struct contact *other = cs->first_untold; other != c; other = other->next_untold)
		before = other;
	*(before ? &before->next_untold : &cs->first_untold) = c->next_untold;
	if (cs->last_untold == c)
		cs->last_untold = before;
	c->is_untold = false;
}

void contacts_remove(struct contacts *cs, struct contact *c)
{
	forget_untold(cs, c);
	map_remove(&cs->map, &c->node);
	*(c->previous ? &c->previous->next : &cs->first) = c->next;
	*(c->next ? &c->next->previous : &cs->last) = c->previous;
	cs->n--;
	cs->n_in[c->phase]--;
	c->next = cs->graveyard;
	cs->graveyard = c;
}

void contacts_bury(struct contacts *cs)
{
	struct contact *next;

	for (struct contact *c = cs->graveyard; c; c = next) {
		next = c->next;
		contact_free(c);
	}
	cs->graveyard = NULL;
}

/* --- what is known --- */

static void mark_untold(struct contacts *cs, struct contact *c)
{
	if (c->is_untold)
		return;
	c->is_untold = true;
	c->next_untold = NULL;
	*(cs->last_untold ? &cs->last_untold->next_untold : &cs->first_untold) = c;
	cs->last_untold = c;
}

/* Whether the status differs, and is the new one now; -ENOMEM leaves the old one. */
static int take_status(struct contact *c, const char *status)
{
	char *copy = NULL;

	if (!status ? !c->status : c->status && strcmp(c->status, status) == 0)
		return 0;
	if (status && !(copy = strdup(status)))
		return -ENOMEM;
	free(c->status);
	c->status = copy;
	c->view.status = copy;
	return 1;
}

int contacts_apply(struct contacts *cs, struct contact *c, const struct word *w)
{
	bool is_old = w->seq < c->view.seq;
	int changed = 0;

	if (!is_old) {
		changed = take_status(c, w->has_status ? w->status : NULL);
		if (changed < 0)
			return changed;
		changed |= c->view.state != w->state;
		c->view.state = w->state;
		c->view.reason = w->reason;
		c->view.is_reconnecting = w->is_reconnecting;
		c->view.seq = w->seq;
		c->view.at_ms = w->at_ms;
		c->view.last_seen_ms = w->last_seen_ms;
	}
	changed |= c->view.error != PRESENCE_OK;
	c->view.error = PRESENCE_OK;
	c->view.truth =
		c->view.state == PRESENCE_STATE_OFFLINE ? PRESENCE_OFFLINE : PRESENCE_ONLINE;
	c->is_confirmed = true;
	if (changed || c->view.truth != c->told)
		mark_untold(cs, c);
	return 0;
}

void contacts_set_phase(struct contacts *cs, struct contact *c, enum contact_phase phase)
{
	cs->n_in[c->phase]--;
	cs->n_in[phase]++;
	c->phase = phase;
}

void contacts_refuse(struct contacts *cs, struct contact *c, enum presence_error error)
{
	bool is_news = c->view.error != error || c->told != PRESENCE_UNKNOWN;

	contacts_set_phase(cs, c, CONTACT_REFUSED);
	c->is_confirmed = false;
	c->view.truth = PRESENCE_UNKNOWN;
	c->view.error = error;
	if (is_news)
		mark_untold(cs, c);
}

/* --- how long it holds --- */

void contacts_heard(struct contacts *cs, uint64_t now_ms)
{
	if (now_ms > cs->heard_ms)
		cs->heard_ms = now_ms;
}

void contacts_lost(struct contacts *cs)
{
	for (struct contact *c = cs->first; c; c = c->next) {
		contacts_set_phase(cs, c, CONTACT_WANTED);
		if (!c->is_confirmed)
			continue;
		c->is_confirmed = false;
		c->view.as_of_ms = cs->heard_ms;
		c->view.fresh_until_ms = cs->heard_ms + cs->timeout_ms;
		if (c->view.fresh_until_ms < cs->stale_at_ms)
			cs->stale_at_ms = c->view.fresh_until_ms;
	}
}

void contacts_forget_seq(struct contacts *cs)
{
	for (struct contact *c = cs->first; c; c = c->next)
		c->view.seq = 0;
}

void contacts_expire(struct contacts *cs, uint64_t now_ms)
{
	if (now_ms < cs->stale_at_ms)
		return;
	cs->stale_at_ms = UINT64_MAX;
	for (struct contact *c = cs->first; c; c = c->next) {
		if (c->is_confirmed || c->view.truth == PRESENCE_UNKNOWN)
			continue;
		if (now_ms < c->view.fresh_until_ms) {
			if (c->view.fresh_until_ms < cs->stale_at_ms)
				cs->stale_at_ms = c->view.fresh_until_ms;
			continue;
		}
		c->view.truth = PRESENCE_UNKNOWN;
		if (c->told != PRESENCE_UNKNOWN)
			mark_untold(cs, c);
	}
}

struct contact *contacts_next_untold(struct contacts *cs)
{
	struct contact *c = cs->first_untold;

	if (!c)
		return NULL;
	cs->first_untold = c->next_untold;
	if (!cs->first_untold)
		cs->last_untold = NULL;
	c->is_untold = false;
	c->told = c->view.truth;
	return c;
}

struct presence_contact contacts_view(
	const struct contacts *cs, const struct contact *c, uint64_t now_ms)
{
	struct presence_contact view = c->view;

	if (c->is_confirmed) {
		view.as_of_ms = cs->heard_ms;
		view.fresh_until_ms = cs->heard_ms + cs->timeout_ms;
	}
	/* The application may ask before the turn that tells it. */
	if (now_ms >= view.fresh_until_ms)
		view.truth = PRESENCE_UNKNOWN;
	return view;
}
