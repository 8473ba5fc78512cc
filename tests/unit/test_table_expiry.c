/* No verdict without a hearing: nomination, hearing, judgement, as tables of numbers. Each test runs twice: with a
 * clock far from 2^32 ms, and with one that passes it on the way. */

#include "support/stage.h"

#include <string.h>

static const uint64_t starts[] = {1000000, 0xfffffa00};
static const struct standstill none = {.is_set = false};

#define FOR_EACH_START(s)                                                                          \
	for (unsigned start_ = 0; start_ < 2 && (stage_begin(s, starts[start_], 10), true);        \
		stage_end(s), start_++)

static void nominate(struct stage *s, unsigned worker)
{
	role_watchdog_begin();
	table_nominate(s->table, &s->actor, worker, (uint32_t)s->now.mono_ms);
}

/* A session of worker 0 is nominated, and heard: nothing to read. */
static void nominate_and_hear(struct stage *s, struct seat seat)
{
	role_worker_begin();
	nominate(s, 0);
	assert_ptr_equal(stage_listed(s, 0), seat.session);
	assert_int_equal(session_id(seat.session), seat.id);
	table_heard(s->table, &s->actor, seat.session, (uint32_t)s->now.mono_ms);
}

static struct verdict judge(struct stage *s, struct seat seat, const struct standstill *still)
{
	role_watchdog_begin();
	assert_ptr_equal(stage_listed(s, STAGE_WORKERS), seat.session);
	return table_judge(s->table, &s->actor, seat.session, still, s->now);
}

/* It comes to its owner as ended, who gives it back; its record is free then, and not before. */
static void release_ended(struct stage *s, struct seat seat, enum reason reason)
{
	role_worker_begin();
	struct seat next = stage_login(s, 0, "carol", NULL, KEEP, NULL);
	assert_ptr_not_equal(next.session, seat.session);
	stage_leave(s, next, REASON_LOGOUT);
	assert_ptr_equal(stage_listed(s, 0), seat.session);
	assert_int_equal(session_id(seat.session), 0);
	assert_int_equal(session_end_reason(seat.session), reason);
	table_release(s->table, seat.session, true);
	next = stage_login(s, 0, "carol", NULL, KEEP, NULL);
	assert_ptr_equal(next.session, seat.session);
	stage_leave(s, next, REASON_LOGOUT);
}

static void the_silent_are_nominated_at_their_deadline(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		role_worker_begin();
		struct seat bob = stage_login(&s, 0, "bob", NULL, KEEP, NULL);
		stage_pass(&s, TIMEOUT_MS - 1);
		nominate(&s, 0);
		assert_null(stage_listed(&s, 0));
		stage_pass(&s, 1);
		nominate(&s, 1);
		assert_null(stage_listed(&s, 0)); /* another worker's scan */
		atomic_store(&s.boxes[0].is_asleep, true);
		nominate(&s, 0);
		assert_int_equal(s.actor.wake_workers, 1);
		nominate(&s, 0); /* in the list already: not twice */
		assert_ptr_equal(stage_listed(&s, 0), bob.session);
		assert_null(stage_listed(&s, 0));
		assert_int_equal(stage_counter(&s, COUNTER_nominated), 1);
		nominate(&s, 0); /* taken, but not yet dealt with */
		assert_null(stage_listed(&s, 0));

		stage_stamp(&s, bob); /* bytes had come */
		assert_true(table_acquit(bob.session));
		nominate(&s, 0);
		assert_null(stage_listed(&s, 0));
		stage_pass(&s, TIMEOUT_MS);
		nominate(&s, 0); /* silent again */
		assert_ptr_equal(stage_listed(&s, 0), bob.session);
	}
}

static void heard_and_silent_it_expires(void **state)
{
	(void)state;
	static const uint32_t late_ms[] = {0, 1, 100, 100000};
	struct stage s;
	for (unsigned i = 0; i < ARRAY_LEN(late_ms); i++) {
		FOR_EACH_START(&s)
		{
			struct numbers n;
			stage_watch(&s, 2, "bob");
			struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
			stage_told(&s, 2, NULL);
			stage_pass(&s, TIMEOUT_MS);
			nominate_and_hear(&s, bob);
			assert_string_equal(stage_told(&s, 2, NULL), ""); /* not on a stamp alone */
			stage_pass(&s, late_ms[i]);
			struct verdict verdict = judge(&s, bob, &none);
			assert_int_equal(verdict.kind, VERDICT_EXPIRED);
			assert_int_equal(verdict.lateness_ms, late_ms[i]);
			assert_string_equal(stage_told(&s, 2, &n), "bob offline timeout -");
			assert_int_equal(n.last_seen_ms, STAGE_SEEN(STAGE_WALL_MS));
			assert_int_equal(n.at_ms, s.now.wall_ms);
			assert_int_equal(stage_counter(&s, COUNTER_ended_timeout), 1);
			assert_false(stage_close(&s, bob, REASON_CLOSED)); /* too late */
			release_ended(&s, bob, REASON_TIMEOUT);
		}
	}
}

static void who_was_heard_after_all_lives(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		struct seat bob = stage_login(&s, 0, "bob", NULL, KEEP, NULL);
		stage_pass(&s, TIMEOUT_MS + 500);
		nominate_and_hear(&s, bob);
		stage_stamp(&s, bob); /* between the hearing and the verdict */
		assert_int_equal(judge(&s, bob, &none).kind, VERDICT_ALIVE);
		assert_int_equal(stage_look(&s, "bob").state, STATE_ONLINE);
		assert_null(stage_listed(&s, 0));
		stage_pass(&s, TIMEOUT_MS);
		nominate_and_hear(&s, bob); /* and can be nominated again */
		assert_int_equal(judge(&s, bob, &none).kind, VERDICT_EXPIRED);
		release_ended(&s, bob, REASON_TIMEOUT);
	}
}

static void ended_by_its_owner_while_nominated(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		role_worker_begin();
		struct seat bob = stage_login(&s, 0, "bob", NULL, KEEP, NULL);
		stage_pass(&s, TIMEOUT_MS);
		nominate(&s, 0);
		assert_true(stage_close(&s, bob, REASON_CLOSED));
		table_release(s.table, bob.session, false); /* still in the list: not free yet */
		release_ended(&s, bob, REASON_CLOSED);
	}
}

static void ended_by_its_owner_while_on_its_way_to_the_watchdog(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		role_worker_begin();
		struct seat bob = stage_login(&s, 0, "bob", NULL, KEEP, NULL);
		stage_pass(&s, TIMEOUT_MS);
		nominate_and_hear(&s, bob);
		assert_true(stage_close(&s, bob, REASON_RESET));
		table_release(s.table, bob.session, false);
		assert_int_equal(judge(&s, bob, &none).kind, VERDICT_GONE);
		assert_int_equal(stage_counter(&s, COUNTER_ended_timeout), 0);
		release_ended(&s, bob, REASON_RESET);
	}
}

static void taken_over_while_nominated(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		stage_watch(&s, 2, "bob");
		struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
		stage_told(&s, 2, NULL);
		stage_pass(&s, TIMEOUT_MS);
		nominate(&s, 0);
		struct seat again = stage_login(&s, 1, "bob", "phone", KEEP, NULL);
		assert_true(again.is_takeover);
		release_ended(&s, bob, REASON_REPLACED); /* there once, not twice */
		assert_null(stage_listed(&s, 0));
		assert_string_equal(stage_told(&s, 2, NULL), "");
		assert_int_equal(session_id(again.session), again.id);
	}
}

static void taken_over_between_the_reading_and_the_acquittal(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		role_worker_begin();
		struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
		stage_pass(&s, TIMEOUT_MS);
		nominate(&s, 0);
		assert_ptr_equal(stage_listed(&s, 0), bob.session);
		stage_stamp(&s, bob);
		stage_login(&s, 1, "bob", "phone", KEEP, NULL);
		assert_null(stage_listed(&s, 0)); /* it is in the owner's hands */
		assert_false(table_acquit(bob.session));
		table_release(s.table, bob.session, true);
		assert_null(stage_listed(&s, 0));
		struct seat next = stage_login(&s, 0, "carol", NULL, KEEP, NULL);
		assert_ptr_equal(next.session, bob.session);
	}
}

static void taken_over_while_heard(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
		stage_pass(&s, TIMEOUT_MS);
		nominate_and_hear(&s, bob);
		struct seat again = stage_login(&s, 1, "bob", "phone", KEEP, NULL);
		assert_null(stage_listed(&s, 0)); /* it comes by way of the watchdog */
		assert_int_equal(judge(&s, bob, &none).kind, VERDICT_GONE);
		release_ended(&s, bob, REASON_REPLACED);
		assert_int_equal(session_id(again.session), again.id);
		assert_int_equal(stage_look(&s, "bob").state, STATE_ONLINE);
	}
}

static void taken_over_after_it_was_judged_alive(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
		stage_pass(&s, TIMEOUT_MS);
		nominate_and_hear(&s, bob);
		stage_stamp(&s, bob);
		assert_int_equal(judge(&s, bob, &none).kind, VERDICT_ALIVE);
		stage_login(&s, 1, "bob", "phone", KEEP, NULL);
		release_ended(&s, bob, REASON_REPLACED);
	}
}

static void without_a_connection_there_is_nothing_to_hear(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		role_worker_begin();
		stage_watch(&s, 2, "bob");
		struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
		stage_told(&s, 2, NULL);
		table_detach(s.table, &s.actor, bob.session, bob.id, (struct baggage){0});
		stage_pass(&s, TIMEOUT_MS - 1);
		nominate(&s, 0);
		assert_null(stage_listed(&s, STAGE_WORKERS));
		stage_pass(&s, 1);
		nominate(&s, 0);
		assert_null(stage_listed(&s, 0));
		assert_int_equal(judge(&s, bob, &none).kind, VERDICT_EXPIRED);
		assert_string_equal(stage_told(&s, 2, NULL), "bob offline timeout -");
		release_ended(&s, bob, REASON_TIMEOUT);
	}
}

static void another_device_keeps_the_user_online(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		stage_watch(&s, 2, "bob");
		struct seat phone = stage_login(&s, 0, "bob", "phone", STATE_BUSY, "call");
		struct seat desk = stage_login(&s, 1, "bob", "desk", STATE_AWAY, NULL);
		stage_told(&s, 2, NULL);
		stage_pass(&s, TIMEOUT_MS);
		stage_stamp(&s, desk);
		nominate(&s, 1);
		assert_null(stage_listed(&s, 1));
		nominate_and_hear(&s, phone);
		assert_int_equal(judge(&s, phone, &none).kind, VERDICT_EXPIRED);
		assert_string_equal(stage_told(&s, 2, NULL), "bob away timeout -");
		release_ended(&s, phone, REASON_TIMEOUT);
	}
}

/* --- standstills --- */

/* All times after the login, at which the session was last heard. */
struct still_row {
	uint32_t end_ms, gap_ms, judged_ms;
	int kind;
	uint32_t lateness_ms; /* EXPIRED */
	uint32_t deadline_ms; /* GRANTED: the one in force then */
};

static const struct still_row still_rows[] = {
	{3200, 500, 3200, VERDICT_GRANTED, 0, 3500}, {3200, 500, 3499, VERDICT_GRANTED, 0, 3500},
	{3200, 500, 3500, VERDICT_EXPIRED, 0, 0}, /* it had its time */
	{3200, 500, 3700, VERDICT_EXPIRED, 200, 0}, {4000, 3000, 4000, VERDICT_GRANTED, 0, 6000},
	{4000, 3001, 4000, VERDICT_GRANTED, 0, 6000}, /* at most its own timeout */
	{5999, 100000, 5999, VERDICT_GRANTED, 0, 6000},
	{90000, 80000, 90000, VERDICT_EXPIRED, 84000,
		0}, /* silent for longer than that before it */
	{1, 500, 3100, VERDICT_GRANTED, 0, 3500}, /* it ended just after the last byte */
	{0, 500, 3100, VERDICT_EXPIRED, 100, 0}, /* over before it */
};

static void a_standstill_gives_more_time_once(void **state)
{
	(void)state;
	struct stage s;
	for (unsigned i = 0; i < ARRAY_LEN(still_rows); i++) {
		const struct still_row *row = &still_rows[i];
		FOR_EACH_START(&s)
		{
			struct standstill still = {.is_set = true,
				.end_ms = (uint32_t)s.now.mono_ms + row->end_ms,
				.gap_ms = row->gap_ms};
			struct seat bob = stage_login(&s, 0, "bob", NULL, KEEP, NULL);
			uint64_t login_ms = s.now.mono_ms;
			stage_pass(&s, row->judged_ms);
			nominate_and_hear(&s, bob);
			struct verdict verdict = judge(&s, bob, &still);
			if ((int)verdict.kind != row->kind ||
				verdict.lateness_ms != row->lateness_ms)
				fail_msg("row %u: verdict %d, %u ms late", i, (int)verdict.kind,
					verdict.lateness_ms);
			/* Time given is no life: who looks sees when it was heard last. */
			assert_int_equal(
				stage_look(&s, "bob").last_seen_ms, STAGE_SEEN(STAGE_WALL_MS));
			if (verdict.kind == VERDICT_EXPIRED) {
				release_ended(&s, bob, REASON_TIMEOUT);
				continue;
			}
			stage_pass(&s, row->deadline_ms - row->judged_ms - 1);
			assert_int_equal(s.now.mono_ms, login_ms + row->deadline_ms - 1);
			nominate(&s, 0);
			assert_null(stage_listed(&s, 0));
			stage_pass(&s, 1);
			nominate_and_hear(&s, bob);
			/* Nor once more for a second standstill. */
			still.end_ms = (uint32_t)s.now.mono_ms;
			verdict = judge(&s, bob, &still);
			assert_int_equal(verdict.kind, VERDICT_EXPIRED);
			assert_int_equal(verdict.lateness_ms, 0);
			assert_int_equal(
				stage_look(&s, "bob").last_seen_ms, STAGE_SEEN(STAGE_WALL_MS));
			release_ended(&s, bob, REASON_TIMEOUT);
		}
	}
}

static void heard_again_it_may_be_given_time_again(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		struct seat bob = stage_login(&s, 0, "bob", NULL, KEEP, NULL);
		for (unsigned round = 0; round < 2; round++) {
			stage_pass(&s, TIMEOUT_MS + 200);
			struct standstill still = {
				.is_set = true, .end_ms = (uint32_t)s.now.mono_ms, .gap_ms = 500};
			nominate_and_hear(&s, bob);
			assert_int_equal(judge(&s, bob, &still).kind, VERDICT_GRANTED);
			stage_pass(&s, 10);
			stage_stamp(&s, bob);
			assert_int_equal(
				stage_look(&s, "bob").last_seen_ms, STAGE_SEEN(s.now.wall_ms));
		}
		stage_pass(&s, TIMEOUT_MS);
		nominate_and_hear(&s, bob);
		assert_int_equal(judge(&s, bob, &none).kind, VERDICT_EXPIRED);
		release_ended(&s, bob, REASON_TIMEOUT);
	}
}

static void a_new_session_of_the_slot_has_no_part_in_the_old_ones_time(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		struct seat bob = stage_login(&s, 0, "bob", NULL, KEEP, NULL);
		stage_pass(&s, TIMEOUT_MS);
		struct standstill still = {
			.is_set = true, .end_ms = (uint32_t)s.now.mono_ms, .gap_ms = 500};
		nominate_and_hear(&s, bob);
		assert_int_equal(judge(&s, bob, &still).kind, VERDICT_GRANTED);
		stage_leave(&s, bob, REASON_LOGOUT);
		stage_pass(&s,
			500); /* heard now: its first stamp is the one that the other was given */
		struct seat carol = stage_login(&s, 0, "carol", NULL, KEEP, NULL);
		assert_ptr_equal(carol.session, bob.session);
		stage_pass(&s, 100);
		assert_int_equal(
			stage_look(&s, "carol").last_seen_ms, STAGE_SEEN(s.now.wall_ms - 100));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_silent_are_nominated_at_their_deadline),
		cmocka_unit_test(heard_and_silent_it_expires),
		cmocka_unit_test(who_was_heard_after_all_lives),
		cmocka_unit_test(ended_by_its_owner_while_nominated),
		cmocka_unit_test(ended_by_its_owner_while_on_its_way_to_the_watchdog),
		cmocka_unit_test(taken_over_while_nominated),
		cmocka_unit_test(taken_over_between_the_reading_and_the_acquittal),
		cmocka_unit_test(taken_over_while_heard),
		cmocka_unit_test(taken_over_after_it_was_judged_alive),
		cmocka_unit_test(without_a_connection_there_is_nothing_to_hear),
		cmocka_unit_test(another_device_keeps_the_user_online),
		cmocka_unit_test(a_standstill_gives_more_time_once),
		cmocka_unit_test(heard_again_it_may_be_given_time_again),
		cmocka_unit_test(a_new_session_of_the_slot_has_no_part_in_the_old_ones_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
