#include "server/alarm.h"

#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void set(struct alarms *a, uint64_t due_ms, uint32_t fd)
{
	struct alarm alarm = {.fd = fd, .generation = fd + 1};

	alarm.due_ms = due_ms & ((UINT64_C(1) << 56) - 1);
	alarm.kind = ALARM_PING;
	assert_int_equal(alarm_set(a, alarm), 0);
}

/* The next of a fixed sequence: what failed once fails again. */
static uint32_t draw(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static int compare_due(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static void without_alarms_nothing_is_due(void **state)
{
	struct alarms a = {.heap = NULL};
	struct alarm got;

	(void)state;
	assert_true(alarm_next_ms(&a) == UINT64_MAX);
	assert_false(alarm_take(&a, UINT64_MAX, &got));
	alarm_destroy(&a);
}

static void an_alarm_is_due_at_its_time_and_no_sooner(void **state)
{
	struct alarms a = {.heap = NULL};
	struct alarm got = {.fd = 77};

	(void)state;
	set(&a, 1000, 5);
	assert_true(alarm_next_ms(&a) == 1000);
	assert_false(alarm_take(&a, 999, &got));
	assert_int_equal(got.fd, 77);
	assert_true(alarm_take(&a, 1000, &got));
	assert_int_equal(got.fd, 5);
	assert_int_equal(got.generation, 6);
	assert_int_equal(got.kind, ALARM_PING);
	assert_true(got.due_ms == 1000);
	assert_false(alarm_take(&a, UINT64_MAX, &got));
	assert_true(alarm_next_ms(&a) == UINT64_MAX);
	alarm_destroy(&a);
}

/* All that was set comes out once, in the order of its time, whatever order it came in. */
static void check_against_sorted(uint32_t seed, size_t n, uint32_t n_times)
{
	struct alarms a = {.heap = NULL};
	struct alarm got;
	uint64_t *due = malloc(n * sizeof(*due));
	bool *is_out = calloc(n, 1);

	assert_true(due && is_out);
	for (size_t i = 0; i < n; i++) {
		due[i] = draw(&seed) % n_times;
		set(&a, due[i], (uint32_t)i);
	}
	uint64_t *sorted = malloc(n * sizeof(*sorted));
	assert_non_null(sorted);
	memcpy(sorted, due, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_due);
	for (size_t i = 0; i < n; i++) {
		assert_true(alarm_next_ms(&a) == sorted[i]);
		assert_false(sorted[i] > 0 && alarm_take(&a, sorted[i] - 1, &got));
		assert_true(alarm_take(&a, sorted[i], &got));
		assert_true(got.due_ms == sorted[i] && due[got.fd] == sorted[i]);
		assert_int_equal(got.generation, got.fd + 1);
		assert_false(is_out[got.fd]);
		is_out[got.fd] = true;
	}
	assert_false(alarm_take(&a, UINT64_MAX, &got));
	alarm_destroy(&a);
	free(sorted);
	free(is_out);
	free(due);
}

static void alarms_come_in_the_order_of_their_times(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 50; seed++)
		check_against_sorted(seed, seed * 7, 1u << 20);
	check_against_sorted(99, 5000, 1u << 20);
}

static void many_alarms_of_one_time_all_come(void **state)
{
	(void)state;
	for (uint32_t n_times = 1; n_times <= 4; n_times++)
		check_against_sorted(n_times, 1000, n_times);
}

/* As the workers use it: alarms are set while others are taken. */
static void what_is_set_meanwhile_keeps_the_order(void **state)
{
	struct alarms a = {.heap = NULL};
	uint32_t seed = 7, n_set = 0, n_taken = 0;
	struct alarm got;

	(void)state;
	for (uint64_t now_ms = 0; now_ms < 20000; now_ms++) {
		for (uint32_t i = draw(&seed) % 3; i > 0; i--)
			set(&a, now_ms + draw(&seed) % 500, n_set++);
		while (alarm_take(&a, now_ms, &got)) {
			assert_true(got.due_ms == now_ms); /* looked at each millisecond */
			n_taken++;
		}
		assert_true(alarm_next_ms(&a) > now_ms);
	}
	assert_int_equal(n_set, n_taken + a.n);
	assert_true(n_taken > 10000);
	alarm_destroy(&a);
}

static void times_may_be_as_long_as_56_bits(void **state)
{
	static const uint64_t longest = (UINT64_C(1) << 56) - 1;
	struct alarms a = {.heap = NULL};
	struct alarm got;

	(void)state;
	set(&a, longest, 1);
	set(&a, UINT64_C(1) << 40, 2);
	assert_true(alarm_take(&a, longest - 1, &got));
	assert_int_equal(got.fd, 2);
	assert_false(alarm_take(&a, longest - 1, &got));
	assert_true(alarm_take(&a, longest, &got));
	assert_int_equal(got.fd, 1);
	alarm_destroy(&a);
}

/* A connection's next alarm takes the place of the one that rang: it needs no memory, and can't fail. */
static void an_alarm_set_for_one_taken_allocates_nothing(void **state)
{
	struct alarms a = {.heap = NULL};
	struct alarm got;

	(void)state;
	for (uint32_t i = 0; i < 16; i++)
		set(&a, i, i);
	assert_int_equal(a.capacity, a.n); /* full */
	assert_true(alarm_take(&a, 0, &got));
	alloc_fail_begin(1);
	set(&a, 100, 0);
	assert_false(alloc_fail_end());
	alarm_destroy(&a);
}

static void a_refused_allocation_keeps_those_there_are(void **state)
{
	struct alarms a = {.heap = NULL};
	struct alarm got;
	uint32_t n = 0;

	(void)state;
	for (unsigned refusals = 0; refusals < 3;) {
		struct alarm alarm = {.due_ms = 1000 - n, .fd = n};

		alloc_fail_begin(1);
		int err = alarm_set(&a, alarm);
		if (!alloc_fail_end()) {
			assert_int_equal(err, 0);
			n++;
			continue;
		}
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(a.n, n);
		refusals++;
		set(&a, 1000 - n, n); /* now it is granted */
		n++;
	}
	while (n > 0) {
		n--;
		assert_true(alarm_take(&a, 1000, &got));
		assert_int_equal(got.fd, n);
	}
	alarm_destroy(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_alarms_nothing_is_due),
		cmocka_unit_test(an_alarm_is_due_at_its_time_and_no_sooner),
		cmocka_unit_test(alarms_come_in_the_order_of_their_times),
		cmocka_unit_test(many_alarms_of_one_time_all_come),
		cmocka_unit_test(what_is_set_meanwhile_keeps_the_order),
		cmocka_unit_test(times_may_be_as_long_as_56_bits),
		cmocka_unit_test(an_alarm_set_for_one_taken_allocates_nothing),
		cmocka_unit_test(a_refused_allocation_keeps_those_there_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
