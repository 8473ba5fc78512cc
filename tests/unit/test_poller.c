#include "net/poller.h"

#include "base/clock.h"
#include "net/descriptors.h"
#include "support/cmocka_all.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct poller poller;
static struct poller_event events[POLLER_BATCH];

static int open_poller(void **state)
{
	(void)state;
	return poller_open(&poller);
}

static int close_poller(void **state)
{
	(void)state;
	poller_close(&poller);
	return poller.fd == -1 ? 0 : -1;
}

/* A connected pair over TCP on loopback. */
static void connect_pair(int *ret_ours, int *ret_theirs)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &len), 0);
	*ret_theirs = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(*ret_theirs, (struct sockaddr *)&in, len), 0);
	*ret_ours = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(*ret_ours >= 0);
	close(listener);
}

static void send_text(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
}

/* The one event that must come. */
static struct poller_event expect_one(uint64_t token)
{
	assert_int_equal(poller_wait(&poller, events, UINT64_MAX), 1);
	assert_true(events[0].token == token);
	return events[0];
}

/* On loopback what a send or close does to the peer's socket is done when it returns. */
static void expect_none(void)
{
	assert_int_equal(poller_wait(&poller, events, 0), 0);
}

static void a_fresh_connection_is_writable_and_told_once(void **state)
{
	uint64_t token = 0xfedcba9876543210;
	int ours, theirs;

	(void)state;
	connect_pair(&ours, &theirs);
	assert_int_equal(poller_add_connection(&poller, ours, token), 0);
	struct poller_event e = expect_one(token);
	assert_true(e.is_writable);
	assert_false(e.is_readable || e.has_hangup || e.is_dead);
	expect_none();
	close(ours);
	close(theirs);
}

static void bytes_are_an_edge_each_time_they_come(void **state)
{
	char got[8];
	int ours, theirs;

	(void)state;
	connect_pair(&ours, &theirs);
	assert_int_equal(poller_add_connection(&poller, ours, 1), 0);
	expect_one(1);
	send_text(theirs, "a");
	struct poller_event e = expect_one(1);
	assert_true(e.is_readable);
	assert_false(e.has_hangup || e.is_dead);
	expect_none(); /* though it wasn't read: edges, not levels */
	send_text(theirs, "b");
	assert_true(expect_one(1).is_readable);
	assert_int_equal(recv(ours, got, sizeof(got), 0), 2);
	expect_none();
	close(ours);
	close(theirs);
}

static void data_and_fin_together_are_told_as_a_hangup_to_read_on_to(void **state)
{
	char got[8];
	int ours, theirs;

	(void)state;
	connect_pair(&ours, &theirs);
	assert_int_equal(poller_add_connection(&poller, ours, 1), 0);
	expect_one(1);
	send_text(theirs, "last");
	shutdown(theirs, SHUT_WR);
	struct poller_event e = expect_one(1);
	assert_true(e.is_readable && e.has_hangup);
	assert_false(e.is_dead); /* it still reads */
	assert_int_equal(recv(ours, got, sizeof(got), 0), 4);
	expect_none(); /* no second edge comes: the short read was not all */
	assert_int_equal(recv(ours, got, sizeof(got), 0), 0);
	close(ours);
	close(theirs);
}

static void a_reset_is_a_dead_connection(void **state)
{
	struct linger at_once = {.l_onoff = 1};
	int ours, theirs;

	(void)state;
	connect_pair(&ours, &theirs);
	assert_int_equal(poller_add_connection(&poller, ours, 1), 0);
	expect_one(1);
	setsockopt(theirs, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(theirs);
	struct poller_event e = expect_one(1);
	assert_true(e.is_readable && e.has_hangup && e.is_dead);
	close(ours);
}

static void urgent_data_counts_as_a_hangup(void **state)
{
	int ours, theirs;

	(void)state;
	connect_pair(&ours, &theirs);
	assert_int_equal(poller_add_connection(&poller, ours, 1), 0);
	expect_one(1);
	assert_int_equal(send(theirs, "!", 1, MSG_OOB), 1);
	struct poller_event e = expect_one(1);
	assert_true(e.is_readable && e.has_hangup);
	assert_false(e.is_dead);
	close(ours);
	close(theirs);
}

static void a_shared_descriptor_is_told_until_it_is_drained(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(wakeup_open(&fd), 0);
	assert_int_equal(poller_add_shared(&poller, fd, 7, false), 0);
	expect_none();
	wakeup_signal(fd);
	assert_true(expect_one(7).is_readable);
	assert_true(expect_one(7).is_readable); /* a level */
	wakeup_drain(fd);
	expect_none();
	close(fd);
}

static void an_exclusive_descriptor_can_be_in_several_pollers(void **state)
{
	struct poller other;
	int fd;

	(void)state;
	assert_int_equal(poller_open(&other), 0);
	assert_int_equal(wakeup_open(&fd), 0);
	assert_int_equal(poller_add_shared(&poller, fd, 7, true), 0);
	assert_int_equal(poller_add_shared(&other, fd, 8, true), 0);
	wakeup_signal(fd);
	int n = poller_wait(&poller, events, 0);
	n += poller_wait(&other, events, 0);
	assert_true(n >= 1);
	close(fd);
	poller_close(&other);
}

static void what_was_removed_is_silent(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(wakeup_open(&fd), 0);
	assert_int_equal(poller_add_shared(&poller, fd, 7, false), 0);
	assert_int_equal(poller_add_shared(&poller, fd, 7, false), -EEXIST);
	assert_int_equal(poller_remove(&poller, fd), 0);
	assert_int_equal(poller_remove(&poller, fd), -ENOENT);
	wakeup_signal(fd);
	expect_none();
	close(fd);
	assert_int_equal(poller_add_shared(&poller, fd, 7, false), -EBADF);
}

static void many_events_come_in_batches_and_none_is_lost(void **state)
{
	enum { N = POLLER_BATCH + 10 };
	static int fds[N];
	unsigned n_seen = 0;
	bool seen[N] = {false};

	(void)state;
	for (int i = 0; i < N; i++) {
		assert_int_equal(wakeup_open(&fds[i]), 0);
		assert_int_equal(poller_add_shared(&poller, fds[i], (uint64_t)i, false), 0);
		wakeup_signal(fds[i]);
	}
	for (int turn = 0; turn < 2; turn++) {
		int n = poller_wait(&poller, events, 0);
		assert_in_range(n, 1, POLLER_BATCH);
		for (int i = 0; i < n; i++) {
			assert_false(seen[events[i].token]);
			seen[events[i].token] = true;
			wakeup_drain(fds[events[i].token]);
			n_seen++;
		}
	}
	assert_int_equal(n_seen, N);
	for (int i = 0; i < N; i++)
		close(fds[i]);
}

static void a_wait_is_not_shorter_than_asked(void **state)
{
	static const uint64_t timeouts_us[] = {1, 300, 1500, 2000};

	(void)state;
	for (size_t i = 0; i < sizeof(timeouts_us) / sizeof(timeouts_us[0]); i++) {
		uint64_t began_ns = clock_mono_ns();
		assert_int_equal(poller_wait(&poller, events, timeouts_us[i]), 0);
		assert_true(clock_mono_ns() - began_ns >= timeouts_us[i] * 1000);
	}
}

/* The rest of this process's life is one on a kernel without epoll_pwait2. */
static bool refuse_pwait2(int with_errno)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)with_errno),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
	struct epoll_event event;

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
	       epoll_pwait2(poller.fd, &event, 1, NULL, NULL) < 0 && errno == with_errno;
}

/* 0 when the poller does without, else which step it fails at. */
static int wait_without_pwait2(int with_errno)
{
	uint64_t began_ns;
	int fd;

	if (wakeup_open(&fd) < 0 || poller_add_shared(&poller, fd, 7, false) < 0)
		return 1;
	if (!refuse_pwait2(with_errno))
		return 2;
	began_ns = clock_mono_ns();
	if (poller_wait(&poller, events, 1500) != 0)
		return 3;
	if (clock_mono_ns() - began_ns < 1500000)
		return 4;
	wakeup_signal(fd);
	if (poller_wait(&poller, events, UINT64_MAX) != 1 || events[0].token != 7)
		return 5;
	return poller_wait(&poller, events, UINT64_MAX - 1) == 1 ? 0 : 6;
}

static void without_epoll_pwait2_waits_are_rounded_up(void **state)
{
	static const int errors[] = {ENOSYS, EPERM};

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		pid_t child = fork();
		int status;

		assert_true(child >= 0);
		if (child == 0)
			_exit(wait_without_pwait2(errors[i]));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_poller, close_poller)
	const struct CMUnitTest tests[] = {
		TEST(a_fresh_connection_is_writable_and_told_once),
		TEST(bytes_are_an_edge_each_time_they_come),
		TEST(data_and_fin_together_are_told_as_a_hangup_to_read_on_to),
		TEST(a_reset_is_a_dead_connection),
		TEST(urgent_data_counts_as_a_hangup),
		TEST(a_shared_descriptor_is_told_until_it_is_drained),
		TEST(an_exclusive_descriptor_can_be_in_several_pollers),
		TEST(what_was_removed_is_silent),
		TEST(many_events_come_in_batches_and_none_is_lost),
		TEST(a_wait_is_not_shorter_than_asked),
		TEST(without_epoll_pwait2_waits_are_rounded_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
