/* A message: whatever the bytes, a verdict; what is accepted is within the protocol's limits; and every
 * reply to it is one line of JSON that carries its id. */
#include "fuzz.h"

#include "base/buffer.h"
#include "wire/message.h"
#include "wire/ndjson.h"
#include "wire/prescan.h"
#include "wire/reply.h"

#include <jansson.h>
#include <string.h>

static void check_text(struct slice text, size_t min, size_t max)
{
	if (text.text == NULL)
		return;
	PROPERTY(text.len >= min && text.len <= max);
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.text[i];

		PROPERTY(c >= 0x20 && c != 0x7f);
	}
}

static void check_users(const struct message *m)
{
	PROPERTY(m->n_users <= REQUEST_USERS_MAX);
	for (size_t i = 0; i < m->n_users; i++) {
		PROPERTY(message_user(m, i).text != NULL);
		check_text(message_user(m, i), 1, USER_MAX);
	}
}

static void check_fields(const struct message *m)
{
	PROPERTY(m->type < REQUEST_N);
	PROPERTY(m->why[0] == '\0');
	PROPERTY(m->type == REQUEST_HELLO || (m->user.text == NULL && m->device.text == NULL));
	if (m->type == REQUEST_HELLO)
		PROPERTY(m->user.text != NULL || m->token.text != NULL);
	if (m->type == REQUEST_UPDATE)
		PROPERTY(m->has_state || m->has_status || m->token.text != NULL);
	check_text(m->user, 1, USER_MAX);
	check_text(m->device, 1, DEVICE_MAX);
	check_text(m->status, 0, STATUS_MAX);
	PROPERTY(m->token.len <= TOKEN_MAX && m->resume.len <= RESUME_MAX);
	PROPERTY(!m->has_heartbeat_ms || m->heartbeat_ms > 0);
	PROPERTY(!m->has_state || m->state != STATE_OFFLINE);
	check_users(m);
}

/* The line in the buffer, read again: 'id' is the request's. */
static void check_line(struct buffer *b, const struct message *m)
{
	json_t *reply, *want;

	PROPERTY(!b->failed && b->len > 1 && memchr(b->data, '\n', b->len) == b->data + b->len - 1);
	reply = json_loadb(b->data, b->len, JSON_REJECT_DUPLICATES, NULL);
	PROPERTY(json_is_object(reply) && json_is_string(json_object_get(reply, "type")));
	want = m->id_len == 0 ? NULL : json_loadb(m->id, m->id_len, JSON_DECODE_ANY, NULL);
	PROPERTY((m->id_len == 0) == (want == NULL));
	PROPERTY(want == NULL ? json_object_get(reply, "id") == NULL
			      : json_equal(json_object_get(reply, "id"), want));
	json_decref(want);
	json_decref(reply);
	buffer_clear(b);
}

static void check_replies(struct buffer *b, const struct message *m)
{
	struct slice user = m->user.text != NULL ? m->user : (struct slice){"made up", 7};
	struct slice device = m->device.text != NULL ? m->device : user;
	struct welcome w = {.user = user, .device = device, .session = "s", .server = "v"};

	reply_welcome(b, m->id, m->id_len, &w);
	check_line(b, m);
	if (!m->is_empty_line) {
		reply_heartbeat(b, m);
		check_line(b, m);
	}
	reply_updated(b, m, m->state, m->status.text, m->status.len);
	check_line(b, m);
	reply_unwatched(b, m, m->n_users);
	check_line(b, m);
	reply_bye(b, m->id, m->id_len, REASON_LOGOUT, UINT64_MAX);
	check_line(b, m);
	reply_presences_open(b, m->id, m->id_len, m->type);
	for (size_t i = 0; i < m->n_users; i++) {
		struct slice one = message_user(m, i);

		buffer_append_string(b, i == 0 ? "" : ",");
		buffer_append_json(b, one.text, one.len);
	}
	reply_presences_close(b, m->n_users % 2 == 1);
	check_line(b, m);
}

/* The verdict bad_json, against the parser by itself. */
static void check_verdict(const char *line, size_t size, enum wire_error err)
{
	json_t *value;
	bool is_json;

	if (size == 0 || prescan_too_deep(line, size, JSON_DEPTH_MAX))
		return;
	value = json_loadb(line, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	is_json = value != NULL && memchr(line, '\0', size) == NULL;
	PROPERTY(is_json == (err != WIRE_ERROR_BAD_JSON));
	json_decref(value);
}

/* Heartbeats that are counted without being parsed are what parsing says, to the last: whole lines, whose answers are they
 * themselves. */
static void check_leading_heartbeats(const char *data, size_t size)
{
	size_t n, n_lines = 0, at = 0, line_len, used,
		  len = message_leading_heartbeats(data, size, &n);

	PROPERTY(len <= size);
	while (at < len) {
		struct buffer CLEANUP(buffer_free) b = {0};
		struct message CLEANUP(message_free) m;

		PROPERTY(ndjson_next(data + at, size - at, 0, &line_len, &used));
		PROPERTY(message_parse(data + at, line_len, &m) == WIRE_OK);
		PROPERTY(m.type == REQUEST_HEARTBEAT);
		reply_heartbeat(&b, &m);
		PROPERTY(b.len == used && memcmp(b.data, data + at, used) == 0);
		at += used;
		n_lines++;
	}
	PROPERTY(at == len && n == n_lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer CLEANUP(buffer_free) b = {0};
	struct message CLEANUP(message_free) m;
	const char *line = (const char *)data;
	enum wire_error err = message_parse(line, size, &m);

	PROPERTY(err == WIRE_OK || err == WIRE_ERROR_BAD_JSON || err == WIRE_ERROR_BAD_MESSAGE ||
		 err == WIRE_ERROR_UNKNOWN_TYPE || err == WIRE_ERROR_VERSION);
	check_verdict(line, size, err);
	check_leading_heartbeats(line, size);
	if (err == WIRE_OK) {
		check_fields(&m);
		check_replies(&b, &m);
	} else {
		PROPERTY(m.why[0] != '\0');
		reply_error(&b, m.id, m.id_len, err, m.why, UINT64_MAX);
		check_line(&b, &m);
	}
	return 0;
}
