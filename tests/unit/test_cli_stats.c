#include "cli/stats_text.h"

#include "support/cmocka_all.h"

#include <string.h>

static const struct style plain = {.is_utc = true};

static char *text_of(const struct style *style, const char *stats, const char *before,
	uint64_t elapsed_ms, struct buffer *b)
{
	json_t *now = json_loads(stats, 0, NULL),
	       *then = before ? json_loads(before, 0, NULL) : NULL;

	assert_non_null(now);
	buffer_clear(b);
	stats_append_text(b, style, now, then, elapsed_ms);
	buffer_append(b, "", 1);
	assert_false(b->failed);
	json_decref(now);
	json_decref(then);
	return b->data;
}

static const char usual[] =
	"{\"version\":\"0.1.0\",\"server\":\"9b71\",\"uptime_ms\":11520000,\"sessions\":10234,"
	"\"connections\":10240,\"users_online\":987,\"watches\":0,"
	"\"counters\":{\"heartbeats\":1234567,\"logins\":12,\"ended_timeout\":3,\"ended_closed\":0,"
	"\"ended_new_kind\":1,\"refused_full\":7,\"error_bad_json\":2,\"mistakes\":0},"
	"\"workers\":[{\"sessions\":5117,\"connections\":5120,\"watches\":0,\"mailbox_depth\":4,"
	"\"loop_ms\":{\"p50\":0.1,\"p99\":0.4,\"max\":12.0},\"stalled\":false},"
	"{\"sessions\":5117,\"stalled\":true}],"
	"\"watchdog\":{\"expired\":3,\"mistakes\":0,\"stalls\":0,\"scans\":1000,"
	"\"lateness_ms\":{\"p50\":1,\"p99\":90,\"max\":101},\"scan_us\":{\"p50\":12,\"p99\":40,\"max\":90}},"
	"\"memory\":{\"rss_bytes\":25165824,\"table_bytes\":1048576,\"users_known\":1234}}";

static void a_screen(void **state)
{
	(void)state;
	struct buffer b = {.data = NULL};

	assert_string_equal(text_of(&plain, usual, NULL, 0, &b),
		"presenced 0.1.0, start 9b71, up 3 h 12 min\n"
		"\n"
		"now       sessions 10,234, connections 10,240, users_online 987, watches 0\n"
		"traffic   heartbeats 1,234,567, logins 12\n"
		"ends      timeout 3, new_kind 1\n"
		"trouble   refused_full 7, error_bad_json 2\n"
		"watchdog  expired 3, mistakes 0, stalls 0, scans 1,000,\n"
		"          late p50 1 p99 90 max 101 ms, a scan p50 12 max 90 us\n"
		"memory    process 24.0 MiB, table 1.0 MiB, users known 1,234\n"
		"\n"
		"worker  sessions  connections    watches  mailbox  loop p50/p99/max ms\n"
		"     0     5,117        5,120          0        4  0.1/0.4/12.0\n"
		"     1     5,117            -          -        -  0.0/0.0/0.0  STALLED\n");
	buffer_free(&b);
}

static void rates_are_of_what_was_before(void **state)
{
	(void)state;
	static const char before[] = "{\"counters\":{\"heartbeats\":1000,\"logins\":5000}}";
	static const char now[] = "{\"counters\":{\"heartbeats\":6000,\"logins\":12,\"events\":1}}";
	struct buffer b = {.data = NULL};

	/* Logins went back: another server's. */
	assert_non_null(strstr(text_of(&plain, now, before, 2000, &b),
		"traffic   heartbeats 6,000 (2,500/s), logins 12, events 1\n"));
	assert_null(strstr(text_of(&plain, now, before, 0, &b), "/s)"));
	buffer_free(&b);
}

static void a_stalled_worker_stands_out(void **state)
{
	(void)state;
	const struct style coloured = {.is_terminal = true, .has_colour = true};
	struct buffer b = {.data = NULL};

	assert_non_null(strstr(text_of(&coloured, usual, NULL, 0, &b), "\033[31mSTALLED\033[0m"));
	buffer_free(&b);
}

static void anything_may_come(void **state)
{
	(void)state;
	static const char *const odd[] = {"{}",
		"{\"counters\":[],\"workers\":{},\"watchdog\":1,\"memory\":null}",
		"{\"version\":\"\\u001b\",\"server\":\"\\u009b\",\"uptime_ms\":-1,\"workers\":[1,null,{}]}",
		("{\"counters\":{\"ended_\\u001b\":1,\"heartbeats\":-9223372036854775808},"
		 "\"sessions\":9223372036854775807,\"watchdog\":{\"lateness_ms\":{\"p50\":\"x\"}}}")};
	struct buffer b = {.data = NULL};

	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		const char *text = text_of(&plain, odd[i], NULL, 0, &b);
		for (; *text; text++)
			assert_true(*text == '\n' || (*text >= 0x20 && *text < 0x7f));
	}
	buffer_free(&b);
}

static void lines_fit_however_much_there_is(void **state)
{
	(void)state;
	struct buffer doc = {.data = NULL}, b = {.data = NULL};
	char name[64];

	buffer_append_string(&doc, "{\"counters\":{\"x\":1");
	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), ",\"error_of_kind_%d\":%d000000", i, i + 1);
		buffer_append_string(&doc, name);
	}
	buffer_append_string(&doc, "}}");
	buffer_append(&doc, "", 1);
	for (const char *line = text_of(&plain, doc.data, NULL, 0, &b); *line;) {
		size_t len = strcspn(line, "\n");
		assert_true(len < 80);
		line += len + 1;
	}
	buffer_free(&doc);
	buffer_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_screen),
		cmocka_unit_test(rates_are_of_what_was_before),
		cmocka_unit_test(a_stalled_worker_stands_out),
		cmocka_unit_test(anything_may_come),
		cmocka_unit_test(lines_fit_however_much_there_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
