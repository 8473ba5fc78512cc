/* Listeners that more than one may want at a start: a stale Unix path, and those that somebody hands down. */
#include "net/inherited.h"
#include "net/listener.h"

#include "support/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static const struct listener_params params = {.user_timeout_ms = 35000, .backlog = 128};
static char folder[64];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/presenced-test-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

static struct address local_address(const char *name)
{
	struct listen_url url;
	const char *why;
	char text[200];

	snprintf(text, sizeof(text), "unix://%s/%s", folder, name);
	assert_int_equal(listen_url_parse(text, strlen(text), &url, &why), 0);
	return url.address;
}

static bool is_answered(const struct address *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool is_connected = connect(fd, &a->u.any, a->len) == 0;

	close(fd);
	return is_connected;
}

/* --- two that start at once --- */

enum { ROUNDS = 2000 };

struct race {
	struct address where;
	atomic_uint arrived;
	int fds[2];
	unsigned n_both, n_none;
};

static void meet(struct race *r, unsigned *meeting)
{
	unsigned both = ++*meeting * 2;

	atomic_fetch_add(&r->arrived, 1);
	for (unsigned spins = 0; atomic_load(&r->arrived) < both; spins++)
		if (spins > 1000)
			sched_yield();
}

/* A socket that nobody listens on any more, as after kill -9. */
static void leave_stale(const struct address *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, &a->u.any, a->len), 0);
	close(fd);
}

static void run_race(struct race *r, unsigned self)
{
	unsigned meeting = 0;

	for (int round = 0; round < ROUNDS; round++) {
		if (self == 0)
			leave_stale(&r->where);
		meet(r, &meeting);
		r->fds[self] = -1;
		(void)listener_open_unix(&r->where, &params, &r->fds[self]);
		meet(r, &meeting);
		if (self == 0) {
			r->n_both += r->fds[0] >= 0 && r->fds[1] >= 0;
			r->n_none += r->fds[0] < 0 && r->fds[1] < 0;
		}
		meet(r, &meeting);
		if (r->fds[self] >= 0) {
			unlink(r->where.u.local.sun_path);
			close(r->fds[self]);
		}
		meet(r, &meeting);
	}
}

static void *second_main(void *arg)
{
	run_race(arg, 1);
	return NULL;
}

static void of_two_that_find_one_stale_path_one_gets_it(void **state)
{
	struct race r = {.where = local_address("s")};
	pthread_t second;

	(void)state;
	assert_int_equal(pthread_create(&second, NULL, second_main, &r), 0);
	run_race(&r, 0);
	pthread_join(second, NULL);
	assert_int_equal(r.n_both, 0);
	assert_int_equal(r.n_none, 0);
}

static void *open_main(void *arg)
{
	struct race *r = arg;

	(void)listener_open_unix(&r->where, &params, &r->fds[1]);
	return NULL;
}

static void a_path_is_not_touched_while_another_holds_the_folder(void **state)
{
	struct race r = {.where = local_address("s"), .fds = {-1, -1}};
	const struct timespec a_while = {.tv_nsec = 100000000};
	int lock = open(folder, O_RDONLY | O_DIRECTORY);
	pthread_t second;

	(void)state;
	leave_stale(&r.where);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	assert_int_equal(pthread_create(&second, NULL, open_main, &r), 0);
	nanosleep(&a_while, NULL);
	assert_false(is_answered(&r.where)); /* it is the stale one still */
	close(lock);
	pthread_join(second, NULL);
	assert_true(r.fds[1] >= 0);
	assert_true(is_answered(&r.where));
	listener_unlink_unix(&r.where, r.fds[1]);
	close(r.fds[1]);
}

static void a_folder_that_stays_locked_keeps_nobody_out(void **state)
{
	struct address a = local_address("s");
	int lock = open(folder, O_RDONLY | O_DIRECTORY), fd;

	(void)state;
	assert_int_equal(flock(lock, LOCK_EX), 0);
	assert_int_equal(listener_open_unix(&a, &params, &fd), 0);
	listener_unlink_unix(&a, fd);
	close(fd);
	close(lock);
}

/* --- inherited --- */

static int open_tcp(struct address *ret)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*ret = (struct address){.len = sizeof(struct sockaddr_in)};
	ret->u.any.sa_family = AF_INET;
	((struct sockaddr_in *)&ret->u.storage)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, &ret->u.any, ret->len), 0);
	assert_int_equal(getsockname(fd, &ret->u.any, &ret->len), 0);
	return fd;
}

static int option_of(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

static void an_adopted_listener_is_as_one_of_our_own(void **state)
{
	struct address a, peer;
	int listener = open_tcp(&a), theirs, ours;

	(void)state;
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(listener_adopt(listener, &params), 0);
	assert_true(fcntl(listener, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(listener, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(listener_accept(listener, &peer, &ours), -EAGAIN);
	theirs = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(theirs, &a.u.any, a.len), 0);
	assert_int_equal(listener_accept(listener, &peer, &ours), 0);
	assert_int_equal(option_of(ours, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option_of(ours, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option_of(ours, IPPROTO_TCP, TCP_USER_TIMEOUT), 35000);
	assert_int_equal(option_of(ours, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 16 * 1024);
	close(theirs);
	close(ours);
	close(listener);
	assert_int_equal(listener_adopt(listener, &params), -EBADF);
}

/* Puts it at a number from which the list is read; what was there is the caller's to bring back. */
static void move_to(int fd, int number)
{
	assert_int_equal(dup2(fd, number), number);
	close(fd);
}

static void what_was_handed_down_is_listed_by_address_and_name(void **state)
{
	struct inherited all[INHERITED_MAX];
	struct address a, unbound = local_address("s");
	char pid[16];
	size_t n = 99;
	int saved[2] = {dup(INHERITED_FIRST), dup(INHERITED_FIRST + 1)};
	int tcp = fcntl(open_tcp(&a), F_DUPFD, 100), local = -1;

	(void)state;
	assert_int_equal(listen(tcp, 1), 0);
	assert_int_equal(listener_open_unix(&unbound, &params, &local), 0);
	local = fcntl(local, F_DUPFD, 100);
	move_to(tcp, INHERITED_FIRST);
	move_to(local, INHERITED_FIRST + 1);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());

	assert_int_equal(inherited_list(pid, "2", "web:local.socket", all, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(all[0].fd, 3);
	assert_int_equal(address_port(&all[0].bound), address_port(&a));
	assert_string_equal(all[0].name, "web");
	assert_string_equal(all[1].bound.u.local.sun_path, unbound.u.local.sun_path);
	assert_string_equal(all[1].name, "local.socket");
	/* Fewer names than there are descriptors; none at all. */
	assert_int_equal(inherited_list(pid, "2", "web", all, &n), 0);
	assert_string_equal(all[1].name, "");
	assert_int_equal(inherited_list(pid, "2", NULL, all, &n), 0);
	assert_string_equal(all[0].name, "");
	assert_int_equal(n, 2);

	/* For another process, for nobody, for none. */
	assert_int_equal(inherited_list("1", "2", NULL, all, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(inherited_list(NULL, "2", NULL, all, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(inherited_list(pid, "0", NULL, all, &n), 0);
	assert_int_equal(n, 0);
	/* No numbers. */
	assert_int_equal(inherited_list(pid, "two", NULL, all, &n), -EINVAL);
	assert_int_equal(inherited_list("", "2", NULL, all, &n), -EINVAL);
	assert_int_equal(inherited_list(pid, "-1", NULL, all, &n), -EINVAL);
	assert_int_equal(inherited_list(pid, "65", NULL, all, &n), -EINVAL);

	/* The second is a socket that doesn't listen, no socket, nothing. */
	move_to(socket(AF_INET, SOCK_STREAM, 0), INHERITED_FIRST + 1);
	assert_int_equal(inherited_list(pid, "2", NULL, all, &n), -EOPNOTSUPP);
	assert_int_equal(n, 1);
	move_to(open("/dev/null", O_RDONLY), INHERITED_FIRST + 1);
	assert_int_equal(inherited_list(pid, "2", NULL, all, &n), -ENOTSOCK);
	close(INHERITED_FIRST + 1);
	assert_int_equal(inherited_list(pid, "2", NULL, all, &n), -EBADF);

	unlink(unbound.u.local.sun_path);
	close(INHERITED_FIRST);
	for (int i = 0; i < 2; i++)
		if (saved[i] >= 0)
			move_to(saved[i], INHERITED_FIRST + i);
}

int main(void)
{
#define UNIX_TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
	const struct CMUnitTest tests[] = {
		UNIX_TEST(of_two_that_find_one_stale_path_one_gets_it),
		UNIX_TEST(a_path_is_not_touched_while_another_holds_the_folder),
		UNIX_TEST(a_folder_that_stays_locked_keeps_nobody_out),
		cmocka_unit_test(an_adopted_listener_is_as_one_of_our_own),
		UNIX_TEST(what_was_handed_down_is_listed_by_address_and_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
