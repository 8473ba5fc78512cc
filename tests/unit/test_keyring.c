#include "auth/keyring.h"

#include "auth/token.h"
#include "base/compiler.h"
#include "support/cmocka_all.h"
#include "support/failing_alloc.h"
#include "support/tokens.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const struct token_rules rules = {.leeway_s = 30};

static struct keys *load(const char *secret, const char *path)
{
	struct keys_params p = {
		.secret = secret, .secret_len = secret ? strlen(secret) : 0, .jwks_path = path};
	struct keys *keys = NULL;
	char why[KEYS_WHY_MAX];

	if (keys_load(&p, &keys, why))
		fail_msg("%s", why);
	return keys;
}

static void each_worker_gets_the_newest_when_it_looks(void **state)
{
	(void)state;
	struct keys *first = load(ISSUER_SECRET, NULL);
	struct keys *second = load(ISSUER_SECRET, NULL);
	struct keys *third = load(ISSUER_SECRET, NULL);
	struct keyring *ring = keyring_new(2, first);

	assert_non_null(ring);
	assert_ptr_equal(keyring_keys(ring, 0), first);
	keyring_replace(ring, second);
	assert_ptr_equal(keyring_keys(ring, 0), second);
	assert_ptr_equal(keyring_keys(ring, 0), second);
	keyring_replace(ring, third);
	assert_ptr_equal(keyring_keys(ring, 1), third); /* the second was never taken */
	keyring_replace(ring, first);
	assert_ptr_equal(keyring_keys(ring, 0), first);
	keys_release(first);
	keys_release(second);
	keys_release(third);
	keyring_free(ring); /* worker 1's first, untaken, goes too: the leak checker sees it */
	keyring_free(NULL);
}

static void refused_memory_gives_no_ring(void **state)
{
	(void)state;
	struct keys *keys = load(ISSUER_SECRET, NULL);

	alloc_fail_begin(1);
	assert_null(keyring_new(4, keys));
	assert_true(alloc_fail_end());
	keys_release(keys);
}

/* Workers verify while the keys are replaced under them: every set has the keys of their tokens, so each of them is
 * good all the time; and the sets are freed under the last of them. */

enum { WORKERS = 4, REPLACEMENTS = 60 };

struct shared {
	struct keyring *ring;
	char *tokens
		[3]; /* by the secret, RSA and EC: what each library call makes of a shared key */
	/* atomic: main -> workers */
	_Atomic bool is_over;
	/* atomic: workers -> main */
	_Atomic unsigned n_good, n_bad, n_sets;
};

struct worker {
	struct shared *shared;
	unsigned index;
	pthread_t thread;
};

static void *verify_on(void *argument)
{
	struct worker *w = argument;
	struct shared *s = w->shared;
	const struct keys *last = NULL;

	do {
		const struct keys *keys = keyring_keys(s->ring, w->index);

		if (keys != last)
			atomic_fetch_add(&s->n_sets, 1);
		last = keys;
		for (size_t i = 0; i < ARRAY_LEN(s->tokens); i++) {
			struct token_claims c;
			enum token_result r = token_verify(
				&rules, keys, s->tokens[i], strlen(s->tokens[i]), 900, &c);

			if (r == TOKEN_OK)
				token_claims_free(&c);
			atomic_fetch_add(r == TOKEN_OK ? &s->n_good : &s->n_bad, 1);
		}
	} while (!atomic_load(&s->is_over));
	return NULL;
}

static void workers_verify_while_keys_are_replaced(void **state)
{
	struct issuer *issuer = *state;
	static const char claims[] = "{\"sub\":\"alice\",\"exp\":1000,\"watch\":[\"*\"]}";
	struct shared s = {
		.tokens = {token_hmac("SHA256", ISSUER_SECRET, 64, "{\"alg\":\"HS256\"}", claims),
			token_signed(issuer->keys[ISSUER_RSA],
				"{\"alg\":\"RS256\",\"kid\":\"rsa\"}", claims),
			token_signed(issuer->keys[ISSUER_P256], "{\"alg\":\"ES256\"}", claims)}};
	struct keys *first = load(ISSUER_SECRET, issuer->path);
	struct worker workers[WORKERS];

	s.ring = keyring_new(WORKERS, first);
	assert_non_null(s.ring);
	keys_release(first);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){.shared = &s, .index = i};
		assert_int_equal(
			pthread_create(&workers[i].thread, NULL, verify_on, &workers[i]), 0);
	}
	for (unsigned i = 0; i < REPLACEMENTS; i++) {
		struct keys *keys = load(ISSUER_SECRET, issuer->path);

		keyring_replace(s.ring, keys);
		keys_release(keys);
	}
	atomic_store(&s.is_over, true);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
	assert_int_equal(s.n_bad, 0);
	assert_true(s.n_good >= WORKERS * ARRAY_LEN(s.tokens));
	assert_true(s.n_sets >= WORKERS);
	for (size_t i = 0; i < ARRAY_LEN(s.tokens); i++)
		free(s.tokens[i]);
	keyring_free(s.ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_worker_gets_the_newest_when_it_looks),
		cmocka_unit_test(refused_memory_gives_no_ring),
		cmocka_unit_test(workers_verify_while_keys_are_replaced),
	};

	return cmocka_run_group_tests(tests, issuer_setup, issuer_teardown);
}
