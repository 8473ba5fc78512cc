/* What TLS costs in memory, and what it does where there is none: OpenSSL's allocations go
 * through this program. */

#include "net/tls.h"

#include "base/compiler.h"
#include "net/descriptors.h"
#include "support/cmocka_all.h"
#include "support/failing_alloc.h"
#include "support/tls_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER SANITIZE_THREAD
#endif

enum { IDLE_MAX_BYTES = 15 * 1024, SILENT_MAX_BYTES = 256 };

/* --- OpenSSL's allocations --- */

static uint64_t n_allocations;

static void *count_malloc(size_t len, const char *file, int line)
{
	(void)file, (void)line;
	n_allocations++;
	return malloc(len); /* ours: it can be refused (failing_alloc.h) */
}

static void *count_realloc(void *old, size_t len, const char *file, int line)
{
	(void)file, (void)line;
	n_allocations++;
	return realloc(old, len);
}

static void count_free(void *old, const char *file, int line)
{
	(void)file, (void)line;
	free(old);
}

/* --- the setting --- */

static char folder[TLS_PATH_MAX];
static struct tls_paths paths;
static struct tls_context *context;

static int set_up(void **state)
{
	(void)state;
	tls_folder_make(folder);
	paths = tls_identity_make(folder, &(struct tls_identity){.name = "server"});
	context = tls_must_load(&paths);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_context_unref(context);
	tls_folder_remove(folder);
	return 0;
}

/* --- idle connections --- */

struct served {
	struct tls *tls;
	int fd;
};

static size_t heap_bytes(void)
{
	struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

static size_t resident_bytes(void)
{
	size_t total, resident = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%zu %zu", &total, &resident), 2);
	fclose(file);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* In a process of its own, so that its memory is not taken for ours: 'n' clients, until the line
 * is cut. */
static NORETURN void be_clients(uint16_t port, size_t n, int version, const char *curves, int line)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = port};
	SSL_CTX *client = SSL_CTX_new(TLS_client_method());
	char byte;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	SSL_CTX_set_max_proto_version(client, version);
	SSL_CTX_set1_groups_list(client, curves);
	for (size_t i = 0; i < n; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		SSL *ssl = SSL_new(client);
		if (connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0 || !SSL_set_fd(ssl, fd) ||
			SSL_connect(ssl) != 1 || SSL_write(ssl, "hello\n", 6) != 6 ||
			SSL_read(ssl, &byte, 1) != 1)
			_exit(1);
	}
	_exit(read(line, &byte, 1) == 0 ? 0 : 1);
}

static void wait_for(int fd, short events)
{
	struct pollfd wait = {.fd = fd, .events = events};

	assert_int_equal(poll(&wait, 1, 10000), 1);
}

static struct served serve_one(int listener)
{
	struct tls *t;
	char bytes[64];
	int progress;
	ssize_t n;

	wait_for(listener, POLLIN);
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(fd >= 0);
	assert_int_equal(tls_new(context, fd, &t), 0);
	while ((progress = tls_handshake(t)) != TLS_DONE) {
		assert_int_equal(progress, TLS_WANTS_READ);
		wait_for(fd, POLLIN);
	}
	while ((n = tls_read(t, bytes, sizeof(bytes))) == -EAGAIN)
		wait_for(fd, POLLIN);
	assert_int_equal(n, 6);
	assert_int_equal(tls_write(t, "\n", 1), 1);
	assert_int_equal(tls_read(t, bytes, sizeof(bytes)), -EAGAIN);
	return (struct served){.tls = t, .fd = fd};
}

static int listen_on_loopback(uint16_t *ret_port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(listener, 128), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &len), 0);
	*ret_port = in.sin_port;
	return listener;
}

/* Connections that said hello and are idle, a word behind. */
static void measure(size_t n, int version, const char *curves, size_t max)
{
	struct served *all = calloc(n, sizeof(*all));
	uint16_t port;
	int listener = listen_on_loopback(&port), line[2], status;

	assert_non_null(all);
	assert_int_equal(pipe(line), 0);
	fflush(stdout);
	pid_t clients = fork();
	if (clients == 0) {
		close(line[1]);
		be_clients(port, n, version, curves, line[0]);
	}
	close(line[0]);
	all[0] = serve_one(listener); /* what is made once is made now */
	size_t heap = heap_bytes(), resident = resident_bytes();
	for (size_t i = 1; i < n; i++)
		all[i] = serve_one(listener);
	heap = (heap_bytes() - heap) / (n - 1);
	resident = (resident_bytes() - resident) / (n - 1);
	printf("idle TLS connection, version %x, %s: heap %zu B, resident %zu B (of %zu)\n",
		(unsigned)version, curves, heap, resident, n);
	close(line[1]);
	assert_int_equal(waitpid(clients, &status, 0), clients);
	assert_int_equal(status, 0);
	for (size_t i = 0; i < n; i++)
		tls_free(all[i].tls), close(all[i].fd);
	free(all);
	close(listener);
	if (!HAS_SANITIZER) {
		assert_true(heap > 0);
		assert_true(heap <= max);
		assert_true(resident <= max);
	}
}

static void an_idle_connection_is_small(void **state)
{
	size_t n = HAS_SANITIZER ? 50 : 2000;
	uint64_t limit = descriptors_raise_limit();

	(void)state;
	if (limit < n + 100)
		n = limit / 2;
	measure(n, TLS1_3_VERSION, "X25519", IDLE_MAX_BYTES);
	measure(n, TLS1_2_VERSION, "X25519:P-256", IDLE_MAX_BYTES);
	measure(n / 4, TLS1_3_VERSION, "P-256", IDLE_MAX_BYTES + 6144);
}

static void a_silent_connection_is_next_to_nothing(void **state)
{
	struct tls *all[100];
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	size_t heap = heap_bytes();
	n_allocations = 0;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(tls_new(context, fds[0], &all[i]), 0);
		assert_int_equal(tls_handshake(all[i]), TLS_WANTS_READ);
	}
	assert_true(n_allocations == 0);
	heap = (heap_bytes() - heap) / 100;
	printf("silent TLS connection: heap %zu B\n", heap);
	if (!HAS_SANITIZER)
		assert_true(heap <= SILENT_MAX_BYTES);
	for (int i = 0; i < 100; i++)
		tls_free(all[i]);
	close(fds[0]);
	close(fds[1]);
}

static void a_read_that_finds_nothing_allocates_nothing(void **state)
{
	SSL_CTX *client = tls_client_context(TLS1_2_VERSION, TLS1_3_VERSION);
	struct tls_peer p;
	char byte;

	(void)state;
	tls_peer_connect(&p, context, client, TLS_WAY_UNIX);
	tls_peer_expect(&p, "");
	n_allocations = 0;
	for (int i = 0; i < 10; i++)
		assert_int_equal(tls_peer_read(&p, &byte, 1), -EAGAIN);
	assert_true(n_allocations == 0);
	tls_peer_close(&p);
	SSL_CTX_free(client);
}

/* What a peer that stops in the midst of a handshake makes us hold, until the deadline of its
 * hello. */
static void an_unfinished_handshake_is_bounded(void **state)
{
	SSL_CTX *client = tls_client_context(TLS1_2_VERSION, TLS1_3_VERSION);
	struct tls_peer p;

	(void)state;
	tls_peer_open(&p, context, client, TLS_WAY_UNIX);
	SSL_do_handshake(p.ssl);
	tls_peer_push(&p, 100);
	size_t before = heap_bytes();
	assert_int_equal(tls_peer_step(&p), TLS_WANTS_READ);
	size_t heap = heap_bytes() - before;
	printf("half a ClientHello: heap %zu B\n", heap);
	if (!HAS_SANITIZER)
		assert_true(heap <= 64 * 1024);
	tls_peer_push(&p, SIZE_MAX);
	assert_int_equal(tls_peer_step(&p), TLS_WANTS_READ);
	heap = heap_bytes() - before;
	printf("waiting for the client's Finished: heap %zu B\n", heap);
	if (!HAS_SANITIZER)
		assert_true(heap <= 64 * 1024);
	tls_peer_close(&p);
	SSL_CTX_free(client);
}

/* --- refused allocations --- */

/* OpenSSL can go on without some of what it asks for; where it can't, we say so, and nothing is
 * lost or left behind. */
static void a_load_without_memory_fails_whole(void **state)
{
	struct tls_files files = {
		.cert_path = paths.cert, .key_path = paths.key, .now_s = time(NULL)};
	struct tls_report report;
	long n_failed = 0, n = 0;
	bool refused;

	(void)state;
	do {
		struct tls_context *loaded = NULL;
		alloc_fail_begin(n += HAS_SANITIZER ? 13 : 1); /* there each takes its time */
		int err = tls_context_load(&files, &loaded, &report);
		refused = alloc_fail_end();
		assert_int_equal(ERR_peek_error(), 0);
		assert_true((err == 0) == (loaded != NULL));
		assert_true((err == 0) == (report.error[0] == '\0'));
		n_failed += err != 0;
		tls_context_unref(loaded);
	} while (refused);
	printf("load: %ld allocations, %ld refusals made it fail\n", n - 1, n_failed);
	assert_true(n_failed > 10);
}

static void a_connection_without_memory_fails_alone(void **state)
{
	SSL_CTX *client = tls_client_context(TLS1_3_VERSION, TLS1_3_VERSION);
	struct tls_peer bystander, p;
	long n_failed = 0, n = 0;
	bool refused;

	(void)state;
	tls_peer_connect(&bystander, context, client, TLS_WAY_UNIX);
	do {
		tls_peer_open(&p, context, client, TLS_WAY_UNIX);
		SSL_do_handshake(p.ssl);
		tls_peer_push(&p, SIZE_MAX);
		tls_free(p.tls);
		p.tls = NULL;
		alloc_fail_begin(++n);
		int err = tls_new(context, p.server_fd, &p.tls);
		int progress = err ? err : tls_handshake(p.tls);
		refused = alloc_fail_end();
		assert_int_equal(ERR_peek_error(), 0);
		assert_true(err == 0 || err == -ENOMEM);
		assert_true(progress == TLS_WANTS_READ || progress < 0);
		n_failed += progress < 0;
		tls_peer_close(&p);
	} while (refused);
	printf("handshake: %ld allocations, %ld refusals made it fail\n", n - 1, n_failed);
	assert_true(n_failed > 10);
	tls_peer_say(&bystander, "nothing noticed\n");
	tls_peer_expect(&bystander, "nothing noticed\n");
	tls_peer_close(&bystander);
	SSL_CTX_free(client);
}

static void a_read_or_write_without_memory_ends_the_connection(void **state)
{
	SSL_CTX *client = tls_client_context(TLS1_3_VERSION, TLS1_3_VERSION);
	bool refused = true;
	char bytes[16];

	(void)state;
	for (long n = 1; refused; n++) {
		struct tls_peer p;
		tls_peer_connect(&p, context, client, TLS_WAY_UNIX);
		tls_peer_say(&p, "hello\n");
		alloc_fail_begin(n);
		ssize_t got = tls_read(p.tls, bytes, sizeof(bytes));
		ssize_t put = tls_write(p.tls, "x\n", 2);
		refused = alloc_fail_end();
		assert_int_equal(ERR_peek_error(), 0);
		assert_true(got == 6 || got == -ENOMEM);
		assert_true(put == 2 || put < 0);
		if (got < 0)
			assert_int_equal(tls_read(p.tls, bytes, sizeof(bytes)), got);
		tls_peer_close(&p);
	}
	SSL_CTX_free(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_connection_is_small),
		cmocka_unit_test(a_silent_connection_is_next_to_nothing),
		cmocka_unit_test(a_read_that_finds_nothing_allocates_nothing),
		cmocka_unit_test(an_unfinished_handshake_is_bounded),
		cmocka_unit_test(a_load_without_memory_fails_whole),
		cmocka_unit_test(a_connection_without_memory_fails_alone),
		cmocka_unit_test(a_read_or_write_without_memory_ends_the_connection),
	};

	if (!CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free))
		return 1; /* OpenSSL allocated something before main */
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
