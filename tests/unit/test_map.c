#include "base/map.h"

#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <errno.h>
#include <stdbool.h>

enum { N = 5000 };

struct thing {
	struct map_node node; /* first */
	unsigned key;
	bool is_in;
};

static struct thing things[N];

static void reset(uint64_t (*hash)(unsigned))
{
	for (unsigned i = 0; i < N; i++)
		things[i] = (struct thing){.node.hash = hash(i), .key = i};
}

static uint64_t spread(unsigned i)
{
	return i * UINT64_C(0x9e3779b97f4a7c15) >> 7;
}

static uint64_t all_equal(unsigned i)
{
	(void)i;
	return 42;
}

static uint64_t in_pairs(unsigned i)
{
	return spread(i / 2);
}

static struct thing *find(const struct map *m, uint64_t hash, unsigned key)
{
	for (struct map_node *n = map_first(m, hash); n; n = map_next(n)) {
		struct thing *t = (struct thing *)(void *)n;
		assert_int_equal(n->hash, hash);
		if (t->key == key)
			return t;
	}
	return NULL;
}

static void put(struct map *m, struct thing *t)
{
	map_insert(m, &t->node);
	t->is_in = true;
}

static void drop(struct map *m, struct thing *t)
{
	map_remove(m, &t->node);
	t->is_in = false;
}

/* Those that are in are found, and no others; each is found once. */
static void check_all(const struct map *m, unsigned step)
{
	for (unsigned i = 0; i < N; i += step)
		assert_ptr_equal(
			find(m, things[i].node.hash, i), things[i].is_in ? &things[i] : NULL);
}

static void grows_and_shrinks(void **state)
{
	(void)state;
	struct map m;
	reset(spread);
	assert_int_equal(map_init(&m), 0);
	for (unsigned i = 0; i < N; i++) {
		put(&m, &things[i]);
		assert_int_equal(m.n_nodes, i + 1);
		check_all(&m, i % 256 == 0 ? 1 : 97);
	}
	assert_true(m.n_buckets >= N / 2);
	for (unsigned i = 0; i < N; i++) {
		drop(&m, &things[i]);
		check_all(&m, i % 256 == 0 ? 1 : 97);
	}
	assert_int_equal(m.n_nodes, 0);
	assert_true(m.n_buckets <= 64);
	map_destroy(&m);
}

/* Each step of both resizes, with a lookup of everything in the middle of it. */
static void is_right_in_the_middle_of_a_resize(void **state)
{
	(void)state;
	struct map m;
	reset(spread);
	assert_int_equal(map_init(&m), 0);
	unsigned n_in_middle = 0;
	for (unsigned i = 0; i < 600; i++) {
		put(&m, &things[i]);
		n_in_middle += m.old != NULL;
		check_all(&m, 1);
	}
	assert_true(n_in_middle > 50);
	n_in_middle = 0;
	for (unsigned i = 600; i-- > 0;) {
		drop(&m, &things[i]);
		n_in_middle += m.old != NULL;
		check_all(&m, 1);
		if (i % 3 == 0) { /* back and again, while it shrinks */
			put(&m, &things[i]);
			check_all(&m, 7);
			drop(&m, &things[i]);
		}
	}
	assert_true(n_in_middle > 5);
	map_destroy(&m);
}

static void keeps_equal_hashes_apart(void **state)
{
	(void)state;
	uint64_t (*const hashes[])(unsigned) = {all_equal, in_pairs};
	for (unsigned h = 0; h < 2; h++) {
		struct map m;
		reset(hashes[h]);
		assert_int_equal(map_init(&m), 0);
		for (unsigned i = 0; i < 200; i++)
			put(&m, &things[i]);
		check_all(&m, 1);
		for (unsigned i = 0; i < 200; i += 2)
			drop(&m, &things[i]);
		check_all(&m, 1);
		unsigned n = 0;
		for (struct map_node *node = map_first(&m, things[1].node.hash); node;
			node = map_next(node))
			n++;
		assert_int_equal(n, h == 0 ? 100 : 1);
		map_destroy(&m);
	}
}

static void random_steps_match_a_plain_array(void **state)
{
	(void)state;
	struct map m;
	uint32_t r = 1;
	reset(in_pairs);
	assert_int_equal(map_init(&m), 0);
	for (unsigned i = 0; i < 60000; i++) {
		r = r * 1664525 + 1013904223;
		/* Waves of growth and of shrinking. */
		bool wants_in = (r >> 8) % 100 < (i / 10000 % 2 == 0 ? 80U : 20U);
		struct thing *t = &things[(r >> 16) % N];
		if (wants_in && !t->is_in)
			put(&m, t);
		else if (!wants_in && t->is_in)
			drop(&m, t);
		if (i % 2000 == 0)
			check_all(&m, 1);
	}
	map_destroy(&m);
}

static void refused_memory_makes_it_no_less_right(void **state)
{
	(void)state;
	struct map m;
	alloc_fail_begin(1);
	assert_int_equal(map_init(&m), -ENOMEM);
	assert_true(alloc_fail_end());

	for (long n = 1;; n++) {
		reset(spread);
		assert_int_equal(map_init(&m), 0);
		alloc_fail_begin(n);
		for (unsigned i = 0; i < 500; i++)
			put(&m, &things[i]);
		check_all(&m, 1);
		for (unsigned i = 0; i < 490; i++)
			drop(&m, &things[i]);
		bool refused = alloc_fail_end();
		check_all(&m, 1);
		map_destroy(&m);
		if (!refused) {
			assert_true(n > 5);
			break;
		}
	}
}

/* Fixed: each call began with the first bucket, so that emptying took the square of the size. */
static void any_empties_it(void **state)
{
	(void)state;
	struct map m;
	reset(spread);
	assert_int_equal(map_init(&m), 0);
	assert_null(map_any(&m));
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < N; i++)
			put(&m, &things[i]);
		unsigned n = 0;
		for (struct map_node *node; (node = map_any(&m)); n++)
			drop(&m, (struct thing *)(void *)node);
		assert_int_equal(n, N);
		check_all(&m, 1);
	}
	map_destroy(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_and_shrinks),
		cmocka_unit_test(is_right_in_the_middle_of_a_resize),
		cmocka_unit_test(keeps_equal_hashes_apart),
		cmocka_unit_test(random_steps_match_a_plain_array),
		cmocka_unit_test(refused_memory_makes_it_no_less_right),
		cmocka_unit_test(any_empties_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
