#include "wire/message.h"

#include "base/compiler.h"
#include "base/ensure.h"
#include "base/json_text.h"
#include "wire/message_fields.h"
#include "wire/message_memory.h"
#include "wire/prescan.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static_assert(JSON_STRING_MAX(REQUEST_ID_MAX) < MESSAGE_ID_TEXT_MAX, "an escaped id fits");
static_assert(JSON_U64_MAX + 1 < MESSAGE_ID_TEXT_MAX, "a negative id fits");

static const struct {
	const char *word;
	bool is_fatal;
	uint16_t close_code;
} errors[WIRE_ERROR_N] = {[WIRE_OK] = {"ok", false, 0},
#define ERROR_ROW(name, word, fatal, close) [WIRE_ERROR_##name] = {word, fatal, close},
	WIRE_ERRORS(ERROR_ROW)
#undef ERROR_ROW
};

const char *wire_error_word(enum wire_error err)
{
	ensure(err < WIRE_ERROR_N);
	return errors[err].word;
}

bool wire_error_is_fatal(enum wire_error err)
{
	ensure(err < WIRE_ERROR_N);
	return errors[err].is_fatal;
}

uint16_t wire_error_close_code(enum wire_error err)
{
	ensure(err < WIRE_ERROR_N);
	return errors[err].close_code;
}

uint16_t reason_close_code(enum reason reason)
{
	static const uint16_t codes[REASON_N] = {
		[REASON_SHUTDOWN] = 1001,
		[REASON_EXPIRED] = 4402,
		[REASON_KICKED] = 4403,
		[REASON_TIMEOUT] = 4408,
		[REASON_REPLACED] = 4409,
		[REASON_SLOW] = 4411,
		[REASON_VIOLATION] = 1008,
	};
	ensure(reason < REASON_N);
	return codes[reason] ? codes[reason] : 1000;
}

static const struct slice requests[REQUEST_N] = {
#define REQUEST_ROW(name, word) [REQUEST_##name] = {word, sizeof(word) - 1},
	REQUESTS(REQUEST_ROW)
#undef REQUEST_ROW
};

static enum request request_parse(const char *word, size_t len)
{
	for (unsigned i = 0; i < REQUEST_N; i++) {
		if (len == requests[i].len && memcmp(word, requests[i].text, len) == 0)
			return (enum request)i;
	}
	return REQUEST_N;
}

#define CANONICAL "{\"type\":\"heartbeat\"}"

bool message_is_canonical_heartbeat(const char *line, size_t len)
{
	return len == strlen(CANONICAL) && memcmp(line, CANONICAL, strlen(CANONICAL)) == 0;
}

size_t message_leading_heartbeats(const char *data, size_t len, size_t *ret_n)
{
	static const char line[] = CANONICAL "\n";
	enum { LINE = sizeof(line) - 1 };
	size_t at = 0, n = 0;

	for (; at < len; n++) {
		if (data[at] == '\n')
			at++;
		else if (len - at >= LINE && memcmp(data + at, line, LINE) == 0)
			at += LINE;
		else
			break;
	}
	*ret_n = n;
	return at;
}

/* All but the arrays' insides: a heartbeat needs no 500 bytes of zeros. */
static void message_reset(struct message *m, enum request type, bool is_empty_line)
{
	static const struct slice none;

	m->type = type;
	m->id[0] = '\0';
	m->id_len = 0;
	m->is_empty_line = is_empty_line;
	m->user = m->device = m->token = m->resume = m->status = none;
	m->has_heartbeat_ms = m->has_state = m->has_status = false;
	m->heartbeat_ms = 0;
	m->wants_pings = true;
	m->state = STATE_ONLINE;
	m->n_users = 0;
	m->root = m->users = NULL;
	m->memory = NULL;
	m->why[0] = '\0';
}

/* jansson's own text quotes the client's, perhaps only a part of a character: not for a reply. */
static const char *json_error_words(const json_error_t *error)
{
	switch (json_error_code(error)) {
	case json_error_invalid_utf8:
		return "invalid UTF-8";
	case json_error_premature_end_of_input:
		return "it ends too early";
	case json_error_end_of_input_expected:
		return "more after the end";
	case json_error_null_character:
	case json_error_null_byte_in_key:
		return "U+0000";
	case json_error_duplicate_key:
		return "a key twice";
	case json_error_numeric_overflow:
		return "a number out of range";
	default: /* jansson's enum, and it grows */
		return "syntax";
	}
}

static enum wire_error bad_json(struct message *m, const char *what, int position)
{
	if (position >= 0)
		snprintf(m->why, sizeof(m->why), "not JSON as it must be: %s, at byte %d", what,
			position);
	else
		snprintf(m->why, sizeof(m->why), "not JSON as it must be: %s", what);
	return WIRE_ERROR_BAD_JSON;
}

static enum wire_error load(struct message *m, const char *line, size_t len)
{
	json_error_t error;
	const char *nul = memchr(line, '\0', len);

	/* jansson skips a NUL that follows a number or a literal. */
	if (nul != NULL)
		return bad_json(m, "U+0000", (int)(nul - line) + 1);
	if (prescan_too_deep(line, len, JSON_DEPTH_MAX))
		return bad_json(m, "it nests deeper than 16", -1);
	switch (message_memory_load(line, len, &m->root, &m->memory, &error)) {
	case 0:
		return WIRE_OK;
	case -ENOMEM:
		snprintf(m->why, sizeof(m->why), "out of memory");
		return WIRE_ERROR_SERVER_FULL;
	default:
		return bad_json(m, json_error_words(&error), error.position);
	}
}

/* Fills in the id where it is well; says what is wrong with it otherwise. */
static const char *read_id(struct message *m)
{
	const json_t *id = json_object_get(m->root, "id");
	char *end;

	if (id == NULL)
		return NULL;
	if (json_is_integer(id)) {
		end = json_put_i64(m->id, json_integer_value(id));
	} else if (json_is_string(id)) {
		const char *text = json_string_value(id);
		size_t len = json_string_length(id);

		if (len > REQUEST_ID_MAX)
			return "must be at most 64 bytes long";
		if (message_has_control(text, len))
			return "must not hold control characters";
		end = json_put_string(m->id, text, len);
	} else {
		return "must be a string or an integer";
	}
	*end = '\0';
	m->id_len = (size_t)(end - m->id);
	return NULL;
}

/* The envelope: an object, its type, its id. */
static enum wire_error read_envelope(struct message *m)
{
	const json_t *type;
	const char *wrong_id;

	if (!json_is_object(m->root)) {
		snprintf(m->why, sizeof(m->why), "not an object");
		return WIRE_ERROR_BAD_MESSAGE;
	}
	wrong_id = read_id(m);
	type = json_object_get(m->root, "type");
	if (type == NULL)
		return message_complain(m, "type", "is missing");
	if (!json_is_string(type))
		return message_complain(m, "type", "must be a string");
	m->type = request_parse(json_string_value(type), json_string_length(type));
	if (wrong_id != NULL)
		return message_complain(m, "id", wrong_id);
	if (m->type == REQUEST_N) {
		snprintf(m->why, sizeof(m->why), "no such type of message");
		return WIRE_ERROR_UNKNOWN_TYPE;
	}
	return WIRE_OK;
}

enum wire_error message_parse(const char *line, size_t len, struct message *ret)
{
	enum wire_error err;

	if (len == 0 || message_is_canonical_heartbeat(line, len)) {
		message_reset(ret, REQUEST_HEARTBEAT, len == 0);
		return WIRE_OK;
	}
	message_reset(ret, REQUEST_N, false);
	if ((err = load(ret, line, len)) != WIRE_OK || (err = read_envelope(ret)) != WIRE_OK)
		return err;
	err = message_read_fields(ret);
	if (ret->type == REQUEST_HEARTBEAT)
		message_free(ret);
	return err;
}

void message_free(struct message *m)
{
	static const struct slice none;

	if (m->memory != NULL)
		message_memory_free(m->memory);
	else
		json_decref(m->root);
	m->memory = NULL;
	m->root = m->users = NULL;
	m->n_users = 0;
	m->user = m->device = m->token = m->resume = m->status = none;
}

struct slice message_user(const struct message *m, size_t i)
{
	const json_t *user = json_array_get(m->users, i);

	return (struct slice){json_string_value(user), json_string_length(user)};
}
