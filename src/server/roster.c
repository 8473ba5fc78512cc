/* Who watches whom: watch, unwatch and query, and their replies in parts.
 *
 * A reply is made a part at a time, and no further than the peer takes it: what is kept for a peer that does not read is
 * the part it left and the names it asked for, never more than it sent and one part. */

#include "server/worker_private.h"

#include "base/ensure.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* Of a part: the longest object, its comma, and the closing. */
enum { PRESENCE_ROOM = SNAPSHOT_JSON_MAX(USER_MAX, STATUS_MAX) + 32 };

/* Where the names of a reply come from: a message, or the roster that was kept of one. */
struct names {
	const struct message *message; /* NULL: the roster */
	struct roster *roster;
	size_t next; /* of the message's names */
};

static bool has_name(const struct names *n)
{
	return n->message ? n->next < n->message->n_users : n->roster->at < n->roster->len;
}

static struct slice next_name(struct names *n)
{
	if (n->message)
		return message_user(n->message, n->next++);
	const char *at = n->roster->names + n->roster->at;
	struct slice name = {.text = at + 1, .len = (unsigned char)*at};
	n->roster->at += 1 + (uint32_t)name.len;
	return name;
}

/* The names not used up, as a roster. NULL: no memory. */
static struct roster *keep(
	const struct names *n, enum request request, const char *id, size_t id_len)
{
	if (!n->message)
		return n->roster;
	size_t len = 0;
	for (size_t i = n->next; i < n->message->n_users; i++)
		len += 1 + message_user(n->message, i).len;
	struct roster *r = malloc(sizeof(*r) + len);
	if (!r)
		return NULL;
	*r = (struct roster){.request = request, .id_len = (uint32_t)id_len};
	memcpy(r->id, id, id_len);
	for (size_t i = n->next; i < n->message->n_users; i++) {
		struct slice name = message_user(n->message, i);
		r->names[r->len] = (char)name.len;
		memcpy(r->names + r->len + 1, name.text, name.len);
		r->len += 1 + (uint32_t)name.len;
	}
	return r;
}

/* One presence object, and with it what a watch has been told. False: no memory. */
static bool append_presence(struct worker *w, struct connection *c, enum request request,
	struct slice name) REQUIRES(role_worker)
{
	struct snapshot snapshot;
	if (request == REQUEST_WATCH) {
		if (table_watch(
			    w->table, &w->actor, w->index, name.text, name.len, w->now, &snapshot))
			return false;
		struct watch *watch = watch_find(w->watches, &c->side->watching->watcher, name.text,
			name.len, table_hash(w->table, name.text, name.len));
		ensure(watch);
		watch_set_told(w->watches, watch, snapshot.counter);
	} else {
		table_look(w->table, name.text, name.len, w->now, &snapshot);
	}
	char *to = buffer_reserve(&w->out, 1 + SNAPSHOT_JSON_MAX(name.len, snapshot.status_len));
	if (!to)
		return false;
	char *end = to;
	*end++ = '{';
	end = snapshot_put_fields(end, name.text, name.len, &snapshot);
	w->out.len += (size_t)(end - to);
	return true;
}

/* Parts, until all is said (true) or the peer takes no more (false; the rest is kept). A connection that turns out to be
 * broken, or memory that is refused, ends it too: the connection is then among those to be read and closed. */
static bool tell_presences(struct worker *w, struct connection *c, enum request request,
	const char *id, size_t id_len, struct names *names) REQUIRES(role_worker)
{
	for (;;) {
		size_t began = w->out.len;
		reply_presences_open(&w->out, id, id_len, request);
		bool is_first = true;
		while (has_name(names) && w->out.len - began + PRESENCE_ROOM <= REPLY_PART_MAX) {
			if (!is_first)
				buffer_append(&w->out, ",", 1);
			is_first = false;
			if (!append_presence(w, c, request, next_name(names)))
				w->out.failed = true;
		}
		bool has_more = has_name(names) && !w->out.failed;
		reply_presences_close(&w->out, has_more);
		if (!has_more)
			return true;
		if (!output_push(w, c))
			return false;
		if (!c->output)
			continue;
		c->output->roster = keep(names, request, id, id_len);
		if (!c->output->roster) {
			worker_count(w, COUNTER_out_of_memory);
			c->is_broken = true;
			output_free(w, c);
			worker_want_read(w, c);
		}
		return false;
	}
}

bool roster_continue(struct worker *w, struct connection *c, struct roster *r)
{
	struct names names = {.roster = r};
	bool is_done = tell_presences(w, c, r->request, r->id, r->id_len, &names);
	if (is_done)
		is_done = output_push(w, c) && !c->output;
	if (!c->output || c->output->roster != r)
		free(r);
	return is_done;
}

/* --- requests --- */

static struct watching *watching_of(struct connection *c)
{
	struct side *side = connection_side(c);
	if (side && !side->watching) {
		side->watching = calloc(1, sizeof(struct watching));
		if (side->watching)
			side->watching->fd = (uint32_t)c->fd;
	}
	return side ? side->watching : NULL;
}

static void publish_watches(struct worker *w) REQUIRES(role_worker)
{
	atomic_store_explicit(
		&w->telemetry->watches, watch_count(w->watches), memory_order_relaxed);
}

static void end_watch(struct worker *w, struct watch *watch) REQUIRES(role_worker)
{
	char user[USER_MAX];
	size_t len;
	if (watch_remove(w->watches, watch, user, &len))
		table_unwatch(w->table, &w->actor, w->index, user, len);
	atomic_fetch_sub_explicit(&w->shared->n_watches, 1, memory_order_relaxed);
}

/* Enters a watch; where it is there already '*ret' is NULL. */
static enum wire_error add_watch(struct worker *w, struct watching *watching, struct slice name,
	struct watch **ret) REQUIRES(role_worker)
{
	const struct server_params *params = &w->shared->params;
	uint64_t hash = table_hash(w->table, name.text, name.len);
	*ret = NULL;
	if (watch_find(w->watches, &watching->watcher, name.text, name.len, hash))
		return WIRE_OK;
	uint64_t total = atomic_fetch_add_explicit(&w->shared->n_watches, 1, memory_order_relaxed);
	enum wire_error error = WIRE_OK;
	if (watching->watcher.n_watches >= params->max_watches ||
		total >= params->max_watches_total)
		error = WIRE_ERROR_TOO_MANY_WATCHES;
	else if (watch_add(w->watches, &watching->watcher, name.text, name.len, hash, ret))
		error = WIRE_ERROR_SERVER_FULL;
	if (error)
		atomic_fetch_sub_explicit(&w->shared->n_watches, 1, memory_order_relaxed);
	return error;
}

/* Enters watches for all the names; on a limit, or out of memory, those of this request are taken back. */
static enum wire_error add_watches(
	struct worker *w, struct watching *watching, const struct message *m) REQUIRES(role_worker)
{
	struct watch *added[REQUEST_USERS_MAX], *watch;
	size_t n = 0;
	enum wire_error error = WIRE_OK;
	for (size_t i = 0; i < m->n_users && !error; i++) {
		error = add_watch(w, watching, message_user(m, i), &watch);
		if (watch)
			added[n++] = watch;
	}
	if (error) {
		for (size_t i = 0; i < n; i++)
			end_watch(w, added[i]);
		return error;
	}
	counter_add(worker_counters(w), COUNTER_watches_added, n);
	return WIRE_OK;
}

/* Whether the session may look at all of them; says so where not, in the same words for users that there are and others. */
static bool is_allowed(struct worker *w, struct connection *c, const struct message *m)
	REQUIRES(role_worker)
{
	for (size_t i = 0; i < m->n_users; i++) {
		if (pass_allows(w, c, message_user(m, i)))
			continue;
		worker_count(w, COUNTER_error_forbidden);
		reply_error(&w->out, m->id, m->id_len, WIRE_ERROR_FORBIDDEN,
			"not all of these may be watched", UINT64_MAX);
		return false;
	}
	return true;
}

void roster_prune(struct worker *w, struct connection *c)
{
	struct watching *watching = connection_watching(c);
	struct watch *next;
	if (!watching)
		return;
	for (int is_dirty = 0; is_dirty < 2; is_dirty++) {
		struct watch *watch =
			is_dirty ? watching->watcher.dirty.first : watching->watcher.clean.first;
		for (; watch; watch = next) {
			next = watch->in_next;
			const struct watched *u = watch->watched;
			if (pass_allows(w, c, (struct slice){.text = u->user, .len = u->user_len}))
				continue;
			end_watch(w, watch);
			worker_count(w, COUNTER_watches_removed);
		}
	}
	publish_watches(w);
}

void roster_watch(struct worker *w, struct connection *c, const struct message *m)
{
	if (!is_allowed(w, c, m))
		return;
	struct watching *watching = watching_of(c);
	enum wire_error error = watching ? add_watches(w, watching, m) : WIRE_ERROR_SERVER_FULL;
	publish_watches(w);
	if (error == WIRE_ERROR_TOO_MANY_WATCHES) {
		worker_count(w, COUNTER_watch_refused);
		worker_count(w, COUNTER_error_too_many_watches);
		reply_error(&w->out, m->id, m->id_len, error,
			"watches: over the limit, none of these was taken", UINT64_MAX);
		return;
	}
	if (error) {
		worker_count(w, COUNTER_out_of_memory);
		w->out.failed = true; /* output_push() then gives the connection up */
		return;
	}
	struct names names = {.message = m};
	tell_presences(w, c, REQUEST_WATCH, m->id, m->id_len, &names);
}

void roster_unwatch(struct worker *w, struct connection *c, const struct message *m)
{
	struct watching *watching = connection_watching(c);
	uint64_t n = 0;
	for (size_t i = 0; watching && i < m->n_users; i++) {
		struct slice name = message_user(m, i);
		struct watch *watch = watch_find(w->watches, &watching->watcher, name.text,
			name.len, table_hash(w->table, name.text, name.len));
		if (watch) {
			end_watch(w, watch);
			n++;
		}
	}
	counter_add(worker_counters(w), COUNTER_watches_removed, n);
	publish_watches(w);
	reply_unwatched(&w->out, m, watching ? watching->watcher.n_watches : 0);
}

void roster_query(struct worker *w, struct connection *c, const struct message *m)
{
	if (!is_allowed(w, c, m))
		return;
	worker_count(w, COUNTER_queries);
	struct names names = {.message = m};
	tell_presences(w, c, REQUEST_QUERY, m->id, m->id_len, &names);
}

/* --- of a session that somebody goes on with --- */

struct baggage roster_pack(struct worker *w, const struct connection *c)
{
	const struct watching *watching = connection_watching(c);
	const struct arrival *arrival = c->side ? c->side->arrival : NULL;
	struct baggage baggage = {.watches = NULL};
	if (watch_pack_new(watching ? &watching->watcher : NULL, arrival ? arrival->watches : NULL,
		    &baggage.watches)) {
		worker_count(w, COUNTER_out_of_memory);
		baggage.is_lost = true;
	}
	return baggage;
}

/* One name out of a pack, where it may be watched by now; its presence behind a comma, but for the first. */
static void restore(struct worker *w, struct connection *c, struct slice name, bool *is_first)
	REQUIRES(role_worker)
{
	struct watching *watching = watching_of(c);
	struct watch *watch;
	if (!pass_allows(w, c, name))
		return;
	enum wire_error error =
		watching ? add_watch(w, watching, name, &watch) : WIRE_ERROR_SERVER_FULL;
	if (error == WIRE_ERROR_TOO_MANY_WATCHES) {
		worker_count(w, COUNTER_watch_refused);
		return;
	}
	if (!error && watch)
		worker_count(w, COUNTER_watches_added);
	if (!error && !*is_first)
		buffer_append(&w->out, ",", 1);
	*is_first = false;
	if (error || !append_presence(w, c, REQUEST_WATCH, name)) {
		worker_count(w, COUNTER_out_of_memory);
		w->out.failed = true; /* output_push() then gives the connection up */
	}
}

bool roster_restore(struct worker *w, struct connection *c, struct watch_pack *pack)
{
	size_t began = w->out.len;
	bool is_first = true;
	struct slice name;
	reply_presences_open(&w->out, NULL, 0, REQUEST_WATCH);
	while (w->out.len - began + PRESENCE_ROOM <= REPLY_PART_MAX && !w->out.failed && pack &&
		watch_pack_next(pack, &name.text, &name.len))
		restore(w, c, name, &is_first);
	bool has_more = watch_pack_has_next(pack) && !w->out.failed;
	reply_presences_close(&w->out, has_more);
	publish_watches(w);
	return !has_more;
}

/* --- slices --- */

bool roster_bury(struct worker *w, uint64_t until_ns)
{
	struct watching *watching;
	while ((watching = w->dying)) {
		struct watch *watch = watch_any(&watching->watcher);
		if (!watch) {
			watch_forget_flush(w->watches, &watching->watcher);
			w->dying = watching->next;
			free(watching);
			continue;
		}
		end_watch(w, watch);
		worker_count(w, COUNTER_watches_removed);
		worker_tick(w);
		if (w->now_ns >= until_ns)
			break;
	}
	publish_watches(w);
	return !w->dying;
}

bool roster_resync(struct worker *w, uint64_t until_ns)
{
	struct watched *u;
	while ((u = watch_resync_next(w->watches))) {
		struct snapshot snapshot;
		table_look(w->table, u->user, u->user_len, w->now, &snapshot);
		if (snapshot.is_known)
			watch_news_seq(w->watches, u, snapshot.seq);
		worker_tick(w);
		if (w->now_ns >= until_ns)
			break;
	}
	return !watch_is_resyncing(w->watches);
}
