/* The rules of a client's link: when to connect, what to say, what silence means, when and whether to come back. */
#include "base/compiler.h"
#include "base/hash.h"
#include "client/c/client.h"
#include "client/c/outgoing.h"

#include <errno.h>
#include <string.h>

enum {
	HEARTBEAT_MAX_MS = 24 * 3600 * 1000, /* of a welcome that is believed */
	TIMEOUT_MAX_MS = 7 * 24 * 3600 * 1000,
	RETRY_MAX_MS = 3600 * 1000,
};

/* --- telling --- */

static void tell_link(struct presence *p, const struct presence_link_event *event)
{
	if (!p->options.on_link)
		return;
	p->n_callbacks++;
	p->options.on_link(p, event, p->options.arg);
	p->n_callbacks--;
}

void tell_contacts(struct presence *p, uint64_t now_ms)
{
	struct contact *c;

	while ((c = contacts_next_untold(&p->contacts))) {
		if (!p->options.on_contact)
			continue;
		struct presence_contact view = contacts_view(&p->contacts, c, now_ms);
		p->n_callbacks++;
		p->options.on_contact(p, &view, p->options.arg);
		p->n_callbacks--;
	}
}

/* --- beginning --- */

/* Asks the application for a token. True where one is there, and nothing else happened meanwhile. */
static bool get_token(struct presence *p)
{
	uint64_t attempt = p->attempt;

	p->link = PRESENCE_LINK_WAITING;
	p->retry_at_ms = UINT64_MAX;
	if (!p->is_token_wanted) {
		p->is_token_wanted = true;
		p->is_in_token_call = true;
		p->n_callbacks++;
		p->options.on_token(p, p->options.arg);
		p->n_callbacks--;
		p->is_in_token_call = false;
	}
	if (p->link != PRESENCE_LINK_WAITING || p->attempt != attempt)
		return false;
	return p->is_token_fresh;
}

static void stop_for_good(struct presence *p, const struct ending *ending);

static void attempt(struct presence *p, uint64_t now_ms)
{
	if (p->options.on_token && !p->is_token_fresh) {
		if (!get_token(p)) {
			bool is_waiting = p->link == PRESENCE_LINK_WAITING;
			if (is_waiting && !p->is_token_wanted)
				stop_for_good(p, &(struct ending){.error = PRESENCE_ERROR_TOKEN});
			else if (is_waiting)
				tell_link(p,
					&(struct presence_link_event){.link = PRESENCE_LINK_WAITING,
						.detail = "for a token",
						.retry_in_ms = UINT64_MAX});
			return;
		}
	}
	p->attempt++;
	p->link = PRESENCE_LINK_CONNECTING;
	p->stage = STAGE_DIALING;
	p->attempt_deadline_ms = now_ms + p->options.connect_timeout_ms;
	tell_link(p, &(struct presence_link_event){.link = PRESENCE_LINK_CONNECTING, .detail = ""});
}

void link_start(struct presence *p, uint64_t now_ms)
{
	if (p->link != PRESENCE_LINK_STOPPED)
		return;
	backoff_reset(&p->backoff);
	p->not_before_ms = 0;
	attempt(p, now_ms);
}

void link_retry(struct presence *p, uint64_t now_ms)
{
	if (p->link != PRESENCE_LINK_WAITING || p->retry_at_ms == UINT64_MAX)
		return;
	p->retry_at_ms = now_ms > p->not_before_ms ? now_ms : p->not_before_ms;
}

void link_dialing(struct presence *p, uint64_t now_ms)
{
	if (p->link == PRESENCE_LINK_CONNECTING)
		p->attempt_deadline_ms = now_ms + p->options.connect_timeout_ms;
}

bool link_wants_connection(const struct presence *p)
{
	return p->link == PRESENCE_LINK_CONNECTING || p->link == PRESENCE_LINK_UP;
}

static void use_token(struct presence *p)
{
	p->is_token_fresh = false;
	p->is_token_wanted = false;
}

void link_connected(struct presence *p)
{
	struct hello hello = {
		.user = p->user,
		.device = p->device ? p->device : p->self_device,
		.token = p->token,
		.heartbeat_ms = p->options.heartbeat_ms,
		.state = p->state,
		.status = p->status,
	};

	if (p->link != PRESENCE_LINK_CONNECTING || p->stage != STAGE_DIALING)
		return;
	if (hello.device[0] == '\0')
		hello.device = NULL;
	p->has_said_resume = p->resume[0] != '\0';
	if (p->has_said_resume)
		hello.resume = p->resume;
	put_hello(&p->out, &hello);
	use_token(p);
	p->has_news = false;
	p->stage = STAGE_HELLO;
}

/* --- ending --- */

/* What belonged to the connection is forgotten. */
static void drop(struct presence *p)
{
	contacts_lost(&p->contacts);
	ask_lost(p);
	buffer_free(&p->out);
	p->awaits_snapshot = false;
	p->stage = STAGE_DIALING;
}

static struct presence_link_event event_of(const struct ending *e, enum presence_link link)
{
	return (struct presence_link_event){
		.link = link,
		.error = e->error,
		.system_error = e->system_error,
		.detail = e->detail ? e->detail : "",
	};
}

static void stop_for_good(struct presence *p, const struct ending *ending)
{
	struct presence_link_event event = event_of(ending, PRESENCE_LINK_STOPPED);

	p->link = PRESENCE_LINK_STOPPED;
	p->last_error = ending->error;
	p->resume[0] = '\0'; /* that session has ended */
	p->is_token_wanted = false;
	tell_link(p, &event);
	ask_give_up(p, ending->error == PRESENCE_OK ? PRESENCE_ERROR_STOPPED : ending->error);
}

void link_lost(struct presence *p, const struct ending *ending, uint64_t now_ms)
{
	bool was_asked_for = link_wants_connection(p) && p->stage == STAGE_CLOSING;
	uint64_t retry_ms = ending->retry_ms < RETRY_MAX_MS ? ending->retry_ms : RETRY_MAX_MS;

	if (!link_wants_connection(p))
		return;
	drop(p);
	if (was_asked_for) {
		stop_for_good(p, &(struct ending){.error = PRESENCE_OK});
		return;
	}
	if (presence_error_is_final(ending->error)) {
		stop_for_good(p, ending);
		return;
	}
	struct presence_link_event event = event_of(ending, PRESENCE_LINK_WAITING);
	event.retry_in_ms = backoff_next(&p->backoff, retry_ms, random_u64());
	p->link = PRESENCE_LINK_WAITING;
	p->last_error = ending->error;
	p->retry_at_ms = now_ms + event.retry_in_ms;
	p->not_before_ms = now_ms + retry_ms;
	tell_link(p, &event);
}

void link_stop(struct presence *p, uint64_t now_ms)
{
	if (p->link == PRESENCE_LINK_STOPPED)
		return;
	if (p->link == PRESENCE_LINK_UP) {
		if (p->stage == STAGE_CLOSING)
			return;
		p->stage = STAGE_CLOSING;
		p->close_deadline_ms = now_ms + CLOSE_WAIT_MS;
		put_bye(&p->out);
		return;
	}
	drop(p);
	stop_for_good(p, &(struct ending){.error = PRESENCE_OK});
}

static void broken(struct presence *p, const char *detail, uint64_t now_ms)
{
	link_lost(p, &(struct ending){.error = PRESENCE_ERROR_PROTOCOL, .detail = detail}, now_ms);
}

/* --- what the server says --- */

/* A beat a little more often than asked for, so that no timer's lateness makes it less often. */
static uint64_t beat_interval(const struct presence *p)
{
	return p->self.heartbeat_ms - p->self.heartbeat_ms / 16;
}

static bool read_welcome(struct presence *p, const struct incoming *in)
{
	char server[SESSION_MAX + 1];
	uint64_t heartbeat_ms, timeout_ms;

	if (!incoming_text(in, "user", p->self_user, sizeof(p->self_user)) ||
		!incoming_text(in, "device", p->self_device, sizeof(p->self_device)) ||
		!incoming_text(in, "session", p->session, sizeof(p->session)) ||
		!incoming_text(in, "server", server, sizeof(server)) ||
		!incoming_u64(in, "heartbeat_ms", HEARTBEAT_MAX_MS, &heartbeat_ms) ||
		!incoming_u64(in, "timeout_ms", TIMEOUT_MAX_MS, &timeout_ms) || heartbeat_ms == 0 ||
		timeout_ms == 0)
		return false;
	if (strcmp(server, p->server) != 0)
		contacts_forget_seq(&p->contacts);
	memcpy(p->server, server, sizeof(server));
	if (!incoming_text(in, "resume", p->resume, sizeof(p->resume)))
		p->resume[0] = '\0';
	p->self.heartbeat_ms = (uint32_t)heartbeat_ms;
	p->self.timeout_ms = (uint32_t)timeout_ms;
	return true;
}

/* What the application said while the hello was under way. */
static void say_news(struct presence *p)
{
	if (p->has_news)
		put_update(&p->out, ++p->last_id, p->state, p->status, NULL);
	p->has_news = false;
	if (p->is_token_fresh && p->token) {
		put_update(&p->out, ++p->last_id, PRESENCE_STATE_NONE, NULL, p->token);
		use_token(p);
	}
}

static void take_welcome(struct presence *p, const struct incoming *in, uint64_t now_ms)
{
	bool is_resumed = incoming_is_true(in, "resumed");

	if (p->stage != STAGE_HELLO || !read_welcome(p, in)) {
		broken(p, "a welcome that is none", now_ms);
		return;
	}
	p->link = PRESENCE_LINK_UP;
	p->stage = STAGE_UP;
	p->last_error = PRESENCE_OK;
	p->contacts.timeout_ms = p->self.timeout_ms;
	/* At random, so that those who logged in together do not beat together. */
	p->beat_at_ms = now_ms + random_u64() % p->self.heartbeat_ms;
	say_news(p);
	ask_begin(p, is_resumed);
	ask_all(p, now_ms);
	tell_link(p, &(struct presence_link_event){
			     .link = PRESENCE_LINK_UP, .detail = "", .is_resumed = is_resumed});
}

struct code {
	const char *word;
	enum presence_error error;
};

static enum presence_error find_code(const struct code *codes, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(codes[i].word, word) == 0)
			return codes[i].error;
	}
	return PRESENCE_ERROR_PROTOCOL;
}

/* The protocol's error codes; those that are not here are our fault, or a later version's. */
static enum presence_error error_of_code(const char *word)
{
	static const struct code codes[] = {
		{"version", PRESENCE_ERROR_VERSION},
		{"auth_required", PRESENCE_ERROR_AUTH_REQUIRED},
		{"auth_failed", PRESENCE_ERROR_AUTH_FAILED},
		{"forbidden", PRESENCE_ERROR_FORBIDDEN},
		{"too_many_watches", PRESENCE_ERROR_TOO_MANY_WATCHES},
		{"server_full", PRESENCE_ERROR_SERVER_FULL},
		{"rate_limited", PRESENCE_ERROR_RATE_LIMITED},
	};
	return find_code(codes, ARRAY_LEN(codes), word);
}

static enum presence_error error_of_reason(const char *word)
{
	static const struct code codes[] = {
		{"replaced", PRESENCE_ERROR_REPLACED},
		{"kicked", PRESENCE_ERROR_KICKED},
		{"expired", PRESENCE_ERROR_EXPIRED},
		{"shutdown", PRESENCE_ERROR_SHUTDOWN},
		{"slow", PRESENCE_ERROR_SLOW},
		{"timeout", PRESENCE_ERROR_TIMED_OUT},
		{"logout", PRESENCE_ERROR_CLOSED},
	};
	return find_code(codes, ARRAY_LEN(codes), word);
}

static uint64_t retry_of(const struct incoming *in)
{
	uint64_t ms;

	return incoming_u64(in, "retry_ms", UINT64_MAX, &ms) ? ms : 0;
}

/* An error in a hello that does not end the connection is as final: the next one would say the same. */
static enum presence_error error_of_hello(const char *word, enum presence_error error)
{
	bool may_be_tried = strcmp(word, "hello_required") == 0 ||
			    strcmp(word, "line_too_long") == 0 || strcmp(word, "bad_json") == 0;

	bool is_of_requests = error == PRESENCE_ERROR_PROTOCOL ||
			      error == PRESENCE_ERROR_FORBIDDEN ||
			      error == PRESENCE_ERROR_TOO_MANY_WATCHES;
	return is_of_requests && !may_be_tried ? PRESENCE_ERROR_REJECTED : error;
}

static void take_error(struct presence *p, const struct incoming *in, uint64_t now_ms)
{
	char word[64], detail[DETAIL_MAX];

	if (!incoming_text(in, "code", word, sizeof(word)))
		word[0] = '\0';
	if (!incoming_text(in, "message", detail, sizeof(detail)))
		detail[0] = '\0';
	enum presence_error error = error_of_code(word);
	if (p->stage == STAGE_HELLO)
		error = error_of_hello(word, error);
	else if (error == PRESENCE_ERROR_FORBIDDEN || error == PRESENCE_ERROR_TOO_MANY_WATCHES) {
		if (ask_refused(p, in->id, error))
			return;
		error = PRESENCE_ERROR_PROTOCOL;
	}
	if (strcmp(word, "line_too_long") == 0 && p->request_bytes > REQUEST_BYTES_MIN)
		p->request_bytes /= 2;
	link_lost(p, &(struct ending){.error = error, .detail = detail, .retry_ms = retry_of(in)},
		now_ms);
}

static void take_bye(struct presence *p, const struct incoming *in, uint64_t now_ms)
{
	char word[64];

	if (!incoming_text(in, "reason", word, sizeof(word)))
		word[0] = '\0';
	link_lost(p,
		&(struct ending){
			.error = error_of_reason(word), .detail = word, .retry_ms = retry_of(in)},
		now_ms);
}

static void take_heartbeat(struct presence *p)
{
	/* The server lives, and what it was asked before is answered: a snapshot that is not here does not come. */
	backoff_reset(&p->backoff);
	p->awaits_snapshot = false;
}

static void take_presence(struct presence *p, const struct incoming *in, uint64_t now_ms)
{
	struct word word;
	struct contact *c;

	if (word_read(in->whole, &word) != 0) {
		broken(p, "a presence without a user or a state", now_ms);
		return;
	}
	c = contacts_find(&p->contacts, word.user);
	if (c && contacts_apply(&p->contacts, c, &word) != 0)
		link_lost(p, &(struct ending){.error = PRESENCE_ERROR_MEMORY}, now_ms);
}

/* Of a session that is up. */
static void take_line(struct presence *p, const struct incoming *in, uint64_t now_ms)
{
	const char *detail = NULL;

	switch (in->type) {
	case INCOMING_HEARTBEAT:
		take_heartbeat(p);
		break;
	case INCOMING_PRESENCE:
		take_presence(p, in, now_ms);
		break;
	case INCOMING_WATCHING:
	case INCOMING_PRESENCES: {
		int err = ask_reply(p, in, &detail);
		if (err != 0)
			link_lost(p,
				&(struct ending){.error = err == -ENOMEM ? PRESENCE_ERROR_MEMORY
									 : PRESENCE_ERROR_PROTOCOL,
					.detail = detail},
				now_ms);
		break;
	}
	case INCOMING_WELCOME:
	case INCOMING_UNWATCHED:
	case INCOMING_UPDATED:
	case INCOMING_ERROR:
	case INCOMING_BYE:
	case INCOMING_OTHER:
		break;
	}
}

void link_line(struct presence *p, const char *line, size_t len, uint64_t now_ms)
{
	struct incoming in;

	if (!link_wants_connection(p) || p->stage == STAGE_DIALING)
		return;
	if (incoming_parse(line, len, &in) != 0) {
		broken(p, "a line that is no message", now_ms);
		return;
	}
	if (in.type == INCOMING_BYE)
		take_bye(p, &in, now_ms);
	else if (in.type == INCOMING_ERROR)
		take_error(p, &in, now_ms);
	else if (in.type == INCOMING_WELCOME)
		take_welcome(p, &in, now_ms);
	else if (p->stage != STAGE_HELLO)
		take_line(p, &in, now_ms);
	ask_all(p, now_ms);
	tell_contacts(p, now_ms);
}

void link_heard(struct presence *p, uint64_t when_ms)
{
	contacts_heard(&p->contacts, when_ms);
}

void link_update(struct presence *p, enum presence_state state, const char *status)
{
	if (state == PRESENCE_STATE_NONE && !status)
		return;
	if (p->link == PRESENCE_LINK_UP && p->stage == STAGE_UP)
		put_update(&p->out, ++p->last_id, state, status, NULL);
	else if (p->link == PRESENCE_LINK_CONNECTING && p->stage == STAGE_HELLO)
		p->has_news = true;
}

/* --- tokens --- */

void link_token_given(struct presence *p, uint64_t now_ms)
{
	bool was_wanted = p->is_token_wanted;

	p->is_token_wanted = false;
	if (p->link == PRESENCE_LINK_UP && p->stage == STAGE_UP && p->token) {
		put_update(&p->out, ++p->last_id, PRESENCE_STATE_NONE, NULL, p->token);
		/* The next login asks for another one: this one is used. */
		use_token(p);
		return;
	}
	if (p->is_in_token_call || !was_wanted || p->link != PRESENCE_LINK_WAITING ||
		p->retry_at_ms != UINT64_MAX)
		return;
	if (p->token)
		attempt(p, now_ms);
	else
		stop_for_good(p, &(struct ending){.error = PRESENCE_ERROR_TOKEN});
}

static void renew_token(struct presence *p)
{
	p->token_due_ms = UINT64_MAX;
	if (!p->options.on_token || p->is_token_wanted)
		return;
	p->is_token_wanted = true;
	p->n_callbacks++;
	p->options.on_token(p, p->options.arg);
	p->n_callbacks--;
}

/* --- time --- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t silence_at(const struct presence *p)
{
	return p->contacts.heard_ms + p->self.timeout_ms;
}

static void tick_up(struct presence *p, uint64_t now_ms)
{
	if (now_ms >= silence_at(p)) {
		link_lost(p, &(struct ending){.error = PRESENCE_ERROR_SILENCE}, now_ms);
		return;
	}
	if (p->stage == STAGE_CLOSING) {
		if (now_ms >= p->close_deadline_ms)
			link_lost(p, &(struct ending){.error = PRESENCE_ERROR_CLOSED}, now_ms);
		return;
	}
	if (now_ms >= p->beat_at_ms) {
		put_heartbeat(&p->out);
		p->beat_at_ms += beat_interval(p);
		if (p->beat_at_ms <= now_ms)
			p->beat_at_ms = now_ms + beat_interval(p);
	}
	ask_all(p, now_ms);
	if (now_ms >= p->token_due_ms)
		renew_token(p);
}

void link_tick(struct presence *p, uint64_t now_ms)
{
	if (p->link == PRESENCE_LINK_UP)
		tick_up(p, now_ms);
	else if (p->link == PRESENCE_LINK_WAITING && now_ms >= p->retry_at_ms)
		attempt(p, now_ms);
	else if (p->link == PRESENCE_LINK_CONNECTING && now_ms >= p->attempt_deadline_ms)
		link_lost(p, &(struct ending){.error = PRESENCE_ERROR_CONNECT_TIMEOUT}, now_ms);
	contacts_expire(&p->contacts, now_ms);
	tell_contacts(p, now_ms);
}

uint64_t link_deadline(const struct presence *p)
{
	uint64_t at = p->contacts.stale_at_ms;

	switch (p->link) {
	case PRESENCE_LINK_STOPPED:
		return at;
	case PRESENCE_LINK_WAITING:
		return earlier(at, p->retry_at_ms);
	case PRESENCE_LINK_CONNECTING:
		return earlier(at, p->attempt_deadline_ms);
	case PRESENCE_LINK_UP:
		break;
	}
	at = earlier(at, silence_at(p));
	if (p->stage == STAGE_CLOSING)
		return earlier(at, p->close_deadline_ms);
	at = earlier(at, earlier(p->beat_at_ms, p->token_due_ms));
	return earlier(at, ask_deadline(p));
}
