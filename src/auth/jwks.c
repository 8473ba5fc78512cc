/* The JWKS file (RFC 7517): which of its keys are for verifying tokens, and with which algorithm. */

#include "auth/headroom.h"
#include "auth/keys_private.h"
#include "base/compiler.h"
#include "base/json_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What of a file is read at a time. */
struct reading {
	struct keys *keys;
	algorithm_set algorithms; /* of the params; all where they name none */
	size_t index; /* of the key in the file, from 1, for the reason */
	char *why;
};

static int refuse(struct reading *r, const char *text)
{
	snprintf(r->why, KEYS_WHY_MAX, "key %zu %s", r->index, text);
	return -EINVAL;
}

/* 0, or why the file can't be read; the text is the caller's to free. */
static int read_file(const char *path, char **ret_text, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char *text = NULL;
	size_t len = 0;
	int err = 0;

	if (fd < 0)
		return -errno;
	text = malloc(KEYS_FILE_MAX + 1);
	if (!text)
		err = -ENOMEM;
	while (!err && len <= KEYS_FILE_MAX) {
		ssize_t n = read(fd, text + len, KEYS_FILE_MAX + 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = -errno;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (!err && len > KEYS_FILE_MAX)
		err = -EFBIG;
	close(fd);
	if (err) {
		free(text);
		return err;
	}
	*ret_text = text;
	*ret_len = len;
	return 0;
}

/* --- one key --- */

/* The kind by "kty" and "crv"; KEY_KIND_N for those that no algorithm of ours is for. */
static enum key_kind kind_of(struct json_part key)
{
	struct json_part kty, crv;

	if (!json_find(key, "kty", &kty))
		return KEY_KIND_N;
	if (json_part_equals(kty, "oct"))
		return KEY_OCT;
	if (json_part_equals(kty, "RSA"))
		return KEY_RSA;
	if (!json_part_equals(kty, "EC") || !json_find(key, "crv", &crv))
		return KEY_KIND_N;
	if (json_part_equals(crv, "P-256"))
		return KEY_P256;
	if (json_part_equals(crv, "P-384"))
		return KEY_P384;
	return json_part_equals(crv, "P-521") ? KEY_P521 : KEY_KIND_N;
}

/* Whether "use" and "key_ops", where they are there, let it verify. */
static bool is_for_verifying(struct json_part key)
{
	struct json_part use, ops, op;

	if (json_find(key, "use", &use) && !json_part_equals(use, "sig"))
		return false;
	if (!json_find(key, "key_ops", &ops))
		return true;
	if (!json_is_array_part(ops))
		return false;
	struct json_walk walk = json_walk_begin(ops);
	while (json_walk_element(&walk, &op)) {
		if (json_part_equals(op, "verify"))
			return true;
	}
	return false;
}

/* What the key is good for: none of it where its "alg" is another kind's or unknown. */
static algorithm_set algorithms_of(struct json_part key, enum key_kind kind)
{
	algorithm_set set = algorithms_of_kind(kind);
	struct json_part alg;

	if (!json_find(key, "alg", &alg))
		return kind == KEY_OCT ? ALGORITHM_BIT(ALGORITHM_HS256) : set;
	for (enum algorithm a = 0; a < ALGORITHM_N; a++) {
		if (json_part_equals(alg, algorithm_word(a)))
			return set & ALGORITHM_BIT(a);
	}
	return 0;
}

static int check_size(struct reading *r, struct key *k, enum key_kind kind)
{
	size_t bits = cjose_jwk_get_keysize(k->jwk, NULL);

	if (kind == KEY_RSA && bits < KEYS_RSA_MIN_BITS)
		return refuse(r, "is an RSA key of less than 2048 bits");
	if (kind == KEY_RSA && bits > KEYS_RSA_MAX_BITS)
		return refuse(r, "is an RSA key of more than 8192 bits");
	if (kind == KEY_RSA)
		k->signature_bytes = bits / 8;
	for (enum algorithm a = 0; kind == KEY_OCT && a < ALGORITHM_N; a++) {
		if ((k->algorithms & ALGORITHM_BIT(a)) && bits / 8 < algorithm_signature_bytes(a))
			return refuse(r, "is a secret shorter than the hash of its algorithm");
	}
	return 0;
}

static int check_kid(struct reading *r, const struct key *k)
{
	for (size_t i = 0; k->kid && i < r->keys->n; i++) {
		const struct key *other = &r->keys->all[i];

		if (other->kid && other->kid_len == k->kid_len &&
			memcmp(other->kid, k->kid, k->kid_len) == 0 &&
			(other->algorithms & k->algorithms))
			return refuse(r, "has the kid of another key");
	}
	return 0;
}

static int take_kid(struct reading *r, struct json_part key, struct key *k)
{
	struct json_part kid;

	if (!json_find(key, "kid", &kid))
		return 0;
	if (!json_is_string_part(kid))
		return refuse(r, "has a kid that is no string");
	k->kid = malloc(kid.len);
	if (!k->kid)
		return -ENOMEM;
	k->kid_len = json_part_decode(kid, k->kid);
	if (k->kid_len > KEYS_KID_MAX)
		return refuse(r, "has a kid of more than 256 bytes");
	return check_kid(r, k);
}

/* A key that is meant for this: into the set, or the reason why not. */
static int take(struct reading *r, struct json_part part, enum key_kind kind, algorithm_set set)
{
	struct key k = {.algorithms = set};
	struct json_part ignored;
	cjose_err error;
	int err;

	if (r->keys->n == ARRAY_LEN(r->keys->all)) {
		snprintf(r->why, KEYS_WHY_MAX, "more than %d keys", KEYS_MAX);
		return -EINVAL;
	}
	if (kind != KEY_OCT && json_find(part, "d", &ignored))
		return refuse(r, "holds a private part: only the issuer should have that");
	k.jwk = cjose_jwk_import(part.text, part.len, &error);
	/* cjose says "no memory" of a point off its curve, too. */
	if (!k.jwk)
		return headroom_check() ? -ENOMEM : refuse(r, "is broken: its numbers are no key");
	err = check_size(r, &k, kind);
	if (!err)
		err = take_kid(r, part, &k);
	if (err) {
		cjose_jwk_release(k.jwk);
		free(k.kid);
		return err;
	}
	r->keys->all[r->keys->n++] = k;
	return 0;
}

static int consider(struct reading *r, struct json_part part)
{
	if (!json_is_object_part(part))
		return refuse(r, "is no JSON object");
	if (json_has_duplicates(part))
		return refuse(r, "has a member twice, or too many");
	enum key_kind kind = kind_of(part);
	algorithm_set set = kind == KEY_KIND_N ? 0 : algorithms_of(part, kind) & r->algorithms;
	if (set == 0 || !is_for_verifying(part)) {
		r->keys->n_skipped++;
		return 0;
	}
	return take(r, part, kind, set);
}

/* --- the file --- */

static int parse(struct reading *r, const char *text, size_t len)
{
	struct json_part file = {text, len}, list, part;
	const char *wrong = json_read_check(text, len);
	size_t before = r->keys->n;
	int err = 0;

	if (!wrong && json_has_duplicates(file))
		wrong = "has a member twice, or too many";
	if (!wrong && (!json_find(file, "keys", &list) || !json_is_array_part(list)))
		wrong = "has no array \"keys\"";
	if (wrong) {
		snprintf(r->why, KEYS_WHY_MAX, "the file %s", wrong);
		return -EINVAL;
	}
	struct json_walk walk = json_walk_begin(list);
	while (!err && json_walk_element(&walk, &part)) {
		r->index++;
		err = consider(r, part);
	}
	if (!err && r->keys->n == before) {
		snprintf(r->why, KEYS_WHY_MAX,
			"none of the file's %zu keys is for verifying tokens with an allowed algorithm",
			r->index);
		return -EINVAL;
	}
	return err;
}

int jwks_load(struct keys *keys, const char *path, algorithm_set algorithms, char why[KEYS_WHY_MAX])
{
	struct reading r = {
		.keys = keys,
		.algorithms = algorithms ? algorithms : (ALGORITHM_BIT(ALGORITHM_N) - 1),
		.why = why,
	};
	char *text = NULL;
	size_t len = 0;
	int err = read_file(path, &text, &len);

	if (err)
		return err;
	err = parse(&r, text, len);
	/* A file may hold secrets ("oct"); what is freed is not left lying about. */
	explicit_bzero(text, len);
	free(text);
	return err;
}
