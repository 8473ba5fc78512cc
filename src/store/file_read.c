/* What a start reads from the store's file. It may have been edited by hand, or by who knows what: each row is looked at as
 * if it came from a client. */
#include "store/file_private.h"

#include "wire/message_fields.h"
#include "wire/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DEVICES_MAX = 1000, TIMEOUT_LIMIT_MS = 1 << 30 }; /* what the settings allow */
#define TIME_LIMIT (UINT64_C(1) << 48) /* what the table's times hold */

int file_read_end(struct store_file *f, uint64_t *ret_saved_ms, bool *ret_is_clean)
{
	int64_t saved_ms, stopped_ms;
	int err = file_ask(f, "SELECT value FROM meta WHERE key = 'saved_ms'", &saved_ms);
	if (!err)
		err = file_ask(f, "SELECT value FROM meta WHERE key = 'stopped_ms'", &stopped_ms);
	if (err)
		return err;
	*ret_saved_ms = saved_ms > 0 && (uint64_t)saved_ms < TIME_LIMIT ? (uint64_t)saved_ms : 0;
	*ret_is_clean = stopped_ms > 0;
	return 0;
}

/* --- columns: each false where what is there makes no sense --- */

static bool take_text(
	sqlite3_stmt *row, int column, size_t least, size_t most, const char **ret, size_t *ret_len)
{
	const char *text = (const char *)sqlite3_column_text(row, column);
	size_t len = (size_t)sqlite3_column_bytes(row, column);
	struct utf8 utf8 = {.n_missing = 0};
	if (!text || len < least || len > most || message_has_control(text, len) ||
		!utf8_feed(&utf8, text, len) || !utf8_is_whole(&utf8))
		return false;
	*ret = text;
	*ret_len = len;
	return true;
}

static bool is_null(sqlite3_stmt *row, int column)
{
	return sqlite3_column_type(row, column) == SQLITE_NULL;
}

static bool take_time(sqlite3_stmt *row, int column, uint64_t *ret)
{
	int64_t ms = sqlite3_column_int64(row, column);
	if (ms < 0 || (uint64_t)ms >= TIME_LIMIT)
		return false;
	*ret = (uint64_t)ms; /* of NULL: 0 */
	return true;
}

static bool take_state(sqlite3_stmt *row, int column, enum state *ret)
{
	const char *word;
	size_t len;
	return take_text(row, column, 1, USER_MAX, &word, &len) && state_parse(word, len, ret);
}

static bool take_reason(sqlite3_stmt *row, int column, enum reason *ret)
{
	const char *word;
	size_t len;
	*ret = REASON_UNKNOWN;
	return is_null(row, column) ||
	       (take_text(row, column, 1, USER_MAX, &word, &len) && reason_parse(word, len, ret));
}

static bool take_transport(sqlite3_stmt *row, int column, enum transport *ret)
{
	const char *word = (const char *)sqlite3_column_text(row, column);
	for (unsigned i = 0; word && i < TRANSPORT_N; i++)
		if (strcmp(word, transport_word((enum transport)i)) == 0) {
			*ret = (enum transport)i;
			return true;
		}
	return false;
}

/* --- rows --- */

static bool take_user(sqlite3_stmt *row, int column, struct file_user *ret)
{
	return take_reason(row, column, &ret->reason) && take_time(row, column + 1, &ret->at_ms) &&
	       take_time(row, column + 2, &ret->last_seen_ms);
}

/* The later of what stood in the row and what was heard since. */
static void take_heard(sqlite3_stmt *row, int column, uint64_t *last_seen_ms)
{
	const unsigned char *heard = sqlite3_column_blob(row, column);
	if (!heard || sqlite3_column_bytes(row, column) != PLACE_BYTES)
		return;
	uint64_t ms = place_read(heard);
	if (ms > *last_seen_ms)
		*last_seen_ms = ms;
}

#define DEVICES_QUERY                                                                              \
	"SELECT d.user, u.reason, u.at_ms, u.last_seen_ms, d.device, d.transport, d.state, "       \
	"d.status, d.since_ms, d.last_seen_ms, substr(h.seen, d.place % 640 * 6 + 1, 6), "         \
	"d.timeout_ms, d.ended, d.ended_ms FROM devices AS d LEFT JOIN users AS u "                \
	"ON u.user = d.user LEFT JOIN heard AS h ON h.chunk = d.place / 640 "                      \
	"ORDER BY d.user, d.rank"

static bool take_device(sqlite3_stmt *row, struct file_device *ret)
{
	const char *device, *status = NULL;
	size_t device_len, status_len = 0;
	int64_t timeout_ms = sqlite3_column_int64(row, 11);
	ret->has_status = !is_null(row, 7);
	if (!take_text(row, 4, 1, DEVICE_MAX, &device, &device_len) ||
		!take_transport(row, 5, &ret->transport) || !take_state(row, 6, &ret->state) ||
		ret->state == STATE_OFFLINE ||
		(ret->has_status && !take_text(row, 7, 0, STATUS_MAX, &status, &status_len)) ||
		!take_time(row, 8, &ret->since_ms) || !take_time(row, 9, &ret->last_seen_ms) ||
		timeout_ms < 1 || timeout_ms >= TIMEOUT_LIMIT_MS ||
		!take_reason(row, 12, &ret->reason) || !take_time(row, 13, &ret->ended_ms))
		return false;
	take_heard(row, 10, &ret->last_seen_ms);
	ret->timeout_ms = (uint32_t)timeout_ms;
	ret->device_len = (uint8_t)device_len;
	memcpy(ret->device, device, device_len);
	ret->status_len = (uint16_t)status_len;
	if (status_len > 0)
		memcpy(ret->status, status, status_len);
	return true;
}

/* --- users whole --- */

struct reading {
	struct store_file *file;
	file_take *take;
	void *arg;
	uint64_t n_skipped;
	size_t n_max;
	/* the user under way */
	struct file_user user;
	char name[USER_MAX];
	struct file_device *devices;
	size_t n;
};

/* Gives the user under way, if there is one, to who takes it. */
static int give(struct reading *r)
{
	int err = r->n > 0 ? r->take(r->arg, &r->user, r->devices, r->n) : 0;
	r->n = 0;
	return err;
}

static int read_device(struct reading *r, sqlite3_stmt *row)
{
	struct file_user user;
	int err = 0;
	if (!take_text(row, 0, 1, USER_MAX, &user.user, &user.len) || !take_user(row, 1, &user)) {
		r->n_skipped++;
		return 0;
	}
	if (r->n > 0 && (user.len != r->user.len || memcmp(user.user, r->name, user.len) != 0))
		err = give(r);
	if (!err && r->n == 0) {
		memcpy(r->name, user.user, user.len);
		user.user = r->name;
		r->user = user;
	}
	if (!err && r->n < r->n_max && take_device(row, &r->devices[r->n]))
		r->n++;
	else if (!err)
		r->n_skipped++;
	return err;
}

static int read_offline(struct reading *r, sqlite3_stmt *row)
{
	struct file_user user;
	if (take_text(row, 0, 1, USER_MAX, &user.user, &user.len) && take_user(row, 1, &user))
		return r->take(r->arg, &user, NULL, 0);
	r->n_skipped++;
	return 0;
}

static int read_rows(struct reading *r, const char *sql, int64_t n_left_out,
	int (*read_row)(struct reading *, sqlite3_stmt *))
{
	sqlite3_stmt *row = NULL;
	int rc = sqlite3_prepare_v2(r->file->db, sql, -1, &row, NULL), err = 0;
	if (rc == SQLITE_OK && sqlite3_bind_parameter_count(row) > 0)
		sqlite3_bind_int64(row, 1, n_left_out);
	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(row);
		if (rc != SQLITE_ROW)
			break;
		err = read_row(r, row);
		if (err)
			break;
	}
	if (!err)
		err = file_fault(r->file, rc);
	sqlite3_finalize(row);
	/* What came before what can't be read is whole. */
	int last = give(r);
	return err ? err : last;
}

int file_read_users(struct store_file *f, const struct file_limits *limits, file_take *take,
	void *arg, uint64_t *ret_n_skipped)
{
	struct reading r = {.file = f,
		.take = take,
		.arg = arg,
		.n_max = limits->n_devices < DEVICES_MAX ? limits->n_devices : DEVICES_MAX};
	int64_t n_offline = 0;
	r.devices = calloc(r.n_max, sizeof(*r.devices));
	if (!r.devices)
		return file_complain(f, -ENOMEM, "out of memory");
	int err = read_rows(&r, DEVICES_QUERY, 0, read_device);
	free(r.devices);
	if (!err)
		err = file_ask(f, "SELECT count(*) FROM users WHERE state = 'offline'", &n_offline);
	int64_t surplus = n_offline - (int64_t)limits->n_offline;
	/* Of a damaged file as much as there is. */
	if (!err || err == -EUCLEAN) {
		int err_offline = read_rows(&r,
			"SELECT user, reason, at_ms, last_seen_ms FROM users "
			"WHERE state = 'offline' ORDER BY at_ms LIMIT -1 OFFSET ?",
			surplus > 0 ? surplus : 0, read_offline);
		err = err ? err : err_offline;
	}
	*ret_n_skipped = r.n_skipped;
	return err;
}
