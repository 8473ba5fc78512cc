#include "wire/utf8.h"

#include "support/cmocka_all.h"

#include <string.h>

/* The characters that a decoder of single code points makes of all of them: the reference. */
static size_t encode(uint32_t c, char to[4])
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
	for (size_t i = n; --i > 0; c >>= 6)
		to[i] = (char)(0x80 | (c & 0x3f));
	to[0] = (char)(leads[n] | c);
	return n;
}

static bool is_valid(const char *text, size_t len)
{
	struct utf8 u = {0};

	return utf8_feed(&u, text, len) && utf8_is_whole(&u);
}

static void test_every_code_point(void **state)
{
	char text[4];

	(void)state;
	for (uint32_t c = 0; c < 0x120000; c++) {
		bool is_good = c < 0xd800 || (c >= 0xe000 && c <= 0x10ffff);
		size_t n = encode(c, text);

		if (is_valid(text, n) != is_good)
			fail_msg("U+%04x", (unsigned)c);
		for (size_t i = 1; is_good && i < n; i++) {
			struct utf8 u = {0};

			assert_true(utf8_feed(&u, text, i));
			assert_false(utf8_is_whole(&u));
			assert_true(utf8_feed(&u, text + i, n - i));
			assert_true(utf8_is_whole(&u));
		}
	}
}

/* The first byte that is impossible, and no later one, is where it is told. */
static const struct {
	const char *text;
	size_t n_good; /* bytes that could still become a text */
} bad[] = {
	{"\x80", 0},
	{"\xbf", 0},
	{"\xc0\x80", 0},
	{"\xc1\xbf", 0},
	{"\xc2 ", 1},
	{"\xe0\x9f\xbf", 1},
	{"\xe2\x82 ", 2},
	{"\xed\xa0\x80", 1},
	{"\xed\xbf\xbf", 1},
	{"\xf0\x8f\xbf\xbf", 1},
	{"\xf4\x90\x80\x80", 1},
	{"\xf5\x80\x80\x80", 0},
	{"\xff", 0},
	{"12345678\xff", 8},
	{"1234567\xc3\xa9\xa9", 9},
};

static void test_fails_at_the_first_impossible_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct utf8 u = {0};

		for (size_t at = 0; at <= bad[i].n_good; at++) {
			if (utf8_feed(&u, bad[i].text + at, 1) != (at < bad[i].n_good))
				fail_msg("row %zu, byte %zu", i, at);
		}
		assert_false(is_valid(bad[i].text, strlen(bad[i].text)));
	}
}

static void test_long_texts(void **state)
{
	char text[64];

	(void)state;
	for (size_t at = 0; at < sizeof(text); at++) {
		memset(text, 'a', sizeof(text));
		assert_true(is_valid(text, sizeof(text)));
		text[at] = '\xc3';
		assert_false(is_valid(text, sizeof(text)));
		if (at + 1 < sizeof(text)) {
			text[at + 1] = '\xa9';
			assert_true(is_valid(text, sizeof(text)));
		}
	}
	assert_true(is_valid("", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_code_point),
		cmocka_unit_test(test_fails_at_the_first_impossible_byte),
		cmocka_unit_test(test_long_texts),
	};

	return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
