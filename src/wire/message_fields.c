#include "wire/message_fields.h"

#include <stdio.h>

struct text_rule {
	const char *name;
	size_t min, max; /* bytes of UTF-8 */
	bool may_hold_control;
	const char *length; /* what 'why' says of another length */
};

/* The numbers are those of base/terms.h and of wire/message.h. */
static const struct text_rule rule_user = {
	"user", 1, USER_MAX, false, "must be 1 to 128 bytes long"};
static const struct text_rule rule_device = {
	"device", 1, DEVICE_MAX, false, "must be 1 to 64 bytes long"};
static const struct text_rule rule_status = {
	"status", 0, STATUS_MAX, false, "must be at most 256 bytes long"};
static const struct text_rule rule_token = {
	"token", 0, TOKEN_MAX, true, "must be at most 8192 bytes long"};
static const struct text_rule rule_resume = {
	"resume", 0, RESUME_MAX, true, "must be at most 256 bytes long"};

enum wire_error message_complain(struct message *m, const char *field, const char *what)
{
	snprintf(m->why, sizeof(m->why), "%s: %s", field, what);
	return WIRE_ERROR_BAD_MESSAGE;
}

bool message_has_control(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c == 0x7f)
			return true;
	}
	return false;
}

/* What is wrong with the value by the rule, or NULL. */
static const char *judge_text(const struct text_rule *rule, const json_t *value)
{
	size_t len;

	if (!json_is_string(value))
		return "must be a string";
	len = json_string_length(value);
	if (len < rule->min || len > rule->max)
		return rule->length;
	if (!rule->may_hold_control && message_has_control(json_string_value(value), len))
		return "must not hold control characters";
	return NULL;
}

static struct slice slice_of(const json_t *value)
{
	return (struct slice){json_string_value(value), json_string_length(value)};
}

/* An absent field is none, and well. */
static enum wire_error read_text(struct message *m, const struct text_rule *rule, struct slice *ret)
{
	const json_t *value = json_object_get(m->root, rule->name);
	const char *wrong;

	if (value == NULL)
		return WIRE_OK;
	wrong = judge_text(rule, value);
	if (wrong != NULL)
		return message_complain(m, rule->name, wrong);
	*ret = slice_of(value);
	return WIRE_OK;
}

static enum wire_error read_heartbeat_ms(struct message *m)
{
	const json_t *value = json_object_get(m->root, "heartbeat_ms");

	if (value == NULL)
		return WIRE_OK;
	if (!json_is_integer(value) || json_integer_value(value) <= 0)
		return message_complain(m, "heartbeat_ms", "must be a positive integer");
	m->has_heartbeat_ms = true;
	m->heartbeat_ms = (uint64_t)json_integer_value(value);
	return WIRE_OK;
}

static enum wire_error read_pings(struct message *m)
{
	const json_t *value = json_object_get(m->root, "pings");

	if (value == NULL)
		return WIRE_OK;
	if (!json_is_boolean(value))
		return message_complain(m, "pings", "must be true or false");
	m->wants_pings = json_is_true(value);
	return WIRE_OK;
}

static enum wire_error read_state(struct message *m)
{
	const json_t *value = json_object_get(m->root, "state");
	enum state state;

	if (value == NULL)
		return WIRE_OK;
	if (!json_is_string(value) ||
		!state_parse(json_string_value(value), json_string_length(value), &state) ||
		state == STATE_OFFLINE)
		return message_complain(m, "state", "must be online, away, busy or invisible");
	m->has_state = true;
	m->state = state;
	return WIRE_OK;
}

static enum wire_error read_status(struct message *m)
{
	const json_t *value = json_object_get(m->root, rule_status.name);
	enum wire_error err = WIRE_OK;

	if (value == NULL)
		return WIRE_OK;
	if (!json_is_null(value))
		err = read_text(m, &rule_status, &m->status);
	m->has_status = err == WIRE_OK;
	return err;
}

static enum wire_error read_hello(struct message *m)
{
	const json_t *version = json_object_get(m->root, "v");
	enum wire_error err;

	if (!json_is_integer(version) || json_integer_value(version) != 1) {
		snprintf(m->why, sizeof(m->why), "v: must be 1");
		return WIRE_ERROR_VERSION;
	}
	if ((err = read_text(m, &rule_user, &m->user)) != WIRE_OK ||
		(err = read_text(m, &rule_device, &m->device)) != WIRE_OK ||
		(err = read_text(m, &rule_token, &m->token)) != WIRE_OK)
		return err;
	if (m->user.text == NULL && m->token.text == NULL)
		return message_complain(m, "user", "is missing");
	if ((err = read_heartbeat_ms(m)) != WIRE_OK || (err = read_state(m)) != WIRE_OK ||
		(err = read_status(m)) != WIRE_OK || (err = read_pings(m)) != WIRE_OK)
		return err;
	return read_text(m, &rule_resume, &m->resume);
}

static enum wire_error read_update(struct message *m)
{
	enum wire_error err;

	if ((err = read_state(m)) != WIRE_OK || (err = read_status(m)) != WIRE_OK ||
		(err = read_text(m, &rule_token, &m->token)) != WIRE_OK)
		return err;
	if (!m->has_state && !m->has_status && m->token.text == NULL)
		return message_complain(m, "update", "needs one of state, status, token");
	return WIRE_OK;
}

static enum wire_error read_users(struct message *m)
{
	json_t *users = json_object_get(m->root, "users");
	size_t n;

	if (users == NULL)
		return message_complain(m, "users", "is missing");
	if (!json_is_array(users))
		return message_complain(m, "users", "must be an array");
	n = json_array_size(users);
	if (n > REQUEST_USERS_MAX)
		return message_complain(m, "users", "must be at most 1000 ids");
	for (size_t i = 0; i < n; i++) {
		const char *wrong = judge_text(&rule_user, json_array_get(users, i));
		char field[32];

		if (wrong == NULL)
			continue;
		snprintf(field, sizeof(field), "users[%zu]", i);
		return message_complain(m, field, wrong);
	}
	m->users = users;
	m->n_users = n;
	return WIRE_OK;
}

enum wire_error message_read_fields(struct message *m)
{
	switch (m->type) {
	case REQUEST_HELLO:
		return read_hello(m);
	case REQUEST_UPDATE:
		return read_update(m);
	case REQUEST_WATCH:
	case REQUEST_UNWATCH:
	case REQUEST_QUERY:
		return read_users(m);
	case REQUEST_HEARTBEAT:
	case REQUEST_BYE:
	case REQUEST_N:
		break;
	}
	return WIRE_OK;
}
