#include "support/shelf.h"

#include <errno.h>
#include <ftw.h>
#include <glob.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* A feed that holds no more than two events, for those who are quick to lose them. */
static void begin_stage(struct shelf *s, uint64_t mono_ms, uint64_t n_remembered)
{
	struct feed_params params = {
		.n_events = 2, .mailbox_capacity = 4096, .counters = &s->stage.counters};
	assert_int_equal(feed_new(&params, &s->feed), 0);
	stage_begin_with_feed(&s->stage, mono_ms, n_remembered);
}

/* The table's events to the feed. */
void shelf_pump(struct shelf *s)
{
	struct event *e;
	bool wake = false;
	while ((e = mailbox_take(&s->stage.feed))) {
		assert_true(mailbox_post(feed_mailbox(s->feed), e, &wake));
		event_unref(e);
	}
	role_feed_begin();
	while (feed_turn(s->feed))
		continue;
}

static void end_stage(struct shelf *s)
{
	stage_end(&s->stage);
	feed_free(s->feed);
}

void shelf_open_store(struct shelf *s, uint32_t n_remembered)
{
	struct store_params params = {.path = s->path,
		.table = s->stage.table,
		.feed = s->feed,
		.telemetry = s->telemetry,
		.n_remembered = n_remembered,
		.max_sessions_per_user = 3,
		.restart_grace_ms = 30000};
	assert_int_equal(store_new(&params, s->stage.now, &s->store), 0);
}

void shelf_begin(struct shelf *s, uint32_t n_remembered)
{
	faulty_disk_insert();
	begin_stage(s, 1000, n_remembered);
	s->telemetry = telemetry_new(STAGE_WORKERS, s->stage.now.mono_ms);
	strcpy(s->folder, "/tmp/presenced-store-XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	snprintf(s->path, sizeof(s->path), "%s/p?#.db", s->folder);
	shelf_open_store(s, n_remembered);
}

void shelf_end(struct shelf *s)
{
	faulty_disk_mend();
	store_stop(s->store);
	telemetry_free(s->telemetry);
	end_stage(s);
	assert_int_equal(nftw(s->folder, remove_one, 8, FTW_DEPTH), 0);
}

/* The process is started anew, some time later: the old one went without a word. */
void shelf_restart(struct shelf *s, uint32_t n_remembered, int64_t away_ms)
{
	store_stop(s->store);
	telemetry_free(s->telemetry);
	struct instant then = s->stage.now;
	end_stage(s);
	begin_stage(s, 5000, n_remembered);
	s->stage.now.wall_ms = then.wall_ms + (uint64_t)away_ms;
	s->telemetry = telemetry_new(STAGE_WORKERS, s->stage.now.mono_ms);
	shelf_open_store(s, n_remembered);
}

void shelf_turn(struct shelf *s)
{
	role_store_begin();
	store_turn(s->store, s->stage.now, false);
	stage_pass(&s->stage, 800);
}

void shelf_last_turn(struct shelf *s)
{
	role_store_begin();
	store_turn(s->store, s->stage.now, true);
}

int shelf_fault(const struct shelf *s)
{
	return atomic_load(&s->telemetry->store.fault);
}

uint64_t shelf_count(const struct shelf *s, enum counter which)
{
	return counter_read(&s->telemetry->store.counters, which);
}

/* --- the file, from outside --- */

sqlite3 *shelf_open_file(const struct shelf *s)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open_v2(s->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	return db;
}

static int put_row(void *arg, int n, char **values, char **names)
{
	char *text = arg;
	(void)names;
	for (int i = 0; i < n; i++) {
		size_t len = strlen(text);
		snprintf(text + len, 4096 - len, "%s%s",
			i     ? "|"
			: len ? " "
			      : "",
			values[i] ? values[i] : "-");
	}
	return 0;
}

/* What the shell would say: rows apart by spaces. */
const char *shelf_ask(const struct shelf *s, const char *sql)
{
	static char text[4096];
	char *error = NULL;
	sqlite3 *db = shelf_open_file(s);
	text[0] = '\0';
	if (sqlite3_exec(db, sql, put_row, text, &error) != SQLITE_OK)
		fail_msg("%s: %s", sql, error);
	sqlite3_close(db);
	return text;
}
