/* Stamps: when each session of one worker was last heard, packed so that a scan is one pass of loads.
 *
 * A stamp is the deadline that the last byte made: last heard + timeout, in milliseconds of
 * CLOCK_MONOTONIC, its low 32 bits. So one array serves sessions of different timeouts. Deadlines are
 * compared by serial arithmetic (RFC 1982): right while they lie within 24 days of now, whatever the uptime.
 *
 * Owns     the slots of one worker's sessions: chunks of 4,096, each a dense array of stamps and a bitmap of
 *          which are in use. A chunk, once there, is never moved or freed before the end.
 * Threads  stamps_take, _give: the owning worker. stamps_scan: the watchdog. A stamp itself: stored by the
 *          owner (and by the watchdog where it grants time, by compare-and-swap), read by all.
 * Memory   6 bytes and a bit a slot. -ENOMEM, and -ENOSPC past 16 M slots.
 * Time     told by the caller. */
#ifndef PRESENCE_STAMPS_H
#define PRESENCE_STAMPS_H

#include "base/compiler.h"
#include "base/lock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	STAMPS_CHUNK = 4096,
	STAMPS_CHUNKS_MAX = 4096,
	STAMPS_WORDS = STAMPS_CHUNK / 64,
	STAMPS_RUN_MAX = 64 /* chunks whose stamps lie in a row: 1 MiB */
};

struct stamps_chunk {
	/* const: where its stamps are. Those of several chunks lie in a row, as the scan walks them: 10 M in 0.12 ns each, where
	 * every 16 KiB by themselves take 0.4 (the processor's prefetching starts anew at each). Memory of a run that no chunk
	 * has taken yet is not touched.
	 * atomic: owner (and watchdog's grants) -> all. Relaxed: a stamp orders nothing but itself; the verdict that hangs
	 * on it is taken after a hearing, under the stripe's lock. */
	_Atomic uint32_t *stamps;
	/* owner: the worker. The memory of a run, of its first chunk; NULL of the others. */
	void *run;
	/* atomic: owner -> watchdog. Released after the slot's first stamp was stored. */
	_Atomic uint64_t used[STAMPS_WORDS];
	/* atomic: watchdog sets, owner clears -> watchdog: see stamps_pass_over(). */
	_Atomic uint64_t passed_over[STAMPS_WORDS];
	/* owner: the worker. A bit for each word of 'used' that has no room left. */
	uint64_t full;
	/* atomic: holder of the session's stripe -> the store. Goes up with each change of a session in the slot:
	 * see session_changed(). */
	_Atomic uint16_t changes[STAMPS_CHUNK];
} CACHE_ALIGNED;

struct stamps {
	/* atomic: owner -> watchdog. chunks[0..n_chunks) are there. */
	_Atomic uint32_t n_chunks;
	/* owner: the worker */
	uint32_t n_room; /* chunks that the last run has room for */
	uint32_t first_with_room; /* no chunk below it has a free slot */
	uint32_t n_used;
	struct stamps_chunk *
		*chunks; /* STAMPS_CHUNKS_MAX of them; written before n_chunks says so */
};

int stamps_init(struct stamps *);
void stamps_destroy(struct stamps *);

/* A free slot, its first stamp stored before a scan can see it. */
int stamps_take(struct stamps *, uint32_t first_stamp, uint32_t *ret_slot) REQUIRES(role_worker);
void stamps_give(struct stamps *, uint32_t slot) REQUIRES(role_worker);

static inline _Atomic uint32_t *stamps_at(struct stamps *s, uint32_t slot)
{
	return &s->chunks[slot / STAMPS_CHUNK]->stamps[slot % STAMPS_CHUNK];
}

/* No scan finds the slot any more until it is taken anew: who was in it has ended, and its owner may be long in giving it
 * back. The watchdog, before the owner can know. */
void stamps_pass_over(struct stamps *, uint32_t slot) REQUIRES(role_watchdog);

/* Whether a deadline lies at or before now. */
static inline bool stamp_is_stale(uint32_t stamp, uint32_t now)
{
	return (int32_t)(stamp - now) <= 0;
}

/* The stale slots from '*cursor' on, at most 'max' (64 or more) of them; '*cursor' is moved past what was looked at, and is
 * UINT32_MAX when the end was reached. Start with 0. */
size_t stamps_scan(
	const struct stamps *, uint32_t now, uint32_t *cursor, uint32_t *ret_slots, size_t max);

#endif
