#include "wire/reply.h"

#include "base/json_text.h"

#include <string.h>

/* The pieces. A literal's length is known to the compiler. */
#define append_literal(b, literal) buffer_append((b), (literal), sizeof(literal) - 1)

static void append_id(struct buffer *b, const char *id, size_t id_len)
{
	if (id_len == 0)
		return;
	append_literal(b, ",\"id\":");
	buffer_append(b, id, id_len);
}

/* {"type":"...","id":... : the words are ours, and need no escapes. */
static void append_open(struct buffer *b, const char *type, const char *id, size_t id_len)
{
	append_literal(b, "{\"type\":\"");
	buffer_append_string(b, type);
	append_literal(b, "\"");
	append_id(b, id, id_len);
}

/* 'key' with its comma and colon: ",\"user\":" */
static void append_text(struct buffer *b, const char *key, const char *text, size_t len)
{
	buffer_append_string(b, key);
	buffer_append_json(b, text, len);
}

static void append_number(struct buffer *b, const char *key, uint64_t number)
{
	buffer_append_string(b, key);
	buffer_append_u64(b, number);
}

static void append_retry(struct buffer *b, uint64_t retry_ms)
{
	if (retry_ms != UINT64_MAX)
		append_number(b, ",\"retry_ms\":", retry_ms);
}

static void append_close(struct buffer *b)
{
	append_literal(b, "}\n");
}

void reply_welcome(struct buffer *b, const char *id, size_t id_len, const struct welcome *w)
{
	append_open(b, "welcome", id, id_len);
	append_literal(b, ",\"v\":1");
	append_text(b, ",\"user\":", w->user.text, w->user.len);
	append_text(b, ",\"device\":", w->device.text, w->device.len);
	append_text(b, ",\"session\":", w->session, strlen(w->session));
	append_text(b, ",\"server\":", w->server, strlen(w->server));
	append_number(b, ",\"heartbeat_ms\":", w->heartbeat_ms);
	append_number(b, ",\"timeout_ms\":", w->timeout_ms);
	append_number(b, ",\"now_ms\":", w->now_ms);
	buffer_append_string(b, w->resumed ? ",\"resumed\":true" : ",\"resumed\":false");
	if (w->resume)
		append_text(b, ",\"resume\":", w->resume, strlen(w->resume));
	append_close(b);
}

void reply_heartbeat(struct buffer *b, const struct message *m)
{
	if (m->is_empty_line) {
		append_literal(b, "\n");
	} else if (m->id_len == 0) {
		append_literal(b, "{\"type\":\"heartbeat\"}\n");
	} else {
		append_open(b, "heartbeat", m->id, m->id_len);
		append_close(b);
	}
}

void reply_updated(struct buffer *b, const struct message *m, enum state state, const char *status,
	size_t status_len)
{
	append_open(b, "updated", m->id, m->id_len);
	append_literal(b, ",\"state\":\"");
	buffer_append_string(b, state_word(state));
	append_literal(b, "\"");
	if (status == NULL)
		append_literal(b, ",\"status\":null");
	else
		append_text(b, ",\"status\":", status, status_len);
	append_close(b);
}

void reply_unwatched(struct buffer *b, const struct message *m, uint64_t count)
{
	append_open(b, "unwatched", m->id, m->id_len);
	append_number(b, ",\"count\":", count);
	append_close(b);
}

void reply_error(struct buffer *b, const char *id, size_t id_len, enum wire_error err,
	const char *why, uint64_t retry_ms)
{
	append_open(b, "error", id, id_len);
	append_literal(b, ",\"code\":\"");
	buffer_append_string(b, wire_error_word(err));
	append_literal(b, "\"");
	append_text(b, ",\"message\":", why, strlen(why));
	append_retry(b, retry_ms);
	append_close(b);
}

void reply_bye(
	struct buffer *b, const char *id, size_t id_len, enum reason reason, uint64_t retry_ms)
{
	append_open(b, "bye", id, id_len);
	append_literal(b, ",\"reason\":\"");
	buffer_append_string(b, reason_word(reason));
	append_literal(b, "\"");
	append_retry(b, retry_ms);
	append_close(b);
}

void reply_presences_open(struct buffer *b, const char *id, size_t id_len, enum request request)
{
	append_open(b, request == REQUEST_WATCH ? "watching" : "presences", id, id_len);
	append_literal(b, ",\"presences\":[");
}

void reply_presences_close(struct buffer *b, bool more)
{
	if (more)
		append_literal(b, "],\"more\":true}\n");
	else
		append_literal(b, "]}\n");
}
