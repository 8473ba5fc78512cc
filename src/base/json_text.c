#include "base/json_text.h"

#include <stdbool.h>

/* Every byte of a word of eight the same. */
#define BYTES(b) (UINT64_C(0x0101010101010101) * (b))

/* Whether a byte of 'x' is less than 'n' (up to 128): by the borrow into the top bit of a byte
 * whose own top bit is clear. A borrow goes on only from a byte that is less, so the answer is exact. */
static inline uint64_t any_less(uint64_t x, unsigned n)
{
	return (x - BYTES(n)) & ~x & BYTES(0x80);
}

static inline bool any_needs_escape(uint64_t x)
{
	return (any_less(x, 0x20) | any_less(x ^ BYTES('"'), 1) | any_less(x ^ BYTES('\\'), 1) |
		       any_less(x ^ BYTES(0x7f), 1)) != 0;
}

static char *put_byte(char *to, unsigned char c)
{
	static const char digits[] = "0123456789abcdef";

	if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
		*to++ = (char)c;
		return to;
	}
	*to++ = '\\';
	switch (c) {
	case '"':
	case '\\':
		*to++ = (char)c;
		return to;
	case '\n':
		*to++ = 'n';
		return to;
	case '\r':
		*to++ = 'r';
		return to;
	case '\t':
		*to++ = 't';
		return to;
	}
	to = json_put_literal(to, "u00");
	*to++ = digits[c >> 4];
	*to++ = digits[c & 15];
	return to;
}

char *json_put_string(char *to, const char *text, size_t len)
{
	*to++ = '"';
	while (len >= 8) {
		uint64_t word;
		memcpy(&word, text, 8);
		if (!any_needs_escape(word)) {
			memcpy(to, &word, 8);
			to += 8;
		} else {
			for (int i = 0; i < 8; i++)
				to = put_byte(to, (unsigned char)text[i]);
		}
		text += 8;
		len -= 8;
	}
	for (size_t i = 0; i < len; i++)
		to = put_byte(to, (unsigned char)text[i]);
	*to++ = '"';
	return to;
}

char *json_put_u64(char *to, uint64_t value)
{
	static const char pairs[] = "0001020304050607080910111213141516171819"
				    "2021222324252627282930313233343536373839"
				    "4041424344454647484950515253545556575859"
				    "6061626364656667686970717273747576777879"
				    "8081828384858687888990919293949596979899";
	char digits[JSON_U64_MAX];
	char *at = digits + sizeof(digits);

	while (value >= 100) {
		at -= 2;
		memcpy(at, pairs + 2 * (value % 100), 2);
		value /= 100;
	}
	if (value >= 10) {
		at -= 2;
		memcpy(at, pairs + 2 * value, 2);
	} else {
		*--at = (char)('0' + value);
	}
	size_t len = (size_t)(digits + sizeof(digits) - at);
	memcpy(to, at, len);
	return to + len;
}

char *json_put_i64(char *to, int64_t value)
{
	if (value >= 0)
		return json_put_u64(to, (uint64_t)value);
	*to++ = '-';
	return json_put_u64(to, 0 - (uint64_t)value); /* INT64_MIN has no positive of its own */
}
