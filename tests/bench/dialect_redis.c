/* RESP, in two ways of making a presence service of a key-value server. In both a session is a key.
 *
 * redis          a beat is PING; a watch subscribes to a channel a user, an update publishes in it
 * redis-expiry   a beat puts the key's expiry off; a watch is of the keyspace's event for expired keys, of
 *                all keys together. In RESP 3, which lets a subscriber send other commands too. */
#include "dialect.h"

#include "base/compiler.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { KEY_LONG_MS = 3600000, WORD_MAX_BYTES = 64 };

/* A part of a server's answer. */
struct text {
	const char *at;
	size_t len;
};

static bool text_is(struct text text, const char *word)
{
	return text.len == strlen(word) && memcmp(text.at, word, text.len) == 0;
}

/* A command of 'n' words, each a const char *. */
static size_t put_command(char *to, unsigned n, ...)
{
	size_t len = (size_t)sprintf(to, "*%u\r\n", n);
	va_list words;

	va_start(words, n);
	for (unsigned i = 0; i < n; i++) {
		const char *word = va_arg(words, const char *);

		len += (size_t)sprintf(to + len, "$%zu\r\n%s\r\n", strlen(word), word);
	}
	va_end(words);
	return len;
}

static const char *name_user(char name[WORD_MAX_BYTES], const char *prefix, uint64_t user)
{
	size_t len = dialect_put_text(name, prefix);

	len += dialect_put_user(name + len, user);
	name[len] = '\0';
	return name;
}

static const char *life(char text[WORD_MAX_BYTES], uint64_t heartbeat_ms)
{
	snprintf(text, WORD_MAX_BYTES, "%" PRIu64,
		heartbeat_ms ? heartbeat_ms * DIALECT_MISSED_BEATS : (uint64_t)KEY_LONG_MS);
	return text;
}

static size_t put_login(char *to, uint64_t user, uint64_t heartbeat_ms)
{
	char name[WORD_MAX_BYTES], life_ms[WORD_MAX_BYTES];

	return put_command(
		to, 5, "SET", name_user(name, "", user), "1", "PX", life(life_ms, heartbeat_ms));
}

static size_t put_login_resp3(char *to, uint64_t user, uint64_t heartbeat_ms)
{
	size_t n = put_command(to, 2, "HELLO", "3");

	return n + put_login(to + n, user, heartbeat_ms);
}

static size_t put_ping(char *to, uint64_t user, uint64_t heartbeat_ms)
{
	(void)user;
	(void)heartbeat_ms;
	return dialect_put_text(to, "*1\r\n$4\r\nPING\r\n");
}

static size_t put_expiry(char *to, uint64_t user, uint64_t heartbeat_ms)
{
	char name[WORD_MAX_BYTES], life_ms[WORD_MAX_BYTES];

	return put_command(
		to, 3, "PEXPIRE", name_user(name, "", user), life(life_ms, heartbeat_ms));
}

static size_t put_watch(char *to, uint64_t first_user, uint32_t n_users)
{
	char name[WORD_MAX_BYTES];

	(void)n_users; /* n_watch_max is 1: each channel has an answer of its own */
	return put_command(to, 2, "SUBSCRIBE", name_user(name, "p:", first_user));
}

static size_t put_watch_expiry(char *to, uint64_t first_user, uint32_t n_users)
{
	(void)first_user;
	(void)n_users;
	return put_command(to, 2, "SUBSCRIBE", "__keyevent@0__:expired");
}

static size_t put_update(char *to, uint64_t user, uint64_t number)
{
	char name[WORD_MAX_BYTES], text[WORD_MAX_BYTES];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	return put_command(to, 3, "PUBLISH", name_user(name, "p:", user), text);
}

/* The line at 'at', without its end, and where the next begins; false where it is not whole. */
static bool take_line(const char **at, const char *end, struct text *ret)
{
	const char *line_end = memchr(*at, '\n', (size_t)(end - *at));

	if (!line_end || line_end == *at)
		return false;
	*ret = (struct text){*at, (size_t)(line_end - *at) - 1};
	*at = line_end + 1;
	return true;
}

/* One value, or the head of one that holds others, whose number 'ret_n_inside' gets. */
static bool take_value(const char **at, const char *end, struct text *ret, size_t *ret_n_inside)
{
	struct text line;
	size_t n;

	if (*at >= end || !take_line(at, end, &line))
		return false;
	*ret = (struct text){line.at + 1, line.len - 1};
	*ret_n_inside = 0;
	n = (size_t)dialect_read_number(line.at + 1, line.at + line.len);
	switch (line.at[0]) {
	case '*':
	case '>':
	case '~':
		*ret_n_inside = n;
		return true;
	case '%':
		*ret_n_inside = n * 2;
		return true;
	case '$':
		if (line.at[1] == '-') /* none */
			return true;
		if ((size_t)(end - *at) < n + 2)
			return false;
		*ret = (struct text){*at, n};
		*at += n + 2;
		return true;
	default:
		return true;
	}
}

static void read_message(const struct text parts[3], struct item *ret)
{
	struct text user = parts[1], payload = parts[2];

	ret->kind = ITEM_EVENT;
	if (user.len > 2 && user.at[0] == 'p') {
		ret->user = dialect_read_user(user.at + 2, user.at + user.len);
		ret->number = dialect_read_number(payload.at, payload.at + payload.len);
	} else {
		ret->user = dialect_read_user(payload.at, payload.at + payload.len);
		ret->is_offline = ret->is_timeout = true;
	}
}

static enum item_kind kind_of_line(const char *line, size_t len)
{
	static const char full[] = "-ERR max number of clients";

	switch (line[0]) {
	case '+':
		return len > 1 && line[1] == 'O' ? ITEM_WELCOME : ITEM_BEAT;
	case ':':
		return ITEM_BEAT;
	case '-':
		return len >= sizeof(full) && !memcmp(line, full, sizeof(full) - 1) ? ITEM_FULL
										    : ITEM_ERROR;
	default:
		return ITEM_OTHER;
	}
}

static size_t next(const char *data, size_t len, struct item *ret)
{
	const char *at = data, *end = data + len;
	struct text parts[3] = {{0}}, value;
	size_t n_left, n_inside, n = 0;

	if (!take_value(&at, end, &value, &n_left))
		return 0;
	while (n_left) {
		if (!take_value(&at, end, &value, &n_inside))
			return 0;
		n_left += n_inside;
		n_left--;
		if (n < ARRAY_LEN(parts))
			parts[n++] = value;
	}
	*ret = (struct item){.kind = kind_of_line(data, len)};
	if ((data[0] == '*' || data[0] == '>') && n == ARRAY_LEN(parts)) {
		if (text_is(parts[0], "message"))
			read_message(parts, ret);
		else if (text_is(parts[0], "subscribe"))
			ret->kind = ITEM_WATCHING;
	}
	return (size_t)(at - data);
}

const struct dialect dialect_redis = {
	.name = "redis",
	.n_watch_max = 1,
	.put_login = put_login,
	.put_beat = put_ping,
	.put_watch = put_watch,
	.put_update = put_update,
	.next = next,
};

const struct dialect dialect_redis_expiry = {
	.name = "redis-expiry",
	.n_watch_max = UINT32_MAX,
	.put_login = put_login_resp3,
	.put_beat = put_expiry,
	.put_watch = put_watch_expiry,
	.put_update = put_update,
	.next = next,
};
