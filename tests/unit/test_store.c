/* The store: the file holds what the table holds, and a start goes on there. */
#include "support/shelf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char users_query[] = "SELECT user, state, reason, at_ms - 1763794282100, "
				  "last_seen_ms - 1763794282100, status FROM users ORDER BY user";
static const char devices_query[] =
	"SELECT user, device, state, transport, since_ms - 1763794282100, "
	"last_seen_ms - 1763794282100, status, timeout_ms FROM devices "
	"ORDER BY user, rank";
static const char seen_query[] =
	"SELECT user, device, last_seen_ms - 1763794282100 FROM last_seen ORDER BY user, device";

static void the_file_holds_what_the_table_holds(void **state)
{
	(void)state;
	struct shelf s;
	shelf_begin(&s, 10);
	shelf_turn(&s);
	assert_string_equal(shelf_ask(&s, "PRAGMA user_version"), "1");
	assert_string_equal(shelf_ask(&s, "PRAGMA journal_mode"), "wal");
	assert_string_equal(shelf_ask(&s, users_query), "");
	assert_string_equal(
		shelf_ask(&s, "SELECT value FROM meta WHERE key='server'"), s.telemetry->server_id);

	struct seat bob = stage_login(&s.stage, 0, "bob", "phone", STATE_AWAY, "gone");
	stage_login(&s.stage, 1, "bob", "tablet", KEEP, NULL);
	struct seat eve = stage_login(&s.stage, 2, "eve", "pc", KEEP, NULL);
	shelf_turn(&s);
	assert_string_equal(shelf_ask(&s, users_query),
		"bob|online|login|800|799|- eve|online|login|800|799|-");
	assert_string_equal(shelf_ask(&s, devices_query),
		"bob|tablet|online|tcp|800|799|-|3000 bob|phone|away|tcp|800|799|gone|3000 "
		"eve|pc|online|tcp|800|799|-|3000");

	/* Heartbeats are no rows, and are there all the same. */
	stage_stamp(&s.stage, bob);
	stage_pass(&s.stage, 20);
	stage_stamp(&s.stage, eve);
	shelf_turn(&s);
	assert_string_equal(shelf_ask(&s, seen_query), "bob|phone|1599 bob|tablet|799 eve|pc|1619");
	assert_string_equal(shelf_ask(&s, "SELECT user, last_seen, devices FROM presence"),
		"bob|2025-11-22 06:51:23.699|tablet, phone eve|2025-11-22 06:51:23.719|pc");
	assert_int_equal(shelf_count(&s, COUNTER_store_users), 3 - 1);

	stage_update(&s.stage, bob, STATE_BUSY, "-", NULL);
	stage_leave(&s.stage, eve, REASON_RESET);
	shelf_turn(&s);
	assert_string_equal(shelf_ask(&s, users_query),
		"bob|busy|update|2420|1599|- eve|offline|reset|2420|1619|-");
	assert_string_equal(
		shelf_ask(&s, "SELECT device FROM devices ORDER BY rank"), "phone tablet");
	assert_int_equal(shelf_fault(&s), 0);
	assert_int_equal(shelf_count(&s, COUNTER_store_rewrites), 1);
	assert_int_equal(shelf_count(&s, COUNTER_store_errors), 0);
	assert_true(histogram_count(&s.telemetry->store.batch_us) > 0);

	/* Nothing moves: nothing is written. */
	uint64_t n = shelf_count(&s, COUNTER_store_batches);
	shelf_turn(&s);
	shelf_turn(&s);
	assert_int_equal(shelf_count(&s, COUNTER_store_batches), n);
	assert_int_equal(atomic_load(&s.telemetry->store.saved_mono_ms), s.stage.now.mono_ms - 800);
	assert_string_equal(shelf_ask(&s, "SELECT count(*) FROM meta WHERE key='stopped_ms'"), "0");
	shelf_last_turn(&s);
	assert_string_equal(shelf_ask(&s, "SELECT count(*) FROM meta WHERE key='stopped_ms'"), "1");
	shelf_end(&s);
}

static void who_is_invisible_is_so_in_the_file(void **state)
{
	(void)state;
	struct shelf s;
	shelf_begin(&s, 10);
	struct seat shy = stage_login(&s.stage, 0, "shy", "phone", STATE_INVISIBLE, NULL);
	shelf_turn(&s);
	assert_string_equal(shelf_ask(&s, users_query), "shy|invisible|unknown|-|-|-");
	stage_stamp(&s.stage, shy);
	shelf_turn(&s);
	assert_string_equal(shelf_ask(&s, "SELECT user, last_seen FROM presence"), "shy|-");
	stage_leave(&s.stage, shy, REASON_CLOSED);
	shelf_turn(&s);
	assert_string_equal(shelf_ask(&s, users_query), "");
	assert_string_equal(shelf_ask(&s, devices_query), "");
	shelf_end(&s);
}

static void who_is_forgotten_is_so_in_the_file(void **state)
{
	(void)state;
	struct shelf s;
	char name[16];
	shelf_begin(&s, 3);
	shelf_turn(&s);
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "u%u", i);
		struct seat seat = stage_login(&s.stage, 0, name, "d", KEEP, NULL);
		shelf_turn(&s);
		stage_leave(&s.stage, seat, REASON_LOGOUT);
		shelf_turn(&s);
	}
	assert_true(strlen(shelf_ask(&s, "SELECT user FROM users")) >= 3 * 3 - 1);
	stage_pass(&s.stage, 10000);
	stage_login(&s.stage, 0, "on", "d", KEEP, NULL);
	shelf_turn(&s);
	assert_string_equal(shelf_ask(&s, "SELECT user FROM users ORDER BY user"), "on u5 u6 u7");
	assert_int_equal(atomic_load(&s.telemetry->store.users), 4);
	shelf_end(&s);
}

/* Many at once: sessions come and go by the hundred, over more than one chunk of places. */
static void a_crowd_is_in_the_file(void **state)
{
	(void)state;
	enum { N = 1500 };
	static struct seat seats[N];
	struct shelf s;
	char name[16];
	shelf_begin(&s, N);
	for (unsigned i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "u%04u", i);
		seats[i] = stage_login(&s.stage, i % STAGE_WORKERS, name, "d", KEEP, NULL);
	}
	shelf_turn(&s);
	for (unsigned i = 0; i < N; i += 2)
		stage_leave(&s.stage, seats[i], REASON_CLOSED);
	for (unsigned i = 1; i < N; i += 2)
		stage_stamp(&s.stage, seats[i]);
	shelf_turn(&s);
	assert_string_equal(
		shelf_ask(&s,
			"SELECT state, count(*), min(last_seen_ms) - 1763794282100 FROM users "
			"GROUP BY state"),
		"offline|750|-1 online|750|-1");
	assert_string_equal(
		shelf_ask(&s, "SELECT count(*), min(last_seen_ms) - 1763794282100 FROM last_seen"),
		"750|799");
	shelf_end(&s);
}

/* Nothing is left of them in any slot when the store looks. */
static void who_comes_and_goes_between_two_looks_is_in_the_file(void **state)
{
	(void)state;
	struct shelf s;
	shelf_begin(&s, 10);
	shelf_turn(&s);
	stage_leave(&s.stage, stage_login(&s.stage, 0, "short", "d", KEEP, NULL), REASON_CLOSED);
	shelf_pump(&s);
	shelf_turn(&s);
	assert_string_equal(shelf_ask(&s, users_query), "short|offline|closed|800|799|-");
	assert_int_equal(shelf_count(&s, COUNTER_store_rewrites), 1);
	/* Where the feed has lost some, everybody is looked at. */
	stage_leave(&s.stage, stage_login(&s.stage, 0, "a", "d", KEEP, NULL), REASON_CLOSED);
	stage_leave(&s.stage, stage_login(&s.stage, 0, "b", "d", KEEP, NULL), REASON_CLOSED);
	stage_leave(&s.stage, stage_login(&s.stage, 0, "c", "d", KEEP, NULL), REASON_CLOSED);
	shelf_pump(&s);
	shelf_turn(&s);
	assert_string_equal(shelf_ask(&s, "SELECT user, state FROM users ORDER BY user"),
		"a|offline b|offline c|offline short|offline");
	assert_int_equal(shelf_count(&s, COUNTER_store_rewrites), 2);
	shelf_end(&s);
}

/* --- a restart --- */

static const char *look(struct shelf *s, const char *user)
{
	static char text[256];
	struct snapshot look = stage_look(&s->stage, user);
	if (!look.is_known)
		return "unknown";
	snprintf(text, sizeof(text), "%s%s %lld %lld", stage_words(&look),
		look.is_reconnecting ? " reconnecting" : "",
		(long long)(look.at_ms - STAGE_WALL_MS),
		(long long)(look.last_seen_ms - STAGE_WALL_MS));
	return text;
}

static void give_grace_up(struct shelf *s)
{
	role_watchdog_begin();
	struct session *listed[8];
	size_t n = 0;
	for (unsigned i = 0; i < STAGE_WORKERS; i++)
		table_nominate(s->stage.table, &s->stage.actor, i, (uint32_t)s->stage.now.mono_ms);
	struct mailbox_link *next;
	for (struct mailbox_link *l = mailbox_take_links(&s->stage.watchdog); l; l = next) {
		struct standstill none = {.is_set = false};
		next = l->next;
		listed[n++] = session_from_link(l);
		table_judge(s->stage.table, &s->stage.actor, listed[n - 1], &none, s->stage.now);
	}
	role_worker_begin();
	for (unsigned i = 0; i < STAGE_WORKERS; i++)
		for (struct mailbox_link *l = mailbox_take_links(&s->stage.boxes[i]); l; l = next) {
			next = l->next;
			/* Who is there is heard; who has ended goes. */
			if (session_id(session_from_link(l)) != 0)
				table_acquit(session_from_link(l));
			else
				table_release(s->stage.table, session_from_link(l), true);
		}
}

/* Killed without a word: what was there at the last turn is there again. */
static void a_restart_goes_on(void **state)
{
	(void)state;
	struct shelf s;
	shelf_begin(&s, 10);
	struct seat bob = stage_login(&s.stage, 0, "bob", "phone", STATE_AWAY, "gone");
	stage_login(&s.stage, 1, "bob", "a-tablet-of-a-long-name", STATE_BUSY, "here");
	stage_login(&s.stage, 2, "eve", NULL, KEEP, NULL);
	struct seat zoe = stage_login(&s.stage, 0, "zoe", "pc", KEEP, NULL);
	stage_login(&s.stage, 1, "shy", "pc", STATE_INVISIBLE, NULL);
	shelf_turn(&s);
	stage_stamp(&s.stage, bob);
	stage_leave(&s.stage, zoe, REASON_RESET);
	shelf_turn(&s);
	stage_pass(&s.stage, 100);
	shelf_restart(&s, 10, 2000);

	assert_string_equal(look(&s, "bob"), "busy login here reconnecting 0 799");
	assert_string_equal(look(&s, "eve"), "online login - reconnecting 0 -1");
	assert_string_equal(look(&s, "zoe"), "offline reset - 800 -1");
	assert_string_equal(look(&s, "shy"), "unknown");
	stage_watch(&s.stage, 1, "bob");
	stage_watch(&s.stage, 1, "eve");
	stage_watch(&s.stage, 1, "zoe");
	stage_watch(&s.stage, 1, "shy");

	/* Written anew, with places of this start. */
	shelf_turn(&s);
	assert_string_equal(
		shelf_ask(&s, "SELECT user, device, state, status, ended, ended_ms - 1763794282100 "
			      "FROM devices ORDER BY user, rank LIMIT 2"),
		"bob|a-tablet-of-a-long-name|busy|here|timeout|800 bob|phone|away|gone|timeout|800");

	/* Who comes back is no news, and keeps its words. */
	stage_pass(&s.stage, 1000);
	stage_login(&s.stage, 2, "bob", "a-tablet-of-a-long-name", KEEP, NULL);
	assert_string_equal(stage_told(&s.stage, 1, NULL), "");
	assert_string_equal(look(&s, "bob"), "busy login here 0 5499");
	shelf_turn(&s);
	assert_string_equal(
		shelf_ask(&s, "SELECT device, ended FROM devices WHERE user = 'bob' ORDER BY rank"),
		"a-tablet-of-a-long-name|- phone|timeout");
	/* Who does not is told once, as of then. */
	struct numbers numbers;
	stage_pass(&s.stage, 30000);
	give_grace_up(&s);
	const char *told = stage_told(&s.stage, 1, &numbers);
	if (strncmp(told, "bob", 3) == 0)
		told = stage_told(&s.stage, 1, &numbers);
	assert_string_equal(told, "eve offline timeout -");
	assert_int_equal(numbers.at_ms, STAGE_WALL_MS + 800);
	assert_int_equal(numbers.last_seen_ms, STAGE_WALL_MS - 1);
	shelf_turn(&s);
	assert_string_equal(
		shelf_ask(&s, "SELECT user, state FROM users WHERE user <> 'bob' ORDER BY user"),
		"eve|offline zoe|offline");
	shelf_end(&s);
}

static void a_second_restart_in_the_grace(void **state)
{
	(void)state;
	struct shelf s;
	shelf_begin(&s, 10);
	stage_login(&s.stage, 0, "bob", "phone", KEEP, NULL);
	shelf_turn(&s);
	for (unsigned i = 0; i < 3; i++) {
		shelf_restart(&s, 10, 2000);
		assert_string_equal(look(&s, "bob"), "online login - reconnecting 0 -1");
		stage_pass(&s.stage, 1000);
		if (i != 1) /* once it is killed before it wrote anything */
			shelf_turn(&s);
	}
	shelf_end(&s);
}

/* The clock was set back while the server was down: nothing is told of the future. */
static void a_clock_that_was_set_back(void **state)
{
	(void)state;
	struct shelf s;
	shelf_begin(&s, 10);
	struct seat bob = stage_login(&s.stage, 0, "bob", "phone", KEEP, NULL);
	stage_login(&s.stage, 0, "eve", "phone", KEEP, NULL);
	shelf_turn(&s);
	stage_leave(&s.stage, bob, REASON_CLOSED);
	shelf_turn(&s);
	shelf_restart(&s, 10, -3600000);
	struct snapshot bobs = stage_look(&s.stage, "bob"), eves = stage_look(&s.stage, "eve");
	assert_int_equal(bobs.state, STATE_OFFLINE);
	assert_int_equal(bobs.at_ms, s.stage.now.wall_ms);
	assert_int_equal(bobs.last_seen_ms, s.stage.now.wall_ms);
	assert_true(eves.is_reconnecting);
	assert_int_equal(eves.last_seen_ms, s.stage.now.wall_ms);
	shelf_turn(&s);
	assert_int_equal(shelf_fault(&s), 0);
	shelf_end(&s);
}

static void who_is_too_many_is_forgotten_by_a_restart(void **state)
{
	(void)state;
	struct shelf s;
	char name[16];
	shelf_begin(&s, 10);
	for (unsigned i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "u%u", i);
		stage_leave(
			&s.stage, stage_login(&s.stage, 0, name, "d", KEEP, NULL), REASON_LOGOUT);
		stage_pass(&s.stage, 10);
	}
	shelf_turn(&s);
	shelf_restart(&s, 3, 1000);
	assert_string_equal(look(&s, "u2"), "unknown");
	assert_string_equal(look(&s, "u3"), "offline logout - 30 29");
	assert_string_equal(look(&s, "u5"), "offline logout - 50 49");
	shelf_turn(&s);
	assert_string_equal(shelf_ask(&s, "SELECT user FROM users ORDER BY user"), "u3 u4 u5");
	shelf_end(&s);
}

/* Rows that were edited by hand. */
static void nonsense_is_left_out(void **state)
{
	(void)state;
	struct shelf s;
	shelf_begin(&s, 10);
	stage_login(&s.stage, 0, "bob", "phone", KEEP, NULL);
	shelf_turn(&s);
	shelf_ask(&s,
		"INSERT INTO users VALUES('ok', 'offline', NULL, 'logout', 5, 4);"
		"INSERT INTO users VALUES('', 'offline', NULL, 'logout', 5, 4);"
		"INSERT INTO users VALUES(char(7), 'offline', NULL, 'logout', 5, 4);"
		"INSERT INTO users VALUES(CAST(x'ff' AS TEXT), 'offline', NULL, 'logout', 5, 4);"
		"INSERT INTO users VALUES('reason', 'offline', NULL, 'whim', 5, 4);"
		"INSERT INTO users VALUES('at', 'offline', NULL, 'logout', -5, 4);"
		"INSERT INTO users VALUES('far', 'offline', NULL, 'logout', 5, 1 << 48);"
		"INSERT INTO users VALUES(printf('%200s', 'x'), 'offline', NULL, 'logout', 5, 4);"
		"INSERT INTO devices VALUES('bob',1,'','tcp','online',NULL,1,1,1000,NULL,NULL,0);"
		"INSERT INTO devices VALUES('bob',2,'b','air','online',NULL,1,1,1000,NULL,NULL,0);"
		"INSERT INTO devices VALUES('bob',3,'c','tcp','offline',NULL,1,1,1000,NULL,NULL,0);"
		"INSERT INTO devices VALUES('bob',4,'d','tcp','online',NULL,1,1,0,NULL,NULL,0);"
		"INSERT INTO devices VALUES('bob',5,'e','tcp','online',char(1),1,1,1000,NULL,NULL,0);"
		"INSERT INTO devices VALUES('bob',6,'f','tcp','away',NULL,1,1,1000,'reset',7,-9);"
		"INSERT INTO devices VALUES('orphan',0,'d','tcp','away',NULL,1,1,1000,NULL,NULL,1<<40);"
		"INSERT INTO devices VALUES('twice',0,'d','tcp','away',NULL,1,1,1000,NULL,NULL,1);"
		"INSERT INTO devices VALUES('twice',1,'d','tcp','away',NULL,1,1,1000,NULL,NULL,1);"
		"INSERT INTO heard VALUES(99, 'short')");
	shelf_restart(&s, 10, 1000);
	assert_int_equal(shelf_count(&s, COUNTER_store_skipped), 7 + 5 + 1);
	assert_string_equal(look(&s, "bob"), "online login - reconnecting 0 -1");
	assert_int_equal(stage_look(&s.stage, "ok").at_ms, 5);
	assert_int_equal(stage_look(&s.stage, "orphan").state, STATE_AWAY);
	shelf_turn(&s);
	assert_string_equal(shelf_ask(&s, "SELECT user FROM users ORDER BY user"), "bob ok orphan");
	assert_string_equal(
		shelf_ask(&s,
			"SELECT user, device, ended, ended_ms FROM devices ORDER BY user, rank"),
		"bob|phone|timeout|1763794282100 bob|f|reset|7 orphan|d|timeout|1763794282100");
	shelf_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_file_holds_what_the_table_holds),
		cmocka_unit_test(who_is_invisible_is_so_in_the_file),
		cmocka_unit_test(who_is_forgotten_is_so_in_the_file),
		cmocka_unit_test(a_crowd_is_in_the_file),
		cmocka_unit_test(who_comes_and_goes_between_two_looks_is_in_the_file),
		cmocka_unit_test(a_restart_goes_on),
		cmocka_unit_test(a_second_restart_in_the_grace),
		cmocka_unit_test(a_clock_that_was_set_back),
		cmocka_unit_test(who_is_too_many_is_forgotten_by_a_restart),
		cmocka_unit_test(nonsense_is_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
