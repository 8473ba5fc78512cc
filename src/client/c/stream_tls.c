/* TLS under the lines: OpenSSL between two buffers in memory. */
#include "base/compiler.h"
#include "client/c/stream.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_MAX = 16384 };

struct stream_tls {
	SSL *ssl;
	BIO *in, *out; /* the ssl's own */
	struct buffer *output;
	bool is_open;
	bool has_ended;
};

/* --- the context --- */

int stream_tls_context_new(const char *ca_file, void **ret)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	int done;

	ERR_clear_error();
	if (!context)
		return -ENOMEM;
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	done = ca_file ? SSL_CTX_load_verify_locations(context, ca_file, NULL)
		       : SSL_CTX_set_default_verify_paths(context);
	ERR_clear_error();
	if (done != 1) {
		SSL_CTX_free(context);
		return -EINVAL;
	}
	*ret = context;
	return 0;
}

void stream_tls_context_free(void *context)
{
	SSL_CTX_free(context);
}

/* --- failures --- */

static const char *take_reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return text;
}

static int failed(struct stream_tls *t, struct ending *ret)
{
	long verified = SSL_get_verify_result(t->ssl);
	bool is_memory = ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE;

	*ret = (struct ending){.error = PRESENCE_ERROR_TLS};
	if (is_memory)
		ret->error = PRESENCE_ERROR_MEMORY;
	else if (!t->is_open && verified != X509_V_OK)
		ret->error = PRESENCE_ERROR_CERTIFICATE;
	ret->detail = take_reason();
	if (ret->error == PRESENCE_ERROR_CERTIFICATE)
		ret->detail = X509_verify_cert_error_string(verified);
	return -1;
}

/* --- setting up --- */

/* The certificate has to be for this host: a name, or an address. */
static bool set_host(SSL *ssl, const struct server_url *url)
{
	X509_VERIFY_PARAM *verify = SSL_get0_param(ssl);

	if (X509_VERIFY_PARAM_set1_ip_asc(verify, url->host) == 1)
		return true;
	ERR_clear_error();
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, url->host) == 1 && SSL_set_tlsext_host_name(ssl, url->host) == 1;
}

static void drain(struct stream_tls *t)
{
	char *data;
	long len = BIO_get_mem_data(t->out, &data);

	if (len > 0)
		buffer_append(t->output, data, (size_t)len);
	(void)BIO_reset(t->out);
}

/* 0 where it goes on, or is done. */
static int shake(struct stream_tls *t, struct ending *ret)
{
	ERR_clear_error();
	int done = SSL_do_handshake(t->ssl);
	int error = done == 1 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, done);

	drain(t);
	t->is_open = done == 1;
	if (t->output->failed) {
		*ret = (struct ending){.error = PRESENCE_ERROR_MEMORY};
		return -1;
	}
	return done == 1 || error == SSL_ERROR_WANT_READ ? 0 : failed(t, ret);
}

int stream_tls_new(
	void *context, const struct server_url *url, struct buffer *output, struct stream_tls **ret)
{
	struct stream_tls *t = calloc(1, sizeof(*t));
	struct ending ending;

	if (!t)
		return -ENOMEM;
	t->output = output;
	t->ssl = SSL_new(context);
	t->in = BIO_new(BIO_s_mem());
	t->out = BIO_new(BIO_s_mem());
	if (!t->ssl || !t->in || !t->out) {
		BIO_free(t->in);
		BIO_free(t->out);
		SSL_free(t->ssl);
		free(t);
		ERR_clear_error();
		return -ENOMEM;
	}
	/* An empty one says "later" and not "the end". */
	BIO_set_mem_eof_return(t->in, -1);
	SSL_set_bio(t->ssl, t->in, t->out);
	SSL_set_connect_state(t->ssl);
	if (!set_host(t->ssl, url) || shake(t, &ending) != 0) {
		ERR_clear_error();
		stream_tls_free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

void stream_tls_free(struct stream_tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	free(t);
}

bool stream_tls_is_open(const struct stream_tls *t)
{
	return t->is_open;
}

/* --- in and out --- */

static int read_all(struct stream_tls *t, struct buffer *plain, struct ending *ret)
{
	for (;;) {
		char *to = buffer_reserve(plain, RECORD_MAX);
		if (!to) {
			*ret = (struct ending){.error = PRESENCE_ERROR_MEMORY};
			return -1;
		}
		ERR_clear_error();
		int n = SSL_read(t->ssl, to, RECORD_MAX);
		if (n > 0) {
			plain->len += (size_t)n;
			continue;
		}
		int error = SSL_get_error(t->ssl, n);
		drain(t); /* answers of TLS itself: key updates, alerts */
		t->has_ended = error == SSL_ERROR_ZERO_RETURN;
		return error == SSL_ERROR_WANT_READ || t->has_ended ? 0 : failed(t, ret);
	}
}

int stream_tls_receive(struct stream_tls *t, const char *data, size_t len, struct buffer *plain,
	struct ending *ret)
{
	while (len > 0) {
		int n = BIO_write(t->in, data, len < INT32_MAX ? (int)len : INT32_MAX);
		if (n <= 0) {
			ERR_clear_error();
			*ret = (struct ending){.error = PRESENCE_ERROR_MEMORY};
			return -1;
		}
		data += n;
		len -= (size_t)n;
	}
	if (!t->is_open && shake(t, ret) != 0)
		return -1;
	return t->is_open && !t->has_ended ? read_all(t, plain, ret) : 0;
}

int stream_tls_send(struct stream_tls *t, const char *data, size_t len, struct ending *ret)
{
	while (len > 0) {
		ERR_clear_error();
		int n = SSL_write(t->ssl, data, len < RECORD_MAX ? (int)len : RECORD_MAX);
		if (n <= 0)
			return failed(t, ret);
		data += n;
		len -= (size_t)n;
	}
	drain(t);
	if (!t->output->failed)
		return 0;
	*ret = (struct ending){.error = PRESENCE_ERROR_MEMORY};
	return -1;
}
