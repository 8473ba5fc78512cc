#include "app/settings_value.h"

#include "base/compiler.h"
#include "base/log.h"
#include "support/failing_alloc.h"
#include "support/telling.h"

#include <string.h>

static struct setting_spec spec_of(enum setting_type type, uint64_t low, uint64_t high)
{
	return (struct setting_spec){.type = type, .name = "X", .low = low, .high = high};
}

/* --- values, type by type --- */

struct number_case {
	const char *text;
	uint64_t value;
	const char *shown; /* NULL: refused */
};

static void check_numbers(enum setting_type type, const struct number_case *cases, size_t n)
{
	struct setting_spec spec = spec_of(type, 0, UINT64_MAX);

	for (size_t i = 0; i < n; i++) {
		uint64_t value = 42;
		const char *why;
		int err = setting_parse(&spec, cases[i].text, &value, &why);

		if (!cases[i].shown) {
			if (err != -EINVAL)
				fail_msg("\"%s\" was taken", cases[i].text);
			assert_int_equal(value, 42);
			assert_null(why);
			continue;
		}
		if (err != 0)
			fail_msg("\"%s\" was refused", cases[i].text);
		assert_true(value == cases[i].value);
		FILE *f = start_telling();
		setting_print(&spec, &value, f);
		stop_telling(f);
		assert_string_equal(told, cases[i].shown);
	}
}

static void durations(void **state)
{
	static const struct number_case cases[] = {
		{"500ms", 500, "500ms"},
		{"30s", 30000, "30s"},
		{"5m", 300000, "5m"},
		{"2h", 7200000, "2h"},
		{"0", 0, "0s"},
		{"0s", 0, "0s"},
		{"0ms", 0, "0s"},
		{"90s", 90000, "90s"},
		{"60s", 60000, "1m"},
		{"1500ms", 1500, "1500ms"},
		{"007s", 7000, "7s"},
		{"18446744073709551615ms", UINT64_MAX, "18446744073709551615ms"},
		{"18446744073709551616ms", 0, NULL},
		{"18446744073709551615s", 0, NULL},
		{"99999999999999999999999h", 0, NULL},
		{"", 0, NULL},
		{"5", 0, NULL},
		{"s", 0, NULL},
		{"5 s", 0, NULL},
		{" 5s", 0, NULL},
		{"5s ", 0, NULL},
		{"-5s", 0, NULL},
		{"+5s", 0, NULL},
		{"1.5s", 0, NULL},
		{"1m30s", 0, NULL},
		{"5S", 0, NULL},
		{"5sec", 0, NULL},
		{"5d", 0, NULL},
		{"0x5s", 0, NULL},
		{"1e3ms", 0, NULL},
	};

	(void)state;
	check_numbers(SETTING_TYPE_DURATION, cases, ARRAY_LEN(cases));
}

static void sizes(void **state)
{
	static const struct number_case cases[] = {
		{"64KiB", 65536, "64KiB"},
		{"1MiB", 1048576, "1MiB"},
		{"2GiB", 2147483648, "2GiB"},
		{"1000", 1000, "1000"},
		{"1024", 1024, "1KiB"},
		{"0", 0, "0"},
		{"0MiB", 0, "0"},
		{"17179869184GiB", 0, NULL},
		{"64KB", 0, NULL},
		{"64K", 0, NULL},
		{"64kib", 0, NULL},
		{"64 KiB", 0, NULL},
		{"1.5MiB", 0, NULL},
		{"64B", 0, NULL},
		{"KiB", 0, NULL},
		{"", 0, NULL},
		{"-1", 0, NULL},
	};

	(void)state;
	check_numbers(SETTING_TYPE_SIZE, cases, ARRAY_LEN(cases));
}

static void counts(void **state)
{
	static const struct number_case cases[] = {
		{"0", 0, "0"},
		{"16", 16, "16"},
		{"18446744073709551615", UINT64_MAX, "18446744073709551615"},
		{"18446744073709551616", 0, NULL},
		{"", 0, NULL},
		{"1,000", 0, NULL},
		{"1k", 0, NULL},
		{"-1", 0, NULL},
		{"1 ", 0, NULL},
		{"many", 0, NULL},
	};

	(void)state;
	check_numbers(SETTING_TYPE_COUNT, cases, ARRAY_LEN(cases));
}

static void bounds_are_included_and_what_is_beyond_is_refused(void **state)
{
	struct setting_spec spec = spec_of(SETTING_TYPE_DURATION, 50, 300000);
	uint64_t value = 0;
	const char *why;

	(void)state;
	assert_int_equal(setting_parse(&spec, "50ms", &value, &why), 0);
	assert_int_equal(setting_parse(&spec, "5m", &value, &why), 0);
	assert_int_equal(setting_parse(&spec, "49ms", &value, &why), -EINVAL);
	assert_int_equal(setting_parse(&spec, "300001ms", &value, &why), -EINVAL);
	assert_int_equal(setting_parse(&spec, "0", &value, &why), -EINVAL);
	assert_int_equal(value, 300000);
}

static void booleans(void **state)
{
	static const char *const bad[] = {"", "yes", "no", "1", "0", "True", "TRUE", "true ", "t"};
	struct setting_spec spec = spec_of(SETTING_TYPE_BOOL, 0, 0);
	const char *why;
	bool value = false;

	(void)state;
	assert_int_equal(setting_parse(&spec, "true", &value, &why), 0);
	assert_true(value);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(setting_parse(&spec, bad[i], &value, &why), -EINVAL);
	assert_true(value);
	assert_int_equal(setting_parse(&spec, "false", &value, &why), 0);
	assert_false(value);
}

static void words(void **state)
{
	static const char *const bad[] = {"", "INFO", "warn", "info,debug", "infos"};
	struct setting_spec spec = spec_of(SETTING_TYPE_WORD, SETTING_WORDS_LOG_LEVEL, 0);
	unsigned value = 99;
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(setting_parse(&spec, bad[i], &value, &why), -EINVAL);
	assert_int_equal(value, 99);
	assert_int_equal(setting_parse(&spec, "warning", &value, &why), 0);
	assert_int_equal(value, LOG_LEVEL_WARNING);
	spec.low = SETTING_WORDS_LOG_FORMAT;
	assert_int_equal(setting_parse(&spec, "json", &value, &why), 0);
	assert_int_equal(value, LOG_FORMAT_JSON);
}

static void paths(void **state)
{
	struct setting_spec spec = spec_of(SETTING_TYPE_PATH, 1, 10);
	char *value = NULL;
	const char *why;

	(void)state;
	assert_int_equal(setting_parse(&spec, "", &value, &why), -EINVAL);
	assert_int_equal(setting_parse(&spec, "/elevenbyte", &value, &why), -EINVAL);
	assert_null(value);
	assert_int_equal(setting_parse(&spec, "/etc/x.pem", &value, &why), 0);
	assert_string_equal(value, "/etc/x.pem");
	setting_clear(SETTING_TYPE_PATH, &value);
	assert_null(value);
}

static void words_of_who_may_be_watched(void **state)
{
	static const char *const bad[] = {"", "All", "nobody", "none "};
	struct setting_spec spec = spec_of(SETTING_TYPE_WORD, SETTING_WORDS_WATCH, 0);
	unsigned value = 99;
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(setting_parse(&spec, bad[i], &value, &why), -EINVAL);
	assert_int_equal(value, 99);
	assert_int_equal(setting_parse(&spec, "none", &value, &why), 0);
	assert_int_equal(value, DEFAULT_WATCH_NONE);
	assert_int_equal(setting_parse(&spec, "all", &value, &why), 0);
	assert_int_equal(value, DEFAULT_WATCH_ALL);
}

/* Whatever it is, commas and blanks too: only its length counts. */
static void texts(void **state)
{
	struct setting_spec spec = spec_of(SETTING_TYPE_TEXT, 1, 10);
	char *value = NULL;
	const char *why;

	(void)state;
	assert_int_equal(setting_parse(&spec, "", &value, &why), -EINVAL);
	assert_int_equal(setting_parse(&spec, "elevenbytes", &value, &why), -EINVAL);
	assert_null(value);
	assert_int_equal(setting_parse(&spec, " a, b\xc3\xa9 ,", &value, &why), 0);
	assert_string_equal(value, " a, b\xc3\xa9 ,");
	FILE *f = start_telling();
	setting_print(&spec, &value, f);
	fputc('|', f);
	setting_describe(&spec, f);
	stop_telling(f);
	assert_string_equal(told, " a, b\xc3\xa9 ,|1 to 10 bytes");
	setting_clear(SETTING_TYPE_TEXT, &value);
	assert_null(value);
	f = start_telling();
	setting_print(&spec, &value, f);
	stop_telling(f);
	assert_string_equal(told, "");
}

static void a_refused_allocation_of_a_text_leaves_nothing(void **state)
{
	struct setting_spec spec = spec_of(SETTING_TYPE_TEXT, 1, 10);
	char *value = NULL;
	const char *why;

	(void)state;
	alloc_fail_begin(1);
	int err = setting_parse(&spec, "text", &value, &why);
	assert_true(alloc_fail_end());
	assert_int_equal(err, -ENOMEM);
	assert_null(value);
}

static void lists_of_words(void **state)
{
	static const struct {
		const char *text, *shown; /* NULL: refused */
		size_t n;
	} cases[] = {
		{"", "", 0},
		{"  ", "", 0},
		{"a", "a", 1},
		{"a,b", "a,b", 2},
		{" https://x.test ,\tb c ", "https://x.test,b c", 2},
		{"a,b,c", "a,b,c", 3},
		{"a,b,c,d", NULL, 0},
		{"a,", NULL, 0},
		{",a", NULL, 0},
		{"a,,b", NULL, 0},
		{",", NULL, 0},
	};
	struct setting_spec spec = spec_of(SETTING_TYPE_TEXTS, 0, 3);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct text_list list = {.n = 0};
		const char *why;
		int err = setting_parse(&spec, cases[i].text, &list, &why);

		assert_int_equal(err, cases[i].shown ? 0 : -EINVAL);
		if (err < 0)
			continue;
		assert_int_equal(list.n, cases[i].n);
		FILE *f = start_telling();
		setting_print(&spec, &list, f);
		stop_telling(f);
		assert_string_equal(told, cases[i].shown);
		setting_clear(SETTING_TYPE_TEXTS, &list);
		assert_int_equal(list.n, 0);
	}
}

/* --- memory --- */

static void a_refused_allocation_in_a_list_leaves_nothing(void **state)
{
	struct setting_spec spec = spec_of(SETTING_TYPE_TEXTS, 0, 3);

	(void)state;
	for (long n = 1;; n++) {
		struct text_list list = {.n = 0};
		const char *why;

		alloc_fail_begin(n);
		int err = setting_parse(&spec, "a,b,c", &list, &why);
		if (!alloc_fail_end()) {
			assert_int_equal(err, 0);
			setting_clear(SETTING_TYPE_TEXTS, &list);
			assert_int_equal(n, 5); /* the array and three texts were refused in turn */
			return;
		}
		assert_int_equal(err, -ENOMEM);
		assert_null(list.items);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),
		cmocka_unit_test(sizes),
		cmocka_unit_test(counts),
		cmocka_unit_test(bounds_are_included_and_what_is_beyond_is_refused),
		cmocka_unit_test(booleans),
		cmocka_unit_test(words),
		cmocka_unit_test(words_of_who_may_be_watched),
		cmocka_unit_test(texts),
		cmocka_unit_test(a_refused_allocation_of_a_text_leaves_nothing),
		cmocka_unit_test(paths),
		cmocka_unit_test(lists_of_words),
		cmocka_unit_test(a_refused_allocation_in_a_list_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
