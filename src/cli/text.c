#include "cli/text.h"

#include <string.h>

/* One character of UTF-8 (RFC 3629: shortest form, no surrogates, up to U+10FFFF). 0: the bytes there are none. */
static size_t read_character(const char *text, size_t len, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *at = (const unsigned char *)text;
	size_t n = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	uint32_t c;

	if (n == 0 || n > len || at[0] > 0xf4)
		return 0;
	c = n == 1 ? at[0] : at[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (at[i] & 0x3f);
	}
	if (n > 1 && (c < least[n] || (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff))
		return 0;
	*ret = c;
	return n;
}

static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f);
}

/* Separators that some terminals take for a new line, and what turns or hides text (UAX #9, "bidi" controls). */
static bool is_unsafe(uint32_t c)
{
	return is_control(c) || c == 0x061c || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x2069) || c == 0xfeff;
}

static bool append_safe(struct buffer *b, const char *text, size_t len, char quote)
{
	bool is_plain = true;

	for (size_t i = 0; i < len;) {
		uint32_t c = 0;
		size_t n = read_character(text + i, len - i, &c);
		if (n == 0 || (c < 0x80 && is_unsafe(c)))
			buffer_printf(b, "\\x%02x", (unsigned)(unsigned char)text[i]);
		else if (is_unsafe(c))
			buffer_printf(b, "\\u{%04x}", (unsigned)c);
		else if (c == '\\' || (quote && c == (unsigned char)quote))
			buffer_printf(b, "\\%c", (int)c);
		else
			buffer_append(b, text + i, n);
		is_plain &=
			n > 0 && !is_unsafe(c) && c != '\\' && c != '"' && c != ' ' && c != 0xa0;
		i += n > 0 ? n : 1;
	}
	return is_plain && len > 0;
}

void text_append_safe(struct buffer *b, const char *text, size_t len)
{
	append_safe(b, text, len, '\0');
}

void text_append_quoted(struct buffer *b, const char *text, size_t len)
{
	buffer_append_string(b, "\"");
	append_safe(b, text, len, '"');
	buffer_append_string(b, "\"");
}

void text_append_name(struct buffer *b, const char *text, size_t len)
{
	size_t before = b->len;

	if (append_safe(b, text, len, '\0') || b->failed)
		return;
	b->len = before;
	text_append_quoted(b, text, len);
}

void text_append_percent(struct buffer *b, const char *text, size_t len)
{
	static const char unreserved[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (size_t i = 0; i < len; i++) {
		if (text[i] != '\0' && strchr(unreserved, text[i]))
			buffer_append(b, text + i, 1);
		else
			buffer_printf(b, "%%%02X", (unsigned)(unsigned char)text[i]);
	}
}

bool text_is_words(const char *text, size_t len, size_t max)
{
	if (len > max)
		return false;
	for (size_t i = 0; i < len;) {
		uint32_t c = 0;
		size_t n = read_character(text + i, len - i, &c);
		if (n == 0 || c < 0x20 || c == 0x7f)
			return false;
		i += n;
	}
	return true;
}

bool text_is_id(const char *text, size_t len, size_t max)
{
	return len > 0 && text_is_words(text, len, max);
}
