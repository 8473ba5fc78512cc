#include "net/tls.h"

#include "support/cmocka_all.h"
#include "support/tls_peer.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
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

static void send_raw(struct tls_peer *p, const void *bytes, size_t len)
{
	struct pollfd wait = {.fd = p->server_fd, .events = POLLIN};

	assert_int_equal(send(p->fd, bytes, len, MSG_NOSIGNAL), len);
	assert_int_equal(poll(&wait, 1, 5000), 1);
}

static void wait_for_hangup(struct tls_peer *p)
{
	struct pollfd wait = {.fd = p->server_fd, .events = POLLRDHUP};

	assert_int_equal(poll(&wait, 1, 5000), 1);
}

/* --- handshakes --- */

static void both_versions_shake_hands_and_talk(void **state)
{
	struct tls_peer p;

	(void)state;
	for (int i = 0; i < 2; i++) {
		tls_peer_connect(&p, context, clients[i], i ? TLS_WAY_TCP : TLS_WAY_UNIX);
		assert_int_equal(SSL_version(p.ssl), versions[i]);
		tls_peer_expect(&p, "");
		tls_peer_say(&p, "{\"type\":\"heartbeat\"}\n");
		tls_peer_expect(&p, "{\"type\":\"heartbeat\"}\n");
		assert_int_equal(tls_peer_write(&p, "\n", 1), 1);
		tls_peer_hears(&p, "\n");
		tls_peer_close(&p);
	}
}

static void a_handshake_cut_at_every_byte_goes_through(void **state)
{
	struct tls_peer p;

	(void)state;
	for (int i = 0; i < 2; i++) {
		tls_peer_open(&p, context, clients[i], TLS_WAY_UNIX);
		assert_int_equal(tls_peer_handshake(&p, 1), 0);
		assert_int_equal(SSL_write(p.ssl, "hello\n", 6), 6);
		while (tls_peer_push(&p, 1) == 1) {
			char byte;
			uint64_t before = tls_raw_bytes(p.tls);
			ssize_t n = tls_peer_read(&p, &byte, 1);
			assert_true(n == -EAGAIN || (n == 1 && byte == 'h'));
			assert_true(tls_raw_bytes(p.tls) == before + 1); /* a sign of life */
		}
		tls_peer_expect(&p, "ello\n");
		tls_peer_close(&p);
	}
}

static void what_came_with_the_handshake_is_not_forgotten(void **state)
{
	struct tls_peer p;

	(void)state;
	tls_peer_open(&p, context, clients[1], TLS_WAY_TCP);
	SSL_do_handshake(p.ssl);
	tls_peer_push(&p, SIZE_MAX);
	assert_int_equal(tls_peer_step(&p), TLS_WANTS_READ);
	tls_peer_pull(&p, NULL);
	assert_int_equal(SSL_do_handshake(p.ssl), 1);
	tls_peer_say(&p, "early bird\n"); /* behind the client's Finished, in one piece */
	assert_int_equal(tls_peer_step(&p), TLS_DONE);
	assert_true(tls_has_more(p.tls));
	tls_peer_expect(&p, "early bird\n");
	tls_peer_close(&p);
}

static void tls_1_1_is_refused(void **state)
{
	struct tls_peer p;
	SSL_CTX *old = tls_client_context(TLS1_1_VERSION, TLS1_1_VERSION);

	(void)state;
	SSL_CTX_set_security_level(old, 0);
	tls_peer_open(&p, context, old, TLS_WAY_UNIX);
	assert_int_equal(tls_peer_handshake(&p, SIZE_MAX), -EPROTO);
	assert_string_equal(tls_reason(p.tls), "unsupported protocol");
	assert_int_equal(tls_peer_step(&p), -EPROTO); /* and stays so */
	tls_shutdown(p.tls);
	tls_peer_close(&p);
	SSL_CTX_free(old);
}

static void a_cipher_without_forward_secrecy_is_refused(void **state)
{
	struct tls_peer p;
	SSL_CTX *weak = tls_client_context(TLS1_2_VERSION, TLS1_2_VERSION);

	(void)state;
	assert_int_equal(SSL_CTX_set_cipher_list(weak, "AES128-GCM-SHA256"), 1);
	tls_peer_open(&p, context, weak, TLS_WAY_UNIX);
	assert_int_equal(tls_peer_handshake(&p, SIZE_MAX), -EPROTO);
	assert_string_equal(tls_reason(p.tls), "no shared cipher");
	tls_peer_close(&p);
	SSL_CTX_free(weak);
}

static void a_client_that_does_not_trust_us_is_named_by_its_alert(void **state)
{
	struct tls_peer p;

	(void)state;
	tls_peer_open(&p, context, clients[1], TLS_WAY_UNIX);
	SSL_set_verify(p.ssl, SSL_VERIFY_PEER, NULL);
	assert_int_equal(tls_peer_handshake(&p, SIZE_MAX), -EPROTO);
	assert_string_equal(tls_reason(p.tls), "tlsv1 alert unknown ca");
	tls_peer_close(&p);
}

static void silence_waits(void **state)
{
	struct tls_peer p;

	(void)state;
	tls_peer_open(&p, context, clients[0], TLS_WAY_TCP);
	for (int i = 0; i < 3; i++)
		assert_int_equal(tls_peer_step(&p), TLS_WANTS_READ);
	assert_false(tls_has_more(p.tls));
	assert_true(tls_raw_bytes(p.tls) == 0);
	tls_shutdown(p.tls); /* says nothing */
	assert_int_equal(tls_peer_pull(&p, NULL), 0);
	tls_peer_close(&p);
}

static void a_handshake_that_is_given_up_says_how(void **state)
{
	struct tls_peer p;

	(void)state;
	for (int n_bytes = 0; n_bytes < 2; n_bytes++) {
		for (int is_reset = 0; is_reset < 2; is_reset++) {
			tls_peer_open(&p, context, clients[1], TLS_WAY_TCP);
			SSL_do_handshake(p.ssl);
			tls_peer_push(&p, n_bytes ? 100 : 0);
			assert_int_equal(tls_peer_step(&p), TLS_WANTS_READ);
			if (is_reset)
				tls_peer_reset(&p);
			else
				shutdown(p.fd, SHUT_WR);
			wait_for_hangup(&p);
			assert_int_equal(tls_peer_step(&p), is_reset ? -ECONNRESET : -ECONNABORTED);
			tls_peer_close(&p);
		}
	}
}

/* --- what is not TLS --- */

static void plain_text_is_known_by_its_first_byte(void **state)
{
	static const struct {
		const char *bytes, *reason;
	} rows[] = {
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", TLS_PLAIN_HTTP},
		{"POST /x HTTP/1.1\r\n", TLS_PLAIN_HTTP},
		{"G", TLS_PLAIN_TEXT},
		{"{\"type\":\"hello\",\"v\":1}\n", TLS_PLAIN_TEXT},
		{"{", TLS_PLAIN_TEXT},
		{"\n", TLS_PLAIN_TEXT},
		{"\r\n\r\n\x01\r\nQUIT\n", TLS_PLAIN_TEXT},
		{"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", TLS_PLAIN_TEXT},
	};
	struct tls_peer p;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tls_peer_open(&p, context, clients[0], TLS_WAY_UNIX);
		send_raw(&p, rows[i].bytes, strlen(rows[i].bytes));
		assert_int_equal(tls_peer_step(&p), -EPROTO);
		assert_ptr_equal(tls_reason(p.tls), rows[i].reason);
		assert_int_equal(tls_peer_pull(&p, NULL), 0); /* for the caller to answer */
		tls_peer_close(&p);
	}
}

static void garbage_is_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *reason;
	} rows[] = {
		{"\x00\x00\x00\x00\x00\x00\x00\x00", 8, "wrong version number"},
		{"\xff\xff\xff\xff\xff\xff\xff\xff", 8, "wrong version number"},
		{"\x16\x03\x01\xff\xff\x01\x00", 7, "packet length too long"},
		{"\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, "unexpected message"},
		{"\x17\x03\x03\x00\x01x", 6, "unexpected message"},
		{"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", 11, NULL}, /* SSL 2 */
	};
	struct tls_peer p;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tls_peer_open(&p, context, clients[0], TLS_WAY_UNIX);
		send_raw(&p, rows[i].bytes, rows[i].len);
		int progress = tls_peer_step(&p);
		if (rows[i].reason) {
			assert_int_equal(progress, -EPROTO);
			assert_string_equal(tls_reason(p.tls), rows[i].reason);
		} else if (progress == TLS_WANTS_READ) {
			shutdown(p.fd, SHUT_WR);
			assert_true(tls_peer_step(&p) < 0);
		} else {
			assert_int_equal(progress, -EPROTO);
		}
		tls_peer_close(&p);
	}
}

static void a_spoilt_record_ends_a_connection(void **state)
{
	struct tls_peer p;
	char byte;

	(void)state;
	for (int i = 0; i < 2; i++) {
		tls_peer_connect(&p, context, clients[i], TLS_WAY_UNIX);
		tls_peer_pull(&p, NULL);
		assert_int_equal(SSL_write(p.ssl, "hello\n", 6), 6);
		char *record;
		long len = BIO_get_mem_data(SSL_get_wbio(p.ssl), &record);
		record[len - 1] ^= 1;
		tls_peer_push(&p, SIZE_MAX);
		assert_int_equal(tls_peer_read(&p, &byte, 1), -EPROTO);
		assert_string_equal(tls_reason(p.tls), "decryption failed or bad record mac");
		assert_int_equal(tls_peer_read(&p, &byte, 1), -EPROTO);
		assert_int_equal(tls_peer_write(&p, "x", 1), -EPROTO);
		tls_shutdown(p.tls);
		assert_true(tls_peer_pull(&p, NULL) > 0); /* an alert */
		tls_peer_close(&p);
	}
}

static void plain_text_in_mid_connection_is_a_violation(void **state)
{
	struct tls_peer p;
	char byte;

	(void)state;
	tls_peer_connect(&p, context, clients[1], TLS_WAY_UNIX);
	send_raw(&p, "{\"type\":\"heartbeat\"}\n", 21);
	assert_int_equal(tls_peer_read(&p, &byte, 1), -EPROTO);
	tls_peer_close(&p);
}

static void tls_at_a_plain_port_is_known_by_its_first_byte(void **state)
{
	struct tls_peer p;
	char *hello;

	(void)state;
	for (int i = 0; i < 2; i++) {
		tls_peer_open(&p, context, clients[i], TLS_WAY_UNIX);
		SSL_do_handshake(p.ssl);
		size_t len = (size_t)BIO_get_mem_data(SSL_get_wbio(p.ssl), &hello);
		for (size_t n = 1; n <= len; n++)
			assert_true(tls_looks_like_client_hello(hello, n));
		tls_peer_close(&p);
	}
	assert_false(tls_looks_like_client_hello("", 0));
	assert_false(tls_looks_like_client_hello("{\"type\":\"hello\"}\n", 17));
	assert_false(tls_looks_like_client_hello("\n", 1));
	assert_false(tls_looks_like_client_hello("\x16\x02", 2));
	assert_false(tls_looks_like_client_hello("\x16\x03\x01\x00\x04\x02", 6));
	assert_false(tls_looks_like_client_hello("\x15\x03\x01\x00\x02", 5));
}

/* --- ends --- */

static void ends_are_told_apart(void **state)
{
	enum { CLOSE_NOTIFY, FIN, FIN_IN_A_RECORD, RST, RST_IN_A_RECORD, N };
	static const ssize_t expected[N] = {0, 0, 0, -ECONNRESET, -ECONNRESET};
	struct tls_peer p;
	char bytes[16];

	(void)state;
	for (int how = 0; how < 2 * N; how++) {
		int end = how % N;
		tls_peer_connect(&p, context, clients[how / N], TLS_WAY_TCP);
		tls_peer_say(&p, "last words\n");
		tls_peer_expect(&p, "last words\n");
		if (end == FIN_IN_A_RECORD || end == RST_IN_A_RECORD) {
			assert_int_equal(SSL_write(p.ssl, "never whole\n", 12), 12);
			assert_int_equal(tls_peer_push(&p, 9), 9);
			assert_int_equal(tls_peer_read(&p, bytes, sizeof(bytes)), -EAGAIN);
		}
		if (end == CLOSE_NOTIFY) {
			SSL_shutdown(p.ssl);
			tls_peer_push(&p, SIZE_MAX);
		} else if (expected[end] == 0) {
			shutdown(p.fd, SHUT_WR);
			wait_for_hangup(&p);
		} else {
			tls_peer_reset(&p);
			wait_for_hangup(&p);
		}
		for (int i = 0; i < 3; i++)
			assert_int_equal(tls_peer_read(&p, bytes, sizeof(bytes)), expected[end]);
		tls_peer_close(&p);
	}
}

static void what_stands_before_an_end_is_read_first(void **state)
{
	struct tls_peer p;
	char bytes[16];

	(void)state;
	for (int has_notify = 0; has_notify < 2; has_notify++) {
		tls_peer_connect(&p, context, clients[1], TLS_WAY_TCP);
		tls_peer_say(&p, "bye\n");
		if (has_notify)
			SSL_shutdown(p.ssl);
		tls_peer_push(&p, SIZE_MAX);
		shutdown(p.fd, SHUT_WR);
		wait_for_hangup(&p);
		assert_int_equal(tls_peer_read(&p, bytes, sizeof(bytes)), 4);
		assert_int_equal(tls_peer_read(&p, bytes, sizeof(bytes)), 0);
		assert_int_equal(tls_peer_write(&p, "bye\n", 4), 4); /* it only half-closed */
		tls_shutdown(p.tls);
		tls_peer_hears(&p, "bye\n");
		tls_peer_close(&p);
	}
}

static void an_rst_that_a_write_met_is_told_by_the_read(void **state)
{
	struct tls_peer p;
	char byte;

	(void)state;
	tls_peer_connect(&p, context, clients[1], TLS_WAY_TCP);
	tls_peer_reset(&p);
	wait_for_hangup(&p);
	assert_int_equal(tls_peer_write(&p, "anybody there?\n", 15), -ECONNRESET);
	assert_true(
		tls_peer_write(&p, "anybody there?\n", 15) < 0); /* SIGPIPE would end the test */
	assert_int_equal(tls_peer_read(&p, &byte, 1), -ECONNRESET);
	tls_peer_close(&p);
}

static void a_write_to_a_closed_peer_raises_no_signal(void **state)
{
	struct tls_peer p;
	char byte;

	(void)state;
	tls_peer_connect(&p, context, clients[1], TLS_WAY_UNIX);
	tls_peer_pull(&p, NULL); /* what lies unread would make it a reset */
	close(p.fd);
	p.fd = -1;
	assert_int_equal(tls_peer_write(&p, "x", 1), -EPIPE);
	assert_int_equal(tls_peer_read(&p, &byte, 1), 0);
	tls_shutdown(p.tls);
	tls_peer_close(&p);
}

static void a_shutdown_says_close_notify_and_no_fin(void **state)
{
	struct tls_peer p;
	bool is_end;
	char byte;

	(void)state;
	for (int i = 0; i < 2; i++) {
		tls_peer_connect(&p, context, clients[i], TLS_WAY_UNIX);
		tls_shutdown(p.tls);
		assert_int_equal(ERR_peek_error(), 0);
		assert_true(tls_peer_pull(&p, &is_end) > 0);
		assert_false(is_end);
		assert_int_equal(SSL_read(p.ssl, &byte, 1), 0);
		assert_int_equal(SSL_get_shutdown(p.ssl), SSL_RECEIVED_SHUTDOWN);
		tls_shutdown(p.tls); /* once is enough */
		tls_peer_close(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_versions_shake_hands_and_talk),
		cmocka_unit_test(a_handshake_cut_at_every_byte_goes_through),
		cmocka_unit_test(what_came_with_the_handshake_is_not_forgotten),
		cmocka_unit_test(tls_1_1_is_refused),
		cmocka_unit_test(a_cipher_without_forward_secrecy_is_refused),
		cmocka_unit_test(a_client_that_does_not_trust_us_is_named_by_its_alert),
		cmocka_unit_test(silence_waits),
		cmocka_unit_test(a_handshake_that_is_given_up_says_how),
		cmocka_unit_test(plain_text_is_known_by_its_first_byte),
		cmocka_unit_test(garbage_is_refused),
		cmocka_unit_test(a_spoilt_record_ends_a_connection),
		cmocka_unit_test(plain_text_in_mid_connection_is_a_violation),
		cmocka_unit_test(tls_at_a_plain_port_is_known_by_its_first_byte),
		cmocka_unit_test(ends_are_told_apart),
		cmocka_unit_test(what_stands_before_an_end_is_read_first),
		cmocka_unit_test(an_rst_that_a_write_met_is_told_by_the_read),
		cmocka_unit_test(a_write_to_a_closed_peer_raises_no_signal),
		cmocka_unit_test(a_shutdown_says_close_notify_and_no_fin),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
