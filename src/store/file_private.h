/* The inside of the store's file, shared by file.c, file_open.c and file_read.c only. */
#ifndef STORE_FILE_PRIVATE_H
#define STORE_FILE_PRIVATE_H

#include "store/file.h"

#include <sqlite3.h>
#include <sys/stat.h>

/* X(name, SQL): prepared when the file is opened for writing. */
#define FILE_STATEMENTS(X)                                                                         \
	X(BEGIN, "BEGIN IMMEDIATE")                                                                \
	X(COMMIT, "COMMIT")                                                                        \
	X(ROLLBACK, "ROLLBACK")                                                                    \
	X(GET_META, "SELECT value FROM meta WHERE key = ?")                                        \
	X(PUT_META, "REPLACE INTO meta(key, value) VALUES(?, ?)")                                  \
	X(DELETE_META, "DELETE FROM meta WHERE key = ?")                                           \
	X(PUT_USER,                                                                                \
		"INSERT INTO users(user, state, status, reason, at_ms, last_seen_ms) "             \
		"VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT(user) DO UPDATE SET state=excluded.state, "  \
		"status=excluded.status, reason=excluded.reason, at_ms=excluded.at_ms, "           \
		"last_seen_ms=excluded.last_seen_ms")                                              \
	X(DELETE_USER, "DELETE FROM users WHERE user = ?")                                         \
	X(PUT_DEVICE, "INSERT INTO devices VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")            \
	X(DELETE_DEVICES, "DELETE FROM devices WHERE user = ?")                                    \
	X(PUT_HEARD, "REPLACE INTO heard(chunk, seen) VALUES(?, ?)")                               \
	X(COUNT_OFFLINE, "SELECT count(*) FROM users WHERE state = 'offline'")                     \
	X(PRUNE,                                                                                   \
		"DELETE FROM users WHERE user IN (SELECT user FROM users WHERE state = 'offline' " \
		"ORDER BY at_ms LIMIT ?)")                                                         \
	X(COUNT, "SELECT count(*) FROM users")

#define FILE_STATEMENT_ENUM(name, sql) STATEMENT_##name,
enum statement { FILE_STATEMENTS(FILE_STATEMENT_ENUM) STATEMENT_N };
#undef FILE_STATEMENT_ENUM

struct store_file {
	char *path, *wal_path;
	char server[64];
	uint64_t started_ms;
	bool takes_over;
	int busy_ms;
	bool is_ours; /* claimed, or found to be */
	bool is_frozen, is_new, is_in_transaction;
	int frozen_fault; /* why it is frozen */
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENT_N];
	dev_t dev, wal_dev; /* as they were opened; ino 0: not known yet */
	ino_t ino, wal_ino;
	char trouble[FILE_TROUBLE_MAX];
};

/* The negative errno of what SQLite returned, and its words into 'trouble'; 0 of what is no error. */
int file_fault(struct store_file *, int rc);
/* Of our own judgement. */
int file_complain(struct store_file *, int err, const char *words);
/* One number, the first column of the first row of a statement made for it; 0 where there is no row. */
int file_ask(struct store_file *, const char *sql, int64_t *ret);
/* Runs a prepared statement that has no rows, and makes it ready for the next time. */
int file_run(struct store_file *, enum statement);

/* Which files these are, as far as they are there by now: for file_is_gone(). */
void file_note_identity(struct store_file *);

#endif
