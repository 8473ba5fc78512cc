/* The store's file is opened, made, closed, and moved out of the way. */
#include "store/file_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { APPLICATION_ID = 0x70726573 }; /* "pres" */

/* Unpacking 'heard': six bytes as twelve digits, each its place among all digits. */
#define DIGIT(k, shift)                                                                            \
	"(instr('123456789ABCDEF', substr(hex(substr(h.seen, d.place % 640 * 6 + 1, 6)), " #k      \
	", 1)) << " #shift ")"
#define UNPACKED                                                                                   \
	DIGIT(1, 44)                                                                               \
	" | " DIGIT(2, 40) " | " DIGIT(3, 36) " | " DIGIT(4, 32) " | " DIGIT(5, 28) " | " DIGIT(   \
		6, 24) " | " DIGIT(7, 20) " | " DIGIT(8, 16) " | " DIGIT(9, 12) " | " DIGIT(10,    \
		8) " | " DIGIT(11, 4) " | " DIGIT(12, 0)

static const char schema[] =
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
	"CREATE TABLE users("
	" user TEXT PRIMARY KEY, state TEXT NOT NULL, status TEXT, reason TEXT NOT NULL,"
	" at_ms INTEGER, last_seen_ms INTEGER) WITHOUT ROWID;"
	"CREATE INDEX users_offline ON users(at_ms) WHERE state = 'offline';"
	"CREATE TABLE devices("
	" user TEXT NOT NULL, rank INTEGER NOT NULL, device TEXT NOT NULL, transport TEXT NOT NULL,"
	" state TEXT NOT NULL, status TEXT, since_ms INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL,"
	" timeout_ms INTEGER NOT NULL, ended TEXT, ended_ms INTEGER, place INTEGER NOT NULL,"
	" PRIMARY KEY(user, rank)) WITHOUT ROWID;"
	"CREATE TABLE heard(chunk INTEGER PRIMARY KEY, seen BLOB NOT NULL);"
	"CREATE VIEW last_seen AS"
	" SELECT d.user AS user, d.device AS device, d.state AS state,"
	" max(d.last_seen_ms, coalesce(" UNPACKED ", 0)) AS last_seen_ms"
	" FROM devices AS d LEFT JOIN heard AS h ON h.chunk = d.place / 640;"
	"CREATE VIEW presence AS"
	" SELECT u.user AS user, u.state AS state, u.status AS status, u.reason AS reason,"
	" strftime('%Y-%m-%d %H:%M:%f', u.at_ms / 1000.0, 'unixepoch') AS at,"
	" strftime('%Y-%m-%d %H:%M:%f', max(u.last_seen_ms, coalesce((SELECT max(l.last_seen_ms)"
	"  FROM last_seen AS l WHERE l.user = u.user AND l.state <> 'invisible'), 0)) / 1000.0,"
	"  'unixepoch') AS last_seen,"
	" (SELECT group_concat(d.device, ', ') FROM devices AS d WHERE d.user = u.user) AS devices"
	" FROM users AS u;"
	"PRAGMA application_id = 1886545267;"
	"PRAGMA user_version = 1;";

/* Before a transaction: none of these changes what the file holds, but for the way to it. 32 MB of WAL, or 8,000 pages,
 * before they are moved to the file; a WAL that grew longer, behind a reader, is cut to that again. */
static const char settings[] = "PRAGMA journal_mode = WAL;"
			       "PRAGMA synchronous = NORMAL;"
			       "PRAGMA wal_autocheckpoint = 8000;"
			       "PRAGMA journal_size_limit = 33554432;"
			       "PRAGMA cache_size = -16384;"
			       "PRAGMA temp_store = MEMORY;";

#define STATEMENT_SQL(name, sql) [STATEMENT_##name] = sql,
static const char *const statements[STATEMENT_N] = {FILE_STATEMENTS(STATEMENT_SQL)};
#undef STATEMENT_SQL

/* --- what is wrong --- */

/* Where the kernel said no, its word; else 'other'. */
static int system_error(sqlite3 *db, int other)
{
	int err = db ? sqlite3_system_errno(db) : 0;
	return err > 0 ? -err : other;
}

static int errno_of(sqlite3 *db, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		return -EBUSY;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_NOMEM:
		return -ENOMEM;
	/* A schema of ours in which a table is missing, or other than we made it. */
	case SQLITE_ERROR:
	case SQLITE_SCHEMA:
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	case SQLITE_CANTOPEN:
		return system_error(db, -ENOENT);
	default:
		return rc == SQLITE_IOERR_NOMEM ? -ENOMEM : system_error(db, -EIO);
	}
}

int file_fault(struct store_file *f, int rc)
{
	int err = errno_of(f->db, rc);
	if (err)
		snprintf(f->trouble, sizeof(f->trouble), "%s (%d)",
			f->db ? sqlite3_errmsg(f->db) : sqlite3_errstr(rc), rc);
	return err;
}

int file_complain(struct store_file *f, int err, const char *words)
{
	snprintf(f->trouble, sizeof(f->trouble), "%s", words);
	return err;
}

const char *file_trouble(const struct store_file *f)
{
	return f ? f->trouble : "";
}

/* --- opening --- */

static int prepare_statements(struct store_file *f)
{
	int rc = SQLITE_OK;
	for (unsigned i = 0; i < STATEMENT_N && rc == SQLITE_OK; i++)
		rc = sqlite3_prepare_v3(f->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
			&f->statements[i], NULL);
	return file_fault(f, rc);
}

static int run_script(struct store_file *f, const char *sql)
{
	return file_fault(f, sqlite3_exec(f->db, sql, NULL, NULL, NULL));
}

static int make_schema(struct store_file *f)
{
	int err = run_script(f, settings);
	if (!err)
		err = run_script(f, "BEGIN IMMEDIATE;");
	if (!err)
		err = run_script(f, schema);
	if (!err)
		err = run_script(f, "COMMIT;");
	f->is_new = !err;
	return err;
}

/* Whose file it is; an empty one is made ours. */
static int look_inside(struct store_file *f)
{
	int64_t application, version, n_tables;
	int err = file_ask(f, "PRAGMA application_id", &application);
	if (!err)
		err = file_ask(f, "PRAGMA user_version", &version);
	if (!err)
		err = file_ask(f, "SELECT count(*) FROM sqlite_schema", &n_tables);
	if (err)
		return err;
	if (application == 0 && version == 0 && n_tables == 0)
		return f->is_frozen ? file_complain(f, -EROFS, "empty, and can't be written")
				    : make_schema(f);
	if (application != APPLICATION_ID)
		return file_complain(f, -EMEDIUMTYPE, "a database, but no store of presenced");
	if (version > FILE_SCHEMA)
		return file_complain(f, -EPROTONOSUPPORT, "made by a newer presenced");
	return f->is_frozen ? 0 : run_script(f, settings);
}

/* The path with what has a meaning in a URI escaped; NULL: no memory. */
static char *frozen_uri(const char *path)
{
	static const char head[] = "file:", tail[] = "?immutable=1";
	char *uri = malloc(sizeof(head) + 3 * strlen(path) + sizeof(tail)), *to = uri;
	if (!uri)
		return NULL;
	to += sprintf(to, "%s", head);
	for (; *path; path++)
		to += sprintf(to, strchr("%?#", *path) ? "%%%02X" : "%c", (unsigned char)*path);
	sprintf(to, "%s", tail);
	return uri;
}

/* On a disk that is mounted read-only a WAL database opens only if it is told that nobody writes. */
static int open_database(struct store_file *f, bool is_frozen)
{
	char *uri = is_frozen ? frozen_uri(f->path) : NULL;
	int flags = is_frozen ? SQLITE_OPEN_READONLY | SQLITE_OPEN_URI
			      : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	if (is_frozen && !uri)
		return -ENOMEM;
	sqlite3_close(f->db);
	f->db = NULL;
	/* Made here for its owner only; SQLite would let all read it. What belongs to it takes after it. */
	int fd = is_frozen ? -1 : open(f->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	int rc = sqlite3_open_v2(uri ? uri : f->path, &f->db,
		flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	free(uri);
	f->is_frozen = is_frozen;
	if (rc == SQLITE_OK)
		sqlite3_busy_timeout(f->db, f->busy_ms);
	int err = file_fault(f, rc);
	return err ? err : look_inside(f);
}

void file_note_identity(struct store_file *f)
{
	struct stat st;
	if (f->ino == 0 && stat(f->path, &st) == 0) {
		f->dev = st.st_dev;
		f->ino = st.st_ino;
	}
	if (f->wal_ino == 0 && stat(f->wal_path, &st) == 0) {
		f->wal_dev = st.st_dev;
		f->wal_ino = st.st_ino;
	}
}

static struct store_file *file_new(const struct file_params *params)
{
	struct store_file *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->path = strdup(params->path);
	f->wal_path = malloc(strlen(params->path) + sizeof("-wal"));
	if (!f->path || !f->wal_path) {
		file_close(f);
		return NULL;
	}
	sprintf(f->wal_path, "%s-wal", params->path);
	snprintf(f->server, sizeof(f->server), "%s", params->server);
	f->started_ms = params->started_ms;
	f->takes_over = params->takes_over;
	f->busy_ms = params->busy_ms;
	return f;
}

/* Where it can't be opened as usual, for a WAL can't be made beside it, but is whole without one. */
static bool may_be_read(const struct store_file *f, int err)
{
	struct stat st;
	if (err != -EROFS && err != -EACCES && err != -ENOENT && err != -ENOSPC)
		return false;
	return stat(f->wal_path, &st) < 0 || st.st_size == 0;
}

int file_open(const struct file_params *params, struct store_file **ret)
{
	struct store_file *f = file_new(params);
	if (!f)
		return -ENOMEM;
	*ret = f;
	int err = open_database(f, false);
	if (may_be_read(f, err)) {
		/* If not, the first word stands; if so, it is what a writer is told. */
		char trouble[FILE_TROUBLE_MAX];
		memcpy(trouble, f->trouble, sizeof(trouble));
		bool is_read = open_database(f, true) == 0;
		memcpy(f->trouble, trouble, sizeof(trouble));
		if (is_read)
			file_note_identity(f);
		/* SQLite does not always know why: a file that can be read is there. */
		f->frozen_fault = err == -ENOENT ? -EROFS : err;
		return is_read ? 0 : err;
	}
	if (!err)
		err = prepare_statements(f);
	if (!err)
		file_note_identity(f);
	return err;
}

void file_close(struct store_file *f)
{
	if (!f)
		return;
	for (unsigned i = 0; i < STATEMENT_N; i++)
		sqlite3_finalize(f->statements[i]);
	sqlite3_close(f->db);
	free(f->path);
	free(f->wal_path);
	free(f);
}

bool file_is_open(const struct store_file *f)
{
	return f->statements[STATEMENT_N - 1];
}

void file_set_patience(struct store_file *f, int busy_ms)
{
	f->busy_ms = busy_ms;
	sqlite3_busy_timeout(f->db, busy_ms);
}

bool file_is_new(const struct store_file *f)
{
	return f->is_new;
}

static bool is_same(const char *path, dev_t dev, ino_t ino)
{
	struct stat st;
	return stat(path, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

bool file_is_gone(const struct store_file *f)
{
	return !is_same(f->path, f->dev, f->ino) ||
	       (f->wal_ino != 0 && !is_same(f->wal_path, f->wal_dev, f->wal_ino));
}

/* --- out of the way --- */

static const char *const parts[] = {"-wal", "-shm", ""}; /* the file itself last */

int file_remove(const char *path)
{
	size_t size = strlen(path) + 8;
	char *part = malloc(size);
	int err = part ? 0 : -ENOMEM;
	for (size_t i = 0; !err && i < ARRAY_LEN(parts); i++) {
		snprintf(part, size, "%s%s", path, parts[i]);
		if (unlink(part) < 0 && errno != ENOENT)
			err = -errno;
	}
	free(part);
	return err;
}

int file_move_aside(const char *path, const char *word, uint64_t now_ms, char **ret_path)
{
	size_t size = strlen(path) + strlen(word) + 64;
	char *from = malloc(size), *to = malloc(size), when[32];
	time_t now = (time_t)(now_ms / 1000);
	struct tm tm;
	int err = from && to ? 0 : -ENOMEM;

	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	for (size_t i = 0; !err && i < ARRAY_LEN(parts); i++) {
		snprintf(from, size, "%s%s", path, parts[i]);
		snprintf(to, size, "%s.%s-%s%s", path, word, when, parts[i]);
		if (rename(from, to) < 0 && (errno != ENOENT || parts[i][0] == '\0'))
			err = -errno;
	}
	free(from);
	if (err) {
		free(to);
		return err;
	}
	*ret_path = to;
	return 0;
}
