#include "net/listener.h"

#include "support/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct listener_params params = {.user_timeout_ms = 35000, .backlog = 128};

static struct address address_of(const char *text)
{
	struct address a;
	const char *why;

	assert_int_equal(address_parse(text, strlen(text), &a, &why), 0);
	return a;
}

static struct address local_address(const char *folder, const char *name)
{
	struct listen_url url;
	const char *why;
	char text[200];

	snprintf(text, sizeof(text), "unix://%s/%s", folder, name);
	assert_int_equal(listen_url_parse(text, strlen(text), &url, &why), 0);
	return url.address;
}

static int connect_to(const struct address *a)
{
	int fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (connect(fd, &a->u.any, a->len) < 0) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int option_of(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

static bool has_ipv6(void)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0;

	close(fd);
	return has;
}

/* --- claims --- */

static void port_0_becomes_one_that_the_workers_share(void **state)
{
	struct address a = address_of("127.0.0.1:0");
	int claim, first, second;

	(void)state;
	assert_int_equal(listener_claim(&a, &claim), 0);
	assert_int_not_equal(address_port(&a), 0);
	assert_int_equal(connect_to(&a), -ECONNREFUSED); /* a claim doesn't listen */
	assert_int_equal(listener_open_shared(&a, &params, &first), 0);
	assert_int_equal(listener_open_shared(&a, &params, &second), 0);
	close(claim);
	int peer = connect_to(&a);
	assert_true(peer >= 0);
	close(peer);
	close(first);
	close(second);
}

/* A port that was free a moment ago, as an address with a fixed one. */
static struct address free_address(const char *text)
{
	struct address a = address_of(text);
	int claim;

	assert_int_equal(listener_claim(&a, &claim), 0);
	close(claim);
	return a;
}

static void a_second_claim_is_refused_at_every_stage(void **state)
{
	struct address a = free_address("127.0.0.1:0");
	int claim, listener, other = -2;

	(void)state;
	assert_int_equal(listener_claim(&a, &claim), 0);
	assert_int_equal(listener_claim(&a, &other), -EADDRINUSE); /* claimed, nobody listens */
	assert_int_equal(listener_open_shared(&a, &params, &listener), 0);
	assert_int_equal(listener_claim(&a, &other), -EADDRINUSE); /* claimed and listening */
	close(claim);
	assert_int_equal(listener_claim(&a, &other), -EADDRINUSE); /* listening with SO_REUSEPORT */
	assert_int_equal(other, -2);
	close(listener);
	assert_int_equal(listener_claim(&a, &claim), 0); /* free again */
	close(claim);
}

static void a_claim_of_a_port_that_the_kernel_chose_is_as_exclusive(void **state)
{
	struct address a = address_of("127.0.0.1:0");
	int claim, other;

	(void)state;
	assert_int_equal(listener_claim(&a, &claim), 0);
	assert_int_equal(listener_claim(&a, &other), -EADDRINUSE);
	close(claim);
}

static void a_claim_of_all_addresses_collides_with_one_of_them(void **state)
{
	struct address one = free_address("127.0.0.1:0"), all = address_of("*:0");
	int claim, other;

	(void)state;
	address_set_port(&all, address_port(&one));
	assert_int_equal(listener_claim(&one, &claim), 0);
	assert_int_equal(listener_claim(&all, &other), -EADDRINUSE);
	close(claim);
	assert_int_equal(listener_claim(&all, &claim), 0);
	assert_int_equal(listener_claim(&one, &other), -EADDRINUSE);
	close(claim);
}

/* Shared by two processes that claim at the same moment. */
struct race {
	atomic_uint arrived; /* at the meeting points so far, by both */
	atomic_bool has_claimed[2];
};

/* Spins until both are here: a sleeping one would come some microseconds after the other. */
static void meet(struct race *r, unsigned *meeting)
{
	unsigned both = ++*meeting * 2;

	atomic_fetch_add(&r->arrived, 1);
	for (unsigned spins = 0; atomic_load(&r->arrived) < both; spins++) {
		if (spins > 1000)
			sched_yield();
	}
}

/* How often both claimed it. */
static unsigned claim_in_race(struct race *r, unsigned self, const struct address *where)
{
	enum { ROUNDS = 3000 };
	unsigned n_both = 0, meeting = 0;

	for (int round = 0; round < ROUNDS; round++) {
		struct address a = *where;
		int claim = -1;

		meet(r, &meeting);
		atomic_store(&r->has_claimed[self], listener_claim(&a, &claim) == 0);
		meet(r, &meeting);
		n_both += atomic_load(&r->has_claimed[0]) && atomic_load(&r->has_claimed[1]);
		if (claim >= 0)
			close(claim);
	}
	return n_both;
}

static void of_two_that_claim_at_the_same_moment_one_gets_it_at_most(void **state)
{
	struct address a = free_address("127.0.0.1:0");
	struct race *r =
		mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;

	(void)state;
	assert_true(r != MAP_FAILED);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		claim_in_race(r, 1, &a);
		_exit(0);
	}
	unsigned n_both = claim_in_race(r, 0, &a);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(n_both, 0);
	munmap(r, sizeof(*r));
}

static void what_is_left_in_time_wait_does_not_block_a_restart(void **state)
{
	struct address a = free_address("127.0.0.1:0"), peer_address;
	int claim, listener, theirs, ours;
	char byte;

	(void)state;
	assert_int_equal(listener_claim(&a, &claim), 0);
	assert_int_equal(listener_open_shared(&a, &params, &listener), 0);
	close(claim);
	theirs = connect_to(&a);
	assert_true(theirs >= 0);
	assert_int_equal(listener_accept(listener, &peer_address, &ours), 0);
	close(ours); /* first: TIME_WAIT is on the server's side */
	assert_int_equal(read(theirs, &byte, 1), 0);
	close(theirs);
	close(listener);

	/* The leftover is there, or the test would show nothing. */
	int plain = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(plain, &a.u.any, a.len), -1);
	assert_int_equal(errno, EADDRINUSE);
	close(plain);

	assert_int_equal(listener_claim(&a, &claim), 0);
	assert_int_equal(listener_open_shared(&a, &params, &listener), 0);
	close(claim);
	close(listener);
}

static void a_connection_that_is_still_open_does_not_block_a_restart(void **state)
{
	struct address a = free_address("127.0.0.1:0"), peer_address;
	int claim, listener, theirs, ours;

	(void)state;
	assert_int_equal(listener_claim(&a, &claim), 0);
	assert_int_equal(listener_open_shared(&a, &params, &listener), 0);
	close(claim);
	theirs = connect_to(&a);
	assert_int_equal(listener_accept(listener, &peer_address, &ours), 0);
	close(listener);
	assert_int_equal(listener_claim(&a, &claim), 0);
	assert_int_equal(listener_open_shared(&a, &params, &listener), 0);
	close(claim);
	close(listener);
	close(theirs);
	close(ours);
}

static void an_address_that_is_not_ours_is_an_error(void **state)
{
	struct address a = address_of("192.0.2.1:7400");
	int claim = -2;

	(void)state;
	assert_int_equal(listener_claim(&a, &claim), -EADDRNOTAVAIL);
	assert_int_equal(claim, -2);
}

/* --- IPv6 --- */

static void star_serves_ipv4_and_where_there_is_one_ipv6(void **state)
{
	struct address a = address_of("*:0");
	int claim, listener, peer;

	(void)state;
	assert_int_equal(listener_claim(&a, &claim), 0);
	assert_int_equal(listener_open_shared(&a, &params, &listener), 0);
	close(claim);
	struct address v4 = address_of("127.0.0.1:0");
	address_set_port(&v4, address_port(&a));
	peer = connect_to(&v4);
	assert_true(peer >= 0);
	close(peer);
	if (has_ipv6()) {
		struct address v6 = address_of("[::1]:0");
		address_set_port(&v6, address_port(&a));
		peer = connect_to(&v6);
		assert_true(peer >= 0);
		close(peer);
	}
	close(listener);
}

static void an_ipv6_address_is_for_ipv6_alone(void **state)
{
	struct address a = address_of("[::1]:0");
	int claim, listener;

	(void)state;
	if (!has_ipv6())
		skip();
	assert_int_equal(listener_claim(&a, &claim), 0);
	assert_int_equal(listener_open_shared(&a, &params, &listener), 0);
	assert_int_equal(option_of(claim, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	assert_int_equal(option_of(listener, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	close(claim);
	close(listener);
}

/* The rest of this process's life is one on a machine without IPv6. */
static bool refuse_ipv6(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 && !has_ipv6();
}

static int claim_star_without_ipv6(void)
{
	struct address star = address_of("*:0"), one = address_of("[::1]:0");
	int claim, listener;

	if (!refuse_ipv6())
		return 1;
	if (listener_claim(&one, &claim) != -EAFNOSUPPORT) /* asked for by name: no fallback */
		return 2;
	if (listener_claim(&star, &claim) < 0)
		return 3;
	if (star.u.any.sa_family != AF_INET || address_port(&star) == 0)
		return 4;
	return listener_open_shared(&star, &params, &listener) < 0 ? 5 : 0;
}

static void without_ipv6_star_is_every_ipv4_address(void **state)
{
	int status;
	pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (child == 0)
		_exit(claim_star_without_ipv6());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- connections --- */

static void an_accepted_connection_carries_the_options(void **state)
{
	struct address a = address_of("127.0.0.1:0"), peer_address, name = {.len = sizeof(name.u)};
	int claim, listener, theirs, ours;

	(void)state;
	assert_int_equal(listener_claim(&a, &claim), 0);
	assert_int_equal(listener_open_shared(&a, &params, &listener), 0);
	close(claim);
	theirs = connect_to(&a);
	assert_int_equal(listener_accept(listener, &peer_address, &ours), 0);
	assert_int_equal(getsockname(theirs, &name.u.any, &name.len), 0);
	assert_int_equal(address_port(&peer_address), address_port(&name));
	assert_int_equal(option_of(ours, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option_of(ours, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option_of(ours, IPPROTO_TCP, TCP_USER_TIMEOUT), 35000);
	assert_int_equal(option_of(ours, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 16 * 1024);
	assert_true(fcntl(ours, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(ours, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(listener, F_GETFD) & FD_CLOEXEC);
	close(theirs);
	close(ours);
	close(listener);
}

static void accepting_with_nobody_there_is_eagain(void **state)
{
	struct address a = address_of("127.0.0.1:0"), peer_address;
	int claim, listener, ours = -2;

	(void)state;
	assert_int_equal(listener_claim(&a, &claim), 0);
	assert_int_equal(listener_open_shared(&a, &params, &listener), 0);
	assert_int_equal(listener_accept(listener, &peer_address, &ours), -EAGAIN);
	assert_int_equal(ours, -2);
	close(claim);
	close(listener);
}

/* --- Unix sockets --- */

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
	return rmdir(folder); /* fails where a test left a path behind */
}

static bool path_exists(const struct address *a)
{
	struct stat st;

	return lstat(a->u.local.sun_path, &st) == 0;
}

static void a_unix_path_is_served_with_its_mode_and_unlinked(void **state)
{
	struct address a = local_address(folder, "s"), peer_address;
	mode_t umask_before = umask(077);
	struct stat st;
	int listener, theirs, ours;

	(void)state;
	assert_int_equal(listener_open_unix(&a, &params, &listener), 0);
	umask(umask_before);
	assert_int_equal(stat(a.u.local.sun_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	theirs = connect_to(&a);
	assert_true(theirs >= 0);
	assert_int_equal(listener_accept(listener, &peer_address, &ours), 0);
	assert_int_equal(peer_address.u.any.sa_family, AF_UNIX);
	listener_unlink_unix(&a, listener);
	assert_false(path_exists(&a));
	close(theirs);
	close(ours);
	close(listener);
}

static void a_path_where_nobody_answers_is_taken_over(void **state)
{
	struct address a = local_address(folder, "s");
	int stale, listener;

	(void)state;
	assert_int_equal(listener_open_unix(&a, &params, &stale), 0);
	close(stale); /* as after kill -9: the path stays */
	assert_true(path_exists(&a));
	assert_int_equal(listener_open_unix(&a, &params, &listener), 0);
	int peer = connect_to(&a);
	assert_true(peer >= 0);
	close(peer);
	listener_unlink_unix(&a, listener);
	close(listener);
}

static void a_path_where_someone_answers_is_left_alone(void **state)
{
	struct address a = local_address(folder, "s");
	int first, second = -2;

	(void)state;
	assert_int_equal(listener_open_unix(&a, &params, &first), 0);
	assert_int_equal(listener_open_unix(&a, &params, &second), -EADDRINUSE);
	assert_int_equal(second, -2);
	int peer = connect_to(&a);
	assert_true(peer >= 0);
	close(peer);
	listener_unlink_unix(&a, first);
	close(first);
}

static void a_path_with_a_full_backlog_is_left_alone(void **state)
{
	struct listener_params small = {.backlog = 0};
	struct address a = local_address(folder, "s");
	int first, second, peers[2];

	(void)state;
	assert_int_equal(listener_open_unix(&a, &small, &first), 0);
	peers[0] = connect_to(&a);
	peers[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(peers[1], &a.u.any, a.len), -1);
	assert_int_equal(errno, EAGAIN); /* it is full */
	assert_int_equal(listener_open_unix(&a, &params, &second), -EADDRINUSE);
	close(peers[0]);
	close(peers[1]);
	unlink(a.u.local.sun_path);
	close(first);
}

static void a_path_that_is_no_socket_is_left_alone(void **state)
{
	struct address a = local_address(folder, "s");
	int file = open(a.u.local.sun_path, O_CREAT | O_EXCL | O_WRONLY, 0600), listener;

	(void)state;
	assert_true(file >= 0);
	assert_int_equal(listener_open_unix(&a, &params, &listener), -ENOTSOCK);
	assert_true(path_exists(&a));
	close(file);
	unlink(a.u.local.sun_path);
	/* A link to nowhere is no socket either, and isn't followed. */
	assert_int_equal(symlink("/nowhere", a.u.local.sun_path), 0);
	assert_int_equal(listener_open_unix(&a, &params, &listener), -ENOTSOCK);
	unlink(a.u.local.sun_path);
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
	struct address a = local_address(folder, "none/s");
	int listener;

	(void)state;
	assert_int_equal(listener_open_unix(&a, &params, &listener), -ENOENT);
}

static void another_processs_socket_on_the_path_is_not_unlinked(void **state)
{
	struct address a = local_address(folder, "s");
	int ours, ready[2];
	char byte;

	(void)state;
	assert_int_equal(listener_open_unix(&a, &params, &ours), 0);
	unlink(a.u.local.sun_path); /* someone cleans up under us, and another server starts */
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		int theirs;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (listener_open_unix(&a, &params, &theirs) < 0 || write(ready[1], "r", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	listener_unlink_unix(&a, ours);
	assert_true(path_exists(&a));
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	unlink(a.u.local.sun_path);
	close(ready[0]);
	close(ours);
}

int main(void)
{
#define UNIX_TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port_0_becomes_one_that_the_workers_share),
		cmocka_unit_test(a_second_claim_is_refused_at_every_stage),
		cmocka_unit_test(a_claim_of_a_port_that_the_kernel_chose_is_as_exclusive),
		cmocka_unit_test(a_claim_of_all_addresses_collides_with_one_of_them),
		cmocka_unit_test(of_two_that_claim_at_the_same_moment_one_gets_it_at_most),
		cmocka_unit_test(what_is_left_in_time_wait_does_not_block_a_restart),
		cmocka_unit_test(a_connection_that_is_still_open_does_not_block_a_restart),
		cmocka_unit_test(an_address_that_is_not_ours_is_an_error),
		cmocka_unit_test(star_serves_ipv4_and_where_there_is_one_ipv6),
		cmocka_unit_test(an_ipv6_address_is_for_ipv6_alone),
		cmocka_unit_test(without_ipv6_star_is_every_ipv4_address),
		cmocka_unit_test(an_accepted_connection_carries_the_options),
		cmocka_unit_test(accepting_with_nobody_there_is_eagain),
		UNIX_TEST(a_unix_path_is_served_with_its_mode_and_unlinked),
		UNIX_TEST(a_path_where_nobody_answers_is_taken_over),
		UNIX_TEST(a_path_where_someone_answers_is_left_alone),
		UNIX_TEST(a_path_with_a_full_backlog_is_left_alone),
		UNIX_TEST(a_path_that_is_no_socket_is_left_alone),
		UNIX_TEST(a_folder_that_is_not_there_is_an_error),
		UNIX_TEST(another_processs_socket_on_the_path_is_not_unlinked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
