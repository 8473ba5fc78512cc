#include "presence/event.h"

#include "base/ensure.h"

#include <assert.h>
#include <stdlib.h>

static_assert(
	EVENT_SPARE_LARGE >= USER_MAX + EVENT_LINE_MAX, "the large spare holds the longest event");

struct event *event_ref(struct event *e)
{
	/* Relaxed: who hands out a reference has one, so the block can't go away meanwhile. */
	atomic_fetch_add_explicit(&e->n_refs, 1, memory_order_relaxed);
	return e;
}

void event_unref(struct event *e)
{
	if (!e)
		return;
	/* Release, and acquire for the last one: all uses happen before the free. */
	if (atomic_fetch_sub_explicit(&e->n_refs, 1, memory_order_acq_rel) == 1)
		free(e);
}

static struct event *spare_new(uint32_t capacity)
{
	struct event *e = malloc(sizeof(*e) + capacity);
	if (e)
		e->capacity = capacity;
	return e;
}

void event_spares_fill(struct event_spares *s)
{
	if (UNLIKELY(!s->small))
		s->small = spare_new(EVENT_SPARE_SMALL);
	if (UNLIKELY(!s->large))
		s->large = spare_new(EVENT_SPARE_LARGE);
}

void event_spares_free(struct event_spares *s)
{
	free(s->small);
	free(s->large);
	s->small = s->large = NULL;
}

size_t event_put_line(char *to, const char *user, size_t user_len, const struct snapshot *snapshot)
{
	char *end = json_put_literal(to, "{\"type\":\"presence\",");
	end = snapshot_put_fields(end, user, user_len, snapshot);
	*end++ = '\n';
	return (size_t)(end - to);
}

struct event *event_make(struct event_spares *s, const char *user, size_t user_len,
	uint64_t user_hash, const struct snapshot *snapshot)
{
	size_t status_len = snapshot->has_status ? snapshot->status_len : 0;
	size_t need = user_len + SNAPSHOT_JSON_MAX(user_len, status_len) + 24;
	struct event **spare = need <= EVENT_SPARE_SMALL ? &s->small : &s->large;
	struct event *e = *spare;
	if (!e)
		return NULL;
	debug_check(need <= e->capacity);
	*spare = NULL;

	atomic_init(&e->n_refs, 1);
	e->seq = snapshot->seq;
	e->user_hash = user_hash;
	e->user_len = (uint16_t)user_len;
	memcpy(e->bytes, user, user_len);
	e->line_len = (uint16_t)event_put_line(e->bytes + user_len, user, user_len, snapshot);
	return e;
}
