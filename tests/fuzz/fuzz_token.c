/* A token: whatever the bytes, a verdict, and no text that was not signed is good. The input is a header, a NUL, and claims,
 * which are signed here with the server's secret, so that what lies behind the signature is reached; and as a whole it is
 * also a token's text by itself. The reader of JSON is held against jansson. */
#include "fuzz.h"

#include "auth/token.h"
#include "base/json_read.h"
#include "wire/prescan.h"

#include <cjose/cjose.h>
#include <jansson.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <string.h>

#define SECRET "0123456789abcdef0123456789abcdef"

enum { NOW = 1000000, CLAIMS_MAX = 6000 };

static struct keys *keys_of_test(void)
{
	static struct keys *keys;
	struct keys_params p = {.secret = SECRET, .secret_len = strlen(SECRET)};
	char why[KEYS_WHY_MAX];

	if (!keys)
		PROPERTY(keys_load(&p, &keys, why) == 0);
	return keys;
}

/* --- the reader --- */

static void check_strings(json_t *object, struct json_part part)
{
	struct json_walk walk = json_walk_begin(part);
	struct json_part key, value;

	while (json_walk_member(&walk, &key, &value)) {
		char *name = malloc(key.len + 1), *text = malloc(value.len + 1);

		PROPERTY(name && text);
		name[json_part_decode(key, name)] = '\0';
		PROPERTY(json_part_equals(key, name));
		json_t *same = json_object_get(object, name);
		PROPERTY(same);
		PROPERTY(json_is_string(same) == json_is_string_part(value));
		PROPERTY(json_is_object(same) == json_is_object_part(value));
		PROPERTY(json_is_array(same) == json_is_array_part(value));
		if (json_is_string(same)) {
			size_t len = json_part_decode(value, text);
			PROPERTY(len == json_string_length(same));
			PROPERTY(memcmp(text, json_string_value(same), len) == 0);
		}
		free(name);
		free(text);
	}
}

static void check_reader(const char *text, size_t len)
{
	bool is_taken = json_read_check(text, len) == NULL;
	bool is_deep = prescan_too_deep(text, len, JSON_READ_DEPTH_MAX);
	json_error_t error;
	json_t *same = json_loadb(text, len, 0, &error);
	struct json_part part = {text, len}, key, value;
	size_t n = 0;

	if (!is_taken) {
		/* jansson overlooks a NUL after a number. */
		PROPERTY(!json_is_object(same) || is_deep || memchr(text, '\0', len));
	} else if (!same) {
		/* jansson has bounds for numbers, and finds them out of order. */
		PROPERTY(strstr(error.text, "too big") || strstr(error.text, "overflow"));
	} else {
		PROPERTY(json_is_object(same) && !is_deep);
		struct json_walk walk = json_walk_begin(part);
		while (json_walk_member(&walk, &key, &value))
			n++;
		bool has = n > JSON_READ_MEMBERS_MAX || n > json_object_size(same);
		PROPERTY(json_has_duplicates(part) == has);
		if (!has)
			check_strings(same, part);
	}
	json_decref(same);
}

/* --- tokens --- */

static char *signed_token(const char *header, size_t header_len, const char *claims,
	size_t claims_len, size_t *ret_len)
{
	char *parts[3], *text;
	size_t lens[3];
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned mac_len;
	cjose_err err;

	PROPERTY(cjose_base64url_encode(
		(const uint8_t *)header, header_len, &parts[0], &lens[0], &err));
	PROPERTY(cjose_base64url_encode(
		(const uint8_t *)claims, claims_len, &parts[1], &lens[1], &err));
	text = malloc(lens[0] + lens[1] + 64);
	PROPERTY(text);
	memcpy(text, parts[0], lens[0]);
	text[lens[0]] = '.';
	memcpy(text + lens[0] + 1, parts[1], lens[1]);
	size_t len = lens[0] + 1 + lens[1];
	PROPERTY(HMAC(EVP_sha256(), SECRET, (int)strlen(SECRET), (unsigned char *)text, len, mac,
		&mac_len));
	PROPERTY(cjose_base64url_encode(mac, mac_len, &parts[2], &lens[2], &err));
	text[len++] = '.';
	memcpy(text + len, parts[2], lens[2]);
	*ret_len = len + lens[2];
	for (int i = 0; i < 3; i++)
		free(parts[i]);
	return text;
}

static void check_good(const struct token_claims *c)
{
	PROPERTY(c->user_len >= 1 && c->user_len <= USER_MAX);
	for (size_t i = 0; i < c->user_len; i++) {
		unsigned char byte = (unsigned char)c->user[i];
		PROPERTY(byte >= 0x20 && byte != 0x7f);
	}
	PROPERTY(c->expires_unix_s > NOW);
	PROPERTY(watchlist_allows(c->watch, false, c->user, c->user_len, c->user, c->user_len));
	PROPERTY(!watchlist_allows(c->watch, false, "\x01", 1, "\x02", 1) ||
		 watchlist_allows(c->watch, false, "\x01", 1, "anyone", 6));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct token_rules plain = {.leeway_s = 30},
					strict = {.issuer = "i", .audience = "a"};
	static const char plain_header[] = "{\"alg\":\"HS256\"}";
	const char *input = (const char *)data;
	const char *cut = size > 0 ? memchr(input, '\0', size) : NULL;
	const char *header = cut ? input : plain_header, *claims = cut ? cut + 1 : input;
	size_t header_len = cut ? (size_t)(cut - input) : strlen(plain_header);
	size_t claims_len = size - (cut ? header_len + 1 : 0), len;
	struct token_claims c, narrow;

	if (size > CLAIMS_MAX)
		return 0;
	PROPERTY(token_verify(&plain, keys_of_test(), input, size, NOW, &c) != TOKEN_OK);
	check_reader(claims, claims_len);

	char *text = signed_token(header, header_len, claims, claims_len, &len);
	enum token_result result = token_verify(&plain, keys_of_test(), text, len, NOW, &c);
	PROPERTY(result != TOKEN_NO_MEMORY && result < TOKEN_N);
	if (token_verify(&strict, keys_of_test(), text, len, NOW, &narrow) == TOKEN_OK) {
		PROPERTY(result == TOKEN_OK);
		token_claims_free(&narrow);
	}
	if (result == TOKEN_OK) {
		check_good(&c);
		token_claims_free(&c);
		/* One bit of the signature, and it is nobody's. */
		text[len - 10] = text[len - 10] == 'A' ? 'B' : 'A';
		PROPERTY(token_verify(&plain, keys_of_test(), text, len, NOW, &c) ==
			 TOKEN_SIGNATURE);
	}
	PROPERTY(ERR_peek_error() == 0);
	free(text);
	return 0;
}
