#include "tls_peer.h"

#include "cmocka_all.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* --- certificates --- */

void tls_folder_make(char ret[TLS_PATH_MAX])
{
	snprintf(ret, TLS_PATH_MAX, "/tmp/test_tls.XXXXXX");
	assert_non_null(mkdtemp(ret));
}

void tls_folder_remove(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
	}
	closedir(dir);
	assert_int_equal(rmdir(folder), 0);
}

static struct tls_paths paths_of(const char *folder, const char *name)
{
	struct tls_paths p;

	assert_true(snprintf(p.cert, sizeof(p.cert), "%s/%s.crt", folder, name) < TLS_PATH_MAX);
	assert_true(snprintf(p.key, sizeof(p.key), "%s/%s.key", folder, name) < TLS_PATH_MAX);
	return p;
}

static FILE *open_file(const char *path, const char *mode)
{
	FILE *file = fopen(path, mode);

	assert_non_null(file);
	assert_int_equal(fchmod(fileno(file), 0600), 0);
	return file;
}

static void sign(X509 *cert, const char *folder, const struct tls_identity *id, EVP_PKEY *own_key,
	X509 **ret_issuer)
{
	EVP_PKEY *key = own_key;

	*ret_issuer = NULL;
	if (id->issuer) {
		struct tls_paths p = paths_of(folder, id->issuer);
		FILE *file = open_file(p.cert, "r");
		*ret_issuer = PEM_read_X509(file, NULL, NULL, NULL);
		fclose(file);
		file = open_file(p.key, "r");
		key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
		fclose(file);
		assert_non_null(*ret_issuer);
		assert_non_null(key);
	}
	X509_set_issuer_name(cert, X509_get_subject_name(*ret_issuer ? *ret_issuer : cert));
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	if (key != own_key)
		EVP_PKEY_free(key);
}

struct tls_paths tls_identity_make(const char *folder, const struct tls_identity *id)
{
	struct tls_paths paths = paths_of(folder, id->name);
	time_t now = time(NULL);
	int64_t from_s = id->until_s ? id->from_s : now - 86400;
	int64_t until_s = id->until_s ? id->until_s : now + 10 * 365 * 86400LL;
	EVP_PKEY *key = id->rsa_bits ? EVP_RSA_gen((unsigned)id->rsa_bits) : EVP_EC_gen("P-256");
	X509 *cert = X509_new(), *issuer;

	assert_non_null(key);
	assert_non_null(cert);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	ASN1_TIME_set(X509_getm_notBefore(cert), from_s);
	ASN1_TIME_set(X509_getm_notAfter(cert), until_s);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
		(const unsigned char *)id->name, -1, -1, 0);
	sign(cert, folder, id, key, &issuer);

	FILE *file = open_file(paths.cert, "w");
	assert_int_equal(PEM_write_X509(file, cert), 1);
	if (issuer)
		assert_int_equal(PEM_write_X509(file, issuer), 1);
	fclose(file);
	file = open_file(paths.key, "w");
	assert_int_equal(PEM_write_PrivateKey(file, key, id->password ? EVP_aes_128_cbc() : NULL,
				 NULL, 0, NULL, (void *)(uintptr_t)id->password),
		1);
	fclose(file);
	X509_free(cert);
	X509_free(issuer);
	EVP_PKEY_free(key);
	return paths;
}

struct tls_context *tls_must_load(const struct tls_paths *p)
{
	struct tls_files files = {.cert_path = p->cert, .key_path = p->key, .now_s = time(NULL)};
	struct tls_report report;
	struct tls_context *context;
	int err = tls_context_load(&files, &context, &report);

	assert_string_equal(report.error, "");
	assert_string_equal(report.warning, "");
	assert_int_equal(err, 0);
	assert_int_equal(ERR_peek_error(), 0);
	return context;
}

/* --- the client --- */

SSL_CTX *tls_client_context(int min_version, int max_version)
{
	SSL_CTX *client = SSL_CTX_new(TLS_client_method());

	assert_non_null(client);
	assert_int_equal(SSL_CTX_set_min_proto_version(client, min_version), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(client, max_version), 1);
	return client;
}

static void open_sockets(struct tls_peer *p, enum tls_way way)
{
	int fds[2];

	if (way == TLS_WAY_UNIX) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
		p->fd = fds[0];
		p->server_fd = fds[1];
		return;
	}
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	assert_int_equal(bind(listener, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &len), 0);
	p->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	assert_int_equal(connect(p->fd, (struct sockaddr *)&in, len), 0);
	assert_int_equal(fcntl(p->fd, F_SETFL, O_NONBLOCK), 0);
	p->server_fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(p->server_fd >= 0);
	close(listener);
}

void tls_peer_open(
	struct tls_peer *p, struct tls_context *context, SSL_CTX *client, enum tls_way way)
{
	open_sockets(p, way);
	p->ssl = SSL_new(client);
	assert_non_null(p->ssl);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(in, -1);
	BIO_set_mem_eof_return(out, -1);
	SSL_set_bio(p->ssl, in, out);
	SSL_set_connect_state(p->ssl);
	assert_int_equal(tls_new(context, p->server_fd, &p->tls), 0);
}

void tls_peer_close(struct tls_peer *p)
{
	tls_free(p->tls);
	SSL_free(p->ssl);
	close(p->server_fd);
	if (p->fd >= 0)
		close(p->fd);
	ERR_clear_error(); /* the client's */
}

void tls_peer_reset(struct tls_peer *p)
{
	struct linger hard = {.l_onoff = 1, .l_linger = 0};

	assert_int_equal(setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	close(p->fd);
	p->fd = -1;
}

size_t tls_peer_push(struct tls_peer *p, size_t max)
{
	BIO *out = SSL_get_wbio(p->ssl);
	char *bytes;
	size_t there = (size_t)BIO_get_mem_data(out, &bytes), n = there < max ? there : max;

	if (n == 0)
		return 0;
	ssize_t sent = send(p->fd, bytes, n, MSG_NOSIGNAL);
	if (sent < 0) {
		assert_int_equal(errno, EAGAIN);
		return 0;
	}
	char *gone = malloc((size_t)sent);
	assert_non_null(gone);
	assert_int_equal(BIO_read(out, gone, (int)sent), sent);
	free(gone);
	return (size_t)sent;
}

size_t tls_peer_pull(struct tls_peer *p, bool *ret_is_end)
{
	char bytes[16384];
	size_t total = 0;
	ssize_t n;

	while ((n = recv(p->fd, bytes, sizeof(bytes), 0)) > 0) {
		assert_int_equal(BIO_write(SSL_get_rbio(p->ssl), bytes, (int)n), n);
		total += (size_t)n;
	}
	if (ret_is_end)
		*ret_is_end = n == 0;
	return total;
}

int tls_peer_step(struct tls_peer *p)
{
	int progress = tls_handshake(p->tls);

	assert_int_equal(ERR_peek_error(), 0);
	if (progress < 0)
		assert_true(strlen(tls_reason(p->tls)) > 0);
	return progress;
}

/* Where we are told not to come back there is nothing in the socket. */
static void check_has_more(const struct tls_peer *p)
{
	char byte;

	if (!tls_has_more(p->tls) && !tls_reads_when_writable(p->tls))
		assert_true(recv(p->server_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0);
}

ssize_t tls_peer_read(struct tls_peer *p, void *to, size_t len)
{
	ssize_t n = tls_read(p->tls, to, len);

	assert_int_equal(ERR_peek_error(), 0);
	if (n > 0 || n == -EAGAIN)
		check_has_more(p);
	else
		assert_false(tls_has_more(p->tls));
	return n;
}

ssize_t tls_peer_write(struct tls_peer *p, const void *bytes, size_t len)
{
	ssize_t n = tls_write(p->tls, bytes, len);

	assert_int_equal(ERR_peek_error(), 0);
	assert_true(n != 0 || len == 0);
	assert_true(tls_promised(p->tls) <= 4096);
	return n;
}

int tls_peer_handshake(struct tls_peer *p, size_t n_at_once)
{
	struct pollfd wait = {.fd = p->server_fd, .events = POLLIN};
	bool is_server_done = false;

	for (;;) {
		int done = SSL_do_handshake(p->ssl);
		ERR_clear_error(); /* it is the server's word that counts */
		if (done == 1 && is_server_done)
			return 0;
		size_t pushed = tls_peer_push(p, n_at_once);
		if (pushed)
			assert_int_equal(poll(&wait, 1, 5000), 1);
		if (!is_server_done) {
			int progress = tls_peer_step(p);
			if (progress < 0)
				return progress;
			is_server_done = progress == TLS_DONE;
			if (!is_server_done)
				check_has_more(p);
		}
		size_t pulled = tls_peer_pull(p, NULL);
		assert_true(pushed || pulled || is_server_done); /* else both wait for each other */
	}
}

void tls_peer_connect(
	struct tls_peer *p, struct tls_context *context, SSL_CTX *client, enum tls_way way)
{
	tls_peer_open(p, context, client, way);
	assert_int_equal(tls_peer_handshake(p, SIZE_MAX), 0);
}

void tls_peer_say(struct tls_peer *p, const char *text)
{
	struct pollfd wait = {.fd = p->server_fd, .events = POLLIN};

	assert_int_equal(SSL_write(p->ssl, text, (int)strlen(text)), strlen(text));
	while (tls_peer_push(p, SIZE_MAX))
		assert_int_equal(poll(&wait, 1, 5000), 1);
}

void tls_peer_expect(struct tls_peer *p, const char *text)
{
	char bytes[4096];
	size_t len = 0;
	ssize_t n;

	while ((n = tls_peer_read(p, bytes + len, sizeof(bytes) - len)) > 0)
		len += (size_t)n;
	assert_int_equal(n, -EAGAIN);
	assert_int_equal(len, strlen(text));
	assert_memory_equal(bytes, text, len);
}

void tls_peer_hears(struct tls_peer *p, const char *text)
{
	struct pollfd wait = {.fd = p->fd, .events = POLLIN};
	char bytes[4096];
	size_t len = 0;

	while (len < strlen(text)) {
		int n = SSL_read(p->ssl, bytes + len, (int)(sizeof(bytes) - len));
		if (n > 0) {
			len += (size_t)n;
			continue;
		}
		assert_int_equal(SSL_get_error(p->ssl, n), SSL_ERROR_WANT_READ);
		assert_int_equal(poll(&wait, 1, 5000), 1);
		assert_true(tls_peer_pull(p, NULL) > 0);
	}
	assert_int_equal(len, strlen(text));
	assert_memory_equal(bytes, text, len);
	ERR_clear_error();
}
