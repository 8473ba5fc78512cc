#include "auth/watchlist.h"

#include "base/compiler.h"
#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The claim is the value of the one member of 'text'. */
static int make(const char *text, struct watchlist **ret)
{
	struct json_part object = {text, strlen(text)}, claim;

	if (json_read_check(text, strlen(text)))
		fail_msg("no JSON: %s", text);
	assert_true(json_find(object, "watch", &claim));
	return watchlist_new(claim, ret);
}

static bool allows(const struct watchlist *list, const char *user)
{
	return watchlist_allows(list, false, "me", 2, user, strlen(user));
}

static void a_claim_says_who_may_be_watched(void **state)
{
	(void)state;
	static const struct {
		const char *claim;
		const char *yes[6], *no[6];
	} rows[] = {
		{"[]", {"me"}, {"bob", "m", "mee"}},
		{"[\"bob\"]", {"bob", "me"}, {"bo", "bobo", "Bob", "a", "c"}},
		{"\"bob\"", {"bob", "me"}, {"bobo"}},
		{"[\"carol\",\"alice\",\"bob\"]", {"alice", "bob", "carol"},
			{"", "al", "alicea", "b", "d"}},
		{"[\"team-*\"]", {"team-", "team-1", "team-*", "team-\xc3\xa9"},
			{"team", "tea", "team.", "Team-1", "zeam-1"}},
		{"\"team-*\"", {"team-1"}, {"bob"}},
		{"[\"*\"]", {"x", "me", "\xc3\xa9"}, {NULL}},
		{"\"*\"", {"x"}, {NULL}},
		{"[\"bob\",\"*\",\"team-*\"]", {"x", "bob"}, {NULL}},
		/* prefixes of prefixes, in any order, and ids between them */
		{"[\"ab*\",\"a*\",\"abc*\",\"b\"]", {"a", "ab", "abc", "azz", "b"}, {"ba", "c"}},
		{"[\"abc*\",\"ab\",\"abd*\"]", {"abc", "abcz", "ab", "abd"}, {"abb", "a", "abe"}},
		{"[\"a*\",\"c*\"]", {"a1", "c1"}, {"b1", "d", "\x7f"}},
		/* a star is a wildcard at the end only */
		{"[\"a*b\"]", {"a*b"}, {"ab", "axb", "a*", "a*bc"}},
		{"[\"*a\"]", {"*a"}, {"a", "ba"}},
		{"[\"a**\"]", {"a*", "a*b"}, {"a", "ab"}},
		{"[\"**\"]", {"*", "*x"}, {"x"}},
		/* escapes are undone before they are looked at */
		{"[\"\\u0062ob\",\"te\\u002a\"]", {"bob", "team"}, {"t"}},
		{"[\"bob\",\"bob\",\"bob\"]", {"bob"}, {"b"}},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct watchlist *list = NULL;
		char text[256];

		snprintf(text, sizeof(text), "{\"watch\":%s}", rows[i].claim);
		assert_int_equal(make(text, &list), 0);
		for (size_t k = 0; k < ARRAY_LEN(rows[i].yes) && rows[i].yes[k]; k++) {
			if (!allows(list, rows[i].yes[k]))
				fail_msg("%s does not allow %s", rows[i].claim, rows[i].yes[k]);
		}
		for (size_t k = 0; k < ARRAY_LEN(rows[i].no) && rows[i].no[k]; k++) {
			if (allows(list, rows[i].no[k]))
				fail_msg("%s allows %s", rows[i].claim, rows[i].no[k]);
		}
		watchlist_free(list);
	}
}

static void claims_that_are_none_are_refused(void **state)
{
	(void)state;
	char long_id[512], long_prefix[512], longer_id[512], longer_prefix[512];
	const struct {
		const char *claim;
		int err;
	} rows[] = {
		{"null", -EINVAL},
		{"true", -EINVAL},
		{"7", -EINVAL},
		{"{}", -EINVAL},
		{"{\"a\":\"b\"}", -EINVAL},
		{"\"\"", -EINVAL},
		{"[\"\"]", -EINVAL},
		{"[null]", -EINVAL},
		{"[\"bob\",7]", -EINVAL},
		{"[[\"bob\"]]", -EINVAL},
		{"[\"a\\nb\"]", -EINVAL},
		{"[\"a\\u007f\"]", -EINVAL},
		{"[\"\\u0001*\"]", -EINVAL},
		{long_id, 0},
		{longer_id, -EINVAL},
		{long_prefix, 0},
		{longer_prefix, -EINVAL},
	};

	snprintf(long_id, sizeof(long_id), "[\"%0128d\"]", 0);
	snprintf(longer_id, sizeof(longer_id), "[\"%0129d\"]", 0);
	snprintf(long_prefix, sizeof(long_prefix), "[\"%0128d*\"]", 0);
	snprintf(longer_prefix, sizeof(longer_prefix), "[\"%0129d*\"]", 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct watchlist *list = NULL;
		char text[600];

		snprintf(text, sizeof(text), "{\"watch\":%s}", rows[i].claim);
		assert_int_equal(make(text, &list), rows[i].err);
		assert_int_equal(list == NULL, rows[i].err != 0);
		watchlist_free(list);
	}
}

static void without_a_claim_the_default_decides(void **state)
{
	(void)state;
	assert_true(watchlist_allows(NULL, true, "me", 2, "bob", 3));
	assert_false(watchlist_allows(NULL, false, "me", 2, "bob", 3));
	assert_true(watchlist_allows(NULL, false, "me", 2, "me", 2));
	assert_false(watchlist_allows(NULL, false, "me", 2, "mee", 3));
	watchlist_free(NULL);
}

/* Against the plain way, over all the short words of a small alphabet. */
static void it_agrees_with_a_plain_search(void **state)
{
	(void)state;
	static const char letters[] = "ab*";
	unsigned seed = 1;

	for (unsigned round = 0; round < 300; round++) {
		char names[12][5], text[256] = "{\"watch\":[";
		struct watchlist *list;
		unsigned n = 0;

		for (unsigned i = 0; i < round % 12; i++) {
			unsigned len;

			seed = seed * 1103515245 + 12345;
			len = 1 + seed / 65536 % 4;
			for (unsigned k = 0; k < len; k++) {
				seed = seed * 1103515245 + 12345;
				names[i][k] = letters[seed / 65536 % 3];
			}
			names[i][len] = '\0';
			if (strcmp(names[i], "*") == 0)
				names[i][0] = 'a';
			sprintf(text + strlen(text), "%s\"%s\"", n++ ? "," : "", names[i]);
		}
		strcat(text, "]}");
		assert_int_equal(make(text, &list), 0);
		for (unsigned word = 0; word < 3 * 3 * 3 * 3; word++) {
			char user[5] = {letters[word % 3], letters[word / 3 % 3],
				letters[word / 9 % 3], letters[word / 27], '\0'};
			bool expected = false;

			user[1 + word % 4] = '\0';
			for (unsigned i = 0; i < n; i++) {
				size_t len = strlen(names[i]);
				bool is_prefix = names[i][len - 1] == '*';

				expected |= is_prefix ? strncmp(user, names[i], len - 1) == 0
						      : strcmp(user, names[i]) == 0;
			}
			if (allows(list, user) != expected)
				fail_msg("%s and %s", text, user);
		}
		watchlist_free(list);
	}
}

static void as_many_names_as_a_token_holds(void **state)
{
	(void)state;
	enum { N = 1500 };
	char *text = malloc(16384);
	struct watchlist *list;
	char user[8];

	assert_non_null(text);
	strcpy(text, "{\"watch\":[");
	for (unsigned i = 0; i < N; i++)
		sprintf(text + strlen(text), "%s\"%u%s\"", i ? "," : "", i * 7 % N,
			i % 3 ? "" : "*");
	strcat(text, "]}");
	assert_int_equal(make(text, &list), 0);
	for (unsigned i = 0; i < N; i++) {
		snprintf(user, sizeof(user), "%u", i);
		assert_true(allows(list, user));
	}
	assert_false(allows(list, "x"));
	watchlist_free(list);
	free(text);
}

static void refused_memory_is_said(void **state)
{
	(void)state;
	struct watchlist *list = NULL;

	alloc_fail_begin(1);
	assert_int_equal(make("{\"watch\":[\"a\"]}", &list), -ENOMEM);
	assert_true(alloc_fail_end());
	assert_null(list);
	/* One that can't shrink stays as long as it is. */
	alloc_fail_begin(2);
	assert_int_equal(make("{\"watch\":[\"a\"]}", &list), 0);
	assert_true(alloc_fail_end());
	assert_true(allows(list, "a"));
	watchlist_free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_claim_says_who_may_be_watched),
		cmocka_unit_test(claims_that_are_none_are_refused),
		cmocka_unit_test(without_a_claim_the_default_decides),
		cmocka_unit_test(it_agrees_with_a_plain_search),
		cmocka_unit_test(as_many_names_as_a_token_holds),
		cmocka_unit_test(refused_memory_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
