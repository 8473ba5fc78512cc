/* Sessions in their grace: what is told and when, who goes on with them, and with what. Each test runs twice: with a clock
 * far from 2^32 ms, and with one that passes it on the way. */

#include "support/stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GRACE_MS = 5000, ROUND_UP_MS = 1 };

static const uint64_t starts[] = {1000000, 0xffffea00};
static const struct standstill none = {.is_set = false};

#define FOR_EACH_START(s)                                                                          \
	for (unsigned start_ = 0;                                                                  \
		start_ < 2 && (stage_begin_with_grace(s, starts[start_], 10, GRACE_MS), true);     \
		stage_end(s), start_++)

/* --- the parts that threads play --- */

static struct baggage pack(const char *user)
{
	struct baggage b = {.watches = NULL};
	if (!user)
		return b;
	size_t len = strlen(user);
	b.watches = malloc(sizeof(*b.watches) + len + 1);
	*b.watches = (struct watch_pack){.n = 1, .len = (uint32_t)len + 1};
	b.watches->names[0] = (char)len;
	memcpy(b.watches->names + 1, user, len);
	return b;
}

static void unpack(struct baggage b, const char *user)
{
	assert_false(b.is_lost);
	assert_int_equal(b.watches != NULL, user != NULL);
	if (user)
		assert_memory_equal(b.watches->names + 1, user, strlen(user));
	free(b.watches);
}

static enum loss lose(struct stage *s, struct seat seat, enum reason reason, const char *watched)
{
	role_worker_begin();
	enum loss loss = table_lose(
		s->table, &s->actor, seat.session, seat.id, reason, pack(watched), s->now);
	if (loss == LOSS_KEPT)
		assert_int_equal(session_connection(seat.session), CONNECTION_NONE);
	return loss;
}

static const char *secret_of(struct stage *s, struct seat seat)
{
	static char text[RESUME_TEXT_MAX];
	assert_true(table_resume_text(s->table, seat.id, text));
	return text;
}

static void scan(struct stage *s)
{
	role_watchdog_begin();
	for (unsigned w = 0; w < STAGE_WORKERS; w++)
		table_nominate(s->table, &s->actor, w, (uint32_t)s->now.mono_ms);
}

static struct verdict judge(struct stage *s, struct seat seat, const struct standstill *still)
{
	role_watchdog_begin();
	assert_ptr_equal(stage_listed(s, STAGE_WORKERS), seat.session);
	return table_judge(s->table, &s->actor, seat.session, still, s->now);
}

/* Scanned, and judged where the scan found it: it has no connection that would be heard. */
static int verdict_now(struct stage *s, struct seat seat, const struct standstill *still)
{
	scan(s);
	return mailbox_has_links(&s->watchdog) ? (int)judge(s, seat, still).kind : -1;
}

static struct verdict hear_nothing(struct stage *s, struct seat seat, unsigned worker)
{
	role_worker_begin();
	scan(s);
	assert_ptr_equal(stage_listed(s, worker), seat.session);
	table_heard(s->table, &s->actor, seat.session, (uint32_t)s->now.mono_ms);
	return judge(s, seat, &none);
}

/* It comes to its owner as ended, who gives it back. */
static void release(struct stage *s, struct seat seat, unsigned worker, enum reason reason)
{
	role_worker_begin();
	assert_ptr_equal(stage_listed(s, worker), seat.session);
	assert_int_equal(session_id(seat.session), 0);
	assert_int_equal(session_end_reason(seat.session), reason);
	assert_int_equal(table_owes_baggage(seat.session), 0);
	table_release(s->table, seat.session, true);
}

static void expect_look(struct stage *s, const char *user, const char *words, bool is_reconnecting)
{
	struct snapshot look = stage_look(s, user);
	assert_string_equal(stage_words(&look), words);
	assert_int_equal(look.is_reconnecting, is_reconnecting);
}

/* --- the end is told after the grace --- */

static void the_end_is_told_after_the_grace_with_its_true_moment(void **state)
{
	(void)state;
	struct stage s;
	static const enum reason reasons[] = {REASON_CLOSED, REASON_RESET};
	for (unsigned r = 0; r < 2; r++) {
		FOR_EACH_START(&s)
		{
			struct numbers n;
			stage_watch(&s, 2, "bob");
			struct seat bob = stage_login(&s, 0, "bob", "phone", STATE_BUSY, "call");
			assert_string_equal(stage_told(&s, 2, NULL), "bob busy login call");
			stage_pass(&s, 700);
			assert_int_equal(lose(&s, bob, reasons[r], NULL), LOSS_KEPT);
			stage_pass(&s, GRACE_MS + ROUND_UP_MS - 1);
			assert_int_equal(verdict_now(&s, bob, &none), -1);
			assert_string_equal(stage_told(&s, 2, NULL), "");
			expect_look(&s, "bob", "busy login call", true);
			assert_int_equal(table_count(s.table).sessions_in_grace, 1);
			assert_int_equal(table_count(s.table).sessions, 1);
			stage_check(&s);
			stage_pass(&s, 1);
			assert_int_equal(verdict_now(&s, bob, &none), VERDICT_OVER);
			char want[32];
			snprintf(want, sizeof(want), "bob offline %s -", reason_word(reasons[r]));
			assert_string_equal(stage_told(&s, 2, &n), want);
			assert_int_equal(n.at_ms, STAGE_WALL_MS + 700);
			assert_int_equal(n.last_seen_ms, STAGE_SEEN(STAGE_WALL_MS));
			assert_int_equal(
				stage_counter(&s, r ? COUNTER_ended_reset : COUNTER_ended_closed),
				1);
			assert_int_equal(stage_counter(&s, COUNTER_grace_over), 1);
			assert_int_equal(table_count(s.table).sessions_in_grace, 0);
			release(&s, bob, 0, reasons[r]);
			expect_look(&s, "bob", want + strlen("bob "), false);
		}
	}
}

static void silence_has_its_grace_after_the_timeout(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		struct numbers n;
		role_worker_begin();
		stage_watch(&s, 2, "bob");
		struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
		stage_told(&s, 2, NULL);
		stage_pass(&s, TIMEOUT_MS + 40);
		struct verdict verdict = hear_nothing(&s, bob, 0);
		assert_int_equal(verdict.kind, VERDICT_PARTED);
		assert_int_equal(verdict.lateness_ms, 40);
		assert_int_equal(verdict.silence_ms, TIMEOUT_MS + 40);
		expect_look(&s, "bob", "online login -", true);
		/* Its worker closes the connection. */
		assert_ptr_equal(stage_listed(&s, 0), bob.session);
		assert_true(session_is_parting(bob.session));
		assert_int_equal(table_part(s.table, bob.session, bob.id), PARTING_CLOSE);
		assert_int_equal(session_connection(bob.session), CONNECTION_NONE);
		table_deliver_baggage(s.table, &s.actor, bob.session, bob.id, pack("carol"));
		assert_string_equal(stage_told(&s, 2, NULL), "");
		stage_check(&s);
		/* Of the end: that it was found 40 ms late does not make it longer. */
		stage_pass(&s, GRACE_MS - 40);
		assert_int_equal(verdict_now(&s, bob, &none), -1);
		stage_pass(&s, ROUND_UP_MS);
		assert_int_equal(verdict_now(&s, bob, &none), VERDICT_OVER);
		assert_string_equal(stage_told(&s, 2, &n), "bob offline timeout -");
		assert_int_equal(n.at_ms, STAGE_WALL_MS + TIMEOUT_MS + 40);
		assert_int_equal(n.last_seen_ms, STAGE_SEEN(STAGE_WALL_MS));
		assert_int_equal(stage_counter(&s, COUNTER_ended_timeout), 1);
		release(&s, bob, 0, REASON_TIMEOUT);
	}
}

/* Bytes that its worker stamps between the verdict and the parting: it was no end. */
static void bytes_after_the_verdict_undo_it(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		role_worker_begin();
		struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
		stage_pass(&s, TIMEOUT_MS);
		assert_int_equal(hear_nothing(&s, bob, 0).kind, VERDICT_PARTED);
		stage_pass(&s, 10);
		stage_stamp(&s, bob);
		assert_ptr_equal(stage_listed(&s, 0), bob.session);
		assert_int_equal(table_part(s.table, bob.session, bob.id), PARTING_ALIVE);
		expect_look(&s, "bob", "online login -", false);
		stage_pass(&s, TIMEOUT_MS - 1);
		assert_int_equal(verdict_now(&s, bob, &none), -1);
		stage_pass(&s, 1);
		assert_int_equal(hear_nothing(&s, bob, 0).kind, VERDICT_PARTED);
		/* And bytes, and an end behind them, that come before the parting: a grace of its own. */
		stage_pass(&s, 20);
		stage_stamp(&s, bob);
		assert_int_equal(lose(&s, bob, REASON_CLOSED, NULL), LOSS_KEPT);
		assert_ptr_equal(stage_listed(&s, 0), bob.session);
		assert_true(table_acquit(bob.session));
		stage_pass(&s, GRACE_MS + ROUND_UP_MS - 1);
		assert_int_equal(verdict_now(&s, bob, &none), -1);
		stage_pass(&s, 1);
		assert_int_equal(verdict_now(&s, bob, &none), VERDICT_OVER);
		release(&s, bob, 0, REASON_CLOSED);
	}
}

static void an_end_that_the_verdict_was_before_stays_a_timeout(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		role_worker_begin();
		struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
		stage_pass(&s, TIMEOUT_MS);
		assert_int_equal(hear_nothing(&s, bob, 0).kind, VERDICT_PARTED);
		stage_pass(&s, 20);
		assert_int_equal(lose(&s, bob, REASON_CLOSED, "carol"), LOSS_KEPT);
		assert_ptr_equal(stage_listed(&s, 0), bob.session);
		assert_true(table_acquit(bob.session));
		struct seat next = stage_resume(&s, 1, "bob", NULL, KEEP, NULL, secret_of(&s, bob));
		assert_true(next.is_resumed && !next.is_baggage_late);
		unpack(next.baggage, "carol");
		release(&s, bob, 0, REASON_REPLACED);
	}
}

static void other_ends_are_told_at_once(void **state)
{
	(void)state;
	static const enum reason reasons[] = {REASON_LOGOUT, REASON_KICKED, REASON_EXPIRED,
		REASON_SLOW, REASON_VIOLATION, REASON_TIMEOUT};
	struct stage s;
	for (unsigned r = 0; r < sizeof(reasons) / sizeof(reasons[0]); r++) {
		FOR_EACH_START(&s)
		{
			struct numbers n;
			char want[32];
			stage_watch(&s, 2, "bob");
			/* With its connection, and in its grace. */
			for (unsigned is_in_grace = 0; is_in_grace < 2; is_in_grace++) {
				struct seat bob = stage_login(&s, 0, "bob", NULL, KEEP, NULL);
				stage_told(&s, 2, NULL);
				stage_pass(&s, 100);
				if (is_in_grace)
					lose(&s, bob, REASON_CLOSED, "carol");
				stage_pass(&s, 100);
				assert_true(stage_close(&s, bob, reasons[r]));
				snprintf(want, sizeof(want), "bob offline %s -",
					reason_word(reasons[r]));
				assert_string_equal(stage_told(&s, 2, &n), want);
				assert_int_equal(n.at_ms, s.now.wall_ms);
				assert_int_equal(n.last_seen_ms, STAGE_SEEN(s.now.wall_ms - 200));
				role_worker_begin();
				table_release(s.table, bob.session, false);
			}
		}
	}
}

/* --- what the others see meanwhile --- */

static void what_keeps_the_state_is_not_reconnecting(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		struct numbers n;
		stage_watch(&s, 2, "bob");
		struct seat phone = stage_login(&s, 0, "bob", "phone", STATE_BUSY, "call");
		struct seat desk = stage_login(&s, 1, "bob", "desk", STATE_AWAY, NULL);
		stage_told(&s, 2, NULL);
		lose(&s, phone, REASON_RESET, NULL);
		expect_look(&s, "bob", "busy login call", true);
		stage_pass(&s, 1000);
		/* The other device takes the state over: its word is told, and nothing is missing any more. */
		stage_update(&s, desk, STATE_BUSY, "desk", NULL);
		assert_string_equal(stage_told(&s, 2, &n), "bob busy update desk");
		assert_int_equal(n.at_ms, STAGE_WALL_MS + 1000);
		expect_look(&s, "bob", "busy update desk", false);
		stage_pass(&s, 1000);
		stage_update(&s, desk, STATE_INVISIBLE, NULL, NULL);
		assert_string_equal(stage_told(&s, 2, NULL), "bob busy logout call");
		expect_look(&s, "bob", "busy logout call", true);
		/* Its end is not told as older than what was told since. */
		stage_pass(&s, GRACE_MS);
		stage_stamp(&s, desk);
		assert_int_equal(verdict_now(&s, phone, &none), VERDICT_OVER);
		assert_string_equal(stage_told(&s, 2, &n), "bob offline reset -");
		assert_int_equal(n.at_ms, STAGE_WALL_MS + 2000);
		release(&s, phone, 0, REASON_RESET);
	}
}

static void an_invisible_one_shows_nothing(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		stage_watch(&s, 2, "bob");
		struct seat desk = stage_login(&s, 1, "bob", "desk", STATE_AWAY, NULL);
		struct seat phone = stage_login(&s, 0, "bob", "phone", STATE_INVISIBLE, NULL);
		uint64_t seen_ms = stage_look(&s, "bob").last_seen_ms;
		stage_told(&s, 2, NULL);
		stage_pass(&s, 500);
		assert_int_equal(lose(&s, phone, REASON_CLOSED, NULL), LOSS_KEPT);
		expect_look(&s, "bob", "away login -", false);
		struct seat again = stage_login(&s, 2, "bob", "phone", KEEP, NULL);
		assert_true(again.is_resumed);
		release(&s, phone, 0, REASON_REPLACED);
		lose(&s, again, REASON_CLOSED, NULL);
		stage_pass(&s, GRACE_MS + ROUND_UP_MS);
		stage_stamp(&s, desk);
		assert_int_equal(verdict_now(&s, again, &none), VERDICT_OVER);
		assert_string_equal(stage_told(&s, 2, NULL), "");
		stage_pass(&s, 1);
		assert_true(stage_look(&s, "bob").last_seen_ms > seen_ms); /* by the desk */
		release(&s, again, 2, REASON_CLOSED);
	}
}

/* --- coming back --- */

static void the_device_goes_on_without_an_event(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		stage_watch(&s, 2, "bob");
		struct seat bob = stage_login(&s, 0, "bob", "phone", STATE_BUSY, "call");
		stage_told(&s, 2, NULL);
		for (unsigned i = 0; i < 3; i++) {
			stage_pass(&s, 100);
			lose(&s, bob, REASON_CLOSED, "carol");
			stage_pass(&s, GRACE_MS);
			struct seat next = stage_login(&s, (i + 1) % 2, "bob", "phone", KEEP, NULL);
			assert_true(next.is_resumed && next.is_takeover && !next.has_secret);
			assert_true(next.id == bob.id); /* it is the same session */
			assert_null(next.baggage.watches);
			assert_string_equal(stage_told(&s, 2, NULL), "");
			expect_look(&s, "bob", "busy login call", false);
			release(&s, bob, i % 2, REASON_REPLACED);
			bob = next;
			stage_check(&s);
		}
		assert_int_equal(stage_counter(&s, COUNTER_resumed), 3);
		assert_int_equal(stage_counter(&s, COUNTER_takeovers), 0);
		/* Other words are told, as a login's. */
		lose(&s, bob, REASON_RESET, NULL);
		assert_true(stage_login(&s, 1, "bob", "phone", STATE_AWAY, NULL).is_resumed);
		assert_string_equal(stage_told(&s, 2, NULL), "bob away login call");
		release(&s, bob, 1, REASON_REPLACED);
		/* A live one is taken over, as ever. */
		assert_false(stage_login(&s, 0, "bob", "phone", KEEP, NULL).is_resumed);
		assert_int_equal(stage_counter(&s, COUNTER_takeovers), 1);
	}
}

static void a_made_up_device_is_the_same_by_secret_and_by_name(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		struct seat bob = stage_login(&s, 0, "bob", NULL, KEEP, NULL);
		char name[SESSION_TEXT_MAX], secret[RESUME_TEXT_MAX];
		table_session_text(s.table, bob.id, name);
		snprintf(secret, sizeof(secret), "%s", secret_of(&s, bob));
		lose(&s, bob, REASON_CLOSED, NULL);
		struct seat next = stage_login(&s, 1, "bob", name, KEEP, NULL);
		assert_true(next.is_resumed && next.id == bob.id);
		release(&s, bob, 0, REASON_REPLACED);
		lose(&s, next, REASON_CLOSED, NULL);
		/* The secret of the first welcome is still the session's, and the device stays whatever the login says. */
		struct seat last = stage_resume(&s, 2, "bob", "desk", KEEP, NULL, secret);
		assert_true(last.is_resumed && last.has_secret && last.id == bob.id);
		release(&s, next, 1, REASON_REPLACED);
		assert_false(stage_login(&s, 2, "bob", "desk", KEEP, NULL).is_takeover);
		assert_true(stage_login(&s, 2, "bob", name, KEEP, NULL).is_takeover);
		release(&s, last, 2, REASON_REPLACED);
	}
}

static void a_wrong_secret_is_an_ordinary_login(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		char secret[RESUME_TEXT_MAX];
		struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
		snprintf(secret, sizeof(secret), "%s", secret_of(&s, bob));
		/* Another user's; changed; none at all. */
		struct seat carol = stage_resume(&s, 1, "carol", "phone", KEEP, NULL, secret);
		assert_true(!carol.is_resumed && !carol.is_takeover && !carol.has_secret);
		secret[40] = secret[40] == '0' ? '1' : '0';
		assert_false(stage_resume(&s, 1, "bob", "desk", KEEP, NULL, secret).is_resumed);
		assert_false(stage_resume(&s, 1, "bob", "tv", KEEP, NULL, "").is_resumed);
		/* Of a session that is over. */
		snprintf(secret, sizeof(secret), "%s", secret_of(&s, carol));
		stage_leave(&s, carol, REASON_LOGOUT);
		carol = stage_resume(&s, 1, "carol", "phone", KEEP, NULL, secret);
		assert_true(!carol.is_resumed && !carol.is_takeover);
		assert_int_equal(stage_counter(&s, COUNTER_resumed), 0);
	}
}

static void in_grace_it_may_have_to_give_way(void **state)
{
	(void)state;
	struct stage s;
	FOR_EACH_START(&s)
	{
		struct seat a = stage_login(&s, 0, "bob", "a", KEEP, NULL);
		stage_pass(&s, 10);
		stage_login(&s, 0, "bob", "b", KEEP, NULL);
		stage_login(&s, 0, "bob", "c", KEEP, NULL);
		stage_pass(&s, 10);
		lose(&s, a, REASON_CLOSED, "carol");
		stage_login(&s, 0, "bob", "d", KEEP, NULL); /* of three */
		release(&s, a, 0, REASON_REPLACED);
		assert_int_equal(stage_counter(&s, COUNTER_evicted), 1);
		assert_int_equal(table_count(s.table).sessions_in_grace, 0);
		assert_false(stage_login(&s, 1, "bob", "a", KEEP, NULL).is_resumed);
		assert_ptr_not_equal(stage_listed(&s, 0), NULL);
	}
}

/* --- standstills --- */

static void a_standstill_is_no_part_of_a_grace(void **state)
{
	(void)state;
	static const struct {
		uint32_t end_ms, gap_ms; /* the end after the grace's beginning */
		uint32_t more_ms;
	} rows[] = {{7000, 3000, 3000}, {65000, 64000, 64000}, {7000, 9000, 7000 - ROUND_UP_MS}};
	struct stage s;
	for (unsigned r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		FOR_EACH_START(&s)
		{
			struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
			stage_pass(&s, 100);
			lose(&s, bob, REASON_CLOSED, "carol");
			stage_pass(&s, rows[r].end_ms);
			struct standstill still = {.is_set = true,
				.end_ms = (uint32_t)s.now.mono_ms,
				.gap_ms = rows[r].gap_ms};
			assert_int_equal(verdict_now(&s, bob, &still), VERDICT_GRANTED);
			stage_check(&s);
			stage_pass(&s, GRACE_MS + rows[r].more_ms - rows[r].end_ms);
			assert_int_equal(verdict_now(&s, bob, &still), -1);
			stage_pass(&s, ROUND_UP_MS);
			assert_int_equal(verdict_now(&s, bob, &still), VERDICT_OVER);
			assert_int_equal(
				stage_look(&s, "bob").last_seen_ms, STAGE_SEEN(STAGE_WALL_MS));
			assert_int_equal(stage_look(&s, "bob").at_ms, STAGE_WALL_MS + 100);
			release(&s, bob, 0, REASON_CLOSED);
		}
	}
	/* One that was over before it. */
	FOR_EACH_START(&s)
	{
		struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
		struct standstill still = {
			.is_set = true, .end_ms = (uint32_t)s.now.mono_ms, .gap_ms = 3000};
		stage_pass(&s, 10);
		lose(&s, bob, REASON_CLOSED, NULL);
		stage_pass(&s, GRACE_MS + ROUND_UP_MS);
		assert_int_equal(verdict_now(&s, bob, &still), VERDICT_OVER);
		release(&s, bob, 0, REASON_CLOSED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_is_told_after_the_grace_with_its_true_moment),
		cmocka_unit_test(silence_has_its_grace_after_the_timeout),
		cmocka_unit_test(bytes_after_the_verdict_undo_it),
		cmocka_unit_test(an_end_that_the_verdict_was_before_stays_a_timeout),
		cmocka_unit_test(other_ends_are_told_at_once),
		cmocka_unit_test(what_keeps_the_state_is_not_reconnecting),
		cmocka_unit_test(an_invisible_one_shows_nothing),
		cmocka_unit_test(the_device_goes_on_without_an_event),
		cmocka_unit_test(a_made_up_device_is_the_same_by_secret_and_by_name),
		cmocka_unit_test(a_wrong_secret_is_an_ordinary_login),
		cmocka_unit_test(in_grace_it_may_have_to_give_way),
		cmocka_unit_test(a_standstill_is_no_part_of_a_grace),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
