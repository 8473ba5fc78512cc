/* What others ask of a worker by its list: to hear sessions that are silent, and to part with those that have been
 * ended elsewhere (expired, replaced). */

#include "server/worker_private.h"

#include "base/ensure.h"
#include "base/log.h"

#include <sys/socket.h>

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
		bool has_ended = session_id(session_from_link(link)) == 0;
		append(has_ended ? &w->ended_end : &w->to_hear_end, link);
	}
}

/* A connection that is not read: because it does not take its replies, and then only 'slow' ends it; or because what it
 * said waits for its turn. */
static void excuse(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	atomic_store_explicit(c->u.live.stamp, w->stamp_ms + c->timeout_ms, memory_order_relaxed);
}

static void hear(struct worker *w, struct session *s) REQUIRES(role_worker)
{
	uint32_t fd = session_connection(s);
	struct connection *c = fd == CONNECTION_NONE ? NULL : connections_at(&w->connections, fd);
	if (session_id(s) == 0) {
		append(&w->ended_end, session_link(s));
		return;
	}
	if (!c) { /* it was detached after the nomination */
		table_heard(w->table, &w->actor, s);
		worker_count(w, COUNTER_heard_silent);
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
		table_heard(w->table, &w->actor, s);
		return;
	case HEARD_END:
		break;
	}
	/* Its bytes may have ended it (a bye), or another worker may have: then it is ours to give back. */
	if (!table_acquit(s))
		append(&w->ended_end, session_link(s));
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
	shared_wake(w->shared, &w->actor, w->index);
	return !w->to_hear;
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
		was_expired = false; /* counted */
	}
	worker_leave_session(w, c, true);
	output_cut(w, c);
	reply_bye(&w->out, NULL, 0, reason, UINT64_MAX);
	worker_farewell(w, c, reason_close_code(reason), was_expired);
}

bool hearing_bury(struct worker *w, uint64_t until_ns)
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
