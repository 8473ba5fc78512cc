#include "cli/when.h"

#include "support/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* 2026-11-22T09:31:04.123Z, a Sunday: 10:31 in Berlin, 15:01 in Kolkata. */
static const int64_t moment = 1795339864123;

enum { HOUR_MS = 3600 * 1000 };

static void assert_text(struct buffer *b, const char *expected)
{
	assert_false(b->failed);
	buffer_append(b, "", 1);
	assert_string_equal(b->data, expected);
	buffer_clear(b);
}

static void zone(const char *name)
{
	setenv("TZ", name, 1);
	tzset();
}

static void terminals_get_short_local_times(void **state)
{
	(void)state;
	struct style style = {.is_terminal = true, .now_ms = moment + HOUR_MS};
	struct buffer b = {.data = NULL};

	zone("CET-1");
	when_append(&b, &style, moment);
	assert_text(&b, "10:31:04");
	when_append_time(&b, &style, moment);
	assert_text(&b, "10:31:04.123");
	when_append(&b, &style, moment - 24 * HOUR_MS);
	assert_text(&b, "2026-11-21 10:31:04");
	when_append(&b, &style, moment + 24 * HOUR_MS);
	assert_text(&b, "2026-11-23 10:31:04");
	style.now_ms = moment + 365 * (int64_t)24 * HOUR_MS; /* the same day of another year */
	when_append(&b, &style, moment);
	assert_text(&b, "2026-11-22 10:31:04");
	buffer_free(&b);
}

static void programs_get_iso_8601(void **state)
{
	(void)state;
	struct style style = {.now_ms = moment};
	struct buffer b = {.data = NULL};

	zone("CET-1");
	when_append(&b, &style, moment);
	assert_text(&b, "2026-11-22T10:31:04.123+01:00");
	zone("IST-5:30");
	when_append(&b, &style, moment);
	assert_text(&b, "2026-11-22T15:01:04.123+05:30");
	zone("NST3:30");
	when_append(&b, &style, moment);
	assert_text(&b, "2026-11-22T06:01:04.123-03:30");
	style.is_utc = true;
	when_append(&b, &style, moment);
	assert_text(&b, "2026-11-22T09:31:04.123Z");
	style.is_terminal = true;
	when_append(&b, &style, moment);
	assert_text(&b, "2026-11-22T09:31:04.123Z");
	when_append(&b, &style, 0);
	assert_text(&b, "1970-01-01T00:00:00.000Z");
	when_append(&b, &style, -1);
	assert_text(&b, "1969-12-31T23:59:59.999Z");
	buffer_free(&b);
}

static void moments_that_no_calendar_has_are_numbers(void **state)
{
	(void)state;
	const struct style styles[] = {{.is_utc = true}, {.is_terminal = true}, {.now_ms = moment}};
	struct buffer b = {.data = NULL};

	zone("CET-1");
	for (size_t i = 0; i < ARRAY_LEN(styles); i++) {
		when_append(&b, &styles[i], INT64_MAX);
		assert_false(b.failed);
		assert_true(b.len > 10);
		buffer_clear(&b);
		when_append(&b, &styles[i], INT64_MIN);
		assert_true(b.len > 10);
		buffer_clear(&b);
	}
	buffer_free(&b);
}

static void how_long_ago(void **state)
{
	(void)state;
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = {{-5000, "just now"}, {0, "just now"}, {999, "just now"}, {1000, "1 s ago"},
		{59999, "59 s ago"}, {60000, "1 min ago"}, {3 * 60000, "3 min ago"},
		{HOUR_MS - 1, "59 min ago"}, {HOUR_MS, "1 h ago"}, {47 * HOUR_MS, "47 h ago"},
		{48 * HOUR_MS, "2 days ago"}, {400 * (int64_t)24 * HOUR_MS, "400 days ago"},
		{INT64_MIN, "just now"}, {INT64_MAX, "106751991167 days ago"}};
	struct buffer b = {.data = NULL};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		when_append_ago(&b, cases[i].ms);
		assert_text(&b, cases[i].text);
	}
	buffer_free(&b);
}

static void how_long(void **state)
{
	(void)state;
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = {{0, "0 ms"}, {340, "340 ms"}, {999, "999 ms"}, {1000, "1 s"}, {1001, "1.0 s"},
		{30093, "30.1 s"}, {30049, "30.0 s"}, {59949, "59.9 s"}, {59950, "1 min 0 s"},
		{60000, "1 min 0 s"}, {724000, "12 min 4 s"}, {HOUR_MS, "1 h 0 min"},
		{11520000, "3 h 12 min"}, {24 * HOUR_MS, "1 d 0 h"},
		{INT64_MAX, "106751991167 d 7 h"}};
	struct buffer b = {.data = NULL};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		when_append_length(&b, cases[i].ms);
		assert_text(&b, cases[i].text);
	}
	buffer_free(&b);
}

static void durations_are_those_of_the_settings(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint32_t ms;
	} good[] = {{"500ms", 500}, {"30s", 30000}, {"5m", 300000}, {"24h", 86400000}, {"0s", 0}};
	static const char *const bad[] = {"", "s", "5", "5 s", "-1s", "+1s", "1.5s", "1S", "1sec",
		"25h", "86401s", "9999999999ms", "999999999h", "1s ", " 1s", "0x1s"};
	uint32_t ms = 7;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_true(when_parse_duration(bad[i], &ms) < 0);
		assert_int_equal(ms, 7);
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(when_parse_duration(good[i].text, &ms), 0);
		assert_int_equal(ms, good[i].ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(terminals_get_short_local_times),
		cmocka_unit_test(programs_get_iso_8601),
		cmocka_unit_test(moments_that_no_calendar_has_are_numbers),
		cmocka_unit_test(how_long_ago),
		cmocka_unit_test(how_long),
		cmocka_unit_test(durations_are_those_of_the_settings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
