#include "auth/per_address.h"

#include "base/ensure.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/map.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

enum { STRIPES = 64 };

struct entry {
	struct map_node node; /* its hash is the key, mixed */
	uint32_t n;
};

/* Behind its lock only: stripe_data(). */
struct stripe_data {
	struct map map;
};

struct stripe {
	struct lock lock;
	struct stripe_data data; /* guarded: lock */
} CACHE_ALIGNED;

struct per_address {
	/* const after start */
	uint32_t max;
	uint64_t seed;
	unsigned n_stripes; /* that were made */
	struct stripe stripes[STRIPES];
};

static inline struct map *stripe_map(struct stripe *s) REQUIRES(s->lock)
{
	return &s->data.map;
}

struct per_address *per_address_new(uint32_t max)
{
	struct per_address *p = aligned_alloc(CACHE_LINE, sizeof(*p));

	if (!p)
		return NULL;
	p->max = max;
	p->seed = random_u64();
	for (p->n_stripes = 0; p->n_stripes < STRIPES; p->n_stripes++) {
		struct stripe *s = &p->stripes[p->n_stripes];

		if (map_init(&s->data.map)) {
			per_address_free(p);
			return NULL;
		}
		lock_init(&s->lock, RANK_STRIPE);
	}
	return p;
}

void per_address_free(struct per_address *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < p->n_stripes; i++) {
		struct stripe *s = &p->stripes[i];
		struct map_node *node;

		while ((node = map_any(&s->data.map))) {
			map_remove(&s->data.map, node);
			free(node);
		}
		map_destroy(&s->data.map);
		lock_destroy(&s->lock);
	}
	free(p);
}

/* A bijection, so equal hashes are equal keys; seeded, so that nobody aims at one bucket. */
static uint64_t hash_of(const struct per_address *p, uint64_t key)
{
	return hash_mix(key ^ p->seed);
}

/* By the high bits: the map takes the low ones. */
static struct stripe *stripe_of(struct per_address *p, uint64_t hash)
{
	static_assert(STRIPES == 64, "six bits");
	return &p->stripes[hash >> 58];
}

static struct entry *find(struct stripe *s, uint64_t hash) REQUIRES(s->lock)
{
	static_assert(offsetof(struct entry, node) == 0, "the node is the entry");
	return (struct entry *)map_first(stripe_map(s), hash);
}

int per_address_enter(struct per_address *p, uint64_t key)
{
	uint64_t hash = hash_of(p, key);
	struct stripe *s = stripe_of(p, hash);
	/* Before the lock, since most addresses have one connection; given back where it is not needed. */
	struct entry *fresh = malloc(sizeof(*fresh));
	int err = 0;

	lock_acquire(&s->lock);
	struct entry *e = find(s, hash);
	if (e && e->n >= p->max) {
		err = -EUSERS;
	} else if (e) {
		e->n++;
	} else if (p->max == 0) {
		err = -EUSERS;
	} else if (!fresh) {
		err = -ENOMEM;
	} else {
		*fresh = (struct entry){.node = {.hash = hash}, .n = 1};
		map_insert(stripe_map(s), &fresh->node);
		fresh = NULL;
	}
	lock_release(&s->lock);
	free(fresh);
	return err;
}

void per_address_leave(struct per_address *p, uint64_t key)
{
	uint64_t hash = hash_of(p, key);
	struct stripe *s = stripe_of(p, hash);

	lock_acquire(&s->lock);
	struct entry *e = find(s, hash);
	ensure(e && e->n > 0);
	if (--e->n == 0)
		map_remove(stripe_map(s), &e->node);
	else
		e = NULL;
	lock_release(&s->lock);
	free(e);
}

uint32_t per_address_count(struct per_address *p, uint64_t key)
{
	uint64_t hash = hash_of(p, key);
	struct stripe *s = stripe_of(p, hash);

	lock_acquire(&s->lock);
	struct entry *e = find(s, hash);
	uint32_t n = e ? e->n : 0;
	lock_release(&s->lock);
	return n;
}

uint64_t per_address_entries(struct per_address *p)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < STRIPES; i++) {
		lock_acquire(&p->stripes[i].lock);
		n += stripe_map(&p->stripes[i])->n_nodes;
		lock_release(&p->stripes[i].lock);
	}
	return n;
}
