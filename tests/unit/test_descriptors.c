#include "net/descriptors.h"

#include "support/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static bool is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1 && p.revents == POLLIN;
}

static void the_limit_is_raised_to_the_hard_one(void **state)
{
	struct rlimit before, lowered, after;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	lowered = before;
	lowered.rlim_cur = before.rlim_max < 200 ? before.rlim_max : 200;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lowered), 0);
	uint64_t told = descriptors_raise_limit();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
	assert_true(told == after.rlim_cur);
	assert_true(after.rlim_cur == before.rlim_max);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void a_wakeup_is_seen_until_it_is_drained(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(wakeup_open(&fd), 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_false(is_readable(fd));
	wakeup_drain(fd); /* nothing to drain: returns */
	wakeup_signal(fd);
	wakeup_signal(fd);
	assert_true(is_readable(fd));
	wakeup_drain(fd); /* both at once */
	assert_false(is_readable(fd));
	close(fd);
}

static void a_full_wakeup_does_not_block_who_signals(void **state)
{
	uint64_t nearly_full = UINT64_MAX - 1;
	int fd;

	(void)state;
	assert_int_equal(wakeup_open(&fd), 0);
	assert_int_equal(write(fd, &nearly_full, sizeof(nearly_full)), sizeof(nearly_full));
	wakeup_signal(fd);
	assert_true(is_readable(fd));
	wakeup_drain(fd);
	assert_false(is_readable(fd));
	close(fd);
}

static void the_reserve_is_spent_once(void **state)
{
	struct reserve r;

	(void)state;
	assert_int_equal(reserve_open(&r), 0);
	int kept = r.fd;
	assert_true(is_open(kept));
	assert_true(reserve_spend(&r));
	assert_false(is_open(kept));
	assert_int_equal(r.fd, -1);
	assert_false(reserve_spend(&r));
	assert_int_equal(reserve_open(&r), 0);
	reserve_close(&r);
	reserve_close(&r);
	assert_false(reserve_spend(&r));
}

static void without_descriptors_there_is_no_reserve(void **state)
{
	struct rlimit before, none;
	struct reserve r = {.fd = 99};

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	int err = reserve_open(&r);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(err, -EMFILE);
	assert_int_equal(r.fd, -1);
	assert_false(reserve_spend(&r));
}

/* --- a table of its own --- */

struct unsharing {
	int low, high; /* descriptors of main: below what the thread keeps, and above */
	int err;
	bool has_low, has_high;
};

static void *unshare_and_look(void *argument)
{
	struct unsharing *u = argument;

	u->err = descriptors_unshare((unsigned)u->high);
	u->has_low = is_open(u->low);
	u->has_high = is_open(u->high);
	if (u->err == 0)
		close(u->low); /* in the thread's table alone */
	return NULL;
}

static void an_unshared_table_keeps_the_low_ones_and_drops_the_rest(void **state)
{
	struct unsharing u = {.low = open("/dev/null", O_RDONLY | O_CLOEXEC)};
	pthread_t thread;

	(void)state;
	assert_true(u.low >= 0);
	u.high = fcntl(u.low, F_DUPFD_CLOEXEC, 300);
	assert_true(u.high >= 300);
	assert_int_equal(pthread_create(&thread, NULL, unshare_and_look, &u), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	if (u.err < 0) {
		/* The refusals that the contract names leave all as it was. */
		assert_true(u.err == -ENOSYS || u.err == -EPERM || u.err == -EINVAL);
		assert_true(u.has_low && u.has_high);
	} else {
		assert_true(u.has_low);
		assert_false(u.has_high);
	}
	assert_true(is_open(u.low));
	assert_true(is_open(u.high));
	close(u.low);
	close(u.high);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_limit_is_raised_to_the_hard_one),
		cmocka_unit_test(a_wakeup_is_seen_until_it_is_drained),
		cmocka_unit_test(a_full_wakeup_does_not_block_who_signals),
		cmocka_unit_test(the_reserve_is_spent_once),
		cmocka_unit_test(without_descriptors_there_is_no_reserve),
		cmocka_unit_test(an_unshared_table_keeps_the_low_ones_and_drops_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
