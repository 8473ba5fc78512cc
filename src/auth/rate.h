/* Rates: token buckets, refilled when they are looked at. Pure arithmetic, O(1), no memory of their own.
 *
 * A bucket is 8 bytes and counts what has been taken and not yet refilled, in thousandths of a message: a rate of n a
 * second then refills n of them each millisecond, without a remainder. All zero is a full bucket, so that a new session
 * needs no call. What costs more than a whole bucket (a watch of 1,000 ids at a rate of 1 a second) passes from a full
 * one, and is paid off after.
 *
 * Threads  the owner's only (the connection's worker).
 * Time     any 32-bit millisecond clock, the same for a bucket's life; it may wrap, and a step back is no time at all. A
 *          bucket that nobody looks at for longer than half the clock's range (25 days) may still hold its old debt. */
#ifndef AUTH_RATE_H
#define AUTH_RATE_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	RATE_UNITS = 1000, /* of a message */
	RATE_UNITS_PER_ID = RATE_UNITS / 50, /* an id in a request */
	RATE_BURST_S = 5,
	RATE_MAX = 500000 /* a second; more is taken as this */
};

struct rate {
	uint32_t taken; /* in units, as of 'at_ms' */
	uint32_t at_ms;
};

static_assert(sizeof(struct rate) == 8, "one a session");
static_assert((uint64_t)RATE_MAX * RATE_UNITS * RATE_BURST_S < UINT32_MAX, "a bucket fits 'taken'");

/* A message with 'n_ids' ids, where 'per_second' (0: no limit) are let through. False: over the rate, and nothing is
 * taken. */
bool rate_take(struct rate *, uint32_t per_second, uint32_t n_ids, uint32_t now_ms);

/* After rate_take() said no: how long until it says yes, for retry_ms. */
uint32_t rate_wait_ms(const struct rate *, uint32_t per_second, uint32_t n_ids, uint32_t now_ms);

/* What is left of 'taken' after the time since. */
static inline uint32_t rate_drain(
	uint32_t taken, uint32_t at_ms, uint32_t per_second, uint32_t now_ms)
{
	uint32_t elapsed_ms = now_ms - at_ms;
	uint64_t refilled = (uint64_t)elapsed_ms * per_second;

	if (elapsed_ms > INT32_MAX)
		return taken;
	return refilled >= taken ? 0 : taken - (uint32_t)refilled;
}

#endif
