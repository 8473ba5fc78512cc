#include "auth/token.h"

#include "base/compiler.h"
#include "support/cmocka_all.h"
#include "support/tokens.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which keys a token is verified with: algorithms, kids, and the old tricks with both. */

/* The seconds of all that is said here. */
#define NOW  1000000
#define GOOD "{\"sub\":\"alice\",\"exp\":1000060}"

#define HS256 "{\"alg\":\"HS256\"}"
#define RS256 "{\"alg\":\"RS256\",\"kid\":\"rsa\"}"

static const struct token_rules plain_rules = {.leeway_s = 30};

static struct keys *load(const char *secret, const char *path, algorithm_set algorithms)
{
	struct keys_params p = {.secret = secret,
		.secret_len = secret ? strlen(secret) : 0,
		.jwks_path = path,
		.algorithms = algorithms};
	struct keys *keys = NULL;
	char why[KEYS_WHY_MAX];

	if (keys_load(&p, &keys, why))
		fail_msg("%s", why);
	return keys;
}

static enum token_result verify(
	const struct token_rules *rules, const struct keys *keys, const char *text, size_t len)
{
	struct token_claims claims = {.user_len = 77};
	enum token_result result = token_verify(rules, keys, text, len, NOW, &claims);

	if (result == TOKEN_OK)
		token_claims_free(&claims);
	else
		assert_int_equal(claims.user_len, 77); /* untouched */
	assert_int_equal(ERR_peek_error(), 0);
	return result;
}

static void expect(const char *name, enum token_result got, enum token_result want)
{
	if (got != want)
		fail_msg("%s: \"%s\", expected \"%s\"", name, token_result_text(got),
			token_result_text(want));
}

enum { BY_SECRET = ISSUER_KEY_N };

static void each_algorithm_verifies_with_its_own_key_only(void **state)
{
	struct issuer *issuer = *state;
	static const struct {
		const char *header;
		unsigned key;
		enum token_result result;
	} rows[] = {
		{"{\"alg\":\"RS256\",\"kid\":\"rsa\"}", ISSUER_RSA, TOKEN_OK},
		{"{\"alg\":\"RS384\",\"kid\":\"rsa\"}", ISSUER_RSA, TOKEN_OK},
		{"{\"alg\":\"RS512\",\"kid\":\"rsa\"}", ISSUER_RSA, TOKEN_OK},
		{"{\"alg\":\"PS256\",\"kid\":\"rsa\"}", ISSUER_RSA, TOKEN_OK},
		{"{\"alg\":\"PS384\",\"kid\":\"rsa\"}", ISSUER_RSA, TOKEN_OK},
		{"{\"alg\":\"PS512\",\"kid\":\"rsa\"}", ISSUER_RSA, TOKEN_OK},
		{"{\"alg\":\"RS256\",\"kid\":\"rsa-old\"}", ISSUER_RSA_OLD, TOKEN_OK},
		{"{\"alg\":\"ES256\",\"kid\":\"p256\"}", ISSUER_P256, TOKEN_OK},
		{"{\"alg\":\"ES384\",\"kid\":\"p384\"}", ISSUER_P384, TOKEN_OK},
		{"{\"alg\":\"ES512\",\"kid\":\"p521\"}", ISSUER_P521, TOKEN_OK},
		/* no kid: all of the algorithm are asked */
		{"{\"alg\":\"RS256\"}", ISSUER_RSA, TOKEN_OK},
		{"{\"alg\":\"RS256\"}", ISSUER_RSA_OLD, TOKEN_OK},
		{"{\"alg\":\"ES384\"}", ISSUER_P384, TOKEN_OK},
		{"{\"alg\":\"RS256\"}", ISSUER_STRANGER, TOKEN_SIGNATURE},
		/* another's kid, nobody's kid, a kid of another algorithm */
		{"{\"alg\":\"RS256\",\"kid\":\"rsa\"}", ISSUER_STRANGER, TOKEN_SIGNATURE},
		{"{\"alg\":\"RS256\",\"kid\":\"rsa\"}", ISSUER_RSA_OLD, TOKEN_SIGNATURE},
		{"{\"alg\":\"RS256\",\"kid\":\"rsa-old\"}", ISSUER_RSA, TOKEN_SIGNATURE},
		{"{\"alg\":\"RS256\",\"kid\":\"gone\"}", ISSUER_RSA, TOKEN_KEY},
		{"{\"alg\":\"RS256\",\"kid\":\"\"}", ISSUER_RSA, TOKEN_KEY},
		{"{\"alg\":\"RS256\",\"kid\":\"RSA\"}", ISSUER_RSA, TOKEN_KEY},
		{"{\"alg\":\"RS256\",\"kid\":\"p256\"}", ISSUER_RSA, TOKEN_KEY},
		{"{\"alg\":\"ES256\",\"kid\":\"rsa\"}", ISSUER_P256, TOKEN_KEY},
		/* a key's alg pins it */
		{"{\"alg\":\"PS256\",\"kid\":\"rsa-old\"}", ISSUER_RSA_OLD, TOKEN_KEY},
		{"{\"alg\":\"RS512\",\"kid\":\"rsa-old\"}", ISSUER_RSA_OLD, TOKEN_KEY},
		/* a curve goes with one algorithm */
		{"{\"alg\":\"ES256\",\"kid\":\"p384\"}", ISSUER_P384, TOKEN_KEY},
		{"{\"alg\":\"ES512\",\"kid\":\"p256\"}", ISSUER_P256, TOKEN_KEY},
		{"{\"alg\":\"ES256\"}", ISSUER_P384, TOKEN_SIGNATURE},
		/* the secret beside them */
		{"{\"alg\":\"HS256\"}", BY_SECRET, TOKEN_OK},
		{"{\"alg\":\"HS256\",\"kid\":\"rsa\"}", BY_SECRET, TOKEN_OK},
		{"{\"alg\":\"HS512\"}", BY_SECRET, TOKEN_ALGORITHM},
	};
	struct keys *keys = load(ISSUER_SECRET, issuer->path, 0);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *text =
			rows[i].key == BY_SECRET
				? token_hmac("SHA256", ISSUER_SECRET, 64, rows[i].header, GOOD)
				: token_signed(issuer->keys[rows[i].key], rows[i].header, GOOD);
		expect(rows[i].header, verify(&plain_rules, keys, text, strlen(text)),
			rows[i].result);
		free(text);
	}
	keys_release(keys);
}

static void hmac_by_what_is_public_is_refused(void **state)
{
	struct issuer *issuer = *state;
	struct keys *file = load(NULL, issuer->path, 0);
	struct keys *both = load(ISSUER_SECRET, issuer->path, 0);
	char *jwk = issuer_jwk(issuer, ISSUER_RSA, "");
	static const char *const headers[] = {HS256, "{\"alg\":\"HS256\",\"kid\":\"rsa\"}"};

	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		/* Signed by the public key's text; the PEM of it is a text like another. */
		char *text = token_hmac("SHA256", jwk, strlen(jwk), headers[i], GOOD);
		expect(headers[i], verify(&plain_rules, file, text, strlen(text)), TOKEN_ALGORITHM);
		expect(headers[i], verify(&plain_rules, both, text, strlen(text)), TOKEN_SIGNATURE);
		free(text);
		text = token_hmac("SHA256", "", 0, headers[i], GOOD);
		expect(headers[i], verify(&plain_rules, both, text, strlen(text)), TOKEN_SIGNATURE);
		free(text);
	}
	free(jwk);
	keys_release(file);
	keys_release(both);
}

static void the_configuration_pins_the_algorithms(void **state)
{
	struct issuer *issuer = *state;
	struct keys *only_ps = load(NULL, issuer->path, ALGORITHM_BIT(ALGORITHM_PS256));
	struct keys *hs512 = load(ISSUER_SECRET, NULL,
		ALGORITHM_BIT(ALGORITHM_HS512) | ALGORITHM_BIT(ALGORITHM_HS384));
	char *rs = token_signed(issuer->keys[ISSUER_RSA], RS256, GOOD);
	char *ps =
		token_signed(issuer->keys[ISSUER_RSA], "{\"alg\":\"PS256\",\"kid\":\"rsa\"}", GOOD);
	char *h256 = token_hmac("SHA256", ISSUER_SECRET, 64, HS256, GOOD);
	char *h384 = token_hmac("SHA384", ISSUER_SECRET, 64, "{\"alg\":\"HS384\"}", GOOD);
	char *h512 = token_hmac("SHA512", ISSUER_SECRET, 64, "{\"alg\":\"HS512\"}", GOOD);
	char *lie = token_hmac("SHA256", ISSUER_SECRET, 64, "{\"alg\":\"HS512\"}", GOOD);

	expect("rs", verify(&plain_rules, only_ps, rs, strlen(rs)), TOKEN_ALGORITHM);
	expect("ps", verify(&plain_rules, only_ps, ps, strlen(ps)), TOKEN_OK);
	expect("h256", verify(&plain_rules, hs512, h256, strlen(h256)), TOKEN_ALGORITHM);
	expect("h384", verify(&plain_rules, hs512, h384, strlen(h384)), TOKEN_OK);
	expect("h512", verify(&plain_rules, hs512, h512, strlen(h512)), TOKEN_OK);
	expect("lie", verify(&plain_rules, hs512, lie, strlen(lie)), TOKEN_SIGNATURE);
	free(rs);
	free(ps);
	free(h256);
	free(h384);
	free(h512);
	free(lie);
	keys_release(only_ps);
	keys_release(hs512);
}

/* The same signature in other clothes: with zeros before its halves, or as DER. */
static void an_ecdsa_signature_has_one_length(void **state)
{
	struct issuer *issuer = *state;
	struct keys *keys = load(NULL, issuer->path, 0);
	char *text = token_signed(issuer->keys[ISSUER_P256], "{\"alg\":\"ES256\"}", GOOD);
	char *dot = strrchr(text, '.');
	uint8_t *raw = NULL, longer[66] = {0};
	size_t raw_len;
	cjose_err err;

	assert_true(cjose_base64url_decode(dot + 1, strlen(dot + 1), &raw, &raw_len, &err));
	assert_int_equal(raw_len, 64);
	memcpy(longer + 1, raw, 32);
	memcpy(longer + 34, raw + 32, 32);
	static const size_t lengths[] = {66, 65, 2, 1};
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		char *third = token_base64(longer, lengths[i]);
		char other[1024];
		snprintf(other, sizeof(other), "%.*s.%s", (int)(dot - text), text, third);
		expect(other, verify(&plain_rules, keys, other, strlen(other)), TOKEN_SIGNATURE);
		free(third);
	}
	free(raw);
	free(text);
	keys_release(keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_algorithm_verifies_with_its_own_key_only),
		cmocka_unit_test(hmac_by_what_is_public_is_refused),
		cmocka_unit_test(the_configuration_pins_the_algorithms),
		cmocka_unit_test(an_ecdsa_signature_has_one_length),
	};

	return cmocka_run_group_tests(tests, issuer_setup, issuer_teardown);
}
