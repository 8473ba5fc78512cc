#include "admin/api.h"

#include "base/clock.h"
#include "net/descriptors.h"
#include "presence/inquiry.h"
#include "presence/table_admin.h"
#include "wire/prescan.h"
#include "wire/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- texts of requests --------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool percent_decode(const char *text, size_t len, char *to, size_t *ret_len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] != '%') {
			to[n++] = text[i];
			continue;
		}
		int high = i + 2 < len ? hex_digit(text[i + 1]) : -1;
		int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
		if (low < 0)
			return false;
		to[n++] = (char)(high << 4 | low);
		i += 2;
	}
	*ret_len = n;
	return true;
}

static bool has_control(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return true;
	return false;
}

bool read_id(const struct path_param *param, struct id *ret)
{
	char text[3 * USER_MAX];
	struct utf8 utf8 = {.n_missing = 0};

	if (param->len > sizeof(text) || !percent_decode(param->text, param->len, text, &ret->len))
		return false;
	if (ret->len < 1 || ret->len > USER_MAX || has_control(text, ret->len) ||
		!utf8_feed(&utf8, text, ret->len) || !utf8_is_whole(&utf8))
		return false;
	memcpy(ret->text, text, ret->len);
	return true;
}

/* Those are told that there is mail for whom the table gave some through this thread. */
static void wake_workers(struct admin *a) REQUIRES(role_admin)
{
	uint64_t workers = a->actor.wake_workers;

	a->actor.wake_workers = 0;
	for (; workers; workers &= workers - 1) {
		unsigned i = (unsigned)__builtin_ctzll(workers);
		if (i >= a->params.n_wakeups)
			continue;
		wakeup_signal(a->params.wakeups[i]);
		counter_add(a->actor.counters, COUNTER_wakeups, 1);
	}
	if (a->actor.wake_feed) {
		a->actor.wake_feed = false;
		wakeup_signal(feed_wakeup(a->params.feed));
		counter_add(a->actor.counters, COUNTER_wakeups, 1);
	}
}

/* ---- presence objects ---------------------------------------------------------------------------- */

static void put_presence(
	struct buffer *to, const char *user, size_t user_len, const struct snapshot *s)
{
	char *at = buffer_reserve(to, 1 + SNAPSHOT_JSON_MAX(user_len, STATUS_MAX));

	if (!at)
		return;
	*at = '{';
	to->len = (size_t)(snapshot_put_fields(at + 1, user, user_len, s) - to->data);
}

/* host:port, or null: of a Unix socket, of a session that has no connection, and where its worker was too busy to say. */
static void put_address(struct buffer *to, const struct address *address)
{
	char text[ADDRESS_TEXT_MAX];

	if (!address || address->u.any.sa_family == AF_UNIX) {
		buffer_append_string(to, "null");
		return;
	}
	address_format(address, text);
	buffer_append_json(to, text, strlen(text));
}

static void put_session(
	struct buffer *to, const struct session_view *s, const struct address *address)
{
	buffer_printf(to, "{\"session\":\"%s\",\"device\":", s->session);
	buffer_append_json(to, s->device, s->device_len);
	buffer_printf(to, ",\"transport\":\"%s\",\"address\":", transport_word(s->transport));
	put_address(to, address);
	buffer_printf(to, ",\"state\":\"%s\",\"status\":", state_word(s->state));
	if (s->has_status)
		buffer_append_json(to, s->status, s->status_len);
	else
		buffer_append_string(to, "null");
	buffer_printf(to,
		",\"since_ms\":%" PRIu64 ",\"last_seen_ms\":%" PRIu64 ",\"timeout_ms\":%" PRIu32
		",\"reconnecting\":%s}",
		s->since_ms, s->last_seen_ms, s->timeout_ms, s->is_reconnecting ? "true" : "false");
}

/* The workers' connections know where their sessions come from; how long they are waited for is about ten of their turns.
 * NULL: no memory, and the sessions are shown without. */
static struct inquiry *ask_addresses(struct admin *a, const struct session_view *sessions, size_t n)
	REQUIRES(role_admin)
{
	enum { PATIENCE_MS = 20 };
	struct inquiry *q;

	if (n == 0 || inquiry_begin(a->params.table, &a->actor, sessions, n, &q) < 0)
		return NULL;
	wake_workers(a);
	inquiry_wait(q, PATIENCE_MS);
	return q;
}

struct answer api_user(struct admin *a, const struct request *r)
{
	struct inquiry *inquiry;
	struct address address;
	struct session_view *sessions;
	struct snapshot snapshot;
	struct buffer body = {.data = NULL};
	struct id id;
	size_t n;

	if (!read_id(&r->params[0], &id))
		return answer_error(ANSWER_ERROR_BAD_ID);
	if (table_sessions(a->params.table, id.text, id.len, clock_instant(), &snapshot, &sessions,
		    &n) < 0)
		return answer_error(ANSWER_ERROR_OUT_OF_MEMORY);
	put_presence(&body, id.text, id.len, &snapshot);
	if (body.len > 0)
		body.len--; /* the object goes on */
	buffer_append_string(&body, ",\"sessions\":[");
	inquiry = ask_addresses(a, sessions, n);
	for (size_t i = 0; i < n; i++) {
		bool is_known = inquiry && inquiry_address(inquiry, i, &address);
		buffer_append(&body, ",", i > 0);
		put_session(&body, &sessions[i], is_known ? &address : NULL);
	}
	inquiry_end(inquiry);
	buffer_append_string(&body, "]}\n");
	free(sessions);
	return answer_buffer(&body);
}

/* ---- many users by name -------------------------------------------------------------------------- */

/* The array of users in a body; NULL with '*ret_why'. '*ret_root' is for json_decref(). */
static const json_t *read_query(const struct buffer *body, json_t **ret_root, const char **ret_why)
{
	json_error_t error;
	const json_t *users, *user;
	size_t i;

	*ret_root = NULL;
	*ret_why = "the body is not the JSON text of an object, or is nested too deep";
	if (body->len == 0 || prescan_too_deep(body->data, body->len, JSON_DEPTH_MAX))
		return NULL;
	*ret_root = json_loadb(body->data, body->len, JSON_REJECT_DUPLICATES, &error);
	users = json_object_get(*ret_root, "users");
	if (!json_is_object(*ret_root))
		return NULL;
	*ret_why = "users: must be an array of at most 10,000 ids";
	if (!json_is_array(users) || json_array_size(users) > API_QUERY_MAX)
		return NULL;
	*ret_why = "users: each must be a string of 1 to 128 bytes without control characters";
	json_array_foreach(users, i, user)
	{
		size_t len = json_is_string(user) ? json_string_length(user) : 0;
		if (len < 1 || len > USER_MAX || has_control(json_string_value(user), len))
			return NULL;
	}
	return users;
}

struct answer api_query(struct admin *a, const struct request *r)
{
	struct buffer body = {.data = NULL};
	struct instant now = clock_instant();
	const json_t *users, *user;
	struct answer answer;
	const char *why;
	json_t *root;
	size_t i;

	users = read_query(&r->body, &root, &why);
	if (!users) {
		json_decref(root);
		return answer_error_because(ANSWER_ERROR_BAD_BODY, why);
	}
	buffer_append_string(&body, "{\"presences\":[");
	json_array_foreach(users, i, user)
	{
		struct snapshot snapshot;
		const char *name = json_string_value(user);
		size_t len = json_string_length(user);
		table_look(a->params.table, name, len, now, &snapshot);
		buffer_append(&body, ",", i > 0);
		put_presence(&body, name, len, &snapshot);
	}
	buffer_append_string(&body, "]}\n");
	json_decref(root);
	answer = answer_buffer(&body);
	return answer;
}

/* ---- pages --------------------------------------------------------------------------------------- */

enum {
	/* Of the table, for one request: so a prefix that few users have can't keep the thread. A step is a hold of a
	 * stripe's lock; 512 stripes, all of them in one request where they are small. */
	PAGE_HOLDS = 1024,
	VIEWS_PER_HOLD = 32,
	/* Eight digits of the server's id, so that a cursor is not taken for one of another start, where users stand
	 * in another order; and sixteen of the table's cursor. */
	CURSOR_SERVER = 8,
	CURSOR_LEN = CURSOR_SERVER + 16
};

struct page_request {
	struct user_filter filter;
	char prefix[USER_MAX];
	size_t limit;
	uint64_t cursor;
};

bool read_param(const struct request *r, const char *name, char *to, size_t room, size_t *ret_len)
{
	const char *text = MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
	char decoded[3 * USER_MAX + 1];

	*ret_len = 0;
	if (!text)
		return true;
	if (strlen(text) >= sizeof(decoded) ||
		!percent_decode(text, strlen(text), decoded, ret_len) || *ret_len > room)
		return false;
	memcpy(to, decoded, *ret_len);
	return true;
}

static bool read_limit(const struct request *r, size_t *ret)
{
	char text[5];
	size_t len, value = 0;

	if (!read_param(r, "limit", text, sizeof(text) - 1, &len))
		return false;
	if (len == 0) {
		*ret = API_PAGE_DEFAULT;
		return true;
	}
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (size_t)(text[i] - '0');
	}
	*ret = value;
	return value >= 1 && value <= API_PAGE_MAX;
}

static bool read_cursor(const struct admin *a, const struct request *r, uint64_t *ret)
{
	char text[CURSOR_LEN + 1];
	size_t len;

	*ret = 0;
	if (!read_param(r, "cursor", text, CURSOR_LEN, &len))
		return false;
	if (len == 0)
		return true;
	if (len != CURSOR_LEN || memcmp(text, a->params.telemetry->server_id, CURSOR_SERVER) != 0)
		return false;
	for (size_t i = CURSOR_SERVER; i < CURSOR_LEN; i++) {
		if (hex_digit(text[i]) < 0)
			return false;
		*ret = *ret << 4 | (unsigned)hex_digit(text[i]);
	}
	return true;
}

/* NULL, or what is wrong. */
static const char *read_page_request(
	const struct admin *a, const struct request *r, struct page_request *ret)
{
	char state[16];
	size_t len;

	if (!read_param(r, "prefix", ret->prefix, sizeof(ret->prefix), &ret->filter.prefix_len) ||
		has_control(ret->prefix, ret->filter.prefix_len))
		return "prefix: must be at most 128 bytes without control characters";
	ret->filter.prefix = ret->prefix;
	if (!read_param(r, "state", state, sizeof(state), &len))
		return "state: must be offline, away, online, busy or invisible";
	ret->filter.has_state = len > 0;
	if (len > 0 && !state_parse(state, len, &ret->filter.state))
		return "state: must be offline, away, online, busy or invisible";
	if (!read_limit(r, &ret->limit))
		return "limit: must be a whole number from 1 to 1000";
	if (!read_cursor(a, r, &ret->cursor))
		return "cursor: is none of this start of the server: begin again without one";
	return NULL;
}

/* True where there may be more. */
static bool put_page(struct admin *a, struct page_request *q, struct buffer *to)
	REQUIRES(role_admin)
{
	struct user_view views[VIEWS_PER_HOLD];
	struct instant now = clock_instant();
	bool has_more = true;
	size_t n_all = 0;

	for (unsigned i = 0; i < PAGE_HOLDS && n_all < q->limit && has_more; i++) {
		size_t room = q->limit - n_all < VIEWS_PER_HOLD ? q->limit - n_all : VIEWS_PER_HOLD;
		size_t n;
		has_more =
			table_page(a->params.table, &q->filter, now, &q->cursor, views, room, &n);
		for (size_t k = 0; k < n; k++) {
			buffer_append(to, ",", n_all++ > 0);
			put_presence(to, views[k].user, views[k].len, &views[k].snapshot);
		}
	}
	return has_more;
}

struct answer api_users(struct admin *a, const struct request *r)
{
	struct buffer body = {.data = NULL};
	struct page_request q = {.limit = 0};
	const char *wrong = read_page_request(a, r, &q);

	if (wrong)
		return answer_error_because(ANSWER_ERROR_BAD_QUERY, wrong);
	buffer_append_string(&body, "{\"presences\":[");
	if (put_page(a, &q, &body))
		buffer_printf(&body, "],\"cursor\":\"%.*s%016" PRIx64 "\"}\n", CURSOR_SERVER,
			a->params.telemetry->server_id, q.cursor);
	else
		buffer_append_string(&body, "],\"cursor\":null}\n");
	return answer_buffer(&body);
}

/* ---- counts -------------------------------------------------------------------------------------- */

struct answer api_counts(struct admin *a, const struct request *r)
{
	struct table_counts counts = table_count(a->params.table);
	struct buffer body = {.data = NULL};

	(void)r;
	buffer_append_string(&body, "{\"users\":{");
	for (unsigned i = 0; i < STATE_INVISIBLE; i++)
		buffer_printf(&body, "%s\"%s\":%" PRIu64, i > 0 ? "," : "",
			state_word((enum state)i), counts.users_in_state[i]);
	buffer_append_string(&body, "},\"sessions\":{");
	for (unsigned i = 0; i < TRANSPORT_N; i++)
		buffer_printf(&body, "%s\"%s\":%" PRIu64, i > 0 ? "," : "",
			transport_word((enum transport)i), counts.sessions_by_transport[i]);
	buffer_append_string(&body, "}}\n");
	return answer_buffer(&body);
}

/* ---- kicks --------------------------------------------------------------------------------------- */

/* The moment of a kick, on both clocks; and events made by it carry it. */
static struct instant kick_instant(struct admin *a) REQUIRES(role_admin)
{
	a->actor.now_ns = clock_mono_ns();
	return clock_instant();
}

static struct answer answer_kick(struct admin *a, bool was_there) REQUIRES(role_admin)
{
	wake_workers(a);
	if (!was_there)
		return answer_error(ANSWER_ERROR_NO_SESSION);
	return (struct answer){.status = MHD_HTTP_NO_CONTENT};
}

struct answer api_kick_user(struct admin *a, const struct request *r)
{
	struct id id;

	if (!read_id(&r->params[0], &id))
		return answer_error(ANSWER_ERROR_BAD_ID);
	return answer_kick(a,
		table_kick_user(a->params.table, &a->actor, id.text, id.len, kick_instant(a)) > 0);
}

struct answer api_kick_session(struct admin *a, const struct request *r)
{
	struct id id, session;

	if (!read_id(&r->params[0], &id) || !read_id(&r->params[1], &session))
		return answer_error(ANSWER_ERROR_BAD_ID);
	return answer_kick(a, table_kick_session(a->params.table, &a->actor, id.text, id.len,
				      session.text, session.len, kick_instant(a)));
}
