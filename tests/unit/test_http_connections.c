/* The admin HTTP: its connections, its start and its stop. */
#include "admin/http.h"

#include "base/clock.h"
#include "support/admin_fixture.h"
#include "support/failing_alloc.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- connections --------------------------------------------------------------------------------- */

static void ask_kept_alive(int fd, struct reply *ret)
{
	client_say(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
	client_hear(fd, true, ret);
	assert_int_equal(ret->status, 200);
}

static void test_several_requests_on_a_connection(void **state)
{
	struct reply r;
	int fd;

	admin_begin(*state);
	fd = client_dial(*state);
	for (int i = 0; i < 5; i++)
		ask_kept_alive(fd, &r);
	/* Pipelined. */
	client_say(fd,
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
	client_hear(fd, true, &r);
	assert_int_equal(r.status, 200);
	client_hear(fd, true, &r);
	reply_assert_error(&r, 404, "not_found");
	close(fd);
}

/* A request that comes a byte at a time is one all the same. */
static void test_a_request_in_pieces(void **state)
{
	static const char request[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct reply r;
	int fd;

	admin_begin(*state);
	fd = client_dial(*state);
	for (size_t i = 0; i < sizeof(request) - 1; i++)
		assert_int_equal(send(fd, &request[i], 1, MSG_NOSIGNAL), 1);
	client_hear(fd, true, &r);
	assert_int_equal(r.status, 200);
	close(fd);
}

/* Those who connect and say nothing, or half of something, are closed. */
static void test_the_slow_are_closed(void **state)
{
	static const char *const said[] = {
		"", "\r\n\r\n", "GET /sta", "GET /stats HTTP/1.1\r\nHost: localhost\r\n"};
	struct admin_fixture *f = *state;
	int fds[ARRAY_LEN(said)];

	f->params.timeout_s = 1;
	admin_begin(f);
	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		fds[i] = client_dial(f);
		client_say(fds[i], said[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		client_await_end(fds[i]);
		close(fds[i]);
	}
	assert_int_equal(client_status(f, "/healthz", ""), 200);
}

static void test_connections_over_the_limit_wait(void **state)
{
	struct admin_fixture *f = *state;
	int first, second, third;
	struct reply r;

	f->params.max_connections = 2;
	admin_begin(f);
	first = client_dial(f);
	second = client_dial(f);
	ask_kept_alive(first, &r);
	ask_kept_alive(second, &r);
	third = client_dial(f);
	client_say(third, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
	/* The one thread has been round its loop since: it would have answered. */
	for (int i = 0; i < 10; i++) {
		ask_kept_alive(first, &r);
		ask_kept_alive(second, &r);
	}
	assert_false(client_is_readable(third, 0));
	close(first);
	client_hear(third, true, &r);
	assert_int_equal(r.status, 200);
	close(second);
	close(third);
}

/* ---- start and stop ------------------------------------------------------------------------------ */

static void test_stop_with_open_connections(void **state)
{
	static const char *const said[] = {"", "GET /st",
		"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /stats HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345"};
	struct admin_fixture *f = *state;
	struct reply r;
	uint64_t began_ms;
	int fds[40], fd;

	admin_begin(f);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = client_dial(f);
		client_say(fds[i], said[i % ARRAY_LEN(said)]);
	}
	fd = client_dial(f);
	ask_kept_alive(fd, &r); /* so it has accepted those before, too */
	began_ms = clock_mono_ms();
	admin_stop(f->admin);
	f->admin = NULL;
	assert_in_range(clock_mono_ms() - began_ms, 0, 5000); /* far below the timeout */
	client_await_end(fd);
	close(fd);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		client_await_end(fds[i]);
		close(fds[i]);
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, &f->at.u.any, f->at.len), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
	admin_stop(NULL);
}

static void test_a_port_in_use(void **state)
{
	struct admin_fixture *f = *state;
	struct admin *second = (struct admin *)(uintptr_t)1;
	struct address untouched = {0}, port;
	struct reply r;

	admin_begin(f);
	client_get(f, "GET", "/healthz", "", &r);
	port = f->at;
	f->params.listen = port;
	assert_int_equal(admin_start(&f->params, &second, &untouched), -EADDRINUSE);
	assert_true(second == (struct admin *)(uintptr_t)1);
	assert_int_equal(untouched.len, 0);
	assert_int_equal(client_status(f, "/healthz", ""), 200);

	/* At once after the stop, with its old connections in TIME_WAIT, it is free. */
	admin_stop(f->admin);
	f->admin = NULL;
	admin_begin(f);
	assert_int_equal(address_port(&f->at), address_port(&port));
	assert_int_equal(client_status(f, "/healthz", ""), 200);
}

static void test_an_address_of_others(void **state)
{
	static const char text[] = "192.0.2.1:7402"; /* for documentation: nobody's */
	struct admin_fixture *f = *state;
	const char *why;

	assert_int_equal(address_parse(text, strlen(text), &f->params.listen, &why), 0);
	assert_int_equal(admin_start(&f->params, &f->admin, &f->at), -EADDRNOTAVAIL);
	assert_null(f->admin);
}

static void test_ipv6(void **state)
{
	struct admin_fixture *f = *state;
	const char *why;
	int err;

	assert_int_equal(address_parse("[::1]:0", 7, &f->params.listen, &why), 0);
	err = admin_start(&f->params, &f->admin, &f->at);
	if (err == -EADDRNOTAVAIL || err == -EAFNOSUPPORT)
		skip(); /* this machine has no IPv6 */
	assert_int_equal(err, 0);
	assert_int_equal(f->at.u.any.sa_family, AF_INET6);
	assert_int_equal(client_status(f, "/healthz", ""), 200);
}

/* A signal to the process is left to those who wait for it: the server's thread does not take it, which
 * here would end the program. */
static void test_signals_are_not_for_its_thread(void **state)
{
	struct timespec patience = {.tv_sec = 20};
	sigset_t set;

	admin_begin(*state);
	/* By its answer the thread runs: until then libc itself keeps signals from it. */
	assert_int_equal(client_status(*state, "/healthz", ""), 200);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	assert_int_equal(sigtimedwait(&set, NULL, &patience), SIGUSR1);
	assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
}

/* The highest number and how many are open, this look's own not counted. */
static unsigned open_descriptors(unsigned *ret_highest)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *e;
	unsigned n = 0, fd;

	assert_non_null(dir);
	*ret_highest = 0;
	while ((e = readdir(dir)) != NULL) {
		if (sscanf(e->d_name, "%u", &fd) != 1 || (int)fd == dirfd(dir))
			continue;
		*ret_highest = fd > *ret_highest ? fd : *ret_highest;
		n++;
	}
	closedir(dir);
	return n;
}

/* Takes the free numbers below the highest one in use, so that a limit bites. */
static int fill_holes(int *fillers, int max)
{
	unsigned highest;
	int fd, n = 0;

	open_descriptors(&highest);
	while ((fd = dup(STDERR_FILENO)) < (int)highest) {
		assert_true(fd >= 0 && n < max);
		fillers[n++] = fd;
	}
	close(fd);
	return n;
}

static void test_too_few_descriptors(void **state)
{
	struct admin_fixture *f = *state;
	struct rlimit old, low;
	unsigned n_before, highest, unused, limit;
	int fillers[512], n_fillers, err;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	n_fillers = fill_holes(fillers, ARRAY_LEN(fillers));
	n_before = open_descriptors(&highest);
	for (limit = highest + 1; limit < highest + 20; limit++) {
		low = (struct rlimit){.rlim_cur = limit, .rlim_max = old.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
		err = admin_start(&f->params, &f->admin, &f->at);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		if (err == 0)
			break;
		assert_int_equal(err, -EMFILE);
		assert_null(f->admin);
		assert_int_equal(open_descriptors(&unused), n_before);
	}
	assert_non_null(f->admin);
	assert_true(limit > highest + 1);
	admin_stop(f->admin);
	f->admin = NULL;
	assert_int_equal(open_descriptors(&unused), n_before);
	while (n_fillers > 0)
		close(fillers[--n_fillers]);
}

static void test_refused_memory(void **state)
{
	struct admin_fixture *f = *state;
	long n;
	int err;

	f->params.token = "t";
	for (n = 1; n < 100; n++) {
		alloc_fail_begin(n);
		err = admin_start(&f->params, &f->admin, &f->at);
		if (!alloc_fail_end())
			break;
		assert_int_equal(err, -ENOMEM);
		assert_null(f->admin);
	}
	assert_int_equal(err, 0);
	assert_true(n > 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, admin_setup, admin_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_several_requests_on_a_connection),
		TEST(test_a_request_in_pieces),
		TEST(test_the_slow_are_closed),
		TEST(test_connections_over_the_limit_wait),
		TEST(test_stop_with_open_connections),
		TEST(test_a_port_in_use),
		TEST(test_an_address_of_others),
		TEST(test_ipv6),
		TEST(test_signals_are_not_for_its_thread),
		TEST(test_too_few_descriptors),
		TEST(test_refused_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
