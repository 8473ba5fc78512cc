#include "cli/explain.h"

#include "cli/show.h"
#include "cli/text.h"

#include <inttypes.h>
#include <string.h>

static const char *string_of(const json_t *object, const char *key, size_t *ret_len)
{
	const json_t *value = json_object_get(object, key);

	*ret_len = json_string_length(value);
	return json_string_value(value);
}

/* -1 where there is none. */
static int64_t number_of(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? json_integer_value(value) : -1;
}

static bool is_word(const json_t *object, const char *key, const char *word)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value && strcmp(value, word) == 0;
}

static void append_safe_or(
	struct buffer *b, const json_t *object, const char *key, const char *otherwise)
{
	size_t len;
	const char *text = string_of(object, key, &len);

	if (text)
		text_append_safe(b, text, len);
	else
		buffer_append_string(b, otherwise);
}

/* ---- sessions ------------------------------------------------------------------------------------ */

static void append_session(struct buffer *b, const struct style *style, const json_t *session)
{
	int64_t since_ms = number_of(session, "since_ms"),
		last_ms = number_of(session, "last_seen_ms");
	int64_t timeout_ms = number_of(session, "timeout_ms");
	size_t len;
	const char *text = string_of(session, "device", &len);

	buffer_append_string(b, "  ");
	text_append_name(b, text ? text : "?", text ? len : 1);
	buffer_append_string(b, " is ");
	text = string_of(session, "state", &len);
	show_append_word(b, style, text ? text : "?", text ? len : 1);
	if (json_is_true(json_object_get(session, "reconnecting")))
		buffer_append_string(b, ", reconnecting");
	text = string_of(session, "status", &len);
	if (text) {
		buffer_append_string(b, ", ");
		text_append_quoted(b, text, len);
	}
	buffer_append_string(b, ": over ");
	append_safe_or(b, session, "transport", "?");
	text = string_of(session, "address", &len);
	if (text) {
		buffer_append_string(b, " from ");
		text_append_safe(b, text, len);
	}
	if (since_ms >= 0) {
		buffer_append_string(b, " since ");
		when_append(b, style, since_ms);
	}
	if (last_ms >= 0) {
		buffer_append_string(b, ", last byte ");
		when_append(b, style, last_ms);
	}
	if (timeout_ms >= 0) {
		buffer_append_string(b, ", timeout ");
		when_append_length(b, timeout_ms);
	}
	buffer_append_string(b, ", session ");
	append_safe_or(b, session, "session", "?");
	buffer_append_string(b, "\n");
}

void explain_append_sessions(struct buffer *b, const struct style *style, const json_t *sessions)
{
	const json_t *session;
	size_t i;

	buffer_append_string(
		b, json_array_size(sessions) > 0 ? "devices:\n" : "no device is there\n");
	json_array_foreach(sessions, i, session) append_session(b, style, session);
}

/* ---- history ------------------------------------------------------------------------------------- */

/* What each reason says of what happened; the words of a timeout are made of its evidence. */
static const struct {
	const char *reason, *words;
} reasons[] = {
	{"login", "a session began"},
	{"update", "a device changed its state or status"},
	{"logout", "it said bye"},
	{"closed", "its side closed the connection (FIN)"},
	{"reset", "its side reset the connection (RST)"},
	{"kicked", "an operator ended the session"},
	{"expired", "its token expired, and was not renewed"},
	{"slow", "it did not read what it was sent"},
	{"violation", "it broke the protocol"},
	{"replaced", "a newer session took its place"},
};

/* Each on a line of its own. */
static void begin_fact(struct buffer *b)
{
	buffer_append_string(b, "    ");
}

static void append_moment(struct buffer *b, const struct style *style, const json_t *evidence,
	const char *key, const char *words, const char *more)
{
	int64_t at_ms = number_of(evidence, key);

	if (at_ms < 0)
		return;
	begin_fact(b);
	buffer_append_string(b, words);
	when_append_time(b, style, at_ms);
	buffer_append_string(b, more);
}

/* "no byte for 30.1 s, timeout 30 s" */
static void append_silence(struct buffer *b, const json_t *entry, const json_t *evidence)
{
	int64_t at_ms = number_of(entry, "at_ms"), last_ms = number_of(evidence, "last_byte_ms");
	int64_t timeout_ms = number_of(evidence, "timeout_ms");
	bool has_silence = at_ms >= 0 && last_ms >= 0 && at_ms >= last_ms;

	if (!has_silence && timeout_ms < 0)
		return;
	begin_fact(b);
	if (has_silence) {
		buffer_append_string(b, "no byte for ");
		when_append_length(b, at_ms - last_ms);
	}
	if (timeout_ms >= 0) {
		buffer_append_string(b, has_silence ? ", timeout " : "timeout ");
		when_append_length(b, timeout_ms);
	}
	buffer_append_string(b, "\n");
}

static void append_socket(struct buffer *b, const json_t *evidence)
{
	static const struct {
		const char *word, *words;
	} sockets[] = {{"open", "the socket still looked open"},
		{"none", "its connection was gone before, on an error that said nothing of it"}};

	for (size_t i = 0; i < ARRAY_LEN(sockets); i++) {
		if (!is_word(evidence, "socket", sockets[i].word))
			continue;
		begin_fact(b);
		buffer_append_string(b, sockets[i].words);
		buffer_append_string(b, "\n");
	}
}

/* What a standstill of the server's own added to the timeout. */
static void append_granted(struct buffer *b, const json_t *evidence)
{
	int64_t granted_ms = number_of(evidence, "granted_ms");

	if (granted_ms <= 0)
		return;
	begin_fact(b);
	buffer_append_string(b, "the server itself had stood still, and gave it ");
	when_append_length(b, granted_ms);
	buffer_append_string(b, " more\n");
}

static bool is_end(const json_t *entry)
{
	return !is_word(entry, "reason", "login") && !is_word(entry, "reason", "update");
}

/* An end that leaves the user in another state than offline was that of one device of several. */
static bool is_of_one_device(const json_t *entry)
{
	return !is_word(entry, "state", "offline") && is_end(entry);
}

static void append_reason(struct buffer *b, const json_t *entry)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		if (!is_word(entry, "reason", reasons[i].reason))
			continue;
		begin_fact(b);
		buffer_append_string(b, is_of_one_device(entry) ? "of one of its devices: " : "");
		buffer_append_string(b, reasons[i].words);
		buffer_append_string(b, "\n");
	}
}

static void append_what_happened(
	struct buffer *b, const struct style *style, const json_t *entry, const json_t *evidence)
{
	bool is_timeout = is_word(entry, "reason", "timeout");

	append_reason(b, entry);
	if (is_timeout && is_of_one_device(entry))
		buffer_append_string(b, "    one of its devices fell silent\n");
	if (is_timeout)
		append_silence(b, entry, evidence);
	if (is_end(entry))
		append_moment(b, style, evidence, "last_byte_ms", "last byte at ", "\n");
	if (!is_timeout)
		return;
	append_moment(b, style, evidence, "nominated_ms", "found silent at ", "\n");
	append_moment(b, style, evidence, "heard_ms", "its socket read once more at ",
		": nothing in it\n");
	append_socket(b, evidence);
	append_granted(b, evidence);
}

/* "    device phone over tcp, session 2f0c": of a device that the server made up, the session has its name. */
static void append_session_of(struct buffer *b, const json_t *entry, const json_t *evidence)
{
	size_t len;
	const char *device = string_of(entry, "device", &len);

	if (!device && !json_is_string(json_object_get(entry, "session")))
		return;
	buffer_append_string(b, "    device ");
	text_append_name(b, device ? device : "?", device ? len : 1);
	if (json_is_string(json_object_get(evidence, "transport"))) {
		buffer_append_string(b, " over ");
		append_safe_or(b, evidence, "transport", "?");
	}
	if (!json_equal(json_object_get(entry, "device"), json_object_get(entry, "session"))) {
		buffer_append_string(b, ", session ");
		append_safe_or(b, entry, "session", "?");
	}
	buffer_append_string(b, "\n");
}

void explain_append_entry(struct buffer *b, const struct style *style, const json_t *entry)
{
	const json_t *evidence = json_object_get(entry, "evidence");
	int64_t at_ms = number_of(entry, "at_ms");
	size_t len;
	const char *state = string_of(entry, "state", &len);

	when_append(b, style, at_ms >= 0 ? at_ms : 0);
	buffer_append_string(b, "  ");
	show_append_word(b, style, state ? state : "?", state ? len : 1);
	buffer_append_string(b, " (");
	append_safe_or(b, entry, "reason", "?");
	buffer_append_string(b, ")\n");
	append_what_happened(b, style, entry, evidence);
	append_session_of(b, entry, evidence);
}
