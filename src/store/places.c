#include "store/places.h"

#include "base/ensure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint64_t place_read(const unsigned char seen[PLACE_BYTES])
{
	uint64_t ms = 0;
	for (unsigned i = 0; i < PLACE_BYTES; i++)
		ms = ms << 8 | seen[i];
	return ms;
}

void places_free(struct places *p)
{
	for (unsigned w = 0; w < WORKERS_MAX; w++) {
		for (uint32_t c = 0; c < p->n_chunks[w]; c++) {
			for (unsigned i = 0; p->chunks[w][c] && i < PLACES_CHUNK; i++)
				free(p->chunks[w][c]->users[i]);
			free(p->chunks[w][c]);
		}
		free(p->chunks[w]);
	}
	*p = (struct places){.n_chunks = {0}};
}

static struct places_chunk *chunk_of(const struct places *p, unsigned worker, uint32_t slot)
{
	uint32_t c = slot / PLACES_CHUNK;
	return c < p->n_chunks[worker] ? p->chunks[worker][c] : NULL;
}

static int make_chunk(struct places *p, unsigned worker, uint32_t slot)
{
	uint32_t c = slot / PLACES_CHUNK;
	ensure(c < PLACES_CHUNKS_MAX);
	if (!p->chunks[worker])
		p->chunks[worker] = calloc(PLACES_CHUNKS_MAX, sizeof(struct places_chunk *));
	if (!p->chunks[worker])
		return -ENOMEM;
	if (!p->chunks[worker][c])
		p->chunks[worker][c] = calloc(1, sizeof(struct places_chunk));
	if (!p->chunks[worker][c])
		return -ENOMEM;
	if (c >= p->n_chunks[worker])
		p->n_chunks[worker] = c + 1;
	return 0;
}

const struct user_id *places_user(const struct places *p, unsigned worker, uint32_t slot)
{
	const struct places_chunk *chunk = chunk_of(p, worker, slot);
	return chunk ? chunk->users[slot % PLACES_CHUNK] : NULL;
}

int places_enter(struct places *p, unsigned worker, uint32_t slot, const char *user, size_t len)
{
	debug_check(len >= 1 && len <= USER_MAX && !places_user(p, worker, slot));
	struct user_id *id = malloc(sizeof(*id) + len);
	if (!id || make_chunk(p, worker, slot)) {
		free(id);
		return -ENOMEM;
	}
	id->len = (uint8_t)len;
	memcpy(id->bytes, user, len);
	p->chunks[worker][slot / PLACES_CHUNK]->users[slot % PLACES_CHUNK] = id;
	return 0;
}

static void put_time(struct places_chunk *chunk, uint32_t i, uint64_t ms)
{
	for (unsigned k = PLACE_BYTES; k-- > 0; ms >>= 8)
		chunk->seen[i][k] = ms & 0xff;
	chunk->is_dirty = true;
}

struct user_id *places_leave(struct places *p, unsigned worker, uint32_t slot)
{
	struct places_chunk *chunk = chunk_of(p, worker, slot);
	uint32_t i = slot % PLACES_CHUNK;
	struct user_id *id = chunk ? chunk->users[i] : NULL;
	if (!id)
		return NULL;
	chunk->users[i] = NULL;
	put_time(chunk, i, 0);
	return id;
}

void places_hear(struct places *p, unsigned worker, uint32_t slot, uint64_t last_seen_ms)
{
	struct places_chunk *chunk = chunk_of(p, worker, slot);
	if (chunk && chunk->users[slot % PLACES_CHUNK])
		put_time(chunk, slot % PLACES_CHUNK, last_seen_ms);
}

void places_touch_all(struct places *p)
{
	for (unsigned w = 0; w < WORKERS_MAX; w++)
		for (uint32_t c = 0; c < p->n_chunks[w]; c++)
			if (p->chunks[w][c])
				p->chunks[w][c]->is_dirty = true;
}

static bool find_dirty(const struct places *p, unsigned *worker, uint32_t *chunk)
{
	for (unsigned w = *worker; w < WORKERS_MAX; w++)
		for (uint32_t c = w == *worker ? *chunk : 0; c < p->n_chunks[w]; c++)
			if (p->chunks[w][c] && p->chunks[w][c]->is_dirty) {
				*worker = w;
				*chunk = c;
				return true;
			}
	return false;
}

const struct places_chunk *places_next(struct places *p, unsigned *worker, uint32_t *chunk)
{
	if (!find_dirty(p, worker, chunk))
		return NULL;
	p->chunks[*worker][*chunk]->is_dirty = false;
	return p->chunks[*worker][*chunk];
}

bool places_are_dirty(const struct places *p)
{
	unsigned worker = 0;
	uint32_t chunk = 0;
	return find_dirty(p, &worker, &chunk);
}
