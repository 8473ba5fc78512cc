#include "base/json_read.h"

#include "base/compiler.h"
#include "support/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void objects_are_told_from_what_is_none(void **state)
{
	(void)state;
	static const char *const good[] = {"{}", " {\t}\r\n", "{\"a\":1}", "{\"\":\"\"}",
		"{\"a\":[],\"b\":{},\"c\":[[],{}],\"d\":[{\"e\":[1,2]},3]}",
		"{\"a\":true,\"b\":false,\"c\":null}",
		"{\"a\":-0,\"b\":0.5e-3,\"c\":1E+9,\"d\":10}",
		"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"}",
		"{\"a\":\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"}",
		"{\"a\":\"]}{[,:\"}", "{\"a\":1e99999}", "{\"a\":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}"};
	static const char *const bad[] = {"", " ", "1", "\"a\"", "[]", "null", "{", "}", "{}x",
		"{}{}", "{,}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":1 \"b\":2}", "{a:1}",
		"{'a':1}", "{\"a\":1]", "{\"a\":[1}", "{\"a\":[1,]}", "{\"a\":[,1]}",
		"{\"a\":[1 2]}", "{\"a\"::1}", "{1:2}", "{\"a\":01}", "{\"a\":-}", "{\"a\":+1}",
		"{\"a\":.5}", "{\"a\":1.}", "{\"a\":1e}", "{\"a\":1e+}", "{\"a\":0x1}",
		"{\"a\":NaN}", "{\"a\":Infinity}", "{\"a\":tru}", "{\"a\":True}", "{\"a\":nullx}",
		"{\"a\":\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"\\u12g4\"}",
		"{\"a\":\"\\u0000\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\ud800x\"}",
		"{\"a\":\"\\ud800\\n\"}", "{\"a\":\"\\ud800\\u0041\"}", "{\"a\":\"\\udc00\"}",
		"{\"a\":\"\\udc00\\ud800\"}", "{\"\\ud800\":1}", "{\"a\":\"\n\"}",
		"{\"a\":\"\x1f\"}", "{\"a\":\"\x80\"}", "{\"a\":\"\xc0\x80\"}",
		"{\"a\":\"\xc1\xbf\"}", "{\"a\":\"\xe0\x9f\xbf\"}", "{\"a\":\"\xed\xa0\x80\"}",
		"{\"a\":\"\xf0\x8f\xbf\xbf\"}", "{\"a\":\"\xf4\x90\x80\x80\"}",
		"{\"a\":\"\xf5\x80\x80\x80\"}", "{\"a\":\"\xc3\"}", "{\"a\":\"\xe2\x82\"}",
		"\xef\xbb\xbf{}", "{\"a\":1}/**/", "{\"a\":1\v}",
		"{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}"};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (json_read_check(good[i], strlen(good[i])))
			fail_msg("%s is refused", good[i]);
		/* Cut anywhere it is none; a block of its own, so that reading on would be seen. */
		size_t len = strcspn(good[i], "") - (i == 1 ? 2 : 0);
		for (size_t n = 0; n < len; n++) {
			char *cut = malloc(n + 1);

			assert_non_null(cut);
			memmove(cut + 1, good[i], n);
			if (!json_read_check(cut + 1, n))
				fail_msg("%s is taken when cut to %zu", good[i], n);
			free(cut);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (!json_read_check(bad[i], strlen(bad[i])))
			fail_msg("%s is taken", bad[i]);
	}
	assert_non_null(json_read_check("{\"a\":\"\0\"}", 9));
	assert_non_null(json_read_check("{}\0", 3));
}

static struct json_part part(const char *text)
{
	assert_null(json_read_check(text, strlen(text)));
	return (struct json_part){text, strlen(text)};
}

static void members_are_found(void **state)
{
	(void)state;
	struct json_part object = part(" { \"a\" : [ 1 , \"]\" ] , \"b\\u002f\" : { \"a\" : 2 } ,"
				       "\"c\":\"x,}\" , \"d\":-1.5e3,\"e\":null } ");
	static const struct {
		const char *name, *value;
	} rows[] = {{"a", "[ 1 , \"]\" ]"}, {"b/", "{ \"a\" : 2 }"}, {"c", "\"x,}\""},
		{"d", "-1.5e3"}, {"e", "null"}};
	struct json_part value, key;
	struct json_walk walk = json_walk_begin(object);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_true(json_find(object, rows[i].name, &value));
		assert_int_equal(value.len, strlen(rows[i].value));
		assert_memory_equal(value.text, rows[i].value, value.len);
		assert_true(json_walk_member(&walk, &key, &value));
		assert_true(json_part_equals(key, rows[i].name));
		assert_memory_equal(value.text, rows[i].value, value.len);
	}
	assert_false(json_walk_member(&walk, &key, &value));
	assert_false(json_find(object, "b", &value));
	assert_false(json_find(object, "", &value));
	assert_false(json_find(object, "b/x", &value));
	assert_true(json_find(object, "a", &value));
	walk = json_walk_begin(value);
	assert_true(json_walk_element(&walk, &value));
	assert_true(json_walk_element(&walk, &value));
	assert_true(json_part_equals(value, "]"));
	assert_false(json_walk_element(&walk, &value));
	assert_false(json_walk_element(&walk, &value));
	struct json_part empty = part("{}");
	walk = json_walk_begin(empty);
	assert_false(json_walk_member(&walk, &key, &value));
}

static void duplicates_are_seen_through_escapes(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool has;
	} rows[] = {
		{"{}", false},
		{"{\"a\":1,\"b\":1,\"ab\":1,\"\":1}", false},
		{"{\"a\":1,\"b\":1,\"a\":1}", true},
		{"{\"\":1,\"\":1}", true},
		{"{\"a\":1,\"\\u0061\":1}", true},
		{"{\"\\u00e9\":1,\"\xc3\xa9\":1}", true},
		{"{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":1}", true},
		{"{\"/\":1,\"\\/\":1}", true},
		{"{\"\\n\":1,\"\\u000a\":1}", true},
		{"{\"n\":1,\"\\n\":1}", false},
		{"{\"a\":{\"a\":1},\"b\":{\"a\":1}}", false},
		{"{\"a\":\"b\",\"b\":\"a\"}", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (json_has_duplicates(part(rows[i].text)) != rows[i].has)
			fail_msg("%s", rows[i].text);
	}
	char many[1024] = "{";
	for (unsigned i = 0; i < JSON_READ_MEMBERS_MAX; i++)
		sprintf(many + strlen(many), "%s\"%u\":1", i ? "," : "", i);
	strcat(many, "}");
	assert_false(json_has_duplicates(part(many)));
	strcpy(many + strlen(many) - 1, ",\"x\":1}");
	assert_true(json_has_duplicates(part(many)));
}

static void numbers_are_rounded_and_bounded(void **state)
{
	(void)state;
	enum { MAX = 1000000 };
	static const struct {
		const char *text;
		bool is_good;
		uint64_t down, up;
	} rows[] = {
		{"0", true, 0, 0},
		{"0.0", true, 0, 0},
		{"7", true, 7, 7},
		{"7.0000", true, 7, 7},
		{"7.0001", true, 7, 8},
		{"0.9", true, 0, 1},
		{"1e3", true, 1000, 1000},
		{"1.5e1", true, 15, 15},
		{"1.55e1", true, 15, 16},
		{"1234e-2", true, 12, 13},
		{"1200e-2", true, 12, 12},
		{"5e-1", true, 0, 1},
		{"1e-400", true, 0, 1},
		{"0e400", true, 0, 0},
		{"0e99999999999999999999", true, 0, 0},
		{"0.000001e6", true, 1, 1},
		{"0.0000012e6", true, 1, 2},
		{"1000000", true, MAX, MAX},
		{"1000000.0", true, MAX, MAX},
		{"1000001", false, 0, 0},
		{"1e6", true, MAX, MAX},
		{"1e7", false, 0, 0},
		{"1e400", false, 0, 0},
		{"99999999999999999999999999", false, 0, 0},
		{"-1", false, 0, 0},
		{"-0", false, 0, 0},
		{"\"1\"", false, 0, 0},
		{"null", false, 0, 0},
		{"[1]", false, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct json_part p = {rows[i].text, strlen(rows[i].text)};
		uint64_t down = 77, up = 77;

		if (json_part_u64(p, false, MAX, &down) != rows[i].is_good ||
			json_part_u64(p, true, MAX, &up) != rows[i].is_good)
			fail_msg("%s", rows[i].text);
		assert_int_equal(down, rows[i].is_good ? rows[i].down : 77);
		assert_int_equal(up, rows[i].is_good ? rows[i].up : 77);
	}
	uint64_t value;
	assert_false(json_part_u64((struct json_part){"1000000.5", 9}, true, MAX, &value));
	assert_true(json_part_u64((struct json_part){"1000000.5", 9}, false, MAX, &value));
}

/* Found by fuzzing: the exponent was looked for in an array, and what followed its 'e' was taken for digits. */
static void an_array_has_no_exponent(void **state)
{
	(void)state;
	static const char array[] = "[\"a\",\"e+*\",\"zzzzzzzzzzzzzzzz\"]";
	uint64_t value = 77;

	assert_false(
		json_part_u64((struct json_part){array, sizeof(array) - 1}, true, 1000000, &value));
	assert_int_equal(value, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_told_from_what_is_none),
		cmocka_unit_test(members_are_found),
		cmocka_unit_test(duplicates_are_seen_through_escapes),
		cmocka_unit_test(numbers_are_rounded_and_bounded),
		cmocka_unit_test(an_array_has_no_exponent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
