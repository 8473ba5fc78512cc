#include "auth/keys.h"

#include "auth/token.h"
#include "base/compiler.h"
#include "support/cmocka_all.h"
#include "support/failing_alloc.h"
#include "support/tokens.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int load(const char *secret, const char *path, algorithm_set algorithms, struct keys **ret,
	char *why)
{
	struct keys_params p = {.secret = secret,
		.secret_len = secret ? strlen(secret) : 0,
		.jwks_path = path,
		.algorithms = algorithms};
	int err = keys_load(&p, ret, why);

	assert_int_equal(ERR_peek_error(), 0);
	return err;
}

/* --- algorithms --- */

static void algorithms_are_read_from_a_list(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		algorithm_set set; /* 0: refused */
	} rows[] = {
		{"HS256", ALGORITHM_BIT(ALGORITHM_HS256)},
		{"RS256, ES256", ALGORITHM_BIT(ALGORITHM_RS256) | ALGORITHM_BIT(ALGORITHM_ES256)},
		{" ES512 ,PS384,ES512",
			ALGORITHM_BIT(ALGORITHM_ES512) | ALGORITHM_BIT(ALGORITHM_PS384)},
		{"", 0},
		{"none", 0},
		{"HS256,none", 0},
		{"hs256", 0},
		{"HS256,", 0},
		{",HS256", 0},
		{"HS256 RS256", 0},
		{"HS2560", 0},
		{"RSA-OAEP", 0},
		{"EdDSA", 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		algorithm_set set = 77;
		const char *why = NULL;
		int err = algorithms_parse(rows[i].text, strlen(rows[i].text), &set, &why);

		assert_int_equal(err, rows[i].set ? 0 : -EINVAL);
		assert_int_equal(set, rows[i].set ? rows[i].set : 77);
		assert_int_equal(why == NULL, rows[i].set != 0);
	}
	algorithm_set all = 0;
	for (enum key_kind k = 0; k < KEY_KIND_N; k++) {
		assert_int_equal(all & algorithms_of_kind(k), 0);
		all |= algorithms_of_kind(k);
	}
	assert_int_equal(all, ALGORITHM_BIT(ALGORITHM_N) - 1);
}

/* --- secrets --- */

static void a_secret_is_as_long_as_its_hash(void **state)
{
	(void)state;
	static const struct {
		size_t len;
		algorithm_set algorithms, got; /* 0: refused */
	} rows[] = {
		{0, 0, 0},
		{31, 0, 0},
		{32, 0, ALGORITHM_BIT(ALGORITHM_HS256)},
		{64, 0, ALGORITHM_BIT(ALGORITHM_HS256)},
		{47, ALGORITHM_BIT(ALGORITHM_HS384), 0},
		{48, ALGORITHM_BIT(ALGORITHM_HS384), ALGORITHM_BIT(ALGORITHM_HS384)},
		{63, ALGORITHM_BIT(ALGORITHM_HS512), 0},
		{63, ALGORITHM_BIT(ALGORITHM_HS512) | ALGORITHM_BIT(ALGORITHM_HS256), 0},
		{64, ALGORITHM_BIT(ALGORITHM_HS512) | ALGORITHM_BIT(ALGORITHM_RS256),
			ALGORITHM_BIT(ALGORITHM_HS512)},
		{64, ALGORITHM_BIT(ALGORITHM_RS256), 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char secret[65] = ISSUER_SECRET, why[KEYS_WHY_MAX];
		struct keys *keys = NULL;

		secret[rows[i].len] = '\0';
		int err = load(secret, NULL, rows[i].algorithms, &keys, why);
		assert_int_equal(err, rows[i].got ? 0 : -EINVAL);
		assert_int_equal(why[0] == '\0', rows[i].got != 0);
		if (rows[i].len > 0)
			assert_null(strstr(why, secret));
		if (!err)
			assert_int_equal(keys_algorithms(keys), rows[i].got);
		else
			assert_null(keys);
		keys_release(keys);
	}
}

static void nothing_is_no_set_of_keys(void **state)
{
	(void)state;
	char why[KEYS_WHY_MAX];
	struct keys *keys;

	assert_int_equal(load(NULL, NULL, 0, &keys, why), -EINVAL);
	assert_string_equal(why, "expected a secret or a file of keys");
}

/* --- files --- */

static void files_are_read_or_refused_with_a_reason(void **state)
{
	struct issuer *issuer = *state;
	char *rsa = issuer_jwk(issuer, ISSUER_RSA, "");
	char *rsa_kid = issuer_jwk(issuer, ISSUER_RSA, "\"kid\":\"one\"");
	char *rsa_kid_too = issuer_jwk(issuer, ISSUER_RSA_OLD, "\"\\u006bid\":\"\\u006fne\"");
	char *ec_kid = issuer_jwk(issuer, ISSUER_P256, "\"kid\":\"one\"");
	char *enc = issuer_jwk(issuer, ISSUER_RSA, "\"use\":\"enc\"");
	char *odd_alg = issuer_jwk(issuer, ISSUER_RSA, "\"alg\":\"HS256\"");
	char *oaep = issuer_jwk(issuer, ISSUER_RSA, "\"alg\":\"RSA-OAEP\"");
	char *signing = issuer_jwk(issuer, ISSUER_RSA, "\"key_ops\":[\"sign\"]");
	char *private = issuer_jwk(issuer, ISSUER_RSA, "\"d\":\"AQAB\"");
	char *twice = issuer_jwk(issuer, ISSUER_RSA, "\"kty\":\"oct\"");
	char *number = issuer_jwk(issuer, ISSUER_RSA, "\"kid\":7");
	const char *broken = "{\"kty\":\"RSA\",\"n\":\"AQAB\"}";
	const char *off_curve =
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
		"\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}";
	const char *small =
		"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" /* 1024 bits */
		"4444444444444444444444444444444444444444444444444444444444444444444444444444"
		"4444444444444444444444444444444444444444444444444444444444444444444444444444"
		"4444444444444444444\"}";
	const char *oct = "{\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}";
	const char *oct512 = "{\"kty\":\"oct\",\"alg\":\"HS512\","
			     "\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}";
	const char *okp = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}";
	const struct {
		const char *one, *two;
		algorithm_set algorithms;
		unsigned n, n_skipped;
		const char *why;
	} rows[] = {
		{rsa, NULL, 0, 1, 0, ""},
		{rsa, ec_kid, 0, 2, 0, ""},
		{rsa_kid, ec_kid, 0, 2, 0, ""}, /* one kid, but another algorithm */
		{rsa, okp, 0, 1, 1, ""},
		{enc, rsa_kid, 0, 1, 1, ""},
		{odd_alg, rsa_kid, 0, 1, 1, ""},
		{oaep, rsa_kid, 0, 1, 1, ""},
		{signing, rsa_kid, 0, 1, 1, ""},
		{oct, NULL, 0, 1, 0, ""},
		{"{}", rsa, 0, 1, 1, ""},
		{"{\"kty\":7}", rsa, 0, 1, 1, ""},
		{rsa, ec_kid, ALGORITHM_BIT(ALGORITHM_ES256), 1, 1, ""},
		{small, ec_kid, ALGORITHM_BIT(ALGORITHM_ES256), 1, 1, ""},
		{okp, enc, 0, 0, 0,
			"none of the file's 2 keys is for verifying tokens with an allowed algorithm"},
		{rsa, NULL, ALGORITHM_BIT(ALGORITHM_HS256), 0, 0,
			"none of the file's 1 keys is for verifying tokens with an allowed algorithm"},
		{rsa_kid, rsa_kid_too, 0, 0, 0, "key 2 has the kid of another key"},
		{rsa_kid, twice, 0, 0, 0, "key 2 has a member twice, or too many"},
		{rsa, private, 0, 0, 0,
			"key 2 holds a private part: only the issuer should have that"},
		{number, NULL, 0, 0, 0, "key 1 has a kid that is no string"},
		{broken, NULL, 0, 0, 0, "key 1 is broken: its numbers are no key"},
		{rsa, off_curve, 0, 0, 0, "key 2 is broken: its numbers are no key"},
		{small, NULL, 0, 0, 0, "key 1 is an RSA key of less than 2048 bits"},
		{oct512, NULL, 0, 0, 0, "key 1 is a secret shorter than the hash of its algorithm"},
		{"[]", NULL, 0, 0, 0, "key 1 is no JSON object"},
		{"\"\"", NULL, 0, 0, 0, "key 1 is no JSON object"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[8192], why[KEYS_WHY_MAX];
		struct keys *keys = NULL;

		snprintf(text, sizeof(text), "{\"keys\":[%s%s%s]}", rows[i].one,
			rows[i].two ? "," : "", rows[i].two ? rows[i].two : "");
		char *path = issuer_file(text);
		int err = load(NULL, path, rows[i].algorithms, &keys, why);
		assert_string_equal(why, rows[i].why);
		assert_int_equal(err, rows[i].n ? 0 : -EINVAL);
		if (!err) {
			assert_int_equal(keys_count(keys), rows[i].n);
			assert_int_equal(keys_skipped(keys), rows[i].n_skipped);
		}
		keys_release(keys);
		unlink(path);
		free(path);
	}
	char *made[] = {rsa, rsa_kid, rsa_kid_too, ec_kid, enc, odd_alg, oaep, signing, private,
		twice, number};
	for (size_t i = 0; i < ARRAY_LEN(made); i++)
		free(made[i]);
}

static void files_that_are_none_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"", "the file is no JSON object"},
		{"\n", "the file is no JSON object"},
		{"[]", "the file is no JSON object"},
		{"-----BEGIN PUBLIC KEY-----", "the file is no JSON object"},
		{"{\"keys\":[", "the file is no JSON"},
		{"{}", "the file has no array \"keys\""},
		{"{\"keys\":{}}", "the file has no array \"keys\""},
		{"{\"keys\":[],\"keys\":[]}", "the file has a member twice, or too many"},
		{"{\"keys\":[]}",
			"none of the file's 0 keys is for verifying tokens with an allowed algorithm"},
	};
	char why[KEYS_WHY_MAX];
	struct keys *keys = NULL;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *path = issuer_file(rows[i].text);

		assert_int_equal(load(NULL, path, 0, &keys, why), -EINVAL);
		assert_string_equal(why, rows[i].why);
		assert_null(keys);
		unlink(path);
		free(path);
	}
	assert_int_equal(load(NULL, "/nonexistent/jwks", 0, &keys, why), -ENOENT);
	assert_string_equal(why, "No such file or directory");
	assert_int_equal(load(NULL, "/tmp", 0, &keys, why), -EISDIR);
	assert_int_equal(load(NULL, "/dev/zero", 0, &keys, why), -EFBIG);
	assert_null(keys);
}

static void more_keys_than_can_be_held_are_refused(void **state)
{
	(void)state;
	enum { SIZE = 16384 };
	char *text = malloc(SIZE), why[KEYS_WHY_MAX];
	struct keys *keys = NULL;

	assert_non_null(text);
	for (unsigned n = KEYS_MAX; n <= KEYS_MAX + 1; n++) {
		int at = snprintf(text, SIZE, "{\"keys\":[");
		for (unsigned i = 0; i < n; i++)
			at += snprintf(text + at, (size_t)(SIZE - at),
				"%s{\"kty\":\"oct\",\"kid\":\"%u\","
				"\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}",
				i ? "," : "", i);
		snprintf(text + at, (size_t)(SIZE - at), "]}");
		char *path = issuer_file(text);
		assert_int_equal(load(NULL, path, 0, &keys, why), 0);
		assert_int_equal(keys_count(keys), n);
		keys_release(keys);
		keys = NULL;
		/* The secret has the last place. */
		int err = load(ISSUER_SECRET, path, 0, &keys, why);
		assert_int_equal(err, n == KEYS_MAX ? 0 : -EINVAL);
		keys_release(keys);
		keys = NULL;
		unlink(path);
		free(path);
	}
	free(text);
}

/* A reload: what fails leaves the old set alone; what works keeps the old kid for as long as the file does. */
static void old_and_new_keys_overlap_by_kid(void **state)
{
	struct issuer *issuer = *state;
	static const struct token_rules rules = {.leeway_s = 30};
	char *old = issuer_jwk(issuer, ISSUER_RSA, "\"kid\":\"old\"");
	char *new = issuer_jwk(issuer, ISSUER_P256, "\"kid\":\"new\"");
	char *by_old = token_signed(issuer->keys[ISSUER_RSA], "{\"alg\":\"RS256\",\"kid\":\"old\"}",
		"{\"sub\":\"alice\",\"exp\":1000}");
	char *by_new = token_signed(issuer->keys[ISSUER_P256],
		"{\"alg\":\"ES256\",\"kid\":\"new\"}", "{\"sub\":\"alice\",\"exp\":1000}");
	const struct {
		const char *one, *two;
		bool has_old, has_new;
	} steps[] = {{old, NULL, true, false}, {old, new, true, true}, {new, NULL, false, true}};
	char *path = issuer_file("");

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		char text[4096], why[KEYS_WHY_MAX];
		struct keys *keys = NULL, *none = NULL;
		struct token_claims c;

		snprintf(text, sizeof(text), "{\"keys\":[%s%s%s]}", steps[i].one,
			steps[i].two ? "," : "", steps[i].two ? steps[i].two : "");
		issuer_file_write(path, text);
		assert_int_equal(load(NULL, path, 0, &keys, why), 0);
		issuer_file_write(path, "{\"keys\":[{]}");
		assert_int_equal(load(NULL, path, 0, &none, why), -EINVAL);
		assert_null(none);
		enum token_result r = token_verify(&rules, keys, by_old, strlen(by_old), 900, &c);
		assert_int_equal(r == TOKEN_OK, steps[i].has_old);
		r = token_verify(&rules, keys, by_new, strlen(by_new), 900, &c);
		assert_int_equal(r == TOKEN_OK, steps[i].has_new);
		keys_release(keys);
	}
	unlink(path);
	char *made[] = {old, new, by_old, by_new, path};
	for (size_t i = 0; i < ARRAY_LEN(made); i++)
		free(made[i]);
}

static void refused_memory_leaves_nothing(void **state)
{
	struct issuer *issuer = *state;
	unsigned n_refused = 0;

	for (long n = 1; n < 100; n++) {
		char why[KEYS_WHY_MAX];
		struct keys *keys = NULL;

		alloc_fail_begin(n);
		int err = load(ISSUER_SECRET, issuer->path, 0, &keys, why);
		if (!alloc_fail_end()) {
			assert_int_equal(err, 0);
			keys_release(keys);
			break;
		}
		assert_int_equal(err, -ENOMEM);
		assert_string_equal(why, "Cannot allocate memory");
		assert_null(keys);
		n_refused++;
	}
	assert_int_equal(n_refused, 8); /* the set, the headroom, the file's text, five kids */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(algorithms_are_read_from_a_list),
		cmocka_unit_test(a_secret_is_as_long_as_its_hash),
		cmocka_unit_test(nothing_is_no_set_of_keys),
		cmocka_unit_test(files_are_read_or_refused_with_a_reason),
		cmocka_unit_test(files_that_are_none_are_refused),
		cmocka_unit_test(more_keys_than_can_be_held_are_refused),
		cmocka_unit_test(old_and_new_keys_overlap_by_kid),
		cmocka_unit_test(refused_memory_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, issuer_setup, issuer_teardown);
}
