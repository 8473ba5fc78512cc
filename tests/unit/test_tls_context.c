#include "net/tls.h"

#include "support/cmocka_all.h"
#include "support/tls_peer.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char folder[TLS_PATH_MAX];
static struct tls_paths first, second; /* two identities that are sound */
static SSL_CTX *client;

static int set_up(void **state)
{
	(void)state;
	tls_folder_make(folder);
	first = tls_identity_make(folder, &(struct tls_identity){.name = "first"});
	second = tls_identity_make(folder, &(struct tls_identity){.name = "second"});
	client = tls_client_context(TLS1_2_VERSION, TLS1_3_VERSION);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	SSL_CTX_free(client);
	tls_folder_remove(folder);
	return 0;
}

static int load(const char *cert, const char *key, int64_t now_s, struct tls_context **ret,
	struct tls_report *report)
{
	struct tls_files files = {.cert_path = cert, .key_path = key, .now_s = now_s};
	int err;

	memset(report, 'x', sizeof(*report)); /* it is filled in whatever happens */
	err = tls_context_load(&files, ret, report);
	assert_int_equal(ERR_peek_error(), 0);
	assert_true((err == 0) == (report->error[0] == '\0'));
	return err;
}

static const char *write_file(const char *name, const char *text)
{
	static char path[2 * TLS_PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fchmod(fileno(file), 0600), 0);
	fputs(text, file);
	fclose(file);
	return path;
}

/* --- broken files --- */

static void broken_files_are_named(void **state)
{
	struct tls_paths weak =
		tls_identity_make(folder, &(struct tls_identity){.name = "weak", .rsa_bits = 1024});
	struct tls_paths locked = tls_identity_make(
		folder, &(struct tls_identity){.name = "locked", .password = "open sesame"});
	char missing[2 * TLS_PATH_MAX], empty[2 * TLS_PATH_MAX], rubbish[2 * TLS_PATH_MAX];
	struct tls_report report;
	struct tls_context *context = NULL;

	(void)state;
	snprintf(missing, sizeof(missing), "%s/missing.pem", folder);
	snprintf(empty, sizeof(empty), "%s", write_file("empty.pem", ""));
	snprintf(rubbish, sizeof(rubbish), "%s",
		write_file("rubbish.pem", "-----BEGIN CERTIFICATE-----\nnothing\n-----END "
					  "CERTIFICATE-----\n"));
	const struct {
		const char *cert, *key;
		int err;
		const char *subject, *words;
	} rows[] = {
		{missing, first.key, -ENOENT, missing, "No such file"},
		{first.cert, missing, -ENOENT, missing, "No such file"},
		{folder, first.key, -EISDIR, folder, "Is a directory"},
		{"/dev/null", first.key, -EINVAL, "/dev/null", "not a file"},
		{empty, first.key, -EBADMSG, empty, "no start line"},
		{first.cert, empty, -EBADMSG, empty, "no usable key"},
		{rubbish, first.key, -EBADMSG, rubbish, "no usable certificate"},
		{first.key, first.key, -EBADMSG, first.key, "no usable certificate"},
		{first.cert, first.cert, -EBADMSG, first.cert, "no usable key"},
		{first.cert, second.key, -EKEYREJECTED, second.key, "not the key of"},
		{weak.cert, weak.key, -EBADMSG, weak.cert, "ee key too small"},
		{locked.cert, locked.key, -EBADMSG, locked.key, "no usable key"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int err = load(rows[i].cert, rows[i].key, time(NULL), &context, &report);
		assert_int_equal(err, rows[i].err);
		assert_null(context);
		assert_non_null(strstr(report.error, rows[i].subject));
		assert_non_null(strstr(report.error, rows[i].words));
		assert_string_equal(report.warning, "");
	}
}

static void a_chain_that_breaks_off_is_refused(void **state)
{
	char text[8192], path[2 * TLS_PATH_MAX];
	struct tls_report report;
	struct tls_context *context = NULL;
	FILE *file = fopen(first.cert, "r");

	(void)state;
	assert_non_null(file);
	size_t len = fread(text, 1, sizeof(text) / 2, file);
	fclose(file);
	memcpy(text + len, text, 100); /* half of another */
	text[len + 100] = '\0';
	snprintf(path, sizeof(path), "%s", write_file("half.pem", text));
	assert_int_equal(load(path, first.key, time(NULL), &context, &report), -EBADMSG);
	assert_non_null(strstr(report.error, "the chain"));
}

static void doubts_are_warnings(void **state)
{
	struct tls_paths past = tls_identity_make(folder,
		&(struct tls_identity){.name = "dated", .from_s = 1000000, .until_s = 2000000});
	static const struct {
		int64_t now_s;
		const char *words;
	} rows[] = {
		{999999, "not valid yet"}, {1000000, ""}, {1999999, ""}, {2000001, "has expired"}};
	struct tls_report report;
	struct tls_context *context;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(load(past.cert, past.key, rows[i].now_s, &context, &report), 0);
		if (rows[i].words[0])
			assert_non_null(strstr(report.warning, rows[i].words));
		else
			assert_string_equal(report.warning, "");
		tls_context_unref(context);
	}
	assert_int_equal(chmod(past.key, 0644), 0);
	assert_int_equal(load(past.cert, past.key, 3000000, &context, &report), 0);
	assert_non_null(strstr(report.warning, "has expired; "));
	assert_non_null(strstr(report.warning, "can be read by every user"));
	tls_context_unref(context);
	assert_int_equal(chmod(past.key, 0640), 0); /* a group may be meant */
	assert_int_equal(load(past.cert, past.key, 1500000, &context, &report), 0);
	assert_string_equal(report.warning, "");
	tls_context_unref(context);
}

/* --- who we say that we are --- */

static void assert_name(const struct tls_peer *p, const char *name)
{
	X509 *cert = SSL_get1_peer_certificate(p->ssl);
	char text[64] = "";

	assert_non_null(cert);
	X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, text, sizeof(text));
	assert_string_equal(text, name);
	X509_free(cert);
}

static void a_reload_changes_new_connections_and_no_old_one(void **state)
{
	struct tls_context *context = tls_must_load(&first), *next = NULL;
	struct tls_report report;
	struct tls_peer old, half, young;

	(void)state;
	tls_peer_connect(&old, context, client, TLS_WAY_UNIX);
	tls_peer_open(&half, context, client, TLS_WAY_UNIX);
	/* A broken pair keeps the old one. */
	assert_int_equal(load(second.cert, first.key, time(NULL), &next, &report), -EKEYREJECTED);
	assert_null(next);
	next = tls_must_load(&second);
	tls_context_unref(context); /* the connections hold theirs */
	tls_peer_connect(&young, next, client, TLS_WAY_UNIX);
	tls_context_unref(next);
	assert_int_equal(tls_peer_handshake(&half, SIZE_MAX), 0);
	assert_name(&old, "first");
	assert_name(&half, "first");
	assert_name(&young, "second");
	tls_peer_say(&old, "still here\n");
	tls_peer_expect(&old, "still here\n");
	assert_int_equal(tls_peer_write(&old, "so am I\n", 8), 8);
	tls_peer_hears(&old, "so am I\n");
	tls_peer_close(&old);
	tls_peer_close(&half);
	tls_peer_close(&young);
}

static void the_chain_is_sent(void **state)
{
	struct tls_paths leaf = tls_identity_make(
		folder, &(struct tls_identity){.name = "leaf", .issuer = "first"});
	struct tls_context *context = tls_must_load(&leaf);
	struct tls_peer p;

	(void)state;
	tls_peer_connect(&p, context, client, TLS_WAY_UNIX);
	assert_name(&p, "leaf");
	assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(p.ssl)), 2);
	tls_peer_close(&p);
	tls_context_unref(context);
}

static void an_rsa_certificate_serves_both_versions(void **state)
{
	struct tls_paths rsa =
		tls_identity_make(folder, &(struct tls_identity){.name = "rsa", .rsa_bits = 2048});
	struct tls_context *context = tls_must_load(&rsa);
	struct tls_peer p;

	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX *one = tls_client_context(version, version);
		tls_peer_connect(&p, context, one, TLS_WAY_UNIX);
		assert_name(&p, "rsa");
		tls_peer_close(&p);
		SSL_CTX_free(one);
	}
	tls_context_unref(context);
}

/* --- extensions --- */

static void http_1_1_is_taken_where_it_is_offered(void **state)
{
	static const struct {
		const char *offer, *taken;
	} rows[] = {
		{"\x08http/1.1", "http/1.1"},
		{"\x02h2\x08http/1.1", "http/1.1"},
		{"\x08http/1.1\x02h2", "http/1.1"},
		{"\x02h2", ""},
		{"\x08http/1.0\x09http/1.1x", ""},
		{NULL, ""},
	};
	struct tls_context *context = tls_must_load(&first);
	struct tls_peer p;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const unsigned char *taken;
		unsigned len;
		tls_peer_open(&p, context, client, TLS_WAY_UNIX);
		if (rows[i].offer)
			assert_int_equal(
				SSL_set_alpn_protos(p.ssl, (const unsigned char *)rows[i].offer,
					(unsigned)strlen(rows[i].offer)),
				0);
		assert_int_equal(tls_peer_handshake(&p, SIZE_MAX), 0);
		SSL_get0_alpn_selected(p.ssl, &taken, &len);
		assert_int_equal(len, strlen(rows[i].taken));
		assert_memory_equal(taken ? taken : (const unsigned char *)"", rows[i].taken, len);
		tls_peer_close(&p);
	}
	tls_context_unref(context);
}

static SSL_SESSION *ticket; /* the client's last, and how many it was given */
static int n_tickets;

static int keep_ticket(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(ticket);
	ticket = session;
	n_tickets++;
	return 1;
}

/* A client that comes back with its ticket costs no signature; a new context knows no old
 * ticket, and does not mind. */
static void a_ticket_spares_the_signature(void **state)
{
	struct tls_context *contexts[] = {tls_must_load(&first), tls_must_load(&first)};

	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX *one = tls_client_context(version, version);
		SSL_CTX_set_session_cache_mode(
			one, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(one, keep_ticket);
		for (int i = 0; i < 3; i++) {
			struct tls_peer p;
			n_tickets = 0;
			tls_peer_open(&p, contexts[i / 2], one, TLS_WAY_UNIX);
			if (ticket)
				SSL_set_session(p.ssl, ticket);
			assert_int_equal(tls_peer_handshake(&p, SIZE_MAX), 0);
			assert_int_equal(tls_peer_write(&p, "x\n", 2), 2);
			tls_peer_hears(&p, "x\n");
			assert_int_equal(SSL_session_reused(p.ssl), i == 1);
			if (i != 1)
				assert_int_equal(n_tickets, 1);
			assert_int_equal(SSL_get_early_data_status(p.ssl), 0);
			if (ticket)
				assert_int_equal(SSL_SESSION_get_max_early_data(ticket), 0);
			SSL_set_quiet_shutdown(p.ssl, 1); /* else it takes the session for bad */
			SSL_shutdown(p.ssl);
			tls_peer_close(&p);
		}
		SSL_SESSION_free(ticket);
		ticket = NULL;
		SSL_CTX_free(one);
	}
	for (int i = 0; i < 2; i++)
		tls_context_unref(contexts[i]);
}

/* --- threads --- */

enum { N_THREADS = 3, N_ROUNDS = 30 };

static struct {
	pthread_mutex_t lock;
	struct tls_context *current;
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct tls_context *current_context(void)
{
	pthread_mutex_lock(&shared.lock);
	struct tls_context *context = tls_context_ref(shared.current);
	pthread_mutex_unlock(&shared.lock);
	return context;
}

static void *serve(void *arg)
{
	SSL_CTX *mine = tls_client_context(TLS1_2_VERSION, TLS1_3_VERSION);

	(void)arg;
	for (int i = 0; i < N_ROUNDS; i++) {
		struct tls_context *context = current_context();
		struct tls_peer p;
		tls_peer_connect(&p, context, mine, TLS_WAY_UNIX);
		tls_context_unref(context);
		tls_peer_say(&p, "hello\n");
		tls_peer_expect(&p, "hello\n");
		tls_peer_close(&p);
	}
	SSL_CTX_free(mine);
	return NULL;
}

static void contexts_are_swapped_under_busy_workers(void **state)
{
	pthread_t threads[N_THREADS];

	(void)state;
	shared.current = tls_must_load(&first);
	for (int i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, serve, NULL), 0);
	for (int i = 0; i < 10; i++) {
		struct tls_context *next = tls_must_load(i % 2 ? &first : &second);
		pthread_mutex_lock(&shared.lock);
		struct tls_context *old = shared.current;
		shared.current = next;
		pthread_mutex_unlock(&shared.lock);
		tls_context_unref(old);
	}
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	tls_context_unref(shared.current);
	tls_context_unref(NULL);
}

/* A SIGHUP a minute for years: nothing of a process may be used up by it. */
static void reloads_are_without_number(void **state)
{
	(void)state;
	for (int i = 0; i < 300; i++)
		tls_context_unref(tls_must_load(&first));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(broken_files_are_named),
		cmocka_unit_test(a_chain_that_breaks_off_is_refused),
		cmocka_unit_test(doubts_are_warnings),
		cmocka_unit_test(a_reload_changes_new_connections_and_no_old_one),
		cmocka_unit_test(the_chain_is_sent),
		cmocka_unit_test(an_rsa_certificate_serves_both_versions),
		cmocka_unit_test(http_1_1_is_taken_where_it_is_offered),
		cmocka_unit_test(a_ticket_spares_the_signature),
		cmocka_unit_test(contexts_are_swapped_under_busy_workers),
		cmocka_unit_test(reloads_are_without_number),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
