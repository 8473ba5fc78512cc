/* The session table's memory: who is remembered and what of them, growth, refused memory, full mailboxes. */

#include "support/failing_alloc.h"
#include "support/stage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Comes and goes again. */
static void visit(struct stage *s, const char *user)
{
	stage_leave(s, stage_login(s, 0, user, NULL, KEEP, NULL), REASON_LOGOUT);
}

static bool is_known(struct stage *s, const char *user)
{
	return stage_look(s, user).is_known;
}

static uint64_t n_remembered(const struct stage *s)
{
	return table_count(s->table).users_remembered;
}

static void exactly_so_many_are_remembered(void **state)
{
	(void)state;
	static const uint64_t limits[] = {0, 1, 3};
	for (unsigned l = 0; l < 3; l++) {
		struct stage s;
		stage_begin(&s, 1000, limits[l]);
		for (unsigned i = 0; i < 50; i++) {
			char name[16];
			snprintf(name, sizeof(name), "u%u", i);
			visit(&s, name);
			/* The last ones, and no others. */
			for (unsigned k = 0; k <= i; k++) {
				snprintf(name, sizeof(name), "u%u", k);
				assert_int_equal(is_known(&s, name), k + limits[l] > i);
			}
			uint64_t want = i + 1 < limits[l] ? i + 1 : limits[l];
			assert_int_equal(n_remembered(&s), want);
			assert_int_equal(table_count(s.table).users_known, want);
			stage_check(&s);
		}
		assert_int_equal(stage_counter(&s, COUNTER_forgotten), 50 - limits[l]);
		stage_end(&s);
	}
}

static void who_comes_back_is_young_again(void **state)
{
	(void)state;
	struct stage s;
	stage_begin(&s, 1000, 3);
	visit(&s, "a");
	visit(&s, "b");
	visit(&s, "c");
	struct snapshot look = stage_look(&s, "a");
	assert_string_equal(stage_words(&look), "offline logout -"); /* a look is no visit */
	visit(&s, "a"); /* the oldest is b now */
	visit(&s, "d");
	assert_true(
		is_known(&s, "a") && !is_known(&s, "b") && is_known(&s, "c") && is_known(&s, "d"));
	struct seat c =
		stage_login(&s, 0, "c", NULL, KEEP, NULL); /* online: not remembered, but live */
	assert_int_equal(n_remembered(&s), 2);
	visit(&s, "e");
	assert_true(is_known(&s, "a") && is_known(&s, "d") && is_known(&s, "e"));
	stage_leave(&s, c, REASON_CLOSED);
	assert_true(!is_known(&s, "a") && is_known(&s, "c"));
	stage_end(&s);
}

static void the_watched_are_not_counted_among_them(void **state)
{
	(void)state;
	struct stage s;
	stage_begin(&s, 1000, 1);
	stage_watch(&s, 0, "a");
	stage_watch(&s, 1, "a");
	visit(&s, "a");
	visit(&s, "b");
	assert_int_equal(n_remembered(&s), 1);
	visit(&s, "c");
	assert_true(is_known(&s, "a") && !is_known(&s, "b") && is_known(&s, "c"));
	stage_unwatch(&s, 0, "a");
	assert_true(is_known(&s, "a") && is_known(&s, "c"));
	stage_unwatch(&s, 1, "a"); /* the last watcher: remembered from now on, and c is older */
	assert_true(is_known(&s, "a") && !is_known(&s, "c"));
	assert_int_equal(n_remembered(&s), 1);
	stage_watch(&s, 0, "a"); /* live again, with what was remembered */
	assert_true(is_known(&s, "a"));
	assert_int_equal(n_remembered(&s), 0);
	stage_unwatch(&s, 1, "a"); /* who never watched */
	assert_int_equal(n_remembered(&s), 0);
	stage_end(&s);
}

static void who_was_never_seen_leaves_nothing(void **state)
{
	(void)state;
	struct stage s;
	stage_begin(&s, 1000, 10);
	stage_watch(&s, 0, "ghost");
	assert_int_equal(table_count(s.table).users_known, 1);
	stage_unwatch(&s, 0, "ghost");
	stage_unwatch(&s, 0, "nobody");
	/* One who is only ever invisible, too. */
	stage_leave(&s, stage_login(&s, 0, "shy", NULL, STATE_INVISIBLE, NULL), REASON_LOGOUT);
	assert_false(is_known(&s, "shy"));
	assert_int_equal(table_count(s.table).users_known, 0);
	assert_int_equal(stage_counter(&s, COUNTER_events), 0);
	stage_end(&s);
}

static void last_seen_is_when_a_visible_device_was_last_heard(void **state)
{
	(void)state;
	struct stage s;
	struct numbers n;
	stage_begin(&s, 0xffffff00, 10); /* the stamps wrap in between */
	stage_watch(&s, 2, "bob");
	struct seat a = stage_login(&s, 0, "bob", "a", KEEP, NULL);
	assert_string_equal(stage_told(&s, 2, &n), "bob online login -");
	assert_int_equal(n.last_seen_ms, STAGE_SEEN(STAGE_WALL_MS));
	stage_pass(&s, 700);
	assert_int_equal(stage_look(&s, "bob").last_seen_ms, STAGE_SEEN(STAGE_WALL_MS));
	stage_stamp(&s, a);
	stage_pass(&s, 100);
	assert_int_equal(stage_look(&s, "bob").last_seen_ms, STAGE_SEEN(STAGE_WALL_MS + 700));
	struct seat b = stage_login(&s, 0, "bob", "b", STATE_BUSY, NULL);
	stage_told(&s, 2, NULL);
	assert_int_equal(stage_look(&s, "bob").last_seen_ms,
		STAGE_SEEN(STAGE_WALL_MS + 800)); /* the latest of all devices */

	/* Out of sight it moves no more, but it had been seen until then. */
	stage_pass(&s, 100);
	stage_stamp(&s, b);
	stage_update(&s, b, STATE_INVISIBLE, NULL, NULL);
	assert_string_equal(stage_told(&s, 2, &n), "bob online logout -");
	assert_int_equal(n.last_seen_ms, STAGE_SEEN(STAGE_WALL_MS + 900));
	stage_pass(&s, 100);
	stage_stamp(&s, b);
	assert_int_equal(stage_look(&s, "bob").last_seen_ms, STAGE_SEEN(STAGE_WALL_MS + 900));
	stage_leave(&s, b, REASON_LOGOUT);
	assert_int_equal(stage_look(&s, "bob").last_seen_ms, STAGE_SEEN(STAGE_WALL_MS + 900));

	/* An end says when the session was heard last, not when it ended; it stays so, and is never set back. */
	stage_stamp(&s, a);
	stage_pass(&s, 3000);
	stage_leave(&s, a, REASON_TIMEOUT);
	assert_string_equal(stage_told(&s, 2, &n), "bob offline timeout -");
	assert_int_equal(n.last_seen_ms, STAGE_SEEN(STAGE_WALL_MS + 1000));
	assert_int_equal(n.at_ms, STAGE_WALL_MS + 4000);
	stage_pass(&s, 5000);
	assert_int_equal(stage_look(&s, "bob").last_seen_ms, STAGE_SEEN(STAGE_WALL_MS + 1000));
	stage_end(&s);
}

static void stamps_rounded_up_are_not_in_the_future(void **state)
{
	(void)state;
	struct stage s;
	stage_begin(&s, 1000, 10);
	struct seat a = stage_login(&s, 0, "bob", "a", KEEP, NULL);
	atomic_store(a.stamp, (uint32_t)s.now.mono_ms + 1 + TIMEOUT_MS);
	assert_int_equal(stage_look(&s, "bob").last_seen_ms, s.now.wall_ms);
	stage_end(&s);
}

/* --- growth --- */

enum { MANY = 6000 };

static void many_users_and_sessions(void **state)
{
	(void)state;
	struct stage s;
	static struct seat seats[MANY];
	char name[16];
	stage_begin(&s, 1000, MANY / 2);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "u%u", i);
		seats[i] = stage_login(&s, 0, name, NULL, KEEP, name);
	}
	stage_check(&s);
	struct table_counts c = table_count(s.table);
	assert_true(c.sessions == MANY && c.users_online == MANY && c.users_known == MANY &&
		    c.users_remembered == 0);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "u%u", i);
		struct snapshot look = stage_look(&s, name);
		assert_true(look.state == STATE_ONLINE && look.status_len == strlen(name));
		assert_memory_equal(look.status, name, look.status_len);
	}
	for (unsigned i = 0; i < MANY; i++)
		stage_leave(&s, seats[i], REASON_CLOSED);
	stage_check(&s);
	c = table_count(s.table);
	assert_true(c.sessions == 0 && c.users_online == 0 && c.users_known == MANY / 2);
	assert_int_equal(c.users_remembered, MANY / 2);
	/* All come back, also from the middle of the stripes' lists of the remembered. */
	for (unsigned i = 0; i < MANY; i++) {
		unsigned k = i * 7919 % MANY;
		snprintf(name, sizeof(name), "u%u", k);
		assert_int_equal(stage_look(&s, name).is_known, k >= MANY / 2);
		seats[k] = stage_login(&s, 0, name, NULL, KEEP, NULL);
	}
	c = table_count(s.table);
	assert_true(c.sessions == MANY && c.users_online == MANY && c.users_known == MANY &&
		    c.users_remembered == 0);
	stage_end(&s);
}

/* --- full mailboxes, and events that memory was refused for --- */

static void what_a_full_mailbox_refuses_is_read_again(void **state)
{
	(void)state;
	struct stage s;
	stage_begin(&s, 1000, 10);
	stage_watch(&s, 0, "bob");
	stage_watch(&s, 1, "carol");
	struct seat bob = stage_login(&s, 2, "bob", NULL, KEEP, NULL);
	for (unsigned i = 1; i < STAGE_RING; i++)
		stage_update(&s, bob, i % 2 ? STATE_AWAY : STATE_ONLINE, NULL, NULL);
	assert_false(mailbox_take_resync(&s.boxes[0]));
	assert_int_equal(stage_counter(&s, COUNTER_events_mailed), STAGE_RING);
	stage_update(&s, bob, STATE_BUSY, NULL, NULL);
	assert_int_equal(stage_counter(&s, COUNTER_mailbox_full), 1);
	assert_true(mailbox_take_resync(&s.boxes[0]));
	assert_false(mailbox_take_resync(&s.boxes[1])); /* whose user it wasn't */
	struct snapshot look = stage_look(&s, "bob");
	assert_string_equal(stage_words(&look), "busy update -");
	stage_end(&s);
}

/* --- the n-th allocation refused, for every n --- */

static void a_new_table_with_refused_memory(void **state)
{
	(void)state;
	struct mailbox box, *boxes[] = {&box};
	struct table_params params = {
		.n_workers = 1, .mailboxes = boxes, .max_sessions_per_user = 1};
	assert_int_equal(mailbox_init(&box, 2), 0);
	long n = 1;
	for (;; n++) {
		struct table *t = NULL;
		alloc_fail_begin(n);
		int err = table_new(&params, &t);
		bool refused = alloc_fail_end();
		assert_int_equal(err, refused ? -ENOMEM : 0);
		assert_int_equal(t == NULL, refused);
		table_free(t);
		if (!refused)
			break;
	}
	assert_true(n > 512); /* each stripe's buckets, at least */
	mailbox_destroy(&box);
}

static int log_in_bare(struct stage *s, const char *user, struct login_result *ret)
{
	role_worker_begin();
	struct login in = {.user = user,
		.user_len = strlen(user),
		.device = "telephone", /* too long to stand in the record */
		.device_len = 9,
		.has_status = true,
		.status = "hi",
		.status_len = 2,
		.timeout_ms = TIMEOUT_MS,
		.now = s->now};
	return table_login(s->table, &s->actor, &in, ret);
}

static void a_login_with_refused_memory(void **state)
{
	(void)state;
	unsigned n_refused = 0, n_silent = 0;
	for (long n = 1;; n++) {
		struct stage s;
		struct login_result out = {.id = 77};
		stage_begin(&s, 1000, 10);
		stage_watch(&s, 1, "bob");
		alloc_fail_begin(n);
		int err = log_in_bare(&s, "bob", &out);
		bool refused = alloc_fail_end();
		if (err) {
			assert_true(refused && err == -ENOMEM && out.id == 77 && !out.session);
			assert_int_equal(table_count(s.table).sessions, 0);
			assert_string_equal(stage_told(&s, 1, NULL), "");
			assert_int_equal(stage_counter(&s, COUNTER_out_of_memory), 1);
			assert_int_equal(log_in_bare(&s, "bob", &out), 0); /* nothing is broken */
			n_refused++;
		} else if (mailbox_take_resync(&s.boxes[1])) {
			assert_true(refused); /* the event's block: the watchers read the table */
			assert_int_equal(stage_counter(&s, COUNTER_out_of_memory), 1);
			n_silent++;
		} else {
			assert_string_equal(stage_told(&s, 1, NULL), "bob online login hi");
		}
		struct snapshot look = stage_look(&s, "bob");
		assert_string_equal(stage_words(&look), "online login hi");
		stage_end(&s);
		if (!refused)
			break;
	}
	assert_int_equal(n_refused, 6); /* user, device, status, record, stamps and their chunk */
	assert_int_equal(n_silent, 1);
}

static void logins_whose_buckets_can_not_grow(void **state)
{
	(void)state;
	struct stage s;
	stage_begin(&s, 1000, 10);
	for (unsigned i = 0; i < 5000; i++) {
		char name[16];
		struct login_result out;
		snprintf(name, sizeof(name), "u%u", i);
		alloc_fail_begin(1 + i % 8);
		int err = log_in_bare(&s, name, &out);
		alloc_fail_end();
		assert_int_equal(stage_look(&s, name).is_known, err == 0);
	}
	stage_end(&s);
}

static void a_watch_with_refused_memory(void **state)
{
	(void)state;
	role_worker_begin();
	struct stage s;
	struct snapshot look = {.seq = 77};
	stage_begin(&s, 1000, 10);
	alloc_fail_begin(1);
	assert_int_equal(table_watch(s.table, &s.actor, 1, "bob", 3, s.now, &look), -ENOMEM);
	assert_true(alloc_fail_end());
	assert_int_equal(look.seq, 77);
	assert_int_equal(table_count(s.table).users_known, 0);
	assert_int_equal(stage_counter(&s, COUNTER_out_of_memory), 1);
	alloc_fail_begin(2);
	assert_int_equal(table_watch(s.table, &s.actor, 1, "bob", 3, s.now, &look), 0);
	assert_false(alloc_fail_end());
	stage_end(&s);
}

static void an_update_with_refused_memory(void **state)
{
	(void)state;
	struct stage s;
	stage_begin(&s, 1000, 10);
	struct seat bob = stage_login(&s, 0, "bob", "a", STATE_AWAY, "old");
	struct snapshot now = {.seq = 77};
	alloc_fail_begin(1);
	assert_int_equal(stage_update(&s, bob, STATE_BUSY, "new", &now), -ENOMEM);
	assert_true(alloc_fail_end());
	assert_int_equal(now.seq, 77);
	now = stage_look(&s, "bob");
	assert_string_equal(stage_words(&now), "away login old");
	stage_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exactly_so_many_are_remembered),
		cmocka_unit_test(who_comes_back_is_young_again),
		cmocka_unit_test(the_watched_are_not_counted_among_them),
		cmocka_unit_test(who_was_never_seen_leaves_nothing),
		cmocka_unit_test(last_seen_is_when_a_visible_device_was_last_heard),
		cmocka_unit_test(stamps_rounded_up_are_not_in_the_future),
		cmocka_unit_test(many_users_and_sessions),
		cmocka_unit_test(what_a_full_mailbox_refuses_is_read_again),
		cmocka_unit_test(a_new_table_with_refused_memory),
		cmocka_unit_test(a_login_with_refused_memory),
		cmocka_unit_test(logins_whose_buckets_can_not_grow),
		cmocka_unit_test(a_watch_with_refused_memory),
		cmocka_unit_test(an_update_with_refused_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
