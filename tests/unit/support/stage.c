#include "support/stage.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void begin(
	struct stage *s, uint64_t mono_ms, uint64_t n_remembered, bool has_feed, uint32_t grace_ms)
{
	memset(s, 0, sizeof(*s));
	assert_int_equal(mailbox_init(&s->feed, has_feed ? STAGE_RING : 0), 0);
	for (unsigned i = 0; i < STAGE_WORKERS; i++) {
		assert_int_equal(mailbox_init(&s->boxes[i], STAGE_RING), 0);
		s->mailboxes[i] = &s->boxes[i];
	}
	assert_int_equal(mailbox_init(&s->watchdog, 0), 0);
	actor_init(&s->actor, &s->counters);
	s->now = (struct instant){.mono_ms = mono_ms, .wall_ms = STAGE_WALL_MS};
	struct table_params params = {.n_workers = STAGE_WORKERS,
		.mailboxes = s->mailboxes,
		.watchdog = &s->watchdog,
		.feed = has_feed ? &s->feed : NULL,
		.n_remembered = n_remembered,
		.max_sessions_per_user = 3,
		.grace_ms = grace_ms};
	assert_int_equal(table_new(&params, &s->table), 0);
}

void stage_begin(struct stage *s, uint64_t mono_ms, uint64_t n_remembered)
{
	begin(s, mono_ms, n_remembered, false, 0);
}

void stage_begin_with_feed(struct stage *s, uint64_t mono_ms, uint64_t n_remembered)
{
	begin(s, mono_ms, n_remembered, true, 0);
}

void stage_begin_with_grace(
	struct stage *s, uint64_t mono_ms, uint64_t n_remembered, uint32_t grace_ms)
{
	begin(s, mono_ms, n_remembered, true, grace_ms);
}

void stage_end(struct stage *s)
{
	stage_check(s);
	table_free(s->table);
	for (unsigned i = 0; i < STAGE_WORKERS; i++)
		mailbox_destroy(&s->boxes[i]);
	mailbox_destroy(&s->watchdog);
	mailbox_destroy(&s->feed);
	actor_destroy(&s->actor);
}

void stage_pass(struct stage *s, uint32_t ms)
{
	s->now.mono_ms += ms;
	s->now.wall_ms += ms;
}

void stage_check(struct stage *s)
{
	const char *broken = table_check(s->table);
	if (broken)
		fail_msg("%s", broken);
}

uint64_t stage_counter(const struct stage *s, enum counter which)
{
	return counter_read(&s->counters, which);
}

static void set_status(const char *text, bool *has_status, const char **status, size_t *len)
{
	*has_status = text != NULL;
	*status = text && strcmp(text, "-") != 0 ? text : NULL;
	*len = *status ? strlen(text) : 0;
}

struct seat stage_login(struct stage *s, unsigned worker, const char *user, const char *device,
	int state, const char *status)
{
	return stage_resume(s, worker, user, device, state, status, NULL);
}

struct seat stage_resume(struct stage *s, unsigned worker, const char *user, const char *device,
	int state, const char *status, const char *secret)
{
	role_worker_begin();
	static uint32_t connection;
	struct login in = {.worker = worker,
		.connection = connection++,
		.user = user,
		.user_len = strlen(user),
		.device = device,
		.device_len = device ? strlen(device) : 0,
		.has_state = state != KEEP,
		.state = state == KEEP ? STATE_OFFLINE : (enum state)state,
		.resume = secret,
		.resume_len = secret ? strlen(secret) : 0,
		.timeout_ms = TIMEOUT_MS,
		.now = s->now,
		.stamp_ms = (uint32_t)s->now.mono_ms};
	set_status(status, &in.has_status, &in.status, &in.status_len);
	struct login_result out;
	assert_int_equal(table_login(s->table, &s->actor, &in, &out), 0);
	assert_int_equal(session_id(out.session), out.id);
	assert_int_equal(session_connection(out.session), in.connection);
	assert_int_equal(atomic_load(out.stamp), in.stamp_ms + TIMEOUT_MS);
	return (struct seat){.session = out.session,
		.stamp = out.stamp,
		.id = out.id,
		.is_takeover = out.is_takeover,
		.is_resumed = out.is_resumed,
		.has_secret = out.has_secret,
		.is_baggage_late = out.is_baggage_late,
		.baggage = out.baggage};
}

int stage_update(
	struct stage *s, struct seat seat, int state, const char *status, struct snapshot *ret)
{
	role_worker_begin();
	struct update in = {.has_state = state != KEEP,
		.state = state == KEEP ? STATE_OFFLINE : (enum state)state};
	set_status(status, &in.has_status, &in.status, &in.status_len);
	struct snapshot unused;
	return table_update(
		s->table, &s->actor, seat.session, seat.id, &in, s->now, ret ? ret : &unused);
}

bool stage_close(struct stage *s, struct seat seat, enum reason reason)
{
	role_worker_begin();
	return table_end(s->table, &s->actor, seat.session, seat.id, reason, s->now);
}

void stage_leave(struct stage *s, struct seat seat, enum reason reason)
{
	role_worker_begin();
	assert_true(stage_close(s, seat, reason));
	table_release(s->table, seat.session, false);
}

void stage_stamp(struct stage *s, struct seat seat)
{
	atomic_store(seat.stamp, (uint32_t)s->now.mono_ms + TIMEOUT_MS);
}

struct snapshot stage_watch(struct stage *s, unsigned worker, const char *user)
{
	role_worker_begin();
	struct snapshot ret;
	assert_int_equal(
		table_watch(s->table, &s->actor, worker, user, strlen(user), s->now, &ret), 0);
	return ret;
}

void stage_unwatch(struct stage *s, unsigned worker, const char *user)
{
	role_worker_begin();
	table_unwatch(s->table, &s->actor, worker, user, strlen(user));
}

struct snapshot stage_look(struct stage *s, const char *user)
{
	struct snapshot ret;
	table_look(s->table, user, strlen(user), s->now, &ret);
	return ret;
}

static const char *text_of(const json_t *o, const char *name)
{
	const json_t *value = json_object_get(o, name);
	return json_is_null(value) ? "-" : json_string_value(value);
}

static uint64_t number_of(const json_t *o, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(o, name));
}

const char *stage_told(struct stage *s, unsigned worker, struct numbers *ret)
{
	static char text[1024];
	struct event *e = mailbox_take(&s->boxes[worker]);
	if (!e)
		return "";
	json_error_t error;
	json_t *o = json_loadb(event_line(e), e->line_len, JSON_REJECT_DUPLICATES, &error);
	if (!o)
		fail_msg("%s in %.*s", error.text, (int)e->line_len, event_line(e));
	assert_string_equal(text_of(o, "type"), "presence");
	assert_null(json_object_get(o, "reconnecting")); /* for who asks */
	assert_int_equal(number_of(o, "seq"), e->seq);
	assert_int_equal(e->user_hash, table_hash(s->table, event_user(e), e->user_len));
	assert_memory_equal(event_user(e), text_of(o, "user"), e->user_len);
	snprintf(text, sizeof(text), "%s %s %s %s", text_of(o, "user"), text_of(o, "state"),
		text_of(o, "reason"), text_of(o, "status"));
	if (ret)
		*ret = (struct numbers){.seq = e->seq,
			.at_ms = number_of(o, "at_ms"),
			.last_seen_ms = number_of(o, "last_seen_ms")};
	json_decref(o);
	event_unref(e);
	return text;
}

const char *stage_words(const struct snapshot *s)
{
	static char text[512];
	snprintf(text, sizeof(text), "%s %s %.*s", state_word(s->state), reason_word(s->reason),
		s->has_status ? (int)s->status_len : 1, s->has_status ? s->status : "-");
	return text;
}

struct session *stage_listed(struct stage *s, unsigned box)
{
	struct mailbox_link *l =
		mailbox_take_links(box < STAGE_WORKERS ? &s->boxes[box] : &s->watchdog);
	if (!l)
		return NULL;
	assert_null(l->next);
	return session_from_link(l);
}
