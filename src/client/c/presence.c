/* The functions of <presence.h>: arguments checked, the process looked at, the rules called, the turn ended. */
#include "presence.h"

#include "base/compiler.h"
#include "client/c/client.h"
#include "client/c/stream.h"
#include "wire/utf8.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONNECT_TIMEOUT_MS = 10000, BACKOFF_FIRST_MS = 4000, BACKOFF_MAX_MS = 30000 };

static_assert(PRESENCE_USER_MAX == (int)USER_MAX && PRESENCE_DEVICE_MAX == (int)DEVICE_MAX &&
		      PRESENCE_STATUS_MAX == (int)STATUS_MAX,
	"the protocol's lengths");

/* --- arguments --- */

static bool is_text(const char *text, size_t min, size_t max)
{
	struct utf8 utf8 = {0};
	size_t len = strnlen(text, max + 1);

	if (len < min || len > max || !utf8_feed(&utf8, text, len) || !utf8_is_whole(&utf8))
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

static bool is_text_or_null(const char *text, size_t min, size_t max)
{
	return !text || is_text(text, min, max);
}

static bool are_users(const char *const *users, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!users[i] || !is_text(users[i], 1, PRESENCE_USER_MAX))
			return false;
	}
	return true;
}

static bool is_own_state(enum presence_state state)
{
	return state == PRESENCE_STATE_NONE ||
	       (state >= PRESENCE_STATE_AWAY && state <= PRESENCE_STATE_INVISIBLE);
}

/* What a program says that was compiled with an older or newer header. Fields that this library does not know must say
 * nothing. */
static bool read_options(const struct presence_options *given, struct presence_options *ret)
{
	const char *bytes = (const char *)given;
	size_t size = given->size;

	if (size < offsetof(struct presence_options, device))
		return false;
	for (size_t i = sizeof(*ret); i < size; i++) {
		if (bytes[i] != 0)
			return false;
	}
	*ret = (struct presence_options){.size = sizeof(*ret)};
	memcpy(ret, given, size < sizeof(*ret) ? size : sizeof(*ret));
	return ret->url && (ret->user || ret->token || ret->on_token) &&
	       is_text_or_null(ret->user, 1, PRESENCE_USER_MAX) &&
	       is_text_or_null(ret->device, 1, PRESENCE_DEVICE_MAX) &&
	       is_text_or_null(ret->status, 0, PRESENCE_STATUS_MAX) &&
	       is_text_or_null(ret->token, 1, PRESENCE_TOKEN_MAX) && is_own_state(ret->state);
}

/* --- life --- */

/* NULL stays NULL. */
static bool copy_text(char **to, const char *text)
{
	*to = text ? strdup(text) : NULL;
	return *to || !text;
}

static bool copy_options(struct presence *p, const struct presence_options *o)
{
	p->options = *o;
	p->options.url = p->options.user = p->options.device = NULL;
	p->options.token = p->options.status = p->options.ca_file = NULL;
	p->state = o->state;
	if (p->options.connect_timeout_ms == 0)
		p->options.connect_timeout_ms = CONNECT_TIMEOUT_MS;
	p->backoff.first_ms = o->backoff_first_ms ? o->backoff_first_ms : BACKOFF_FIRST_MS;
	p->backoff.max_ms = o->backoff_max_ms ? o->backoff_max_ms : BACKOFF_MAX_MS;
	if (p->backoff.max_ms < p->backoff.first_ms)
		p->backoff.max_ms = p->backoff.first_ms;
	return copy_text(&p->user, o->user) && copy_text(&p->device, o->device) &&
	       copy_text(&p->token, o->token) && copy_text(&p->status, o->status) &&
	       copy_text(&p->ca_file, o->ca_file);
}

static struct presence *make(void)
{
	struct presence *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	if (contacts_init(&p->contacts) != 0) {
		free(p);
		return NULL;
	}
	p->pid = getpid();
	p->fd = p->told_fd = -1;
	p->token_due_ms = p->due_ms = UINT64_MAX;
	p->request_bytes = REQUEST_BYTES_MAX;
	p->self = (struct presence_self){.user = p->self_user,
		.device = p->self_device,
		.session = p->session,
		.server = p->server};
	return p;
}

enum presence_error presence_new(const struct presence_options *options, struct presence **ret)
{
	struct presence_options o;
	struct server_url url;
	enum presence_error error = PRESENCE_ERROR_MEMORY;

	if (!options || !ret || !read_options(options, &o))
		return PRESENCE_ERROR_ARGUMENT;
	if (server_url_parse(o.url, &url) != 0)
		return PRESENCE_ERROR_URL;
	struct presence *p = make();
	if (!p)
		return PRESENCE_ERROR_MEMORY;
	p->url = url;
	if (!copy_options(p, &o))
		goto fail;
	p->is_token_fresh = p->token != NULL;
	if (server_url_is_tls(&url)) {
		int err = stream_tls_context_new(p->ca_file, &p->tls_context);
		if (err != 0) {
			error = err == -ENOMEM ? PRESENCE_ERROR_MEMORY : PRESENCE_ERROR_CA;
			goto fail;
		}
	}
	*ret = p;
	return PRESENCE_OK;
fail:
	presence_free(p);
	return error;
}

void presence_free(struct presence *p)
{
	if (!p)
		return;
	if (p->pid == getpid()) {
		p->link = PRESENCE_LINK_STOPPED;
		ask_give_up(p, PRESENCE_ERROR_STOPPED);
	} else {
		/* The parent's loop is not ours to tell, nor are its answers. */
		p->options.on_socket = NULL;
		while (p->queries) {
			struct query *next = p->queries->next;
			ask_query_free(p->queries);
			p->queries = next;
		}
	}
	turn_close(p);
	stream_tls_context_free(p->tls_context);
	contacts_destroy(&p->contacts);
	buffer_free(&p->out);
	free(p->user);
	free(p->device);
	free(p->token);
	free(p->status);
	free(p->ca_file);
	free(p);
}

/* --- calls --- */

/* Whether a call may go on. */
static enum presence_error check(const struct presence *p)
{
	if (!p)
		return PRESENCE_ERROR_ARGUMENT;
	return p->pid == getpid() ? PRESENCE_OK : PRESENCE_ERROR_FORKED;
}

/* Ends a call. From a callback the turn that called back does it. */
static void settle(struct presence *p, uint64_t now_ms)
{
	if (p->n_callbacks > 0 || p->is_in_turn)
		return;
	tell_contacts(p, now_ms);
	turn_settle(p, now_ms);
}

enum presence_error presence_start(struct presence *p)
{
	enum presence_error error = check(p);
	uint64_t now_ms = presence_now();

	if (error != PRESENCE_OK)
		return error;
	link_start(p, now_ms);
	settle(p, now_ms);
	return PRESENCE_OK;
}

enum presence_error presence_stop(struct presence *p)
{
	enum presence_error error = check(p);
	uint64_t now_ms = presence_now();

	if (error != PRESENCE_OK)
		return error;
	link_stop(p, now_ms);
	settle(p, now_ms);
	return PRESENCE_OK;
}

enum presence_error presence_retry(struct presence *p)
{
	enum presence_error error = check(p);
	uint64_t now_ms = presence_now();

	if (error != PRESENCE_OK)
		return error;
	link_retry(p, now_ms);
	settle(p, now_ms);
	return PRESENCE_OK;
}

int presence_fd(const struct presence *p)
{
	return check(p) == PRESENCE_OK ? turn_fd(p) : -1;
}

unsigned presence_want(const struct presence *p)
{
	return check(p) == PRESENCE_OK ? turn_want(p) : 0;
}

uint64_t presence_deadline(const struct presence *p)
{
	return check(p) == PRESENCE_OK ? turn_deadline(p) : UINT64_MAX;
}

int presence_timeout(const struct presence *p)
{
	uint64_t deadline = presence_deadline(p), now_ms = presence_now();

	if (deadline == UINT64_MAX)
		return -1;
	if (deadline <= now_ms)
		return 0;
	/* The clock's milliseconds are rounded down, so that a wait for their difference may end one too early. */
	uint64_t wait = deadline - now_ms + 1;
	return wait < INT_MAX ? (int)wait : INT_MAX;
}

void presence_ready(struct presence *p, unsigned ready)
{
	if (check(p) != PRESENCE_OK || p->n_callbacks > 0 || p->is_in_turn)
		return;
	turn_ready(p, ready, presence_now());
}

/* --- contacts --- */

enum presence_error presence_watch(struct presence *p, const char *const *users, size_t n)
{
	enum presence_error error = check(p);
	struct contact *last;

	if (error != PRESENCE_OK)
		return error;
	if ((n > 0 && !users) || !are_users(users, n))
		return PRESENCE_ERROR_ARGUMENT;
	last = p->contacts.last;
	for (size_t i = 0; i < n; i++) {
		struct contact *c;

		if (contacts_add(&p->contacts, users[i], &c) != -ENOMEM)
			continue;
		/* All or none: those that were added are behind 'last'. */
		while (p->contacts.last != last)
			contacts_remove(&p->contacts, p->contacts.last);
		return PRESENCE_ERROR_MEMORY;
	}
	uint64_t now_ms = presence_now();
	ask_all(p, now_ms);
	settle(p, now_ms);
	return PRESENCE_OK;
}

enum presence_error presence_unwatch(struct presence *p, const char *const *users, size_t n)
{
	enum presence_error error = check(p);
	bool is_up;

	if (error != PRESENCE_OK)
		return error;
	if (n > 0 && !users)
		return PRESENCE_ERROR_ARGUMENT;
	is_up = p->link == PRESENCE_LINK_UP && p->stage == STAGE_UP;
	for (size_t i = 0; i < n; i++) {
		struct contact *c = users[i] ? contacts_find(&p->contacts, users[i]) : NULL;

		if (!c)
			continue;
		if (is_up && (c->phase == CONTACT_ASKED || c->phase == CONTACT_WATCHED))
			ask_unwatch(p, users + i, 1);
		contacts_remove(&p->contacts, c);
	}
	settle(p, presence_now());
	return PRESENCE_OK;
}

static const struct presence_contact *show(struct presence *p, const struct contact *c)
{
	if (!c)
		return NULL;
	p->shown = contacts_view(&p->contacts, c, presence_now());
	return &p->shown;
}

const struct presence_contact *presence_contact(struct presence *p, const char *user)
{
	if (check(p) != PRESENCE_OK || !user)
		return NULL;
	return show(p, contacts_find(&p->contacts, user));
}

const struct presence_contact *presence_next(struct presence *p, const char *user)
{
	struct contact *c;

	if (check(p) != PRESENCE_OK)
		return NULL;
	if (!user)
		return show(p, p->contacts.first);
	c = contacts_find(&p->contacts, user);
	return c ? show(p, c->next) : NULL;
}

size_t presence_count(const struct presence *p)
{
	return check(p) == PRESENCE_OK ? p->contacts.n : 0;
}

enum presence_error presence_query(
	struct presence *p, const char *const *users, size_t n, presence_answer *answer, void *arg)
{
	enum presence_error error = check(p);
	struct query *q, **end;

	if (error != PRESENCE_OK)
		return error;
	if (n == 0 || !users || !answer || !are_users(users, n))
		return PRESENCE_ERROR_ARGUMENT;
	if (ask_query_new(users, n, &q) != 0)
		return PRESENCE_ERROR_MEMORY;
	q->answer = answer;
	q->arg = arg;
	for (end = &p->queries; *end; end = &(*end)->next)
		continue;
	*end = q;
	uint64_t now_ms = presence_now();
	ask_all(p, now_ms);
	settle(p, now_ms);
	return PRESENCE_OK;
}

/* --- oneself --- */

enum presence_error presence_update(
	struct presence *p, enum presence_state state, const char *status)
{
	enum presence_error error = check(p);

	if (error != PRESENCE_OK)
		return error;
	if (!is_own_state(state) || !is_text_or_null(status, 0, PRESENCE_STATUS_MAX))
		return PRESENCE_ERROR_ARGUMENT;
	if (status) {
		char *copy = strdup(status);
		if (!copy)
			return PRESENCE_ERROR_MEMORY;
		free(p->status);
		p->status = copy;
	}
	if (state != PRESENCE_STATE_NONE)
		p->state = state;
	link_update(p, state, status);
	settle(p, presence_now());
	return PRESENCE_OK;
}

enum presence_error presence_set_token(struct presence *p, const char *token, uint64_t lifetime_ms)
{
	enum presence_error error = check(p);
	uint64_t now_ms = presence_now();
	char *copy;

	if (error != PRESENCE_OK)
		return error;
	if (!is_text_or_null(token, 1, PRESENCE_TOKEN_MAX))
		return PRESENCE_ERROR_ARGUMENT;
	if (!copy_text(&copy, token))
		return PRESENCE_ERROR_MEMORY;
	free(p->token);
	p->token = copy;
	p->is_token_fresh = token != NULL;
	p->token_due_ms = UINT64_MAX;
	if (token && lifetime_ms > 0 && lifetime_ms < UINT64_MAX / 16)
		p->token_due_ms = now_ms + lifetime_ms - lifetime_ms / 10;
	link_token_given(p, now_ms);
	settle(p, now_ms);
	return PRESENCE_OK;
}

enum presence_error presence_set_addresses(struct presence *p, const struct addrinfo *list)
{
	enum presence_error error = check(p);
	uint64_t now_ms = presence_now();

	if (error != PRESENCE_OK)
		return error;
	turn_addresses(p, list, now_ms);
	settle(p, now_ms);
	return PRESENCE_OK;
}

const struct presence_self *presence_self(struct presence *p)
{
	return p ? &p->self : NULL;
}

enum presence_link presence_link(const struct presence *p)
{
	return check(p) == PRESENCE_OK ? p->link : PRESENCE_LINK_STOPPED;
}

enum presence_error presence_last_error(const struct presence *p)
{
	enum presence_error error = check(p);

	return error == PRESENCE_OK ? p->last_error : error;
}
