/* What the admin thread asks of a worker about its connections, which nobody else may touch. */

#include "server/worker_private.h"

#include "presence/inquiry.h"

#include <sys/socket.h>

bool connection_peer(const struct connection *c, struct address *ret)
{
	if (c->side && c->side->peer) {
		*ret = *c->side->peer;
		return true;
	}
	ret->len = sizeof(ret->u.storage);
	return getpeername(c->fd, &ret->u.any, &ret->len) == 0;
}

/* False: the session has no connection here any more. */
static bool find_address(struct worker *w, const struct inquiry_entry *e, struct address *ret)
	REQUIRES(role_worker)
{
	const struct connection *c = e->connection == CONNECTION_NONE
					     ? NULL
					     : connections_at(&w->connections, e->connection);
	return c && c->phase == PHASE_LIVE && session_id(c->u.live.session) == e->session_id &&
	       connection_peer(c, ret);
}

/* All of them: the admin thread has one inquiry with a worker at a time. */
void questions_answer(struct worker *w)
{
	struct mailbox_link *next;
	for (struct mailbox_link *link = mailbox_take_questions(w->mailbox); link; link = next) {
		struct inquiry_entry *e = inquiry_from_link(link);
		struct address address;
		next = link->next;
		inquiry_answer(e, find_address(w, e, &address) ? &address : NULL);
	}
}
