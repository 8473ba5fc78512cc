#include "base/buffer.h"

#include "base/json_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_CAP_FIRST = 256 };

void buffer_free(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer){0};
}

void buffer_clear(struct buffer *b)
{
	b->len = 0;
	b->failed = false;
}

char *buffer_reserve(struct buffer *b, size_t n)
{
	if (b->failed)
		return NULL;
	if (b->cap > 0 && n <= b->cap - b->len)
		return b->data + b->len;

	size_t cap = b->cap ? b->cap : BUFFER_CAP_FIRST;
	while (cap - b->len < n && cap <= SIZE_MAX / 2)
		cap *= 2;
	char *data = cap - b->len < n ? NULL : realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return NULL;
	}
	b->data = data;
	b->cap = cap;
	return b->data + b->len;
}

void buffer_append(struct buffer *b, const void *data, size_t len)
{
	char *to = buffer_reserve(b, len);

	if (to && len > 0) {
		memcpy(to, data, len);
		b->len += len;
	}
}

void buffer_append_string(struct buffer *b, const char *text)
{
	buffer_append(b, text, strlen(text));
}

void buffer_append_u64(struct buffer *b, uint64_t value)
{
	char *to = buffer_reserve(b, JSON_U64_MAX);

	if (to)
		b->len += (size_t)(json_put_u64(to, value) - to);
}

void buffer_append_json(struct buffer *b, const char *text, size_t len)
{
	char *to = len > SIZE_MAX / 8 ? buffer_reserve(b, SIZE_MAX)
				      : buffer_reserve(b, JSON_STRING_MAX(len));

	if (to)
		b->len += (size_t)(json_put_string(to, text, len) - to);
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
	va_list args;

	/* Once into the room there is, which is mostly enough; else again into what it asks for. */
	char *to = buffer_reserve(b, 1);
	if (!to)
		return;
	size_t room = b->cap - b->len;
	va_start(args, format);
	int n = vsnprintf(to, room, format, args);
	va_end(args);
	if (n < 0) {
		b->failed = true;
		return;
	}
	if ((size_t)n >= room) {
		to = buffer_reserve(b, (size_t)n + 1);
		if (!to)
			return;
		va_start(args, format);
		vsnprintf(to, (size_t)n + 1, format, args);
		va_end(args);
	}
	b->len += (size_t)n;
}
