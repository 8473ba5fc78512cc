/* memcached's text protocol: a session is an item, a beat asks for it. Nobody can watch. */
#include "dialect.h"

#include <string.h>

static size_t put_login(char *to, uint64_t user, uint64_t heartbeat_ms)
{
	size_t n = dialect_put_text(to, "set ");

	(void)heartbeat_ms; /* items stay: what expires here tells nobody */
	n += dialect_put_user(to + n, user);
	return n + dialect_put_text(to + n, " 0 0 1\r\n1\r\n");
}

static size_t put_beat(char *to, uint64_t user, uint64_t heartbeat_ms)
{
	size_t n = dialect_put_text(to, "get ");

	(void)heartbeat_ms;
	n += dialect_put_user(to + n, user);
	return n + dialect_put_text(to + n, "\r\n");
}

static bool begins(const char *line, size_t len, const char *word)
{
	return len >= strlen(word) && memcmp(line, word, strlen(word)) == 0;
}

/* A line an item. What is found comes as a head, a value and an end; only the end counts. */
static size_t next(const char *data, size_t len, struct item *ret)
{
	const char *end = memchr(data, '\n', len);

	if (!end)
		return 0;
	len = (size_t)(end - data) + 1;
	*ret = (struct item){.kind = ITEM_OTHER};
	if (begins(data, len, "END"))
		ret->kind = ITEM_BEAT;
	else if (begins(data, len, "STORED"))
		ret->kind = ITEM_WELCOME;
	else if (begins(data, len, "ERROR Too many open connections"))
		ret->kind = ITEM_FULL;
	else if (begins(data, len, "ERROR") || begins(data, len, "SERVER_ERROR") ||
		 begins(data, len, "CLIENT_ERROR"))
		ret->kind = ITEM_ERROR;
	return len;
}

const struct dialect dialect_memcached = {
	.name = "memcached",
	.put_login = put_login,
	.put_beat = put_beat,
	.next = next,
};
