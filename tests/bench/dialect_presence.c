#include "dialect.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static size_t put_login(char *to, uint64_t user, uint64_t heartbeat_ms)
{
	size_t n = dialect_put_text(to, "{\"type\":\"hello\",\"v\":1,\"user\":\"");

	n += dialect_put_user(to + n, user);
	n += dialect_put_text(to + n, "\",\"device\":\"d\"");
	if (heartbeat_ms)
		n += (size_t)snprintf(to + n, 48, ",\"heartbeat_ms\":%" PRIu64, heartbeat_ms);
	return n + dialect_put_text(to + n, "}\n");
}

static size_t put_beat(char *to, uint64_t user, uint64_t heartbeat_ms)
{
	(void)user;
	(void)heartbeat_ms;
	return dialect_put_text(to, "{\"type\":\"heartbeat\"}\n");
}

static size_t put_beat_empty(char *to, uint64_t user, uint64_t heartbeat_ms)
{
	(void)user;
	(void)heartbeat_ms;
	return dialect_put_text(to, "\n");
}

static size_t put_beat_part(char *to, uint64_t user, uint64_t heartbeat_ms)
{
	(void)user;
	(void)heartbeat_ms;
	return dialect_put_text(to, " ");
}

static size_t put_watch(char *to, uint64_t first_user, uint32_t n_users)
{
	size_t n = dialect_put_text(to, "{\"type\":\"watch\",\"id\":1,\"users\":[");

	for (uint32_t i = 0; i < n_users; i++) {
		n += dialect_put_text(to + n, i ? ",\"" : "\"");
		n += dialect_put_user(to + n, first_user + i);
		to[n++] = '"';
	}
	return n + dialect_put_text(to + n, "]}\n");
}

static size_t put_update(char *to, uint64_t user, uint64_t number)
{
	(void)user;
	return (size_t)snprintf(
		to, 80, "{\"type\":\"update\",\"status\":\"%" PRIu64 "\"}\n", number);
}

/* Where the value of a key begins ('key' with its quotes and colon), or NULL. Our own users' names and
 * statuses hold no quotes, so a plain search can't be led astray by them. */
static const char *find_value(const char *line, size_t len, const char *key)
{
	size_t key_len = strlen(key);
	const char *at = memmem(line, len, key, key_len);

	return at ? at + key_len : NULL;
}

static bool starts(const char *at, const char *line, size_t len, const char *word)
{
	size_t n = strlen(word);

	return at && (size_t)(line + len - at) >= n && !memcmp(at, word, n);
}

static void read_event(const char *line, size_t len, struct item *ret)
{
	const char *user = find_value(line, len, "\"user\":\"");
	const char *status = find_value(line, len, "\"status\":\"");

	ret->kind = ITEM_EVENT;
	ret->user = user ? dialect_read_user(user, line + len) : 0;
	ret->is_offline = find_value(line, len, "\"state\":\"offline\"") != NULL;
	ret->is_timeout = ret->is_offline && find_value(line, len, "\"reason\":\"timeout\"");
	ret->number = status ? dialect_read_number(status, line + len) : 0;
}

static void read_line(const char *line, size_t len, struct item *ret)
{
	const char *type;

	*ret = (struct item){.kind = ITEM_OTHER};
	if (!len) {
		ret->kind = ITEM_BEAT;
		return;
	}
	type = find_value(line, len, "\"type\":\"");
	if (starts(type, line, len, "presence\""))
		read_event(line, len, ret);
	else if (starts(type, line, len, "heartbeat\""))
		ret->kind = ITEM_BEAT;
	else if (starts(type, line, len, "welcome\""))
		ret->kind = ITEM_WELCOME;
	else if (starts(type, line, len, "watching\""))
		ret->kind = find_value(line, len, "\"more\":true") ? ITEM_OTHER : ITEM_WATCHING;
	else if (starts(type, line, len, "bye\""))
		ret->kind = ITEM_BYE;
	else if (starts(type, line, len, "error\""))
		ret->kind =
			find_value(line, len, "\"code\":\"server_full\"") ? ITEM_FULL : ITEM_ERROR;
}

static size_t next(const char *data, size_t len, struct item *ret)
{
	const char *end = memchr(data, '\n', len);
	size_t line_len;

	if (!end)
		return 0;
	line_len = (size_t)(end - data);
	read_line(data, line_len, ret);
	return line_len + 1;
}

#define PRESENCE                                                                                   \
	.n_watch_max = 1000, .put_login = put_login, .put_watch = put_watch,                       \
	.put_update = put_update, .next = next

const struct dialect dialect_presence = {.name = "presence", .put_beat = put_beat, PRESENCE};
const struct dialect dialect_presence_empty = {
	.name = "presence-empty", .put_beat = put_beat_empty, PRESENCE};
const struct dialect dialect_presence_part = {
	.name = "presence-part", .put_beat = put_beat_part, .is_mute = true, PRESENCE};
