/* From the table to the file. */
#include "store/store_private.h"

#include "base/ensure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	SAMPLES = 512, /* a look's */
	EVENTS = 256, /* of the feed at a time */
	PAGE = 256, /* users of the table at a time */
	CHANGED_MAX = 1 << 20, /* of a file that is locked: beyond that, all is written anew */
};

/* --- what moved --- */

void save_forget_changed(struct store *s)
{
	for (size_t i = 0; i < s->n_changed; i++)
		free(s->changed[i]);
	s->n_changed = 0;
}

/* Takes the id, also where it fails. */
static int add_changed(struct store *s, struct user_id *id)
{
	if (s->n_changed == s->max_changed) {
		size_t max = s->max_changed ? 2 * s->max_changed : SAMPLES;
		struct user_id **more = realloc(s->changed, max * sizeof(*more));
		if (!more) {
			free(id);
			return -ENOMEM;
		}
		s->changed = more;
		s->max_changed = max;
	}
	s->changed[s->n_changed++] = id;
	return 0;
}

static struct user_id *id_new(const char *user, size_t len)
{
	struct user_id *id = malloc(sizeof(*id) + len);
	if (id) {
		id->len = (uint8_t)len;
		memcpy(id->bytes, user, len);
	}
	return id;
}

static bool id_is(const struct user_id *id, const char *user, size_t len)
{
	return id && id->len == len && memcmp(id->bytes, user, len) == 0;
}

/* Who left the place, and who has come to it. Where all are written, none needs to be named. */
static int take_change(struct store *s, unsigned worker, uint32_t slot) REQUIRES(role_store)
{
	char user[USER_MAX];
	size_t len = sampler_who(s->sampler, worker, slot, user);
	struct user_id *left = places_leave(&s->places, worker, slot);
	int err = len > 0 ? places_enter(&s->places, worker, slot, user, len) : 0;
	if (err || s->needs_all) {
		free(left);
		return err;
	}
	err = left ? add_changed(s, left) : 0;
	if (err || len == 0)
		return err;
	struct user_id *came = id_new(user, len);
	return came ? add_changed(s, came) : -ENOMEM;
}

static int look_at_worker(struct store *s, unsigned worker, struct instant now) REQUIRES(role_store)
{
	struct sample samples[SAMPLES];
	uint32_t cursor = 0;
	size_t n;
	while (cursor != UINT32_MAX) {
		int err = sampler_look(s->sampler, worker, now, &cursor, samples, SAMPLES, &n);
		for (size_t i = 0; i < n && !err; i++) {
			if (samples[i].is_changed)
				err = take_change(s, worker, samples[i].slot);
			else
				places_hear(&s->places, worker, samples[i].slot,
					samples[i].last_seen_ms);
		}
		if (err)
			return err;
	}
	return 0;
}

/* Who came and went between two looks left no trace in any slot: but there were events. One that is lost costs a writing
 * of everything. */
static int follow_feed(struct store *s)
{
	struct event *events[EVENTS];
	size_t n = EVENTS;
	int err = 0;
	while (!err && n == EVENTS) {
		err = feed_read(s->params.feed, &s->cursor, events, EVENTS, &n);
		if (err == -ESTALE) {
			s->cursor = feed_end(s->params.feed);
			s->needs_all = true;
			return 0;
		}
		for (size_t i = 0; i < n; i++) {
			struct user_id *id =
				s->needs_all ? NULL
					     : id_new(event_user(events[i]), events[i]->user_len);
			if (!id && !s->needs_all)
				err = -ENOMEM;
			else if (id && !err)
				err = add_changed(s, id);
			else
				free(id);
			event_unref(events[i]);
		}
	}
	return err;
}

int save_look(struct store *s, struct instant now)
{
	int err = s->params.feed ? follow_feed(s) : 0;
	for (unsigned i = 0; i < s->params.telemetry->n_workers && !err; i++)
		err = look_at_worker(s, i, now);
	if (err) {
		/* What was looked at and not taken would not be reported again. */
		sampler_reset(s->sampler);
		places_free(&s->places);
	}
	if (err || s->n_changed > CHANGED_MAX) {
		s->needs_all = true;
		save_forget_changed(s);
	}
	return err;
}

bool save_has_news(const struct store *s)
{
	return s->needs_all || s->n_changed > 0 || places_are_dirty(&s->places);
}

/* --- what is written --- */

/* When its sessions were heard, to their places. Where another's session was, as far as we know, the next look knows more;
 * until then the row's own time is the later one. */
static void hear(
	struct store *s, const char *user, size_t len, const struct session_view *views, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct user_id *there =
			places_user(&s->places, views[i].worker, views[i].slot);
		if (id_is(there, user, len))
			places_hear(
				&s->places, views[i].worker, views[i].slot, views[i].last_seen_ms);
	}
}

/* The file holds of a user what the table holds of it: of one who is not known, nothing. */
static int put_user(struct store *s, const char *user, size_t len, struct instant now)
{
	struct snapshot snapshot;
	struct session_view *views;
	size_t n;
	int err = table_sessions(s->params.table, user, len, now, &snapshot, &views, &n);
	if (err)
		return err;
	if (!snapshot.is_known && n == 0)
		err = file_delete_user(s->file, user, len);
	else
		err = file_put_user(s->file, user, len, &snapshot, views, n);
	hear(s, user, len, views, n);
	free(views);
	counter_add(&s->telemetry->counters, COUNTER_store_users, 1);
	return err;
}

static int order_ids(const void *a, const void *b)
{
	const struct user_id *x = *(struct user_id *const *)a, *y = *(struct user_id *const *)b;
	int order = memcmp(x->bytes, y->bytes, x->len < y->len ? x->len : y->len);
	return order ? order : (int)x->len - (int)y->len;
}

/* In their order, which is the file's: neighbours are on one page. */
static int put_changed(struct store *s, struct instant now)
{
	int err = 0;
	if (s->n_changed > 0) /* else there may be no array */
		qsort(s->changed, s->n_changed, sizeof(*s->changed), order_ids);
	for (size_t i = 0; i < s->n_changed && !err; i++)
		if (i == 0 || order_ids(&s->changed[i - 1], &s->changed[i]) != 0)
			err = put_user(s, s->changed[i]->bytes, s->changed[i]->len, now);
	return err;
}

/* Names everybody as changed. */
static int name_all(struct store *s, struct instant now)
{
	struct user_filter everybody = {.prefix_len = 0};
	struct user_view *views = malloc(PAGE * sizeof(*views));
	uint64_t cursor = 0;
	bool is_more = true;
	int err = views ? 0 : -ENOMEM;
	save_forget_changed(s);
	while (is_more && !err) {
		size_t n;
		is_more = table_page(s->params.table, &everybody, now, &cursor, views, PAGE, &n);
		for (size_t i = 0; i < n && !err; i++) {
			struct user_id *id = id_new(views[i].user, views[i].len);
			err = id ? add_changed(s, id) : -ENOMEM;
		}
	}
	free(views);
	return err;
}

static int put_all(struct store *s, struct instant now)
{
	int err = name_all(s, now);
	if (!err)
		err = file_clear(s->file);
	if (!err)
		err = put_changed(s, now);
	places_touch_all(&s->places);
	counter_add(&s->telemetry->counters, COUNTER_store_rewrites, 1);
	return err;
}

static int put_heard(struct store *s)
{
	const struct places_chunk *chunk;
	unsigned worker = 0;
	uint32_t at = 0;
	int err = 0;
	while (!err && (chunk = places_next(&s->places, &worker, &at)))
		err = file_put_heard(s->file, worker, at, chunk);
	return err;
}

int save_write(struct store *s, struct instant now, bool is_last)
{
	int err = file_begin(s->file);
	if (err == -EBUSY)
		return err;
	if (!err)
		err = s->needs_all ? put_all(s, now) : put_changed(s, now);
	if (!err)
		err = put_heard(s);
	if (!err)
		err = file_commit(s->file, now.wall_ms, is_last);
	if (err) {
		file_rollback(s->file);
		s->needs_all = true;
	} else {
		s->needs_all = false;
		counter_add(&s->telemetry->counters, COUNTER_store_batches, 1);
	}
	save_forget_changed(s);
	/* Once something has failed it must not look like a lock that will be gone. */
	return err == -EBUSY ? -EIO : err;
}
