#include "auth/token.h"

#include "base/compiler.h"
#include "support/cmocka_all.h"
#include "support/failing_alloc.h"
#include "support/tokens.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The seconds of all that is said here. */
#define NOW  1000000
#define GOOD "{\"sub\":\"alice\",\"exp\":1000060}"

#define HS256 "{\"alg\":\"HS256\"}"

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

/* --- claims, all signed as they should be --- */

static void claims_are_judged(void **state)
{
	(void)state;
	static const struct {
		const char *claims;
		enum token_result result;
	} rows[] = {
		{GOOD, TOKEN_OK},
		{" \t\r\n{ \"sub\" : \"alice\" , \"exp\" : 1000060 } \n", TOKEN_OK},
		{"{\"\\u0073ub\":\"\\u0061lice\",\"\\u0065xp\":1000060}", TOKEN_OK},
		{"{\"sub\":\"alice\",\"exp\":1000060,\"other\":{\"deep\":[1,{\"a\":null}]}}",
			TOKEN_OK},
		{"{\"sub\":\"alice\",\"exp\":1000060,\"big\":1e999}",
			TOKEN_OK}, /* not ours to read */
		/* exp */
		{"{\"sub\":\"alice\",\"exp\":999971}",
			TOKEN_OK}, /* the last second of the leeway */
		{"{\"sub\":\"alice\",\"exp\":999970}", TOKEN_EXPIRED},
		{"{\"sub\":\"alice\",\"exp\":999970.99}", TOKEN_EXPIRED}, /* rounded down */
		{"{\"sub\":\"alice\",\"exp\":999971.5}", TOKEN_OK},
		{"{\"sub\":\"alice\",\"exp\":0}", TOKEN_EXPIRED},
		{"{\"sub\":\"alice\",\"exp\":1e6}", TOKEN_OK},
		{"{\"sub\":\"alice\",\"exp\":0.1000060E+7}", TOKEN_OK},
		{"{\"sub\":\"alice\",\"exp\":100006000e-2}", TOKEN_OK},
		{"{\"sub\":\"alice\",\"exp\":253402300799}", TOKEN_OK},
		{"{\"sub\":\"alice\",\"exp\":253402300800}", TOKEN_DATE},
		{"{\"sub\":\"alice\",\"exp\":18446744073709551616}", TOKEN_DATE},
		{"{\"sub\":\"alice\",\"exp\":1e99}", TOKEN_DATE},
		{"{\"sub\":\"alice\",\"exp\":1e999999999999}", TOKEN_DATE},
		{"{\"sub\":\"alice\",\"exp\":1e-999999999999}", TOKEN_EXPIRED},
		{"{\"sub\":\"alice\",\"exp\":-1}", TOKEN_DATE},
		{"{\"sub\":\"alice\",\"exp\":\"1000060\"}", TOKEN_DATE},
		{"{\"sub\":\"alice\",\"exp\":null}", TOKEN_DATE},
		{"{\"sub\":\"alice\",\"exp\":true}", TOKEN_DATE},
		{"{\"sub\":\"alice\",\"exp\":[1000060]}", TOKEN_DATE},
		{"{\"sub\":\"alice\"}", TOKEN_DATE},
		{"{\"sub\":\"alice\",\"EXP\":1000060}", TOKEN_DATE},
		/* nbf, iat */
		{"{\"sub\":\"alice\",\"exp\":1000060,\"nbf\":1000030}", TOKEN_OK},
		{"{\"sub\":\"alice\",\"exp\":1000060,\"nbf\":1000031}", TOKEN_EARLY},
		{"{\"sub\":\"alice\",\"exp\":1000060,\"nbf\":1000030.1}",
			TOKEN_EARLY}, /* rounded up */
		{"{\"sub\":\"alice\",\"exp\":1000060,\"nbf\":1000030.000}", TOKEN_OK},
		{"{\"sub\":\"alice\",\"exp\":1000060,\"nbf\":\"0\"}", TOKEN_DATE},
		{"{\"sub\":\"alice\",\"exp\":1000060,\"nbf\":1e30}", TOKEN_DATE},
		{"{\"sub\":\"alice\",\"exp\":1000060,\"iat\":1000030}", TOKEN_OK},
		{"{\"sub\":\"alice\",\"exp\":1000060,\"iat\":1000031}", TOKEN_FUTURE},
		{"{\"sub\":\"alice\",\"exp\":1000060,\"iat\":2000000000}", TOKEN_FUTURE},
		{"{\"sub\":\"alice\",\"exp\":1000060,\"iat\":{}}", TOKEN_DATE},
		/* sub */
		{"{\"exp\":1000060}", TOKEN_SUBJECT},
		{"{\"sub\":\"\",\"exp\":1000060}", TOKEN_SUBJECT},
		{"{\"sub\":7,\"exp\":1000060}", TOKEN_SUBJECT},
		{"{\"sub\":null,\"exp\":1000060}", TOKEN_SUBJECT},
		{"{\"sub\":[\"alice\"],\"exp\":1000060}", TOKEN_SUBJECT},
		{"{\"sub\":\"a\\nb\",\"exp\":1000060}", TOKEN_SUBJECT},
		{"{\"sub\":\"a\\u001fb\",\"exp\":1000060}", TOKEN_SUBJECT},
		{"{\"sub\":\"a\x7f\",\"exp\":1000060}", TOKEN_SUBJECT},
		{"{\"sub\":\"\xc3\xa9\\u00e9\\ud83d\\ude00\",\"exp\":1000060}", TOKEN_OK},
		{"{\"sub\":\"\\u0000\",\"exp\":1000060}", TOKEN_CLAIMS},
		{"{\"sub\":\"\\ud800\",\"exp\":1000060}", TOKEN_CLAIMS},
		{"{\"sub\":\"\xff\",\"exp\":1000060}", TOKEN_CLAIMS},
		/* watch */
		{"{\"sub\":\"alice\",\"exp\":1000060,\"watch\":[\"bob\",\"team-*\"]}", TOKEN_OK},
		{"{\"sub\":\"alice\",\"exp\":1000060,\"watch\":\"*\"}", TOKEN_OK},
		{"{\"sub\":\"alice\",\"exp\":1000060,\"watch\":[]}", TOKEN_OK},
		{"{\"sub\":\"alice\",\"exp\":1000060,\"watch\":null}", TOKEN_WATCH},
		{"{\"sub\":\"alice\",\"exp\":1000060,\"watch\":[7]}", TOKEN_WATCH},
		{"{\"sub\":\"alice\",\"exp\":1000060,\"watch\":[\"\"]}", TOKEN_WATCH},
		{"{\"sub\":\"alice\",\"exp\":1000060,\"watch\":{\"bob\":true}}", TOKEN_WATCH},
		/* what is no object of claims */
		{"{\"sub\":\"alice\",\"exp\":1000060,\"sub\":\"bob\"}", TOKEN_CLAIMS},
		{"{\"sub\":\"alice\",\"exp\":1,\"\\u0065xp\":1000060}", TOKEN_CLAIMS},
		{"[]", TOKEN_CLAIMS},
		{"\"alice\"", TOKEN_CLAIMS},
		{"{\"sub\":\"alice\",\"exp\":1000060", TOKEN_CLAIMS},
		{"{\"sub\":\"alice\",\"exp\":1000060}{}", TOKEN_CLAIMS},
		{"{\"sub\":\"alice\",\"exp\":1000060,}", TOKEN_CLAIMS},
		{"{\"sub\":\"alice\",\"exp\":01000060}", TOKEN_CLAIMS},
		{"{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]],\"sub\":\"alice\",\"exp\":1000060}",
			TOKEN_CLAIMS},
	};
	struct keys *keys = load(ISSUER_SECRET, NULL, 0);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *text = token_hmac("SHA256", ISSUER_SECRET, 64, HS256, rows[i].claims);
		expect(rows[i].claims, verify(&plain_rules, keys, text, strlen(text)),
			rows[i].result);
		free(text);
	}
	keys_release(keys);
}

static void issuer_and_audience_are_asked_for_where_the_rules_name_them(void **state)
{
	(void)state;
#define WITH(more) "{\"sub\":\"alice\",\"exp\":1000060" more "}"
	static const struct {
		const char *claims;
		enum token_result both, none;
	} rows[] = {
		{WITH(",\"iss\":\"https://id\",\"aud\":\"presence\""), TOKEN_OK, TOKEN_OK},
		{WITH(",\"iss\":\"https:\\/\\/id\",\"aud\":[\"x\",\"presence\"]"), TOKEN_OK,
			TOKEN_OK},
		{WITH(",\"iss\":\"https://id\",\"aud\":[\"presence\"]"), TOKEN_OK, TOKEN_OK},
		{WITH(",\"iss\":\"https://id\""), TOKEN_AUDIENCE, TOKEN_OK},
		{WITH(",\"iss\":\"https://id\",\"aud\":\"other\""), TOKEN_AUDIENCE, TOKEN_OK},
		{WITH(",\"iss\":\"https://id\",\"aud\":\"presence2\""), TOKEN_AUDIENCE, TOKEN_OK},
		{WITH(",\"iss\":\"https://id\",\"aud\":[]"), TOKEN_AUDIENCE, TOKEN_OK},
		{WITH(",\"iss\":\"https://id\",\"aud\":[[\"presence\"]]"), TOKEN_AUDIENCE,
			TOKEN_OK},
		{WITH(",\"iss\":\"https://id\",\"aud\":[\"presence\",7]"), TOKEN_AUDIENCE,
			TOKEN_OK},
		{WITH(",\"iss\":\"https://id\",\"aud\":{\"presence\":1}"), TOKEN_AUDIENCE,
			TOKEN_OK},
		{WITH(",\"aud\":\"presence\""), TOKEN_ISSUER, TOKEN_OK},
		{WITH(",\"iss\":\"https://id/\",\"aud\":\"presence\""), TOKEN_ISSUER, TOKEN_OK},
		{WITH(",\"iss\":\"https://i\",\"aud\":\"presence\""), TOKEN_ISSUER, TOKEN_OK},
		{WITH(",\"iss\":[\"https://id\"],\"aud\":\"presence\""), TOKEN_ISSUER, TOKEN_OK},
		{WITH(",\"iss\":null,\"aud\":\"presence\""), TOKEN_ISSUER, TOKEN_OK},
	};
	struct token_rules rules = {.issuer = "https://id", .audience = "presence"};
	struct keys *keys = load(ISSUER_SECRET, NULL, 0);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *text = token_hmac("SHA256", ISSUER_SECRET, 64, HS256, rows[i].claims);
		expect(rows[i].claims, verify(&rules, keys, text, strlen(text)), rows[i].both);
		expect(rows[i].claims, verify(&plain_rules, keys, text, strlen(text)),
			rows[i].none);
		free(text);
	}
	keys_release(keys);
}

/* --- headers --- */

static void headers_are_judged_before_any_signature(void **state)
{
	(void)state;
	static const struct {
		const char *header;
		enum token_result result;
	} rows[] = {
		{HS256, TOKEN_OK},
		{"{\"typ\":\"JWT\",\"alg\":\"HS256\"}", TOKEN_OK},
		{"{\"\\u0061lg\":\"\\u0048S256\"}", TOKEN_OK},
		{"{\"alg\":\"HS256\",\"kid\":\"whatever\"}", TOKEN_OK}, /* the secret has no kid */
		{"{\"alg\":\"HS256\",\"b64\":true}", TOKEN_OK},
		{"{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"},\"x5c\":[\"MII\"],"
		 "\"jku\":\"https://evil\",\"x5u\":\"https://evil\"}",
			TOKEN_OK}, /* not looked at: the signature is the secret's */
		{"{\"alg\":\"none\"}", TOKEN_ALGORITHM},
		{"{\"alg\":\"None\"}", TOKEN_ALGORITHM},
		{"{\"alg\":\"nOnE\"}", TOKEN_ALGORITHM},
		{"{\"alg\":\"\"}", TOKEN_ALGORITHM},
		{"{\"alg\":\"hs256\"}", TOKEN_ALGORITHM},
		{"{\"alg\":\"HS256 \"}", TOKEN_ALGORITHM},
		{"{\"alg\":\"HS384\"}", TOKEN_ALGORITHM}, /* not pinned */
		{"{\"alg\":\"RS256\"}", TOKEN_ALGORITHM},
		{"{\"alg\":\"ES256\"}", TOKEN_ALGORITHM},
		{"{\"alg\":\"A128KW\"}", TOKEN_ALGORITHM},
		{"{\"alg\":null}", TOKEN_ALGORITHM},
		{"{\"alg\":256}", TOKEN_ALGORITHM},
		{"{\"alg\":[\"HS256\"]}", TOKEN_ALGORITHM},
		{"{}", TOKEN_ALGORITHM},
		{"{\"typ\":\"JWT\"}", TOKEN_ALGORITHM},
		{"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", TOKEN_CRITICAL},
		{"{\"alg\":\"HS256\",\"crit\":[]}", TOKEN_CRITICAL},
		{"{\"alg\":\"HS256\",\"crit\":null}", TOKEN_CRITICAL},
		{"{\"alg\":\"HS256\",\"b64\":false}", TOKEN_CRITICAL},
		{"{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}", TOKEN_CRITICAL},
		{"{\"alg\":\"HS256\",\"b64\":0}", TOKEN_CRITICAL},
		{"{\"alg\":\"none\",\"alg\":\"HS256\"}", TOKEN_HEADER},
		{"{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}", TOKEN_HEADER},
		{"{\"alg\":\"HS256\",\"kid\":7}", TOKEN_HEADER},
		{"{\"alg\":\"HS256\",\"kid\":null}", TOKEN_HEADER},
		{"{\"alg\":\"HS256\"", TOKEN_HEADER},
		{"{\"alg\":\"HS256\"}}", TOKEN_HEADER},
		{"[\"HS256\"]", TOKEN_HEADER},
		{"HS256", TOKEN_HEADER},
		{"{\"alg\":\"HS256\",\"x\":\"\xc0\x80\"}", TOKEN_HEADER},
		{"{\"alg\":\"HS256\",\"x\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", TOKEN_HEADER},
		{"{\"alg\":\"HS256\",\"x\":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}", TOKEN_OK},
		/* cjose's reader can't hold this number; whatever it says is a wrong signature */
		{"{\"alg\":\"HS256\",\"x\":1e999}", TOKEN_SIGNATURE},
	};
	struct keys *keys = load(ISSUER_SECRET, NULL, 0);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *text = token_hmac("SHA256", ISSUER_SECRET, 64, rows[i].header, GOOD);
		expect(rows[i].header, verify(&plain_rules, keys, text, strlen(text)),
			rows[i].result);
		free(text);
	}
	keys_release(keys);
}

static void a_long_header_or_kid_is_refused(void **state)
{
	(void)state;
	struct keys *keys = load(ISSUER_SECRET, NULL, 0);
	static const struct {
		const char *format;
		int len;
		enum token_result result;
	} rows[] = {
		{"{\"alg\":\"HS256\",\"kid\":\"%0*d\"}", 256, TOKEN_OK},
		{"{\"alg\":\"HS256\",\"kid\":\"%0*d\"}", 257, TOKEN_KEY},
		{"{\"alg\":\"HS256\",\"x5c\":\"%0*d\"}", 4000, TOKEN_OK},
		{"{\"alg\":\"HS256\",\"x5c\":\"%0*d\"}", 4096, TOKEN_HEADER},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char header[8192];

		assert_true(rows[i].len < 8000);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(header, sizeof(header), rows[i].format, rows[i].len, 0);
#pragma GCC diagnostic pop
		char *text = token_hmac("SHA256", ISSUER_SECRET, 64, header, GOOD);
		expect(rows[i].format, verify(&plain_rules, keys, text, strlen(text)),
			rows[i].result);
		free(text);
	}
	keys_release(keys);
}

/* --- texts --- */

static void what_is_not_three_strict_parts_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum token_result result;
	} rows[] = {
		{"", TOKEN_PARTS}, {".", TOKEN_PARTS}, {"..", TOKEN_PARTS}, {"...", TOKEN_PARTS},
		{"....", TOKEN_PARTS}, {"e30", TOKEN_PARTS}, {"e30.e30", TOKEN_PARTS},
		{"e30.e30.", TOKEN_PARTS}, {".e30.AA", TOKEN_PARTS}, {"e30..AA", TOKEN_PARTS},
		{"e30.e30.AA.", TOKEN_PARTS}, {"e30.e30.AA.AA", TOKEN_PARTS},
		{"e30.e30.AA.AA.AA", TOKEN_PARTS}, /* JWE */
		{"e30=.e30.AA", TOKEN_ENCODING}, {"e30.e30.AA==", TOKEN_ENCODING},
		{"e30.e30.A", TOKEN_ENCODING},
		{"e30.e30.AB", TOKEN_ENCODING}, /* bits beyond the last byte */
		{"e30.e30.A+", TOKEN_ENCODING}, {"e30.e30.A/", TOKEN_ENCODING},
		{"e30.e30.AA\n", TOKEN_ENCODING}, {" e30.e30.AA", TOKEN_ENCODING},
		{"e3 .e30.AA", TOKEN_ENCODING}, {"Bearer e30.e30.AA", TOKEN_ENCODING},
		{"e30.e30.\xc3\xa9", TOKEN_ENCODING}, {"e30.e30.AA", TOKEN_ALGORITHM},
		{"eyJhbGciOiJub25lIn0.e30.AA",
			TOKEN_ALGORITHM}, /* none, and something to look like three */
		{"eyJhbGciOiJub25lIn0.e30.", TOKEN_PARTS}, /* none, as it is written */
	};
	struct keys *keys = load(ISSUER_SECRET, NULL, 0);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(rows[i].text, verify(&plain_rules, keys, rows[i].text, strlen(rows[i].text)),
			rows[i].result);
	expect("a NUL", verify(&plain_rules, keys, "e30.e30.A\0", 10), TOKEN_ENCODING);
	keys_release(keys);
}

static void no_part_and_no_change_of_a_good_token_is_good(void **state)
{
	struct issuer *issuer = *state;
	struct keys *keys = load(ISSUER_SECRET, issuer->path, 0);
	char *texts[] = {token_hmac("SHA256", ISSUER_SECRET, 64, HS256, GOOD),
		token_signed(issuer->keys[ISSUER_P256], "{\"alg\":\"ES256\"}", GOOD)};

	for (size_t t = 0; t < ARRAY_LEN(texts); t++) {
		size_t len = strlen(texts[t]);

		expect("whole", verify(&plain_rules, keys, texts[t], len), TOKEN_OK);
		for (size_t i = 0; i < len; i++) {
			/* A block of its own, so that reading on would be seen. */
			char *cut = malloc(i + 1);
			assert_non_null(cut);
			memcpy(cut, texts[t], i);
			if (verify(&plain_rules, keys, cut, i) == TOKEN_OK)
				fail_msg("good when cut to %zu of %s", i, texts[t]);
			free(cut);
			char was = texts[t][i];
			texts[t][i] = was == 'A' ? 'B' : 'A';
			if (verify(&plain_rules, keys, texts[t], len) == TOKEN_OK)
				fail_msg("good when changed at %zu: %s", i, texts[t]);
			texts[t][i] = was;
		}
		free(texts[t]);
	}
	keys_release(keys);
}

static void the_length_of_a_token_is_bounded(void **state)
{
	(void)state;
	struct keys *keys = load(ISSUER_SECRET, NULL, 0);
	char claims[8000];

	for (int pad = 6010; pad < 6100; pad++) {
		snprintf(claims, sizeof(claims),
			"{\"sub\":\"alice\",\"exp\":1000060,\"x\":\"%0*d\"}", pad, 0);
		char *text = token_hmac("SHA256", ISSUER_SECRET, 64, HS256, claims);
		expect("padded", verify(&plain_rules, keys, text, strlen(text)),
			strlen(text) <= TOKEN_BYTES_MAX ? TOKEN_OK : TOKEN_TOO_LONG);
		free(text);
	}
	keys_release(keys);
}

/* --- what comes out --- */

static void claims_come_out(void **state)
{
	(void)state;
	struct keys *keys = load(ISSUER_SECRET, NULL, 0);
	struct token_claims c;
	char *text = token_hmac("SHA256", ISSUER_SECRET, 64, HS256,
		"{\"exp\":1000060.9,\"sub\":\"\\u00e9\\ud83d\\ude00\\\"x\\/\",\"watch\":[\"bob\"]}");

	assert_int_equal(token_verify(&plain_rules, keys, text, strlen(text), NOW, &c), TOKEN_OK);
	assert_int_equal(c.user_len, 9);
	assert_memory_equal(c.user, "\xc3\xa9\xf0\x9f\x98\x80\"x/", 9);
	assert_int_equal(c.expires_unix_s, 1000090);
	assert_true(watchlist_allows(c.watch, false, c.user, c.user_len, "bob", 3));
	assert_false(watchlist_allows(c.watch, true, c.user, c.user_len, "eve", 3));
	token_claims_free(&c);
	assert_int_equal(
		token_verify(&plain_rules, keys, text, strlen(text), 1000089, &c), TOKEN_OK);
	token_claims_free(&c);
	assert_int_equal(
		token_verify(&plain_rules, keys, text, strlen(text), 1000090, &c), TOKEN_EXPIRED);
	free(text);

	text = token_hmac("SHA256", ISSUER_SECRET, 64, HS256, GOOD);
	assert_int_equal(token_verify(&plain_rules, keys, text, strlen(text), NOW, &c), TOKEN_OK);
	assert_null(c.watch);
	token_claims_free(&c);
	free(text);
	keys_release(keys);
}

static void a_subject_has_at_most_128_bytes(void **state)
{
	(void)state;
	struct keys *keys = load(ISSUER_SECRET, NULL, 0);

	for (unsigned n = 120; n < 140; n++) {
		char claims[2048] = "{\"exp\":1000060,\"sub\":\"";
		for (unsigned i = 0; i < n; i++)
			strcat(claims, n % 2 ? "\\u0061" : "a");
		strcat(claims, "\"}");
		char *text = token_hmac("SHA256", ISSUER_SECRET, 64, HS256, claims);
		expect(claims, verify(&plain_rules, keys, text, strlen(text)),
			n <= USER_MAX ? TOKEN_OK : TOKEN_SUBJECT);
		free(text);
	}
	keys_release(keys);
}

static void refused_memory_is_said_as_that(void **state)
{
	(void)state;
	struct keys *keys = load(ISSUER_SECRET, NULL, 0);
	char *text = token_hmac("SHA256", ISSUER_SECRET, 64, HS256,
		"{\"exp\":1000060,\"sub\":\"alice\",\"watch\":[\"bob\",\"team-*\"]}");
	enum token_result result;
	unsigned n_refused = 0;
	long n = 0;

	do {
		struct token_claims c;

		alloc_fail_begin(++n);
		result = token_verify(&plain_rules, keys, text, strlen(text), NOW, &c);
		bool refused = alloc_fail_end();
		assert_true(result == TOKEN_OK || (refused && result == TOKEN_NO_MEMORY));
		n_refused += refused;
		if (result == TOKEN_OK) {
			assert_true(watchlist_allows(c.watch, false, "alice", 5, "team-a", 6));
			token_claims_free(&c);
		}
		if (!refused)
			break;
	} while (n < 100);
	assert_int_equal(result, TOKEN_OK);
	assert_int_equal(
		n_refused, 3); /* the headroom, the watchlist, and its shrinking, which may fail */
	free(text);
	keys_release(keys);
}

static void each_result_has_a_text(void **state)
{
	(void)state;
	for (enum token_result r = 0; r < TOKEN_N; r++)
		assert_true(strlen(token_result_text(r)) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(claims_are_judged),
		cmocka_unit_test(issuer_and_audience_are_asked_for_where_the_rules_name_them),
		cmocka_unit_test(headers_are_judged_before_any_signature),
		cmocka_unit_test(a_long_header_or_kid_is_refused),
		cmocka_unit_test(what_is_not_three_strict_parts_is_refused),
		cmocka_unit_test(no_part_and_no_change_of_a_good_token_is_good),
		cmocka_unit_test(the_length_of_a_token_is_bounded),
		cmocka_unit_test(claims_come_out),
		cmocka_unit_test(a_subject_has_at_most_128_bytes),
		cmocka_unit_test(refused_memory_is_said_as_that),
		cmocka_unit_test(each_result_has_a_text),
	};

	return cmocka_run_group_tests(tests, issuer_setup, issuer_teardown);
}
