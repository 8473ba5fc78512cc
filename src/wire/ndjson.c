#include "wire/ndjson.h"

#include <string.h>

bool ndjson_next(
	const char *data, size_t len, size_t searched, size_t *ret_line_len, size_t *ret_used)
{
	const char *end;
	size_t line_len;

	if (searched >= len)
		return false;
	end = memchr(data + searched, '\n', len - searched);
	if (end == NULL)
		return false;
	line_len = (size_t)(end - data);
	*ret_used = line_len + 1;
	if (line_len > 0 && data[line_len - 1] == '\r')
		line_len--;
	*ret_line_len = line_len;
	return true;
}
