/* One TLS connection over a BIO of our own: that counts what it reads, keeps the kernel's error,
 * raises no signal, and can be given bytes that were read before OpenSSL was asked. */

#include "net/tls.h"

#include "base/compiler.h"
#include "base/ensure.h"
#include "net/tls_context.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	/* Read before OpenSSL is asked: a call that finds nothing then costs no buffer of 17 KB,
	 * made and freed. It fits what a client usually sends; what does not fit is read by
	 * OpenSSL, into its own. */
	AHEAD_BYTES = 4096,
	CALL_BYTES = 64 * 1024, /* from the socket, a call */
};

struct tls {
	/* const after start */
	struct tls_context *context;
	int fd;

	/* owner: the connection's thread */
	int read_error, write_error; /* errno of the socket, for good */
	SSL *ssl; /* NULL until the first bytes */
	const char *reason;
	uint64_t raw_bytes;
	const char *ahead; /* within a call: read, and not yet asked for by OpenSSL */
	uint32_t n_ahead;
	int32_t n_call; /* bytes that this call may still read */
	uint32_t promised;
	int32_t end; /* what tls_read() says for good, once has_ended */
	bool is_up : 1; /* the handshake is done */
	bool has_fin : 1; /* the socket said so */
	bool has_ended : 1;
	bool has_failed : 1; /* OpenSSL will not be asked again */
	bool is_drained : 1; /* the last read of the socket was short, or found nothing */
	bool is_cut : 1; /* the last call stopped at CALL_BYTES */
	bool is_waiting : 1; /* the last call stopped for want of bytes, room or CALL_BYTES */
	bool wants_room : 1; /* ... of room in the socket, while it was reading */
};

const char TLS_PLAIN_TEXT[] = "plain text at a TLS port";
const char TLS_PLAIN_HTTP[] = "plain HTTP at a TLS port";

/* --- the socket --- */

/* As recv(2): bytes, 0 for FIN, negative errno. An end is for good. */
static ssize_t receive(struct tls *t, void *to, size_t len)
{
	ssize_t n;

	if (t->read_error)
		return -t->read_error;
	if (t->has_fin)
		return 0;
	do {
		n = recv(t->fd, to, len, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		t->raw_bytes += (uint64_t)n;
		t->n_call -= (int32_t)n;
		t->is_drained = (size_t)n < len;
		return n;
	}
	t->is_drained = true;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return -EAGAIN;
	/* A write that fails takes the error from the socket: what is left of an RST then looks
	 * like a FIN. */
	if (n == 0 && t->write_error == ECONNRESET)
		errno = ECONNRESET;
	else if (n == 0)
		t->has_fin = true;
	if (!t->has_fin)
		t->read_error = errno;
	return t->has_fin ? 0 : -t->read_error;
}

static int bio_read(BIO *bio, char *to, int len)
{
	struct tls *t = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	if (t->n_ahead > 0) {
		uint32_t n = t->n_ahead < (uint32_t)len ? t->n_ahead : (uint32_t)len;
		memcpy(to, t->ahead, n);
		t->ahead += n;
		t->n_ahead -= n;
		return (int)n;
	}
	t->is_cut = t->n_call <= 0;
	ssize_t n = t->is_cut ? -EAGAIN : receive(t, to, (size_t)len);
	if (n == -EAGAIN)
		BIO_set_retry_read(bio);
	return n >= 0 ? (int)n : -1;
}

static int bio_write(BIO *bio, const char *bytes, int len)
{
	struct tls *t = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (t->write_error) {
		errno = t->write_error;
		return -1;
	}
	do {
		n = send(t->fd, bytes, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		BIO_set_retry_write(bio);
	else if (n < 0)
		t->write_error = errno;
	return (int)n;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio, (void)number, (void)pointer;
	/* Nothing is held back here. BIO_CTRL_EOF is never admitted, so that OpenSSL makes no
	 * alert of a FIN. */
	return command == BIO_CTRL_FLUSH;
}

int tls_bio_method_new(BIO_METHOD **ret)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "presenced");

	if (!method)
		return -ENOMEM;
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_control);
	*ret = method;
	return 0;
}

/* --- a call of OpenSSL, and what it came to --- */

static void begin_call(struct tls *t)
{
	t->n_call = CALL_BYTES;
	t->is_cut = false;
	t->is_waiting = false;
	t->wants_room = false;
}

/* The outermost reason that OpenSSL gives, and its queue is empty. */
static const char *take_reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return text ? text : "TLS failed";
}

/* OpenSSL failed for good: which errno says why? */
static int failure(struct tls *t, int ssl_error)
{
	int err = EPROTO;
	bool is_memory = ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE;

	t->has_failed = true;
	if (is_memory)
		err = ENOMEM;
	else if (ssl_error == SSL_ERROR_SYSCALL && t->read_error)
		err = t->read_error;
	else if (ssl_error == SSL_ERROR_SYSCALL && t->has_fin)
		err = 0;
	else if (ssl_error == SSL_ERROR_SYSCALL && t->write_error)
		err = t->write_error;
	t->reason = err == EPROTO || err == ENOMEM ? take_reason() : "the socket failed";
	ERR_clear_error();
	return -err;
}

/* --- setting up --- */

int tls_new(struct tls_context *context, int fd, struct tls **ret)
{
	struct tls *t = malloc(sizeof(*t));

	if (!t)
		return -ENOMEM;
	*t = (struct tls){
		.context = tls_context_ref(context), .fd = fd, .reason = "", .is_drained = true};
	*ret = t;
	return 0;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	tls_context_unref(t->context);
	free(t);
}

/* OpenSSL's part, once there is something to read. */
static int make_ssl(struct tls *t)
{
	SSL *ssl = SSL_new(tls_context_ssl(t->context));
	BIO *bio = ssl ? BIO_new(tls_context_bio_method(t->context)) : NULL;

	if (!bio) {
		SSL_free(ssl);
		t->reason = "out of memory";
		ERR_clear_error();
		return -ENOMEM;
	}
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_accept_state(ssl);
	t->ssl = ssl;
	return 0;
}

/* --- the handshake --- */

static bool begins_with(const char *bytes, size_t len, const char *word)
{
	size_t word_len = strlen(word);

	return len >= word_len && memcmp(bytes, word, word_len) == 0;
}

/* What people send to the wrong port; NULL for anything else. TLS begins with 22, SSL 2 with the
 * highest bit. */
static const char *plain_text(const char *bytes, size_t len)
{
	static const char *const methods[] = {"GET ", "POST ", "HEAD ", "PUT ", "OPTIONS "};
	char c = bytes[0];

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (begins_with(bytes, len, methods[i]))
			return TLS_PLAIN_HTTP;
	return (c >= ' ' && c <= '~') || c == '\t' || c == '\r' || c == '\n' ? TLS_PLAIN_TEXT
									     : NULL;
}

static int handshake_failed(struct tls *t, int err, const char *reason)
{
	t->has_failed = true;
	if (reason)
		t->reason = reason;
	return err;
}

/* The first bytes decide whether this is TLS at all. Fills in 'ahead', or says what a handshake
 * says. */
static int begin_handshake(struct tls *t, char *ahead)
{
	ssize_t n = receive(t, ahead, AHEAD_BYTES);

	if (n == -EAGAIN)
		return TLS_WANTS_READ;
	if (n < 0)
		return handshake_failed(t, (int)n, "the socket failed");
	if (n == 0)
		return handshake_failed(t, -ECONNABORTED, "closed before the handshake");
	const char *wrong = plain_text(ahead, (size_t)n);
	if (wrong)
		return handshake_failed(t, -EPROTO, wrong);
	int err = make_ssl(t);
	if (err)
		return handshake_failed(t, err, NULL);
	t->ahead = ahead;
	t->n_ahead = (uint32_t)n;
	return TLS_DONE;
}

int tls_handshake(struct tls *t)
{
	char ahead[AHEAD_BYTES];

	if (t->has_failed)
		return -EPROTO;
	begin_call(t);
	if (!t->ssl) {
		int begun = begin_handshake(t, ahead);
		t->is_waiting = begun == TLS_WANTS_READ;
		if (begun != TLS_DONE)
			return begun;
	}
	ERR_clear_error();
	int done = SSL_do_handshake(t->ssl);
	if (done == 1) {
		ERR_clear_error();
		t->is_up = true;
		return TLS_DONE;
	}
	int error = SSL_get_error(t->ssl, done);
	t->is_waiting = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
	if (t->is_waiting)
		return error == SSL_ERROR_WANT_READ ? TLS_WANTS_READ : TLS_WANTS_WRITE;
	int err = failure(t, error);
	return err ? err : handshake_failed(t, -ECONNABORTED, "closed in the handshake");
}

/* --- reading and writing --- */

static ssize_t end_reading(struct tls *t, int end, const char *reason)
{
	t->has_ended = true;
	t->end = end;
	if (reason)
		t->reason = reason;
	return end;
}

static ssize_t wait_for_more(struct tls *t)
{
	t->is_waiting = true;
	return -EAGAIN;
}

static ssize_t read_failed(struct tls *t, int ret)
{
	int error = SSL_get_error(t->ssl, ret);

	switch (error) {
	case SSL_ERROR_WANT_READ:
		return wait_for_more(t);
	case SSL_ERROR_WANT_WRITE:
		t->wants_room = true;
		return wait_for_more(t);
	case SSL_ERROR_ZERO_RETURN:
		return end_reading(t, 0, "close_notify");
	default:
		return end_reading(t, failure(t, error), NULL);
	}
}

/* Bytes are promised that nobody will take any more: then the end can be read. Takes no error
 * from the socket. Else nothing is read past a promise, for a peer may ask for what TLS has to
 * answer (key updates), and OpenSSL 3.0 breaks off ("bad length") where a record that is not
 * sent whole stands in the way of the answer. */
static bool is_dead(struct tls *t)
{
	struct pollfd look = {.fd = t->fd};

	if (poll(&look, 1, 0) <= 0 || !(look.revents & (POLLERR | POLLHUP)))
		return false;
	t->write_error = EPIPE;
	return true;
}

ssize_t tls_read(struct tls *t, void *to, size_t len)
{
	char ahead[AHEAD_BYTES];

	debug_check(t->is_up && len > 0);
	if (t->has_ended)
		return t->end;
	if (t->has_failed)
		return end_reading(t, -EPROTO, NULL);
	if (t->promised && !t->write_error && !is_dead(t)) {
		begin_call(t);
		t->wants_room = true;
		return wait_for_more(t);
	}
	/* OpenSSL asks the socket first where it holds nothing and owes no answer. Only then may
	 * bytes be read before. */
	bool is_empty = !SSL_has_pending(t->ssl) && !t->wants_room;
	begin_call(t);
	/* This call may be an edge's, and what OpenSSL holds may satisfy it: then the socket is still to be asked. */
	t->is_drained = false;
	if (is_empty) {
		ssize_t n = receive(t, ahead, sizeof(ahead));
		if (n == -EAGAIN)
			return wait_for_more(t);
		if (n <= 0)
			return end_reading(t, (int)n, n == 0 ? "FIN" : "the socket failed");
		t->ahead = ahead;
		t->n_ahead = (uint32_t)n;
	}
	ERR_clear_error();
	int n = SSL_read(t->ssl, to, len < INT32_MAX ? (int)len : INT32_MAX);
	if (n <= 0)
		n = (int)read_failed(t, n);
	if (UNLIKELY(t->n_ahead > 0)) {
		/* Only where OpenSSL gave up: the rest is of no use to anybody. */
		t->n_ahead = 0;
		if (!t->has_ended)
			return end_reading(t, -EPROTO, "bytes were left over");
	}
	return n;
}

bool tls_has_more(const struct tls *t)
{
	if (t->has_ended || t->has_failed)
		return false;
	if (t->is_waiting)
		return t->is_cut && !t->wants_room;
	return !t->is_drained || (t->ssl && SSL_has_pending(t->ssl));
}

bool tls_reads_when_writable(const struct tls *t)
{
	return t->wants_room && !t->has_ended;
}

static ssize_t write_failed(struct tls *t, int ret, size_t offered)
{
	int error = SSL_get_error(t->ssl, ret);

	if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ) {
		t->promised = (uint32_t)offered;
		return -EAGAIN;
	}
	if (error == SSL_ERROR_SYSCALL && t->write_error) {
		ERR_clear_error();
		return -t->write_error;
	}
	int err = failure(t, error);
	return err ? err : -EPIPE;
}

ssize_t tls_write(struct tls *t, const void *bytes, size_t len)
{
	size_t at = 0;

	debug_check(t->is_up);
	if (t->write_error)
		return -t->write_error;
	if (t->has_failed)
		return -EPROTO;
	if (len < t->promised)
		return -EINVAL;
	t->n_call = CALL_BYTES;
	ERR_clear_error();
	while (at < len) {
		/* A record a call, so that what is promised is known. */
		size_t n = t->promised                   ? t->promised
			   : len - at < TLS_RECORD_BYTES ? len - at
							 : TLS_RECORD_BYTES;
		int ret = SSL_write(t->ssl, (const char *)bytes + at, (int)n);
		if (ret <= 0) {
			ssize_t err = write_failed(t, ret, n);
			return at > 0 && err == -EAGAIN ? (ssize_t)at : err;
		}
		t->promised = 0;
		at += (size_t)ret;
	}
	return (ssize_t)at;
}

size_t tls_promised(const struct tls *t)
{
	return t->promised;
}

void tls_shutdown(struct tls *t)
{
	if (!t->is_up || t->has_failed || t->write_error || t->promised ||
		!SSL_is_init_finished(t->ssl))
		return;
	ERR_clear_error();
	SSL_shutdown(t->ssl);
	ERR_clear_error();
}

/* --- looking at it --- */

uint64_t tls_raw_bytes(const struct tls *t)
{
	return t->raw_bytes;
}

const char *tls_reason(const struct tls *t)
{
	return t->reason;
}

bool tls_looks_like_client_hello(const char *bytes, size_t len)
{
	/* A record: type 22 (handshake), version 3.x, two bytes of length, then message 1,
	 * ClientHello. */
	return len >= 1 && bytes[0] == 22 && (len < 2 || bytes[1] == 3) &&
	       (len < 6 || bytes[5] == 1);
}
