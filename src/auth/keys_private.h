/* A set of keys from the inside: for keys.c, which verifies, and jwks.c, which reads the file. */
#ifndef AUTH_KEYS_PRIVATE_H
#define AUTH_KEYS_PRIVATE_H

#include "auth/keys.h"

#include <cjose/cjose.h>
#include <stdatomic.h>
#include <stdbool.h>

struct key {
	cjose_jwk_t *jwk;
	char *kid; /* bytes; NULL: none */
	size_t kid_len;
	algorithm_set algorithms; /* of one kind */
	size_t signature_bytes; /* of an RSA key; else the algorithm says it */
};

struct keys {
	/* const after keys_load() */
	algorithm_set algorithms;
	size_t n, n_skipped;
	struct key all[KEYS_MAX + 1]; /* the secret too */
	/* atomic: any -> any */
	_Atomic unsigned n_references;
};

/* Adds the keys of a file. 'algorithms' as in the params. As keys_load(). */
int jwks_load(struct keys *, const char *path, algorithm_set algorithms, char why[KEYS_WHY_MAX]);

#endif
