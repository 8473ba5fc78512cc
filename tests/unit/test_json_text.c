#include "base/json_text.h"

#include "base/hash.h"

#include "support/cmocka_all.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* Writes 'text' between guards, reads it back with jansson, and wants the same. */
static void check_string(const char *text, size_t len)
{
	size_t max = JSON_STRING_MAX(len);
	char *made = malloc(max + 1); /* exactly: what is too much, ASan sees */
	assert_non_null(made);
	made[max] = '\x5a';

	char *end = json_put_string(made, text, len);
	assert_true(end >= made + 2 && (size_t)(end - made) <= max);
	assert_int_equal(made[max], '\x5a');
	for (char *c = made; c < end; c++)
		assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);

	json_error_t error;
	json_t *read =
		json_loadb(made, (size_t)(end - made), JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	assert_non_null(read);
	assert_int_equal(json_string_length(read), len);
	assert_memory_equal(json_string_value(read), text, len);
	json_decref(read);
	free(made);
}

static void every_ascii_character_at_every_place(void **state)
{
	(void)state;
	char text[32];

	check_string("", 0);
	for (size_t len = 1; len <= 20; len++) {
		for (size_t at = 0; at < len; at++) {
			for (int c = 0; c < 0x80; c++) {
				memset(text, 'x', sizeof(text));
				text[at] = (char)c;
				check_string(text, len);
			}
		}
	}
}

static void every_character_is_the_worst_case(void **state)
{
	(void)state;
	char text[64];

	memset(text, 1, sizeof(text));
	for (size_t len = 0; len <= sizeof(text); len++)
		check_string(text, len);
	char made[JSON_STRING_MAX(3)];
	assert_int_equal(json_put_string(made, text, 3) - made, JSON_STRING_MAX(3));
}

/* Appends U+'c' as UTF-8. */
static size_t utf8_put(char *to, unsigned c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 63));
		to[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 63));
	to[2] = (char)(0x80 | (c >> 6 & 63));
	to[3] = (char)(0x80 | (c & 63));
	return 4;
}

static void any_text_is_read_back(void **state)
{
	(void)state;
	static const unsigned limits[] = {0x80, 0x80, 0x800, 0xd800, 0x110000};
	uint64_t counter = 1; /* the same texts each time */

	for (int round = 0; round < 3000; round++) {
		char text[4 * 48];
		size_t len = 0;
		unsigned n = hash_mix(counter++) % 48;
		for (unsigned i = 0; i < n; i++) {
			unsigned limit = limits[hash_mix(counter++) % 5];
			unsigned c = (unsigned)(hash_mix(counter++) % limit);
			if (c >= 0xd800 && c < 0xe000)
				c = '"';
			len += utf8_put(text + len, c);
		}
		check_string(text, len);
	}
}

static void short_escapes_are_used(void **state)
{
	(void)state;
	static const char text[] = "\"\\\n\r\t\x1f\x7f/";
	static const char expected[] = "\"\\\"\\\\\\n\\r\\t\\u001f\\u007f/\"";
	char made[JSON_STRING_MAX(sizeof(text))];

	char *end = json_put_string(made, text, sizeof(text) - 1);
	assert_int_equal(end - made, sizeof(expected) - 1);
	assert_memory_equal(made, expected, sizeof(expected) - 1);
}

static void check_number(uint64_t value)
{
	char made[JSON_U64_MAX + 1], expected[32];

	int len = snprintf(expected, sizeof(expected), "%" PRIu64, value);
	assert_int_equal(json_put_u64(made, value) - made, len);
	assert_memory_equal(made, expected, (size_t)len);

	len = snprintf(expected, sizeof(expected), "%" PRId64, (int64_t)value);
	assert_int_equal(json_put_i64(made, (int64_t)value) - made, len);
	assert_memory_equal(made, expected, (size_t)len);
}

static void numbers_are_printfs(void **state)
{
	(void)state;
	uint64_t power = 1;

	for (int digits = 0; digits < 20; digits++) {
		check_number(power - 1);
		check_number(power);
		check_number(power + 1);
		check_number(0 - power);
		power *= 10;
	}
	check_number(UINT64_MAX);
	check_number((uint64_t)INT64_MAX);
	check_number((uint64_t)INT64_MIN);
	for (uint64_t i = 0; i < 10000; i++) {
		check_number(i);
		check_number(hash_mix(i) >> (i % 64));
	}
}

static void literal_is_copied_without_its_end(void **state)
{
	(void)state;
	char made[8] = "........";

	assert_ptr_equal(json_put_literal(made, "{\"a\""), made + 4);
	assert_memory_equal(made, "{\"a\"....", 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_ascii_character_at_every_place),
		cmocka_unit_test(every_character_is_the_worst_case),
		cmocka_unit_test(any_text_is_read_back),
		cmocka_unit_test(short_escapes_are_used),
		cmocka_unit_test(numbers_are_printfs),
		cmocka_unit_test(literal_is_copied_without_its_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
