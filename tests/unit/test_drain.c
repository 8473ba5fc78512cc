/* Over how much time the clients of a server that stops come back. */
#include "server/drain.h"

#include "support/cmocka_all.h"

static uint32_t spread(uint64_t n_plain, uint64_t n_tls, unsigned n_workers, uint32_t most_ms)
{
	uint64_t sessions[TRANSPORT_N] = {[TRANSPORT_TCP] = n_plain / 2,
		[TRANSPORT_WS] = n_plain - n_plain / 2,
		[TRANSPORT_TLS] = n_tls / 2,
		[TRANSPORT_WSS] = n_tls - n_tls / 2};
	return drain_spread_ms(sessions, n_workers, most_ms);
}

static void the_crowd_comes_no_faster_than_it_is_taken_in(void **state)
{
	(void)state;
	assert_int_equal(spread(0, 0, 2, DRAIN_MOST_MS), DRAIN_LEAST_MS);
	assert_int_equal(spread(5000, 0, 2, DRAIN_MOST_MS), DRAIN_LEAST_MS);
	assert_int_equal(spread(100000, 0, 2, DRAIN_MOST_MS), 5000);
	assert_int_equal(spread(100000, 0, 1, DRAIN_MOST_MS), 10000);
	assert_int_equal(spread(0, 10000, 2, DRAIN_MOST_MS), 5000);
	assert_int_equal(spread(10000, 10000, 1, DRAIN_MOST_MS), 11000);
	assert_int_equal(spread(10000000, 0, 2, DRAIN_MOST_MS), DRAIN_MOST_MS);
	/* A Unix socket's too. */
	uint64_t local[TRANSPORT_N] = {[TRANSPORT_UNIX] = 100000};
	assert_int_equal(drain_spread_ms(local, 1, DRAIN_MOST_MS), 10000);
}

static void a_short_grace_calls_them_back_sooner(void **state)
{
	(void)state;
	assert_int_equal(spread(100000, 0, 1, 4000), 4000);
	assert_int_equal(spread(100000, 0, 1, 100), DRAIN_LEAST_MS);
	assert_int_equal(spread(10000000, 0, 1, 3600000), DRAIN_MOST_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_crowd_comes_no_faster_than_it_is_taken_in),
		cmocka_unit_test(a_short_grace_calls_them_back_sooner),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
