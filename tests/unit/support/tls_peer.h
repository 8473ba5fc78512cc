/* The other side of a TLS connection, for tests: an OpenSSL client whose records go through the
 * test's hands, so that it can cut, hold back and spoil them; and certificates made on the spot.
 *
 * Threads  each peer its owner's only. Errors: cmocka's assertions. */
#ifndef TESTS_TLS_PEER_H
#define TESTS_TLS_PEER_H

#include "net/tls.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- certificates --- */

struct tls_identity {
	const char *name; /* the common name, and of the files: name.crt, name.key */
	int rsa_bits; /* 0: P-256 */
	int64_t from_s, until_s; /* valid; both 0: from a day ago for ten years */
	const char *password; /* encrypts the key; NULL: none */
	const char *issuer; /* its files are there already: a chain. NULL: itself */
};

enum { TLS_PATH_MAX = 256 };
struct tls_paths {
	char cert[TLS_PATH_MAX], key[TLS_PATH_MAX];
};

/* A folder for them, removed at the end with all in it. */
void tls_folder_make(char ret[TLS_PATH_MAX]);
void tls_folder_remove(const char *folder);
struct tls_paths tls_identity_make(const char *folder, const struct tls_identity *);

/* What must succeed, without a warning. */
struct tls_context *tls_must_load(const struct tls_paths *);

/* --- the client --- */

struct tls_peer {
	int fd; /* the client's end, non-blocking */
	SSL *ssl; /* over memory: nothing reaches the socket by itself */
	struct tls *tls; /* the server's */
	int server_fd;
};

enum tls_way { TLS_WAY_UNIX, TLS_WAY_TCP };

/* A client of 'client', and our side of it. The version: TLS1_2_VERSION and so on. */
SSL_CTX *tls_client_context(int min_version, int max_version);
void tls_peer_open(struct tls_peer *, struct tls_context *, SSL_CTX *client, enum tls_way);
void tls_peer_close(struct tls_peer *);
void tls_peer_reset(struct tls_peer *); /* the client's end goes with RST (TCP) */

/* Moves at most 'max' bytes of what the client wants to send to the socket; the number moved. */
size_t tls_peer_push(struct tls_peer *, size_t max);
/* Moves what the server sent to the client; the number moved. 'ret_is_end' may be NULL. */
size_t tls_peer_pull(struct tls_peer *, bool *ret_is_end);

/* The server's step, with the checks that hold for each. */
int tls_peer_step(struct tls_peer *);
ssize_t tls_peer_read(struct tls_peer *, void *to, size_t len);
ssize_t tls_peer_write(struct tls_peer *, const void *bytes, size_t len);

/* Both sides to the end of the handshake, or the server's error. 'n_at_once': bytes a push. */
int tls_peer_handshake(struct tls_peer *, size_t n_at_once);
/* Opens and shakes hands: must succeed. */
void tls_peer_connect(struct tls_peer *, struct tls_context *, SSL_CTX *client, enum tls_way);

/* From the client, in one piece; on the socket when it returns. */
void tls_peer_say(struct tls_peer *, const char *text);
/* The server reads this, and then nothing more for now. */
void tls_peer_expect(struct tls_peer *, const char *text);
/* The client reads this. */
void tls_peer_hears(struct tls_peer *, const char *text);

#endif
