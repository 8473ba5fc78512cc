/* The scheduler's slice. What it does for waiting times is a matter of the bench. */
#include "base/slice.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

enum { SLICE_NS = 500000 };

static uint64_t runtime_ns(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime_ns, deadline_ns, period_ns, clamps;
	} is = {.size = 0};
	assert_int_equal(syscall(SYS_sched_getattr, 0, &is, sizeof(is), 0), 0);
	return is.runtime_ns;
}

static void *look(void *ret)
{
	*(uint64_t *)ret = runtime_ns();
	return NULL;
}

/* Threads of their own: what is set of one is not to be of the other tests. */
static void *nice_stays_and_threads_inherit(void *unused)
{
	uint64_t before = runtime_ns(), after, inherited = 0;
	pthread_t thread;
	assert_int_equal(setpriority(PRIO_PROCESS, 0, 3), 0);
	assert_int_equal(slice_set(SLICE_NS, SLICE_PROMPT), 0);
	assert_int_equal(getpriority(PRIO_PROCESS, 0), 3);
	assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
	after = runtime_ns();
	if (after != before) /* before Linux 6.12 nothing is */
		assert_int_equal(after, SLICE_NS);
	assert_int_equal(pthread_create(&thread, NULL, look, &inherited), 0);
	pthread_join(thread, NULL);
	assert_int_equal(inherited, after);
	return unused;
}

static void *another_policy_is_left_alone(void *unused)
{
	struct sched_param none = {.sched_priority = 0};
	assert_int_equal(sched_setscheduler(0, SCHED_BATCH, &none), 0);
	assert_int_equal(slice_set(SLICE_NS, SLICE_PROMPT), -EINVAL);
	assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
	return unused;
}

static void *patient_with_the_slice(void *unused)
{
	uint64_t before = runtime_ns(), after;
	assert_int_equal(slice_set(SLICE_NS, SLICE_PROMPT), 0);
	after = runtime_ns();
	assert_int_equal(slice_set(SLICE_NS / 2, SLICE_PATIENT), 0);
	assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
	if (after != before)
		assert_int_equal(runtime_ns(), SLICE_NS / 2);
	return unused;
}

static void run(void *(*test)(void *))
{
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, test, NULL), 0);
	pthread_join(thread, NULL);
}

static void test_nice_stays_and_threads_inherit(void **state)
{
	(void)state;
	run(nice_stays_and_threads_inherit);
}

static void test_another_policy_is_left_alone(void **state)
{
	(void)state;
	run(another_policy_is_left_alone);
}

static void test_patient_with_the_slice(void **state)
{
	(void)state;
	run(patient_with_the_slice);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nice_stays_and_threads_inherit),
		cmocka_unit_test(test_patient_with_the_slice),
		cmocka_unit_test(test_another_policy_is_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
