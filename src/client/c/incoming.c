#include "client/c/incoming.h"

#include <errno.h>
#include <string.h>

static const char *const type_words[] = {
#define ROW(name, word) [INCOMING_##name] = word,
	INCOMING_TYPES(ROW)
#undef ROW
};

static bool read_text(struct json_part object, const char *name, char *to, size_t size)
{
	struct json_part part;
	char decoded[6 * PRESENCE_STATUS_MAX + 2]; /* every byte may be written as \u00XX */

	if (!json_find(object, name, &part) || !json_is_string_part(part) ||
		part.len > sizeof(decoded))
		return false;
	size_t len = json_part_decode(part, decoded);
	if (len >= size || memchr(decoded, '\0', len))
		return false;
	memcpy(to, decoded, len);
	to[len] = '\0';
	return true;
}

static bool read_u64(struct json_part object, const char *name, uint64_t max, uint64_t *ret)
{
	struct json_part part;

	if (max > INCOMING_NUMBER_MAX)
		max = INCOMING_NUMBER_MAX;
	return json_find(object, name, &part) && json_part_u64(part, false, max, ret);
}

static bool is_true(struct json_part object, const char *name)
{
	struct json_part part;

	return json_find(object, name, &part) && part.len == 4 && memcmp(part.text, "true", 4) == 0;
}

bool incoming_text(const struct incoming *in, const char *name, char *to, size_t size)
{
	return read_text(in->whole, name, to, size);
}

bool incoming_u64(const struct incoming *in, const char *name, uint64_t max, uint64_t *ret)
{
	return read_u64(in->whole, name, max, ret);
}

bool incoming_is_true(const struct incoming *in, const char *name)
{
	return is_true(in->whole, name);
}

static struct json_part trim(const char *line, size_t len)
{
	while (len > 0 && (line[0] == ' ' || line[0] == '\t')) {
		line++;
		len--;
	}
	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t' || line[len - 1] == '\r'))
		len--;
	return (struct json_part){line, len};
}

int incoming_parse(const char *line, size_t len, struct incoming *ret)
{
	struct incoming in = {.type = INCOMING_OTHER, .whole = trim(line, len)};
	struct json_part type;

	if (in.whole.len == 0) {
		*ret = (struct incoming){.type = INCOMING_HEARTBEAT};
		return 0;
	}
	if (json_read_check(in.whole.text, in.whole.len) || !json_find(in.whole, "type", &type) ||
		!json_is_string_part(type))
		return -EPROTO;
	for (enum incoming_type t = 0; t < INCOMING_OTHER; t++) {
		if (json_part_equals(type, type_words[t]))
			in.type = t;
	}
	if (!read_u64(in.whole, "id", UINT64_MAX, &in.id))
		in.id = 0;
	if (in.type == INCOMING_WATCHING || in.type == INCOMING_PRESENCES) {
		if (!json_find(in.whole, "presences", &in.presences) ||
			!json_is_array_part(in.presences))
			return -EPROTO;
		in.has_more = is_true(in.whole, "more");
	}
	*ret = in;
	return 0;
}

static const enum presence_state public_states[STATE_N] = {
	[STATE_OFFLINE] = PRESENCE_STATE_OFFLINE,
	[STATE_AWAY] = PRESENCE_STATE_AWAY,
	[STATE_ONLINE] = PRESENCE_STATE_ONLINE,
	[STATE_BUSY] = PRESENCE_STATE_BUSY,
	[STATE_INVISIBLE] = PRESENCE_STATE_INVISIBLE,
};

/* REPLACED and SHUTDOWN are of a bye only: UNKNOWN. */
static const enum presence_reason public_reasons[REASON_N] = {
	[REASON_LOGIN] = PRESENCE_REASON_LOGIN,
	[REASON_UPDATE] = PRESENCE_REASON_UPDATE,
	[REASON_LOGOUT] = PRESENCE_REASON_LOGOUT,
	[REASON_CLOSED] = PRESENCE_REASON_CLOSED,
	[REASON_RESET] = PRESENCE_REASON_RESET,
	[REASON_TIMEOUT] = PRESENCE_REASON_TIMEOUT,
	[REASON_KICKED] = PRESENCE_REASON_KICKED,
	[REASON_EXPIRED] = PRESENCE_REASON_EXPIRED,
	[REASON_SLOW] = PRESENCE_REASON_SLOW,
	[REASON_VIOLATION] = PRESENCE_REASON_VIOLATION,
};

static int64_t read_moment(struct json_part object, const char *name)
{
	uint64_t ms;

	return read_u64(object, name, INT64_MAX, &ms) ? (int64_t)ms : -1;
}

int word_read(struct json_part object, struct word *ret)
{
	struct word w = {.state = PRESENCE_STATE_NONE};
	char text[32];
	enum state state;
	enum reason reason;

	if (!json_is_object_part(object) || !read_text(object, "user", w.user, sizeof(w.user)) ||
		w.user[0] == '\0' || !read_text(object, "state", text, sizeof(text)) ||
		!state_parse(text, strlen(text), &state) || state == STATE_INVISIBLE)
		return -EPROTO;
	w.state = public_states[state];
	if (read_text(object, "reason", text, sizeof(text)) &&
		reason_parse(text, strlen(text), &reason))
		w.reason = public_reasons[reason];
	w.has_status = read_text(object, "status", w.status, sizeof(w.status));
	if (!read_u64(object, "seq", UINT64_MAX, &w.seq))
		w.seq = 0;
	w.at_ms = read_moment(object, "at_ms");
	w.last_seen_ms = read_moment(object, "last_seen_ms");
	w.is_reconnecting = is_true(object, "reconnecting");
	*ret = w;
	return 0;
}
