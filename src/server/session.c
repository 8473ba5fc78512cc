/* What the messages of a client mean: from bytes to transitions and replies. */

#include "server/worker_private.h"

#include "base/ensure.h"
#include "base/log.h"
#include "wire/ndjson.h"

#include <errno.h>
#include <string.h>

static enum counter counter_of_error(enum wire_error error)
{
	/* The counters of errors stand in the order of the errors themselves. */
	static_assert(COUNTER_error_rate_limited - COUNTER_error_bad_json ==
			      WIRE_ERROR_RATE_LIMITED - WIRE_ERROR_BAD_JSON,
		"one counter an error code, in their order");
	return (enum counter)(COUNTER_error_bad_json + (error - WIRE_ERROR_BAD_JSON));
}

/* Says what was wrong. False where that ends the connection. */
static bool refuse(struct worker *w, struct connection *c, const struct message *m,
	enum wire_error error, const char *why) REQUIRES(role_worker)
{
	worker_count(w, counter_of_error(error));
	log_debug(
		"message refused", LOG_TEXT("code", wire_error_word(error)), LOG_TEXT("why", why));
	bool may_retry = error == WIRE_ERROR_SERVER_FULL || error == WIRE_ERROR_RATE_LIMITED;
	uint64_t retry_ms = may_retry ? worker_retry_ms(w) : UINT64_MAX;
	size_t before = w->out.len;
	reply_error(&w->out, m ? m->id : NULL, m ? m->id_len : 0, error, why, retry_ms);

	bool is_fatal = wire_error_is_fatal(error);
	if (c->phase == PHASE_HELLO) {
		c->u.timed.n_bytes += (uint32_t)(w->out.len - before);
		if (c->u.timed.n_bytes > HELLO_REPLIES_MAX) {
			w->out.len = before;
			worker_count(w, COUNTER_hello_replies_cut);
			is_fatal = true;
		}
	}
	if (!is_fatal)
		return true;
	if (c->phase == PHASE_LIVE && error == WIRE_ERROR_SERVER_FULL)
		worker_detach_session(w, c); /* our fault, not the user's: it may come back */
	else if (c->phase == PHASE_LIVE)
		worker_end_session(w, c, REASON_VIOLATION);
	worker_farewell(w, c, wire_error_close_code(error), false);
	return false;
}

/* --- hello --- */

static uint32_t bounded_heartbeat(const struct server_params *p, const struct message *m)
{
	if (!m->has_heartbeat_ms)
		return p->heartbeat_ms;
	if (m->heartbeat_ms < p->heartbeat_min_ms)
		return p->heartbeat_min_ms;
	return m->heartbeat_ms > p->heartbeat_max_ms ? p->heartbeat_max_ms
						     : (uint32_t)m->heartbeat_ms;
}

/* Begins the session of whoever was let in as 'user'. */
static bool log_in(struct worker *w, struct connection *c, const struct message *m,
	struct slice user) REQUIRES(role_worker)
{
	uint32_t heartbeat_ms = bounded_heartbeat(&w->shared->params, m);
	uint32_t timeout_ms = heartbeat_ms * w->shared->params.missed_beats;
	struct login login = {
		.worker = w->index,
		.connection = (uint32_t)c->fd,
		.transport = (enum transport)c->transport,
		.user = user.text,
		.user_len = user.len,
		.device = m->device.text,
		.device_len = m->device.len,
		.has_state = m->has_state,
		.state = m->state,
		.has_status = m->has_status,
		.status = m->status.text,
		.status_len = m->status.len,
		.resume = m->resume.text,
		.resume_len = m->resume.len,
		.timeout_ms = timeout_ms,
		.now = w->now,
		.stamp_ms = w->stamp_ms,
	};
	struct login_result result;
	int err = table_login(w->table, &w->actor, &login, &result);
	if (err) {
		log_error("login refused", LOG_STR("user", user.text, user.len), LOG_ERRNO(-err));
		return refuse(w, c, m, WIRE_ERROR_SERVER_FULL, "no room for another session");
	}
	timed_list_remove(&w->hellos, &w->connections, c);
	c->phase = PHASE_LIVE;
	c->timeout_ms = timeout_ms;
	c->u.live.stamp = result.stamp;
	c->u.live.session = result.session;
	worker_add_session(w, 1);
	if (result.absent_ms > 0)
		histogram_record(&w->telemetry->absent_ms, result.absent_ms);
	if (c->stage == STAGE_FRAMES && m->wants_pings)
		worker_set_alarm(w, c, ALARM_PING, w->now.mono_ms + timeout_ms - timeout_ms / 3);
	log_debug("session began", LOG_STR("user", user.text, user.len),
		LOG_U64("timeout_ms", timeout_ms), LOG_BOOL("takeover", result.is_takeover),
		LOG_BOOL("resumed", result.is_resumed));
	arrival_begin(w, c, m, user, &result, heartbeat_ms);
	return true;
}

static bool hello(struct worker *w, struct connection *c, const struct message *m)
	REQUIRES(role_worker)
{
	struct slice user;
	struct pass *pass;
	const char *why;
	enum wire_error error = pass_check(w, c, m, &user, &pass, &why);
	if (error)
		return refuse(w, c, m, error, why);
	if (pass && !connection_side(c)) {
		pass_free(pass);
		return refuse(w, c, m, WIRE_ERROR_SERVER_FULL, "out of memory");
	}
	if (pass) {
		c->side->pass = pass; /* goes with the connection, whatever comes of the login */
		if (pass_watch_clock(w, c) != 0) /* nobody would see it expire */
			return refuse(w, c, m, WIRE_ERROR_SERVER_FULL, "out of memory");
	}
	return log_in(w, c, m, user);
}

/* --- requests of a session --- */

static bool update(struct worker *w, struct connection *c, const struct message *m)
	REQUIRES(role_worker)
{
	struct update words = {
		.has_state = m->has_state,
		.state = m->state,
		.has_status = m->has_status,
		.status = m->status.text,
		.status_len = m->status.len,
	};
	struct session *s = c->u.live.session;
	struct snapshot now_is;
	const char *why;
	enum wire_error error = m->token.text ? pass_renew(w, c, m, &why) : WIRE_OK;
	if (error)
		return refuse(w, c, m, error, why);
	int err = table_update(w->table, &w->actor, s, session_id(s), &words, w->now, &now_is);
	if (err == -ENOMEM)
		return refuse(w, c, m, WIRE_ERROR_SERVER_FULL, "out of memory");
	/* A session that others have ended (-ESTALE) gets no answer but the bye that is on its way. */
	if (!err)
		reply_updated(&w->out, m, now_is.state, now_is.has_status ? now_is.status : NULL,
			now_is.status_len);
	return true;
}

static bool bye(struct worker *w, struct connection *c, const struct message *m)
	REQUIRES(role_worker)
{
	worker_end_session(w, c, REASON_LOGOUT);
	reply_bye(&w->out, m->id, m->id_len, REASON_LOGOUT, UINT64_MAX);
	worker_farewell(w, c, reason_close_code(REASON_LOGOUT), false);
	return false;
}

static void heartbeat(struct worker *w, const struct message *m) REQUIRES(role_worker)
{
	worker_count(w, COUNTER_heartbeats);
	reply_heartbeat(&w->out, m);
}

/* A message of a live session; false when the connection is gone since. */
static bool obey(struct worker *w, struct connection *c, const struct message *m)
	REQUIRES(role_worker)
{
	switch (m->type) {
	case REQUEST_HELLO:
		return refuse(w, c, m, WIRE_ERROR_ALREADY_HELLO, "this connection is logged in");
	case REQUEST_HEARTBEAT:
		heartbeat(w, m);
		return true;
	case REQUEST_UPDATE:
		return update(w, c, m);
	case REQUEST_WATCH:
		roster_watch(w, c, m);
		return true;
	case REQUEST_UNWATCH:
		roster_unwatch(w, c, m);
		return true;
	case REQUEST_QUERY:
		roster_query(w, c, m);
		return true;
	case REQUEST_BYE:
		return bye(w, c, m);
	case REQUEST_N:
		break;
	}
	ensure(!"a parsed message has a type");
	return false;
}

static bool keep_rest(struct worker *w, struct connection *c, const char *data, size_t len)
	REQUIRES(role_worker)
{
	if (input_append(c, data, len, c->phase == PHASE_HELLO) == 0)
		return true;
	worker_count(w, COUNTER_out_of_memory);
	return refuse(w, c, NULL, WIRE_ERROR_SERVER_FULL, "out of memory");
}

/* Whether there is no rate, or what the session earned by being silent pays: so that only who sends faster than the rate
 * needs a bucket. */
static bool pay_from_silence(struct worker *w, const struct connection *c, uint64_t cost)
	REQUIRES(role_worker)
{
	if (w->shared->params.message_rate == 0)
		return true;
	if ((c->side && c->side->has_rate) || w->allowance < cost)
		return false;
	w->allowance -= cost;
	return true;
}

/* Whether the session may send a message with so many ids, by its rate. */
static bool afford(struct worker *w, struct connection *c, size_t n_ids) REQUIRES(role_worker)
{
	uint32_t rate = w->shared->params.message_rate;
	if (pay_from_silence(w, c, RATE_UNITS + (uint64_t)n_ids * RATE_UNITS_PER_ID))
		return true;
	struct side *side = connection_side(c);
	if (!side)
		return true; /* no memory to count with: then that is the limit */
	side->has_rate = true;
	return rate_take(&side->rate, rate, (uint32_t)n_ids, (uint32_t)w->now.mono_ms);
}

static bool refuse_rate(struct worker *w, struct connection *c, const struct message *m)
	REQUIRES(role_worker)
{
	worker_count(w, COUNTER_message_rate_limited);
	return refuse(w, c, m, WIRE_ERROR_RATE_LIMITED, "too many messages");
}

/* The line is kept, with what follows it, for a turn that has not verified so much yet. */
static bool defer(struct worker *w, struct connection *c, const char *line, size_t len)
	REQUIRES(role_worker)
{
	c->is_deferred = true;
	worker_want_read(w, c);
	return keep_rest(w, c, line, len) && keep_rest(w, c, "\n", 1);
}

static bool has_verified_enough(const struct worker *w) REQUIRES(role_worker)
{
	return w->shared->params.tokens && w->n_signatures >= SIGNATURES_PER_TURN;
}

/* A message that was read without an error. */
static bool take_message(struct worker *w, struct connection *c, const struct message *m,
	const char *line, size_t len) REQUIRES(role_worker)
{
	if (m->token.text && has_verified_enough(w))
		return defer(w, c, line, len);
	if (c->phase == PHASE_HELLO)
		return hello(w, c, m);
	return afford(w, c, m->n_users) ? obey(w, c, m) : refuse_rate(w, c, m);
}

/* A hello that says neither who it is nor shows a token, where tokens are asked for. */
static bool lacks_token(const struct worker *w, const struct connection *c, const struct message *m)
{
	return c->phase == PHASE_HELLO && w->shared->params.tokens && m->type == REQUEST_HELLO &&
	       m->root && !json_object_get(m->root, "user") && !json_object_get(m->root, "token");
}

/* One line; false when the connection is gone since. */
static bool take_line(struct worker *w, struct connection *c, const char *line, size_t len)
	REQUIRES(role_worker)
{
	/* Of a hello nothing is read before there is time to verify it: in a storm of them it would be, turn by turn. */
	if (c->phase == PHASE_HELLO && has_verified_enough(w))
		return defer(w, c, line, len);
	worker_count(w, COUNTER_messages_in);
	if (c->phase == PHASE_LIVE && len == 0) {
		if (!afford(w, c, 0))
			return refuse_rate(w, c, NULL);
		worker_count(w, COUNTER_heartbeats);
		buffer_append(&w->out, "\n", 1);
		return true;
	}
	struct message m;
	enum wire_error error = message_parse(line, len, &m);
	bool is_there;
	/* Before a hello nothing else is answered; what is no message at all is told as what it is. */
	if (c->phase == PHASE_HELLO && m.type != REQUEST_HELLO && error != WIRE_ERROR_BAD_JSON &&
		error != WIRE_ERROR_SERVER_FULL)
		is_there = refuse(
			w, c, &m, WIRE_ERROR_HELLO_REQUIRED, "the first message must be a hello");
	else if (error == WIRE_ERROR_BAD_MESSAGE && lacks_token(w, c, &m))
		is_there = refuse(w, c, &m, WIRE_ERROR_AUTH_REQUIRED, "a token is needed");
	else if (error)
		is_there = refuse(w, c, &m, error, m.why);
	else
		is_there = take_message(w, c, &m, line, len);
	message_free(&m);
	return is_there;
}

/* --- bytes to lines --- */

uint32_t session_line_limit(const struct worker *w, const struct connection *c)
{
	if (c->phase == PHASE_LIVE)
		return w->shared->params.max_message;
	return w->shared->params.tokens ? HELLO_WITH_TOKEN_MAX : HELLO_MAX;
}

static bool refuse_long(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	return refuse(w, c, NULL, WIRE_ERROR_LINE_TOO_LONG, "the line is over the limit");
}

/* One line, that is not too long. */
static bool judge_line(struct worker *w, struct connection *c, const char *line, size_t len)
	REQUIRES(role_worker)
{
	return len > session_line_limit(w, c) ? refuse_long(w, c) : take_line(w, c, line, len);
}

/* The end of a line whose beginning was kept: 'used' of the data belong to it. */
static bool finish_line(struct worker *w, struct connection *c, const char *data, size_t used)
	REQUIRES(role_worker)
{
	if (!keep_rest(w, c, data, used))
		return false;
	struct input *in = c->input;
	c->input = NULL;
	size_t line_len, all;
	bool is_line = ndjson_next(in->bytes, in->len, in->len - used, &line_len, &all);
	ensure(is_line && all == in->len);
	bool is_there = judge_line(w, c, in->bytes, line_len);
	free(in);
	return is_there;
}

/* Whether a line can be answered now: what has been answered is sent where it is much, and a peer that takes no more is
 * not read further. */
static bool may_go_on(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	if (w->out.len >= REPLY_PART_MAX || w->out.failed)
		output_push(w, c);
	return !c->output && !c->is_broken && !c->is_deferred;
}

/* The heartbeats that the data begins with, all at once, where they need no bucket. Returns how many bytes they are. */
static size_t answer_heartbeats(struct worker *w, const struct connection *c, const char *data,
	size_t len) REQUIRES(role_worker)
{
	size_t n, used = message_leading_heartbeats(data, len < READ_MAX ? len : READ_MAX, &n);
	if (n == 0 || !pay_from_silence(w, c, n * (uint64_t)RATE_UNITS))
		return 0;
	counter_add(worker_counters(w), COUNTER_messages_in, n);
	counter_add(worker_counters(w), COUNTER_heartbeats, n);
	buffer_append(&w->out, data, used);
	return used;
}

bool session_consume(struct worker *w, struct connection *c, const char *data, size_t len)
{
	size_t line_len, used;
	if (c->input && ndjson_next(data, len, 0, &line_len, &used) && may_go_on(w, c)) {
		if (!finish_line(w, c, data, used))
			return false;
		data += used;
		len -= used;
	}
	if (c->phase == PHASE_LIVE && !c->input && may_go_on(w, c)) {
		used = answer_heartbeats(w, c, data, len);
		data += used;
		len -= used;
	}
	while (!c->input && ndjson_next(data, len, 0, &line_len, &used) && may_go_on(w, c)) {
		if (!judge_line(w, c, data, line_len))
			return false;
		data += used;
		len -= used;
	}
	if (len > 0) {
		/* Whole lines wait here only behind a reply, or for their turn; else it is a part of one. */
		uint32_t kept = c->input ? c->input->len : 0;
		bool is_part = !c->output && !c->is_broken && !c->is_deferred;
		if (is_part && kept + len > session_line_limit(w, c) + 1)
			return refuse_long(w, c);
		if (!keep_rest(w, c, data, len))
			return false;
	}
	output_flush(w, c);
	output_push(w, c);
	return true;
}

bool session_consume_message(struct worker *w, struct connection *c, const char *data, size_t len)
{
	for (;;) {
		if (!may_go_on(w, c)) /* kept as lines, the last with its end */
			return keep_rest(w, c, data, len) && keep_rest(w, c, "\n", 1);
		const char *end = memchr(data, '\n', len);
		size_t line_len = end ? (size_t)(end - data) : len;
		size_t bare_len =
			line_len > 0 && data[line_len - 1] == '\r' ? line_len - 1 : line_len;
		if (!judge_line(w, c, data, bare_len))
			return false;
		if (!end)
			return true;
		data += line_len + 1;
		len -= line_len + 1;
	}
}
