#include "cli/explain.h"

#include "support/cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct style utc = {.is_utc = true};
static const struct style people = {
	.is_terminal = true, .has_colour = true, .now_ms = 1795339864123 + 1000};

typedef void appends(struct buffer *, const struct style *, const json_t *);

static void assert_explains(
	appends *append, const struct style *style, const char *json, const char *expected)
{
	struct buffer b = {.data = NULL};
	json_t *object = json_loads(json, 0, NULL);

	assert_non_null(object);
	append(&b, style, object);
	buffer_append(&b, "", 1);
	assert_false(b.failed);
	assert_string_equal(b.data, expected);
	buffer_free(&b);
	json_decref(object);
}

static void a_timeout_is_told_with_all_its_evidence(void **state)
{
	(void)state;
	static const char entry[] =
		"{\"state\":\"offline\",\"reason\":\"timeout\",\"seq\":42,\"at_ms\":1795339864123,"
		"\"last_seen_ms\":1795339834020,\"device\":\"phone\",\"session\":\"2f0c\",\"evidence\":{"
		"\"last_byte_ms\":1795339834020,\"timeout_ms\":30000,\"granted_ms\":2500,\"late_ms\":103,"
		"\"nominated_ms\":1795339864050,\"heard_ms\":1795339864060,\"socket\":\"open\",\"transport\":\"tcp\"}}";

	assert_explains(explain_append_entry, &people, entry,
		"10:31:04  \033[1moffline\033[0m (timeout)\n"
		"    no byte for 30.1 s, timeout 30 s\n"
		"    last byte at 10:30:34.020\n"
		"    found silent at 10:31:04.050\n"
		"    its socket read once more at 10:31:04.060: nothing in it\n"
		"    the socket still looked open\n"
		"    the server itself had stood still, and gave it 2.5 s more\n"
		"    device phone over tcp, session 2f0c\n");
	assert_explains(explain_append_entry, &utc, entry,
		"2026-11-22T09:31:04.123Z  offline (timeout)\n"
		"    no byte for 30.1 s, timeout 30 s\n"
		"    last byte at 09:30:34.020\n"
		"    found silent at 09:31:04.050\n"
		"    its socket read once more at 09:31:04.060: nothing in it\n"
		"    the socket still looked open\n"
		"    the server itself had stood still, and gave it 2.5 s more\n"
		"    device phone over tcp, session 2f0c\n");
}

static void every_reason_has_its_words(void **state)
{
	(void)state;
	static const struct {
		const char *state, *reason, *words;
	} cases[] = {
		{"online", "login", "    a session began\n"},
		{"busy", "update", "    a device changed its state or status\n"},
		{"offline", "logout", "    it said bye\n"},
		{"offline", "closed", "    its side closed the connection (FIN)\n"},
		{"offline", "reset", "    its side reset the connection (RST)\n"},
		{"away", "closed",
			"    of one of its devices: its side closed the connection (FIN)\n"},
		{"online", "timeout", "    one of its devices fell silent\n"},
		{"offline", "kicked", "    an operator ended the session\n"},
		{"offline", "expired", "    its token expired, and was not renewed\n"},
		{"offline", "slow", "    it did not read what it was sent\n"},
		{"offline", "violation", "    it broke the protocol\n"},
		{"offline", "timeout", ""}, /* without evidence there is nothing to say */
		{"offline", "of_a_later_version", ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char json[256], expected[256];
		snprintf(json, sizeof(json), "{\"state\":\"%s\",\"reason\":\"%s\",\"at_ms\":0}",
			cases[i].state, cases[i].reason);
		snprintf(expected, sizeof(expected), "1970-01-01T00:00:00.000Z  %s (%s)\n%s",
			cases[i].state, cases[i].reason, cases[i].words);
		assert_explains(explain_append_entry, &utc, json, expected);
	}
}

static void what_is_not_known_is_left_out(void **state)
{
	(void)state;
	assert_explains(explain_append_entry, &utc,
		"{\"state\":\"offline\",\"reason\":\"timeout\",\"at_ms\":60000,\"device\":\"a b\",\"session\":\"s\","
		"\"evidence\":{\"timeout_ms\":3000,\"nominated_ms\":null,\"heard_ms\":null,\"socket\":\"none\","
		"\"granted_ms\":0}}",
		"1970-01-01T00:01:00.000Z  offline (timeout)\n"
		"    timeout 3 s\n"
		"    its connection was gone before, on an error that said nothing of it\n"
		"    device \"a b\", session s\n");
	assert_explains(explain_append_entry, &utc,
		"{\"state\":\"offline\",\"reason\":\"closed\",\"at_ms\":60000,"
		"\"evidence\":{\"last_byte_ms\":59000,\"socket\":\"closed\"}}",
		"1970-01-01T00:01:00.000Z  offline (closed)\n"
		"    its side closed the connection (FIN)\n"
		"    last byte at 00:00:59.000\n");
	/* Of a device that the server made up, the session has its name. */
	assert_explains(explain_append_entry, &utc,
		"{\"state\":\"online\",\"reason\":\"login\",\"at_ms\":60000,\"device\":\"2f0c\",\"session\":\"2f0c\","
		"\"evidence\":{\"last_byte_ms\":59000,\"transport\":\"wss\"}}",
		"1970-01-01T00:01:00.000Z  online (login)\n"
		"    a session began\n"
		"    device 2f0c over wss\n");
}

static void sessions(void **state)
{
	(void)state;
	assert_explains(explain_append_sessions, &utc, "[]", "no device is there\n");
	assert_explains(explain_append_sessions, &utc,
		"[{\"session\":\"2f0c\",\"device\":\"phone\",\"transport\":\"tls\",\"address\":\"192.0.2.1\","
		"\"state\":\"busy\",\"status\":\"in a call\",\"since_ms\":0,\"last_seen_ms\":1000,\"timeout_ms\":30000,"
		"\"reconnecting\":true},{}]",
		"devices:\n"
		"  phone is busy, reconnecting, \"in a call\": over tls from 192.0.2.1 since 1970-01-01T00:00:00.000Z, "
		"last byte 1970-01-01T00:00:01.000Z, timeout 30 s, session 2f0c\n"
		"  ? is ?: over ?, session ?\n");
}

static void nothing_of_a_server_reaches_a_terminal_raw(void **state)
{
	(void)state;
	static const char entry[] =
		"{\"state\":\"\\u001b\",\"reason\":\"\\u009b\",\"at_ms\":-1,\"device\":\"\\n\",\"session\":\"\\u202e\","
		"\"evidence\":{\"transport\":\"\\u0007\",\"last_byte_ms\":9223372036854775807}}";
	static const char session[] =
		"[{\"session\":\"\\u001b\",\"device\":\"\\u009b\",\"transport\":\"\\n\","
		"\"address\":\"\\u202e\",\"state\":\"\\t\",\"status\":\"\\u0000\"}, 1]";
	struct buffer b = {.data = NULL};
	json_t *object = json_loads(entry, 0, NULL),
	       *array = json_loads(session, JSON_ALLOW_NUL, NULL);

	assert_non_null(object);
	assert_non_null(array);
	explain_append_entry(&b, &utc, object);
	explain_append_sessions(&b, &utc, array);
	for (size_t i = 0; i < b.len; i++)
		assert_true(b.data[i] == '\n' || (b.data[i] >= 0x20 && b.data[i] < 0x7f));
	buffer_free(&b);
	json_decref(object);
	json_decref(array);
}

static int set_zone(void **state)
{
	(void)state;
	setenv("TZ", "CET-1", 1);
	tzset();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timeout_is_told_with_all_its_evidence),
		cmocka_unit_test(every_reason_has_its_words),
		cmocka_unit_test(what_is_not_known_is_left_out),
		cmocka_unit_test(sessions),
		cmocka_unit_test(nothing_of_a_server_reaches_a_terminal_raw),
	};
	return cmocka_run_group_tests(tests, set_zone, NULL);
}
