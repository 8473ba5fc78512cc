#include "wire/prescan.h"

/* The index after the string whose opening quote lies before 'i'; beyond 'len' where it never ends. */
static size_t skip_string(const char *text, size_t len, size_t i)
{
	while (i < len && text[i] != '"')
		i += text[i] == '\\' ? 2 : 1;
	return i + 1;
}

/* Up to the first error in the text the parser sees the same strings and brackets as this does, and there
 * it stops: so it never goes deeper than what is counted here, whatever the text. */
bool prescan_too_deep(const char *text, size_t len, unsigned max)
{
	unsigned depth = 0;
	size_t i = 0;

	while (i < len) {
		char c = text[i++];

		if (c == '"') {
			i = skip_string(text, len, i);
		} else if (c == '{' || c == '[') {
			if (++depth > max)
				return true;
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return false;
}
