/* The signature algorithms of tokens (RFC 7518, section 3.1): one table.
 *
 * "none" is not among them. Pure. Threads any. */
#ifndef AUTH_ALGORITHM_H
#define AUTH_ALGORITHM_H

#include <stddef.h>
#include <stdint.h>

/* X(name, kind, of the signature the bytes; for HS also the least bytes of the secret; 0: those of the key) */
#define ALGORITHMS(X)                                                                              \
	X(HS256, OCT, 32)                                                                          \
	X(HS384, OCT, 48)                                                                          \
	X(HS512, OCT, 64)                                                                          \
	X(RS256, RSA, 0)                                                                           \
	X(RS384, RSA, 0)                                                                           \
	X(RS512, RSA, 0)                                                                           \
	X(PS256, RSA, 0)                                                                           \
	X(PS384, RSA, 0)                                                                           \
	X(PS512, RSA, 0)                                                                           \
	X(ES256, P256, 64)                                                                         \
	X(ES384, P384, 96)                                                                         \
	X(ES512, P521, 132)

#define ALGORITHM_ENUM(name, kind, bytes) ALGORITHM_##name,
enum algorithm { ALGORITHMS(ALGORITHM_ENUM) ALGORITHM_N };
#undef ALGORITHM_ENUM

/* What a key is; an algorithm goes with one kind only. */
enum key_kind { KEY_OCT, KEY_RSA, KEY_P256, KEY_P384, KEY_P521, KEY_KIND_N };

/* A set of algorithms, a bit each. */
typedef uint32_t algorithm_set;
#define ALGORITHM_BIT(a) ((algorithm_set)1 << (a))

const char *algorithm_word(enum algorithm);
enum key_kind algorithm_kind(enum algorithm);
size_t algorithm_signature_bytes(enum algorithm); /* 0: as many as the key has */
algorithm_set algorithms_of_kind(enum key_kind);

/* ALGORITHM_N for a word that is none of them. Case matters. */
enum algorithm algorithm_parse(const char *word, size_t len);

/* "RS256,ES256" into a set: -EINVAL, with '*ret_why' a static text of what was expected. Spaces around a
 * comma are let through. */
int algorithms_parse(const char *list, size_t len, algorithm_set *ret, const char **ret_why);

#endif
