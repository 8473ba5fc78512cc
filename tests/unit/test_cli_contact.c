#include "cli/contact.h"

#include "support/cmocka_all.h"

#include <string.h>

static const struct style utc = {.is_utc = true, .now_ms = 60000};

static const struct presence_contact online = {.user = "bob",
	.truth = PRESENCE_ONLINE,
	.state = PRESENCE_STATE_BUSY,
	.status = "in a call",
	.reason = PRESENCE_REASON_UPDATE,
	.seq = 7,
	.at_ms = 1000,
	.last_seen_ms = 2000};

static void assert_line(const struct presence_contact *c, bool is_json, enum presence_error why,
	int64_t as_of_ms, const char *expected)
{
	struct buffer b = {.data = NULL};

	contact_append_change(&b, &utc, is_json, c, why, as_of_ms);
	buffer_append(&b, "", 1);
	assert_string_equal(b.data, expected);
	buffer_free(&b);
}

static void what_is_known(void **state)
{
	(void)state;
	assert_line(&online, false, PRESENCE_OK, 59000,
		"1970-01-01T00:00:01.000Z  bob is busy (update), \"in a call\"\n");
	assert_line(&online, true, PRESENCE_OK, 59000,
		"{\"user\":\"bob\",\"state\":\"busy\",\"reason\":\"update\",\"seq\":7,\"at_ms\":1000,"
		"\"last_seen_ms\":2000,\"status\":\"in a call\",\"time_ms\":60000}\n");
}

static void what_was_known(void **state)
{
	(void)state;
	struct presence_contact c = online;

	c.truth = PRESENCE_UNKNOWN;
	assert_line(&c, false, PRESENCE_ERROR_SILENCE, 30000,
		"1970-01-01T00:01:00.000Z  bob is unknown (silence), was busy at 1970-01-01T00:00:30.000Z\n");
	assert_line(&c, true, PRESENCE_ERROR_SILENCE, 30000,
		"{\"user\":\"bob\",\"state\":\"unknown\",\"reason\":\"silence\",\"seq\":7,\"at_ms\":null,"
		"\"last_seen_ms\":2000,\"status\":null,\"time_ms\":60000,\"was\":\"busy\",\"as_of_ms\":30000}\n");
}

static void what_never_was_known(void **state)
{
	(void)state;
	const struct presence_contact c = {.user = "bob", .at_ms = -1, .last_seen_ms = -1};
	struct presence_contact forbidden = c;

	forbidden.error = PRESENCE_ERROR_FORBIDDEN;
	assert_line(&c, false, PRESENCE_ERROR_CONNECT, -1,
		"1970-01-01T00:01:00.000Z  bob is unknown (connect)\n");
	assert_line(&c, true, PRESENCE_OK, -1,
		"{\"user\":\"bob\",\"state\":\"unknown\",\"reason\":null,\"seq\":null,\"at_ms\":null,"
		"\"last_seen_ms\":null,\"status\":null,\"time_ms\":60000}\n");
	assert_line(&forbidden, false, PRESENCE_ERROR_CONNECT, -1,
		"1970-01-01T00:01:00.000Z  bob is unknown (forbidden)\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_known),
		cmocka_unit_test(what_was_known),
		cmocka_unit_test(what_never_was_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
