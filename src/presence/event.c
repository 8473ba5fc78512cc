#include "presence/event.h"

#include "base/ensure.h"

#include <assert.h>
#include <stdlib.h>

static_assert(EVENT_SPARE_LARGE >= USER_MAX + EVENT_LINE_MAX + DEVICE_MAX,
	"the large spare holds the longest event");
static_assert(sizeof(struct event) + EVENT_SPARE_SMALL + 8 <= 352, "8: what malloc adds");

#define SOCKET_WORD(name, word) [SOCKET_##name] = word,
static const char *const socket_words[SOCKET_N] = {SOCKETS(SOCKET_WORD)};
#undef SOCKET_WORD

const char *socket_word(enum socket which)
{
	ensure(which < SOCKET_N);
	return socket_words[which];
}

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
	if (UNLIKELY(!s->medium))
		s->medium = spare_new(EVENT_SPARE_MEDIUM);
	if (UNLIKELY(!s->large))
		s->large = spare_new(EVENT_SPARE_LARGE);
}

void event_spares_free(struct event_spares *s)
{
	free(s->small);
	free(s->medium);
	free(s->large);
	s->small = s->medium = s->large = NULL;
}

size_t event_put_line(char *to, const char *user, size_t user_len, const struct snapshot *snapshot)
{
	char *end = json_put_literal(to, "{\"type\":\"presence\",");
	end = snapshot_put_fields(end, user, user_len, snapshot);
	*end++ = '\n';
	return (size_t)(end - to);
}

static struct event **spare_for(struct event_spares *s, size_t need)
{
	if (need <= EVENT_SPARE_SMALL)
		return &s->small;
	return need <= EVENT_SPARE_MEDIUM ? &s->medium : &s->large;
}

struct event *event_make(struct event_spares *s, const char *user, size_t user_len,
	uint64_t user_hash, const struct snapshot *snapshot, const struct cause *cause)
{
	/* On the stack first: its length chooses the block, and a log full of events is as large as they are. */
	char line[EVENT_LINE_MAX];
	size_t line_len = event_put_line(line, user, user_len, snapshot);
	size_t device_len = cause ? cause->device_len : 0;
	struct event **spare = spare_for(s, user_len + line_len + device_len);
	struct event *e = *spare;
	if (!e)
		return NULL;
	*spare = NULL;

	atomic_init(&e->n_refs, 1);
	e->seq = snapshot->seq;
	e->user_hash = user_hash;
	e->at_ms = snapshot->at_ms;
	e->last_seen_ms = snapshot->last_seen_ms;
	e->state = (uint8_t)snapshot->state;
	e->reason = (uint8_t)snapshot->reason;
	e->user_len = (uint8_t)user_len;
	e->line_len = (uint16_t)line_len;
	e->device_len = (uint8_t)device_len;
	e->made_us = 0;
	memcpy(e->bytes, user, user_len);
	memcpy(e->bytes + user_len, line, line_len);
	if (cause) {
		e->evidence = cause->evidence;
		memcpy(e->bytes + user_len + line_len, cause->device, device_len);
	} else {
		e->evidence = (struct evidence){.late_ms = AGO_UNKNOWN,
			.nominated_ago_ms = AGO_UNKNOWN,
			.heard_ago_ms = AGO_UNKNOWN};
	}
	return e;
}
