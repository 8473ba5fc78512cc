#include "auth/per_address.h"

#include "support/cmocka_all.h"
#include "support/dies.h"
#include "support/failing_alloc.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

static void an_address_has_so_many_and_no_more(void **state)
{
	(void)state;
	struct per_address *p = per_address_new(3);

	assert_non_null(p);
	assert_int_equal(per_address_count(p, 7), 0);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(per_address_enter(p, 7), 0);
		assert_int_equal(per_address_count(p, 7), i);
	}
	assert_int_equal(per_address_enter(p, 7), -EUSERS);
	assert_int_equal(per_address_count(p, 7), 3);
	assert_int_equal(per_address_enter(p, 8), 0);
	per_address_leave(p, 7);
	assert_int_equal(per_address_enter(p, 7), 0);
	assert_int_equal(per_address_enter(p, 7), -EUSERS);
	assert_int_equal(per_address_entries(p), 2);
	per_address_free(p); /* with entries in it: the leak checker sees it */
	per_address_free(NULL);
}

static void memory_is_bounded_by_what_is_live(void **state)
{
	(void)state;
	enum { N = 20000 };
	struct per_address *p = per_address_new(2);

	for (uint64_t key = 0; key < N; key++) {
		assert_int_equal(per_address_enter(p, key), 0);
		assert_int_equal(per_address_enter(p, key), 0);
	}
	assert_int_equal(per_address_entries(p), N);
	for (uint64_t key = 0; key < N; key++) {
		assert_int_equal(per_address_enter(p, key), -EUSERS);
		per_address_leave(p, key);
		per_address_leave(p, key);
		assert_int_equal(per_address_count(p, key), 0);
	}
	assert_int_equal(per_address_entries(p), 0);
	per_address_free(p);
}

static void leave_too_much(void *argument)
{
	per_address_leave(argument, 5);
}

static void one_that_never_came_cannot_leave(void **state)
{
	(void)state;
	struct per_address *p = per_address_new(2);

	assert_true(dies(leave_too_much, p));
	assert_int_equal(per_address_enter(p, 5), 0);
	per_address_leave(p, 5);
	assert_true(dies(leave_too_much, p));
	per_address_free(p);
}

static void refused_memory_counts_nothing(void **state)
{
	(void)state;
	struct per_address *p;
	long n = 0;

	do {
		alloc_fail_begin(++n);
		p = per_address_new(2);
		if (alloc_fail_end())
			assert_null(p);
	} while (!p && n < 1000);
	assert_non_null(p);
	assert_true(n > 1);

	alloc_fail_begin(1);
	assert_int_equal(per_address_enter(p, 5), -ENOMEM);
	assert_true(alloc_fail_end());
	assert_int_equal(per_address_entries(p), 0);
	assert_int_equal(per_address_enter(p, 5), 0);
	/* The second of an address needs none. */
	alloc_fail_begin(1);
	assert_int_equal(per_address_enter(p, 5), 0);
	assert_true(alloc_fail_end());
	assert_int_equal(per_address_count(p, 5), 2);
	per_address_free(p);
}

/* However the threads meet, the count is exact: it never passes the limit, and it ends at nothing. */

enum { THREADS = 4, ROUNDS = 20000, KEYS = 3, LIMIT = 2 };

struct shared {
	struct per_address *p;
	_Atomic unsigned live[KEYS], n_over, n_refused;
};

static void *come_and_go(void *argument)
{
	struct shared *s = argument;

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned key = i % KEYS;

		if (per_address_enter(s->p, key)) {
			atomic_fetch_add(&s->n_refused, 1);
			continue;
		}
		if (atomic_fetch_add(&s->live[key], 1) >= LIMIT)
			atomic_fetch_add(&s->n_over, 1);
		atomic_fetch_sub(&s->live[key], 1);
		per_address_leave(s->p, key);
	}
	return NULL;
}

static void threads_never_pass_the_limit(void **state)
{
	(void)state;
	struct shared s = {.p = per_address_new(LIMIT)};
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &s), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(s.n_over, 0);
	assert_int_equal(per_address_entries(s.p), 0);
	per_address_free(s.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_has_so_many_and_no_more),
		cmocka_unit_test(memory_is_bounded_by_what_is_live),
		cmocka_unit_test(one_that_never_came_cannot_leave),
		cmocka_unit_test(refused_memory_counts_nothing),
		cmocka_unit_test(threads_never_pass_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
