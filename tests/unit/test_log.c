#include "base/log.h"

#include "base/clock.h"

#include "support/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int out[2]; /* the pipe that the log is written to */

static int redirect(void **state)
{
	(void)state;
	if (pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	log_redirect(out[1]);
	log_configure(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
	return 0;
}

static int restore(void **state)
{
	(void)state;
	log_redirect(2);
	close(out[0]);
	close(out[1]);
	return 0;
}

/* All that was written, terminated; "" if nothing was. */
static const char *written(void)
{
	static char text[65536 + 1];
	ssize_t len = read(out[0], text, sizeof(text) - 1);

	text[len > 0 ? len : 0] = '\0';
	return text;
}

static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

#define FIELDS(...)         ((const struct log_field[]){__VA_ARGS__, {.key = NULL}})
#define WRITE(message, ...) log_write(LOG_LEVEL_INFO, NULL, (message), FIELDS(__VA_ARGS__))

static void line_begins_with_time_level_and_message(void **state)
{
	(void)state;
	uint64_t before = clock_instant().wall_ms;
	unsigned year, month, day, hour, minute, second, ms;
	int rest = 0;

	log_warning("a thing happened");
	const char *line = written();
	assert_int_equal(sscanf(line, "ts=%4u-%2u-%2uT%2u:%2u:%2u.%3uZ level=warning %n", &year,
				 &month, &day, &hour, &minute, &second, &ms, &rest),
		7);
	assert_string_equal(line + rest, "msg=\"a thing happened\"\n");

	struct tm tm = {.tm_year = (int)year - 1900,
		.tm_mon = (int)month - 1,
		.tm_mday = (int)day,
		.tm_hour = (int)hour,
		.tm_min = (int)minute,
		.tm_sec = (int)second};
	uint64_t said = (uint64_t)timegm(&tm) * 1000 + ms;
	assert_in_range(said, before, clock_instant().wall_ms);
}

static void values_are_quoted_and_escaped_where_needed(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t len;
		const char *logfmt;
		const char *json; /* after JSON's own unescaping */
	} cases[] = {
		{"alice", 5, "alice", "alice"},
		{"", 0, "\"\"", ""},
		{"a b", 3, "\"a b\"", "a b"},
		{"a=b", 3, "\"a=b\"", "a=b"},
		{"a\"b", 3, "\"a\\\"b\"", "a\"b"},
		{"a\\b", 3, "\"a\\\\b\"", "a\\b"},
		{"a\nlevel=error", 13, "\"a\\nlevel=error\"", "a\nlevel=error"},
		{"\x1b[31m", 5, "\"\\u001b[31m\"", "\x1b[31m"},
		{"\x7f", 1, "\"\\u007f\"", "\x7f"},
		{"a\0b", 3, "\"a\\u0000b\"", NULL},
		{"\xc3\xa9t\xc3\xa9", 5, "\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9"},
		{"\xf0\x9f\x98\x80", 4, "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
		{"\xc2\x9b", 2, "\"\\u009b\"", "\xc2\x9b"},
		{"\xff", 1, "\"\\xff\"", "\\xff"},
		{"a\xc3", 2, "\"a\\xc3\"", "a\\xc3"},
		{"\xc0\xaf", 2, "\"\\xc0\\xaf\"", "\\xc0\\xaf"},
		{"\xe0\x80\xaf", 3, "\"\\xe0\\x80\\xaf\"", "\\xe0\\x80\\xaf"},
		{"\xed\xa0\x80", 3, "\"\\xed\\xa0\\x80\"", "\\xed\\xa0\\x80"},
		{"\xf4\x90\x80\x80", 4, "\"\\xf4\\x90\\x80\\x80\"", "\\xf4\\x90\\x80\\x80"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char expected[256];
		log_configure(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
		WRITE("m", LOG_STR("user", cases[i].text, cases[i].len));
		snprintf(
			expected, sizeof(expected), " level=info msg=m user=%s\n", cases[i].logfmt);
		assert_string_equal(strchr(written(), ' '), expected);

		log_configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
		WRITE("m", LOG_STR("user", cases[i].text, cases[i].len));
		json_t *read = json_loads(written(), JSON_ALLOW_NUL, NULL);
		assert_non_null(read);
		if (cases[i].json)
			assert_string_equal(
				json_string_value(json_object_get(read, "user")), cases[i].json);
		json_decref(read);
	}
}

static void every_type_is_written(void **state)
{
	(void)state;
	static const char expected[] =
		" level=info msg=m t=word nil=\"\" u=18446744073709551615 i=-5 yes=true no=false"
		" error=\"Connection refused (ECONNREFUSED)\" error=\"Connection refused (ECONNREFUSED)\""
		" error=\"error 99999\"\n";

	WRITE("m", LOG_TEXT("t", "word"), LOG_TEXT("nil", NULL), LOG_U64("u", UINT64_MAX),
		LOG_I64("i", -5), LOG_BOOL("yes", true), LOG_BOOL("no", false),
		LOG_ERRNO(ECONNREFUSED), LOG_ERRNO(-ECONNREFUSED), LOG_ERRNO(99999));
	assert_string_equal(strchr(written(), ' '), expected);
}

static void json_is_one_object_a_line(void **state)
{
	(void)state;
	log_configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	log_error("m \"q\"", LOG_U64("n", 7), LOG_BOOL("b", true), LOG_I64("i", -1));
	const char *line = written();

	assert_int_equal(count_lines(line), 1);
	json_t *read = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(read);
	assert_string_equal(json_string_value(json_object_get(read, "level")), "error");
	assert_string_equal(json_string_value(json_object_get(read, "msg")), "m \"q\"");
	assert_int_equal(json_integer_value(json_object_get(read, "n")), 7);
	assert_int_equal(json_integer_value(json_object_get(read, "i")), -1);
	assert_true(json_is_true(json_object_get(read, "b")));
	assert_int_equal(strlen(json_string_value(json_object_get(read, "ts"))), 24);
	json_decref(read);
}

static void levels_below_the_configured_are_silent(void **state)
{
	(void)state;
	static const char *const words[] = {"debug", "info", "warning", "error"};

	for (enum log_level level = 0; level < LOG_LEVEL_N; level++) {
		log_configure(level, LOG_FORMAT_LOGFMT);
		log_debug("m");
		log_info("m");
		log_warning("m");
		log_error("m");
		const char *text = written();
		assert_int_equal(count_lines(text), LOG_LEVEL_N - level);
		for (enum log_level l = 0; l < LOG_LEVEL_N; l++)
			assert_int_equal(strstr(text, words[l]) != NULL, l >= level);
	}
}

/* A long value of each kind of character, at every length about the limit: one line, whole, cut. */
static void long_values_are_cut(void **state)
{
	(void)state;
	static const char *const units[] = {
		"x", "\"", "\x01", "\xff", "\xc3\xa9", "\xf0\x9f\x98\x80"};
	static char text[8192];

	for (size_t unit = 0; unit < sizeof(units) / sizeof(units[0]); unit++) {
		size_t unit_len = strlen(units[unit]), len = 0;
		while (len + unit_len <= sizeof(text)) {
			memcpy(text + len, units[unit], unit_len);
			len += unit_len;
		}
		for (size_t n = unit_len; n <= len; n = n < 600 ? n + unit_len : n * 2) {
			log_configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
			WRITE("m", LOG_STR("a", text, n), LOG_STR("b", text, n),
				LOG_STR("c", text, n), LOG_STR("d", text, n), LOG_STR("e", text, n),
				LOG_U64("last", 1));
			const char *line = written();
			assert_true(strlen(line) <= LOG_LINE_MAX);
			assert_int_equal(count_lines(line), 1);
			json_t *read = json_loads(line, 0, NULL);
			assert_non_null(read);
			const char *a = json_string_value(json_object_get(read, "a"));
			bool cut = strlen(a) > 3 && strcmp(a + strlen(a) - 3, "...") == 0;
			if (n > 512)
				assert_true(cut);
			if (n < 512 / 6)
				assert_false(cut);
			json_decref(read);

			log_configure(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
			WRITE("m", LOG_STR("a", text, n));
			line = written();
			assert_int_equal(count_lines(line), 1);
			if (n > 512)
				assert_string_equal(line + strlen(line) - 5, "...\"\n");
		}
	}
}

/* However many fields: one line, and nothing written past the room (ASan). */
static void too_many_fields_are_left_out(void **state)
{
	(void)state;
	struct log_field fields[301];
	char keys[300][24];

	for (unsigned n = 0; n <= 300; n++) {
		for (unsigned i = 0; i < n; i++) {
			snprintf(keys[i], sizeof(keys[i]), "key_%u", i * 12345678);
			fields[i] =
				i % 2 ? LOG_U64(keys[i], INT64_MAX) : LOG_TEXT(keys[i], "va lue");
		}
		fields[n] = (struct log_field){.key = NULL};
		struct log_site site = {.dropped = INT64_MAX};
		log_configure(LOG_LEVEL_INFO, n % 2 ? LOG_FORMAT_JSON : LOG_FORMAT_LOGFMT);
		log_write(LOG_LEVEL_INFO, &site, "m", fields);
		const char *line = written();
		assert_int_equal(count_lines(line), 1);
		assert_true(strlen(line) <= LOG_LINE_MAX);
		/* what was dropped is said even then */
		assert_non_null(strstr(line, "9223372036854775807"));
		assert_non_null(strstr(line, "dropped"));
		if (n % 2) {
			json_t *read = json_loads(line, 0, NULL);
			assert_non_null(read);
			json_decref(read);
		}
	}
}

static void a_site_has_a_burst_and_a_rate(void **state)
{
	(void)state;
	struct log_site site = {0};
	uint64_t dropped_before = log_dropped();

	uint64_t began = clock_mono_ns();
	for (int i = 0; i < 100; i++)
		log_write(LOG_LEVEL_INFO, &site, "m", FIELDS(LOG_U64("i", 1)));
	uint64_t refilled = (clock_mono_ns() - began) / 100000000 + 1;

	unsigned n = count_lines(written());
	assert_in_range(n, 20, 20 + refilled);
	assert_int_equal(log_dropped() - dropped_before, 100 - n);
}

static void dropped_lines_are_told_by_the_next(void **state)
{
	(void)state;
	/* a bucket that is empty for the next hour, and then one that is full */
	struct log_site site = {.allowance = clock_mono_ns() + UINT64_C(3600) * 1000000000};
	uint64_t dropped_before = log_dropped();

	for (int i = 0; i < 3; i++)
		log_write(LOG_LEVEL_INFO, &site, "m", FIELDS(LOG_U64("i", 1)));
	assert_string_equal(written(), "");
	assert_int_equal(log_dropped() - dropped_before, 3);

	atomic_store(&site.allowance, 0);
	log_write(LOG_LEVEL_INFO, &site, "m", FIELDS(LOG_U64("i", 1)));
	assert_non_null(strstr(written(), " i=1 dropped=3\n"));
	log_write(LOG_LEVEL_INFO, &site, "m", FIELDS(LOG_U64("i", 1)));
	assert_null(strstr(written(), "dropped"));
}

/* After a long quiet there is a burst of 20, no more, which takes 2 s to be paid back. */
static void a_line_costs_100_ms(void **state)
{
	(void)state;
	const uint64_t line_ns = 100000000;
	uint64_t before = clock_mono_ns();
	struct log_site site = {.allowance = 1};

	for (int i = 0; i < 20; i++)
		log_write(LOG_LEVEL_INFO, &site, "m", FIELDS(LOG_U64("i", 1)));
	assert_int_equal(count_lines(written()), 20);
	assert_in_range(atomic_load(&site.allowance), before + 20 * line_ns,
		clock_mono_ns() + 20 * line_ns);
}

static void sites_do_not_share(void **state)
{
	(void)state;
	struct log_site a = {.allowance = UINT64_MAX / 2}, b = {0};

	log_write(LOG_LEVEL_INFO, &a, "from-a", FIELDS(LOG_U64("i", 1)));
	log_write(LOG_LEVEL_INFO, &b, "from-b", FIELDS(LOG_U64("i", 1)));
	const char *text = written();
	assert_null(strstr(text, "from-a"));
	assert_non_null(strstr(text, "from-b"));
}

enum { THREADS = 4, LINES = 500 };

static void *write_lines(void *name)
{
	for (int i = 0; i < LINES; i++) {
		char filler[300];
		memset(filler, *(const char *)name, sizeof(filler));
		WRITE("m", LOG_STR("who", filler, sizeof(filler)));
	}
	return NULL;
}

/* A line of one thread is never cut by another's. */
static void lines_of_threads_stay_whole(void **state)
{
	(void)state;
	static char names[THREADS] = {'a', 'b', 'c', 'd'};
	pthread_t threads[THREADS];
	unsigned n_lines = 0;
	FILE *in = fdopen(dup(out[0]), "r");

	assert_non_null(in);
	/* both ends block here: nothing may be lost */
	assert_int_equal(fcntl(out[0], F_SETFL, 0), 0);
	assert_int_equal(fcntl(out[1], F_SETFL, 0), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &names[i]), 0);
	char line[LOG_LINE_MAX];
	for (; n_lines < THREADS * LINES; n_lines++) {
		assert_non_null(fgets(line, sizeof(line), in));
		const char *who = strstr(line, "who=");
		assert_non_null(who);
		who += 4;
		assert_int_equal(strlen(who), 301);
		for (int i = 1; i < 300; i++)
			assert_int_equal(who[i], who[0]);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	fclose(in);
}

static void errno_is_left_alone(void **state)
{
	(void)state;
	log_redirect(-1); /* the write fails, and nothing else does */
	errno = EAGAIN;
	WRITE("m", LOG_U64("n", 1));
	assert_int_equal(errno, EAGAIN);
}

int main(void)
{
#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, redirect, restore)
	const struct CMUnitTest tests[] = {
		LOG_TEST(line_begins_with_time_level_and_message),
		LOG_TEST(values_are_quoted_and_escaped_where_needed),
		LOG_TEST(every_type_is_written),
		LOG_TEST(json_is_one_object_a_line),
		LOG_TEST(levels_below_the_configured_are_silent),
		LOG_TEST(long_values_are_cut),
		LOG_TEST(too_many_fields_are_left_out),
		LOG_TEST(a_site_has_a_burst_and_a_rate),
		LOG_TEST(dropped_lines_are_told_by_the_next),
		LOG_TEST(a_line_costs_100_ms),
		LOG_TEST(sites_do_not_share),
		LOG_TEST(lines_of_threads_stay_whole),
		LOG_TEST(errno_is_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
