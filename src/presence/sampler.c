#include "presence/sampler.h"

#include "presence/table_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The numbers as they were, of one chunk of stamps. */
struct seen {
	uint32_t stamps[STAMPS_CHUNK];
	uint32_t timeouts_ms[STAMPS_CHUNK]; /* of the session there */
	uint16_t changes[STAMPS_CHUNK];
	bool is_held[STAMPS_CHUNK]; /* a session is there */
};

struct sampler {
	/* const after start */
	struct table *table;
	/* owner: the store's thread. STAMPS_CHUNKS_MAX pointers for each worker; NULL: never looked at */
	struct seen **seen[WORKERS_MAX];
};

int sampler_new(struct table *t, struct sampler **ret)
{
	struct sampler *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->table = t;
	for (unsigned i = 0; i < t->params.n_workers; i++) {
		s->seen[i] = calloc(STAMPS_CHUNKS_MAX, sizeof(struct seen *));
		if (!s->seen[i]) {
			sampler_free(s);
			return -ENOMEM;
		}
	}
	*ret = s;
	return 0;
}

void sampler_free(struct sampler *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->table->params.n_workers; i++) {
		for (uint32_t k = 0; s->seen[i] && k < STAMPS_CHUNKS_MAX; k++)
			free(s->seen[i][k]);
		free(s->seen[i]);
	}
	free(s);
}

void sampler_reset(struct sampler *s)
{
	for (unsigned i = 0; i < s->table->params.n_workers; i++)
		for (uint32_t k = 0; k < STAMPS_CHUNKS_MAX; k++)
			if (s->seen[i][k])
				memset(s->seen[i][k], 0, sizeof(struct seen));
}

/* One slot. True where there is something to report. */
static bool look_at(struct stamps_chunk *chunk, struct seen *seen, uint32_t at, struct instant now,
	struct sample *ret)
{
	/* Acquire: see session_changed(). */
	uint16_t changes = atomic_load_explicit(&chunk->changes[at], memory_order_acquire);
	/* Acquire: the second look at the changes comes after it. */
	uint32_t stamp = atomic_load_explicit(&chunk->stamps[at], memory_order_acquire);
	if (LIKELY(changes == seen->changes[at] && stamp == seen->stamps[at]))
		return false;
	/* A stamp that another session has brought meanwhile comes with another number: looked at again, after it. Where
	 * the change shows only the next time, the user is read anew then. */
	uint16_t again = atomic_load_explicit(&chunk->changes[at], memory_order_relaxed);
	bool is_changed = changes != seen->changes[at] || again != changes;
	seen->stamps[at] = stamp;
	if (!is_changed && !seen->is_held[at])
		return false; /* a slot just taken, its session not there yet */
	seen->changes[at] = changes;
	ret->is_changed = is_changed;
	if (!is_changed)
		ret->last_seen_ms = wall_of(stamp - seen->timeouts_ms[at], now);
	return true;
}

static struct seen *seen_chunk(struct sampler *s, unsigned worker, uint32_t i)
{
	struct seen **place = &s->seen[worker][i];
	if (!*place)
		*place = calloc(1, sizeof(**place));
	return *place;
}

int sampler_look(struct sampler *s, unsigned worker, struct instant now, uint32_t *cursor,
	struct sample *ret, size_t max, size_t *ret_n)
{
	const struct stamps *stamps = &s->table->slabs[worker].stamps;
	uint32_t n_chunks = atomic_load_explicit(&stamps->n_chunks, memory_order_acquire);
	uint32_t slot = *cursor;
	size_t n = 0;
	while (slot < n_chunks * STAMPS_CHUNK && n < max) {
		uint32_t i = slot / STAMPS_CHUNK, at = slot % STAMPS_CHUNK;
		struct seen *seen = seen_chunk(s, worker, i);
		if (!seen && n == 0)
			return -ENOMEM;
		if (!seen)
			break; /* what was found is reported first */
		for (; at < STAMPS_CHUNK && n < max; at++) {
			ret[n].slot = i * STAMPS_CHUNK + at;
			n += look_at(stamps->chunks[i], seen, at, now, &ret[n]);
		}
		slot = i * STAMPS_CHUNK + at;
	}
	*cursor = slot < n_chunks * STAMPS_CHUNK ? slot : UINT32_MAX;
	*ret_n = n;
	return 0;
}

size_t sampler_who(struct sampler *s, unsigned worker, uint32_t slot, char ret_user[USER_MAX])
{
	struct table *t = s->table;
	struct seen *seen = s->seen[worker][slot / STAMPS_CHUNK];
	const struct session *session = slab_at(&t->slabs[worker], slot);
	size_t len = 0;
	uint64_t id;
	/* Ended and begun anew while we took the lock: looked at again. */
	while (len == 0 && (id = session_id(session)) != 0) {
		struct stripe *st = stripe_of_id(t, id);
		lock_acquire(&st->lock);
		if (session_id(session) == id) {
			uint32_t at = slot % STAMPS_CHUNK;
			struct stamps_chunk *chunk =
				t->slabs[worker].stamps.chunks[slot / STAMPS_CHUNK];
			len = session->user->len;
			memcpy(ret_user, session->user->name, len);
			seen->timeouts_ms[at] = session->timeout_ms;
			/* A change that was under way brings a stamp which is no heartbeat. Relaxed: the lock
			 * orders it. */
			seen->stamps[at] =
				atomic_load_explicit(&chunk->stamps[at], memory_order_relaxed);
			seen->changes[at] =
				atomic_load_explicit(&chunk->changes[at], memory_order_relaxed);
		}
		lock_release(&st->lock);
	}
	seen->is_held[slot % STAMPS_CHUNK] = len > 0;
	return len;
}
