/* A session's secret: made of its name and a key, and opened by nothing else. */

#include "presence/secret.h"

#include "support/cmocka_all.h"

#include <string.h>

static const unsigned char key[SECRET_KEY_LEN] = "0123456789abcdef0123456789abcde";
static const unsigned char other_key[SECRET_KEY_LEN] = "0123456789abcdef0123456789abcdf";

static void it_opens_with_its_key_and_says_its_name(void **state)
{
	(void)state;
	static const uint64_t names[] = {0, 1, 0x2f0cdead00000000, UINT64_MAX};
	for (unsigned i = 0; i < 4; i++) {
		char text[SECRET_TEXT_MAX], again[SECRET_TEXT_MAX], other[SECRET_TEXT_MAX];
		uint64_t name = 77;
		assert_int_equal(secret_make(key, names[i], text), 0);
		assert_int_equal(strlen(text), SECRET_LEN);
		assert_int_equal(strspn(text, "0123456789abcdef"), SECRET_LEN);
		assert_true(secret_open(key, text, SECRET_LEN, &name));
		assert_true(name == names[i]);
		secret_make(key, names[i], again);
		assert_string_equal(text, again); /* nothing is kept of it */
		assert_int_equal(secret_make(other_key, names[i], other), 0);
		assert_memory_equal(text, other, SECRET_NAME_DIGITS);
		assert_string_not_equal(text, other);
		assert_false(secret_open(other_key, text, SECRET_LEN, &name));
		secret_make(key, names[i] + 1, other);
		assert_string_not_equal(text + SECRET_NAME_DIGITS, other + SECRET_NAME_DIGITS);
	}
}

static void a_changed_one_opens_nothing(void **state)
{
	(void)state;
	char text[SECRET_TEXT_MAX];
	uint64_t name = 77;
	assert_int_equal(secret_make(key, 0x2f0cdeadbeef, text), 0);
	for (size_t i = 0; i < SECRET_LEN; i++) {
		static const char others[] = {'0', 'f', 'g', 'A', 0, '\xff'};
		char was = text[i];
		for (unsigned k = 0; k < sizeof(others); k++) {
			text[i] = others[k];
			assert_true(others[k] == was || !secret_open(key, text, SECRET_LEN, &name));
		}
		text[i] = was;
	}
	for (size_t len = 0; len < SECRET_LEN; len++)
		assert_false(secret_open(key, text, len, &name));
	assert_false(secret_open(key, text, SECRET_LEN + 1, &name));
	assert_int_equal(name, 77);
	assert_true(secret_open(key, text, SECRET_LEN, &name));
}

static void names_are_sixteen_digits(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool is_one;
		uint64_t name;
	} rows[] = {{"0000000000000000", true, 0}, {"ffffffffffffffff", true, UINT64_MAX},
		{"0123456789abcdef", true, 0x0123456789abcdef}, {"", false, 0},
		{"0123456789abcde", false, 0}, {"0123456789abcdef0", false, 0},
		{"0123456789ABCDEF", false, 0}, {"0123456789abcdeg", false, 0},
		{"0x23456789abcdef", false, 0}, {" 123456789abcdef", false, 0}};
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t name = 0;
		assert_int_equal(secret_parse_name(rows[i].text, strlen(rows[i].text), &name),
			rows[i].is_one);
		assert_true(name == rows[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_opens_with_its_key_and_says_its_name),
		cmocka_unit_test(a_changed_one_opens_nothing),
		cmocka_unit_test(names_are_sixteen_digits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
