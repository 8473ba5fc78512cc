/* Who goes on with a session: the welcome, and whom the session watches.
 *
 * Where a login shows the secret of a session whose old connection lives, that connection's worker has to pack first whom it
 * watches. Meanwhile the new one is not read, and not for longer than ARRIVAL_MS: then it is welcomed as one that has
 * to ask for its watches again. What was packed is told a part at a time, a part a turn. */

#include "server/worker_private.h"

#include "base/ensure.h"

#include <stdlib.h>
#include <string.h>

void arrival_free(struct arrival *a)
{
	if (!a)
		return;
	free(a->watches);
	free(a);
}

static void fill_in(struct arrival *a, const struct message *m, struct slice user,
	const struct login_result *login, uint32_t heartbeat_ms)
{
	a->watches = NULL;
	a->is_welcome = false;
	a->heartbeat_ms = heartbeat_ms;
	a->id_len = m->id_len;
	memcpy(a->id, m->id, m->id_len);
	a->user_len = user.len;
	memcpy(a->user, user.text, user.len);
	a->device_len = login->device_len;
	memcpy(a->device, login->device, login->device_len);
}

static void welcome(struct worker *w, uint64_t id, const struct arrival *a, bool is_resumed)
	REQUIRES(role_worker)
{
	char session[SESSION_TEXT_MAX], resume[RESUME_TEXT_MAX];
	table_session_text(w->table, id, session);
	struct slice device = {.text = a->device, .len = a->device_len};
	if (a->device_len == 0)
		device = (struct slice){.text = session, .len = strlen(session)};
	reply_welcome(&w->out, a->id, a->id_len,
		&(struct welcome){
			.user = {.text = a->user, .len = a->user_len},
			.device = device,
			.session = session,
			.server = w->shared->params.telemetry->server_id,
			.heartbeat_ms = a->heartbeat_ms,
			.timeout_ms = (uint64_t)a->heartbeat_ms * w->shared->params.missed_beats,
			.now_ms = w->now.wall_ms,
			.resumed = is_resumed,
			.resume = table_resume_text(w->table, id, resume) ? resume : NULL,
		});
}

/* Nothing more is to be told: its messages are heard. */
static void finish(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	arrival_free(c->side->arrival);
	c->side->arrival = NULL;
	c->is_arriving = false;
	worker_want_read(w, c);
}

/* Welcomed, and told the first of its watches. */
static void settle(struct worker *w, struct connection *c, uint64_t id, struct baggage baggage,
	bool is_resumed) REQUIRES(role_worker)
{
	struct arrival *a = c->side->arrival;
	a->is_welcome = true;
	a->watches = baggage.watches;
	welcome(w, id, a, is_resumed);
	if (!is_resumed || roster_restore(w, c, a->watches))
		finish(w, c);
	else
		worker_want_read(w, c);
}

void arrival_begin(struct worker *w, struct connection *c, const struct message *m,
	struct slice user, struct login_result *login, uint32_t heartbeat_ms)
{
	if (!login->has_secret) { /* all but a few: nothing is kept of it */
		struct arrival arrival;
		fill_in(&arrival, m, user, login, heartbeat_ms);
		welcome(w, login->id, &arrival, login->is_resumed);
		return;
	}
	struct side *side = connection_side(c);
	if (side)
		side->arrival = malloc(sizeof(*side->arrival));
	if (!side || !side->arrival) {
		worker_count(w, COUNTER_out_of_memory);
		free(login->baggage.watches);
		w->out.failed = true; /* output_push() then gives the connection up */
		return;
	}
	fill_in(side->arrival, m, user, login, heartbeat_ms);
	c->is_arriving = true;
	c->is_deferred = true;
	if (!login->is_baggage_late)
		settle(w, c, login->id, login->baggage, !login->baggage.is_lost);
	else if (worker_set_alarm(w, c, ALARM_ARRIVAL, w->now.mono_ms + ARRIVAL_MS) != 0)
		arrival_look(w, c, true);
}

/* Sends what is said, and behind the last of it the news. */
static void push(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	if (output_push(w, c) && !c->output)
		output_flush(w, c);
}

void arrival_look(struct worker *w, struct connection *c, bool is_last_call)
{
	struct session *s = c->u.live.session;
	uint64_t id = session_id(s);
	struct baggage baggage = {.watches = NULL};
	enum claim claim = CLAIM_STALE;
	if (c->side->arrival->is_welcome)
		return;
	if (id != 0)
		claim = table_claim_baggage(w->table, s, id, is_last_call, &baggage);
	switch (claim) {
	case CLAIM_STALE: /* ended elsewhere: its bye is on the way */
	case CLAIM_LATE:
		return;
	case CLAIM_GIVEN_UP:
		worker_count(w, COUNTER_resume_late);
		break;
	case CLAIM_THERE:
		break;
	}
	settle(w, c, id, baggage, claim == CLAIM_THERE && !baggage.is_lost);
	push(w, c);
}

void arrival_go_on(struct worker *w, struct connection *c)
{
	struct arrival *a = c->side->arrival;
	if (c->is_broken) { /* nothing can be told any more: on to its end */
		finish(w, c);
		c->is_deferred = false;
		worker_read(w, c);
		return;
	}
	if (!a->is_welcome || c->output)
		return;
	if (roster_restore(w, c, a->watches))
		finish(w, c);
	else
		worker_want_read(w, c);
	push(w, c);
}
