/* The store on a disk that fails, and with files that are not what they should be. */
#include "support/shelf.h"

#include "support/failing_alloc.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char seen_query[] =
	"SELECT user, device, last_seen_ms - 1763794282100 FROM last_seen ORDER BY user, device";

static void set_errors(int error)
{
	atomic_store(&faulty_disk.write_error, error);
}

/* The file is what the table is: bob online, eve offline. */
static void expect_all(struct shelf *s)
{
	assert_int_equal(shelf_fault(s), 0);
	assert_string_equal(shelf_ask(s, "SELECT user, state FROM users ORDER BY user"),
		"bob|online eve|offline");
	assert_string_equal(shelf_ask(s, "SELECT user, device FROM devices"), "bob|phone");
	assert_string_equal(shelf_ask(s, "PRAGMA integrity_check"), "ok");
}

static struct seat fill(struct shelf *s)
{
	struct seat bob = stage_login(&s->stage, 0, "bob", "phone", KEEP, NULL);
	stage_leave(&s->stage, stage_login(&s->stage, 1, "eve", "pc", KEEP, NULL), REASON_CLOSED);
	return bob;
}

static void a_disk_that_fails_is_tried_again(void **state)
{
	(void)state;
	static const struct {
		int error, fault;
	} cases[] = {{SQLITE_FULL, ENOSPC}, {SQLITE_IOERR_WRITE, EIO}, {SQLITE_READONLY, EROFS}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct shelf s;
		shelf_begin(&s, 10);
		shelf_turn(&s);
		set_errors(cases[i].error);
		fill(&s);
		shelf_turn(&s);
		assert_int_equal(shelf_fault(&s), cases[i].fault);
		assert_int_equal(shelf_count(&s, COUNTER_store_errors), 1);
		uint64_t saved_ms = atomic_load(&s.telemetry->store.saved_mono_ms);
		for (unsigned k = 0; k < 40; k++)
			shelf_turn(&s); /* 32 s: after 1, 2, 4, 8, then every 10 s */
		uint64_t n_errors = shelf_count(&s, COUNTER_store_errors);
		assert_true(n_errors >= 5 && n_errors <= 8);
		assert_int_equal(atomic_load(&s.telemetry->store.saved_mono_ms), saved_ms);
		faulty_disk_mend();
		stage_pass(&s.stage, 10000);
		shelf_turn(&s);
		expect_all(&s);
		assert_int_equal(atomic_load(&s.telemetry->store.last_fault), cases[i].fault);
		assert_true(shelf_count(&s, COUNTER_store_rewrites) >= 2);
		shelf_end(&s);
	}
}

/* Whichever write is the one that fails. */
static void any_write_may_fail(void **state)
{
	(void)state;
	for (long n = 1;; n++) {
		struct shelf s;
		shelf_begin(&s, 10);
		struct seat bob = fill(&s);
		atomic_store(&faulty_disk.fail_nth_write, n);
		set_errors(SQLITE_FULL);
		shelf_turn(&s);
		stage_stamp(&s.stage, bob);
		stage_update(&s.stage, bob, KEEP, "-", NULL);
		shelf_turn(&s);
		shelf_last_turn(&s);
		bool is_over = shelf_fault(&s) == 0 && atomic_load(&faulty_disk.n_writes) < n;
		faulty_disk_mend();
		stage_pass(&s.stage, 10000);
		shelf_turn(&s);
		expect_all(&s);
		assert_string_equal(shelf_ask(&s, seen_query), "bob|phone|799");
		shelf_end(&s);
		if (is_over) {
			assert_true(n > 10);
			break;
		}
	}
}

static void a_lock_of_another_loses_nothing(void **state)
{
	(void)state;
	struct shelf s;
	shelf_begin(&s, 10);
	struct seat eve = stage_login(&s.stage, 1, "eve", "pc", KEEP, NULL);
	shelf_turn(&s);
	sqlite3 *other = shelf_open_file(&s);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	stage_login(&s.stage, 0, "bob", "phone", KEEP, NULL);
	stage_leave(&s.stage, eve, REASON_CLOSED);
	shelf_turn(&s);
	assert_int_equal(shelf_fault(&s), 0);
	stage_pass(&s.stage, 5000);
	shelf_turn(&s);
	assert_int_equal(shelf_fault(&s), EBUSY);
	shelf_turn(&s);
	assert_int_equal(shelf_count(&s, COUNTER_store_errors), 1);
	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	shelf_turn(&s);
	expect_all(&s);
	assert_int_equal(shelf_count(&s, COUNTER_store_rewrites), 1);
	shelf_end(&s);
}

static void a_file_that_is_gone_is_made_anew(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct shelf s;
		char wal[160];
		shelf_begin(&s, 10);
		fill(&s);
		shelf_turn(&s);
		snprintf(wal, sizeof(wal), "%s-wal", s.path);
		assert_int_equal(unlink(wal), 0);
		if (i == 0)
			assert_int_equal(unlink(s.path), 0);
		shelf_turn(&s);
		assert_int_equal(shelf_count(&s, COUNTER_store_errors), 1);
		assert_int_equal(atomic_load(&s.telemetry->store.last_fault), ENOENT);
		expect_all(&s);
		shelf_end(&s);
	}
}

static size_t n_files(const struct shelf *s, const char *pattern)
{
	char text[128];
	glob_t found;
	snprintf(text, sizeof(text), "%s/%s", s->folder, pattern);
	size_t n = glob(text, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
	globfree(&found);
	return n;
}

static void damage_that_shows_while_it_is_written(void **state)
{
	(void)state;
	struct shelf s;
	shelf_begin(&s, 10);
	shelf_turn(&s);
	fill(&s);
	atomic_store(&faulty_disk.read_error, SQLITE_CORRUPT);
	atomic_store(&faulty_disk.write_error, SQLITE_CORRUPT);
	shelf_turn(&s);
	assert_int_equal(shelf_fault(&s), EUCLEAN);
	faulty_disk_mend();
	stage_pass(&s.stage, 10000);
	shelf_turn(&s);
	expect_all(&s);
	assert_int_equal(n_files(&s, "*.corrupt-*Z"), 1);
	shelf_end(&s);
}

static void write_garbage(const struct shelf *s)
{
	FILE *file = fopen(s->path, "w");
	assert_non_null(file);
	for (unsigned i = 0; i < 1000; i++)
		fprintf(file, "no database at all\n");
	fclose(file);
}

static void a_damaged_file_is_moved_aside(void **state)
{
	(void)state;
	struct shelf s;
	shelf_begin(&s, 10);
	store_stop(s.store);
	write_garbage(&s);
	shelf_open_store(&s, 10);
	/* Not yet: another server may be at work with it. */
	assert_int_equal(n_files(&s, "*.corrupt-*"), 0);
	fill(&s);
	shelf_turn(&s);
	assert_int_equal(n_files(&s, "*.corrupt-*Z"), 1);
	assert_int_equal(shelf_count(&s, COUNTER_store_errors), 1);
	expect_all(&s);
	shelf_end(&s);
}

/* What is not ours to write to is left as it is. */
static void a_file_that_is_not_ours_is_left_alone(void **state)
{
	(void)state;
	static const struct {
		const char *sql;
		int fault;
	} cases[] = {
		{"PRAGMA user_version = 2", EPROTONOSUPPORT},
		{"PRAGMA application_id = 77", EMEDIUMTYPE},
		{"PRAGMA application_id = 0", EMEDIUMTYPE},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct shelf s;
		shelf_begin(&s, 10);
		fill(&s);
		shelf_turn(&s);
		store_stop(s.store);
		shelf_ask(&s, cases[i].sql);
		shelf_open_store(&s, 10);
		assert_int_equal(shelf_fault(&s), cases[i].fault);
		stage_login(&s.stage, 0, "new", "d", KEEP, NULL);
		stage_pass(&s.stage, 20000);
		shelf_turn(&s);
		assert_int_equal(shelf_fault(&s), cases[i].fault);
		assert_string_equal(
			shelf_ask(&s, "SELECT user FROM users ORDER BY user"), "bob eve");
		shelf_end(&s);
	}
}

static void another_server_takes_it(void **state)
{
	(void)state;
	struct shelf s;
	shelf_begin(&s, 10);
	fill(&s);
	shelf_turn(&s);
	shelf_ask(&s, "UPDATE meta SET value = 'other' WHERE key = 'server'");
	stage_login(&s.stage, 0, "new", "d", KEEP, NULL);
	shelf_turn(&s);
	assert_int_equal(shelf_fault(&s), ESTALE);
	stage_pass(&s.stage, 20000);
	shelf_turn(&s);
	shelf_last_turn(&s);
	assert_int_equal(shelf_fault(&s), ESTALE);
	assert_string_equal(shelf_ask(&s, "SELECT user FROM users ORDER BY user"), "bob eve");
	assert_string_equal(shelf_ask(&s, "SELECT value FROM meta WHERE key='server'"), "other");
	shelf_end(&s);
}

/* A copy of an older start, put back under our feet, is ours to write; one that a younger server writes is not. */
static void a_file_put_back_is_taken_if_it_is_older(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct shelf s;
		char sql[400], copy[160];
		shelf_begin(&s, 10);
		fill(&s);
		shelf_turn(&s);
		snprintf(copy, sizeof(copy), "%s.copy", s.path);
		snprintf(sql, sizeof(sql),
			"UPDATE meta SET value = 'other' WHERE key = 'server';"
			"UPDATE meta SET value = value + %d WHERE key = 'started_ms';"
			"VACUUM INTO '%s'",
			i == 0 ? -1000 : 1000, copy);
		shelf_ask(&s, sql);
		assert_int_equal(rename(copy, s.path), 0);
		shelf_turn(&s);
		if (i == 0)
			expect_all(&s);
		else
			assert_int_equal(shelf_fault(&s), ESTALE);
		shelf_end(&s);
	}
}

static void a_file_that_can_not_be_opened(void **state)
{
	(void)state;
	struct shelf s;
	shelf_begin(&s, 10);
	store_stop(s.store);
	char folder[96];
	snprintf(folder, sizeof(folder), "%s/later", s.folder);
	snprintf(s.path, sizeof(s.path), "%s/p.db", folder);
	shelf_open_store(&s, 10);
	assert_int_equal(shelf_fault(&s), ENOENT);
	fill(&s);
	shelf_turn(&s);
	assert_int_equal(shelf_fault(&s), ENOENT);
	assert_int_equal(mkdir(folder, 0700), 0);
	stage_pass(&s.stage, 10000);
	shelf_turn(&s);
	expect_all(&s);
	shelf_end(&s);
}

static void refused_memory(void **state)
{
	(void)state;
	bool is_over = false;
	for (long n = 1; !is_over; n++) {
		struct shelf s;
		shelf_begin(&s, 10);
		store_stop(s.store);
		struct store_params params = {.path = s.path,
			.table = s.stage.table,
			.telemetry = s.telemetry,
			.n_remembered = 10,
			.max_sessions_per_user = 3};
		s.store = NULL;
		alloc_fail_begin(n);
		int err = store_new(&params, s.stage.now, &s.store);
		is_over = !alloc_fail_end();
		assert_true(err == 0 || (err == -ENOMEM && !is_over && !s.store));
		if (err == 0) {
			/* What it could not open for want of memory it opens later. */
			fill(&s);
			stage_pass(&s.stage, 10000);
			shelf_turn(&s);
			expect_all(&s);
		}
		shelf_end(&s);
	}
	is_over = false;
	for (long n = 1; !is_over; n++) {
		struct shelf s;
		shelf_begin(&s, 10);
		fill(&s);
		role_store_begin();
		alloc_fail_begin(n);
		store_turn(s.store, s.stage.now, false);
		is_over = !alloc_fail_end();
		assert_int_equal(shelf_fault(&s), is_over ? 0 : ENOMEM);
		stage_pass(&s.stage, 10000);
		shelf_turn(&s);
		expect_all(&s);
		shelf_end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_disk_that_fails_is_tried_again),
		cmocka_unit_test(any_write_may_fail),
		cmocka_unit_test(a_lock_of_another_loses_nothing),
		cmocka_unit_test(a_file_that_is_gone_is_made_anew),
		cmocka_unit_test(damage_that_shows_while_it_is_written),
		cmocka_unit_test(a_damaged_file_is_moved_aside),
		cmocka_unit_test(a_file_that_is_not_ours_is_left_alone),
		cmocka_unit_test(another_server_takes_it),
		cmocka_unit_test(a_file_put_back_is_taken_if_it_is_older),
		cmocka_unit_test(a_file_that_can_not_be_opened),
		cmocka_unit_test(refused_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
