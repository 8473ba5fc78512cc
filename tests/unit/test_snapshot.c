#include "presence/snapshot.h"

#include "support/cmocka_all.h"

#include <jansson.h>
#include <string.h>

static struct snapshot known(void)
{
	return (struct snapshot){.state = STATE_ONLINE,
		.reason = REASON_LOGIN,
		.is_known = true,
		.seq = 41,
		.at_ms = UINT64_C(1763794282100),
		.last_seen_ms = UINT64_C(1763794282099)};
}

static void set_status(struct snapshot *s, const char *text, size_t len)
{
	s->has_status = true;
	s->status_len = len;
	memcpy(s->status, text, len);
}

/* The object as jansson makes it of the same values. */
static json_t *object_of(const char *user, size_t len, const struct snapshot *s)
{
	json_t *o = json_pack("{s:s%, s:s, s:s, s:I}", "user", user, len, "state",
		state_word(s->state), "reason", reason_word(s->reason), "seq", (json_int_t)s->seq);
	assert_non_null(o);
	json_object_set_new(
		o, "at_ms", s->is_known ? json_integer((json_int_t)s->at_ms) : json_null());
	json_object_set_new(o, "last_seen_ms",
		s->is_known ? json_integer((json_int_t)s->last_seen_ms) : json_null());
	json_object_set_new(
		o, "status", s->has_status ? json_stringn(s->status, s->status_len) : json_null());
	if (s->is_reconnecting)
		json_object_set_new(o, "reconnecting", json_true());
	return o;
}

/* Writes it into exactly as much memory as is said to be enough, and reads it with jansson. */
static size_t check(const char *user, size_t len, const struct snapshot *s)
{
	size_t room = SNAPSHOT_JSON_MAX(len, s->has_status ? s->status_len : 0);
	char *text = malloc(room + 1);
	assert_non_null(text);
	text[0] = '{';
	char *end = snapshot_put_fields(text + 1, user, len, s);
	assert_true((size_t)(end - text) <= room);
	json_error_t error;
	json_t *got = json_loadb(text, (size_t)(end - text), JSON_REJECT_DUPLICATES, &error);
	if (!got)
		fail_msg("%s in %.*s", error.text, (int)(end - text), text);
	json_t *want = object_of(user, len, s);
	if (!json_equal(got, want))
		fail_msg("%.*s", (int)(end - text), text);
	json_decref(got);
	json_decref(want);
	free(text);
	return (size_t)(end - text);
}

static void reads_as_it_was_meant(void **state)
{
	(void)state;
	struct snapshot s = known();
	check("alice", 5, &s);
	for (s.state = 0; s.state <= STATE_BUSY; s.state++)
		for (s.reason = 0; s.reason < REASON_REPLACED; s.reason++)
			check("b", 1, &s);
	s = known();
	set_status(&s, "", 0);
	check("alice", 5, &s);
	set_status(&s, "in a \"meeting\" \\ \xc3\xa9\xf0\x9f\x98\x80/", 24);
	check("al\"ic\\e", 7, &s);
	s.is_reconnecting = true;
	check("alice", 5, &s);
	s = (struct snapshot){.state = STATE_OFFLINE,
		.reason = REASON_UNKNOWN,
		.seq = 9,
		.at_ms = 5,
		.last_seen_ms = 6};
	check("nobody", 6, &s);
}

static void has_the_fields_of_the_protocol_in_their_order(void **state)
{
	(void)state;
	char text[512];
	struct snapshot s = known();
	set_status(&s, "hi", 2);
	char *end = snapshot_put_fields(text, "bob", 3, &s);
	*end = '\0';
	assert_string_equal(text,
		"\"user\":\"bob\",\"state\":\"online\",\"reason\":\"login\",\"seq\":41,"
		"\"at_ms\":1763794282100,\"last_seen_ms\":1763794282099,\"status\":\"hi\"}");
	s = (struct snapshot){.state = STATE_OFFLINE,
		.reason = REASON_UNKNOWN,
		.seq = 7,
		.is_reconnecting = true};
	end = snapshot_put_fields(text, "bob", 3, &s);
	*end = '\0';
	assert_string_equal(text,
		"\"user\":\"bob\",\"state\":\"offline\",\"reason\":\"unknown\",\"seq\":7,"
		"\"at_ms\":null,\"last_seen_ms\":null,\"status\":null,\"reconnecting\":true}");
}

static void the_longest_fits(void **state)
{
	(void)state;
	char user[USER_MAX], status[STATUS_MAX];
	memset(user, '"', sizeof(user));
	memset(status, '\\', sizeof(status));
	struct snapshot s = {
		.state = STATE_OFFLINE, /* the longest words, with the longest numbers */
		.reason = REASON_VIOLATION,
		.is_known = true,
		.is_reconnecting = true,
		.seq = INT64_MAX,
		.at_ms = INT64_MAX,
		.last_seen_ms = INT64_MAX};
	set_status(&s, status, sizeof(status));
	for (size_t len = 1; len <= USER_MAX; len++)
		check(user, len, &s);
	for (size_t len = 0; len <= STATUS_MAX; len++) {
		s.status_len = len;
		check(user, USER_MAX, &s);
	}
	/* Longer numbers than jansson reads. */
	char text[SNAPSHOT_JSON_MAX(USER_MAX, STATUS_MAX)];
	s.seq = s.at_ms = s.last_seen_ms = UINT64_MAX;
	assert_true(1 + snapshot_put_fields(text, user, USER_MAX, &s) - text <=
		    (ptrdiff_t)sizeof(text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_as_it_was_meant),
		cmocka_unit_test(has_the_fields_of_the_protocol_in_their_order),
		cmocka_unit_test(the_longest_fits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
