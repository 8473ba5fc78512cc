#include "presence/stamps.h"

#include "base/ensure.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int stamps_init(struct stamps *s)
{
	struct stamps_chunk **chunks = calloc(STAMPS_CHUNKS_MAX, sizeof(*chunks));
	if (!chunks)
		return -ENOMEM;
	atomic_init(&s->n_chunks, 0);
	s->n_room = 0;
	s->first_with_room = 0;
	s->n_used = 0;
	s->chunks = chunks;
	return 0;
}

void stamps_destroy(struct stamps *s)
{
	if (!s->chunks)
		return;
	uint32_t n = atomic_load_explicit(&s->n_chunks, memory_order_relaxed);
	for (uint32_t i = 0; i < n; i++) {
		free(s->chunks[i]->run);
		free(s->chunks[i]);
	}
	free(s->chunks);
	s->chunks = NULL;
}

enum { CHUNK_BYTES = STAMPS_CHUNK * sizeof(uint32_t) };

/* Where the stamps of chunk 'n' go: behind those of the one before, or at the start of a new run, which is as long as all
 * before it together. */
static int find_place(struct stamps *s, uint32_t n, struct stamps_chunk *chunk)
{
	if (s->n_room > 0) {
		chunk->run = NULL;
		chunk->stamps = s->chunks[n - 1]->stamps + STAMPS_CHUNK;
		s->n_room--;
		return 0;
	}
	uint32_t length = n == 0 ? 1 : n < STAMPS_RUN_MAX ? n : STAMPS_RUN_MAX;
	chunk->run = aligned_alloc(CACHE_LINE, (size_t)length * CHUNK_BYTES);
	if (!chunk->run)
		return -ENOMEM;
	chunk->stamps = chunk->run;
	s->n_room = length - 1;
	return 0;
}

static int grow(struct stamps *s)
{
	uint32_t n = atomic_load_explicit(&s->n_chunks, memory_order_relaxed);
	if (n == STAMPS_CHUNKS_MAX)
		return -ENOSPC;
	struct stamps_chunk *chunk = aligned_alloc(CACHE_LINE, sizeof(*chunk));
	if (!chunk || find_place(s, n, chunk) != 0) {
		free(chunk);
		return -ENOMEM;
	}
	/* The stamps of free slots are masked out by 'used' and need no value; set all the same, so that
	 * nothing undefined is ever loaded. */
	for (size_t i = 0; i < STAMPS_CHUNK; i++)
		atomic_init(&chunk->stamps[i], 0);
	for (size_t i = 0; i < STAMPS_CHUNK; i++)
		atomic_init(&chunk->changes[i], 0);
	for (size_t i = 0; i < STAMPS_WORDS; i++) {
		atomic_init(&chunk->used[i], 0);
		atomic_init(&chunk->passed_over[i], 0);
	}
	chunk->full = 0;
	s->chunks[n] = chunk;
	/* Pairs with the acquire in stamps_scan: who sees the count sees the chunk. */
	atomic_store_explicit(&s->n_chunks, n + 1, memory_order_release);
	return 0;
}

int stamps_take(struct stamps *s, uint32_t first_stamp, uint32_t *ret_slot)
{
	uint32_t n = atomic_load_explicit(&s->n_chunks, memory_order_relaxed);
	while (s->first_with_room < n && s->chunks[s->first_with_room]->full == UINT64_MAX)
		s->first_with_room++;
	if (s->first_with_room == n) {
		int err = grow(s);
		if (err)
			return err;
	}
	struct stamps_chunk *chunk = s->chunks[s->first_with_room];
	unsigned word = (unsigned)__builtin_ctzll(~chunk->full);
	uint64_t used = atomic_load_explicit(&chunk->used[word], memory_order_relaxed);
	unsigned bit = (unsigned)__builtin_ctzll(~used);
	used |= UINT64_C(1) << bit;
	atomic_store_explicit(&chunk->stamps[word * 64 + bit], first_stamp, memory_order_relaxed);
	/* Relaxed: the release below orders it, too. A read-modify-write, for its neighbours' bits are the watchdog's. */
	if (atomic_load_explicit(&chunk->passed_over[word], memory_order_relaxed) >> bit & 1)
		atomic_fetch_and_explicit(
			&chunk->passed_over[word], ~(UINT64_C(1) << bit), memory_order_relaxed);
	/* Pairs with the acquire in stamps_scan: who sees the slot in use sees its first stamp. */
	atomic_store_explicit(&chunk->used[word], used, memory_order_release);
	if (used == UINT64_MAX)
		chunk->full |= UINT64_C(1) << word;
	s->n_used++;
	*ret_slot = s->first_with_room * STAMPS_CHUNK + word * 64 + bit;
	return 0;
}

void stamps_give(struct stamps *s, uint32_t slot)
{
	uint32_t index = slot / STAMPS_CHUNK;
	unsigned word = slot % STAMPS_CHUNK / 64, bit = slot % 64;
	struct stamps_chunk *chunk = s->chunks[index];
	uint64_t used = atomic_load_explicit(&chunk->used[word], memory_order_relaxed);
	ensure(used & (UINT64_C(1) << bit));
	/* Relaxed: a scan that still takes the slot for used finds no session in it. */
	atomic_store_explicit(
		&chunk->used[word], used & ~(UINT64_C(1) << bit), memory_order_relaxed);
	chunk->full &= ~(UINT64_C(1) << word);
	s->n_used--;
	if (index < s->first_with_room)
		s->first_with_room = index;
}

void stamps_pass_over(struct stamps *s, uint32_t slot)
{
	struct stamps_chunk *chunk = s->chunks[slot / STAMPS_CHUNK];
	/* Relaxed: the list by which the record goes back to the owner, who clears it, orders the two. */
	atomic_fetch_or_explicit(&chunk->passed_over[slot % STAMPS_CHUNK / 64],
		UINT64_C(1) << slot % 64, memory_order_relaxed);
}

/* The scan's loads. Plain ones, four stamps in one; aligned words are read whole on every machine that this builds for, and a
 * stamp that is a moment old does no harm: the verdict looks again. ThreadSanitizer gets real atomics. */
#if SANITIZE_THREAD
static inline uint32_t load_stamp(const _Atomic uint32_t *stamp)
{
	return atomic_load_explicit(stamp, memory_order_relaxed);
}
#else
static inline uint32_t load_stamp(const _Atomic uint32_t *stamp)
{
	return *(const uint32_t *)(const void *)stamp;
}
#endif

typedef uint32_t lanes VECTOR_OF_BYTES(
	16); /* what every machine has without being asked for more */
enum { LANES = sizeof(lanes) / sizeof(uint32_t), BLOCK = 512, STEP = 4 * LANES };
static_assert(BLOCK % STEP == 0 && STAMPS_CHUNK % BLOCK == 0, "whole steps, whole blocks");

static inline lanes load_lanes(const _Atomic uint32_t *stamps)
{
	lanes l;
#if SANITIZE_THREAD
	for (unsigned i = 0; i < LANES; i++)
		l[i] = load_stamp(&stamps[i]);
#else
	memcpy(&l, (const void *)stamps, sizeof(l));
#endif
	return l;
}

/* Whether any of a block's stamps is stale, free slots included. stamp - now - 1 is negative, as a 32-bit
 * serial number, just where stamp <= now: so the top bit of the OR tells. Written out in steps of a cache line, one after the
 * other: left to the compilers it is half as fast, and so are several places at once. */
static bool block_has_stale(const _Atomic uint32_t *stamps, uint32_t now)
{
	lanes any = {0}, next = {now + 1, now + 1, now + 1, now + 1};
	for (unsigned i = 0; i < BLOCK; i += STEP)
		any |= (load_lanes(&stamps[i]) - next) | (load_lanes(&stamps[i + LANES]) - next) |
		       (load_lanes(&stamps[i + 2 * LANES]) - next) |
		       (load_lanes(&stamps[i + 3 * LANES]) - next);
	return (any[0] | any[1] | any[2] | any[3]) >> 31;
}

/* A bit for each stale one of 64. */
static uint64_t stale_mask(const _Atomic uint32_t *stamps, uint32_t now)
{
	uint64_t mask = 0;
	for (unsigned bit = 0; bit < 64; bit++)
		mask |= (uint64_t)stamp_is_stale(load_stamp(&stamps[bit]), now) << bit;
	return mask;
}

size_t stamps_scan(
	const struct stamps *s, uint32_t now, uint32_t *cursor, uint32_t *ret_slots, size_t max)
{
	ensure(max >= 64); /* less would never get on */
	size_t n = 0;
	uint32_t end = atomic_load_explicit(&s->n_chunks, memory_order_acquire) * STAMPS_CHUNK;
	uint32_t slot = *cursor;

	while (slot < end) {
		struct stamps_chunk *chunk = s->chunks[slot / STAMPS_CHUNK];
		unsigned at = slot % STAMPS_CHUNK;
		if (at % BLOCK == 0 && !block_has_stale(&chunk->stamps[at], now)) {
			slot += BLOCK;
			continue;
		}
		/* A word of 64 slots at a time, whole or not at all, so that the cursor stays on a word. */
		if (max - n < 64)
			break;
		uint64_t stale = atomic_load_explicit(&chunk->used[at / 64], memory_order_acquire);
		stale &= ~atomic_load_explicit(&chunk->passed_over[at / 64], memory_order_relaxed);
		if (stale)
			stale &= stale_mask(&chunk->stamps[at], now);
		for (; stale; stale &= stale - 1)
			ret_slots[n++] = slot + (unsigned)__builtin_ctzll(stale);
		slot += 64;
	}
	*cursor = slot < end ? slot : UINT32_MAX;
	return n;
}
