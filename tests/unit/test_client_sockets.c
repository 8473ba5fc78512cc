/* The client library's sockets: real ones, both ends in this process. */
#include "base/compiler.h"
#include "client/c/client.h"
#include "client/c/dial.h"
#include "support/cmocka_all.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define WELCOME                                                                                    \
	"{\"type\":\"welcome\",\"user\":\"alice\",\"device\":\"d\",\"session\":\"s\",\"server\":"  \
	"\"one\",\"heartbeat_ms\":10000,\"timeout_ms\":30000}\n"

static const struct presence_options plain = {
	.size = sizeof(plain), .url = "tcp://127.0.0.1:1", .user = "alice"};

struct listener {
	int fd;
	struct sockaddr_un address;
	char url[160];
};

static void listen_begin(struct listener *l)
{
	l->address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(l->address.sun_path, sizeof(l->address.sun_path), "/tmp/presence-test-%d.sock",
		(int)getpid());
	snprintf(l->url, sizeof(l->url), "unix://%s", l->address.sun_path);
	unlink(l->address.sun_path);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(l->fd, (struct sockaddr *)&l->address, sizeof(l->address)), 0);
	assert_int_equal(listen(l->fd, 8), 0);
}

static void listen_end(struct listener *l)
{
	close(l->fd);
	unlink(l->address.sun_path);
}

static void put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* One turn, with what poll() says. */
static void turn(struct presence *p)
{
	unsigned want = presence_want(p), ready = 0;
	struct pollfd one = {.fd = presence_fd(p),
		.events = (short)((want & 1 ? POLLIN : 0) | (want & 2 ? POLLOUT : 0))};

	poll(&one, 1, 1000);
	ready |= one.revents & (POLLIN | POLLHUP | POLLERR) ? PRESENCE_READABLE : 0;
	ready |= one.revents & (POLLOUT | POLLHUP | POLLERR) ? PRESENCE_WRITABLE : 0;
	presence_ready(p, ready);
}

struct registry {
	int fd; /* -1: none */
	unsigned want;
	unsigned n_calls;
};

static void on_socket(struct presence *p, int fd, unsigned want, void *arg)
{
	struct registry *r = arg;

	(void)p;
	r->n_calls++;
	/* It is still open when it is to be forgotten. */
	assert_int_not_equal(fcntl(fd, F_GETFD), -1);
	if (want == 0)
		assert_int_equal(fd, r->fd);
	else
		assert_true(r->fd == -1 || r->fd == fd);
	r->fd = want ? fd : -1;
	r->want = want;
}

static void sockets_are_told_and_forgotten(void **state)
{
	struct listener l;
	struct registry r = {.fd = -1};
	struct presence *p;
	char bytes[256];

	(void)state;
	listen_begin(&l);
	struct presence_options options = {.size = sizeof(options),
		.url = l.url,
		.user = "alice",
		.arg = &r,
		.on_socket = on_socket};
	assert_int_equal(presence_new(&options, &p), PRESENCE_OK);
	assert_int_equal(presence_fd(p), -1);
	assert_int_equal(presence_start(p), PRESENCE_OK);
	assert_int_equal(r.fd, presence_fd(p));
	assert_int_equal(r.want, presence_want(p));
	assert_true(fcntl(r.fd, F_GETFD) & FD_CLOEXEC);
	int peer = accept(l.fd, NULL, NULL);
	assert_true(read(peer, bytes, sizeof(bytes)) > 0);
	put(peer, WELCOME);
	turn(p);
	assert_int_equal(presence_link(p), PRESENCE_LINK_UP);
	assert_int_equal(r.want, PRESENCE_READABLE);
	close(peer);
	turn(p);
	assert_int_equal(presence_link(p), PRESENCE_LINK_WAITING);
	assert_int_equal(presence_last_error(p), PRESENCE_ERROR_CLOSED);
	assert_int_equal(r.fd, -1);
	assert_int_equal(presence_fd(p), -1);
	presence_free(p);
	listen_end(&l);
}

/* A process that stood still reads what came long ago: that says nothing of now. */
static void what_is_read_late_was_said_long_ago(void **state)
{
	static const char *const users[] = {"bob"};
	struct listener l;
	struct presence *p;
	char bytes[256];

	(void)state;
	listen_begin(&l);
	struct presence_options options = {.size = sizeof(options), .url = l.url, .user = "alice"};
	assert_int_equal(presence_new(&options, &p), PRESENCE_OK);
	assert_int_equal(presence_watch(p, users, 1), PRESENCE_OK);
	assert_int_equal(presence_start(p), PRESENCE_OK);
	int peer = accept(l.fd, NULL, NULL);
	assert_true(read(peer, bytes, sizeof(bytes)) > 0);
	put(peer, WELCOME);
	turn(p);
	put(peer,
		"{\"type\":\"watching\",\"id\":1,\"presences\":[{\"user\":\"bob\",\"state\":\"busy\"}]}\n");
	turn(p);
	assert_int_equal(presence_contact(p, "bob")->truth, PRESENCE_ONLINE);
	/* As if it had been stopped for a minute, with an answer in the socket. */
	p->contacts.heard_ms -= 60000;
	p->due_ms -= 60000;
	p->beat_at_ms -= 60000;
	put(peer, "\n");
	turn(p);
	assert_int_equal(presence_link(p), PRESENCE_LINK_WAITING);
	assert_int_equal(presence_last_error(p), PRESENCE_ERROR_SILENCE);
	assert_int_equal(presence_contact(p, "bob")->truth, PRESENCE_UNKNOWN);
	close(peer);
	presence_free(p);
	listen_end(&l);
}

/* A child that frees its copy of a client leaves the parent's connection, and its epoll, alone. */
static void a_child_leaves_the_connection_alone(void **state)
{
	struct listener l;
	struct presence *p;
	char bytes[256];
	int status;

	(void)state;
	listen_begin(&l);
	struct presence_options options = {.size = sizeof(options), .url = l.url, .user = "alice"};
	assert_int_equal(presence_new(&options, &p), PRESENCE_OK);
	assert_int_equal(presence_start(p), PRESENCE_OK);
	int peer = accept(l.fd, NULL, NULL);
	assert_true(read(peer, bytes, sizeof(bytes)) > 0);
	put(peer, WELCOME);
	turn(p);
	pid_t child = fork();
	if (child == 0) {
		bool is_well = presence_stop(p) == PRESENCE_ERROR_FORKED &&
			       presence_link(p) == PRESENCE_LINK_STOPPED;
		presence_free(p);
		_exit(is_well ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(presence_link(p), PRESENCE_LINK_UP);
	assert_int_equal(presence_update(p, PRESENCE_STATE_BUSY, NULL), PRESENCE_OK);
	assert_true(read(peer, bytes, sizeof(bytes)) > 0);
	close(peer);
	presence_free(p);
	listen_end(&l);
}

static int listen_on(const char *address, struct sockaddr_in *ret)
{
	socklen_t len = sizeof(*ret);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret = (struct sockaddr_in){.sin_family = AF_INET};
	assert_int_equal(inet_pton(AF_INET, address, &ret->sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)ret, sizeof(*ret)), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &len), 0);
	return fd;
}

/* The first address refuses, the second does not answer (its queue is full), the third is well. */
static void the_first_address_that_answers_wins(void **state)
{
	struct sockaddr_in addresses[3];
	struct addrinfo list[3];
	struct dial *d;
	int fd = -1, fillers[8];
	uint64_t now = 1000;

	(void)state;
	int refuses = listen_on("127.0.0.1", &addresses[0]);
	int mute = listen_on("127.0.0.1", &addresses[1]);
	int answers = listen_on("127.0.0.1", &addresses[2]);
	close(refuses);
	for (size_t i = 0; i < ARRAY_LEN(fillers); i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(fillers[i], (struct sockaddr *)&addresses[1], sizeof(addresses[1]));
	}
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		list[i] = (struct addrinfo){.ai_family = AF_INET,
			.ai_addr = (struct sockaddr *)&addresses[i],
			.ai_addrlen = sizeof(addresses[i]),
			.ai_next = i + 1 < ARRAY_LEN(list) ? &list[i + 1] : NULL};
	assert_int_equal(dial_new(list, &d), 0);
	/* The refusal is known at once or a moment later; then the second is under way, alone. */
	assert_int_equal(dial_step(d, 1000, now, &fd), -EINPROGRESS);
	struct pollfd first = {.fd = dial_fd(d), .events = POLLOUT};
	poll(&first, 1, 50);
	assert_int_equal(dial_step(d, 1000, now, &fd), -EINPROGRESS);
	assert_int_equal(dial_deadline(d), now + DIAL_STAGGER_MS);
	assert_true(dial_wants_write(d));
	assert_int_equal(dial_step(d, 1000, now + DIAL_STAGGER_MS - 1, &fd), -EINPROGRESS);
	assert_true(dial_wants_write(d));
	int err = dial_step(d, 1000, now + DIAL_STAGGER_MS, &fd);
	for (int i = 0; err == -EINPROGRESS && i < 100; i++) {
		struct pollfd one = {.fd = dial_fd(d), .events = POLLIN};

		assert_false(dial_wants_write(d));
		poll(&one, 1, 100);
		err = dial_step(d, 1000, now + DIAL_STAGGER_MS, &fd);
	}
	assert_int_equal(err, 0);
	dial_free(d);
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	assert_int_equal(getpeername(fd, (struct sockaddr *)&peer, &len), 0);
	assert_int_equal(peer.sin_port, addresses[2].sin_port);
	close(fd);
	close(mute);
	close(answers);
	for (size_t i = 0; i < ARRAY_LEN(fillers); i++)
		close(fillers[i]);
}

static void no_address_is_an_error(void **state)
{
	struct dial *d;
	int fd;

	(void)state;
	assert_int_equal(dial_new(NULL, &d), -ENOENT);
	assert_int_equal(dial_new_unix("/nonexistent/x", &d), 0);
	assert_int_equal(dial_step(d, 1000, 0, &fd), -ENOENT);
	dial_free(d);
}

static void on_resolve(struct presence *p, const char *host, uint16_t port, void *arg)
{
	(void)p;
	snprintf(arg, 64, "%s %u", host, port);
}

static void names_are_the_applications_where_it_wants(void **state)
{
	struct presence_options options = plain;
	struct sockaddr_in address;
	char asked[64] = "";
	struct presence *p;

	(void)state;
	options.url = "tcp://presence.example:99";
	options.on_resolve = on_resolve;
	options.arg = asked;
	assert_int_equal(presence_new(&options, &p), PRESENCE_OK);
	presence_start(p);
	assert_string_equal(asked, "presence.example 99");
	assert_int_equal(presence_fd(p), -1);
	int fd = listen_on("127.0.0.1", &address);
	struct addrinfo list = {.ai_family = AF_INET,
		.ai_addr = (struct sockaddr *)&address,
		.ai_addrlen = sizeof(address)};
	assert_int_equal(presence_set_addresses(p, &list), PRESENCE_OK);
	assert_int_not_equal(presence_fd(p), -1);
	assert_int_equal(presence_stop(p), PRESENCE_OK);
	presence_start(p);
	presence_set_addresses(p, NULL);
	assert_int_equal(presence_last_error(p), PRESENCE_ERROR_RESOLVE);
	close(fd);
	presence_free(p);
	/* A numeric address is not asked for. */
	options.url = "tcp://127.0.0.1:1";
	asked[0] = '\0';
	assert_int_equal(presence_new(&options, &p), PRESENCE_OK);
	presence_start(p);
	assert_string_equal(asked, "");
	presence_free(p);
}

/* What the kernel is told, and that a peer that is gone raises no signal. */
static void a_tcp_socket(void **state)
{
	struct presence_options options = plain;
	struct sockaddr_in address;
	struct presence *p;
	char url[64], bytes[256];
	unsigned value;
	socklen_t len = sizeof(value);

	(void)state;
	int listener = listen_on("127.0.0.1", &address);
	snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", ntohs(address.sin_port));
	options.url = url;
	options.connect_timeout_ms = 7000;
	assert_int_equal(presence_new(&options, &p), PRESENCE_OK);
	assert_int_equal(presence_start(p), PRESENCE_OK);
	assert_int_equal(
		getsockopt(presence_fd(p), IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &len), 0);
	assert_int_equal(value, 7000);
	int peer = accept(listener, NULL, NULL);
	turn(p);
	assert_true(read(peer, bytes, sizeof(bytes)) > 0);
	put(peer, WELCOME);
	turn(p);
	assert_int_equal(presence_link(p), PRESENCE_LINK_UP);
	assert_int_equal(
		getsockopt(presence_fd(p), IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &len), 0);
	assert_int_equal(value, 30000);
	assert_int_equal(getsockopt(presence_fd(p), IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
	assert_true(value);
	/* The peer says why it goes, and goes; our next words meet a reset, and what it said is read all the same. */
	put(peer, "{\"type\":\"bye\",\"reason\":\"kicked\"}\n");
	struct linger hard = {.l_onoff = 1};
	assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	shutdown(peer, SHUT_WR);
	for (int i = 0; i < 3; i++)
		assert_int_equal(presence_update(p, PRESENCE_STATE_BUSY, NULL), PRESENCE_OK);
	turn(p);
	assert_int_equal(presence_last_error(p), PRESENCE_ERROR_KICKED);
	close(peer);
	close(listener);
	presence_free(p);
}

static void writing_to_who_is_gone_raises_no_signal(void **state)
{
	struct listener l;
	struct presence *p;
	char bytes[256];

	(void)state;
	listen_begin(&l);
	struct presence_options options = {.size = sizeof(options), .url = l.url, .user = "alice"};
	assert_int_equal(presence_new(&options, &p), PRESENCE_OK);
	assert_int_equal(presence_start(p), PRESENCE_OK);
	int peer = accept(l.fd, NULL, NULL);
	assert_true(read(peer, bytes, sizeof(bytes)) > 0);
	put(peer, WELCOME);
	turn(p);
	close(peer);
	assert_int_equal(presence_update(p, PRESENCE_STATE_BUSY, NULL), PRESENCE_OK);
	assert_int_equal(presence_link(p), PRESENCE_LINK_WAITING);
	presence_free(p);
	listen_end(&l);
}

static void on_alarm(int number)
{
	(void)number;
}

static void run_ends_with_a_signal(void **state)
{
	const struct itimerval soon = {
		.it_value = {.tv_usec = 20000}, .it_interval = {.tv_usec = 20000}};
	const struct itimerval never = {.it_value = {.tv_sec = 0}};
	struct sigaction action = {.sa_handler = on_alarm}, before;
	struct presence_options options = plain;
	struct presence *p;

	(void)state;
	/* It waits for addresses that nobody looks up. */
	options.url = "tcp://presence.example";
	options.on_resolve = on_resolve;
	options.arg = (char[64]){0};
	assert_int_equal(presence_new(&options, &p), PRESENCE_OK);
	sigaction(SIGALRM, &action, &before);
	setitimer(ITIMER_REAL, &soon, NULL);
	assert_int_equal(presence_run(p, -1), PRESENCE_ERROR_INTERRUPTED);
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &before, NULL);
	presence_free(p);
}

static void run_in_a_callback(
	struct presence *p, const struct presence_link_event *event, void *arg)
{
	(void)event;
	*(enum presence_error *)arg = presence_run(p, 0);
	presence_ready(p, PRESENCE_READABLE); /* nothing */
}

static void run_is_not_for_callbacks(void **state)
{
	struct presence_options options = plain;
	enum presence_error error = PRESENCE_OK;
	struct presence *p;

	(void)state;
	options.on_link = run_in_a_callback;
	options.arg = &error;
	assert_int_equal(presence_new(&options, &p), PRESENCE_OK);
	presence_start(p);
	assert_int_equal(error, PRESENCE_ERROR_BUSY);
	presence_free(p);
}

static void run_ends_with_its_time(void **state)
{
	struct presence *p;

	(void)state;
	assert_int_equal(presence_new(&plain, &p), PRESENCE_OK);
	uint64_t began = presence_now();
	assert_int_equal(presence_run(p, 30), PRESENCE_ERROR_TIME_OVER);
	assert_true(presence_now() - began >= 30);
	assert_int_equal(presence_stop(p), PRESENCE_OK);
	assert_int_equal(presence_link(p), PRESENCE_LINK_STOPPED);
	presence_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sockets_are_told_and_forgotten),
		cmocka_unit_test(what_is_read_late_was_said_long_ago),
		cmocka_unit_test(a_child_leaves_the_connection_alone),
		cmocka_unit_test(the_first_address_that_answers_wins),
		cmocka_unit_test(no_address_is_an_error),
		cmocka_unit_test(names_are_the_applications_where_it_wants),
		cmocka_unit_test(a_tcp_socket),
		cmocka_unit_test(writing_to_who_is_gone_raises_no_signal),
		cmocka_unit_test(run_ends_with_a_signal),
		cmocka_unit_test(run_is_not_for_callbacks),
		cmocka_unit_test(run_ends_with_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
