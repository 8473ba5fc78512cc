#include "wire/prescan.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Text, and how deep it nests. */
static const struct {
	const char *text;
	unsigned depth;
} rows[] = {
	{"", 0},
	{"1", 0},
	{"\"[[[[\"", 0},
	{"{}", 1},
	{"[]", 1},
	{"[][][]", 1},
	{"[{}]", 2},
	{"[[],[[]]]", 3},
	{"{\"a\":{\"b\":[1,{\"c\":2}]}}", 4},
	{"{\"[\":\"]]]{\",\"b\":[]}", 2},
	{"[\"\\\"[[[\",[]]", 2},
	{"[\"\\\\\",[[]]]", 3},
	{"[\"\\\\\\\"[[\",[[]]]", 3},
	{"[\"\\u005b[\",[]]", 2},
	/* no JSON: nothing may break */
	{"]]]]", 0},
	{"]]][", 1},
	{"[}[", 1},
	{"\"", 0},
	{"\"\\", 0},
	{"[\"\\\"[[", 1},
	{"[\"[[[[", 1},
	{"[[[[", 4},
};

static void test_depths(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].text);

		for (unsigned max = 0; max < 8; max++) {
			if (prescan_too_deep(rows[i].text, len, max) != (rows[i].depth > max))
				fail_msg("%s with %u", rows[i].text, max);
		}
	}
}

static void test_the_limit_of_the_protocol(void **state)
{
	char text[2 * 17];

	(void)state;
	memset(text, '[', 17);
	memset(text + 17, ']', 17);
	assert_true(prescan_too_deep(text, 34, JSON_DEPTH_MAX));
	assert_false(prescan_too_deep(text + 1, 32, JSON_DEPTH_MAX));
}

/* Why the prescan is there: the parser alone goes deeper than is good for a small stack. */
static void test_long_nest(void **state)
{
	static char text[100000];

	(void)state;
	memset(text, '[', sizeof(text));
	assert_true(prescan_too_deep(text, sizeof(text), JSON_DEPTH_MAX));
	assert_false(prescan_too_deep(text, sizeof(text), sizeof(text)));
}

static unsigned depth_of(const json_t *value)
{
	unsigned deepest = 0;
	const char *key;
	json_t *child;
	size_t i;

	json_array_foreach(value, i, child)
	{
		unsigned depth = depth_of(child);
		deepest = depth > deepest ? depth : deepest;
	}
	json_object_foreach((json_t *)value, key, child)
	{
		unsigned depth = depth_of(child);
		deepest = depth > deepest ? depth : deepest;
	}
	return deepest + (json_is_array(value) || json_is_object(value));
}

static uint32_t noise(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 16;
}

/* Random strings of the characters that matter: whatever jansson reads, the prescan has measured rightly. */
static void test_agrees_with_the_parser(void **state)
{
	static const char *const pieces[] = {
		"[", "]", "{", "}", "\"", "\\", "\\\"", "\"a\":", ",", "1", "[]", "[1]", "\"[\""};
	uint32_t seed = 1;
	unsigned n_read = 0;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		char text[64] = "[";
		unsigned n = 1 + noise(&seed) % 9;
		json_t *value;

		for (unsigned i = 0; i < n; i++)
			strcat(text, pieces[noise(&seed) % 13]);
		strcat(text, "]");
		value = json_loads(text, 0, NULL);
		if (value == NULL)
			continue;
		n_read++;
		assert_false(prescan_too_deep(text, strlen(text), depth_of(value)));
		assert_true(prescan_too_deep(text, strlen(text), depth_of(value) - 1));
		json_decref(value);
	}
	assert_true(n_read > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_depths),
		cmocka_unit_test(test_the_limit_of_the_protocol),
		cmocka_unit_test(test_long_nest),
		cmocka_unit_test(test_agrees_with_the_parser),
	};

	return cmocka_run_group_tests_name("prescan", tests, NULL, NULL);
}
