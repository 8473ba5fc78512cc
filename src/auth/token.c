#include "auth/token.h"

#include "auth/base64url.h"
#include "base/ensure.h"
#include "base/json_read.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* 9999-12-31T23:59:59Z; beyond it most who print dates go wrong, and it is far from where sums overflow. */
#define DATE_MAX UINT64_C(253402300799)

#define TOKEN_TEXT(name, text) [TOKEN_##name] = text,
static const char *const result_texts[TOKEN_N] = {TOKEN_RESULTS(TOKEN_TEXT)};

const char *token_result_text(enum token_result result)
{
	ensure(result < TOKEN_N);
	return result_texts[result];
}

void token_claims_free(struct token_claims *claims)
{
	watchlist_free(claims->watch);
	claims->watch = NULL;
}

/* --- three parts --- */

enum part { PART_HEADER, PART_CLAIMS, PART_SIGNATURE, PART_N };

struct parts {
	size_t len[PART_N];
	const unsigned char *data[PART_N]; /* in 'bytes' */
	unsigned char bytes[BASE64URL_DECODED_MAX(TOKEN_BYTES_MAX)];
};

/* What has no text to decode: the header and claims that are JSON objects, and a signature, are never empty. */
static enum token_result split(const char *text, size_t len, struct parts *p)
{
	const char *at = text, *end = text + len;
	size_t used = 0;

	if (len > TOKEN_BYTES_MAX)
		return TOKEN_TOO_LONG;
	for (enum part i = 0; i < PART_N; i++) {
		const char *dot = memchr(at, '.', (size_t)(end - at));
		const char *to = dot ? dot : end;

		/* The last part is the one, and the only one, without a dot after it. */
		if ((dot != NULL) != (i < PART_N - 1) || to == at)
			return TOKEN_PARTS;
		if (base64url_decode(at, (size_t)(to - at), p->bytes + used, &p->len[i]))
			return TOKEN_ENCODING;
		p->data[i] = p->bytes + used;
		used += p->len[i];
		at = to + 1;
	}
	return TOKEN_OK;
}

/* --- header --- */

struct header {
	enum algorithm algorithm;
	char kid[KEYS_KID_MAX];
	size_t kid_len;
	bool has_kid;
};

static enum token_result read_kid(struct json_part object, struct header *h)
{
	struct json_part kid;
	char decoded[TOKEN_HEADER_BYTES_MAX];

	h->has_kid = json_find(object, "kid", &kid);
	if (!h->has_kid)
		return TOKEN_OK;
	if (!json_is_string_part(kid))
		return TOKEN_HEADER;
	h->kid_len = json_part_decode(kid, decoded);
	if (h->kid_len > sizeof(h->kid))
		return TOKEN_KEY;
	memcpy(h->kid, decoded, h->kid_len);
	return TOKEN_OK;
}

static enum token_result read_header(const struct parts *p, algorithm_set allowed, struct header *h)
{
	struct json_part object = {(const char *)p->data[PART_HEADER], p->len[PART_HEADER]};
	struct json_part part;

	if (object.len > TOKEN_HEADER_BYTES_MAX || json_read_check(object.text, object.len) ||
		json_has_duplicates(object))
		return TOKEN_HEADER;
	if (!json_find(object, "alg", &part))
		return TOKEN_ALGORITHM;
	for (h->algorithm = 0; h->algorithm < ALGORITHM_N; h->algorithm++) {
		if (json_part_equals(part, algorithm_word(h->algorithm)))
			break;
	}
	if (h->algorithm == ALGORITHM_N || !(allowed & ALGORITHM_BIT(h->algorithm)))
		return TOKEN_ALGORITHM;
	if (json_find(object, "crit", &part))
		return TOKEN_CRITICAL;
	if (json_find(object, "b64", &part) && (part.len != 4 || memcmp(part.text, "true", 4) != 0))
		return TOKEN_CRITICAL;
	return read_kid(object, h);
}

static enum token_result verify_signature(const struct keys *keys, const struct parts *p,
	const struct header *h, const char *text, size_t len)
{
	switch (-keys_verify(keys, h->algorithm, h->has_kid ? h->kid : NULL, h->kid_len, text, len,
		p->len[PART_SIGNATURE])) {
	case 0:
		return TOKEN_OK;
	case ENOKEY:
		return TOKEN_KEY;
	case ENOMEM:
		return TOKEN_NO_MEMORY;
	default:
		return TOKEN_SIGNATURE;
	}
}

/* --- claims --- */

static enum token_result read_dates(struct json_part object, const struct token_rules *rules,
	uint64_t now, uint64_t *ret_expires)
{
	struct json_part part;
	uint64_t exp, nbf = 0, iat = 0;

	if (!json_find(object, "exp", &part) || !json_part_u64(part, false, DATE_MAX, &exp))
		return TOKEN_DATE;
	if (json_find(object, "nbf", &part) && !json_part_u64(part, true, DATE_MAX, &nbf))
		return TOKEN_DATE;
	if (json_find(object, "iat", &part) && !json_part_u64(part, true, DATE_MAX, &iat))
		return TOKEN_DATE;
	if (now >= exp + rules->leeway_s)
		return TOKEN_EXPIRED;
	if (nbf > now + rules->leeway_s)
		return TOKEN_EARLY;
	if (iat > now + rules->leeway_s)
		return TOKEN_FUTURE;
	*ret_expires = exp + rules->leeway_s;
	return TOKEN_OK;
}

static bool is_audience(struct json_part aud, const char *audience)
{
	struct json_part one;
	bool is_found = false;

	if (!json_is_array_part(aud))
		return json_part_equals(aud, audience);
	for (struct json_walk walk = json_walk_begin(aud); json_walk_element(&walk, &one);) {
		if (!json_is_string_part(one))
			return false;
		is_found |= json_part_equals(one, audience);
	}
	return is_found;
}

static enum token_result check_origin(struct json_part object, const struct token_rules *rules)
{
	struct json_part part;

	if (rules->issuer &&
		(!json_find(object, "iss", &part) || !json_part_equals(part, rules->issuer)))
		return TOKEN_ISSUER;
	if (rules->audience &&
		(!json_find(object, "aud", &part) || !is_audience(part, rules->audience)))
		return TOKEN_AUDIENCE;
	return TOKEN_OK;
}

static enum token_result read_subject(struct json_part object, struct token_claims *ret)
{
	struct json_part sub;
	char decoded[6 * USER_MAX + 2]; /* each byte a \u00XX at the worst, and the quotes */

	if (!json_find(object, "sub", &sub) || !json_is_string_part(sub) ||
		sub.len > sizeof(decoded))
		return TOKEN_SUBJECT;
	size_t len = json_part_decode(sub, decoded);
	if (len < 1 || len > USER_MAX)
		return TOKEN_SUBJECT;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)decoded[i];
		if (c < 0x20 || c == 0x7f)
			return TOKEN_SUBJECT;
	}
	memcpy(ret->user, decoded, len);
	ret->user_len = len;
	return TOKEN_OK;
}

static enum token_result read_watch(struct json_part object, struct token_claims *ret)
{
	struct json_part watch;

	if (!json_find(object, "watch", &watch))
		return TOKEN_OK;
	switch (-watchlist_new(watch, &ret->watch)) {
	case 0:
		return TOKEN_OK;
	case ENOMEM:
		return TOKEN_NO_MEMORY;
	default:
		return TOKEN_WATCH;
	}
}

static enum token_result read_claims(const struct parts *p, const struct token_rules *rules,
	uint64_t now, struct token_claims *ret)
{
	struct json_part object = {(const char *)p->data[PART_CLAIMS], p->len[PART_CLAIMS]};
	enum token_result result = TOKEN_OK;

	if (json_read_check(object.text, object.len) || json_has_duplicates(object))
		return TOKEN_CLAIMS;
	result = check_origin(object, rules);
	if (!result)
		result = read_dates(object, rules, now, &ret->expires_unix_s);
	if (!result)
		result = read_subject(object, ret);
	/* Last, for it takes memory. */
	return result ? result : read_watch(object, ret);
}

enum token_result token_verify(const struct token_rules *rules, const struct keys *keys,
	const char *text, size_t len, uint64_t now_unix_s, struct token_claims *ret)
{
	struct parts parts;
	struct header header = {0};
	struct token_claims claims = {0};
	enum token_result result = split(text, len, &parts);

	if (!result)
		result = read_header(&parts, keys_algorithms(keys), &header);
	if (!result)
		result = verify_signature(keys, &parts, &header, text, len);
	if (!result)
		result = read_claims(&parts, rules, now_unix_s, &claims);
	if (!result)
		*ret = claims;
	return result;
}
