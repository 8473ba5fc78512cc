#include "dialect.h"

#include "base/compiler.h"

#include <string.h>

size_t dialect_put_user(char *to, uint64_t user)
{
	to[0] = 'u';
	for (int i = DIALECT_USER_BYTES - 1; i > 0; i--) {
		to[i] = (char)('0' + user % 10);
		user /= 10;
	}
	return DIALECT_USER_BYTES;
}

size_t dialect_put_text(char *to, const char *text)
{
	size_t len = strlen(text);

	memcpy(to, text, len);
	return len;
}

uint64_t dialect_read_number(const char *at, const char *end)
{
	uint64_t n = 0;

	for (; at < end && *at >= '0' && *at <= '9'; at++)
		n = n * 10 + (uint64_t)(*at - '0');
	return n;
}

uint64_t dialect_read_user(const char *at, const char *end)
{
	return at < end ? dialect_read_number(at + 1, end) : 0;
}

const struct dialect *dialect_find(const char *name)
{
	static const struct dialect *const all[] = {
		&dialect_presence,
		&dialect_presence_empty,
		&dialect_presence_part,
		&dialect_mqtt,
		&dialect_redis,
		&dialect_redis_expiry,
		&dialect_memcached,
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!strcmp(all[i]->name, name))
			return all[i];
	return NULL;
}
