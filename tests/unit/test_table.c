#include "support/stage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- what others see: each story is a row of steps, and what the watcher is told after each --- */

enum what { LOGIN, UPDATE, END };

struct step {
	enum what what;
	unsigned device;
	int state; /* END: the reason */
	const char *status;
	const char *told; /* "": nothing */
};

struct story {
	const char *name;
	struct step steps[8];
};

static const struct story stories[] = {
	{"one device comes, changes and goes",
		{{LOGIN, 0, KEEP, NULL, "online login -"},
			{UPDATE, 0, STATE_AWAY, NULL, "away update -"},
			{UPDATE, 0, KEEP, "lunch", "away update lunch"},
			{UPDATE, 0, STATE_BUSY, "call", "busy update call"},
			{UPDATE, 0, KEEP, "-", "busy update -"},
			{END, 0, REASON_LOGOUT, NULL, "offline logout -"}}},
	{"a status goes with its device", {{LOGIN, 0, STATE_ONLINE, "hi", "online login hi"},
						  {END, 0, REASON_RESET, NULL, "offline reset -"}}},
	{"an empty status is not none",
		{{LOGIN, 0, KEEP, NULL, "online login -"}, {UPDATE, 0, KEEP, "", "online update "},
			{UPDATE, 0, KEEP, "", ""}, {UPDATE, 0, KEEP, "-", "online update -"}}},
	{"the first of busy, online, away",
		{{LOGIN, 0, STATE_AWAY, NULL, "away login -"},
			{LOGIN, 1, STATE_ONLINE, NULL, "online login -"},
			{LOGIN, 2, STATE_BUSY, NULL, "busy login -"},
			{UPDATE, 1, STATE_AWAY, NULL, ""},
			{END, 2, REASON_CLOSED, NULL, "away closed -"},
			{END, 0, REASON_RESET, NULL, ""},
			{UPDATE, 1, STATE_ONLINE, NULL, "online update -"}}},
	{"a second device that changes neither state nor status is no news",
		{{LOGIN, 0, STATE_ONLINE, NULL, "online login -"},
			{LOGIN, 1, STATE_ONLINE, NULL, ""}, {LOGIN, 2, STATE_AWAY, "gone", ""},
			{END, 0, REASON_CLOSED, NULL, ""}, {END, 2, REASON_TIMEOUT, NULL, ""},
			{UPDATE, 1, STATE_ONLINE, NULL, ""}, {UPDATE, 1, STATE_ONLINE, "-", ""}}},
	{"the status is that of the device that makes the state",
		{{LOGIN, 0, STATE_ONLINE, "desk", "online login desk"},
			{LOGIN, 1, STATE_AWAY, "phone", ""},
			{UPDATE, 1, STATE_BUSY, NULL, "busy update phone"},
			{UPDATE, 0, KEEP, "desk again", ""},
			{UPDATE, 1, STATE_AWAY, NULL, "online update desk again"}}},
	{"and of these, of the one updated last",
		{{LOGIN, 0, STATE_ONLINE, "first", "online login first"},
			{LOGIN, 1, STATE_ONLINE, "second", "online login second"},
			{UPDATE, 0, STATE_ONLINE, NULL, "online update first"},
			{UPDATE, 1, KEEP, "third", "online update third"},
			{END, 1, REASON_KICKED, NULL, "online kicked first"},
			{LOGIN, 2, STATE_ONLINE, NULL, "online login -"}}},
	{"an update without words changes nobody's place",
		{{LOGIN, 0, STATE_ONLINE, "first", "online login first"},
			{LOGIN, 1, STATE_ONLINE, "second", "online login second"},
			{UPDATE, 0, KEEP, NULL, ""}}},
	{"invisible looks like logout, and like login when it ends",
		{{LOGIN, 0, STATE_ONLINE, "hi", "online login hi"},
			{UPDATE, 0, STATE_INVISIBLE, NULL, "offline logout -"},
			{UPDATE, 0, KEEP, "hidden", ""}, {UPDATE, 0, STATE_INVISIBLE, NULL, ""},
			{UPDATE, 0, STATE_AWAY, NULL, "away login hidden"},
			{UPDATE, 0, STATE_INVISIBLE, NULL, "offline logout -"},
			{END, 0, REASON_LOGOUT, NULL, ""}}},
	{"who logs in invisible looks as before",
		{{LOGIN, 0, STATE_INVISIBLE, "psst", ""},
			{LOGIN, 1, STATE_ONLINE, NULL, "online login -"},
			{END, 1, REASON_CLOSED, NULL, "offline closed -"},
			{LOGIN, 0, KEEP, NULL, ""}, /* a takeover that keeps it so */
			{END, 0, REASON_CLOSED, NULL, ""}}},
	{"an invisible device counts nowhere",
		{{LOGIN, 0, STATE_AWAY, "seen", "away login seen"},
			{LOGIN, 1, STATE_BUSY, "busy", "busy login busy"},
			{UPDATE, 1, STATE_INVISIBLE, NULL, "away logout seen"},
			{UPDATE, 1, STATE_ONLINE, NULL, "online login busy"}}},
	{"a takeover into invisible looks like logout, one out of it like login",
		{{LOGIN, 0, STATE_ONLINE, NULL, "online login -"},
			{LOGIN, 0, STATE_INVISIBLE, NULL, "offline logout -"},
			{LOGIN, 0, STATE_AWAY, NULL, "away login -"}}},
	{"a takeover without words keeps them, and is no news",
		{{LOGIN, 0, STATE_BUSY, "call", "busy login call"}, {LOGIN, 0, KEEP, NULL, ""},
			{LOGIN, 0, STATE_BUSY, "call", ""},
			{LOGIN, 0, KEEP, "other", "busy login other"},
			{LOGIN, 0, STATE_AWAY, NULL, "away login other"},
			{LOGIN, 0, KEEP, "-", "away login -"},
			{END, 0, REASON_SLOW, NULL, "offline slow -"}}},
	{"a reconnect without words is no activity",
		{{LOGIN, 0, STATE_ONLINE, "first", "online login first"},
			{LOGIN, 1, STATE_ONLINE, "second", "online login second"},
			{LOGIN, 0, KEEP, NULL, ""},
			{LOGIN, 0, STATE_ONLINE, NULL, "online login first"}}},
	{"every end has its reason: 1",
		{{LOGIN, 0, KEEP, NULL, "online login -"},
			{END, 0, REASON_CLOSED, NULL, "offline closed -"},
			{LOGIN, 0, KEEP, NULL, "online login -"},
			{END, 0, REASON_EXPIRED, NULL, "offline expired -"},
			{LOGIN, 0, KEEP, NULL, "online login -"},
			{END, 0, REASON_VIOLATION, NULL, "offline violation -"}}},
	{"every end has its reason: 2",
		{{LOGIN, 0, KEEP, NULL, "online login -"},
			{END, 0, REASON_KICKED, NULL, "offline kicked -"},
			{LOGIN, 0, KEEP, NULL, "online login -"},
			{END, 0, REASON_TIMEOUT, NULL, "offline timeout -"}}},
};

static void play_step(struct stage *s, const struct step *step, struct seat seats[3])
{
	static const char *const devices[] = {"phone", "desk", "watch"};
	struct seat *seat = &seats[step->device];
	switch (step->what) {
	case LOGIN:
		*seat = stage_login(
			s, step->device, "bob", devices[step->device], step->state, step->status);
		break;
	case UPDATE:
		assert_int_equal(stage_update(s, *seat, step->state, step->status, NULL), 0);
		break;
	case END:
		stage_leave(s, *seat, (enum reason)step->state);
		break;
	}
}

static void stories_are_told_as_the_protocol_says(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(stories); i++) {
		struct stage s;
		struct seat seats[3];
		uint64_t seq = 0;
		stage_begin(&s, 1000000, 10);
		stage_watch(&s, 2, "bob");
		for (const struct step *step = stories[i].steps; step->told; step++) {
			char want[64];
			struct numbers n = {.seq = UINT64_MAX};
			stage_pass(&s, 10);
			play_step(&s, step, seats);
			snprintf(want, sizeof(want), "%s%s", *step->told ? "bob " : "", step->told);
			const char *told = stage_told(&s, 2, &n);
			if (strcmp(told, want) != 0)
				fail_msg("%s, step %d: \"%s\" and not \"%s\"", stories[i].name,
					(int)(step - stories[i].steps) + 1, told, want);
			assert_true(n.seq > seq);
			if (*told) {
				seq = n.seq;
				assert_int_equal(n.at_ms, s.now.wall_ms);
				struct snapshot now = stage_look(&s, "bob");
				assert_string_equal(stage_words(&now), step->told);
				assert_int_equal(now.seq, n.seq);
				assert_int_equal(now.at_ms, n.at_ms);
			}
			assert_string_equal(stage_told(&s, 2, NULL), "");
			stage_check(&s);
		}
		stage_end(&s);
	}
}

static void every_end_is_counted(void **state)
{
	(void)state;
	static const struct {
		enum reason reason;
		enum counter counter;
	} rows[] = {{REASON_LOGOUT, COUNTER_ended_logout}, {REASON_CLOSED, COUNTER_ended_closed},
		{REASON_RESET, COUNTER_ended_reset}, {REASON_TIMEOUT, COUNTER_ended_timeout},
		{REASON_KICKED, COUNTER_ended_kicked}, {REASON_EXPIRED, COUNTER_ended_expired},
		{REASON_SLOW, COUNTER_ended_slow}, {REASON_VIOLATION, COUNTER_ended_violation}};
	struct stage s;
	stage_begin(&s, 1000, 10);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		stage_leave(&s, stage_login(&s, 0, "bob", "phone", KEEP, NULL), rows[i].reason);
		assert_int_equal(stage_counter(&s, rows[i].counter), 1);
	}
	assert_int_equal(stage_counter(&s, COUNTER_logins), ARRAY_LEN(rows));
	stage_end(&s);
}

/* --- updates --- */

static void an_update_says_what_the_words_are_now(void **state)
{
	(void)state;
	struct stage s;
	struct snapshot now;
	stage_begin(&s, 1000, 10);
	struct seat seat = stage_login(&s, 0, "bob", NULL, STATE_AWAY, "lunch");
	assert_int_equal(stage_update(&s, seat, STATE_BUSY, NULL, &now), 0);
	assert_true(now.state == STATE_BUSY && now.has_status && now.status_len == 5);
	assert_memory_equal(now.status, "lunch", 5);
	assert_int_equal(stage_update(&s, seat, KEEP, "-", &now), 0);
	assert_true(now.state == STATE_BUSY && !now.has_status);
	assert_int_equal(stage_update(&s, seat, STATE_INVISIBLE, "x", &now), 0);
	assert_true(now.state == STATE_INVISIBLE &&
		    now.has_status); /* the device's own, not what others see */
	assert_int_equal(stage_counter(&s, COUNTER_updates), 3);

	stage_leave(&s, seat, REASON_LOGOUT);
	now.state = STATE_AWAY;
	assert_int_equal(stage_update(&s, seat, STATE_BUSY, "late", &now), -ESTALE);
	assert_int_equal(now.state, STATE_AWAY); /* outputs are untouched */
	assert_int_equal(stage_counter(&s, COUNTER_updates), 3);
	stage_end(&s);
}

/* Its connection asks its record for the number, and has 0 of it where another worker has ended the session just before: an
 * update that came then had the server read the user of nobody. */
static void an_update_after_the_end_is_no_updates_of_session_zero(void **state)
{
	(void)state;
	struct stage s;
	stage_begin(&s, 1000, 10);
	struct seat old = stage_login(&s, 0, "bob", "phone", STATE_AWAY, NULL);
	struct seat fresh = stage_login(&s, 1, "bob", "phone", STATE_ONLINE, NULL);
	assert_true(fresh.is_takeover);
	old.id = session_id(old.session);
	assert_int_equal(old.id, 0);
	assert_int_equal(stage_update(&s, old, STATE_BUSY, "late", NULL), -ESTALE);
	assert_false(stage_close(&s, old, REASON_LOGOUT));
	struct snapshot now = stage_look(&s, "bob");
	assert_string_equal(stage_words(&now), "online login -");
	role_worker_begin();
	assert_ptr_equal(stage_listed(&s, 0), old.session);
	table_release(s.table, old.session, true);
	stage_leave(&s, fresh, REASON_LOGOUT);
	stage_end(&s);
}

/* --- seq --- */

/* A name whose stripe is that of 'user': these share a counter. */
static void same_stripe(const struct stage *s, const char *user, char *ret, size_t room)
{
	uint64_t want = table_hash(s->table, user, strlen(user)) % 512;
	for (unsigned i = 0;; i++) {
		snprintf(ret, room, "n%u", i);
		if (strcmp(ret, user) != 0 && table_hash(s->table, ret, strlen(ret)) % 512 == want)
			return;
	}
}

static void numbers_never_go_back(void **state)
{
	(void)state;
	struct stage s;
	struct numbers n;
	char other[16];
	stage_begin(&s, 1000, 0); /* everybody who leaves unwatched is forgotten */
	same_stripe(&s, "bob", other, sizeof(other));

	struct snapshot look = stage_watch(&s, 0, "bob");
	assert_string_equal(stage_words(&look), "offline unknown -");
	assert_true(!look.is_known && look.seq == 0 && look.counter == 0);

	struct seat seat = stage_login(&s, 1, "bob", NULL, KEEP, NULL);
	assert_string_equal(stage_told(&s, 0, &n), "bob online login -");
	assert_int_equal(n.seq, 1);
	for (unsigned i = 0; i < 5; i++) /* shared numbers: bob's jump */
		stage_leave(&s, stage_login(&s, 1, other, NULL, KEEP, NULL), REASON_LOGOUT);
	look = stage_look(&s, "bob");
	assert_true(look.seq == 1 && look.counter == 11);
	look = stage_look(&s, other); /* forgotten: the counter's present value */
	assert_true(!look.is_known && look.seq == 11);

	stage_leave(&s, seat, REASON_CLOSED);
	assert_string_equal(stage_told(&s, 0, &n), "bob offline closed -");
	assert_int_equal(n.seq, 12);
	stage_unwatch(&s, 0, "bob");
	look = stage_watch(&s, 0, "bob");
	assert_true(!look.is_known && look.reason == REASON_UNKNOWN && look.seq == 12 &&
		    look.counter == 12);
	stage_login(&s, 1, "bob", NULL, KEEP, NULL);
	assert_string_equal(stage_told(&s, 0, &n), "bob online login -");
	assert_int_equal(n.seq, 13);
	stage_end(&s);
}

static void a_watch_knows_what_came_before_it(void **state)
{
	(void)state;
	struct stage s;
	struct numbers n;
	stage_begin(&s, 1000, 10);
	stage_watch(&s, 0, "bob");
	struct seat seat = stage_login(&s, 1, "bob", NULL, KEEP, NULL);
	struct snapshot look =
		stage_watch(&s, 2, "bob"); /* another worker's watch: nothing of the login */
	assert_string_equal(stage_words(&look), "online login -");
	assert_string_equal(stage_told(&s, 2, NULL), "");
	assert_string_equal(stage_told(&s, 0, &n), "bob online login -");
	assert_true(look.seq == n.seq && look.counter >= n.seq);
	stage_unwatch(&s, 0, "bob");
	stage_update(&s, seat, STATE_AWAY, NULL, NULL);
	assert_string_equal(stage_told(&s, 0, NULL), ""); /* watches no more */
	assert_string_equal(stage_told(&s, 2, &n), "bob away update -");
	assert_true(n.seq > look.counter);
	stage_end(&s);
}

/* --- takeover --- */

static void a_takeover_moves_the_session_between_workers(void **state)
{
	(void)state;
	role_worker_begin();
	struct stage s;
	stage_begin(&s, 1000, 10);
	stage_watch(&s, 2, "bob");
	struct seat old = stage_login(&s, 0, "bob", "phone", STATE_BUSY, "call");
	stage_told(&s, 2, NULL);
	atomic_store(&s.boxes[0].is_asleep, true);
	struct seat new = stage_login(&s, 1, "bob", "phone", KEEP, NULL);
	assert_true(new.is_takeover && !old.is_takeover);
	assert_int_not_equal(new.id, old.id);
	assert_int_equal(s.actor.wake_workers, 1); /* worker 0 slept */
	assert_string_equal(stage_told(&s, 2, NULL), "");

	/* The old connection's end, on its way meanwhile, is nothing. */
	assert_false(stage_close(&s, old, REASON_RESET));
	assert_int_equal(stage_update(&s, old, STATE_AWAY, NULL, NULL), -ESTALE);
	struct snapshot look = stage_look(&s, "bob");
	assert_string_equal(stage_words(&look), "busy login call");

	assert_null(stage_listed(&s, 1));
	assert_ptr_equal(stage_listed(&s, 0), old.session);
	assert_int_equal(session_id(old.session), 0);
	assert_int_equal(session_end_reason(old.session), REASON_REPLACED);
	table_release(s.table, old.session, true);
	assert_int_equal(stage_counter(&s, COUNTER_takeovers), 1);
	assert_int_equal(table_count(s.table).sessions, 1);

	/* The record has another session now: the old id is nothing to it. */
	struct seat reuser = stage_login(&s, 0, "carol", NULL, KEEP, NULL);
	assert_ptr_equal(reuser.session, old.session);
	assert_false(stage_close(&s, old, REASON_CLOSED));
	look = stage_look(&s, "carol");
	assert_int_equal(look.state, STATE_ONLINE);
	stage_end(&s);
}

static void found_ended_it_can_be_released_before_the_list_says_so(void **state)
{
	(void)state;
	role_worker_begin();
	struct stage s;
	stage_begin(&s, 1000, 10);
	struct seat old = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
	stage_login(&s, 1, "bob", "phone", KEEP, NULL);
	assert_false(stage_close(&s, old, REASON_CLOSED));
	table_release(s.table, old.session, false); /* in a list: not yet free */
	struct seat other = stage_login(&s, 0, "carol", NULL, KEEP, NULL);
	assert_ptr_not_equal(other.session, old.session);
	assert_ptr_equal(stage_listed(&s, 0), old.session);
	assert_int_equal(session_connection(old.session), CONNECTION_NONE);
	table_release(s.table, old.session, true);
	other = stage_login(&s, 0, "dave", NULL, KEEP, NULL);
	assert_ptr_equal(other.session, old.session);
	stage_end(&s);
}

static void made_up_devices_can_come_back_by_name(void **state)
{
	(void)state;
	struct stage s;
	char first[SESSION_TEXT_MAX], second[SESSION_TEXT_MAX];
	stage_begin(&s, 1000, 10);
	struct seat a = stage_login(&s, 0, "bob", NULL, STATE_AWAY, "a");
	struct seat b = stage_login(&s, 0, "bob", NULL, KEEP, NULL);
	assert_false(b.is_takeover); /* two that say nothing are two */
	table_session_text(s.table, a.id, first);
	table_session_text(s.table, b.id, second);
	assert_string_not_equal(first, second);
	assert_int_equal(strlen(first), 16);
	assert_int_equal(strspn(first, "0123456789abcdef"), 16);

	struct seat again = stage_login(&s, 1, "bob", first, KEEP, NULL);
	assert_true(again.is_takeover);
	assert_int_equal(session_id(a.session), 0);
	again = stage_login(&s, 1, "bob", first, KEEP, NULL); /* and keeps the name from then on */
	assert_true(again.is_takeover);
	assert_false(
		stage_login(&s, 1, "carol", second, KEEP, NULL).is_takeover); /* another user's */
	assert_int_equal(table_count(s.table).sessions, 3);
	stage_end(&s);
}

static void at_the_limit_the_longest_silent_gives_way(void **state)
{
	(void)state;
	role_worker_begin();
	struct stage s;
	stage_begin(&s, 0xfffffff0, 10); /* the stamps wrap in between */
	stage_watch(&s, 2, "bob");
	struct seat a = stage_login(&s, 0, "bob", "a", STATE_AWAY, NULL);
	stage_pass(&s, 10);
	struct seat b = stage_login(&s, 0, "bob", "b", STATE_BUSY, "b");
	stage_pass(&s, 10);
	stage_login(&s, 0, "bob", "c", STATE_ONLINE, NULL);
	stage_pass(&s, 10);
	stage_stamp(&s, a); /* so that b is it */
	while (*stage_told(&s, 2, NULL))
		;
	assert_false(stage_login(&s, 1, "bob", "d", STATE_ONLINE, NULL).is_takeover);
	assert_string_equal(stage_told(&s, 2, NULL), "bob online login -");
	assert_ptr_equal(stage_listed(&s, 0), b.session);
	assert_int_equal(session_end_reason(b.session), REASON_REPLACED);
	table_release(s.table, b.session, true);
	assert_int_equal(stage_counter(&s, COUNTER_evicted), 1);
	assert_int_equal(stage_counter(&s, COUNTER_takeovers), 0);
	assert_int_equal(table_count(s.table).sessions, 3);
	/* A takeover needs no room. */
	assert_true(stage_login(&s, 1, "bob", "c", KEEP, NULL).is_takeover);
	assert_int_equal(stage_counter(&s, COUNTER_evicted), 1);
	stage_end(&s);
}

static void a_detached_session_stays_until_it_ends(void **state)
{
	(void)state;
	role_worker_begin();
	struct stage s;
	stage_begin(&s, 1000, 10);
	stage_watch(&s, 2, "bob");
	struct seat a = stage_login(&s, 0, "bob", "phone", KEEP, "hi");
	stage_told(&s, 2, NULL);
	assert_true(table_detach(s.table, &s.actor, a.session, a.id, (struct baggage){0}));
	assert_int_equal(session_connection(a.session), CONNECTION_NONE);
	struct snapshot look = stage_look(&s, "bob");
	assert_string_equal(stage_words(&look), "online login hi");
	/* The device comes back: no event, and the record comes to its owner to be released. */
	assert_true(stage_login(&s, 1, "bob", "phone", KEEP, NULL).is_takeover);
	assert_string_equal(stage_told(&s, 2, NULL), "");
	assert_false(table_detach(s.table, &s.actor, a.session, a.id, (struct baggage){0}));
	assert_ptr_equal(stage_listed(&s, 0), a.session);
	table_release(s.table, a.session, true);
	stage_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_update_after_the_end_is_no_updates_of_session_zero),
		cmocka_unit_test(stories_are_told_as_the_protocol_says),
		cmocka_unit_test(every_end_is_counted),
		cmocka_unit_test(an_update_says_what_the_words_are_now),
		cmocka_unit_test(numbers_never_go_back),
		cmocka_unit_test(a_watch_knows_what_came_before_it),
		cmocka_unit_test(a_takeover_moves_the_session_between_workers),
		cmocka_unit_test(found_ended_it_can_be_released_before_the_list_says_so),
		cmocka_unit_test(made_up_devices_can_come_back_by_name),
		cmocka_unit_test(at_the_limit_the_longest_silent_gives_way),
		cmocka_unit_test(a_detached_session_stays_until_it_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
