#include "auth/keys.h"

#include "auth/headroom.h"
#include "auth/keys_private.h"
#include "base/ensure.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Secrets and what they are for. */
static int add_secret(struct keys *keys, const struct keys_params *p, char why[KEYS_WHY_MAX])
{
	algorithm_set set = algorithms_of_kind(KEY_OCT);
	cjose_err err;

	set &= p->algorithms ? p->algorithms : ALGORITHM_BIT(ALGORITHM_HS256);
	if (p->secret_len < KEYS_SECRET_MIN) {
		snprintf(why, KEYS_WHY_MAX, "the secret has %zu bytes, expected at least %d",
			p->secret_len, KEYS_SECRET_MIN);
		return -EINVAL;
	}
	for (enum algorithm a = 0; a < ALGORITHM_N; a++) {
		if ((set & ALGORITHM_BIT(a)) && p->secret_len < algorithm_signature_bytes(a)) {
			snprintf(why, KEYS_WHY_MAX,
				"the secret has %zu bytes, expected at least %zu for %s",
				p->secret_len, algorithm_signature_bytes(a), algorithm_word(a));
			return -EINVAL;
		}
	}
	if (!set) {
		snprintf(why, KEYS_WHY_MAX,
			"there is a secret, but no algorithm for it (HS256, HS384, HS512) is allowed");
		return -EINVAL;
	}
	cjose_jwk_t *jwk =
		cjose_jwk_create_oct_spec((const uint8_t *)p->secret, p->secret_len, &err);
	if (!jwk)
		return -ENOMEM;
	keys->all[keys->n++] = (struct key){.jwk = jwk, .algorithms = set};
	return 0;
}

static int load(struct keys *keys, const struct keys_params *p, char why[KEYS_WHY_MAX])
{
	int err = headroom_check();

	if (!err && p->secret)
		err = add_secret(keys, p, why);
	if (!err && p->jwks_path)
		err = jwks_load(keys, p->jwks_path, p->algorithms, why);
	if (err)
		return err;
	for (size_t i = 0; i < keys->n; i++)
		keys->algorithms |= keys->all[i].algorithms;
	if (keys->n == 0) {
		snprintf(why, KEYS_WHY_MAX, "expected a secret or a file of keys");
		return -EINVAL;
	}
	return 0;
}

int keys_load(const struct keys_params *p, struct keys **ret, char why[KEYS_WHY_MAX])
{
	struct keys *keys = calloc(1, sizeof(*keys));
	int err = -ENOMEM;

	why[0] = '\0';
	if (keys) {
		atomic_init(&keys->n_references, 1);
		err = load(keys, p, why);
	}
	ERR_clear_error();
	if (err) {
		if (!why[0])
			snprintf(why, KEYS_WHY_MAX, "%s", strerror(-err));
		keys_release(keys);
		return err;
	}
	*ret = keys;
	return 0;
}

struct keys *keys_retain(struct keys *keys)
{
	/* Relaxed: whoever retains has a reference already, so nothing is published by this. */
	unsigned before = atomic_fetch_add_explicit(&keys->n_references, 1, memory_order_relaxed);
	ensure(before > 0);
	return keys;
}

void keys_release(struct keys *keys)
{
	/* Release: what this thread read of the keys is over; acquire: so it is for all, before they are freed.
	 * Each is the partner of the other threads' same line. */
	if (!keys || atomic_fetch_sub_explicit(&keys->n_references, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; i < keys->n; i++) {
		cjose_jwk_release(keys->all[i].jwk);
		free(keys->all[i].kid);
	}
	free(keys);
}

algorithm_set keys_algorithms(const struct keys *keys)
{
	return keys->algorithms;
}

size_t keys_count(const struct keys *keys)
{
	return keys->n;
}

size_t keys_skipped(const struct keys *keys)
{
	return keys->n_skipped;
}

/* --- verifying --- */

static bool has_kid(const struct key *k, const char *kid, size_t kid_len)
{
	return k->kid && k->kid_len == kid_len && memcmp(k->kid, kid, kid_len) == 0;
}

/* The keys to ask, those of the kid first. */
static size_t candidates(const struct keys *keys, enum algorithm a, const char *kid, size_t kid_len,
	const struct key *to[KEYS_TRIED_MAX])
{
	size_t n = 0;

	for (size_t i = 0; kid && i < keys->n && n < KEYS_TRIED_MAX; i++) {
		const struct key *k = &keys->all[i];
		if ((k->algorithms & ALGORITHM_BIT(a)) && has_kid(k, kid, kid_len))
			to[n++] = k;
	}
	for (size_t i = 0; i < keys->n && n < KEYS_TRIED_MAX; i++) {
		const struct key *k = &keys->all[i];
		if ((k->algorithms & ALGORITHM_BIT(a)) && (!kid || !k->kid))
			to[n++] = k;
	}
	return n;
}

/* cjose takes an ECDSA signature of any length and halves it: leading zeros would make another token of the same
 * signature. So the length is looked at before. */
static bool fits(const struct key *k, enum algorithm a, size_t signature_bytes)
{
	size_t want = algorithm_signature_bytes(a);

	return signature_bytes == (want ? want : k->signature_bytes);
}

int keys_verify(const struct keys *keys, enum algorithm a, const char *kid, size_t kid_len,
	const char *token, size_t token_len, size_t signature_bytes)
{
	const struct key *asked[KEYS_TRIED_MAX];
	size_t n = candidates(keys, a, kid, kid_len, asked);
	cjose_err error = {.code = CJOSE_ERR_NONE};
	bool is_signed = false;

	if (n == 0)
		return -ENOKEY;
	if (headroom_check())
		return -ENOMEM;
	cjose_jws_t *jws = cjose_jws_import(token, token_len, &error);
	for (size_t i = 0; jws && i < n && !is_signed; i++)
		is_signed = fits(asked[i], a, signature_bytes) &&
			    cjose_jws_verify(jws, asked[i]->jwk, &error);
	cjose_jws_release(jws);
	ERR_clear_error();
	if (is_signed)
		return 0;
	return error.code == CJOSE_ERR_NO_MEMORY ? -ENOMEM : -EBADMSG;
}
