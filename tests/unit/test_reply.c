#include "wire/reply.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(s) ((struct slice){(s), sizeof(s) - 1})

/* A name with all that has to be escaped, and two kinds of characters of more bytes. */
#define ODD "a\"b\\c/\x01\x1f\x7f \xc3\xa9\xf0\x9f\x98\x80"

static struct message with_id(const char *id)
{
	struct message m = {.type = REQUEST_HELLO};

	m.id_len = strlen(id);
	memcpy(m.id, id, m.id_len + 1);
	return m;
}

/* The buffer holds one line, exactly this one; it is JSON with the fields of 'want', which is given up. */
static void check(struct buffer *b, const char *line, json_t *want)
{
	json_error_t error;
	json_t *got;

	assert_false(b->failed);
	assert_true(b->len > 0 && b->data[b->len - 1] == '\n');
	if (line != NULL) {
		assert_int_equal(b->len, strlen(line));
		assert_memory_equal(b->data, line, b->len);
	}
	assert_null(memchr(b->data, '\n', b->len - 1));
	got = json_loadb(b->data, b->len, JSON_REJECT_DUPLICATES, &error);
	if (got == NULL)
		fail_msg("%s in %.*s", error.text, (int)b->len, b->data);
	assert_non_null(want);
	if (!json_equal(got, want))
		fail_msg("%.*s", (int)b->len, b->data);
	json_decref(got);
	json_decref(want);
	buffer_free(b);
}

static void test_welcome(void **state)
{
	struct buffer b = {0};
	struct message m = with_id("");
	struct welcome w = {.user = TEXT("alice"),
		.device = TEXT("phone"),
		.session = "2f0c",
		.server = "9b71",
		.heartbeat_ms = 10000,
		.timeout_ms = 30000,
		.now_ms = 1763794282100};

	(void)state;
	reply_welcome(&b, m.id, m.id_len, &w);
	check(&b,
		"{\"type\":\"welcome\",\"v\":1,\"user\":\"alice\",\"device\":\"phone\","
		"\"session\":\"2f0c\",\"server\":\"9b71\",\"heartbeat_ms\":10000,"
		"\"timeout_ms\":30000,\"now_ms\":1763794282100,\"resumed\":false}\n",
		json_pack("{s:s,s:i,s:s,s:s,s:s,s:s,s:i,s:i,s:I,s:b}", "type", "welcome", "v", 1,
			"user", "alice", "device", "phone", "session", "2f0c", "server", "9b71",
			"heartbeat_ms", 10000, "timeout_ms", 30000, "now_ms",
			(json_int_t)1763794282100, "resumed", 0));
}

static void test_welcome_odd_names_and_id(void **state)
{
	struct buffer b = {0};
	struct message m = with_id("\"x\\\"y\"");
	struct welcome w = {.user = TEXT(ODD),
		.device = TEXT(ODD "2"),
		.session = "s",
		.server = "v",
		.heartbeat_ms = 1,
		.timeout_ms = 2,
		.now_ms = INT64_MAX,
		.resumed = true,
		.resume = "00ff"};

	(void)state;
	reply_welcome(&b, m.id, m.id_len, &w);
	check(&b, NULL,
		json_pack("{s:s,s:s,s:i,s:s,s:s,s:s,s:s,s:i,s:i,s:I,s:b,s:s}", "type", "welcome",
			"id", "x\"y", "v", 1, "user", ODD, "device", ODD "2", "session", "s",
			"server", "v", "heartbeat_ms", 1, "timeout_ms", 2, "now_ms",
			(json_int_t)INT64_MAX, "resumed", 1, "resume", "00ff"));
}

static void test_heartbeat_in_kind(void **state)
{
	struct buffer b = {0};
	struct message m = with_id("");

	(void)state;
	m.is_empty_line = true;
	reply_heartbeat(&b, &m);
	assert_int_equal(b.len, 1);
	assert_memory_equal(b.data, "\n", 1);
	buffer_free(&b);

	m.is_empty_line = false;
	reply_heartbeat(&b, &m);
	check(&b, "{\"type\":\"heartbeat\"}\n", json_pack("{s:s}", "type", "heartbeat"));

	m = with_id("-7");
	reply_heartbeat(&b, &m);
	check(&b, "{\"type\":\"heartbeat\",\"id\":-7}\n",
		json_pack("{s:s,s:i}", "type", "heartbeat", "id", -7));
}

static void test_updated(void **state)
{
	struct buffer b = {0};
	struct message m = with_id("5");

	(void)state;
	reply_updated(&b, &m, STATE_AWAY, NULL, 0);
	check(&b, "{\"type\":\"updated\",\"id\":5,\"state\":\"away\",\"status\":null}\n",
		json_pack("{s:s,s:i,s:s,s:n}", "type", "updated", "id", 5, "state", "away",
			"status"));
	m = with_id("");
	reply_updated(&b, &m, STATE_INVISIBLE, ODD, sizeof(ODD) - 1);
	check(&b, NULL,
		json_pack("{s:s,s:s,s:s}", "type", "updated", "state", "invisible", "status", ODD));
	reply_updated(&b, &m, STATE_BUSY, "", 0);
	check(&b, NULL,
		json_pack("{s:s,s:s,s:s}", "type", "updated", "state", "busy", "status", ""));
}

static void test_unwatched(void **state)
{
	struct buffer b = {0};
	struct message m = with_id("5");

	(void)state;
	reply_unwatched(&b, &m, 9999);
	check(&b, "{\"type\":\"unwatched\",\"id\":5,\"count\":9999}\n",
		json_pack("{s:s,s:i,s:i}", "type", "unwatched", "id", 5, "count", 9999));
}

/* The words of the protocol, written down a second time: a change of the table has to be meant. */
static const struct {
	const char *word;
	bool is_fatal;
} error_words[WIRE_ERROR_N] = {
	[WIRE_ERROR_BAD_JSON] = {"bad_json", true},
	[WIRE_ERROR_BAD_MESSAGE] = {"bad_message", false},
	[WIRE_ERROR_UNKNOWN_TYPE] = {"unknown_type", false},
	[WIRE_ERROR_ALREADY_HELLO] = {"already_hello", false},
	[WIRE_ERROR_LINE_TOO_LONG] = {"line_too_long", true},
	[WIRE_ERROR_HELLO_REQUIRED] = {"hello_required", true},
	[WIRE_ERROR_VERSION] = {"version", true},
	[WIRE_ERROR_AUTH_REQUIRED] = {"auth_required", true},
	[WIRE_ERROR_AUTH_FAILED] = {"auth_failed", true},
	[WIRE_ERROR_FORBIDDEN] = {"forbidden", false},
	[WIRE_ERROR_TOO_MANY_WATCHES] = {"too_many_watches", false},
	[WIRE_ERROR_SERVER_FULL] = {"server_full", true},
	[WIRE_ERROR_RATE_LIMITED] = {"rate_limited", true},
};

static void test_errors(void **state)
{
	(void)state;
	for (unsigned i = WIRE_OK + 1; i < WIRE_ERROR_N; i++) {
		struct buffer b = {0};
		const char *word = error_words[i].word;

		assert_string_equal(wire_error_word((enum wire_error)i), word);
		assert_int_equal(wire_error_is_fatal((enum wire_error)i), error_words[i].is_fatal);
		reply_error(&b, "\"q\"", 3, (enum wire_error)i, ODD, UINT64_MAX);
		check(&b, NULL,
			json_pack("{s:s,s:s,s:s,s:s}", "type", "error", "id", "q", "code", word,
				"message", ODD));
	}
	assert_false(wire_error_is_fatal(WIRE_OK));
}

static void test_error_with_retry(void **state)
{
	struct buffer b = {0};

	(void)state;
	reply_error(&b, "", 0, WIRE_ERROR_RATE_LIMITED, "too fast", 1500);
	check(&b,
		"{\"type\":\"error\",\"code\":\"rate_limited\",\"message\":\"too fast\","
		"\"retry_ms\":1500}\n",
		json_pack("{s:s,s:s,s:s,s:i}", "type", "error", "code", "rate_limited", "message",
			"too fast", "retry_ms", 1500));
	reply_error(&b, "", 0, WIRE_ERROR_SERVER_FULL, "full", 0);
	check(&b, NULL,
		json_pack("{s:s,s:s,s:s,s:i}", "type", "error", "code", "server_full", "message",
			"full", "retry_ms", 0));
}

static void test_bye(void **state)
{
	struct buffer b = {0};

	(void)state;
	reply_bye(&b, "1", 1, REASON_LOGOUT, UINT64_MAX);
	check(&b, "{\"type\":\"bye\",\"id\":1,\"reason\":\"logout\"}\n",
		json_pack("{s:s,s:i,s:s}", "type", "bye", "id", 1, "reason", "logout"));
	reply_bye(&b, "", 0, REASON_SHUTDOWN, 2500);
	check(&b, "{\"type\":\"bye\",\"reason\":\"shutdown\",\"retry_ms\":2500}\n",
		json_pack("{s:s,s:s,s:i}", "type", "bye", "reason", "shutdown", "retry_ms", 2500));
}

static void test_presences(void **state)
{
	struct buffer b = {0};

	(void)state;
	reply_presences_open(&b, "1", 1, REQUEST_WATCH);
	reply_presences_close(&b, false);
	check(&b, "{\"type\":\"watching\",\"id\":1,\"presences\":[]}\n",
		json_pack("{s:s,s:i,s:[]}", "type", "watching", "id", 1, "presences"));

	reply_presences_open(&b, "", 0, REQUEST_QUERY);
	buffer_append_string(&b, "{\"user\":\"a\"},{\"user\":\"b\"}");
	reply_presences_close(&b, true);
	check(&b,
		"{\"type\":\"presences\",\"presences\":[{\"user\":\"a\"},{\"user\":\"b\"}],"
		"\"more\":true}\n",
		json_pack("{s:s,s:[{s:s},{s:s}],s:b}", "type", "presences", "presences", "user",
			"a", "user", "b", "more", 1));
}

static void test_lines_follow_each_other(void **state)
{
	struct buffer b = {0};
	struct message m = with_id("");

	(void)state;
	m.is_empty_line = true;
	reply_heartbeat(&b, &m);
	reply_unwatched(&b, &m, 0);
	reply_heartbeat(&b, &m);
	assert_int_equal(b.len, strlen("\n{\"type\":\"unwatched\",\"count\":0}\n\n"));
	assert_memory_equal(b.data, "\n{\"type\":\"unwatched\",\"count\":0}\n\n", b.len);
	buffer_free(&b);
}

static void test_a_failed_buffer_stays_failed(void **state)
{
	struct buffer b = {.failed = true};
	struct message m = with_id("1");

	(void)state;
	reply_heartbeat(&b, &m);
	reply_unwatched(&b, &m, 1);
	reply_error(&b, "1", 1, WIRE_ERROR_BAD_JSON, "x", 1);
	assert_true(b.failed);
	assert_int_equal(b.len, 0);
	buffer_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_welcome),
		cmocka_unit_test(test_welcome_odd_names_and_id),
		cmocka_unit_test(test_heartbeat_in_kind),
		cmocka_unit_test(test_updated),
		cmocka_unit_test(test_unwatched),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_error_with_retry),
		cmocka_unit_test(test_bye),
		cmocka_unit_test(test_presences),
		cmocka_unit_test(test_lines_follow_each_other),
		cmocka_unit_test(test_a_failed_buffer_stays_failed),
	};

	return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
