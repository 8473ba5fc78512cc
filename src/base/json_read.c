#include "base/json_read.h"

#include "base/ensure.h"

#include <assert.h>
#include <string.h>

struct scan {
	const char *at, *end;
};

/* --- is it JSON --- */

static void skip_space(struct scan *s)
{
	while (s->at < s->end &&
		(*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
		s->at++;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The value of four hexadecimal digits, or -1. */
static int32_t hex4(const char *at, const char *end)
{
	int32_t value = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = at[i];
		int32_t digit;

		if (is_digit(c))
			digit = c - '0';
		else if (c >= 'a' && c <= 'f')
			digit = c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			digit = c - 'A' + 10;
		else
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

/* The code point of the \u escapes at 'at' (which is after the first u), and where it ends; -1 for a lone
 * surrogate, U+0000 or no digits. */
static int32_t unicode_escape(const char **at, const char *end)
{
	int32_t high = hex4(*at, end), low;

	if (high <= 0)
		return -1;
	*at += 4;
	if (high < 0xd800 || high > 0xdfff)
		return high;
	if (high > 0xdbff || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
		return -1;
	low = hex4(*at + 2, end);
	if (low < 0xdc00 || low > 0xdfff)
		return -1;
	*at += 6;
	return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

static bool scan_escape(struct scan *s)
{
	s->at++;
	if (s->at == s->end)
		return false;
	char c = *s->at++;
	if (c == 'u')
		return unicode_escape(&s->at, s->end) > 0;
	return memchr("\"\\/bfnrt", c, 8) != NULL;
}

/* One code point of more than one byte: neither overlong, nor a surrogate, nor beyond U+10FFFF. */
static bool scan_utf8(struct scan *s)
{
	const unsigned char *at = (const unsigned char *)s->at;
	size_t left = (size_t)(s->end - s->at);
	size_t n = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;

	if (at[0] < 0xc2 || at[0] > 0xf4 || left < n)
		return false;
	for (size_t i = 1; i < n; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return false;
	}
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
		(at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
		return false;
	s->at += n;
	return true;
}

static bool scan_string(struct scan *s)
{
	if (s->at == s->end || *s->at != '"')
		return false;
	s->at++;
	while (s->at < s->end) {
		unsigned char c = (unsigned char)*s->at;

		if (c == '"') {
			s->at++;
			return true;
		}
		if (c < 0x20)
			return false;
		if (c == '\\') {
			if (!scan_escape(s))
				return false;
		} else if (c < 0x80) {
			s->at++;
		} else if (!scan_utf8(s)) {
			return false;
		}
	}
	return false;
}

static bool scan_digits(struct scan *s)
{
	const char *begin = s->at;

	while (s->at < s->end && is_digit(*s->at))
		s->at++;
	return s->at > begin;
}

static bool scan_number(struct scan *s)
{
	if (*s->at == '-')
		s->at++;
	if (s->at < s->end && *s->at == '0')
		s->at++;
	else if (!scan_digits(s))
		return false;
	if (s->at < s->end && *s->at == '.') {
		s->at++;
		if (!scan_digits(s))
			return false;
	}
	if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
		s->at++;
		if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
			s->at++;
		return scan_digits(s);
	}
	return true;
}

static bool scan_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
		return false;
	s->at += len;
	return true;
}

static bool scan_scalar(struct scan *s)
{
	if (*s->at == '"')
		return scan_string(s);
	if (*s->at == '-' || is_digit(*s->at))
		return scan_number(s);
	return scan_word(s, "true") || scan_word(s, "false") || scan_word(s, "null");
}

static bool scan_key(struct scan *s)
{
	skip_space(s);
	if (!scan_string(s))
		return false;
	skip_space(s);
	if (s->at == s->end || *s->at != ':')
		return false;
	s->at++;
	return true;
}

/* What is open, innermost in the lowest bit: 1 for an object. */
struct nest {
	uint32_t is_object;
	unsigned depth;
};

static_assert(JSON_READ_DEPTH_MAX <= 32, "a bit a level");

/* Comma or closing brackets after a value; false where neither fits. '*ret_is_done': the outermost is closed. */
static bool scan_after_value(struct scan *s, struct nest *nest, bool *ret_is_done)
{
	for (;;) {
		skip_space(s);
		*ret_is_done = nest->depth == 0;
		if (nest->depth == 0)
			return s->at == s->end;
		if (s->at == s->end)
			return false;
		char c = *s->at++;
		if (c == ',')
			return !(nest->is_object & 1) || scan_key(s);
		if (c != (nest->is_object & 1 ? '}' : ']'))
			return false;
		nest->depth--;
		nest->is_object >>= 1;
	}
}

const char *json_read_check(const char *text, size_t len)
{
	static const char not_json[] = "is no JSON";
	struct scan s = {text, text + len};
	struct nest nest = {0};
	bool is_done = false;

	skip_space(&s);
	if (s.at == s.end || *s.at != '{')
		return "is no JSON object";
	while (!is_done) {
		skip_space(&s);
		if (s.at == s.end)
			return not_json;
		char c = *s.at;
		if (c == '{' || c == '[') {
			if (++nest.depth > JSON_READ_DEPTH_MAX)
				return "nests too deep";
			nest.is_object = nest.is_object << 1 | (c == '{');
			s.at++;
			skip_space(&s);
			if (s.at == s.end)
				return not_json;
			if (*s.at != (c == '{' ? '}' : ']')) {
				if (c == '{' && !scan_key(&s))
					return not_json;
				continue;
			}
		} else if (!scan_scalar(&s)) {
			return not_json;
		}
		if (!scan_after_value(&s, &nest, &is_done))
			return not_json;
	}
	return NULL;
}

/* --- parts of what is --- */

static const char *after_string(const char *at)
{
	for (at++; *at != '"'; at++) {
		if (*at == '\\')
			at++;
	}
	return at + 1;
}

/* The end of the value that begins at 'at'. */
static const char *after_value(const char *at, const char *end)
{
	unsigned depth = 0;

	if (*at == '"')
		return after_string(at);
	if (*at != '{' && *at != '[') {
		while (at < end && !memchr(",]} \t\r\n", *at, 7))
			at++;
		return at;
	}
	do {
		if (*at == '"') {
			at = after_string(at);
			continue;
		}
		if (*at == '{' || *at == '[')
			depth++;
		else if (*at == '}' || *at == ']')
			depth--;
		at++;
	} while (depth > 0);
	return at;
}

struct json_walk json_walk_begin(struct json_part container)
{
	const char *end = container.text + container.len;

	/* The object of a whole text may have white space around it. */
	struct scan s = {container.text, end};
	skip_space(&s);
	debug_check(s.at < end && (*s.at == '{' || *s.at == '['));
	return (struct json_walk){s.at + 1, end};
}

bool json_walk_element(struct json_walk *w, struct json_part *ret_value)
{
	while (w->at < w->end && memchr(", \t\r\n:", *w->at, 6))
		w->at++;
	if (w->at >= w->end || *w->at == ']' || *w->at == '}')
		return false;
	const char *begin = w->at;
	w->at = after_value(begin, w->end);
	*ret_value = (struct json_part){begin, (size_t)(w->at - begin)};
	return true;
}

bool json_walk_member(struct json_walk *w, struct json_part *ret_key, struct json_part *ret_value)
{
	struct json_part key;

	if (!json_walk_element(w, &key) || !json_walk_element(w, ret_value))
		return false;
	*ret_key = key;
	return true;
}

bool json_is_string_part(struct json_part p)
{
	return p.text[0] == '"';
}

bool json_is_array_part(struct json_part p)
{
	return p.text[0] == '[';
}

bool json_is_object_part(struct json_part p)
{
	return p.text[0] == '{';
}

static size_t put_utf8(int32_t c, char *to)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* The next byte of a string, or the bytes of its next escape: 1 to 4. */
static size_t next_bytes(const char **at, const char *end, char to[4])
{
	static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";

	if (**at != '\\') {
		to[0] = *(*at)++;
		return 1;
	}
	char c = (*at)[1];
	*at += 2;
	if (c == 'u')
		return put_utf8(unicode_escape(at, end), to);
	const char *found = strchr(letters, c);
	ensure(found && c); /* json_read_check() let nothing else through */
	to[0] = bytes[found - letters];
	return 1;
}

size_t json_part_decode(struct json_part string, char *to)
{
	const char *at = string.text + 1, *end = string.text + string.len - 1;
	size_t len = 0;

	while (at < end) {
		char bytes[4];
		size_t n = next_bytes(&at, end, bytes);

		memcpy(to + len, bytes, n);
		len += n;
	}
	return len;
}

bool json_part_equals(struct json_part p, const char *word)
{
	const char *at = p.text + 1, *end = p.text + p.len - 1;
	size_t left = strlen(word);

	if (!json_is_string_part(p))
		return false;
	while (at < end) {
		char bytes[4];
		size_t n = next_bytes(&at, end, bytes);

		if (n > left || memcmp(word, bytes, n) != 0)
			return false;
		word += n;
		left -= n;
	}
	return left == 0;
}

static bool strings_equal(struct json_part a, struct json_part b)
{
	const char *at_a = a.text + 1, *end_a = a.text + a.len - 1;
	const char *at_b = b.text + 1, *end_b = b.text + b.len - 1;
	char bytes_a[4], bytes_b[4];
	size_t n_a = 0, n_b = 0, used_a = 0, used_b = 0;

	for (;;) {
		if (used_a == n_a && at_a < end_a) {
			n_a = next_bytes(&at_a, end_a, bytes_a);
			used_a = 0;
		}
		if (used_b == n_b && at_b < end_b) {
			n_b = next_bytes(&at_b, end_b, bytes_b);
			used_b = 0;
		}
		if (used_a == n_a || used_b == n_b)
			return used_a == n_a && used_b == n_b;
		if (bytes_a[used_a++] != bytes_b[used_b++])
			return false;
	}
}

bool json_has_duplicates(struct json_part object)
{
	struct json_part keys[JSON_READ_MEMBERS_MAX], key, value;
	struct json_walk walk = json_walk_begin(object);
	size_t n = 0;

	while (json_walk_member(&walk, &key, &value)) {
		if (n == JSON_READ_MEMBERS_MAX)
			return true;
		for (size_t i = 0; i < n; i++) {
			if (strings_equal(keys[i], key))
				return true;
		}
		keys[n++] = key;
	}
	return false;
}

bool json_find(struct json_part object, const char *name, struct json_part *ret)
{
	struct json_walk walk = json_walk_begin(object);
	struct json_part key, value;

	while (json_walk_member(&walk, &key, &value)) {
		if (json_part_equals(key, name)) {
			*ret = value;
			return true;
		}
	}
	return false;
}

/* --- numbers --- */

/* Of the number's text: whether it has an exponent, and which, cut to +-1000. */
static int exponent_of(const char *at, const char *end)
{
	bool is_negative = false;
	int exponent = 0;

	while (at < end && *at != 'e' && *at != 'E')
		at++;
	if (at == end)
		return 0;
	at++;
	if (*at == '+' || *at == '-')
		is_negative = *at++ == '-';
	for (; at < end; at++) {
		if (exponent < 1000)
			exponent = exponent * 10 + (*at - '0');
	}
	return is_negative ? -exponent : exponent;
}

bool json_part_u64(struct json_part p, bool round_up, uint64_t max, uint64_t *ret)
{
	const char *at = p.text, *end = p.text + p.len;
	uint64_t value = 0;
	bool has_rest = false;

	if (!is_digit(*at) || max > UINT64_MAX / 100)
		return false;
	int shift = exponent_of(at, end); /* digits that still count before the point */
	for (const char *c = at; c < end && is_digit(*c); c++)
		shift++;
	for (; at < end && (is_digit(*at) || *at == '.'); at++) {
		if (*at == '.')
			continue;
		if (shift-- > 0)
			value = value * 10 + (uint64_t)(*at - '0');
		else
			has_rest |= *at != '0';
		if (value > max)
			return false;
	}
	for (; shift > 0 && value > 0; shift--) {
		value *= 10;
		if (value > max)
			return false;
	}
	value += round_up && has_rest;
	if (value > max)
		return false;
	*ret = value;
	return true;
}
