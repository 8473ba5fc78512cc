#include "cli/show.h"

#include "support/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int64_t moment = 1795339864123; /* 2026-11-22T09:31:04.123Z */

static const struct style for_programs = {.is_utc = true, .now_ms = 1795339864123 + 180000};
static const struct style for_people = {
	.is_terminal = true, .has_colour = true, .now_ms = 1795339864123 + 180000};

static const char bob[] =
	"{\"user\":\"bob\",\"state\":\"offline\",\"reason\":\"timeout\",\"seq\":42,"
	"\"at_ms\":1795339864123,\"last_seen_ms\":1795339834123,\"status\":null}";
static const char carol[] =
	"{\"user\":\"carol\",\"state\":\"busy\",\"reason\":\"update\",\"seq\":7,"
	"\"at_ms\":1795339864123,\"last_seen_ms\":1795339864200,"
	"\"status\":\"in a \\\"call\\\"\",\"reconnecting\":true}";
static const char dan[] =
	"{\"user\":\"d an\",\"state\":\"offline\",\"reason\":\"unknown\",\"seq\":0,"
	"\"at_ms\":null,\"last_seen_ms\":null,\"status\":null}";
static const char evil[] = "{\"user\":\"\\u001b[2J\",\"state\":\"\\u009b\",\"reason\":\"\\n\","
			   "\"status\":\"\\u202e\",\"at_ms\":1,\"last_seen_ms\":\"x\",\"seq\":-5}";

typedef void appends(struct buffer *, const struct style *, const struct shown *);

static void assert_shows(
	appends *append, const struct style *style, const char *json, const char *expected)
{
	struct buffer b = {.data = NULL};
	json_t *object = json_loads(json, 0, NULL);
	struct shown shown;

	assert_int_equal(show_read(object, &shown), 0);
	append(&b, style, &shown);
	buffer_append(&b, "", 1);
	assert_string_equal(b.data, expected);
	buffer_free(&b);
	json_decref(object);
}

static void changes(void **state)
{
	(void)state;
	assert_shows(show_append_change, &for_programs, bob,
		"2026-11-22T09:31:04.123Z  bob is offline (timeout), last seen 2026-11-22T09:30:34.123Z\n");
	assert_shows(show_append_change, &for_people, bob,
		"10:31:04  bob is \033[1moffline\033[0m (timeout), last seen 10:30:34\n");
	assert_shows(show_append_change, &for_people, carol,
		"10:31:04  carol is \033[31mbusy\033[0m (update), \"in a \\\"call\\\"\", reconnecting\n");
	/* A user never seen has no time: now. */
	assert_shows(show_append_change, &for_programs, dan,
		"2026-11-22T09:34:04.123Z  \"d an\" is offline (never seen)\n");
}

static void states(void **state)
{
	(void)state;
	assert_shows(show_append_state, &for_people, bob,
		"bob is \033[1moffline\033[0m (timeout) since 10:31:04 (3 min ago), last seen 10:30:34\n");
	assert_shows(show_append_state, &for_programs, carol,
		"carol is busy (update) since 2026-11-22T09:31:04.123Z, \"in a \\\"call\\\"\", reconnecting\n");
	assert_shows(show_append_state, &for_programs, dan, "\"d an\" is offline (never seen)\n");
}

static void rows(void **state)
{
	(void)state;
	assert_shows(show_append_row, &for_programs, carol,
		"busy       2026-11-22T09:31:04.123Z carol (update), \"in a \\\"call\\\"\", reconnecting\n");
	assert_shows(show_append_row, &for_programs, dan, "offline    - \"d an\" (never seen)\n");
	assert_shows(show_append_row, &for_people, bob,
		"\033[1moffline\033[0m    10:31:04  3 min ago   bob (timeout), last seen 10:30:34\n");
	assert_shows(show_append_row, &for_people, dan,
		"\033[1moffline\033[0m    -                     \"d an\" (never seen)\n");
}

static void nothing_of_a_server_reaches_a_terminal_raw(void **state)
{
	(void)state;
	static appends *const shows[] = {show_append_change, show_append_state, show_append_row};
	json_t *object = json_loads(evil, 0, NULL);
	struct buffer b = {.data = NULL};
	struct shown shown;

	assert_int_equal(show_read(object, &shown), 0);
	for (size_t i = 0; i < ARRAY_LEN(shows); i++)
		shows[i](&b, &for_programs, &shown);
	show_append_json(&b, &shown);
	for (size_t i = 0; i < b.len; i++)
		assert_true(b.data[i] == '\n' || (b.data[i] >= 0x20 && b.data[i] < 0x7f));
	buffer_free(&b);
	json_decref(object);
}

static void json_is_the_protocols_object(void **state)
{
	(void)state;
	static const char *const texts[] = {bob, carol, dan};
	struct buffer b = {.data = NULL};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		json_t *object = json_loads(texts[i], 0, NULL), *again;
		struct shown shown;
		assert_int_equal(show_read(object, &shown), 0);
		buffer_clear(&b);
		show_append_json(&b, &shown);
		buffer_append_string(&b, "}");
		again = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(again);
		assert_true(json_equal(object, again));
		json_decref(object);
		json_decref(again);
	}
	buffer_free(&b);
}

static void what_is_no_presence_is_refused(void **state)
{
	(void)state;
	static const char *const texts[] = {"{}", "[]", "{\"user\":\"bob\"}",
		"{\"user\":1,\"state\":\"online\"}", "{\"user\":\"bob\",\"state\":null}"};
	struct shown shown = {.seq = 99};

	assert_int_equal(show_read(NULL, &shown), -EPROTO);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		json_t *object = json_loads(texts[i], 0, NULL);
		assert_non_null(object);
		assert_int_equal(show_read(object, &shown), -EPROTO);
		json_decref(object);
	}
	assert_int_equal(shown.seq, 99);
}

static int set_zone(void **state)
{
	(void)state;
	setenv("TZ", "CET-1", 1);
	tzset();
	return moment > 0 ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes),
		cmocka_unit_test(states),
		cmocka_unit_test(rows),
		cmocka_unit_test(nothing_of_a_server_reaches_a_terminal_raw),
		cmocka_unit_test(json_is_the_protocols_object),
		cmocka_unit_test(what_is_no_presence_is_refused),
	};
	return cmocka_run_group_tests(tests, set_zone, NULL);
}
