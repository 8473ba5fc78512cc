#include "cli/show.h"

#include "cli/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ------------------------------------------------------------------------------------- */

static bool read_text(const json_t *value, const char **ret, size_t *ret_len)
{
	if (!json_is_string(value))
		return false;
	*ret = json_string_value(value);
	*ret_len = json_string_length(value);
	return true;
}

static int64_t read_number(const json_t *value)
{
	return json_is_integer(value) ? json_integer_value(value) : -1;
}

int show_read(const json_t *object, struct shown *ret)
{
	struct shown got = {.user = NULL};

	if (!read_text(json_object_get(object, "user"), &got.user, &got.user_len) ||
		!read_text(json_object_get(object, "state"), &got.state, &got.state_len))
		return -EPROTO;
	read_text(json_object_get(object, "reason"), &got.reason, &got.reason_len);
	read_text(json_object_get(object, "status"), &got.status, &got.status_len);
	got.seq = read_number(json_object_get(object, "seq"));
	got.at_ms = read_number(json_object_get(object, "at_ms"));
	got.last_seen_ms = read_number(json_object_get(object, "last_seen_ms"));
	got.is_reconnecting = json_is_true(json_object_get(object, "reconnecting"));
	*ret = got;
	return 0;
}

/* ---- for people ---------------------------------------------------------------------------------- */

static bool is_word(const char *text, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(text, word, len) == 0;
}

void show_append_word(struct buffer *b, const struct style *style, const char *state, size_t len)
{
	static const struct {
		const char *word, *colour;
	} colours[] = {{"online", "32"}, {"away", "33"}, {"busy", "31"}, {"offline", "1"},
		{"unknown", "35"}};
	const char *colour = NULL;

	for (size_t i = 0; i < ARRAY_LEN(colours) && style->has_colour; i++)
		if (is_word(state, len, colours[i].word))
			colour = colours[i].colour;
	if (colour)
		buffer_printf(b, "\033[%sm", colour);
	text_append_safe(b, state, len);
	if (colour)
		buffer_append_string(b, "\033[0m");
}

/* " (timeout)": why it is so. */
static void append_reason(struct buffer *b, const struct shown *s)
{
	if (!s->reason)
		return;
	buffer_append_string(b, " (");
	if (is_word(s->reason, s->reason_len, "unknown"))
		buffer_append_string(b, "never seen");
	else
		text_append_safe(b, s->reason, s->reason_len);
	buffer_append_string(b, ")");
}

static void append_who_is_what(struct buffer *b, const struct style *style, const struct shown *s)
{
	text_append_name(b, s->user, s->user_len);
	buffer_append_string(b, " is ");
	show_append_word(b, style, s->state, s->state_len);
	append_reason(b, s);
}

static void append_ago(struct buffer *b, const struct style *style, int64_t at_ms)
{
	if (!style->is_terminal)
		return;
	buffer_append_string(b, " (");
	when_append_ago(b, style->now_ms - at_ms);
	buffer_append_string(b, ")");
}

static void append_rest(struct buffer *b, const struct style *style, const struct shown *s)
{
	if (s->status) {
		buffer_append_string(b, ", ");
		text_append_quoted(b, s->status, s->status_len);
	}
	if (s->is_reconnecting)
		buffer_append_string(b, ", reconnecting");
	if (s->last_seen_ms >= 0 && is_word(s->state, s->state_len, "offline")) {
		buffer_append_string(b, ", last seen ");
		when_append(b, style, s->last_seen_ms);
	}
	buffer_append_string(b, "\n");
}

void show_append_change(struct buffer *b, const struct style *style, const struct shown *s)
{
	when_append(b, style, s->at_ms >= 0 ? s->at_ms : style->now_ms);
	buffer_append_string(b, "  ");
	append_who_is_what(b, style, s);
	append_rest(b, style, s);
}

void show_append_state(struct buffer *b, const struct style *style, const struct shown *s)
{
	append_who_is_what(b, style, s);
	if (s->at_ms >= 0) {
		buffer_append_string(b, " since ");
		when_append(b, style, s->at_ms);
		append_ago(b, style, s->at_ms);
	}
	append_rest(b, style, s);
}

/* Behind 'len' bytes of a column of 'width'; one space at least. */
static void end_column(struct buffer *b, size_t len, size_t width)
{
	buffer_printf(b, "%*s", (int)(len < width ? width - len : 1), "");
}

void show_append_row(struct buffer *b, const struct style *style, const struct shown *s)
{
	/* Room for invisible, 10:31:04, and 59 min ago, with two spaces behind; what needs more takes it. */
	enum { STATE_COLUMN = 11, TIME_COLUMN = 10, AGO_COLUMN = 12 };
	size_t start;

	show_append_word(b, style, s->state, s->state_len);
	end_column(b, s->state_len, STATE_COLUMN); /* its colour takes no room */
	start = b->len;
	if (s->at_ms >= 0)
		when_append(b, style, s->at_ms);
	else
		buffer_append_string(b, "-");
	end_column(b, b->len - start, style->is_terminal && !style->is_utc ? TIME_COLUMN : 0);
	start = b->len;
	if (style->is_terminal) {
		if (s->at_ms >= 0)
			when_append_ago(b, style->now_ms - s->at_ms);
		end_column(b, b->len - start, AGO_COLUMN);
	}
	text_append_name(b, s->user, s->user_len);
	append_reason(b, s);
	append_rest(b, style, s);
}

/* ---- for programs -------------------------------------------------------------------------------- */

void show_append_json_document(struct buffer *b, const json_t *document)
{
	char *text = json_dumps(
		document, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY | JSON_PRESERVE_ORDER);

	if (text)
		buffer_append_string(b, text);
	else
		b->failed = true;
	free(text);
}

void show_append_json_string(struct buffer *b, const char *text, size_t len)
{
	json_t *value = json_stringn(text, len);

	/* What is no UTF-8 is no JSON either: only an argument can be that, and those are checked. */
	show_append_json_document(b, value);
	json_decref(value);
}

static void append_json_number(struct buffer *b, const char *name, int64_t value)
{
	if (value >= 0)
		buffer_printf(b, ",\"%s\":%" PRId64, name, value);
	else
		buffer_printf(b, ",\"%s\":null", name);
}

static void append_json_text(struct buffer *b, const char *name, const char *text, size_t len)
{
	buffer_printf(b, ",\"%s\":", name);
	if (text)
		show_append_json_string(b, text, len);
	else
		buffer_append_string(b, "null");
}

void show_append_json(struct buffer *b, const struct shown *s)
{
	buffer_append_string(b, "{\"user\":");
	show_append_json_string(b, s->user, s->user_len);
	append_json_text(b, "state", s->state, s->state_len);
	append_json_text(b, "reason", s->reason, s->reason_len);
	append_json_number(b, "seq", s->seq);
	append_json_number(b, "at_ms", s->at_ms);
	append_json_number(b, "last_seen_ms", s->last_seen_ms);
	append_json_text(b, "status", s->status, s->status_len);
	if (s->is_reconnecting)
		buffer_append_string(b, ",\"reconnecting\":true");
}
