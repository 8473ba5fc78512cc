/* Reading and writing much, in parts, and in the way of each other: see test_tls.c. */

#include "net/tls.h"

#include "support/cmocka_all.h"
#include "support/tls_peer.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char folder[TLS_PATH_MAX];
static struct tls_context *context;
static SSL_CTX *clients[2]; /* of TLS 1.2 and 1.3 */
static const int versions[2] = {TLS1_2_VERSION, TLS1_3_VERSION};

static int set_up(void **state)
{
	(void)state;
	tls_folder_make(folder);
	struct tls_paths paths =
		tls_identity_make(folder, &(struct tls_identity){.name = "server"});
	context = tls_must_load(&paths);
	for (int i = 0; i < 2; i++)
		clients[i] = tls_client_context(versions[i], versions[i]);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_context_unref(context);
	for (int i = 0; i < 2; i++)
		SSL_CTX_free(clients[i]);
	tls_folder_remove(folder);
	return 0;
}

static void wait_for_hangup(struct tls_peer *p)
{
	struct pollfd wait = {.fd = p->server_fd, .events = POLLRDHUP};

	assert_int_equal(poll(&wait, 1, 5000), 1);
}

/* --- much --- */

enum { MUCH = 1 << 20 };

static char pattern(size_t at)
{
	return (char)('a' + at % 23);
}

/* More comes while OpenSSL holds whole records: that edge's read is answered by a held one, and the socket must not be
 * forgotten for it. Seen as sessions that stood still in the middle of many small records. */
static void an_edge_while_records_are_held_is_not_lost(void **state)
{
	struct tls_peer p;
	char got[64];

	(void)state;
	for (int i = 0; i < 2; i++) {
		tls_peer_connect(&p, context, clients[i], TLS_WAY_TCP);
		for (int j = 0; j < 3; j++)
			tls_peer_say(&p, "held");
		assert_int_equal(tls_peer_read(&p, got, sizeof(got)), 4);
		assert_true(tls_has_more(p.tls));
		tls_peer_say(&p, "late"); /* its edge is this moment's */
		for (int j = 0; j < 2; j++) {
			assert_int_equal(tls_peer_read(&p, got, sizeof(got)), 4);
			assert_memory_equal(got, "held", 4);
			assert_true(tls_has_more(p.tls));
		}
		assert_int_equal(tls_peer_read(&p, got, sizeof(got)), 4);
		assert_memory_equal(got, "late", 4);
		while (tls_has_more(p.tls))
			assert_int_equal(tls_peer_read(&p, got, sizeof(got)), -EAGAIN);
		tls_peer_close(&p);
	}
}

/* The server writes from ever another place, more and less than last time, but never less than
 * was promised. */
static void much_is_written_in_parts(void **state)
{
	struct tls_peer p;
	char heard[8192];

	(void)state;
	for (int i = 0; i < 2; i++) {
		size_t at = 0, heard_at = 0, n_full = 0;
		int small = 16384;
		tls_peer_connect(&p, context, clients[i], i ? TLS_WAY_TCP : TLS_WAY_UNIX);
		assert_int_equal(
			setsockopt(p.server_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
		while (heard_at < MUCH) {
			size_t len = tls_promised(p.tls) + 1 + at % 30011;
			len = len < MUCH - at ? len : MUCH - at;
			char *copy = malloc(len ? len : 1);
			assert_non_null(copy);
			for (size_t j = 0; j < len; j++)
				copy[j] = pattern(at + j);
			ssize_t n = len ? tls_peer_write(&p, copy, len) : -EAGAIN;
			free(copy);
			assert_true(n > 0 || n == -EAGAIN);
			if (n > 0) {
				at += (size_t)n;
				continue;
			}
			if (tls_promised(p.tls) > 1) {
				n_full++;
				assert_int_equal(tls_peer_write(&p, "x", 1), -EINVAL);
			}
			tls_peer_pull(&p, NULL);
			int got;
			while ((got = SSL_read(p.ssl, heard, sizeof(heard))) > 0) {
				for (int j = 0; j < got; j++)
					assert_int_equal(heard[j], pattern(heard_at + (size_t)j));
				heard_at += (size_t)got;
			}
			ERR_clear_error();
		}
		assert_true(n_full > 0);
		assert_int_equal(tls_promised(p.tls), 0);
		tls_peer_close(&p);
	}
}

/* A reader that takes little at a time, and goes by tls_has_more() alone, misses nothing: see
 * check_has_more(). */
static void much_is_read_in_parts(void **state)
{
	struct tls_peer p;
	char *all = malloc(MUCH), bytes[997];

	(void)state;
	assert_non_null(all);
	for (size_t i = 0; i < MUCH; i++)
		all[i] = pattern(i);
	for (int i = 0; i < 2; i++) {
		size_t at = 0;
		tls_peer_connect(&p, context, clients[i], i ? TLS_WAY_TCP : TLS_WAY_UNIX);
		assert_int_equal(SSL_write(p.ssl, all, MUCH), MUCH);
		while (at < MUCH) {
			struct pollfd wait = {.fd = p.server_fd, .events = POLLIN};
			if (tls_peer_push(&p, 1 + at % 50021))
				assert_int_equal(poll(&wait, 1, 5000), 1);
			do {
				ssize_t n = tls_peer_read(&p, bytes, 1 + at % sizeof(bytes));
				assert_true(n > 0 || n == -EAGAIN);
				if (n < 0)
					continue;
				assert_memory_equal(bytes, all + at, (size_t)n);
				at += (size_t)n;
			} while (tls_has_more(p.tls));
		}
		assert_int_equal(at, MUCH);
		tls_peer_close(&p);
	}
	free(all);
}

static void a_flood_of_nothing_is_cut_into_calls(void **state)
{
	struct tls_peer p;
	struct pollfd wait;
	char byte;
	uint64_t before = 0, most = 0;
	bool was_cut = false;

	(void)state;
	tls_peer_connect(&p, context, clients[1], TLS_WAY_TCP);
	tls_peer_expect(&p, "");
	tls_peer_pull(&p, NULL);
	for (int i = 0; i < 8000; i++) {
		assert_int_equal(SSL_key_update(p.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(p.ssl), 1);
	}
	assert_int_equal(SSL_write(p.ssl, "x", 1), 1);
	ssize_t n = -EAGAIN;
	wait = (struct pollfd){.fd = p.server_fd, .events = POLLIN};
	while (n == -EAGAIN) {
		while (tls_peer_push(&p, SIZE_MAX)) {
		}
		if (!tls_has_more(p.tls))
			assert_int_equal(poll(&wait, 1, 5000), 1);
		before = tls_raw_bytes(p.tls);
		n = tls_peer_read(&p, &byte, 1);
		was_cut |= n == -EAGAIN && tls_has_more(p.tls);
		if (tls_raw_bytes(p.tls) - before > most)
			most = tls_raw_bytes(p.tls) - before;
	}
	assert_int_equal(n, 1);
	assert_true(was_cut);
	assert_true(most <= 64 * 1024 + 17 * 1024);
	tls_peer_close(&p);
}

static void a_key_update_that_wants_an_answer_is_answered(void **state)
{
	struct tls_peer p;

	(void)state;
	tls_peer_connect(&p, context, clients[1], TLS_WAY_UNIX);
	assert_int_equal(SSL_key_update(p.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
	tls_peer_say(&p, "with new keys\n");
	tls_peer_expect(&p, "with new keys\n");
	assert_int_equal(tls_peer_write(&p, "and back\n", 9), 9);
	tls_peer_hears(&p, "and back\n");
	tls_peer_close(&p);
}

/* What was promised to a peer that is gone does not hide how it went. */
static void an_end_is_read_past_a_promise(void **state)
{
	struct tls_peer p;
	char bytes[4096] = "";
	int small = 16384;

	(void)state;
	for (int is_reset = 0; is_reset < 2; is_reset++) {
		tls_peer_connect(&p, context, clients[1], TLS_WAY_TCP);
		assert_int_equal(
			setsockopt(p.server_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
		while (tls_peer_write(&p, bytes, sizeof(bytes)) > 0) {
		}
		assert_true(tls_promised(p.tls) > 0);
		if (is_reset)
			tls_peer_reset(&p);
		else
			shutdown(p.fd, SHUT_WR); /* it may read on */
		wait_for_hangup(&p);
		assert_int_equal(
			tls_peer_read(&p, bytes, sizeof(bytes)), is_reset ? -ECONNRESET : -EAGAIN);
		assert_int_equal(tls_reads_when_writable(p.tls), !is_reset);
		tls_peer_close(&p);
	}
}

/* One answer OpenSSL puts off until there is something else to write; more it sends when it
 * reads of them. */
static void ask_for_answers(struct tls_peer *p)
{
	for (int i = 0; i < 3; i++) {
		assert_int_equal(SSL_key_update(p->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(p->ssl), 1);
	}
}

/* A peer asks for an answer that TLS owes, while a record of ours is stuck: OpenSSL alone would
 * break off here. */
static void nothing_is_read_past_a_promise(void **state)
{
	struct tls_peer p;
	char bytes[4096] = "", heard[4096];

	(void)state;
	tls_peer_connect(&p, context, clients[1], TLS_WAY_UNIX);
	while (tls_peer_write(&p, bytes, sizeof(bytes)) > 0) {
	}
	ask_for_answers(&p);
	tls_peer_say(&p, "go on\n");
	assert_int_equal(tls_peer_read(&p, heard, sizeof(heard)), -EAGAIN);
	assert_true(tls_reads_when_writable(p.tls));
	assert_false(tls_has_more(p.tls));
	tls_peer_pull(&p, NULL);
	assert_int_equal(tls_peer_write(&p, bytes, sizeof(bytes)), sizeof(bytes));
	tls_peer_expect(&p, "go on\n");
	assert_false(tls_reads_when_writable(p.tls));
	tls_peer_close(&p);
}

static void an_answer_that_finds_no_room_is_waited_for(void **state)
{
	struct tls_peer p;
	char full[1] = "", heard[16];

	(void)state;
	tls_peer_connect(&p, context, clients[1], TLS_WAY_UNIX);
	tls_peer_pull(&p, NULL);
	while (send(p.server_fd, full, 1, MSG_DONTWAIT) == 1) {
	}
	ask_for_answers(&p);
	tls_peer_say(&p, "go on\n");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tls_peer_read(&p, heard, sizeof(heard)), -EAGAIN);
		assert_true(tls_reads_when_writable(p.tls));
		assert_false(tls_has_more(p.tls));
	}
	tls_peer_pull(&p, NULL);
	tls_peer_expect(&p, "go on\n");
	assert_false(tls_reads_when_writable(p.tls));
	tls_peer_close(&p);
}

static void renegotiation_is_refused_and_nothing_else_happens(void **state)
{
	struct tls_peer p;

	(void)state;
	tls_peer_connect(&p, context, clients[0], TLS_WAY_UNIX);
	assert_int_equal(SSL_renegotiate(p.ssl), 1);
	SSL_do_handshake(p.ssl);
	tls_peer_push(&p, SIZE_MAX);
	tls_peer_expect(&p, "");
	assert_true(tls_peer_pull(&p, NULL) > 0); /* a warning: no renegotiation */
	assert_int_equal(tls_peer_write(&p, "x", 1), 1);
	tls_peer_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(much_is_written_in_parts),
		cmocka_unit_test(much_is_read_in_parts),
		cmocka_unit_test(an_edge_while_records_are_held_is_not_lost),
		cmocka_unit_test(a_flood_of_nothing_is_cut_into_calls),
		cmocka_unit_test(a_key_update_that_wants_an_answer_is_answered),
		cmocka_unit_test(an_end_is_read_past_a_promise),
		cmocka_unit_test(nothing_is_read_past_a_promise),
		cmocka_unit_test(an_answer_that_finds_no_room_is_waited_for),
		cmocka_unit_test(renegotiation_is_refused_and_nothing_else_happens),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
