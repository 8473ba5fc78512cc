/* An issuer of tokens, good and bad: for the tests of auth/.
 *
 * Whatever can't be made fails the test that asked for it. */
#ifndef TESTS_TOKENS_H
#define TESTS_TOKENS_H

#include "support/cmocka_all.h"

#include <cjose/cjose.h>
#include <stdbool.h>

/* 64 bytes: long enough for HS512. */
#define ISSUER_SECRET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

enum issuer_key {
	ISSUER_RSA, /* kid "rsa", no alg */
	ISSUER_RSA_OLD, /* kid "rsa-old", alg RS256 */
	ISSUER_P256, /* kid "p256" */
	ISSUER_P384,
	ISSUER_P521,
	ISSUER_STRANGER, /* an RSA key that is in no file */
	ISSUER_KEY_N
};

struct issuer {
	cjose_jwk_t *keys[ISSUER_KEY_N];
	char path[64]; /* a file of all but the stranger's */
};

int issuer_setup(void **state); /* cmocka's: *state is the issuer */
int issuer_teardown(void **state);

/* The public half as a JWK, with 'more' members ("\"kid\":\"x\"") in it; the caller's to free. */
char *issuer_jwk(const struct issuer *, enum issuer_key, const char *more);
/* A file of its own with this text; the path, the caller's to unlink and free. */
char *issuer_file(const char *text);
void issuer_file_write(const char *path, const char *text);

/* Both are the caller's to free. The header's and claims' texts are taken as they stand, whatever they are. */
char *token_hmac(const char *hash, const char *secret, size_t secret_len, const char *header,
	const char *claims);
char *token_signed(cjose_jwk_t *, const char *header, const char *claims);
/* Without a signature made: header, claims, and this as the third part (no dot before it where NULL). */
char *token_text(const char *header, const char *claims, const char *third);
char *token_base64(const void *bytes, size_t len);

#endif
