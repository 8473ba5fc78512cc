/* The table tells the feed of every change, with what it knew. */

#include "support/stage.h"

#include "presence/table_admin.h"
#include "support/failing_alloc.h"

#include <stdlib.h>
#include <string.h>

enum { START_MS = 1000000 };

/* The next event, which must be this one; the caller's to unref. */
static struct event *fed(struct stage *s, const char *user, enum state state, enum reason reason)
{
	struct event *e = mailbox_take(&s->feed);
	assert_non_null(e);
	assert_int_equal(e->user_len, strlen(user));
	assert_memory_equal(event_user(e), user, e->user_len);
	assert_int_equal(e->state, state);
	assert_int_equal(e->reason, reason);
	return e;
}

/* The same, and nothing else is asked of it. */
static void assert_fed(struct stage *s, const char *user, enum state state, enum reason reason)
{
	event_unref(fed(s, user, state, reason));
}

static void assert_session(const struct stage *s, const struct event *e, struct seat seat)
{
	char name[SESSION_TEXT_MAX];
	table_session_text(s->table, seat.id, name);
	assert_int_equal(e->evidence.session, strtoull(name, NULL, 16));
}

static void every_change_is_told_once(void **state)
{
	(void)state;
	struct stage s;
	stage_begin_with_feed(&s, START_MS, 10);
	stage_watch(&s, 0, "bob"); /* watched or not */
	stage_watch(&s, 1, "bob");
	struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
	struct seat tablet = stage_login(&s, 1, "bob", "tablet", KEEP, NULL); /* changes nothing */
	struct seat carol = stage_login(&s, 0, "carol", NULL, STATE_BUSY, "in a call");
	stage_update(&s, bob, STATE_BUSY, NULL, NULL);
	stage_leave(&s, bob, REASON_CLOSED);
	stage_leave(&s, tablet, REASON_LOGOUT);
	stage_leave(&s, carol, REASON_RESET);
	assert_fed(&s, "bob", STATE_ONLINE, REASON_LOGIN);
	assert_fed(&s, "carol", STATE_BUSY, REASON_LOGIN);
	assert_fed(&s, "bob", STATE_BUSY, REASON_UPDATE);
	assert_fed(&s, "bob", STATE_ONLINE, REASON_CLOSED);
	assert_fed(&s, "bob", STATE_OFFLINE, REASON_LOGOUT);
	assert_fed(&s, "carol", STATE_OFFLINE, REASON_RESET);
	assert_null(mailbox_take(&s.feed));
	assert_int_equal(stage_counter(&s, COUNTER_events), 6);
	assert_int_equal(stage_counter(&s, COUNTER_events_mailed), 8); /* bob's, to two workers */
	assert_int_equal(stage_counter(&s, COUNTER_feed_lost), 0);
	stage_end(&s);
}

static void who_sleeps_is_woken_once(void **state)
{
	(void)state;
	struct stage s;
	stage_begin_with_feed(&s, START_MS, 10);
	assert_true(mailbox_sleep(&s.feed));
	struct seat bob = stage_login(&s, 0, "bob", NULL, KEEP, NULL);
	assert_true(s.actor.wake_feed);
	assert_int_equal(s.actor.wake_workers, 0);
	s.actor.wake_feed = false;
	stage_leave(&s, bob, REASON_LOGOUT);
	assert_false(s.actor.wake_feed);
	stage_end(&s);
}

static void what_does_not_fit_is_not_lost_silently(void **state)
{
	(void)state;
	struct stage s;
	stage_begin_with_feed(&s, START_MS, 10);
	struct seat bob = stage_login(&s, 0, "bob", NULL, KEEP, NULL);
	for (unsigned i = 1; i < STAGE_RING; i++)
		stage_update(&s, bob, i % 2 ? STATE_AWAY : STATE_ONLINE, NULL, NULL);
	assert_false(mailbox_take_resync(&s.feed));
	assert_false(mailbox_sleep(&s.feed)); /* it has mail */
	stage_leave(&s, bob, REASON_LOGOUT);
	assert_int_equal(stage_counter(&s, COUNTER_feed_lost), 1);
	assert_true(mailbox_take_resync(&s.feed));
	assert_int_equal(mailbox_depth(&s.feed), STAGE_RING);

	struct event *e;
	while ((e = mailbox_take(&s.feed)))
		event_unref(e);
	stage_end(&s);
}

static void without_memory_neither(void **state)
{
	(void)state;
	struct stage s;
	stage_begin_with_feed(&s, START_MS, 10);
	struct seat bob = stage_login(&s, 0, "bob", NULL, KEEP, NULL);
	assert_fed(&s, "bob", STATE_ONLINE, REASON_LOGIN);
	alloc_fail_begin(1); /* the spare that the event would be made of */
	assert_true(stage_close(&s, bob, REASON_LOGOUT));
	assert_true(alloc_fail_end());
	assert_null(mailbox_take(&s.feed));
	assert_int_equal(stage_counter(&s, COUNTER_feed_lost), 1);
	assert_true(mailbox_take_resync(&s.feed));
	stage_end(&s);
}

/* --- what was known --- */

static void an_end_says_what_the_socket_said(void **state)
{
	(void)state;
	static const struct {
		enum reason reason;
		enum socket socket;
	} ends[] = {{REASON_LOGOUT, SOCKET_OPEN}, {REASON_CLOSED, SOCKET_CLOSED},
		{REASON_RESET, SOCKET_RESET}, {REASON_EXPIRED, SOCKET_OPEN},
		{REASON_SLOW, SOCKET_OPEN}, {REASON_VIOLATION, SOCKET_OPEN}};
	struct stage s;
	stage_begin_with_feed(&s, START_MS, 10);
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		const char *device = i % 2 ? "phone" : "a device with a longer name";
		struct seat bob = stage_login(&s, 0, "bob", device, KEEP, NULL);
		uint64_t login_ms = s.now.wall_ms;
		struct event *e = fed(&s, "bob", STATE_ONLINE, REASON_LOGIN);
		assert_session(&s, e, bob);
		assert_int_equal(e->evidence.socket, SOCKET_OPEN);
		assert_int_equal(e->evidence.timeout_ms, TIMEOUT_MS);
		assert_int_equal(e->device_len, strlen(device));
		assert_memory_equal(event_device(e), device, e->device_len);
		event_unref(e);

		stage_pass(&s, 700);
		stage_stamp(&s, bob);
		stage_pass(&s, 50);
		stage_leave(&s, bob, ends[i].reason);
		e = fed(&s, "bob", STATE_OFFLINE, ends[i].reason);
		assert_session(&s, e, bob);
		assert_int_equal(e->at_ms, login_ms + 750);
		assert_int_equal(e->last_seen_ms, STAGE_SEEN(login_ms + 700));
		assert_int_equal(e->evidence.last_byte_ms, STAGE_SEEN(login_ms + 700));
		assert_int_equal(e->evidence.socket, ends[i].socket);
		assert_int_equal(e->evidence.transport, TRANSPORT_TCP);
		assert_int_equal(e->evidence.late_ms, AGO_UNKNOWN);
		assert_int_equal(e->evidence.heard_ago_ms, AGO_UNKNOWN);
		assert_int_equal(e->device_len, strlen(device));
		assert_memory_equal(event_device(e), device, e->device_len);
		event_unref(e);
	}
	stage_end(&s);
}

/* Nominated, heard and judged at these times after the deadline. */
static struct event *expire(struct stage *s, struct seat bob, uint32_t nominated, uint32_t heard,
	uint32_t judged, const struct standstill *still)
{
	role_watchdog_begin();
	role_worker_begin();
	uint32_t left = atomic_load(bob.stamp) - (uint32_t)s->now.mono_ms;
	bool has_connection = session_connection(bob.session) != CONNECTION_NONE;
	stage_pass(s, left + nominated);
	table_nominate(s->table, &s->actor, 0, (uint32_t)s->now.mono_ms);
	stage_pass(s, heard - nominated);
	if (has_connection) {
		assert_ptr_equal(stage_listed(s, 0), bob.session);
		table_heard(s->table, &s->actor, bob.session, (uint32_t)s->now.mono_ms);
	}
	stage_pass(s, judged - heard);
	assert_ptr_equal(stage_listed(s, STAGE_WORKERS), bob.session);
	struct verdict v = table_judge(s->table, &s->actor, bob.session, still, s->now);
	if (v.kind != VERDICT_EXPIRED)
		return NULL;
	assert_int_equal(v.lateness_ms, judged);
	assert_ptr_equal(stage_listed(s, 0), bob.session);
	table_release(s->table, bob.session, true);
	return fed(s, "bob", STATE_OFFLINE, REASON_TIMEOUT);
}

static const struct standstill no_standstill = {.is_set = false};

static void a_timeout_says_how_it_came(void **state)
{
	(void)state;
	struct stage s;
	stage_begin_with_feed(&s, START_MS, 10);
	struct seat bob = stage_login(&s, 0, "bob", NULL, KEEP, NULL);
	uint64_t login_ms = s.now.wall_ms;
	assert_fed(&s, "bob", STATE_ONLINE, REASON_LOGIN);
	struct event *e = expire(&s, bob, 60, 62, 63, &no_standstill);
	assert_session(&s, e, bob);
	assert_int_equal(e->at_ms, login_ms + TIMEOUT_MS + 63);
	assert_int_equal(e->evidence.late_ms, 63);
	assert_int_equal(e->evidence.nominated_ago_ms, 3);
	assert_int_equal(e->evidence.heard_ago_ms, 1);
	assert_int_equal(e->evidence.granted_ms, 0);
	assert_int_equal(e->evidence.socket, SOCKET_OPEN);
	assert_int_equal(e->evidence.last_byte_ms, STAGE_SEEN(login_ms));
	assert_int_equal(e->device_len, 0); /* the session's name */
	event_unref(e);

	/* A worker that answered after minutes: more than there is room to remember. */
	bob = stage_login(&s, 0, "bob", NULL, KEEP, NULL);
	assert_fed(&s, "bob", STATE_ONLINE, REASON_LOGIN);
	e = expire(&s, bob, 60, 70000, 70001, &no_standstill);
	assert_int_equal(e->evidence.late_ms, 70001);
	assert_int_equal(e->evidence.nominated_ago_ms, 70001 - 60);
	assert_int_equal(e->evidence.heard_ago_ms, AGO_UNKNOWN);
	event_unref(e);
	stage_end(&s);
}

static void a_timeout_without_a_connection_was_not_heard(void **state)
{
	(void)state;
	struct stage s;
	stage_begin_with_feed(&s, START_MS, 10);
	struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
	assert_fed(&s, "bob", STATE_ONLINE, REASON_LOGIN);
	role_worker_begin();
	assert_true(table_detach(s.table, &s.actor, bob.session, bob.id, (struct baggage){0}));
	struct event *e = expire(&s, bob, 10, 10, 10, &no_standstill);
	assert_int_equal(e->evidence.socket, SOCKET_NONE);
	assert_int_equal(e->evidence.nominated_ago_ms, 0);
	assert_int_equal(e->evidence.heard_ago_ms, AGO_UNKNOWN);
	assert_int_equal(e->device_len, 5);
	event_unref(e);
	stage_end(&s);
}

static void what_a_standstill_granted_is_told(void **state)
{
	(void)state;
	struct stage s;
	stage_begin_with_feed(&s, START_MS, 10);
	struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
	uint64_t login_ms = s.now.wall_ms;
	assert_fed(&s, "bob", STATE_ONLINE, REASON_LOGIN);
	struct standstill still = {
		.is_set = true, .end_ms = (uint32_t)s.now.mono_ms + TIMEOUT_MS, .gap_ms = 1200};
	assert_null(expire(&s, bob, 5, 6, 7, &still)); /* granted */
	struct event *e = expire(&s, bob, 20, 21, 22, &still);
	assert_int_equal(e->evidence.granted_ms, 1200);
	assert_int_equal(e->evidence.timeout_ms, TIMEOUT_MS);
	assert_int_equal(e->evidence.late_ms, 22);
	assert_int_equal(e->evidence.nominated_ago_ms, 2);
	assert_int_equal(e->evidence.last_byte_ms, STAGE_SEEN(login_ms));
	assert_int_equal(e->at_ms, login_ms + TIMEOUT_MS + 1200 + 22);
	event_unref(e);
	stage_end(&s);
}

static void a_kick_names_a_session(void **state)
{
	(void)state;
	struct stage s;
	stage_begin_with_feed(&s, START_MS, 10);
	struct seat phone = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
	struct seat tablet = stage_login(&s, 0, "bob", "tablet", KEEP, NULL);
	assert_fed(&s, "bob", STATE_ONLINE, REASON_LOGIN);
	role_admin_begin();
	role_worker_begin();
	assert_int_equal(table_kick_user(s.table, &s.actor, "bob", 3, s.now), 2);
	struct event *e = fed(&s, "bob", STATE_OFFLINE, REASON_KICKED);
	assert_session(&s, e, tablet); /* updated last */
	event_unref(e);
	struct mailbox_link *links = mailbox_take_links(&s.boxes[0]);
	assert_ptr_equal(session_from_link(links), tablet.session);
	assert_ptr_equal(session_from_link(links->next), phone.session);
	table_release(s.table, tablet.session, true);
	table_release(s.table, phone.session, true);
	stage_end(&s);
}

/* Who reads the table beside its events has to know up to which of them a page goes, also one of nobody. */
static void a_page_of_nobody_says_the_counter(void **state)
{
	(void)state;
	struct stage s;
	struct user_view views[1];
	size_t n = 999;
	stage_begin(&s, 1000, 10);
	role_admin_begin();
	stage_leave(&s, stage_login(&s, 0, "bob", NULL, KEEP, NULL), REASON_LOGOUT);
	struct user_filter filter = {.is_online = true};
	uint64_t cursor = table_key(table_hash(s.table, "bob", 3));
	table_page(s.table, &filter, s.now, &cursor, views, 1, &n);
	assert_int_equal(n, 0);
	assert_int_equal(views[0].snapshot.counter, 2);
	assert_true(cursor > table_key(table_hash(s.table, "bob", 3)));
	stage_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_change_is_told_once),
		cmocka_unit_test(who_sleeps_is_woken_once),
		cmocka_unit_test(what_does_not_fit_is_not_lost_silently),
		cmocka_unit_test(without_memory_neither),
		cmocka_unit_test(an_end_says_what_the_socket_said),
		cmocka_unit_test(a_timeout_says_how_it_came),
		cmocka_unit_test(a_timeout_without_a_connection_was_not_heard),
		cmocka_unit_test(what_a_standstill_granted_is_told),
		cmocka_unit_test(a_page_of_nobody_says_the_counter),
		cmocka_unit_test(a_kick_names_a_session),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
