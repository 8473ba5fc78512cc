/* The keys that tokens are verified with: a shared secret, a JWKS file (RFC 7517), or both.
 *
 * Owns     a set of keys, and for each which algorithms it is good for. That is settled here, before any token is
 *          seen: a key has one kind, an algorithm goes with one kind, so an RSA key never verifies HS256 and a
 *          P-256 key nothing but ES256. A key's "alg" narrows it to one; the algorithms of the params narrow all.
 *          Without any of that the secret is for HS256, an RSA key for RS256 to PS512, an EC key for its curve's.
 * Threads  A set never changes once loaded, so any number of threads verify with it at once: cjose_jws_verify()
 *          takes the key const and does not count references, and OpenSSL's RSA and EC keys carry locks for what
 *          they compute on first use. cjose's own reference counts are no atomics; only load and the last release
 *          touch them. keys_retain() and keys_release(): any thread, atomic.
 * Locks    none.  Memory  bounded by KEYS_MAX and KEYS_FILE_MAX. Secrets are wiped by cjose when freed.
 * Errors   0 or negative errno; keys_load() says why in words. OpenSSL's error queue of the thread is left empty,
 *          since TLS on the same thread reads meaning from it. */
#ifndef AUTH_KEYS_H
#define AUTH_KEYS_H

#include "auth/algorithm.h"

#include <stddef.h>

enum {
	KEYS_MAX = 64, /* of a file that can be used */
	KEYS_FILE_MAX = 256 * 1024,
	KEYS_SECRET_MIN = 32, /* RFC 7518, 3.2: as long as the hash */
	KEYS_RSA_MIN_BITS = 2048,
	KEYS_RSA_MAX_BITS = 8192, /* a signature takes long enough to verify */
	KEYS_KID_MAX = 256,
	KEYS_TRIED_MAX = 4, /* signatures verified for one token, where its kid leaves a choice */
	KEYS_WHY_MAX = 200,
};

struct keys_params {
	const char *secret; /* bytes, not decoded in any way; NULL: none */
	size_t secret_len;
	const char *jwks_path; /* NULL: none */
	algorithm_set algorithms; /* 0: what the keys allow */
};

struct keys;

/* One reference. -EINVAL: what was given can't be used; -errno of the file; -ENOMEM. 'why' is then a line for the
 * log, without the path and without any secret.
 *
 * Keys of a file that are not for this (use "enc", key_ops without "verify", another kty, curve or alg) are
 * skipped, for issuers put all theirs into one file. What is broken in a key that is meant for this refuses the
 * file: a short RSA modulus, a private part, a secret shorter than its hash, a kid that two keys share. */
int keys_load(const struct keys_params *, struct keys **ret, char why[KEYS_WHY_MAX]);
struct keys *keys_retain(struct keys *);
void keys_release(struct keys *); /* NULL is fine */

algorithm_set keys_algorithms(const struct keys *); /* all that some key is good for */
size_t keys_count(const struct keys *);
size_t keys_skipped(const struct keys *);

/* Whether the token is signed by one of the keys. The caller has split and decoded it, knows its header's algorithm
 * and the length of its signature in bytes. The keys that are asked: those of this algorithm with this kid, then
 * those without any kid (the secret has none), KEYS_TRIED_MAX at most. 'kid' NULL: the token has none, and all keys
 * of the algorithm are asked.
 *
 * 0; -ENOKEY: no key to ask; -EBADMSG: a wrong signature; -ENOMEM. */
int keys_verify(const struct keys *, enum algorithm, const char *kid, size_t kid_len,
	const char *token, size_t token_len, size_t signature_bytes);

#endif
