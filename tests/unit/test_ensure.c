#include "base/ensure.h"

#include "support/cmocka_all.h"
#include "support/dies.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void ensure_that(void *truth)
{
	ensure(*(int *)truth == 1);
}

static void debug_check_that(void *truth)
{
	debug_check(*(int *)truth == 1);
}

static void aborts_only_when_false(void **state)
{
	(void)state;
	int yes = 1, no = 0;

	assert_false(dies(ensure_that, &yes));
	assert_true(dies(ensure_that, &no));
	assert_false(dies(debug_check_that, &yes));
#ifdef PRESENCED_DEBUG
	assert_true(dies(debug_check_that, &no));
#else
	assert_false(dies(debug_check_that, &no));
#endif
}

static void evaluates_once(void **state)
{
	(void)state;
	int n = 0;

	ensure(++n == 1);
	assert_int_equal(n, 1);
}

static void says_what_and_where(void **state)
{
	(void)state;
	int ends[2], no = 0, status;
	char text[512];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit none = {0};
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		dup2(ends[1], 2);
		ensure_that(&no);
		_exit(0);
	}
	close(ends[1]);
	ssize_t len = read(ends[0], text, sizeof(text) - 1);
	assert_true(len > 0);
	text[len] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_non_null(strstr(text, "*(int *)truth == 1"));
	assert_non_null(strstr(text, "test_ensure.c:"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aborts_only_when_false),
		cmocka_unit_test(evaluates_once),
		cmocka_unit_test(says_what_and_where),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
