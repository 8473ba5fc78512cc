#include "admin/object.h"

#include "base/json_text.h"

#include <string.h>

enum {
	VALUE_MAX = JSON_U64_MAX + 1 /* a point */
};

void object_begin(struct buffer *to)
{
	buffer_append(to, "{", 1);
}

void object_end(struct buffer *to)
{
	buffer_append(to, "}", 1);
}

/* Room for a key and 'n' bytes more, and the key in it: where to go on. NULL: refused. */
static char *put_key(struct buffer *to, const char *name, size_t n)
{
	size_t len = strlen(name);
	char *at = buffer_reserve(to, len + 4 + n);

	if (!at)
		return NULL;
	if (to->len > 0 && at[-1] != '{')
		*at++ = ',';
	*at++ = '"';
	memcpy(at, name, len);
	at += len;
	*at++ = '"';
	*at++ = ':';
	return at;
}

static void end_at(struct buffer *to, const char *end)
{
	to->len = (size_t)(end - to->data);
}

void object_key(struct buffer *to, const char *name)
{
	char *at = put_key(to, name, 0);

	if (at)
		end_at(to, at);
}

void object_u64(struct buffer *to, const char *name, uint64_t value)
{
	char *at = put_key(to, name, VALUE_MAX);

	if (at)
		end_at(to, json_put_u64(at, value <= INT64_MAX ? value : INT64_MAX));
}

void object_i64(struct buffer *to, const char *name, int64_t value)
{
	if (value < 0)
		object_text(to, name, NULL);
	else
		object_u64(to, name, (uint64_t)value);
}

void object_thousandths(struct buffer *to, const char *name, uint64_t value)
{
	char *at = put_key(to, name, VALUE_MAX);
	unsigned rest = (unsigned)(value % 1000);

	if (!at)
		return;
	at = json_put_u64(at, value / 1000);
	/* One digit at least: what is a real once is one always. */
	*at++ = '.';
	*at++ = (char)('0' + rest / 100);
	if (rest % 100 > 0)
		*at++ = (char)('0' + rest / 10 % 10);
	if (rest % 10 > 0)
		*at++ = (char)('0' + rest % 10);
	end_at(to, at);
}

void object_text(struct buffer *to, const char *name, const char *text)
{
	object_key(to, name);
	if (text)
		buffer_append_json(to, text, strlen(text));
	else
		buffer_append_string(to, "null");
}

void object_bool(struct buffer *to, const char *name, bool value)
{
	object_key(to, name);
	buffer_append_string(to, value ? "true" : "false");
}
