#include "wire/message.h"

#include "base/compiler.h"
#include "wire/message_memory.h"

#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A message as one line of text: what the rows below are compared with. */
static void describe_text(char *to, size_t size, const char *name, struct slice text)
{
	size_t len = strlen(to);

	if (text.text != NULL)
		snprintf(to + len, size - len, " %s=%.*s", name, (int)text.len, text.text);
}

static void describe(const struct message *m, enum wire_error err, char *to, size_t size)
{
	static const char *const types[REQUEST_N + 1] = {
		"hello", "heartbeat", "update", "watch", "unwatch", "query", "bye", "-"};
	size_t len;

	snprintf(to, size, "%s%s", types[m->type], m->is_empty_line ? " (empty line)" : "");
	assert_int_equal(m->id[m->id_len], '\0');
	describe_text(to, size, "id", (struct slice){m->id_len ? m->id : NULL, m->id_len});
	if (err != WIRE_OK) {
		len = strlen(to);
		snprintf(to + len, size - len, " !%s %s", wire_error_word(err), m->why);
		return;
	}
	assert_string_equal(m->why, "");
	describe_text(to, size, "user", m->user);
	describe_text(to, size, "device", m->device);
	describe_text(to, size, "token", m->token);
	describe_text(to, size, "resume", m->resume);
	len = strlen(to);
	if (m->has_heartbeat_ms)
		snprintf(to + len, size - len, " heartbeat_ms=%llu",
			(unsigned long long)m->heartbeat_ms);
	if (!m->wants_pings)
		strcat(to, " pings=false");
	if (m->has_state)
		describe_text(to, size, "state",
			(struct slice){state_word(m->state), strlen(state_word(m->state))});
	if (m->has_status && m->status.text == NULL)
		describe_text(to, size, "status", (struct slice){"null", 4});
	describe_text(to, size, "status", m->status);
	for (size_t i = 0; i < m->n_users; i++)
		describe_text(to, size, "+", message_user(m, i));
}

struct row {
	const char *line;
	size_t len;
	const char *want;
};

#define L(literal) literal, sizeof(literal) - 1
#define JSON       "not JSON as it must be: "
#define HELLO      "{\"type\":\"hello\",\"v\":1,\"user\":\"al\""
#define UPDATE     "{\"type\":\"update\""
#define WATCH      "{\"type\":\"watch\",\"users\":"
#define STATES_ARE "state: must be online, away, busy or invisible"

static const struct row rows[] = {
	/* heartbeats */
	{L(""), "heartbeat (empty line)"},
	{L("{\"type\":\"heartbeat\"}"), "heartbeat"},
	{L("{ \"type\" : \"heartbeat\" }"), "heartbeat"},
	{L("\t{\"type\":\"heartbeat\"} \r"), "heartbeat"},
	{L("{\"type\":\"heartbeat\",\"id\":7}"), "heartbeat id=7"},
	{L("{\"type\":\"heartbe\\u0061t\"}"), "heartbeat"},
	{L("{\"type\":\"heartbeat\",\"v\":\"x\",\"user\":3,\"\":{}}"), "heartbeat"},

	/* no JSON */
	{L(" "), "- !bad_json " JSON "it ends too early, at byte 1"},
	{L("hello"), "- !bad_json " JSON "syntax, at byte 5"},
	{L("{"), "- !bad_json " JSON "it ends too early, at byte 1"},
	{L("{\"type\":\"heartbeat\""), "- !bad_json " JSON "it ends too early, at byte 19"},
	{L("{\"type\":\"heartbeat\"}x"), "- !bad_json " JSON "more after the end, at byte 21"},
	{L("{\"type\":\"heartbeat\"}{}"), "- !bad_json " JSON "more after the end, at byte 21"},
	{L("{\"type\":\"heartbeat\",}"), "- !bad_json " JSON "syntax, at byte 21"},
	{L("{'type':'heartbeat'}"), "- !bad_json " JSON "syntax, at byte 2"},
	{L("{\"type\":\"bye\",\"type\":\"bye\"}"), "- !bad_json " JSON "a key twice, at byte 20"},
	{L("{\"type\":\"bye\",\"x\":{\"a\":1,\"a\":1}}"),
		"- !bad_json " JSON "a key twice, at byte 28"},
	{L("{\"type\":\"bye\",\"x\":\"\\u0000\"}"), "- !bad_json " JSON "U+0000, at byte 26"},
	{L("{\"type\":\"bye\",\"\\u0000\":1}"), "- !bad_json " JSON "U+0000, at byte 22"},
	{L("{\"type\":\"bye\",\"x\":\"a\0b\"}"), "- !bad_json " JSON "U+0000, at byte 21"},
	{L("{\"type\":\"bye\",\"x\":1\0}"), "- !bad_json " JSON "U+0000, at byte 20"},
	{L("{\"type\":\"bye\",\"x\":true\0}"), "- !bad_json " JSON "U+0000, at byte 23"},
	{L("{\"type\":\"bye\"}\0"), "- !bad_json " JSON "U+0000, at byte 15"},
	{L("\0"), "- !bad_json " JSON "U+0000, at byte 1"},
	{L("{\"type\":\"bye\",\"x\":\"\\ud800\"}"), "- !bad_json " JSON "syntax, at byte 26"},
	{L("{\"type\":\"bye\",\"x\":\"\\udc00\"}"), "- !bad_json " JSON "syntax, at byte 26"},
	{L("{\"type\":\"bye\",\"x\":\"\\ud83d\\u0041\"}"),
		"- !bad_json " JSON "syntax, at byte 32"},
	{L("{\"type\":\"bye\",\"x\":\"\\x41\"}"), "- !bad_json " JSON "syntax, at byte 21"},
	{L("{\"type\":\"bye\",\"x\":\"\xff\"}"), "- !bad_json " JSON "invalid UTF-8, at byte 19"},
	{L("{\"type\":\"bye\",\"x\":\"\xc3\"}"), "- !bad_json " JSON "invalid UTF-8, at byte 19"},
	{L("{\"type\":\"bye\",\"x\":\"\xc0\x80\"}"),
		"- !bad_json " JSON "invalid UTF-8, at byte 19"},
	{L("{\"type\":\"bye\",\"x\":\"\xed\xa0\x80\"}"),
		"- !bad_json " JSON "invalid UTF-8, at byte 19"},
	{L("{\"type\":\"bye\",\"x\":\"\xf4\x90\x80\x80\"}"),
		"- !bad_json " JSON "invalid UTF-8, at byte 19"},
	{L("\xef\xbb\xbf{\"type\":\"bye\"}"), "- !bad_json " JSON "syntax, at byte 3"},
	{L("{\"type\":\"bye\",\"x\":\"a\nb\"}"), "- !bad_json " JSON "syntax, at byte 20"},
	{L("{\"type\":\"bye\",\"x\":1e999}"),
		"- !bad_json " JSON "a number out of range, at byte 23"},
	{L("{\"type\":\"bye\",\"x\":9223372036854775808}"),
		"- !bad_json " JSON "a number out of range, at byte 37"},
	{L("{\"type\":\"bye\",\"id\":-9223372036854775809}"),
		"- !bad_json " JSON "a number out of range, at byte 39"},
	{L("{\"type\":\"bye\",\"x\":01}"), "- !bad_json " JSON "syntax, at byte 19"},
	{L("{\"type\":\"bye\",\"x\":NaN}"), "- !bad_json " JSON "syntax, at byte 21"},
	{L("[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]"), "- !bad_json " JSON "it nests deeper than 16"},
	{L("{\"type\":\"bye\",\"x\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}"),
		"- !bad_json " JSON "it nests deeper than 16"},

	/* the envelope */
	{L("1"), "- !bad_message not an object"},
	{L("null"), "- !bad_message not an object"},
	{L("\"hello\""), "- !bad_message not an object"},
	{L("[]"), "- !bad_message not an object"},
	{L("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"), "- !bad_message not an object"},
	{L("{}"), "- !bad_message type: is missing"},
	{L("{\"id\":3}"), "- id=3 !bad_message type: is missing"},
	{L("{\"Type\":\"bye\"}"), "- !bad_message type: is missing"},
	{L("{\"type\":1,\"id\":\"x\"}"), "- id=\"x\" !bad_message type: must be a string"},
	{L("{\"type\":null}"), "- !bad_message type: must be a string"},
	{L("{\"type\":\"\"}"), "- !unknown_type no such type of message"},
	{L("{\"type\":\"hell\"}"), "- !unknown_type no such type of message"},
	{L("{\"type\":\"hello2\"}"), "- !unknown_type no such type of message"},
	{L("{\"type\":\"Hello\"}"), "- !unknown_type no such type of message"},
	{L("{\"type\":\"welcome\",\"id\":1}"), "- id=1 !unknown_type no such type of message"},
	{L("{\"type\":\"x\",\"id\":true}"), "- !bad_message id: must be a string or an integer"},

	/* ids of requests */
	{L("{\"type\":\"bye\",\"id\":0}"), "bye id=0"},
	{L("{\"type\":\"bye\",\"id\":-0}"), "bye id=0"},
	{L("{\"type\":\"bye\",\"id\":-12}"), "bye id=-12"},
	{L("{\"type\":\"bye\",\"id\":9223372036854775807}"), "bye id=9223372036854775807"},
	{L("{\"type\":\"bye\",\"id\":-9223372036854775808}"), "bye id=-9223372036854775808"},
	{L("{\"type\":\"bye\",\"id\":\"\"}"), "bye id=\"\""},
	{L("{\"type\":\"bye\",\"id\":\"a\\\"b\\\\c\\/\\u0064\"}"), "bye id=\"a\\\"b\\\\c/d\""},
	{L("{\"type\":\"bye\",\"id\":\"\\ud83d\\ude00\"}"), "bye id=\"\xf0\x9f\x98\x80\""},
	{L("{\"type\":\"bye\",\"id\":1.0}"), "bye !bad_message id: must be a string or an integer"},
	{L("{\"type\":\"bye\",\"id\":null}"),
		"bye !bad_message id: must be a string or an integer"},
	{L("{\"type\":\"bye\",\"id\":[1]}"), "bye !bad_message id: must be a string or an integer"},
	{L("{\"type\":\"bye\",\"id\":{}}"), "bye !bad_message id: must be a string or an integer"},
	{L("{\"type\":\"bye\",\"id\":\"a\\nb\"}"),
		"bye !bad_message id: must not hold control characters"},

	/* hello: the version is judged first */
	{L("{\"type\":\"hello\"}"), "hello !version v: must be 1"},
	{L("{\"type\":\"hello\",\"user\":5,\"id\":1}"), "hello id=1 !version v: must be 1"},
	{L("{\"type\":\"hello\",\"v\":2,\"user\":\"al\"}"), "hello !version v: must be 1"},
	{L("{\"type\":\"hello\",\"v\":0,\"user\":\"al\"}"), "hello !version v: must be 1"},
	{L("{\"type\":\"hello\",\"v\":\"1\",\"user\":\"al\"}"), "hello !version v: must be 1"},
	{L("{\"type\":\"hello\",\"v\":1.0,\"user\":\"al\"}"), "hello !version v: must be 1"},
	{L("{\"type\":\"hello\",\"v\":null,\"user\":\"al\"}"), "hello !version v: must be 1"},
	{L("{\"type\":\"hello\",\"v\":1}"), "hello !bad_message user: is missing"},
	{L("{\"type\":\"hello\",\"v\":1,\"user\":null}"),
		"hello !bad_message user: must be a string"},
	{L("{\"type\":\"hello\",\"v\":1,\"user\":7}"), "hello !bad_message user: must be a string"},
	{L("{\"type\":\"hello\",\"v\":1,\"user\":\"\"}"),
		"hello !bad_message user: must be 1 to 128 bytes long"},
	{L("{\"type\":\"hello\",\"v\":1,\"user\":\"a\\tb\"}"),
		"hello !bad_message user: must not hold control characters"},
	{L("{\"type\":\"hello\",\"v\":1,\"user\":\"a\x7f\"}"),
		"hello !bad_message user: must not hold control characters"},
	{L("{\"type\":\"hello\",\"v\":1,\"user\":\"\\u007F\"}"),
		"hello !bad_message user: must not hold control characters"},
	{L(HELLO "}"), "hello user=al"},
	{L("{\"user\":\"al\",\"v\":1,\"type\":\"hello\"}"), "hello user=al"},
	{L("{\"type\":\"hello\",\"v\":1,\"user\":\" \\u00e9\\u0080\xe2\x82\xac\"}"),
		"hello user= \xc3\xa9\xc2\x80\xe2\x82\xac"},
	{L(HELLO ",\"device\":\"phone\",\"id\":\"h\"}"), "hello id=\"h\" user=al device=phone"},
	{L(HELLO ",\"device\":\"\"}"), "hello !bad_message device: must be 1 to 64 bytes long"},
	{L(HELLO ",\"device\":null}"), "hello !bad_message device: must be a string"},
	{L(HELLO ",\"device\":\"a\\u0001\"}"),
		"hello !bad_message device: must not hold control characters"},
	{L(HELLO ",\"token\":\"a.b.c\"}"), "hello user=al token=a.b.c"},
	{L("{\"type\":\"hello\",\"v\":1,\"token\":\"a.b.c\"}"), "hello token=a.b.c"},
	{L("{\"type\":\"hello\",\"v\":1,\"token\":\"\"}"), "hello token="},
	{L(HELLO ",\"token\":1}"), "hello !bad_message token: must be a string"},
	{L(HELLO ",\"resume\":\"s3\"}"), "hello user=al resume=s3"},
	{L(HELLO ",\"resume\":false}"), "hello !bad_message resume: must be a string"},
	{L(HELLO ",\"heartbeat_ms\":1}"), "hello user=al heartbeat_ms=1"},
	{L(HELLO ",\"heartbeat_ms\":9223372036854775807}"),
		"hello user=al heartbeat_ms=9223372036854775807"},
	{L(HELLO ",\"heartbeat_ms\":0}"),
		"hello !bad_message heartbeat_ms: must be a positive integer"},
	{L(HELLO ",\"heartbeat_ms\":-5}"),
		"hello !bad_message heartbeat_ms: must be a positive integer"},
	{L(HELLO ",\"heartbeat_ms\":1e3}"),
		"hello !bad_message heartbeat_ms: must be a positive integer"},
	{L(HELLO ",\"heartbeat_ms\":\"5\"}"),
		"hello !bad_message heartbeat_ms: must be a positive integer"},
	{L(HELLO ",\"pings\":true}"), "hello user=al"},
	{L(HELLO ",\"pings\":false}"), "hello user=al pings=false"},
	{L(HELLO ",\"pings\":0}"), "hello !bad_message pings: must be true or false"},
	{L(HELLO ",\"pings\":null}"), "hello !bad_message pings: must be true or false"},
	{L(HELLO ",\"state\":\"online\"}"), "hello user=al state=online"},
	{L(HELLO ",\"state\":\"away\"}"), "hello user=al state=away"},
	{L(HELLO ",\"state\":\"busy\"}"), "hello user=al state=busy"},
	{L(HELLO ",\"state\":\"invisible\"}"), "hello user=al state=invisible"},
	{L(HELLO ",\"state\":\"offline\"}"), "hello !bad_message " STATES_ARE},
	{L(HELLO ",\"state\":\"Away\"}"), "hello !bad_message " STATES_ARE},
	{L(HELLO ",\"state\":\"\"}"), "hello !bad_message " STATES_ARE},
	{L(HELLO ",\"state\":null}"), "hello !bad_message " STATES_ARE},
	{L(HELLO ",\"status\":\"at lunch\"}"), "hello user=al status=at lunch"},
	{L(HELLO ",\"status\":\"\"}"), "hello user=al status="},
	{L(HELLO ",\"status\":null}"), "hello user=al status=null"},
	{L(HELLO ",\"status\":{}}"), "hello !bad_message status: must be a string"},
	{L(HELLO ",\"status\":\"a\\nb\"}"),
		"hello !bad_message status: must not hold control characters"},
	{L(HELLO ",\"x\":[{\"a\":[1.5,null]}],\"users\":5,\"\":0}"), "hello user=al"},

	/* update */
	{L(UPDATE "}"), "update !bad_message update: needs one of state, status, token"},
	{L(UPDATE ",\"id\":4}"),
		"update id=4 !bad_message update: needs one of state, status, token"},
	{L(UPDATE ",\"state\":\"away\"}"), "update state=away"},
	{L(UPDATE ",\"status\":null}"), "update status=null"},
	{L(UPDATE ",\"status\":\"x\",\"state\":\"busy\",\"token\":\"t\",\"id\":1}"),
		"update id=1 token=t state=busy status=x"},
	{L(UPDATE ",\"token\":\"t\"}"), "update token=t"},
	{L(UPDATE ",\"token\":null}"), "update !bad_message token: must be a string"},
	{L(UPDATE ",\"state\":\"offline\"}"), "update !bad_message " STATES_ARE},
	{L(UPDATE ",\"state\":1,\"status\":1}"), "update !bad_message " STATES_ARE},
	{L(UPDATE ",\"status\":1}"), "update !bad_message status: must be a string"},

	/* watch and its like */
	{L("{\"type\":\"watch\"}"), "watch !bad_message users: is missing"},
	{L("{\"type\":\"unwatch\",\"id\":2}"), "unwatch id=2 !bad_message users: is missing"},
	{L("{\"type\":\"query\"}"), "query !bad_message users: is missing"},
	{L(WATCH "\"al\"}"), "watch !bad_message users: must be an array"},
	{L(WATCH "null}"), "watch !bad_message users: must be an array"},
	{L(WATCH "{}}"), "watch !bad_message users: must be an array"},
	{L(WATCH "[]}"), "watch"},
	{L(WATCH "[\"a\",\"b\",\"a\"],\"id\":1}"), "watch id=1 +=a +=b +=a"},
	{L("{\"type\":\"unwatch\",\"users\":[\"\\u00e9\"]}"), "unwatch +=\xc3\xa9"},
	{L("{\"type\":\"query\",\"users\":[\"a\"]}"), "query +=a"},
	{L(WATCH "[\"a\",5]}"), "watch !bad_message users[1]: must be a string"},
	{L(WATCH "[\"a\",\"b\",\"\"]}"),
		"watch !bad_message users[2]: must be 1 to 128 bytes long"},
	{L(WATCH "[[\"a\"]]}"), "watch !bad_message users[0]: must be a string"},
	{L(WATCH "[\"a\\u0000b\"]}"), "- !bad_json " JSON "U+0000, at byte 35"},
	{L(WATCH "[\"a\\r\"],\"id\":\"w\"}"),
		"watch id=\"w\" !bad_message users[0]: must not hold control characters"},

	/* bye */
	{L("{\"type\":\"bye\"}"), "bye"},
	{L("{\"type\":\"bye\",\"reason\":5}"), "bye"},
};

static void check(const char *line, size_t len, const char *want)
{
	struct message CLEANUP(message_free) m;
	char *exact = malloc(len);
	enum wire_error err;
	char got[512];

	/* What lies in the struct before, or behind the line, must not matter. */
	memset(&m, 0xa5, sizeof(m));
	if (len > 0)
		memcpy(exact, line, len);
	err = message_parse(exact, len, &m);
	free(exact); /* nothing may point into the line */
	describe(&m, err, got, sizeof(got));
	if (strcmp(got, want) != 0)
		fail_msg("%.*s\n gives  %s\n wanted %s", (int)len, line, got, want);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(rows[i].line, rows[i].len, rows[i].want);
}

/* Every beginning of every row: none is taken for a message before its closing brace, and none breaks. */
static void test_every_beginning(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t len = 1; len < rows[i].len; len++) {
			struct message CLEANUP(message_free) m;
			char *exact = malloc(len);
			enum wire_error err;

			memcpy(exact, rows[i].line, len);
			err = message_parse(exact, len, &m);
			if (err == WIRE_OK && memchr(exact, '}', len) == NULL)
				fail_msg("%.*s", (int)len, exact);
			free(exact);
		}
	}
}

/* 'format' has one %s, for 'n' times 'unit'. */
static void check_length(const char *format, const char *unit, size_t n, const char *want)
{
	size_t len = strlen(unit);
	char *fill = malloc(n * len + 1);
	char *line = malloc(n * len + strlen(format) + 1);
	struct message CLEANUP(message_free) m;
	enum wire_error err;

	for (size_t i = 0; i < n; i++)
		memcpy(fill + i * len, unit, len);
	fill[n * len] = '\0';
	/* As sprintf would; the format is no literal. */
	len = (size_t)(strchr(format, '%') - format);
	memcpy(line, format, len);
	line[len] = '\0';
	strcat(line, fill);
	strcat(line, format + len + 2);
	err = message_parse(line, strlen(line), &m);
	if (strcmp(err == WIRE_OK ? "ok" : m.why, want) != 0)
		fail_msg("%s with %zu times %s: %s %s", format, n, unit, wire_error_word(err),
			m.why);
	if (err != WIRE_OK)
		assert_int_equal(err, WIRE_ERROR_BAD_MESSAGE);
	free(fill);
	free(line);
}

/* Lengths are bytes of UTF-8 after unescaping: U+00E9 is two of them, a pair of surrogates four. */
static void test_lengths(void **state)
{
	static const struct {
		const char *format;
		size_t max;
		const char *why;
	} fields[] = {
		{"{\"type\":\"hello\",\"v\":1,\"user\":\"%s\"}", 128,
			"user: must be 1 to 128 bytes long"},
		{HELLO ",\"device\":\"%s\"}", 64, "device: must be 1 to 64 bytes long"},
		{HELLO ",\"status\":\"%s\"}", 256, "status: must be at most 256 bytes long"},
		{HELLO ",\"token\":\"%s\"}", 8192, "token: must be at most 8192 bytes long"},
		{HELLO ",\"resume\":\"%s\"}", 256, "resume: must be at most 256 bytes long"},
		{UPDATE ",\"status\":\"%s\"}", 256, "status: must be at most 256 bytes long"},
		{WATCH "[\"%s\"]}", 128, "users[0]: must be 1 to 128 bytes long"},
		{"{\"type\":\"bye\",\"id\":\"%s\"}", 64, "id: must be at most 64 bytes long"},
	};
	static const struct {
		const char *unit;
		size_t bytes;
	} units[] = {{"a", 1}, {"\\\"", 1}, {"\xc3\xa9", 2}, {"\\u00e9", 2}, {"\\ud83d\\ude00", 4},
		{"\xf0\x9f\x98\x80", 4}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		for (size_t j = 0; j < ARRAY_LEN(units); j++) {
			size_t n = fields[i].max / units[j].bytes;

			check_length(fields[i].format, units[j].unit, n, "ok");
			check_length(fields[i].format, units[j].unit, n + 1, fields[i].why);
		}
	}
}

/* A watch of 'n' users, u0 to u(n-1), each filled up to 'width' bytes. */
static char *make_watch(size_t n, int width)
{
	char *line = malloc(64 + n * ((size_t)width + 3));
	char *at = line + sprintf(line, "{\"type\":\"watch\",\"id\":9,\"users\":[");

	for (size_t i = 0; i < n; i++)
		at += sprintf(at, "%s\"u%0*zu\"", i == 0 ? "" : ",", width - 1, i);
	strcpy(at, "]}");
	return line;
}

static void check_watch(const struct message *m, size_t n, int width)
{
	assert_int_equal(m->type, REQUEST_WATCH);
	assert_int_equal(m->n_users, n);
	for (size_t i = 0; i < n; i++) {
		struct slice user = message_user(m, i);
		char want[USER_MAX + 1];

		assert_int_equal(user.len, snprintf(want, sizeof(want), "u%0*zu", width - 1, i));
		assert_memory_equal(user.text, want, user.len);
	}
}

static void test_how_many_users(void **state)
{
	static const int widths[] = {4, 16, 60};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
		struct message CLEANUP(message_free) m;
		char *line = make_watch(REQUEST_USERS_MAX, widths[i]);

		assert_int_equal(message_parse(line, strlen(line), &m), WIRE_OK);
		check_watch(&m, REQUEST_USERS_MAX, widths[i]);
		assert_string_equal(m.id, "9");
		free(line);
	}
	char *line = make_watch(REQUEST_USERS_MAX + 1, 4);

	check(line, strlen(line), "watch id=9 !bad_message users: must be at most 1000 ids");
	free(line);
}

static void test_depth_in_an_unknown_field(void **state)
{
	char line[96];

	(void)state;
	for (int depth = 1; depth < 20; depth++) {
		int n = sprintf(line, "{\"type\":\"bye\",\"x\":");

		memset(line + n, '[', (size_t)depth);
		memset(line + n + depth, ']', (size_t)depth);
		strcpy(line + n + 2 * depth, "}");
		check(line, strlen(line),
			depth < 16 ? "bye" : "- !bad_json " JSON "it nests deeper than 16");
	}
}

static void test_a_heartbeat_holds_no_memory(void **state)
{
	static const char line[] = "{\"type\":\"heartbeat\",\"id\":\"x\"}";
	struct message m;

	(void)state;
	assert_int_equal(message_parse(line, sizeof(line) - 1, &m), WIRE_OK);
	assert_string_equal(m.id, "\"x\"");
	assert_null(m.root);
	assert_null(m.memory);
	message_free(&m);
	message_free(&m);
}

/* Memory that is refused at the n-th asking; for good where 'fail_on' is set. */
static size_t asked, fail_at;
static bool fail_on;

static void *failing_malloc(size_t size)
{
	size_t n = asked++;

	if (n == fail_at || (fail_on && n > fail_at))
		return NULL;
	return malloc(size);
}

/* Parse with the n-th allocation refused, for every n, until it works without. */
static void sweep(const char *line, bool for_good)
{
	enum wire_error err = WIRE_ERROR_SERVER_FULL;

	fail_on = for_good;
	for (fail_at = 0; err != WIRE_OK; fail_at++) {
		struct message CLEANUP(message_free) m;

		asked = 0;
		err = message_parse(line, strlen(line), &m);
		if (err == WIRE_OK) {
			assert_true(asked <= fail_at);
			break;
		}
		assert_int_equal(err, WIRE_ERROR_SERVER_FULL);
		assert_string_equal(m.why, "out of memory");
		assert_int_equal(m.id_len, 0);
		assert_null(m.root);
	}
	assert_true(fail_at > 0);
}

static void test_refused_memory(void **state)
{
	char *watch = make_watch(REQUEST_USERS_MAX, 60);
	static char objects[40000] = "{\"type\":\"bye\",\"x\":[{}";

	(void)state;
	/* Every object takes a table for its keys: many blocks. */
	for (int i = 0; i < 9000; i++)
		memcpy(objects + 21 + 3 * i, ",{}", 3);
	strcat(objects, "]}");
	json_set_alloc_funcs(failing_malloc, free);
	message_memory_install();
	for (int for_good = 0; for_good < 2; for_good++) {
		sweep(HELLO ",\"device\":\"phone\",\"status\":\"some more text than 16 bytes\"}",
			for_good);
		sweep(watch, for_good);
		assert_true(fail_at > 1);
		sweep(objects, for_good);
		assert_true(fail_at > 10);
	}
	json_set_alloc_funcs(malloc, free);
	message_memory_install();
	free(watch);
}

/* Without our hooks it is jansson's memory, and goes back through jansson. */
static void test_without_the_hooks(void **state)
{
	static const char line[] = WATCH "[\"a\",\"b\"]}";
	struct message m;

	(void)state;
	json_set_alloc_funcs(malloc, free);
	assert_int_equal(message_parse(line, sizeof(line) - 1, &m), WIRE_OK);
	assert_null(m.memory);
	assert_non_null(m.root);
	message_free(&m);
	message_memory_install();
	check(line, sizeof(line) - 1, "watch +=a +=b");
}

/* Others who use jansson, before, after and on another thread during a parse, notice nothing. */
static void *use_jansson(void *arg)
{
	size_t *n_wrong = arg; /* cmocka's assertions are for the main thread */

	for (int i = 0; i < 20000; i++) {
		json_t *value = json_pack("{s:[i,s]}", "a", i, "b");

		*n_wrong += json_array_size(json_object_get(value, "a")) != 2;
		json_decref(value);
	}
	return NULL;
}

static void test_others_use_jansson_too(void **state)
{
	char *watch = make_watch(50, 16);
	size_t n_wrong = 0;
	pthread_t other;

	(void)state;
	assert_int_equal(pthread_create(&other, NULL, use_jansson, &n_wrong), 0);
	for (int i = 0; i < 500; i++) {
		struct message CLEANUP(message_free) m;
		json_t *mine = json_pack("{s:i}", "a", i);

		assert_int_equal(message_parse(watch, strlen(watch), &m), WIRE_OK);
		json_object_set_new(mine, "b", json_string("text"));
		assert_int_equal(json_object_size(mine), 2);
		json_decref(mine);
		check_watch(&m, 50, 16);
	}
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_int_equal(n_wrong, 0);
	free(watch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_every_beginning),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_how_many_users),
		cmocka_unit_test(test_depth_in_an_unknown_field),
		cmocka_unit_test(test_a_heartbeat_holds_no_memory),
		cmocka_unit_test(test_refused_memory),
		cmocka_unit_test(test_without_the_hooks),
		cmocka_unit_test(test_others_use_jansson_too),
	};

	return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
