/* The TLS context: how we speak, and the files that say who we are. */

#include "net/tls_context.h"

#include "base/compiler.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* TLS 1.2: forward secret and authenticated, nothing else. 1.3 has no others. */
static const char ciphers_1_2[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

/* X25519 first: what stays of it in an idle connection is 5 KB less than of P-256. */
static const char groups[] = "X25519:P-256:P-384";

struct tls_context {
	/* const after start */
	SSL_CTX *ssl;
	BIO_METHOD *bio_method;

	/* atomic: any -> any */
	_Atomic unsigned n_references;
};

SSL_CTX *tls_context_ssl(const struct tls_context *c)
{
	return c->ssl;
}

const BIO_METHOD *tls_context_bio_method(const struct tls_context *c)
{
	return c->bio_method;
}

static void context_free(struct tls_context *c)
{
	SSL_CTX_free(c->ssl);
	BIO_meth_free(c->bio_method);
	free(c);
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
	/* relaxed: whoever refers to it again holds a reference already */
	atomic_fetch_add_explicit(&c->n_references, 1, memory_order_relaxed);
	return c;
}

void tls_context_unref(struct tls_context *c)
{
	/* release: our uses come before; acquire: all others' uses come before the end. Each is
	 * the other's partner. */
	if (c && atomic_fetch_sub_explicit(&c->n_references, 1, memory_order_acq_rel) == 1)
		context_free(c);
}

/* --- what is reported --- */

static void set_error(struct tls_report *r, const char *format, ...) FORMAT_PRINTF(2, 3);
static void set_error(struct tls_report *r, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(r->error, sizeof(r->error), format, list);
	va_end(list);
}

static void add_warning(struct tls_report *r, const char *path, const char *what)
{
	size_t len = strlen(r->warning);

	snprintf(r->warning + len, sizeof(r->warning) - len, "%s%s: %s", len > 0 ? "; " : "", path,
		what);
}

/* What OpenSSL's last call failed of; its queue is empty then. */
static int openssl_failed(struct tls_report *r, const char *path, const char *what, int err)
{
	unsigned long code = ERR_peek_last_error();
	const char *text = ERR_reason_error_string(code);

	if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE || code == 0) {
		err = -ENOMEM;
		text = "out of memory";
	}
	set_error(r, "%s%s%s: %s", path ? path : "", path ? ": " : "", what, text ? text : "?");
	ERR_clear_error();
	return err;
}

/* --- how we speak --- */

static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
	const unsigned char *offered, unsigned offered_len, void *unused)
{
	static const char http_1_1[] = "http/1.1";
	enum { LEN = sizeof(http_1_1) - 1 };

	(void)ssl, (void)unused;
	for (unsigned at = 0; at < offered_len; at += 1U + offered[at]) {
		if (offered[at] != LEN || offered_len - at <= LEN)
			continue;
		if (memcmp(offered + at + 1, http_1_1, LEN) == 0) {
			*ret = offered + at + 1;
			*ret_len = LEN;
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_NOACK;
}

static int set_up(SSL_CTX *ssl)
{
	static const unsigned char id[] = "presenced";

	/* A record that isn't whole or not sent keeps its buffer, no other does: a third of
	 * OpenSSL's usual memory. */
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* Our order of ciphers and curves counts (see 'groups'), but for a client without AES in
	 * hardware. */
	SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(ssl, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, NULL);
	/* A record's head and body by one recv(2). What is there in the buffer after them is
	 * counted by SSL_has_pending(). */
	SSL_CTX_set_read_ahead(ssl, 1);
	return SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) &&
	       SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) &&
	       SSL_CTX_set_cipher_list(ssl, ciphers_1_2) && SSL_CTX_set1_groups_list(ssl, groups) &&
	       SSL_CTX_set_max_early_data(ssl, 0) && SSL_CTX_set_num_tickets(ssl, 1) &&
	       SSL_CTX_set_session_id_context(ssl, id, sizeof(id) - 1) &&
	       SSL_CTX_set_max_send_fragment(ssl, TLS_RECORD_BYTES);
}

/* --- the files --- */

/* An encrypted key has no password here, and OpenSSL's own callback would ask on the terminal. */
static int no_password(char *to, int size, int is_writing, void *unused)
{
	(void)to, (void)size, (void)is_writing, (void)unused;
	return -1;
}

static int open_pem(const char *path, struct tls_report *r, BIO **ret, struct stat *ret_st)
{
	FILE *file = fopen(path, "re");
	int err = file ? 0 : -errno;

	if (file && fstat(fileno(file), ret_st) < 0)
		err = -errno;
	else if (file && !S_ISREG(ret_st->st_mode))
		err = S_ISDIR(ret_st->st_mode) ? -EISDIR : -EINVAL;
	if (err) {
		set_error(r, "%s: %s", path, err == -EINVAL ? "not a file" : strerror(-err));
	} else {
		*ret = BIO_new_fp(file, BIO_CLOSE);
		err = *ret ? 0 : openssl_failed(r, path, "reading it", -ENOMEM);
	}
	if (err && file)
		fclose(file);
	return err;
}

static void check_dates(const X509 *cert, const struct tls_files *f, struct tls_report *r)
{
	time_t now = (time_t)f->now_s;

	if (X509_cmp_time(X509_get0_notAfter(cert), &now) < 0)
		add_warning(r, f->cert_path, "the certificate has expired");
	if (X509_cmp_time(X509_get0_notBefore(cert), &now) > 0)
		add_warning(r, f->cert_path, "the certificate is not valid yet");
}

/* Takes over what follows the first certificate. */
static int read_chain(SSL_CTX *ssl, BIO *bio, const char *path, struct tls_report *r)
{
	for (;;) {
		X509 *next = PEM_read_bio_X509(bio, NULL, no_password, NULL);
		if (!next) {
			unsigned long code = ERR_peek_last_error();
			bool is_end = ERR_GET_LIB(code) == ERR_LIB_PEM &&
				      ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
			if (!is_end)
				return openssl_failed(r, path, "the chain", -EBADMSG);
			ERR_clear_error();
			return 0;
		}
		if (!SSL_CTX_add0_chain_cert(ssl, next)) {
			X509_free(next);
			return openssl_failed(r, path, "the chain", -EBADMSG);
		}
	}
}

static int load_certificate(SSL_CTX *ssl, const struct tls_files *f, struct tls_report *r)
{
	struct stat st;
	BIO *bio;
	int err = open_pem(f->cert_path, r, &bio, &st);

	if (err)
		return err;
	X509 *cert = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL);
	if (!cert || SSL_CTX_use_certificate(ssl, cert) != 1) {
		err = openssl_failed(r, f->cert_path, "no usable certificate", -EBADMSG);
	} else {
		check_dates(cert, f, r);
		err = read_chain(ssl, bio, f->cert_path, r);
	}
	X509_free(cert);
	BIO_free(bio);
	return err;
}

static int load_key(SSL_CTX *ssl, const struct tls_files *f, struct tls_report *r)
{
	struct stat st;
	BIO *bio;
	int err = open_pem(f->key_path, r, &bio, &st);

	if (err)
		return err;
	if (st.st_mode & S_IROTH)
		add_warning(r, f->key_path, "the key can be read by every user of this machine");
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	X509 *cert = SSL_CTX_get0_certificate(ssl);
	if (!key)
		err = openssl_failed(r, f->key_path, "no usable key", -EBADMSG);
	else if (X509_check_private_key(cert, key) != 1)
		err = openssl_failed(
			r, f->key_path, "not the key of the certificate", -EKEYREJECTED);
	else if (SSL_CTX_use_PrivateKey(ssl, key) != 1)
		err = openssl_failed(r, f->key_path, "no usable key", -EBADMSG);
	EVP_PKEY_free(key);
	BIO_free(bio);
	return err;
}

int tls_context_load(
	const struct tls_files *files, struct tls_context **ret, struct tls_report *ret_report)
{
	struct tls_context *c = calloc(1, sizeof(*c));
	int err = c ? tls_bio_method_new(&c->bio_method) : -ENOMEM;

	*ret_report = (struct tls_report){.error = "", .warning = ""};
	ERR_clear_error();
	if (err) {
		set_error(ret_report, "out of memory");
		goto fail;
	}
	c->ssl = SSL_CTX_new(TLS_server_method());
	if (!c->ssl || !set_up(c->ssl)) {
		err = openssl_failed(ret_report, NULL, "setting up TLS", -ENOTSUP);
		goto fail;
	}
	err = load_certificate(c->ssl, files, ret_report);
	if (!err)
		err = load_key(c->ssl, files, ret_report);
	if (err)
		goto fail;
	ERR_clear_error();
	atomic_init(&c->n_references, 1);
	*ret = c;
	return 0;

fail:
	if (c)
		context_free(c);
	ERR_clear_error();
	return err;
}
