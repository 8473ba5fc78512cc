/* A hash map of intrusive nodes, that grows and shrinks a little with every call and never all at once.
 *
 * Owns     its buckets only; nodes belong to the caller, who embeds them and compares the keys.
 * Threads  the owner's only.
 * Memory   a pointer a bucket, about one bucket a node; while it grows, both sizes at once. Refused memory
 *          makes it slower, not wrong: it stays as it is and tries again with a later insert.
 * Time     each insert and removal moves a few buckets from the old array to the new one, so that no call is
 *          long, whatever the size. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_node {
	struct map_node *next;
	uint64_t hash;
};

struct map {
	struct map_node **buckets; /* where nodes go */
	struct map_node **old; /* where they come from, while it changes its size; else NULL */
	size_t n_buckets, n_old; /* powers of two */
	size_t n_moved; /* buckets of 'old' that are empty already */
	size_t n_nodes;
	size_t any_at; /* where map_any() goes on, so that emptying looks at each bucket about once */
};

/* -ENOMEM */
int map_init(struct map *);
void map_destroy(struct map *); /* the buckets; the nodes are the caller's */

void map_insert(struct map *, struct map_node *); /* its hash is set */
void map_remove(struct map *, struct map_node *); /* it is in */

/* The nodes of one hash: the first, and the next of the same hash; NULL at the end. No change in between. */
struct map_node *map_first(const struct map *, uint64_t hash);
struct map_node *map_next(const struct map_node *);

/* A node, any, for emptying; NULL when there is none. */
struct map_node *map_any(struct map *);

#endif
