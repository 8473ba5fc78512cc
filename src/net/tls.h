/* TLS for the server's side of a connection: OpenSSL 3.0 on a non-blocking socket, edge-triggered.
 *
 * Owns     The context: certificate chain and key, read once, never changed; a reload makes
 *          another. The connection: the TLS state of a descriptor, which the caller closes.
 * Threads  Context: any; it is immutable and counts its references. Connection: its owner's only.
 * Memory   About 100 bytes for a connection that has sent nothing: OpenSSL's state is made when
 *          the first bytes look like TLS. 14.4 KB for an idle one (1.2: 13.3; 17.9 where the client
 *          has no X25519); a test holds 15 KiB. Half a handshake 60 KB, until its deadline. While a
 *          record has not come whole 17 KB more, while one is not sent 4.5 KB. A read that finds
 *          nothing allocates nothing.
 * Signals  None: bytes are sent with MSG_NOSIGNAL, by a BIO of our own.
 * Time     Told by the caller, and only to a load.
 * Errors   0 or negative errno, but for tls_read() and tls_write(), which are recv(2) and send(2)
 *          to their callers. -EPROTO: the peer broke TLS, or refused us by an alert; tls_reason()
 *          says more. Others are the kernel's own: ECONNRESET, ETIMEDOUT, EHOSTUNREACH stay apart.
 *          OpenSSL's error queue of the thread is empty after every call.
 *
 * TLS 1.2 (ECDHE with AES-GCM or ChaCha20 only) and 1.3; no renegotiation, compression, early data
 * or client certificates. ALPN: http/1.1 is taken where it is offered, all else ignored.
 * Tickets: one after a full handshake. They are stateless (no session cache, nothing held for an
 * idle connection), and spare us the signature, the dearest step of a handshake, when a client
 * comes back: that is for the hour when all do. Their key lives and dies with the context. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tls_context;
struct tls;

struct tls_files {
	const char *cert_path; /* PEM: the server's certificate, then those that lead to its root */
	const char *key_path; /* PEM, not encrypted; may be the same file */
	int64_t now_s; /* Unix time, for the warning of one that is not valid now */
};

enum { TLS_TEXT_MAX = 512 };

/* For the log; empty where there is nothing to say. */
struct tls_report {
	char error[TLS_TEXT_MAX]; /* why a load failed */
	char warning[TLS_TEXT_MAX]; /* expired or not valid yet, a key that others can read */
};

/* Reads and checks the files: a new context with one reference. The report is filled in either way.
 * -ENOENT, -EACCES and what else open(2) and read(2) say; -EBADMSG no PEM, or not of that kind, or
 * encrypted, or too weak; -EKEYREJECTED the key is not the certificate's; -ENOMEM. */
int tls_context_load(
	const struct tls_files *, struct tls_context **ret, struct tls_report *ret_report);
struct tls_context *tls_context_ref(struct tls_context *);
void tls_context_unref(struct tls_context *); /* NULL is fine; connections hold their own */

/* The server's side of 'fd', which must be non-blocking. -ENOMEM. */
int tls_new(struct tls_context *, int fd, struct tls **ret);
/* Before the descriptor is closed. Says nothing to the peer: see tls_shutdown(). NULL is fine. */
void tls_free(struct tls *);

enum tls_progress { TLS_DONE, TLS_WANTS_READ, TLS_WANTS_WRITE, TLS_PROGRESS_N };

/* Goes on with the handshake: an enum tls_progress, or negative errno, after which only tls_free().
 * TLS_WANTS_READ, _WRITE: call again at the next such edge, or at once if tls_has_more().
 * TLS_DONE: on with tls_read() at once, for there may be bytes whose edge is past.
 * A call makes at most one signature: the one that completes the client's first message.
 * -EPROTO; -ECONNABORTED a FIN before it was done; -ENOMEM; the kernel's. Where the reason is
 * TLS_PLAIN_TEXT or TLS_PLAIN_HTTP nothing was sent: the caller may answer in plain text. */
int tls_handshake(struct tls *);

/* Texts of tls_reason(), known by their address. */
extern const char TLS_PLAIN_TEXT[], TLS_PLAIN_HTTP[];

/* After the handshake: bytes of plain text, at most 'len', at most one record's, or
 *   0            the end: close_notify, or FIN with or without one. (Who can forge a FIN can cut
 *                the line as well, and a message that isn't whole is never acted upon.)
 *   -EAGAIN      none for now
 *   -ECONNRESET  RST, also one that a write has met first
 *   -EPROTO      the peer broke TLS or sent a fatal alert; -ENOMEM; others as recv(2) says
 * Ends are for good: the next call says the same.
 *
 * Edge-triggered use: after every call, after -EAGAIN too, come back without an edge if
 * tls_has_more(). If not, the next edge will tell; but, as with recv(2), where the event had RDHUP,
 * HUP, ERR or PRI read on to the end or to -EAGAIN. A call takes little more than 64 KiB from the
 * socket, whatever it is that comes: that is when -EAGAIN has more behind it. */
ssize_t tls_read(struct tls *, void *to, size_t len);
bool tls_has_more(const struct tls *);

/* The last tls_read() could not go on for want of room to write in: read again at the next writable
 * edge. Either bytes are promised (below), past which nothing is read but the end of a dead
 * connection: write them first. Or TLS itself owes the peer an answer. */
bool tls_reads_when_writable(const struct tls *);

/* Bytes taken, at least 1, or -EAGAIN until the next writable edge, or the kernel's errors (-EPIPE,
 * -ECONNRESET ...), -EPROTO, -ENOMEM. A failed write says only that something is wrong: how it
 * ended the next tls_read() will tell.
 *
 * What is not taken may be encrypted already: the first tls_promised() bytes of what was offered
 * and not taken come first again in the next write, from anywhere in memory, and more may follow
 * them (-EINVAL where fewer come). */
ssize_t tls_write(struct tls *, const void *bytes, size_t len);
size_t tls_promised(const struct tls *); /* 4 KiB at most; 0 where nothing is stuck */

/* Sends close_notify if the socket has room for it and nothing is promised; never blocks. The FIN
 * is the caller's. */
void tls_shutdown(struct tls *);

/* Bytes read from the socket so far, of whatever kind: growth is life, also where no plain text
 * came of it. */
uint64_t tls_raw_bytes(const struct tls *);

/* Why the last call failed, for the log: a static text such as "no shared cipher". */
const char *tls_reason(const struct tls *);

/* For listeners without TLS: do these, the first bytes of a connection, begin as a TLS client's do?
 * One byte is enough to tell: no line and no HTTP head begins with it. */
bool tls_looks_like_client_hello(const char *bytes, size_t len);

#endif
