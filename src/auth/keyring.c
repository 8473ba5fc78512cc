#include "auth/keyring.h"

#include "base/compiler.h"
#include "base/ensure.h"

#include <stdatomic.h>
#include <stdlib.h>

struct slot {
	/* owner: the worker */
	struct keys *current;
	/* atomic: main -> the worker. A reference handed over; NULL: nothing new. */
	_Atomic(struct keys *) offered;
} CACHE_ALIGNED;

struct keyring {
	/* const after start */
	unsigned n_workers;
	struct slot slots[];
};

struct keyring *keyring_new(unsigned n_workers, struct keys *keys)
{
	struct keyring *ring = aligned_alloc(
		CACHE_LINE, sizeof(*ring) + (size_t)n_workers * sizeof(ring->slots[0]));

	if (!ring)
		return NULL;
	ring->n_workers = n_workers;
	for (unsigned i = 0; i < n_workers; i++) {
		ring->slots[i].current = keys_retain(keys);
		atomic_init(&ring->slots[i].offered, NULL);
	}
	return ring;
}

void keyring_free(struct keyring *ring)
{
	if (!ring)
		return;
	for (unsigned i = 0; i < ring->n_workers; i++) {
		keys_release(ring->slots[i].current);
		keys_release(atomic_load_explicit(&ring->slots[i].offered, memory_order_acquire));
	}
	free(ring);
}

void keyring_replace(struct keyring *ring, struct keys *keys)
{
	for (unsigned i = 0; i < ring->n_workers; i++) {
		/* Release: the keys are whole before they are seen, by the exchange in keyring_keys(). Acquire: an offer
		 * that nobody took was this thread's own of an earlier call, or another's before it. */
		struct keys *untaken = atomic_exchange_explicit(
			&ring->slots[i].offered, keys_retain(keys), memory_order_acq_rel);
		keys_release(untaken);
	}
}

const struct keys *keyring_keys(struct keyring *ring, unsigned i)
{
	ensure(i < ring->n_workers);
	struct slot *slot = &ring->slots[i];

	/* Relaxed: only whether there is something; the exchange is what orders. */
	if (UNLIKELY(atomic_load_explicit(&slot->offered, memory_order_relaxed))) {
		/* Acquire: partner of the release in keyring_replace(). Only this thread takes, so it is there. */
		struct keys *newer =
			atomic_exchange_explicit(&slot->offered, NULL, memory_order_acquire);
		ensure(newer);
		keys_release(slot->current);
		slot->current = newer;
	}
	return slot->current;
}
