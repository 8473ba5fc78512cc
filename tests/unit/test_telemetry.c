#include "base/telemetry.h"

#include "support/cmocka_all.h"
#include "support/dies.h"
#include "support/failing_alloc.h"

#include <string.h>

static void new_board_is_zero_and_starting(void **state)
{
	(void)state;
	struct telemetry *t = telemetry_new(3, 12345);

	assert_non_null(t);
	assert_int_equal(t->n_workers, 3);
	assert_int_equal(t->started_mono_ms, 12345);
	assert_int_equal(atomic_load(&t->readiness), READINESS_STARTING);
	for (enum counter c = 0; c < COUNTER_N; c++)
		assert_int_equal(telemetry_counter(t, c), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(atomic_load(&t->workers[i].sessions), 0);
		assert_int_equal(histogram_count(&t->workers[i].loop_us), 0);
		assert_int_equal((uintptr_t)&t->workers[i] % CACHE_LINE, 0);
	}
	assert_int_equal((uintptr_t)&t->watchdog % CACHE_LINE, 0);
	telemetry_free(t);
}

static void counter_is_the_sum_of_all_blocks(void **state)
{
	(void)state;
	struct telemetry *t = telemetry_new(WORKERS_MAX, 0);
	uint64_t sum = 0;

	assert_non_null(t);
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		counter_add(&t->workers[i].counters, COUNTER_logins, i + 1);
		sum += i + 1;
	}
	counter_add(&t->watchdog.counters, COUNTER_logins, 10000);
	counter_add(&t->admin, COUNTER_logins, 1000000);
	assert_int_equal(telemetry_counter(t, COUNTER_logins), sum + 1010000);
	assert_int_equal(telemetry_counter(t, COUNTER_accepted), 0);
	telemetry_free(t);
}

static void each_start_has_an_id_of_its_own(void **state)
{
	(void)state;
	struct telemetry *a = telemetry_new(1, 0);
	struct telemetry *b = telemetry_new(1, 0);

	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(strlen(a->server_id), 32);
	assert_int_equal(strspn(a->server_id, "0123456789abcdef"), 32);
	assert_string_not_equal(a->server_id, b->server_id);
	telemetry_free(a);
	telemetry_free(b);
}

static void refused_memory_is_null(void **state)
{
	(void)state;
	long n = 1;

	for (;; n++) {
		alloc_fail_begin(n);
		struct telemetry *t = telemetry_new(2, 0);
		bool refused = alloc_fail_end();
		assert_int_equal(t == NULL, refused);
		telemetry_free(t); /* of NULL too */
		if (!refused)
			break;
	}
	assert_true(n > 1);
}

static void readiness_has_words(void **state)
{
	(void)state;
	assert_string_equal(readiness_word(READINESS_STARTING), "starting");
	assert_string_equal(readiness_word(READINESS_READY), "ready");
	assert_string_equal(readiness_word(READINESS_DRAINING), "draining");
	assert_string_equal(readiness_word(READINESS_STOPPING), "stopping");
}

static void make_with(void *n_workers)
{
	telemetry_new(*(unsigned *)n_workers, 0);
}

static void number_of_workers_is_bounded(void **state)
{
	(void)state;
	unsigned none = 0, many = WORKERS_MAX + 1;

	assert_true(dies(make_with, &none));
	assert_true(dies(make_with, &many));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_board_is_zero_and_starting),
		cmocka_unit_test(counter_is_the_sum_of_all_blocks),
		cmocka_unit_test(each_start_has_an_id_of_its_own),
		cmocka_unit_test(refused_memory_is_null),
		cmocka_unit_test(readiness_has_words),
		cmocka_unit_test(number_of_workers_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
