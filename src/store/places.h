/* Places: when each session was last heard, packed as the file keeps it.
 *
 * A session's place is where its record lies in the table: worker and slot. Places come in chunks, and a chunk is a row of
 * the file: so that the heartbeats of 640 sessions are written as one blob of one page, and not as 640 rows.
 *
 * Owns     the chunks, and for each place the id of the user whose session is there: who leaves is known by it.
 * Threads  the store's.
 * Memory   15 bytes a place, and the user's id (32 bytes or so as the allocator counts).
 * Errors   -ENOMEM: nothing has changed. */
#ifndef STORE_PLACES_H
#define STORE_PLACES_H

#include "base/telemetry.h"
#include "base/terms.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PLACE_BYTES = 6, /* Unix milliseconds, the highest byte first; 0: nobody there */
	PLACES_CHUNK = 640, /* 3,840 bytes: with its row's head, a leaf of 4,096 */
	/* A worker has 2^24 slots at most. */
	PLACES_CHUNKS_MAX = ((1 << 24) + PLACES_CHUNK - 1) / PLACES_CHUNK,
	PLACES_WORKER_CHUNKS = 1 << 15 /* chunk numbers are dealt out to workers by so many */
};

struct user_id {
	uint8_t len;
	char bytes[];
};

struct places_chunk {
	bool is_dirty;
	unsigned char seen[PLACES_CHUNK][PLACE_BYTES];
	struct user_id *users[PLACES_CHUNK]; /* NULL: nobody */
};

struct places {
	struct places_chunk **chunks[WORKERS_MAX]; /* PLACES_CHUNKS_MAX each; NULL: none yet */
	uint32_t n_chunks[WORKERS_MAX];
};

static inline int64_t place_number(unsigned worker, uint32_t slot)
{
	return ((int64_t)worker * PLACES_WORKER_CHUNKS + slot / PLACES_CHUNK) * PLACES_CHUNK +
	       slot % PLACES_CHUNK;
}

uint64_t place_read(const unsigned char seen[PLACE_BYTES]);

void places_free(struct places *); /* all that is in it */

/* The user at a place; NULL: nobody. */
const struct user_id *places_user(const struct places *, unsigned worker, uint32_t slot);
/* A user's session came to a place where nobody is. */
int places_enter(struct places *, unsigned worker, uint32_t slot, const char *user, size_t len);
/* It left, and its id is the caller's to free(). NULL: nobody was there. */
struct user_id *places_leave(struct places *, unsigned worker, uint32_t slot);
/* It was heard; nothing where nobody is there. */
void places_hear(struct places *, unsigned worker, uint32_t slot, uint64_t last_seen_ms);

/* Marks all chunks as to be written. */
void places_touch_all(struct places *);
/* The next chunk to be written, from '*worker' and '*chunk' on (0, 0 first), which are moved to it; it counts as written
 * from then on. NULL: there is none. */
const struct places_chunk *places_next(struct places *, unsigned *worker, uint32_t *chunk);
bool places_are_dirty(const struct places *);

#endif
