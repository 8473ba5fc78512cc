#include "base/map.h"

#include <errno.h>
#include <stdlib.h>

/* A growing map has as many inserts before it grows again as it has old buckets. One that shrinks has an eighth as
 * many nodes left: it must be done before these are gone, and most of its buckets are empty. */
enum { BUCKETS_MIN = 16, MOVES_INSERT = 4, MOVES_REMOVE = 16 };

int map_init(struct map *m)
{
	*m = (struct map){.n_buckets = BUCKETS_MIN};
	m->buckets = calloc(BUCKETS_MIN, sizeof(struct map_node *));
	return m->buckets ? 0 : -ENOMEM;
}

void map_destroy(struct map *m)
{
	free(m->buckets);
	free(m->old);
	*m = (struct map){.buckets = NULL};
}

static struct map_node **bucket_of(const struct map *m, uint64_t hash)
{
	if (m->old) {
		size_t at = hash & (m->n_old - 1);
		if (at >= m->n_moved)
			return &m->old[at];
	}
	return &m->buckets[hash & (m->n_buckets - 1)];
}

/* Moves a few buckets on; frees the old array when it is empty. */
static void move_some(struct map *m, unsigned n_moves)
{
	for (unsigned i = 0; m->old && i < n_moves; i++) {
		struct map_node *next;
		for (struct map_node *n = m->old[m->n_moved]; n; n = next) {
			next = n->next;
			struct map_node **to = &m->buckets[n->hash & (m->n_buckets - 1)];
			n->next = *to;
			*to = n;
		}
		if (++m->n_moved == m->n_old) {
			free(m->old);
			m->old = NULL;
		}
	}
}

static void resize(struct map *m, size_t n_buckets)
{
	if (m->old)
		return;
	struct map_node **buckets = calloc(n_buckets, sizeof(struct map_node *));
	if (!buckets)
		return;
	m->old = m->buckets;
	m->n_old = m->n_buckets;
	m->n_moved = 0;
	m->buckets = buckets;
	m->n_buckets = n_buckets;
}

void map_insert(struct map *m, struct map_node *node)
{
	if (m->n_nodes >= m->n_buckets)
		resize(m, m->n_buckets * 2);
	move_some(m, MOVES_INSERT);
	struct map_node **bucket = bucket_of(m, node->hash);
	node->next = *bucket;
	*bucket = node;
	m->n_nodes++;
}

void map_remove(struct map *m, struct map_node *node)
{
	struct map_node **place = bucket_of(m, node->hash);
	while (*place != node)
		place = &(*place)->next;
	*place = node->next;
	m->n_nodes--;
	if (m->n_buckets > BUCKETS_MIN && m->n_nodes < m->n_buckets / 8)
		resize(m, m->n_buckets / 2);
	move_some(m, MOVES_REMOVE);
}

static struct map_node *same_hash(struct map_node *n, uint64_t hash)
{
	while (n && n->hash != hash)
		n = n->next;
	return n;
}

struct map_node *map_first(const struct map *m, uint64_t hash)
{
	return same_hash(*bucket_of(m, hash), hash);
}

struct map_node *map_next(const struct map_node *n)
{
	return same_hash(n->next, n->hash);
}

struct map_node *map_any(struct map *m)
{
	for (size_t i = m->n_moved; m->old && i < m->n_old; i++)
		if (m->old[i])
			return m->old[i];
	for (size_t i = 0; m->n_nodes > 0 && i < m->n_buckets; i++, m->any_at++) {
		struct map_node *n = m->buckets[m->any_at & (m->n_buckets - 1)];
		if (n)
			return n;
	}
	return NULL;
}
