/* Going on with a session by its secret: its watches, packed in time or waited for, through chains of connections; and
 * sessions restored at a start. */

#include "support/failing_alloc.h"
#include "support/stage.h"

#include "presence/table_admin.h"
#include "presence/table_restore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GRACE_MS = 5000, ROUND_UP_MS = 1 };
static const struct standstill none = {.is_set = false};

static struct baggage pack(const char *user)
{
	struct baggage b = {.watches = NULL};
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
	assert_non_null(b.watches);
	assert_memory_equal(b.watches->names + 1, user, strlen(user));
	free(b.watches);
}

static void begin(struct stage *s)
{
	stage_begin_with_grace(s, 1000, 10, GRACE_MS);
}

static struct seat resume(struct stage *s, unsigned worker, struct seat seat)
{
	char secret[RESUME_TEXT_MAX];
	assert_true(table_resume_text(s->table, seat.id, secret));
	struct seat next = stage_resume(s, worker, "bob", "phone", KEEP, NULL, secret);
	assert_true(next.is_resumed && next.has_secret && next.id == seat.id);
	return next;
}

static void lose(struct stage *s, struct seat seat, const char *watched)
{
	role_worker_begin();
	struct baggage b = watched ? pack(watched) : (struct baggage){.watches = NULL};
	assert_int_equal(
		table_lose(s->table, &s->actor, seat.session, seat.id, REASON_CLOSED, b, s->now),
		LOSS_KEPT);
}

/* The old connection's worker finds its session ended elsewhere, and packs. */
static void pack_and_release(
	struct stage *s, struct seat seat, unsigned worker, const char *watched)
{
	role_worker_begin();
	assert_ptr_equal(stage_listed(s, worker), seat.session);
	assert_int_equal(session_end_reason(seat.session), REASON_REPLACED);
	uint64_t owed = table_owes_baggage(seat.session);
	assert_int_equal(owed != 0, watched != NULL);
	if (watched)
		table_deliver_baggage(s->table, &s->actor, seat.session, owed, pack(watched));
	table_release(s->table, seat.session, true);
}

static enum claim claim(struct stage *s, struct seat seat, bool is_last_call, struct baggage *ret)
{
	role_worker_begin();
	return table_claim_baggage(s->table, seat.session, seat.id, is_last_call, ret);
}

/* The new connection's worker has it in its list now, and it is there. */
static void claim_listed(struct stage *s, struct seat seat, unsigned worker, const char *watched)
{
	role_worker_begin();
	struct baggage b;
	assert_ptr_equal(stage_listed(s, worker), seat.session);
	assert_true(table_acquit(seat.session));
	assert_int_equal(claim(s, seat, false, &b), CLAIM_THERE);
	unpack(b, watched);
	stage_check(s);
}

static void what_was_packed_is_there_at_once(void **state)
{
	(void)state;
	struct stage s;
	begin(&s);
	stage_watch(&s, 2, "bob");
	struct seat a = stage_login(&s, 0, "bob", "phone", STATE_BUSY, "call");
	stage_told(&s, 2, NULL);
	lose(&s, a, "carol");
	stage_pass(&s, GRACE_MS);
	struct seat b = resume(&s, 1, a);
	assert_false(b.is_baggage_late);
	unpack(b.baggage, "carol");
	pack_and_release(&s, a, 0, NULL);
	assert_string_equal(stage_told(&s, 2, NULL), "");
	stage_end(&s);
}

static void out_of_sight_it_was_seen_until_then(void **state)
{
	(void)state;
	struct stage s;
	char secret[RESUME_TEXT_MAX];
	for (unsigned was_lost = 0; was_lost < 2; was_lost++) {
		begin(&s);
		struct seat a = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
		assert_true(table_resume_text(s.table, a.id, secret));
		stage_pass(&s, 500);
		stage_stamp(&s, a);
		if (was_lost)
			lose(&s, a, NULL);
		stage_pass(&s, 500);
		assert_true(
			stage_resume(&s, 1, "bob", NULL, STATE_INVISIBLE, NULL, secret).is_resumed);
		struct snapshot look = stage_look(&s, "bob");
		assert_string_equal(stage_words(&look), "offline logout -");
		assert_int_equal(look.last_seen_ms, STAGE_SEEN(STAGE_WALL_MS + 500));
		stage_end(&s);
	}
}

static void of_a_live_one_it_is_waited_for(void **state)
{
	(void)state;
	struct stage s;
	begin(&s);
	for (unsigned worker = 0; worker < 2; worker++) { /* the same, and another */
		struct baggage none_yet;
		struct seat a = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
		struct seat b = resume(&s, worker, a);
		assert_true(b.is_baggage_late && b.is_takeover);
		assert_int_equal(claim(&s, b, false, &none_yet), CLAIM_LATE);
		stage_check(&s);
		pack_and_release(&s, a, 0, "carol");
		claim_listed(&s, b, worker, "carol");
		assert_int_equal(claim(&s, b, false, &none_yet), CLAIM_STALE); /* once */
		stage_leave(&s, b, REASON_LOGOUT);
	}
	stage_end(&s);
}

static void it_is_not_waited_for_forever(void **state)
{
	(void)state;
	struct stage s;
	begin(&s);
	struct baggage late;
	struct seat a = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
	struct seat b = resume(&s, 1, a);
	assert_int_equal(claim(&s, b, true, &late), CLAIM_GIVEN_UP);
	stage_check(&s);
	pack_and_release(&s, a, 0, "carol"); /* for nobody */
	assert_null(stage_listed(&s, 1));
	assert_int_equal(claim(&s, b, true, &late), CLAIM_STALE);
	stage_end(&s);
}

static void who_waits_may_be_replaced_too(void **state)
{
	(void)state;
	struct stage s;
	begin(&s);
	struct baggage late;
	struct seat a = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
	struct seat b = resume(&s, 1, a);
	struct seat c = resume(&s, 2, b); /* b never had them: c waits for a */
	assert_true(c.is_baggage_late);
	assert_int_equal(claim(&s, b, false, &late), CLAIM_STALE);
	pack_and_release(&s, b, 1, NULL);
	stage_check(&s);
	pack_and_release(&s, a, 0, "carol");
	claim_listed(&s, c, 2, "carol");
	stage_end(&s);
}

static void who_waits_may_go_and_come_back(void **state)
{
	(void)state;
	struct stage s;
	for (unsigned is_packed_first = 0; is_packed_first < 2; is_packed_first++) {
		begin(&s);
		struct seat a = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
		struct seat b = resume(&s, 1, a);
		lose(&s, b, NULL);
		stage_check(&s);
		if (is_packed_first) {
			pack_and_release(&s, a, 0, "carol");
			/* The list has it, and finds it without a connection. */
			assert_ptr_equal(stage_listed(&s, 1), b.session);
			role_worker_begin();
			table_heard(s.table, &s.actor, b.session, (uint32_t)s.now.mono_ms);
			role_watchdog_begin();
			assert_ptr_equal(stage_listed(&s, STAGE_WORKERS), b.session);
			assert_int_equal(
				table_judge(s.table, &s.actor, b.session, &none, s.now).kind,
				VERDICT_ALIVE);
			struct seat c = resume(&s, 2, b);
			assert_false(c.is_baggage_late);
			unpack(c.baggage, "carol");
			pack_and_release(&s, b, 1, NULL);
		} else {
			struct seat c = resume(&s, 2, b);
			assert_true(c.is_baggage_late);
			pack_and_release(&s, b, 1, NULL);
			pack_and_release(&s, a, 0, "carol");
			claim_listed(&s, c, 2, "carol");
		}
		stage_end(&s);
	}
}

static void who_waits_may_end(void **state)
{
	(void)state;
	struct stage s;
	begin(&s);
	struct seat a = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
	struct seat b = resume(&s, 1, a);
	stage_leave(&s, b, REASON_LOGOUT);
	stage_check(&s);
	pack_and_release(&s, a, 0, "carol");
	assert_null(stage_listed(&s, 1));
	/* And nobody is asked to pack for a login without the secret. */
	a = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
	b = resume(&s, 1, a);
	struct seat c = stage_login(&s, 2, "bob", "phone", KEEP, NULL);
	assert_true(c.is_takeover && !c.is_resumed && c.id != b.id);
	pack_and_release(&s, b, 1, NULL);
	pack_and_release(&s, a, 0, "carol");
	stage_end(&s);
}

/* The watchdog's verdict; then somebody goes on with it before its worker has parted with the connection. */
static void between_the_verdict_and_the_parting(void **state)
{
	(void)state;
	struct stage s;
	for (unsigned has_secret = 0; has_secret < 2; has_secret++) {
		begin(&s);
		role_worker_begin();
		role_watchdog_begin();
		struct seat a = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
		stage_pass(&s, TIMEOUT_MS);
		table_nominate(s.table, &s.actor, 0, (uint32_t)s.now.mono_ms);
		assert_ptr_equal(stage_listed(&s, 0), a.session);
		table_heard(s.table, &s.actor, a.session, (uint32_t)s.now.mono_ms);
		assert_ptr_equal(stage_listed(&s, STAGE_WORKERS), a.session);
		assert_int_equal(table_judge(s.table, &s.actor, a.session, &none, s.now).kind,
			VERDICT_PARTED);
		struct seat b = has_secret ? resume(&s, 1, a)
					   : stage_login(&s, 1, "bob", "phone", KEEP, NULL);
		assert_true(b.is_resumed && b.id == a.id);
		assert_int_equal(b.is_baggage_late, has_secret);
		stage_check(&s);
		assert_true(session_is_parting(a.session));
		assert_int_equal(table_part(s.table, a.session, a.id), PARTING_ENDED);
		pack_and_release(&s, a, 0, has_secret ? "carol" : NULL);
		if (has_secret)
			claim_listed(&s, b, 1, "carol");
		stage_end(&s);
	}
}

static void a_detached_session_keeps_its_watches(void **state)
{
	(void)state;
	struct stage s;
	begin(&s);
	role_worker_begin();
	role_watchdog_begin();
	struct seat a = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
	assert_true(table_detach(s.table, &s.actor, a.session, a.id, pack("carol")));
	stage_check(&s);
	/* Its timeout, made longer by a standstill; then its grace. */
	stage_pass(&s, TIMEOUT_MS + 200);
	struct standstill still = {
		.is_set = true, .end_ms = (uint32_t)s.now.mono_ms, .gap_ms = 500};
	for (unsigned i = 0; i < 2; i++) {
		table_nominate(s.table, &s.actor, 0, (uint32_t)s.now.mono_ms);
		assert_ptr_equal(stage_listed(&s, STAGE_WORKERS), a.session);
		assert_int_equal(table_judge(s.table, &s.actor, a.session, &still, s.now).kind,
			i ? VERDICT_PARTED : VERDICT_GRANTED);
		assert_int_equal(stage_look(&s, "bob").last_seen_ms, STAGE_SEEN(STAGE_WALL_MS));
		stage_check(&s);
		stage_pass(&s, 300);
	}
	assert_null(stage_listed(&s, 0)); /* there is no connection to part with */
	struct seat b = resume(&s, 1, a);
	unpack(b.baggage, "carol");
	pack_and_release(&s, a, 0, NULL);
	stage_end(&s);
}

static void refused_memory_ends_it_at_once_or_loses_its_watches(void **state)
{
	(void)state;
	struct stage s;
	begin(&s);
	role_worker_begin();
	stage_watch(&s, 2, "bob");
	struct seat a = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
	stage_told(&s, 2, NULL);
	struct baggage b = pack("carol");
	alloc_fail_begin(1);
	assert_int_equal(table_lose(s.table, &s.actor, a.session, a.id, REASON_CLOSED, b, s.now),
		LOSS_ENDED);
	assert_true(alloc_fail_end());
	assert_string_equal(stage_told(&s, 2, NULL), "bob offline closed -");
	assert_int_equal(stage_counter(&s, COUNTER_out_of_memory), 1);
	table_release(s.table, a.session, false);

	a = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
	b = pack("carol");
	alloc_fail_begin(1);
	assert_true(table_detach(s.table, &s.actor, a.session, a.id, b));
	assert_true(alloc_fail_end());
	struct seat next = resume(&s, 1, a);
	assert_true(next.baggage.is_lost && !next.is_baggage_late);
	pack_and_release(&s, a, 0, NULL);
	lose(&s, next, NULL);
	stage_end(&s); /* with what it keeps */
}

/* --- restored at a start --- */

static const struct restored_user bob = {.user = "bob",
	.len = 3,
	.reason = REASON_UPDATE,
	.at_ms = STAGE_WALL_MS - 90000,
	.last_seen_ms = STAGE_WALL_MS - 60000};
static const struct restored_session devices[] = {
	{.device = "phone",
		.device_len = 5,
		.transport = TRANSPORT_TCP,
		.state = STATE_BUSY,
		.status = "call",
		.status_len = 4,
		.since_ms = STAGE_WALL_MS - 100000,
		.last_seen_ms = STAGE_WALL_MS - 61000,
		.timeout_ms = 30000,
		.reason = REASON_TIMEOUT,
		.ended_ms = STAGE_WALL_MS - 50000},
	{.device = "0123456789abcdef",
		.device_len = 16,
		.transport = TRANSPORT_WS,
		.state = STATE_AWAY,
		.since_ms = STAGE_WALL_MS - 100000,
		.last_seen_ms = STAGE_WALL_MS - 60000,
		.timeout_ms = 30000,
		.reason = REASON_CLOSED,
		.ended_ms = STAGE_WALL_MS - 55000},
};

static void a_restored_user_is_reconnecting_and_told_once(void **state)
{
	(void)state;
	struct stage s;
	struct numbers n;
	stage_begin(&s, 1000, 10); /* without a grace of its own */
	role_watchdog_begin();
	assert_int_equal(table_restore(s.table, &s.actor, &bob, devices, 2, 30000, s.now), 0);
	stage_check(&s);
	struct snapshot look = stage_watch(&s, 2, "bob");
	assert_string_equal(stage_words(&look), "busy update call");
	assert_true(look.is_reconnecting);
	assert_int_equal(look.at_ms, bob.at_ms);
	assert_int_equal(look.last_seen_ms, bob.last_seen_ms);
	assert_int_equal(table_count(s.table).sessions_in_grace, 2);
	assert_int_equal(table_count(s.table).users_online, 1);

	stage_pass(&s, 30000);
	struct seat phone = stage_login(&s, 2, "bob", "phone", KEEP, NULL);
	assert_true(phone.is_resumed);
	assert_string_equal(stage_told(&s, 2, NULL), "");
	look = stage_look(&s, "bob");
	assert_string_equal(stage_words(&look), "busy update call");
	assert_false(look.is_reconnecting);
	stage_pass(&s, 1);
	for (unsigned w = 0; w < STAGE_WORKERS; w++)
		table_nominate(s.table, &s.actor, w, (uint32_t)s.now.mono_ms);
	struct session *desk = stage_listed(&s, STAGE_WORKERS);
	assert_int_equal(table_judge(s.table, &s.actor, desk, &none, s.now).kind, VERDICT_OVER);
	assert_string_equal(stage_told(&s, 2, NULL), ""); /* away behind busy */
	stage_leave(&s, phone, REASON_LOGOUT);
	assert_string_equal(stage_told(&s, 2, &n), "bob offline logout -");
	stage_end(&s);
}

static void who_stays_away_is_told_with_the_true_moments(void **state)
{
	(void)state;
	struct stage s;
	struct numbers n;
	stage_begin(&s, 0xffff0000, 10);
	role_watchdog_begin();
	assert_int_equal(table_restore(s.table, &s.actor, &bob, devices, 1, 30000, s.now), 0);
	stage_watch(&s, 2, "bob");
	stage_pass(&s, 30001);
	table_nominate(s.table, &s.actor, 0, (uint32_t)s.now.mono_ms);
	assert_int_equal(
		table_judge(s.table, &s.actor, stage_listed(&s, STAGE_WORKERS), &none, s.now).kind,
		VERDICT_OVER);
	assert_string_equal(stage_told(&s, 2, &n), "bob offline timeout -");
	assert_int_equal(n.at_ms, devices[0].ended_ms);
	assert_int_equal(n.last_seen_ms, bob.last_seen_ms);
	stage_end(&s);
}

static void the_offline_are_remembered(void **state)
{
	(void)state;
	struct stage s;
	stage_begin(&s, 1000, 1);
	assert_int_equal(table_restore(s.table, &s.actor, &bob, NULL, 0, 30000, s.now), 0);
	struct snapshot look = stage_look(&s, "bob");
	assert_string_equal(stage_words(&look), "offline update -");
	assert_int_equal(look.at_ms, bob.at_ms);
	assert_int_equal(look.last_seen_ms, bob.last_seen_ms);
	assert_int_equal(table_restore(s.table, &s.actor, &bob, devices, 1, 30000, s.now), -EEXIST);
	struct restored_user carol = bob;
	carol.user = "carol";
	carol.len = 5;
	assert_int_equal(table_restore(s.table, &s.actor, &carol, NULL, 0, 30000, s.now), 0);
	assert_false(stage_look(&s, "bob").is_known); /* one is remembered, as ever */
	assert_true(stage_look(&s, "carol").is_known);
	/* More devices than may be, or one twice: nothing of it. */
	struct restored_session four[4] = {devices[0], devices[1], devices[0], devices[1]};
	assert_int_equal(table_restore(s.table, &s.actor, &bob, four, 4, 30000, s.now), -EINVAL);
	assert_int_equal(table_restore(s.table, &s.actor, &bob, four, 3, 30000, s.now), -EINVAL);
	assert_false(stage_look(&s, "bob").is_known);
	stage_end(&s);
}

static void a_made_up_device_goes_on_by_its_name(void **state)
{
	(void)state;
	struct stage s;
	stage_begin(&s, 1000, 10);
	assert_int_equal(table_restore(s.table, &s.actor, &bob, devices, 2, 30000, s.now), 0);
	struct seat desk = stage_login(&s, 0, "bob", devices[1].device, KEEP, NULL);
	assert_true(desk.is_resumed);
	struct snapshot look;
	struct session_view *views;
	size_t n;
	assert_int_equal(table_sessions(s.table, "bob", 3, s.now, &look, &views, &n), 0);
	assert_int_equal(n, 2);
	assert_true(views[0].is_reconnecting && !views[1].is_reconnecting);
	assert_int_equal(views[0].last_seen_ms, devices[0].last_seen_ms);
	assert_int_equal(views[1].since_ms, devices[1].since_ms); /* it is the same session */
	assert_int_equal(views[1].transport, TRANSPORT_TCP); /* as it is now */
	free(views);
	stage_end(&s);
}

static void a_restore_with_refused_memory(void **state)
{
	(void)state;
	unsigned n_refused = 0;
	for (long n = 1;; n++) {
		struct stage s;
		stage_begin(&s, 1000, 10);
		alloc_fail_begin(n);
		int err = table_restore(s.table, &s.actor, &bob, devices, 2, 30000, s.now);
		bool refused = alloc_fail_end();
		stage_check(&s);
		assert_int_equal(stage_look(&s, "bob").is_known, !err);
		if (err)
			assert_int_equal(err, -ENOMEM);
		n_refused += err != 0;
		stage_end(&s);
		if (!refused)
			break;
	}
	assert_int_equal(
		n_refused, 12); /* user; list; 2 x keep, record, stamps, chunk; device; status */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_packed_is_there_at_once),
		cmocka_unit_test(out_of_sight_it_was_seen_until_then),
		cmocka_unit_test(of_a_live_one_it_is_waited_for),
		cmocka_unit_test(it_is_not_waited_for_forever),
		cmocka_unit_test(who_waits_may_be_replaced_too),
		cmocka_unit_test(who_waits_may_go_and_come_back),
		cmocka_unit_test(who_waits_may_end),
		cmocka_unit_test(between_the_verdict_and_the_parting),
		cmocka_unit_test(a_detached_session_keeps_its_watches),
		cmocka_unit_test(refused_memory_ends_it_at_once_or_loses_its_watches),
		cmocka_unit_test(a_restored_user_is_reconnecting_and_told_once),
		cmocka_unit_test(who_stays_away_is_told_with_the_true_moments),
		cmocka_unit_test(the_offline_are_remembered),
		cmocka_unit_test(a_made_up_device_goes_on_by_its_name),
		cmocka_unit_test(a_restore_with_refused_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
