#include "auth/login_rate.h"

#include "auth/peer_key.h"
#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static struct address address(const char *text)
{
	struct address a;
	const char *why;

	assert_int_equal(address_parse(text, strlen(text), &a, &why), 0);
	return a;
}

static uint64_t key(const char *text)
{
	struct address a = address(text);
	return peer_key(&a);
}

static void keys_are_what_a_peer_cannot_change(void **state)
{
	(void)state;
	struct address local = {.u.any.sa_family = AF_UNIX};

	assert_int_equal(key("192.0.2.1:1"), key("192.0.2.1:2"));
	assert_int_equal(key("192.0.2.1:1"), key("[::ffff:192.0.2.1]:1"));
	assert_int_not_equal(key("192.0.2.1:1"), key("192.0.2.2:1"));
	assert_int_equal(key("[2001:db8:1:2::1]:1"), key("[2001:db8:1:2:ffff::9]:1"));
	assert_int_not_equal(key("[2001:db8:1:2::1]:1"), key("[2001:db8:1:3::1]:1"));
	assert_int_equal(key("[2001:db8:1:2::1]:1"), 0x20010db800010002);
	assert_int_equal(key("1.2.3.4:1"), 0xffff01020304);
	assert_int_equal(peer_key(&local), 0);
}

static unsigned burst(struct login_rate *l, uint64_t k, uint32_t now_ms)
{
	unsigned n = 0;

	while (n < 1000000 && login_rate_charge(l, k, now_ms))
		n++;
	return n;
}

static void failures_are_limited_and_successes_are_not(void **state)
{
	(void)state;
	struct login_rate *l = login_rate_new(LOGIN_RATE_DEFAULT);
	uint32_t now_ms = 4294967290U; /* about to wrap */

	assert_non_null(l);
	for (unsigned i = 0; i < 100000; i++) {
		assert_true(login_rate_charge(l, 1, now_ms));
		login_rate_refund(l, 1);
	}
	assert_int_equal(burst(l, 1, now_ms), 200);
	assert_false(login_rate_charge(l, 1, now_ms + 4));
	assert_true(login_rate_charge(l, 1, now_ms + 5));
	assert_false(login_rate_charge(l, 1, now_ms + 5));
	assert_int_equal(burst(l, 1, now_ms + 1005), 200);
	assert_int_equal(burst(l, 1, now_ms + 3600000), 200);
	login_rate_refund(l, 1);
	assert_true(login_rate_charge(l, 1, now_ms + 3600000));
	/* Another's clock is behind: no time passed, and none is counted twice. */
	assert_false(login_rate_charge(l, 1, now_ms + 3599000));
	assert_int_equal(burst(l, 1, now_ms + 3600100), 20);
	assert_int_equal(burst(l, 1, now_ms + 3600000 + 30 * 86400000U), 200); /* a month later */
	login_rate_free(l);
	login_rate_free(NULL);
}

static void other_addresses_are_not_touched(void **state)
{
	(void)state;
	struct login_rate *l = login_rate_new(10);
	unsigned n_met = 0;

	burst(l, key("192.0.2.1:1"), 0);
	for (uint64_t other = 1; other <= 10000; other++) {
		if (login_rate_charge(l, other, 0))
			login_rate_refund(l, other);
		else
			n_met++;
	}
	assert_true(n_met < 10); /* 0.15 expected; ten of 10,000 in one of 65,536: never */
	login_rate_free(l);
}

static void a_refund_that_was_not_charged_makes_no_credit(void **state)
{
	(void)state;
	struct login_rate *l = login_rate_new(1);

	for (unsigned i = 0; i < 10; i++)
		login_rate_refund(l, 5);
	assert_int_equal(burst(l, 5, 77), 1);
	login_rate_free(l);
}

static void no_rate_is_no_limit(void **state)
{
	(void)state;
	struct login_rate *l = login_rate_new(0);

	assert_int_equal(burst(l, 5, 77), 1000000);
	login_rate_refund(l, 5);
	login_rate_free(l);
}

static void who_is_exempt(void **state)
{
	(void)state;
	struct address a = address("127.0.0.9:1"), b = address("[::1]:1"),
		       c = address("192.0.2.1:1");
	struct address local = {.u.any.sa_family = AF_UNIX};

	assert_true(login_rate_exempt(&a));
	assert_true(login_rate_exempt(&b));
	assert_false(login_rate_exempt(&c));
	assert_true(login_rate_exempt(&local));
}

enum { THREADS = 4, TRIES = 20000, RATE = 5000 };

struct shared {
	struct login_rate *l;
	_Atomic unsigned n_charged;
};

static void *charge_all(void *argument)
{
	struct shared *s = argument;

	for (unsigned i = 0; i < TRIES; i++) {
		if (login_rate_charge(s->l, 9, 1000))
			atomic_fetch_add(&s->n_charged, 1);
		if (login_rate_charge(s->l, 10, 1000))
			login_rate_refund(s->l, 10);
	}
	return NULL;
}

static void threads_share_one_bucket_exactly(void **state)
{
	(void)state;
	struct shared s = {.l = login_rate_new(RATE)};
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, charge_all, &s), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	/* 9 and 10 may share a slot: then all is charged to it, and at the end it is as full. */
	assert_int_equal(s.n_charged + burst(s.l, 9, 1000), RATE);
	login_rate_free(s.l);
}

static void refused_memory_gives_no_table(void **state)
{
	(void)state;
	alloc_fail_begin(1);
	assert_null(login_rate_new(1));
	assert_true(alloc_fail_end());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_what_a_peer_cannot_change),
		cmocka_unit_test(failures_are_limited_and_successes_are_not),
		cmocka_unit_test(other_addresses_are_not_touched),
		cmocka_unit_test(a_refund_that_was_not_charged_makes_no_credit),
		cmocka_unit_test(no_rate_is_no_limit),
		cmocka_unit_test(who_is_exempt),
		cmocka_unit_test(threads_share_one_bucket_exactly),
		cmocka_unit_test(refused_memory_gives_no_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
