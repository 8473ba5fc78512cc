#include "auth/login_rate.h"

#include "auth/rate.h"
#include "base/hash.h"

#include <stdatomic.h>
#include <stdlib.h>

struct login_rate {
	/* const after start */
	uint32_t per_second;
	uint64_t seed;
	/* atomic: workers -> workers. A struct rate: 'at_ms' in the high half. Relaxed everywhere: a bucket is all in its
	 * word, and nothing else is read by what it says. */
	_Atomic uint64_t slots[LOGIN_RATE_SLOTS];
};

struct login_rate *login_rate_new(uint32_t per_second)
{
	struct login_rate *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->per_second = per_second > RATE_MAX ? RATE_MAX : per_second;
	l->seed = random_u64();
	return l;
}

void login_rate_free(struct login_rate *l)
{
	free(l);
}

static _Atomic uint64_t *slot_of(struct login_rate *l, uint64_t key)
{
	return &l->slots[hash_bytes(&key, sizeof(key), l->seed) % LOGIN_RATE_SLOTS];
}

bool login_rate_charge(struct login_rate *l, uint64_t key, uint32_t now_ms)
{
	_Atomic uint64_t *slot = slot_of(l, key);
	uint64_t old = atomic_load_explicit(slot, memory_order_relaxed), new;

	if (l->per_second == 0)
		return true;
	do {
		uint32_t at_ms = (uint32_t)(old >> 32);
		uint32_t taken = rate_drain((uint32_t)old, at_ms, l->per_second, now_ms);

		if (taken > (l->per_second - 1) * (uint32_t)RATE_UNITS)
			return false;
		/* Workers' clocks differ by a turn: the bucket's never goes back, or time would count twice. */
		uint32_t newer_ms = now_ms - at_ms > INT32_MAX ? at_ms : now_ms;
		new = (uint64_t)newer_ms << 32 | (taken + RATE_UNITS);
	} while (!atomic_compare_exchange_weak_explicit(
		slot, &old, new, memory_order_relaxed, memory_order_relaxed));
	return true;
}

void login_rate_refund(struct login_rate *l, uint64_t key)
{
	_Atomic uint64_t *slot = slot_of(l, key);
	uint64_t old = atomic_load_explicit(slot, memory_order_relaxed), new;

	if (l->per_second == 0)
		return;
	do {
		uint32_t taken = (uint32_t)old;

		new = old - (taken < RATE_UNITS ? taken : RATE_UNITS);
	} while (!atomic_compare_exchange_weak_explicit(
		slot, &old, new, memory_order_relaxed, memory_order_relaxed));
}

bool login_rate_exempt(const struct address *peer)
{
	return address_is_loopback(peer);
}
