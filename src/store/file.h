/* The store's file: an SQLite database, its schema, and what is read from it and written to it.
 *
 *   users    one row a user: state, status, reason, at_ms, last_seen_ms, as the protocol shows them
 *   devices  one row a session of a user: what a restart needs to go on with it
 *   heard    when each session was last heard, packed (store/places.h): a row of 640 of them
 *   meta     which server writes it, since when, when last, and when it was stopped as told
 *   presence, last_seen   views for people: times that can be read, and heard unpacked
 *
 * Threads  one at a time: main before and after the store's thread.
 * Disk     WAL, synchronous=NORMAL. What was committed survives the end of the process, kill -9 too, for it is in the
 *          kernel's hands by then. It survives the end of the kernel or of the power as far as it was synced: at a
 *          checkpoint, once a minute or every 32 MB of changes; whatever comes after is lost whole transactions at
 *          a time, and the file stays sound.
 * Errors   0 or negative errno, what SQLite says of it in file_trouble():
 *          -EBUSY locked by another process; -ENOSPC; -EROFS; -ENOENT, -EACCES and others that open(2) has; -EIO;
 *          -EUCLEAN damaged, or no database; -EPROTONOSUPPORT of a newer schema; -EMEDIUMTYPE a database of
 *          something else; -ESTALE another server has taken it since; -ENOMEM.
 *          After one, the transaction is to be rolled back, and after all but -EBUSY the file to be closed. */
#ifndef STORE_FILE_H
#define STORE_FILE_H

#include "presence/table_admin.h"
#include "store/places.h"

struct store_file;

enum { FILE_SCHEMA = 1, FILE_TROUBLE_MAX = 160 };

struct file_params {
	const char *path;
	const char *server; /* who we are */
	uint64_t started_ms; /* since when: Unix time */
	/* False: where another server has claimed it and is younger, it is left to it. */
	bool takes_over;
	int busy_ms; /* how long a call waits for another process's lock */
};

/* Opens, or makes, the file; nothing is written to one that is there. One that can be read and not written, for it or its disk
 * is read-only, or full, is opened so: file_begin() says what is wrong. '*ret' is set on failure too, unless memory was
 * refused, for file_trouble(). */
int file_open(const struct file_params *, struct store_file **ret);
void file_close(struct store_file *); /* NULL is fine */
bool file_is_open(const struct store_file *); /* to be written */
const char *file_trouble(const struct store_file *); /* NULL is fine */
/* Whether another file, or none, is at its path by now: what is written is written nowhere. */
bool file_is_gone(const struct store_file *);
void file_set_patience(struct store_file *, int busy_ms);
/* Whether it held nothing when it was opened. */
bool file_is_new(const struct store_file *);

/* --- reading: at the start --- */

/* When its last server last wrote, and whether it stopped as told; 0: none ever did. */
int file_read_end(struct store_file *, uint64_t *ret_saved_ms, bool *ret_is_clean);

struct file_user {
	const char *user;
	size_t len;
	enum reason reason;
	uint64_t at_ms, last_seen_ms; /* 0: not known */
};

struct file_device {
	uint8_t device_len;
	uint16_t status_len;
	bool has_status;
	enum transport transport;
	enum state state;
	uint64_t since_ms, last_seen_ms;
	uint32_t timeout_ms;
	enum reason reason; /* how it had ended, where it was in its grace; UNKNOWN: it had not */
	uint64_t ended_ms;
	char device[DEVICE_MAX];
	char status[STATUS_MAX];
};

/* Takes a user; 0 or an error, which ends the reading. */
typedef int file_take(
	void *arg, const struct file_user *, const struct file_device *devices, size_t n);

struct file_limits {
	uint64_t n_offline; /* the newest of them */
	size_t n_devices; /* of a user; what is more is left out */
};

/* All users with devices, the one updated last first; then those who are offline, the one that is so the longest first.
 * '*ret_n_skipped' rows made no sense. What was taken before an error has been taken. */
int file_read_users(struct store_file *, const struct file_limits *, file_take *, void *arg,
	uint64_t *ret_n_skipped);

/* --- writing --- */

/* Begins a transaction, and makes sure that the file is ours. */
int file_begin(struct store_file *);
int file_commit(struct store_file *, uint64_t now_ms, bool is_last);
void file_rollback(struct store_file *); /* nothing where there is none to roll back */

int file_clear(struct store_file *);
/* A user in place of what there was of it. */
int file_put_user(struct store_file *, const char *user, size_t len, const struct snapshot *,
	const struct session_view *, size_t n);
int file_delete_user(struct store_file *, const char *user, size_t len);
int file_put_heard(
	struct store_file *, unsigned worker, uint32_t chunk, const struct places_chunk *);

/* Deletes offline users, the one that is so the longest first, until 'keep' are left, at most 'max'. */
int file_prune(struct store_file *, uint64_t keep, uint64_t max, uint64_t *ret_n);
/* How many users the file holds. */
int file_count(struct store_file *, uint64_t *ret);
/* Moves what the WAL holds to the file itself and syncs it, as far as readers let it. */
int file_checkpoint(struct store_file *);

/* A file that is not open, with what belongs to it: moved to "path.<word>-<time>" ('*ret_path' is for free()), removed. */
int file_move_aside(const char *path, const char *word, uint64_t now_ms, char **ret_path);
int file_remove(const char *path);

#endif
