/* What is written to the store's file. */
#include "store/file_private.h"

#include "base/ensure.h"

#include <errno.h>
#include <string.h>

/* --- statements --- */

int file_ask(struct store_file *f, const char *sql, int64_t *ret)
{
	sqlite3_stmt *statement = NULL;
	int rc = sqlite3_prepare_v2(f->db, sql, -1, &statement, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(statement);
	int err = file_fault(f, rc);
	if (!err)
		*ret = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
	sqlite3_finalize(statement);
	return err;
}

int file_run(struct store_file *f, enum statement which)
{
	sqlite3_stmt *statement = f->statements[which];
	int err = file_fault(f, sqlite3_step(statement));
	sqlite3_reset(statement);
	return err;
}

/* Texts are ours, and outlive the step. */
static void bind_text(sqlite3_stmt *statement, int at, const char *text, size_t len)
{
	sqlite3_bind_text(statement, at, text, (int)len, SQLITE_STATIC);
}

static void bind_word(sqlite3_stmt *statement, int at, const char *word)
{
	bind_text(statement, at, word, strlen(word));
}

static void bind_status(sqlite3_stmt *statement, int at, bool has, const char *status, size_t len)
{
	if (has)
		bind_text(statement, at, status, len);
	else
		sqlite3_bind_null(statement, at);
}

static void bind_time(sqlite3_stmt *statement, int at, bool has, uint64_t ms)
{
	if (has)
		sqlite3_bind_int64(statement, at, (int64_t)ms);
	else
		sqlite3_bind_null(statement, at);
}

/* --- whose file it is --- */

static int put_meta_number(struct store_file *f, const char *key, uint64_t value)
{
	sqlite3_stmt *put = f->statements[STATEMENT_PUT_META];
	bind_word(put, 1, key);
	sqlite3_bind_int64(put, 2, (int64_t)value);
	return file_run(f, STATEMENT_PUT_META);
}

static int put_meta_text(struct store_file *f, const char *key, const char *value)
{
	sqlite3_stmt *put = f->statements[STATEMENT_PUT_META];
	bind_word(put, 1, key);
	bind_word(put, 2, value);
	return file_run(f, STATEMENT_PUT_META);
}

static int delete_meta(struct store_file *f, const char *key)
{
	bind_word(f->statements[STATEMENT_DELETE_META], 1, key);
	return file_run(f, STATEMENT_DELETE_META);
}

/* Whether the file names us as its server. */
static int is_named(struct store_file *f, bool *ret)
{
	sqlite3_stmt *get = f->statements[STATEMENT_GET_META];
	bind_word(get, 1, "server");
	int rc = sqlite3_step(get);
	int err = file_fault(f, rc);
	if (!err) {
		const unsigned char *server = rc == SQLITE_ROW ? sqlite3_column_text(get, 0) : NULL;
		*ret = server && strcmp((const char *)server, f->server) == 0;
	}
	sqlite3_reset(get);
	return err;
}

static int is_a_younger_servers(struct store_file *f, bool *ret)
{
	int64_t started_ms;
	int err = file_ask(f, "SELECT value FROM meta WHERE key = 'started_ms'", &started_ms);
	if (!err)
		*ret = started_ms > (int64_t)f->started_ms;
	return err;
}

static int claim(struct store_file *f)
{
	bool is_younger = false;
	int err = f->takes_over ? 0 : is_a_younger_servers(f, &is_younger);
	if (!err && is_younger)
		return file_complain(f, -ESTALE, "another server, started later, has taken it");
	if (!err)
		err = put_meta_text(f, "server", f->server);
	if (!err)
		err = put_meta_number(f, "started_ms", f->started_ms);
	return err;
}

int file_begin(struct store_file *f)
{
	bool is_named_here = false;
	int err = f->is_frozen ? f->frozen_fault : file_run(f, STATEMENT_BEGIN);
	if (err)
		return err;
	f->is_in_transaction = true;
	err = is_named(f, &is_named_here);
	if (!err && !is_named_here && f->is_ours)
		err = file_complain(f, -ESTALE, "another server has taken it");
	if (!err && !is_named_here)
		err = claim(f);
	return err;
}

void file_rollback(struct store_file *f)
{
	/* Its own failure is none: then SQLite has rolled back by itself. What led here stays in 'trouble'. */
	if (f->is_in_transaction) {
		sqlite3_step(f->statements[STATEMENT_ROLLBACK]);
		sqlite3_reset(f->statements[STATEMENT_ROLLBACK]);
	}
	f->is_in_transaction = false;
}

int file_commit(struct store_file *f, uint64_t now_ms, bool is_last)
{
	int err = put_meta_number(f, "saved_ms", now_ms);
	if (!err)
		err = is_last ? put_meta_number(f, "stopped_ms", now_ms)
			      : delete_meta(f, "stopped_ms");
	if (!err)
		err = file_run(f, STATEMENT_COMMIT);
	if (err)
		return err;
	f->is_in_transaction = false;
	f->is_ours = true;
	file_note_identity(f);
	return 0;
}

/* --- users --- */

int file_clear(struct store_file *f)
{
	return file_fault(
		f, sqlite3_exec(f->db, "DELETE FROM users; DELETE FROM devices; DELETE FROM heard;",
			   NULL, NULL, NULL));
}

static int put_device(struct store_file *f, const char *user, size_t len, size_t rank,
	const struct session_view *v)
{
	sqlite3_stmt *put = f->statements[STATEMENT_PUT_DEVICE];
	bind_text(put, 1, user, len);
	sqlite3_bind_int64(put, 2, (int64_t)rank);
	bind_text(put, 3, v->device, v->device_len);
	bind_word(put, 4, transport_word(v->transport));
	bind_word(put, 5, state_word(v->state));
	bind_status(put, 6, v->has_status, v->status, v->status_len);
	sqlite3_bind_int64(put, 7, (int64_t)v->since_ms);
	sqlite3_bind_int64(put, 8, (int64_t)v->last_seen_ms);
	sqlite3_bind_int64(put, 9, v->timeout_ms);
	const char *ended = reason_word(v->end_reason);
	bind_status(put, 10, v->is_reconnecting, ended, strlen(ended));
	bind_time(put, 11, v->is_reconnecting, v->ended_ms);
	sqlite3_bind_int64(put, 12, place_number(v->worker, v->slot));
	return file_run(f, STATEMENT_PUT_DEVICE);
}

int file_put_user(struct store_file *f, const char *user, size_t len, const struct snapshot *s,
	const struct session_view *views, size_t n)
{
	sqlite3_stmt *put = f->statements[STATEMENT_PUT_USER];
	bind_text(put, 1, user, len);
	/* Who is offline with a device here is invisible, which those may know who read this. */
	bind_word(put, 2,
		state_word(s->state == STATE_OFFLINE && n > 0 ? STATE_INVISIBLE : s->state));
	bind_status(put, 3, s->has_status, s->status, s->status_len);
	bind_word(put, 4, reason_word(s->reason));
	bind_time(put, 5, s->is_known, s->at_ms);
	bind_time(put, 6, s->is_known, s->last_seen_ms);
	int err = file_run(f, STATEMENT_PUT_USER);
	if (!err) {
		bind_text(f->statements[STATEMENT_DELETE_DEVICES], 1, user, len);
		err = file_run(f, STATEMENT_DELETE_DEVICES);
	}
	for (size_t i = 0; i < n && !err; i++)
		err = put_device(f, user, len, i, &views[i]);
	return err;
}

int file_delete_user(struct store_file *f, const char *user, size_t len)
{
	bind_text(f->statements[STATEMENT_DELETE_USER], 1, user, len);
	int err = file_run(f, STATEMENT_DELETE_USER);
	if (err)
		return err;
	bind_text(f->statements[STATEMENT_DELETE_DEVICES], 1, user, len);
	return file_run(f, STATEMENT_DELETE_DEVICES);
}

int file_put_heard(
	struct store_file *f, unsigned worker, uint32_t chunk, const struct places_chunk *c)
{
	sqlite3_stmt *put = f->statements[STATEMENT_PUT_HEARD];
	sqlite3_bind_int64(put, 1, (int64_t)worker * PLACES_WORKER_CHUNKS + chunk);
	sqlite3_bind_blob(put, 2, c->seen, sizeof(c->seen), SQLITE_STATIC);
	return file_run(f, STATEMENT_PUT_HEARD);
}

/* --- housekeeping --- */

static int count(struct store_file *f, enum statement which, uint64_t *ret)
{
	sqlite3_stmt *statement = f->statements[which];
	int rc = sqlite3_step(statement);
	int err = file_fault(f, rc);
	if (!err)
		*ret = (uint64_t)sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	return err;
}

int file_prune(struct store_file *f, uint64_t keep, uint64_t max, uint64_t *ret_n)
{
	uint64_t n_offline = 0, n;
	int err = count(f, STATEMENT_COUNT_OFFLINE, &n_offline);
	if (err)
		return err;
	n = n_offline > keep ? n_offline - keep : 0;
	n = n < max ? n : max;
	if (n > 0) {
		sqlite3_bind_int64(f->statements[STATEMENT_PRUNE], 1, (int64_t)n);
		err = file_run(f, STATEMENT_PRUNE);
	}
	if (!err)
		*ret_n = n > 0 ? (uint64_t)sqlite3_changes64(f->db) : 0;
	return err;
}

int file_count(struct store_file *f, uint64_t *ret)
{
	return count(f, STATEMENT_COUNT, ret);
}

int file_checkpoint(struct store_file *f)
{
	int rc = sqlite3_wal_checkpoint_v2(f->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return file_fault(f, rc);
}
