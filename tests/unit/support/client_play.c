#include "client_play.h"

#include "base/compiler.h"
#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

static void tell(struct client_play *play, const char *format, ...) FORMAT_PRINTF(2, 3);
static void tell(struct client_play *play, const char *format, ...)
{
	size_t len = strlen(play->told);
	va_list args;

	va_start(args, format);
	vsnprintf(play->told + len, sizeof(play->told) - len, format, args);
	va_end(args);
}

static void on_contact(struct presence *p, const struct presence_contact *c, void *arg)
{
	struct client_play *play = arg;

	(void)p;
	tell(play, "contact:%s=%s/%s", c->user, presence_truth_word(c->truth),
		presence_state_word(c->state));
	tell(play, "%s%s%s ", c->status ? ":" : "", c->status ? c->status : "",
		c->error ? presence_error_word(c->error) : "");
	if (play->hook)
		play->hook(play, c->user);
}

static void on_link(struct presence *p, const struct presence_link_event *e, void *arg)
{
	struct client_play *play = arg;

	(void)p;
	assert_non_null(e->detail);
	play->retry_in_ms = e->retry_in_ms;
	tell(play, "%s%s%s ", presence_link_word(e->link), e->error ? ":" : "",
		e->error ? presence_error_word(e->error) : "");
	if (e->is_resumed)
		tell(play, "resumed ");
	if (play->hook)
		play->hook(play, "");
}

static void on_token(struct presence *p, void *arg)
{
	struct client_play *play = arg;

	(void)p;
	tell(play, "token? ");
	if (play->hook)
		play->hook(play, "token");
}

void play_begin(struct client_play *play, const struct presence_options *options)
{
	struct presence_options o = {.size = sizeof(o), .url = "tcp://192.0.2.1", .user = "alice"};
	bool asks_token = options && options->on_token;

	*play = (struct client_play){.now_ms = presence_now()};
	if (options)
		o = *options;
	o.size = sizeof(o);
	o.arg = play;
	o.on_contact = on_contact;
	o.on_link = on_link;
	o.on_token = asks_token ? on_token : NULL;
	assert_int_equal(presence_new(&o, &play->p), PRESENCE_OK);
}

void play_end(struct client_play *play)
{
	presence_free(play->p);
}

const char *play_told(struct client_play *play)
{
	memcpy(play->said, play->told, sizeof(play->said));
	play->told[0] = '\0';
	return play->said;
}

const char *play_sent(struct client_play *play)
{
	struct buffer *out = &play->p->out;

	assert_true(out->len < sizeof(play->sent));
	if (out->len > 0)
		memcpy(play->sent, out->data, out->len);
	play->sent[out->len] = '\0';
	buffer_clear(out);
	return play->sent;
}

void play_open(struct client_play *play)
{
	link_connected(play->p);
}

void play_line(struct client_play *play, const char *line)
{
	link_heard(play->p, play->now_ms);
	link_line(play->p, line, strlen(line), play->now_ms);
	contacts_bury(&play->p->contacts);
}

void play_log_in_as(struct client_play *play, const char *more)
{
	char line[1024];

	if (play->p->link == PRESENCE_LINK_STOPPED)
		link_start(play->p, play->now_ms);
	if (play->p->link == PRESENCE_LINK_WAITING)
		play_wait(play, play->p->retry_at_ms - play->now_ms);
	play_open(play);
	assert_int_equal(play->p->stage, STAGE_HELLO);
	play_sent(play);
	snprintf(line, sizeof(line),
		"{\"type\":\"welcome\",\"v\":1,\"user\":\"alice\",\"device\":\"d\",\"session\":\"s\","
		"\"heartbeat_ms\":10000,\"timeout_ms\":30000,\"now_ms\":1%s}",
		more);
	play_line(play, line);
	assert_int_equal(play->p->link, PRESENCE_LINK_UP);
}

void play_log_in(struct client_play *play)
{
	play_log_in_as(play, ",\"resumed\":false,\"server\":\"one\"");
	play_told(play);
	play_sent(play);
}

void play_wait(struct client_play *play, uint64_t ms)
{
	uint64_t until = play->now_ms + ms;

	while (link_deadline(play->p) <= until) {
		if (link_deadline(play->p) > play->now_ms)
			play->now_ms = link_deadline(play->p);
		link_tick(play->p, play->now_ms);
		assert_true(link_deadline(play->p) > play->now_ms);
	}
	play->now_ms = until;
	link_tick(play->p, play->now_ms);
}

void play_lose(struct client_play *play, enum presence_error error)
{
	link_lost(play->p, &(struct ending){.error = error}, play->now_ms);
	tell_contacts(play->p, play->now_ms);
}

void play_presence(struct client_play *play, const char *user, const char *state, unsigned seq)
{
	char line[1024];

	snprintf(line, sizeof(line),
		"{\"type\":\"presence\",\"user\":\"%s\",\"state\":\"%s\",\"reason\":\"update\","
		"\"seq\":%u,\"at_ms\":5,\"last_seen_ms\":null,\"status\":null}",
		user, state, seq);
	play_line(play, line);
}

static void on_answer(struct presence *p, enum presence_error error,
	const struct presence_contact *contacts, size_t n, void *arg)
{
	struct client_play *play = arg;
	(void)p;
	tell(play, "answer:%s=%zu", presence_error_word(error), n);
	for (size_t i = 0; i < n; i++)
		tell(play, "%s%s/%s", i == 0 ? ":" : ",", contacts[i].user,
			presence_truth_word(contacts[i].truth));
	tell(play, " ");
	if (play->hook)
		play->hook(play, "answer");
}

void play_query(struct client_play *play, const char *const *users, size_t n)
{
	struct query *q, **end = &play->p->queries;

	assert_int_equal(ask_query_new(users, n, &q), 0);
	q->answer = on_answer;
	q->arg = play;
	while (*end)
		end = &(*end)->next;
	*end = q;
	ask_all(play->p, play->now_ms);
}
