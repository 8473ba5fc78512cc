/* Tokens: JSON Web Tokens (RFC 7519), signed (JWS, compact), never encrypted.
 *
 * The order of things: the text is cut into exactly three parts and decoded, strictly; the header is read and its
 * algorithm looked up among those that the keys were pinned to; the signature is verified; only then are the claims
 * looked at. Of the header nothing is used but "alg", "kid", "crit" (refused) and "b64" (refused unless true): keys or
 * links to keys in it (jwk, jku, x5c, x5u) are never followed.
 *
 * Claims   sub  required: a string of 1..128 bytes, no control characters: the user
 *          exp  required: good while now < exp + leeway
 *          nbf  good when now >= nbf - leeway
 *          iat  may not lie in the future by more than the leeway
 *          iss  must equal the issuer of the rules, where they name one
 *          aud  must equal, or hold, the audience of the rules, where they name one; else it is not looked at
 *          watch  watchlist.h
 *          Dates may have fractions: exp is rounded down, nbf and iat up. Negative ones, and those after the year
 *          9999, are refused. A key that stands twice refuses the token; so do more than JSON_READ_MEMBERS_MAX keys.
 *
 * Threads  any: all it is given is only read. OpenSSL's error queue of the thread is left empty.
 * Memory   one block for a watch claim, the caller's; besides, cjose takes for a moment at most: the token in base64
 *          and decoded (14 KiB), its header (4 KiB, twice, and 200 B for each of 64 members), and OpenSSL's contexts
 *          (about 15 KiB for RSA-4096): HEADROOM_BYTES. 6 KiB of stack.
 * Time     seconds of the wall clock, given by the caller.
 * Errors   a result; its text is for the log, a client learns nothing but auth_failed. */
#ifndef AUTH_TOKEN_H
#define AUTH_TOKEN_H

#include "auth/keys.h"
#include "auth/watchlist.h"
#include "base/terms.h"

#include <stdint.h>

enum {
	TOKEN_BYTES_MAX = 8 * 1024,
	TOKEN_HEADER_BYTES_MAX = 4 * 1024, /* decoded */
	TOKEN_LEEWAY_DEFAULT_S = 30
};

/* The first is good, the second is our own trouble and says nothing about the token. */
#define TOKEN_RESULTS(X)                                                                           \
	X(OK, "good")                                                                              \
	X(NO_MEMORY, "out of memory")                                                              \
	X(TOO_LONG, "longer than 8 KiB")                                                           \
	X(PARTS, "not three parts with something in each")                                         \
	X(ENCODING, "not base64url without padding")                                               \
	X(HEADER, "header: no JSON object, too large, or a key twice")                             \
	X(ALGORITHM, "header: alg is missing or not allowed here")                                 \
	X(CRITICAL, "header: crit, or b64 false: extensions are not supported")                    \
	X(KEY, "header: no key of this kid and alg")                                               \
	X(SIGNATURE, "wrong signature")                                                            \
	X(CLAIMS, "claims: no JSON object, or a key twice")                                        \
	X(SUBJECT, "sub: expected a string of 1 to 128 bytes without control characters")          \
	X(DATE, "exp, nbf or iat: expected a number of seconds since 1970, and exp to be there")   \
	X(EXPIRED, "exp: expired")                                                                 \
	X(EARLY, "nbf: not yet")                                                                   \
	X(FUTURE, "iat: issued in the future")                                                     \
	X(ISSUER, "iss: another issuer")                                                           \
	X(AUDIENCE, "aud: for another audience")                                                   \
	X(WATCH, "watch: expected an array of ids, prefixes with a * at the end, or *")

#define TOKEN_ENUM(name, text) TOKEN_##name,
enum token_result { TOKEN_RESULTS(TOKEN_ENUM) TOKEN_N };
#undef TOKEN_ENUM

const char *token_result_text(enum token_result); /* static */

struct token_rules {
	const char *issuer; /* NULL: any */
	const char *audience; /* NULL: any */
	uint32_t leeway_s;
};

struct token_claims {
	char user[USER_MAX]; /* not terminated */
	size_t user_len;
	uint64_t expires_unix_s; /* leeway included: at this second it is over */
	struct watchlist *watch; /* NULL: no such claim; see watchlist_allows() */
};

/* '*ret' is set only for TOKEN_OK, and then token_claims_free()'s. */
enum token_result token_verify(const struct token_rules *, const struct keys *, const char *text,
	size_t len, uint64_t now_unix_s, struct token_claims *ret);
void token_claims_free(struct token_claims *);

#endif
