#include "admin/events.h"

#include "admin/api.h"
#include "admin/stream.h"
#include "base/clock.h"
#include "presence/table_admin.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CURSOR_SERVER = 16, /* digits of the server's id: so a cursor of another start is known */
	CURSOR_MAX = CURSOR_SERVER + 1 + JSON_U64_MAX,
	/* The longest event: its fields, its cursor, and the rest of its lines. */
	TEXT_MAX = SNAPSHOT_JSON_MAX(USER_MAX, STATUS_MAX) + CURSOR_MAX + 64,
	VIEWS = 16, /* of a slice: as many as fit into a quarter of what a stream says at a time */
	EVENTS = 64,
	SLICES = 32,
	/* Holds of a stripe's lock for one time of being asked: with a prefix that few users have, most find nobody. */
	HOLDS = 256
};

/* Users of these keys were read when their stripe's counter was this; events below the barrier may be older. */
struct slice {
	uint64_t from, last; /* both are in it */
	uint64_t counter, barrier;
};

struct wanted {
	uint64_t key;
	struct id id;
};

enum reset { RESET_NONE, RESET_NO_CURSOR, RESET_OTHER_SERVER, RESET_GONE };

static const char *const reset_words[] = {
	[RESET_NO_CURSOR] = "no_cursor",
	[RESET_OTHER_SERVER] = "other_server",
	[RESET_GONE] = "gone",
};

struct follower {
	/* const after start */
	struct user_filter filter;
	char prefix[USER_MAX];
	struct wanted *wanted; /* by key; NULL: everybody */
	size_t n_wanted;
	/* owner: the admin thread */
	bool is_greeted;
	enum reset reset; /* to be told, and done */
	uint64_t cursor; /* of the feed */
	bool is_reading; /* the table */
	bool is_read; /* all of it; but slices may be pending */
	uint64_t next_key; /* of the table */
	size_t next_wanted;
	uint64_t n_told; /* of the snapshot */
	struct slice slices[SLICES]; /* the oldest first */
	size_t n_slices;
};

/* What is written, into room that there is. */
struct text {
	char *at, *end;
};

/* ---- lines ---------------------------------------------------------------------------------------- */

static bool has_room(const struct text *t)
{
	return t->end - t->at >= TEXT_MAX;
}

static char *put_cursor(const struct admin *a, char *to, uint64_t cursor)
{
	to = json_put_literal(to, "id: ");
	memcpy(to, a->params.telemetry->server_id, CURSOR_SERVER);
	to += CURSOR_SERVER;
	*to++ = '-';
	to = json_put_u64(to, cursor);
	*to++ = '\n';
	return to;
}

static void put_greeting(const struct admin *a, struct text *t)
{
	t->at += snprintf(t->at, (size_t)(t->end - t->at),
		"event: server\n"
		"data: {\"server\":\"%s\",\"version\":\"%s\",\"started_at_ms\":%" PRIu64 "}\n\n",
		a->params.telemetry->server_id, a->params.version, a->started_wall_ms);
}

static void put_reset(enum reset why, struct text *t)
{
	/* The empty id takes back the one before: who loses the stream now must not go on from there. */
	t->at += snprintf(t->at, (size_t)(t->end - t->at),
		"event: reset\nid:\ndata: {\"reason\":\"%s\"}\n\n", reset_words[why]);
}

static void put_live(const struct admin *a, const struct follower *f, struct text *t)
{
	t->at = put_cursor(a, json_put_literal(t->at, "event: live\n"), f->cursor);
	t->at += snprintf(t->at, (size_t)(t->end - t->at), "data: {\"presences\":%" PRIu64 "}\n\n",
		f->n_told);
}

static void put_view(const char *user, size_t len, const struct snapshot *snapshot, struct text *t)
{
	t->at = json_put_literal(t->at, "event: presence\ndata: {");
	t->at = snapshot_put_fields(t->at, user, len, snapshot);
	t->at = json_put_literal(t->at, "\n\n");
}

/* 'cursor' is that of the event after it; while the table is read, there is none to come back to. */
static void put_event(const struct admin *a, const struct follower *f, const struct event *e,
	uint64_t cursor, struct text *t)
{
	size_t len;
	const char *fields = event_fields(e, &len);

	t->at = json_put_literal(t->at, "event: presence\n");
	if (!f->is_reading)
		t->at = put_cursor(a, t->at, cursor);
	t->at = json_put_literal(t->at, "data: {");
	memcpy(t->at, fields, len);
	t->at += len;
	t->at = json_put_literal(t->at, "\n\n");
}

/* ---- filters -------------------------------------------------------------------------------------- */

static int compare_wanted(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	if (x->id.len != y->id.len)
		return x->id.len < y->id.len ? -1 : 1;
	return memcmp(x->id.text, y->id.text, x->id.len);
}

static void drop_repeats(struct follower *f)
{
	size_t n = 1;

	for (size_t i = 1; i < f->n_wanted; i++)
		if (compare_wanted(&f->wanted[i], &f->wanted[n - 1]) != 0)
			f->wanted[n++] = f->wanted[i];
	f->n_wanted = n;
}

/* The first of that key; or NULL. */
static const struct wanted *find_wanted(const struct follower *f, uint64_t key)
{
	size_t low = 0, high = f->n_wanted;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (f->wanted[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low < f->n_wanted && f->wanted[low].key == key ? &f->wanted[low] : NULL;
}

static bool wants(const struct follower *f, const struct event *e, uint64_t key)
{
	const struct wanted *w;

	if (e->user_len < f->filter.prefix_len ||
		memcmp(event_user(e), f->prefix, f->filter.prefix_len) != 0)
		return false;
	if (!f->wanted)
		return true;
	for (w = find_wanted(f, key); w && w < f->wanted + f->n_wanted && w->key == key; w++)
		if (w->id.len == e->user_len && memcmp(w->id.text, event_user(e), w->id.len) == 0)
			return true;
	return false;
}

/* ---- events --------------------------------------------------------------------------------------- */

/* Whether the snapshot has told it, or will. */
static bool is_in_snapshot(const struct follower *f, const struct event *e, uint64_t number)
{
	uint64_t key = table_key(e->user_hash);

	if (f->is_reading && !f->is_read && key >= f->next_key)
		return true;
	for (size_t i = 0; i < f->n_slices; i++) {
		const struct slice *s = &f->slices[i];
		if (key >= s->from && key <= s->last)
			return number < s->barrier && e->seq <= s->counter;
	}
	return false;
}

static void forget_slices(struct follower *f)
{
	size_t n = 0;

	while (n < f->n_slices && f->slices[n].barrier <= f->cursor)
		n++;
	f->n_slices -= n;
	memmove(f->slices, f->slices + n, f->n_slices * sizeof(*f->slices));
}

/* As many as there are and fit; how many were read, told or not. */
static size_t tell_events(const struct admin *a, struct follower *f, struct text *t)
{
	size_t room = (size_t)(t->end - t->at) / TEXT_MAX, n;
	struct event *events[EVENTS];
	uint64_t number = f->cursor;

	if (feed_read(a->params.feed, &f->cursor, events, room < EVENTS ? room : EVENTS, &n)) {
		f->reset = RESET_GONE;
		return 0;
	}
	for (size_t i = 0; i < n; i++, number++) {
		if (wants(f, events[i], table_key(events[i]->user_hash)) &&
			!is_in_snapshot(f, events[i], number))
			put_event(a, f, events[i], number + 1, t);
		event_unref(events[i]);
	}
	forget_slices(f);
	return n;
}

/* ---- the snapshot --------------------------------------------------------------------------------- */

static void note_slice(
	const struct admin *a, struct follower *f, uint64_t from, uint64_t last, uint64_t counter)
{
	f->slices[f->n_slices++] = (struct slice){.from = from,
		.last = last,
		.counter = counter,
		.barrier = feed_barrier(a->params.feed)};
	forget_slices(f); /* mostly nothing was under way */
}

/* The next of the users that were asked for. */
static void tell_wanted(const struct admin *a, struct follower *f, struct text *t)
{
	const struct wanted *w = &f->wanted[f->next_wanted++];
	struct snapshot snapshot;

	table_look(a->params.table, w->id.text, w->id.len, clock_instant(), &snapshot);
	if (snapshot.state != STATE_OFFLINE &&
		(f->filter.prefix_len <= w->id.len &&
			memcmp(w->id.text, f->prefix, f->filter.prefix_len) == 0)) {
		put_view(w->id.text, w->id.len, &snapshot, t);
		f->n_told++;
	}
	note_slice(a, f, w->key, w->key, snapshot.counter);
	f->next_key = w->key + 1;
	f->is_read = f->next_wanted == f->n_wanted;
}

static void tell_page(const struct admin *a, struct follower *f, struct text *t)
	REQUIRES(role_admin)
{
	size_t room = (size_t)(t->end - t->at) / TEXT_MAX, n;
	struct user_view views[VIEWS];
	uint64_t from = f->next_key;

	f->is_read = !table_page(a->params.table, &f->filter, clock_instant(), &f->next_key, views,
		room < VIEWS ? room : VIEWS, &n);
	for (size_t i = 0; i < n; i++)
		put_view(views[i].user, views[i].len, &views[i].snapshot, t);
	f->n_told += n;
	/* Also where nobody was online: an event from before may still be on its way, and the one that took it back may have
	 * been lost to the feed before this reading began. */
	note_slice(a, f, from, f->next_key - 1, views[0].snapshot.counter);
}

/* A slice; false where that has to wait until the feed has gone on. */
static bool tell_slice(const struct admin *a, struct follower *f, struct text *t)
	REQUIRES(role_admin)
{
	if (f->is_read) {
		/* Not before all that the slices hold back has been read: who comes back to the cursor would get it. */
		if (f->n_slices > 0)
			return false;
		f->is_reading = false;
		put_live(a, f, t);
		return true;
	}
	if (f->n_slices == SLICES)
		return false;
	if (f->wanted)
		tell_wanted(a, f, t);
	else
		tell_page(a, f, t);
	return true;
}

static void begin_again(struct admin *a, struct follower *f, struct text *t) REQUIRES(role_admin)
{
	put_reset(f->reset, t);
	if (f->reset != RESET_NO_CURSOR)
		counter_add(a->actor.counters, COUNTER_stream_resets, 1);
	f->reset = RESET_NONE;
	f->cursor = feed_end(a->params.feed);
	f->is_reading = true;
	f->is_read = f->wanted && f->n_wanted == 0;
	f->next_key = 0;
	f->next_wanted = 0;
	f->n_told = 0;
	f->n_slices = 0;
}

static size_t fill(struct admin *a, void *state, char *to, size_t room) REQUIRES(role_admin)
{
	struct follower *f = state;
	struct text t = {.at = to, .end = to + room};
	bool goes_on = true;

	if (!f->is_greeted)
		put_greeting(a, &t);
	f->is_greeted = true;
	for (unsigned n = 0; goes_on && has_room(&t) && n < HOLDS; n++) {
		if (f->reset)
			begin_again(a, f, &t);
		else
			goes_on = tell_events(a, f, &t) > 0;
		/* Both in turn, so that neither waits for the other's end. */
		if (f->is_reading && !f->reset && has_room(&t))
			goes_on |= tell_slice(a, f, &t);
		goes_on |= f->reset != RESET_NONE;
	}
	/* There is more to be looked at, and nothing to say of it yet: a comment, to be asked again. */
	if (t.at == to && goes_on)
		t.at = json_put_literal(t.at, ":\n\n");
	return (size_t)(t.at - to);
}

/* ---- the request ---------------------------------------------------------------------------------- */

static void follower_free(struct admin *a, void *state)
{
	struct follower *f = state;

	(void)a;
	free(f->wanted);
	free(f);
}

/* A cursor says nothing to others than us: what is none of ours is one of another start. */
static enum reset parse_cursor(const struct admin *a, const char *text, uint64_t *ret)
{
	uint64_t value = 0;

	if (!text || *text == '\0')
		return RESET_NO_CURSOR;
	if (strncmp(text, a->params.telemetry->server_id, CURSOR_SERVER) != 0 ||
		text[CURSOR_SERVER] != '-' || strlen(text) > CURSOR_MAX)
		return RESET_OTHER_SERVER;
	for (text += CURSOR_SERVER + 1; *text; text++) {
		if (*text < '0' || *text > '9')
			return RESET_OTHER_SERVER;
		if (value > (UINT64_MAX - 9) / 10)
			return RESET_GONE; /* no server gets that far */
		value = value * 10 + (uint64_t)(*text - '0');
	}
	*ret = value;
	return RESET_NONE;
}

/* NULL, or what is wrong. */
static const char *read_wanted(const struct admin *a, const char *list, struct follower *f)
{
	static const char wrong[] =
		"users: must be at most 1000 ids of 1 to 128 bytes each, percent-encoded, with "
		"commas between";
	size_t room = 1;

	for (const char *c = list; *c; c++)
		room += *c == ',';
	if (room > EVENTS_USERS_MAX)
		return wrong;
	f->wanted = malloc(room * sizeof(*f->wanted));
	if (!f->wanted)
		return "";
	while (f->n_wanted < room) {
		struct path_param one = {.text = list, .len = strcspn(list, ",")};
		struct wanted *w = &f->wanted[f->n_wanted++];
		if (!read_id(&one, &w->id))
			return wrong;
		w->key = table_key(table_hash(a->params.table, w->id.text, w->id.len));
		list += one.len + 1;
	}
	qsort(f->wanted, f->n_wanted, sizeof(*f->wanted), compare_wanted);
	drop_repeats(f);
	return NULL;
}

/* NULL, or what is wrong; "" for no memory. */
static const char *read_follower(const struct admin *a, const struct request *r, struct follower *f)
{
	const char *users =
		MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, "users");
	const char *last = request_header(r, "Last-Event-ID");
	char cursor[CURSOR_MAX + 1] = "";
	size_t len;

	if (!read_param(r, "prefix", f->prefix, sizeof(f->prefix), &f->filter.prefix_len))
		return "prefix: must be at most 128 bytes";
	f->filter.prefix = f->prefix;
	f->filter.is_online = true;
	/* Too long, or badly encoded: none of ours. */
	if (!read_param(r, "cursor", cursor, CURSOR_MAX, &len))
		snprintf(cursor, sizeof(cursor), "?");
	else
		cursor[len] = '\0';
	/* The header is the newer one: a browser that comes back asks with the URL it had. */
	f->reset = parse_cursor(a, last && *last ? last : cursor, &f->cursor);
	return users && *users ? read_wanted(a, users, f) : NULL;
}

struct answer events_answer(struct admin *a, const struct request *r)
{
	static const struct stream_kind kind = {
		.wakes = STREAM_ON_FEED, .fill = fill, .free = follower_free};
	struct follower *f;
	const char *wrong;

	if (!a->params.feed || a->params.limits.event_log == 0)
		return answer_error(ANSWER_ERROR_NO_EVENTS);
	f = calloc(1, sizeof(*f));
	if (!f)
		return answer_error(ANSWER_ERROR_OUT_OF_MEMORY);
	wrong = read_follower(a, r, f);
	if (!wrong)
		return stream_answer(a, r, &kind, f);
	follower_free(a, f);
	return *wrong ? answer_error_because(ANSWER_ERROR_BAD_QUERY, wrong)
		      : answer_error(ANSWER_ERROR_OUT_OF_MEMORY);
}
