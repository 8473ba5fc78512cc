/* What others ask of a worker by its list: to hear sessions that are silent, and to part with those that have been
 * ended elsewhere (expired, replaced). */

#include "server/worker_private.h"

#include "base/ensure.h"
#include "base/log.h"
#include "server/burial.h"

#include <sys/socket.h>

enum {
	SLICE_BURY_NS = 300000,
	SLICE_BURY_BUSY_NS = 30000, /* while there is other work */
	NS_A_MS = 1000000,
};

static void append(struct mailbox_link ***end, struct mailbox_link *link)
{
	link->next = NULL;
	**end = link;
	*end = &link->next;
}

static struct mailbox_link *take(struct mailbox_link **first, struct mailbox_link ***end)
{
	struct mailbox_link *link = *first;
	if (link) {
		*first = link->next;
		if (!*first)
			*end = first;
	}
	return link;
}

void hearing_collect(struct worker *w)
{
	struct mailbox_link *next;
	for (struct mailbox_link *link = mailbox_take_links(w->mailbox); link; link = next) {
		next = link->next;
		struct session *s = session_from_link(link);
		/* Whom others wait for is heard of at once, though there is nothing to hear. */
		if (session_id(s) == 0 && table_owes_baggage(s) == 0)
			append(&w->ended_end, link);
		else if (session_is_parting(s))
			append(&w->to_part_end, link);
		else
			append(&w->to_hear_end, link);
	}
}

/* A connection that is not read: because it does not take its replies, and then only 'slow' ends it; or because what it
 * said waits for its turn. */
static void excuse(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	atomic_store_explicit(c->u.live.stamp, w->stamp_ms + c->timeout_ms, memory_order_relaxed);
}

/* Of a session that has ended elsewhere: whom it watched, for who goes on with it. */
static void deliver(struct worker *w, struct session *s, struct connection *c) REQUIRES(role_worker)
{
	uint64_t owed = table_owes_baggage(s);
	if (owed && c)
		table_deliver_baggage(w->table, &w->actor, s, owed, roster_pack(w, c));
}

static void hear(struct worker *w, struct session *s) REQUIRES(role_worker)
{
	uint32_t fd = session_connection(s);
	struct connection *c = fd == CONNECTION_NONE ? NULL : connections_at(&w->connections, fd);
	if (session_id(s) == 0) {
		deliver(w, s, c);
		append(&w->ended_end, session_link(s));
		return;
	}
	if (!c) { /* it was detached after the nomination */
		table_heard(w->table, &w->actor, s, (uint32_t)w->now.mono_ms);
		worker_count(w, COUNTER_heard_silent);
		return;
	}
	if (c->is_arriving) { /* what it waits for may be there */
		excuse(w, c);
		if (table_acquit(s))
			arrival_look(w, c, false);
		else
			append(&w->ended_end, session_link(s));
		return;
	}
	enum heard heard = HEARD_BYTES;
	if (c->output || c->is_deferred)
		excuse(w, c);
	else
		heard = worker_read(w, c);

	switch (heard) {
	case HEARD_BYTES:
		worker_count(w, COUNTER_heard_alive);
		break;
	case HEARD_NOTHING:
		worker_count(w, COUNTER_heard_silent);
		table_heard(w->table, &w->actor, s, (uint32_t)w->now.mono_ms);
		return;
	case HEARD_END:
		break;
	}
	/* Its bytes may have ended it (a bye), or another worker may have: then it is ours to give back. */
	if (!table_acquit(s))
		append(&w->ended_end, session_link(s));
}

/* Parts with the connection of a session that the watchdog has put in its grace. */
static void part(struct worker *w, struct session *s) REQUIRES(role_worker)
{
	uint32_t fd = session_connection(s);
	struct connection *c = fd == CONNECTION_NONE ? NULL : connections_at(&w->connections, fd);
	uint64_t id = session_id(s);
	if (id != 0 && !c) { /* it has gone by itself */
		if (!table_acquit(s))
			append(&w->ended_end, session_link(s));
		return;
	}
	switch (id != 0 ? table_part(w->table, s, id) : PARTING_ENDED) {
	case PARTING_ENDED:
		deliver(w, s, c);
		append(&w->ended_end, session_link(s));
		return;
	case PARTING_ALIVE:
		worker_count(w, COUNTER_heard_alive);
		return;
	case PARTING_CLOSE:
		break;
	}
	table_deliver_baggage(w->table, &w->actor, s, id, roster_pack(w, c));
	worker_let_go(w, c);
	output_cut(w, c);
	reply_bye(&w->out, NULL, 0, REASON_TIMEOUT, UINT64_MAX);
	worker_farewell(w, c, reason_close_code(REASON_TIMEOUT), true);
}

bool hearing_hear(struct worker *w, uint64_t until_ns)
{
	struct mailbox_link *link;
	while ((link = take(&w->to_hear, &w->to_hear_end))) {
		worker_tick(w);
		hear(w, session_from_link(link));
		if (w->now_ns >= until_ns)
			break;
	}
	/* Nobody is told of these: no watcher has to go before them. */
	while (!w->to_hear && (link = take(&w->to_part, &w->to_part_end))) {
		worker_tick(w);
		part(w, session_from_link(link));
		if (w->now_ns >= until_ns)
			break;
	}
	shared_wake(w->shared, &w->actor, w->index);
	return !w->to_hear && !w->to_part;
}

/* Parts with a session that was ended elsewhere. */
static void bury(struct worker *w, struct session *s) REQUIRES(role_worker)
{
	uint32_t fd = session_connection(s);
	struct connection *c = fd == CONNECTION_NONE ? NULL : connections_at(&w->connections, fd);
	if (!c) {
		table_release(w->table, s, true);
		return;
	}
	enum reason reason = session_end_reason(s);
	bool was_expired = reason == REASON_TIMEOUT;
	uint32_t stamp = atomic_load_explicit(c->u.live.stamp, memory_order_relaxed);
	/* A stamp that is fresh again: bytes came between the verdict and now. */
	if (was_expired && (int32_t)(stamp - w->stamp_ms) > 0) {
		worker_count(w, COUNTER_mistakes);
		histogram_record(&w->telemetry->mistake_ms, 0); /* before it was even told */
		was_expired = false; /* counted */
	}
	worker_leave_session(w, c, true);
	c->deadline_ms = stamp;
	output_cut(w, c);
	reply_bye(&w->out, NULL, 0, reason, UINT64_MAX);
	worker_farewell(w, c, reason_close_code(reason), was_expired);
}

static bool bury_some(struct worker *w, uint64_t until_ns) REQUIRES(role_worker)
{
	struct mailbox_link *link;
	while ((link = take(&w->ended, &w->ended_end))) {
		bury(w, session_from_link(link));
		worker_tick(w);
		if (w->now_ns >= until_ns)
			break;
	}
	return !w->ended;
}

/* Descriptors that newcomers need are not held by the dead. */
static bool is_crowded(const struct worker *w)
{
	return w->n_connections > w->n_descriptors - w->n_descriptors / 16;
}

static uint64_t next_ns(const struct worker *w) REQUIRES(role_worker)
{
	if (is_crowded(w))
		return 0;
	/* Relaxed: a moment sooner or later is all the same. */
	uint64_t held_ns =
		atomic_load_explicit(&w->shared->burial_from_ms, memory_order_relaxed) * NS_A_MS;
	return held_ns > w->bury_next_ns ? held_ns : w->bury_next_ns;
}

void hearing_bury(struct worker *w, bool has_other_work)
{
	if ((!w->ended && !w->dying) || w->now_ns < next_ns(w))
		return;
	uint64_t began_ns = w->now_ns;
	uint64_t until_ns = began_ns + (has_other_work ? SLICE_BURY_BUSY_NS : SLICE_BURY_NS);
	if (bury_some(w, until_ns))
		roster_bury(w, until_ns);
	worker_tick(w);
	const struct server_params *p = &w->shared->params;
	w->bury_next_ns = w->now_ns + burial_pause_ns(w->now_ns - began_ns, p->n_workers,
					      p->n_processors ? p->n_processors : p->n_workers);
}

uint64_t hearing_next_burial_ms(const struct worker *w)
{
	return w->ended || w->dying ? (next_ns(w) + NS_A_MS - 1) / NS_A_MS : UINT64_MAX;
}
