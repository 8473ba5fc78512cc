#include "wire/utf8.h"

#include <string.h>

/* How many of the bytes are ASCII, looked at eight at a time: a lower bound. */
static size_t skip_ascii(const unsigned char *text, size_t len)
{
	size_t i = 0;
	uint64_t word;

	for (; len - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, text + i, sizeof(word));
		if (word & UINT64_C(0x8080808080808080))
			break;
	}
	return i;
}

/* The first byte of a character. The bounds of the second keep out what is longer than it need be
 * (E0, F0), surrogates (ED), and what lies beyond U+10FFFF (F4); RFC 3629, section 4. */
static bool begin_character(struct utf8 *u, unsigned char c)
{
	u->low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	u->high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	if (c < 0x80)
		u->n_missing = 0;
	else if (c >= 0xc2 && c <= 0xdf)
		u->n_missing = 1;
	else if (c >= 0xe0 && c <= 0xef)
		u->n_missing = 2;
	else if (c >= 0xf0 && c <= 0xf4)
		u->n_missing = 3;
	else
		return false;
	return true;
}

bool utf8_feed(struct utf8 *u, const char *text, size_t len)
{
	const unsigned char *bytes = (const unsigned char *)text;
	size_t i = 0;

	while (i < len) {
		if (u->n_missing == 0) {
			i += skip_ascii(bytes + i, len - i);
			if (i < len && !begin_character(u, bytes[i++]))
				return false;
			continue;
		}
		if (bytes[i] < u->low || bytes[i] > u->high)
			return false;
		u->low = 0x80;
		u->high = 0xbf;
		u->n_missing--;
		i++;
	}
	return true;
}
