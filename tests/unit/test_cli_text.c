#include "cli/text.h"

#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <string.h>

typedef void appends(struct buffer *, const char *, size_t);

static void assert_appends(appends *append, const char *text, size_t len, const char *expected)
{
	struct buffer b = {.data = NULL};

	append(&b, text, len);
	assert_false(b.failed);
	assert_int_equal(b.len, strlen(expected));
	assert_memory_equal(b.data ? b.data : "", expected, b.len);
	buffer_free(&b);
}

#define ASSERT_SAFE(literal, expected)                                                             \
	assert_appends(text_append_safe, literal, sizeof(literal) - 1, expected)
#define ASSERT_NAME(literal, expected)                                                             \
	assert_appends(text_append_name, literal, sizeof(literal) - 1, expected)

static void what_moves_a_terminal_is_escaped(void **state)
{
	(void)state;
	ASSERT_SAFE("", "");
	ASSERT_SAFE("bob", "bob");
	ASSERT_SAFE("J\303\274rgen \360\237\230\200", "J\303\274rgen \360\237\230\200");
	ASSERT_SAFE("\033[31m", "\\x1b[31m");
	ASSERT_SAFE("a\r\n\t\0z\x7f", "a\\x0d\\x0a\\x09\\x00z\\x7f");
	ASSERT_SAFE("\302\233"
		    "31m",
		"\\u{009b}31m"); /* CSI in one character */
	ASSERT_SAFE("\342\200\256"
		    "bob",
		"\\u{202e}bob"); /* right to left from here */
	ASSERT_SAFE("\342\200\250", "\\u{2028}");
	ASSERT_SAFE("\342\200\213", "\\u{200b}"); /* not to be seen at all */
	ASSERT_SAFE("\\", "\\\\");
}

static void what_is_no_utf8_is_escaped_byte_by_byte(void **state)
{
	(void)state;
	ASSERT_SAFE("\377", "\\xff");
	ASSERT_SAFE("a\303", "a\\xc3");
	ASSERT_SAFE("\300\200", "\\xc0\\x80"); /* NUL, too long */
	ASSERT_SAFE("\340\200\200", "\\xe0\\x80\\x80");
	ASSERT_SAFE("\355\240\200", "\\xed\\xa0\\x80"); /* a surrogate */
	ASSERT_SAFE("\364\220\200\200", "\\xf4\\x90\\x80\\x80"); /* beyond U+10FFFF */
	ASSERT_SAFE("\303(", "\\xc3(");
}

static void names_that_look_like_words_are_quoted(void **state)
{
	(void)state;
	ASSERT_NAME("bob", "bob");
	ASSERT_NAME("bob@example.org", "bob@example.org");
	ASSERT_NAME("", "\"\"");
	ASSERT_NAME("bob is offline", "\"bob is offline\"");
	ASSERT_NAME("say \"hi\"", "\"say \\\"hi\\\"\"");
	ASSERT_NAME("\033", "\"\\x1b\"");
	ASSERT_NAME("a\\b", "\"a\\\\b\"");
	ASSERT_NAME("a\302\240b", "\"a\302\240b\""); /* a space that does not break */
}

static void paths_have_only_unreserved_characters(void **state)
{
	(void)state;
	static const char all[] = "AZaz09-._~";
	struct buffer b = {.data = NULL};

	assert_appends(text_append_percent, all, strlen(all), all);
	assert_appends(text_append_percent, "a/b?c#d%e f+g\303\274", 15,
		"a%2Fb%3Fc%23d%25e%20f%2Bg%C3%BC");
	assert_appends(text_append_percent, "\0", 1, "%00");
	for (int c = 0; c < 256; c++) {
		char byte = (char)c;
		buffer_clear(&b);
		text_append_percent(&b, &byte, 1);
		assert_true(b.len == 3 || (b.len == 1 && b.data[0] == byte));
	}
	buffer_free(&b);
}

static void ids_are_the_protocols(void **state)
{
	(void)state;
	char long_id[129];

	memset(long_id, 'x', sizeof(long_id));
	assert_true(text_is_id("b", 1, 128));
	assert_true(text_is_id(long_id, 128, 128));
	assert_true(text_is_id("\302\205", 2, 128)); /* C1 is allowed there */
	assert_false(text_is_id(long_id, 129, 128));
	assert_false(text_is_id("", 0, 128));
	assert_false(text_is_id("a\nb", 3, 128));
	assert_false(text_is_id("a\x7f", 2, 128));
	assert_false(text_is_id("a\377", 2, 128));
	assert_false(text_is_id("\303", 1, 128));
	assert_true(text_is_words("", 0, 128));
}

static void refused_memory_is_told(void **state)
{
	(void)state;
	struct buffer b = {.data = NULL};

	for (long n = 1;; n++) {
		buffer_free(&b);
		b = (struct buffer){.data = NULL};
		alloc_fail_begin(n);
		for (int i = 0; i < 40; i++)
			text_append_name(&b, "\033 a long name", 13);
		if (!alloc_fail_end())
			break;
		assert_true(b.failed);
	}
	assert_false(b.failed);
	buffer_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_moves_a_terminal_is_escaped),
		cmocka_unit_test(what_is_no_utf8_is_escaped_byte_by_byte),
		cmocka_unit_test(names_that_look_like_words_are_quoted),
		cmocka_unit_test(paths_have_only_unreserved_characters),
		cmocka_unit_test(ids_are_the_protocols),
		cmocka_unit_test(refused_memory_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
