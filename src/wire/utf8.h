/* UTF-8 (RFC 3629), checked as it comes: pieces may end anywhere, also inside a character.
 *
 * Pure. Threads any, each with a struct of its own; zeroed it is at the start of a text. */
#ifndef WIRE_UTF8_H
#define WIRE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct utf8 {
	uint8_t n_missing; /* bytes that the character under way still lacks */
	uint8_t low, high; /* where it lacks some: what the next may be */
};

/* False from the first byte on that no valid text can have at its place; the struct is of no use then. */
bool utf8_feed(struct utf8 *, const char *text, size_t len);

/* Whether the text may end here. */
static inline bool utf8_is_whole(const struct utf8 *u)
{
	return u->n_missing == 0;
}

#endif
