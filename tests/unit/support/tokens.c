#include "tokens.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *printed(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *printed(const char *format, ...)
{
	va_list arguments;
	char *text = NULL;

	va_start(arguments, format);
	assert_true(vasprintf(&text, format, arguments) >= 0);
	va_end(arguments);
	return text;
}

char *token_base64(const void *bytes, size_t len)
{
	cjose_err err;
	char *text = NULL;
	size_t text_len;

	assert_true(cjose_base64url_encode(bytes, len, &text, &text_len, &err));
	return text;
}

char *token_text(const char *header, const char *claims, const char *third)
{
	char *first = token_base64(header, strlen(header));
	char *second = token_base64(claims, strlen(claims));
	char *text = printed("%s.%s%s%s", first, second, third ? "." : "", third ? third : "");

	free(first);
	free(second);
	return text;
}

char *token_hmac(const char *hash, const char *secret, size_t secret_len, const char *header,
	const char *claims)
{
	char *input = token_text(header, claims, NULL);
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned mac_len;

	assert_non_null(HMAC(EVP_get_digestbyname(hash), secret, (int)secret_len,
		(unsigned char *)input, strlen(input), mac, &mac_len));
	char *third = token_base64(mac, mac_len);
	char *text = printed("%s.%s", input, third);
	free(input);
	free(third);
	return text;
}

char *token_signed(cjose_jwk_t *key, const char *header, const char *claims)
{
	json_t *protected = json_loads(header, 0, NULL);
	const char *text;
	cjose_err err;

	assert_non_null(protected);
	cjose_jws_t *jws =
		cjose_jws_sign(key, protected, (const uint8_t *)claims, strlen(claims), &err);
	if (!jws)
		fail_msg("%s: %s", header, err.message);
	assert_true(cjose_jws_export(jws, &text, &err));
	char *copy = strdup(text);
	assert_non_null(copy);
	cjose_jws_release(jws);
	json_decref(protected);
	return copy;
}

char *issuer_jwk(const struct issuer *issuer, enum issuer_key which, const char *more)
{
	cjose_err err;
	char *text = cjose_jwk_to_json(issuer->keys[which], false, &err);

	assert_non_null(text);
	char *both = printed("{%s%s%s", more, *more ? "," : "", text + 1);
	free(text);
	return both;
}

void issuer_file_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

char *issuer_file(const char *text)
{
	char *path = strdup("/tmp/presenced-jwks-XXXXXX");
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	issuer_file_write(path, text);
	return path;
}

int issuer_setup(void **state)
{
	static const uint8_t exponent[] = {1, 0, 1};
	static const char *const words[] = {"\"kid\":\"rsa\",\"use\":\"sig\"",
		"\"kid\":\"rsa-old\",\"alg\":\"RS256\"",
		"\"kid\":\"p256\",\"key_ops\":[\"verify\"]", "\"kid\":\"p384\"",
		"\"kid\":\"p521\""};
	struct issuer *issuer = calloc(1, sizeof(*issuer));
	char *jwks[ISSUER_STRANGER];
	cjose_err err;

	assert_non_null(issuer);
	for (enum issuer_key i = 0; i < ISSUER_KEY_N; i++) {
		if (i == ISSUER_P256 || i == ISSUER_P384 || i == ISSUER_P521)
			issuer->keys[i] =
				cjose_jwk_create_EC_random(i == ISSUER_P256   ? CJOSE_JWK_EC_P_256
							   : i == ISSUER_P384 ? CJOSE_JWK_EC_P_384
									      : CJOSE_JWK_EC_P_521,
					&err);
		else
			issuer->keys[i] =
				cjose_jwk_create_RSA_random(2048, exponent, sizeof(exponent), &err);
		assert_non_null(issuer->keys[i]);
	}
	for (enum issuer_key i = 0; i < ISSUER_STRANGER; i++)
		jwks[i] = issuer_jwk(issuer, i, words[i]);
	char *text = printed("{\"keys\":[%s,%s,%s,%s,%s,{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}]}",
		jwks[0], jwks[1], jwks[2], jwks[3], jwks[4]);
	char *path = issuer_file(text);
	snprintf(issuer->path, sizeof(issuer->path), "%s", path);
	for (enum issuer_key i = 0; i < ISSUER_STRANGER; i++)
		free(jwks[i]);
	free(text);
	free(path);
	*state = issuer;
	return 0;
}

int issuer_teardown(void **state)
{
	struct issuer *issuer = *state;

	for (enum issuer_key i = 0; i < ISSUER_KEY_N; i++)
		cjose_jwk_release(issuer->keys[i]);
	unlink(issuer->path);
	free(issuer);
	return 0;
}
