#include "server/channel.h"

#include "support/cmocka_all.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The socket itself; what TLS makes of it is tested in test_tls.c and test_tls_transfer.c. */

struct ends {
	struct connection connection;
	int peer;
};

/* Of TCP, on loopback: a socketpair knows no RST. */
static int open_ends(void **state)
{
	static struct ends ends;
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ends = (struct ends){.connection = {.phase = PHASE_HELLO, .stage = STAGE_LINES}};
	ends.peer = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&address, len) || listen(listener, 1) ||
		getsockname(listener, (struct sockaddr *)&address, &len) ||
		connect(ends.peer, (struct sockaddr *)&address, len))
		return -1;
	ends.connection.fd = accept(listener, NULL, NULL);
	close(listener);
	*state = &ends;
	return ends.connection.fd < 0 ? -1 : 0;
}

static int close_ends(void **state)
{
	struct ends *ends = *state;

	close(ends->connection.fd);
	if (ends->peer >= 0)
		close(ends->peer);
	return 0;
}

/* Until the kernel has it: loopback delivers within the call that sends, but for what is in backlog. */
static void await(int fd, short what)
{
	struct pollfd p = {.fd = fd, .events = what};

	assert_int_equal(poll(&p, 1, 5000), 1);
}

static void bytes_come_as_they_were_sent(void **state)
{
	struct ends *ends = *state;
	struct connection *c = &ends->connection;
	char got[16];
	bool grew = true;

	assert_true(channel_is_bare(c));
	assert_int_equal(channel_receive(c, got, sizeof(got), &grew), -EAGAIN);
	assert_false(grew);
	assert_int_equal(send(ends->peer, "hello", 5, 0), 5);
	await(c->fd, POLLIN);
	assert_int_equal(channel_receive(c, got, 2, &grew), 2);
	assert_true(grew);
	assert_int_equal(channel_receive(c, got + 2, sizeof(got) - 2, &grew), 3);
	assert_memory_equal(got, "hello", 5);
	assert_false(
		channel_has_more(c) || channel_reads_when_writable(c) || channel_promised(c) > 0);
	assert_int_equal(channel_send(c, "answer", 6), 6);
	assert_int_equal(recv(ends->peer, got, sizeof(got), 0), 6);
	assert_memory_equal(got, "answer", 6);
}

static void a_fin_is_the_end_of_the_stream_and_no_life(void **state)
{
	struct ends *ends = *state;
	char got[16];
	bool grew = true;

	shutdown(ends->peer, SHUT_WR);
	await(ends->connection.fd, POLLIN);
	assert_int_equal(channel_receive(&ends->connection, got, sizeof(got), &grew), 0);
	assert_false(grew);
	assert_int_equal(channel_send(&ends->connection, "x", 1), 1); /* it may still listen */
}

static void a_rst_is_told_apart_and_is_no_life(void **state)
{
	struct ends *ends = *state;
	struct linger at_once = {.l_onoff = 1};
	char got[16];
	bool grew = true;

	setsockopt(ends->peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(ends->peer);
	ends->peer = -1;
	await(ends->connection.fd, POLLIN);
	assert_int_equal(channel_receive(&ends->connection, got, sizeof(got), &grew), -ECONNRESET);
	assert_false(grew);
	assert_int_equal(channel_send(&ends->connection, "x", 1), -EPIPE); /* and no signal */
}

static void what_the_peer_does_not_take_is_no_error(void **state)
{
	static char much[1 << 20];
	struct ends *ends = *state;
	struct connection *c = &ends->connection;
	ssize_t n = 1;
	size_t all = 0;

	while (all < 64u << 20 && (n = channel_send(c, much, sizeof(much))) > 0)
		all += (size_t)n;
	assert_int_equal(n, 0);
	assert_true(all > 0);
	assert_int_equal(channel_promised(c), 0);
}

static void shut_is_said_to_the_peer_once_all_is_sent(void **state)
{
	struct ends *ends = *state;
	char got[16];
	bool grew;

	assert_int_equal(channel_send(&ends->connection, "last", 4), 4);
	channel_shut(&ends->connection);
	assert_int_equal(recv(ends->peer, got, sizeof(got), MSG_WAITALL), 4);
	assert_int_equal(recv(ends->peer, got, sizeof(got), 0), 0);
	assert_int_equal(send(ends->peer, "still", 5, 0), 5); /* the other side is open */
	await(ends->connection.fd, POLLIN);
	assert_int_equal(channel_receive(&ends->connection, got, sizeof(got), &grew), 5);
	assert_int_equal(channel_send(&ends->connection, "x", 1), -EPIPE);
}

int main(void)
{
#define ENDS_TEST(name) cmocka_unit_test_setup_teardown(name, open_ends, close_ends)
	const struct CMUnitTest tests[] = {
		ENDS_TEST(bytes_come_as_they_were_sent),
		ENDS_TEST(a_fin_is_the_end_of_the_stream_and_no_life),
		ENDS_TEST(a_rst_is_told_apart_and_is_no_life),
		ENDS_TEST(what_the_peer_does_not_take_is_no_error),
		ENDS_TEST(shut_is_said_to_the_peer_once_all_is_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
