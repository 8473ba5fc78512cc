/* Lines out of a stream: the same ones however the bytes come in pieces. The first byte seeds the sizes of
 * the pieces; the rest is the stream. */
#include "fuzz.h"

#include "wire/ndjson.h"

#include <string.h>

/* The next line as it is meant: found by hand, a byte at a time. False where there is none. */
static bool plain_next(const char *data, size_t len, size_t *ret_line_len, size_t *ret_used)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] != '\n')
			continue;
		*ret_used = i + 1;
		*ret_line_len = i > 0 && data[i - 1] == '\r' ? i - 1 : i;
		return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t begin = 0, end = 0, searched = 0, expected = 0;
	const char *stream;
	uint32_t noise;

	if (size < 1)
		return 0;
	noise = data[0] + 1u;
	stream = (const char *)data + 1;
	size--;
	while (end < size) {
		size_t piece, line_len, used, want_len, want_used;

		noise = noise * 1664525 + 1013904223;
		piece = (noise >> 16) % (1u << (noise >> 29)) + 1;
		end += piece < size - end ? piece : size - end;
		while (ndjson_next(stream + begin, end - begin, searched, &line_len, &used)) {
			PROPERTY(plain_next(
				stream + expected, size - expected, &want_len, &want_used));
			PROPERTY(begin == expected && line_len == want_len && used == want_used);
			begin += used;
			expected += want_used;
			searched = 0;
		}
		searched = end - begin;
	}
	PROPERTY(memchr(stream + begin, '\n', size - begin) == NULL);
	return 0;
}
