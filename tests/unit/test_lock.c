#include "base/lock.h"

#include "support/cmocka_all.h"
#include "support/dies.h"

/* What is wrong on purpose here, clang's analysis would say at build time. */
#define WRONG NO_THREAD_SAFETY_ANALYSIS

enum { THREADS = 4, ROUNDS = 20000 };

struct shared {
	struct lock lock;
	unsigned long count; /* guarded: lock */
};

static void *count_up(void *argument)
{
	struct shared *shared = argument;

	for (int i = 0; i < ROUNDS; i++) {
		lock_acquire(&shared->lock);
		shared->count++;
		lock_release(&shared->lock);
	}
	return NULL;
}

static void excludes_other_threads(void **state)
{
	(void)state;
	struct shared shared = {.count = 0};
	pthread_t threads[THREADS];

	lock_init(&shared.lock, RANK_STRIPE);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, &shared), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(shared.count, (unsigned long)THREADS * ROUNDS);
	lock_destroy(&shared.lock);
}

static void init_ranked(void *rank)
{
	struct lock lock;

	lock_init(&lock, *(enum lock_rank *)rank);
}

static void rank_is_one_of_the_order(void **state)
{
	(void)state;
	enum lock_rank none = RANK_NONE, past = RANK_N, good = RANK_LOG;

	assert_true(dies(init_ranked, &none));
	assert_true(dies(init_ranked, &past));
	assert_false(dies(init_ranked, &good));
}

struct pair {
	enum lock_rank first, second;
};

WRONG static void hold_two(void *argument)
{
	const struct pair *pair = argument;
	struct lock a, b;

	lock_init(&a, pair->first);
	lock_init(&b, pair->second);
	lock_acquire(&a);
	lock_acquire(&b);
}

WRONG static void one_after_the_other(void *argument)
{
	const struct pair *pair = argument;
	struct lock a, b;

	lock_init(&a, pair->first);
	lock_init(&b, pair->second);
	lock_acquire(&a);
	lock_release(&a);
	lock_acquire(&b);
	lock_release(&b);
}

WRONG static void release_not_held(void *argument)
{
	(void)argument;
	struct lock a;

	lock_init(&a, RANK_STRIPE);
	lock_release(&a);
}

/* Checked where PRESENCED_DEBUG is defined, and costs nothing elsewhere. */
static void a_thread_holds_one_at_most(void **state)
{
	(void)state;
#ifdef PRESENCED_DEBUG
	struct pair upward = {RANK_STRIPE, RANK_LOG}, downward = {RANK_LOG, RANK_STRIPE};
	struct pair level = {RANK_STRIPE, RANK_STRIPE};

	assert_true(dies(hold_two, &upward));
	assert_true(dies(hold_two, &downward));
	assert_true(dies(hold_two, &level));
	assert_true(dies(release_not_held, NULL));
	assert_false(dies(one_after_the_other, &downward));
#else
	struct pair upward = {RANK_STRIPE, RANK_LOG};

	assert_false(dies(hold_two, &upward));
	assert_false(dies(one_after_the_other, &upward));
	(void)release_not_held;
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(excludes_other_threads),
		cmocka_unit_test(rank_is_one_of_the_order),
		cmocka_unit_test(a_thread_holds_one_at_most),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
