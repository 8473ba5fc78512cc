/* What tls.c needs of a context: see net/tls.h. */
#ifndef NET_TLS_CONTEXT_H
#define NET_TLS_CONTEXT_H

#include "net/tls.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>

/* Of plain text, at most, in a record that we send. A peer that does not read makes us hold one,
 * encrypted, and tls_promised() of the caller's bytes: OpenSSL's 16 KiB would be four times
 * that. It costs 22 bytes a record. */
enum { TLS_RECORD_BYTES = 4096 };

SSL_CTX *tls_context_ssl(const struct tls_context *);
const BIO_METHOD *tls_context_bio_method(const struct tls_context *);

/* The way to the socket; its data is the struct tls. -ENOMEM. BIO_meth_free(). */
int tls_bio_method_new(BIO_METHOD **ret);

#endif
